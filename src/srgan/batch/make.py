"""The seam between the batch and what it makes: the batch knows files, a `Make` knows what becomes of one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from srgan.progress import Report, Stop


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What makes the same output of the same input. Two runs with an equal one need not do a file twice."""

    model: str
    """The model's name, then what tells it from others: version and digest."""
    settings: str
    """Digest of everything else that decides the output."""

    @property
    def name(self) -> str:
        """Name of the model, or of the choice between several."""
        return self.model.partition(" ")[0]


@dataclass(frozen=True, kw_only=True)
class Product:
    """What was made."""

    width: int
    height: int
    frames: int
    """1, or the number of pictures in it."""
    model: str
    """Name of the model that made it."""
    remark: str = ""
    """What is to be said of it, for instance that its input was damaged."""


class Make(Protocol):
    """Makes one file of another. Called from several threads at once.

    A format is a word that the maker knows (``PNG``); the batch only passes it on.
    """

    @property
    def identity(self) -> Identity: ...

    @property
    def suffixes(self) -> Collection[str]:
        """Suffixes of the files that are inputs unless patterns say otherwise: small letters, with the dot."""
        ...

    def format_named(self, name: PurePosixPath) -> str | None:
        """The format that the suffix of ``name`` says, if it says one."""
        ...

    def format_for(self, name: PurePosixPath, source: Path) -> str:
        """The format of the output for the input ``name`` at ``source``, when its name says none."""
        ...

    def suffix_of(self, format: str) -> str:
        """The usual suffix of files of that format, with the dot."""
        ...

    def measure(self, source: Path) -> tuple[int, int, float]:
        """Width, height and enlargement of the output for the input at ``source``. Raises `SrganError`."""
        ...

    @property
    def format(self) -> str | None:
        """The format that was asked for of all outputs."""
        ...

    @property
    def in_pixels(self) -> bool:
        """Whether a size in pixels was asked for, so that there is no enlargement that could be named."""
        ...

    @property
    def scale(self) -> float | None:
        """The enlargement, when it is the same for every input."""
        ...

    def check(self, source: Path) -> None:
        """A quick look whether the file at ``source`` can be an input. Raises `SrganError`."""
        ...

    def make(self, source: Path, target: Path, format: str, *, report: Report, stop: Stop) -> Product:
        """Write ``target``, where nothing is, from ``source``: the whole file or none. Raises `SrganError`."""
        ...
