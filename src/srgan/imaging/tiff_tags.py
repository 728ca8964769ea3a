"""The directories of EXIF and GPS, carried from an EXIF block into a TIFF file.

In TIFF, EXIF is no block: its first directory is the picture's own, and the others are found by offsets from the start
of the file. Entries are copied as they are, byte order and offsets apart. What a camera's maker note says of offsets
inside itself cannot be corrected and may break, as in every program that moves it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

EXIF, GPS = 0x8769, 0x8825
"""Tags of the first directory that point to the two others."""
_INTEROPERABILITY = 0xA005
_POINTERS = (EXIF, GPS, _INTEROPERABILITY)
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SWAPPED = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
"""Bytes that change places with the byte order: a fraction is two numbers."""
_LONG, _LONG8 = 4, 16


@dataclass(frozen=True)
class Entry:
    """One entry of a directory; ``data`` is little-endian."""

    tag: int
    kind: int
    count: int
    data: bytes


def read_directories(exif: bytes) -> dict[int, list[Entry]]:
    """The entries of EXIF, a bare TIFF stream: of the first directory under 0, of those it points to under their tags.

    Sorted by tag, without the pointers. What is damaged is left out, and so is what would together be larger than
    ``exif`` itself.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return {}
    reader = _Reader(exif, order)
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
    except struct.error:
        return {}
    found: dict[int, list[Entry]] = {}
    waiting = [(0, first)]
    while waiting:
        name, offset = waiting.pop()
        entries = reader.entries(offset)
        for entry in entries:
            if entry.tag in _POINTERS and entry.tag not in found and entry.kind in (_LONG, 13) and entry.count == 1:
                waiting.append((entry.tag, int.from_bytes(entry.data, "little")))
        kept = {entry.tag: entry for entry in entries if entry.tag not in _POINTERS}
        if kept and name not in found:
            found[name] = [kept[tag] for tag in sorted(kept)]
    return found


def write_directories(directories: dict[int, list[Entry]], position: int, *, big: bool) -> tuple[bytes, dict[int, int]]:
    """The EXIF and GPS directories of ``directories`` as bytes that stand at ``position`` of a little-endian TIFF file
    (``big``: BigTIFF), and where each begins, by its tag."""
    places: dict[int, int] = {}
    block = bytearray()
    block += bytes(-position % 8)
    for tag in (_INTEROPERABILITY, EXIF, GPS):
        entries = list(directories.get(tag, []))
        if tag == EXIF and _INTEROPERABILITY in places:
            width = 8 if big else 4
            at = places[_INTEROPERABILITY].to_bytes(width, "little")
            entries.append(Entry(_INTEROPERABILITY, _LONG8 if big else _LONG, 1, at))
            entries.sort(key=lambda entry: entry.tag)
        if entries:
            places[tag] = position + len(block)
            block += _directory(entries, places[tag], big=big)
            block += bytes(-(position + len(block)) % 8)
    places.pop(_INTEROPERABILITY, None)
    return bytes(block), places


def _directory(entries: list[Entry], position: int, *, big: bool) -> bytes:
    """One directory at ``position``: its entries, then the values that have no room in them."""
    head, entry_format, room = ("<Q", "<HHQ", 8) if big else ("<H", "<HHI", 4)
    size = struct.calcsize(head) + len(entries) * (struct.calcsize(entry_format) + room) + room
    table, values = bytearray(struct.pack(head, len(entries))), bytearray()
    for entry in entries:
        table += struct.pack(entry_format, entry.tag, entry.kind, entry.count)
        if len(entry.data) <= room:
            table += entry.data.ljust(room, b"\0")
        else:
            values += bytes((position + size + len(values)) % 2)
            table += (position + size + len(values)).to_bytes(room, "little")
            values += entry.data
    return bytes(table + bytes(room) + values)  # no directory follows


class _Reader:
    """Reads directories, at most as many bytes of values in all as the stream has."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data = data
        self._order = order
        self._left = len(data)
        self._seen: set[int] = set()

    def entries(self, offset: int) -> list[Entry]:
        found: list[Entry] = []
        if offset in self._seen:
            return found
        self._seen.add(offset)
        try:
            (count,) = struct.unpack_from(f"{self._order}H", self._data, offset)
            for place in range(offset + 2, offset + 2 + 12 * count, 12):
                if (entry := self._entry(place)) is not None:
                    found.append(entry)
        except struct.error:
            pass  # the stream ends here
        return found

    def _entry(self, place: int) -> Entry | None:
        tag, kind, count = struct.unpack_from(f"{self._order}HHI", self._data, place)
        size = _ITEM_BYTES.get(kind, 0) * count
        start = place + 8 if size <= 4 else struct.unpack_from(f"{self._order}I", self._data, place + 8)[0]
        data = self._data[start : start + size]
        if not size or len(data) < size or size > self._left:
            return None
        self._left -= size
        width = _SWAPPED[kind]
        if self._order == ">" and width > 1:
            data = b"".join(data[i : i + width][::-1] for i in range(0, size, width))
        return Entry(tag, kind, count, data)
