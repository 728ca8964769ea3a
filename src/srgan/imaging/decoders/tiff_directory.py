"""The directory of a page of a TIFF or BigTIFF, with every bound checked.

Source: TIFF 6.0, its technical notes, and the BigTIFF design.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

import numpy as np

from srgan.errors import InvalidImage

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value of each type."""
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_MOST_ENTRIES = 4096
_MOST_BYTES = 1 << 25
"""Bytes of one tag that is kept as metadata."""
_SUBFILE, _NO_PAGE = 254, 1 | 4
"""`NewSubfileType`, and its bits for smaller copies and for masks."""


@dataclass(frozen=True)
class Entry:
    kind: int
    count: int
    place: int
    """Where its values stand in the file."""


class Directory:
    """The directory at ``place`` of a file, or its first one. Raises `InvalidImage` when it is none that can be."""

    def __init__(self, stream: BinaryIO, place: int | None = None) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(16)
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = head[2:4] in (b"+\0", b"\0+")
        self.first = self._number(head[8:16] if self.big else head[4:8])
        self.place = self.first if place is None else place
        self._places = self._entry_places(self.place)

    @cached_property
    def entries(self) -> dict[int, Entry]:
        """The tags whose values stand in the file."""
        entries: dict[int, Entry] = {}
        for place in self._places:
            raw = self._at(place, 20 if self.big else 12)
            tag, kind = struct.unpack_from(f"{self.order}HH", raw)
            count = self._number(raw[4:12] if self.big else raw[4:8])
            room = 8 if self.big else 4
            inline = place + (12 if self.big else 8)
            length = count * SIZES.get(kind, 1)
            where = inline if length <= room else self._number(raw[-room:])
            if kind in SIZES and count > 0 and where + length <= self.size:
                entries.setdefault(tag, Entry(kind, count, where))
        return entries

    @property
    def is_page(self) -> bool:
        """Whether it describes a picture of its own, not a smaller copy of another or a mask. No tag is looked at but
        the one that says so."""
        step = self._places.step
        tags = np.frombuffer(self._at(self._places.start, len(self._places) * step), f"{self.order}u2")[:: step // 2]
        return not (_SUBFILE in tags and self.number(_SUBFILE, 0) & _NO_PAGE)

    def __len__(self) -> int:
        return len(self._places)

    def _number(self, raw: bytes) -> int:
        if len(raw) not in (2, 4, 8):
            raise InvalidImage("damaged or truncated TIFF: cut short")
        return int.from_bytes(raw, "little" if self.order == "<" else "big")

    def _at(self, place: int, count: int) -> bytes:
        if place + count > self.size:
            raise InvalidImage("damaged or truncated TIFF: a directory outside the file")
        self._stream.seek(place)
        return self._stream.read(count)

    def _entry_places(self, place: int) -> range:
        width, step = (8, 20) if self.big else (2, 12)
        count = self._number(self._at(place, width))
        if count > _MOST_ENTRIES:
            raise InvalidImage(f"damaged or truncated TIFF: a directory of {count:,} entries")
        return range(place + width, place + width + step * count, step)

    def next_page(self) -> tuple[int, int, int]:
        """Where the place of the next directory stands, in how many bytes, and what stands there; 0: no more."""
        end = self._places.stop
        width = 8 if self.big else 4
        return end, width, self._number(self._at(end, width)) if end + width <= self.size else 0

    def numbers(self, tag: int, most: int = 64) -> tuple[int, ...]:
        """The first values of a tag of whole numbers; empty when it is absent."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _WHOLE:
            return ()
        code = f"{self.order}{min(entry.count, most)}{_WHOLE[entry.kind]}"
        return struct.unpack(code, self._at(entry.place, struct.calcsize(code)))

    def number(self, tag: int, default: int) -> int:
        return next(iter(self.numbers(tag)), default)

    def content(self, tag: int) -> bytes | None:
        """The bytes of a tag; None when it is absent or too large."""
        entry = self.entries.get(tag)
        if entry is None or entry.count * SIZES[entry.kind] > _MOST_BYTES:
            return None
        return self._at(entry.place, entry.count * SIZES[entry.kind])

    def ratio(self, tag: int) -> float | None:
        entry = self.entries.get(tag)
        if entry is None or entry.kind != 5:
            return None
        above, below = struct.unpack(f"{self.order}II", self._at(entry.place, 8))
        return above / below if below else None
