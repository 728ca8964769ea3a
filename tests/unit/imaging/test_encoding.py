"""What each format holds: colour by its profile, depth, alpha and metadata, seen by other programs' readers."""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, IptcImagePlugin

from srgan.errors import CannotWrite, MissingDependency
from srgan.imaging import (
    WRITABLE,
    Picture,
    encode_picture,
    encode_strips,
    icc,
    probe_picture,
    to_uint8,
    to_uint16,
    write_picture,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = np.array([[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]])
IPTC = b"\x1c\x02\x05\x00\x05title\x1c\x02\x19\x00\x03key"
WITH_PROFILE = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIC")
WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF", "HEIC", "JXL")
EXTRA = {"HEIC": "pillow_heif", "JXL": "pillow_jxl"}


def profile(model: bytes, size: int = 200) -> bytes:
    """Enough of a profile to be recognised."""
    return struct.pack(">I", size) + bytes(12) + model + b"XYZ " + bytes(12) + b"acsp" + bytes(size - 40)


GRAY, CMYK = profile(b"GRAY"), profile(b"CMYK")


@dataclass(frozen=True)
class Space:
    """Halves what is RGB or gray; full ink is CMYK's way of saying black."""

    model: Literal["GRAY", "RGB", "CMYK"] = "RGB"
    working_profile: bytes | None = None

    def to_working(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError("a writer has no business with this")

    def from_working(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        assert pixels.dtype == np.float32
        assert pixels.shape[2] == (1 if self.model == "GRAY" else 3)
        if self.model == "CMYK":
            black = 1 - pixels.mean(axis=2, keepdims=True)
            return np.concatenate([1 - pixels, black], axis=2)
        return pixels / 2


def needs(kind: str) -> None:
    if kind in EXTRA and importlib.util.find_spec(EXTRA[kind]) is None:
        pytest.skip(f"the library for {kind} is not installed")


def picture(channels: int = 3, size: tuple[int, int] = (40, 48), **options: Any) -> Picture:
    y, x, c = np.mgrid[: size[0], : size[1], :channels]
    pixels = (0.5 + 0.25 * np.sin(x / 15 + c) + 0.2 * np.cos(y / 14)).astype(np.float32)
    return Picture(pixels=pixels, **options)


def opened(data: bytes, kind: str) -> Image.Image:
    """What Pillow or its plug-in, as any other program would, makes of ``data``."""
    if kind == "HEIC":
        import pillow_heif

        return pillow_heif.open_heif(data).to_pillow()
    if kind == "JXL":
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile

        image = JXLImageFile(io.BytesIO(data))
    else:
        image = Image.open(io.BytesIO(data))
    image.load()
    return image


def values_of(data: bytes, kind: str, mode: str = "RGB") -> NDArray[np.integer[Any]]:
    return np.asarray(opened(data, kind).convert(mode)).astype(int)


# ---- all formats


@pytest.mark.parametrize("kind", [kind for kind in WRITABLE if kind != "PFM"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_format_takes_every_kind_of_picture(kind: str, channels: int, tmp_path: Path) -> None:
    needs(kind)
    source = picture(channels)
    if source.has_alpha:
        source.pixels[..., -1] = 1
    data = encode_picture(source, kind)
    expected = np.broadcast_to(to_uint8(source.colour), (40, 48, 3)).astype(int)
    difference = np.abs(values_of(data, kind) - expected)
    assert difference.mean() <= {"GIF": 8, "PNG": 0, "TIFF": 0, "BMP": 0, "PPM": 0}.get(kind, 3)
    if channels < 3 and kind in ("PNG", "JPEG", "TIFF", "BMP", "PPM", "JXL"):
        assert opened(data, kind).mode in ("L", "LA")
    target = write_picture(source, tmp_path / f"a.{kind.lower()}", verify="pixels")
    assert target.stat().st_size > 0


@pytest.mark.parametrize("kind", WRITABLE)
def test_one_pixel_is_a_picture(kind: str, tmp_path: Path) -> None:
    needs(kind)
    for channels in (1, 4):
        write_picture(picture(channels, (1, 1)), tmp_path / f"a.{kind.lower()}", overwrite=True, verify="pixels")


@pytest.mark.parametrize("kind", WITH_ALPHA)
def test_alpha_is_kept_and_colours_are_not_mixed_with_it(kind: str) -> None:
    needs(kind)
    pixels = np.full((64, 64, 4), 0.8, np.float32)
    pixels[:, :32, 3] = 0.25
    pixels[:, 32:, 3] = 1
    data = encode_picture(Picture(pixels=pixels), kind, quality=100)
    found = values_of(data, kind, "RGBA")
    assert np.abs(found[..., :3] - 204).max() <= 2
    assert np.abs(found[:, :30, 3] - 64).max() <= 2
    assert found[:, 34:, 3].min() >= 253


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "PPM"])
def test_alpha_is_laid_on_white_where_there_is_none(kind: str) -> None:
    pixels = np.zeros((16, 16, 2), np.float32)
    pixels[:, 8:, 1] = 1
    found = values_of(encode_picture(Picture(pixels=pixels), kind), kind)
    assert found[:, :7].min() >= 250
    assert found[:, 9:].max() <= 5


@pytest.mark.parametrize("kind", ["HEIC", "JXL"])
def test_a_missing_library_is_named_before_the_work(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == EXTRA[kind] else find(name))

    def strips() -> Iterator[Any]:
        raise AssertionError("no strip may be asked for")
        yield

    with pytest.raises(MissingDependency, match=r"srgan\[formats\]"):
        encode_strips(strips(), (10, 10), kind, like=picture())


def test_a_pillow_without_avif_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import features

    monkeypatch.setattr(features, "check", lambda _: False)
    with pytest.raises(CannotWrite, match="AVIF"):
        encode_picture(picture(), "AVIF")


# ---- depth


def test_sixteen_bits_stay_in_png_tiff_and_ppm() -> None:
    for channels in (1, 3):
        source = picture(channels, bit_depth=16)
        wanted = to_uint16(source.pixels)
        assert len(np.unique(wanted)) > 300
        found = tifffile.imread(io.BytesIO(encode_picture(source, "TIFF"))).reshape(wanted.shape)
        assert np.array_equal(found, wanted)
        ppm = encode_picture(source, "PPM")
        assert np.array_equal(np.frombuffer(ppm[-wanted.nbytes :], ">u2").reshape(wanted.shape), wanted)
        assert encode_picture(source, "PNG")[24] == 16


@pytest.mark.parametrize("alpha", [False, True])
def test_floating_point_goes_back_to_its_levels(alpha: bool) -> None:
    source = picture(4 if alpha else 3, bit_depth=32, levels=(-1.0, 7.0))
    pyvips = pytest.importorskip("pyvips")
    found = pyvips.Image.new_from_buffer(encode_picture(source, "TIFF"), "").numpy()
    assert found.dtype == np.float32
    assert np.allclose(found[..., :3], source.colour * 8 - 1, atol=1e-5)
    if alpha:
        assert np.allclose(found[..., 3:], source.pixels[..., 3:])
    pfm = encode_picture(picture(3, bit_depth=32, levels=(-1.0, 7.0)), "PFM")
    rows = np.frombuffer(pfm[-40 * 48 * 12 :], "<f4").reshape(40, 48, 3)[::-1]
    assert np.allclose(rows, picture(3).pixels * 8 - 1, atol=1e-5)


def test_pfm_is_floating_point_whatever_comes() -> None:
    for bit_depth in (8, 16):
        data = encode_picture(picture(bit_depth=bit_depth), "PFM")
        assert data.startswith(b"PF\n48 40\n-1.0\n")
        assert np.array_equal(np.frombuffer(data[-40 * 48 * 12 :], "<f4").reshape(40, 48, 3)[::-1], picture().pixels)


def test_floating_point_becomes_sixteen_bits_in_png_and_eight_in_jpeg() -> None:
    source = picture(1, bit_depth=32, levels=(0.0, 100.0))
    image = opened(encode_picture(source, "PNG"), "PNG")
    assert np.array_equal(np.asarray(image), to_uint16(source.pixels)[..., 0])
    assert np.abs(values_of(encode_picture(source, "JPEG"), "JPEG", "L") - to_uint8(source.pixels)[..., 0]).max() < 4


def test_values_that_are_no_numbers_become_black_in_floating_point() -> None:
    source = picture(1, bit_depth=32)
    source.pixels[0, 0] = np.nan
    data = encode_picture(source, "PFM")
    assert not np.isnan(np.frombuffer(data[-40 * 48 * 4 :], "<f4")).any()


def test_premultiplied_tiff_is_so_again() -> None:
    source = picture(4, premultiplied=True)
    data = encode_picture(source, "TIFF")
    found = tifffile.imread(io.BytesIO(data)).astype(int)
    assert np.array_equal(found[..., 3], to_uint8(source.pixels)[..., 3])
    assert np.array_equal(found[..., :3], to_uint8(source.pixels[..., :3] * source.pixels[..., 3:]))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages[0].extrasamples[0].name == "ASSOCALPHA"
    assert np.array_equal(values_of(encode_picture(source, "PNG"), "PNG", "RGBA"), to_uint8(source.pixels))


# ---- colour


@pytest.mark.parametrize("kind", WITH_PROFILE)
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_go_back_into_the_space_of_the_source(kind: str, channels: int) -> None:
    needs(kind)
    source = picture(channels, space=Space(), icc_profile=SRGB)
    if channels == 4:
        source.pixels[..., 3] = 1
    data = encode_picture(source, kind, quality=100)
    image = opened(data, kind)
    assert image.info["icc_profile"] == SRGB
    assert np.abs(values_of(data, kind) - to_uint8(source.pixels[..., :3] / 2)).max() <= 8
    if channels == 4 and kind in WITH_ALPHA:
        assert values_of(data, kind, "RGBA")[..., 3].min() == 255


def test_alpha_is_laid_on_white_before_colours_are_converted() -> None:
    source = Picture(pixels=np.zeros((8, 8, 4), np.float32), space=Space(), icc_profile=SRGB)
    assert np.abs(values_of(encode_picture(source, "JPEG"), "JPEG") - 128).max() <= 2


def test_gray_keeps_its_profile_where_there_is_gray() -> None:
    source = picture(1, space=Space("GRAY"), icc_profile=GRAY)
    for kind in ("PNG", "JPEG", "TIFF"):
        image = opened(encode_picture(source, kind), kind)
        assert image.mode == "L"
        assert image.info["icc_profile"] == GRAY
        assert np.abs(np.asarray(image).astype(int) - to_uint8(source.pixels / 2)[..., 0]).max() <= 4


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIC"])
def test_a_profile_of_gray_is_not_put_on_colours(kind: str) -> None:
    needs(kind)
    same = encode_picture(picture(1, icc_profile=GRAY), kind, quality=100)  # with the curve of sRGB: no space
    assert not opened(same, kind).info.get("icc_profile")
    data = encode_picture(picture(1, space=Space("GRAY"), icc_profile=GRAY), kind, quality=100)
    assert not opened(data, kind).info.get("icc_profile")
    assert np.abs(values_of(data, kind) - to_uint8(picture(1).pixels)).max() <= 4


@pytest.mark.parametrize("alpha", [False, True])
def test_cmyk_goes_into_tiff(alpha: bool) -> None:
    source = picture(4 if alpha else 3, space=Space("CMYK", SRGB), icc_profile=CMYK)
    with tifffile.TiffFile(io.BytesIO(encode_picture(source, "TIFF"))) as file:
        page = file.pages[0]
        assert page.photometric.name == "SEPARATED"
        assert page.tags[34675].value == CMYK
        wanted = Space("CMYK").from_working(source.colour)
        assert np.array_equal(page.asarray()[..., :4], to_uint8(wanted))
        if alpha:
            assert np.array_equal(page.asarray()[..., 4:], to_uint8(source.pixels[..., 3:]))


def test_cmyk_goes_into_jpeg_as_adobe_has_it() -> None:
    source = picture(3, space=Space("CMYK", SRGB), icc_profile=CMYK)
    data = encode_picture(source, "JPEG", quality=100)
    image = opened(data, "JPEG")
    assert image.mode == "CMYK"
    assert image.info["icc_profile"] == CMYK
    assert image.info["adobe"] == 100
    assert image.info["adobe_transform"] in (0, 2)
    wanted = to_uint8(Space("CMYK").from_working(source.pixels)).astype(int)
    assert np.abs(np.asarray(image).astype(int) - wanted).max() <= 6


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "HEIC"])
def test_cmyk_becomes_rgb_of_the_working_space_elsewhere(kind: str) -> None:
    needs(kind)
    source = picture(3, space=Space("CMYK", SRGB), icc_profile=CMYK)
    data = encode_picture(source, kind, quality=100)
    assert opened(data, kind).info["icc_profile"] == SRGB
    assert np.abs(values_of(data, kind) - to_uint8(source.pixels)).max() <= 8
    untagged = picture(3, space=Space("CMYK"), icc_profile=CMYK)
    assert not opened(encode_picture(untagged, kind), kind).info.get("icc_profile")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PPM", "JXL"])
@pytest.mark.parametrize("spaced", [False, True])
def test_formats_without_profiles_get_srgb(kind: str, spaced: bool) -> None:
    """Half a green of Display P3 is more than half a green of sRGB; a gray stays what it is."""
    needs(kind)
    wide = icc.matrix_profile("P3", P3)
    pixels = np.zeros((32, 64, 3), np.float32)
    pixels[:, :32] = (0.4, 0.6, 0.4)
    pixels[:, 32:] = 0.5
    space = Space("CMYK", wide) if spaced else None
    data = encode_picture(Picture(pixels=pixels, icc_profile=CMYK if spaced else wide, space=space), kind, quality=100)
    found = values_of(data, kind)
    transform = ImageCms.profileToProfile(
        Image.fromarray(to_uint8(pixels)), ImageCms.ImageCmsProfile(io.BytesIO(wide)), ImageCms.createProfile("sRGB")
    )
    expected = np.asarray(transform).astype(int)
    assert expected[0, 0, 1] - expected[0, 0, 0] > 55
    assert np.abs(found - expected).max() <= 2


@pytest.mark.parametrize("icc_profile", [None, SRGB, b"junk", profile(b"RGB ")])
def test_srgb_stays_as_it_is_where_there_are_no_profiles(icc_profile: bytes | None) -> None:
    source = picture(3, icc_profile=icc_profile)
    assert np.array_equal(values_of(encode_picture(source, "BMP"), "BMP"), to_uint8(source.pixels))


# ---- GIF


def test_gif_keeps_gray_and_few_colours_exactly() -> None:
    gray = Picture(pixels=np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16, 1))
    assert np.array_equal(values_of(encode_picture(gray, "GIF"), "GIF", "L"), to_uint8(gray.pixels)[..., 0])
    few = Picture(pixels=np.random.default_rng(0).integers(0, 6, (40, 40, 3)).astype(np.float32) / 5)
    assert np.array_equal(values_of(encode_picture(few, "GIF"), "GIF"), to_uint8(few.pixels))


