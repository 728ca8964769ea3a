"""What a picture is worth as an original: is it sharp, is there anything on it, was it packed hard, is it known?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SOFT = 42.0
"""Decibels. Halved and doubled again, a sharp picture is not as like itself as this (see `softness`)."""
BLANK = 4.0
"""Least spread of the luma, in levels of 255."""
PACKED = 80
"""JPEG quality below which a picture is halved, whose blocks are then 4 pixels wide and hardly to be seen."""
LOST = 50
"""JPEG quality below which it is left out."""
ALIKE = 0.8
"""Correlation of fingerprints from which two pictures are the same one (see `Seen`)."""
SHAPES = (1.0, 4 / 3, 3 / 2, 16 / 10, 16 / 9, 2.0)
"""Width by height of the usual pictures, which others are cut to."""
_TILE = 64
_SIDE, _THUMB = 24, 192
# Annex K of the JPEG standard: the mean of its table for luminance.
_ANNEX_K = 57.6


def softness(picture: Image.Image) -> float:
    """PSNR in dB of the luma of a picture, halved and doubled again, in the sharpest tenth of its tiles.

    Above about 45 dB nothing is there that half as many pixels do not hold: it was enlarged, or is out of focus. Tiles
    with nothing on them do not count; a picture of such alone has 99 dB.
    """
    luma = picture.convert("L")
    small = luma.resize((max(1, luma.width // 2), max(1, luma.height // 2)), Image.Resampling.LANCZOS)
    whole = np.asarray(luma, np.float32)
    loss = np.asarray(small.resize(luma.size, Image.Resampling.BICUBIC), np.float32) - whole
    tile = min(_TILE, *loss.shape)
    squares = (_tiles(loss, tile) ** 2).mean(axis=(1, 3))[_tiles(whole, tile).std(axis=(1, 3)) > BLANK]
    return float(10 * np.log10(255**2 / float(np.percentile(squares, 90)))) if squares.any() else 99.0


def _tiles(plane: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane[: rows * side, : columns * side].reshape(rows, side, columns, side)


def spread(picture: Image.Image) -> float:
    """Standard deviation of the luma, in levels of 255."""
    return float(np.asarray(picture.convert("L"), np.float32).std())


def jpeg_quality(picture: Image.Image) -> int:
    """The quality, 1 to 100, that libjpeg would have needed for an opened JPEG's table; 100 for other forms."""
    tables = getattr(picture, "quantization", None)
    if not tables:
        return 100
    percent = 100 * float(np.mean(tables[0])) / _ANNEX_K
    return max(1, min(100, round(100 - percent / 2 if percent <= 100 else 5000 / percent)))


def fingerprints(picture: Image.Image) -> NDArray[np.float32]:
    """Rows of numbers, of length 1, that stay about the same when a picture is resized, packed, or made lighter.

    One row is the whole picture, the others what is left of it when it is cut to each of `SHAPES`, about its centre.
    """
    luma = picture.convert("L")
    luma.thumbnail((_THUMB, _THUMB), Image.Resampling.BOX, reducing_gap=None)
    boxes = {(0, 0, luma.width, luma.height)}
    for shape in SHAPES:
        width, height = min(luma.width, luma.height * shape), min(luma.height, luma.width / shape)
        left, top = (luma.width - width) / 2, (luma.height - height) / 2
        boxes.add((round(left), round(top), round(left + width), round(top + height)))
    return np.stack([_mark(luma, box) for box in sorted(boxes)])


def _mark(luma: Image.Image, box: tuple[int, int, int, int]) -> NDArray[np.float32]:
    small = luma.resize((_SIDE, _SIDE), Image.Resampling.BOX, box)
    plane = np.pad(np.asarray(small, np.float32), 1, mode="edge")
    # The second difference: two landscapes have the same sky above and the same ground below.
    edges = 4 * plane[1:-1, 1:-1] - plane[:-2, 1:-1] - plane[2:, 1:-1] - plane[1:-1, :-2] - plane[1:-1, 2:]
    edges -= edges.mean()
    return np.asarray(edges / max(1e-6, float(np.linalg.norm(edges))), np.float32).reshape(-1)


@dataclass
class Seen:
    """Pictures that are known: those to be judged by, and those that were taken."""

    names: list[str] = field(default_factory=list)
    marks: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, name: str, picture: Image.Image) -> None:
        """Remember ``picture`` as ``name``."""
        marks = fingerprints(picture)
        self.names += [name] * len(marks)
        self.marks += list(marks)

    def twin(self, picture: Image.Image) -> str:
        """The name of a known picture that this one is too, upright or mirrored; empty when there is none.

        It may have been cut to another of the usual shapes; small parts of pictures are not found.
        """
        if not self.marks:
            return ""
        known, marks = np.stack(self.marks), fingerprints(picture)
        mirrored = marks.reshape(-1, _SIDE, _SIDE)[:, :, ::-1].reshape(marks.shape)
        close = np.maximum(known @ marks.T, known @ mirrored.T).max(axis=1)
        best = int(close.argmax())
        return self.names[best] if close[best] >= ALIKE else ""


def seen_in(folders: Sequence[Path], suffixes: frozenset[str]) -> Seen:
    """All pictures of ``folders`` and below."""
    seen = Seen()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file()):
            with Image.open(path) as opened:
                opened.draft("RGB", (512, 512))
                seen.add(str(path), opened.convert("RGB"))
    return seen
