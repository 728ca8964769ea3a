"""XMP packets from strangers: found what they say, changed in a few places, all else left byte for byte.

A packet is parsed only to learn where things stand; changes are made to its text. Rule for packets that are no sound
XMP: what cannot be decoded, is not well formed, declares a document type (and with it entities), has no ``rdf:RDF``, or
is larger or more intricate than any honest one is left as it is, and says nothing. The orientation alone is looked for
in such packets, too: who turns the pixels must not leave word that they are still to be turned.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF, _EXIF, _XMP = (f"http://ns.adobe.com/{name}/1.0/" for name in ("tiff", "exif", "xap"))
_ORIENTATION = f"{_TIFF} Orientation"
_HEIGHTS = (f"{_TIFF} ImageLength", f"{_EXIF} PixelYDimension")
_WIDTHS = (f"{_TIFF} ImageWidth", f"{_EXIF} PixelXDimension")
_THUMBNAILS = f"{_XMP} Thumbnails"
_ON_SENSOR = (f"{_EXIF} FocalPlaneXResolution", f"{_EXIF} FocalPlaneYResolution")
_RATIO = re.compile(rb"([0-9]{1,10})(?:/([0-9]{1,10}))?")
_PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
_PANORAMA_PIXELS = re.compile("(?:FullPano|CroppedAreaImage)(?:Width|(Height))Pixels|CroppedArea(?:Left|(Top))Pixels")
_REGIONS = ("http://www.metadataworkinggroup.com/schemas/regions/ Regions", "http://ns.acdsee.com/regions/ Regions")
_IMAGE_REGION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/ ImageRegion"
_BOUNDARY = re.compile(rb"<([\w-]+:RegionBoundary)\b(?:[^<>]*/>|.*?</\1>)", re.DOTALL)
_IN_PIXELS = re.compile(rb"\b[\w-]+:rbUnit(?:\s*=\s*[\"']|>)\s*pixel")
_BOUND = re.compile(rb"\b[\w-]+:rb(X|Y|W|H|Rx)(?:\s*=\s*[\"']|>)\s*([0-9]{1,10}(?:\.[0-9]{1,20})?)(?=\s*[\"'<])")
_APPLIED = re.compile(rb"<([\w-]+:AppliedToDimensions)\b(?:[^<>]*/>|.*?</\1>)", re.DOTALL)
_SIDE = re.compile(rb"\b[\w-]+:(w|h)(?:\s*=\s*[\"']|>)\s*([0-9]{1,10})(?:\.[0-9]*)?(?=\s*[\"'<])")
_MOST_BYTES, _MOST_ELEMENTS, _MOST_EQUALS, _MOST_NODES, _MOST_DEPTH = 1 << 24, 500_000, 200_000, 20_000, 200
"""Of a packet that is read; histories of Photoshop run to some megabytes. Signs of equality bound the attributes."""
_UNSOUND_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([1-8])(?=\s*[\"'<])")
_TAG = re.compile(rb"<[^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*>")
_ATTRIBUTE = re.compile(rb"\s([^\s=\"'<>/]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_FRESH = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
).encode()


@dataclass
class Place:
    """Something in a packet: its name as ``namespace local-name``, and from where to where it stands."""

    name: str
    start: int
    stop: int = 0
    whole: tuple[int, int] = (0, 0)
    """From where to where the property stands, with its name."""


@dataclass
class Node(Place):
    """A description at the top of a packet, or a property in one."""

    inner: tuple[int, int] = (0, 0)
    """From where to where the content stands."""
    properties: list[Node] = field(default_factory=list)
    plain: list[Place] = field(default_factory=list)
    """Of a description: properties that stand as attributes; the place is that of the value."""
    scope: dict[str, str] = field(default_factory=dict)
    """Of a description: the prefixes that hold in it and what they mean."""


@dataclass(frozen=True)
class Packet:
    """A sound packet, and where things stand in it. Get one by `parse`."""

    text: bytes
    """The packet in UTF-8."""
    encoding: str
    rdf: Node
    about: str
    """What the descriptions are about, usually nothing; all in a packet say the same."""
    descriptions: list[Node]

    @property
    def values(self) -> list[Place]:
        """All properties that may be simple: their names and the places of their values."""
        plain = [place for node in self.descriptions for place in node.plain]
        return plain + [
            Place(p.name, *p.inner, whole=(p.start, p.stop)) for node in self.descriptions for p in node.properties
        ]

    def named(self, name: str) -> list[Place]:
        """Those of `values` that are called ``name``."""
        return [place for place in self.values if place.name == name]

    def value(self, place: Place) -> bytes:
        """What stands at a place, in UTF-8."""
        return self.text[place.start : place.stop]

    def edited(self, edits: list[tuple[int, int, bytes]]) -> bytes:
        """The packet, in its own encoding, with other text (in UTF-8) in some places, which do not overlap."""
        text = self.changed(self.text, edits)
        return text if self.encoding == "utf-8" else text.decode().encode(self.encoding)

    @staticmethod
    def changed(whole: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
        """``whole`` with other text in some places, which do not overlap."""
        parts, reached = [], 0
        for start, stop, text in sorted(edits):
            parts += [whole[reached:start], text]
            reached = stop
        return b"".join([*parts, whole[reached:]])

    def descriptions_without(self, names: set[str]) -> Iterator[bytes]:
        """Each description, in UTF-8, without the properties ``names``, fit to stand in another packet: with all
        prefixes that hold in it declared by itself."""
        for node in self.descriptions:
            gone = [(*place.whole, b"") for place in node.plain if place.name in names]
            gone += [(child.start, child.stop, b"") for child in node.properties if child.name in names]
            tag = self.text[node.start : node.inner[0]]
            name = len(tag.split(None, 1)[0].rstrip(b"/>"))
            own = b"".join(
                b' %s="%s"' % (declared, uri.replace("&", "&amp;").replace('"', "&quot;").encode())
                for prefix, uri in node.scope.items()
                if not re.search(
                    rb"\s" + re.escape(declared := b"xmlns:" + prefix.encode() if prefix else b"xmlns") + rb"\s*=", tag
                )
            )
            here = node.start + name
            edits = [(at - node.start, end - node.start, text) for at, end, text in [*gone, (here, here, own)]]
            yield b" " + self.changed(self.text[node.start : node.stop], edits) + b"\n "


class _NoPacket(Exception):
    """Something that no packet has."""


def parse(xmp: bytes) -> Packet | None:
    """Where things stand in a packet; None when it is no sound one."""
    if len(xmp) > _MOST_BYTES:
        return None
    encoding = next((name for mark, name in _ENCODINGS if xmp.startswith(mark)), "utf-8")
    try:
        text = xmp if encoding == "utf-8" else xmp.decode(encoding).encode()
        if text.count(b"=") > _MOST_EQUALS:
            return None
        reader = _Reader(text)
        reader.read()
    except (_NoPacket, expat.ExpatError, UnicodeError, ValueError):
        return None
    if reader.rdf is None:
        return None
    return Packet(text, encoding, reader.rdf, reader.about or "", reader.rdf.properties)


class _Reader:
    """Follows the parser and notes the places of the first RDF, its descriptions and their properties."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.rdf: Node | None = None
        self.about: str | None = None
        self._elements = self._nodes = self._depth = 0
        self._rdf_depth = 0
        self._open: list[Node] = []
        self._namespaces: dict[str, list[str]] = {}
        self._parser = parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartNamespaceDeclHandler = self._bind
        parser.EndNamespaceDeclHandler = self._unbind
        parser.StartDoctypeDeclHandler = self._refuse

    def read(self) -> None:
        self._parser.Parse(self.text.rstrip(b"\0"), True)

    def _refuse(self, *_: Any) -> None:
        raise _NoPacket

    def _bind(self, prefix: str | None, uri: str | None) -> None:
        self._namespaces.setdefault(prefix or "", []).append(uri or "")

    def _unbind(self, prefix: str | None) -> None:
        self._namespaces[prefix or ""].pop()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > _MOST_DEPTH or self._elements > _MOST_ELEMENTS or self._nodes > _MOST_NODES:
            raise _NoPacket
        if self.rdf is None:
            if name == f"{RDF} RDF":
                self._rdf_depth = self._depth
                self.rdf = self._opened(name)
                self._open.append(self.rdf)
            return
        if not self._open or self._depth > self._rdf_depth + 2:
            return
        node = self._opened(name)
        self._open[-1].properties.append(node)
        self._open.append(node)
        if self._depth == self._rdf_depth + 1:
            if self.about is None:
                self.about = attributes.get(f"{RDF} about")
            self._note_attributes(node)
            node.scope = {prefix: bound[-1] for prefix, bound in self._namespaces.items() if bound and bound[-1]}

    def _opened(self, name: str) -> Node:
        start = self._parser.CurrentByteIndex
        tag = _TAG.match(self.text, start)
        if tag is None:
            raise _NoPacket
        self._nodes += 1
        return Node(name, start, tag.end(), inner=(tag.end(), tag.end()))

    def _note_attributes(self, node: Node) -> None:
        for found in _ATTRIBUTE.finditer(self.text, node.start, node.stop):
            prefix, _, local = found[1].decode().rpartition(":")
            if prefix and (bound := self._namespaces.get(prefix)):
                group = 2 if found[2] is not None else 3
                node.plain.append(Place(f"{bound[-1]} {local}", *found.span(group), whole=found.span()))

    def _end(self, name: str) -> None:
        if self._open and self._depth == self._rdf_depth + len(self._open) - 1:
            node = self._open.pop()
            at = self._parser.CurrentByteIndex
            if at > node.start:  # else the tag ended itself
                node.inner = (node.inner[0], at)
                node.stop = self.text.index(b">", at) + 1
        self._depth -= 1


