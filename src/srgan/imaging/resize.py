"""Resampling of pixel arrays, exact and in bounded memory.

Every kernel but `nearest` is separable, works on half-pixel centres and is stretched when shrinking, so that it also
removes what the smaller picture cannot show. Bicubic is what MATLAB's imresize does (Keys, a = -0.5, borders mirrored
with the edge pixel repeated): the convention of super-resolution benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    _check(height, width, kernel)
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    rows, columns, channels = pixels.shape
    if kernel == "nearest":
        return np.ascontiguousarray(pixels[_nearest(rows, height)[:, None], _nearest(columns, width)])
    out = np.empty((height, width, channels), pixels.dtype)
    vertical, horizontal = _both_axes((rows, columns), (height, width), channels, kernel, pixels.dtype)
    done = 0
    for group in vertical:
        top, bottom = _touched(group)
        done += len(_strip(group, horizontal, pixels[top:bottom], top, out[done:]))
    return out


def resize_strips(
    take: Callable[[int, int], NDArray[np.float32]],
    size: tuple[int, int],
    height: int,
    width: int,
    channels: int,
    kernel: Kernel = "bicubic",
) -> Iterator[NDArray[np.float32]]:
    """`resize` for a picture that need not be in memory as a whole: the same result in strips of rows, top to bottom.

    ``take(top, bottom)`` gives those rows of the picture of ``size`` (height, width), float32 H x W x ``channels``.
    ``top`` is never less than in the call before. Raises as `resize` does.
    """
    _check(height, width, kernel)
    if kernel == "nearest" or size == (height, width):
        rows, columns = _nearest(size[0], height), _nearest(size[1], width)
        for start in range(0, height, _ROWS):
            part = rows[start : start + _ROWS]
            yield take(int(part[0]), int(part[-1]) + 1)[part[:, None] - part[0], columns]
        return
    vertical, horizontal = _both_axes(size, (height, width), channels, kernel, np.dtype(np.float32))
    for group in vertical:
        top, bottom = _touched(group)
        count = sum(len(w.matrix) for w in group)
        yield _strip(group, horizontal, take(top, bottom), top, np.empty((count, width, channels), np.float32))


def _check(height: int, width: int, kernel: str) -> None:
    if height < 1 or width < 1:
        raise ValueError(f"a picture of {width} x {height} pixels cannot be made")
    if kernel not in _KERNELS and kernel not in ("nearest", "box"):
        raise ValueError(f"no kernel {kernel!r}: choose one of bicubic, lanczos, bilinear, nearest, box")


def _both_axes(
    size_in: tuple[int, int], size_out: tuple[int, int], channels: int, kernel: Kernel, dtype: np.dtype[Float]
) -> tuple[list[list[_Weights]], list[_Weights]]:
    """Weights for rows, in groups that make one strip, and for columns with their channels interleaved."""
    vertical = [w.cast(dtype) for w in _weights(size_in[0], size_out[0], kernel, _TAP_BLOCK)]
    horizontal = [
        _Weights(w.out_start * channels, w.in_start * channels, np.kron(w.matrix, np.eye(channels)).T).cast(dtype)
        for w in _weights(size_in[1], size_out[1], kernel, _TAP_BLOCK)
    ]
    per_strip = _ROWS // _TAP_BLOCK
    return [vertical[first : first + per_strip] for first in range(0, len(vertical), per_strip)], horizontal


def _touched(group: list[_Weights]) -> tuple[int, int]:
    """First and last row, exclusive, of the input that a strip is made of."""
    return min(w.in_start for w in group), max(w.in_start + w.matrix.shape[1] for w in group)


def _strip(
    group: list[_Weights], horizontal: list[_Weights], source: NDArray[Float], top: int, out: NDArray[Float]
) -> NDArray[Float]:
    """One strip, made in the first rows of ``out``: rows first, then columns, both as products of small dense matrices,
    which BLAS does fast. ``source`` is the input from row ``top`` on."""
    source = np.ascontiguousarray(source).reshape(len(source), -1)
    start, stop = group[0].out_start, group[-1].out_start + len(group[-1].matrix)
    strip = np.empty((stop - start, source.shape[1]), source.dtype)
    for w in group:
        count, taps = w.matrix.shape
        first = w.in_start - top
        np.matmul(w.matrix, source[first : first + taps], out=strip[w.out_start - start : w.out_start - start + count])
    made = out[: stop - start]
    flat = made.reshape(stop - start, -1)
    for w in horizontal:
        taps, count = w.matrix.shape
        np.matmul(strip[:, w.in_start : w.in_start + taps], w.matrix, out=flat[:, w.out_start : w.out_start + count])
    return made


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
