"""EXIF between formats, and the orientation that EXIF and XMP state.

Orientation is patched in place, byte for byte, so that maker notes, thumbnails and whatever else a camera wrote
survive.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""Description, maker, model, software, date, artist, copyright."""
EXIF_DIRECTORIES = (0x8769, 0x8825)
"""Exif and GPS."""
_ORIENTATION = 0x0112
_SHORT = 3
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)([1-8])(?=\s*[\"'<])")


def bare_exif(exif: bytes) -> bytes | None:
    """``exif`` without the ``Exif`` prefix that JPEG puts before the TIFF stream; None when it is no TIFF stream."""
    if exif.startswith(b"Exif\0"):
        exif = exif[6:]
    return exif if exif[:4] in (b"II*\0", b"MM\0*") else None


def descriptive_exif(source: Image.Exif) -> bytes | None:
    """What ``source`` says of the picture, without what it says of a file's layout, as a bare TIFF stream.

    In TIFF the two share one directory: EXIF read from there must not bring strip offsets along, and EXIF written there
    must not overwrite them.
    """
    from PIL import Image

    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in source:
            kept[tag] = source[tag]
    for directory in EXIF_DIRECTORIES:
        if entries := source.get_ifd(directory):
            kept[directory] = dict(entries)
    return bare_exif(kept.tobytes()[6:]) if len(kept) else None


def take_orientation(exif: bytes | None, xmp: bytes | None) -> tuple[int, bytes | None, bytes | None]:
    """The orientation, 1 to 8, that EXIF states, else XMP, else 1; and both with it set to 1.

    ``exif`` is a bare TIFF stream. Damaged metadata states nothing and is returned as it is.
    """
    orientation = None
    if exif is not None and (offset := _orientation_offset(exif)) is not None:
        order = "<" if exif[:2] == b"II" else ">"
        (value,) = struct.unpack_from(f"{order}H", exif, offset)
        if 1 <= value <= 8:
            orientation = value
        exif = exif[:offset] + struct.pack(f"{order}H", 1) + exif[offset + 2 :]
    if xmp is not None and (match := _XMP_ORIENTATION.search(xmp)):
        orientation = orientation or int(match[2])
        xmp = _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
    return orientation or 1, exif, xmp


def _orientation_offset(exif: bytes) -> int | None:
    """Where the value of the orientation stands in the first directory of a TIFF stream."""
    order = "<" if exif[:2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _ORIENTATION:
                return entry + 8 if kind == _SHORT and entry + 12 <= len(exif) else None
    except struct.error:
        return None
    return None