def take_xmp_orientation(xmp: bytes) -> tuple[int | None, bytes]:
    """The orientation that a packet states, 1 to 8, and the packet with it set to 1."""
    packet = parse(xmp)
    if packet is None:
        match = _UNSOUND_ORIENTATION.search(xmp)
        return (int(match[2]), _UNSOUND_ORIENTATION.sub(rb"\g<1>1", xmp)) if match else (None, xmp)
    stated, edits = None, []
    for place in packet.values:
        value = packet.text[place.start : place.stop].strip()
        if place.name == _ORIENTATION and value in (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8"):
            stated = stated or int(value)
            edits.append((place.start, place.stop, b"1"))
    return stated, packet.edited(edits) if edits else xmp


def resized_xmp(xmp: bytes, size: tuple[int, int], before: tuple[int, int]) -> bytes:
    """The packet of a picture that had ``before`` (height, width) and now has ``size``: where it states sizes they are
    the new ones, those of a panorama and pixels on the sensor have grown by as much, it is upright, and thumbnails are
    gone. All else is as it was, byte for byte in UTF-8."""
    xmp = take_xmp_orientation(xmp)[1]
    packet = parse(xmp)
    if packet is None:
        return xmp
    edits = [(node.start, node.stop, b"") for node in _properties(packet) if node.name == _THUMBNAILS]
    for place in packet.values:
        names = (_HEIGHTS, _WIDTHS)
        for known, number in zip(names, size, strict=True):
            if place.name in known and packet.text[place.start : place.stop].strip().isdigit():
                edits.append((place.start, place.stop, b"%d" % number))
    edits += _grown(packet, size[1] / before[1], size[0] / before[0])
    for node in _properties(packet):
        if node.name in _REGIONS:
            edits += _applied(packet.text, node, size)
        elif node.name == _IMAGE_REGION:
            edits += _bounded(packet.text, node, size[1] / before[1], size[0] / before[0])
    return packet.edited(edits) if edits else xmp


def _grown(packet: Packet, across: float, down: float) -> list[tuple[int, int, bytes]]:
    """The edits for what counts pixels of something other than the picture."""
    edits = []
    for place in packet.values:
        namespace, _, local = place.name.rpartition(" ")
        value = packet.value(place).strip()
        if (
            namespace == _PANORAMA
            and (found := _PANORAMA_PIXELS.fullmatch(local))
            and value.isdigit()
            and len(value) < 10
        ):
            factor = down if found[1] or found[2] else across
            edits.append((place.start, place.stop, b"%d" % round(int(value) * factor)))
        elif place.name in _ON_SENSOR and (ratio := _RATIO.fullmatch(value)):
            factor = across if place.name == _ON_SENSOR[0] else down
            edits.append(
                (place.start, place.stop, b"%d/%d" % (round(int(ratio[1]) * factor * 1000), int(ratio[2] or 1) * 1000))
            )
    return edits


def _applied(text: bytes, node: Node, size: tuple[int, int]) -> list[tuple[int, int, bytes]]:
    """The edits for the size of the picture that regions, whose own places are fractions of it, were drawn on."""
    edits = []
    for found in _APPLIED.finditer(text, node.start, node.stop):
        for side in _SIDE.finditer(text, *found.span()):
            edits.append((*side.span(2), b"%d" % size[side[1] == b"w"]))
    return edits


def _bounded(text: bytes, node: Node, across: float, down: float) -> list[tuple[int, int, bytes]]:
    """The edits for the bounds of regions of IPTC that are counted in pixels."""
    edits = []
    for boundary in _BOUNDARY.finditer(text, node.start, node.stop):
        for bound in _BOUND.finditer(text, *boundary.span()) if _IN_PIXELS.search(boundary[0]) else ():
            value = float(bound[2]) * (down if bound[1] in (b"Y", b"H") else across)
            edits.append((*bound.span(2), f"{value:.10g}".encode()))
    return edits


def with_property(xmp: bytes | None, name: str, text: bytes) -> bytes | None:
    """A packet with ``text``, a whole ``rdf:Description`` in UTF-8 that declares its prefixes, in place of whatever
    held the property ``name`` (as in `Place`). ``xmp`` None, or without properties, gives a fresh packet. None when
    ``xmp`` is no sound packet."""
    packet = parse(_FRESH if xmp is None else xmp)
    if packet is None:
        return None
    if packet.rdf.inner[1] == packet.rdf.inner[0]:
        packet = parse(_FRESH)
        assert packet is not None
    end = packet.rdf.inner[1]
    return packet.edited([*_without(packet, name), (end, end, b" " + text + b"\n ")])


def _without(packet: Packet, name: str) -> list[tuple[int, int, bytes]]:
    """The edits that take out a property, and the description that held nothing else."""
    edits = []
    for node in packet.descriptions:
        held = [child for child in node.properties if child.name == name]
        alone = len(held) == len(node.properties) and all(place.name == f"{RDF} about" for place in node.plain)
        for place in [node] if held and alone else held:
            start = place.start
            while packet.text[start - 1 : start].isspace():
                start -= 1
            edits.append((start, place.stop, b""))
    return edits


def fit_xmp(xmp: bytes, most: int, *, spare: str | None = None) -> tuple[bytes | None, list[str]]:
    """A packet in at most ``most`` bytes, and what had to go for it, in words; None when it cannot be had.

    Padding goes first, then the largest property, one after the other, but the one called ``spare`` last.
    """
    if len(xmp) <= most:
        return xmp, []
    lost = []
    packet = parse(xmp)
    if packet is not None:
        end = packet.text.rfind(b"<?xpacket end=")
        if end > packet.rdf.stop:
            xmp = packet.edited([(len(packet.text[:end].rstrip()), end, b"\n")])
        packet = parse(xmp)
    if packet is not None and len(xmp) > most:
        nodes = sorted(_properties(packet), key=lambda node: (node.name != spare, node.stop - node.start))
        wide = len(xmp) / len(packet.text)
        edits, size = [], float(len(xmp))
        while nodes and size > most:
            node = nodes.pop()
            size -= (node.stop - node.start) * wide
            edits.append((node.start, node.stop, b""))
            lost.append(node.name.rpartition(" ")[2][:40])
        xmp = packet.edited(edits)
    if len(xmp) > most:
        lost = ["all of it"]
    if len(lost) > 8:
        lost = [*lost[:8], f"{len(lost) - 8} more"]
    return (xmp if len(xmp) <= most else None), lost


def _properties(packet: Packet) -> list[Node]:
    return [child for node in packet.descriptions for child in node.properties]
