"""PBM, PGM, PPM and PFM: bilevel, gray and colour, written as digits or as bytes, and as floating point.

Source: the manual pages of Netpbm; for PFM, Paul Debevec's description. Only the first picture of a file is read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage
from srgan.imaging.decoders.stored import Rows, Stored
from srgan.imaging.inputs import Limits

Shape = tuple[int, int, int]

_HEADER_BYTES = 1 << 16
_TOKEN = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*([^\s#]+)")
_PIECE = 1 << 20
"""Bytes of digits parsed at a time."""


def open_pnm(stream: BinaryIO, limits: Limits) -> Stored:
    """Raises `InvalidImage`, also when the file is too short for what its header says, and `LimitExceeded`."""
    stream.seek(0)
    head = stream.read(_HEADER_BYTES)
    kind = head[:2]
    tokens, start = _tokens(head, 3 if kind not in (b"P1", b"P4") else 2)
    width, height = (_whole(token) for token in tokens[:2])
    limits.check_size(width, height)
    samples = 3 if kind in (b"P3", b"P6", b"PF") else 1
    if kind in (b"PF", b"Pf"):
        return _floating(stream, start, (height, width, samples), tokens[2])
    top = _whole(tokens[2]) if len(tokens) > 2 else 1
    if not 1 <= top <= 65535:
        raise InvalidImage(f"damaged or truncated PPM: its values reach to {top}, not to 1..65535")
    shape = (height, width, samples)
    if kind in (b"P1", b"P2", b"P3"):
        rows = _digits(stream, start, shape, packed=kind == b"P1")
    else:
        rows = _bytes(stream, start, shape, np.dtype("u1" if top < 256 else ">u2"), packed=kind == b"P4")
    return Stored(
        format="PPM",
        width=width,
        height=height,
        model="RGB" if samples == 3 else "GRAY",
        alpha=False,
        bit_depth=8 if top < 256 else 16,
        top=top,
        rows=rows,
        inverted=kind in (b"P1", b"P4"),
    )


def _tokens(head: bytes, count: int) -> tuple[list[bytes], int]:
    """The words of the header after the magic number, and where the pixels begin."""
    tokens, place = [], 2
    for _ in range(count):
        match = _TOKEN.match(head, place)
        if match is None or match.end() >= len(head):
            raise InvalidImage("damaged or truncated PPM: the header is cut short")
        tokens.append(match[1])
        place = match.end()
    return tokens, place + 1


def _whole(token: bytes) -> int:
    if not token.isdigit() or len(token) > 9:
        raise InvalidImage(f"damaged or truncated PPM: {ascii(token[:20])[1:]} where a whole number should be")
    return int(token)


def _check_length(stream: BinaryIO, needed: int) -> None:
    if stream.seek(0, io.SEEK_END) < needed:
        raise InvalidImage("damaged or truncated PPM: shorter than its header says")


def _bytes(stream: BinaryIO, start: int, shape: Shape, dtype: np.dtype[Any], *, packed: bool) -> Rows:
    height, width, samples = shape
    row_bytes = (width + 7) // 8 if packed else width * samples * dtype.itemsize
    _check_length(stream, start + height * row_bytes)

    def rows(count: int) -> Iterator[NDArray[Any]]:
        for top in range(0, height, count):
            stream.seek(start + top * row_bytes)
            data = stream.read(min(count, height - top) * row_bytes)
            if packed:
                bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(-1, row_bytes), axis=1)
                yield bits[:, :width, None]
            else:
                yield np.frombuffer(data, dtype).reshape(-1, width, samples)

    return rows


def _floating(stream: BinaryIO, start: int, shape: Shape, scale: bytes) -> Stored:
    """PFM: rows from bottom to top, the byte order in the sign of the scale. The scale's size says nothing of use."""
    height, width, samples = shape
    dtype = np.dtype("<f4" if scale.startswith(b"-") else ">f4")
    row_bytes = width * samples * 4
    _check_length(stream, start + height * row_bytes)

    def rows(count: int) -> Iterator[NDArray[Any]]:
        for top in range(0, height, count):
            bottom = min(top + count, height)
            stream.seek(start + (height - bottom) * row_bytes)
            data = stream.read((bottom - top) * row_bytes)
            yield np.frombuffer(data, dtype).reshape(-1, width, samples)[::-1]

    return Stored(
        format="PFM",
        width=width,
        height=height,
        model="RGB" if samples == 3 else "GRAY",
        alpha=False,
        bit_depth=32,
        top=None,
        rows=rows,
    )


def _digits(stream: BinaryIO, start: int, shape: Shape, *, packed: bool) -> Rows:
    """Values as words; of bilevel, each digit is a value."""
    height, width, samples = shape
    _check_length(stream, start + (height * width * samples * (1 if packed else 2)) - 1)

    def rows(count: int) -> Iterator[NDArray[Any]]:
        values = _values(stream, start, packed=packed)
        row_values, waiting = width * samples, np.empty(0, np.uint16)
        top = 0
        while top < height:
            wanted = min(count, height - top)
            parts, have = [waiting], len(waiting)
            while have < wanted * row_values:
                part = next(values, None)
                if part is None:
                    raise InvalidImage("damaged or truncated PPM: shorter than its header says")
                parts.append(part)
                have += len(part)
            flat = np.concatenate(parts)
            yield flat[: wanted * row_values].reshape(wanted, width, samples)
            waiting = flat[wanted * row_values :]
            top += wanted

    return rows


def _values(stream: BinaryIO, start: int, *, packed: bool) -> Iterator[NDArray[np.uint16]]:
    """The numbers from ``start`` on, a piece at a time; a word that two pieces share waits for the second."""
    stream.seek(start)
    place, rest = start, b""
    while True:
        stream.seek(place)
        piece = stream.read(_PIECE)
        place += len(piece)
        text = rest + (piece if piece else b" ")
        cut = max((text.rfind(space) for space in (b" ", b"\n", b"\t", b"\r")), default=-1) + 1
        rest, text = text[cut:], text[:cut]
        if len(rest) > _PIECE:
            raise InvalidImage("damaged or truncated PPM: a word without an end")
        words = list(b"".join(text.split())) if packed else text.split()
        try:
            numbers = np.array([int(word) for word in words], np.int64) - (ord("0") if packed else 0)
        except (ValueError, OverflowError):
            raise InvalidImage("damaged or truncated PPM: something else where a number should be") from None
        if numbers.size and (numbers.min() < 0 or numbers.max() > (1 if packed else 65535)):
            raise InvalidImage("damaged or truncated PPM: a value out of range")
        yield numbers.astype(np.uint16)
        if not piece:
            return
