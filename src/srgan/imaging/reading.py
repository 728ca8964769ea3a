"""From what a file holds to a `Picture`: float32, upright, straight alpha, in the colours that networks work in.

A decoder says what a file holds (`decoders.stored.Stored`), strip by strip; here its values become pixels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage
from srgan.imaging.colour import ColourSpace, space_described, space_of
from srgan.imaging.decoders.besides import besides
from srgan.imaging.decoders.stored import Stored
from srgan.imaging.described import Described, checked, in_profile, is_known
from srgan.imaging.formats import FORMATS, part_of
from srgan.imaging.inputs import Limits, Told, translated, warn
from srgan.imaging.metadata.exif import bare_exif, take_orientation, turned_exif
from srgan.imaging.metadata.second_pictures import without_second_pictures
from srgan.imaging.picture import Density, Picture, Scan, blank

_STRIP_PIXELS = 1 << 20
"""Pixels converted to float at a time: bounds the copies beside the decoded picture and the result."""
_MOST_DENSITY = 1e8
_MOST_SPAN = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its picture. Width and height are as stored: orientation is not applied."""

    format: str
    width: int
    height: int
    channels: int = 3
    """As the pixels of the picture will have."""
    bit_depth: int = 8
    """As in `Picture`."""


def header_of(stored: Stored) -> Header:
    """Width and height as stored."""
    return Header(
        format=stored.format,
        width=stored.width,
        height=stored.height,
        channels=3 + stored.alpha if stored.model == "CMYK" else stored.channels,
        bit_depth=stored.bit_depth,
    )


def upright(stored: Stored) -> Header:
    """The header with width and height as they are once the orientation is applied."""
    _, like = _like(stored)
    return replace(header_of(stored), width=like.width, height=like.height)


def with_besides(stored: Stored, stream: BinaryIO) -> Stored:
    """``stored``, and what else is in its file."""
    found = besides(stream, stored.format)
    if not found:
        return stored
    return replace(stored, metadata=replace(stored.metadata, lost=(*stored.metadata.lost, *found)))


def scan_of(stored: Stored, name: str, told: Told) -> Scan:
    """The picture in ``stored``, which messages call ``name``. ``told`` is released when somebody reads the pixels."""
    with translated(name, stored.format, told):
        if stored.pages_follow:
            warn("the file holds several pictures; one of them is read, the others are lost.")
        orientation, like = _like(stored)
        for fault in (_misfit(stored), checked(_numbers(stored))[1]):
            if fault is not None:
                warn(fault)
        like = replace(like, name=name, levels=_levels(stored), space=_space(stored, like))
        if like.levels != (0, 1):
            like = replace(like, space=None)  # a profile knows no values beyond its range
    strips = _strips(stored, like, orientation, name, told)
    return Scan(like=like, strips=strips, damage=stored.faults.found if stored.faults else ())


def scan_still(data: bytes, format: str, name: str, limits: Limits, told: Told) -> Scan:
    """`scan_of` a small file of ``format`` that somebody has made of one that messages call ``name``."""
    with translated(name, format, told):
        stored = decode(io.BytesIO(data), format, limits)
    return scan_of(stored, name, told)


def whole(scan: Scan) -> Picture:
    """The picture that ``scan`` gives in strips."""
    like = scan.like
    first = next(scan.strips)
    if first.shape == like.pixels.shape:
        return replace(like, pixels=first)
    with translated(like.name or "the input", "picture"):
        pixels = np.empty(like.pixels.shape, np.float32)
    pixels[: len(first)] = first
    row = len(first)
    for strip in scan.strips:
        pixels[row : row + len(strip)] = strip
        row += len(strip)
    return replace(like, pixels=pixels)


def decode(stream: BinaryIO, format: str, limits: Limits) -> Stored:
    """What a file of ``format`` holds. Only the decoder that is needed is loaded."""
    stored: Stored = part_of(FORMATS[format].decoder)(stream, limits)
    return stored


def _like(stored: Stored) -> tuple[int, Picture]:
    """The orientation to apply, and all that is known without the pixels."""
    said = stored.metadata
    exif = bare_exif(said.exif) if said.exif else None
    orientation, exif, xmp = take_orientation(exif, said.xmp)
    orientation = stored.orientation or orientation
    exif = exif and turned_exif(exif, orientation, (stored.height, stored.width))
    xmp, gone = without_second_pictures(xmp) if xmp else (xmp, [])
    height, width = (stored.width, stored.height) if orientation >= 5 else (stored.height, stored.width)
    channels = 3 + stored.alpha if stored.model == "CMYK" else stored.channels
    return orientation, Picture(
        pixels=blank(height, width, channels),
        bit_depth=stored.bit_depth,
        icc_profile=None if _misfit(stored) else said.icc_profile,
        described=checked(_numbers(stored))[0],
        premultiplied=stored.premultiplied,
        exif=exif,
        xmp=xmp,
        iptc=said.iptc,
        text=said.text,
        dpi=_dpi(said.dpi, turned=orientation >= 5),
        density=_density(said.density, turned=orientation >= 5),
        tags=said.tags,
        lost=tuple(dict.fromkeys([*said.lost, *gone])),
        format=stored.format,
    )


def _dpi(dpi: tuple[float, float] | None, *, turned: bool) -> tuple[float, float] | None:
    if dpi is None or not all(math.isfinite(value) and 0 < value < 1e6 for value in dpi):
        return None
    return dpi[::-1] if turned else dpi


def _density(density: Density | None, *, turned: bool) -> Density | None:
    if density is None or not all(math.isfinite(value) and 0 < value < _MOST_DENSITY for value in density[:2]):
        return None
    return density._replace(x=density.y, y=density.x) if turned else density


