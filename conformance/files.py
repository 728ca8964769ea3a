"""Files of every kind, each saying exactly one thing: own writers for PNG and EXIF, libraries for the rest."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.bench import NotRun
from conformance.pictures import u8

Array = NDArray[Any]
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""x, y, step in x, step in y of the seven passes."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: Array, depth: int = 8, *, palette: Array | None = None, extra: bytes = b"", interlaced: bool = False,
        lie: tuple[int, int] | None = None) -> bytes:  # fmt: skip
    """A PNG of integers H x W x C (indices with a ``palette``). ``extra``: chunks before the pixels; ``lie``: the size
    in the header."""
    kind = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    passes = [(0, 0, 1, 1)] if not interlaced else list(ADAM7)
    raw = b"".join(_rows(values[y::dy, x::dx], depth) for x, y, dx, dy in passes if values[y::dy, x::dx].size)
    height, width = values.shape[:2]
    width, height = lie or (width, height)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    colours = chunk(b"PLTE", palette.astype(np.uint8).tobytes()) if palette is not None else b""
    body = (
        chunk(b"IHDR", header) + _before(extra, colours) + chunk(b"IDAT", zlib.compress(raw, 6)) + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _before(extra: bytes, colours: bytes) -> bytes:
    """tRNS stands behind the palette, iCCP before it."""
    return colours + extra if extra[4:8] == b"tRNS" else extra + colours


def _rows(values: Array, depth: int) -> bytes:
    height = values.shape[0]
    if depth == 16:
        lines = values.astype(">u2").reshape(height, -1).view(np.uint8)
    elif depth == 8:
        lines = values.astype(np.uint8).reshape(height, -1)
    else:
        bits = np.unpackbits(values.astype(np.uint8).reshape(height, -1, 1), axis=2)[..., 8 - depth :]
        lines = np.packbits(bits.reshape(height, -1), axis=1)
    return np.concatenate([np.zeros((height, 1), np.uint8), lines], 1).tobytes()


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(profile))


def exif(orientation: int | None = None, *, size: tuple[int, int] = (64, 48), thumbnail: bytes | None = None) -> bytes:
    """EXIF as a TIFF stream, with a camera's fields, a place, and perhaps a thumbnail."""
    fields: list[tuple[int, Any]] = [(0x010F, "Conformance"), (0x0110, "Model 7"), (0x0131, "Firmware 1.2")]
    if orientation is not None:
        fields.append((0x0112, orientation))
    fields.append((0x8298, "(c) Someone"))
    camera: list[tuple[int, Any]] = [
        (0x829A, (1, 250)), (0x8827, 400), (0x9003, "2024:02:29 12:34:56"), (0xA002, size[0]), (0xA003, size[1]),
        (0xA434, "Lens 50mm f/1.8"),
    ]  # fmt: skip
    place: list[tuple[int, Any]] = [
        (1, "N"), (2, ((48, 1), (51, 1), (2978, 100))), (3, "E"), (4, ((2, 1), (17, 1), (4020, 100))),
    ]  # fmt: skip
    return _tiff_stream(fields, camera, place, thumbnail)


def _tiff_stream(fields: list[Any], camera: list[Any], place: list[Any], thumbnail: bytes | None) -> bytes:
    count = len(fields) + 2
    start = 8 + 2 + 12 * count + 4
    camera_ifd, camera_rest = _ifd(camera, 0)
    place_ifd, place_rest = _ifd(place, 0)
    # lay out: IFD0, its rest, camera IFD + rest, place IFD + rest, IFD1, thumbnail
    first_rest = sum(len(_packed(v)[2]) + len(_packed(v)[2]) % 2 for _, v in fields if len(_packed(v)[2]) > 4)
    camera_at = start + first_rest
    place_at = camera_at + len(camera_ifd) + len(camera_rest)
    next_at = place_at + len(place_ifd) + len(place_rest)
    entries = sorted([*fields, (0x8769, _Long(camera_at)), (0x8825, _Long(place_at))])
    first, rest = _ifd(entries, 8, next_at if thumbnail else 0)
    out = b"II*\0\x08\0\0\0" + first + rest
    out += b"".join(_ifd(camera, camera_at)) + b"".join(_ifd(place, place_at))
    if thumbnail:
        ifd = _ifd([(0x0103, 6), (0x0201, _Long(next_at + 2 + 36 + 4)), (0x0202, _Long(len(thumbnail)))], next_at)
        out += b"".join(ifd) + thumbnail
    return out


