"""`Picture`: what a picture is in memory, and the one rule that turns its values into integers and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from srgan.errors import InvalidImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from srgan.imaging.colour import ColourSpace
    from srgan.imaging.described import Described

_BLOCK_VALUES = 1 << 18
"""Values converted at a time: a block of float32 stays within the second-level cache."""


_UNITS = {2: 1.0, 3: 2.54, 4: 25.4, 5: 25_400.0}
"""How many of a unit of `Density` make an inch."""


class Density(NamedTuple):
    """How many pixels stand side by side in a length, as TIFF says it."""

    x: float
    y: float
    unit: int = 1
    """1: of a length that is not named, or that the description names; 2 inch, 3 cm, 4 mm, 5 micrometre."""

    @property
    def per_inch(self) -> tuple[float, float] | None:
        """Pixels per inch; None where the length is not known."""
        inch = _UNITS.get(self.unit)
        return None if inch is None else (self.x * inch, self.y * inch)

    @property
    def ratio(self) -> tuple[int, int] | None:
        """Pixels across and down in the same length, where that is all that is known, as numbers of at most 16 bits;
        None where the length is known, or pixels are square."""
        if self.unit in _UNITS:
            return None
        ratio = Fraction(self.x / self.y).limit_denominator(1000)
        return None if ratio == 1 or not 0 < ratio.numerator < 1 << 16 else (ratio.numerator, ratio.denominator)


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture with its colour profile and metadata.

    ``pixels`` is float32, H x W x C, straight (not premultiplied) alpha, values in [0, 1]; C is 1 gray, 2 gray and
    alpha, 3 RGB, 4 RGBA. Colours are in the working space of the networks: with the tone curve of sRGB, whatever the
    file had (see ``space``). Raises `InvalidImage` for a wrong shape or type.
    """

    pixels: NDArray[np.float32]
    bit_depth: int = 8
    """Bits per channel in the source: 8, 16, or 32 for floating point. Writers keep it if the format supports it."""
    levels: tuple[float, float] = (0.0, 1.0)
    """For floating point: the file's values that correspond to 0 and 1 here. Writers restore them."""
    icc_profile: bytes | None = None
    """The embedded colour profile, unchanged."""
    described: Described | None = None
    """Colour description by numbers (such as `cICP`), which takes precedence over ``icc_profile``."""
    space: ColourSpace | None = None
    """Conversion between the file's colours and ``pixels``; None when they are the same."""
    premultiplied: bool = False
    """Whether the file had premultiplied alpha. Writers restore it if the format supports it."""
    exif: bytes | None = None
    """EXIF as a bare TIFF stream (no ``Exif`` prefix), orientation already applied and reset."""
    xmp: bytes | None = None
    """The XMP packet."""
    iptc: bytes | None = None
    """IPTC-IIM records, as in TIFF's tag 33723 and JPEG's Photoshop resources."""
    text: tuple[tuple[str, str], ...] = ()
    """Keywords and texts as in PNG, in order; a comment of JPEG or GIF has the keyword ``Comment``."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical resolution in pixels per inch."""
    density: Density | None = None
    """Instead of ``dpi``: the physical scale of a measured picture, or the pixel aspect ratio."""
    tags: Mapping[int, tuple[int, bytes]] = field(default_factory=dict)
    """TIFF tags that are not EXIF (georeference, page): the type of the values, and the values, little-endian."""
    lost: tuple[str, ...] = ()
    """Descriptions of what else was in the file and is not kept."""
    name: str = ""
    """Name of the picture in messages."""
    format: str | None = None
    """Format of the source: `PNG`, `JPEG`, ..."""

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.float32 or pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or not pixels.size:
            shape = " x ".join(map(str, pixels.shape))
            raise InvalidImage(f"a picture must be float32 of shape height x width x 1..4, not {pixels.dtype} {shape}")

    def __repr__(self) -> str:
        channels = {1: "gray", 2: "gray and alpha", 3: "RGB", 4: "RGBA"}[self.pixels.shape[2]]
        return f"<Picture {self.width} x {self.height}, {channels}, {self.bit_depth} bit, from {self.format}>"

    @property
    def per_inch(self) -> tuple[float, float] | None:
        """Pixels per inch, whatever unit the file uses."""
        return self.density.per_inch if self.dpi is None and self.density is not None else self.dpi

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def has_alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4)

    @property
    def colour(self) -> NDArray[np.float32]:
        """The colour channels, H x W x 1 or 3: a view."""
        return self.pixels[..., :-1] if self.has_alpha else self.pixels

    @property
    def alpha(self) -> NDArray[np.float32] | None:
        """The opacity, H x W x 1, 1 is opaque: a view; None when the picture has none."""
        return self.pixels[..., -1:] if self.has_alpha else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """A picture that is read as it is used, from top to bottom."""

    like: Picture
    """All but the pixels, which have the right shape, take no memory (`blank`) and mean nothing."""
    strips: Iterator[NDArray[np.float32]]
    """The pixels, once: strips of some rows x W x C, as in `Picture.pixels`. Raises what reading the picture raises."""
    damage: Sequence[str] = ()
    """What was found wrong with the pixels, where `Limits.damaged` keeps it; whole when all strips are taken."""


def blank(height: int, width: int, channels: int) -> NDArray[np.float32]:
    """Pixels that are all zero and take no memory; they cannot be written to."""
    return np.broadcast_to(np.float32(0), (height, width, channels))


def to_uint8(pixels: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """[0, 1] to 0..255: clipped, then ``floor(x * 255 + 0.5)``. NaN becomes 0. Any shape; the result is contiguous."""
    return _to_integers(pixels, np.dtype(np.uint8))


def to_uint16(pixels: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """[0, 1] to 0..65535 by the same rule as `to_uint8`."""
    return _to_integers(pixels, np.dtype(np.uint16))


def from_uint8(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """0..255 to float32 in [0, 1]."""
    return np.divide(values, np.float32(255), dtype=np.float32)


def from_uint16(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """0..65535 to float32 in [0, 1]."""
    return np.divide(values, np.float32(65535), dtype=np.float32)


def _to_integers(pixels: NDArray[np.floating[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """In blocks of rows with one small buffer, so that no second float copy of a large picture is made."""
    top = float(np.iinfo(dtype).max)
    out = np.empty(pixels.shape, dtype)
    if pixels.ndim == 0 or not pixels.size:
        out[...] = np.fmax(np.minimum(pixels * top + 0.5, top), 0)
        return out
    rows = max(1, _BLOCK_VALUES * len(pixels) // pixels.size)
    buffer = np.empty((min(rows, len(pixels)), *pixels.shape[1:]), pixels.dtype)
    for start in range(0, len(pixels), rows):
        block = pixels[start : start + rows]
        part = buffer[: len(block)]
        np.multiply(block, top, out=part)
        np.add(part, 0.5, out=part)
        np.fmax(part, 0, out=part)
        np.minimum(part, top, out=part)
        out[start : start + rows] = part
    return out
