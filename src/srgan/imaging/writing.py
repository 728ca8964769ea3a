"""The way out: pictures, pages and animations, the whole file or nothing, checked before it takes its name."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from srgan.atomic import EXISTS, check_target, reason, replacing
from srgan.errors import CannotWrite, LimitExceeded, SrganError
from srgan.imaging.animation.encoding import animated_format_of, encode_frames
from srgan.imaging.encoding import Page, encode, encode_pages
from srgan.imaging.fitting import lost_colours
from srgan.imaging.formats import format_of
from srgan.imaging.inputs import Limits, Told
from srgan.imaging.opening import Input, open_input

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srgan.imaging.animation.reading import Frame
    from srgan.imaging.picture import Picture

Verify = Literal["header", "pixels"]

_log = logging.getLogger(__name__)

_NO_LIMITS = Limits(max_bytes=2**62, max_pixels=2**62, max_side=2**31, max_frames=2**31)


def encode_picture(picture: Picture, format: str, *, quality: int | None = None) -> bytes:
    """``picture`` as the bytes of a file.

    ``quality`` is 1 to 100 for JPEG (default 95), WebP (90), JPEG XL (90), HEIC (85) and AVIF (80), with colour at full
    resolution but in WebP; 100 is lossless in WebP and JPEG XL. It is ignored elsewhere, where nothing is lost.

    - Depth: 16 bit stays in PNG, TIFF and PPM, floating point in TIFF and PFM, at its own levels. Others get 8 bit, and
      PNG and PPM of floating point 16 bit. (The libraries for AVIF, HEIC and JPEG XL take 8 bit or lose some of 16.)
    - Colour: back into the source's own space, whose profile is embedded; what the source said in numbers PNG says
      again, AVIF and HEIC where they can, and a profile in the other formats. A format that cannot hold its kind gets
      RGB (CMYK goes into JPEG and TIFF only; WebP, AVIF and HEIC know no gray), one that holds no profile (BMP, GIF,
      PPM, PFM, JPEG XL as its library writes it) gets sRGB. What is lost by that is warned of.
    - Alpha is laid on white for JPEG, BMP, PPM and PFM; in GIF a pixel is transparent below a half. TIFF multiplies it
      into the colours again where the source had it so.
    - GIF has 256 colours: gray and few colours are kept, others are chosen by median cut and mixed by dots.
    - EXIF and XMP go into all but BMP, GIF, PPM and PFM, which have no place for them, shortened where JPEG has too
      little; IPTC into JPEG, TIFF and PNG; texts into PNG, comments also into JPEG and GIF; the resolution into PNG,
      JPEG (not of CMYK), TIFF and BMP.

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
    _tell_of_lost_colours(like, format_of(None, format))
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

    The file is written under a temporary name, flushed to disk, opened again and then renamed, so the target is either
    the complete new picture or unchanged. ``verify`` selects what is read back: the header, or with ``pixels`` the
    whole file. Pixels are encoded as described in `encode_picture`. Raises `InvalidConfig` for an unknown format,
    `LimitExceeded` if the picture is too large for the format, and `CannotWrite` if the target exists and ``overwrite``
    is false, or for any other write error.
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

    def write(stream: BinaryIO) -> None:
        _tell_of_lost_colours(like, kind)
        encode(strips, size, like, kind, quality, stream)

    def check(path: Path) -> None:
        with _opened_again(path) as file:
            _check_header(file, kind, size)
            if verify == "pixels":
                _check_pixels(file)

    _replace(target, write, check, overwrite=overwrite)
    return target


def write_pages(
    pages: Iterable[Page],
    target: str | os.PathLike[str],
    *,
    most_bytes: int,
    overwrite: bool = False,
    verify: Verify = "header",
) -> Path:
    """Write ``pages``, which may differ in size, depth and colour, as the pages of one TIFF, and return its path.

    One page after the other is taken and written, some strips of it at a time, whatever the suffix of ``target``; each
    is encoded as `encode_picture` does, with metadata of its own. ``most_bytes``: how many bytes the pixels of all
    pages have at most, which decides whether the file must be a BigTIFF. The whole file or nothing, as in
    `write_picture`; so are the errors. What ``pages`` raises passes through.
    """
    target = Path(target)
    sizes: list[tuple[int, int]] = []

    def write(stream: BinaryIO) -> None:
        sizes.extend(encode_pages(pages, most_bytes, stream))

    def check(path: Path) -> None:
        with _opened_again(path) as file:
            found = [(header.height, header.width) for header in file.headers]
            if found != sizes:
                raise CannotWrite(f"the written file has {len(found)} pages of {found[:3]} instead of {len(sizes)}")
            if verify == "pixels":
                _check_pixels(file)

    _replace(target, write, check, overwrite=overwrite)
    return target


