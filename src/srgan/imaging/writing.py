"""Writing pictures: the whole file or nothing, checked before it takes its name."""

from __future__ import annotations

import io
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from srgan.errors import CannotWrite, InvalidConfig, LimitExceeded, SrganError
from srgan.imaging.exif import EXIF_DIRECTORIES, descriptive_exif
from srgan.imaging.picture import Picture, to_uint8, to_uint16
from srgan.imaging.png import PngWriter
from srgan.imaging.reading import Limits, probe_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
WRITABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""Formats that can be written."""

_MAX_SIDE = {"PNG": 2**31 - 1, "JPEG": 65_500, "WEBP": 16_383, "TIFF": 2**31 - 1, "BMP": 2**31 - 1}
"""Largest width or height: the format's own limit; JPEG's is that of libjpeg, 35 below the format's."""
_JPEG_EXIF, _JPEG_XMP = 65_533 - 6, 65_533 - 29
"""Most bytes of EXIF and XMP in JPEG: a segment less its name. Longer ones are left out."""
_WEBP_PIXELS = 178_956_970
"""Most pixels of a WebP file that Pillow opens again."""
_CLASSIC_TIFF = 3 << 30
"""Bytes of pixels from which on TIFF is written as BigTIFF: classic TIFF ends at 4 GiB, and LZW may enlarge noise."""
_STRIP_VALUES = 1 << 20
"""Values turned to integers at a time."""
_EXISTS = "exists already; allow overwriting, or choose another name"
_QUALITY = {"JPEG": 95, "WEBP": 90}


def format_of(target: str | os.PathLike[str] | None, format: str | None = None) -> str:
    """The format to write: ``format`` by its name or suffix in any case, else by the suffix of ``target``.

    PNG when there is neither a format nor a target. Raises `InvalidConfig`.
    """
    if format is not None:
        text = format.lower().lstrip(".")
        if found := _SUFFIXES.get(f".{text}"):
            return found
        raise InvalidConfig(f"cannot write the format {format!r}; choose one of {', '.join(WRITABLE)}")
    if target is None:
        return "PNG"
    suffix = Path(target).suffix
    if found := _SUFFIXES.get(suffix.lower()):
        return found
    what = f"the suffix {suffix!r}" if suffix else "a missing suffix"
    raise InvalidConfig(f"{target}: {what} says no format that can be written; choose one of {', '.join(_SUFFIXES)}")


def check_format(format: str, width: int, height: int, channels: int) -> None:
    """Whether ``format`` can hold a picture of this size; call it before the work. Raises `LimitExceeded`."""
    side = _MAX_SIDE[format]
    if max(width, height) > side:
        limit = f"ends at {side:,} a side"
    elif format == "WEBP" and width * height > _WEBP_PIXELS:
        limit = f"is opened again up to {_WEBP_PIXELS:,} pixels only"
    elif format == "BMP" and (width * channels + 3) * height >= 2**32 - 4096:
        limit = "ends at 4 GiB"
    else:
        return
    raise LimitExceeded(f"{width} x {height} pixels do not fit into {format}, which {limit}; choose PNG or TIFF")


def encode_picture(picture: Picture, format: str, *, quality: int | None = None) -> bytes:
    """``picture`` as the bytes of a file.

    ``quality`` is 1 to 100 for JPEG (default 95; colour at full resolution) and WebP (default 90; 100 is lossless) and
    is ignored elsewhere. Alpha is laid on white for JPEG and BMP, which have none. Channels of 16 bit are kept in PNG,
    and in TIFF when gray. Colour profile, EXIF, XMP and DPI are written where the format has room for them. Raises
    `InvalidConfig`, `LimitExceeded` and `CannotWrite`.
    """
    buffer = io.BytesIO()
    _encode(picture, format, quality, buffer)
    return buffer.getvalue()


