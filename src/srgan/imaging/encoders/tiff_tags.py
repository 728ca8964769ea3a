"""The directories of EXIF and GPS, carried from an EXIF block into a TIFF file.

In TIFF, EXIF is no block: its first directory is the picture's own, and the others are found by offsets from the start
of the file. Values are copied as they are, but for the byte order. What a camera's maker note says of offsets inside
itself cannot be corrected and may break, as in every program that moves it.
"""

from __future__ import annotations

import struct

from srgan.imaging.metadata.exif_directories import EXIF, GPS, LONG, Tree, Value, byte_order, little_endian, tree_of

_LONG8 = 16


def little_endian_tree(exif: bytes) -> Tree:
    """The directories of EXIF, a bare TIFF stream, with values in little-endian order. Never raises: what is damaged is
    left out, and all of it where there is no header."""
    if exif[:2] not in (b"II", b"MM"):
        return {}
    return little_endian(tree_of(exif), byte_order(exif))


def write_directories(tree: Tree, position: int, *, big: bool) -> tuple[bytes, dict[int, int]]:
    """The EXIF and GPS directories in ``tree``, which is little-endian, as bytes that stand at ``position`` of a
    little-endian TIFF file (``big``: BigTIFF), and where each begins, by its tag."""
    block, places = bytearray(), {}
    for tag in (EXIF, GPS):
        directory = tree.get(tag)
        if isinstance(directory, dict) and directory:
            places[tag] = _put(block, directory, position, big=big)
    return bytes(block), places


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
