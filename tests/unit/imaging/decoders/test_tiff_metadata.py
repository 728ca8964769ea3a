"""What a TIFF says beside its pixels comes out byte for byte, follows the enlargement, or is named as lost."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from srgan.imaging import Picture, encode_picture, open_input, read_picture
from srgan.imaging.metadata.enlarged import finished, strip
from srgan.imaging.metadata.exif_directories import EXIF, GPS, INTEROPERABILITY, Tree, Value, lay_out, tree_of
from srgan.imaging.picture import Density

TEXTS = {
    "UTF-8": "Jürgen Größe 山田".encode(),
    "Latin-1": "Jürgen Größe".encode("latin-1"),
    "Shift-JIS": "山田太郎".encode("shift-jis"),
    "several": "Fotografin: Zoë\0Redaktion: Ö".encode(),
    "short": b"\xc4",
    "every byte": bytes(range(1, 256)),
}
GRAY = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)


def written(values: Any = GRAY, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


def twice(picture: Picture) -> Picture:
    """The picture enlarged by 2 across and 3 down, as far as its metadata goes."""
    after = finished(picture, (picture.height * 3, picture.width * 2), None)
    pixels = np.zeros((picture.height * 3, picture.width * 2, picture.pixels.shape[2]), np.float32)
    return Picture(**{**vars(after), "pixels": pixels})


def texts(text: bytes) -> Tree:
    said = text + b"\0"
    return {
        0x010E: Value(2, len(said), said),
        0x013B: Value(2, len(said), said),
        0x8298: Value(129, len(said), said),
        0x9C9B: Value(1, 8, "Ü山".encode("utf-16-le") + b"\0\0\0\0"),
        EXIF: {
            0x9286: Value(7, 8 + len(text), b"UNICODE\0" + text),
            0xA434: Value(2, len(said), said),
            INTEROPERABILITY: {1: Value(2, 4, b"R98\0")},
        },
        GPS: {0x1B: Value(7, len(text), text)},
    }


@pytest.mark.parametrize("through", ["TIFF", "JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("order", "<>")
def test_texts_are_bytes_and_stay_so_from_tiff_and_back(kind: str, order: str, through: str) -> None:
    pixels = np.zeros((8, 8, 3), np.float32)
    tree = texts(TEXTS[kind])
    source = encode_picture(Picture(pixels=pixels, exif=lay_out(tree, order)), "TIFF")
    between = read_picture(encode_picture(read_picture(source), through))
    back = read_picture(encode_picture(between, "TIFF"))
    tree[0x8298] = Value(2, len(TEXTS[kind]) + 1, TEXTS[kind] + b"\0")  # TIFF has one kind of text
    for picture in (between, back):
        assert picture.exif is not None
        assert tree_of(picture.exif) == tree


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_texts_of_other_writers(order: str, big: bool) -> None:
    extra = [(315, 2, 0, b"\xe9\0\xff\xfe", True), (33432, 2, 0, TEXTS["UTF-8"], True)]
    picture = read_picture(written(extratags=extra, byteorder=order, bigtiff=big, metadata=None, software=False))
    assert picture.exif is not None
    assert tree_of(picture.exif) == {
        315: Value(2, 5, b"\xe9\0\xff\xfe\0"),
        33432: Value(2, len(TEXTS["UTF-8"]) + 1, TEXTS["UTF-8"] + b"\0"),
    }


def with_exif_at(place: int) -> bytes:
    """A little-endian TIFF of one pixel whose EXIF is said to stand at ``place``."""
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1, 34665: place}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<I", 10) + b"\0\0" + struct.pack("<H", len(tags)) + body + bytes(4)


@pytest.mark.parametrize("place", [0, 9, 2**31])
def test_a_directory_that_cannot_be_is_left_out_and_named(place: int) -> None:
    picture = read_picture(with_exif_at(place))
    assert (picture.width, picture.exif) == (1, None)
    assert picture.lost == ("the EXIF, which is damaged",)


def test_values_that_share_their_bytes_do_not_grow_beyond_reason() -> None:
    """4,000 entries of one directory that all show the same megabytes."""
    count, size = 4000, 1 << 20
    entries = b"".join(struct.pack("<HHII", 1000 + number, 7, size, 200) for number in range(count))
    data = with_exif_at(200 + size)
    data += bytes(200 + size - len(data)) + struct.pack("<H", count) + entries + bytes(4)
    exif = read_picture(data).exif
    assert exif is not None
    assert len(exif) < 1 << 26


# ------------------------------------------------------------------------------------------------------ resolution


@pytest.mark.parametrize("unit", [1, 4, 5])
@pytest.mark.parametrize("size", [(5.0, 5.0), (2.0, 1.0), (0.25, 0.5)])
def test_a_resolution_that_is_not_one_of_print_grows_with_the_picture(unit: int, size: tuple[float, float]) -> None:
    picture = read_picture(written(resolution=size, resolutionunit=unit, metadata=None))
    assert (picture.dpi, picture.density) == (None, Density(*size, unit))
    back = read_picture(encode_picture(twice(picture), "TIFF"))
    assert back.density == Density(size[0] * 2, size[1] * 3, unit)


def test_one_pixel_to_one_of_nothing_says_nothing() -> None:
    picture = read_picture(written(metadata=None))
    assert (picture.dpi, picture.density) == (None, None)


@pytest.mark.parametrize(("unit", "density"), [("um", Density(2, 3)), (None, None)])
def test_one_pixel_to_one_of_imagej_counts_where_imagej_says_of_what(unit: str | None, density: Density | None) -> None:
    about = {"axes": "YX"} if unit is None else {"axes": "YX", "unit": unit}
    picture = twice(read_picture(written(imagej=True, resolution=(1, 1), metadata=about)))
    assert picture.density == density


def test_a_resolution_of_print_stays() -> None:
    for unit, inch in ((2, 1), (3, 2.54)):
        picture = read_picture(written(resolution=(300, 150), resolutionunit=unit, metadata=None))
        assert picture.density is None
        assert twice(picture).dpi == (300 * inch, 150 * inch)


@pytest.mark.parametrize("unit", [1, 3])
def test_what_imagej_measures_keeps_its_size(unit: int) -> None:
    stack = np.stack([GRAY, GRAY + 1, GRAY + 2])
    about = {"unit": "cm" if unit == 3 else "um", "axes": "ZYX", "spacing": 0.5}
    data = written(stack, imagej=True, resolution=(5, 2.5), resolutionunit=unit, metadata=about)
    with open_input(data) as pages:
        scans = list(pages.scans())
    first = twice(scans[0].like)
    assert first.density == Density(10, 7.5, unit)
    with tifffile.TiffFile(io.BytesIO(encode_picture(first, "TIFF"))) as file:
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == about["unit"]
        assert file.pages.first.tags[282].value == (10, 1)
        assert file.pages.first.tags[296].value == unit


def test_what_ome_measures_keeps_its_size() -> None:
    about = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    data = written(ome=True, resolution=(20_000, 20_000), resolutionunit=3, metadata=about)
    after = encode_picture(twice(read_picture(data)), "TIFF")
    with tifffile.TiffFile(io.BytesIO(after)) as file:
        said = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]  # type: ignore[arg-type]
        assert (said["SizeX"], said["SizeY"]) == (48, 48)
        assert said["PhysicalSizeX"] == 0.25
        assert file.pages.first.tags[282].value == (40_000, 1)
        assert file.series[0].shape == (48, 48)


def test_the_shape_that_tifffile_writes_is_the_new_one() -> None:
    after = encode_picture(twice(read_picture(written(metadata={"note": "kept"}))), "TIFF")
    with tifffile.TiffFile(io.BytesIO(after)) as file:
        assert file.shaped_metadata is not None
        assert file.shaped_metadata[0]["shape"] == [48, 48]
        assert file.shaped_metadata[0]["note"] == "kept"
        assert file.series[0].shape == (48, 48)


def test_pictures_of_a_stack_without_pages_are_named() -> None:
    stack = np.stack([GRAY] * 3)
    picture = read_picture(written(stack, metadata={"axes": "ZYX"}, truncate=True))
    assert picture.lost == ("2 pictures of tifffile's stack that have no page",)
    assert picture.exif is None or b"shape" not in picture.exif


def test_planes_that_come_together_have_another_shape() -> None:
    picture = read_picture(written(np.stack([GRAY] * 3), photometric="rgb", planarconfig="separate"))
    assert picture.lost == ("tifffile's description, which counts other channels",)


# ------------------------------------------------------------------------------------------------------------ tags

GEO = [
    (33550, 12, 3, (10.0, 10.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, 4_600_000.0, 0.0), True),
    (34735, 3, 12, (1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, 1), True),
    (34737, 2, 0, "WGS 84|", True),
    (42113, 2, 0, "-9999", True),
]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_a_map_stays_where_it_is(order: str, big: bool) -> None:
    picture = read_picture(written(extratags=GEO, byteorder=order, bigtiff=big, metadata=None))
    assert picture.lost == ()
    with tifffile.TiffFile(io.BytesIO(encode_picture(twice(picture), "TIFF"))) as file:
        tags = {tag.code: tag.value for tag in file.pages.first.tags}
    assert tags[33550] == pytest.approx((5, 10 / 3, 0))
    assert tags[33922] == GEO[1][3]
    assert tags[34735] == GEO[2][3]
    assert (tags[34737], tags[42113]) == ("WGS 84|", "-9999")


def test_a_map_says_nothing_where_all_is_to_be_removed() -> None:
    assert strip(read_picture(written(extratags=GEO, metadata=None))).tags == {}


def test_a_map_that_had_to_be_turned_has_no_place_any_more() -> None:
    picture = read_picture(written(extratags=[*GEO, (274, 3, 1, 6, True)], metadata=None))
    assert picture.tags == {}
    assert picture.lost == ("the georeference, since the picture was turned",)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "PPM"])
def test_other_formats_say_what_they_have_no_place_for(format: str, caplog: pytest.LogCaptureFixture) -> None:
    extra = [*GEO, (285, 2, 0, "Page", True)]
    data = written(extratags=extra, resolution=(5, 5), resolutionunit=5, metadata=None)
    encode_picture(twice(read_picture(data)), format)
    scale = "" if format in ("PNG", "JPEG") else "; the scale in pixels per unit"
    expected = [f"the input: {format} has no place for the georeference; the name or number of the page{scale}"]
    if format == "JPEG":
        expected.append("the input: JPEG has no room for a resolution of 381,000 pixels per inch")
    assert caplog.messages == expected


def test_name_and_number_of_a_page_stay() -> None:
    extra = [(285, 2, 0, b"S\xe9ite", True), (297, 3, 2, (4, 9), True)]
    picture = read_picture(encode_picture(twice(read_picture(written(extratags=extra, metadata=None))), "TIFF"))
    assert picture.tags == {285: (2, b"S\xe9ite\0"), 297: (3, struct.pack("<HH", 4, 9))}


def test_tags_that_nobody_knows_are_counted_and_named() -> None:
    extra = [(code, 2, 0, "x", True) for code in (51123, 65000)] + [(33550, 11, 2, (1.0, 2.0), True)]
    picture = read_picture(written(extratags=extra, metadata=None))
    assert picture.tags == {}
    known = "33550 ModelPixelScaleTag, 51123 MicroManagerMetadata, 65000"
    assert picture.lost == (f"3 tags of TIFF ({known})",)
    many = read_picture(written(extratags=[(code, 2, 0, "x", True) for code in range(65000, 65020)], metadata=None))
    assert many.lost[0].startswith("20 tags of TIFF")
    assert many.lost[0].endswith(", ...)")


def test_layers_smaller_copies_and_credentials_are_named() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        extra = [(37724, 7, 4, b"8BIM", True), (52545, 7, 4, b"c2pa", True)]
        writer.write(GRAY, photometric="minisblack", subifds=1, extratags=extra, metadata=None)
        writer.write(GRAY[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
    lost = read_picture(buffer.getvalue()).lost
    assert sorted(what.partition(" (")[0] for what in lost) == [
        "smaller copies",
        "the content credentials",
        "the layers of Photoshop",
    ]


def test_paths_of_photoshop_are_named() -> None:
    resource = b"8BIM" + struct.pack(">HBBI", 2000, 0, 0, 6) + bytes(6)
    thumbnail = b"8BIM" + struct.pack(">HBBI", 1036, 0, 0, 2) + bytes(2)
    data = thumbnail + resource
    assert read_picture(written(extratags=[(34377, 1, len(data), data, True)], metadata=None)).lost == (
        "1 path of Photoshop",
    )
    plain = read_picture(written(extratags=[(34377, 1, len(thumbnail), thumbnail, True)], metadata=None))
    assert plain.lost == ()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_plain_tiff_of_pillow_loses_nothing(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "TIFF", compression="tiff_lzw", dpi=(72, 72))
    assert read_picture(buffer.getvalue()).lost == ()


def test_one_warning_names_the_file_and_all_that_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    text = json.dumps({"shape": [3, 3]})
    data = written(extratags=[(65000, 2, 0, "x", True)], description=text, metadata=None)
    stream = io.BytesIO(data)
    stream.name = "scan.tif"  # type: ignore[attr-defined]
    after = twice(read_picture(stream))
    assert after.lost == ()
    lost = "1 tag of TIFF (65000); "
    lost += "tifffile's description, whose shape is not that of the picture"
    assert caplog.messages == [f"scan.tif: not in the enlarged picture: {lost}"]
    encode_picture(after, "TIFF")
    assert len(caplog.messages) == 1


def test_what_every_page_of_a_stack_loses_is_told_once() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for number in range(3):
            extra = [(51123, 2, 0, "x", True)] + ([(65001, 2, 0, "y", True)] if number == 2 else [])
            writer.write(GRAY, photometric="minisblack", extratags=extra, metadata=None)
    with open_input(buffer.getvalue()) as pages:
        lost = [scan.like.lost for scan in pages.scans()]
    assert lost == [
        ("1 tag of TIFF (51123 MicroManagerMetadata)",),
        (),
        ("2 tags of TIFF (51123 MicroManagerMetadata, 65001)",),
    ]
