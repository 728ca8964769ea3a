"""The formats of pictures, one row each: how a file is known, what it can hold, and who reads and writes it.

A row names its functions as ``module:attribute``; they are imported when a file of the format is read or written.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srgan.errors import InvalidConfig, LimitExceeded


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format that is read and written."""

    suffixes: tuple[str, ...]
    """Of files that are written, in lower case; the first one is the usual one."""
    others: tuple[str, ...] = ()
    """Suffixes of files that are read only."""
    announced: Callable[[bytes], bool]
    """Whether a file that begins with these `HEAD_BYTES` bytes says that it is one."""
    decoder: str
    """From a seekable stream and `Limits` to a `Stored`; of a format with ``pages`` also from the place of one."""
    encoder: str
    """Called with rows of values, size, `Plan`, all but the pixels, quality and an empty, seekable stream."""
    measure: str | None = None
    """Where ``decoder`` decodes at once: from a stream to the width and height that its header states."""
    pages: str | None = None
    """From a stream and `Limits` to the places of the pages, where a file may have several."""
    index: str | None = None
    """From a stream at its start and `Limits` to the `Index` of an animation, or None for a still picture."""
    quality: int | None = None
    """The quality that is written by default, of 1 to 100; None where nothing is lost."""
    needs: tuple[str, str] | None = None
    """The module it takes, and the library that has it, which ``extra`` installs."""
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
    resolution: bool = False
    """Whether the pixels per inch can be said."""
    pixel_shape: bool = False
    """Whether it can be said that pixels are not square."""
    size: float = 1.0
    """Bytes of the file for each byte of its pixels: measured on enlarged photographs at the default quality, and
    rounded up. Drawings take far less, noise more."""


