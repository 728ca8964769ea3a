"""Colours that a file says without a profile: through the reader and the writers, looked at in the bytes."""

from __future__ import annotations

import importlib.util
import io
import logging
import struct
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from srgan.imaging import (
    Frame,
    Picture,
    encode_animation,
    encode_picture,
    icc,
    open_animation,
    read_picture,
    write_animation,
    write_picture,
)
from srgan.imaging.decoders.nclx import nclx_of
from srgan.imaging.described import CodePoints, Gamma, StandardRgb, in_profile
from srgan.imaging.metadata.enlarged import strip

ADOBE = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
PROFILED = ("JPEG", "TIFF", "WEBP")
BARE = ("BMP", "GIF", "PPM", "PFM")
NUMBERED = ("AVIF", "HEIC")
P3_PROFILE = icc.matrix_profile(
    "P3", np.array([[0.5151, 0.2412, -0.0011], [0.292, 0.6922, 0.0419], [0.1571, 0.0666, 0.7841]])
)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def cicp(*numbers: int) -> bytes:
    return chunk(b"cICP", bytes(numbers))


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*places: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *places))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"name\0\0" + zlib.compress(profile))


def values(channels: int = 3, bits: int = 16) -> NDArray[np.integer[Any]]:
    random = np.random.default_rng(channels)
    found = random.integers(0, 1 << bits, (24, 32, channels)).astype(np.uint16 if bits == 16 else np.uint8)
    found[0, :, 0] = np.linspace(0, (1 << bits) - 1, 32)
    found[0, :, 0][[0, 1]] = 0, 1
    return found


def png(pixels: NDArray[Any], *before: bytes) -> bytes:
    bits, kind = 8 * pixels.dtype.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2]]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, kind, 0, 0, 0)
    raw = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in pixels)
    body = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def chunks(data: bytes) -> dict[bytes, bytes]:
    found, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        found.setdefault(data[place + 4 : place + 8], data[place + 8 : place + 8 + length])
        place += 12 + length
    return found


def colour_chunks(data: bytes) -> dict[bytes, bytes]:
    kinds = (b"cICP", b"mDCV", b"cLLI", b"iCCP", b"sRGB", b"gAMA", b"cHRM")
    return {kind: content for kind, content in chunks(data).items() if kind in kinds}


def numbers_of(data: bytes) -> NDArray[Any]:
    """The values of a PNG, by libvips, which knows nothing of gAMA and cICP."""
    import pyvips

    found = np.asarray(pyvips.Image.new_from_buffer(data, "").numpy())
    return found if found.ndim == 3 else found[..., None]


def needs(kind: str) -> None:
    extra = {"HEIC": "pillow_heif", "JXL": "pillow_jxl"}.get(kind)
    if extra and importlib.util.find_spec(extra) is None:
        pytest.skip(f"the library for {kind} is not installed")


def nclx(data: bytes) -> tuple[int, int]:
    place = data.index(b"colrnclx")
    assert b"colrprof" not in data  # it would count more
    first, second = struct.unpack_from(">HH", data, place + 8)
    return first, second


def profile_in(data: bytes) -> bytes | None:
    if data[:2] in (b"II", b"MM"):
        return Image.open(io.BytesIO(data)).tag_v2.get(34675)  # type: ignore[attr-defined, no-any-return]
    return None if data[:2] == b"PF" else Image.open(io.BytesIO(data)).info.get("icc_profile")


