"""What XMP says of second pictures in the file, which an enlarged picture does not have: gain maps, depth, videos.

Their entries go with them. A viewer that finds the entry and not the picture shows the wrong thing, or nothing.

Source: Ultra HDR image format 1.1, Google's Motion photo, Depthmap and Dynamic depth formats, C2PA 2.1, Apple's
auxiliary pictures.
"""

from __future__ import annotations

import re

from srgan.imaging.metadata.xmp import parse

GAIN_MAP, DEPTH, VIDEO = "the gain map (HDR)", "the depth map", "the video of a motion photo"
CREDENTIALS = "the content credentials (C2PA), which hold for the old pixels only"
_GOOGLE = "http://ns.google.com/photos/"
_NAMESPACES = {
    "http://ns.adobe.com/hdr-gain-map/1.0/": GAIN_MAP,
    "http://ns.apple.com/HDRGainMap/1.0/": GAIN_MAP,
    f"{_GOOGLE}1.0/depthmap/": DEPTH,
    f"{_GOOGLE}dd/1.0/device/": DEPTH,
    "http://ns.apple.com/depthData/1.0/": DEPTH,
    f"{_GOOGLE}1.0/image/": "the second picture in XMP (GImage)",
    f"{_GOOGLE}1.0/container/": None,
    f"{_GOOGLE}1.0/container/item/": None,
    f"{_GOOGLE}dd/1.0/container/": None,
    f"{_GOOGLE}dd/1.0/item/": None,
}
"""Namespaces of which nothing stays, and what goes with them."""
_CAMERA = f"{_GOOGLE}1.0/camera/ "
_PROPERTIES = {
    "http://purl.org/dc/terms/ provenance": CREDENTIALS,
    "http://ns.adobe.com/xmp/note/ HasExtendedXMP": None,
}
_DECLARED = re.compile(
    rb"\s+xmlns:[^\s=]+\s*=\s*(?:\"(?:%(all)s)\"|'(?:%(all)s)')"
    % {b"all": b"|".join(re.escape(n.encode()) for n in _NAMESPACES)}
)
_SEMANTICS = ((b"MotionPhoto", VIDEO), (b"GainMap", GAIN_MAP), (b"Depth", DEPTH))


def without_second_pictures(xmp: bytes) -> tuple[bytes, list[str]]:
    """``xmp`` without the entries of second pictures, and what those were, in words. A packet that cannot be read
    stays as it is."""
    packet = parse(xmp)
    if packet is None:
        return xmp, []
    edits, lost = [], []
    for place in packet.values:
        namespace, _, local = place.name.rpartition(" ")
        if place.name in _PROPERTIES:
            what = _PROPERTIES[place.name]
        elif place.name.startswith((_CAMERA + "MicroVideo", _CAMERA + "MotionPhoto")):
            # a still picture may say that it is none
            what = VIDEO if local in ("MicroVideo", "MotionPhoto") and packet.value(place).strip() == b"1" else None
        elif namespace in _NAMESPACES:
            what = _NAMESPACES[namespace]
            if local == "Directory":
                text = packet.value(place)
                lost += [said for word, said in _SEMANTICS if re.search(rb"Semantic[^<]{0,3}" + word, text)]
        else:
            continue
        edits.append((*place.whole, b""))
        lost += [what] if what else []
    if not edits:
        return xmp, []
    out = packet.edited(edits)
    # declarations that nothing needs any more, which some readers take for the thing itself
    slim = _DECLARED.sub(b"", out) if packet.encoding == "utf-8" else out
    return (slim if parse(slim) is not None else out), list(dict.fromkeys(lost))
