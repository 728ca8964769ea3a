"""The directories that EXIF is made of: found in bytes from strangers, and laid out anew in the same byte order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

KIND_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
"""Bytes of one value of each kind; 129 is the text in UTF-8 of EXIF 3."""
_SWAPPED = {**KIND_BYTES, 5: 4, 10: 4}
"""Bytes that change places with the byte order: a fraction is two numbers."""
WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
"""Kinds of whole numbers and how `struct` calls them."""
LONG = 4
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
"""Tags whose value is the place of a further directory."""
MAKER_NOTE = 0x927C
DESCRIPTIVE = frozenset(
    {0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298}
    | set(range(0x9C9B, 0x9CA0))
)
"""Tags of the first directory that say something of the picture, not of the layout of a file: document name,
description, maker, model, software, date, artist, computer, rating, copyright, and those of the Windows Explorer."""


@dataclass(frozen=True)
class Entry:
    """One entry of a directory in some bytes: where it stands itself, and from where to where its value does."""

    tag: int
    kind: int
    count: int
    at: int
    start: int
    stop: int


@dataclass(frozen=True)
class Value:
    """A value apart from any bytes around it, in the byte order that they have."""

    kind: int
    count: int
    data: bytes


Tree: TypeAlias = "dict[int, Value | Tree]"
"""A directory apart from any bytes: values, and further directories under the tags that point to them."""


def byte_order(exif: bytes | bytearray) -> str:
    """What `struct` calls the byte order of a TIFF stream."""
    return "<" if exif[:2] == b"II" else ">"


def first_directory(exif: bytes) -> int:
    """Where the header says that the first directory stands; 0 when there is no header."""
    return int(struct.unpack_from(f"{byte_order(exif)}I", exif, 4)[0]) if len(exif) >= 8 else 0


def entries(exif: bytes, offset: int) -> tuple[list[Entry], int | None]:
    """The entries of the directory at ``offset`` whose values lie within ``exif``; and where the pointer to the next
    directory stands, None when the directory is cut off. Never raises."""
    order = byte_order(exif)
    found: list[Entry] = []
    if not 8 <= offset <= len(exif) - 2:
        return found, None
    (count,) = struct.unpack_from(f"{order}H", exif, offset)
    for at in range(offset + 2, min(offset + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, values, start = struct.unpack_from(f"{order}HHII", exif, at)
        size = KIND_BYTES.get(kind, 0) * values
        if size <= 4:
            start = at + 8
        if kind in KIND_BYTES and start >= 8 and start + size <= len(exif):
            found.append(Entry(tag, kind, values, at, start, start + size))
    pointer = offset + 2 + 12 * count
    return found, pointer if pointer + 4 <= len(exif) else None


def number(exif: bytes, entry: Entry) -> int | None:
    """The value of an entry that holds one whole number."""
    if entry.count != 1 or entry.kind not in WHOLE:
        return None
    return int(struct.unpack_from(byte_order(exif) + WHOLE[entry.kind], exif, entry.start)[0])


def directories(exif: bytes) -> Iterator[tuple[int, int, list[Entry]]]:
    """The tag that led there (0 for the first), the offset and the entries of the first directory and of those of
    EXIF, GPS and interoperability, each at most once: whatever the pointers say, this ends."""
    seen: set[int] = set()
    waiting = [(0, first_directory(exif))]
    while waiting:
        tag, offset = waiting.pop(0)
        if tag in seen:
            continue
        seen.add(tag)
        here = entries(exif, offset)[0]
        yield tag, offset, here
        wanted = {0: (EXIF, GPS), EXIF: (INTEROPERABILITY,)}.get(tag, ())
        waiting += [(entry.tag, at) for entry in here if entry.tag in wanted and (at := number(exif, entry))]


def tree_of(exif: bytes) -> Tree:
    """The directories of a TIFF stream apart from it, without the chain of further pictures.

    Values that overlap cannot make it larger than ``exif``: those beyond are left out.
    """
    trees: dict[int, Tree] = {}
    left = len(exif)
    for tag, _, here in directories(exif):
        tree = trees[tag] = {}
        for entry in here:
            if entry.tag in (EXIF, GPS, INTEROPERABILITY) or entry.tag in tree:
                continue
            left -= entry.stop - entry.start
            if left < 0:
                break
            tree[entry.tag] = Value(entry.kind, entry.count, exif[entry.start : entry.stop])
    for tag, parent in ((INTEROPERABILITY, EXIF), (EXIF, 0), (GPS, 0)):
        if trees.get(tag):
            trees[parent][tag] = trees[tag]
    return trees[0]


def little_endian(tree: Tree, order: str) -> Tree:
    """``tree``, whose values have the byte order ``order``, with little-endian values."""
    if order == "<":
        return tree
    found: Tree = {}
    for tag, value in tree.items():
        if isinstance(value, dict):
            found[tag] = little_endian(value, order)
            continue
        width = _SWAPPED[value.kind]
        data = b"".join(value.data[at : at + width][::-1] for at in range(0, len(value.data), width))
        found[tag] = Value(value.kind, value.count, value.data if width == 1 else data)
    return found


def lay_out(tree: Tree, order: str, avoid: tuple[int, int] = (0, 0)) -> bytes:
    """``tree`` as a TIFF stream. No directory or value is put from ``avoid[0]`` to ``avoid[1]``."""
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8))

    def put(data: bytes) -> int:
        start = len(out) + len(out) % 2
        if start < avoid[1] and start + len(data) > avoid[0]:
            start = avoid[1] + avoid[1] % 2
        out.extend(bytes(start - len(out)))
        out.extend(data)
        return start

    def put_directory(tree: Tree) -> int:
        table = put(bytes(6 + 12 * len(tree)))
        body = struct.pack(f"{order}H", len(tree))
        for tag, value in sorted(tree.items()):
            if isinstance(value, dict):
                value = Value(LONG, 1, struct.pack(f"{order}I", put_directory(value)))
            data = value.data if len(value.data) <= 4 else struct.pack(f"{order}I", put(value.data))
            body += struct.pack(f"{order}HHI", tag, value.kind, value.count) + data.ljust(4, b"\0")
        out[table : table + len(body)] = body
        return table

    struct.pack_into(f"{order}I", out, 4, put_directory(tree))
    return bytes(out)
