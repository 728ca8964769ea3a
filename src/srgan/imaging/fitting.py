"""What a format can hold of a picture's pixels: how colours, alpha and depth become values of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from srgan.imaging import icc
from srgan.imaging.described import CodePoints, Described, in_profile, is_bright, is_known, paper, profile_of
from srgan.imaging.formats import FORMATS, Format
from srgan.imaging.picture import to_uint8, to_uint16

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srgan.imaging.colour import ColourSpace
    from srgan.imaging.picture import Picture

Strip = Any
"""Rows x width x channels, float32."""
Model = Literal["GRAY", "RGB", "CMYK"]

_STRIP_VALUES = 1 << 20
"""Values made ready at a time."""
_SIGNATURES: dict[bytes, Model] = {b"GRAY": "GRAY", b"RGB ": "RGB", b"CMYK": "CMYK"}
_NEAR = 2e-3
"""Primaries of this difference are the same."""


@dataclass(frozen=True)
class Plan:
    """How the strips of a picture become values of a file."""

    model: Model
    alpha: bool
    dtype: type[np.generic]
    profile: bytes | None
    described: Described | None
    """What the file shall say of its colours in numbers."""
    steps: tuple[Callable[[Strip], Strip], ...]
    """What is done with each strip, one after the other; the result is floating point, as in the file but for range."""
    levels: tuple[float, float]
    premultiplied: bool

    @property
    def samples(self) -> int:
        return {"GRAY": 1, "RGB": 3, "CMYK": 4}[self.model] + self.alpha

    def rows(self, strips: Iterable[Strip]) -> Iterator[NDArray[Any]]:
        """Values of the file, in portions of a few megabytes."""
        for strip in strips:
            step = max(1, _STRIP_VALUES // (strip.shape[1] * self.samples))
            for start in range(0, len(strip), step):
                values = strip[start : start + step]
                for convert in self.steps:
                    values = convert(values)
                yield self._numbers(values)
            # The next strip may be as large: let go of this one before it is made.
            del strip, values

    def _numbers(self, values: Strip) -> NDArray[Any]:
        """Values in [0, 1] as numbers of ``dtype``."""
        colours = values.shape[2] - self.alpha
        if self.dtype is np.float32 and self.levels != (0.0, 1.0):
            low, high = np.float32(self.levels[0]), np.float32(self.levels[1])
            values = values.copy()
            values[..., :colours] = values[..., :colours] * (high - low) + low
        if self.premultiplied:
            values = values.copy()
            values[..., :colours] *= values[..., colours:]
        if self.dtype is np.uint8:
            return to_uint8(values)
        return to_uint16(values) if self.dtype is np.uint16 else np.nan_to_num(values)


def plan_for(like: Picture, format: str) -> Plan:
    """What ``format`` can hold of the pixels of ``like``."""
    held = FORMATS[format]
    alpha = like.has_alpha and held.alpha
    colours = like.pixels.shape[2] - like.has_alpha
    own: Model = "GRAY" if colours == 1 else "RGB"
    steps: list[Callable[[Strip], Strip]] = [] if alpha == like.has_alpha else [_on_paper(paper(like.described))]
    said, space, profile = _colours(like, format)
    if space is not None:
        fits = space.model in held.models and (space.model == "GRAY") == (own == "GRAY")
        if held.profile and fits:
            steps.append(_on_colours(space.from_working, alpha))
            own = space.model
        else:
            said, profile = None, space.working_profile
    if own not in held.models or (own == "GRAY" and held.profile and _signature(profile) == "RGB"):
        own = "RGB"
        steps.append(_on_colours(lambda gray: np.repeat(gray, 3, axis=2), alpha))
    if not held.profile and own != "CMYK" and (convert := _srgb_of(profile)) is not None:
        steps.append(_on_colours(convert, alpha))
    return Plan(
        model=own,
        alpha=alpha,
        dtype=_dtype(like.bit_depth, held),
        profile=profile if held.profile and _signature(profile) == own else None,
        described=said,
        steps=tuple(steps),
        levels=like.levels if like.bit_depth == 32 else (0.0, 1.0),
        premultiplied=alpha and like.premultiplied and format == "TIFF",
    )


def to_srgb(like: Picture) -> Callable[[Strip], Strip] | None:
    """From the colours of ``like.pixels``, without alpha, to sRGB, for files that say nothing of colour; None: nothing
    to do. What sRGB cannot show is clipped, brightness beyond white paper is compressed into it."""
    return _srgb_of(_profile_of_pixels(like, embedded=False))


def lost_colours(like: Picture, format: str) -> str | None:
    """What ``format`` cannot say of the colours of ``like``, though they need it; None where nothing is lost."""
    said, held = like.described, FORMATS[format]
    if said is None or _says(said, like, format):
        return None
    if is_bright(said) and not held.profile:
        return f"{format} has no place for brightness beyond white paper, so it is compressed; PNG and AVIF have one"
    if not is_known(said) and not (held.profile and like.icc_profile):
        return f"{format} cannot say what the values mean as the input did; PNG can"
    return None


def _colours(like: Picture, format: str) -> tuple[Described | None, ColourSpace | None, bytes | None]:
    """What the file says in numbers, the way back to its values, and its profile."""
    said = like.described
    if said is None:
        return None, like.space, like.icc_profile
    if _says(said, like, format):
        return said, like.space, _beside(said, like) if format == "PNG" else None
    if not is_known(said):
        return None, like.space, like.icc_profile
    return None, None, _profile_of_pixels(like, embedded=FORMATS[format].profile)


def _beside(said: Described, like: Picture) -> bytes | None:
    """The profile that stands in a PNG beside ``said``: for programs that do not know the newer of the two."""
    if like.icc_profile or not isinstance(said, CodePoints) or like.space is not None or like.pixels.shape[2] < 3:
        return like.icc_profile
    return profile_of(said, gray=False)


def _says(said: Described, like: Picture, format: str) -> bool:
    """Whether a file of ``format`` can say ``said``. In AVIF and HEIC values of 8 bits stay in the working space, where
    they have the finer steps; libheif opens no HEIC with code points that it does not know."""
    if format in ("AVIF", "HEIC"):
        fits = isinstance(said, CodePoints) and said.full_range and said.matrix == 0 and like.space is None
        return fits and (format == "AVIF" or is_known(said))
    return format == "PNG"


def _profile_of_pixels(like: Picture, *, embedded: bool) -> bytes | None:
    """A profile for the pixels as they are in memory; None: sRGB. ``embedded``: the file's own, if it says the same."""
    said, profile = like.described, like.icc_profile
    if like.space is not None:
        return like.space.working_profile
    if said is None or not is_known(said):
        return profile
    if embedded and isinstance(said, CodePoints) and in_profile(profile) == replace(said, mastering=None, light=None):
        return profile
    return profile_of(said, gray=like.pixels.shape[2] < 3)


