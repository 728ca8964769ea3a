"""How long srgan takes to start: the import, the help, and a whole cold run on a small picture.

    python benchmarks/startup.py

Every figure is a fresh process, from start to end, files in the system's cache. The processes take turns, round by
round, and what comes on top of a bare Python is taken round by round.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from peers import Sample, timed_process
from reporting import options, print_header, say, undisturbed, write_json
from stand_ins import shipped_or_random

from srgan.benchmark import milliseconds, sample_picture, summarise, table
from srgan.imaging import encode_picture

SIZE = 64
TARGETS = {"import srgan": ("over a bare Python", 0.060), "srgan upscale": ("whole", 0.700)}
"""Seconds at most, by what is run."""


@undisturbed()
def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warm-ups", type=int, default=5)
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.warm_ups = 2, 0
    header = print_header(
        f"{given.warm_ups} warm-ups; {given.repeats} rounds, in each of which every command starts once. Milliseconds:"
        " median (10th-90th percentile)."
    )
    with tempfile.TemporaryDirectory(prefix="srgan-startup-") as name:
        commands, note = _commands(given.model, Path(name))
        samples = _rounds(commands, given.repeats, given.warm_ups)
    rows = [_row(name, found, samples["bare python"]) for name, found in samples.items()]
    print(table(("process", "whole", "CPU", "over a bare Python", "target"), [_cells(row) for row in rows]))
    print()
    print(f"srgan upscale: {SIZE} x {SIZE} to {4 * SIZE} x {4 * SIZE}, PNG to PNG, {note}")
    write_json(given.json, header | {"rows": rows, "note": note})


def _commands(model: str, folder: Path) -> tuple[dict[str, list[str]], str]:
    """The command lines, by what the table calls them; and which model is run."""
    source, target = folder / "small.png", folder / "large.png"
    source.write_bytes(encode_picture(sample_picture(SIZE, SIZE), "PNG"))
    bundle, random = shipped_or_random(model, folder)
    srgan = [sys.executable, "-c", "from srgan.cli import main; main()"]
    commands = {
        "bare python": [sys.executable, "-c", "pass"],
        "import srgan": [sys.executable, "-c", "import srgan"],
        "import numpy": [sys.executable, "-c", "import numpy"],
        "srgan --version": [*srgan, "--version"],
        "srgan --help": [*srgan, "--help"],
        "srgan upscale": [
            *(*srgan, "upscale", str(source), str(target)),
            *("--model", str(bundle.path) if random else model, "--overwrite"),
        ],
    }
    return commands, bundle.info.name + (" with random weights" if random else "")


def _rounds(commands: dict[str, list[str]], repeats: int, warm_ups: int) -> dict[str, list[Sample]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SRGAN_")}
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for done in range(warm_ups + repeats):
        say(f"startup: round {done + 1} of {warm_ups + repeats}")
        for name, command in commands.items():
            sample = timed_process(command, environment)
            if done >= warm_ups:
                samples[name].append(sample)
    return samples


def _row(name: str, found: list[Sample], bare: list[Sample]) -> dict[str, Any]:
    whole = summarise(found)
    over = float(np.median([sample[0] - other[0] for sample, other in zip(found, bare, strict=True)]))
    what, target = TARGETS.get(name, ("", None))
    return {
        "process": name,
        "whole": vars(whole),
        "over_bare_python": over,
        "target": target,
        "target_of": what or None,
        "met": None if target is None else (over if what == "over a bare Python" else whole.median) <= target,
        "text": str(whole),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    target = "-"
    if row["target"] is not None:
        target = f"{row['target_of']} <= {milliseconds(row['target'])}: {'met' if row['met'] else 'MISSED'}"
    return [
        row["process"],
        row["text"],
        milliseconds(row["whole"]["cpu"]),
        milliseconds(row["over_bare_python"]),
        target,
    ]


if __name__ == "__main__":
    main()