class _Long(int):
    """A number that is written as LONG even if SHORT would do."""


def _packed(value: Any) -> tuple[int, int, bytes]:
    """Type, count and bytes of a TIFF value."""
    if isinstance(value, str):
        return 2, len(value) + 1, value.encode() + b"\0"
    if isinstance(value, _Long):
        return 4, 1, struct.pack("<I", value)
    if isinstance(value, int):
        return 3, 1, struct.pack("<H", value)
    pairs = value if isinstance(value[0], tuple) else (value,)
    return 5, len(pairs), b"".join(struct.pack("<II", *pair) for pair in pairs)


def _ifd(entries: list[Any], at: int, following: int = 0) -> tuple[bytes, bytes]:
    """A directory that stands at ``at``, and the values that do not fit into it and follow it."""
    table, rest = struct.pack("<H", len(entries)), b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, value in entries:
        kind, count, data = _packed(value)
        if len(data) <= 4:
            table += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        else:
            table += struct.pack("<HHII", tag, kind, count, behind + len(rest))
            rest += data + bytes(len(data) % 2)
    return table + struct.pack("<I", following), rest


XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmp:Rating="4" '
    'xmp:Label="conformance-label"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()
CAPTION = b"A caption of the conformance suite"
IPTC = b"".join(
    bytes([0x1C, 2, number]) + struct.pack(">H", len(data)) + data
    for number, data in ((0, b"\0\4"), (105, b"Headline"), (120, CAPTION))
)


def jpeg_with(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with APPn segments put in behind its start."""
    at = 2
    while data[at + 1] == 0xE0:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    put = b"".join(bytes([0xFF, 0xE0 + n]) + struct.pack(">H", len(body) + 2) + body for n, body in segments)
    return data[:at] + put + data[at:]


def photoshop(iptc: bytes) -> bytes:
    """The body of the segment APP13 that holds IPTC."""
    return b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def pillow(path: Path, values: Array, mode: str | None = None, **options: Any) -> Path:
    """``values`` in [0, 1] as an 8-bit file of the format that the suffix of ``path`` says, by Pillow."""
    from PIL import Image

    from conformance.decode import plug_in_codecs

    plug_in_codecs()
    array = values if values.dtype.kind in "ub" else u8(values)
    image = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array, mode)
    try:
        image.save(path, **options)
    except (ValueError, KeyError, OSError) as error:
        raise NotRun(f"no writer for {path.suffix} at hand: {error}") from error
    return path


def cmyk_of(rgb: Array, black: float = 0.6) -> Array:
    """Ink for ``rgb`` the plain way, with some of the gray in black."""
    ink = 1 - rgb
    key = ink.min(2, keepdims=True) * black
    return np.concatenate([(ink - key) / (1 - key), key], 2)


def ycck(path: Path, ink: Array, **options: Any) -> Path:
    """A CMYK JPEG as Photoshop writes it: inverted, its first three channels as luma and chroma."""
    r, g, b = np.moveaxis(ink[..., :3] * 255, -1, 0)  # 255 minus the inverted value, which is what the transform takes
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    parts = [luma, 128 + (b - luma) * 0.564, 128 + (r - luma) * 0.713, 255 * (1 - ink[..., 3])]
    stored = np.clip(np.stack(parts, 2) + 0.5, 0, 255).astype(np.uint8)
    pillow(path, 255 - stored, "CMYK", quality=97, **options)  # Pillow inverts
    data = bytearray(path.read_bytes())
    data[data.index(b"Adobe") + 11] = 2
    return write(path, bytes(data))


def vips_image(values: Array) -> Any:
    """Integers or floats, H x W x C, as a libvips image that knows what it is."""
    import pyvips

    image = pyvips.Image.new_from_array(np.ascontiguousarray(values))
    colour = values.shape[2] > 2
    deep = "rgb16" if colour else "grey16"
    return image.copy(interpretation=deep if values.dtype == np.uint16 else ("srgb" if colour else "b-w"))