# ------------------------------------------------------------------------------------------- PNG to PNG: all of it


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "said",
    [
        gama(100_000),
        gama(55_556) + chrm(*ADOBE),
        gama(45_455) + chrm(*ADOBE),
        gama(45_455) + chrm(*SRGB),
        chrm(*ADOBE),
        gama(5),
        chunk(b"sRGB", b"\1"),
        cicp(9, 16, 0, 1),
        cicp(9, 18, 0, 1) + chunk(b"mDCV", bytes(range(24))) + chunk(b"cLLI", bytes(range(8))),
        cicp(12, 13, 0, 1),
        cicp(1, 8, 0, 1),
        cicp(1, 1, 0, 0),
        cicp(9, 16, 0, 0),
        cicp(1, 13, 0, 1),
        cicp(200, 99, 0, 1),
        cicp(9, 16, 9, 0),
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_keeps_its_chunks_and_its_numbers(channels: int, said: bytes, bits: int) -> None:
    pixels = values(channels, bits)
    data = png(pixels, said)
    again = encode_picture(read_picture(data), "PNG")
    np.testing.assert_array_equal(numbers_of(again), pixels)
    assert {kind: content for kind, content in colour_chunks(again).items() if kind != b"iCCP"} == colour_chunks(data)
    third = encode_picture(read_picture(again), "PNG")
    assert colour_chunks(third) == colour_chunks(again)


def test_beside_code_points_stands_a_profile_for_who_does_not_know_them() -> None:
    found = Image.open(io.BytesIO(encode_picture(read_picture(png(values(), cicp(12, 13, 0, 1))), "PNG")))
    assert "Display P3" in ImageCms.getProfileDescription(
        ImageCms.ImageCmsProfile(io.BytesIO(found.info["icc_profile"]))
    )
    for plain in (cicp(1, 13, 0, 1), chunk(b"sRGB", b"\0"), gama(45_455)):
        assert b"iCCP" not in chunks(encode_picture(read_picture(png(values(), plain)), "PNG"))


def test_nothing_said_is_nothing_written() -> None:
    picture = read_picture(png(values()))
    assert (picture.described, picture.space) == (None, None)
    assert colour_chunks(encode_picture(picture, "PNG")) == {}


def test_stripped_metadata_does_not_mean_stripped_colours() -> None:
    picture = strip(read_picture(png(values(), cicp(9, 16, 0, 1), chunk(b"tEXt", b"Title\0x"))))
    assert colour_chunks(encode_picture(picture, "PNG"))[b"cICP"] == bytes((9, 16, 0, 1))


# ------------------------------------------------------------------------------------------------ which one counts


@pytest.mark.parametrize(
    ("before", "described", "profile"),
    [
        ([cicp(12, 13, 0, 1), iccp(P3_PROFILE)], CodePoints(primaries=12, transfer=13), P3_PROFILE),
        ([iccp(P3_PROFILE), chunk(b"sRGB", b"\0"), gama(100_000)], None, P3_PROFILE),
        ([chunk(b"sRGB", b"\2"), gama(100_000), chrm(*ADOBE)], StandardRgb(2), None),
        ([gama(100_000), chrm(*ADOBE)], Gamma(gamma=100_000, chromaticities=ADOBE), None),
        ([iccp(b"junk"), gama(100_000)], Gamma(gamma=100_000), None),
        ([chunk(b"iCCP", b"name\0\0junk"), gama(100_000)], Gamma(gamma=100_000), None),
        ([chunk(b"cICP", b"\x09\x10\0"), gama(100_000)], Gamma(gamma=100_000), None),
        ([chunk(b"gAMA", b"\1\x86\xa0"), chunk(b"cHRM", bytes(31))], None, None),
    ],
)
def test_cicp_then_profile_then_srgb_then_gamma(before: list[bytes], described: object, profile: bytes | None) -> None:
    picture = read_picture(png(values(), *before))
    assert picture.described == described
    assert picture.icc_profile == profile


def test_code_points_that_nobody_knows_leave_the_word_to_the_profile() -> None:
    linear = icc.matrix_profile("linear", icc.SRGB_COLORANTS, curve=np.linspace(0, 1, 2))
    picture = read_picture(png(values(), cicp(200, 99, 0, 1), iccp(linear)))
    assert picture.space is not None
    again = encode_picture(picture, "PNG")
    assert set(colour_chunks(again)) == {b"cICP", b"iCCP"}
    assert profile_in(encode_picture(picture, "TIFF")) == linear


def test_chunks_after_the_pixels_or_twice_change_nothing() -> None:
    assert read_picture(png(values(), gama(100_000), gama(50_000))).described == Gamma(gamma=100_000)


# --------------------------------------------------------------------------------------------- what a network sees


def test_linear_light_is_seen_as_srgb_and_has_no_bands_when_it_comes_back() -> None:
    ramp = np.broadcast_to(2 * np.arange(4096, dtype=np.uint16)[None, :, None], (8, 4096, 3))
    picture = read_picture(png(ramp, gama(100_000)))
    np.testing.assert_allclose(picture.pixels[0, 438], 0.120, atol=2e-3)  # 0.0134 of the light
    between = np.float32(0.5) * (picture.pixels[:, :-1] + picture.pixels[:, 1:])
    back = numbers_of(encode_picture(replace(picture, pixels=between), "PNG"))[0, :, 0].astype(int)
    assert np.abs(back - ramp[0, :-1, 0] - 1).max() <= 1
    assert len(np.unique(back)) > 4090


def test_gray_that_became_colour_does_not_go_back_and_does_not_say_so() -> None:
    gray = read_picture(png(np.full((24, 32, 1), round(0.214 * 65535), np.uint16), gama(100_000)))
    coloured = replace(gray, pixels=np.repeat(gray.pixels, 3, axis=2))
    data = encode_picture(coloured, "PNG")
    assert colour_chunks(data) == {}
    np.testing.assert_allclose(numbers_of(data) / 65535, 0.5, atol=1e-3)


def test_pq_is_seen_as_it_is() -> None:
    pixels = values()
    np.testing.assert_allclose(read_picture(png(pixels, cicp(9, 16, 0, 1))).pixels, pixels / 65535, atol=1e-6)


# ------------------------------------------------------------------------------------------------- other formats


@pytest.mark.parametrize("kind", PROFILED)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_profile_says_pq_where_the_format_has_no_numbers(kind: str, channels: int) -> None:
    picture = read_picture(png(np.full((24, 32, channels), 150, np.uint8), cicp(9, 16, 0, 1)))
    data = encode_picture(picture, kind)
    assert in_profile(profile_in(data)) == CodePoints(primaries=9, transfer=16)
    again = read_picture(data)
    assert again.described == CodePoints(primaries=9, transfer=16)
    np.testing.assert_allclose(again.pixels, 150 / 255, atol=0.02)
    assert profile_in(encode_picture(again, kind)) == profile_in(data)
    assert colour_chunks(encode_picture(again, "PNG"))[b"cICP"] == bytes((9, 16, 0, 1))


@pytest.mark.parametrize("kind", PROFILED)
def test_linear_light_becomes_srgb_where_eight_bits_would_have_bands(kind: str) -> None:
    gray = np.full((24, 32, 3), round(0.2140 * 65535), np.uint16)
    data = encode_picture(read_picture(png(gray, gama(100_000))), kind)
    assert profile_in(data) is None
    np.testing.assert_allclose(read_picture(data).pixels, 0.5, atol=0.01)
    wide = profile_in(encode_picture(read_picture(png(gray, gama(100_000), chrm(*ADOBE))), kind))
    assert wide is not None
    colorants = icc.colorants(icc.read_profile(wide))
    assert colorants is not None
    np.testing.assert_allclose(colorants[1], (0.2053, 0.6257, 0.0609), atol=1e-3)


@pytest.mark.parametrize("kind", [*PROFILED, *BARE])
@pytest.mark.parametrize(
    "said", [chunk(b"sRGB", b"\0"), gama(45_455) + chrm(*SRGB), cicp(1, 13, 0, 1), cicp(1, 1, 0, 1)]
)
def test_plain_srgb_gets_no_profile_and_keeps_its_values(kind: str, said: bytes) -> None:
    pixels = np.full((24, 32, 3), (200, 90, 30), np.uint8)
    data = encode_picture(read_picture(png(pixels, said)), kind)
    assert profile_in(data) is None
    np.testing.assert_allclose(read_picture(data).pixels[5, 5] * 255, (200, 90, 30), atol=4)


@pytest.mark.parametrize("kind", NUMBERED)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("code", [(12, 13), (9, 16), (9, 18), (9, 14), (1, 1)])
def test_avif_and_heic_say_the_same_numbers_and_are_read_back(kind: str, channels: int, code: tuple[int, int]) -> None:
    needs(kind)
    pixels = np.full((24, 32, channels), 150, np.uint8)
    pixels[12:, :, 0] = 60
    picture = read_picture(png(pixels, cicp(*code, 0, 1)))
    data = encode_picture(picture, kind, quality=95)
    assert nclx(data) == code
    again = read_picture(data)
    assert again.described == CodePoints(primaries=code[0], transfer=code[1])
    np.testing.assert_allclose(again.pixels[..., :3], np.broadcast_to(picture.colour, (24, 32, 3)), atol=0.03)
    assert colour_chunks(encode_picture(again, "PNG"))[b"cICP"] == bytes((*code, 0, 1))


def test_avif_says_numbers_that_nobody_knows() -> None:
    picture = read_picture(png(np.full((24, 32, 3), 150, np.uint8), cicp(200, 99, 0, 1)))
    data = encode_picture(picture, "AVIF")
    assert nclx(data) == (200, 99)
    assert read_picture(data).described == picture.described


@pytest.mark.parametrize("kind", NUMBERED)
def test_what_avif_and_heic_cannot_say_in_numbers_a_profile_says(kind: str) -> None:
    needs(kind)
    pixels = np.full((24, 32, 3), 150, np.uint8)
    for said in (gama(45_455) + chrm(*ADOBE), cicp(9, 8, 0, 1), cicp(1, 13, 0, 0)):
        assert b"colrprof" in encode_picture(read_picture(png(pixels, said)), kind)
    for said in (b"", gama(100_000), chunk(b"sRGB", b"\0")):
        assert nclx(encode_picture(read_picture(png(pixels, said)), kind)) == (1, 13)


def test_a_profile_in_avif_counts_more_than_its_numbers() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((24, 32, 3), 99, np.uint8)).save(buffer, "AVIF", icc_profile=P3_PROFILE)
    picture = read_picture(buffer.getvalue().replace(b"nclx\0\2\0\2", b"nclx\0\x09\0\x10"))
    assert nclx_of(io.BytesIO(buffer.getvalue().replace(b"nclx\0\2\0\2", b"nclx\0\x09\0\x10"))) is not None
    assert (picture.described, picture.icc_profile) == (None, P3_PROFILE)


