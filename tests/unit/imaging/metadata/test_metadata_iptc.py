"""IPTC in Photoshop's resources: found over several segments, written so that Pillow finds it, never beyond the end."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, IptcImagePlugin

from srgan.imaging.metadata.iptc import iptc_of_photoshop, photoshop_of_iptc

CAPTION = "Grüße".encode()
IPTC = b"\x1c\x02\x78" + struct.pack(">H", len(CAPTION)) + CAPTION
NAME = b"Photoshop 3.0\0"


def resource(kind: int, data: bytes, *, name: bytes = b"", signature: bytes = b"8BIM") -> bytes:
    title = bytes([len(name)]) + name
    title += bytes(len(title) % 2)
    return signature + struct.pack(">H", kind) + title + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)


@pytest.mark.parametrize("name", [b"", b"a", b"ab", b"a title"])
def test_the_records_are_found_behind_others(name: bytes) -> None:
    data = (
        NAME + resource(0x03ED, bytes(15), name=name) + resource(0x0404, IPTC, name=name) + resource(0x0425, bytes(16))
    )
    assert iptc_of_photoshop(data) == IPTC
    assert iptc_of_photoshop(data.removeprefix(NAME)) == IPTC


def test_resources_of_other_signatures_are_passed_by() -> None:
    data = NAME + resource(1000, b"abc", signature=b"MeSa") + resource(0x0404, IPTC)
    assert iptc_of_photoshop(data) == IPTC


def test_a_resource_may_run_over_several_segments() -> None:
    data = resource(0x040C, bytes(70_001)) + resource(0x0404, IPTC * 20_000)
    segments = [NAME + data[start : start + 65_000] for start in range(0, len(data), 65_000)]
    assert len(segments) > 3
    assert iptc_of_photoshop(*segments) == IPTC * 20_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        NAME,
        b"something else",
        NAME + resource(0x03ED, bytes(16)),
        NAME + resource(0x0404, b""),
        NAME + resource(0x0404, IPTC)[:-3],
        NAME + b"8BIM\x04\x04\0\0\xff\xff\xff\xff" + IPTC,
        NAME + b"8BIM\x04\x04\xff",
        NAME + b"8BIX" + resource(0x0404, IPTC),
    ],
)
def test_none_where_there_are_none_or_they_are_damaged(data: bytes) -> None:
    assert iptc_of_photoshop(data) is None


def test_an_empty_one_does_not_hide_a_later_one() -> None:
    assert iptc_of_photoshop(resource(0x0404, b"") + resource(0x0404, IPTC)) == IPTC


@pytest.mark.parametrize("iptc", [IPTC, IPTC[:-1] + b"xy"])
def test_pillow_finds_what_is_written(iptc: bytes) -> None:
    payload = photoshop_of_iptc(iptc)
    assert len(payload) % 2 == 0
    assert iptc_of_photoshop(payload) == iptc
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    data = stream.getvalue()
    data = data[:2] + b"\xff\xed" + struct.pack(">H", len(payload) + 2) + payload + data[2:]
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["photoshop"][0x0404] == iptc
    if iptc == IPTC:
        with Image.open(io.BytesIO(data)) as image:
            assert IptcImagePlugin.getiptcinfo(image) == {(2, 120): CAPTION}


def test_as_much_as_is_promised_fits_into_a_segment() -> None:
    assert len(photoshop_of_iptc(bytes(65_506))) <= 65_533
    assert len(photoshop_of_iptc(bytes(65_507))) > 65_533


@given(data=st.binary(max_size=300), cut=st.integers(0, 300), at=st.integers(0, 300), value=st.integers(0, 255))
def test_no_bytes_do_harm(data: bytes, cut: int, at: int, value: int) -> None:
    whole = bytearray(NAME + resource(0x03ED, data[:50], name=data[:3]) + resource(0x0404, data + b"x"))
    whole[at % len(whole)] = value
    found = iptc_of_photoshop(bytes(whole[: len(whole) - cut % len(whole)]))
    assert found is None or found in whole
    found = iptc_of_photoshop(b"8BIM" + data)
    assert found is None or found in data
