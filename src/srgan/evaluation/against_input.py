"""How an enlargement, made small again, stands to what was enlarged: what a model must not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan.imaging import resize
from srgan.metrics.colour import delta_e_2000, to_lab
from srgan.metrics.fidelity import psnr
from srgan.metrics.lattice import grid

Pixels = NDArray[np.floating[Any]]


def consistency(result: Pixels, small: Pixels) -> float:
    """PSNR in dB (RGB) of ``result``, shrunk by the protocol's bicubic and not rounded, against ``small``.

    Both are H x W x C in [0, 1], with the same channels.
    """
    return psnr(_again(result, small), small.astype(np.float64), channel="rgb")


def colour_shift(result: Pixels, small: Pixels) -> float:
    """Mean CIEDE2000 difference between ``result``, shrunk in the same way, and ``small``; 1 can just be seen."""
    again = _again(result, small)
    pair = [np.broadcast_to(picture, (*picture.shape[:2], 3)) for picture in (again.clip(0, 1), small)]
    return float(delta_e_2000(to_lab(pair[0]), to_lab(pair[1])).mean())


def _again(result: Pixels, small: Pixels) -> NDArray[np.float64]:
    return resize(result.astype(np.float64), *small.shape[:2])


def _grid(result: Pixels, small: Pixels) -> float:
    return grid(result, round(result.shape[0] / small.shape[0]))


JUDGES: dict[str, Callable[[Pixels, Pixels], float]] = {
    "consistency": consistency,
    "colour-shift": colour_shift,
    "grid": _grid,
}
"""What computes the figures of kind ``input`` from a result H x W x C and what was enlarged, h x w x C."""
