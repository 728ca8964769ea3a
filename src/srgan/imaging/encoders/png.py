"""An own PNG writer: rows in, strips compressed as they come.

Writing PNG can cost more than the network, so the encoder was chosen by measurement (`benchmarks/png_encoders.py`):
one of PNG's three simple filters for each strip and Intel's deflate (the `isal` wheel) take about a tenth of the time
of Pillow's fastest level, for a file no larger. Where there is no such wheel, Python's zlib does the same work slower.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypedDict, Unpack

import numpy as np

from srgan.imaging.described import CodePoints, Described, Gamma, StandardRgb
from srgan.imaging.metadata.iptc import photoshop_of_iptc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_STRIP_BYTES = 1 << 20
"""Bytes of filtered rows that share a filter and go to the compressor together."""
_SAMPLE_BYTES = 1 << 16
"""Bytes of a strip that are compressed on trial to choose its filter."""
_NONE, _SUB, _UP = 0, 1, 2
_LONG_TEXT = 1024
"""Characters of a text from which on it is compressed."""


class _Deflater(Protocol):
    def compress(self, data: Any, /) -> bytes: ...
    def flush(self) -> bytes: ...


def deflate() -> tuple[Callable[[], _Deflater], Callable[[bytes, int], int]]:
    """The fastest deflate there is, and its CRC-32."""
    try:
        from isal import isal_zlib
    except ImportError:
        return lambda: zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE), zlib.crc32
    return lambda: isal_zlib.compressobj(2), isal_zlib.crc32


class Beside(TypedDict, total=False):
    """What stands beside the pixels; see `PngWriter`."""

    described: Described | None
    icc_profile: bytes | None
    exif: bytes | None
    xmp: bytes | None
    iptc: bytes | None
    text: tuple[tuple[str, str], ...]
    dpi: tuple[float, float] | None
    shape_of_a_pixel: tuple[int, int] | None


class PngWriter:
    """Writes one PNG picture to ``stream``, top to bottom, holding one strip of it at a time.

    ``channels`` is 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; ``bit_depth`` 8 or 16. Colours are ``described`` in
    numbers, and beside or without that by ``icc_profile``. ``exif`` is a bare TIFF stream, ``dpi`` pixels per inch,
    ``shape_of_a_pixel`` those across and down in the same length, ``text`` keywords with their texts (those whose
    keyword is none in PNG are left out). ``iptc`` goes where ImageMagick keeps it, for want of a place in the standard.
    Rows come by `write_rows`; `finish` ends the picture. The stream is neither closed nor flushed; what it raises
    passes through. Raises ValueError for what is no PNG picture or for rows that do not fit.
    """

    def __init__(
        self,
        stream: BinaryIO,
        width: int,
        height: int,
        channels: int,
        *,
        bit_depth: int = 8,
        **beside: Unpack[Beside],
    ) -> None:
        if not (0 < width < 2**31 and 0 < height < 2**31) or channels not in _COLOUR_TYPES or bit_depth not in (8, 16):
            raise ValueError(f"no PNG picture: {width} x {height}, {channels} channels of {bit_depth} bit")
        self._stream = stream
        self._new_deflater, self._crc = deflate()
        self._deflater = self._new_deflater()
        self._shape = (width, channels)
        self._dtype = np.dtype(np.uint8 if bit_depth == 8 else np.uint16)
        self._pixel_bytes = channels * bit_depth // 8
        self._rows_left = height
        self._above = np.zeros(width * self._pixel_bytes, np.uint8)
        stream.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bit_depth, _COLOUR_TYPES[channels], 0, 0, 0))
        self._write_beside(**beside)

    def _write_beside(self, **beside: Unpack[Beside]) -> None:
        """What stands beside the pixels, in front of them."""
        for kind, content in _colour_chunks(beside.get("described")):
            self._chunk(kind, content)
        if (icc_profile := beside.get("icc_profile")) is not None:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
        if (dpi := beside.get("dpi")) is not None:
            x, y = (min(max(round(value / 0.0254), 1), 2**31 - 1) for value in dpi)
            self._chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
        elif (shape_of_a_pixel := beside.get("shape_of_a_pixel")) is not None:
            self._chunk(b"pHYs", struct.pack(">IIB", *shape_of_a_pixel, 0))
        if (exif := beside.get("exif")) is not None:
            self._chunk(b"eXIf", exif)
        if (xmp := beside.get("xmp")) is not None:
            self._chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        if iptc := beside.get("iptc"):
            self._chunk(b"zTXt", _raw_profile(iptc))
        for keyword, words in beside.get("text", ()):
            if iptc and keyword == "Raw profile type iptc":
                continue
            if chunk := _text_chunk(keyword, words):
                self._chunk(*chunk)

    def write_rows(self, rows: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Append ``rows``, n x width x channels, uint8 or uint16 as the bit depth says."""
        if rows.ndim != 3 or rows.shape[1:] != self._shape or rows.dtype != self._dtype or len(rows) > self._rows_left:
            left = f"{self._rows_left} rows of {self._dtype} {self._shape} are left"
            raise ValueError(f"rows of {rows.dtype} {rows.shape} do not fit: {left}")
        self._rows_left -= len(rows)
        step = max(1, _STRIP_BYTES // self._above.size)
        for start in range(0, len(rows), step):
            strip = rows[start : start + step]
            raw = np.ascontiguousarray(strip, strip.dtype.newbyteorder(">")).view(np.uint8).reshape(len(strip), -1)
            self._data(self._deflater.compress(self._filtered(raw).data))
            self._above = raw[-1].copy()

    def finish(self) -> None:
        """End the picture. Raises ValueError when rows are missing."""
        if self._rows_left:
            raise ValueError(f"{self._rows_left} rows are missing")
        self._data(self._deflater.flush())
        self._chunk(b"IEND", b"")

    def _filtered(self, raw: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``raw`` with the filter in front of each row that makes a sample from its middle smallest."""
        count = max(1, _SAMPLE_BYTES // raw.shape[1])
        if len(raw) <= 2 * count:
            trials = {kind: self._apply(kind, raw, self._above) for kind in (_UP, _SUB, _NONE)}
            return min(trials.values(), key=self._compressed_size)
        start = (len(raw) - count) // 2
        sample, above = raw[start : start + count], raw[start - 1]
        best = min((_UP, _SUB, _NONE), key=lambda kind: self._compressed_size(self._apply(kind, sample, above)))
        return self._apply(best, raw, self._above)

    def _compressed_size(self, filtered: NDArray[np.uint8]) -> int:
        deflater = self._new_deflater()
        return len(deflater.compress(filtered.data)) + len(deflater.flush())

    def _apply(self, kind: int, raw: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
        out = np.empty((len(raw), 1 + raw.shape[1]), np.uint8)
        out[:, 0] = kind
        values = out[:, 1:]
        if kind == _UP:
            np.subtract(raw[0], above, out=values[0])
            np.subtract(raw[1:], raw[:-1], out=values[1:])
        elif kind == _SUB:
            step = self._pixel_bytes
            values[:, :step] = raw[:, :step]
            np.subtract(raw[:, step:], raw[:, :-step], out=values[:, step:])
        else:
            values[...] = raw
        return out

    def _data(self, compressed: bytes) -> None:
        if compressed:
            self._chunk(b"IDAT", compressed)

    def _chunk(self, kind: bytes, data: bytes) -> None:
        if len(data) >= 2**31:
            raise ValueError(f"{len(data)} bytes do not fit into one {kind.decode()} chunk")
        self._stream.write(struct.pack(">I", len(data)) + kind)
        self._stream.write(data)
        self._stream.write(struct.pack(">I", self._crc(data, zlib.crc32(kind))))


def _colour_chunks(said: Described | None) -> list[tuple[bytes, bytes]]:
    if isinstance(said, StandardRgb):
        return [(b"sRGB", bytes([said.intent]))]
    if isinstance(said, Gamma):
        gamma, places = said.gamma, said.chromaticities
        found = [] if gamma is None else [(b"gAMA", struct.pack(">I", gamma))]
        return found if places is None else [*found, (b"cHRM", struct.pack(">8I", *places))]
    if isinstance(said, CodePoints):
        code = bytes((said.primaries, said.transfer, said.matrix, said.full_range))
        beside = ((b"mDCV", said.mastering), (b"cLLI", said.light))
        return [(b"cICP", code), *((kind, content) for kind, content in beside if content)]
    return []


def _text_chunk(keyword: str, words: str) -> tuple[bytes, bytes] | None:
    """The plain chunk where Latin-1 has all the characters, the one for UTF-8 elsewhere; long texts are compressed."""
    try:
        name = keyword.encode("latin-1")
    except UnicodeEncodeError:
        return None
    printable = all(32 <= byte < 127 or byte > 160 for byte in name)
    if not 0 < len(name) < 80 or not printable or name != name.strip(b" ") or b"  " in name:
        return None
    words = words.replace("\0", "").replace("\r\n", "\n")
    long = len(words) > _LONG_TEXT
    try:
        data = words.encode("latin-1")
    except UnicodeEncodeError:
        data = words.encode("utf-8", "replace")
        return b"iTXt", name + bytes((0, long, 0, 0, 0)) + (zlib.compress(data) if long else data)
    return (b"zTXt", name + b"\0\0" + zlib.compress(data)) if long else (b"tEXt", name + b"\0" + data)


def _raw_profile(iptc: bytes) -> bytes:
    """A profile as ImageMagick writes it and many programs read it: a text of hexadecimal digits in lines."""
    resource = photoshop_of_iptc(iptc).removeprefix(b"Photoshop 3.0\0")
    digits = resource.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    return b"Raw profile type iptc\0\0" + zlib.compress(f"\niptc\n{len(resource):8}\n{lines}\n".encode())
