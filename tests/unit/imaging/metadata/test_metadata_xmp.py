"""XMP packets: corrected in place, added to without disturbing them, and harmless whatever they hold."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.imaging.metadata.provenance import NAMESPACE, Provenance, history_in, with_provenance
from srgan.imaging.metadata.xmp import RDF, fit_xmp, parse, resized_xmp, take_xmp_orientation

ELEMENTS = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="A tool">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <!-- <tiff:Orientation>6</tiff:Orientation> -->
  <rdf:Description rdf:about="uuid:7" xmlns:tiff="http://ns.adobe.com/tiff/1.0/">
   <tiff:Orientation>6</tiff:Orientation>
   <tiff:ImageWidth> 640 </tiff:ImageWidth>
   <tiff:ImageLength>480</tiff:ImageLength>
  </rdf:Description>
  <rdf:Description rdf:about="uuid:7" xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/">
   <exif:PixelXDimension>640</exif:PixelXDimension>
   <exif:PixelYDimension>480</exif:PixelYDimension>
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Grüße &amp; 640</rdf:li></rdf:Alt></dc:title>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""

ATTRIBUTES = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><R:RDF xmlns:R="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <R:Description R:about="" xmlns:t="http://ns.adobe.com/tiff/1.0/" xmlns:e="http://ns.adobe.com/exif/1.0/"
  xmlns:tiff="http://example.org/another/" tiff:Orientation="8" tiff:Note=' t:Orientation="3" '
  t:Orientation = "6" t:ImageWidth='640' t:ImageLength="480" e:PixelXDimension="640" e:PixelYDimension="480"/>
</R:RDF></x:xmpmeta>"""

RECORD = Provenance("photo", "1.2", "ab" * 32, {"scale": 4, "tta": True, "backend": "ncnn", "drop": None}, "0.9.1")
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]>"
    + ELEMENTS.partition("?>")[2].replace("Grüße", "&j;")
).encode()


# ------------------------------------------------------------------------------------------------------ correction


@pytest.mark.parametrize("packet", [ELEMENTS, ATTRIBUTES], ids=["elements", "attributes"])
def test_orientation_is_taken_and_only_that(packet: str) -> None:
    orientation, after = take_xmp_orientation(packet.encode())
    assert orientation == 6
    expected = packet.replace('t:Orientation = "6"', 't:Orientation = "1"').replace(
        "\n   <tiff:Orientation>6", "\n   <tiff:Orientation>1"
    )
    assert after.decode() == expected
    assert take_xmp_orientation(after) == (1, after)


def test_sizes_in_elements_become_the_new_ones() -> None:
    expected = (
        ELEMENTS.replace("\n   <tiff:Orientation>6", "\n   <tiff:Orientation>1")
        .replace("> 640 <", ">2560<")
        .replace("Length>480", "Length>1920")
        .replace("XDimension>640", "XDimension>2560")
        .replace("YDimension>480", "YDimension>1920")
    )
    assert resized_xmp(ELEMENTS.encode(), (1920, 2560), (480, 640)).decode() == expected


def test_sizes_in_attributes_become_the_new_ones_by_namespace_not_by_prefix() -> None:
    expected = (
        ATTRIBUTES.replace('t:Orientation = "6"', 't:Orientation = "1"').replace("640", "2560").replace("480", "1920")
    )
    assert resized_xmp(ATTRIBUTES.encode(), (1920, 2560), (480, 640)).decode() == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_other_encodings_stay_what_they_are(encoding: str) -> None:
    packet = ELEMENTS.partition("?>\n")[2]
    after = resized_xmp(packet.encode(encoding), (1920, 2560), (480, 640))
    assert after.decode(encoding) == resized_xmp(packet.encode(), (1920, 2560), (480, 640)).decode()
    assert take_xmp_orientation(packet.encode(encoding))[0] == 6
    written = with_provenance(after, RECORD)
    assert written is not None
    assert "Grüße" in written.decode(encoding)
    assert history_in(written) == [RECORD]


def test_values_that_are_no_numbers_and_inner_structures_are_left() -> None:
    packet = ELEMENTS.replace("<tiff:ImageLength>480<", "<tiff:ImageLength>a lot<").replace(
        "<dc:title>",
        "<dc:source><rdf:Description><exif:PixelXDimension>99</exif:PixelXDimension></rdf:Description></dc:source><dc:title>",
    )
    after = resized_xmp(packet.encode(), (1, 2), (480, 640)).decode()
    assert "<tiff:ImageLength>a lot<" in after
    assert "<exif:PixelXDimension>99<" in after
    assert "<exif:PixelXDimension>2<" in after