def _starting(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


def _brands(head: bytes) -> set[bytes]:
    """Of a file in boxes: which kinds of file it says it is."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(len(head), int.from_bytes(head[:4], "big"))
    return {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))}


_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}


def _netpbm(kinds: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[:1] == b"P" and head[1:2] in [bytes([kind]) for kind in kinds] and head[2:3].isspace()


FORMATS = {
    "PNG": Format(
        suffixes=(".png", ".apng"),
        announced=_starting(b"\x89PNG\r\n\x1a\n"),
        decoder="srgan.imaging.decoders.pillow:open_png",
        encoder="srgan.imaging.encoding:encode_png",
        index="srgan.imaging.animation.apng:index_png",
        alpha=True,
        bits=16,
        resolution=True,
        pixel_shape=True,
        size=0.7,
    ),
    "JPEG": Format(
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        announced=_starting(b"\xff\xd8\xff"),
        decoder="srgan.imaging.decoders.jpeg:open_jpeg",
        encoder="srgan.imaging.encoding:encode_jpeg",
        models=("GRAY", "RGB", "CMYK"),
        max_side=65_500,  # 35 below the format's own limit: that of libjpeg
        quality=95,
        resolution=True,
        pixel_shape=True,
        size=0.25,
    ),
    "WEBP": Format(
        suffixes=(".webp",),
        announced=lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
        decoder="srgan.imaging.decoders.pillow:open_webp",
        encoder="srgan.imaging.encoding:encode_webp",
        index="srgan.imaging.animation.webp:index_webp",
        models=("RGB",),
        alpha=True,
        max_side=16_383,
        max_pixels=178_956_970,  # of more, Pillow does not open it again
        quality=90,
        size=0.15,
    ),
    "TIFF": Format(
        suffixes=(".tif", ".tiff"),
        announced=_starting(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        decoder="srgan.imaging.decoders.tiff:open_tiff",
        encoder="srgan.imaging.encoding:encode_tiff",
        pages="srgan.imaging.decoders.tiff:pages_of",
        models=("GRAY", "RGB", "CMYK"),
        alpha=True,
        bits=32,
        resolution=True,
        pixel_shape=True,
        size=0.75,
    ),
    "BMP": Format(
        suffixes=(".bmp", ".dib"),
        announced=_starting(b"BM"),
        decoder="srgan.imaging.decoders.pillow:open_bmp",
        encoder="srgan.imaging.encoding:encode_bmp",
        profile=False,
        resolution=True,
    ),
    "GIF": Format(
        suffixes=(".gif",),
        announced=_starting(b"GIF87a", b"GIF89a"),
        decoder="srgan.imaging.decoders.pillow:open_gif",
        encoder="srgan.imaging.encoding:encode_gif",
        index="srgan.imaging.animation.gif:index_gif",
        alpha=True,
        profile=False,
        max_side=65_535,
        size=0.35,
    ),
    "PPM": Format(
        suffixes=(".ppm", ".pgm", ".pnm"),
        others=(".pbm",),
        announced=_netpbm(b"123456"),
        decoder="srgan.imaging.decoders.pnm:open_pnm",
        encoder="srgan.imaging.encoding:encode_netpbm",
        bits=16,
        profile=False,
    ),
    "PFM": Format(
        suffixes=(".pfm",),
        announced=_netpbm(b"Ff"),
        decoder="srgan.imaging.decoders.pnm:open_pnm",
        encoder="srgan.imaging.encoding:encode_netpbm",
        bits=32,
        least_bits=32,
        profile=False,
    ),
    # the limits of libavif's and libheif's decoders and of x265
    "AVIF": Format(
        suffixes=(".avif",),
        announced=lambda head: bool(_AVIF & _brands(head)),
        decoder="srgan.imaging.decoders.pillow:open_avif",
        encoder="srgan.imaging.encoding:encode_avif",
        models=("RGB",),
        alpha=True,
        max_side=32_768,
        max_pixels=2**28,
        quality=80,
        size=0.15,
    ),
    "HEIC": Format(
        suffixes=(".heic", ".heif"),
        announced=lambda head: bool(_HEIC & _brands(head)) and not _AVIF & _brands(head),
        decoder="srgan.imaging.decoders.modern:open_heif",
        encoder="srgan.imaging.encoding:encode_heic",
        models=("RGB",),
        alpha=True,
        max_side=16_384,
        max_pixels=2**28,
        quality=85,
        needs=("pillow_heif", "pillow-heif"),
        extra="formats",
        size=0.15,
    ),
    "JXL": Format(
        suffixes=(".jxl",),
        announced=_starting(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
        decoder="srgan.imaging.decoders.modern:open_jxl",
        encoder="srgan.imaging.encoding:encode_jxl",
        measure="srgan.imaging.decoders.modern:jxl_size",
        alpha=True,
        profile=False,
        max_pixels=2**30,
        quality=90,
        needs=("pillow_jxl", "pillow-jxl-plugin"),
        extra="formats",
        size=0.2,
    ),
}
"""In the order in which messages name them. Whoever adds a format adds a row here, and its name to the choices of
`srgan.settings.UpscaleSettings.format`, which knows nothing of pictures; a test holds both to each other."""
HEAD_BYTES = 64
"""What `sniff` needs."""
WRITABLE = READABLE = tuple(FORMATS)
"""Formats that can be written, and read; of an animation the first frame, of a document the first page. HEIC and JXL
need the extra ``formats``; PPM stands for PBM and PGM too."""
PICTURE_SUFFIXES = frozenset(suffix for format in FORMATS.values() for suffix in format.suffixes + format.others)
"""How such files are usually named, in lower case: what a search through a folder looks for."""

_HEADER_BYTES = 1 << 16
"""Allowed for headers and metadata in an estimate."""


def part_of(target: str) -> Any:
    """The function that a row names as ``module:attribute``."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def sniff(head: bytes) -> str | None:
    """The format, one of `FORMATS`, that the first `HEAD_BYTES` bytes announce; None for any other."""
    return next((name for name, format in FORMATS.items() if format.announced(head)), None)


def _by_suffix() -> dict[str, str]:
    return {suffix: name for name, format in FORMATS.items() for suffix in format.suffixes}


def format_of(target: str | os.PathLike[str] | None, format: str | None = None) -> str:
    """The format to write: ``format`` by its name or suffix in any case, else by the suffix of ``target``.

    PNG when there is neither a format nor a target. Raises `InvalidConfig`.
    """
    if format is not None:
        text = format.lower().lstrip(".")
        if found := _by_suffix().get(f".{text}"):
            return found
        raise InvalidConfig(f"cannot write the format {format!r}; choose one of {', '.join(FORMATS)}")
    if target is None:
        return "PNG"
    suffix = Path(target).suffix
    if found := _by_suffix().get(suffix.lower()):
        return found
    what = f"the suffix {suffix!r} is not a format that can be written" if suffix else "the name has no suffix"
    raise InvalidConfig(f"{target}: {what}; choose one of {', '.join(_by_suffix())}")


def check_format(format: str, width: int, height: int, channels: int) -> None:
    """Whether ``format`` can hold a picture of this size; call it before the work.

    Raises `LimitExceeded`, and `InvalidConfig` for a format that cannot be written.
    """
    format = format_of(None, format)
    held = FORMATS[format]
    if max(width, height) > held.max_side:
        limit = f"{held.max_side:,} pixels per side"
    elif width * height > held.max_pixels:
        limit = f"{held.max_pixels:,} pixels"
    elif format == "BMP" and (width * channels + 3) * height >= 2**32 - 4096:
        limit = "4 GiB"
    else:
        return
    raise LimitExceeded(
        f"{width} x {height} pixels are too large for {format}, which is limited to {limit}; choose PNG or TIFF"
    )


def estimate_bytes(size: tuple[int, int], channels: int, bit_depth: int, format: str) -> int:
    """About how many bytes the file of a picture of ``size`` (height, width) has at the default quality.

    Rather too many: what enlarged photographs need in ``format`` (`Format.size`), and one byte for each byte of
    pixels of 16 bits and floating point. Drawings take far less. Exact but for the header where nothing is compressed.
    """
    held = FORMATS[format_of(None, format)]
    bits = max(held.least_bits, min(bit_depth, held.bits))
    raw = size[0] * size[1] * channels * bits // 8
    return int(raw * (held.size if bits == 8 else 1.0)) + _HEADER_BYTES
