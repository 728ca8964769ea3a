"""Writing pictures: the whole file or nothing, checked before it takes its name."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from srgan.errors import CannotWrite, InvalidImage, LimitExceeded, SrganError
from srgan.imaging.encoding import encode
from srgan.imaging.formats import format_of
from srgan.imaging.reading import READABLE, Limits, probe_picture
from srgan.imaging.targets import EXISTS, check_target, reason, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from srgan.imaging.picture import Picture

Verify = Literal["header", "pixels"]

_NO_LIMITS = Limits(max_bytes=2**62, max_pixels=2**62, max_side=2**31)
_SAME = {"HEIF": "HEIC", "PFM": "PPM"}
"""Names of formats that readers do not tell apart."""
_STREAMED = ("PNG", "TIFF", "JPEG", "WEBP", "GIF")
"""Formats that libvips decodes to the end without holding the picture."""


def encode_picture(picture: Picture, format: str, *, quality: int | None = None) -> bytes:
    """``picture`` as the bytes of a file.

    ``quality`` is 1 to 100 for JPEG (default 95), WebP (90), JPEG XL (90), HEIC (85) and AVIF (80), with colour at full
    resolution but in WebP; 100 is lossless in WebP and JPEG XL. It is ignored elsewhere, where nothing is lost.

    - Depth: 16 bit stays in PNG, TIFF and PPM, floating point in TIFF and PFM, at its own levels. Others get 8 bit, and
      PNG and PPM of floating point 16 bit. (The libraries for AVIF, HEIC and JPEG XL take 8 bit or lose some of 16.)
    - Colour: back into the source's own space, whose profile is embedded. A format that cannot hold its kind gets RGB
      (CMYK goes into JPEG and TIFF only; WebP, AVIF and HEIC know no gray), one that holds no profile (BMP, GIF, PPM,
      PFM, JPEG XL as its library writes it) gets sRGB.
    - Alpha is laid on white for JPEG, BMP, PPM and PFM; in GIF a pixel is transparent below a half. TIFF multiplies it
      into the colours again where the source had it so.
    - GIF has 256 colours: gray and few colours are kept, others are chosen by median cut and mixed by dots.
    - EXIF and XMP go into all but BMP, GIF and PPM, which have no place for them; IPTC into JPEG, TIFF and PNG; texts
      into PNG, comments also into JPEG and GIF; the resolution into PNG, JPEG, TIFF and BMP.

    Raises `InvalidConfig`, `LimitExceeded`, `CannotWrite`, and `MissingDependency` for HEIC and JPEG XL without the
    extra ``formats``.
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
    encode(strips, size, like, format, quality, buffer)
    return buffer.getvalue()


def write_picture(
    picture: Picture,
    target: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    verify: Verify = "header",
) -> Path:
    """Write ``picture`` to ``target`` and return its path.

    The file is made beside the target, flushed to the disk, opened again and only then renamed: the target is the whole
    new picture or what it was before. ``verify`` says whether its header is read again then, or with ``pixels`` all of
    it. Pixels are encoded as `encode_picture` says. Raises `InvalidConfig` for an unknown format, `LimitExceeded` when
    the format is too small for the picture, and `CannotWrite` when the target exists and ``overwrite`` is false or when
    anything else stands in the way.
    """
    size = (picture.height, picture.width)
    return write_strips(
        [picture.pixels], size, target, like=picture, format=format, quality=quality, overwrite=overwrite, verify=verify
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
    verify: Verify = "header",
) -> Path:
    """`write_picture` for a picture in strips, as `encode_strips` takes them.

    PNG, TIFF, PPM and PFM hold some strips at a time, whatever the picture's size; the other formats hold the whole
    picture as integers. What ``strips`` raises passes through (but OSError, which counts as a failure to write), and
    nothing is left behind.
    """
    target = Path(target)
    kind = format_of(target, format)
    check_target(target, overwrite=overwrite)
    try:
        with replacing(target, overwrite=overwrite) as (stream, temporary):
            encode(strips, size, like, kind, quality, stream)
            stream.flush()
            os.fsync(stream.fileno())
            _check_header(temporary, kind, size)
            if verify == "pixels":
                _check_pixels(temporary, kind)
    except FileExistsError as error:
        raise CannotWrite(f"{target}: {EXISTS}") from error
    except OSError as error:
        raise CannotWrite(f"{target}: {reason(error)}") from error
    except (CannotWrite, LimitExceeded) as error:
        raise type(error)(f"{target}: {error}") from error
    return target


def _check_header(path: Path, kind: str, size: tuple[int, int]) -> None:
    """Open the file again, as anyone would, and compare what its header says."""
    try:
        found, width, height = _header(path, kind)
    except SrganError as error:
        raise CannotWrite(f"the written file cannot be opened again: {error}") from error
    if (_SAME.get(found, found), height, width) != (_SAME.get(kind, kind), *size):
        seen = f"{found} of {width} x {height} pixels"
        raise CannotWrite(f"the written file is {seen} instead of {kind} of {size[1]} x {size[0]}")


def _header(path: Path, kind: str) -> tuple[str, int, int]:
    """Format, width and height as the file states them."""
    if kind == "PFM" and kind not in READABLE:
        with open(path, "rb") as stream:
            name, size = stream.readline(8), stream.readline(32).split()
        return ("PFM" if name in (b"PF\n", b"Pf\n") else "unknown"), int(size[0]), int(size[1])
    if kind in ("HEIC", "JXL") and kind not in READABLE:
        with _opened_by_plugin(path, kind) as image:
            return kind, *image.size
    header = probe_picture(path, limits=_NO_LIMITS)
    return header.format, header.width, header.height


def _check_pixels(path: Path, kind: str) -> None:
    """Decode the file to its end; of PNG, TIFF, JPEG, WebP and GIF a part at a time."""
    try:
        if kind in _STREAMED:
            import pyvips

            try:
                pyvips.Image.new_from_file(str(path), access="sequential", fail_on="error").avg()
            except pyvips.Error as error:
                raise InvalidImage(" ".join(str(error).split())) from error
        elif kind in ("PPM", "PFM"):
            _check_length(path)
        else:
            with _opened_by_plugin(path, kind) as image:
                image.load()
    except (SrganError, OSError, ValueError, RuntimeError) as error:
        raise CannotWrite(f"the written file cannot be decoded again: {reason(error)}") from error


def _opened_by_plugin(path: Path, kind: str) -> Image.Image:
    """The Pillow image of a file that was just written."""
    module, name = {
        "HEIC": ("pillow_heif", "HeifImageFile"),
        "JXL": ("pillow_jxl.JpegXLImagePlugin", "JXLImageFile"),
        "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
        "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    }[kind]
    try:
        image: Image.Image = getattr(importlib.import_module(module), name)(str(path))
    except Exception as error:  # whatever a reader raises, the file is at fault
        raise InvalidImage(reason(error)) from error
    return image


def _check_length(path: Path) -> None:
    """Whether a file of bare values has as many as its header says."""
    with open(path, "rb") as stream:
        name, size, top = stream.readline(8), stream.readline(32).split(), stream.readline(16)
        item = 4 if name[:2] in (b"PF", b"Pf") else 1 if int(top) < 256 else 2
        samples = 3 if name[:2] in (b"P6", b"PF") else 1
        wanted = int(size[0]) * int(size[1]) * samples * item
        if stream.seek(0, os.SEEK_END) - sum(map(len, (name, top))) - len(b" ".join(size)) - 1 != wanted:
            raise InvalidImage(f"{wanted} bytes of pixels were to come")
