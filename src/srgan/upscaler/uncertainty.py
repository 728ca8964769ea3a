"""How far the result can be believed: where an ensemble's members disagree, as a heat map and as a figure.

The map goes from black (no disagreement) over purple and orange to pale yellow (`FULL_SCALE` levels of 255 or more),
the same for every picture, so that maps can be compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from srgan.atomic import check_target
from srgan.errors import InvalidConfig
from srgan.imaging import Limits, Picture, blank, check_format, format_of, open_input, write_strips
from srgan.progress import Report, Stop
from srgan.upscaler.files import FileSource, Order
from srgan.upscaler.opener import Opener
from srgan.upscaler.pipeline import Pixels
from srgan.upscaler.sizes import Size

FULL_SCALE = 32.0
"""Disagreement at the bright end of the map, in levels of 255."""
THRESHOLD = 8.0
"""Disagreement that counts as much, in levels of 255: people see it."""

_INFERNO = "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4"
"""Ten colours of matplotlib's inferno (CC0), evenly spaced: lightness grows evenly from each to the next."""


@dataclass(kw_only=True)
class Uncertainty:
    """The disagreement in a whole picture; what is transparent counts as much as it can be seen."""

    _sum: float = field(default=0.0, repr=False)
    _much: float = field(default=0.0, repr=False)
    _seen: float = field(default=0.0, repr=False)

    @property
    def mean(self) -> float:
        """Mean disagreement in levels of 255."""
        return self._sum / self._seen if self._seen else 0.0

    @property
    def much(self) -> float:
        """Share of the pixels, 0 to 1, that disagree by more than `THRESHOLD`."""
        return self._much / self._seen if self._seen else 0.0

    def add(self, levels: Pixels, alpha: Pixels | None) -> None:
        """Count in some rows: H x W, in levels of 255."""
        weight = np.ones_like(levels) if alpha is None else alpha
        self._sum += float(np.sum(levels * weight, dtype=np.float64))
        self._much += float(np.sum(weight[levels > THRESHOLD], dtype=np.float64))
        self._seen += float(np.sum(weight, dtype=np.float64))


def write_uncertainty(
    maps: Opener,
    source: FileSource,
    target: str | os.PathLike[str],
    *,
    limits: Limits,
    overwrite: bool = False,
    report: Report | None = None,
    stop: Stop | None = None,
    **size: Unpack[Size],
) -> Uncertainty:
    """Write the heat map of the enlarged picture in ``source`` to ``target``.

    ``maps`` gives Upscalers with ``disagreement``; ``size`` is as in `Upscaler.upscale`, and the map as large as the
    result. The members run for it alone. What is transparent is dark. Raises `InvalidConfig` for animations and several
    pages, `CannotWrite` for the input itself as ``target``, and what `enlarge_file` raises.
    """
    kind = format_of(target)
    found = Uncertainty()
    with open_input(source, limits=limits) as file:
        check_target(target, overwrite=overwrite, source=file.path)
        if file.count > 1:
            raise InvalidConfig(f"{file.name}: has {file.count} pictures; an uncertainty map needs a single picture")
        begun = Order(maps, report=report, stop=stop, size=size).begin(next(file.scans()))
        height, width = begun.after
        check_format(kind, width, height, 3)
        like = Picture(pixels=blank(height, width, 3))
        coloured = _coloured(begun.strips(), found)
        write_strips(coloured, (height, width), target, like=like, format=kind, overwrite=overwrite)
    return found


def _coloured(strips: Iterator[Pixels], found: Uncertainty) -> Iterator[Pixels]:
    for strip in strips:
        alpha = strip[..., -1] if strip.shape[2] in (2, 4) else None
        levels = strip[..., 0] * np.float32(255)
        found.add(levels, alpha)
        yield heat(levels if alpha is None else levels * alpha)


def heat(levels: Pixels) -> Pixels:
    """The colours, H x W x 3 in [0, 1], of ``levels`` of disagreement, H x W, in levels of 255."""
    table = _table()
    index = np.clip(levels * np.float32((len(table) - 1) / FULL_SCALE) + np.float32(0.5), 0, len(table) - 1)
    colours: Pixels = table[index.astype(np.intp)]
    return colours


def _table() -> NDArray[np.float32]:
    """256 colours between those of `_INFERNO`."""
    marks = np.array([list(bytes.fromhex(colour)) for colour in _INFERNO.split()]) / 255
    at = np.linspace(0, len(marks) - 1, 256)
    channels = [np.interp(at, np.arange(len(marks)), marks[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=1).astype(np.float32)
