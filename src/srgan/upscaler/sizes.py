"""How large the result is, and how many runs of the network lead there."""

from __future__ import annotations

import math
from typing import TypedDict

from srgan.errors import InvalidConfig

ENOUGH = 4
"""What the network has enlarged by this much it does not enlarge again: a second run of the x4 models takes 3 to 43
times as long and changes PSNR by -0.30 to +0.08 dB, up to 16 times (docs/explanation/performance.md)."""
SLACK = 1.2
"""Below that, the resampler may enlarge by this much after the network."""
MAX_SIDE = 1_000_000


class Size(TypedDict, total=False):
    """How large the result shall be: a factor, or lengths in pixels. Nothing means the model's own scale."""

    scale: float | None
    """Factor of both sides, above 0."""
    width: int | None
    """Width; the height follows the picture's shape unless it is given too."""
    height: int | None
    """Height; the width follows the picture's shape unless it is given too."""
    long_side: int | None
    """The longer side; the other follows the picture's shape."""


def output_size(
    size: tuple[int, int],
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    long_side: int | None = None,
    default_scale: float = 4,
) -> tuple[int, int]:
    """Height and width of the result for a picture of ``size`` (height, width); each at least 1, rounded half up.

    Raises `InvalidConfig` when contradictory sizes are asked for, or one that no picture can have.
    """
    if (scale is not None) + (height is not None or width is not None) + (long_side is not None) > 1:
        raise InvalidConfig("Give only one of: scale; width, height or both; long_side")
    for name, side in (("width", width), ("height", height), ("long_side", long_side)):
        if side is not None and not (side == int(side) and 1 <= side <= MAX_SIDE):
            raise InvalidConfig(f"{name} must be a whole number of pixels from 1 to {MAX_SIDE}, not {side!r}")
    high, wide = size
    if long_side is not None:
        height, width = (long_side, None) if high >= wide else (None, long_side)
    if height is not None and width is not None:
        return int(height), int(width)
    if height is not None:
        result = int(height), _rounded(wide * height / high)
    elif width is not None:
        result = _rounded(high * width / wide), int(width)
    else:
        scale = default_scale if scale is None else scale
        if not (math.isfinite(scale) and scale > 0):
            raise InvalidConfig(f"scale must be a number above 0, not {scale}")
        result = _rounded(high * scale), _rounded(wide * scale)
    if max(result) > MAX_SIDE:
        raise InvalidConfig(f"The result would be {result[1]} x {result[0]} pixels; the limit is {MAX_SIDE} per side")
    return result


def needed_scale(size_in: tuple[int, int], size_out: tuple[int, int]) -> float:
    """The factor that the side that grows most grows by."""
    return max(size_out[0] / size_in[0], size_out[1] / size_in[1])


def count_runs(network_scale: int, needed: float) -> int:
    """How often the network is run in a row before the resampler makes the exact size.

    Not at all when the picture does not grow; else as often as it takes to reach ``needed`` up to `SLACK`, or `ENOUGH`.
    A network that does not enlarge (scale 1, a restorer) is run once, whatever size is wanted.
    """
    if network_scale == 1:
        return 1
    if needed <= 1:
        return 0
    runs = 1
    while network_scale**runs < min(needed / SLACK, ENOUGH):
        runs += 1
    return runs


def _rounded(length: float) -> int:
    return max(1, math.floor(length + 0.5))
