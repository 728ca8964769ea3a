"""Reading: what comes out of each format, and a clear refusal of everything that is no picture."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging import READABLE, Limits, Picture, open_scan, probe_picture, read_picture, to_uint8

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def scene(width: int = 40, height: int = 30) -> Image.Image:
    """A picture without symmetry: ramps to the right and down, a bright corner at the top left."""
    y, x = np.mgrid[:height, :width]
    values = np.stack([x * 5, y * 6, (x + y) * 2], axis=2).clip(0, 255).astype(np.uint8)
    values[:4, :4] = 255
    return Image.fromarray(values)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if kind == "PFM":
        values = np.asarray(image.convert("RGB"))[::-1].astype("<f4") / np.float32(255)
        return b"PF\n%d %d\n-1.0\n" % image.size + values.astype("<f4").tobytes()
    if kind == "HEIC":
        heif = pytest.importorskip("pillow_heif", reason="the extra formats is not installed")
        options = {"quality": -1, "chroma": 444, "matrix_coefficients": 0} | options
        heif.from_pillow(image).save(buffer, **options)
        return buffer.getvalue()
    if kind == "JXL":
        pytest.importorskip("pillow_jxl", reason="the extra formats is not installed")
        options = {"lossless": True} | options
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def values(picture: Picture) -> NDArray[np.uint8]:
    return to_uint8(picture.pixels)


@pytest.mark.parametrize("kind", READABLE)
def test_every_format_is_read_whatever_the_name(kind: str, tmp_path: Path) -> None:
    image = scene()
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(image, kind))
    picture = read_picture(path)
    assert (picture.format, picture.pixels.shape) == (kind, (30, 40, 3))
    assert picture.bit_depth == (32 if kind == "PFM" else 8)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.flags.c_contiguous
    loss = {"JPEG": 12, "WEBP": 12, "AVIF": 12, "GIF": 30}.get(kind, 0)
    assert np.abs(values(picture).astype(int) - np.asarray(image)).mean() <= loss
    header = probe_picture(path)
    assert (header.format, header.width, header.height) == (kind, 40, 30)


def test_paths_bytes_and_streams_are_read_alike(tmp_path: Path) -> None:
    data = encoded(scene(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    expected = values(read_picture(path))
    assert np.array_equal(values(read_picture(str(path))), expected)
    assert np.array_equal(values(read_picture(data)), expected)
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    assert np.array_equal(values(read_picture(stream)), expected)
    with path.open("rb") as file:
        assert np.array_equal(values(read_picture(file)), expected)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read_to_its_end_and_held_to_the_limit(tmp_path: Path) -> None:
    pipe, data = tmp_path / "pipe", encoded(scene(), "BMP")
    os.mkfifo(pipe)

    def through(limits: Limits) -> Picture:
        writer = threading.Thread(target=lambda: pipe.write_bytes(data))
        writer.start()
        try:
            return read_picture(pipe, limits=limits)
        finally:
            writer.join()

    assert np.array_equal(values(through(Limits())), np.asarray(scene()))
    with pytest.raises(LimitExceeded, match="pipe: larger than the limit of 1,000 bytes"):
        through(Limits(max_bytes=1000))


# ---- pixels


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (scene().convert("1"), 1),
        (scene().convert("L"), 1),
        (scene().convert("LA"), 2),
        (scene().convert("P"), 3),
        (scene().convert("RGBA"), 4),
    ],
)
def test_gray_stays_gray_and_palettes_become_rgb(image: Image.Image, channels: int) -> None:
    picture = read_picture(encoded(image, "PNG"))
    wanted = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    assert np.array_equal(values(picture), np.asarray(image.convert(wanted)).reshape(30, 40, channels))


@pytest.mark.parametrize(("mode", "channels"), [("L", 2), ("RGB", 4), ("P", 4)])
def test_a_transparent_colour_becomes_alpha(mode: str, channels: int) -> None:
    image = scene().convert(mode)
    key = image.getpixel((20, 20))
    picture = read_picture(encoded(image, "PNG", transparency=key))
    assert picture.pixels.shape[2] == channels
    assert picture.alpha is not None
    same = (np.asarray(image).reshape(30, 40, -1) == np.asarray(key)).all(axis=2)
    assert np.array_equal(picture.alpha[..., 0] == 0, same)
    assert same.any()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_gray_keeps_its_depth(kind: str) -> None:
    dark = (np.arange(1200, dtype=np.uint16) % 200).reshape(30, 40)  # nothing above 8 bit: still a 16-bit picture
    picture = read_picture(encoded(Image.fromarray(dark), kind))
    assert picture.bit_depth == 16
    assert picture.pixels.shape == (30, 40, 1)
    assert picture.pixels[..., 0] == pytest.approx(dark / 65535, abs=1e-7)


def test_sixteen_bit_gray_with_a_transparent_value() -> None:
    gray = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    data = encoded(Image.fromarray(gray), "PNG")
    body = b"tRNS" + struct.pack(">H", 500)
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    picture = read_picture(data[:33] + chunk + data[33:])  # after the header
    assert picture.pixels.shape == (30, 40, 2)
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha[..., 0] == 0).tolist() == [[0, 10]]
    assert picture.pixels[0, 10, 0] == pytest.approx(500 / 65535)


def raw_tiff(pixels: bytes, width: int, height: int, *, bits: int, photometric: int) -> bytes:
    """A TIFF file of one uncompressed gray strip."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (277, 1), (278, height)]
    tags += [(273, 8), (279, len(pixels))]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + body + bytes(4)


