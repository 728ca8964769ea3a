"""XMP that is too long for a segment of JPEG: one packet made of main and extended part, and two parts of one packet.

Source: XMP specification, part 3, 1.1.3.1 (extended XMP in JPEG).
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Sequence

from srgan.imaging.metadata.xmp import RDF, Packet, Place, fit_xmp, parse

MAIN, EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
"""What APP1 begins with."""
_NOTE = "http://ns.adobe.com/xmp/note/"
_POINTER = f"{_NOTE} HasExtendedXMP"
_HEAD = struct.Struct(">32sII")
"""Before each part of the extension: its digest, its length, and where the part belongs."""
_PART = 65_400
_MOST_BYTES = 1 << 24
_POINTER_BYTES = 120
"""Room for the pointer from the main part to the extension."""
_SEGMENT = 65_533
_WRAPPER = re.compile(rb"<\?xpacket\b.*?\?>", re.DOTALL)
_DAMAGED = "extended XMP, which is damaged"


def joined(main: bytes, segments: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """The packet ``main`` with the properties of the extension that it points to, and without the pointer; and what
    of it was lost, in words.

    ``segments`` are the payloads of all APP1 in the order of the file. An extension that is not whole, or is not what
    its digest says, is left out. Where both parts have a property, that in ``main`` counts.
    """
    packet = parse(main)
    if packet is None:
        return main, []
    pointers = packet.named(_POINTER)
    if not pointers:
        return main, []
    guid = packet.value(pointers[0])
    edits = [(*place.whole, b"") for place in pointers]
    extended = _assembled(guid, segments)
    addition = None if extended is None else parse(extended)
    if addition is None:
        return packet.edited(edits), [_DAMAGED]
    known = {place.name for place in packet.values} - {f"{RDF} about"}
    end = packet.rdf.inner[1]
    return packet.edited([*edits, (end, end, b"".join(addition.descriptions_without(known)))]), []


def _assembled(guid: bytes, segments: Sequence[bytes]) -> bytes | None:
    whole: bytearray | None = None
    missing = 0
    for segment in segments:
        if not segment.startswith(EXTENSION) or len(segment) < len(EXTENSION) + _HEAD.size:
            continue
        digest, length, at = _HEAD.unpack_from(segment, len(EXTENSION))
        part = segment[len(EXTENSION) + _HEAD.size :]
        if digest != guid or length > _MOST_BYTES:
            continue
        if whole is None:
            whole, missing = bytearray(length), length
        if length != len(whole) or at + len(part) > length:
            return None
        whole[at : at + len(part)] = part
        missing -= len(part)
    if whole is None or missing > 0 or _digest(whole) != guid:
        return None
    return bytes(whole)


def segments_of(xmp: bytes, *, spare: str) -> tuple[list[bytes], list[str]]:
    """``xmp`` as the payloads of APP1 in JPEG, and what had to go, in words.

    What does not fit into one of them goes into an extension: the largest properties, the one called ``spare`` last. A
    packet that cannot be read, or is longer than 16 MiB, is shortened as by `fit_xmp`, or left out.
    """
    most = _SEGMENT - len(MAIN)
    packet = parse(xmp) if len(xmp) > most else None
    if packet is None:
        fitting, lost = fit_xmp(xmp, most, spare=spare)
        return [MAIN + fitting] if fitting is not None else [], lost
    main, extension, digest = _divided(packet, most, spare)
    if not extension:
        return [MAIN + main], []
    parts = [extension[at : at + _PART] for at in range(0, len(extension), _PART)]
    heads = [_HEAD.pack(digest, len(extension), at * _PART) for at in range(len(parts))]
    return [MAIN + main, *(EXTENSION + head + part for head, part in zip(heads, parts, strict=True))], []


def _divided(packet: Packet, most: int, spare: str) -> tuple[bytes, bytes, bytes]:
    """The packet without its largest properties, and with nothing but those, both in UTF-8, and the digest of the
    second; empty where all fits into the first but for padding."""
    text = packet.text
    end = text.rfind(b"<?xpacket end=")
    padding = [(len(text[:end].rstrip()), end, b"\n")] if end > packet.rdf.stop else []
    places = [place for place in packet.values if place.name != f"{RDF} about"]
    places.sort(key=lambda place: (place.name == spare, place.whole[0] - place.whole[1]))
    size = len(text) - sum(stop - start for start, stop, _ in padding) + _POINTER_BYTES
    moved: list[Place] = []
    while places and size > most:
        place = places.pop(0)
        size -= place.whole[1] - place.whole[0]
        moved.append(place)
    if not moved:
        return Packet.changed(text, padding), b"", b""
    extension = Packet.changed(text, [*padding, *((*place.whole, b"") for place in places)])
    extension = _WRAPPER.sub(b"", extension).strip()
    digest = _digest(extension)
    pointer = b' <rdf:Description rdf:about="%s" xmlns:rdf="%s" xmlns:xmpNote="%s" xmpNote:HasExtendedXMP="%s"/>\n ' % (
        packet.about.encode(),
        RDF.encode(),
        _NOTE.encode(),
        digest,
    )
    here = packet.rdf.inner[1]
    main = Packet.changed(text, [*padding, *((*place.whole, b"") for place in moved), (here, here, pointer)])
    return main, extension, digest


def _digest(extension: bytes | bytearray) -> bytes:
    return hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode()
