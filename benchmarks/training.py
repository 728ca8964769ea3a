"""What a training step costs: with a discriminator and without, in two sizes, and with batches made beside it.

    python benchmarks/training.py                     all parts: some minutes on a quiet machine
    python benchmarks/training.py --only step --folder PHOTOGRAPHS

Every row is a fresh process, which trains as `srgan train` does, on one thread, and is ended after some steps. Seconds
are those of the processor, which other work on the machine hardly changes; what is divided are rows of one run.
"loading" goes by the clock too.

"step": the recipes `pretrain` and `adversarial` for the same generator, pictures and batch; seconds per step of the
generator, with the discriminator's share of `updates`. The GANs of "cheap" take turns 2:1 and have no artefact term.

"share": what `loss.perceptual_share` saves of a step of "patch 16, cheap". The shares take turns within one run, so
that whatever else the machine does falls on all of them; ratios are medians over the rounds.

"sizes": `configs/config.yaml` against `configs/config_scaled.yaml` as they are, but for pictures and the start. Memory
is the most that the process ever held.

"loading": `fast` with the degradation second-order, batches made in the step (`hardware.loaders = 0`) and by a thread
beside it (1), on one core, on all with one thread for the network, and on all with a thread each. The rows of a pair
take turns, and of each the quickest counts. The clock is to be believed on a quiet machine only. "own" is the
processor's time of the step's thread alone, without what is made beside it. "at best" follows from it: how many times
faster steps are where the other thread has a core to itself and nothing else slows them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reporting import ROOT, options, print_header, say, undisturbed, write_json

from srgan.benchmark import sample_picture, table
from srgan.hardware import peak_memory
from srgan.imaging import write_picture

PARTS = ("step", "share", "sizes", "loading")
GENERATORS = {"fast": 12, "quality": 4}
"""Networks with the size of a batch."""
FULL = {"loss.artefact": 1.0, "updates.generator": 1}
CHEAP = {"loss.artefact": 0.0, "updates.generator": 2}
RIVALS: dict[str, dict[str, Any]] = {
    "none": {"recipe": "pretrain"},
    "patch 32": {"discriminator.name": "patch", "discriminator.options": {"width": 32}, **FULL},
    "patch 16": {"discriminator.name": "patch", "discriminator.options": {"width": 16}, **FULL},
    "patch 16, cheap": {"discriminator.name": "patch", "discriminator.options": {"width": 16}, **CHEAP},
    "unet 32": {"discriminator.name": "unet", "discriminator.options": {"width": 32}, **FULL},
    "unet 16, cheap": {"discriminator.name": "unet", "discriminator.options": {"width": 16}, **CHEAP},
}
SHARES = (1.0, 0.5, 0.25)
AT_MOST = 2.5
"""Target: an adversarial step against one of pretraining."""
PER_HOUR = 1000
"""Target: steps an hour of the scaled-down GAN on two cores."""
QUICK = {"data.batch": 1, "data.patch": 8, "network.options": {"width": 16, "blocks": 1}}

WORN = {"network.name": "fast", "data.batch": 16, "recipe": "pretrain", "data.degradation.kind": "second-order"}
TURNS = 3
"""Of each row of the part loading."""

QUICK_SIZES = {"data.batch": 1, "data.patch": 16, "network.options": {"blocks": 2}}


class Enough(Exception):
    """Ends a run whose steps have been counted."""


@undisturbed()
def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--folder", type=Path, help="training pictures; without it they are made up")
    parser.add_argument("--steps", type=int, default=20, help="that are timed in a row of the parts step and loading")
    parser.add_argument("--size-steps", type=int, default=2, help="that are timed in a row of the part sizes")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(_measure(**json.loads(given.one))))
        return
    if given.quick:
        given.steps = given.size_steps = 2
    header = print_header("one thread but for loading; each row fresh processes, the first steps not counted")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="srgan-training-") as name:
        folder = given.folder or _pictures(Path(name) / "pictures")
        quick = QUICK if given.quick else {}
        if given.only in (None, "step"):
            rows += _steps(folder, given.steps, quick)
            print()
        if given.only in (None, "share"):
            rows += _shares(folder, given.steps, quick)
            print()
        if given.only in (None, "sizes"):
            rows += _sizes(folder, given.size_steps, quick)
            print()
        if given.only in (None, "loading"):
            rows += _loading(folder, given.steps, quick)
            print()
    print(f"Pictures: {'made up' if given.folder is None else given.folder.name}.")
    write_json(given.json, header | {"rows": rows})


def _pictures(folder: Path) -> Path:
    """Three made-up pictures of 480 x 480."""
    folder.mkdir()
    for seed in range(3):
        write_picture(sample_picture(480, 480, seed=seed), folder / f"{seed}.png")
    return folder


def _steps(folder: Path, steps: int, quick: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for generator, batch in list(GENERATORS.items())[: 1 if quick else None]:
        alone = None
        for rival, settings in list(RIVALS.items())[:: 4 if quick else 1]:  # 4: none, and one discriminator
            say(f"step: {generator}, discriminator {rival}")
            case = {"network.name": generator, "data.batch": batch, "recipe": "adversarial", **settings, **quick}
            row = _in_fresh_process("", folder, steps, case)
            seconds = row["cpu_seconds_per_step"]
            alone = alone or seconds
            ratio = seconds / alone
            met = None if rival == "none" else ratio <= AT_MOST
            rows.append(
                {"part": "step", "generator": generator, "discriminator": rival, **row}
                | {"over_pretrain": ratio, "at_most": AT_MOST, "met": met}
            )
    headings = ("generator", "batch", "discriminator", "ms a step", "times pretrain", f"<= {AT_MOST}")
    print(table(headings, map(_step_cells, rows)))
    return rows


def _step_cells(row: dict[str, Any]) -> list[str]:
    met = {None: "-", True: "yes", False: "no"}[row["met"]]
    figures = (f"{1000 * row['cpu_seconds_per_step']:.0f}", f"{row['over_pretrain']:.2f}")
    return [row["generator"], str(row["batch"]), row["discriminator"], *figures, met]


def _shares(folder: Path, steps: int, quick: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for generator, batch in list(GENERATORS.items())[: 1 if quick else None]:
        say(f"share: {generator}")
        case = {"network.name": generator, "data.batch": batch, "recipe": "adversarial", **RIVALS["patch 16, cheap"]}
        row = _in_fresh_process("", folder, steps * len(SHARES), {**case, **quick}, shares=SHARES)
        cycle = CHEAP["updates.generator"]
        turns = [sum(row["seconds"][first : first + cycle]) for first in range(0, len(row["seconds"]), cycle)]
        whole = turns[:: len(SHARES)]
        for number, share in enumerate(SHARES):
            own = turns[number :: len(SHARES)]
            rows.append(
                {"part": "share", "generator": generator, "batch": row["batch"], "share": share}
                | {"cpu_seconds_per_step": statistics.median(own) / cycle, "rounds": len(own)}
                | {"of_whole": statistics.median(a / b for a, b in zip(own, whole, strict=True))}
            )
    print(table(("generator", "batch", "share", "ms a step", "of that with 1"), map(_share_cells, rows)))
    return rows


def _share_cells(row: dict[str, Any]) -> list[str]:
    figures = (f"{1000 * row['cpu_seconds_per_step']:.0f}", f"{row['of_whole']:.2f}")
    return [row["generator"], str(row["batch"]), f"{row['share']:g}", *figures]


def _sizes(folder: Path, steps: int, quick: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for file in ("config.yaml", "config_scaled.yaml"):
        say(f"sizes: {file}")
        row = _in_fresh_process(file, folder, steps, QUICK_SIZES if quick else {})
        rows.append({"part": "sizes", "file": file, "per_hour": 3600 / row["cpu_seconds_per_step"], **row})
    headings = ("file", "pixels", "batch", "s a step", "steps an hour", "peak MB")
    print(table(headings, map(_size_cells, rows)))
    full, scaled = rows
    print()
    time_ratio = full["cpu_seconds_per_step"] / scaled["cpu_seconds_per_step"]
    memory_ratio = full["peak_bytes"] / scaled["peak_bytes"] if full["peak_bytes"] else None
    scaled |= {"times_faster": time_ratio, "of_memory": memory_ratio and 1 / memory_ratio}
    scaled |= {"at_least_per_hour": PER_HOUR, "met": scaled["per_hour"] >= PER_HOUR}
    print(f"- a step of full scale / one of scaled down: {time_ratio:.1f}")
    print(f"- memory of full scale / that of scaled down: {memory_ratio or 0:.1f}")
    verdict = "yes" if scaled["met"] else "no"
    print(f"- scaled down, steps an hour on one core, >= {PER_HOUR} on two: {scaled['per_hour']:.0f}, {verdict}")
    return rows


def _size_cells(row: dict[str, Any]) -> list[str]:
    peak = "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.0f}"
    pixels = f"{row['patch']} to {row['patch'] * row['scale']}"
    figures = (f"{row['cpu_seconds_per_step']:.2f}", f"{row['per_hour']:.0f}", peak)
    return [row["file"], pixels, str(row["batch"]), *figures]


def _loading(folder: Path, steps: int, quick: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    places = {(count, threads) for count in (1, cores) for threads in (1, cores) if threads <= count}
    for count, threads in [(cores, 1)] if quick else sorted(places):
        if count < cores and not hasattr(os, "sched_setaffinity"):
            continue
        found: dict[int, list[dict[str, Any]]] = {0: [], 1: []}
        for turn in range(1 if quick else TURNS):
            for loaders in found:
                say(f"loading: {count} cores, {threads} threads, {loaders} loaders, turn {turn + 1}")
                case = {**WORN, "hardware.threads": threads, "hardware.loaders": loaders, **quick}
                found[loaders].append(_in_fresh_process("", folder, steps, case, cores=count))
        row: dict[str, Any] = {"part": "loading", "cores": count, "threads": threads}
        for key in ("seconds_per_step", "own_seconds_per_step"):
            within, beside = (min(one[key] for one in measured) for measured in found.values())
            row |= {f"{key}_within": within, f"{key}_beside": beside}
        row["times_faster"] = row["seconds_per_step_within"] / row["seconds_per_step_beside"]
        row["at_best"] = within / max(beside, within - beside) if count > 1 else 1.0
        rows.append(row)
    headings = ("cores", "threads", "ms in it", "beside it", "times faster", "own ms in it", "beside it", "at best")
    print(table(headings, map(_loading_cells, rows)))
    return rows


def _loading_cells(row: dict[str, Any]) -> list[str]:
    cells = [str(row["cores"]), str(row["threads"])]
    for key, ratio in (("seconds_per_step", "times_faster"), ("own_seconds_per_step", "at_best")):
        cells += [f"{1000 * row[f'{key}_{where}']:.0f}" for where in ("within", "beside")] + [f"{row[ratio]:.2f}"]
    return cells


def _in_fresh_process(
    file: str,
    folder: Path,
    steps: int,
    changes: dict[str, Any],
    *,
    cores: int | None = None,
    shares: Sequence[float] = (),
) -> dict[str, Any]:
    given = {"file": file, "folder": str(folder), "steps": steps, "changes": changes, "cores": cores, "shares": shares}
    case = json.dumps(given)
    command = [sys.executable, str(Path(__file__).resolve()), "--one", case]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case} ended with {done.returncode}: {done.stderr[-800:]}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _measure(
    file: str, folder: str, steps: int, changes: dict[str, Any], cores: int | None, shares: Sequence[float]
) -> dict[str, Any]:
    """In the fresh process: train for some steps, on so many cores, and look at the clocks after each.

    ``shares`` of the perceptual loss take turns.
    """
    if cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
    from srgan.config import load_config
    from srgan.training import TrainJob, train
    from srgan.training.config import TrainConfig
    from srgan.training.features import PerceptualLoss
    from srgan.training.optimisers import WeightAverage

    with tempfile.TemporaryDirectory(prefix="srgan-training-run-") as runs:
        always = {
            "data.folders": [folder],
            "hardware.threads": 1,
            "output.runs": runs,
            "output.tensorboard": False,
        }
        alone = changes.get("recipe") == "pretrain"
        if not alone:
            always["discriminator.head_start"] = 0  # it counts from the first step on
        config = load_config(
            TrainConfig,
            ROOT / "configs" / file if file else None,
            sets=["network.init_from=", "validation.folder=null"],
            flags={**always, **changes},
        )
        cycle = 1 if alone else config.updates.generator  # whole ones are timed
        turns = cycle * max(1, len(shares))
        warm, timed = max(2, cycle), -(-steps // turns) * turns
        clock: list[tuple[float, ...]] = []
        update = WeightAverage.update

        def counting(self: WeightAverage, *arguments: Any) -> None:
            update(self, *arguments)
            clock.append((time.process_time(), time.perf_counter(), time.thread_time()))
            if len(clock) == warm + timed:
                raise Enough

        look = PerceptualLoss.forward

        def looking(self: PerceptualLoss, *arguments: Any) -> Any:
            if shares:
                self._share = shares[max(0, len(clock) - warm) // cycle % len(shares)]
            return look(self, *arguments)

        PerceptualLoss.forward = looking  # type: ignore[method-assign]
        WeightAverage.update = counting  # type: ignore[method-assign]  # called at the end of every step
        with contextlib.suppress(Enough):
            train(TrainJob(config=config, resume=False))
    by_processor, by_clock, own = ((end - start) / timed for start, end in zip(clock[warm - 1], clock[-1], strict=True))
    return {
        "seconds": [after[0] - before[0] for before, after in itertools.pairwise(clock[warm - 1 :])],
        "cpu_seconds_per_step": by_processor,
        "seconds_per_step": by_clock,
        "own_seconds_per_step": own,
        "peak_bytes": peak_memory(),
        "patch": config.data.patch,
        "scale": config.network.scale,
        "batch": config.data.batch,
    }


if __name__ == "__main__":
    main()
