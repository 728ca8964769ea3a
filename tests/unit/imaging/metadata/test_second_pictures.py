"""Entries of second pictures leave XMP with the pictures, and nothing else does."""

from __future__ import annotations

import pytest

from srgan.imaging.metadata.second_pictures import CREDENTIALS, DEPTH, GAIN_MAP, VIDEO, without_second_pictures
from srgan.imaging.metadata.xmp import RDF, parse

GOOGLE = "http://ns.google.com/photos/"
CONTAINER = (
    '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary"/></rdf:li>'
    '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="%s" Item:Length="345"/></rdf:li></rdf:Seq>'
    "</Container:Directory>"
)
SPACES = (
    f' xmlns:Container="{GOOGLE}1.0/container/" xmlns:Item="{GOOGLE}1.0/container/item/"'
    ' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
    f' xmlns:GCamera=\'{GOOGLE}1.0/camera/\' xmlns:GDepth="{GOOGLE}1.0/depthmap/" xmlns:GImage="{GOOGLE}1.0/image/"'
    ' xmlns:n="http://ns.adobe.com/xmp/note/" xmlns:terms="http://purl.org/dc/terms/"'
    ' xmlns:Apple="http://ns.apple.com/HDRGainMap/1.0/" xmlns:Device="http://ns.google.com/photos/dd/1.0/device/"'
)


def packet(inside: str, attributes: str, spaces: str = SPACES) -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about=""{spaces} '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg"{attributes}>{inside}<dc:title>T</dc:title>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


@pytest.mark.parametrize(
    ("inside", "attributes", "expected"),
    [
        (CONTAINER % "GainMap", ' hdrgm:Version="1.0"', [GAIN_MAP]),
        ("<hdrgm:GainMapMax>3</hdrgm:GainMapMax>", "", [GAIN_MAP]),
        ("", ' Apple:HDRGainMapVersion="65536"', [GAIN_MAP]),
        (CONTAINER % "MotionPhoto", ' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"', [VIDEO]),
        ("", ' GCamera:MicroVideo="1" GCamera:MicroVideoOffset="4096"', [VIDEO]),
        ("<GCamera:MotionPhoto>1</GCamera:MotionPhoto>", "", [VIDEO]),
        ("", ' GCamera:MotionPhoto="0"', []),
        ("<GDepth:Data>iVBORw0KGgo=</GDepth:Data>", ' GDepth:Format="RangeInverse"', [DEPTH]),
        ("", ' Device:Container="x"', [DEPTH]),
        ("", ' GImage:Mime="image/jpeg" GImage:Data="/9j/"', ["the second picture in XMP (GImage)"]),
        ("", ' n:HasExtendedXMP="0123"', []),
        ("", ' terms:provenance="self#jumbf=/c2pa/x"', [CREDENTIALS]),
    ],
)
def test_the_entries_go_and_all_else_stays(inside: str, attributes: str, expected: list[str]) -> None:
    out, lost = without_second_pictures(packet(inside, attributes))
    assert lost == expected
    clean = packet("", "")
    found, wanted = parse(out), parse(clean)
    assert found is not None
    assert wanted is not None
    assert [place.name for place in found.values] == [place.name for place in wanted.values]
    for word in (
        b"hdrgm",
        b"Container",
        b"Semantic",
        b"345",
        b"MicroVideo",
        b"MotionPhoto",
        b"0123",
        b"jumbf",
        b"iVBOR",
    ):
        assert word not in out


def test_other_entries_of_the_same_camera_stay() -> None:
    before = packet("", ' GCamera:BurstID="7" GCamera:MotionPhoto="1"')
    out, _ = without_second_pictures(before)
    assert b'GCamera:BurstID="7"' in out
    assert parse(out) is not None


def test_a_declaration_that_is_still_needed_stays() -> None:
    """A property of another kind may use the prefix further down."""
    before = packet("<dc:source rdf:parseType='Resource'><hdrgm:x>1</hdrgm:x></dc:source>", ' hdrgm:Version="1.0"')
    out, lost = without_second_pictures(before)
    assert lost == [GAIN_MAP]
    assert b"hdrgm:Version" not in out
    assert parse(out) is not None
    assert b"<hdrgm:x>1</hdrgm:x>" in out


@pytest.mark.parametrize("xmp", [packet("", ""), b"<broken hdrgm:Version='1.0'", b""])
def test_packets_without_such_entries_are_byte_for_byte_the_same(xmp: bytes) -> None:
    assert without_second_pictures(xmp) == (xmp, [])


def test_other_encodings_are_kept() -> None:
    before = packet("", ' hdrgm:Version="1.0"').decode().encode("utf-16")
    out, lost = without_second_pictures(before)
    assert lost == [GAIN_MAP]
    assert "hdrgm:Version" not in out.decode("utf-16")
    assert "image/jpeg" in out.decode("utf-16")
