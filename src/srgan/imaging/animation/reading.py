"""Animations in: what a file says of its frames, and each frame as it looks on the screen.

A file is indexed first, without decoding: where each frame's data stands, how long it is shown, and what happens to it
afterwards. Then each frame becomes a small still file of its own, read as any picture is, and is laid over what
stood before. So colour and depth are treated as those of still pictures are, and one frame is in memory at a time.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from srgan.errors import InvalidImage, LimitExceeded, OutOfMemory, SrganError
from srgan.imaging.animation.frames import Blend, Disposal, Index, Part
from srgan.imaging.decoders.besides import besides
from srgan.imaging.formats import FORMATS, part_of
from srgan.imaging.inputs import Limits, Told
from srgan.imaging.picture import Picture, blank
from srgan.imaging.reading import scan_still, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]

ANIMATED = tuple(sorted(name for name, format in FORMATS.items() if format.index))
"""Formats that are read and written with all their frames."""

_TIMES_MAX_PIXELS = 16
"""All frames together have at most this many times the pixels that one picture may have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One frame of an animation as it looks on the screen, and how the file had it."""

    picture: Picture
    """The whole canvas: all frames of an animation have the same size and channels."""
    duration: Fraction
    """Milliseconds, exact; 0 is kept, and players choose what it means."""
    disposal: Disposal = "keep"
    """What the file did to the frame before the next: nothing, clear its area, or restore what it covered."""
    blend: Blend = "over"
    """Whether the file laid the frame over what was there, or put it in its place."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Animation:
    """An animation. ``frames`` can be gone through once, as long as its file is open."""

    count: int
    """Number of frames."""
    size: tuple[int, int]
    """Height and width of every frame."""
    format: str
    """`GIF`, `PNG` or `WEBP`."""
    loop: int
    """How often the animation is played; 0 is for ever. (GIF stores one less, and nothing for once.)"""
    background: tuple[int, int, int, int] | None
    """Red, green, blue and alpha that a WebP file suggests for behind the frames. Players ignore it, as we do."""
    like: Picture
    """All that the file has beside pixels: channels, depth, profile, metadata; its pixels are `blank`."""
    frames: Iterator[Frame]
    """The frames in order, decoded as they are asked for. Raises what reading a picture raises."""
    damage: list[str]
    """What was found wrong with the frames so far, where `Limits.damaged` keeps it."""


def index_of(stream: BinaryIO, format: str, limits: Limits) -> Index | None:
    """What ``stream``, which stands at its start, says of its animation, without decoding; None when it has none.

    A GIF of one frame is an animation of one. Raises what `named` translates.
    """
    target = FORMATS[format].index
    index: Index | None = None if target is None else part_of(target)(stream, limits)
    return index


def animation_in(stream: BinaryIO, index: Index | None, name: str, limits: Limits, told: Told) -> Animation:
    """The animation that ``index`` finds in ``stream``. Raises as `srgan.imaging.open_animation` does."""
    with named(name, "animation"), told.listening():
        if index is None:
            raise InvalidImage(f"not an animation of {', '.join(ANIMATED)}")
        _check(index, limits)
        like, turn = _like(stream, index, name, limits)
        like = replace(like, name=name, lost=tuple(besides(stream, index.format)))
    damage: list[str] = []
    return Animation(
        count=len(index.parts),
        size=like.pixels.shape[:2],
        format=index.format,
        loop=index.loop,
        background=index.background,
        like=like,
        frames=_frames(stream, index, like, turn, name, limits, told, damage),
        damage=damage,
    )


def _check(index: Index, limits: Limits) -> None:
    """Whether what the index says can be, and is within the limits."""
    count, width, height = len(index.parts), index.width, index.height
    if not count:
        raise InvalidImage(f"a {index.format} that holds no frame")
    if index.promised is not None and index.promised != count:
        raise InvalidImage(f"its header announces {index.promised:,} frames, but it holds {count:,}")
    if width < 1 or height < 1:
        raise InvalidImage(f"has no pixels ({width} x {height})")
    if max(width, height) > limits.max_side:
        raise LimitExceeded(f"{width} x {height} pixels, the limit is {limits.max_side:,} per side")
    if width * height > limits.max_pixels:
        raise LimitExceeded(f"{width} x {height} pixels, the limit is {limits.max_pixels:,} in total")
    if width * height * count > limits.max_pixels * _TIMES_MAX_PIXELS:
        allowed = limits.max_pixels * _TIMES_MAX_PIXELS
        raise LimitExceeded(f"{count:,} frames of {width} x {height} pixels, the limit is {allowed:,} for all frames")
    for number, part in enumerate(index.parts, 1):
        inside = part.left + part.width <= width and part.top + part.height <= height
        # GIF's players cut what reaches out of the canvas; the other formats forbid it.
        if part.width < 1 or part.height < 1 or not (inside or index.format == "GIF"):
            area = f"{part.width} x {part.height} at {part.left}, {part.top}"
            raise InvalidImage(f"frame {number} is {area}, on a canvas of {width} x {height}")
        if part.width * part.height > limits.max_pixels:
            raise LimitExceeded(f"frame {number} is {part.width} x {part.height}, the limit is {limits.max_pixels:,}")


