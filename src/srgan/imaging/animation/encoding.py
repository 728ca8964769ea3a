"""A file's bytes from the frames of an animation: every frame and its time kept, and of each what has changed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from srgan.errors import InvalidConfig
from srgan.imaging import fitting
from srgan.imaging.animation.reading import ANIMATED, Frame
from srgan.imaging.encoding import encode
from srgan.imaging.formats import FORMATS, check_format
from srgan.imaging.picture import to_uint8, to_uint16

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srgan.imaging.picture import Picture

    Pixels = NDArray[np.float32]

_SUFFIXES = {suffix: name for name in ANIMATED for suffix in FORMATS[name].suffixes}


def animated_format_of(target: str | os.PathLike[str] | None, format: str | None = None) -> str:
    """The animated format to write, `GIF`, `PNG` or `WEBP`: ``format`` by name or suffix, else ``target``'s suffix.

    Raises `InvalidConfig` for one that cannot hold an animation; an animation never becomes a still picture unasked.
    """
    text = format if format is not None else Path(target or "").suffix
    if found := _SUFFIXES.get(f".{text.lower().lstrip('.')}"):
        return found
    where = "" if target is None else f"{target}: "
    what = f"{text.lstrip('.').upper()} cannot hold an animation" if text else "no suffix, so no format"
    raise InvalidConfig(
        f"{where}{what}; choose .gif, .png or .webp, or save the first frame as a separate picture first"
    )


def encode_frames(
    frames: Iterable[Frame],
    format: str,
    stream: BinaryIO,
    size: tuple[int, int],
    like: Picture,
    loop: int,
    background: tuple[int, int, int, int] | None,
    quality: int | None,
) -> int:
    """Write ``frames`` to an empty, seekable ``stream``, as `srgan.imaging.write_animation` says, and count them."""
    if loop < 0:
        raise InvalidConfig(f"the number of plays must be 0 (for ever) or more, not {loop}")
    if quality is not None and not 1 <= quality <= 100:
        raise InvalidConfig(f"quality must be 1 to 100, not {quality}")
    height, width = size
    shape = (height, width, like.pixels.shape[2])
    check_format(format, width, height, shape[2])
    add, finish = _writer(format, stream, shape, like, loop, background or (0, 0, 0, 0), quality)
    count = 0
    for frame in frames:
        if frame.picture.pixels.shape != shape:
            raise ValueError(f"a frame of {frame.picture.pixels.shape} came for an animation of {shape}")
        if frame.duration < 0:
            raise ValueError(f"a frame is shown for {frame.duration} ms")
        add(frame.picture.pixels, frame.duration)
        count += 1
    if not count:
        raise InvalidConfig("an animation needs at least one frame")
    finish()
    return count


def _writer(
    format: str,
    stream: BinaryIO,
    shape: tuple[int, int, int],
    like: Picture,
    loop: int,
    background: tuple[int, int, int, int],
    quality: int | None,
) -> tuple[Callable[[Pixels, Fraction], None], Callable[[], None]]:
    """What takes a frame and its time, and what ends the file."""
    height, width, channels = shape
    if format == "GIF":
        from srgan.imaging.animation.gif import GifWriter

        comment = "\n".join(text for keyword, text in like.text if keyword == "Comment")
        gif = GifWriter(stream, width, height, loop, comment, like.xmp)
        to_srgb = _to_srgb(like)
        return lambda pixels, duration: gif.add(to_srgb(pixels), duration), gif.finish
    if format == "PNG":
        from srgan.imaging.animation.apng import ApngWriter

        png = ApngWriter(stream, width, height, loop)
        return _Areas(png.add, "PNG", like, None, to_uint16 if like.bit_depth > 8 else to_uint8).add, png.finish
    from srgan.imaging.animation.webp import WebpWriter

    webp = WebpWriter(stream, width, height, loop, background, channels in (2, 4))
    return _Areas(webp.add, "WEBP", like, quality, to_uint8, step=2).add, webp.finish


class _Areas:
    """Cuts each frame to the area that changed, and passes that on as a still file of ``format``."""

    def __init__(
        self,
        sink: Callable[[bytes, int, int, Fraction], None],
        format: str,
        like: Picture,
        quality: int | None,
        to_values: Callable[[Pixels], NDArray[Any]],
        step: int = 1,
    ) -> None:
        self._sink = sink
        self._format = format
        self._like = like
        self._quality = quality
        self._to_values = to_values
        self._step = step
        self._shown: NDArray[Any] | None = None

    def add(self, pixels: Pixels, duration: Fraction) -> None:
        from srgan.imaging.animation.gif import bounds

        values = self._to_values(pixels)
        if self._shown is None:
            left, top, right, bottom = 0, 0, pixels.shape[1], pixels.shape[0]
        else:
            left, top, right, bottom = bounds((values != self._shown).any(axis=2))
            left, top = left - left % self._step, top - top % self._step
        self._shown = values
        area = np.ascontiguousarray(pixels[top:bottom, left:right])
        still = io.BytesIO()
        encode([area], area.shape[:2], self._like, self._format, self._quality, still)
        self._sink(still.getvalue(), left, top, duration)
        # The file has its metadata now; it need not be made again for every frame.
        self._like = replace(self._like, exif=None, xmp=None, iptc=None, text=(), dpi=None, density=None)


def _to_srgb(like: Picture) -> Callable[[Pixels], NDArray[np.uint8]]:
    """To RGB or RGBA of 8 bit in sRGB, for a format without colour profiles."""
    to_srgb = fitting.to_srgb(like)

    def convert(pixels: Pixels) -> NDArray[np.uint8]:
        has_alpha = pixels.shape[2] in (2, 4)
        colour = np.ascontiguousarray(pixels[..., :-1]) if has_alpha else pixels
        values = to_uint8(colour if to_srgb is None else to_srgb(colour))
        values = np.broadcast_to(values, (*values.shape[:2], 3))
        return np.concatenate([values, to_uint8(pixels[..., -1:])], axis=2) if has_alpha else values

    return convert
