"""The pictures of the latent GAN: squares in memory, and which are held out."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from srgan.errors import InvalidDataset, SrganError
from srgan.imaging import probe_picture, read_picture, resize, to_uint8
from srgan.networks.latent import SIDE
from srgan.training.latent.settings import LatentConfig
from srgan.training.pictures import find_pictures

LARGE = 8 * SIDE
"""Side of the pictures that the refiner makes."""
LEAST = 8
"""Pictures to train on, and to validate on, that there must be at least."""

log = logging.getLogger("srgan")


@dataclass(frozen=True)
class Squares:
    """Pictures to train on and held-out ones, each N x 3 x side x side, uint8, on the CPU."""

    training: Tensor
    held_out: Tensor


def read_square(path: Path, side: int) -> Tensor:
    """The middle of the picture, as large a square as it holds, made ``side`` pixels large by area: 3 x side x side.

    Gray is repeated; what is transparent lies on white, as where such a model encodes a picture (`srgan.generation`).
    Raises as `read_picture` does, and `InvalidDataset` for a picture that is smaller.
    """
    picture = read_picture(path)
    height, width = picture.colour.shape[:2]
    room = min(height, width)
    if room < side:
        raise InvalidDataset(f"{path}: {width} x {height} pixels are less than the {side} needed")
    top, left = (height - room) // 2, (width - room) // 2
    middle = np.s_[top : top + room, left : left + room]
    square = picture.colour[middle]
    if picture.alpha is not None:
        square = 1 + picture.alpha[middle] * (square - 1)  # on white
    if room != side:
        square = resize(np.ascontiguousarray(square), side, side, "box")
    levels = to_uint8(square)
    levels = levels[..., [0, 0, 0]] if levels.shape[2] == 1 else levels
    return torch.from_numpy(levels).permute(2, 0, 1).contiguous()


def read_squares(paths: Sequence[Path], side: int) -> Tensor:
    """Those of ``paths`` that can be used, in their order. What is left out is logged.

    Decoded by several threads; the result does not depend on how many.
    """
    found: list[Tensor] = []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
        for square in threads.map(partial(_try, side=side), paths):
            if isinstance(square, SrganError):
                log.warning("left out: %s", square)
            else:
                found.append(square)
    if not found:
        raise InvalidDataset(f"none of {len(paths)} pictures can be used: they must have {side} pixels a side at least")
    return torch.stack(found)


def _try(path: Path, side: int) -> Tensor | SrganError:
    try:
        return read_square(path, side)
    except SrganError as error:
        return error


def small_squares(config: LatentConfig) -> Squares:
    """The pictures of 64 pixels. Raises `InvalidDataset`."""
    paths = find_pictures(config.data.folders)[: config.data.max_pictures]
    return _divided(config, paths, config.validation.folder, SIDE, "data.folders")


def large_squares(config: LatentConfig) -> Squares:
    """The pictures of 512 pixels for the refiner. Raises `InvalidDataset`, also when there are none."""
    section = config.refiner
    paths = find_pictures(section.folders or config.data.folders)
    if not section.folders:
        paths = [path for path in paths if _is_large(path)]
        if not paths:
            raise InvalidDataset(
                f"data.folders: no picture has {LARGE} pixels a side, which the phase refiner needs: "
                "give refiner.folders, or leave it out with phases.refiner=0"
            )
    return _divided(config, paths, section.validation_folder, LARGE, "refiner.folders")


def _is_large(path: Path) -> bool:
    try:
        header = probe_picture(path)
    except SrganError:
        return False  # it will be told of where pictures are read
    return min(header.height, header.width) >= LARGE


def _divided(config: LatentConfig, paths: list[Path], folder: Path | None, side: int, setting: str) -> Squares:
    """Training and held-out pictures, in memory."""
    most = config.validation.max_pictures
    if folder is None:
        order = np.random.default_rng(config.seed).permutation(len(paths))
        count = min(most, max(LEAST, round(config.validation.held_out * len(paths))))
        chosen = {int(number) for number in order[:count]}
        held = [path for number, path in enumerate(paths) if number in chosen]
        paths = [path for number, path in enumerate(paths) if number not in chosen]
    else:
        held = find_pictures([folder])[:most]
        known = {path.resolve() for path in paths} & {path.resolve() for path in held}
        if known:
            raise InvalidDataset(f"{folder}: {len(known)} of these pictures are training pictures too")
    _check_enough(len(paths), len(held), setting)
    needed = (len(paths) + len(held)) * 3 * side**2 / 2**30
    if needed > config.data.memory_gib:
        raise InvalidDataset(
            f"{setting}: the pictures take {needed:.1f} GiB, more than data.memory_gib = {config.data.memory_gib:g}; "
            "raise it, or use fewer pictures"
        )
    squares = Squares(read_squares(paths, side), read_squares(held, side))
    _check_enough(len(squares.training), len(squares.held_out), setting)
    for name, pictures in (("to train on", squares.training), ("held out", squares.held_out)):
        if (pictures == pictures[0]).all():
            raise InvalidDataset(f"{setting}: the {len(pictures)} pictures {name} are all the same")
    return squares


def _check_enough(training: int, held_out: int, setting: str) -> None:
    """Raise `InvalidDataset` for too few pictures: those that are found, then those that can be used."""
    if min(training, held_out) < LEAST:
        raise InvalidDataset(
            f"{setting}: {training} pictures to train on and {held_out} held out are too few; "
            f"there must be {LEAST} of either"
        )


def reduced(large: Tensor) -> Tensor:
    """Pictures of 512 pixels as ones of 64, by area: uint8 in and out."""
    parts = [functional.avg_pool2d(part.float(), LARGE // SIDE).round() for part in torch.split(large, 16)]
    return torch.cat([part.to(torch.uint8) for part in parts]) if len(large) else large[..., :SIDE, :SIDE]


def as_floats(pixels: Tensor, device: torch.device) -> Tensor:
    """uint8 as float32 in [0, 1], channels last, on ``device``."""
    moved: Tensor = pixels.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)
    return moved
