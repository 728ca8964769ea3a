"""Where the low-resolution pictures come from, and results that another program has made of them."""

from __future__ import annotations

import hashlib
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidConfig, InvalidDataset, InvalidImage
from srgan.imaging import PICTURE_SUFFIXES, Limits, from_uint8, read_picture, resize, to_uint8

Bytes = NDArray[np.uint8]
Pixels = NDArray[np.float32]


class Inputs(Protocol):
    """Gives the picture that is enlarged for each reference."""

    @property
    def says(self) -> str:
        """How it is made, for the report's protocol."""
        ...

    @property
    def folder(self) -> Path | None:
        """Where its files lie, if it is read from files."""
        ...

    def small(self, path: Path, reference: Bytes, scale: int, limits: Limits) -> Pixels:
        """The input for ``reference``, H x W x C in whole multiples of ``scale``, read from ``path``.

        H / scale x W / scale x 1 or 3 in [0, 1], in 8-bit values. Raises `SrganError`.
        """
        ...


class Shrunk:
    """The protocol of the literature: MATLAB's bicubic, nothing else."""

    says = "low resolution by MATLAB bicubic, 8 bit"
    folder: Path | None = None

    def small(self, path: Path, reference: Bytes, scale: int, limits: Limits) -> Pixels:
        """See `Inputs.small`."""
        return from_uint8(_whole(_bicubic(reference.astype(np.float64), scale)))


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """What befalls a picture before it is enlarged, in this order; each strength is drawn evenly between two ends."""

    blur: tuple[float, float] | None = None
    """Sigma of a Gaussian before shrinking, in pixels of the small picture."""
    noise: tuple[float, float] | None = None
    """Sigma of Gaussian noise on the small picture, in levels of 255, for each channel by itself."""
    quality: tuple[int, int] | None = None
    """JPEG quality of the small picture, 4:2:0, by Pillow."""

    @property
    def says(self) -> str:
        """In words."""
        parts = [
            f"blurred (Gaussian, sigma {self.blur[0]:g} to {self.blur[1]:g} px of the input)" if self.blur else "",
            "made small by MATLAB bicubic",
            f"noise (Gaussian, sigma {self.noise[0]:g} to {self.noise[1]:g} of 255)" if self.noise else "",
            "8 bit",
            f"JPEG quality {self.quality[0]} to {self.quality[1]}" if self.quality else "",
        ]
        return ", ".join(part for part in parts if part)


DEGRADATIONS = {
    "blur": Degradation(blur=(0.4, 1.0)),
    "noise": Degradation(noise=(5, 20)),
    "jpeg": Degradation(quality=(40, 70)),
    "mixed": Degradation(blur=(0.2, 0.6), noise=(2, 12), quality=(40, 70)),
}


class Degraded:
    """Inputs as cameras and the web leave them: one of `DEGRADATIONS`, the same for each run.

    The strengths depend on ``seed`` and the picture's name without suffix, not on its place among the others. Raises
    `InvalidConfig` for an unknown name.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        if name not in DEGRADATIONS:
            raise InvalidConfig(f"There is no degradation {name!r}. Choose one of: {', '.join(DEGRADATIONS)}")
        self._degradation = DEGRADATIONS[name]
        self._seed = seed
        self.folder: Path | None = None
        self.says = f"low resolution degraded ({name}, seed {seed}): {self._degradation.says}"

    def small(self, path: Path, reference: Bytes, scale: int, limits: Limits) -> Pixels:
        """See `Inputs.small`."""
        drawn = int.from_bytes(hashlib.sha256(path.stem.encode(errors="surrogateescape")).digest()[:8], "big")
        chance = np.random.default_rng([self._seed, drawn])
        # All strengths are drawn whether they are used or not, so that `mixed` and its parts differ in nothing else.
        blur, noise, quality = chance.random(3)
        wanted = self._degradation
        values = reference.astype(np.float64)
        if wanted.blur:
            values = _blurred(values, scale * _between(wanted.blur, blur))
        values = _bicubic(values, scale)
        if wanted.noise:
            values = values + chance.normal(0, _between(wanted.noise, noise), values.shape)
        small = _whole(values)
        return from_uint8(_as_jpeg(small, round(_between(wanted.quality, quality))) if wanted.quality else small)


class LowFolder:
    """Low-resolution files that belong to the references: ``NAME``, ``NAMEx4`` or ``NAME_x4``, with any suffix.

    Raises `InvalidDataset` when the folder cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder: Path | None = Path(folder)
        self._files = _Files(Path(folder))
        self.says = f"low resolution from {Path(folder).resolve().name}, 8 bit"

    def small(self, path: Path, reference: Bytes, scale: int, limits: Limits) -> Pixels:
        """See `Inputs.small`."""
        size = reference.shape[0] // scale, reference.shape[1] // scale
        return self._files.read(path, scale, size, limits)


