"""A contact sheet of what a network would be trained on: `srgan train --preview-degradation`."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan.atomic import check_target
from srgan.errors import CannotWrite, InvalidDataset, SrganError
from srgan.imaging import Picture, format_of, from_uint8, write_picture
from srgan.training.config import TrainConfig
from srgan.training.degradation.mixed import Wear, wear
from srgan.training.picture_settings import DataSection
from srgan.training.pictures import Pair, find_pairs, read_pair

ROWS = 6
SAMPLES = 5
"""Samples of the degradation in a row."""
CELL = 256
"""Side of what is shown of a picture, about, in pixels. A larger training patch is shown in part."""
TRIES = 8
"""Patches of a picture that are looked at for the one with most detail: on flat ones little is to be seen."""
_GAP, _LINE, _FONT = 12, 15, 12

log = logging.getLogger("srgan")


@dataclass(frozen=True)
class _Cell:
    picture: NDArray[np.uint8]
    caption: str


@dataclass(frozen=True)
class _Patch:
    """A patch of ``pair``: uint8 H x W x 3 and what is to be trained on, unless wear makes that."""

    pair: Pair
    high: Tensor
    low: Tensor


def draw_samples(config: TrainConfig, target: Path) -> None:
    """Write a sheet of patches as training would see them to ``target``, whose suffix says the format.

    Each row shows the high-resolution patch of one picture, and beside it low-resolution ones, enlarged by repeating
    pixels: with a degradation the clean bicubic reduction and `SAMPLES` others, each with what was done
    to it; else the one that there is, and its bicubic enlargement. What is drawn follows from the configuration alone.
    Raises `CannotWrite`, also when the target exists, `InvalidDataset`, `InvalidConfig` and `MissingDependency`.
    """
    if target.exists():
        raise CannotWrite(f"{target}: exists already; choose another place for the samples")
    check_target(target)
    format_of(target)
    data, scale = config.data, config.network.scale
    patch = min(data.patch, max(8, CELL // scale))
    random = np.random.default_rng(config.seed)
    patches = list(islice(_patches(data, patch, scale, random), ROWS))
    degrade = wear(data.degradation, scale)
    rows = [_worn_row(patch, degrade, scale, random) if degrade else _plain_row(patch, scale) for patch in patches]
    title = f"{data.degradation.kind}, x{scale}, patches of {patch} pixels"
    if data.low_folders:
        title = f"pairs, x{scale}, patches of {patch} pixels"
    write_picture(Picture(pixels=from_uint8(_sheet(rows, title))), target)


def _patches(data: DataSection, patch: int, scale: int, random: np.random.Generator) -> Iterator[_Patch]:
    """Patches without end, of all pictures in turn. Raises `InvalidDataset` when none can be used."""
    pairs = find_pairs(data.folders, data.low_folders, scale)[: data.max_pictures]
    left = [pairs[number] for number in random.permutation(len(pairs))]
    while left:
        for pair in list(left):
            try:
                high, low = read_pair(pair, scale)
                if min(low.shape[:2]) < patch:
                    raise InvalidDataset(f"{pair.high}: smaller than a patch of {patch * scale} pixels")
            except SrganError as error:
                log.warning("left out: %s", error)
                left.remove(pair)
            else:
                yield _most_detailed(pair, high, low, patch, random)
    raise InvalidDataset(f"{data.folders[0]}: no picture can be used")


def _most_detailed(pair: Pair, high: Tensor, low: Tensor, patch: int, random: np.random.Generator) -> _Patch:
    scale = high.shape[0] // low.shape[0]
    found = []
    for _ in range(TRIES):
        y, x = (int(random.integers(side - patch + 1)) for side in low.shape[:2])
        cut = high[y * scale : (y + patch) * scale, x * scale : (x + patch) * scale]
        found.append(_Patch(pair, cut, low[y : y + patch, x : x + patch]))
    return max(found, key=lambda patch: float(patch.high.float().diff(dim=0).abs().mean()))


def _plain_row(patch: _Patch, scale: int) -> list[_Cell]:
    low = patch.low.permute(2, 0, 1)[None].float()
    smooth = functional.interpolate(low, scale_factor=scale, mode="bicubic").round().clamp(0, 255)
    return [
        _Cell(_shown(patch.high, 1, patch.high), patch.pair.high.name),
        _Cell(_shown(patch.low, scale, patch.high), patch.pair.low.name if patch.pair.low else "bicubic reduction"),
        _Cell(_shown(smooth[0].permute(1, 2, 0).byte(), 1, patch.high), "the same, enlarged bicubic"),
    ]


def _worn_row(patch: _Patch, degrade: Wear, scale: int, random: np.random.Generator) -> list[_Cell]:
    seeds = [int(seed) for seed in random.integers(2**62, size=SAMPLES)]
    original = degrade.original(patch.high.permute(2, 0, 1)[None].float().div(255))
    pictures = original.expand(SAMPLES, -1, -1, -1)
    target = original[0].permute(1, 2, 0).mul(255).round().byte()
    worn = degrade(pictures, seeds).mul(255).round().byte().permute(0, 2, 3, 1)
    said = degrade.describe((pictures.shape[-2], pictures.shape[-1]), seeds)
    cells = [
        _Cell(_shown(target, 1, patch.high), patch.pair.high.name),
        _Cell(_shown(patch.low, scale, patch.high), "bicubic reduction alone"),
    ]
    return cells + [
        _Cell(_shown(low, scale, patch.high), "\n".join(words)) for low, words in zip(worn, said, strict=True)
    ]


def _shown(picture: Tensor, times: int, like: Tensor) -> NDArray[np.uint8]:
    """``picture``, ``times`` as large by repetition, and as often again as ``like`` is enlarged for the sheet."""
    times *= max(1, round(CELL / like.shape[0]))
    return picture.repeat_interleave(times, dim=0).repeat_interleave(times, dim=1).numpy()


def _sheet(rows: Sequence[Sequence[_Cell]], title: str) -> NDArray[np.uint8]:
    """The cells with their captions below on one white picture, ``title`` on top."""
    from PIL import Image, ImageDraw, ImageFont

    side = rows[0][0].picture.shape[0]
    font, heading = ImageFont.load_default(_FONT), ImageFont.load_default(16)
    captions = [[_wrapped(cell.caption, side) for cell in row] for row in rows]
    heights = [max(len(lines) for lines in row) * _LINE + side + _GAP for row in captions]
    width = len(rows[0]) * (side + _GAP) + _GAP
    sheet = Image.new("RGB", (width, 40 + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 10), title, fill="black", font=heading)
    top = 40
    for row, lines, height in zip(rows, captions, heights, strict=True):
        for number, (cell, said) in enumerate(zip(row, lines, strict=True)):
            left = _GAP + number * (side + _GAP)
            sheet.paste(Image.fromarray(cell.picture), (left, top))
            for k, line in enumerate(said):
                draw.text((left, top + side + 2 + k * _LINE), line, fill="black", font=font)
        top += height
    return np.asarray(sheet)


def _wrapped(caption: str, side: int) -> list[str]:
    """Lines that fit under a cell of ``side`` pixels."""
    return [line for part in caption.split("\n") for line in textwrap.wrap(part, side * 2 // _FONT) or [""]]
