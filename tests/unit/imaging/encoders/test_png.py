"""The PNG writer, read back by a second, independent reader: Pillow for 8 bit, the few lines below for 16 bit."""

from __future__ import annotations

import io
import itertools
import struct
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srgan.imaging.encoders.png import PngWriter

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def png(rows: NDArray[Any], *, step: int | None = None, **options: Any) -> bytes:
    """``rows`` as PNG, handed over ``step`` at a time."""
    stream = io.BytesIO()
    height, width, channels = rows.shape
    writer = PngWriter(stream, width, height, channels, bit_depth=rows.dtype.itemsize * 8, **options)
    for start in range(0, height, step or height):
        writer.write_rows(rows[start : start + (step or height)])
    writer.finish()
    return stream.getvalue()


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every chunk, its CRC checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, position = [], 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", data, position + 8 + length) == (zlib.crc32(kind + body),)
        found.append((kind, body))
        position += 12 + length
    return found


def decoded(data: bytes) -> tuple[NDArray[np.integer[Any]], set[int]]:
    """The pixels and the filters in use: a decoder for the three filters that need no prediction."""
    parts = chunks(data)
    width, height, depth, colour = struct.unpack_from(">IIBB", dict(parts)[b"IHDR"])
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    pixel = channels * depth // 8
    stream = zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"))
    lines = np.frombuffer(stream, np.uint8).reshape(height, 1 + width * pixel)
    filters, raw = lines[:, 0], lines[:, 1:].copy()
    for y, kind in enumerate(filters):
        if kind == 1:
            raw[y] = np.cumsum(raw[y].reshape(width, pixel), axis=0, dtype=np.uint8).ravel()
        elif kind == 2 and y:
            raw[y] += raw[y - 1]
    values = raw.view(">u2") if depth == 16 else raw
    return values.reshape(height, width, channels), {int(kind) for kind in filters}


def random_rows(height: int, width: int, channels: int, dtype: type[np.integer[Any]] = np.uint8) -> NDArray[Any]:
    return np.random.default_rng(height * width).integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype)


def smooth_rows(height: int, width: int, channels: int) -> NDArray[np.uint8]:
    y, x, c = np.mgrid[:height, :width, :channels]
    return (127 + 60 * np.sin(x / 9 + c) + 60 * np.cos(y / 7)).astype(np.uint8)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (37, 53), (260, 2000)])
@pytest.mark.parametrize("make", [random_rows, smooth_rows])
def test_another_reader_sees_the_same_pixels(channels: int, size: tuple[int, int], make: Any) -> None:
    rows = make(*size, channels)
    with Image.open(io.BytesIO(png(rows))) as image:
        image.load()
        assert image.mode == MODES[channels]
        assert np.array_equal(np.asarray(image).reshape(rows.shape), rows)


@pytest.mark.parametrize("channels", MODES)
def test_sixteen_bits_are_kept_in_all_kinds_of_pixels(channels: int) -> None:
    rows = random_rows(40, 30, channels, np.uint16)
    assert np.array_equal(decoded(png(rows))[0], rows)
    if channels == 1:
        with Image.open(io.BytesIO(png(rows))) as image:
            assert np.array_equal(np.asarray(image), rows[..., 0])


@pytest.mark.parametrize("step", [1, 7, 300])
def test_rows_may_come_in_any_portions(step: int) -> None:
    rows = smooth_rows(300, 1400, 3)  # more than one strip
    assert np.array_equal(decoded(png(rows, step=step))[0], rows)


