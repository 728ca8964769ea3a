"""HEIC and JPEG XL, through the plug-ins of the extra ``formats``.

Source: ISO/IEC 18181-1 and -2 for the size that a JPEG XL file states: its plug-in decodes at once, so the limits are
checked before it is asked.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage, MissingDependency
from srgan.imaging.decoders.jpeg import open_jpeg
from srgan.imaging.decoders.nclx import of_code_points
from srgan.imaging.decoders.pillow import metadata_of
from srgan.imaging.decoders.stored import Metadata, Stored
from srgan.imaging.described import Described
from srgan.imaging.inputs import Limits

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_MOST_BOXES = 1000
_MODELS: dict[str, tuple[Literal["GRAY", "RGB", "CMYK"], bool]] = {
    "L": ("GRAY", False),
    "LA": ("GRAY", True),
    "I": ("GRAY", False),
    "F": ("GRAY", False),
    "RGB": ("RGB", False),
    "RGBA": ("RGB", True),
    "CMYK": ("CMYK", False),
}
"""By mode, without what follows a semicolon."""


def open_heif(stream: BinaryIO, limits: Limits) -> Stored:
    """Ten and twelve bits become sixteen. Raises `InvalidImage`, `LimitExceeded` and `MissingDependency`."""
    heif = _plug_in("pillow_heif", "pillow-heif")
    stream.seek(0)
    image = heif.open_heif(stream, convert_hdr_to_8bit=False)
    limits.check_size(*image.size)
    model, alpha = _MODELS[image.mode.partition(";")[0].upper()]
    deep = image.mode.endswith(";16")
    channels = {"GRAY": 1, "RGB": 3, "CMYK": 4}[model] + alpha

    def rows(count: int) -> Iterator[NDArray[Any]]:
        values = np.asarray(image)
        return _strips(values.reshape(*values.shape[:2], channels), count)

    return Stored(
        format="HEIC",
        width=image.size[0],
        height=image.size[1],
        model=model,
        alpha=alpha,
        bit_depth=16 if deep else 8,
        top=65535 if deep else 255,
        rows=rows,
        premultiplied=bool(getattr(image, "premultiplied_alpha", False)) or image.mode.partition(";")[0].endswith("a"),
        orientation=1,  # HEIC has an own turn, which is applied already, and asks for EXIF's to be ignored
        metadata=dataclasses.replace(metadata_of(image.info), described=_nclx(image.info.get("nclx_profile"))),
        pages_follow=len(image) > 1,
    )


def _nclx(said: dict[str, int] | None) -> Described | None:
    return of_code_points(said["color_primaries"], said["transfer_characteristics"]) if said else None


def open_jxl(stream: BinaryIO, limits: Limits) -> Stored:
    """Decodes the whole picture. Raises `InvalidImage`, `LimitExceeded` and `MissingDependency`."""
    limits.check_size(*jxl_size(stream))
    plug_in = _plug_in("pillow_jxl", "pillow-jxl-plugin")
    stream.seek(0)
    try:
        is_jpeg, header, data, profile, boxes = plug_in.Decoder(num_threads=1)(stream.read())
    except Exception as error:  # which speaks of how to build the plug-in
        raise InvalidImage("damaged or truncated JXL: its data cannot be decoded") from error
    if is_jpeg:  # a JPEG file that was packed; unpacked it is what it was
        return dataclasses.replace(open_jpeg(io.BytesIO(bytes(data)), limits), format="JXL")
    limits.check_size(header.width, header.height)
    mode, _, kind = header.mode.partition(";")
    dtype = np.dtype({"I": np.uint16, "F": np.float32}.get(mode, np.uint16 if kind == "16" else np.uint8))
    if mode == "F" and len(data) == 2 * header.width * header.height:
        dtype = np.dtype(np.float16)
    model, alpha = _MODELS[mode]
    shape = (header.height, header.width, {"GRAY": 1, "RGB": 3, "CMYK": 4}[model] + alpha)
    values = np.frombuffer(data, dtype).reshape(shape)
    return Stored(
        format="JXL",
        width=header.width,
        height=header.height,
        model=model,
        alpha=alpha,
        bit_depth=32 if mode == "F" else 16 if dtype.itemsize == 2 else 8,
        top=None if mode == "F" else 65535 if dtype.itemsize == 2 else 255,
        rows=lambda count: _strips(values, count),
        orientation=1,  # the decoder has turned it
        metadata=_jxl_metadata(profile, {box.box_type: bytes(box.data) for box in boxes[:_MOST_BOXES]}),
    )


def jxl_size(stream: BinaryIO) -> tuple[int, int]:
    """Width and height as a JPEG XL file states them, before it is turned. Raises `InvalidImage`."""
    code = _codestream(stream)
    if code[:2] != b"\xff\x0a" or len(code) < 12:
        raise InvalidImage("damaged or truncated JXL: no header")
    bits, place = int.from_bytes(code[2:], "little"), 0

    def take(count: int) -> int:
        nonlocal place
        value = (bits >> place) & ((1 << count) - 1)
        place += count
        return value

    def side(small: bool) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = bool(take(1))
    height = side(small)
    ratio = take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return side(small), height


def _codestream(stream: BinaryIO) -> bytes:
    """The first bytes of the picture itself, wherever its container has them."""
    stream.seek(0)
    head = stream.read(32)
    if head[:2] == b"\xff\x0a":
        return head
    place = 0
    for _ in range(_MOST_BOXES):
        stream.seek(place)
        box = stream.read(16 + 32)
        length, kind, start = int.from_bytes(box[:4], "big"), box[4:8], 8
        if length == 1:
            length, start = int.from_bytes(box[8:16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            return box[start + (4 if kind == b"jxlp" else 0) :]
        if length < start:
            break
        place += length
    raise InvalidImage("damaged or truncated JXL: no picture in it")


def _jxl_metadata(profile: object, boxes: dict[bytes, bytes]) -> Metadata:
    exif = boxes.get(b"Exif")
    if exif is not None and exif[4:8] in (b"II*\0", b"MM\0*"):
        exif = exif[4:]  # after the offset that the container puts before it
    return Metadata(
        icc_profile=bytes(profile) if isinstance(profile, bytes) else None, exif=exif, xmp=boxes.get(b"xml ")
    )


def _strips(values: NDArray[Any], count: int) -> Iterator[NDArray[Any]]:
    return (values[top : top + count] for top in range(0, len(values), count))


def _plug_in(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependency(name, "formats") from error