def test_tiff_where_white_is_zero() -> None:
    words = np.array([[0, 65535, 1000]], np.uint16)
    picture = read_picture(raw_tiff(words.tobytes(), 3, 1, bits=16, photometric=0))
    assert picture.pixels[0, :, 0] == pytest.approx([1, 0, 1 - 1000 / 65535])


def test_tiff_of_twelve_bits_is_not_dark() -> None:
    packed = bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048
    picture = read_picture(raw_tiff(packed, 2, 1, bits=12, photometric=1))
    assert picture.pixels[0, :, 0] == pytest.approx([1, 2048 / 4095])


def test_deep_pnm_is_scaled_by_its_own_maximum() -> None:
    picture = read_picture(b"P5 2 1 1023\n" + np.array([1023, 341], ">u2").tobytes())
    assert picture.bit_depth == 16
    assert picture.pixels[0, :, 0] == pytest.approx([1, 1 / 3], abs=1e-4)


def test_large_pictures_are_converted_in_strips_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 100)
    for image in (scene(), scene().convert("LA"), Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40))):
        array = np.asarray(image).reshape(30, 40, -1)
        picture = read_picture(encoded(image, "PNG"))
        assert picture.pixels == pytest.approx(array / (255 if array.dtype == np.uint8 else 65535))


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert values(read_picture(data))[0, 0].tolist() == [200, 0, 0]


# ---- orientation and metadata


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera"
    return exif.tobytes()


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is laid down so that each orientation turns it up again."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_orientation_is_applied_once_and_reset(orientation: int, kind: str) -> None:
    stored = scene().transpose(TURNS[orientation])
    options: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4"} if kind == "JPEG" else {}
    data = encoded(stored, kind, exif=with_orientation(orientation), dpi=(100, 200), **options)
    picture = read_picture(data)
    assert np.abs(values(picture).astype(int) - np.asarray(scene())).max() <= (6 if kind == "JPEG" else 0)
    assert picture.dpi is not None
    assert picture.exif is not None
    exif = Image.Exif()
    exif.load(picture.exif)
    assert exif.get(0x0112, 1) == 1
    assert exif[0x010F] == "Camera"
    if kind != "TIFF":
        assert (picture.dpi[0] > picture.dpi[1]) == (orientation >= 5)


def test_orientation_in_xmp_counts_when_exif_has_none() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:x="keep"/></x:xmpmeta>'
    stored = scene().transpose(TURNS[6])
    picture = read_picture(encoded(stored, "WEBP", xmp=xmp, lossless=True))
    assert np.array_equal(values(picture), np.asarray(scene()))
    assert picture.xmp == xmp.replace(b'"6"', b'"1"')
    both = read_picture(encoded(stored, "WEBP", xmp=xmp, exif=with_orientation(1), lossless=True))
    assert both.pixels.shape == (40, 30, 3), "EXIF decides when both speak"


def test_the_tag_of_tiff_decides_over_its_xmp() -> None:
    tags = Image.Exif()
    tags[0x0112] = 1
    tags[700] = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture = read_picture(encoded(scene(), "TIFF", exif=tags))
    assert np.array_equal(values(picture), np.asarray(scene()))
    assert picture.xmp is not None
    assert b'Orientation="1"' in picture.xmp


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_profile_exif_xmp_and_resolution_are_kept(kind: str) -> None:
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>words</x:xmpmeta>"
    exif = Image.Exif()
    exif.load(with_orientation(1))
    options: dict[str, Any] = {"xmp": xmp}
    if kind == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif kind == "TIFF":
        exif[700] = xmp
    data = encoded(scene(), kind, icc_profile=SRGB, exif=exif, dpi=(300, 150), **options)
    picture = read_picture(data)
    assert picture.icc_profile == SRGB
    assert picture.xmp == xmp
    assert picture.exif is not None
    assert b"Camera" in picture.exif
    if kind in ("PNG", "JPEG", "TIFF"):
        assert picture.dpi == pytest.approx((300, 150), abs=0.02)


