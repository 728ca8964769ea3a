"""The commands of `scripts/corpus`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.corpora.listing import Corpus, find_set, read_corpus
from scripts.corpora.making import SUFFIXES, make
from scripts.corpora.measures import seen_in
from scripts.corpora.packages import unpacked
from scripts.corpora.sheets import chosen, contact_sheet
from scripts.trainings.place import Place

from srgan.errors import CannotWrite, InvalidDataset, SrganError

LIST = Path(__file__).parents[2] / "configs" / "corpus.toml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 when that was done."""
    given = _parser().parse_args(arguments)
    try:
        given.do(given)
    except SrganError as error:
        print(f"corpus: {error}", file=sys.stderr)
        return 1
    return 0


def _list(given: argparse.Namespace) -> None:
    for name, wanted in read_corpus(given.list).sets.items():
        print(f"{name:<12} {wanted.kind:<12} {wanted.about}")
        for part in wanted.parts:
            print(f"{'':<12} {part.package}")


def _fetch(given: argparse.Namespace) -> None:
    corpus = read_corpus(given.list)
    for name in _sets(given, corpus):
        for part in corpus.sets[name].parts:
            print(f"{part.package}: {unpacked(part.package, corpus.packages[part.package], _cache(given))}", flush=True)


def _create(given: argparse.Namespace) -> None:
    corpus = read_corpus(given.list)
    names = _sets(given, corpus)
    usual = (data / "eval" for data in (given.data, *Place.usual().data()))
    apart = given.apart or sorted({folder for folder in usual if folder.is_dir()})
    for folder in apart:
        if not folder.is_dir():
            raise InvalidDataset(f"{folder}: no such folder of pictures to keep apart from")
    # Sets that are there already are kept apart too, so that no picture is in two.
    apart += [path.with_suffix("") for path in sorted(given.data.glob("corpus/*.json")) if path.stem not in names]
    if apart:
        print(f"compared with {', '.join(map(str, apart))}")
    else:
        print("compared with no pictures to judge by: name their folders with --apart")
    seen = seen_in(apart, SUFFIXES)
    for name in names:
        said = (lambda line: print(line, flush=True)) if given.verbose else lambda line: None
        made = make(name, corpus, given.data / "corpus", _cache(given), seen, said)
        for folder, entries in made.pictures.items():
            size = sum(entry.size[0] * entry.size[1] for entry in entries) / 1e6
            print(f"{given.data / 'corpus' / folder}: {len(entries)} pictures, {size:.1f} megapixels", flush=True)
        for reason, count in made.left_out.most_common():
            print(f"  left out: {count} {reason}")


def _sheet(given: argparse.Namespace) -> None:
    if given.target.exists():
        raise CannotWrite(f"{given.target}: is there already; choose another place for the sheet")
    pictures = sorted(path for path in given.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise InvalidDataset(f"{given.folder}: there are no pictures in this folder")
    contact_sheet(chosen(pictures, given.count)).save(given.target)
    print(f"{given.target}: {min(given.count, len(pictures))} of {len(pictures)} pictures")


def _cache(given: argparse.Namespace) -> Path:
    return Path(given.cache or given.data / "packages")


def _sets(given: argparse.Namespace, corpus: Corpus) -> list[str]:
    for name in given.sets:
        find_set(corpus, name)
    return given.sets or list(corpus.sets)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="corpus", description="Make the pictures to train on, from packages.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    usual = Place.usual().folder / "data"

    def command(name: str, do: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(do=do)
        return added

    for name, do, text in (
        ("list", _list, "Which sets there are, and the packages that they come from."),
        ("fetch", _fetch, "Fetch and unpack the packages of sets."),
        ("create", _create, "Make sets: folders of PNG files in DATA/corpus, with a manifest beside each."),
    ):
        added = command(name, do, text)
        added.add_argument("--list", type=Path, default=LIST, metavar="FILE", help="default: configs/corpus.toml")
        if name == "list":
            continue
        added.add_argument("sets", nargs="*", metavar="SET", help="default: all")
        added.add_argument("--data", type=Path, default=usual, help="default: data in the folder of trainings, "
                           "$SRGAN_TRAINING")  # fmt: skip
        added.add_argument("--cache", type=Path, help="for packages; default: DATA/packages")
        if name == "create":
            text = "pictures that must not be among them, as those to judge by; default: eval in DATA and $SRGAN_DATA"
            added.add_argument("--apart", type=Path, nargs="+", default=[], metavar="FOLDER", help=text)
            added.add_argument("-v", "--verbose", action="store_true", help="say of each picture why it is left out")
    sheet = command("sheet", _sheet, "Show some pictures of a folder on one sheet.")
    sheet.add_argument("folder", type=Path)
    sheet.add_argument("target", type=Path)
    sheet.add_argument("--count", type=int, default=64, metavar="N")
    return parser