def test_gif_mixes_colours_that_are_too_many() -> None:
    y, x = np.mgrid[:128, :128].astype(np.float32) / 127
    source = Picture(pixels=np.stack([x, y, 1 - x], axis=2))
    found = values_of(encode_picture(source, "GIF"), "GIF")
    blocks = lambda values: values.reshape(16, 8, 16, 8, 3).mean(axis=(1, 3))  # noqa: E731
    assert np.abs(blocks(found) - blocks(to_uint8(source.pixels))).mean() < 0.8
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 256


@pytest.mark.parametrize("channels", [2, 4])
def test_gif_is_transparent_below_a_half(channels: int) -> None:
    source = picture(channels, (32, 64))
    source.pixels[:, :32, -1] = 127 / 255
    source.pixels[:, 32:, -1] = 128 / 255
    found = values_of(encode_picture(source, "GIF"), "GIF", "RGBA")
    assert found[:, :32, 3].max() == 0
    assert found[:, 32:, 3].min() == 255
    assert np.abs(found[:, 32:, :3] - to_uint8(source.colour)[:, 32:]).mean() < 8


# ---- metadata


def test_iptc_goes_where_photoshop_keeps_it_in_jpeg() -> None:
    for iptc in (IPTC, IPTC + b"\0"):
        image = opened(encode_picture(picture(iptc=iptc), "JPEG"), "JPEG")
        assert IptcImagePlugin.getiptcinfo(image)[(2, 5)] == b"title"
        assert image.info["photoshop"][0x0404] == iptc
    assert "photoshop" not in opened(encode_picture(picture(iptc=bytes(70_000)), "JPEG"), "JPEG").info


