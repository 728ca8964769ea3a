"""The unsharp mask that Real-ESRGAN lays over its training pictures before it wears them out."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from srgan.training.degradation.bicubic import mirrored

RADIUS = 25
SIGMA = 8.0
"""That which OpenCV takes for a kernel of 51 pixels: 0.3 * (25 - 1) + 0.8."""
THRESHOLD = 10 / 255
"""Detail fainter than this is noise, and left alone."""


def sharpened(pictures: Tensor, weight: float) -> Tensor:
    """N x 3 x H x W ``pictures`` in [0, 1] with ``weight`` times what a Gaussian blur takes from them added again.

    Only where that is more than `THRESHOLD`, with soft edges between; clipped to [0, 1].
    """
    detail = pictures - _soft(pictures)
    where = _soft((detail.abs() > THRESHOLD).to(pictures))
    sharp = (pictures + weight * detail).clamp(0, 1)
    return where * sharp + (1 - where) * pictures


def _soft(pictures: Tensor) -> Tensor:
    """Blurred, one axis after the other; mirrored at the borders."""
    kernel = _line().to(pictures)
    for axis in (-2, -1):
        wide = pictures.index_select(axis, mirrored(pictures.shape[axis], RADIUS).to(pictures.device))
        shape = (1, 1, -1, 1) if axis == -2 else (1, 1, 1, -1)
        planes = wide.reshape(-1, 1, *wide.shape[-2:])
        blurred = functional.conv2d(planes, kernel.reshape(shape))
        pictures = blurred.reshape(*wide.shape[:2], *blurred.shape[-2:])
    return pictures


@cache
def _line() -> Tensor:
    values = torch.exp(-(torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64) ** 2) / (2 * SIGMA**2))
    return values / values.sum()
