"""The chunks of animated PNG: where frames stand in a file, and frames written one by one.

Each frame is the data of a still PNG under another name, so still pictures are what goes out of here and comes in.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging.animation.frames import Blend, Disposal, Index, Part, between, exactly
from srgan.imaging.inputs import Limits

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DISPOSALS: tuple[Disposal, ...] = ("keep", "background", "previous")
_BLENDS: tuple[Blend, ...] = ("source", "over")
_COLOURS = (b"PLTE", b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"sBIT")
"""Chunks without which pixels cannot be understood."""
_OF_FRAMES = (b"acTL", b"fcTL", b"fdAT", b"IDAT", b"IEND", b"IHDR")
_MOST_CHUNKS = 1 << 20
"""Chunks looked at before a file counts as hostile."""
_MOST_METADATA = 1 << 26
"""Bytes of chunks that are neither frames nor colours."""
_MOST_PLAYS = 2**31 - 1
_MOST_DELAY = 65_535


def index_png(stream: BinaryIO, limits: Limits) -> Index | None:
    """The frames of the PNG file in ``stream``, which stands at its start; None when it is a still picture.

    A still picture that stands in for the animation without being part of it is left out. Raises EOFError for a file
    that ends too early, struct.error and `InvalidImage` for one that contradicts itself.
    """
    exactly(stream, len(SIGNATURE))
    header, colours, rest = b"", bytearray(), bytearray()
    index = Index(format="PNG")
    control: bytes | None = None
    spans: list[tuple[int, int]] = []
    expected, animated, pixels_begun = 0, False, False
    for kind, start, length in _chunks(stream):
        if kind == b"IHDR" and not header:
            header = between(stream, start, start + 13)
            index.width, index.height = struct.unpack(">II", header[:8])
        elif kind == b"acTL" and not animated:
            animated = True
            index.promised, index.loop = struct.unpack(">II", between(stream, start, start + 8))
            if index.promised > limits.max_frames:
                raise LimitExceeded(f"{index.promised:,} frames, the limit is {limits.max_frames:,}")
        elif kind == b"IDAT":
            if not animated:
                return None
            pixels_begun = True
            if control is not None:
                spans.append((start, length))
        elif kind in (b"fcTL", b"fdAT") and animated:
            (number,) = struct.unpack(">I", between(stream, start, start + 4))
            if number != expected:
                raise InvalidImage(f"its frames are out of order ({number} where {expected} belongs)")
            expected += 1
            if kind == b"fdAT":
                if control is None:
                    raise InvalidImage("it has data that belongs to no frame")
                spans.append((start + 4, length - 4))
            else:
                _end(index, control, spans, bytes(colours), header, limits)
                control, spans = between(stream, start, start + 26), []
        elif kind == b"IEND":
            break
        elif kind in _COLOURS and not pixels_begun:
            colours += between(stream, start - 8, start + length + 4)
        elif kind not in _OF_FRAMES and len(rest) + length < _MOST_METADATA:
            rest += between(stream, start - 8, start + length + 4)
    _end(index, control, spans, bytes(colours), header, limits)

    def still_of(stream: BinaryIO, part: Part, metadata: bool) -> bytes:
        size = struct.pack(">II", part.width, part.height)
        chunks = [chunk(b"IHDR", size + header[8:]), bytes(colours), bytes(rest) if metadata else b""]
        pieces = (_still_data(stream, start, start + length) for start, length in part.spans)
        return SIGNATURE + b"".join(chunks) + b"".join(pieces) + chunk(b"IEND", b"")

    index.still = still_of
    return index


def _end(
    index: Index, control: bytes | None, spans: list[tuple[int, int]], colours: bytes, header: bytes, limits: Limits
) -> None:
    """Take up the frame that ``control`` began, if one was begun."""
    if control is None:
        return
    width, height, left, top, delay, base, disposal, blend = struct.unpack(">4xIIIIHHBB", control)
    if disposal >= len(_DISPOSALS) or blend >= len(_BLENDS):
        raise InvalidImage(f"it disposes of a frame by {disposal} or blends it by {blend}, which mean nothing")
    if not spans:
        raise InvalidImage(f"its frame {len(index.parts) + 1} has no data")
    part = Part(
        left=left,
        top=top,
        width=width,
        height=height,
        duration=Fraction(1000 * delay, base or 100),
        disposal=_DISPOSALS[disposal],
        blend=_BLENDS[blend],
        clear=header[9] in (4, 6) or b"tRNS" in colours,
        spans=tuple(spans),
    )
    index.add(part, limits)


def _still_data(stream: BinaryIO, start: int, stop: int) -> bytes:
    """A frame's data as that of a still picture, with a checksum that is as right or wrong as it was."""
    made = chunk(b"IDAT", between(stream, start, stop))
    named = start - 4 if between(stream, start - 4, start) == b"IDAT" else start - 8  # before the number of fdAT
    wrong = zlib.crc32(between(stream, named, stop)) ^ int.from_bytes(between(stream, stop, stop + 4), "big")
    return made[:-4] + (int.from_bytes(made[-4:], "big") ^ wrong).to_bytes(4, "big")


