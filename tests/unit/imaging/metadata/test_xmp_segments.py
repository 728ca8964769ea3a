"""XMP beyond one segment of JPEG: put together, taken apart, damaged."""

from __future__ import annotations

import hashlib
import struct
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.imaging.metadata.xmp import RDF, parse
from srgan.imaging.metadata.xmp_segments import EXTENSION, MAIN, joined, segments_of

NOTE, DC = "http://ns.adobe.com/xmp/note/", "http://purl.org/dc/elements/1.1/"
HISTORY = "http://example.org/ History"


def packet(inside: str, *, attributes: str = "", declared: str = "", wrapped: bool = False) -> bytes:
    text = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"{declared}>'
        f'<rdf:Description rdf:about="" xmlns:dc="{DC}" xmlns:h="http://example.org/"{attributes}>{inside}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    if wrapped:
        text = f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{text}{" " * 2000}<?xpacket end="w"?>'
    return text.encode()


def pointing(guid: str, *, as_element: bool = False, inside: str = "<dc:title>T</dc:title>") -> bytes:
    if as_element:
        return packet(
            f'{inside}<n:HasExtendedXMP xmlns:n="{NOTE}">{guid}</n:HasExtendedXMP>', attributes=' h:plain="A"'
        )
    return packet(inside, attributes=f' xmlns:n="{NOTE}" n:HasExtendedXMP="{guid}" h:plain="A"')


def digest(extension: bytes) -> str:
    return hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()


def parts(extension: bytes, *, guid: str = "", step: int = 1000) -> list[bytes]:
    name = (guid or digest(extension)).encode()
    return [
        EXTENSION + name + struct.pack(">II", len(extension), at) + extension[at : at + step]
        for at in range(0, len(extension), step)
    ]


def values(xmp: bytes) -> dict[str, str]:
    """Every property at the top of a packet, as another parser reads it."""
    found: dict[str, str] = {}
    for description in ET.fromstring(xmp.strip(b"\0")).iter(f"{{{RDF}}}Description"):
        for name, value in description.attrib.items():
            assert name == f"{{{RDF}}}about" or name not in found
            found[name] = value
        for child in description:
            assert child.tag not in found
            found[child.tag] = "".join(child.itertext())
    found.pop(f"{{{RDF}}}about", None)
    return found


LONG = packet(f"<dc:description>{'Größe & ' * 900}</dc:description>".replace("&", "&amp;"), attributes=' h:more="B"')
WHOLE = {
    f"{{{DC}}}title": "T",
    "{http://example.org/}plain": "A",
    f"{{{DC}}}description": "Größe & " * 900,
    "{http://example.org/}more": "B",
}


