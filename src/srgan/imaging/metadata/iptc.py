"""IPTC records in Photoshop's image resources, the way that JPEG carries them."""

from __future__ import annotations

from collections.abc import Iterator

_JPEG_NAME = b"Photoshop 3.0\0"
_SIGNATURES = (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR")
_IPTC, _FIRST_PATH, _LAST_PATH = 0x0404, 2000, 2997


def iptc_of_photoshop(*segments: bytes) -> bytes | None:
    """The IPTC records (resource 0x0404) in Photoshop's resources; None when there are none.

    ``segments`` are the payloads of JPEG's APP13, in the order of the file, or the one value of TIFF's tag 34377. A
    resource may run on from one segment into the next. What is damaged, and what follows it, is left out.
    """
    return next((data for kind, data in _resources(*segments) if kind == _IPTC and data), None)


def paths_of_photoshop(*segments: bytes) -> list[str]:
    """In words, the resources among Photoshop's that belong to the picture and are kept by nobody here: its paths.

    What else stands there is written anew, describes the old file, or is a setting of the program.
    """
    count = sum(_FIRST_PATH <= kind <= _LAST_PATH for kind, _ in _resources(*segments))
    return [f"{count} path{'s' * (count > 1)} of Photoshop"] if count else []


def _resources(*segments: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each resource, up to one that is damaged."""
    data = b"".join(segment.removeprefix(_JPEG_NAME) for segment in segments)
    at = 0
    while data[at : at + 4] in _SIGNATURES and at + 12 <= len(data):
        name = 1 + data[at + 6]
        size_at = at + 6 + name + name % 2
        size = int.from_bytes(data[size_at : size_at + 4], "big")
        start = size_at + 4
        if start + size > len(data):
            return
        yield int.from_bytes(data[at + 4 : at + 6], "big"), data[start : start + size]
        at = start + size + size % 2


def photoshop_of_iptc(iptc: bytes) -> bytes:
    """The payload of JPEG's APP13 that holds ``iptc``; it may have 65,533 bytes there, which are 65,506 of IPTC."""
    head = _JPEG_NAME + b"8BIM" + _IPTC.to_bytes(2, "big") + b"\0\0" + len(iptc).to_bytes(4, "big")
    return head + iptc + bytes(len(iptc) % 2)
