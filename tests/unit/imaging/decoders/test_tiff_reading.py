"""Reading TIFF: every depth and layout as the numbers that were written, and damage refused."""

from __future__ import annotations

import io
import logging
import struct
import time
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging import Limits, Picture, encode_picture, open_scan, probe_picture, read_picture


def written(values: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def ramp(dtype: str, channels: int = 3) -> NDArray[Any]:
    """37 x 53 values without symmetry; floating point within [0, 1]."""
    values = np.random.default_rng(5).random((37, 53, channels))
    return values.astype(dtype) if dtype.startswith("f") else (values * np.iinfo(dtype).max).astype(dtype)


def directory(tags: dict[int, int], *, pixels: bytes = b"", next_page: int = 0) -> bytes:
    """A little-endian file: its pixels, then one directory of numbers."""
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    return head + struct.pack("<H", len(tags)) + body + struct.pack("<I", next_page)


def plain(width: int, height: int, pixels: bytes, **changes: int) -> bytes:
    """A file of one strip of gray bytes; ``t258=16`` and so on changes a tag."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(pixels)}
    return directory(tags | {int(name[1:]): value for name, value in changes.items()}, pixels=pixels)


LAYOUTS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 8},
    "one strip": {"rowsperstrip": 37},
    "tiles": {"tile": (16, 32)},
    "deflate": {"compression": "zlib"},
    "deflated tiles": {"compression": "zlib", "tile": (16, 16)},
    "big": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "big, big-endian": {"bigtiff": True, "byteorder": ">"},
    "planes": {"planarconfig": "separate"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f2", "f4", "f8"])
def test_every_depth_and_layout_gives_the_numbers_that_were_written(dtype: str, layout: str) -> None:
    values = ramp(dtype)
    stored = np.ascontiguousarray(values.transpose(2, 0, 1)) if layout == "planes" else values
    picture = read_picture(written(stored, photometric="rgb", **LAYOUTS[layout]))
    top = 1 if dtype.startswith("f") else np.iinfo(dtype).max
    assert picture.pixels == pytest.approx(values.astype(np.float64) / top, abs=1e-7)
    assert picture.bit_depth == {"u1": 8, "u2": 16}.get(dtype, 32)
    assert picture.levels == (0, 1)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_compressions(compression: str, mode: str) -> None:
    y, x = np.mgrid[:40, :40]
    image = Image.fromarray(np.stack([x * 6, y * 6, x * 3 + y * 3], 2).astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression=compression)
    picture = read_picture(buffer.getvalue())
    wanted = np.asarray(image).reshape(40, 40, -1) / 255
    if mode == "CMYK":
        wanted = (1 - wanted[..., :3]) * (1 - wanted[..., 3:])
    assert picture.pixels == pytest.approx(wanted, abs=0.1 if compression == "jpeg" else 1e-6)


def test_the_small_strip_at_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 53 * 5)
    values = ramp("u2")
    with open_scan(written(values, photometric="rgb", rowsperstrip=3)) as scan:
        strips = list(scan.strips)
    assert [len(strip) for strip in strips] == [5] * 7 + [2]
    assert np.concatenate(strips) == pytest.approx(values / 65535, abs=1e-7)


def test_a_dark_picture_of_sixteen_bits_stays_dark() -> None:
    values = ramp("u2") // 300
    picture = read_picture(written(values, photometric="rgb"))
    assert picture.bit_depth == 16
    assert picture.pixels == pytest.approx(values / 65535, abs=1e-7)
    assert picture.pixels.max() < 0.004


# ---- values without a known range


def numbers(picture: Picture) -> NDArray[np.float64]:
    """The values that stood in the file."""
    low, high = picture.levels
    return picture.pixels.astype(np.float64) * (high - low) + low


@pytest.mark.parametrize(
    ("low", "high", "levels"),
    [
        (0.25, 0.5, (0, 1)),
        (0, 1, (0, 1)),
        (0.25, 4, (0, 4)),
        (-0.5, 0.5, (-0.5, 1)),
        (-2, 3, (-2, 3)),
        (1000, 1200, (1000, 1200)),
        (-9, -5, (-9, -5)),
        (7, 7, (7, 8)),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floating_point_keeps_its_range(low: float, high: float, levels: tuple[float, float], dtype: str) -> None:
    values = np.linspace(low, high, 300).reshape(10, 30).astype(dtype)
    picture = read_picture(written(values, photometric="minisblack"))
    assert picture.levels == pytest.approx(levels)
    assert (picture.pixels.min() >= 0, picture.pixels.max() <= 1) == (True, True)
    assert numbers(picture)[..., 0] == pytest.approx(values, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4"])
def test_signed_and_long_integers_become_floating_point(dtype: str) -> None:
    values = np.arange(60).reshape(6, 10).astype(dtype) * 2
    if dtype[0] == "i":
        values -= 50
    picture = read_picture(written(values, photometric="minisblack"))
    assert picture.bit_depth == 32
    assert picture.levels == (float(values.min()) if dtype[0] == "i" else 0, values.max())
    assert numbers(picture)[..., 0] == pytest.approx(values, abs=1e-4)


@pytest.mark.parametrize("evil", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [1, 3])
def test_what_is_no_number_is_refused(evil: float, channel: int) -> None:
    values = ramp("f4", 4)
    values[20, 20, channel] = evil
    with pytest.raises(InvalidImage, match="the input: contains NaN or infinite values"):
        read_picture(written(values, photometric="rgb", extrasamples=["unassalpha"]))


def test_values_beyond_what_32_bits_hold_are_refused() -> None:
    with pytest.raises(InvalidImage, match="NaN or infinite"):
        read_picture(written(np.full((4, 4), 1e300), photometric="minisblack"))


def test_values_whose_distance_is_beyond_32_bits_are_refused() -> None:
    values = np.full((4, 4), 3e38, np.float32)
    values[0] *= -1
    with pytest.raises(InvalidImage, match=r"too large \(-3e\+38 to 3e\+38\)"):
        read_picture(written(values, photometric="minisblack"))


@pytest.mark.parametrize("value", [1e30, -1e30, 3e38, -3e38, 1e8, -5.0, 2.0])
def test_one_large_value_everywhere_is_black_and_comes_back(value: float) -> None:
    picture = read_picture(written(np.full((4, 4), value, np.float32), photometric="minisblack"))
    assert not picture.pixels.any()
    again = Image.open(io.BytesIO(encode_picture(picture, "TIFF")))
    assert np.asarray(again) == pytest.approx(np.full((4, 4), np.float32(value)))


def test_a_number_that_signals_is_refused_without_a_warning() -> None:
    values = np.full((4, 4), 0x7FF0000000000001, np.uint64).view(np.float64)
    with pytest.raises(InvalidImage, match="NaN or infinite"):
        read_picture(written(values, photometric="minisblack"))


def test_a_profile_does_not_convert_values_beyond_its_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.reading.space_of", lambda icc, model: object())
    assert read_picture(written(ramp("f4") * 3, photometric="rgb")).space is None


# ---- kinds of pixels


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "i2", "u4"])
def test_where_white_is_zero(dtype: str) -> None:
    values = np.array([[0, 1, 50, 100]], dtype)
    if dtype[0] == "f":
        values /= 100
    picture = read_picture(written(values, photometric="miniswhite"))
    top = {"u1": 255, "u2": 65535, "f4": 1}.get(dtype, 100)
    assert picture.pixels[0, :, 0] == pytest.approx(1 - values[0].astype(float) / top, abs=1e-6)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_bilevel_becomes_gray(photometric: str) -> None:
    values = np.random.default_rng(1).random((9, 21)) > 0.5
    picture = read_picture(written(values, photometric=photometric))
    assert (picture.bit_depth, picture.pixels.shape) == (8, (9, 21, 1))
    assert np.array_equal(picture.pixels[..., 0], values if photometric == "minisblack" else ~values)


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_are_spread_over_the_range(bits: int) -> None:
    picture = read_picture(plain(8 // bits * 2, 1, bytes([0x1B, 0xE4]), t258=bits))
    levels = [0x1B >> 6 & 3, 0x1B >> 4 & 3, 0x1B >> 2 & 3, 0x1B & 3, 3, 2, 1, 0] if bits == 2 else [1, 11, 14, 4]
    assert picture.pixels[0, :, 0] == pytest.approx(np.array(levels) / ((1 << bits) - 1), abs=1e-3)


@pytest.mark.parametrize("gray", [True, False])
def test_a_palette_becomes_rgb_even_if_it_is_gray(gray: bool) -> None:
    palette = np.random.default_rng(2).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    if gray:
        palette[1:] = palette[0]
    index = np.random.default_rng(3).integers(0, 256, (9, 9)).astype(np.uint8)
    picture = read_picture(written(index, photometric="palette", colormap=palette))
    assert (picture.bit_depth, picture.pixels.shape) == (8, (9, 9, 3))
    assert picture.pixels == pytest.approx(palette.T[index] / 65535, abs=1e-6)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("big", [False, True])
def test_premultiplied_colours_become_straight(dtype: str, channels: int, big: bool) -> None:
    top = 1 if dtype == "f4" else np.iinfo(dtype).max
    alpha = np.linspace(0, 1, 101)[None, :, None]
    straight = np.broadcast_to(np.array([0.8, 0.3, 0.5][: channels - 1]), (5, 101, channels - 1))
    values = np.concatenate([straight * alpha, np.broadcast_to(alpha, (5, 101, 1))], 2) * top
    stored = values.astype(dtype) if dtype == "f4" else np.round(values).astype(dtype)
    kind = "rgb" if channels == 4 else "minisblack"
    picture = read_picture(written(stored, photometric=kind, extrasamples=["assocalpha"], bigtiff=big))
    assert picture.premultiplied
    assert picture.alpha is not None
    assert picture.alpha == pytest.approx(stored[..., -1:].astype(float) / top, abs=1e-6)
    expected = stored[:, 1:, :-1].astype(float) / stored[:, 1:, -1:]
    assert picture.colour[:, 1:] == pytest.approx(np.minimum(expected, 1), abs=1e-5)
    assert not picture.colour[:, 0].any(), "what is quite transparent stays as it was"


def test_straight_alpha_is_left_alone_and_other_channels_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    values = ramp("u1", 5)
    picture = read_picture(written(values, photometric="rgb", extrasamples=["unspecified", "unassalpha"]))
    assert not picture.premultiplied
    assert picture.pixels == pytest.approx(values[..., [0, 1, 2, 4]] / 255, abs=1e-6)
    assert "left out" in caplog.text
    opaque = read_picture(written(values[..., :4], photometric="rgb", extrasamples=["unspecified"]))
    assert opaque.pixels == pytest.approx(values[..., :3] / 255, abs=1e-6)


def test_cmyk_with_alpha() -> None:
    values = ramp("u2", 5)
    picture = read_picture(written(values, photometric="separated", extrasamples=["unassalpha"]))
    inks = values / 65535
    assert picture.colour == pytest.approx((1 - inks[..., :3]) * (1 - inks[..., 3:4]), abs=1e-6)
    assert picture.alpha == pytest.approx(inks[..., 4:], abs=1e-6)


def test_of_several_pages_the_first_is_read_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    pages = np.stack([np.full((8, 8), 10, np.uint8), np.full((8, 8), 200, np.uint8)])
    with caplog.at_level(logging.WARNING):
        picture = read_picture(written(pages, photometric="minisblack"))
    assert picture.pixels.shape == (8, 8, 1)
    assert picture.pixels.max() == pytest.approx(10 / 255)
    assert "several pictures" in caplog.text


# ---- metadata


def test_metadata_of_tags() -> None:
    iptc, xmp = b"\x1c\x02\x05\x00\x05Title\0\0", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    for order in "<>":
        for kind in ("B", "I"):
            count, data = (len(iptc), iptc) if kind == "B" else (len(iptc) // 4, np.frombuffer(iptc, "<u4").tolist())
            extra = [(33723, kind, count, data, True), (700, "B", len(xmp), xmp, True)]
            data = written(
                ramp("u1"),
                photometric="rgb",
                extratags=extra,
                byteorder=order,
                resolution=(100, 50),
                resolutionunit="NONE",
            )
            picture = read_picture(data)
            assert (picture.iptc, picture.xmp) == (iptc, xmp), (order, kind)
            assert picture.dpi is None, "no unit: only a ratio"
    centimetres = written(ramp("u1"), photometric="rgb", resolution=(100, 50), resolutionunit="CENTIMETER")
    assert read_picture(centimetres).dpi == pytest.approx((254, 127))


# ---- damage


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t256": 0}, "no pixels"),
        ({"t258": 33}, "unsigned integers of 33 bits"),
        ({"t262": 8}, "TIFF that holds CIE Lab is not supported"),
        ({"t262": 7777}, r"colours of an unknown kind \(7777\) is not supported"),
        ({"t262": 2}, "1 samples a pixel"),
        ({"t277": 60000}, "60000 samples a pixel"),
        ({"t339": 6}, "complex numbers of 8 bits"),
        ({"t322": 2**31, "t323": 2**31}, "tiles of"),
        ({"t273": 2**31}, "damaged or truncated TIFF"),
        ({"t259": 50000}, "damaged or truncated TIFF"),
        ({"t257": 16}, "damaged or truncated TIFF"),
    ],
)
def test_tags_that_lie_are_refused(changes: dict[str, int], message: str) -> None:
    sound = plain(8, 8, bytes(64))
    assert read_picture(sound).pixels.shape == (8, 8, 1)
    start = time.process_time()
    with pytest.raises(InvalidImage, match=f"the input: .*{message}"):
        read_picture(plain(8, 8, bytes(64), **changes))
    assert time.process_time() - start < 1


def test_the_size_is_checked_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.decoders.tiff.open_vips", lambda *_, **__: pytest.fail("libvips was asked"))
    with pytest.raises(LimitExceeded, match="the input: 100000 x 100000 pixels, the limit is 250,000,000 in total"):
        read_picture(plain(100_000, 100_000, bytes(64)))
    assert probe_picture(plain(8, 8, bytes(64))).width == 8


@pytest.mark.parametrize("next_page", [8, 8 + 64, 2])
def test_directories_that_lead_back_end_at_once(next_page: int) -> None:
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    start = time.process_time()
    assert read_picture(directory(tags, pixels=bytes(64), next_page=next_page)).width == 8
    assert time.process_time() - start < 1


def test_a_long_chain_of_directories_is_no_trap() -> None:
    """A hundred thousand pages: the first is read without the others."""
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    page = struct.pack("<H", len(tags)) + body
    size = len(page) + 4
    chain = b"".join(page + struct.pack("<I", 72 + (i + 1) * size) for i in range(100_000))
    start = time.process_time()
    assert read_picture(b"II*\0" + struct.pack("<I", 72) + bytes(64) + chain + page + bytes(4)).width == 8
    assert time.process_time() - start < 1


def test_a_directory_with_too_many_entries_is_refused() -> None:
    with pytest.raises(InvalidImage, match="60,000 entries"):
        read_picture(b"II*\0\x08\0\0\0" + struct.pack("<H", 60000) + bytes(60000 * 12))


def test_a_picture_one_pixel_wide_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (70_000, 1)).astype(np.uint16)
    for picture, wanted in ((values, values), (values.T, values.T)):
        read = read_picture(written(picture, photometric="minisblack"), limits=Limits())
        assert read.pixels[..., 0] == pytest.approx(wanted / 65535, abs=1e-7)
