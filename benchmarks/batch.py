"""Folders: what is left after a run was killed again and again, and how fast a folder goes beside a plain loop.

    python benchmarks/batch.py                 1,000 files killed ten times, 100 pictures timed: about ten minutes
    python benchmarks/batch.py --only killed --files 200 --kills 5

"killed": `srgan batch-process` with two workers is killed with SIGKILL at moments drawn by chance, and begun again,
until all is done. After each kill every output is opened and its place, size and time are written down: a log that the
program under test knows nothing of. "Lost" are inputs without an output at the end, "half" outputs that cannot be
decoded or differ from those of a run that nobody disturbed, "twice" outputs that were replaced after they were
finished, or that the journal says were made more than once.

"speed": the same pictures by `srgan.upscale` one after the other, with a model opened each time and with one kept open;
by `srgan.process_folder`; and by the bare session, which gets its pictures as arrays and throws the results away.
"""

from __future__ import annotations

import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from reporting import options, print_header, say, undisturbed, write_json
from stand_ins import SCALE, shipped_or_random

from srgan import Picture, Upscaler, open_session, process_folder, read_picture, upscale, write_picture
from srgan.benchmark import as_batch, sample_picture, table
from srgan.models import Bundle

WORKERS = 2
ROUNDS = 3
JOURNAL = Path(".srgan") / "journal.jsonl"
PARTS = ("killed", "speed")


@undisturbed()
def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--model", default="turbo")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--side", type=int, default=48, help="of the pictures that are killed, in pixels")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--width", type=int, default=384, help="of the pictures that are timed, in pixels")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.quick:
        given.files, given.kills, given.pictures, given.width, given.rounds = 20, 2, 4, 32, 1
    header = print_header(
        f"{WORKERS} workers; speed: median of {given.rounds} rounds, the ways one after the other in each"
    )
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="srgan-batch-") as name:
        bundle, chance = shipped_or_random(given.model, Path(name))
        if given.only != "speed":
            rows += killed(Path(name), bundle, given.files, given.kills, given.side, random.Random(given.seed))
            print()
        if given.only != "killed":
            rows += speed(Path(name), bundle, given.pictures, given.width, given.rounds)
            print()
    note = f"{bundle.info.name}{' with random weights' if chance else ''}, x{SCALE}"
    print(f"{note}.")
    write_json(given.json, header | {"model": note, "rows": rows})


