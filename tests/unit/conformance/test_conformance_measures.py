"""The suite's rulers, against figures known from elsewhere and readers that are not its own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from conformance import files, measure, pictures, profiles
from conformance.bench import Stop
from conformance.decode import decode
from conformance.rows.hostile import swollen
from conformance.rows.metadata import thumbnail_of, turned
from PIL import Image, ImageCms, ImageOps


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [  # Sharma, Wu and Dalal (2005), table 1: pairs 1, 7, 10, 17, 20, 25 and 31
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0010), 7.1792),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_colour_difference_is_the_published_one(
    first: tuple[float, ...], second: tuple[float, ...], difference: float
) -> None:
    assert measure.delta_e(np.array(first), np.array(second)) == pytest.approx(difference, abs=1e-4)
    assert measure.delta_e(np.array(second), np.array(first)) == pytest.approx(difference, abs=1e-4)


def test_lab_of_known_colours() -> None:
    white, red = pictures.plain((1.0, 1.0, 1.0), 2, 2), pictures.plain((1.0, 0.0, 0.0), 2, 2)
    assert measure.lab(white, None)[0, 0] == pytest.approx([100, 0, 0], abs=0.1)
    assert measure.lab(red, None)[0, 0] == pytest.approx([54.29, 80.82, 69.9], abs=0.15)
    assert measure.lab(red, profiles.rgb_profile("sRGB"))[0, 0] == pytest.approx([54.29, 80.82, 69.9], abs=0.15)
    assert measure.lab(red, profiles.rgb_profile("Display P3"))[0, 0, 1] > 90
    gray = measure.lab(pictures.plain((0.5,), 2, 2), profiles.gray_profile(2.2))
    assert gray[0, 0] == pytest.approx([53.8, 0, 0], abs=0.2)
    assert measure.lab(pictures.plain((0.0, 0.0, 0.0, 0.0), 2, 2), profiles.cmyk_profile())[0, 0, 0] > 90


@pytest.mark.parametrize("name", list(profiles.PRIMARIES))
def test_profiles_are_ones_that_others_read(name: str) -> None:
    made = ImageCms.ImageCmsProfile(io.BytesIO(profiles.rgb_profile(name, 2.2)))
    assert name in ImageCms.getProfileDescription(made)
    assert made.profile.xcolor_space == "RGB "


def test_low_frequencies_overlook_detail_and_see_a_drift() -> None:
    small = pictures.scene()
    large = small.repeat(4, 0).repeat(4, 1)
    checks = np.indices(large.shape[:2]).sum(0)[..., None] % 2 * 0.2 - 0.1
    assert measure.coarse_difference(large, small, 4).max() < 1e-9
    assert measure.coarse_difference(large + checks, small, 4).max() < 1e-9
    assert measure.coarse_difference(large + 0.02, small, 4).mean() == pytest.approx(0.02)
    assert measure.coarse_difference(large[:, ::-1], small, 4).mean() * 255 > 20


def test_places_and_bends() -> None:
    assert measure.centroid(pictures.blob(20.25, 27.5)[..., 0] - 0.2) == pytest.approx((20.25, 27.5), abs=0.01)
    assert all(np.isnan(measure.centroid(np.zeros((4, 4)))))
    ramp = pictures.gradient(64, 48)
    assert all(np.abs(bend).max() < 1e-9 for bend in measure.bends(ramp))
    ramp[:, 30:] += 0.01
    columns, rows = measure.bends(ramp)
    assert np.abs(columns).argmax() in (28, 29)
    assert np.abs(rows).max() < 1e-9


def test_composites() -> None:
    pixels = np.array([[[1.0, 0.0, 0.0, 0.25]]])
    assert measure.composite(pixels, (0, 0, 1))[0, 0] == pytest.approx([0.25, 0, 0.75])
    assert measure.composite(pixels[..., 2:] + [0.5, 0], (1, 1, 1))[0, 0] == pytest.approx([0.875] * 3)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_png_of_every_depth_is_what_others_read(depth: int, interlaced: bool, tmp_path: Path) -> None:
    values = np.round(pictures.scene(37, 21)[..., :1] * (2**depth - 1)).astype(int)
    path = files.write(tmp_path / "a.png", files.png(values, depth, interlaced=interlaced))
    with Image.open(path) as image:
        seen = np.asarray(image).astype(int)
        assert image.size == (37, 21)
    top = {1: 1, 16: 65535}.get(depth, 255)
    assert np.array_equal(seen, np.round(values[..., 0] * (top / (2**depth - 1))))
    assert np.abs(decode(path).pixels - values / (2**depth - 1)).max() < 1e-6


def test_exif_is_what_others_read() -> None:
    held = io.BytesIO()
    Image.new("RGB", (8, 6)).save(held, "JPEG")
    exif = Image.Exif()
    exif.load(files.exif(6, thumbnail=held.getvalue()))
    assert (exif[0x0110], exif[0x0112]) == ("Model 7", 6)
    assert exif.get_ifd(0x8769)[0x9003] == "2024:02:29 12:34:56"
    assert [float(value) for value in exif.get_ifd(0x8825)[2]] == [48, 51, 29.78]
    assert thumbnail_of(files.exif(6, thumbnail=held.getvalue())) == held.getvalue()
    assert thumbnail_of(files.exif(6)) is None
    assert thumbnail_of(b"Exif\0\0II*\0junk") is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_pillow_does(orientation: int) -> None:
    image = Image.fromarray(pictures.u8(pictures.scene(12, 8)))
    image.getexif()[0x0112] = orientation
    assert np.array_equal(turned(np.asarray(image), orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_ycck_is_read_as_the_same_ink(tmp_path: Path) -> None:
    ink = files.cmyk_of(pictures.scene())
    path = files.ycck(tmp_path / "a.jpg", ink)
    assert path.read_bytes()[path.read_bytes().index(b"Adobe") + 11] == 2
    out = decode(path)
    assert out.model == "cmyk"
    assert np.abs(out.pixels - ink).mean() < 0.01


def test_a_swollen_stream_is_a_good_one() -> None:
    import zlib

    assert zlib.decompress(swollen(65, 2_300_001)) == b"A" * 2_300_001


@pytest.mark.parametrize("data", [b"", b"words", files.png(pictures.u8(pictures.scene()))[:200]])
def test_what_is_no_picture_is_not_decoded(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot be decoded"):
        decode(files.write(tmp_path / "a.png", data))
    with pytest.raises(Stop, match="no output"):
        decode(tmp_path / "missing.png")


def test_premultiplied_alpha_is_divided_out(tmp_path: Path) -> None:
    import tifffile

    values = np.full((4, 4, 4), (50, 0, 0, 100), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    assert decode(tmp_path / "a.tif").pixels[0, 0] == pytest.approx([0.5, 0, 0, 100 / 255])
