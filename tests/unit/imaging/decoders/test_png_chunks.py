"""What a PNG file says beside its pixels, also when it lies."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from srgan.errors import InvalidImage
from srgan.imaging import read_picture


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*before: bytes, after: bytes = b"") -> bytes:
    """A picture of 3 x 2 with chunks before and after its pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(before) + data[33:-12] + after + data[-12:]


def test_texts_of_all_kinds_before_and_after_the_pixels_in_order() -> None:
    title = chunk(b"tEXt", b"Title\0Caf\xe9")
    long = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"word " * 1000))
    plain = chunk(b"iTXt", b"Author\0\0\0de\0Autor\0" + "Łukasz".encode())
    packed = chunk(b"iTXt", b"Note\0\1\0\0\0" + zlib.compress("日本".encode()))
    picture = read_picture(png(title, long, after=plain + packed))
    assert picture.text == (("Title", "Café"), ("Comment", "word " * 1000), ("Author", "Łukasz"), ("Note", "日本"))


def test_packets_after_the_pixels_count_too() -> None:
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    picture = read_picture(png(after=chunk(b"eXIf", exif) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)))
    assert (picture.exif, picture.xmp, picture.text) == (exif, xmp, ())


def test_iptc_where_imagemagick_writes_it() -> None:
    records = b"\x1c\x02\x05\0\x05Title"
    resources = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records
    text = b"\niptc\n%8d\n" % len(resources) + resources.hex().encode() + b"\n"
    picture = read_picture(png(chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text))))
    assert (picture.iptc, picture.text) == (records, ())


@pytest.mark.parametrize("unit", [0, 1])
def test_resolution_with_a_unit(unit: int) -> None:
    picture = read_picture(png(chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, unit))))
    assert picture.dpi == (pytest.approx((300, 150), abs=0.02) if unit else None)


BOMB, LONG = zlib.compress(bytes(40_000_000)), zlib.compress(b"x" * 4_000_000)


@pytest.mark.parametrize(
    ("evil", "kept"),
    [
        (chunk(b"zTXt", b"Bomb\0\0" + BOMB), 1),
        (chunk(b"iTXt", b"Bomb\0\1\0\0\0" + BOMB), 1),
        (b"".join(chunk(b"zTXt", b"A%d\0\0" % i + LONG) for i in range(50)), 3),
        (chunk(b"zTXt", b"Cut\0\0" + zlib.compress(b"word " * 1000)[:-10]), 1),
        (chunk(b"tEXt", b"no end of the keyword"), 1),
        (chunk(b"tEXt", b"x" * 80 + b"\0text"), 1),
        (chunk(b"tEXt", b"\0text"), 1),
        (chunk(b"iCCP", b"name\0\0" + BOMB), 1),
        (chunk(b"iCCP", b"name\0\0garbage"), 1),
        (chunk(b"iCCP", b""), 1),
        (chunk(b"pHYs", b"123"), 1),
        (chunk(b"eXIf", b"garbage"), 1),
    ],
)
def test_damaged_and_gigantic_metadata_is_left_out_and_the_picture_read(evil: bytes, kept: int) -> None:
    start = time.process_time()
    picture = read_picture(png(evil, chunk(b"tEXt", b"Good\0text")))
    assert time.process_time() - start < 1.5
    assert np.array_equal(np.round(picture.pixels[..., 0] * 255), np.arange(6).reshape(2, 3))
    assert len(picture.text) == kept
    assert ("Good", "text") in picture.text
    assert (picture.icc_profile, picture.exif, picture.dpi) == (None, None, None)


def test_a_million_empty_chunks_are_no_trap() -> None:
    start = time.process_time()
    assert read_picture(png(after=chunk(b"tEXt", b"") * 20_000 + chunk(b"abCd", b"") * 500_000)).width == 3
    assert time.process_time() - start < 5


def test_a_file_without_a_header_is_refused() -> None:
    with pytest.raises(InvalidImage, match="no header"):
        read_picture(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"123") + chunk(b"IEND", b""))