def _like(stream: BinaryIO, index: Index, name: str, limits: Limits) -> tuple[Picture, Callable[[Pixels], Pixels]]:
    """All but the pixels, and how each canvas is turned upright.

    The metadata of a file may say that it lies on its side. The reader has turned the first frame then, and said so
    in the metadata; the others must follow.
    """
    first = index.parts[0]
    still = index.still(stream, first, True)
    dressed = whole(scan_still(still, index.format, name, limits, Told(name)))  # who listens to the animation hears it
    orientation, xmp = _metadata(still)
    height, width = (index.width, index.height) if orientation >= 5 else (index.height, index.width)
    colours = 1 if index.format == "PNG" and dressed.pixels.shape[2] < 3 else 3
    pixels = blank(height, width, colours + _shows_through(index))
    like = replace(dressed, pixels=pixels, format=index.format, xmp=dressed.xmp or xmp)
    return like, lambda pixels: _turned(pixels, orientation)


def _metadata(data: bytes) -> tuple[int, bytes | None]:
    """The orientation that EXIF, or else XMP, states in a still file, 1 is upright; and the XMP set to that."""
    from srgan.imaging.metadata.exif import bare_exif, take_orientation

    if data.startswith(b"GIF"):
        from srgan.imaging.animation.gif import metadata_of
    elif data.startswith(b"RIFF"):
        from srgan.imaging.animation.webp import metadata_of
    else:
        from srgan.imaging.animation.apng import metadata_of
    exif, xmp = metadata_of(data)
    orientation, _, xmp = take_orientation(bare_exif(exif) if exif else None, xmp)
    return orientation, xmp


def _shows_through(index: Index) -> bool:
    """Whether a pixel of any frame can be transparent: what lets through what is opaque stays opaque."""
    first, *others = index.parts
    if first.clear or not _covers(first, (0, 0, index.width, index.height)):
        return True
    if any(part.clear and part.blend == "source" for part in others):
        return True
    for number, (part, after) in enumerate(itertools.pairwise(index.parts)):
        cleared = part.disposal == "background" or (part.disposal == "previous" and not number)
        if cleared and (after.clear or not _covers(after, (part.left, part.top, part.width, part.height))):
            return True
    return False


def _covers(part: Part, area: tuple[int, int, int, int]) -> bool:
    left, top, width, height = area
    return (
        part.left <= left
        and part.top <= top
        and part.left + part.width >= left + width
        and part.top + part.height >= top + height
    )


def _frames(
    stream: BinaryIO,
    index: Index,
    like: Picture,
    turn: Callable[[Pixels], Pixels],
    name: str,
    limits: Limits,
    told: Told,
    damage: list[str],
) -> Iterator[Frame]:
    told.release()
    channels = like.pixels.shape[2]
    try:
        canvas = np.zeros((index.height, index.width, 2 if channels < 3 else 4), np.float32)
    except MemoryError as error:
        raise OutOfMemory(f"{name}: too large for this machine's memory") from error
    for number, part in enumerate(index.parts, 1):
        with named(name, f"frame {number}"), told.listening():
            scan = scan_still(index.still(stream, part, False), index.format, name, limits, told)
            decoded = whole(scan).pixels
            damage += (f"frame {number}: {fault}" for fault in scan.damage)
            if decoded.shape[:2] != (part.height, part.width):
                found = f"{decoded.shape[1]} x {decoded.shape[0]}"
                raise InvalidImage(f"its data is {found}, its header says {part.width} x {part.height}")
            seen = max(0, index.height - part.top), max(0, index.width - part.left)
            patch = _with_alpha(decoded, canvas.shape[2])[: seen[0], : seen[1]]
            area = canvas[part.top : part.top + part.height, part.left : part.left + part.width]
            before = area.copy() if part.disposal == "previous" else None
            area[...] = patch if part.blend == "source" else _over(patch, area)
            pixels = turn(canvas[..., :channels])
        yield Frame(
            picture=replace(like, pixels=pixels), duration=part.duration, disposal=part.disposal, blend=part.blend
        )
        if part.disposal != "keep":
            area[...] = 0 if before is None else before


def _with_alpha(pixels: Pixels, channels: int) -> Pixels:
    """``pixels`` with 2 or 4 channels: gray becomes RGB where the others are, what has no alpha is opaque."""
    has_alpha = pixels.shape[2] in (2, 4)
    colour = pixels[..., :-1] if has_alpha else pixels
    alpha = pixels[..., -1:] if has_alpha else np.ones((*pixels.shape[:2], 1), np.float32)
    return np.concatenate([np.broadcast_to(colour, (*colour.shape[:2], channels - 1)), alpha], axis=2)


def _over(patch: Pixels, ground: Pixels) -> Pixels:
    """``patch`` laid over ``ground``, both with straight alpha; exact where the patch is opaque or fully clear."""
    alpha, below = patch[..., -1:], ground[..., -1:]
    if np.all((alpha == 0) | (alpha == 1)):
        return np.where(alpha == 0, ground, patch)
    left = below * (1 - alpha)
    total = alpha + left
    colour = patch[..., :-1] * alpha + ground[..., :-1] * left
    np.divide(colour, total, out=colour, where=total > 0)
    mixed = np.concatenate([colour, total], axis=2)
    return np.where(alpha == 0, ground, np.where(alpha == 1, patch, mixed))


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """A copy of ``pixels``, upright, that was stored in EXIF ``orientation``."""
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    return pixels.copy()


@contextmanager
def named(name: str, what: str) -> Iterator[None]:
    """Errors in the block with the name of the file in front; what indexing hostile bytes raises becomes ours."""
    where = f"{name}: {what}" if what.startswith("frame ") else name
    try:
        yield
    except SrganError as error:
        raise type(error)(f"{where}: {str(error).removeprefix(f'{name}: ')}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{name}: too large for this machine's memory") from error
    except (EOFError, struct.error, IndexError, OverflowError, ValueError, OSError) as error:
        detail = " ".join(str(error).split())
        raise InvalidImage(f"{name}: damaged or truncated {what}{': ' if detail else ''}{detail}") from error
