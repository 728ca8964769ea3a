"""EXIF's directories in a TIFF file: read back by Pillow, and hostile ones."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srgan.imaging.tiff_tags import EXIF, GPS, Entry, read_directories, write_directories

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
def test_entries_of_either_byte_order_become_little_endian(order: str) -> None:
    found = read_directories(exif(order))
    assert found[0] == [Entry(0x010F, ASCII, 4, b"Cam\0")]
    assert found[EXIF] == [
        Entry(0x829A, RATIONAL, 1, struct.pack("<II", 1, 250)),
        Entry(0x8827, SHORT, 2, struct.pack("<HH", 200, 400)),
        Entry(0x9000, UNDEFINED, 4, b"0232"),
        Entry(0xC000, DOUBLE, 1, struct.pack("<d", 0.5)),
    ]
    assert found[GPS] == [Entry(1, ASCII, 2, b"N\0")]


@pytest.mark.parametrize("position", [8, 16, 13, 1000])
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_is_written_is_read_again_at_any_place(position: int, order: str) -> None:
    found = read_directories(exif(order))
    block, places = write_directories(found, position, big=False)
    assert set(places) == {EXIF, GPS}
    assert all(place % 2 == 0 for place in places.values())
    pointers = b"".join(struct.pack("<HHII", tag, LONG, 1, places[tag]) for tag in sorted(places))
    file = b"II*\0" + struct.pack("<I", position + len(block))
    file = file.ljust(position, b"\0") + block + struct.pack("<H", 2) + pointers + bytes(4)
    again = read_directories(file)
    assert again[EXIF] == found[EXIF]
    assert again[GPS] == found[GPS]


def test_the_interoperability_directory_goes_along() -> None:
    tags = Image.Exif()
    tags.get_ifd(EXIF)[0x9003] = "2020:01:02 03:04:05"
    tags.get_ifd(EXIF)[0xA005] = {1: "R98"}
    found = read_directories(tags.tobytes()[6:])
    assert [entry.tag for entry in found[0xA005]] == [1]
    block, places = write_directories(found, 8, big=False)
    assert set(places) == {EXIF}
    (count,) = struct.unpack_from("<H", block, places[EXIF] - 8)
    assert count == 2


def test_big_directories_have_eight_byte_places() -> None:
    block, places = write_directories({EXIF: [Entry(0x9003, ASCII, 12, b"0123456789a\0")]}, 16, big=True)
    assert places == {EXIF: 16}
    count, tag, kind, number, place = struct.unpack_from("<QHHQQ", block)
    assert (count, tag, kind, number) == (1, 0x9003, ASCII, 12)
    assert block[place - 16 : place - 4] == b"0123456789a\0"


@pytest.mark.parametrize(
    "data", [b"", b"II*\0", b"junk" * 10, b"II*\0\xff\xff\xff\xff", exif("<")[:60], exif(">")[:70]]
)
def test_damaged_exif_gives_what_is_there(data: bytes) -> None:
    found = read_directories(data)
    assert set(found) <= {0, EXIF, GPS}


def test_values_in_all_are_no_larger_than_the_stream() -> None:
    """Many entries that point to the same bytes would grow a small file into a large one."""
    count = 500
    table = struct.pack("<H", count) + b"".join(
        struct.pack("<HHII", 0x9000 + i, UNDEFINED, 6000, 8) for i in range(count)
    )
    data = b"II*\0" + struct.pack("<I", 8) + table
    found = read_directories(data)
    assert sum(len(entry.data) for entry in found[0]) <= len(data)


def test_directories_in_a_circle_end() -> None:
    entry = struct.pack("<HHII", EXIF, LONG, 1, 8)
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + bytes(4)
    assert read_directories(data) == {}


@given(st.binary(max_size=300), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_no_bytes_raise(data: bytes, head: bytes) -> None:
    found = read_directories(head + data)
    block, places = write_directories(found, 8, big=False)
    assert len(block) <= 40 * len(data) + 200
    assert all(8 <= place < 8 + len(block) for place in places.values())


def test_an_exif_of_pillow_is_taken_whole() -> None:
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    own: dict[int, Any] = tags.get_ifd(EXIF)
    own[0x9003] = "2020:01:02 03:04:05"
    own[0x829D] = 2.8
    found = read_directories(tags.tobytes()[6:])
    assert {entry.tag for entry in found[EXIF]} == {0x9003, 0x829D}
    image = Image.new("L", (2, 2))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=tags)
    assert buffer.getvalue()