def write_animation(
    frames: Iterable[Frame],
    target: str | os.PathLike[str],
    *,
    size: tuple[int, int],
    like: Picture,
    loop: int = 0,
    background: tuple[int, int, int, int] | None = None,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write ``frames``, all of ``size`` (height, width) and with the channels of ``like``, and return the path.

    One frame after the other is taken and written; two or three are in memory at a time. The file takes its name once
    it is whole and has been opened again, as in `write_picture`. Every frame stays a frame with a time of its own:
    to the hundredth of a second in GIF, the millisecond in WebP, exactly in PNG; rounding does not add up. ``loop`` is
    the number of plays, 0 for ever. ``like`` says what else goes in: channels, depth, profile, metadata.

    GIF has clear and opaque only (below and from one half), 256 colours a frame (exact where there are no more) and no
    profile, so colours become sRGB. ``quality`` is that of `write_picture` for WebP (100 is lossless).
    Raises `InvalidConfig`, `LimitExceeded` and `CannotWrite`; what ``frames`` raises passes through.
    """
    target = Path(target)
    kind = animated_format_of(target, format)
    count = 0

    def write(stream: BinaryIO) -> None:
        nonlocal count
        _tell_of_lost_colours(like, kind)
        count = encode_frames(frames, kind, stream, size, like, loop, background, quality)

    def check(path: Path) -> None:
        with _opened_again(path) as file:
            header = file.header
            if (header.format, header.height, header.width, file.frames) != (kind, *size, count):
                said = f"{file.frames} frames of {header.width} x {header.height} in {header.format}"
                raise CannotWrite(f"the written file is {said} instead of {count} of {size[1]} x {size[0]} in {kind}")

    _replace(target, write, check, overwrite=overwrite)
    return target


def encode_animation(
    frames: Iterable[Frame],
    format: str,
    *,
    size: tuple[int, int],
    like: Picture,
    loop: int = 0,
    background: tuple[int, int, int, int] | None = None,
    quality: int | None = None,
) -> bytes:
    """`write_animation` to the bytes of a file."""
    kind = animated_format_of(None, format)
    _tell_of_lost_colours(like, kind)
    buffer = io.BytesIO()
    encode_frames(frames, kind, buffer, size, like, loop, background, quality)
    return buffer.getvalue()


def _tell_of_lost_colours(like: Picture, format: str) -> None:
    """Warn, once for a file, of what ``format`` cannot say of the colours of ``like``."""
    if (lost := lost_colours(like, format)) is not None:
        _log.warning("%s: %s.", like.name or "the picture", lost)


def _replace(
    target: Path, write: Callable[[BinaryIO], None], check: Callable[[Path], None], *, overwrite: bool
) -> None:
    """``target`` becomes what ``write`` writes and ``check`` finds good."""
    check_target(target, overwrite=overwrite)
    try:
        with replacing(target, overwrite=overwrite) as (stream, temporary):
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
            check(temporary)
    except FileExistsError as error:
        raise CannotWrite(f"{target}: {EXISTS}") from error
    except OSError as error:
        raise CannotWrite(f"{target}: {reason(error)}") from error
    except (CannotWrite, LimitExceeded) as error:
        raise type(error)(f"{target}: {error}") from error


@contextmanager
def _opened_again(path: Path) -> Iterator[Input]:
    """What was written, as anyone would open it. What there is to say of it was said of its input."""
    try:
        with Told(str(path)).listening(), open_input(path, limits=_NO_LIMITS) as file:
            yield file
    except CannotWrite:
        raise
    except SrganError as error:
        raise CannotWrite(f"the written file cannot be opened again: {error}") from error


def _check_header(file: Input, kind: str, size: tuple[int, int]) -> None:
    header = file.header
    if (header.format, header.height, header.width) != (kind, *size):
        found = f"{header.format} of {header.width} x {header.height} pixels"
        raise CannotWrite(f"the written file is {found} instead of {kind} of {size[1]} x {size[0]}")


def _check_pixels(file: Input) -> None:
    """Decode the file to its end, a part at a time where its format lets us."""
    try:
        for scan in file.scans():
            for _ in scan.strips:
                pass
    except SrganError as error:
        raise CannotWrite(f"the written file cannot be decoded again: {error}") from error
