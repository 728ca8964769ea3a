"""Strips and tiles of TIFF: every compression, depth and predictor as it was written, and no pixel out of damage."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
import tifffile
from numpy.typing import NDArray
from PIL import Image

from srgan.errors import InvalidImage
from srgan.imaging import Limits, open_input, open_scan, read_picture

Values = NDArray[Any]

KEEP = Limits(damaged="keep")


def scene(height: int = 45, width: int = 70, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth, with some noise: what compressions find something in."""
    y, x = np.mgrid[:height, :width]
    planes = [(3 * x + (2 + c) * y + np.random.default_rng(c).integers(0, 9, x.shape)) % 256 for c in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8)


def page(tags: dict[int, int | tuple[int, ...]], segments: list[bytes], *, big_endian: bool = False) -> bytes:
    """A file of one page whose segments are given; the tags for offsets and counts are 273 and 279."""
    order, place, body = ">" if big_endian else "<", 8, b""
    offsets = []
    for segment in segments:
        offsets.append(place + len(body))
        body += segment + bytes(len(segment) % 2)
    tags = {**tags, 273: tuple(offsets), 279: tuple(map(len, segments))}
    entries = b""
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, body = struct.pack(f"{order}I", place + len(body)), body + packed
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(f"{order}I", place + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def gray(values: Values, bits: int, segments: list[bytes], **more: int) -> bytes:
    """A page of gray strips; ``t339=2`` and so on adds a tag."""
    rows = -(-len(values) // len(segments))
    tags = {256: values.shape[1], 257: len(values), 258: bits, 259: 1, 262: 1, 277: 1, 278: rows}
    big_endian = bool(more.pop("big_endian", False))
    return page({**tags, **{int(name[1:]): value for name, value in more.items()}}, segments, big_endian=big_endian)


def packed(values: Values, bits: int) -> bytes:
    """Rows of numbers of some bits, the highest bit first, each row filled up to a byte."""
    flags = (values[..., None].astype(np.int64) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(flags.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


# ---- depths


@pytest.mark.parametrize("bits", [1, 3, 5, 7, 9, 10, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("big_endian", [False, True])
def test_every_depth_up_to_sixteen_bits_is_read(bits: int, big_endian: bool) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << bits, (7, 13))
    picture = read_picture(
        gray(values, bits, [packed(values[:4], bits), packed(values[4:], bits)], big_endian=big_endian)
    )
    assert picture.bit_depth == (8 if bits <= 8 else 16)
    assert picture.pixels[..., 0] == pytest.approx(values / ((1 << bits) - 1), abs=1e-7)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_colours_of_odd_depths_and_tiles_of_them(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << bits, (20, 30, 3))
    tiles = []
    for top in (0, 16):
        for left in (0, 16):
            tile = np.zeros((16, 16, 3), np.int64)
            part = values[top : top + 16, left : left + 16]
            tile[: part.shape[0], : part.shape[1]] = part
            tiles.append(zlib.compress(packed(tile.reshape(16, -1), bits)))
    tags: dict[int, Any] = {256: 30, 257: 20, 258: bits, 259: 8, 262: 2, 277: 3, 322: 16, 323: 16}
    picture = read_picture(page(tags, tiles))
    assert picture.pixels == pytest.approx(values / ((1 << bits) - 1), abs=1e-7)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", [1, 2])
def test_integers_of_twenty_four_bits(kind: int, big_endian: bool) -> None:
    values = np.random.default_rng(3).integers(0, 1 << 23, (6, 9)) * 2 - (0 if kind == 1 else 1 << 23)
    raw = b"".join(int(v).to_bytes(3, "big" if big_endian else "little", signed=kind == 2) for v in values.flat)
    picture = read_picture(gray(values, 24, [raw], big_endian=big_endian, t339=kind))
    low, high = picture.levels
    assert picture.bit_depth == 32
    assert picture.pixels[..., 0] * (high - low) + low == pytest.approx(values, abs=4)


def test_signed_numbers_of_odd_depth() -> None:
    values = np.random.default_rng(3).integers(-512, 512, (6, 9))
    picture = read_picture(gray(values, 10, [packed(values & 1023, 10)], t339=2))
    assert picture.pixels[..., 0] * (picture.levels[1] - picture.levels[0]) + picture.levels[0] == pytest.approx(
        values, abs=1e-3
    )


def test_floating_point_of_twenty_four_bits() -> None:
    words = {0x000000: 0, 0x3F0000: 1, 0x3E0000: 0.5, 0x3E8000: 0.75, 0x3D4000: 0.3125, 0x000001: 2.0**-78}
    raw = b"".join(word.to_bytes(3, "little") for word in words)
    picture = read_picture(gray(np.zeros((1, len(words))), 24, [raw], t339=3))
    assert picture.pixels.ravel() == pytest.approx([*words.values()])
    infinite = (0x7F0000).to_bytes(3, "little")
    with pytest.raises(InvalidImage, match="NaN or infinite"):
        read_picture(gray(np.zeros((1, 1)), 24, [infinite], t339=3))


def test_bits_that_stand_in_the_other_order() -> None:
    values = np.random.default_rng(1).integers(0, 2, (5, 21))
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in packed(values, 1))
    assert read_picture(gray(values, 1, [turned], t266=2)).pixels[..., 0] == pytest.approx(values)


@pytest.mark.parametrize(
    ("kind", "words"), [(3, "floating point numbers of 10 bits"), (6, "complex numbers of 64 bits")]
)
def test_depths_that_are_not_read_are_named_in_words(kind: int, words: str) -> None:
    bits = int(words.split()[-2])
    with pytest.raises(InvalidImage, match=f"TIFF with {words} is not supported; save it"):
        read_picture(gray(np.zeros((2, 2)), bits, [bytes(64)], t339=kind))


# ---- compressions


def by_vips(values: Values, **options: Any) -> bytes:
    data: bytes = pyvips.Image.new_from_array(values).write_to_buffer(".tif", **options)
    return data


def by_pillow(values: Values, compression: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF", compression=compression)
    return buffer.getvalue()


def by_tifffile(values: Values, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb", **options)
    return buffer.getvalue()


def zstd_tiles(values: Values) -> bytes:
    """Tiles of 32 x 16, each as Pillow packs it."""
    tiles = []
    for top in range(0, len(values), 16):
        for left in range(0, values.shape[1], 32):
            tile = np.zeros((16, 32, 3), np.uint8)
            part = values[top : top + 16, left : left + 32]
            tile[: part.shape[0], : part.shape[1]] = part
            tiles.append(strips_of(by_pillow(tile, "zstd"))[0])
    tags: dict[int, Any] = {
        256: values.shape[1],
        257: len(values),
        258: 8,
        259: 50000,
        262: 2,
        277: 3,
        322: 32,
        323: 16,
    }
    return page(tags, tiles)


def places_of(data: bytes) -> list[tuple[int, int]]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first = file.pages.first
        return [*zip(first.dataoffsets, first.databytecounts, strict=True)]


def strips_of(data: bytes) -> list[bytes]:
    return [data[place : place + count] for place, count in places_of(data)]


EXACT: dict[str, Callable[[Values], bytes]] = {
    "plain strips": lambda v: by_vips(v, compression="none"),
    "plain tiles": lambda v: by_vips(v, compression="none", tile=True, tile_width=32, tile_height=16),
    "deflate strips": lambda v: by_vips(v, compression="deflate", predictor="none"),
    "deflate tiles": lambda v: by_vips(v, compression="deflate", tile=True, tile_width=32, tile_height=16),
    "deflate differences": lambda v: by_vips(v, compression="deflate", predictor="horizontal", tile=True),
    "old deflate": lambda v: by_pillow(v, "tiff_deflate"),
    "lzw strips": lambda v: by_vips(v, compression="lzw", predictor="none"),
    "lzw tiles": lambda v: by_vips(v, compression="lzw", tile=True, tile_width=32, tile_height=16),
    "lzw differences": lambda v: by_vips(v, compression="lzw", predictor="horizontal"),
    "packbits strips": lambda v: by_vips(v, compression="packbits"),
    "packbits tiles": lambda v: by_vips(v, compression="packbits", tile=True, tile_width=32, tile_height=16),
    "lzma strips": lambda v: by_tifffile(v, compression="lzma", rowsperstrip=8),
    "lzma tiles": lambda v: by_tifffile(v, compression="lzma", tile=(16, 32), predictor=True),
    "lzma planes": lambda v: by_tifffile(
        np.ascontiguousarray(v.transpose(2, 0, 1)), compression="lzma", planarconfig="separate", tile=(16, 32)
    ),
    "deflate planes": lambda v: by_tifffile(
        np.ascontiguousarray(v.transpose(2, 0, 1)), compression="zlib", planarconfig="separate", rowsperstrip=8
    ),
    "zstd strips": lambda v: by_pillow(v, "zstd"),
    "zstd tiles": zstd_tiles,
    "pyramid": lambda v: by_vips(v, compression="deflate", tile=True, tile_width=32, tile_height=16, pyramid=True),
}


@pytest.mark.parametrize("kind", EXACT)
def test_every_compression_gives_the_pixels_that_were_written(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    values = scene()
    assert read_picture(EXACT[kind](values)).pixels == pytest.approx(values / 255, abs=1e-7)
    assert capfd.readouterr().err == ""


def restated(data: bytes, codes: tuple[int, int], number: int, value: int) -> bytes:
    """``data`` with another number in a table: of tiles by the first of ``codes``, of strips by the second."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = next(file.pages.first.tags[code] for code in codes if code in file.pages.first.tags)
    width = tag.valuebytecount // tag.count
    place = tag.valueoffset + width * number
    return data[:place] + value.to_bytes(width, "little") + data[place + width :]


@pytest.mark.parametrize("kind", [kind for kind in EXACT if kind != "plain strips"])
@pytest.mark.parametrize("cut", ["half", "nothing", "outside"])
def test_a_segment_cut_short_is_refused(kind: str, cut: str) -> None:
    data = EXACT[kind](scene())
    places = places_of(data)
    number = len(places) // 2
    if cut == "half":
        data = restated(data, (325, 279), number, places[number][1] // 2)
    elif cut == "nothing":
        data = restated(data, (324, 273), number, 0)
    else:
        data = restated(data, (324, 273), number, len(data) - 2)
    with pytest.raises(InvalidImage, match=r"damaged or truncated TIFF: (strip|tile) \d+ of \d+"):
        read_picture(data)


def test_one_plain_strip_is_as_long_as_its_rows_whatever_is_said() -> None:
    """Writers get it wrong, and libtiff does not look."""
    one = gray(scene()[..., 0], 8, [scene()[..., 0].tobytes()])
    assert read_picture(restated(one, (325, 279), 0, 17)).pixels[..., 0] == pytest.approx(scene()[..., 0] / 255)
    with pytest.raises(InvalidImage, match="strip 1 of 1 lies outside of the file"):
        read_picture(restated(one, (324, 273), 0, len(one) - 17))


@pytest.mark.parametrize("kind", [kind for kind in EXACT if kind.startswith(("deflate", "lzma", "old", "pyramid"))])
def test_where_there_is_a_checksum_every_wrong_byte_is_found(kind: str) -> None:
    sound = EXACT[kind](scene())
    for place, count in places_of(sound):
        for at in (2, count // 3, count // 2, count - 2):
            data = bytearray(sound)
            data[place + at] ^= 0x55
            with pytest.raises(InvalidImage, match=r"damaged or truncated TIFF: (strip|tile) \d+ of \d+"):
                read_picture(bytes(data))


@pytest.mark.parametrize("kind", ["lzw strips", "lzw tiles"])
def test_lzw_of_the_wrong_length_is_found(kind: str) -> None:
    """It has no checksum; but most wrong codes stand for a text of another length."""
    y, x = np.mgrid[:120, :150]
    values = np.stack([x // 3, y // 2, (x + y) // 4], axis=2).astype(np.uint8)
    sound = EXACT[kind](values)
    random = np.random.default_rng(11)
    told = wrong = 0
    places = places_of(sound)
    for _ in range(40):
        data = bytearray(sound)
        place, count = places[int(random.integers(len(places)))]
        data[place + int(random.integers(count // 8, count - 4))] ^= int(random.integers(1, 256))
        try:
            wrong += not np.allclose(read_picture(bytes(data)).pixels, values / 255, atol=1e-6)
        except InvalidImage:
            told += 1
    assert told > 2 * wrong


def test_deflate_without_its_checksum_is_refused() -> None:
    values = scene()[..., 0]
    whole = zlib.compress(values.tobytes())
    assert read_picture(gray(values, 8, [whole], t259=8)).pixels[..., 0] == pytest.approx(values / 255)
    with pytest.raises(InvalidImage, match="strip 1 of 1 ends early"):
        read_picture(gray(values, 8, [whole[:-3]], t259=8))
    with pytest.raises(InvalidImage, match="strip 1 of 1 is damaged"):
        read_picture(gray(values, 8, [whole[:-4] + b"abcd"], t259=8))


@pytest.mark.parametrize("packer", [zlib.compress, lzma.compress])
def test_a_last_strip_that_was_filled_up_is_read(packer: Callable[[bytes], bytes]) -> None:
    values = scene(10, 20, 1)[..., 0]
    strips = [packer(values[:6].tobytes()), packer(values[6:].tobytes() + bytes(2 * 20))]
    method = 8 if packer is zlib.compress else 34925
    picture = read_picture(gray(values, 8, strips, t259=method, t278=6))
    assert picture.pixels[..., 0] == pytest.approx(values / 255)


def test_packbits_that_goes_on_is_refused() -> None:
    values = np.full((4, 8), 7, np.uint8)
    rows = b"\xf9\x07" * 4
    assert read_picture(gray(values, 8, [rows], t259=32773)).pixels == pytest.approx(7 / 255)
    with pytest.raises(InvalidImage, match="holds more than it should"):
        read_picture(gray(values, 8, [rows + b"\xf9\x07"], t259=32773))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floating_point_with_its_predictor(dtype: str) -> None:
    values = np.random.default_rng(2).random((9, 14)).astype(dtype)
    size = values.dtype.itemsize
    apart = values.astype(f">{dtype}").view(np.uint8).reshape(9, 14, size).transpose(0, 2, 1).reshape(9, -1)
    differences = np.diff(apart.astype(np.int16), axis=1, prepend=0).astype(np.uint8)
    data = gray(values, 8 * size, [zlib.compress(differences.tobytes())], t259=8, t317=3, t339=3)
    assert read_picture(data).pixels[..., 0] == pytest.approx(values.astype(np.float32))


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<u4", ">f4"])
def test_differences_of_deep_numbers(dtype: str) -> None:
    kind = np.dtype(dtype)
    values = (np.random.default_rng(2).random((9, 14)) * (60000 if kind.kind == "u" else 1)).astype(dtype)
    whole = values.view(f"{dtype[0]}u{kind.itemsize}")
    differences = np.diff(whole.astype(np.int64), axis=1, prepend=0).astype(whole.dtype)
    data = gray(
        values,
        8 * kind.itemsize,
        [zlib.compress(differences.tobytes())],
        big_endian=dtype[0] == ">",
        t259=8,
        t317=2,
        t339=3 if kind.kind == "f" else 1,
    )
    picture = read_picture(data)
    low, high = (0, 65535) if kind.itemsize == 2 else picture.levels
    assert picture.pixels[..., 0] * (high - low) + low == pytest.approx(values.astype(np.float64), rel=1e-5)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (6, "JPEG of the old style"),
        (32909, "PixarLog"),
        (34887, "LERC"),
        (34712, "JPEG 2000"),
        (50002, "JPEG XL"),
        (34661, "JBIG"),
    ],
)
def test_a_compression_that_is_not_read_is_named_and_not_called_damage(method: int, name: str) -> None:
    for tiled in ({}, {"t322": 16, "t323": 16}):
        data = gray(np.zeros((8, 8)), 8, [b"whatever it may be"], t259=method, **tiled)
        with pytest.raises(InvalidImage, match=f"TIFF compressed with {name} is not supported; save it") as caught:
            read_picture(data)
        assert "damaged" not in str(caught.value)


def test_a_predictor_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidImage, match="predictor 2 at 10 bits is not supported"):
        read_picture(gray(np.zeros((2, 2)), 10, [zlib.compress(bytes(6))], t259=8, t317=2))


def test_webp_tiles() -> None:
    values = scene(32, 32)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "WEBP", lossless=True)
    tags: dict[int, Any] = {256: 30, 257: 32, 258: 8, 259: 50001, 262: 2, 277: 3, 322: 32, 323: 32}
    assert read_picture(page(tags, [buffer.getvalue()])).pixels == pytest.approx(values[:, :30] / 255, abs=1e-7)
    with pytest.raises(InvalidImage, match="tile 1 of 1 is damaged or cut short"):
        read_picture(page(tags, [buffer.getvalue()[:90]]))


# ---- JPEG and fax, by libvips


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("where", [0.4, 0.9])
def test_a_damaged_jpeg_inside_is_refused(tiled: bool, where: float) -> None:
    options = {"tile": True, "tile_width": 32, "tile_height": 16} if tiled else {}
    sound = by_vips(scene(), compression="jpeg", Q=90, **options)
    assert read_picture(sound).pixels == pytest.approx(scene() / 255, abs=0.2)
    place, count = places_of(sound)[-1]
    data = bytearray(sound)
    data[place + int(where * count) : place + count - 2] = bytes(count - 2 - int(where * count))
    with pytest.raises(InvalidImage, match=r"damaged or truncated TIFF: (strip|tile) \d of \d: "):
        read_picture(bytes(data))


@pytest.mark.parametrize("tiled", [False, True])
def test_a_damaged_fax_is_refused(tiled: bool) -> None:
    values = np.where(scene(64, 96, 1)[..., 0] > 128, 255, 0).astype(np.uint8)
    options = {"tile": True, "tile_width": 64, "tile_height": 64} if tiled else {}
    sound = by_vips(values, compression="ccittfax4", bitdepth=1, **options)
    assert read_picture(sound).pixels[..., 0] == pytest.approx(values / 255)
    place, count = places_of(sound)[0]
    data = bytearray(sound)
    data[place + count // 4 : place + count // 2] = bytes(count // 2 - count // 4)
    with pytest.raises(InvalidImage, match="damaged or truncated TIFF"):
        read_picture(bytes(data))


# ---- damage that is kept


def test_what_is_left_of_damaged_tiles_is_kept_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    values = scene()
    data = bytearray(EXACT["deflate tiles"](values))
    places = places_of(bytes(data))
    for number in (1, 4):
        data[places[number][0] + 5] ^= 0x55
    with open_scan(bytes(data), limits=KEEP) as scan:
        pixels = np.concatenate([*scan.strips])
        assert [fault.partition(" is ")[0] for fault in scan.damage] == ["tile 2 of 9", "tile 5 of 9"]
    assert pixels[:16, :32] == pytest.approx(values[:16, :32] / 255)
    assert pixels[32:] == pytest.approx(values[32:] / 255)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert said[0].startswith("the input: damaged, decoded as far as possible: tile 2 of 9 is damaged")
    assert said[0].endswith("and 1 faults more.")


def test_each_page_is_held_to_its_segments() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(2):
            writer.write(scene(), photometric="rgb", compression="zlib", tile=(16, 32))
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages[1].dataoffsets[3]
    data[place + 9] ^= 1
    with open_input(bytes(data)) as pages:
        scans = pages.scans()
        assert np.concatenate([*next(scans).strips]) == pytest.approx(scene() / 255)
        with pytest.raises(InvalidImage, match=r"\(page 2\): damaged or truncated TIFF: tile 4 of 9"):
            [*next(scans).strips]


def test_strips_do_not_depend_on_how_many_rows_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    values = scene()
    for kind in ("deflate tiles", "lzma strips", "lzw differences", "zstd strips", "deflate planes"):
        data = EXACT[kind](values)
        for rows in (1, 7, 16, 44):
            monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 70 * rows)
            with open_scan(data) as scan:
                strips = [*scan.strips]
            assert [len(strip) for strip in strips[:-1]] == [rows] * (len(strips) - 1)
            assert np.concatenate(strips) == pytest.approx(values / 255, abs=1e-7)
