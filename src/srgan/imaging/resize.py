"""Resampling of pixel arrays, exact and in bounded memory.

Every kernel but `nearest` is separable, works on half-pixel centres and is stretched when shrinking, so that it also
removes what the smaller picture cannot show. Bicubic is what MATLAB's imresize does (Keys, a = -0.5, borders mirrored
with the edge pixel repeated): the convention of super-resolution benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["bicubic", "lanczos", "bilinear", "nearest", "box"]
Float = TypeVar("Float", np.float32, np.float64)

_ROWS = 128
"""Output rows made at a time: bounds the temporary memory to this many rows of the input's width."""
_TAP_BLOCK = 16
"""Output positions that share one dense matrix of weights."""


def resize(pixels: NDArray[Float], height: int, width: int, kernel: Kernel = "bicubic") -> NDArray[Float]:
    """Resample ``pixels``, H x W x C of any C, to ``height`` x ``width`` x C in its own precision, float32 or float64.

    Values may leave the range of the input by the kernel's overshoot (bicubic, lanczos); nothing is clipped. ``box``
    averages over the exact area of each output pixel. Raises ValueError for an unknown kernel, an empty array or a size
    below 1.
    """
    if pixels.ndim != 3 or not pixels.size:
        raise ValueError(f"pixels must be H x W x C and not empty, not {pixels.shape}")
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {width} x {height} pixels cannot be made")
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    if kernel == "nearest":
        rows = _nearest(pixels.shape[0], height)
        return np.ascontiguousarray(pixels[rows[:, None], _nearest(pixels.shape[1], width)])
    if kernel not in _KERNELS and kernel != "box":
        raise ValueError(f"no kernel {kernel!r}: choose one of bicubic, lanczos, bilinear, nearest, box")
    channels = pixels.shape[2]
    vertical = _weights(pixels.shape[0], height, kernel, _TAP_BLOCK)
    horizontal = [
        _Weights(w.out_start * channels, w.in_start * channels, np.kron(w.matrix, np.eye(channels)).T)
        for w in _weights(pixels.shape[1], width, kernel, _TAP_BLOCK)
    ]
    vertical = [w.cast(pixels.dtype) for w in vertical]
    horizontal = [w.cast(pixels.dtype) for w in horizontal]
    return _apply(pixels, height, width, vertical, horizontal)


def _apply(
    pixels: NDArray[Float], height: int, width: int, vertical: list[_Weights], horizontal: list[_Weights]
) -> NDArray[Float]:
    """Rows first, then columns, strip by strip; both are products of small dense matrices, which BLAS does fast."""
    rows_in, columns_in, channels = pixels.shape
    source = np.ascontiguousarray(pixels).reshape(rows_in, columns_in * channels)
    out = np.empty((height, width * channels), pixels.dtype)
    strip = np.empty((min(_ROWS, height), columns_in * channels), pixels.dtype)
    per_strip = _ROWS // _TAP_BLOCK
    for first in range(0, len(vertical), per_strip):
        blocks = vertical[first : first + per_strip]
        start = blocks[0].out_start
        for w in blocks:
            count, taps = w.matrix.shape
            target = strip[w.out_start - start : w.out_start - start + count]
            np.matmul(w.matrix, source[w.in_start : w.in_start + taps], out=target)
        stop = blocks[-1].out_start + len(blocks[-1].matrix)
        part = strip[: stop - start]
        for w in horizontal:
            taps, count = w.matrix.shape
            target = out[start:stop, w.out_start : w.out_start + count]
            np.matmul(part[:, w.in_start : w.in_start + taps], w.matrix, out=target)
    return out.reshape(height, width, channels)


class _Weights:
    """The weights of a run of output positions over the input positions they touch."""

    __slots__ = ("in_start", "matrix", "out_start")

    def __init__(self, out_start: int, in_start: int, matrix: NDArray[Any]) -> None:
        self.out_start = out_start
        self.in_start = in_start
        self.matrix = matrix

    def cast(self, dtype: np.dtype[np.float32] | np.dtype[np.float64]) -> _Weights:
        return _Weights(self.out_start, self.in_start, np.ascontiguousarray(self.matrix, dtype))


def _weights(size_in: int, size_out: int, kernel: Kernel, block: int) -> list[_Weights]:
    """Weights along one axis, ``block`` output positions at a time."""
    positions, values = _taps(size_in, size_out, kernel)
    result = []
    for start in range(0, size_out, block):
        index = positions[start : start + block]
        low, high = int(index.min()), int(index.max())
        matrix = np.zeros((len(index), high - low + 1))
        np.add.at(matrix, (np.arange(len(index))[:, None], index - low), values[start : start + block])
        result.append(_Weights(start, low, matrix))
    return result


def _taps(size_in: int, size_out: int, kernel: Kernel) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Input positions and their weights for each output position, both of shape size_out x taps; weights sum to 1."""
    step = size_in / size_out
    stretch = max(1.0, step)
    centre = (np.arange(size_out) + 0.5) * step - 0.5
    if kernel == "box":
        radius = step / 2
        first = np.floor(centre - radius + 0.5).astype(np.int64)
        index = first[:, None] + np.arange(int(np.ceil(step)) + 1)
        left, right = (centre - radius)[:, None], (centre + radius)[:, None]
        values = np.minimum(index + 0.5, right) - np.maximum(index - 0.5, left)
        values = np.maximum(values, 0.0)
    else:
        radius, function = _KERNELS[kernel]
        radius *= stretch
        first = np.floor(centre - radius).astype(np.int64)
        index = first[:, None] + np.arange(int(np.ceil(2 * radius)) + 2)
        values = function((centre[:, None] - index) / stretch)
    values /= values.sum(axis=1, keepdims=True)
    used = values.any(axis=0)
    return _mirror(index[:, used], size_in), values[:, used]


def _mirror(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Positions outside 0..size-1 reflected at the edges, the edge pixel repeated: ...1 0 | 0 1 2... ."""
    index = np.mod(index, 2 * size)
    return np.minimum(index, 2 * size - 1 - index)


def _nearest(size_in: int, size_out: int) -> NDArray[np.int64]:
    """The input position whose area holds the centre of each output position, in exact integer arithmetic."""
    return (2 * np.arange(size_out, dtype=np.int64) + 1) * size_in // (2 * size_out)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution with a = -0.5."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windowed sinc over three lobes."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - np.abs(x), 0.0)


_KERNELS: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "bicubic": (2.0, _cubic),
    "lanczos": (3.0, _lanczos),
    "bilinear": (1.0, _triangle),
}
