"""How much of a grid an enlargement shows, with the period of its scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan.metrics.fidelity import to_y

SIDE = 64
"""Pixels of the square windows that are looked at, about: a multiple of the scale."""
_NEAR, _FAR = 3, 5
"""Neighbours of a frequency, in steps of 1 / window: beyond the leakage of the window function, short of the next."""
_ROUNDING = 1 / 12
"""Variance of rounding to whole levels: what differs by less is no grid."""


def grid(pixels: NDArray[np.floating[Any]], scale: int) -> float:
    """The energy at the periods of the scale against that at the frequencies around them; about 1 without a grid.

    ``pixels`` is H x W x 1 or 3 in [0, 1], at least `window` (scale) pixels each way. The spectrum of the luma is
    averaged over windows that overlap by half; the figure is the mean over all frequencies (k, m) / scale but zero. A
    network that works at low resolution and shuffles pixels at its end can repeat a pattern in each enlarged pixel,
    which is what this sees and PSNR hardly does. A picture of a regular structure of just that period counts too.
    """
    side = window(scale)
    luma = to_y(pixels) / 219 * 255
    height, width = luma.shape
    if min(height, width) < side:
        raise ValueError(f"a grid is looked for in windows of {side} pixels, not in {width} x {height}")
    shape = np.hanning(side + 1)[:side]
    taper = shape[:, None] * shape
    energy = np.zeros((side, side))
    tops, lefts = range(0, height - side + 1, side // 2), range(0, width - side + 1, side // 2)
    for top in tops:
        for left in lefts:
            part = luma[top : top + side, left : left + side]
            energy += np.square(np.abs(np.fft.fft2((part - part.mean()) * taper)))
    energy = energy / (len(tops) * len(lefts)) + _ROUNDING * np.square(taper).sum()

    offsets = np.arange(-_FAR, _FAR + 1)
    around = np.maximum(np.abs(offsets)[:, None], np.abs(offsets)) >= _NEAR
    step = side // scale
    # The spectrum of a real picture is symmetric: half of the frequencies would say it all, and so do all of them.
    places = [(k * step, m * step) for k in range(scale) for m in range(scale) if k or m]
    ratios = []
    for down, right in places:
        neighbours = energy[np.ix_((down + offsets) % side, (right + offsets) % side)][around]
        ratios.append(energy[down, right] / neighbours.mean())
    return float(np.mean(ratios))


def window(scale: int) -> int:
    """The side of the windows at this scale, in pixels."""
    return max(SIDE // scale, 2 * _FAR - 2) * scale
