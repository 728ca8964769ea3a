"""The pixels of a TIFF page out of its strips or tiles: unpacked, checked, and put together row by row.

libtiff, and libvips with it, gives black for a tile that it cannot unpack, takes what it gets for a damaged one, and
knows neither 10 bits nor every compression. Here each segment (a strip or a tile) is held to what its compression says
of it: a checksum, an end, or at least the right length.

Source: TIFF 6.0, its technical note 3 (floating point), and the registered compressions that came later.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage
from srgan.imaging.decoders.stored import Faults

Bytes = Iterator[bytes]

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
"""Sample formats."""
_LETTERS = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}
_PIECE = 1 << 18
"""Bytes that are read and unpacked at a time, where the compression allows it."""
_MORE = 1 << 20
"""Bytes that a segment with a checksum may hold beyond its size."""
_LZMA_MEMORY = 1 << 28
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_LZW, _ZSTD = 5, 50000
_LONGEST_ROW = 10_000_000
"""Pixels that libvips allows in a row."""


class _Broken(Exception):
    """A segment that cannot be unpacked; what is wrong with it, to follow its name."""


@dataclass(frozen=True, kw_only=True)
class Segments:
    """How the pixels of a page are stored."""

    width: int
    height: int
    bits: int
    sample: int
    """`UNSIGNED`, `SIGNED` or `FLOAT`."""
    samples: int
    """Of each pixel."""
    planar: bool
    """Whether each sample has segments of its own."""
    big_endian: bool
    compression: int
    predictor: int
    reversed: bool
    """Whether the first bit of a byte is the lowest."""
    size: tuple[int, int]
    """Width and height of a segment; the last strip is cut at the picture's end, tiles are whole."""
    tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    """Where each segment stands in the file, and its bytes there. Plane by plane, from the left, then downwards."""

    @property
    def across(self) -> int:
        return -(-self.width // self.size[0])

    @property
    def down(self) -> int:
        return -(-self.height // self.size[1])

    @property
    def planes(self) -> int:
        return self.samples if self.planar else 1

    @property
    def depth(self) -> int:
        """Samples of a pixel in one segment."""
        return 1 if self.planar else self.samples

    @property
    def row_bytes(self) -> int:
        return -(-self.size[0] * self.depth * self.bits // 8)


def check_segments(segments: Segments) -> None:
    """Raises `InvalidImage` for what is whole but cannot be read here: a predictor that does not go with the depth."""
    plain = segments.bits in (8, 16, 32, 64)
    known = {1: True, 2: plain, 3: segments.sample == FLOAT and segments.bits in (16, 24, 32, 64)}
    if segments.compression in UNPACKED and not known.get(segments.predictor, False):
        what = f"the predictor {segments.predictor} at {segments.bits} bits"
        raise InvalidImage(f"TIFF with {what} is not supported; save it without a predictor")


def segment_rows(stream: BinaryIO, segments: Segments, count: int, faults: Faults) -> Iterator[NDArray[Any]]:
    """The samples as they are stored, as `srgan.imaging.decoders.stored.Rows` says, all of each pixel.

    What cannot be unpacked goes to ``faults``, and is zero where that lets it pass.
    """
    bands = [_band_rows(stream, segments, plane, count, faults) for plane in range(segments.planes)]
    joined = bands[0] if len(bands) == 1 else (np.concatenate(parts, axis=2) for parts in zip(*bands, strict=True))
    return _regrouped(joined, count)


def _regrouped(blocks: Iterator[NDArray[Any]], count: int) -> Iterator[NDArray[Any]]:
    """Blocks of any height as blocks of ``count`` rows."""
    waiting: list[NDArray[Any]] = []
    have = 0
    for block in blocks:
        waiting.append(block)
        have += len(block)
        if have < count:
            continue
        whole = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
        end = have - have % count
        yield from (whole[top : top + count] for top in range(0, end, count))
        waiting, have = [whole[end:]], have - end
    if have:
        yield np.concatenate(waiting)


def _band_rows(stream: BinaryIO, segments: Segments, plane: int, count: int, faults: Faults) -> Iterator[NDArray[Any]]:
    """One plane, or all of them where they are not apart."""
    height = segments.size[1]
    for row in range(segments.down):
        rows = min(height, segments.height - row * height)
        first = (plane * segments.down + row) * segments.across
        if not segments.tiled:
            yield from _blocks(stream, segments, first, rows, count, faults)
            continue
        tiles = (_blocks(stream, segments, first + i, height, height, faults) for i in range(segments.across))
        line = np.concatenate([next(tile) for tile in tiles], axis=1)
        yield line[:rows, : segments.width]


def _blocks(
    stream: BinaryIO, segments: Segments, number: int, rows: int, count: int, faults: Faults
) -> Iterator[NDArray[Any]]:
    """The first ``rows`` rows of a segment, ``count`` of them at a time."""
    row_bytes = segments.row_bytes
    whole = rows if segments.tiled else min(segments.size[1], segments.height)
    read = _source(stream, segments, number, rows * row_bytes)
    unpacked = _UNPACKERS[segments.compression](read, row_bytes, rows)
    pieces = _cut(unpacked, count * row_bytes, rows * row_bytes, whole * row_bytes, segments.compression in _CHECKED)
    broken = False
    for top in range(0, rows, count):
        taken = min(count, rows - top)
        block = b""
        try:
            if not broken:
                block = next(pieces)
                if top + taken == rows:  # its end is looked at before its last rows are handed out
                    next(pieces, None)
        except _Broken as why:
            broken = True
            kind = "tile" if segments.tiled else "strip"
            faults.report(f"{kind} {number + 1} of {len(segments.offsets)} {why}")
        yield _values(block or bytes(taken * row_bytes), segments, taken)


def _source(stream: BinaryIO, segments: Segments, number: int, size: int) -> Bytes:
    """The bytes of a segment as they stand in the file."""
    place, left = segments.offsets[number], segments.counts[number]
    end = stream.seek(0, io.SEEK_END)
    if segments.compression == 1 and (left == 0 or len(segments.offsets) == 1):
        left = size  # as libtiff does where writers gave a wrong number
    if not place or not left:
        return _failing("is missing")
    if place + left > end:
        return _failing("lies outside of the file")
    return _read(stream, place, left, reverse=segments.reversed)


def _failing(text: str) -> Bytes:
    raise _Broken(text)
    yield b""


def _read(stream: BinaryIO, place: int, left: int, *, reverse: bool) -> Bytes:
    while left:
        stream.seek(place)
        piece = stream.read(min(left, _PIECE))
        if not piece:
            raise _Broken("ends early")
        place, left = place + len(piece), left - len(piece)
        yield piece.translate(_REVERSED) if reverse else piece


def _cut(pieces: Bytes, step: int, size: int, whole: int, checked: bool) -> Bytes:
    """``size`` bytes of ``pieces`` in steps, and then what follows them held to what may follow.

    Writers may fill up the last strip to its ``whole`` size. More than that is no harm where a checksum is right, and
    the sign of damage where there is none.
    """
    held, total, given = bytearray(), 0, 0
    for piece in pieces:
        total += len(piece)
        if total > whole + (_MORE if checked else 0):
            raise _Broken("holds more than it should")
        held += piece[: max(0, size - (total - len(piece)))]
        while len(held) >= step or (total >= size and held):
            yield bytes(held[:step])
            given += len(held[:step])
            del held[:step]
    if total < size:
        raise _Broken("ends early")


# ---- compressions: from the bytes of a segment to those of its rows


def _plain(read: Bytes, row_bytes: int, rows: int) -> Bytes:
    left = row_bytes * rows  # what follows was never said to be pixels
    for piece in read:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _inflated(read: Bytes, row_bytes: int, rows: int) -> Bytes:
    inflater = zlib.decompressobj()
    for piece in read:
        left = piece
        while True:
            try:
                out = inflater.decompress(left, _PIECE)
            except zlib.error as error:
                raise _Broken(f"is damaged ({str(error).partition(': ')[2]})") from error
            left = inflater.unconsumed_tail
            yield out
            if inflater.eof:
                return
            if not left and len(out) < _PIECE:
                break
    raise _Broken("ends early")


def _from_lzma(read: Bytes, row_bytes: int, rows: int) -> Bytes:
    import lzma

    unpacker = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    for piece in read:
        left = piece
        while not unpacker.eof:
            try:
                yield unpacker.decompress(left, _PIECE)
            except lzma.LZMAError as error:
                raise _Broken(f"is damaged ({error})") from error
            left = b""
            if unpacker.needs_input:
                break
    if not unpacker.eof:
        raise _Broken("ends early")


def _from_packbits(read: Bytes, row_bytes: int, rows: int) -> Bytes:
    data, place, out = b"".join(read), 0, bytearray()
    while place + 1 < len(data):
        head = data[place]
        if head < 128:
            out += data[place + 1 : place + 2 + head]
            place += head + 2
        elif head > 128:
            out += data[place + 1 : place + 2] * (257 - head)
            place += 2
        else:
            place += 1
        if len(out) >= _PIECE:
            yield bytes(out)
            out.clear()
    yield bytes(out)


def _from_lzw(read: Bytes, row_bytes: int, rows: int) -> Bytes:
    """By libtiff, which stops where it has enough: nothing must be left then, so one byte more has to fail."""
    from srgan.imaging.decoders.vips import Undecodable, decoded

    data, size = b"".join(read), row_bytes * rows
    try:
        yield decoded(_as_gray(data, _LZW, row_bytes, rows), "tiffload", unlimited=True)
    except Undecodable as error:
        raise _Broken("is damaged or cut short") from error
    longer = (size + 1, 1) if size < _LONGEST_ROW else (row_bytes, rows + 1)
    try:
        decoded(_as_gray(data, _LZW, *longer), "tiffload", unlimited=True)
    except Undecodable:
        return
    raise _Broken("holds more than it should")


def _from_zstd(read: Bytes, row_bytes: int, rows: int) -> Bytes:
    """By the libtiff in Pillow, since that in libvips has no Zstandard, and Python has none before 3.14."""
    from PIL import TiffImagePlugin

    image = TiffImagePlugin.TiffImageFile(io.BytesIO(_as_gray(b"".join(read), _ZSTD, row_bytes, rows)))
    try:
        image.load()
    except OSError as error:
        raise _Broken("is damaged or cut short, or this Pillow has no ZSTD") from error
    yield image.tobytes()


def _from_webp(read: Bytes, row_bytes: int, rows: int) -> Bytes:
    from PIL import WebPImagePlugin

    try:
        with WebPImagePlugin.WebPImageFile(io.BytesIO(b"".join(read))) as image:
            yield image.tobytes()
    except (OSError, SyntaxError, ValueError) as error:
        raise _Broken("is damaged or cut short") from error


def _as_gray(data: bytes, compression: int, width: int, height: int) -> bytes:
    """A TIFF file whose only strip is ``data``, of gray bytes."""
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    padded = data + bytes(len(data) % 2)
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(padded)) + padded + struct.pack("<H", len(tags)) + body + bytes(4)


_UNPACKERS: dict[int, Callable[[Bytes, int, int], Bytes]] = {
    1: _plain,
    _LZW: _from_lzw,
    8: _inflated,
    32946: _inflated,
    32773: _from_packbits,
    34925: _from_lzma,
    _ZSTD: _from_zstd,
    50001: _from_webp,
}
UNPACKED = frozenset(_UNPACKERS)
"""The compressions that are unpacked here."""
_CHECKED = (8, 32946, 34925)
"""Those with a checksum."""


# ---- samples: from the bytes of rows to numbers


def _values(data: bytes, segments: Segments, rows: int) -> NDArray[Any]:
    """Rows x width of the segment x samples."""
    bits, width, depth = segments.bits, segments.size[0], segments.depth
    shape = (rows, width, depth)
    if segments.predictor == 3:
        return _floats_in_planes(data, segments, shape)
    order = ">" if segments.big_endian else "<"
    if bits in (8, 16, 32, 64):
        whole = np.frombuffer(data, f"{order}u{bits // 8}").reshape(shape)
        if segments.predictor == 2:
            whole = np.cumsum(whole, axis=1, dtype=f"u{bits // 8}")
            order = "="
        return whole.view(f"{order}{_LETTERS[segments.sample]}{bits // 8}")
    if bits == 24:
        threes = np.frombuffer(data, np.uint8).reshape(*shape, 3)
        return _of_bits(_from_bytes(threes if segments.big_endian else threes[..., ::-1]), segments)
    flags = np.unpackbits(np.frombuffer(data, np.uint8).reshape(rows, -1), axis=1)[:, : width * depth * bits]
    room = 8 if bits < 8 else 16 if bits < 16 else 32
    padded = np.zeros((*shape, room), np.uint8)
    padded[..., room - bits :] = flags.reshape(*shape, bits)
    return _of_bits(_from_bytes(np.packbits(padded, axis=-1)), segments)


def _from_bytes(values: NDArray[np.uint8]) -> NDArray[Any]:
    """Numbers of the bytes along the last axis, the highest first; three make a number of four."""
    if values.shape[-1] == 3:
        values = np.concatenate([np.zeros_like(values[..., :1]), values], axis=-1)
    size = values.shape[-1]
    return np.ascontiguousarray(values).view(f">u{size}")[..., 0].astype(f"u{size}")


def _of_bits(whole: NDArray[Any], segments: Segments) -> NDArray[Any]:
    """What unsigned numbers of some bits stand for."""
    if segments.sample == UNSIGNED:
        return whole
    if segments.sample == SIGNED:
        signed = whole.astype(np.int64)
        return np.where(signed >> (segments.bits - 1), signed - (1 << segments.bits), signed).astype(np.int32)
    return _of_24_bits(whole)


def _of_24_bits(whole: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Floating point with 1 bit of sign, 7 of exponent and 16 of fraction."""
    sign = np.where(whole >> 23, np.float32(-1), np.float32(1))
    exponent = (whole >> 16 & 0x7F).astype(np.int32)
    fraction = (whole & 0xFFFF).astype(np.float32) / np.float32(1 << 16)
    normal = np.ldexp(1 + fraction, exponent - 63)
    small = np.ldexp(fraction, np.int32(-62))
    values = np.where(exponent == 0, small, np.where(exponent == 127, np.float32(np.inf), normal))
    return (sign * np.where((exponent == 127) & (fraction > 0), np.float32(np.nan), values)).astype(np.float32)


def _floats_in_planes(data: bytes, segments: Segments, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Floating point whose bytes stand apart in each row, the highest of all numbers first, as differences."""
    rows, width, depth = shape
    size = segments.bits // 8
    differences = np.frombuffer(data, np.uint8).reshape(rows, width * size, depth)
    planes = np.cumsum(differences, axis=1, dtype=np.uint8).reshape(rows, size, width * depth)
    numbers = np.ascontiguousarray(planes.transpose(0, 2, 1))
    if size == 3:
        return _of_24_bits(_from_bytes(numbers)).reshape(shape)
    return numbers.view(f">f{size}").reshape(shape)