def test_thumbnails_of_the_old_picture_go() -> None:
    thumbnails = (
        '<xmp:Thumbnails xmlns:xmp="http://ns.adobe.com/xap/1.0/"><rdf:Alt><rdf:li rdf:parseType="Resource">'
        "<g:image xmlns:g='http://ns.adobe.com/xap/1.0/g/img/'>/9j/4AAQ</g:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
    )
    packet = ELEMENTS.replace("<dc:title>", thumbnails + "<dc:title>")
    assert parse(packet.encode()) is not None
    expected = resized_xmp(ELEMENTS.encode(), (1920, 2560), (480, 640))
    assert resized_xmp(packet.encode(), (1920, 2560), (480, 640)) == expected


def test_a_long_history_of_another_tool_is_no_reason_to_refuse_a_packet() -> None:
    packet = ELEMENTS.replace("<rdf:Alt>", "<rdf:Alt>" + "<rdf:li>an ancestor</rdf:li>" * 30_000)
    assert b"XDimension>2<" in resized_xmp(packet.encode(), (1, 2), (480, 640))


def test_a_prefix_means_what_it_was_bound_to_last() -> None:
    packet = ATTRIBUTES.replace("<R:RDF ", '<R:RDF xmlns:t="http://example.org/outer/" ')
    assert take_xmp_orientation(packet.encode())[0] == 6


# ------------------------------------------------------------------------------------------------------ provenance


def test_a_fresh_packet_holds_the_record() -> None:
    packet = with_provenance(None, RECORD)
    assert packet is not None
    assert packet.startswith(b"<?xpacket begin=")
    assert packet.endswith(b'<?xpacket end="w"?>')
    assert history_in(packet) == [RECORD]
    assert history_in(None) == []


@pytest.mark.parametrize("before", [ELEMENTS, ATTRIBUTES], ids=["elements", "attributes"])
def test_a_packet_of_another_is_added_to_and_not_disturbed(before: str) -> None:
    after = with_provenance(before.encode(), RECORD)
    assert after is not None
    head, _, tail = before.rpartition("</")  # of RDF or, in the first, of xmpmeta
    while "RDF" not in tail:
        head, _, more = head.rpartition("</")
        tail = more + "</" + tail
    text = after.decode()
    assert text.startswith(head)
    assert text.endswith("</" + tail)
    assert history_in(after) == [RECORD]


def test_the_record_is_about_what_the_others_are_about() -> None:
    """XMP wants all descriptions of a packet to say the same."""
    after = with_provenance(ELEMENTS.encode(), RECORD)
    assert after is not None
    assert after.count(b'rdf:about="uuid:7"') == 3


def test_a_second_enlargement_follows_the_first_in_one_history() -> None:
    second = Provenance("drawing", "2", settings={"scale": 2.5})
    packet = ELEMENTS.encode()
    sizes = []
    for record in (RECORD, second, RECORD):
        after = with_provenance(packet, record)
        assert after is not None
        packet = after
        sizes.append(len(packet))
    assert history_in(packet) == [RECORD, second, RECORD]
    assert packet.count(b"<srgan:History>") == 1
    assert packet.count(NAMESPACE.encode()) == 1
    assert packet.count(b"<rdf:Description") == 3


def test_a_history_holds_the_latest_64_and_does_not_grow_beyond() -> None:
    packet: bytes | None = None
    sizes = []
    for number in range(100, 190):
        packet = with_provenance(packet, Provenance(f"model {number}"))
        assert packet is not None
        sizes.append(len(packet))
    assert [record.model for record in history_in(packet)] == [f"model {number}" for number in range(126, 190)]
    assert len(set(sizes[64:])) == 1


