"""Reading pictures from strangers: limits first, then the header, then the pixels.

The content decides the format, never the name. Formats are opened by Pillow's readers directly, one by one, because
`PIL.Image.open` would apply Pillow's process-wide pixel limit in place of the caller's `Limits`.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from srgan.errors import InvalidImage, LimitExceeded, OutOfMemory, SrganError
from srgan.imaging.exif import bare_exif, descriptive_exif, take_orientation
from srgan.imaging.picture import Picture, Scan, blank

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_READERS = {
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
}
READABLE = tuple(_READERS)
"""Formats that `read_picture` reads; of an animation the first frame."""

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif"}
)
"""How such files are usually named, in lower case: what a search through a folder looks for."""

_STRIP_PIXELS = 1 << 20
"""Pixels converted to float at a time: bounds the copies beside the decoded picture and the result."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an input may be at most. Checked before its pixels are decoded."""

    max_bytes: int = 1 << 30
    """Bytes of the file."""
    max_pixels: int = 250_000_000
    """Width times height."""
    max_side: int = 200_000
    """Width or height."""
    max_frames: int = 10_000
    """Frames of an animation, pages of a document."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of its picture. Width and height are as stored: orientation is not applied."""

    format: str
    width: int
    height: int


def read_picture(source: str | os.PathLike[str] | bytes | BinaryIO, *, limits: Limits = Limits()) -> Picture:
    """Read the picture at a path, in bytes or in an open binary file (from where it stands).

    The orientation that EXIF (or else XMP) states is applied and reset. Palettes become RGB or RGBA, bilevel becomes
    gray, CMYK becomes sRGB by its profile where it has one. Gray of 16 bit keeps its depth; other pictures come as
    8 bit. Raises `InvalidImage` or `LimitExceeded` with one line that names the input.
    """
    name = _name_of(source)
    with _opened(source, name, limits) as stream, _image(stream, name, limits) as (image, kind):
        image.load()
        return _to_picture(image, kind)


