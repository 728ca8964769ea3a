"""What a PNG file says beside its pixels, read from its chunks without decoding any of them.

Source: PNG specification, third edition. Compressed texts and profiles are inflated up to a bound; what is larger or
damaged is left out with a warning, and the picture is read all the same.
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from srgan.errors import InvalidImage
from srgan.imaging.stored import Metadata

_log = logging.getLogger(__name__)

_MOST_CHUNKS = 300_000
_MOST_TEXT = 1 << 20
"""Bytes of one text."""
_MOST_TEXTS = 1 << 23
"""Bytes of all texts together."""
_MOST_PACKET = 1 << 24
"""Bytes of a profile, of EXIF or of XMP."""
_WANTED = (b"IHDR", b"iCCP", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"pHYs")
_XMP = "XML:com.adobe.xmp"


@dataclass(frozen=True, kw_only=True)
class PngHeader:
    """The header of a PNG file and its metadata."""

    width: int
    height: int
    bits: int
    colour_type: int
    metadata: Metadata
    plain: bool
    """Whether all texts are small enough for a decoder that reads them too."""


def read_header(stream: BinaryIO) -> PngHeader:
    """Raises `InvalidImage` when there is no header."""
    found: dict[bytes, bytes] = {}
    texts: list[tuple[str, str]] = []
    xmp, plain, room = None, True, _MOST_TEXTS
    for kind, content in _chunks(stream):
        if content is None:
            plain = False
            _log.warning("A chunk %s is larger than %d bytes and was left out.", kind.decode("ascii"), _MOST_PACKET)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            entry = _text(kind, content)
            if entry is None or len(entry[1]) > (room if entry[0] != _XMP else _MOST_PACKET):
                plain = False
                _log.warning("A text that is damaged or too large was left out.")
            elif entry[0] == _XMP:
                xmp = xmp or entry[1].encode()
                plain = plain and len(entry[1]) < _MOST_TEXT
            else:
                room -= len(entry[1])
                texts.append(entry)
        else:
            found.setdefault(kind, content)
    header = found.get(b"IHDR", b"")
    if len(header) != 13:
        raise InvalidImage("damaged or truncated PNG: no header")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", header)
    metadata = Metadata(
        icc_profile=_profile(found.get(b"iCCP")),
        exif=found.get(b"eXIf"),
        xmp=xmp,
        text=tuple(texts),
        dpi=_dpi(found.get(b"pHYs", b"")),
    )
    return PngHeader(width=width, height=height, bits=bits, colour_type=colour_type, metadata=metadata, plain=plain)


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


def _text(kind: bytes, content: bytes) -> tuple[str, str] | None:
    """Keyword and text; None when it is damaged, or larger than `_MOST_TEXT` (of XMP `_MOST_PACKET`)."""
    name, found, rest = content.partition(b"\0")
    if not found or not 1 <= len(name) <= 79:
        return None
    keyword = name.decode("latin-1")
    most = _MOST_PACKET if keyword == _XMP else _MOST_TEXT
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
        _log.warning("The colour profile is damaged or too large and was left out.")
    return profile


def _inflated(data: bytes, most: int) -> bytes | None:
    """``data`` inflated; None when that fails or gives more than ``most`` bytes."""
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data, most)
    except zlib.error:
        return None
    return out if inflater.eof else None


def _dpi(content: bytes) -> tuple[float, float] | None:
    """Pixels per inch; None when the file states a ratio only."""
    if len(content) != 9 or content[8] != 1:
        return None
    x, y = struct.unpack_from(">II", content)
    return x * 0.0254, y * 0.0254
