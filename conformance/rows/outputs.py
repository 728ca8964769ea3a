"""Targets, names and limits: success means that the file is there; failure says so and leaves nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from conformance import files
from conformance.bench import Bench, NotRun, digest
from conformance.decode import decode, still_good
from conformance.files import png
from conformance.judge import right_size
from conformance.pictures import gradient, noise, plain, scene, u8
from conformance.rows import row

NEVER = "Success is claimed only for a file that is there, complete and readable."


def source_in(bench: Bench, name: str = "in.png") -> Path:
    return files.write(bench.folder / name, png(u8(scene(32, 24))))


@row("outputs.unknown-suffix", "A suffix that means nothing is refused", "PNG to out.xyz", NEVER)
def unknown_suffix(bench: Bench) -> None:
    bench.refused(source_in(bench), "out.xyz")


@row("outputs.parent-is-file", "A target below a file is refused", "PNG to in.png/out.png", NEVER)
def parent_is_file(bench: Bench) -> None:
    source = source_in(bench)
    before = digest(source)
    ran = bench.run(source, source / "out.png", timeout=20)
    bench.ended(ran, well=False)
    bench.expect("says why", bool(ran.last_line()), True)
    bench.expect("input unchanged", digest(source) == before, True)


@row("outputs.no-rights", "A folder that cannot be written to is refused", "PNG to a folder without the right to write",
     NEVER)  # fmt: skip
def no_rights(bench: Bench) -> None:
    source = source_in(bench)
    locked = bench.folder / "locked"
    locked.mkdir()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        if not sys.platform.startswith("linux"):
            raise NotRun("root may write everywhere")
        target = Path("/proc/out.png")  # where not even root can
    else:
        locked.chmod(0o555)
        target = locked / "out.png"
    ran = bench.run(source, target, timeout=20)
    locked.chmod(0o755)
    bench.ended(ran, well=False)
    bench.expect("says why", bool(ran.last_line()), True)
    bench.expect("output left", target.exists(), False)


@row("outputs.full-disk", "A full disk is noticed", "noise to PNG where no file can grow beyond 16 kB", NEVER)
def full_disk(bench: Bench) -> None:
    source = files.write(bench.folder / "in.png", png(u8(noise(96, 96))))
    target = bench.folder / "out.png"
    ran = bench.run(source, target, file_limit=16 << 10)
    bench.ended(ran, well=False)
    bench.expect("half a file left", target.exists() and not still_good(target), False)


@row("outputs.existing", "A target that exists has a clear outcome", "PNG to a file that is there already",
     "Refusing and replacing are both right; saying 'done' over the old file is not.")  # fmt: skip
def existing(bench: Bench) -> None:
    source, target = source_in(bench), bench.folder / "out.png"
    files.write(target, png(u8(plain((0.1, 0.2, 0.3), 8, 8))))
    before = digest(target)
    ran = bench.run(source, target)
    if ran.code == 0:
        bench.note("policy", "replaces")
        right_size(bench, decode(target), scene(32, 24))
    else:
        bench.note("policy", "refuses")
        bench.expect("old file unchanged", digest(target) == before, True)
        bench.expect("says why", bool(ran.last_line()), True)


@row("outputs.onto-input", "The input as target does not destroy it", "in.png to in.png",
     "A failure in the middle must not take the only copy.")  # fmt: skip
def onto_input(bench: Bench) -> None:
    source = source_in(bench)
    before = digest(source)
    ran = bench.run(source, source)
    if ran.code == 0:
        bench.note("policy", "replaces")
        right_size(bench, decode(source), scene(32, 24))
    else:
        bench.note("policy", "refuses")
        bench.expect("input unchanged", digest(source) == before, True)


@row("outputs.killed", "kill -9 leaves no half file", "900x600 noise, killed at three moments",
     "After a crash, a file that is there is taken for finished.")  # fmt: skip
def killed(bench: Bench) -> None:
    source = files.write(bench.folder / "in.png", png(u8(noise(320, 240) * 0.5 + 0.25)))
    whole = bench.run(source, bench.folder / "whole.png")
    if whole.code != 0:
        bench.ended(whole, well=True)
        return
    halves = 0
    for number, part in enumerate((0.6, 0.8, 0.95)):
        target = bench.folder / f"out{number}.png"
        bench.run(source, target, kill_after=whole.seconds * part)
        halves += target.exists() and not still_good(target)
    bench.expect("half files", halves, 0)


@row("outputs.nothing-else", "Nothing else is left behind", "PNG to PNG", "Temporary files fill disks.")
def nothing_else(bench: Bench) -> None:
    source = source_in(bench)
    decode(bench.upscale(source))
    left = sorted(path.name for path in bench.folder.iterdir() if path.name not in ("in.png", "out.png"))
    bench.expect("files left", ", ".join(left) or "none", "none")


NAMES = {
    "spaces": "my  holiday picture .png", "unicode": "Zürich 東京 مرحبا.png", "emoji": "cat 🐈‍⬛ picture.png",
    "combining": "e\u0301te\u0301.png", "quotes": "it's \"quoted\" `here` $HOME.png", "newline": "two\nlines.png",
    "percent": "100%d {0} %s.png", "glob": "a[1]*?.png", "dots": "a.b.c..png", "leading-dash": "-rf.png",
    "200-bytes": "n" * 196 + ".png", "250-bytes": "n" * 246 + ".png", "hidden": ".hidden.png",
    "not-utf8": "caf\udce9.png",
}  # fmt: skip


def name_row(id: str, name: str) -> None:
    @row(f"names.{id}", f"Names: {id.replace('-', ' ')}", repr(name if len(name) < 60 else name[:8] + "..."),
         "Whoever names files does not ask the upscaler.")  # fmt: skip
    def check(bench: Bench) -> None:
        (bench.folder / "to").mkdir()
        try:
            source = files.write(bench.folder / name, png(u8(scene(24, 16))))
        except (OSError, ValueError) as error:
            raise NotRun(f"this file system does not take the name: {error}") from error
        target = bench.folder / "to" / name
        given = "./" + name if name.startswith("-") else str(source)
        ran = bench.run(given, target)
        bench.ended(ran, well=True)
        bench.expect("output under that name", target.is_file(), True)
        if target.is_file():
            right_size(bench, decode(target), scene(24, 16))


for pair in NAMES.items():
    name_row(*pair)


@row("names.deep", "A path of 900 characters", "a file in a folder in a folder ...", "Archives are deep.")
def deep(bench: Bench) -> None:
    folder = bench.folder.joinpath(*["folder-" * 6 + str(n) for n in range(20)])
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise NotRun(f"this file system does not take the path: {error}") from error
    source = files.write(folder / "in.png", png(u8(scene(24, 16))))
    ran = bench.run(source, folder / "out.png")
    bench.ended(ran, well=True)
    bench.expect("output there", (folder / "out.png").is_file(), True)


def limit_row(format: str, name: str, limit: int) -> None:
    side = limit // 4 + 100

    @row(f"limits.{format.lower()}", f"{format} cannot be wider than {limit:,}, and that is said before the work",
         f"{side}x500 PNG to {name}", "Minutes of work, and then the encoder fails.")  # fmt: skip
    def check(bench: Bench) -> None:
        width = limit // bench.scale + 100
        source = files.write(bench.folder / "in.png", png(u8(gradient(width, 500))))
        # Enlarging 4200 x 500 takes any network longer than this on two cores; starting it takes less.
        bench.refused(source, name, within=8.0)


limit_row("WebP", "out.webp", 16383)
limit_row("JPEG", "out.jpg", 65535)