def test_a_history_that_another_tool_wrote_anew_is_read_and_replaced() -> None:
    """In the other forms that RDF allows, within a description that holds more."""
    packet = ATTRIBUTES.replace(
        "/>\n</R:RDF>",
        f' xmlns:s="{NAMESPACE}"><e:Flash>1</e:Flash><s:History><R:Seq><R:li s:Model="one" s:Version="1"/>'
        '<R:li><R:Description s:Model="two" s:Settings="{&quot;scale&quot;: 4}"/></R:li>'
        "<R:li><R:Description><s:Model>thr<![CDATA[ee]]></s:Model></R:Description></R:li>"
        "</R:Seq></s:History></R:Description>\n</R:RDF>",
    ).encode()
    first = [Provenance("one", "1"), Provenance("two", settings={"scale": 4}), Provenance("three")]
    assert history_in(packet) == first
    after = with_provenance(packet, RECORD)
    assert history_in(after) == [*first, RECORD]
    assert after is not None
    assert b"<e:Flash>1</e:Flash>" in after
    assert after.count(b"History>") == 2


def test_of_a_history_beyond_64_the_latest_are_read() -> None:
    packet = with_provenance(None, Provenance("one"))
    assert packet is not None
    start, stop = packet.index(b"<rdf:li"), packet.index(b"</rdf:Seq>")
    records = [packet[start:stop].replace(b">one<", b">%d<" % number) for number in range(100)]
    packet = packet[:start] + b"".join(records) + packet[stop:]
    assert [record.model for record in history_in(packet)] == [str(number) for number in range(36, 100)]


@given(
    model=st.text(min_size=1, max_size=30),
    version=st.text(max_size=10),
    options=st.dictionaries(
        st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=20), max_size=5
    ),
)
def test_any_text_comes_back_as_far_as_xml_can_hold_it(
    model: str, version: str, options: dict[str, str | int | None]
) -> None:
    record = Provenance(model, version, settings=options)
    packet = with_provenance(ATTRIBUTES.encode(), record)
    assert packet is not None
    found = history_in(packet)
    assert len(found) == 1
    assert found[0].settings == options
    if all(letter >= " " and letter not in "\ufffe\uffff" for letter in model):
        assert found[0].model == model


def test_too_long_a_record_is_cut() -> None:
    packet = with_provenance(None, Provenance("m" * 10**6, settings={str(number): "x" * 100 for number in range(1000)}))
    assert packet is not None
    assert len(packet) < 10_000
    (found,) = history_in(packet)
    assert found.model == "m" * 4096
    assert 30 < len(found.settings) < 40


def test_settings_of_strangers_are_plain_or_nothing() -> None:
    for text in ("[" * 4000, "{", "[1]", "null", '{"a": {"b": 1}}'):
        packet = with_provenance(None, Provenance("m"))
        assert packet is not None
        assert history_in(packet.replace(b">{}<", f">{text}<".encode())) == [Provenance("m")]


# -------------------------------------------------------------------------------------------------------- no room


def test_padding_goes_first() -> None:
    packet = ELEMENTS.replace("\n<?xpacket end", " " * 4000 + "\n<?xpacket end").encode()
    assert fit_xmp(packet, 4000) == (ELEMENTS.encode(), [])
    assert fit_xmp(packet, len(packet)) == (packet, [])


def test_the_largest_property_goes_and_the_spared_one_stays() -> None:
    big = ELEMENTS.replace("<dc:title>", "<dc:description>" + "x" * 70_000 + "</dc:description><dc:title>")
    packet = with_provenance(big.encode(), Provenance("m" * 4000))
    assert packet is not None
    fitting, lost = fit_xmp(packet, 65_504, spare=f"{NAMESPACE} History")
    assert lost == ["description"]
    assert fitting == with_provenance(ELEMENTS.encode(), Provenance("m" * 4000))
    fitting, lost = fit_xmp(packet, 4_000)
    assert lost[:2] == ["description", "History"]
    assert fitting is not None
    assert parse(fitting) is not None


def test_the_spared_one_stays_though_it_is_the_largest() -> None:
    packet = with_provenance(ELEMENTS.encode(), Provenance("m" * 4000))
    assert packet is not None
    fitting, lost = fit_xmp(packet, len(packet) - 20, spare=f"{NAMESPACE} History")
    assert lost == ["title"]
    assert history_in(fitting) == [Provenance("m" * 4000)]
    fitting, lost = fit_xmp(packet, len(packet) - 20)
    assert lost == ["History"]


def test_what_cannot_be_made_to_fit_goes_with_a_word() -> None:
    assert fit_xmp(b"x" * 100, 50) == (None, ["all of it"])
    assert fit_xmp(ELEMENTS.encode(), 50) == (None, ["all of it"])