def write_picture(
    picture: Picture,
    target: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``picture`` to ``target`` and return its path.

    The file is made beside the target, flushed to the disk, opened again and only then renamed: the target is the whole
    new picture or what it was before. Pixels are encoded as `encode_picture` says. Raises `InvalidConfig` for an
    unknown format, `LimitExceeded` when the format is too small for the picture, and `CannotWrite` when the target
    exists and ``overwrite`` is false or when anything else stands in the way.
    """
    target = Path(target)
    kind = format_of(target, format)
    check_target(target, overwrite=overwrite)
    with _replacing(target, overwrite=overwrite) as (stream, temporary):
        _encode(picture, kind, quality, stream)
        stream.flush()
        os.fsync(stream.fileno())
        _check_written(temporary, kind, picture)
    return target


def check_target(target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Whether a picture may be written to ``target``; call it before the work. Raises `CannotWrite`."""
    target = Path(target)
    parent = target.parent
    try:
        os.lstat(target)
        exists = True
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except (OSError, ValueError) as error:
        raise CannotWrite(f"{target}: {_reason(error)}") from error
    if target.is_dir():
        reason = "is a folder"
    elif target.exists() and not target.is_file():
        reason = "is not a regular file"
    elif exists and not overwrite:
        reason = _EXISTS
    elif not parent.is_dir():
        reason = f"the folder {parent} does not exist"
    elif not os.access(parent, os.W_OK | os.X_OK):
        reason = f"the folder {parent} cannot be written to"
    else:
        return
    raise CannotWrite(f"{target}: {reason}")


@contextmanager
def _replacing(target: Path, *, overwrite: bool) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file beside ``target`` that takes its place when the block ends, and vanishes when the block fails."""
    real = Path(os.path.realpath(target))  # a link is kept, what it points to is replaced
    temporary = real.parent / f".srgan-{secrets.token_hex(8)}.part"
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with open(descriptor, "w+b") as stream:
                yield stream, temporary
            if overwrite:
                if real.exists():
                    os.chmod(temporary, real.stat().st_mode & 0o7777)
                os.replace(temporary, real)
            else:
                _rename_onto_nothing(temporary, real)
        finally:
            temporary.unlink(missing_ok=True)
    except (CannotWrite, LimitExceeded) as error:
        raise type(error)(f"{target}: {error}") from error
    except FileExistsError as error:
        raise CannotWrite(f"{target}: {_EXISTS}") from error
    except (OSError, ValueError) as error:
        raise CannotWrite(f"{target}: {_reason(error)}") from error


def _rename_onto_nothing(temporary: Path, real: Path) -> None:
    """Give ``temporary`` its name unless something has it; where the file system has no links, check and rename."""
    try:
        os.link(temporary, real)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(real):
            raise FileExistsError(real) from None
        os.rename(temporary, real)


def _reason(error: Exception) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())


def _check_written(path: Path, kind: str, picture: Picture) -> None:
    """Open the file again, as anyone would, and compare what its header says."""
    try:
        header = probe_picture(path, limits=Limits(max_bytes=2**62, max_pixels=2**62, max_side=2**31))
    except SrganError as error:
        raise CannotWrite(f"the written file cannot be opened again: {error}") from error
    if (header.format, header.width, header.height) != (kind, picture.width, picture.height):
        raise CannotWrite(
            f"the written file is {header.format} of {header.width} x {header.height} pixels instead of"
            f" {kind} of {picture.width} x {picture.height}"
        )


def _encode(picture: Picture, format: str, quality: int | None, stream: BinaryIO) -> None:
    if format not in WRITABLE:
        raise InvalidConfig(f"cannot write the format {format!r}; choose one of {', '.join(WRITABLE)}")
    if quality is not None and not 1 <= quality <= 100:
        raise InvalidConfig(f"the quality is 1 to 100, not {quality}")
    if picture.has_alpha and format in ("JPEG", "BMP"):
        picture = _on_white(picture)
    check_format(format, picture.width, picture.height, picture.pixels.shape[2])
    try:
        if format == "PNG":
            _encode_png(picture, stream)
        else:
            image, options = _for_pillow(picture, format, quality)
            image.save(stream, format, **options)
    except (OSError, ValueError, OverflowError) as error:
        raise CannotWrite(f"{format} encoding failed: {_reason(error)}") from error


def _on_white(picture: Picture) -> Picture:
    """The picture without alpha, as it looks on white paper: the rule for formats that have no alpha."""
    alpha = picture.alpha
    assert alpha is not None
    return replace(picture, pixels=np.ascontiguousarray(picture.colour * alpha + (1 - alpha)))


def _encode_png(picture: Picture, stream: BinaryIO) -> None:
    """Strip by strip, so that beside the picture only a few megabytes are held."""
    height, width, channels = picture.pixels.shape
    deep = picture.bit_depth > 8
    writer = PngWriter(
        stream,
        width,
        height,
        channels,
        bit_depth=16 if deep else 8,
        icc_profile=picture.icc_profile,
        exif=picture.exif,
        xmp=picture.xmp,
        dpi=picture.dpi,
    )
    rows = max(1, _STRIP_VALUES // (width * channels))
    for start in range(0, height, rows):
        strip = picture.pixels[start : start + rows]
        writer.write_rows(to_uint16(strip) if deep else to_uint8(strip))
    writer.finish()


def _for_pillow(picture: Picture, format: str, quality: int | None) -> tuple[Image.Image, dict[str, Any]]:
    """The picture as a Pillow image, with everything ``format`` can carry as options of its writer."""
    from PIL import Image

    deep = format == "TIFF" and picture.bit_depth > 8 and picture.pixels.shape[2] == 1
    values: NDArray[Any] = to_uint16(picture.pixels) if deep else to_uint8(picture.pixels)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    options: dict[str, Any] = {}
    if picture.dpi is not None and format != "WEBP":
        options["dpi"] = picture.dpi
    if format == "BMP":
        return image, options
    if picture.icc_profile is not None:
        options["icc_profile"] = picture.icc_profile
    if format == "TIFF":
        return image, options | _for_tiff(picture, values.nbytes)
    room = (_JPEG_EXIF, _JPEG_XMP) if format == "JPEG" else (sys.maxsize, sys.maxsize)
    if picture.exif is not None and len(picture.exif) <= room[0]:
        options["exif"] = b"Exif\0\0" + picture.exif
    if picture.xmp is not None and len(picture.xmp) <= room[1]:
        options["xmp"] = picture.xmp
    quality = quality or _QUALITY[format]
    if format == "JPEG":
        options |= {"quality": quality, "subsampling": "4:4:4"}
    else:
        options |= {"lossless": True, "exact": True} if quality == 100 else {"quality": quality}
    return image, options


def _for_tiff(picture: Picture, size: int) -> dict[str, Any]:
    """LZW of differences, the best of speed and size measured. But libtiff, as Pillow drives it, writes neither the
    directories of EXIF nor BigTIFF; there the pixels are stored as they are: rather a larger file than lost metadata.
    """
    from PIL import Image

    tags = Image.Exif()
    if picture.exif is not None:
        source = Image.Exif()
        source.load(picture.exif)
        if exif := descriptive_exif(source):
            tags.load(exif)
    large = size > _CLASSIC_TIFF
    stored = large or any(directory in tags for directory in EXIF_DIRECTORIES)
    if not stored:
        tags[317] = 2  # each value as its difference to the one on the left
    if picture.xmp is not None:
        tags[700] = picture.xmp
    return {"compression": "raw" if stored else "tiff_lzw", "exif": tags, "big_tiff": large}
