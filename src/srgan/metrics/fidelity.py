"""PSNR and SSIM as the super-resolution literature reports them.

Both take float pictures, H x W x C in [0, 1], C = 1 or 3, and neither rounds nor clips: whoever scores a network rounds
its output to 8 bit first, as a file would. Both work in the units 0..255. The protocol of Set5, Set14, BSD100 and
Urban100 is ``channel="y"`` and ``border`` = scale. Arithmetic is float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.floating[Any]]
Channel = Literal["y", "rgb"]

_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_ROWS = 64
"""Rows of the SSIM map made at a time, so that its dozen float64 planes stay small and in the cache."""


def to_y(pixels: Pixels) -> NDArray[np.float64]:
    """The luma of BT.601 in video range, H x W, 16..235: MATLAB's rgb2ycbcr without its rounding.

    ``pixels`` is H x W x 3, or H x W x 1, which counts as a colour picture with three equal channels, so that a gray
    picture scores the same however it was stored.
    """
    values = pixels.astype(np.float64)
    if values.shape[-1] == 1:
        return np.asarray(values[..., 0] * 219.0 + 16.0)
    return np.asarray(values @ np.array([65.481, 128.553, 24.966]) + 16.0)


def psnr(a: Pixels, b: Pixels, *, border: int = 0, channel: Channel = "y") -> float:
    """Peak signal-to-noise ratio in dB, peak 255; infinite for equal pictures.

    ``border`` pixels on each side do not count. ``rgb`` takes the mean squared error over all channels. Raises
    ValueError when the shapes differ, are no pictures, or nothing is left inside the border.
    """
    x, y = _prepared(a, b, border, channel, 1)
    error = float(np.mean(np.square(x - y)))
    return float("inf") if error == 0 else 10.0 * float(np.log10(255.0**2 / error))


def ssim(a: Pixels, b: Pixels, *, border: int = 0, channel: Channel = "y") -> float:
    """Structural similarity (Wang et al. 2004), at most 1; 1 for equal pictures.

    Gaussian window of 11 x 11 with sigma 1.5, only where it lies inside the picture; K1 = 0.01, K2 = 0.03, range 255.
    ``rgb`` is the mean over the channels. Raises ValueError as `psnr` does; at least 11 x 11 pixels must be left inside
    the border.
    """
    x, y = _prepared(a, b, border, channel, _WINDOW)
    total, count = 0.0, 0
    for c in range(x.shape[2]):
        for values in _ssim_map(x[..., c], y[..., c]):
            total += float(values.sum())
            count += values.size
    return total / count


def _prepared(
    a: Pixels, b: Pixels, border: int, channel: Channel, least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both pictures as H x W x C in 0..255 without their border."""
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] not in (1, 3):
        raise ValueError(f"two pictures of one shape H x W x 1 or 3 are compared, not {a.shape} and {b.shape}")
    if channel not in ("y", "rgb"):
        raise ValueError(f"no channel {channel!r}: choose y or rgb")
    height, width = a.shape[0] - 2 * border, a.shape[1] - 2 * border
    if border < 0 or min(height, width) < least:
        raise ValueError(f"{a.shape[1]} x {a.shape[0]} pixels are too few for a border of {border}")
    inside = np.s_[border : border + height, border : border + width]
    if channel == "y":
        return to_y(a[inside])[..., None], to_y(b[inside])[..., None]
    return a[inside].astype(np.float64) * 255.0, b[inside].astype(np.float64) * 255.0


def _ssim_map(x: NDArray[np.float64], y: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """The map of two H x W planes in strips of rows."""
    for top in range(0, len(x) - _WINDOW + 1, _ROWS):
        rows = np.s_[top : top + _ROWS + _WINDOW - 1]
        p, q = x[rows], y[rows]
        mean_p, mean_q = _blurred(p), _blurred(q)
        squares = mean_p * mean_p + mean_q * mean_q
        product = mean_p * mean_q
        variances = _blurred(p * p + q * q) - squares
        covariance = _blurred(p * q) - product
        yield (2 * product + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))


def _blurred(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """``plane`` under the Gaussian window, only where the window lies inside it."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    height, width = (size - _WINDOW + 1 for size in plane.shape)
    down = sum(float(w) * plane[k : k + height] for k, w in enumerate(weights))
    return np.asarray(sum(float(w) * np.asarray(down)[:, k : k + width] for k, w in enumerate(weights)))
