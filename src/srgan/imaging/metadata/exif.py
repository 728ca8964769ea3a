"""EXIF of a picture that changes: its orientation, its size, its thumbnail, and what to leave out where room is short.

All of it patches bytes in place as far as it can, so that maker notes, whose offsets only their makers know, and
whatever else a camera wrote survive byte for byte. What comes from strangers may say anything: nothing here raises on
it, and nothing takes longer or grows larger than a few times the bytes that came.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from srgan.imaging.metadata.exif_directories import (
    EXIF,
    GPS,
    KIND_BYTES,
    LONG,
    MAKER_NOTE,
    WHOLE,
    Entry,
    Tree,
    Value,
    byte_order,
    directories,
    entries,
    first_directory,
    lay_out,
    number,
    tree_of,
)
from srgan.imaging.metadata.xmp import take_xmp_orientation

_ORIENTATION = 0x0112
_SIZES = {0: (0x0101, 0x0100), EXIF: (0xA003, 0xA002)}
"""Tags of height and width in the first directory and in that of EXIF."""
_SUBJECT = (0x9214, 0xA214)
"""Tags of the place of the subject: its middle, in pixels, and perhaps a diameter or width and height."""
_ON_SENSOR = (0xA20E, 0xA20F)
"""Tags of the pixels in a length on the sensor, across and down."""
_SHORT, _RATIO = 3, 5
_OF_A_FILE = (0x0111, 0x0117, 0x0144, 0x0145, 0x014A, 0x0201, 0x0202)
"""Tags that point to pixels."""
_NAMES = {0x010E: "description", MAKER_NOTE: "maker note", 0x9286: "user comment", 0x9C9C: "comment"}
_MOST_PICTURES = 16
"""Further directories in the chain that are looked at; EXIF has one, that of the thumbnail."""


def bare_exif(exif: bytes) -> bytes | None:
    """``exif`` without the ``Exif`` prefix that JPEG puts before the TIFF stream; None when it is no TIFF stream."""
    if exif.startswith(b"Exif\0"):
        exif = exif[6:]
    return exif if exif[:4] in (b"II*\0", b"MM\0*") else None


def take_orientation(exif: bytes | None, xmp: bytes | None) -> tuple[int, bytes | None, bytes | None]:
    """The orientation, 1 to 8, that EXIF states, else XMP, else 1; and both with it set to 1.

    ``exif`` is a bare TIFF stream. Damaged metadata states nothing and is returned as it is.
    """
    orientation = None
    if exif is not None:
        out = bytearray(exif)
        for entry in entries(exif, first_directory(exif))[0]:
            if entry.tag == _ORIENTATION and (value := number(exif, entry)) is not None:
                if orientation is None and 1 <= value <= 8:
                    orientation = value
                _put_number(out, entry, 1)
        exif = bytes(out)
    if xmp is not None:
        stated, xmp = take_xmp_orientation(xmp)
        orientation = orientation or stated
    return orientation or 1, exif, xmp


def resized_exif(exif: bytes, size: tuple[int, int], before: tuple[int, int]) -> bytes:
    """``exif`` of a picture that had ``before`` (height, width) and now has ``size``: where it states sizes they are
    the new ones, pixels on the sensor and the place of the subject follow, it is upright, and the thumbnail is gone
    (see `without_thumbnail`). All else is byte for byte as it was."""
    exif = take_orientation(exif, None)[1] or b""
    out = bytearray(exif)
    down, across = size[0] / before[0], size[1] / before[1]
    for directory, _, here in directories(exif):
        wanted = dict(zip(_SIZES.get(directory, ()), size, strict=False))
        for entry in here:
            if entry.tag in wanted and number(exif, entry) is not None:
                _put_number(out, entry, wanted[entry.tag])
            if directory == EXIF and entry.tag in _SUBJECT and entry.kind == _SHORT:
                factors = (across, down, across, down)
                places = struct.unpack_from(f"{byte_order(exif)}{entry.count}H", exif, entry.start)
                moved = [min(round(place * factor), 0xFFFF) for place, factor in zip(places, factors, strict=False)]
                struct.pack_into(f"{byte_order(exif)}{len(moved)}H", out, entry.start, *moved)
            elif directory == EXIF and entry.tag in _ON_SENSOR and entry.kind == _RATIO and entry.count == 1:
                factor = across if entry.tag == _ON_SENSOR[0] else down
                _scale_ratio(out, entry, factor)
    return without_thumbnail(bytes(out))


def _scale_ratio(out: bytearray, entry: Entry, factor: float) -> None:
    above, below = struct.unpack_from(f"{byte_order(out)}II", out, entry.start)
    if not above or not below:
        return
    wanted = Fraction(above, below) * Fraction(factor).limit_denominator(1 << 16)
    most = (1 << 32) - 1
    found = wanted.limit_denominator(most if wanted < 1 else max(1, int(most / wanted)))
    if found.numerator > most:
        return
    struct.pack_into(f"{byte_order(out)}II", out, entry.start, found.numerator, found.denominator)


def turned_exif(exif: bytes, orientation: int, size: tuple[int, int]) -> bytes:
    """``exif`` of a picture of ``size`` (height, width, as stored) that was turned upright from ``orientation``: the
    place of the subject is where the subject is now. All else is byte for byte as it was."""
    out = bytearray(exif)
    order = byte_order(exif)
    for directory, _, here in directories(exif) if orientation > 1 else ():
        for entry in here:
            if directory != EXIF or entry.tag not in _SUBJECT or entry.kind != _SHORT or not 2 <= entry.count <= 4:
                continue
            x, y, *sides = struct.unpack_from(f"{order}{entry.count}H", exif, entry.start)
            if orientation in (3, 4, 6, 7):
                y = max(size[0] - 1 - y, 0)
            if orientation in (2, 3, 7, 8):
                x = max(size[1] - 1 - x, 0)
            turned = (y, x, *sides[::-1]) if orientation >= 5 else (x, y, *sides)
            struct.pack_into(f"{order}{entry.count}H", out, entry.start, *turned)
    return bytes(out)


def description_of(exif: bytes) -> bytes | None:
    """The description of the picture, as it stands in the first directory."""
    entry = _description(exif)
    return exif[entry.start : entry.stop] if entry else None


def with_description(exif: bytes, text: bytes | None) -> bytes:
    """``exif``, which has a description, with another one, or without. Nothing that stays is moved but entries of the
    first directory."""
    entry = _description(exif)
    if entry is None:
        return exif
    order, out = byte_order(exif), bytearray(exif)
    out[entry.start : entry.stop] = bytes(entry.stop - entry.start)
    if text is not None:
        text = text if text.endswith(b"\0") else text + b"\0"
        start = entry.start if 4 < len(text) <= entry.stop - entry.start else len(out) + len(out) % 2
        if len(text) <= 4:
            start = entry.at + 8
        else:
            struct.pack_into(f"{order}I", out, entry.at + 8, start)
        out += bytes(max(0, start + len(text) - len(out)))
        out[start : start + len(text)] = text
        struct.pack_into(f"{order}I", out, entry.at + 4, len(text))
        return bytes(out)
    directory = first_directory(exif)
    (count,) = struct.unpack_from(f"{order}H", out, directory)
    stop = min(directory + 2 + 12 * count + 4, len(out))
    out[entry.at : stop] = out[entry.at + 12 : stop] + bytes(12)
    struct.pack_into(f"{order}H", out, directory, count - 1)
    return bytes(out)


def _description(exif: bytes) -> Entry | None:
    return next(
        (e for e in entries(exif, first_directory(exif))[0] if e.tag == 0x010E and KIND_BYTES[e.kind] == 1), None
    )


def without_thumbnail(exif: bytes) -> bytes:
    """``exif`` without the chain of directories after the first, which describe thumbnails.

    They are unlinked and their bytes are overwritten with zeros, so that no old picture can be dug out again; at the
    end of the stream they are cut off. Nothing that stays is moved. Bytes that another directory claims stay, too.
    """
    start = first_directory(exif)
    pointer = entries(exif, start)[1]
    order = byte_order(exif)
    if pointer is None or not (following := struct.unpack_from(f"{order}I", exif, pointer)[0]):
        return exif
    claimed: list[tuple[int, int]] = []
    seen = {start}
    while following not in seen and len(seen) <= _MOST_PICTURES:
        seen.add(following)
        here, after = entries(exif, following)
        claimed += _places(following, here, exif)
        claimed += _pixels(here, exif)
        following = struct.unpack_from(f"{order}I", exif, after)[0] if after else 0
    kept = [(0, 8)]
    for _, offset, here in directories(exif):
        kept += _places(offset, here, exif)
    out = bytearray(exif)
    out[pointer : pointer + 4] = bytes(4)
    _clear(out, claimed, kept)
    end = max(stop for _, stop in kept)
    return bytes(out[: max(end + end % 2, len(out.rstrip(b"\0")))])


def fit_exif(exif: bytes, most: int) -> tuple[bytes | None, list[str]]:
    """``exif`` in at most ``most`` bytes, and what had to go for it, in words; None when nothing is left.

    The thumbnail goes first; then the stream is laid out anew without gaps, the maker note where it was if that can be;
    then the maker note goes, then the largest value, one after the other, those of GPS last.
    """
    if len(exif) <= most:
        return exif, []
    slim = without_thumbnail(exif)
    lost = [] if slim == exif else ["thumbnail"]
    fitting: bytes | None = slim
    if len(slim) > most:
        tree = tree_of(slim)
        for tag in _OF_A_FILE:
            tree.pop(tag, None)
        lost += _thin_out(tree, most)
        fitting = _stream(tree, slim, most) if tree else None
    if len(lost) > 8:
        lost = [*lost[:8], f"{len(lost) - 8} more"]
    return fitting, lost


def _thin_out(tree: Tree, most: int) -> list[str]:
    """Take values out of ``tree`` until it surely fits into ``most`` bytes; say which."""
    parts = [tree, *(value for value in tree.values() if isinstance(value, dict))]
    parts += [value for part in parts[1:] for value in part.values() if isinstance(value, dict)]
    values = [(tag, value, part) for part in parts for tag, value in part.items() if isinstance(value, Value)]
    place = tree.get(GPS)  # where the picture was taken is short and dear: it goes last
    values.sort(key=lambda found: (found[0] == MAKER_NOTE, found[2] is not place, len(found[1].data)))
    size = 8 + 32 * len(parts) + sum(_room(value) for _, value, _ in values)
    lost = []
    while size > most and values:
        tag, value, part = values.pop()
        size -= _room(value)
        del part[tag]
        lost.append(f"GPS tag {tag}" if part is place else _NAMES.get(tag, f"tag 0x{tag:04X}"))
    for part in reversed(parts):
        for tag in [tag for tag, value in part.items() if value == {}]:
            del part[tag]
    return lost


def _room(value: Value) -> int:
    """The most bytes that a value takes, its entry and alignment included."""
    return 12 + (len(value.data) + 1 if len(value.data) > 4 else 0)


def _stream(tree: Tree, old: bytes, most: int) -> bytes:
    """``tree`` as a TIFF stream of at most ``most`` bytes, with the maker note where ``old`` had it if that can be."""
    order = byte_order(old)
    camera = tree.get(EXIF)
    note = camera.get(MAKER_NOTE) if isinstance(camera, dict) else None
    if isinstance(camera, dict) and isinstance(note, Value) and len(note.data) > 4:
        start = next(e.start for tag, _, here in directories(old) if tag == EXIF for e in here if e.tag == MAKER_NOTE)
        stop = start + len(note.data)
        if stop <= most:
            place = Value(note.kind, note.count, struct.pack(f"{order}I", start))
            pinned: Tree = {**tree, EXIF: {**camera, MAKER_NOTE: place}}
            out = bytearray(lay_out(pinned, order, avoid=(start, stop)))
            out += bytes(max(0, stop - len(out)))
            out[start:stop] = note.data
            if len(out) <= most:
                return bytes(out)
    return lay_out(tree, order)


def _put_number(out: bytearray, entry: Entry, value: int) -> None:
    """Another number for ``entry``: of its kind if it fits, else a long one. Kinds of 8 bytes are left as they are."""
    kind, order = entry.kind, byte_order(out)
    if KIND_BYTES[kind] > 4:
        return
    if value.bit_length() > 8 * KIND_BYTES[kind] - WHOLE[kind].islower():
        kind = LONG
    struct.pack_into(f"{order}H", out, entry.at + 2, kind)
    out[entry.at + 8 : entry.at + 12] = struct.pack(f"{order}{WHOLE[kind]}", value).ljust(4, b"\0")


def _places(offset: int, here: list[Entry], exif: bytes) -> list[tuple[int, int]]:
    """From where to where a directory and the values of its entries stand."""
    if not 8 <= offset <= len(exif) - 2:
        return []
    (count,) = struct.unpack_from(f"{byte_order(exif)}H", exif, offset)
    return [(offset, min(offset + 6 + 12 * count, len(exif)))] + [(entry.start, entry.stop) for entry in here]


def _pixels(here: list[Entry], exif: bytes) -> list[tuple[int, int]]:
    """From where to where the pixels of a thumbnail stand, JPEG or in strips."""
    found: list[tuple[int, int]] = []
    numbers: dict[int, tuple[int, ...]] = {}
    for entry in here:
        if entry.tag in (0x0111, 0x0117, 0x0201, 0x0202) and entry.kind in (3, 4) and entry.tag not in numbers:
            layout = f"{byte_order(exif)}{entry.count}{WHOLE[entry.kind]}"
            numbers[entry.tag] = struct.unpack_from(layout, exif, entry.start)
    for starts, sizes in ((0x0111, 0x0117), (0x0201, 0x0202)):
        for start, size in zip(numbers.get(starts, ()), numbers.get(sizes, ()), strict=False):
            found.append((start, min(start + size, len(exif))))
    return found


def _clear(out: bytearray, claimed: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    """Overwrite with zeros what is claimed and not kept."""
    mask = bytearray(len(out))
    for places, mark in ((claimed, b"\1"), (kept, b"\0")):
        reached = 0
        for start, stop in sorted(places):  # each byte once, however often it is claimed
            start, reached = max(start, reached), max(stop, reached)
            if start < stop:
                mask[start:stop] = mark * (stop - start)
    start = mask.find(1)
    while start >= 0:
        stop = mask.find(0, start)
        stop = len(mask) if stop < 0 else stop
        out[start:stop] = bytes(stop - start)
        start = mask.find(1, stop)