def test_iptc_goes_into_tiff_and_png() -> None:
    image = opened(encode_picture(picture(iptc=IPTC), "TIFF"), "TIFF")
    assert image.tag_v2[33723] == IPTC
    image = opened(encode_picture(picture(iptc=IPTC), "PNG"), "PNG")
    name, count, *lines = image.text["Raw profile type iptc"].split()
    resource = bytes.fromhex("".join(lines))
    assert (name, int(count)) == ("iptc", len(resource))
    assert resource[:4] == b"8BIM"
    assert IPTC in resource


def test_texts_go_into_png_and_comments_into_jpeg_and_gif() -> None:
    text = (("Title", "Größe"), ("Comment", "Wörter"), ("Title", "日本語"))
    source = picture(text=text)
    image = opened(encode_picture(source, "PNG"), "PNG")
    assert image.text["Comment"] == "Wörter"
    assert image.text["Title"] == "日本語"  # the later one
    assert opened(encode_picture(source, "JPEG"), "JPEG").info["comment"] == "Wörter".encode()
    assert opened(encode_picture(source, "GIF"), "GIF").info["comment"] == "Wörter".encode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIC", "JXL"])
def test_exif_and_xmp_go_into_all_that_have_room(kind: str) -> None:
    needs(kind)
    tags = Image.Exif()
    tags[0x010F] = "Camera"
    tags.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>words</x:xmpmeta>"
    data = encode_picture(picture(exif=tags.tobytes()[6:], xmp=xmp), kind)
    image = opened(data, kind)
    found = image.getexif()
    if kind == "JXL":
        found.load(image.info["exif"])
    assert found[0x010F] == "Camera"
    assert found.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert xmp in data or image.info["xmp"] == xmp


