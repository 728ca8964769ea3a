"""What a PNG file says beside its pixels, read from its chunks without decoding any of them.

Source: PNG specification, third edition. Compressed texts and profiles are inflated up to a bound; what is larger or
damaged is left out with a warning, and the picture is read all the same.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from srgan.errors import InvalidImage
from srgan.imaging.decoders.stored import Metadata
from srgan.imaging.described import CodePoints, Described, Gamma, StandardRgb
from srgan.imaging.inputs import warn
from srgan.imaging.metadata.enlarged import MOST_TEXT_BYTES, sorted_texts
from srgan.imaging.picture import Density

_MOST_CHUNKS = 300_000
_MOST_PACKET = 1 << 24
"""Bytes of a text, a profile or of EXIF."""
_COLOURS = (b"cICP", b"mDCV", b"cLLI", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
_WANTED = (b"IHDR", *_COLOURS, b"tRNS", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"pHYs")
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PIECE = 1 << 18
"""Bytes inflated at a time."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: left and top of the first pixel, and the steps to the next."""


@dataclass(frozen=True, kw_only=True)
class PngHeader:
    """The header of a PNG file and its metadata."""

    width: int
    height: int
    bits: int
    colour_type: int
    clear: int | None
    """Of gray, the value that is transparent, as pixels have it in the file."""
    interlaced: bool
    metadata: Metadata


def read_header(stream: BinaryIO) -> PngHeader:
    """Raises `InvalidImage` when there is no header."""
    found: dict[bytes, bytes] = {}
    texts: list[tuple[str, str]] = []
    room, lost = MOST_TEXT_BYTES, 0
    for kind, content in _chunks(stream):
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            found.setdefault(kind, content or b"")
            continue
        entry = _text(kind, content, room) if content is not None and room > 0 else None
        if entry is None:
            lost += 1
            room -= len(content or b"")  # work that was done all the same
        else:
            texts.append(entry)
            room -= len(entry[1])
    if lost:
        warn(f"{lost} texts are damaged or too large and were left out.")
    header = found.get(b"IHDR", b"")
    if len(header) != 13:
        raise InvalidImage("damaged or truncated PNG: no header")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", header)
    said = sorted_texts(texts)
    metadata = Metadata(
        icc_profile=_profile(found.get(b"iCCP")),
        described=_described(found),
        outranks=len(found.get(b"cICP", b"")) == 4,
        exif=found.get(b"eXIf") or said.exif,
        xmp=said.xmp,
        iptc=said.iptc,
        text=said.text,
        dpi=_dpi(found.get(b"pHYs", b"")),
        density=_shape_of_a_pixel(found.get(b"pHYs", b"")),
    )
    return PngHeader(
        width=width,
        height=height,
        bits=bits,
        colour_type=colour_type,
        interlaced=header[12] == 1,
        clear=_clear(found.get(b"tRNS", b""), bits) if colour_type == 0 else None,
        metadata=metadata,
    )


def pixel_fault(stream: BinaryIO, header: PngHeader) -> str | None:
    """What is wrong with the chunks that the pixels depend on, by their checksums and the one of the data; else None.

    The decoders do not look at all of them. Inflates the data once, and keeps none of it.
    """
    inflater, size = zlib.decompressobj(), 0
    most = _data_bytes(header)
    for kind, length in _critical(stream):
        check, left = zlib.crc32(kind), length
        while left:
            piece = stream.read(min(left, _PIECE))
            if not piece:
                return "its data ends early"
            left -= len(piece)
            check = zlib.crc32(piece, check)
            while kind == b"IDAT" and piece and not inflater.eof and size <= most:
                try:
                    size += len(inflater.decompress(piece, _PIECE))
                except zlib.error as error:
                    return f"its data is damaged ({str(error).partition(': ')[2]})"
                piece = inflater.unconsumed_tail
        stated = stream.read(4)
        if stated != check.to_bytes(4, "big"):
            return f"a chunk of the kind {kind.decode()} has {'a wrong' if len(stated) == 4 else 'no'} checksum"
        if kind == b"IDAT" and size > most:
            return None  # more than the picture holds; decoders leave it
    return None if inflater.eof and size >= most else "its data ends early"


