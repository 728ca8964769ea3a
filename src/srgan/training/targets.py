"""A teacher's outputs for whole training pictures, on disk, so that each is computed once for all runs.

    STORE/TEACHER/PICTURE-reduced.png      for a picture that was made smaller
    STORE/TEACHER/PICTURE-given.png        for a low-resolution picture that was given

TEACHER is the SHA-256 of the teacher's weights, PICTURE that of the file which it was computed from.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from srgan.atomic import check_space, reason
from srgan.errors import CannotWrite, InvalidDataset, SrganError
from srgan.imaging import Picture, from_uint8, write_picture
from srgan.progress import Report, Stop
from srgan.training.job import TrainStep
from srgan.training.pictures import Pair, read_pair, read_rgb
from srgan.training.teacher import Teacher

log = logging.getLogger("srgan")


class Targets:
    """The outputs of ``teacher`` in the folder ``store``, which several runs may share."""

    def __init__(self, store: Path, teacher: Teacher) -> None:
        self._folder, self._teacher = store / teacher.info.sha256, teacher
        self._digests: dict[Path, str] = {}

    def fill(
        self,
        sources: Sequence[tuple[Pair, tuple[int, int]]],
        *,
        report: Report,
        stop: Stop,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Compute what is missing for ``sources``, pairs with height and width; ``share`` as that of `TileStore`.

        Each file is whole or not there, so what was killed goes on where it was. ``report`` is told the pixels. Raises
        `CannotWrite`, also where the disk is too small for all of it, `Cancelled`, and what `Teacher.picture` raises.
        """
        rank, processes = share
        self._make_folder()
        missing = [(pair, size) for pair, size in sources[rank::processes] if not self._path(pair).exists()]
        if not missing:
            return
        total, done = sum(height * width for _, (height, width) in missing), 0
        check_space(self._folder / "all", 3 * total)
        log.warning(
            "%s computes its output for %d of %d pictures, %.0f megapixels, once: up to %.2f GB in %s",
            self._teacher.info.model,
            len(missing),
            len(sources[rank::processes]),
            total / 1e6,
            3 * total / 1e9,
            self._folder,
        )
        report(TrainStep(0, total, "pixels"))
        for pair, (height, width) in missing:
            stop.check()
            try:
                low = read_pair(pair, self._teacher.info.scale)[1]
            except SrganError:
                low = None  # who uses the pictures tells why
            if low is not None:
                self._made(pair, low, stop)
            done += height * width
            report(TrainStep(done, total, "pixels", f"{self._teacher.info.model}: {pair.high.name}"))

    def __call__(self, pair: Pair, low: Tensor) -> Tensor:
        """The output for ``low``, the low-resolution picture of ``pair``, both uint8 H x W x 3.

        What is damaged or missing is computed anew, with a warning.
        """
        path, scale = self._path(pair), self._teacher.info.scale
        try:
            pixels = read_rgb(path)
            if pixels.shape[:2] != (low.shape[0] * scale, low.shape[1] * scale):
                raise InvalidDataset(f"{path}: has another size than the output for {pair.high}")
        except SrganError as error:
            log.warning("%s; computed anew", error)
            return self._made(pair, low)
        return torch.from_numpy(pixels.copy())

    def _made(self, pair: Pair, low: Tensor, stop: Stop | None = None) -> Tensor:
        """The output for ``low``, computed and written."""
        made = self._teacher.picture(low, stop)
        self._make_folder()
        write_picture(Picture(pixels=from_uint8(made.numpy())), self._path(pair), overwrite=True)
        return made

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"teacher.store: {self._folder}: {reason(error)}") from error

    def _path(self, pair: Pair) -> Path:
        """Where the output for ``pair`` is. It depends on the file's content, wherever that lies."""
        seen, kind = (pair.high, "reduced") if pair.low is None else (pair.low, "given")
        if seen not in self._digests:
            try:
                with seen.open("rb") as file:
                    self._digests[seen] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise InvalidDataset(f"{seen}: cannot be read: {reason(error)}") from error
        return self._folder / f"{self._digests[seen]}-{kind}.png"