def metadata_of(data: bytes) -> tuple[bytes | None, bytes | None]:
    """EXIF and XMP of the still PNG in ``data``."""
    stream, exif, xmp = io.BytesIO(data[len(SIGNATURE) :]), None, None
    for kind, start, length in _chunks(stream):
        content = between(stream, start, start + length) if kind in (b"eXIf", b"iTXt") else b""
        if kind == b"eXIf":
            exif = content
        elif content.startswith(b"XML:com.adobe.xmp\0"):
            xmp = content
    return exif, xmp


class ApngWriter:
    """Joins still PNG files, each the area of a frame that changed, to an animated one on a ``stream`` that can seek.

    ``loop`` is the number of plays, 0 for ever.
    """

    def __init__(self, stream: BinaryIO, width: int, height: int, loop: int) -> None:
        self._stream = stream
        self._start = stream.tell()
        self._control = 0
        """Where the number of frames stands."""
        self._size = (width, height)
        self._loop = min(loop, _MOST_PLAYS)
        self._kind = b""
        self._frames = self._sequence = 0

    def add(self, still: bytes, left: int, top: int, duration: Fraction) -> None:
        """Append a frame of ``duration`` milliseconds; of the first, all but the pixels is kept too."""
        stream = io.BytesIO(still)
        exactly(stream, len(SIGNATURE))
        begun = False
        for kind, start, length in _chunks(stream):
            data = between(stream, start, start + length)
            if kind == b"IHDR":
                self._header(data)
                area = data[:8]
            elif kind == b"IDAT":
                if not begun:
                    begun = True
                    self._begin(area, left, top, duration)
                self._pixels(data)
            elif not self._frames and not begun and kind != b"IEND":
                self._stream.write(chunk(kind, data))
        self._frames += 1

    def finish(self) -> None:
        """End the file, and write into its head how many frames there are."""
        self._stream.write(chunk(b"IEND", b""))
        end = self._stream.tell()
        self._stream.seek(self._control)
        self._stream.write(self._actl())
        self._stream.seek(end)

    def _header(self, data: bytes) -> None:
        if self._frames:
            if data[8:] != self._kind:
                raise ValueError("frames of one animation must have the same channels and depth")
            return
        self._kind = data[8:]
        self._stream.write(SIGNATURE + chunk(b"IHDR", struct.pack(">II", *self._size) + self._kind))
        self._control = self._stream.tell()
        self._stream.write(self._actl())

    def _actl(self) -> bytes:
        return chunk(b"acTL", struct.pack(">II", self._frames, self._loop))

    def _begin(self, area: bytes, left: int, top: int, duration: Fraction) -> None:
        delay, base = _delay(duration)
        self._stream.write(chunk(b"fcTL", self._next() + area + struct.pack(">IIHHBB", left, top, delay, base, 0, 0)))

    def _pixels(self, data: bytes) -> None:
        if self._frames:
            self._stream.write(chunk(b"fdAT", self._next() + data))
        else:
            self._stream.write(chunk(b"IDAT", data))

    def _next(self) -> bytes:
        self._sequence += 1
        return struct.pack(">I", self._sequence - 1)


def _delay(duration: Fraction) -> tuple[int, int]:
    """Seconds as the two numbers that PNG has room for: exact wherever that is possible."""
    seconds = duration / 1000
    if seconds > _MOST_DELAY:
        return _MOST_DELAY, 1
    base = _MOST_DELAY if seconds <= 1 else int(_MOST_DELAY / seconds)
    near = seconds.limit_denominator(base)
    return near.numerator, near.denominator


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk, where its data starts and how long it is. Raises EOFError where the file ends in one.

    Checksums are checked of what describes frames; those of pixels are checked when they are read.
    """
    for _ in range(_MOST_CHUNKS):
        head = stream.read(8)
        if not head:
            raise EOFError("it has no end")
        length, kind = struct.unpack(">I4s", head.ljust(8, b"\xff"))
        if len(head) < 8 or length >= 2**31:
            raise EOFError("it ends in the middle of a chunk")
        start = stream.tell()
        yield kind, start, length
        stream.seek(start + length)
        exactly(stream, 4)
        if kind == b"IEND":
            return
    raise LimitExceeded(f"more than the limit of {_MOST_CHUNKS:,} chunks")


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk, with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