class Results:
    """Enlarged pictures that lie in ``folder``, in place of a model: ``NAME``, ``NAMEx4`` or ``NAME_x4``.

    They are what some program made of the same inputs, so their size is that of the reference, cropped to a multiple
    of ``scale``. ``label`` names them, the folder's name by default. Raises `InvalidDataset` when the folder cannot be
    read.
    """

    def __init__(self, folder: str | os.PathLike[str], *, scale: float = 4, label: str | None = None) -> None:
        self.folder = Path(folder)
        self._files = _Files(self.folder)
        self.scale = scale
        self.label = label or Path(folder).resolve().name

    def result(self, path: Path, size: tuple[int, int], limits: Limits) -> Pixels:
        """The result for the reference at ``path``, of height and width ``size``, in 8-bit values. `InvalidImage`."""
        return self._files.read(path, int(self.scale), size, limits)


class _Files:
    """The pictures of a folder, found by the name of a reference."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_stem: dict[str, list[Path]] = {}
        for path in pictures_in(folder):
            self._by_stem.setdefault(path.stem, []).append(path)

    def read(self, reference: Path, scale: int, size: tuple[int, int], limits: Limits) -> Pixels:
        names = (
            reference.stem,
            f"{reference.stem}x{scale}",
            f"{reference.stem}_x{scale}",
            f"{reference.name}_x{scale}",
        )
        found = [path for name in dict.fromkeys(names) for path in self._by_stem.get(name, [])]
        if len(found) != 1:
            fault = "nothing matches" if not found else f"{' and '.join(path.name for path in found)} match"
            raise InvalidImage(f"{self._folder}: {fault} {reference.name}; expected one of {', '.join(names[:3])}")
        pixels = read_picture(found[0], limits=limits).colour
        if pixels.shape[:2] != size:
            raise InvalidImage(
                f"{found[0]}: {pixels.shape[1]} x {pixels.shape[0]} pixels, but "
                f"{reference.name} at x{scale} needs {size[1]} x {size[0]}"
            )
        return from_uint8(to_uint8(pixels))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie directly in ``folder``, by name. Raises `InvalidDataset` when there are none."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    except OSError as error:
        raise InvalidDataset(f"{folder}: cannot be read: {error.strerror or error}") from error
    if not paths:
        raise InvalidDataset(f"{folder}: there are no pictures in this folder")
    return paths


def _between(ends: tuple[float, float], part: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * part


def _bicubic(values: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """Made small in 0..255 and float64, in which ties before rounding are exact."""
    return resize(values, values.shape[0] // scale, values.shape[1] // scale)


def _whole(values: NDArray[np.float64]) -> Bytes:
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)


def _blurred(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Under a Gaussian, cut off at three sigma; the border mirrored with its own values repeated."""
    radius = math.ceil(3 * sigma)
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        lines = np.moveaxis(values, axis, 0)
        padded = np.pad(lines, ((radius, radius), (0, 0), (0, 0)), mode="symmetric")
        blurred = sum(weight * padded[k : k + len(lines)] for k, weight in enumerate(weights / weights.sum()))
        values = np.moveaxis(np.asarray(blurred), 0, axis)
    return values


def _as_jpeg(pixels: Bytes, quality: int) -> Bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as picture:
        return np.asarray(picture).reshape(pixels.shape)
