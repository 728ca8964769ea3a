"""Writing pictures: the whole file or nothing, checked before it takes its name."""

from __future__ import annotations

import io
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from srgan.errors import CannotWrite, InvalidConfig, LimitExceeded, SrganError
from srgan.imaging.exif import EXIF_DIRECTORIES, descriptive_exif
from srgan.imaging.picture import to_uint8, to_uint16
from srgan.imaging.png import PngWriter
from srgan.imaging.reading import Limits, probe_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from srgan.imaging.picture import Picture

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
    """Whether ``format`` can hold a picture of this size; call it before the work.

    Raises `LimitExceeded`, and `InvalidConfig` for a format that cannot be written.
    """
    format = format_of(None, format)
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
    return encode_strips([picture.pixels], (picture.height, picture.width), format, like=picture, quality=quality)


def encode_strips(
    strips: Iterable[NDArray[np.float32]],
    size: tuple[int, int],
    format: str,
    *,
    like: Picture,
    quality: int | None = None,
) -> bytes:
    """`encode_picture` for a picture of ``size`` (height, width) that comes in strips of rows, top to bottom.

    Each strip is rows x width x channels, float32, in [0, 1]; together they must have ``height`` rows. ``like`` says
    everything else: channels, depth, profile and metadata.
    """
    buffer = io.BytesIO()
    _encode(strips, size, like, format, quality, buffer)
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
    size = (picture.height, picture.width)
    return write_strips(
        [picture.pixels], size, target, like=picture, format=format, quality=quality, overwrite=overwrite
    )


def write_strips(
    strips: Iterable[NDArray[np.float32]],
    size: tuple[int, int],
    target: str | os.PathLike[str],
    *,
    like: Picture,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
) -> Path:
    """`write_picture` for a picture in strips, as `encode_strips` takes them.

    PNG holds one strip at a time, whatever the picture's size; the other formats hold the whole picture as integers.
    What ``strips`` raises passes through (but OSError, which counts as a failure to write), and nothing is left behind.
    """
    target = Path(target)
    kind = format_of(target, format)
    check_target(target, overwrite=overwrite)
    try:
        with _replacing(target, overwrite=overwrite) as (stream, temporary):
            _encode(strips, size, like, kind, quality, stream)
            stream.flush()
            os.fsync(stream.fileno())
            _check_written(temporary, kind, size)
    except FileExistsError as error:
        raise CannotWrite(f"{target}: {_EXISTS}") from error
    except OSError as error:
        raise CannotWrite(f"{target}: {_reason(error)}") from error
    except (CannotWrite, LimitExceeded) as error:
        raise type(error)(f"{target}: {error}") from error
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


def _check_written(path: Path, kind: str, size: tuple[int, int]) -> None:
    """Open the file again, as anyone would, and compare what its header says."""
    try:
        header = probe_picture(path, limits=Limits(max_bytes=2**62, max_pixels=2**62, max_side=2**31))
    except SrganError as error:
        raise CannotWrite(f"the written file cannot be opened again: {error}") from error
    if (header.format, header.height, header.width) != (kind, *size):
        found = f"{header.format} of {header.width} x {header.height} pixels"
        raise CannotWrite(f"the written file is {found} instead of {kind} of {size[1]} x {size[0]}")


def _encode(
    strips: Iterable[NDArray[np.float32]],
    size: tuple[int, int],
    like: Picture,
    format: str,
    quality: int | None,
    stream: BinaryIO,
) -> None:
    format = format_of(None, format)
    if quality is not None and not 1 <= quality <= 100:
        raise InvalidConfig(f"the quality is 1 to 100, not {quality}")
    channels = like.pixels.shape[2]
    if like.has_alpha and format in ("JPEG", "BMP"):
        strips, channels = map(_on_white, strips), channels - 1
    check_format(format, size[1], size[0], channels)
    if format == "PNG":
        _encode_png(strips, (*size, channels), like, stream)
        return
    deep = format == "TIFF" and like.bit_depth > 8 and channels == 1
    values = np.empty((*size, channels), np.uint16 if deep else np.uint8)
    row = 0
    for strip in strips:
        values[row : row + len(strip)] = to_uint16(strip) if deep else to_uint8(strip)
        row += len(strip)
    if row != size[0]:
        raise ValueError(f"{row} rows came for a picture of {size[0]}")
    image, options = _for_pillow(values, like, format, quality)
    try:
        image.save(stream, format, **options)
    except (OSError, ValueError, OverflowError) as error:
        raise CannotWrite(_reason(error)) from error


def _on_white(strip: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows without their alpha, as they look on white paper: the rule for formats that have no alpha."""
    colour, alpha = strip[..., :-1], strip[..., -1:]
    return np.asarray(colour * alpha + (1 - alpha), np.float32)


def _encode_png(
    strips: Iterable[NDArray[np.float32]], shape: tuple[int, int, int], like: Picture, stream: BinaryIO
) -> None:
    """In portions of a few megabytes, all that is held beside a strip."""
    height, width, channels = shape
    deep = like.bit_depth > 8
    writer = PngWriter(
        stream,
        width,
        height,
        channels,
        bit_depth=16 if deep else 8,
        icc_profile=like.icc_profile,
        exif=like.exif,
        xmp=like.xmp,
        dpi=like.dpi,
    )
    rows = max(1, _STRIP_VALUES // (width * channels))
    for strip in strips:
        for start in range(0, len(strip), rows):
            portion = strip[start : start + rows]
            writer.write_rows(to_uint16(portion) if deep else to_uint8(portion))
    writer.finish()


def _for_pillow(
    values: NDArray[Any], like: Picture, format: str, quality: int | None
) -> tuple[Image.Image, dict[str, Any]]:
    """A Pillow image of ``values``, with everything of ``like`` that ``format`` can carry as options of its writer."""
    from PIL import Image

    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    options: dict[str, Any] = {}
    if like.dpi is not None and format != "WEBP":
        options["dpi"] = like.dpi
    if format == "BMP":
        return image, options
    if like.icc_profile is not None:
        options["icc_profile"] = like.icc_profile
    if format == "TIFF":
        return image, options | _for_tiff(like, values.nbytes)
    room = (_JPEG_EXIF, _JPEG_XMP) if format == "JPEG" else (sys.maxsize, sys.maxsize)
    if like.exif is not None and len(like.exif) <= room[0]:
        options["exif"] = b"Exif\0\0" + like.exif
    if like.xmp is not None and len(like.xmp) <= room[1]:
        options["xmp"] = like.xmp
    quality = quality or _QUALITY[format]
    if format == "JPEG":
        options |= {"quality": quality, "subsampling": "4:4:4"}
    else:
        options |= {"lossless": True, "exact": True} if quality == 100 else {"quality": quality}
    return image, options


def _for_tiff(like: Picture, size: int) -> dict[str, Any]:
    """LZW of differences, the best of speed and size measured. But libtiff, as Pillow drives it, writes neither the
    directories of EXIF nor BigTIFF; there the pixels are stored as they are: rather a larger file than lost metadata.
    """
    from PIL import Image

    tags = Image.Exif()
    if like.exif is not None:
        source = Image.Exif()
        source.load(like.exif)
        if exif := descriptive_exif(source):
            tags.load(exif)
    large = size > _CLASSIC_TIFF
    stored = large or any(directory in tags for directory in EXIF_DIRECTORIES)
    if not stored:
        tags[317] = 2  # each value as its difference to the one on the left
    if like.xmp is not None:
        tags[700] = like.xmp
    return {"compression": "raw" if stored else "tiff_lzw", "exif": tags, "big_tiff": large}