def test_exif_of_tiff_describes_the_picture_not_the_file() -> None:
    exif = Image.Exif()
    exif[0x013B] = "Someone"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
    picture = read_picture(encoded(scene(), "TIFF", exif=exif.tobytes()))
    assert picture.exif is not None
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept[0x013B] == "Someone"
    assert kept.get_ifd(0x8769) == {0x9003: "2020:01:02 03:04:05"}
    assert not {256, 257, 273, 279} & set(kept)


@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:36] + b"xxxx" + SRGB[40:], SRGB[:16] + b"GRAY" + SRGB[20:]])
def test_a_profile_that_is_none_or_for_other_pixels_is_dropped(profile: bytes) -> None:
    assert read_picture(encoded(scene(), "PNG", icc_profile=profile)).icc_profile is None


def test_a_gray_profile_stays_with_gray() -> None:
    profile = SRGB[:16] + b"GRAY" + SRGB[20:]
    assert read_picture(encoded(scene().convert("L"), "PNG", icc_profile=profile)).icc_profile == profile
    assert read_picture(encoded(scene().convert("L"), "PNG", icc_profile=SRGB)).icc_profile is None


def profile_for(model: bytes) -> bytes:
    """A header that says what the profile is for, and no more."""
    return SRGB[:16] + model + SRGB[20:]


@dataclass(frozen=True)
class Halved:
    """A colour space whose working values are half of the file's, or of what is left when inks are taken away."""

    model: Literal["GRAY", "RGB", "CMYK"]
    working_profile: bytes | None = None

    def to_working(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        assert values.shape[2] == {"GRAY": 1, "RGB": 3, "CMYK": 4}[self.model], "alpha is no colour"
        colour = 1 - values[..., :3] if self.model == "CMYK" else values
        return np.asarray(colour / 2, np.float32)

    def from_working(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("mode", "model", "kind"),
    [
        ("RGB", "RGB", "PNG"),
        ("RGBA", "RGB", "PNG"),
        ("L", "GRAY", "PNG"),
        ("LA", "GRAY", "PNG"),
        ("CMYK", "CMYK", "TIFF"),
    ],
)
def test_colours_are_brought_into_the_working_space(
    mode: str, model: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def space_of(icc_profile: bytes | None, model: Any) -> Halved:
        asked.append((icc_profile, model))
        return Halved(model)

    monkeypatch.setattr("srgan.imaging.reading.space_of", space_of)
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 100)
    image = scene().convert(mode)
    profile = profile_for(model.encode().ljust(4))
    picture = read_picture(encoded(image, kind, icc_profile=profile))
    assert asked == [(profile, model)]
    assert picture.icc_profile == profile
    assert picture.space == Halved(model)
    array = np.asarray(image).reshape(30, 40, -1) / 255
    if mode == "CMYK":
        array = 1 - array[..., :3]
    colours = 3 if model != "GRAY" else 1
    assert picture.colour == pytest.approx(array[..., :colours] / 2, abs=1e-6)
    if picture.alpha is not None:
        assert picture.alpha == pytest.approx(array[..., colours:], abs=1e-6)


def test_cmyk_without_a_profile_becomes_rgb_by_subtraction() -> None:
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 51))
    picture = read_picture(encoded(inks, "TIFF"))
    assert values(picture)[0, 0].tolist() == [204, 0, 0]
    assert picture.icc_profile is None
    assert values(read_picture(encoded(inks, "TIFF", icc_profile=SRGB)))[0, 0].tolist() == [204, 0, 0]


