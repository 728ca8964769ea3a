"""Where the low-resolution pictures come from, and results that another program has made of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidConfig, InvalidDataset, InvalidImage
from srgan.imaging import (
    DEGRADATIONS,
    PICTURE_SUFFIXES,
    Degradation,
    Limits,
    degraded,
    from_uint8,
    read_picture,
    to_uint8,
)

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
        return from_uint8(degraded(reference, scale, Degradation(), name=path.stem))


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
        return from_uint8(degraded(reference, scale, self._degradation, name=path.stem, seed=self._seed))


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
