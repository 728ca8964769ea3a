"""What stands beside the pixels of a JPEG: read back by Pillow, and what has no room there."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from srgan.imaging import Picture, encode_picture, read_picture
from srgan.imaging.metadata.xmp import RDF, parse
from srgan.imaging.picture import Density

PIXELS = np.full((8, 12, 3), 0.5, np.float32)


def packet(count: int) -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>{"é" * count}</dc:description>'
        "<dc:title>T</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def jpeg(**changes: object) -> bytes:
    return encode_picture(Picture(pixels=PIXELS, name="in.tif", **changes), "JPEG")  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [10, 30_000, 64_000, 1_000_000])
def test_xmp_of_any_length_is_read_again(count: int, caplog: pytest.LogCaptureFixture) -> None:
    back = read_picture(jpeg(xmp=packet(count)))
    assert back.xmp is not None
    assert b"<dc:description>" + "é".encode() * count + b"</dc:description>" in back.xmp
    assert back.xmp.count(b"<dc:title>T</dc:title>") == 1
    assert b"HasExtendedXMP" not in back.xmp
    assert (back.lost, caplog.messages) == ((), [])


def test_the_main_part_of_long_xmp_is_sound_by_itself() -> None:
    with Image.open(io.BytesIO(jpeg(xmp=packet(64_000)))) as image:
        main = parse(image.info["xmp"])
    assert main is not None
    assert [main.value(place) for place in main.named("http://purl.org/dc/elements/1.1/ title")] == [b"T"]


def test_a_profile_of_several_segments_is_read_again() -> None:
    data = bytearray(np.random.default_rng(1).integers(0, 256, 200_000, np.uint8).tobytes())
    data[:4], data[12:24], data[36:40] = len(data).to_bytes(4, "big"), b"mntrRGB XYZ ", b"acsp"
    assert read_picture(jpeg(icc_profile=bytes(data))).icc_profile == bytes(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize(("given", "read"), [((2.0, 1.0), (2, 1)), ((16.0, 15.0), (16, 15)), ((0.5, 1.25), (2, 5))])
def test_the_shape_of_a_pixel_is_kept(format: str, given: tuple[float, float], read: tuple[int, int]) -> None:
    picture = Picture(pixels=PIXELS, density=Density(*given))
    back = read_picture(encode_picture(picture, format))
    assert (back.dpi, back.density) == (None, Density(*read))


def test_the_shape_of_a_pixel_has_no_place_beside_inks() -> None:
    """A JPEG of four inks has no JFIF; nothing else may be overwritten."""
    buffer = io.BytesIO()
    Image.new("CMYK", (8, 8), (1, 2, 3, 4)).save(buffer, "TIFF", resolution_unit=1, x_resolution=2, y_resolution=1)
    inks = read_picture(buffer.getvalue())
    assert inks.density == Density(2, 1)
    with Image.open(io.BytesIO(encode_picture(inks, "JPEG"))) as image:
        image.load()
        assert image.mode in ("CMYK", "RGB")


@pytest.mark.parametrize("format", ["WEBP", "BMP", "GIF"])
def test_other_formats_have_no_place_for_the_shape_of_a_pixel(format: str, caplog: pytest.LogCaptureFixture) -> None:
    encode_picture(Picture(pixels=PIXELS, density=Density(2, 1), name="in.png"), format)
    assert caplog.messages == [f"in.png: {format} has no place for the shape of a pixel"]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_square_pixels_of_no_unit_say_nothing(format: str) -> None:
    back = read_picture(encode_picture(Picture(pixels=PIXELS, density=Density(1, 1)), format))
    assert (back.dpi, back.density) == (None, None)


def test_a_resolution_that_jpeg_cannot_state_is_left_out_not_cut(caplog: pytest.LogCaptureFixture) -> None:
    assert read_picture(jpeg(dpi=(70_000.0, 70_000.0))).dpi is None
    assert caplog.messages == ["in.tif: JPEG has no room for a resolution of 70,000 pixels per inch"]
    assert read_picture(jpeg(dpi=(9_600.0, 300.0))).dpi == (9_600, 300)


def test_one_warning_names_the_file_and_all_that_has_no_room(caplog: pytest.LogCaptureFixture) -> None:
    back = read_picture(
        jpeg(
            text=(("Title", "A"), ("Comment", "B")),
            iptc=b"\x1c\x02\x78\x80\x04\0\1\0\0" + bytes(65_536),
            xmp=b"<" * 70_000,
        )
    )
    assert caplog.messages == [
        "in.tif: JPEG has no room for parts of XMP (all of it); IPTC of 65545 bytes; the texts Title"
    ]
    assert (back.xmp, back.iptc, back.text) == (None, None, (("Comment", "B"),))