def pictures(folder: Path, count: int, width: int) -> list[Path]:
    """``count`` different pictures of about ``width`` x 3/4 ``width`` in ``folder`` and a folder in it."""
    (folder / "deep").mkdir(parents=True)
    whole = sample_picture(2 * width + count, 2 * width, seed=1).pixels
    paths = []
    for number in range(count):
        path = folder / ("deep" if number % 3 == 0 else "") / f"{number:04}.png"
        height = max(8, width * 3 // 4 + number % 5)
        paths.append(write_picture(Picture(pixels=whole[number : number + height, :width].copy()), path))
    return paths


# --------------------------------------------------------------------------------------------------- killed


def killed(top: Path, bundle: Bundle, files: int, kills: int, side: int, chance: random.Random) -> list[dict[str, Any]]:
    """Kill a run ``kills`` times; what was lost, halved and made twice."""
    source, target = top / "killed-in", top / "killed-out"
    names = {path.relative_to(source).as_posix() for path in pictures(source, files, side)}
    command = [sys.executable, "-c", "from srgan.cli import main; main()", "batch-process", str(source), str(target)]
    command += ["--model", str(bundle.path), "--workers", str(WORKERS), "--report", str(top / "report.json"), "--quiet"]
    log: dict[str, set[tuple[int, int, int]]] = {}
    broken: set[str] = set()
    began = time.perf_counter()
    for number in range(kills):
        goal = round(files * (number + chance.random()) / kills)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None and sum(1 for _ in finished(target)) < goal:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        look(target, log, broken)
        say(f"killed {number + 1} of {kills} times, {len(log)} of {files} done")
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    seconds = time.perf_counter() - began
    look(target, log, broken)
    made = Counter(line["target"] for line in events(target) if line["is"] == "done")
    process_folder(source, top / "undisturbed", Upscaler(bundle), workers=WORKERS)
    broken |= {name for name in names & log.keys() if differs(target / name, top / "undisturbed" / name)}
    row = {
        "part": "killed",
        "files": files,
        "kills": kills,
        "lost": len(names - log.keys()),
        "half": len(broken),
        "twice": sum(len(states) > 1 for states in log.values()) + sum(count > 1 for count in made.values()),
        "put_right": sum("late" in line for line in events(target)),
        "left_over": len(list(target.rglob("*.part"))),
        "exit_code": done.returncode,
        "seconds": round(seconds, 1),
    }
    print(table(list(row), [[str(value) for value in row.values()]]))
    return [row]


def finished(target: Path) -> Iterator[Path]:
    return target.rglob("*.png")


def look(target: Path, log: dict[str, set[tuple[int, int, int]]], broken: set[str]) -> None:
    """Write down what every output is now. One that was seen before and is the same is not decoded again."""
    for path in finished(target):
        name, status = path.relative_to(target).as_posix(), path.stat()
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        if state not in log.setdefault(name, set()):
            log[name].add(state)
            try:
                read_picture(path)
            except Exception:  # whatever is wrong with it
                broken.add(name)


def events(target: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, (target / JOURNAL).read_text().splitlines())


def differs(one: Path, other: Path) -> bool:
    return not np.array_equal(read_picture(one).pixels, read_picture(other).pixels)


# ---------------------------------------------------------------------------------------------------- speed


def speed(top: Path, bundle: Bundle, count: int, width: int, rounds: int) -> list[dict[str, Any]]:
    """Time a folder by every way."""
    paths = pictures(top / "speed-in", count, width)
    arrays = [as_batch(read_picture(path), 3) for path in paths]
    session = open_session(bundle)
    kept = Upscaler(bundle)
    megapixels = sum(array[0, 0].size for array in arrays) * SCALE**2 / 1e6

    def loop(model: Any, out: Path) -> None:
        out.mkdir()
        for path in paths:
            upscale(path, model, output=out / path.name)

    ways: dict[str, Callable[[Path], object]] = {
        "bare session": lambda out: [session.run(array) for array in arrays],
        "loop over srgan.upscale": lambda out: loop(bundle, out),
        "the same, model kept open": lambda out: loop(kept, out),
        "process_folder, 1 worker": lambda out: process_folder(top / "speed-in", out, kept, workers=1),
        f"process_folder, {WORKERS} workers": lambda out: process_folder(top / "speed-in", out, kept, workers=WORKERS),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    session.run(arrays[0])
    for number in range(rounds):
        for index, (way, run) in enumerate(ways.items()):
            say(f"speed: round {number + 1} of {rounds}, {way}")
            began = time.perf_counter()
            run(top / f"speed-{number}-{index}")
            seconds[way].append(time.perf_counter() - began)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    plain, bare = medians["loop over srgan.upscale"], medians["bare session"]
    rows = [
        {
            "part": "speed",
            "way": way,
            "pictures": count,
            "seconds": median,
            "samples": seconds[way],
            "megapixels_per_second": megapixels / median,
            "over_loop": plain / median,
            "of_bare_session": bare / median,
        }
        for way, median in medians.items()
    ]
    headings = ("way", "s", "output MP/s", "times the loop", "of the bare session")
    print(table(headings, map(_cells, rows)))
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    figures = (f"{row['seconds']:.2f}", f"{row['megapixels_per_second']:.1f}", f"{row['over_loop']:.2f}")
    return [row["way"], *figures, f"{row['of_bare_session']:.0%}"]


if __name__ == "__main__":
    main()