def test_jpeg_xl_that_says_pq_keeps_saying_so() -> None:
    needs("JXL")
    from srgan.imaging.decoders.modern import _jxl_metadata

    profile = icc.matrix_profile("x", icc.SRGB_COLORANTS, code_points=bytes((9, 16, 0, 1)))
    assert in_profile(_jxl_metadata(profile, {}).icc_profile) == CodePoints(primaries=9, transfer=16)


# --------------------------------------------------------------------------------------- where neither can be said


@pytest.mark.parametrize("kind", BARE)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_hdr_is_compressed_where_nothing_can_be_said_with_one_warning(
    kind: str, channels: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = np.linspace(0, 255, 32).astype(np.uint8)
    pixels = np.broadcast_to(steps[None, :, None], (24, 32, channels)).copy()
    if channels == 4:
        pixels[..., 3] = 255
    source = tmp_path / "sun.png"
    source.write_bytes(png(pixels, cicp(9, 16, 0, 1)))
    target = write_picture(read_picture(source), tmp_path / f"out.{kind.lower()}", verify="pixels")
    assert [record.getMessage().startswith(str(source)) for record in caplog.records] == [True]
    assert "white paper" in caplog.text
    seen = read_picture(target).pixels[3, :, 0]
    assert (np.diff(seen) >= -0.01).all()
    assert seen[0] == 0
    assert 0.85 < np.interp(0.5807, steps / 255, seen) < 0.93  # paper
    assert seen[24] > 0.98  # 1,000 candelas


def test_alpha_is_laid_on_paper_and_not_on_the_sun() -> None:
    pixels = np.zeros((24, 32, 4), np.uint16)
    picture = read_picture(encode_picture(read_picture(png(pixels, cicp(9, 16, 0, 1))), "JPEG"))
    np.testing.assert_allclose(picture.pixels, 0.5807, atol=0.01)


@pytest.mark.parametrize("kind", [*PROFILED, *BARE, "HEIC"])
def test_numbers_that_nobody_knows_are_lost_with_a_warning(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    needs(kind)
    picture = read_picture(png(np.full((24, 32, 3), 150, np.uint8), cicp(200, 99, 0, 1)))
    caplog.clear()
    data = encode_picture(picture, kind)
    assert caplog.text.count("cannot say") == 1
    np.testing.assert_allclose(read_picture(data).pixels, 150 / 255, atol=0.01)


@pytest.mark.parametrize("said", [cicp(200, 99, 0, 1), gama(0), gama(7), chrm(*(0,) * 8)])
def test_the_reader_names_the_file_once(said: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "odd.png"
    path.write_bytes(png(values(), said))
    with caplog.at_level(logging.WARNING):
        read_picture(path)
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("kind", ["BMP", "PPM"])
def test_wide_colours_become_srgb_without_a_word(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full((24, 32, 3), (102, 153, 102), np.uint8)
    back = read_picture(encode_picture(read_picture(png(pixels, cicp(12, 13, 0, 1))), kind)).pixels[0, 0] * 255
    expected = np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(pixels), ImageCms.ImageCmsProfile(io.BytesIO(P3_PROFILE)), ImageCms.createProfile("sRGB")
        )
    )[0, 0]
    np.testing.assert_allclose(back, expected, atol=1.5)
    assert not caplog.records


# -------------------------------------------------------------------------------------------------- animations


def animation(said: bytes) -> bytes:
    frames = [np.full((24, 32, 3), shade, np.float32) for shade in (0.2, 0.6)]
    like = Picture(pixels=frames[0])
    data = encode_animation(
        [Frame(picture=Picture(pixels=pixels), duration=Fraction(100)) for pixels in frames],
        "PNG",
        size=(24, 32),
        like=like,
    )
    return data[:33] + said + data[33:]


@pytest.mark.parametrize("said", [cicp(12, 13, 0, 1), cicp(9, 16, 0, 1), gama(100_000)])
def test_an_animated_png_keeps_what_it_says(said: bytes) -> None:
    with open_animation(animation(said)) as film:
        data = encode_animation(film.frames, "PNG", size=film.size, like=film.like)
    found = colour_chunks(data)
    assert {kind: found[kind] for kind in found if kind != b"iCCP"} == colour_chunks(b"\x89PNG\r\n\x1a\n" + said)
    assert data.count(said) == 1
    with open_animation(data) as film:
        shades = [float(frame.picture.pixels.mean()) for frame in film.frames]
    with open_animation(animation(said)) as film:
        np.testing.assert_allclose(shades, [float(frame.picture.pixels.mean()) for frame in film.frames], atol=1e-3)


def test_an_animation_in_webp_gets_the_profile_and_in_gif_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_animation(animation(cicp(9, 16, 0, 1))) as film:
        data = encode_animation(film.frames, "WEBP", size=film.size, like=film.like)
    assert in_profile(profile_in(data)) == CodePoints(primaries=9, transfer=16)
    with open_animation(animation(cicp(9, 16, 0, 1))) as film:
        write_animation(film.frames, tmp_path / "a.gif", size=film.size, like=film.like)
    assert caplog.text.count("white paper") == 1
    with open_animation(tmp_path / "a.gif") as film:
        shades = [float(frame.picture.pixels.mean()) for frame in film.frames]
    assert shades[0] < 0.13  # 2.4 of 203 candelas
    assert shades[1] > 0.9


def test_a_word_about_an_animation_is_said_once_and_not_for_each_frame(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(animation(cicp(200, 99, 0, 1)))
    with open_animation(path) as film:
        write_animation(film.frames, tmp_path / "b.webp", size=film.size, like=film.like)
    said = [record.getMessage() for record in caplog.records]
    assert [message.partition(": ")[0] for message in said] == [str(path)] * 2
    assert sum("primaries 200" in message for message in said) == 1
    assert sum("WEBP cannot say" in message for message in said) == 1
