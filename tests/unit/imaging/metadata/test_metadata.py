"""The metadata of an enlarged picture as a whole; texts and comments."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srgan.imaging import Picture, encode_picture, read_picture
from srgan.imaging.metadata.enlarged import (
    MOST_TEXT_BYTES,
    MOST_TEXTS,
    comment_text,
    finished,
    jpeg_comments,
    keyword,
    provenance_of,
    raw_profile,
    sorted_texts,
    strip,
)
from srgan.imaging.metadata.exif import bare_exif
from srgan.imaging.metadata.provenance import Provenance
from srgan.imaging.picture import Density

RECORD = Provenance("photo", "1.2", "ab" * 32, {"scale": 4}, "0.9.1")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:ImageWidth="6" tiff:Artist="A"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    tags[0x0100], tags[0x0101] = 6, 4
    tags[0x8825] = {1: "N", 2: (48.0, 8.0, 12.5)}
    data = bare_exif(tags.tobytes())
    assert data is not None
    return data


def picture(**changes: object) -> Picture:
    pixels = np.full((16, 24, 3), 0.5, np.float32)
    whole = Picture(
        pixels=pixels,
        bit_depth=16,
        levels=(0.0, 2.0),
        exif=exif(),
        xmp=XMP,
        iptc=b"\x1c\x02\x78\0\1x",
        text=(("Title", "A"),),
        dpi=(300.0, 150.0),
        format="PNG",
    )
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- finished


def test_one_warning_names_the_picture_and_what_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    after = finished(picture(name="a.jpg", lost=("the gain map (HDR)", "another picture")), (16, 24), None)
    assert caplog.messages == ["a.jpg: not in the enlarged picture: the gain map (HDR); another picture"]
    assert after.lost == ()


def test_the_shape_of_a_pixel_changes_only_if_the_sides_grow_by_different_factors() -> None:
    wide = picture(dpi=None, density=Density(2, 1))
    assert finished(wide, (32, 48), None).density == Density(2, 1)
    assert finished(wide, (32, 24), None).density == Density(2, 2)
    assert finished(picture(dpi=None, density=Density(2, 1), format="TIFF"), (32, 48), None).density == Density(4, 2)


@pytest.mark.parametrize("value", [5e8, 5e-11])
def test_a_scale_that_tiff_cannot_state_goes_with_a_warning(value: float, caplog: pytest.LogCaptureFixture) -> None:
    after = finished(picture(dpi=None, density=Density(value, 1, 5), format="TIFF"), (160, 240), None)
    assert after.density is None
    assert "the scale, which is beyond what TIFF can state" in caplog.text


def test_the_shape_and_the_scale_are_read_as_what_they_are() -> None:
    assert Density(5, 4, 5).per_inch == (127_000, 101_600)
    assert Density(10, 20, 3).per_inch == pytest.approx((25.4, 50.8))
    assert (Density(5, 4).per_inch, Density(5, 4, 3).ratio, Density(7, 7).ratio) == (None, None, None)
    assert Density(640, 480).ratio == (4, 3)
    assert Density(1e7, 1e-7).ratio is None
    assert picture().per_inch == (300, 150)
    assert picture(dpi=None).per_inch is None


def test_sizes_change_everywhere_and_nothing_else_does() -> None:
    before = picture()
    after = finished(before, (16, 24), None)
    assert after.exif is not None
    tags = Image.Exif()
    tags.load(after.exif)
    assert (tags[0x0100], tags[0x0101], tags[0x010F]) == (24, 16, "Maker")
    assert tags.get_ifd(0x8825) == {1: "N", 2: (48.0, 8.0, 12.5)}
    assert after.xmp == XMP.replace(b'"6"', b'"24"')
    same = [name.name for name in dataclasses.fields(Picture) if name.name not in ("exif", "xmp", "tags")]
    assert all(getattr(after, name) is getattr(before, name) for name in same)


def test_pixels_per_inch_are_kept_so_that_the_print_grows() -> None:
    assert finished(picture(), (1600, 2400), RECORD).dpi == (300.0, 150.0)


def test_the_record_is_written_beside_what_was_there_and_read_again() -> None:
    once = finished(picture(), (16, 24), RECORD)
    twice = finished(once, (32, 48), Provenance("drawing"))
    assert provenance_of(picture()) == []
    assert provenance_of(once) == [RECORD]
    assert provenance_of(twice) == [RECORD, Provenance("drawing")]
    assert twice.xmp is not None
    assert b'tiff:ImageWidth="48" tiff:Artist="A"' in twice.xmp


def test_the_camera_keeps_its_name_of_the_software() -> None:
    assert finished(picture(), (4, 6), RECORD).exif == exif()


def test_a_picture_without_metadata_gets_the_record_only() -> None:
    bare = strip(picture())
    assert finished(bare, (16, 24), None) is not bare
    assert finished(bare, (16, 24), None).xmp is None
    after = finished(bare, (16, 24), RECORD)
    assert (after.exif, after.iptc, after.text) == (None, None, ())
    assert provenance_of(after) == [RECORD]
    assert provenance_of(finished(picture(xmp=b""), (16, 24), RECORD)) == [RECORD]


def test_a_packet_that_cannot_be_read_is_kept_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        after = finished(picture(xmp=b"<broken"), (16, 24), RECORD)
    assert after.xmp == b"<broken"
    assert provenance_of(after) == []
    assert "no record of the model was written" in caplog.text


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_through_a_file_and_back(format: str) -> None:
    after = finished(picture(), (16, 24), RECORD)
    back = read_picture(encode_picture(after, format))
    assert provenance_of(back) == [RECORD]
    assert back.xmp == after.xmp
    tags = Image.Exif()
    tags.load(back.exif or b"")
    assert tags[0x010F] == "Maker"
    assert tags.get_ifd(0x8825)[1] == "N"


# ----------------------------------------------------------------------------------------------------------- strip


def test_strip_leaves_what_is_needed_to_show_the_picture() -> None:
    before = picture(icc_profile=b"profile")
    after = strip(before)
    assert (after.exif, after.xmp, after.iptc, after.text) == (None, None, None, ())
    assert (after.icc_profile, after.dpi, after.levels, after.bit_depth) == (b"profile", (300.0, 150.0), (0.0, 2.0), 16)
    assert after.pixels is before.pixels
    data = encode_picture(strip(picture()), "PNG")
    assert b"Maker" not in data
    assert b"eXIf" not in data
    assert b"Text" not in data
    assert b"tEXt" not in data


# ----------------------------------------------------------------------------------------------------------- texts


def hexadecimal(name: str, data: bytes) -> str:
    digits = data.hex()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    return f"\n{name}\n{len(data):8d}\n" + "\n".join(lines) + "\n"


def test_texts_are_kept_in_order_and_thumbnails_go() -> None:
    pairs = [("parameters", "a cat\nSteps: 20"), ("Title", "ü€"), ("Thumb::MTime", "1"), ("Title", "again")]
    found = sorted_texts(pairs)
    assert found.text == (("parameters", "a cat\nSteps: 20"), ("Title", "ü€"), ("Title", "again"))
    assert (found.exif, found.xmp, found.iptc, found.lost) == (None, None, None, [])


@pytest.mark.parametrize("name", ["exif", "APP1", "EXIF"])
def test_exif_that_stands_as_text_becomes_exif(name: str) -> None:
    found = sorted_texts([(f"Raw profile type {name}", hexadecimal(name, b"Exif\0\0" + exif()))])
    assert found.exif == exif()
    assert found.text == ()
    other = b"MM\0*" + bytes(20)
    pairs = [(f"Raw profile type {name}", hexadecimal(name, data)) for data in (exif(), other)]
    assert sorted_texts(pairs).exif == exif()


def test_other_profiles_that_stand_as_text_become_what_they_hold() -> None:
    iptc = b"\x1c\x02\x78\0\1x"
    resources = b"8BIM\x04\x04\0\0\0\0\0\6" + iptc
    pairs = [
        ("Raw profile type iptc", hexadecimal("iptc", resources)),
        ("Raw profile type APP1", hexadecimal("generic", b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
    ]
    found = sorted_texts(pairs)
    assert (found.iptc, found.xmp, found.exif, found.text) == (iptc, XMP, None, ())
    assert sorted_texts([("Raw profile type iptc", hexadecimal("iptc", iptc))]).iptc == iptc
    assert sorted_texts([("XML:com.adobe.xmp", XMP.decode()), *pairs]).xmp == XMP
    assert sorted_texts([("XML:com.adobe.xmp", "first"), ("XML:com.adobe.xmp", "second")]).xmp == b"first"


@pytest.mark.parametrize(
    "text",
    ["", "exif", "\nexif\n 4\nzz", "\nexif\n 5\n00000000", "\nexif\n" + "9" * 5000 + "\n00", "\nexif\n \u0664\n0000"],
)
def test_a_damaged_profile_as_text_is_none(text: str) -> None:
    assert raw_profile(text) is None
    assert sorted_texts([("Raw profile type exif", text)]).text == ()


def test_limits_of_texts(caplog: pytest.LogCaptureFixture) -> None:
    many = sorted_texts((f"key {number}", "x") for number in range(MOST_TEXTS + 20))
    assert len(many.text) == MOST_TEXTS
    assert many.lost[0] == f"key {MOST_TEXTS}"
    assert len(many.lost) == 8
    with caplog.at_level(logging.WARNING):
        large = sorted_texts([("a", "x" * (MOST_TEXT_BYTES - 10)), ("big", "y" * 100), ("c", "z")])
    assert [key for key, _ in large.text] == ["a", "c"]
    assert large.lost == ["big"]
    assert "1 texts" in caplog.text


@given(text=st.text(max_size=120))
def test_keywords_are_what_png_allows(text: str) -> None:
    name = keyword(text)
    assert len(name.encode("latin-1")) <= 79
    assert name == name.strip()
    assert "  " not in name
    assert all(letter.isprintable() for letter in name if letter != "\xad")
    assert keyword(name) == name


@given(
    pairs=st.lists(
        st.tuples(st.text(max_size=90) | st.just("Raw profile type exif"), st.text(max_size=50)), max_size=10
    )
)
def test_any_texts_do_no_harm(pairs: list[tuple[str, str]]) -> None:
    found = sorted_texts(pairs)
    assert len(found.text) <= len(pairs)
    assert all("\0" not in value for _, value in found.text)


# -------------------------------------------------------------------------------------------------------- comments


def test_comments_of_jpeg_and_what_it_has_no_room_for() -> None:
    texts = [("Comment", "Grüße"), ("Title", "A"), ("Comment", "two"), ("Comment", "x" * 65_534)]
    comments, lost = jpeg_comments(texts)
    assert comments == ["Grüße".encode(), b"two"]
    assert lost == ["Title", "Comment"]
    assert jpeg_comments([("Comment", "x" * 65_533)]) == ([b"x" * 65_533], [])


def test_comments_are_utf8_or_else_latin() -> None:
    assert comment_text("Grüße\0".encode()) == "Grüße"
    assert comment_text("Grüße".encode("latin-1")) == "Grüße"
