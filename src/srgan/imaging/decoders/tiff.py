"""TIFF and BigTIFF: what a page is, and who decodes it: `tiff_segments`, or libvips for fax, JPEG and YCbCr.

Source: TIFF 6.0, its technical notes, and the BigTIFF design.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging.decoders.jpeg import check_jpeg
from srgan.imaging.decoders.stored import Faults, Metadata, Rows, Stored
from srgan.imaging.decoders.tiff_directory import SIZES, Directory
from srgan.imaging.decoders.tiff_segments import (
    FLOAT,
    SIGNED,
    UNPACKED,
    UNSIGNED,
    Segments,
    check_segments,
    segment_rows,
)
from srgan.imaging.decoders.vips import open_vips, rows_of
from srgan.imaging.inputs import Limits, warn
from srgan.imaging.metadata.exif import descriptive_exif
from srgan.imaging.metadata.iptc import iptc_of_photoshop

_MOST_IN_ALL = 1 << 20
"""Entries of all directories together, when pages are looked for."""
_MOST_SAMPLES = 16
_MOST_TILE = 10_000
_MOST_TILE_PIXELS = 1 << 24
"""Of a tile that is larger than its picture."""
_MODELS: dict[int, tuple[Literal["GRAY", "RGB", "CMYK"], int]] = {
    0: ("GRAY", 1),
    1: ("GRAY", 1),
    2: ("RGB", 3),
    3: ("RGB", 1),
    5: ("CMYK", 4),
    6: ("RGB", 3),
}
"""By photometric interpretation: what the colours are, and how many samples hold them."""
_OTHER_MODELS = {
    4: "a mask",
    8: "CIE Lab",
    9: "ICC Lab",
    10: "ITU Lab",
    32803: "raw data of a camera",
    32844: "LogL",
    32845: "LogLuv",
    34892: "raw data of a camera",
}
_DEPTHS = {
    UNSIGNED: ("unsigned integers", range(1, 33)),
    SIGNED: ("signed integers", range(2, 33)),
    FLOAT: ("floating point numbers", (16, 24, 32, 64)),
    5: ("complex integers", ()),
    6: ("complex numbers", ()),
}
"""By sample format: what it is called, and the depths that are read."""
_JPEG = 7
_BY_LIBVIPS = (2, 3, 4, _JPEG, 32766, 32771, 32809)
"""Compressions that are left to libvips: fax, JPEG and a few old ones. `UNPACKED` are the others that are read."""
_OTHER_COMPRESSIONS = {
    6: "JPEG of the old style",
    9: "JBIG",
    10: "JBIG",
    22610: "JPEG XR",
    32909: "PixarLog",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34715: "JBIG2",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    34925: "LZMA",
    34926: "an early ZSTD",
    34927: "an early WebP",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}


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
    place = Directory(stream).first
    while place or not places:
        if place in places:
            raise InvalidImage(f"damaged TIFF: after page {len(places)} its pages begin anew; save it again elsewhere")
        if len(places) == limits.max_frames:
            raise LimitExceeded(f"has more than the limit of {limits.max_frames:,} pages")
        directory = Directory(stream, place)
        entries += len(directory)
        if entries > _MOST_IN_ALL:
            raise LimitExceeded(f"has more than {_MOST_IN_ALL:,} tags")
        places[place] = directory.is_page
        place = directory.next_page()[2]
    pages = [place for place, is_page in places.items() if is_page]
    if pages and len(pages) < len(places):
        warn(f"{len(places) - len(pages)} smaller copies or masks of pages are left out.")
    return pages or [*places][:1]


def open_tiff(stream: BinaryIO, limits: Limits, page: int | None = None) -> Stored:
    """The page whose directory stands at ``page``, by default the first. Raises `InvalidImage` and `LimitExceeded`."""
    directory = Directory(stream, page)
    width, height = directory.number(256, 0), directory.number(257, 0)
    limits.check_size(width, height)
    layout = _layout(directory)
    _check_compression(directory, layout)
    known = layout.sample == UNSIGNED and layout.bits <= 16
    deep = layout.bits > 8 and not layout.palette
    unpacked = _is_unpacked(directory)
    top = 255 if layout.palette or not (unpacked or deep) else float((1 << layout.bits) - 1)
    faults = Faults("TIFF", limits.damaged == "keep")
    rows = (_unpacked_rows if unpacked else _rows_by_vips)(stream, directory, layout, faults)
    return Stored(
        format="TIFF",
        width=width,
        height=height,
        model=layout.model,
        alpha=layout.alpha is not None,
        bit_depth=32 if not known else 16 if deep else 8,
        top=top if known else None,
        rows=rows,
        premultiplied=layout.premultiplied,
        inverted=directory.number(262, 1) == 0 and (unpacked or not _turned_by_vips(layout)),
        orientation=directory.number(274, 1) if 1 <= directory.number(274, 1) <= 8 else 1,
        metadata=_metadata(stream, directory),
        faults=faults,
        pages_follow=directory.next_page()[2] != 0,
    )


def _layout(directory: Directory) -> _Layout:
    photometric = directory.number(262, 1)
    if photometric not in _MODELS:
        kind = _OTHER_MODELS.get(photometric, f"colours of an unknown kind ({photometric})")
        raise InvalidImage(f"TIFF that holds {kind} is not supported; save it as RGB")
    model, colours = _MODELS[photometric]
    bits, kinds = directory.numbers(258) or (1,), directory.numbers(339) or (UNSIGNED,)
    samples = directory.number(277, 1)
    if not colours <= samples <= _MOST_SAMPLES:
        raise InvalidImage(f"damaged or truncated TIFF: {samples} samples a pixel")
    if len(set(bits)) > 1 or len(set(kinds)) > 1:
        raise InvalidImage("TIFF whose channels differ in depth is not supported; save it with 8 or 16 bits in all")
    sample = UNSIGNED if kinds[0] == 4 else kinds[0]
    name, depths = _DEPTHS.get(sample, ("numbers of an unknown kind", ()))
    if bits[0] not in depths:
        raise InvalidImage(f"TIFF with {name} of {bits[0]} bits is not supported; save it with 8 or 16 bits a channel")
    if photometric == 5 and directory.number(332, 1) != 1:
        raise InvalidImage("TIFF with inks other than CMYK is not supported; save it as CMYK or RGB")
    tile = (directory.number(322, 1), directory.number(323, 1))
    if not all(1 <= side <= _MOST_TILE for side in tile):
        raise InvalidImage(f"damaged or truncated TIFF: tiles of {tile[0]} x {tile[1]}")
    extra = samples - colours
    meanings = directory.numbers(338)
    if not meanings and extra == 1:
        meanings = (2,)  # the tag was forgotten: what else should it be
    alpha = next((colours + i for i, meaning in enumerate(meanings[:extra]) if meaning in (1, 2)), None)
    if extra > (alpha is not None):
        warn("channels that are neither colour nor alpha are left out.")
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


def _check_compression(directory: Directory, layout: _Layout) -> None:
    """Raises `InvalidImage` for one that is not read here, by its name."""
    compression = directory.number(259, 1)
    name = _OTHER_COMPRESSIONS.get(compression, f"the method {compression}, which is not known here")
    how = "is not supported; save it with Deflate or LZW"
    if compression not in UNPACKED and compression not in _BY_LIBVIPS:
        raise InvalidImage(f"TIFF compressed with {name} {how}")
    if not _is_unpacked(directory):
        if compression in UNPACKED and compression not in (1, 5, 8, 32946, 32773):
            raise InvalidImage(f"TIFF in YCbCr compressed with {name} {how}")
        if layout.bits not in (1, 2, 4, 8, 16):
            raise InvalidImage(f"TIFF with {layout.bits} bits a channel in fax or JPEG {how}")


def _is_unpacked(directory: Directory) -> bool:
    """Whether the page is unpacked here. Colours in YCbCr, of which few pixels have all, are left to libvips."""
    return directory.number(259, 1) in UNPACKED and directory.number(262, 1) != 6


def _channels(layout: _Layout) -> list[int]:
    return [*range(layout.colours), *([] if layout.alpha is None else [layout.alpha])]


def _unpacked_rows(stream: BinaryIO, directory: Directory, layout: _Layout, faults: Faults) -> Rows:
    segments = _segments(directory, layout)
    check_segments(segments)
    channels = _channels(layout)
    palette = _palette(directory, layout) if layout.palette else None

    def chosen(strip: NDArray[Any]) -> NDArray[Any]:
        if palette is None:
            return strip if channels == [*range(strip.shape[2])] else strip[..., channels]
        colours: NDArray[Any] = palette[strip[..., 0]]
        if layout.alpha is None:
            return colours
        alpha = strip[..., layout.alpha, None] * np.float32(255 / ((1 << layout.bits) - 1))
        return np.concatenate([colours, np.rint(alpha).astype(np.uint8)], axis=2)

    return lambda count: map(chosen, segment_rows(stream, segments, count, faults))


def _segments(directory: Directory, layout: _Layout) -> Segments:
    """Raises `InvalidImage` when the tables of strips or tiles are too short, or missing."""
    width, height = directory.number(256, 0), directory.number(257, 0)
    tiled = 322 in directory.entries
    size = (directory.number(322, 1), directory.number(323, 1))
    if not tiled:
        size = (width, min(directory.number(278, height) or height, height))
    elif size[0] * size[1] > max(4 * width * height, _MOST_TILE_PIXELS):
        raise InvalidImage(f"damaged or truncated TIFF: tiles of {size[0]} x {size[1]}")
    samples = directory.number(277, 1)
    wanted = -(-width // size[0]) * -(-height // size[1]) * (samples if layout.planar else 1)
    offsets = directory.numbers(324 if tiled else 273, wanted) or directory.numbers(273, wanted)
    counts = directory.numbers(325 if tiled else 279, wanted) or directory.numbers(279, wanted)
    if not counts and (directory.number(259, 1) == 1 or len(offsets) == 1):
        counts = tuple(max(0, directory.size - place) if len(offsets) == 1 else 0 for place in offsets)
    if min(len(offsets), len(counts)) < wanted:
        raise InvalidImage(f"damaged or truncated TIFF: of its {wanted} {'tiles' if tiled else 'strips'} some are lost")
    return Segments(
        width=width,
        height=height,
        bits=layout.bits,
        sample=layout.sample,
        samples=samples,
        planar=layout.planar,
        big_endian=directory.order == ">",
        compression=directory.number(259, 1),
        predictor=directory.number(317, 1),
        reversed=directory.number(266, 1) == 2,
        size=size,
        tiled=tiled,
        offsets=offsets,
        counts=counts,
    )


def _palette(directory: Directory, layout: _Layout) -> NDArray[np.uint8]:
    """The colours, number x 3. Some writers state them in 8 bits, not in 16."""
    count = 1 << layout.bits
    stated = directory.numbers(320, 3 * count)
    if layout.bits > 16 or layout.sample != UNSIGNED or len(stated) < 3 * count:
        raise InvalidImage("damaged or truncated TIFF: its palette is too short")
    values = np.array(stated, np.uint32).reshape(3, count).T
    return (values if values.max() < 256 else values >> 8).astype(np.uint8)


def _rows_by_vips(stream: BinaryIO, directory: Directory, layout: _Layout, faults: Faults) -> Rows:
    channels = _channels(layout)
    patches = _first_page(directory) + _patches(directory, layout)

    def chosen(strip: NDArray[Any]) -> NDArray[Any]:
        if layout.palette:
            return np.broadcast_to(strip, (*strip.shape[:2], 3)) if strip.shape[2] == 1 else strip
        return strip if channels == [*range(strip.shape[2])] else strip[..., channels]

    def rows(count: int) -> Iterator[NDArray[Any]]:
        if directory.number(259, 1) == _JPEG:
            _check_jpegs(stream, directory, layout, faults)
        level = "none" if faults.keep else "warning"
        opened = open_vips(stream, "tiffload", fail_on=level, patches=patches, page=0, n=1, unlimited=True)
        image = opened.image
        size = image.width, image.height
        if size != (directory.number(256, 0), directory.number(257, 0)) or image.bands < len(channels):
            raise InvalidImage("damaged or truncated TIFF: its tags contradict each other")
        yield from map(chosen, rows_of(opened, count, faults))

    return rows


def _check_jpegs(stream: BinaryIO, directory: Directory, layout: _Layout, faults: Faults) -> None:
    """Each strip or tile is a JPEG stream, without the tables that all share."""
    segments = _segments(directory, layout)
    tables = directory.content(347) or b""
    shared = tables[2:-2] if tables[:2] == b"\xff\xd8" and tables[-2:] == b"\xff\xd9" else b""
    for number, (place, count) in enumerate(zip(segments.offsets, segments.counts, strict=True), 1):
        stream.seek(place)
        data = stream.read(min(count, max(0, directory.size - place)))
        name = f"{'tile' if segments.tiled else 'strip'} {number} of {len(segments.offsets)}"
        check_jpeg(data[:2] + shared + data[2:], faults, name)


def _first_page(directory: Directory) -> list[tuple[int, bytes]]:
    """What makes the page the first one of its file to those who read it."""
    if directory.place == directory.first:
        return []
    width = 8 if directory.big else 4
    return [(width, directory.place.to_bytes(width, "little" if directory.order == "<" else "big"))]


def _turned_by_vips(layout: _Layout) -> bool:
    """Whether libvips itself turns over a picture whose zero is white."""
    return layout.sample == UNSIGNED and layout.bits in (1, 2, 4, 8, 16)


def _patches(directory: Directory, layout: _Layout) -> list[tuple[int, bytes]]:
    """What libvips shall see otherwise than it stands in the file."""
    patches = []
    entry = directory.entries.get(338)
    if layout.premultiplied and layout.alpha is not None and entry is not None:
        # It would divide by alpha in integers, rounded down: to it, alpha is straight.
        width = SIZES[entry.kind]
        straight = (2).to_bytes(width, "little" if directory.order == "<" else "big")
        patches.append((entry.place + width * (layout.alpha - layout.colours), straight))
    entry = directory.entries.get(262)
    if entry is not None and directory.number(262, 1) == 0 and not _turned_by_vips(layout):
        patches.append((entry.place, (1).to_bytes(SIZES[entry.kind], "little" if directory.order == "<" else "big")))
    place, width, following = directory.next_page()
    if following:  # It would go through all the pages, however many there are or where they lead.
        patches.append((place, bytes(width)))
    return patches


def _metadata(stream: BinaryIO, directory: Directory) -> Metadata:
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


def _exif(stream: BinaryIO, directory: Directory) -> bytes | None:
    from PIL import Image

    exif = Image.Exif()
    exif.endian = directory.order
    exif.bigtiff = directory.big
    try:
        exif.load_from_fp(stream, directory.place)
        return descriptive_exif(exif)
    except Exception as error:  # whatever is wrong with it, the picture can be read without
        warn(f"the EXIF is damaged and was left out: {error}")
        return None