def _signature(profile: bytes | None) -> Model | None:
    return _SIGNATURES.get(profile[16:20]) if profile else None


def _dtype(bit_depth: int, held: Format) -> type[np.generic]:
    bits = max(held.least_bits, min(bit_depth, held.bits))
    return np.float32 if bits == 32 else np.uint16 if bits > 8 else np.uint8


def _on_paper(white: float) -> Callable[[Strip], Strip]:
    """Rows without their alpha, as they look on white paper: the rule for formats that have no alpha."""

    def convert(strip: Strip) -> Strip:
        colour, alpha = strip[..., :-1], strip[..., -1:]
        return np.asarray(colour * alpha + np.float32(white) * (1 - alpha), np.float32)

    return convert


def _on_colours(convert: Callable[[Strip], Strip], alpha: bool) -> Callable[[Strip], Strip]:
    """``convert`` for the colour channels alone; alpha, where there is one, stays as it is."""
    if not alpha:
        return convert
    return lambda strip: np.concatenate([convert(np.ascontiguousarray(strip[..., :-1])), strip[..., -1:]], axis=2)


def _srgb_of(profile: bytes | None) -> Callable[[Strip], Strip] | None:
    """From the colours of ``profile`` to sRGB. Its curves are that of sRGB, but where it has code points.

    Colours outside sRGB are clipped. None when there is nothing to do or nothing known.
    """
    try:
        found = icc.read_profile(profile) if profile else None
        primaries = icc.colorants(found) if found else None
    except icc.UnusableProfile:
        return None
    if found is None or primaries is None:
        return None
    curve = found.tags.get(b"rTRC", b"") if b"cicp" in found.tags else b""
    same = bool(np.abs(primaries - icc.SRGB_COLORANTS).max() < _NEAR)
    if same and not curve.startswith(b"curv"):
        return None
    matrix = None if same else (primaries @ np.linalg.inv(icc.SRGB_COLORANTS)).astype(np.float32)

    def convert(strip: Strip) -> Strip:
        if curve.startswith(b"curv"):
            linear = icc.tone_curve(curve, strip).astype(np.float32)
        else:
            linear = np.where(strip <= 0.04045, strip / 12.92, ((np.maximum(strip, 0.04045) + 0.055) / 1.055) ** 2.4)
        if matrix is not None and strip.shape[2] == 3:
            linear = linear.astype(np.float32) @ matrix
        linear = np.clip(linear, 0, 1)
        return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)

    return convert
