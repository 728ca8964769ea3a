"""Folders: the tree mirrored, bad files named, and a second run that goes on where the first ended."""

from __future__ import annotations

import os
from pathlib import Path

from conformance import files
from conformance.bench import Bench, NotRun, Ran, Stop, digest
from conformance.decode import decode, still_good
from conformance.files import pillow, png
from conformance.measure import pooled
from conformance.pictures import noise, plain, scene, u8
from conformance.rows import row

WHY = "A folder of thousands runs over night; in the morning it must be clear what is done and what is not."
TREE = ("a.png", "b.png", "sub/c.png", "sub/deeper/d.png", "Ünïcode 東京/e e.png")


def tree(bench: Bench, names: tuple[str, ...] = TREE) -> Path:
    top = bench.folder / "in"
    for number, name in enumerate(names):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        files.write(top / name, png(u8(plain((0.1 + 0.1 * number, 0.5, 0.4), 20, 16))))
    return top


def batch(bench: Bench, source: Path | None = None, target: Path | None = None, **options: float) -> Ran:
    if not bench.job.batch:
        raise NotRun("no --batch-command was given")
    return bench.run(source or bench.folder / "in", target or bench.folder / "out", template=bench.job.batch,
                     timeout=max(120.0, bench.job.timeout), **options)  # type: ignore[arg-type] # fmt: skip


def pictures(folder: Path) -> dict[str, Path]:
    """Pictures below ``folder``, by their path in it."""
    found = sorted(path for path in folder.rglob("*.png") if path.is_file())
    return {str(path.relative_to(folder)): path for path in found}


@row("batch.mirrored", "The tree is mirrored", "five PNG in four folders", WHY)
def mirrored(bench: Bench) -> None:
    tree(bench)
    ran = batch(bench)
    bench.ended(ran, well=True)
    found = pictures(bench.folder / "out")
    bench.expect("missing", ", ".join(sorted(set(TREE) - set(found))) or "none", "none")
    bench.expect("unreadable", sum(not still_good(path) for path in found.values()), 0)


@row("batch.one-bad-file", "One bad file stops nothing, and the exit code tells", "four good PNG, one of words", WHY)
def one_bad(bench: Bench) -> None:
    files.write(tree(bench) / "b.png", b"no picture at all")
    ran = batch(bench)
    bench.ended(ran, well=False)
    bench.expect("good ones done", sorted(pictures(bench.folder / "out")), sorted(set(TREE) - {"b.png"}))
    bench.expect("names the bad one", "b.png" in ran.message, True)


@row("batch.again", "A second run does nothing twice", "five PNG, run twice", WHY)
def again(bench: Bench) -> None:
    tree(bench)
    _good(batch(bench))
    before = {name: (path.stat().st_mtime_ns, path.stat().st_ino, digest(path))
              for name, path in pictures(bench.folder / "out").items()}  # fmt: skip
    bench.expect("done", len(before), len(TREE))
    ran = batch(bench)
    after = {name: (path.stat().st_mtime_ns, path.stat().st_ino, digest(path))
             for name, path in pictures(bench.folder / "out").items()}  # fmt: skip
    bench.ended(ran, well=True)
    bench.expect("written again", sum(before[name] != after.get(name) for name in before), 0)


def _good(ran: Ran) -> None:
    if ran.code != 0:
        raise Stop(f"{ran.outcome()} for a good folder")


@row("batch.one-more", "A second run does what is new", "five PNG, then one more", WHY)
def one_more(bench: Bench) -> None:
    top = tree(bench)
    _good(batch(bench))
    files.write(top / "sub/new.png", png(u8(scene(20, 16))))
    _good(batch(bench))
    bench.expect("done", len(pictures(bench.folder / "out")), len(TREE) + 1)


@row("batch.changed-input", "An input that has changed is not passed off as done",
     "five PNG, then one with other content",
     "Who replaces a picture expects its new enlargement, or to be told.")  # fmt: skip
def changed(bench: Bench) -> None:
    top = tree(bench)
    _good(batch(bench))
    files.write(top / "a.png", png(u8(plain((0.9, 0.9, 0.1), 20, 16))))
    ran = batch(bench)
    new = pooled(decode(bench.folder / "out/a.png").rgb, 16).mean((0, 1))[0] > 0.7
    told = ran.code != 0 and "a.png" in ran.message
    bench.expect("outcome", "made anew" if new else "told" if told else "the old one passes for done", "made anew")


