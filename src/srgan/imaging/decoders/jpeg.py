"""JPEG: decoded by libvips, and its scan held to what libjpeg says of it.

libjpeg goes on whatever it finds, and only warns. In a scan that is read as it comes it never looks at what is left
over after the last block, which is the commonest trace of a damaged one. So the scan is decoded once more without
its last bytes: where nothing is left over, they are missed.

Source: ITU-T T.81, annex B; JFIF 1.02.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from numpy.typing import NDArray

from srgan.errors import InvalidImage
from srgan.imaging.decoders.pillow import metadata_of, open_image, stored_of
from srgan.imaging.decoders.stored import Faults, Stored
from srgan.imaging.decoders.vips import Opened, Undecodable, open_vips, patched, rows_of
from srgan.imaging.inputs import Limits

_Patch = tuple[int, bytes]

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
"""Sequential and progressive, by Huffman and by arithmetic codes."""
_STRANGE = {0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical", 0xCB: "lossless"}
_SEQUENTIAL = {0xC0, 0xC1}
_START, _END, _SCAN, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
_ALONE = {0x01, _START, *range(0xD0, 0xD8)}
"""Markers that nothing belongs to."""
_NEXT = re.compile(rb"\xff[\x01-\xfe]")
_NEXT_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_LAST = 2
"""Bytes that are taken away from the end of a scan. One would do, but for those that hold nothing but the padding."""
_CHECK_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class _Structure:
    frame: int
    """The marker of its kind."""
    patches: tuple[_Patch, ...]
    """What makes libjpeg say nothing of metadata and of bytes between the segments."""
    last: int | None
    """Where the last byte of the only scan stands; None where there are several, and libjpeg reads to their end."""


def open_jpeg(stream: BinaryIO, limits: Limits) -> Stored:
    """Raises `InvalidImage`, also for a kind of JPEG that libjpeg does not decode, and `LimitExceeded`."""
    structure = _structure(patched(stream, ()))
    image = open_image(stream, "JPEG")
    width, height = image.size
    limits.check_size(width, height)
    faults = Faults("JPEG", limits.damaged == "keep")

    def rows(count: int) -> Iterator[NDArray[Any]]:
        opened = _opened(stream, structure.patches, keep=faults.keep)
        if (opened.image.width, opened.image.height) != (width, height):
            raise InvalidImage(f"damaged or truncated JPEG: two sizes, {width} x {height} and another")
        _check_end(stream, structure, faults)
        yield from rows_of(opened, count, faults)

    return dataclasses.replace(
        stored_of(image, "JPEG", metadata_of(image.info, getattr(image, "applist", ()))), rows=rows, faults=faults
    )


def check_jpeg(data: bytes, faults: Faults, name: str) -> None:
    """Hold the JPEG stream ``data``, which is called ``name``, to what libjpeg says of it. Its pixels are not kept."""
    inner = Faults(faults.kind, keep=True)
    try:
        structure = _structure(data)
        for _ in rows_of(_opened(io.BytesIO(data), structure.patches, keep=True), _CHECK_ROWS, inner):
            pass
        _check_end(io.BytesIO(data), structure, inner)
    except Undecodable as error:
        inner.report(str(error))
    for fault in inner.found:
        faults.report(f"{name}: {fault}")


def _opened(stream: BinaryIO, patches: Sequence[_Patch], *, keep: bool) -> Opened:
    return open_vips(stream, "jpegload", fail_on="none" if keep else "warning", patches=patches)


def _check_end(stream: BinaryIO, structure: _Structure, faults: Faults) -> None:
    """Whether bytes of the scan are left over after its last block."""
    if structure.last is None:
        return
    shorter = (*structure.patches, (structure.last + 1 - _LAST, b"\xff\xd9"))
    missed = Faults("JPEG", keep=True)
    with suppress(Undecodable):  # what is wrong otherwise, the scan itself shows
        for _ in rows_of(_opened(stream, shorter, keep=True), _CHECK_ROWS, missed):
            pass
    if not missed.found:
        faults.report("data continues after the last block")


def _structure(data: Any) -> _Structure:
    """Raises `InvalidImage` where there is no scan, or one that cannot be decoded here."""
    place, frame, components = 2, 0, 0
    patches: list[_Patch] = []
    while (found := _NEXT.search(data, place)) is not None:
        if found.start() > place:
            patches.append((place, b"\xff" * (found.start() - place)))  # before a marker they mean nothing
        marker, place = data[found.start() + 1], found.end()
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        body = data[place + 2 : place + length]
        if marker == _END or len(body) != length - 2:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame, components = marker, _components(marker, body)
        elif marker == _SCAN:
            return _with_scan(data, place + length, frame, tuple(patches), alone=body[:1] == bytes([components]))
        patches += _quiet(marker, body, place)
        place += length
    raise InvalidImage("damaged or truncated JPEG: no picture in it")


def _components(marker: int, body: bytes) -> int:
    """Of a frame that can be decoded."""
    if len(body) < 6:
        raise InvalidImage("damaged or truncated JPEG: its header is cut short")
    again = "is not supported; save it as a common JPEG or as PNG"
    if marker not in _FRAMES:
        raise InvalidImage(f"{_STRANGE.get(marker, 'hierarchical or lossless')} JPEG {again}")
    if body[0] != 8:
        raise InvalidImage(f"JPEG of {body[0]} bits a channel {again}")
    if body[5] not in (1, 3, 4):
        raise InvalidImage(f"JPEG of {body[5]} channels {again}")
    if body[1:3] == b"\0\0":
        raise InvalidImage(f"JPEG that states its height after its pixels {again}")
    return body[5]


def _quiet(marker: int, body: bytes, place: int) -> list[_Patch]:
    """What libjpeg and libvips need not see: all metadata, and a version of JFIF that they would only warn of."""
    if marker == 0xE0:
        return [(place + 7, b"\1")] if body[:5] == b"JFIF\0" and body[5:6] != b"\1" else []
    return [(place - 1, bytes([_COMMENT]))] if 0xE1 <= marker <= 0xEF and marker != 0xEE else []


def _with_scan(data: Any, start: int, frame: int, patches: tuple[_Patch, ...], *, alone: bool) -> _Structure:
    """Padding before the end of the picture, zeros or ones, is no data."""
    last = None
    if alone and frame in _SEQUENTIAL:
        end = _NEXT_IN_SCAN.search(data, start)
        if end is not None and data[end.start() + 1] == _END:
            last = start + len(data[start : end.start()].rstrip(b"\0\xff")) - 1
    return _Structure(frame=frame, patches=patches, last=last if last is not None and last > start else None)