@pytest.mark.parametrize("as_element", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_extension_is_put_into_the_packet_and_the_pointer_goes(as_element: bool, shuffled: bool) -> None:
    segments = [b"Exif\0\0II*\0", *parts(LONG), MAIN + b"ignored"]
    whole, lost = joined(pointing(digest(LONG), as_element=as_element), segments[:: -1 if shuffled else 1])
    assert lost == []
    assert values(whole) == WHOLE
    assert b"HasExtendedXMP" not in whole
    assert parse(whole) is not None


def test_prefixes_that_the_extension_declares_further_out_come_along() -> None:
    extension = packet('<o:depth xmlns="urn:default"><inner/></o:depth>', declared=' xmlns:o="urn:outer?a=1&amp;b=2"')
    whole, lost = joined(pointing(digest(extension)), parts(extension))
    assert lost == []
    assert "{urn:outer?a=1&b=2}depth" in values(whole)


def test_what_stands_in_both_parts_counts_as_the_main_part_has_it() -> None:
    extension = packet("<dc:title>Other</dc:title><dc:source>S</dc:source>", attributes=' h:plain="other"')
    whole, _ = joined(pointing(digest(extension)), parts(extension))
    assert values(whole) == {f"{{{DC}}}title": "T", "{http://example.org/}plain": "A", f"{{{DC}}}source": "S"}


def damaged() -> dict[str, list[bytes]]:
    good = parts(LONG)
    flipped = [good[0], good[1].replace(b"Gr", b"gr", 1), *good[2:]]
    longer = [good[0][:67] + struct.pack(">II", len(LONG) + 1, 0) + good[0][75:], *good[1:]]
    return {
        "nothing": [],
        "a part is missing": good[:-1],
        "a byte is another one": flipped,
        "another extension": parts(LONG, guid="0" * 32),
        "lengths that differ": longer,
        "a part beyond the end": [
            *good,
            EXTENSION + digest(LONG).encode() + struct.pack(">II", len(LONG), 2**31) + b"x",
        ],
        "too long": [EXTENSION + digest(LONG).encode() + struct.pack(">II", 2**32 - 1, 0) + b"x"],
        "cut short": [EXTENSION + b"ABC"],
        "no packet": parts(b"<not xml", guid=digest(LONG)),
    }


@pytest.mark.parametrize("fault", damaged())
def test_an_extension_that_is_not_whole_is_left_out_with_its_pointer(fault: str) -> None:
    whole, lost = joined(pointing(digest(LONG)), damaged()[fault])
    assert values(whole) == {f"{{{DC}}}title": "T", "{http://example.org/}plain": "A"}
    assert lost == ["extended XMP, which is damaged"]


def test_without_a_pointer_nothing_changes() -> None:
    plain = packet("<dc:title>T</dc:title>")
    assert joined(plain, parts(LONG)) == (plain, [])
    assert joined(b"<broken", parts(LONG)) == (b"<broken", [])


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_long_packet_goes_into_several_segments_and_comes_back(wrapped: bool) -> None:
    inside = "".join(f"<dc:p{number}>{'x' * 7000 * number}</dc:p{number}>" for number in range(8))
    long = packet(inside + "<h:History>mine</h:History>", attributes=f' h:big="{"y" * 70_000}"', wrapped=wrapped)
    payloads, lost = segments_of(long, spare=HISTORY)
    assert lost == []
    assert all(len(payload) <= 65_533 for payload in payloads)
    assert [payload.startswith(MAIN) for payload in payloads] == [True] + [False] * (len(payloads) - 1)
    main = payloads[0].removeprefix(MAIN)
    assert values(main)["{http://example.org/}History"] == "mine", "what is spared stays where every reader looks"
    extension = b"".join(payload[len(EXTENSION) + 40 :] for payload in payloads[1:])
    assert values(main)[f"{{{NOTE}}}HasExtendedXMP"] == digest(extension)
    assert b"xpacket" not in extension
    whole, lost = joined(main, payloads)
    assert (values(whole), lost) == (values(long), [])


def test_padding_alone_needs_no_extension() -> None:
    long = packet("<dc:title>T</dc:title>", wrapped=True).replace(b" " * 2000, b" " * 70_000)
    (payload,), lost = segments_of(long, spare=HISTORY)
    assert values(payload.removeprefix(MAIN)) == {f"{{{DC}}}title": "T"}
    assert lost == []


def test_a_short_packet_is_byte_for_byte_as_it_was() -> None:
    assert segments_of(b"<broken", spare=HISTORY) == ([MAIN + b"<broken"], [])
    assert segments_of(LONG, spare=HISTORY) == ([MAIN + LONG], [])


def test_a_long_packet_that_cannot_be_read_is_left_out() -> None:
    assert segments_of(b"<" + b"x" * 70_000, spare=HISTORY) == ([], ["all of it"])


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=8))
def test_whatever_the_sizes_nothing_is_lost(sizes: list[int]) -> None:
    inside = "".join(f"<dc:p{number}>{'é' * size}</dc:p{number}>" for number, size in enumerate(sizes))
    long = packet(inside)
    payloads, lost = segments_of(long, spare=HISTORY)
    assert lost == []
    assert max(map(len, payloads)) <= 65_533
    assert values(joined(payloads[0].removeprefix(MAIN), payloads)[0]) == values(long)