def _misfit(stored: Stored) -> str | None:
    """Why the profile in the file is none for its pixels; None when it is one, or there is none."""
    icc = stored.metadata.icc_profile
    if icc is None:
        return None
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return "the colour profile is damaged and was dropped."
    if icc[16:20] != {"GRAY": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}[stored.model]:
        kind = ascii(icc[16:20].decode("latin-1").strip())[1:-1]
        return f"the colour profile is for {kind}, the picture is {stored.model}: it was dropped."
    return None


def _numbers(stored: Stored) -> Described | None:
    """What the file says of its colours in numbers, where that counts more than its profile."""
    said = stored.metadata
    if stored.model == "CMYK":
        return None
    if said.icc_profile is None or said.outranks or _misfit(stored):
        return said.described
    return in_profile(said.icc_profile)


def _space(stored: Stored, like: Picture) -> ColourSpace | None:
    if like.described is not None and stored.model != "CMYK" and is_known(like.described):
        return space_described(like.described, stored.model)
    return space_of(like.icc_profile, stored.model)


def _rows_for(stored: Stored) -> int:
    return max(1, _STRIP_PIXELS // stored.width)


def _levels(stored: Stored) -> tuple[float, float]:
    """The values that become 0 and 1: known, or found by going through the picture once."""
    if stored.top is not None:
        return 0.0, 1.0
    low, high = math.inf, -math.inf
    for strip in stored.rows(_rows_for(stored)):
        with np.errstate(over="ignore", invalid="ignore"):  # said below
            values = _straight(strip, stored)
        if not (math.isfinite(float(values.min())) and math.isfinite(float(values.max()))):
            raise InvalidImage("contains NaN or infinite values")
        colour = values[..., : stored.channels - stored.alpha]
        low, high = min(low, float(colour.min())), max(high, float(colour.max()))
    low = low if low < 0 or low > 1 else 0.0
    high = high if high > 1 or high < 0 else 1.0
    if high - low > _MOST_SPAN:
        raise InvalidImage(f"the range of its values is too large ({low:.3g} to {high:.3g})")
    return (low, high) if high > low else (low, low + max(1.0, math.ulp(low)))  # beside 1e20, 1 is nothing


def _strips(stored: Stored, like: Picture, orientation: int, name: str, told: Told) -> Iterator[NDArray[np.float32]]:
    told.release()
    with translated(name, stored.format, told):
        rows = stored.rows(_rows_for(stored))
        if orientation != 1:
            whole = _turn(_gathered(rows, stored), orientation)
            count = max(1, _STRIP_PIXELS // whole.shape[1])
            rows = (whole[top : top + count] for top in range(0, len(whole), count))
    left = like.height
    while left:
        with translated(name, stored.format, told):
            values = next(rows, None)
            if values is None or values.shape[1] != like.width or values.shape[2] != stored.channels:
                raise InvalidImage(f"damaged or truncated {stored.format}: its pixels are not what its header says")
            strip = _finished(values, stored, like)
            left -= len(strip)
            if not left and stored.faults is not None and (found := stored.faults.found):
                more = f", and {len(found) - 1} faults more" if len(found) > 1 else ""
                warn(f"damaged, decoded as far as possible: {found[0]}{more}.")
        yield strip


def _gathered(rows: Iterator[NDArray[Any]], stored: Stored) -> NDArray[Any]:
    """The whole picture as it is stored."""
    first = next(rows)
    whole = np.empty((stored.height, *first.shape[1:]), first.dtype)
    whole[: len(first)] = first
    place = len(first)
    for strip in rows:
        whole[place : place + len(strip)] = strip
        place += len(strip)
    return whole


def _turn(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn a picture upright that was stored in EXIF ``orientation``: a view."""
    if orientation in (3, 4, 6, 7):
        values = values[::-1]
    if orientation in (2, 3, 7, 8):
        values = values[:, ::-1]
    return values.transpose(1, 0, 2) if orientation >= 5 else values


def _straight(strip: NDArray[Any], stored: Stored) -> NDArray[np.float32]:
    """The values as float32, integers of a known range in [0, 1], colours not multiplied by alpha."""
    if stored.top is None:
        values = strip.astype(np.float32, order="C")
    else:
        values = np.empty(strip.shape, np.float32)
        np.divide(strip, np.float32(stored.top), out=values, casting="unsafe")
        if np.iinfo(strip.dtype).max > stored.top:
            np.minimum(values, 1, out=values)
    if stored.premultiplied:
        alpha = values[..., -1:]
        np.divide(values[..., :-1], alpha, out=values[..., :-1], where=alpha > 0)
        if stored.top is not None:
            np.minimum(values, 1, out=values)
    return values


def _finished(strip: NDArray[Any], stored: Stored, like: Picture) -> NDArray[np.float32]:
    """Values as they are stored to pixels of the picture."""
    values = _straight(strip, stored)
    colours = stored.channels - stored.alpha
    colour, alpha = values[..., :colours], values[..., colours:]
    if like.levels != (0, 1):
        low, high = like.levels
        colour -= np.float32(low)
        colour /= np.float32(high - low)
    if stored.top is None:
        np.clip(values, 0, 1, out=values)
    if stored.inverted:
        np.subtract(1, colour, out=colour)
    if like.space is None and stored.model != "CMYK":
        return values
    working = _plain_rgb(colour) if like.space is None else like.space.to_working(colour)
    return np.concatenate([working, alpha], axis=2) if stored.alpha else np.ascontiguousarray(working)


def _plain_rgb(inks: NDArray[np.float32]) -> NDArray[np.float32]:
    """CMYK as RGB, without any knowledge of the inks."""
    return np.asarray((1 - inks[..., :3]) * (1 - inks[..., 3:]), np.float32)