@row("batch.killed", "kill -9, then again: complete, and no half file", "24 PNG, killed twice on the way", WHY)
def killed(bench: Bench) -> None:
    names = tuple(f"{number:02}.png" for number in range(24))
    top = tree(bench, ("00.png",))
    for name in names:
        files.write(top / name, png(u8(noise(96, 64))))
    halves, start = 0, batch(bench, target=bench.folder / "timing").seconds
    for part in (0.5, 0.75):
        batch(bench, kill_after=start * part)
        halves += sum(not still_good(path) for path in pictures(bench.folder / "out").values())
    ran = batch(bench)
    found = pictures(bench.folder / "out")
    bench.expect("half files after a kill", halves, 0)
    bench.ended(ran, well=True)
    bench.expect("complete in the end", sum(name in found and still_good(found[name]) for name in names), len(names))
    bench.expect("pictures that nobody asked for", len(set(found) - set(names)), 0)


@row("batch.same-stem", "Two inputs that would share an output lose neither", "a.png and a.jpg beside each other",
     "A folder of JPEG and edited PNG has the same names twice.")  # fmt: skip
def same_stem(bench: Bench) -> None:
    top = tree(bench, ("a.png",))
    pillow(top / "a.jpg", plain((0.9, 0.2, 0.2), 20, 16), quality=95)
    ran = batch(bench)
    found = [path for path in (bench.folder / "out").rglob("*") if path.suffix in (".png", ".jpg") and still_good(path)]
    told = ran.code not in (0, None)
    bench.expect("outcome", "both" if len(found) == 2 else "told" if told else "one is lost in silence", "both")


@row("batch.output-inside", "An output folder inside the input is not enlarged again", "in to in/large, run twice",
     "Otherwise every run enlarges the enlargements.")  # fmt: skip
def inside(bench: Bench) -> None:
    top = tree(bench, ("a.png", "b.png"))
    for _ in range(2):
        batch(bench, target=top / "large")
    sizes = sorted({decode(path).size for path in pictures(top / "large").values()})
    bench.expect("sizes", sizes, [(20 * bench.scale, 16 * bench.scale)])


@row("batch.symlink-loop", "Folders in a circle come to an end", "a folder with a link to itself in it", WHY)
def loop(bench: Bench) -> None:
    top = tree(bench, ("a.png", "sub/b.png"))
    try:
        os.symlink(top, top / "sub" / "loop", target_is_directory=True)
    except OSError as error:
        raise NotRun(f"no symbolic links here: {error}") from error
    ran = batch(bench)
    bench.expect("ends", ran.code is not None, True)
    bench.expect("done", len(pictures(bench.folder / "out")), 2)


@row("batch.two-at-once", "Two runs on one folder do no harm", "twelve PNG, two commands at once",
     "A second click, or a second machine.")  # fmt: skip
def two(bench: Bench) -> None:
    from concurrent.futures import ThreadPoolExecutor

    names = tuple(f"{number:02}.png" for number in range(12))
    tree(bench, names)
    with ThreadPoolExecutor(2) as pool:
        runs = [future.result() for future in [pool.submit(batch, bench) for _ in range(2)]]
    found = pictures(bench.folder / "out")
    bench.expect("one at least ends well", 0 in [ran.code for ran in runs], True)
    bench.expect("complete", sum(name in found and still_good(found[name]) for name in names), len(names))
    bench.expect("pictures that nobody asked for", len(set(found) - set(names)), 0)


@row("batch.input-unchanged", "Inputs are left as they are", "five PNG", "They are the originals.")
def unchanged(bench: Bench) -> None:
    top = tree(bench)
    before = {str(path): digest(path) for path in sorted(top.rglob("*")) if path.is_file()}
    _good(batch(bench))
    after = {str(path): digest(path) for path in sorted(top.rglob("*")) if path.is_file()}
    bench.expect("same files, same content", before == after, True)


@row("batch.empty", "An empty folder has a clear outcome", "a folder without pictures", "A typing mistake in a script.")
def empty(bench: Bench) -> None:
    (bench.folder / "in").mkdir()
    ran = batch(bench)
    bench.expect("ends", ran.code is not None and ran.code >= 0, True)
    bench.expect("says something", bool(ran.last_line()), True)


@row("batch.missing", "A folder that is not there is refused", "no folder", "A typing mistake in a script.")
def missing(bench: Bench) -> None:
    ran = batch(bench, source=bench.folder / "nothing")
    bench.ended(ran, well=False)
    bench.expect("says why", bool(ran.last_line()), True)
