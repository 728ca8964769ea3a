"""The blocks of GIF: where frames stand in a file, and frames written one by one.

Pillow packs and unpacks the pixels. What it does with a sequence is not enough: its writer joins equal frames, and its
reader does not dispose of frames as players do.
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from srgan.errors import LimitExceeded
from srgan.imaging.animation.frames import Disposal, Index, Part, between, exactly, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srgan.imaging.inputs import Limits

    Values = NDArray[np.uint8]

_DISPOSALS: dict[int, Disposal] = {2: "background", 3: "previous"}
_MOST_BLOCKS = 1 << 20
"""Blocks looked at before a file counts as hostile: a gigabyte can hold hundreds of millions of empty ones."""
_XMP = b"XMP DataXMP"
_XMP_TRAILER = bytes([1, *range(255, -1, -1), 0])
"""Leads readers that take the packet before it for blocks of GIF out of it, wherever they land."""
_MOST_REPEATS = 65_535
_SAMPLE = 1 << 14
"""Pixels that choose a palette. On smooth full-HD pictures, moved to the nearest mean (k-means) after the median cut,
they give a smaller error than the median cut of all pixels, in a twentieth of the time."""


def index_gif(stream: BinaryIO, limits: Limits) -> Index:
    """The frames of the GIF file in ``stream``, which stands at its start. Raises EOFError where it ends too early."""
    width, height, flags = struct.unpack("<HHB", exactly(stream, 13)[6:11])
    palette = _palette(stream, flags)
    index = Index(format="GIF", width=width, height=height)
    none = control = b"\0\0\0\0"
    notes = bytearray()
    for _ in range(_MOST_BLOCKS):
        start = stream.tell()
        kind = stream.read(1)
        if kind == b"!":
            label = exactly(stream, 1)[0]
            name = last = _sub_block(stream)
            if label == 0xF9 and len(name) >= 4:
                control = name
            elif label == 0xFF and name[:11] in (b"NETSCAPE2.0", b"ANIMEXTS1.0"):
                last = _sub_block(stream)
                if len(last) >= 3 and last[0] == 1:
                    repeats = last[1] | last[2] << 8
                    index.loop = repeats + 1 if repeats else 0
            if last:
                _skip_blocks(stream)
            if label == 0xFE or (label == 0xFF and name.startswith(_XMP)):
                notes += between(stream, start, stream.tell())
        elif kind == b",":
            index.add(_part(stream, index, control, palette), limits)
            control = none
        elif kind == b";" or (not kind and index.parts):
            break  # many files lack the last byte, and all players show them
        elif kind != b"\0":
            raise EOFError(f"no block starts with {kind!r}" if kind else "it ends before the first frame")
    else:
        raise LimitExceeded(f"more than the limit of {_MOST_BLOCKS:,} blocks")
    index.still = lambda stream, part, metadata: _still(stream, part, bytes(notes) if metadata else b"")
    return index


def _part(stream: BinaryIO, index: Index, control: bytes, palette: bytes) -> Part:
    """The frame whose descriptor comes next; the stream is read past its data."""
    left, top, width, height, flags = struct.unpack("<4HB", exactly(stream, 9))
    if not index.parts:  # what browsers do where the canvas is too small for the first frame
        index.width, index.height = max(index.width, left + width), max(index.height, top + height)
    palette = _palette(stream, flags) or palette
    start = stream.tell()
    exactly(stream, 1)
    _skip_blocks(stream)
    return Part(
        left=left,
        top=top,
        width=width,
        height=height,
        duration=Fraction((control[1] | control[2] << 8) * 10),
        disposal=_DISPOSALS.get(control[0] >> 2 & 7, "keep"),
        blend="over",
        clear=bool(control[0] & 1),
        spans=((start, stream.tell() - start),),
        head=bytes([flags & 0x40, control[0] & 1, control[3]]) + palette,
    )


def _still(stream: BinaryIO, part: Part, notes: bytes) -> bytes:
    interlaced, clear, key = part.head[:3]
    palette = part.head[3:]
    size = struct.pack("<HH", part.width, part.height)
    flags = 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0
    control = struct.pack("<2sBBHBx", b"!\xf9", 4, 1, 0, key) if clear else b""
    descriptor = b"," + bytes(4) + size + bytes([interlaced])
    return b"".join(
        (b"GIF89a", size, bytes([flags, 0, 0]), palette, notes, control, descriptor, joined(stream, part), b";")
    )


def _palette(stream: BinaryIO, flags: int) -> bytes:
    return exactly(stream, 3 << (flags & 7) + 1) if flags & 0x80 else b""


def _sub_block(stream: BinaryIO) -> bytes:
    return exactly(stream, exactly(stream, 1)[0])


def _skip_blocks(stream: BinaryIO) -> None:
    while _sub_block(stream):
        pass


def metadata_of(data: bytes) -> tuple[bytes | None, bytes | None]:
    """EXIF, which GIF has not, and XMP of the still GIF in ``data``."""
    _, found, packet = data.partition(_XMP)
    return None, packet.partition(_XMP_TRAILER)[0] if found else None


class GifWriter:
    """Writes an animated GIF to ``stream``, holding one frame back: what follows decides how it is disposed of.

    Values are uint8, height x width x 3 or 4, of the whole canvas; alpha counts as clear below one half. A frame of
    at most 256 colours is exact, one of more gets the 256 that suit it best, dithered. ``loop`` is the number of plays,
    0 for ever. Each frame is written as the area that changed, with its own palette.
    """

    def __init__(self, stream: BinaryIO, width: int, height: int, loop: int, comment: str, xmp: bytes | None) -> None:
        self._stream = stream
        self._shape = (height, width)
        self._shown: Values = np.zeros((height, width, 4), np.uint8)
        """What stands on the screen when the frame held back is drawn."""
        self._held: tuple[Values, int] | None = None
        self._elapsed = Fraction(0)
        self._begun = self._clear = False
        stream.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0))
        if loop != 1:
            repeats = min(loop - 1, _MOST_REPEATS) if loop else 0
            stream.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", repeats, 0))
        if comment:
            stream.write(b"!\xfe" + _in_blocks(comment.encode()))
        if xmp:
            stream.write(b"!\xff\x0b" + _XMP + xmp + _XMP_TRAILER)

    def add(self, values: Values, duration: Fraction) -> None:
        """Append a frame that is shown for ``duration`` milliseconds.

        GIF counts in hundredths of a second; what rounding takes from one frame it gives to the next.
        """
        before, self._elapsed = self._elapsed, self._elapsed + duration / 10
        delay = min(_rounded(self._elapsed) - _rounded(before), 65_535)
        frame = np.zeros((*self._shape, 4), np.uint8)
        self._clear = values.shape[2] == 4
        visible = values[..., 3] >= 128 if values.shape[2] == 4 else np.ones(self._shape, np.bool_)
        frame[visible, :3] = values[visible, :3]
        frame[visible, 3] = 255
        self._let_go(frame)
        self._held = (frame, delay)

    def finish(self) -> None:
        """End the file."""
        self._let_go(None)
        self._stream.write(b";")

    def _let_go(self, after: Values | None) -> None:
        """Write the frame held back, before ``after`` if one follows."""
        if self._held is None:
            return
        frame, delay = self._held
        changed = (frame != self._shown).any(axis=2)
        if not self._begun:  # the whole canvas, for readers that paint what the first frame leaves out
            changed[...] = True
        # Nothing drawn over a pixel makes it clear again; only clearing the area of the frame before does.
        vanishing = np.zeros_like(changed) if after is None else (frame[..., 3] > 0) & (after[..., 3] == 0)
        cleared = bool(vanishing.any())
        left, top, right, bottom = bounds(changed | vanishing)
        area = np.s_[top:bottom, left:right]
        # Some readers clear an area only for a frame that has a number for clear, and no frame if the first has none.
        keyed = cleared or (self._clear and not self._begun)
        self._write(frame[area], changed[area], keyed, (left, top), delay, disposal=2 if cleared else 1)
        self._begun = True
        if cleared:
            frame = frame.copy()
            frame[area] = 0
        self._shown = frame

    def _write(
        self, part: Values, changed: NDArray[np.bool_], keyed: bool, at: tuple[int, int], delay: int, disposal: int
    ) -> None:
        visible = part[..., 3] > 0
        palette, numbers, key = _with_palette(part[..., :3], changed & visible, visible, keyed)
        bits = max(1, (len(palette) - 1).bit_length())
        height, width = numbers.shape
        self._stream.write(struct.pack("<2sBBHBx", b"!\xf9", 4, disposal << 2 | (key is not None), delay, key or 0))
        self._stream.write(b"," + struct.pack("<4HB", *at, width, height, 0x80 | bits - 1))
        self._stream.write(palette.tobytes().ljust(3 << bits, b"\0"))
        self._stream.write(_packed(numbers))


def bounds(changed: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the smallest area that holds all of ``changed``; of one pixel if there is none."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not rows.size:
        return 0, 0, 1, 1
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _with_palette(
    colours: Values, drawn: NDArray[np.bool_], visible: NDArray[np.bool_], keyed: bool
) -> tuple[Values, Values, int | None]:
    """A palette, the number of each pixel's colour in it, and the number that stands for clear if there is one.

    Pixels that are not ``drawn`` let through what stands there; so they need no colour, and do not flicker when others
    are dithered. Only where that one number is what makes the colours too many are the ``visible`` ones drawn instead.
    There is such a number where it is needed, and where ``keyed`` asks for it and the colours leave room.
    """
    for wanted, room in ((drawn, 256 if drawn.all() else 255), (visible, 256 if visible.all() else 0)):
        codes = colours[wanted].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        if len(np.unique(codes[:: 1 + len(codes) // _SAMPLE])) > room:
            continue  # no need to sort them all
        found, places = np.unique(codes, return_inverse=True)
        if len(found) <= room:
            palette = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8)
            key = len(palette) if not wanted.all() or (keyed and len(palette) < 256) else None
            numbers = np.full(wanted.shape, key or 0, np.uint8)
            numbers[wanted] = places
            if key is not None:
                palette = np.concatenate([palette, np.zeros((1, 3), np.uint8)])
            return palette, numbers, key
    return _quantised(colours, drawn)


def _quantised(colours: Values, drawn: NDArray[np.bool_]) -> tuple[Values, Values, int | None]:
    from PIL import Image

    key = None if drawn.all() else 255
    pixels = colours[drawn]  # what is not drawn shall not take up colours
    if len(pixels) > _SAMPLE:
        pixels = pixels[np.random.default_rng(0).integers(0, len(pixels), _SAMPLE)]
    chosen = Image.fromarray(pixels[None]).quantize(256 if key is None else 255, Image.Quantize.MEDIANCUT, kmeans=1)
    flat = chosen.getpalette("RGB") or []
    palette = np.array(flat, np.uint8).reshape(-1, 3)[: 256 if key is None else 255]
    numbers = np.array(Image.fromarray(colours).quantize(palette=chosen, dither=Image.Dither.FLOYDSTEINBERG))
    if key is not None:
        palette = np.concatenate([palette, np.zeros((256 - len(palette), 3), np.uint8)])
        numbers[~drawn] = key
    return palette, numbers, key


def _packed(numbers: Values) -> bytes:
    """The pixels as GIF packs them (LZW, in blocks), as Pillow writes them for a still picture."""
    from PIL import Image

    buffer = io.BytesIO()
    # Gray, and not a palette, so that the numbers stay what they are.
    Image.fromarray(numbers).save(buffer, "GIF", optimize=False, interlace=0)
    data = buffer.getvalue()
    after = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    if data[after : after + 2] == b"!\xf9":
        after += 8
    local = data[after + 9]
    start = after + 10 + (3 << (local & 7) + 1 if local & 0x80 else 0)
    return data[start:-1]


def _in_blocks(data: bytes) -> bytes:
    pieces = (data[start : start + 255] for start in range(0, len(data), 255))
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def _rounded(value: Fraction) -> int:
    return int(value + Fraction(1, 2))
