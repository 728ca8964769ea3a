"""Descriptions that programs of science put into TIFF's `ImageDescription`, and what the enlargement makes of them.

ImageJ's lines, OME-XML and the JSON of tifffile are understood and follow the picture. Another text that states a size
of pixels is left out, as it would be wrong by the factor. Every other text is a text of people, and stays.

Source: ImageJ's FileInfo and TiffEncoder, the OME-TIFF specification 6, tifffile's documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

_IMAGEJ = b"ImageJ="
_OME = re.compile(rb"<(?:\w+:)?OME\b[^<>]*openmicroscopy\.org/Schemas/OME", re.IGNORECASE)
_PIXELS = re.compile(rb"<(?:\w+:)?Pixels\b[^<>]*>")
_REGIONS = re.compile(
    rb"<((?:\w+:)?ROI)\b[^<>]*?(?:/>|>.*?</\1>)|<(?:\w+:)?ROIRef\b[^<>]*?(?:/>|></(?:\w+:)?ROIRef>)", re.S
)
_FILES = re.compile(rb"\bFileName=\"([^\"]*)\"")
_STACK = re.compile(rb"^(?:images|slices|frames|channels|hyperstack|mode|loop)=.*\n?", re.MULTILINE)
_IMAGES = re.compile(rb"^images=([0-9]{1,9})\s*$", re.MULTILINE)
_UNIT = re.compile(rb"^unit=(?!pixels?\s*$)\S", re.MULTILINE)
_ORIGIN = re.compile(rb"^([xy])origin=([-+.0-9eE]{1,30})[ \t\r]*$", re.MULTILINE)
_LENGTH = rb"(?:um|nm|mm|cm|microns?|micromet(?:er|re)s?|\xb5m|\xc2\xb5m|\xce\xbcm)"
_SCALE = re.compile(
    rb"spatial-calibration|(?:pixel|voxel)[ _-]?(?:size|width|height|spacing)|PhysicalSize|\bMPP\s*="
    rb"|\bmicrons?[ _-]?per[ _-]?pixel|pixels?[ _-]?per[ _-]?"
    + _LENGTH
    + rb"|"
    + _LENGTH
    + rb"\s?/\s?(?:px|pix)|\b(?:px|pixels?)\s?/\s?"
    + _LENGTH,
    re.IGNORECASE,
)
_MOST_SEARCHED = 1 << 20
"""Bytes of a text of unknown kind that are searched for a scale."""
_TYPES = {8: b"uint8", 16: b"uint16", 32: b"float"}
"""OME's names of what is written, by the bits of a channel."""
Size = tuple[int, int]


def states_scale(text: bytes) -> bool:
    """Whether ``text`` says that the picture measures something, so that pixels per length are its scale, not the
    fineness of its print."""
    return text.startswith(_IMAGEJ) or _OME.search(text[:4096]) is not None


def names_unit(text: bytes) -> bool:
    """Whether ``text`` is ImageJ's and says in which unit pixels are counted, where the resolution does not."""
    return text.startswith(_IMAGEJ) and _UNIT.search(text) is not None


def alone(text: bytes, *, follows: bool, intact: bool, planar: bool) -> tuple[bytes | None, list[str]]:
    """``text`` of a page that was read, or None, and what had to go, in words.

    ``follows``: whether pages follow, or came before. ImageJ and tifffile can leave pictures of a stack without a
    directory, which nobody reads then. ``intact``: whether all channels of the file are read, as they are; ``planar``:
    whether each stood apart from the others, as they do not in what is written.
    """
    if text.startswith(_IMAGEJ) and not follows and (found := _IMAGES.search(text)) and int(found[1]) > 1:
        return _STACK.sub(b"", text), [f"{int(found[1]) - 1} pictures of ImageJ's stack that have no page"]
    if (shape := _shape_in(text)) is not None:
        if not intact or planar:
            return None, ["tifffile's description, which counts other channels"]
        if not follows and len(shape[0]) > 2 and shape[0][0] > 1 and "truncated" in shape[1]:
            return None, [f"{shape[0][0] - 1} pictures of tifffile's stack that have no page"]
    if not intact and _OME.search(text[:4096]):
        return None, ["OME-XML, which counts other channels"]
    return text, []


