"""How long a large picture will take and how much room it needs, told before the work."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from srgan.upscaler.pipeline import Upscaler

WORTH_TELLING = 4_000_000
"""Pixels of a source from which on a forecast is made: measuring takes as long as some 30,000 of them."""
_SIDE = 128


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is to be expected, from a trial on this machine."""

    size: tuple[int, int]
    """Height and width of the result."""
    seconds: float
    """Length of the work; reading and writing go on beside it."""
    file_bytes: int
    """About the size of the file, rather too much, see `srgan.imaging.estimate_bytes`."""
    runs: int = 1
    """How often in a row the network looks at all of it."""

    def __str__(self) -> str:
        height, width = self.size
        minutes = self.seconds / 60
        length = f"{minutes:.0f} minutes" if minutes >= 2 else f"{self.seconds:.0f} seconds"
        runs = f" in {self.runs} runs of the network" if self.runs > 1 else ""
        room = f"at most about {self.file_bytes / 1e6:.0f} MB on the disk"
        return f"{width}x{height} pixels: about {length}{runs}, and {room}"


def forecast(upscaler: Upscaler, before: tuple[int, int], after: tuple[int, int], file_bytes: int) -> Forecast:
    """The forecast for a picture of size ``before`` (height, width) that becomes ``after``.

    Runs the network twice on a small made-up picture and takes the shorter time. Raises what the network raises.
    """
    trial = np.random.default_rng(1).random((_SIDE, _SIDE, 3), np.float32)
    scale = max(after[0] / before[0], after[1] / before[1])
    shortest = float("inf")
    for _ in range(2):
        began = time.perf_counter()
        for _strip in upscaler.strips(trial, scale=scale):
            pass
        shortest = min(shortest, time.perf_counter() - began)
    seconds = shortest * before[0] * before[1] / _SIDE**2
    return Forecast(size=after, seconds=seconds, file_bytes=file_bytes, runs=upscaler.count_runs(before, after))
