"""How much memory upscaling takes, for small and for huge pictures, without and with a limit.

    python benchmarks/memory.py                  0.25 to 64 megapixels with `turbo`: about a quarter of an hour
    python benchmarks/memory.py --model fast --megapixels 16 --limits 256 512

Every row is a fresh process, which holds the input picture as float32, makes the output, and reports the most memory it
ever held. "strips" takes the output strip by strip and throws each away: what is left beside the input is the working
memory of the tiles. "whole" is `Upscaler.upscale`, which holds the output too; a row that would not fit is left out.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from reporting import options, print_header, say, undisturbed, write_json
from stand_ins import SCALE, shipped_or_random

from srgan.benchmark import sample_picture, table
from srgan.hardware import available_memory, peak_memory, reset_peak
from srgan.imaging import Picture
from srgan.upscaler import Upscaler

MEGABYTE = 1e6
BYTES_PER_PIXEL = 3 * 4
BLOCK = 512
MODES = ("strips", "whole")


@undisturbed()
def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--model", default="turbo")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 4, 16, 64])
    parser.add_argument("--limits", type=int, nargs="*", default=[256, 512, 1024], help="memory_limit in megabytes")
    parser.add_argument(
        "--limit-at", type=float, default=16, metavar="MEGAPIXELS", help="input of the rows with a limit"
    )
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(_measure(**json.loads(given.one))))
        return
    if given.quick:
        given.megapixels, given.limits, given.limit_at = [0.004, 0.016], [64], 0.016
    header = print_header("each row one fresh process, run once; the input is in memory before the measurement starts")
    rows = []
    with tempfile.TemporaryDirectory(prefix="srgan-memory-") as name:
        bundle, random = shipped_or_random(given.model, Path(name))
        cases = [(size, mode, None) for size in given.megapixels for mode in MODES]
        cases += [(given.limit_at, "strips", limit) for limit in given.limits]
        for size, mode, limit in cases:
            if mode == "whole" and _bytes_whole(size) > 0.8 * (available_memory() or math.inf):
                rows.append(
                    {"megapixels": size, "mode": mode, "limit_mb": limit, "skipped": "would not fit into memory"}
                )
                continue
            say(f"memory: {size:g} megapixels, {mode}" + (f", limit {limit} MB" if limit else ""))
            case = {"model": str(bundle.path), "megapixels": size, "mode": mode, "limit_mb": limit}
            rows.append(_in_fresh_process(case | {"threads": given.threads}))
    note = f"{bundle.info.name}{' with random weights' if random else ''}, x{SCALE}"
    headings = ("input MP", "output MP", "taken", "limit MB", "before MB", "peak MB", "working MB", "s", "output MP/s")
    print(table(headings, map(_cells, rows)))
    print()
    print(f"{note}. Before: the process with libraries, the open model and the input picture. Working: peak less that.")
    write_json(given.json, header | {"model": note, "rows": rows})


def _bytes_whole(megapixels: float) -> float:
    """About what a process needs for a picture of that size and its enlargement."""
    return megapixels * 1e6 * BYTES_PER_PIXEL * (1 + SCALE**2) + 1e9


def _in_fresh_process(case: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--one", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case} ended with {done.returncode}: {done.stderr[-800:]}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return case | measured


def _measure(model: str, megapixels: float, mode: str, limit_mb: int | None, threads: int) -> dict[str, Any]:
    """In the fresh process: one row's figures."""
    side = max(1, round(math.sqrt(megapixels * 1e6)))
    limit = None if limit_mb is None else int(limit_mb * MEGABYTE)
    upscaler = Upscaler(model, device="cpu", threads=threads, memory_limit=limit)
    picture = Picture(pixels=_picture(side))
    counted_anew = reset_peak()
    before = peak_memory()
    start = time.perf_counter()
    if mode == "strips":
        rows = sum(len(strip) for strip in upscaler.strips(picture.pixels))
    else:
        rows = upscaler.upscale(picture).height
    seconds = time.perf_counter() - start
    peak = peak_memory()
    assert rows == SCALE * side
    return {
        "input_pixels": side * side,
        "before_bytes": before if counted_anew else None,
        "peak_bytes": peak,
        "seconds": seconds,
    }


def _picture(side: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A large picture of many small ones: what is in it does not matter, how large it is does."""
    block = sample_picture(BLOCK, BLOCK).pixels
    pixels = np.empty((side, side, 3), np.float32)
    for top in range(0, side, BLOCK):
        for left in range(0, side, BLOCK):
            room = pixels[top : top + BLOCK, left : left + BLOCK]
            room[...] = block[: room.shape[0], : room.shape[1]]
    return pixels


def _cells(row: dict[str, Any]) -> list[str]:
    limit = "-" if row["limit_mb"] is None else str(row["limit_mb"])
    output = row["megapixels"] * SCALE**2
    start = [f"{row['megapixels']:g}", f"{output:g}", row["mode"], limit]
    if "skipped" in row:
        return [*start, row["skipped"], *"----"]
    before, peak = row["before_bytes"], row["peak_bytes"]
    working = None if before is None or peak is None else peak - before
    megabytes = ["-" if value is None else f"{value / MEGABYTE:.0f}" for value in (before, peak, working)]
    return [*start, *megabytes, f"{row['seconds']:.1f}", f"{SCALE**2 * row['input_pixels'] / row['seconds'] / 1e6:.1f}"]


if __name__ == "__main__":
    main()
