"""`Stored`: a picture as its file has it, header read and pixels waiting. What every decoder hands to the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from srgan.errors import InvalidImage
from srgan.imaging.described import Described
from srgan.imaging.picture import Density

Rows = Callable[[int], Iterator[NDArray[Any]]]
"""From a number of rows: strips of that many rows (the last has what is left) x width x channels, top to bottom.
Starts anew with each call. Raises whatever the decoder raises on damaged data."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a file says beside its pixels, as it says it: nothing has been checked or applied."""

    icc_profile: bytes | None = None
    described: Described | None = None
    """Colours that are said in numbers."""
    outranks: bool = False
    """Whether the numbers count where there is a profile too."""
    exif: bytes | None = None
    """With or without the prefix ``Exif``."""
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    density: Density | None = None
    """As in `Picture`, in place of ``dpi``."""
    tags: Mapping[int, tuple[int, bytes]] = field(default_factory=dict)
    """As in `Picture`."""
    lost: tuple[str, ...] = ()
    """What the file holds besides and nobody here keeps, in words."""

    @property
    def count(self) -> int:
        """Bytes of the blocks."""
        return sum(len(block) for block in (self.icc_profile, self.exif, self.xmp, self.iptc) if block) + sum(
            len(data) for _, data in self.tags.values()
        )


@dataclass
class Faults:
    """What is found damaged in the pixels of a picture, as they are read. Each fault is noted once."""

    kind: str
    """Format of the file."""
    keep: bool = False
    """Whether pixels are given in spite of damage."""
    found: list[str] = field(default_factory=list)

    def report(self, fault: str) -> None:
        """Note ``fault``. Raises `InvalidImage` unless damage is kept."""
        if not self.keep:
            raise InvalidImage(f"damaged or truncated {self.kind}: {fault}; use --damaged keep to decode what remains")
        if fault not in self.found:
            self.found.append(fault)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Width and height are as stored, before orientation."""

    format: str
    width: int
    height: int
    model: Literal["GRAY", "RGB", "CMYK"]
    """What the colour channels are: 1, 3 or 4 of them."""
    alpha: bool
    """Whether one more channel follows."""
    bit_depth: int
    """As in `srgan.imaging.Picture`."""
    top: float | None
    """The value that stands for 1; None: the values have no known range, or are floating point."""
    rows: Rows
    premultiplied: bool = False
    inverted: bool = False
    """Whether 0 is white."""
    orientation: int | None = None
    """Where the format itself states it, whatever EXIF and XMP say; None: they decide."""
    metadata: Metadata = field(default_factory=Metadata)
    faults: Faults | None = None
    """Filled while ``rows`` are gone through, where the decoder can tell damage and go on."""
    pages_follow: bool = False
    """Whether the file has more pages after this one, or frames that nobody here reads."""

    @property
    def channels(self) -> int:
        return {"GRAY": 1, "RGB": 3, "CMYK": 4}[self.model] + self.alpha
