"""A margin around a picture that comes in strips, for networks that shift the colours at a border."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


def continued(strips: Iterator[Pixels], margin: int) -> Iterator[Pixels]:
    """``strips`` of a picture, H x W x C, with its outermost pixels repeated ``margin`` times on every side."""
    if not margin:
        yield from strips
        return
    last = None
    for strip in strips:
        if last is None:
            yield np.pad(strip[:1], ((margin - 1, 0), (margin, margin), (0, 0)), mode="edge")
        yield np.pad(strip, ((0, 0), (margin, margin), (0, 0)), mode="edge")
        last = strip[-1:].copy()
    assert last is not None
    yield np.pad(last, ((0, margin - 1), (margin, margin), (0, 0)), mode="edge")


def inside(strips: Iterator[Pixels], margin: int, height: int) -> Iterator[Pixels]:
    """``strips`` without ``margin`` pixels on every side, which leaves ``height`` rows."""
    if not margin:
        yield from strips
        return
    row = -margin
    for strip in strips:
        first, last = max(0, -row), min(len(strip), height - row)
        row += len(strip)
        if first < last:
            yield strip[first:last, margin:-margin]
