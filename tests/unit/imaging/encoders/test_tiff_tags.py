"""EXIF's directories in a TIFF file: read back by Pillow, and hostile ones."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srgan.imaging.encoders.tiff_tags import little_endian_tree, write_directories
from srgan.imaging.metadata.exif_directories import EXIF, GPS, INTEROPERABILITY, Tree, Value

LONG, SHORT, ASCII, RATIONAL, DOUBLE, UNDEFINED = 4, 3, 2, 5, 12, 7


def exif(order: str) -> bytes:
    """A bare EXIF stream with one entry of each kind, made by hand: tag 0x8769 at 38, GPS at 100."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    pack = lambda form, *values: struct.pack(order + form, *values)  # noqa: E731
    head = mark + pack("I", 8)
    first = pack("H", 3)
    first += pack("HHI", 0x010F, ASCII, 4) + b"Cam\0"
    first += pack("HHII", EXIF, LONG, 1, 50)
    first += pack("HHII", GPS, LONG, 1, 120)
    first += pack("I", 0)
    data = (head + first).ljust(50, b"\0")
    own = pack("H", 4)
    own += pack("HHII", 0x829A, RATIONAL, 1, 104)
    own += pack("HHIHH", 0x8827, SHORT, 2, 200, 400)
    own += pack("HHI", 0x9000, UNDEFINED, 4) + b"0232"
    own += pack("HHII", 0xC000, DOUBLE, 1, 112)
    data = (data + own).ljust(104, b"\0") + pack("II", 1, 250) + pack("d", 0.5)
    assert len(data) == 120
    return data + pack("H", 1) + pack("HHI", 1, ASCII, 2) + b"N\0\0\0" + pack("I", 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_of_either_byte_order_become_little_endian(order: str) -> None:
    assert little_endian_tree(exif(order)) == {
        0x010F: Value(ASCII, 4, b"Cam\0"),
        EXIF: {
            0x829A: Value(RATIONAL, 1, struct.pack("<II", 1, 250)),
            0x8827: Value(SHORT, 2, struct.pack("<HH", 200, 400)),
            0x9000: Value(UNDEFINED, 4, b"0232"),
            0xC000: Value(DOUBLE, 1, struct.pack("<d", 0.5)),
        },
        GPS: {1: Value(ASCII, 2, b"N\0")},
    }


def in_a_file(tree: Tree, position: int) -> bytes:
    """A TIFF stream that has the directories of ``tree`` at ``position``, and behind them the first one."""
    block, places = write_directories(tree, position, big=False)
    pointers = b"".join(struct.pack("<HHII", tag, LONG, 1, places[tag]) for tag in sorted(places))
    file = b"II*\0" + struct.pack("<I", position + len(block))
    return file.ljust(position, b"\0") + block + struct.pack("<H", len(places)) + pointers + bytes(4)


@pytest.mark.parametrize("position", [8, 16, 13, 1000])
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_is_written_is_read_again_at_any_place(position: int, order: str) -> None:
    tree = little_endian_tree(exif(order))
    _, places = write_directories(tree, position, big=False)
    assert set(places) == {EXIF, GPS}
    assert all(place % 2 == 0 for place in places.values())
    again = little_endian_tree(in_a_file(tree, position))
    assert (again[EXIF], again[GPS]) == (tree[EXIF], tree[GPS])


def test_the_interoperability_directory_goes_along() -> None:
    tags = Image.Exif()
    tags.get_ifd(EXIF)[0x9003] = "2020:01:02 03:04:05"
    tags.get_ifd(EXIF)[INTEROPERABILITY] = {1: "R98"}
    tree = little_endian_tree(tags.tobytes()[6:])
    again = little_endian_tree(in_a_file(tree, 8))
    assert again[EXIF][INTEROPERABILITY] == {1: Value(ASCII, 4, b"R98\0")}
    assert again == tree


def test_big_directories_have_eight_byte_places() -> None:
    block, places = write_directories({EXIF: {0x9003: Value(ASCII, 12, b"0123456789a\0")}}, 16, big=True)
    assert places == {EXIF: 16}
    count, tag, kind, number, place = struct.unpack_from("<QHHQQ", block)
    assert (count, tag, kind, number) == (1, 0x9003, ASCII, 12)
    assert block[place - 16 : place - 4] == b"0123456789a\0"


@pytest.mark.parametrize(
    "data", [b"", b"II*\0", b"junk" * 10, b"II*\0\xff\xff\xff\xff", exif("<")[:60], exif(">")[:70]]
)
def test_damaged_exif_gives_what_is_there(data: bytes) -> None:
    assert set(little_endian_tree(data)) <= {0x010F, EXIF, GPS}


def test_directories_in_a_circle_end() -> None:
    entry = struct.pack("<HHII", EXIF, LONG, 1, 8)
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + bytes(4)
    assert write_directories(little_endian_tree(data), 8, big=False) == (b"", {})


@given(st.binary(max_size=300), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_no_bytes_raise(data: bytes, head: bytes) -> None:
    for big in (False, True):
        block, places = write_directories(little_endian_tree(head + data), 8, big=big)
        assert len(block) <= 40 * len(data) + 200
        assert all(8 <= place < 8 + len(block) for place in places.values())


def test_an_exif_of_pillow_is_taken_whole() -> None:
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    own: dict[int, Any] = tags.get_ifd(EXIF)
    own[0x9003] = "2020:01:02 03:04:05"
    own[0x829D] = 2.8
    found = little_endian_tree(tags.tobytes()[6:])
    assert set(found[EXIF]) == {0x9003, 0x829D}