# --------------------------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize(
    "packet",
    [
        BOMB,
        b"",
        b"words",
        ELEMENTS.encode()[:-200],
        ELEMENTS.encode().replace(b"\xc3\xbc", b"\xfc"),
        b"\xff\xfe<\0x",
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>words</x:xmpmeta>",
        ELEMENTS.replace("<dc:title>", "<dc:title>&undefined;").encode(),
        ELEMENTS.replace("<dc:title>", "<e>" * 300 + "</e>" * 300 + "<dc:title>").encode(),
        ELEMENTS.replace("<dc:title>", "<e/>" * 30_000 + "<dc:title>").encode(),
        ELEMENTS.replace("<dc:title>", "<dc:title>" + "<e/>" * 600_000).encode(),
        ELEMENTS.replace("<x:xmpmeta", "<!DOCTYPE x><x:xmpmeta").encode(),
    ],
    ids=[
        "bomb",
        "empty",
        "words",
        "cut",
        "latin",
        "half utf-16",
        "no rdf",
        "entity",
        "deep",
        "many",
        "many within",
        "document type",
    ],
)
def test_an_unsound_packet_is_left_as_it_is_but_for_the_orientation(packet: bytes) -> None:
    started = time.process_time()
    assert parse(packet) is None
    assert resized_xmp(packet, (1920, 2560), (480, 640)) == packet.replace(b"Orientation>6", b"Orientation>1")
    assert with_provenance(packet, RECORD) is None
    assert history_in(packet) == []
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "inner",
    [
        "<rdf:Description rdf:about=''>" + "<e/>" * 1_000_000 + "</rdf:Description>",
        "<a>" * 1_000_000,
        "<rdf:Description " + "".join(f'a{n}="" ' for n in range(250_000)) + "/>",
        " " * 3_000_000,
        "<rdf:Description " + " " * 3_000_000 + "/>",
        "<!--" + "-" * 3_000_000,
        "<?xpacket end=" * 250_000,
        "tiff:Orientation" + " " * 2_000_000 + "tiff:Orientation=" + " " * 2_000_000,
        "x" * (1 << 24),
    ],
    ids=["elements", "depth", "attributes", "space", "space in a tag", "comment", "ends", "orientation", "size"],
)
def test_megabytes_of_anything_take_little_time(inner: str) -> None:
    packet = ELEMENTS.replace("  <!--", inner + "<!--").encode()
    started = time.process_time()
    resized_xmp(packet, (10, 20), (480, 640))
    with_provenance(packet, RECORD)
    fit_xmp(packet, 65_504)
    assert time.process_time() - started < 10


@given(
    source=st.sampled_from([ELEMENTS, ATTRIBUTES]),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=0, max_size=3)), min_size=1, max_size=6),
)
def test_changed_bytes_do_no_harm(source: str, changes: list[tuple[int, bytes]]) -> None:
    packet = bytearray(with_provenance(source.encode(), RECORD) or b"")
    for at, data in changes:
        at %= len(packet)
        packet[at : at + max(1, len(data))] = data
    before = bytes(packet)
    after = resized_xmp(before, (1920, 2560), (480, 640))
    assert len(after) < len(before) + 100
    written = with_provenance(after, RECORD)
    assert written is None or history_in(written)[-1] == RECORD
    fitting, _ = fit_xmp(before, len(before) // 2)
    assert fitting is None or len(fitting) <= len(before) // 2


@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", b"<\0", b"\xfe\xff", b"\0\0\0<", b"<?xml version='1.0' encoding='utf-7'?>"]),
)
def test_any_bytes_do_no_harm(data: bytes, start: bytes) -> None:
    packet = start + data
    assert len(resized_xmp(packet, (10, 20), (480, 640))) == len(packet)
    assert with_provenance(packet, RECORD) is None or parse(packet) is not None


# ------------------------------------------------------------------------------------- what counts pixels

PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"


