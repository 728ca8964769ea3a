"""Code points in the boxes of AVIF, also in boxes that lie."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srgan.imaging.decoders.nclx import nclx_of
from srgan.imaging.described import CodePoints, StandardRgb


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def nclx(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">HHHB", primaries, transfer, 1, 0))


def avif(
    *properties: bytes, items: dict[int, list[int]], primary: int = 1, wide: bool = False, long: bool = False
) -> bytes:
    """The boxes that describe a file's items; ``wide`` numbers of properties, ``long`` numbers of items."""
    name = ">I" if long else ">H"
    pitm = box(b"pitm", bytes([long, 0, 0, 0]), struct.pack(name, primary))
    ipma = bytes([long, 0, 0, wide]) + struct.pack(">I", len(items))
    for item, numbers in items.items():
        ipma += struct.pack(name, item) + bytes([len(numbers)])
        ipma += b"".join(struct.pack(">H", 0x8000 | n) if wide else bytes([0x80 | n]) for n in numbers)
    iprp = box(b"iprp", box(b"ipco", *properties), box(b"ipma", ipma))
    meta = box(b"meta", bytes(4), box(b"hdlr", bytes(24)), pitm, iprp)
    return box(b"ftyp", b"avif", bytes(4), b"avifmif1") + box(b"free", bytes(5)) + meta + box(b"mdat", bytes(9))


SIZE = box(b"ispe", bytes(12))
P3, PQ = CodePoints(primaries=12, transfer=13), CodePoints(primaries=9, transfer=16)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("long", [False, True])
def test_the_main_picture_decides_not_the_first_box(wide: bool, long: bool) -> None:
    data = avif(nclx(9, 16), SIZE, nclx(12, 13), items={7: [1, 2], 1: [2, 3]}, wide=wide, long=long)
    assert nclx_of(io.BytesIO(data)) == P3
    data = avif(nclx(9, 16), SIZE, nclx(12, 13), items={7: [1, 2], 1: [2, 3]}, primary=7, wide=wide, long=long)
    assert nclx_of(io.BytesIO(data)) == PQ


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ((1, 13), StandardRgb()),
        ((2, 2), None),
        ((2, 13), StandardRgb()),
        ((12, 2), P3),
        ((2, 16), CodePoints(primaries=1, transfer=16)),
        ((1, 1), CodePoints(primaries=1, transfer=1)),
        ((200, 99), CodePoints(primaries=200, transfer=99)),
        ((40_000, 13), None),
    ],
)
def test_unspecified_means_as_usual(code: tuple[int, int], expected: object) -> None:
    assert nclx_of(io.BytesIO(avif(SIZE, nclx(*code), items={1: [1, 2]}))) == expected


def test_a_profile_beside_them_is_passed_over() -> None:
    icc = box(b"colr", b"prof", bytes(200))
    assert nclx_of(io.BytesIO(avif(icc, nclx(12, 13), items={1: [1, 2]}))) == P3
    assert nclx_of(io.BytesIO(avif(icc, SIZE, items={1: [1, 2]}))) is None


def test_a_file_of_pillow_says_srgb() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(buffer, "AVIF")
    assert nclx_of(buffer) == StandardRgb()


GOOD = avif(SIZE, nclx(12, 13), items={1: [1, 2]})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        bytes(200),
        GOOD[:40],
        avif(items={}),
        avif(SIZE, items={1: [0, 9]}),
        avif(nclx(12, 13)[:-4], items={1: [1]}),
        avif(nclx(12, 13), items={2: [1]}),
        box(b"meta"),
        box(b"meta", bytes(4), box(b"pitm", bytes(4))),
        struct.pack(">I4sQ", 1, b"free", 3),
        b"\0\0\0\0mdat",
    ],
)
def test_boxes_that_say_nothing(data: bytes) -> None:
    assert nclx_of(io.BytesIO(data)) is None


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=4)), max_size=5))
def test_no_bytes_raise(changes: list[tuple[int, bytes]]) -> None:
    data = GOOD
    for place, content in changes:
        data = data[:place] + content + data[place + len(content) :]
    nclx_of(io.BytesIO(data))
