"""TIFF and BigTIFF: the directory of a page read with every bound checked, and the pixels through libvips.

Source: TIFF 6.0, its technical notes, and the BigTIFF design.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging.decoders.stored import Metadata, Rows, Stored
from srgan.imaging.decoders.vips import open_vips, patched, rows_of
from srgan.imaging.inputs import Limits
from srgan.imaging.metadata.exif import descriptive_exif
from srgan.imaging.metadata.iptc import iptc_of_photoshop

_log = logging.getLogger(__name__)

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value of each type."""
_WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_MOST_ENTRIES = 4096
_MOST_IN_ALL = 1 << 20
"""Entries of all directories together, when pages are looked for."""
_MOST_BYTES = 1 << 25
"""Bytes of one tag that is kept as metadata."""
_MOST_SAMPLES = 16
_MOST_TILE = 10_000
_SUBFILE, _NO_PAGE = 254, 1 | 4
"""`NewSubfileType`, and its bits for smaller copies and for masks."""
_MODELS: dict[int, tuple[Literal["GRAY", "RGB", "CMYK"], int]] = {
    0: ("GRAY", 1),
    1: ("GRAY", 1),
    2: ("RGB", 3),
    3: ("RGB", 1),
    5: ("CMYK", 4),
    6: ("RGB", 3),
}
"""By photometric interpretation: what the colours are, and how many samples hold them."""
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    place: int
    """Where its values stand in the file."""


