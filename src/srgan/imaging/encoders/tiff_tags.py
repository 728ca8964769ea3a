"""The directories of EXIF and GPS, carried from an EXIF block into a TIFF file.

In TIFF, EXIF is no block: its first directory is the picture's own, and the others are found by offsets from the start
of the file. Values are copied as they are, but for the byte order. What a camera's maker note says of offsets inside
itself cannot be corrected and may break, as in every program that moves it.
"""

from __future__ import annotations

import struct

from srgan.imaging.metadata.exif_directories import EXIF, GPS, LONG, Tree, Value, byte_order, tree_of

_SWAPPED = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}
"""Bytes that change places with the byte order, by the kind of value: a fraction is two numbers."""
_LONG8 = 16


def little_endian_tree(exif: bytes) -> Tree:
    """The directories of EXIF, a bare TIFF stream, with values in little-endian order. Never raises: what is damaged is
    left out, and all of it where there is no header."""
    if exif[:2] not in (b"II", b"MM"):
        return {}
    tree = tree_of(exif)
    return tree if byte_order(exif) == "<" else _swapped(tree)


def write_directories(tree: Tree, position: int, *, big: bool) -> tuple[bytes, dict[int, int]]:
    """The EXIF and GPS directories in ``tree``, which is little-endian, as bytes that stand at ``position`` of a
    little-endian TIFF file (``big``: BigTIFF), and where each begins, by its tag."""
    block, places = bytearray(), {}
    for tag in (EXIF, GPS):
        directory = tree.get(tag)
        if isinstance(directory, dict) and directory:
            places[tag] = _put(block, directory, position, big=big)
    return bytes(block), places


def _swapped(tree: Tree) -> Tree:
    found: Tree = {}
    for tag, value in tree.items():
        if isinstance(value, dict):
            found[tag] = _swapped(value)
        else:
            width = _SWAPPED[value.kind]
            data = b"".join(value.data[at : at + width][::-1] for at in range(0, len(value.data), width))
            found[tag] = Value(value.kind, value.count, value.data if width == 1 else data)
    return found


def _put(block: bytearray, tree: Tree, position: int, *, big: bool) -> int:
    """Append a directory to ``block``, which stands at ``position``: first those in it, then its entries, then the
    values that have no room in them. Returns where it begins."""
    head, entry, room = ("<Q", "<HHQ", 8) if big else ("<H", "<HHI", 4)
    values = {
        tag: value
        if isinstance(value, Value)
        else Value(_LONG8 if big else LONG, 1, _put(block, value, position, big=big).to_bytes(room, "little"))
        for tag, value in tree.items()
    }
    block += bytes(-(position + len(block)) % 8)
    begin = position + len(block)
    table = bytearray(struct.pack(head, len(values)))
    rest = bytearray()
    after = begin + len(table) + len(values) * (struct.calcsize(entry) + room) + room
    for tag, value in sorted(values.items()):
        data = value.data
        if len(data) > room:
            rest += bytes((after + len(rest)) % 2)
            data = (after + len(rest)).to_bytes(room, "little")
            rest += value.data
        table += struct.pack(entry, tag, value.kind, value.count) + data.ljust(room, b"\0")
    block += table + bytes(room) + rest  # no directory follows
    return begin