def _critical(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of the chunks of `_PIXELS`; the stream stands where the content of each begins."""
    place = 8
    while True:
        stream.seek(place)
        start = stream.read(8)
        if len(start) < 8 or start[4:] == b"IEND":
            return
        length, kind = struct.unpack(">I4s", start)
        if kind in _PIXELS:
            yield kind, length
        place += 12 + length


def _data_bytes(header: PngHeader) -> int:
    """Bytes of all rows, each with the number of its filter."""
    bits = header.bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(header.colour_type, 1)
    total = 0
    for left, top, across, down in _PASSES if header.interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - header.width) // across), -((top - header.height) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def pixels_only(stream: BinaryIO) -> io.BytesIO:
    """The same picture in memory without its metadata, which no decoder needs and some stumble over."""
    stream.seek(0)
    parts = [stream.read(8)]
    while len(start := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind in _PIXELS:
            parts += [start, stream.read(length + 4)]
        else:
            stream.seek(length + 4, io.SEEK_CUR)
        if kind == b"IEND":
            break
    return io.BytesIO(b"".join(parts))


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes | None]]:
    """Kind and content of the chunks that matter here; None as content when it is too large."""
    place = 8
    for _ in range(_MOST_CHUNKS):
        stream.seek(place)
        start = stream.read(8)
        if len(start) < 8:
            return
        length, kind = struct.unpack(">I4s", start)
        if kind == b"IEND":
            return
        if kind in _WANTED:
            content = None if length > _MOST_PACKET else stream.read(length)
            if content is not None and len(content) < length:
                return
            yield kind, content
        place += 12 + length


def _text(kind: bytes, content: bytes, most: int) -> tuple[str, str] | None:
    """Keyword and text; None when it is damaged or larger than ``most``."""
    name, found, rest = content.partition(b"\0")
    if not found or not 1 <= len(name) <= 79:
        return None
    keyword = name.decode("latin-1")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif packed:
        rest = rest[1:]
    data = _inflated(rest, most) if packed else rest
    if data is None or len(data) > most:
        return None
    return keyword, data.decode("utf-8" if kind == b"iTXt" else "latin-1", errors="replace")


def _profile(content: bytes | None) -> bytes | None:
    if content is None:
        return None
    profile = _inflated(content.partition(b"\0")[2][1:], _MOST_PACKET)
    if profile is None:
        warn("the colour profile is damaged or too large and was left out.")
    return profile


def _described(found: dict[bytes, bytes]) -> Described | None:
    """What counts most of the chunks that say colours in numbers; whether it means anything is asked elsewhere."""
    code, gamma, places = (found.get(kind, b"") for kind in (b"cICP", b"gAMA", b"cHRM"))
    if len(code) == 4:
        mastering, light = found.get(b"mDCV"), found.get(b"cLLI")
        return CodePoints(
            primaries=code[0],
            transfer=code[1],
            matrix=code[2],
            full_range=bool(code[3]),
            mastering=mastering if mastering is not None and len(mastering) == 24 else None,
            light=light if light is not None and len(light) == 8 else None,
        )
    if len(said := found.get(b"sRGB", b"")) == 1:
        return StandardRgb(said[0] if said[0] < 4 else 0)
    if len(gamma) != 4 and len(places) != 32:
        return None
    return Gamma(
        gamma=int.from_bytes(gamma, "big") if len(gamma) == 4 else None,
        chromaticities=struct.unpack(">8I", places) if len(places) == 32 else None,
    )


def _clear(content: bytes, bits: int) -> int | None:
    """Two bytes hold it, whatever the depth; of less than 16 bits the upper ones do not count."""
    return int.from_bytes(content[:2], "big") & ((1 << bits) - 1) if len(content) >= 2 else None


def _inflated(data: bytes, most: int) -> bytes | None:
    """``data`` inflated; None when that fails or gives more than ``most`` bytes."""
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data, most)
    except zlib.error:
        return None
    return out if inflater.eof else None


def _shape_of_a_pixel(content: bytes) -> Density | None:
    """The ratio that stands in place of a resolution."""
    x, y, unit = struct.unpack(">IIB", content) if len(content) == 9 else (0, 0, 1)
    return Density(x, y) if unit == 0 and x and y and x != y else None


def _dpi(content: bytes) -> tuple[float, float] | None:
    """Pixels per inch; None when the file states a ratio only."""
    if len(content) != 9 or content[8] != 1:
        return None
    x, y = struct.unpack_from(">II", content)
    return x * 0.0254, y * 0.0254
