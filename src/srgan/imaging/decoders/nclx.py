"""The code points that AVIF states for its picture, found in its boxes without decoding.

Source: ISO/IEC 14496-12 for boxes, 23008-12 for items and their properties. Pillow decodes with them but does not say
what they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from srgan.imaging.described import CodePoints, Described, StandardRgb

_MOST_BYTES = 1 << 22
"""Of the box that describes all items."""
_MOST_BOXES = 10_000
_UNSPECIFIED, _BT709, _SRGB = 2, 1, 13


def nclx_of(stream: BinaryIO) -> Described | None:
    """What the main picture's ``nclx`` says of its RGB; None when there is none. Never raises on damaged boxes."""
    try:
        return _primary_nclx(_meta(stream))
    except (struct.error, IndexError):
        return None


def of_code_points(primaries: int, transfer: int) -> Described | None:
    """The RGB that is decoded from a picture with these code points; None when they say nothing."""
    if (primaries, transfer) == (_UNSPECIFIED, _UNSPECIFIED):
        return None
    primaries = _BT709 if primaries == _UNSPECIFIED else primaries
    transfer = _SRGB if transfer == _UNSPECIFIED else transfer
    if (primaries, transfer) == (_BT709, _SRGB):
        return StandardRgb()
    return CodePoints(primaries=primaries, transfer=transfer) if max(primaries, transfer) < 256 else None


def _meta(stream: BinaryIO) -> bytes:
    """The content of the file's ``meta`` box; empty when it has none."""
    place = 0
    for _ in range(_MOST_BOXES):
        stream.seek(place)
        head = stream.read(16)
        if len(head) < 8:
            break
        length, kind, start = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, start = int.from_bytes(head[8:16], "big"), 16
        if kind == b"meta":
            stream.seek(place + start)
            return stream.read(min(length - start, _MOST_BYTES)) if length > start else b""
        if length < start:
            break
        place += length
    return b""


def _primary_nclx(meta: bytes) -> Described | None:
    boxes = dict(_boxes(meta[4:]))
    pitm, properties = boxes.get(b"pitm", b""), dict(_boxes(boxes.get(b"iprp", b"")))
    if not pitm:
        return None
    item = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)[0]
    stated = list(_boxes(properties.get(b"ipco", b"")))
    for index in _properties_of(item, properties.get(b"ipma", b"")):
        kind, content = stated[index - 1] if 0 < index <= len(stated) else (b"", b"")
        if kind == b"colr" and content[:4] == b"nclx":
            return of_code_points(*struct.unpack_from(">HH", content, 4))
    return None


def _properties_of(item: int, ipma: bytes) -> list[int]:
    """The numbers of the properties of ``item``, from 1."""
    if not ipma:
        return []
    name, wide = ">I" if ipma[0] else ">H", bool(ipma[3] & 1)
    (count,) = struct.unpack_from(">I", ipma, 4)
    place = 8
    for _ in range(min(count, _MOST_BOXES)):
        (found,) = struct.unpack_from(name, ipma, place)
        place += struct.calcsize(name)
        several = ipma[place]
        place += 1
        step = 2 if wide else 1
        if found == item:
            numbers = struct.unpack_from(f">{several}{'H' if wide else 'B'}", ipma, place)
            return [number & (0x7FFF if wide else 0x7F) for number in numbers]
        place += several * step
    return []


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if length < 8:
            return
        yield kind, data[place + 8 : place + length]
        place += length