class _Directory:
    """The directory at ``place`` of a file, or its first one. Raises `InvalidImage` when it is none that can be."""

    def __init__(self, stream: BinaryIO, place: int | None = None) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(16)
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = head[2:4] in (b"+\0", b"\0+")
        self.first = self._number(head[8:16] if self.big else head[4:8])
        self.place = self.first if place is None else place
        self._places = self._entry_places(self.place)

    @cached_property
    def entries(self) -> dict[int, _Entry]:
        """The tags whose values stand in the file."""
        entries: dict[int, _Entry] = {}
        for place in self._places:
            raw = self._at(place, 20 if self.big else 12)
            tag, kind = struct.unpack_from(f"{self.order}HH", raw)
            count = self._number(raw[4:12] if self.big else raw[4:8])
            room = 8 if self.big else 4
            inline = place + (12 if self.big else 8)
            length = count * _SIZES.get(kind, 1)
            where = inline if length <= room else self._number(raw[-room:])
            if kind in _SIZES and count > 0 and where + length <= self.size:
                entries.setdefault(tag, _Entry(kind, count, where))
        return entries

    @property
    def is_page(self) -> bool:
        """Whether it describes a picture of its own, not a smaller copy of another or a mask. No tag is looked at but
        the one that says so."""
        step = self._places.step
        tags = np.frombuffer(self._at(self._places.start, len(self._places) * step), f"{self.order}u2")[:: step // 2]
        return not (_SUBFILE in tags and self.number(_SUBFILE, 0) & _NO_PAGE)

    def __len__(self) -> int:
        return len(self._places)

    def _number(self, raw: bytes) -> int:
        if len(raw) not in (2, 4, 8):
            raise InvalidImage("damaged or truncated TIFF: cut short")
        return int.from_bytes(raw, "little" if self.order == "<" else "big")

    def _at(self, place: int, count: int) -> bytes:
        if place + count > self.size:
            raise InvalidImage("damaged or truncated TIFF: a directory outside the file")
        self._stream.seek(place)
        return self._stream.read(count)

    def _entry_places(self, place: int) -> range:
        width, step = (8, 20) if self.big else (2, 12)
        count = self._number(self._at(place, width))
        if count > _MOST_ENTRIES:
            raise InvalidImage(f"damaged or truncated TIFF: a directory of {count:,} entries")
        return range(place + width, place + width + step * count, step)

    def next_page(self) -> tuple[int, int, int]:
        """Where the place of the next directory stands, in how many bytes, and what stands there; 0: no more."""
        end = self._places.stop
        width = 8 if self.big else 4
        return end, width, self._number(self._at(end, width)) if end + width <= self.size else 0

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The values of a tag of whole numbers, 64 at most; empty when it is absent."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _WHOLE:
            return ()
        count = min(entry.count, 64)
        code = f"{self.order}{count}{_WHOLE[entry.kind]}"
        return struct.unpack(code, self._at(entry.place, struct.calcsize(code)))

    def number(self, tag: int, default: int) -> int:
        return next(iter(self.numbers(tag)), default)

    def content(self, tag: int) -> bytes | None:
        """The bytes of a tag; None when it is absent or too large."""
        entry = self.entries.get(tag)
        if entry is None or entry.count * _SIZES[entry.kind] > _MOST_BYTES:
            return None
        return self._at(entry.place, entry.count * _SIZES[entry.kind])

    def ratio(self, tag: int) -> float | None:
        entry = self.entries.get(tag)
        if entry is None or entry.kind != 5:
            return None
        above, below = struct.unpack(f"{self.order}II", self._at(entry.place, 8))
        return above / below if below else None


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """What the samples of a pixel are."""

    model: Literal["GRAY", "RGB", "CMYK"]
    bits: int
    sample: int
    colours: int
    """Samples that make up the colour."""
    alpha: int | None
    """Which sample is the opacity."""
    premultiplied: bool
    palette: bool
    planar: bool


def pages_of(stream: BinaryIO, limits: Limits) -> list[int]:
    """Where the directory of each page stands, in order; never empty. No pixel is decoded.

    Smaller copies of a page and masks are no pages; of a file that has nothing else, the first directory is the page.
    Raises `InvalidImage` for directories that lead back or out of the file, since nobody can say which pages are lost
    then, and `LimitExceeded` for more of them than ``limits.max_frames``.
    """
    places: dict[int, bool] = {}
    entries = 0
    place = _Directory(stream).first
    while place or not places:
        if place in places:
            raise InvalidImage(f"damaged TIFF: after page {len(places)} its pages begin anew; save it again elsewhere")
        if len(places) == limits.max_frames:
            raise LimitExceeded(f"has more than the limit of {limits.max_frames:,} pages")
        directory = _Directory(stream, place)
        entries += len(directory)
        if entries > _MOST_IN_ALL:
            raise LimitExceeded(f"has more than {_MOST_IN_ALL:,} tags")
        places[place] = directory.is_page
        place = directory.next_page()[2]
    pages = [place for place, is_page in places.items() if is_page]
    if pages and len(pages) < len(places):
        _log.warning("%d smaller copies or masks in the TIFF are left out.", len(places) - len(pages))
    return pages or [*places][:1]


def open_tiff(stream: BinaryIO, limits: Limits, page: int | None = None) -> Stored:
    """The page whose directory stands at ``page``, by default the first. Raises `InvalidImage` and `LimitExceeded`."""
    directory = _Directory(stream, page)
    width, height = directory.number(256, 0), directory.number(257, 0)
    limits.check_size(width, height)
    layout = _layout(directory)
    known = layout.sample == _UNSIGNED and layout.bits <= 16
    return Stored(
        format="TIFF",
        width=width,
        height=height,
        model=layout.model,
        alpha=layout.alpha is not None,
        bit_depth=32 if not known else 16 if layout.bits > 8 else 8,
        top=None if not known else 255 if layout.bits <= 8 else float((1 << layout.bits) - 1),
        rows=_rows(stream, directory, layout, (height, width)),
        premultiplied=layout.premultiplied,
        inverted=directory.number(262, 1) == 0 and not _turned_by_vips(layout),
        orientation=directory.number(274, 1) if 1 <= directory.number(274, 1) <= 8 else 1,
        metadata=_metadata(stream, directory),
        pages_follow=directory.next_page()[2] != 0,
    )


def _layout(directory: _Directory) -> _Layout:
    photometric = directory.number(262, 1)
    if photometric not in _MODELS:
        raise InvalidImage(f"TIFF with colours of the kind {photometric} is not supported; save it as RGB")
    model, colours = _MODELS[photometric]
    bits, kinds = directory.numbers(258) or (1,), directory.numbers(339) or (_UNSIGNED,)
    samples = directory.number(277, 1)
    if not colours <= samples <= _MOST_SAMPLES:
        raise InvalidImage(f"damaged or truncated TIFF: {samples} samples a pixel")
    if len(set(bits)) > 1 or len(set(kinds)) > 1:
        raise InvalidImage("TIFF whose channels differ in depth is not supported")
    sample = _UNSIGNED if kinds[0] == 4 else kinds[0]
    depths = {_UNSIGNED: (1, 2, 4, 8, 12, 16, 32), _SIGNED: (8, 16, 32), _FLOAT: (16, 32, 64)}
    if bits[0] not in depths.get(sample, ()):
        raise InvalidImage(f"TIFF with {bits[0]} bits a channel of the kind {sample} is not supported")
    if photometric == 5 and directory.number(332, 1) != 1:
        raise InvalidImage("TIFF with inks other than CMYK is not supported")
    tile = (directory.number(322, 1), directory.number(323, 1))
    if not all(1 <= side <= _MOST_TILE for side in tile):
        raise InvalidImage(f"damaged or truncated TIFF: tiles of {tile[0]} x {tile[1]}")
    extra = samples - colours
    meanings = directory.numbers(338)
    if not meanings and extra == 1:
        meanings = (2,)  # the tag was forgotten: what else should it be
    alpha = next((colours + i for i, meaning in enumerate(meanings[:extra]) if meaning in (1, 2)), None)
    if extra > (alpha is not None):
        _log.warning("Channels that are neither colour nor alpha are left out.")
    return _Layout(
        model=model,
        bits=bits[0],
        sample=sample,
        colours=colours,
        alpha=alpha,
        premultiplied=alpha is not None and meanings[alpha - colours] == 1,
        palette=photometric == 3,
        planar=directory.number(284, 1) == 2,
    )


def _rows(stream: BinaryIO, directory: _Directory, layout: _Layout, size: tuple[int, int]) -> Rows:
    channels = [*range(layout.colours), *([] if layout.alpha is None else [layout.alpha])]

    def chosen(strip: NDArray[Any]) -> NDArray[Any]:
        if layout.palette:
            return np.broadcast_to(strip, (*strip.shape[:2], 3)) if strip.shape[2] == 1 else strip
        return strip if channels == [*range(strip.shape[2])] else strip[..., channels]

    if layout.bits == 64 or (layout.bits == 16 and layout.sample == _FLOAT and layout.planar):
        return lambda count: map(chosen, _by_tifffile(_alone(stream, directory), size, count, planar=layout.planar))
    if layout.bits == 12:
        return lambda count: _by_pillow(_alone(stream, directory), count)
    patches = _first_page(directory) + _patches(directory, layout)

    def rows(count: int) -> Iterator[NDArray[Any]]:
        opened = open_vips(stream, "tiffload", patches=patches, page=0, n=1, unlimited=True)
        image = opened.image
        if (image.height, image.width) != size or image.bands < len(channels):
            raise InvalidImage("damaged or truncated TIFF: its tags contradict each other")
        return map(chosen, rows_of(opened, count))

    return rows


def _first_page(directory: _Directory) -> list[tuple[int, bytes]]:
    """What makes the page the first one of its file to those who read it."""
    if directory.place == directory.first:
        return []
    width = 8 if directory.big else 4
    return [(width, directory.place.to_bytes(width, "little" if directory.order == "<" else "big"))]


def _alone(stream: BinaryIO, directory: _Directory) -> BinaryIO:
    """``stream`` with the page as the first one; the file is copied into memory where it is another."""
    patches = _first_page(directory)
    return io.BytesIO(patched(stream, patches)) if patches else stream


def _turned_by_vips(layout: _Layout) -> bool:
    """Whether libvips itself turns over a picture whose zero is white."""
    return layout.sample == _UNSIGNED and layout.bits in (1, 2, 4, 8, 16)


def _patches(directory: _Directory, layout: _Layout) -> list[tuple[int, bytes]]:
    """What libvips shall see otherwise than it stands in the file."""
    patches = []
    entry = directory.entries.get(338)
    if layout.premultiplied and layout.alpha is not None and entry is not None:
        # It would divide by alpha in integers, rounded down: to it, alpha is straight.
        width = _SIZES[entry.kind]
        straight = (2).to_bytes(width, "little" if directory.order == "<" else "big")
        patches.append((entry.place + width * (layout.alpha - layout.colours), straight))
    entry = directory.entries.get(262)
    if entry is not None and directory.number(262, 1) == 0 and not _turned_by_vips(layout):
        patches.append((entry.place, (1).to_bytes(_SIZES[entry.kind], "little" if directory.order == "<" else "big")))
    place, width, following = directory.next_page()
    if following:  # It would go through all the pages, however many there are or where they lead.
        patches.append((place, bytes(width)))
    return patches


def _by_tifffile(stream: BinaryIO, size: tuple[int, int], count: int, *, planar: bool) -> Iterator[NDArray[Any]]:
    """For what libvips cannot read. The page is decoded whole."""
    import tifffile

    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages.first
        values = page.asarray(maxworkers=1).squeeze()
        samples = page.samplesperpixel
    values = values.reshape((samples, *size)).transpose(1, 2, 0) if planar else values.reshape((*size, samples))
    return (values[top : top + count] for top in range(0, size[0], count))


def _by_pillow(stream: BinaryIO, count: int) -> Iterator[NDArray[Any]]:
    """Gray of twelve bits, as some scanners write it."""
    from PIL import TiffImagePlugin

    stream.seek(0)
    image = TiffImagePlugin.TiffImageFile(stream)
    if not image.mode.startswith("I;16"):
        raise InvalidImage("TIFF with 12 bits a channel is supported for gray only")
    values = np.asarray(image)[..., None]
    return (values[top : top + count] for top in range(0, len(values), count))


def _metadata(stream: BinaryIO, directory: _Directory) -> Metadata:
    unit = {2: 1.0, 3: 2.54}.get(directory.number(296, 2))
    x, y = directory.ratio(282), directory.ratio(283)
    iptc = directory.content(33723)
    entry = directory.entries.get(33723)
    if iptc is not None and entry is not None and entry.kind == 4 and directory.order == ">":
        iptc = np.frombuffer(iptc, ">u4").astype("<u4").tobytes()  # bytes that were written as words
    return Metadata(
        icc_profile=directory.content(34675),
        exif=_exif(stream, directory),
        xmp=directory.content(700),
        iptc=iptc or iptc_of_photoshop(directory.content(34377) or b""),
        dpi=(x * unit, y * unit) if unit and x and y else None,
    )


def _exif(stream: BinaryIO, directory: _Directory) -> bytes | None:
    from PIL import Image

    exif = Image.Exif()
    exif.endian = directory.order
    exif.bigtiff = directory.big
    try:
        exif.load_from_fp(stream, directory.place)
        return descriptive_exif(exif)
    except Exception as error:  # whatever is wrong with it, the picture can be read without
        _log.warning("The EXIF is damaged and was left out: %s", error)
        return None