def test_xmp_that_is_too_long_for_jpeg_is_shortened() -> None:
    body = '<rdf:Description xmlns:a="urn:a/"><a:short>kept</a:short><a:long>{}</a:long></rdf:Description>'
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        + body.format("y" * 70_000)
        + "</rdf:RDF></x:xmpmeta>"
    )
    found = opened(encode_picture(picture(xmp=xmp.encode()), "JPEG"), "JPEG").info["xmp"]
    assert b"kept" in found
    assert b"yyy" not in found
    assert b"xmp" not in encode_picture(picture(xmp=b"z" * 70_000), "JPEG")


def test_jpeg_xl_has_the_offset_that_its_exif_begins_with() -> None:
    needs("JXL")
    tags = Image.Exif()
    tags[0x010F] = "Camera"
    data = encode_picture(picture(exif=tags.tobytes()[6:]), "JXL")
    place = data.index(b"Exif")
    assert data[place + 4 : place + 10] in (b"\0\0\0\0MM", b"\0\0\0\0II")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_the_resolution_is_kept(kind: str) -> None:
    image = opened(encode_picture(picture(dpi=(300, 150)), kind), kind)
    assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)


# ---- checks afterwards


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_file_cut_short_is_not_kept(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(kind)
    from srgan.imaging import writing

    encode = writing.encode

    def cut(*arguments: Any) -> None:
        encode(*arguments)
        stream = arguments[-1]
        stream.truncate(stream.seek(0, 2) * 3 // 4)

    noise = np.random.default_rng(0).random((200, 200, 3), np.float32)
    monkeypatch.setattr(writing, "encode", cut)
    with pytest.raises(CannotWrite, match="again"):
        write_picture(Picture(pixels=noise), tmp_path / f"a.{kind.lower()}", verify="pixels")
    assert list(tmp_path.iterdir()) == []


def test_files_of_every_format_are_known_by_their_header(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF"):
        header = probe_picture(write_picture(picture(), tmp_path / f"a.{kind.lower()}"))
        assert (header.format, header.width, header.height) == (kind, 48, 40)