def description(inside: str, attributes: str) -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="" '
        f'xmlns:GPano="{PANORAMA}" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:mwg-rs="{REGIONS}" '
        f'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" {attributes}>{inside}</rdf:Description>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def test_a_panorama_counts_as_many_more_pixels() -> None:
    before = description(
        "<GPano:CroppedAreaTopPixels>30</GPano:CroppedAreaTopPixels>"
        "<GPano:CroppedAreaImageHeightPixels> 100 </GPano:CroppedAreaImageHeightPixels>",
        'GPano:FullPanoWidthPixels="1000" GPano:FullPanoHeightPixels="500" GPano:CroppedAreaLeftPixels="7" '
        'GPano:PoseHeadingDegrees="350" GPano:CroppedAreaImageWidthPixels="x"',
    )
    expected = before.replace(b'"1000"', b'"4000"').replace(b'"500"', b'"1000"').replace(b'"7"', b'"28"')
    expected = expected.replace(b">30<", b">60<").replace(b"> 100 <", b">200<")
    assert resized_xmp(before, (200, 400), (100, 100)) == expected


@pytest.mark.parametrize(
    "dimensions",
    [
        '<mwg-rs:AppliedToDimensions stDim:w="100" stDim:h="90" stDim:unit="pixel"/>',
        '<mwg-rs:AppliedToDimensions rdf:parseType="Resource"><stDim:h>90</stDim:h><stDim:w>100</stDim:w>'
        "<stDim:unit>pixel</stDim:unit></mwg-rs:AppliedToDimensions>",
    ],
)
def test_regions_are_fractions_and_say_of_what(dimensions: str) -> None:
    area = '<mwg-rs:Area stArea:x="0.5" stArea:w="100" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"/>'
    before = description(f'<mwg-rs:Regions rdf:parseType="Resource">{dimensions}{area}</mwg-rs:Regions>', "")
    expected = before.replace(b'stDim:w="100"', b'stDim:w="400"').replace(b"w>100", b"w>400")
    expected = expected.replace(b'"90"', b'"180"').replace(b">90", b">180")
    assert resized_xmp(before, (180, 400), (90, 100)) == expected


def test_pixels_on_the_sensor_follow() -> None:
    before = description("<exif:FocalPlaneYResolution>7</exif:FocalPlaneYResolution>",
                         'exif:FocalPlaneXResolution="3000/2" exif:FocalPlaneResolutionUnit="2"')  # fmt: skip
    after = resized_xmp(before, (200, 400), (100, 100))
    assert b'XResolution="12000000/2000"' in after
    assert b">14000/1000<" in after
    assert b'ResolutionUnit="2"' in after


def test_the_places_of_properties_are_found_with_their_names() -> None:
    packet = parse(description("<GPano:A>1</GPano:A>", 'exif:B="2"'))
    assert packet is not None
    wholes = {place.name.rpartition(" ")[2]: packet.text[slice(*place.whole)] for place in packet.values}
    assert wholes == {"about": b' rdf:about=""', "B": b' exif:B="2"', "A": b"<GPano:A>1</GPano:A>"}
    assert [packet.value(place) for place in packet.named(f"{PANORAMA} A")] == [b"1"]


@pytest.mark.parametrize(("unit", "grown"), [("pixel", True), ("relative", False)])
@pytest.mark.parametrize("as_elements", [False, True])
def test_bounds_of_regions_follow_where_they_count_pixels(unit: str, grown: bool, as_elements: bool) -> None:
    space = 'xmlns:I="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    bounds = {"rbUnit": unit, "rbX": "10", "rbY": "20.5", "rbW": "30", "rbH": "4"}
    if as_elements:
        inner = "".join(f"<I:{name}>{value}</I:{name}>" for name, value in bounds.items())
        boundary = f'<I:RegionBoundary rdf:parseType="Resource">{inner}</I:RegionBoundary>'
    else:
        inner = " ".join(f'I:{name}="{value}"' for name, value in bounds.items())
        boundary = f"<I:RegionBoundary {inner}/>"
    region = f'<rdf:Bag><rdf:li rdf:parseType="Resource">{boundary}<I:rId>7</I:rId></rdf:li></rdf:Bag>'
    before = description(f"<I:ImageRegion {space}>{region}</I:ImageRegion>", "").decode()
    expected = before
    for name, (old, new) in {
        "rbX": ("10", "40"),
        "rbY": ("20.5", "41"),
        "rbW": ("30", "120"),
        "rbH": ("4", "8"),
    }.items():
        for mark in (f'I:{name}="', f"I:{name}>"):
            expected = expected.replace(mark + old, mark + new) if grown else expected
    assert resized_xmp(before.encode(), (200, 400), (100, 100)).decode() == expected
