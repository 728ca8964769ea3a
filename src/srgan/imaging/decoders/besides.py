"""What a file holds besides its picture and the metadata that is read, and that nobody here keeps: second pictures,
videos, credentials, data of programs. Only looked for, to be named; nothing is decoded.

Source: ITU-T T.81, CIPA DC-007 (MPF), Ultra HDR 1.1, ISO/IEC 14496-12 and 23008-12 (boxes), the PNG specification,
WebP's container, C2PA 2.1.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from srgan.imaging.metadata.second_pictures import CREDENTIALS, DEPTH, GAIN_MAP, VIDEO

_Data = bytes | mmap.mmap
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_MOST_PARTS, _MOST_BOXES = 64, 10_000
_HEAD = 1 << 16
_GAIN_MAPS = (b"hdr-gain-map/1.0", b"urn:iso:std:iso:ts:21496", b"HDRGainMap")
_READ = (
    b"JFIF",
    b"JFXX",
    b"Exif",
    b"http://ns.adobe.com/x",
    b"ICC_PROFILE",
    b"MPF\0",
    b"Photoshop",
    b"Adobe",
    b"Ducky",
)
"""How segments begin that are read, written anew, or named as what they belong to."""
_MPF_KINDS = {0x010001: "a preview", 0x010002: "a preview", 0x020001: "a further view", 0x020002: "a further view"} | {
    0x020003: "a further view"
}
_PNG = frozenset(
    b"IHDR PLTE tRNS IDAT IEND acTL fcTL fdAT iCCP sRGB gAMA cHRM cICP mDCV cLLI mDCv cLLi sBIT bKGD hIST sPLT "
    b"tEXt zTXt iTXt eXIf pHYs tIME iDOT".split()
)
_WEBP = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "))
_C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_AUXILIARY = re.compile(rb"urn:[\x21-\x7e]{1,120}")
_FOLDERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}
"""Boxes that hold boxes, and the bytes before those."""


def besides(stream: BinaryIO, kind: str) -> list[str]:
    """In words, what stands in a file of the format ``kind``; TIFF is not looked at. Never raises on damage: what
    stands behind it is not found."""
    finders = {
        "JPEG": _in_jpeg,
        "PNG": _in_png,
        "WEBP": _in_webp,
        "AVIF": _in_boxes,
        "HEIC": _in_boxes,
        "JXL": _in_boxes,
    }
    if kind not in finders:
        return []
    if isinstance(stream, io.BytesIO):
        found = Counter(finders[kind](stream.getvalue()))
    else:
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = Counter(finders[kind](data))
    return [what if count == 1 else f"{what} ({count} times)" for what, count in found.items()]


# ------------------------------------------------------------------------------------------------------------ JPEG


def _in_jpeg(data: _Data) -> Iterator[str]:
    kinds: list[int] = []
    seen, others, end = set(), [], 0
    for marker, payload, after in _segments(data, 0):
        end = after
        if marker == 0xE2 and payload.startswith(b"MPF\0"):
            kinds = _mpf_kinds(payload[4:])
        elif marker == 0xE2 and payload.startswith(_GAIN_MAPS[1]):
            seen.add(GAIN_MAP)
        elif marker == 0xEB and b"c2pa" in payload[:_HEAD]:
            seen.add(CREDENTIALS)
        elif 0xE0 <= marker <= 0xEF and not payload.startswith(_READ):
            name = payload[:32].partition(b"\0")[0].decode("latin-1")
            others.append(f"APP{marker - 0xE0}" + (f" {name}" if name.isascii() and name.isalnum() else ""))
    for number, what in enumerate(_trailing(data, end), 1):
        if what in (GAIN_MAP, VIDEO):
            seen.add(what)
        elif what:
            yield what
        else:
            yield _MPF_KINDS.get(kinds[number] if number < len(kinds) else 0, "another picture")
    yield from sorted(seen)
    if others:
        yield f"segments of JPEG ({', '.join(dict.fromkeys(others))})"


def _segments(data: _Data, start: int) -> Iterator[tuple[int, bytes, int]]:
    """The segments of programs in the JPEG at ``start``, and its end: marker, content, and where the rest begins."""
    place = start + 2
    while found := _MARKER.search(data, place):
        marker, at = data[found.start() + 1], found.end()
        if marker == 0xD9:
            yield marker, b"", at
            return
        length = int.from_bytes(data[at : at + 2], "big")
        place = at + max(length, 2)
        if 0xE0 <= marker <= 0xEF:
            yield marker, bytes(data[at + 2 : place]), min(place, len(data))
    yield 0, b"", len(data)


def _mpf_kinds(mpf: bytes) -> list[int]:
    """What each picture is that the index of a multi-picture file names, the first one among them."""
    order = "<" if mpf[:2] == b"II" else ">"
    try:
        (at,) = struct.unpack_from(f"{order}I", mpf, 4)
        (count,) = struct.unpack_from(f"{order}H", mpf, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, size, place = struct.unpack_from(f"{order}HHII", mpf, entry)
            if tag == 0xB002:
                steps = range(place, place + min(size, 16 * _MOST_PARTS), 16)
                return [struct.unpack_from(f"{order}I", mpf, step)[0] & 0xFFFFFF for step in steps]
    except struct.error:
        pass
    return []


def _trailing(data: _Data, end: int) -> Iterator[str]:
    """What stands behind the first picture: words, or nothing for a picture of no known kind."""
    for _ in range(_MOST_PARTS):
        while end < len(data) and data[end] == 0:
            end += 1
        head = bytes(data[end : end + _HEAD])
        if len(head) < 4:
            return
        if head[4:8] == b"ftyp":
            yield VIDEO
            return
        if not head.startswith(b"\xff\xd8\xff"):
            following = data.find(b"\xff\xd8\xff", end)
            video = data.find(b"ftyp", end)
            if video >= 0 and (following < 0 or video < following):
                yield VIDEO
                return
            if following < 0:
                yield f"{len(data) - end:,} bytes behind the picture"
                return
            end = following
            continue
        yield GAIN_MAP if any(mark in head for mark in _GAIN_MAPS) else ""
        end = max((after for _, _, after in _segments(data, end)), default=len(data))


# ------------------------------------------------------------------------------------------------ chunks and boxes


def _in_png(data: _Data) -> Iterator[str]:
    others: list[str] = []
    for kind, start, length in _chunks(data, 8, ">I4s", 4, padded=False):
        if kind == b"caBX":
            yield CREDENTIALS
        elif kind not in _PNG:
            others.append(kind.decode("latin-1"))
        if kind == b"IEND":
            if rest := len(data[start + length + 4 :].strip(b"\0")):
                yield f"{rest:,} bytes behind the picture"
            break
    if others:
        yield f"chunks of PNG ({', '.join(list(dict.fromkeys(others))[:8])})"


def _in_webp(data: _Data) -> Iterator[str]:
    others: list[str] = []
    for kind, _, _ in _chunks(data, 12, "<4sI", 0, padded=True):
        if kind == b"C2PA":
            yield CREDENTIALS
        elif kind not in _WEBP:
            others.append(kind.decode("latin-1"))
    if others:
        yield f"chunks of WebP ({', '.join(list(dict.fromkeys(others))[:8])})"


def _chunks(data: _Data, place: int, head: str, tail: int, *, padded: bool) -> Iterator[tuple[bytes, int, int]]:
    for _ in range(300_000):
        if place + 8 > len(data):
            return
        first, second = struct.unpack_from(head, data, place)
        kind, length = (first, second) if isinstance(first, bytes) else (second, first)
        if not kind.strip().isalnum():
            return
        yield kind, place + 8, length
        place += 8 + length + tail + (length % 2 if padded else 0)


def _in_boxes(data: _Data) -> Iterator[str]:
    if data[4:8] not in (b"ftyp", b"JXL "):
        return
    for kind, start, stop in _boxes(data, 0, len(data), [_MOST_BOXES]):
        if kind == b"uuid" and data[start : start + 16] == _C2PA_BOX:
            yield CREDENTIALS
        elif kind == b"jumb":
            yield CREDENTIALS if b"c2pa" in data[start : min(stop, start + _HEAD)] else "data in JUMBF"
        elif kind == b"jhgm" or (kind == b"infe" and b"tmap" in data[start : min(stop, start + 16)]):
            yield GAIN_MAP
        elif kind == b"mpvd":
            yield VIDEO
        elif kind == b"auxC" and (named := _AUXILIARY.match(data, start + 4, stop)):
            name = named[0].lower()
            if b"alpha" in name or name.endswith(b":hevc:2015:auxid:1"):
                continue
            known = GAIN_MAP if b"gainmap" in name else DEPTH if b"depth" in name or name.endswith(b"auxid:2") else ""
            yield known or f"an auxiliary picture ({name.rpartition(b':')[2].decode()})"


def _boxes(data: _Data, place: int, end: int, left: list[int]) -> Iterator[tuple[bytes, int, int]]:
    """Each box from ``place`` to ``end``, and those in some of them: kind, and where its content stands."""
    while place + 8 <= end and left[0] > 0:
        left[0] -= 1
        length, kind, start = (
            int.from_bytes(data[place : place + 4], "big"),
            bytes(data[place + 4 : place + 8]),
            place + 8,
        )
        if length == 1:
            length, start = int.from_bytes(data[place + 8 : place + 16], "big"), place + 16
        stop = end if length == 0 else place + length
        if stop < start or stop > end:
            return
        yield kind, start, stop
        if kind in _FOLDERS:
            yield from _boxes(data, start + _FOLDERS[kind], stop, left)
        elif kind == b"iinf":
            yield from _boxes(data, start + (6 if data[start] == 0 else 8), stop, left)
        place = stop
