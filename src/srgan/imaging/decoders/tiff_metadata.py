"""What a page of a TIFF says beside its pixels: EXIF gathered from its directories, byte for byte, tags of maps, the
scale; and what of it has to be left out.

Source: TIFF 6.0, EXIF 3.0, OGC GeoTIFF 1.1, GDAL's notes on its own tags.
"""

from __future__ import annotations

from srgan.errors import InvalidImage
from srgan.imaging.decoders.stored import Metadata
from srgan.imaging.decoders.tiff_directory import SIZES, Directory
from srgan.imaging.metadata.descriptions import alone, names_unit, states_scale
from srgan.imaging.metadata.exif_directories import (
    DESCRIPTIVE,
    EXIF,
    GPS,
    INTEROPERABILITY,
    LONG,
    Tree,
    Value,
    lay_out,
    little_endian,
)
from srgan.imaging.metadata.georeference import GEOREFERENCE
from srgan.imaging.metadata.iptc import iptc_of_photoshop, paths_of_photoshop
from srgan.imaging.picture import Density

_KEPT = {285: 2, 297: 3, **GEOREFERENCE}
"""Tags that are kept as they are, or follow the enlargement, and the type that they must have: the name and number of
the page, and those of maps. Nothing else is: a tag that nobody here knows may point into the old file or state a
size."""
_LAYOUT = frozenset(
    {*range(254, 267), 273, 274, *range(277, 285), 286, 287, *range(288, 294), 296, *range(300, 302), *range(317, 326)}
    | {332, 333, 334, *range(336, 344), 347, *range(512, 522), 529, 530, 531, 532, 559, 700, 32995, 32996, 32997}
    | {33723, 34377, 34665, 34675, 34853, 40965, 50341}
)
"""Tags that say how the old file is laid out, that are written anew, or that stand elsewhere in `Metadata`."""
_DESCRIPTION = 270
_SHEET = {37724: "the layers of Photoshop", 52545: "the content credentials (C2PA)", 330: "smaller copies (SubIFDs)"}
_MOST_BYTES = 1 << 25
"""Bytes of all values together."""
_WIDE = {16: "I", 18: "I"}
"""Types of BigTIFF that a TIFF stream of EXIF holds as long numbers."""
_MOST_NAMED = 6


def metadata_of(directory: Directory, *, intact: bool) -> Metadata:
    """``intact``: whether all samples of a pixel are read, as they are.

    Damage is left out and said in ``lost``. Never raises but for a file that cannot be read.
    """
    lost: list[str] = []
    tree = _exif(directory, lost)
    description = tree.get(_DESCRIPTION)
    text = b""
    if isinstance(description, Value):
        follows = directory.next_page()[2] != 0 or directory.place != directory.first
        planar = directory.number(284, 1) == 2 and directory.number(277, 1) > 1
        kept, missing = alone(description.data, follows=follows, intact=intact, planar=planar)
        lost += missing
        text = description.data
        del tree[_DESCRIPTION]
        if kept is not None:
            tree[_DESCRIPTION] = Value(description.kind, len(kept), kept)
    tags = _kept(directory, lost)
    photoshop = directory.content(34377) or b""
    lost += paths_of_photoshop(photoshop)
    _name_unknown(directory, lost)
    dpi, density = _resolution(directory, text)
    return Metadata(
        icc_profile=directory.content(34675),
        exif=lay_out(tree, directory.order) if tree else None,
        xmp=directory.content(700),
        iptc=_iptc(directory) or iptc_of_photoshop(photoshop),
        dpi=dpi,
        density=density,
        tags=tags,
        lost=tuple(lost),
    )


def _exif(directory: Directory, lost: list[str]) -> Tree:
    """What the page's directories say of the picture, apart from the file, in its byte order."""
    room = [_MOST_BYTES]
    tree = _values(directory, room, DESCRIPTIVE)
    for tag in (EXIF, GPS):
        for place in directory.numbers(tag)[:1]:
            try:
                there = directory.elsewhere(place)
                found = _values(there, room)
                for inner in there.numbers(INTEROPERABILITY)[:1] if tag == EXIF else ():
                    found[INTEROPERABILITY] = _values(there.elsewhere(inner), room)
            except InvalidImage:
                lost.append(f"the {'EXIF' if tag == EXIF else 'place (GPS)'}, which is damaged")
                continue
            if found:
                tree[tag] = found
    return tree


def _values(directory: Directory, room: list[int], wanted: frozenset[int] | None = None) -> Tree:
    """The values of a directory (those ``wanted``), as long as there is room: entries may share what stands once."""
    found: Tree = {}
    for tag, entry in directory.entries.items():
        if tag in (EXIF, GPS, INTEROPERABILITY) or (wanted is not None and tag not in wanted):
            continue
        count = entry.count * SIZES[entry.kind]
        data = directory.content(tag) if count <= room[0] else None
        if data is None:
            continue
        room[0] -= count
        kind = entry.kind
        if kind in (16, 17, 18):
            numbers = directory.numbers(tag)
            if len(numbers) != 1 or numbers[0] >= 1 << 32:
                continue
            kind, data = LONG, numbers[0].to_bytes(4, "little" if directory.order == "<" else "big")
        found[tag] = Value(kind, entry.count, data)
    return found


def _kept(directory: Directory, lost: list[str]) -> dict[int, tuple[int, bytes]]:
    found: Tree = {}
    for tag, kind in _KEPT.items():
        entry = directory.entries.get(tag)
        if entry is not None and entry.kind == kind and (data := directory.content(tag)):
            found[tag] = Value(kind, entry.count, data)
    if directory.number(274, 1) != 1 and any(tag in GEOREFERENCE for tag in found):
        lost.append("the georeference, since the picture was turned")
        found = {tag: value for tag, value in found.items() if tag not in GEOREFERENCE}
    turned = little_endian(found, directory.order)
    return {tag: (value.kind, value.data) for tag, value in turned.items() if isinstance(value, Value)}


def _name_unknown(directory: Directory, lost: list[str]) -> None:
    unknown = []
    for tag, entry in directory.entries.items():
        if tag in _SHEET:
            lost.append(_SHEET[tag])
        elif not (tag in _LAYOUT or tag in DESCRIPTIVE or entry.kind == _KEPT.get(tag)):
            unknown.append(tag)
    if unknown:
        import tifffile

        names = [f"{tag} {tifffile.TIFF.TAGS.get(tag, '')}".strip() for tag in unknown[:_MOST_NAMED]]
        more = ["..."] if len(unknown) > _MOST_NAMED else []
        lost.append(f"{len(unknown)} tag{'s' * (len(unknown) > 1)} of TIFF ({', '.join(names + more)})")


def _iptc(directory: Directory) -> bytes | None:
    iptc, entry = directory.content(33723), directory.entries.get(33723)
    if iptc is None or entry is None or entry.kind != LONG or directory.order == "<":
        return iptc
    return b"".join(iptc[at : at + 4][::-1] for at in range(0, len(iptc), 4))  # bytes that were written as words


def _resolution(directory: Directory, text: bytes) -> tuple[tuple[float, float] | None, Density | None]:
    """Pixels per inch, or the scale of a picture that measures something, or the shape of a pixel; ``text`` is its
    description."""
    unit = directory.number(296, 2)
    x, y = directory.ratio(282), directory.ratio(283)
    if not x or not y or not 1 <= unit <= 5:
        return None, None
    if unit in (2, 3) and not states_scale(text):
        return (x * 2.54, y * 2.54) if unit == 3 else (x, y), None
    if unit == 1 and x == y == 1 and not names_unit(text):
        return None, None
    return None, Density(x, y, unit)
