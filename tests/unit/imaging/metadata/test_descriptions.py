"""Descriptions of programs of science: what follows the enlargement, and what has to go."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.imaging.metadata.descriptions import alone, enlarged, names_unit, states_scale

BEFORE, AFTER = (16, 24), (32, 72)
IMAGEJ = (
    b"ImageJ=1.54f\nimages=3\nslices=3\nunit=\\u00B5m\nspacing=0.5\nxorigin=4.5\nyorigin=-2\nmin=0.0\nmax=255.0\n\0"
)
SPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def ome(inside: str = "", **changes: str) -> bytes:
    attributes = {
        "ID": "Pixels:0", "DimensionOrder": "XYCZT", "Type": "uint16", "SizeX": "24", "SizeY": "16", "SizeC": "1",
        "SizeZ": "3", "SizeT": "1", "PhysicalSizeX": "0.2", "PhysicalSizeXUnit": "µm", "PhysicalSizeY": "0.5",
        "PhysicalSizeZ": "2.0", "SignificantBits": "12", "BigEndian": "true",
    }  # fmt: skip
    said = " ".join(f'{name}="{value}"' for name, value in (attributes | changes).items())
    text = f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{SPACE}"><Image ID="Image:0"><Pixels {said}>'
    return (text + '<TiffData IFD="0"/><Plane TheZ="0"/></Pixels></Image>' + inside + "</OME>\0").encode()


def pixels_of(text: bytes | None) -> dict[str, str]:
    assert text is not None
    found = ET.fromstring(text.rstrip(b"\0")).find(f".//{{{SPACE}}}Pixels")
    assert found is not None
    return found.attrib


def test_imagej_keeps_its_lines_and_moves_the_origin_which_counts_pixels() -> None:
    text, lost = enlarged(IMAGEJ, BEFORE, AFTER, 8)
    assert text == IMAGEJ.replace(b"xorigin=4.5", b"xorigin=13.5").replace(b"yorigin=-2", b"yorigin=-4")
    assert lost == []
    assert states_scale(IMAGEJ)
    assert enlarged(b"ImageJ=1\nxorigin=1.2.3\n", BEFORE, AFTER, 8) == (b"ImageJ=1\nxorigin=1.2.3\n", [])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("unit=um\n", True),
        ("unit=\\u00B5m\n", True),
        ("unit=pixel\n", False),
        ("unit=\n", False),
        ("yunit=um\n", False),
    ],
)
def test_whether_imagej_names_its_unit(lines: str, expected: bool) -> None:
    assert names_unit(b"ImageJ=1\n" + lines.encode()) == expected
    assert not names_unit(lines.encode())


def test_a_stack_of_imagej_whose_other_pictures_have_no_page_becomes_one_picture() -> None:
    text, lost = alone(IMAGEJ, follows=False, intact=True, planar=False)
    assert text == b"ImageJ=1.54f\n" + IMAGEJ[IMAGEJ.index(b"unit=") :]
    assert lost == ["2 pictures of ImageJ's stack that have no page"]
    assert alone(IMAGEJ, follows=True, intact=True, planar=False) == (IMAGEJ, [])


def test_ome_states_the_new_size_and_the_new_size_of_a_pixel() -> None:
    before, text = pixels_of(ome()), enlarged(ome(), BEFORE, AFTER, 16)
    expected = {"SizeX": "72", "SizeY": "32", "PhysicalSizeX": str(0.2 / 3), "PhysicalSizeY": "0.25"}
    assert text[1] == []
    assert pixels_of(text[0]) == before | expected | {"BigEndian": "false"}
    assert states_scale(ome())


@pytest.mark.parametrize(("bits", "kind"), [(8, "uint8"), (32, "float")])
def test_ome_names_the_numbers_that_are_written(bits: int, kind: str) -> None:
    said = pixels_of(enlarged(ome(Type="int16"), BEFORE, AFTER, bits)[0])
    assert said["Type"] == kind
    assert "SignificantBits" not in said


def test_pictures_of_another_size_in_ome_follow_by_the_factor() -> None:
    said = pixels_of(enlarged(ome(SizeX="7", SizeY="9"), BEFORE, AFTER, 16)[0])
    assert (said["SizeX"], said["SizeY"]) == ("21", "18")


def test_regions_of_ome_count_old_pixels_and_go() -> None:
    regions = '<ROI ID="ROI:0"><Union><Shape><Point X="1" Y="2"/></Shape></Union></ROI><ROI ID="ROI:1"/>'
    text, lost = enlarged(ome(regions + '<ROIRef ID="ROI:0"/>'), BEFORE, AFTER, 16)
    assert lost == ["OME's regions of interest"]
    assert text == enlarged(ome(), BEFORE, AFTER, 16)[0]


@pytest.mark.parametrize(
    "inside", ['<BinaryOnly MetadataFile="a"/>', '<UUID FileName="a.tif">1</UUID><UUID FileName="b.tif">2</UUID>']
)
def test_ome_of_several_files_goes(inside: str) -> None:
    assert enlarged(ome(inside), BEFORE, AFTER, 16) == (None, ["OME-XML, which speaks of several files"])
    assert enlarged(ome('<UUID FileName="a.tif">1</UUID>'), BEFORE, AFTER, 16)[1] == []


@pytest.mark.parametrize("value", ["0", "nan", "inf", "-1", "1e999", "x", ""])
def test_ome_with_values_that_cannot_be_stays_well_formed(value: str) -> None:
    text = enlarged(ome(SizeX=value, PhysicalSizeX=value), BEFORE, AFTER, 16)[0]
    assert pixels_of(text)["SizeY"] == "32"


@pytest.mark.parametrize(
    ("shape", "expected"), [([16, 24], [32, 72]), ([3, 16, 24], [3, 32, 72]), ([5, 16, 24, 3], [5, 32, 72, 3])]
)
def test_the_shape_of_tifffile_is_the_new_one(shape: list[int], expected: list[int]) -> None:
    text = json.dumps({"shape": shape, "axes": "?", "note": "µ"}).encode()
    after, lost = enlarged(text + b"\0", BEFORE, AFTER, 8)
    assert after is not None
    assert json.loads(after.rstrip(b"\0")) == {"shape": expected, "axes": "?", "note": "µ"}
    assert lost == []


def test_a_shape_that_is_not_that_of_the_picture_goes() -> None:
    assert enlarged(b'{"shape": [9, 9]}', BEFORE, AFTER, 8)[0] is None
    for text in (b'{"shape": [16, 24', b'{"shape": ["x"]}', b'{"shape": 3}', b'{"shape":' + b"[" * 100_000):
        assert enlarged(text, BEFORE, AFTER, 8) == (text, [])


def test_descriptions_that_count_other_channels_or_pages_go() -> None:
    text = b'{"shape": [3, 16, 24], "truncated": true}'
    assert alone(text, follows=False, intact=True, planar=False) == (
        None,
        ["2 pictures of tifffile's stack that have no page"],
    )
    assert alone(text, follows=True, intact=True, planar=False) == (text, [])
    assert alone(text, follows=True, intact=True, planar=True)[0] is None
    assert alone(text, follows=True, intact=False, planar=False)[0] is None
    assert alone(ome(), follows=False, intact=False, planar=False)[0] is None
    assert alone(ome(), follows=False, intact=True, planar=True) == (ome(), [])


@pytest.mark.parametrize(
    "text",
    [
        "Aperio Image Library v10\n46000x32914 |AppMag = 20|MPP = 0.4990",
        '<MetaData><prop id="spatial-calibration-x" type="float" value="0.13"/>',
        "# Pixel_size 172e-6 m x 172e-6 m",
        "PixelSize=5",
        "0.25 µm/pixel",
        "3.1 px/nm",
        "pixels per micron: 4",
        "microns_per_pixel=1",
    ],
)
def test_another_text_that_states_the_size_of_a_pixel_goes(text: str) -> None:
    for encoding in ("utf-8", "latin-1"):
        after, lost = enlarged(text.encode(encoding), BEFORE, AFTER, 8)
        assert after is None
        assert lost == ["the description, which states a size of pixels"]


@given(st.binary(max_size=60))
def test_texts_of_people_stay_byte_for_byte(text: bytes) -> None:
    assert enlarged(b"A: " + text, BEFORE, AFTER, 8)[0] in (b"A: " + text, None)
    for said in (text, "Straße, 3 mm Schrauben, 4000 px breit".encode("latin-1")):
        assert alone(said, follows=False, intact=True, planar=False) == (said, [])
    assert enlarged("Größe: 3 mm".encode(), BEFORE, AFTER, 8) == ("Größe: 3 mm".encode(), [])
    assert not states_scale(b"A picture from ImageJ=1")
