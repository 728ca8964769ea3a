"""The formats that pictures are written in: names, limits, and what each can hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from srgan.errors import InvalidConfig, LimitExceeded


@dataclass(frozen=True, kw_only=True)
class Format:
    """What a format can hold."""

    suffixes: tuple[str, ...]
    models: tuple[str, ...] = ("GRAY", "RGB")
    """Kinds of colour: GRAY, RGB, CMYK."""
    alpha: bool = False
    bits: int = 8
    """Most bits of one channel: 8, 16, or 32 for floating point."""
    least_bits: int = 8
    profile: bool = True
    """Whether a colour profile can be embedded."""
    max_side: int = 2**31 - 1
    """Largest width or height: the format's own limit, or that of the libraries that write and open it."""
    max_pixels: int = 2**62
    extra: str | None = None
    """The extra that installs the library it takes."""
    size: float = 1.0
    """Bytes of the file for each byte of its pixels: measured on enlarged photographs at the default quality, and
    rounded up. Drawings take far less, noise more."""


FORMATS = {
    "PNG": Format(suffixes=(".png", ".apng"), alpha=True, bits=16, size=0.7),
    # 35 below the format's own limit: that of libjpeg
    "JPEG": Format(
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"), models=("GRAY", "RGB", "CMYK"), max_side=65_500, size=0.25
    ),
    # more pixels than that Pillow does not open again
    "WEBP": Format(
        suffixes=(".webp",), models=("RGB",), alpha=True, max_side=16_383, max_pixels=178_956_970, size=0.15
    ),
    "TIFF": Format(suffixes=(".tif", ".tiff"), models=("GRAY", "RGB", "CMYK"), alpha=True, bits=32, size=0.75),
    "BMP": Format(suffixes=(".bmp", ".dib"), profile=False),
    "GIF": Format(suffixes=(".gif",), alpha=True, profile=False, max_side=65_535, size=0.35),
    "PPM": Format(suffixes=(".ppm", ".pgm", ".pnm"), bits=16, profile=False),
    "PFM": Format(suffixes=(".pfm",), bits=32, least_bits=32, profile=False),
    # the limits of libavif's and libheif's decoders and of x265
    "AVIF": Format(suffixes=(".avif",), models=("RGB",), alpha=True, max_side=32_768, max_pixels=2**28, size=0.15),
    "HEIC": Format(
        suffixes=(".heic", ".heif"),
        models=("RGB",),
        alpha=True,
        max_side=16_384,
        max_pixels=2**28,
        extra="formats",
        size=0.15,
    ),
    "JXL": Format(suffixes=(".jxl",), alpha=True, profile=False, max_pixels=2**30, extra="formats", size=0.2),
}
WRITABLE = tuple(FORMATS)
"""Formats that can be written."""

_BY_SUFFIX = {suffix: name for name, format in FORMATS.items() for suffix in format.suffixes}
_HEADER_BYTES = 1 << 16
"""Allowed for headers and metadata in an estimate."""


def format_of(target: str | os.PathLike[str] | None, format: str | None = None) -> str:
    """The format to write: ``format`` by its name or suffix in any case, else by the suffix of ``target``.

    PNG when there is neither a format nor a target. Raises `InvalidConfig`.
    """
    if format is not None:
        text = format.lower().lstrip(".")
        if found := _BY_SUFFIX.get(f".{text}"):
            return found
        raise InvalidConfig(f"cannot write the format {format!r}; choose one of {', '.join(WRITABLE)}")
    if target is None:
        return "PNG"
    suffix = Path(target).suffix
    if found := _BY_SUFFIX.get(suffix.lower()):
        return found
    what = f"the suffix {suffix!r}" if suffix else "a missing suffix"
    raise InvalidConfig(f"{target}: {what} says no format that can be written; choose one of {', '.join(_BY_SUFFIX)}")


def check_format(format: str, width: int, height: int, channels: int) -> None:
    """Whether ``format`` can hold a picture of this size; call it before the work.

    Raises `LimitExceeded`, and `InvalidConfig` for a format that cannot be written.
    """
    format = format_of(None, format)
    held = FORMATS[format]
    if max(width, height) > held.max_side:
        limit = f"ends at {held.max_side:,} a side"
    elif width * height > held.max_pixels:
        limit = f"is opened again up to {held.max_pixels:,} pixels only"
    elif format == "BMP" and (width * channels + 3) * height >= 2**32 - 4096:
        limit = "ends at 4 GiB"
    else:
        return
    raise LimitExceeded(f"{width} x {height} pixels do not fit into {format}, which {limit}; choose PNG or TIFF")


def estimate_bytes(size: tuple[int, int], channels: int, bit_depth: int, format: str) -> int:
    """About how many bytes the file of a picture of ``size`` (height, width) has at the default quality.

    Rather too many: what enlarged photographs need in ``format`` (`Format.size`), and one byte for each byte of
    pixels of 16 bits and floating point. Drawings take far less. Exact but for the header where nothing is compressed.
    """
    held = FORMATS[format_of(None, format)]
    bits = max(held.least_bits, min(bit_depth, held.bits))
    raw = size[0] * size[1] * channels * bits // 8
    return int(raw * (held.size if bits == 8 else 1.0)) + _HEADER_BYTES