def test_cmyk_jpeg_is_not_inverted() -> None:
    paper = read_picture(encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG"))
    assert values(paper).min() >= 250


# ---- limits and bad input


def test_limits_stop_before_the_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", lambda self: pytest.fail("pixels were decoded"))
    data = encoded(scene(), "PNG")
    path = tmp_path / "big.png"
    path.write_bytes(data)
    with pytest.raises(LimitExceeded, match=r"big.png: 40 x 30 pixels, the limit is 1,199 in total"):
        read_picture(path, limits=Limits(max_pixels=1199))
    with pytest.raises(LimitExceeded, match=r"big.png: 40 x 30 pixels, the limit is 39 per side"):
        read_picture(path, limits=Limits(max_side=39))
    with pytest.raises(LimitExceeded, match=r"big.png: larger than the limit of 100 bytes"):
        read_picture(path, limits=Limits(max_bytes=100))
    with pytest.raises(LimitExceeded, match=r"the input: larger than the limit"):
        probe_picture(data, limits=Limits(max_bytes=100))


def test_the_limits_themselves_are_allowed() -> None:
    data = encoded(scene(), "PNG")
    picture = read_picture(data, limits=Limits(max_bytes=len(data), max_pixels=1200, max_side=40))
    assert picture.width == 40


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    """Two gigapixels that deflate to nothing: refused before any of it is inflated."""
    header = struct.pack(">IIBBBBB", 50_000, 40_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**7), 9)), (b"IEND", b"")):
        bomb += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    with pytest.raises(LimitExceeded, match="50000 x 40000 pixels, the limit is 250,000,000 in total"):
        read_picture(bomb)


def test_our_limit_counts_and_pillows_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_picture(encoded(scene(), "PNG")).width == 40
    with pytest.raises(LimitExceeded, match="the input: larger than Pillow decodes"):
        read_picture(encoded(scene(), "WEBP"))  # this reader asks Pillow's limit itself


@pytest.mark.parametrize("kind", READABLE)
@pytest.mark.parametrize("part", [0.03, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float, tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(InvalidImage, match=r"cut: (damaged or truncated|not a picture)") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"x", "not a picture"),
        (b"Dear all,\nplease find attached", "not a picture"),
        (b"PK\x03\x04" + bytes(100), "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged or truncated PNG"),
        (b"\xff\xd8\xff\xe0", "damaged or truncated JPEG"),
        (b"BM and more", "damaged or truncated BMP"),
        (b"8BPS" + bytes(60), "not a picture that can be read: a Photoshop file; save it as PNG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "not a picture that can be read: JPEG 2000; save it"),
        (b"P6 zero 1 255\n", "damaged or truncated PPM"),
        (b"P6 0 4 255\n", "has no pixels"),
        (b"II*\0\xff\xff\xff\xff", "damaged or truncated TIFF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "damaged or truncated WEBP"),
        (b"\0\0\0\x18ftypmp42" + bytes(12), "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(content)
    with pytest.raises(InvalidImage, match=f"holiday.png: .*{message}|holiday.png: {message}") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_missing_files_folders_and_impossible_names(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match=r"nowhere.png: no such file"):
        read_picture(tmp_path / "nowhere.png")
    with pytest.raises(InvalidImage, match="is a folder"):
        read_picture(tmp_path)
    with pytest.raises(InvalidImage, match="cannot be opened"):
        read_picture("a\0b.png")
    with pytest.raises(InvalidImage, match="cannot be opened"):
        read_picture(tmp_path / ("x" * 5000))


def test_the_message_stays_one_line_whatever_the_name(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines\x1b[31m.png"
    path.write_bytes(b"no picture")
    with pytest.raises(InvalidImage) as caught:
        read_picture(path)
    assert str(caught.value).isprintable()


def test_a_stream_of_text_is_refused() -> None:
    with pytest.raises(InvalidImage, match=r"is open as text; open it in binary mode \(rb\)"):
        read_picture(io.StringIO("words"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", READABLE)
def test_random_damage_gives_a_picture_or_a_refusal_and_nothing_else(kind: str) -> None:
    options = {} if kind in ("GIF", "BMP", "PPM") else {"exif": with_orientation(6)}
    data = bytearray(encoded(scene(), kind, **options))
    chance = np.random.default_rng(len(data))
    for _ in range(150):
        damaged = data.copy()
        for position in chance.integers(0, len(data), 4):
            damaged[position] = chance.integers(0, 256)
        with contextlib.suppress(InvalidImage, LimitExceeded):
            assert np.isfinite(read_picture(bytes(damaged), limits=Limits(max_pixels=1_000_000)).pixels).all()


@pytest.mark.parametrize("kind", READABLE)
def test_a_scan_gives_the_same_picture_in_strips(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 400)
    data = encoded(scene(), kind)
    whole = read_picture(data)
    with open_scan(data) as scan:
        strips = list(scan.strips)
    assert [len(strip) for strip in strips] == [10, 10, 10]
    assert np.array_equal(np.concatenate(strips), whole.pixels)
    assert (scan.like.pixels.shape, scan.like.format) == (whole.pixels.shape, kind)
