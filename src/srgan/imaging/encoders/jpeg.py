"""What stands beside the pixels of a JPEG: its segments."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from srgan.imaging.metadata.enlarged import jpeg_comments
from srgan.imaging.metadata.exif import fit_exif
from srgan.imaging.metadata.iptc import photoshop_of_iptc
from srgan.imaging.metadata.provenance import HISTORY
from srgan.imaging.metadata.xmp_segments import segments_of

if TYPE_CHECKING:
    from srgan.imaging.picture import Picture

_log = logging.getLogger(__name__)
_SEGMENT = 65_533
"""Most bytes in a segment. IPTC and comments that are longer are left out, EXIF is shortened, XMP goes into several."""
_MOST_DENSITY = 65_535


def jpeg_options(profile: bytes | None, like: Picture) -> dict[str, Any]:
    """What Pillow's writer takes: what fits into JPEG's segments; IPTC in the place that Photoshop gave it, comments in
    their own. What does not fit is said in one warning."""
    options: dict[str, Any] = {}
    lost = []
    if (dpi := like.per_inch) is not None:
        if max(dpi) < _MOST_DENSITY:
            options["dpi"] = dpi
        else:
            lost.append(f"a resolution of {max(dpi):,.0f} pixels per inch")
    if profile is not None:
        options["icc_profile"] = profile
    if like.exif is not None:
        exif, gone = fit_exif(like.exif, _SEGMENT - 6)
        options["exif"] = b"" if exif is None else b"Exif\0\0" + exif
        lost += [f"parts of EXIF ({', '.join(gone)})"] if gone else []
    extra = b""
    if like.xmp is not None:
        payloads, gone = segments_of(like.xmp, spare=HISTORY)
        extra += b"".join(_segment(0xE1, payload) for payload in payloads)
        lost += [f"parts of XMP ({', '.join(gone)})"] if gone else []
    if like.iptc and len(photoshop := photoshop_of_iptc(like.iptc)) <= _SEGMENT:
        extra += _segment(0xED, photoshop)
    elif like.iptc:
        lost.append(f"IPTC of {len(like.iptc)} bytes")
    comments, gone = jpeg_comments(like.text)
    extra += b"".join(_segment(0xFE, comment) for comment in comments)
    lost += [f"the texts {', '.join(gone[:8])}"] if gone else []
    if lost:
        _log.warning("%s: JPEG has no room for %s", like.name or "the picture", "; ".join(lost))
    return options | ({"extra": extra} if extra else {})


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def state_ratio(stream: BinaryIO, start: int, ratio: tuple[int, int] | None) -> None:
    """Put the shape of a pixel into the head of the JPEG at ``start``, which Pillow does not."""
    stream.seek(start)
    if ratio is not None and stream.read(11)[2:4] == b"\xff\xe0":
        stream.seek(start + 13)
        stream.write(struct.pack(">BHH", 0, *ratio))
    stream.seek(0, 2)
