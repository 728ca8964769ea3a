"""The chunks of animated WebP: where frames stand in a file, and frames written one by one.

Each frame is the data of a still WebP in a wrapper, so still pictures are what goes out of here and comes in.
(libwebp's own writer, which Pillow calls, joins equal frames.)
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

from srgan.errors import InvalidImage
from srgan.imaging.animation.frames import Index, Part, between, exactly
from srgan.imaging.inputs import Limits

_ANIMATION, _XMP, _EXIF, _ALPHA, _ICC = 0x02, 0x04, 0x08, 0x10, 0x20
_PIXELS = (b"ALPH", b"VP8 ", b"VP8L")
_METADATA = {b"ICCP": _ICC, b"EXIF": _EXIF, b"XMP ": _XMP}
_MOST_PLAYS = 65_535
_MOST_TIME = 2**24 - 1


def index_webp(stream: BinaryIO, limits: Limits) -> Index | None:
    """The frames of the WebP file in ``stream``, which stands at its start; None when it is a still picture.

    Raises EOFError for a file that ends too early, and `InvalidImage`.
    """
    (size,) = struct.unpack("<4xI4x", exactly(stream, 12))
    end = 8 + size
    index = Index(format="WEBP")
    extra: dict[bytes, bytes] = {}
    animated = False
    for kind, start, length in _chunks(stream, end):
        if kind == b"VP8X" and not index.width:
            head = between(stream, start, start + 10)
            animated = bool(head[0] & _ANIMATION)
            index.width, index.height = _u24(head, 4) + 1, _u24(head, 7) + 1
        if not animated:
            return None
        if kind == b"ANIM":
            blue, green, red, alpha, index.loop = struct.unpack("<4BH", between(stream, start, start + 6))
            index.background = (red, green, blue, alpha)
        elif kind == b"ANMF":
            index.add(_part(stream, start, length), limits)
        elif kind in _METADATA and kind not in extra:
            extra[kind] = between(stream, start, start + length)
    if not animated:
        return None

    def still_of(stream: BinaryIO, part: Part, metadata: bool) -> bytes:
        kept = {kind: data for kind, data in extra.items() if metadata or kind == b"ICCP"}
        pieces = [(part.head[i : i + 4], span) for i, span in zip(range(0, len(part.head), 4), part.spans, strict=True)]
        pixels = [chunk(kind, between(stream, start, start + length)) for kind, (start, length) in pieces]
        return _file(part.width, part.height, part.clear, kept, pixels)

    index.still = still_of
    return index


def _part(stream: BinaryIO, start: int, length: int) -> Part:
    head = between(stream, start, start + 16)
    kinds, spans, clear = b"", [], False
    stream.seek(start + 16)
    for kind, at, size in _chunks(stream, start + length):
        if kind not in _PIXELS:
            continue
        kinds += kind
        spans.append((at, size))
        if kind == b"VP8L":
            clear |= bool(between(stream, at, at + 5)[4] & 0x10)
        clear |= kind == b"ALPH"
    if not spans:
        raise InvalidImage("it has a frame without data")
    return Part(
        left=2 * _u24(head, 0),
        top=2 * _u24(head, 3),
        width=_u24(head, 6) + 1,
        height=_u24(head, 9) + 1,
        duration=Fraction(_u24(head, 12)),
        disposal="background" if head[15] & 1 else "keep",
        blend="source" if head[15] & 2 else "over",
        clear=clear,
        spans=tuple(spans),
        head=kinds,
    )


def metadata_of(data: bytes) -> tuple[bytes | None, bytes | None]:
    """EXIF and XMP of the still WebP in ``data``."""
    stream = io.BytesIO(data)
    stream.seek(12)
    found = {
        kind: between(stream, start, start + length)
        for kind, start, length in _chunks(stream, len(data))
        if kind in (b"EXIF", b"XMP ")
    }
    return found.get(b"EXIF"), found.get(b"XMP ")


class WebpWriter:
    """Joins still WebP files, each the area of a frame that changed, to an animated one on a ``stream`` that can seek.

    ``loop`` is the number of plays, 0 for ever; ``background`` is red, green, blue, alpha.
    """

    def __init__(
        self, stream: BinaryIO, width: int, height: int, loop: int, background: tuple[int, int, int, int], clear: bool
    ) -> None:
        self._stream = stream
        self._start = stream.tell()
        self._size = (width, height)
        self._flags = _ANIMATION | (_ALPHA if clear else 0)
        self._loop = min(loop, _MOST_PLAYS)
        self._background = background
        self._after: list[bytes] = []
        self._begun = False
        self._elapsed = Fraction(0)

    def add(self, still: bytes, left: int, top: int, duration: Fraction) -> None:
        """Append a frame of ``duration`` milliseconds; ``left`` and ``top`` are even. The first gives the metadata.

        WebP counts in milliseconds; what rounding takes from one frame it gives to the next.
        """
        stream = io.BytesIO(still)
        stream.seek(12)
        chunks = {kind: between(stream, start, start + length) for kind, start, length in _chunks(stream, len(still))}
        if not self._begun:
            self._begin({kind: data for kind, data in chunks.items() if kind in _METADATA})
        before, self._elapsed = self._elapsed, self._elapsed + duration
        time = min(int(self._elapsed + Fraction(1, 2)) - int(before + Fraction(1, 2)), _MOST_TIME)
        pixels = b"".join(chunk(kind, chunks[kind]) for kind in _PIXELS if kind in chunks)
        width, height = _size_of(chunks)
        head = b"".join(map(_p24, (left // 2, top // 2, width - 1, height - 1, time))) + b"\x02"
        self._stream.write(chunk(b"ANMF", head + pixels))

    def finish(self) -> None:
        """End the file, and write its length into its head."""
        for data in self._after:
            self._stream.write(data)
        end = self._stream.tell()
        self._stream.seek(self._start + 4)
        self._stream.write(struct.pack("<I", end - self._start - 8))
        self._stream.seek(end)

    def _begin(self, metadata: dict[bytes, bytes]) -> None:
        self._begun = True
        flags = self._flags | sum(_METADATA[kind] for kind in metadata)
        width, height = self._size
        self._stream.write(b"RIFF\0\0\0\0WEBP")
        self._stream.write(chunk(b"VP8X", struct.pack("<I", flags) + _p24(width - 1) + _p24(height - 1)))
        if b"ICCP" in metadata:
            self._stream.write(chunk(b"ICCP", metadata[b"ICCP"]))
        red, green, blue, alpha = self._background
        self._stream.write(chunk(b"ANIM", struct.pack("<4BH", blue, green, red, alpha, self._loop)))
        self._after = [chunk(kind, metadata[kind]) for kind in (b"EXIF", b"XMP ") if kind in metadata]


def _file(width: int, height: int, clear: bool, metadata: dict[bytes, bytes], pixels: list[bytes]) -> bytes:
    """A still WebP file."""
    flags = (_ALPHA if clear else 0) | sum(_METADATA[kind] for kind in metadata)
    head = chunk(b"VP8X", struct.pack("<I", flags) + _p24(width - 1) + _p24(height - 1))
    before = [chunk(b"ICCP", metadata[b"ICCP"])] if b"ICCP" in metadata else []
    after = [chunk(kind, metadata[kind]) for kind in (b"EXIF", b"XMP ") if kind in metadata]
    body = b"WEBP" + head + b"".join([*before, *pixels, *after])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _size_of(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    """Width and height of the pixels in ``chunks``, as their own header has them."""
    if lossless := chunks.get(b"VP8L"):
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<6xHH", chunks[b"VP8 "][:10])
    return width & 0x3FFF, height & 0x3FFF


def _chunks(stream: BinaryIO, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk before ``end``, where its data starts and how long it is. Raises EOFError where it is cut."""
    while stream.tell() + 8 <= end:
        kind, length = struct.unpack("<4sI", exactly(stream, 8))
        start = stream.tell()
        if start + length > end:
            raise EOFError("it has a chunk that is longer than the file")
        yield kind, start, length
        stream.seek(start + length - 1 if length else start)
        exactly(stream, 1 if length else 0)
        stream.seek(start + length + (length & 1))


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk, padded to an even length."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)


def _u24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _p24(value: int) -> bytes:
    return value.to_bytes(3, "little")