def enlarged(text: bytes, before: Size, after: Size, bits: int) -> tuple[bytes | None, list[str]]:
    """``text`` of a picture that had the size ``before`` (height, width) and has the size ``after``, written with
    ``bits`` a channel; None when it has to go. And what went, in words."""
    if text.startswith(_IMAGEJ):
        factors = {b"x": after[1] / before[1], b"y": after[0] / before[0]}
        return _ORIGIN.sub(lambda m: _moved(m, factors), text), []
    if _OME.search(text[:4096]):
        return _ome(text, before, after, bits)
    if (shape := _shape_in(text)) is not None:
        return _shaped(*shape, before, after)
    if _SCALE.search(text[:_MOST_SEARCHED]):
        return None, ["the description, which states a size of pixels"]
    return text, []


def _moved(found: re.Match[bytes], factors: dict[bytes, float]) -> bytes:
    try:
        place = float(found[2]) * factors[found[1]]
    except ValueError:
        return found[0]
    return b"%sorigin=%s" % (found[1], f"{place:.6g}".encode())


def _ome(text: bytes, before: Size, after: Size, bits: int) -> tuple[bytes | None, list[str]]:
    if b"BinaryOnly" in text or len(set(_FILES.findall(text))) > 1:
        return None, ["OME-XML, which speaks of several files"]
    lost = ["OME's regions of interest"] if _REGIONS.search(text) else []
    text = _REGIONS.sub(b"", text)
    return _PIXELS.sub(lambda found: _pixels(found[0], before, after, bits), text), lost


def _pixels(tag: bytes, before: Size, after: Size, bits: int) -> bytes:
    """OME's element `Pixels`: its sizes, what a pixel measures, and how a number is written."""
    for axis, old, new in ((b"X", before[1], after[1]), (b"Y", before[0], after[0])):
        factor = new / old

        def side(value: bytes, old: int = old, new: int = new, factor: float = factor) -> bytes:
            return b"%d" % (new if int(value) == old else round(int(value) * factor))

        def measure(value: bytes, factor: float = factor) -> bytes:
            return repr(float(value) / factor).encode()

        tag = _with(tag, b"Size" + axis, side)
        tag = _with(tag, b"PhysicalSize" + axis, measure)
    kind = _TYPES[bits]
    if not re.search(rb"\sType\s*=\s*[\"']" + kind + rb"[\"']", tag):
        tag = re.sub(rb"\sSignificantBits\s*=\s*(?:\"[^\"]*\"|'[^']*')", b"", tag)
        tag = _with(tag, b"Type", lambda _: kind)
    return _with(tag, b"BigEndian", lambda _: b"false")


def _with(tag: bytes, name: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """``tag`` with another value of an attribute; as it is where the value is none that can be."""

    def put(found: re.Match[bytes]) -> bytes:
        try:
            return found[1] + change(found[2]) + found[3]
        except (ValueError, OverflowError):
            return found[0]

    return re.sub(rb"(\s" + name + rb"\s*=\s*[\"'])([^\"'<>]{1,40})([\"'])", put, tag, count=1)


def _shape_in(text: bytes) -> tuple[list[int], dict[str, object]] | None:
    """The shape that tifffile's JSON states, and all of the JSON."""
    if not text.startswith(b'{"shape":'):
        return None
    try:
        said = json.loads(text.rstrip(b"\0 "))
    except (ValueError, RecursionError):
        return None
    shape = said.get("shape") if isinstance(said, dict) else None
    if not isinstance(shape, list) or not all(type(side) is int and side > 0 for side in shape):
        return None
    return shape, said


def _shaped(shape: list[int], said: dict[str, object], before: Size, after: Size) -> tuple[bytes | None, list[str]]:
    for at in (len(shape) - 2, len(shape) - 3):
        if at >= 0 and tuple(shape[at : at + 2]) == before:
            new = [*shape[:at], *after, *shape[at + 2 :]]
            return json.dumps({**said, "shape": new}).encode() + b"\0", []
    return None, ["tifffile's description, whose shape is not that of the picture"]
