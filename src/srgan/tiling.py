"""Cutting a picture into overlapping tiles that join without a seam, and how large the tiles may be.

All sizes are in input pixels. A tile is a window that the network sees and a part of the result that is kept. Windows
overlap by twice the network's receptive radius, so that every kept pixel has seen exactly what it would have seen in
the whole picture. Windows at the picture's edge end at that edge: nothing is padded there that is not padded around the
whole picture. All windows along an axis have one length, because engines plan anew for every shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis: the network sees ``start`` to ``stop``, and ``keep_start`` to ``keep_stop`` is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a network asks of its tiles."""

    radius: int = 0
    """Receptive radius."""
    multiple: int = 1
    """Lengths and origins of windows are multiples of this."""
    minimum: int = 1
    """Shortest window."""

    def padded(self, length: int) -> int:
        """``length``, rounded up to what the network takes."""
        return _up(max(length, self.minimum), self.multiple)

    def shortest(self, gain: int = 1) -> int:
        """The shortest window that still keeps ``gain`` pixels when it has neighbours on both sides."""
        return max(self.padded(1), _up(2 * self.radius, self.multiple) + _up(gain, self.multiple))


def spans(length: int, window: int, needs: Needs) -> list[Span]:
    """Cut an axis of ``length`` pixels into windows of at most ``window`` pixels; what is kept covers it exactly once.

    Windows lie within the padded length ``needs.padded(length)``. One window is made when it reaches over that;
    otherwise ``window`` is raised to ``needs.shortest()`` where it is less, and then shortened as far as the same
    number of windows still covers the axis.
    """
    padded = needs.padded(length)
    window = max(window, needs.shortest()) // needs.multiple * needs.multiple
    if window >= padded:
        return [Span(0, padded, 0, length)]
    overlap = _up(2 * needs.radius, needs.multiple)
    count = math.ceil((padded - overlap) / (window - overlap))
    step = _up(math.ceil((padded - overlap) / count), needs.multiple)
    window = max(step + overlap, needs.padded(1))
    starts = [min(i * step, padded - window) for i in range(count)]
    # The cut lies in the middle of what two neighbours share, at least a radius from either window's end.
    cuts = [0, *((start + previous + window) // 2 for previous, start in pairwise(starts)), length]
    return [Span(start, start + window, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]


def window_shape(
    height: int, width: int, needs: Needs, *, pixels: int, rows: int | None = None, shortest: int | None = None
) -> tuple[int, int]:
    """Height and width of the largest windows of at most ``pixels`` pixels, and at most ``rows`` rows, for a picture.

    The whole picture where that fits, else nearly square windows, which waste least on overlap. Neither side gets less
    than ``shortest`` (``needs.shortest()`` when None), even where that exceeds ``pixels`` or ``rows``.
    """
    high, wide = needs.padded(height), needs.padded(width)
    shortest = needs.shortest() if shortest is None else _up(shortest, needs.multiple)
    most = high if rows is None else min(high, rows)
    side = math.isqrt(max(1, pixels))
    rows_used = min(most, max(side, pixels // wide))
    rows_used = _within(rows_used, shortest, high, needs.multiple)
    return rows_used, _within(pixels // rows_used, shortest, wide, needs.multiple)


class Rows:
    """The rows of a picture, which arrive from top to bottom in strips, of which only a moving window is kept."""

    def __init__(self, strips: Iterable[Pixels]) -> None:
        self._strips = iter(strips)
        self._held: list[tuple[int, Pixels]] = []
        self._end = 0
        self._top = 0

    def take(self, top: int, bottom: int) -> Pixels:
        """Rows ``top`` to ``bottom``, perhaps as a view.

        Raises ValueError when ``top`` is less than in the call before: rows above it are forgotten.
        """
        if top < self._top:
            raise ValueError(f"row {top} was given up for row {self._top}")
        self._top = top
        self._held = [(start, strip) for start, strip in self._held if start + len(strip) > top]
        while self._end < bottom:
            strip = next(self._strips)
            if self._end + len(strip) > top:
                self._held.append((self._end, strip))
            self._end += len(strip)
        parts = [strip[max(0, top - start) : bottom - start] for start, strip in self._held if start < bottom]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pad_to(pixels: Pixels, height: int, width: int) -> Pixels:
    """``pixels`` (H x W x C), continued down and to the right to ``height`` x ``width`` by its last row and column."""
    down, right = height - pixels.shape[0], width - pixels.shape[1]
    if not down and not right:
        return pixels
    return np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="edge")


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _within(length: int, low: int, high: int, multiple: int) -> int:
    return min(high, max(low, length // multiple * multiple))
