"""Which pictures a training file names, in folders and in lists, alone or with low-resolution counterparts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan.errors import InvalidDataset
from srgan.imaging import PICTURE_SUFFIXES, Header, probe_picture, read_picture, to_uint8
from srgan.training.degradation.bicubic import bicubic_down
from srgan.upscaler.alpha import extend_colour

SUFFIXES = PICTURE_SUFFIXES - {".gif"}
"""Names of training pictures. GIF is left out: its 256 colours would teach a network to dither."""


@dataclass(frozen=True)
class Pair:
    """A training picture, and its low-resolution counterpart unless that is to be made of it."""

    high: Path
    low: Path | None = None
    sought: tuple[str, ...] = field(default=(), compare=False)
    """The names, without suffix, by which a counterpart was looked for in vain; `low` is then where it might be."""


def find_pictures(places: Sequence[Path]) -> list[Path]:
    """All pictures of ``places``: those below a folder, sorted, and those on the lines of a list, in its order.

    A list is a text file with a path on each line, relative to the folder that the list is in; empty lines and those
    that begin with # are passed over. Raises `InvalidDataset` for a place that is missing or names no picture.
    """
    return [path for place in places for path in (_listed(place) if place.is_file() else _below(place))]


def find_pairs(places: Sequence[Path], low_places: Sequence[Path], scale: int) -> list[Pair]:
    """All pictures of ``places``, each with its counterpart in the entry of ``low_places`` at the same position.

    Without ``low_places`` there are no counterparts. Two lists go together line by line. In two folders, a counterpart
    has the same path below its folder, or that with another suffix, or with the scale at the end of its name, as in
    0801x4.png and 0801_x4.png; where there is none, `Pair.low` is the first of these, which does not exist. Raises as
    `find_pictures` does, and `InvalidDataset` for two places that do not go together.
    """
    if not low_places:
        return [Pair(path) for path in find_pictures(places)]
    pairs = []
    for place, low_place in zip(places, low_places, strict=True):
        high, low = find_pictures([place]), find_pictures([low_place])
        if place.is_file() != low_place.is_file():
            raise InvalidDataset(f"{low_place}: belongs to {place}, so both must be folders, or both lists")
        if place.is_dir():
            pairs += _matched(place, high, low_place, low, scale)
        elif len(high) != len(low):
            raise InvalidDataset(
                f"{low_place}: names {len(low)} pictures, but {place}, which it goes with, {len(high)}"
            )
        else:
            pairs += [Pair(*paths) for paths in zip(high, low, strict=True)]
    return pairs


def probe_pair(pair: Pair, scale: int) -> tuple[int, int]:
    """Height and width of the high-resolution picture, cut to multiples of ``scale``, as the headers state them.

    A picture that is stored on its side is not turned for it. Raises as `probe_picture` does, and `InvalidDataset` when
    the low-resolution picture has not exactly ``1 / scale`` of the size.
    """
    high = probe_picture(pair.high)
    if pair.sought and pair.low is not None:
        raise InvalidDataset(
            f"{pair.high}: {pair.low.parent} has no counterpart of it: {', '.join(pair.sought)} in any format"
        )
    if pair.low is not None:
        low = probe_picture(pair.low)
        if sorted((high.height, high.width)) != sorted((low.height * scale, low.width * scale)):
            raise _not_a_pair(pair, scale, (high.height, high.width), (low.height, low.width))
    return _cut(high, scale)


def read_pair(pair: Pair, scale: int, hidden: Callable[[Path], None] | None = None) -> tuple[Tensor, Tensor]:
    """The picture, H x W x 3, cut to multiples of ``scale``, and its low-resolution counterpart: uint8.

    What is not there is made by bicubic reduction of the whole. ``hidden`` is told of the picture as by `read_rgb`.
    Raises as that does, and `InvalidDataset` for sizes that do not belong together.
    """
    pixels = read_rgb(pair.high, hidden)
    high_size = (pixels.shape[0], pixels.shape[1])
    height, width = (side // scale * scale for side in high_size)
    high = torch.from_numpy(np.ascontiguousarray(pixels[:height, :width]))
    if pair.low is None:
        return high, bicubic_down(high, scale)
    low = read_rgb(pair.low)
    low_size = (low.shape[0], low.shape[1])
    if high_size != (low_size[0] * scale, low_size[1] * scale):
        raise _not_a_pair(pair, scale, high_size, low_size)
    return high, torch.from_numpy(np.ascontiguousarray(low))


def read_rgb(path: Path, hidden: Callable[[Path], None] | None = None) -> NDArray[np.uint8]:
    """The picture at ``path`` as H x W x 3: gray is repeated, and opacity left out.

    Files have arbitrary colours where they are fully transparent, often black. These are replaced as `Upscaler` does it
    before it enlarges, by those of the visible pixels around, but all of them: patches may lie anywhere. ``hidden`` is
    told of a picture that has such pixels. Raises as `read_picture` does, and `InvalidDataset` where all are.
    """
    picture = read_picture(path)
    pixels = picture.pixels
    if picture.has_alpha:
        clear = pixels[..., -1] == 0
        if clear.all():
            raise InvalidDataset(f"{path}: nothing of it is visible: all its pixels are transparent")
        if clear.any():
            pixels = extend_colour(pixels, max(clear.shape))
            if hidden is not None:
                hidden(path)
        pixels = pixels[..., :-1]
    levels = to_uint8(pixels)
    return levels[..., [0, 0, 0]] if levels.shape[2] == 1 else levels


def _below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InvalidDataset(f"{folder}: no such folder of pictures, and no list of them")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise InvalidDataset(f"{folder}: there are no pictures in this folder")
    return found


def _listed(path: Path) -> list[Path]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InvalidDataset(
            f"{path}: neither a folder nor a list, a text in UTF-8 with a path on each line"
        ) from error
    except OSError as error:
        raise InvalidDataset(f"{path}: cannot be read: {error.strerror or error}") from error
    found = [path.parent / line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InvalidDataset(f"{path}: there are no pictures in this list")
    return found


def _matched(folder: Path, high: Sequence[Path], low_folder: Path, low: Sequence[Path], scale: int) -> list[Pair]:
    """Each of ``high``, below ``folder``, with that of ``low``, below ``low_folder``, which is called like it."""
    exact = {path.relative_to(low_folder): path for path in low}
    plain = {path.with_suffix(""): exact[path] for path in reversed(exact)}
    pairs = []
    for path in high:
        name = path.relative_to(folder)
        stem = name.with_suffix("")
        names = [stem.name, f"{stem.name}x{scale}", f"{stem.name}_x{scale}"]
        found = exact.get(name) or next((plain[key] for key in map(stem.with_name, names) if key in plain), None)
        pairs.append(Pair(path, found) if found else Pair(path, low_folder / name, tuple(names)))
    return pairs


def _cut(header: Header, scale: int) -> tuple[int, int]:
    return header.height // scale * scale, header.width // scale * scale


def _not_a_pair(pair: Pair, scale: int, high: tuple[int, int], low: tuple[int, int]) -> InvalidDataset:
    return InvalidDataset(
        f"{pair.low}: {low[1]}x{low[0]} pixels are not exactly 1/{scale} of the {high[1]}x{high[0]} of {pair.high}"
    )