def test_views_and_foreign_byte_order_are_written_as_their_values() -> None:
    rows = random_rows(20, 30, 3, np.uint16)
    assert png(rows[::-1, ::2]) == png(np.ascontiguousarray(rows[::-1, ::2]))
    planes = np.ascontiguousarray(rows.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert png(planes) == png(rows)


def test_each_strip_gets_the_filter_that_suits_it() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 3000, 3), np.uint8)
    columns = np.repeat(noise, 150, axis=0)  # each row repeats the one above
    ramps = np.cumsum(np.random.default_rng(1).integers(0, 3, (150, 3000, 3)), axis=1).astype(np.uint8)
    assert decoded(png(columns))[1] == {2}
    assert decoded(png(ramps))[1] == {1}
    assert decoded(png(np.concatenate([columns, ramps])))[1] >= {1, 2}
    assert decoded(png(random_rows(20, 20, 3) // 128 * 255))[1] == {0}
    assert len(png(columns)) < columns.size / 50


def test_files_are_as_small_as_those_of_pillow_at_its_fastest_level(examples: Any) -> None:
    with Image.open(sorted(examples.glob("*.png"))[0]) as image:
        enlarged = image.convert("RGB").resize((image.width * 4, image.height * 4), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    enlarged.save(buffer, "PNG", compress_level=1)
    assert len(png(np.asarray(enlarged))) < 1.05 * len(buffer.getvalue())


def test_without_the_fast_deflate_the_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = smooth_rows(400, 1000, 3)
    fast = png(rows)
    monkeypatch.setitem(sys.modules, "isal", None)
    slow = png(rows)
    assert slow != fast
    assert np.array_equal(decoded(slow)[0], rows)


def test_metadata_stands_before_the_pixels() -> None:
    profile, exif, xmp = bytes(range(256)) * 20, b"II*\0\x08\0\0\0\0\0\0\0\0\0", "<x:xmpmeta>é</x:xmpmeta>".encode()
    data = png(random_rows(4, 4, 3), icc_profile=profile, exif=exif, xmp=xmp, dpi=(300, 72))
    assert [kind for kind, _ in chunks(data)] == [b"IHDR", b"iCCP", b"pHYs", b"eXIf", b"iTXt", b"IDAT", b"IEND"]
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == profile
        assert image.info["exif"].removeprefix(b"Exif\0\0") == exif
        assert image.info["dpi"] == pytest.approx((300, 72), abs=0.02)
        image.load()
        assert image.info["xmp"] == xmp


def test_absurd_resolutions_are_held_within_the_field() -> None:
    assert dict(chunks(png(random_rows(2, 2, 1), dpi=(1e-9, 1e12))))[b"pHYs"] == struct.pack(">IIB", 1, 2**31 - 1, 1)


@pytest.mark.parametrize("wrong", [(0, 4, 3, 8), (4, 2**31, 3, 8), (4, 4, 5, 8), (4, 4, 3, 12)])
def test_what_is_no_png_picture_is_refused(wrong: tuple[int, int, int, int]) -> None:
    width, height, channels, depth = wrong
    with pytest.raises(ValueError, match="no PNG picture"):
        PngWriter(io.BytesIO(), width, height, channels, bit_depth=depth)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((4, 5, 3), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((5, 4, 3), np.uint8),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        PngWriter(io.BytesIO(), 4, 4, 3).write_rows(rows)


def test_a_picture_with_missing_rows_cannot_be_finished() -> None:
    writer = PngWriter(io.BytesIO(), 4, 4, 3)
    writer.write_rows(np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="1 rows are missing"):
        writer.finish()


def test_strips_of_a_large_picture_are_written_as_they_come() -> None:
    stream = io.BytesIO()
    writer = PngWriter(stream, 2000, 4000, 3)
    noise = random_rows(500, 2000, 3)
    sizes = []
    for _ in range(8):
        writer.write_rows(noise)
        sizes.append(stream.tell())
    writer.finish()
    assert all(later - earlier > noise.size // 2 for earlier, later in itertools.pairwise(sizes))


# ---- texts


def texts(*text: tuple[str, str], **options: Any) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for kind, body in chunks(png(random_rows(2, 2, 1), text=text, **options)):
        found.setdefault(kind, []).append(body)
    return found


def test_texts_go_into_the_plainest_chunk_that_holds_them() -> None:
    found = texts(("Title", "Größe"), ("Author", "日本語"), ("Empty", ""))
    assert found[b"tEXt"] == [b"Title\0Gr\xf6\xdfe", b"Empty\0"]
    assert found[b"iTXt"] == [b"Author\0\0\0\0\0" + "日本語".encode()]


@pytest.mark.parametrize("words", ["long " * 1000, "日本" * 3000])
def test_long_texts_are_compressed_and_pillow_reads_them(words: str) -> None:
    data = png(random_rows(2, 2, 1), text=(("Title", words), ("Other", "x")))
    assert len(data) < 1000
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.text == {"Title": words, "Other": "x"}


@pytest.mark.parametrize("keyword", ["", " a", "a ", "a  b", "x" * 80, "a\0b", "日本", "a\nb", "a\xa0b"])
def test_keywords_that_png_forbids_are_left_out(keyword: str) -> None:
    assert set(texts((keyword, "words"))) == {b"IHDR", b"IDAT", b"IEND"}


@pytest.mark.parametrize("keyword", ["a", "x" * 79, "a b", "Ä"])
def test_keywords_that_png_allows_are_kept(keyword: str) -> None:
    assert texts((keyword, "words"))[b"tEXt"] == [keyword.encode("latin-1") + b"\0words"]


def test_texts_hold_no_zero_bytes_and_no_half_characters() -> None:
    assert texts(("a", "b\0c\r\nd"))[b"tEXt"] == [b"a\0bc\nd"]
    assert texts(("a", "\ud800"))[b"iTXt"] == [b"a\0\0\0\0\0?"]


def test_iptc_is_written_once_whatever_the_texts_say() -> None:
    old = ("Raw profile type iptc", "\niptc\n 1\n00\n")
    found = texts(old, ("Title", "words"), iptc=b"\x1c\x02\x05\x00\x01x" * 20)
    assert b"tEXt" in found
    assert len(found[b"zTXt"]) == 1
    name, _, packed = found[b"zTXt"][0].partition(b"\0\0")
    lines = zlib.decompress(packed).decode().split("\n")
    assert (name, lines[:2]) == (b"Raw profile type iptc", ["", "iptc"])
    resource = bytes.fromhex("".join(lines[3:]))
    assert len(resource) == int(lines[2])
    assert resource == b"8BIM\x04\x04\0\0" + struct.pack(">I", 120) + b"\x1c\x02\x05\x00\x01x" * 20
    assert max(map(len, lines)) == 72
    assert texts(old)[b"tEXt"] == [b"Raw profile type iptc\0\niptc\n 1\n00\n"]