@contextmanager
def open_scan(source: str | os.PathLike[str] | bytes | BinaryIO, *, limits: Limits = Limits()) -> Iterator[Scan]:
    """The picture strip by strip, as long as the block lasts. Raises as `read_picture` does, in the block too."""
    picture = read_picture(source, limits=limits)
    rows = max(1, _STRIP_PIXELS // picture.width)
    pixels = picture.pixels
    strips = (pixels[start : start + rows] for start in range(0, picture.height, rows))
    yield Scan(like=dataclasses.replace(picture, pixels=blank(*pixels.shape)), strips=strips)


def probe_picture(source: str | os.PathLike[str] | bytes | BinaryIO, *, limits: Limits = Limits()) -> Header:
    """What the header says, without decoding pixels. Raises as `read_picture` does."""
    name = _name_of(source)
    with _opened(source, name, limits) as stream, _image(stream, name, limits) as (image, kind):
        width, height = image.size
        return Header(format=kind, width=width, height=height)


def _name_of(source: object) -> str:
    """What messages call the input: always one printable line."""
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
    else:
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the input"
    return name if name.isprintable() and name else ascii(name)


def _opened(source: str | os.PathLike[str] | bytes | BinaryIO, name: str, limits: Limits) -> BinaryIO:
    """A seekable stream over at most ``limits.max_bytes`` bytes. Pipes are read into memory, regular files are not."""
    if isinstance(source, bytes | bytearray | memoryview):
        _check_bytes(len(source), name, limits)
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        return _drained(source, name, limits)
    try:
        stream = open(source, "rb")  # noqa: SIM115 (handed to the caller, who closes it)
    except FileNotFoundError as error:
        raise InvalidImage(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise InvalidImage(f"{name}: is a folder, not a picture") from error
    except (OSError, ValueError) as error:
        raise InvalidImage(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    status = os.fstat(stream.fileno())
    if stat.S_ISREG(status.st_mode):
        try:
            _check_bytes(status.st_size, name, limits)
        except SrganError:
            stream.close()
            raise
        return stream
    with stream:
        return _drained(stream, name, limits)


def _drained(stream: BinaryIO, name: str, limits: Limits) -> io.BytesIO:
    """What is left of ``stream``, in memory. Piece by piece: one large read would ask for the whole limit at once."""
    data = bytearray()
    try:
        while len(data) <= limits.max_bytes and (piece := stream.read(1 << 20)):
            data += piece
    except (OSError, ValueError, TypeError) as error:
        raise InvalidImage(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    _check_bytes(len(data), name, limits)
    return io.BytesIO(data)


def _check_bytes(count: int, name: str, limits: Limits) -> None:
    if count == 0:
        raise InvalidImage(f"{name}: is empty")
    if count > limits.max_bytes:
        raise LimitExceeded(f"{name}: larger than the limit of {limits.max_bytes:,} bytes")


@contextmanager
def _image(stream: BinaryIO, name: str, limits: Limits) -> Iterator[tuple[Image.Image, str]]:
    """The Pillow image, header read and size checked, and its format; translates what goes wrong in the block."""
    try:
        kind = _sniff(stream.read(64))
    except OSError as error:
        raise InvalidImage(f"{name}: cannot be read: {error.strerror or error}") from error
    if kind is None:
        raise InvalidImage(f"{name}: not a picture that can be read ({', '.join(READABLE)})")
    stream.seek(0)
    module, reader = _READERS[kind]
    try:
        image = getattr(importlib.import_module(f"PIL.{module}"), reader)(stream)
        _check_size(image.size, name, limits)
        yield image, kind
    except SrganError as error:
        raise type(error)(str(error) if str(error).startswith(name) else f"{name}: {error}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{name}: too large for this machine's memory") from error
    except Exception as error:  # whatever a reader raises on hostile bytes, the input is at fault
        if type(error).__name__.startswith("DecompressionBomb"):
            raise LimitExceeded(f"{name}: larger than Pillow decodes: {error}") from error
        detail = " ".join(str(error).split()) or type(error).__name__
        raise InvalidImage(f"{name}: damaged or truncated {kind}: {detail}") from error


def _sniff(head: bytes) -> str | None:
    """The format that the first 64 bytes announce."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if head[4:8] == b"ftyp" and any(brand in head[8:] for brand in (b"avif", b"avis")):
        return "AVIF"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    return "BMP" if head.startswith(b"BM") else None


def _check_size(size: tuple[int, int], name: str, limits: Limits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidImage(f"{name}: has no pixels ({width} x {height})")
    if max(width, height) > limits.max_side:
        raise LimitExceeded(f"{name}: {width} x {height} pixels, the limit is {limits.max_side:,} a side")
    if width * height > limits.max_pixels:
        raise LimitExceeded(f"{name}: {width} x {height} pixels, the limit is {limits.max_pixels:,} in all")


def _to_picture(image: Image.Image, kind: str) -> Picture:
    info = image.info
    exif = _exif_of(image, kind)
    xmp = info.get("xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp if isinstance(xmp, bytes) else None
    orientation, exif, xmp = take_orientation(exif, xmp)
    if kind == "TIFF":
        orientation = 1  # Pillow has turned it already
    icc = info.get("icc_profile")
    if image.mode in ("CMYK", "YCbCr"):
        image, icc = _to_srgb(image, icc), None
    bit_depth, image = _plain(image, kind)
    pixels = _turn(_to_float(image, bit_depth), orientation)
    dpi = _dpi_of(info)
    if dpi is not None and orientation >= 5:
        dpi = dpi[::-1]
    return Picture(
        pixels=pixels,
        bit_depth=16 if bit_depth > 8 else 8,
        icc_profile=_sound_profile(icc, gray=pixels.shape[2] < 3),
        exif=exif,
        xmp=xmp,
        dpi=dpi,
        format=kind,
    )


def _plain(image: Image.Image, kind: str) -> tuple[int, Image.Image]:
    """Bits of a channel that count, and ``image`` in a mode that holds plain gray or RGB values."""
    mode = image.mode
    transparent = "transparency" in image.info
    if mode.startswith("I;16"):
        return (_tiff_tag(image, 258, 16) if kind == "TIFF" else 16), image
    if mode == "I" and kind == "PPM":
        return 16, image
    if mode in ("I", "F"):
        raise InvalidImage("32-bit and floating-point pixels are not supported")
    if mode in ("1", "L"):
        return 8, image.convert("LA" if transparent else "L") if transparent or mode == "1" else image
    if mode == "La":
        return 8, image.convert("LA")
    if mode in ("P", "PA", "RGB", "RGBa", "RGBX"):
        wanted = "RGBA" if transparent or mode in ("PA", "RGBa") else "RGB"
        return 8, image if mode == wanted else image.convert(wanted)
    if mode in ("LA", "RGBA"):
        return 8, image
    raise InvalidImage(f"pixels of the kind {mode} are not supported")


def _to_float(image: Image.Image, bits: int) -> NDArray[np.float32]:
    """The values as float32 in [0, 1], converted in strips; a transparent 16-bit gray becomes an alpha channel."""
    top = np.float32((1 << bits) - 1)
    width, height = image.size
    key = image.info.get("transparency") if bits > 8 else None
    channels = len(image.getbands()) + (key is not None)
    pixels = np.empty((height, width, channels), np.float32)
    rows = max(1, _STRIP_PIXELS // width)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        part = image if rows >= height else image.crop((0, start, width, stop))
        values = np.asarray(part).reshape(stop - start, width, -1)
        np.divide(values, top, out=pixels[start:stop, :, : values.shape[2]], casting="unsafe")
        if key is not None:
            pixels[start:stop, :, 1:] = values != key
    if bits > 8 and image.format == "TIFF" and _tiff_tag(image, 262, 1) == 0:
        np.subtract(1, pixels, out=pixels)  # white is zero: Pillow leaves 16-bit values as they stand
    return pixels


def _turn(pixels: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Turn a picture upright that was stored in EXIF ``orientation``."""
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels)


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Colours that no network works in, as sRGB: by the embedded profile, else by Pillow's plain formula."""
    from PIL import ImageCms

    if icc:
        try:
            return ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            ) or image.convert("RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged profile or one for other pixels says nothing about the colours
    return image.convert("RGB")


def _sound_profile(icc: Any, *, gray: bool) -> bytes | None:
    """``icc`` when it is a colour profile for pixels of this kind, else None."""
    if not isinstance(icc, bytes) or len(icc) < 132 or icc[36:40] != b"acsp":
        return None
    return icc if icc[16:20] == (b"GRAY" if gray else b"RGB ") else None


def _dpi_of(info: dict[Any, Any]) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) and 0 < x < 1e6 and 0 < y < 1e6 else None


def _tiff_tag(image: Any, tag: int, default: int) -> int:
    """The first value of a whole-number tag of a TIFF file."""
    value = image.tag_v2.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _exif_of(image: Any, kind: str) -> bytes | None:
    if kind == "TIFF":
        return descriptive_exif(image.getexif())
    exif = image.info.get("exif")
    return bare_exif(exif) if isinstance(exif, bytes) else None
