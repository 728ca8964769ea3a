"""The seam to Pillow: pictures of 8 bits, decoded whole, and what their files say beside the pixels.

Each format's reader is opened directly, because `PIL.Image.open` would apply Pillow's process-wide pixel limit in place
of the caller's `Limits`. PNG that are large or deep are decoded by libvips instead, and JPEG by `jpeg.py`.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage
from srgan.imaging.decoders.nclx import nclx_of
from srgan.imaging.decoders.png_chunks import PngHeader, pixel_fault, pixels_only, read_header
from srgan.imaging.decoders.stored import Faults, Metadata, Rows, Stored
from srgan.imaging.decoders.vips import open_vips, rows_of
from srgan.imaging.inputs import Limits
from srgan.imaging.metadata.enlarged import comment_text
from srgan.imaging.metadata.iptc import iptc_of_photoshop, paths_of_photoshop
from srgan.imaging.metadata.xmp_segments import joined
from srgan.imaging.picture import Density

if TYPE_CHECKING:
    from PIL import Image

_READERS = {
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
}
_WHOLE_PIXELS = 1 << 22
"""Pictures up to this many pixels are decoded whole: that saves loading libvips."""
_REACH = {"uchar": 255, "ushort": 65535}
_MOST_COMMENTS = 100

_MODELS: dict[str, tuple[Literal["GRAY", "RGB", "CMYK"], bool]] = {
    "L": ("GRAY", False),
    "LA": ("GRAY", True),
    "RGB": ("RGB", False),
    "RGBA": ("RGB", True),
    "CMYK": ("CMYK", False),
}


def open_png(stream: BinaryIO, limits: Limits) -> Stored:
    """Raises `InvalidImage` and `LimitExceeded`, as the other functions here do."""
    header = read_header(stream)
    limits.check_size(header.width, header.height)
    if header.width * header.height > _WHOLE_PIXELS:
        return _whole_or_kept(stream, header, _deep_png(stream, header), limits)
    small = pixels_only(stream)
    if header.bits == 16:
        return _whole_or_kept(stream, header, _deep_png(small, header), limits)
    image = open_image(small, "PNG")
    if header.clear is not None:  # Pillow compares it with values that it has scaled to 8 bits
        image.info["transparency"] = header.clear * 255 // ((1 << header.bits) - 1)
    return _whole_or_kept(stream, header, stored_of(image, "PNG", header.metadata), limits)


def _deep_png(stream: BinaryIO, header: PngHeader) -> Stored:
    """PNG by libvips, strip by strip."""
    opened = open_vips(stream, "pngload")
    image = opened.image
    _check_same(image, header.width, header.height)
    deep = image.format == "ushort"
    return Stored(
        format="PNG",
        width=image.width,
        height=image.height,
        model="GRAY" if image.bands < 3 else "RGB",
        alpha=image.bands in (2, 4),
        bit_depth=16 if deep else 8,
        top=65535 if deep else 255,
        rows=lambda count: rows_of(open_vips(stream, "pngload"), count),
        metadata=header.metadata,
    )


def _whole_or_kept(stream: BinaryIO, header: PngHeader, stored: Stored, limits: Limits) -> Stored:
    """``stored`` with its checksums looked at before its rows are; libpng gives what is left of a damaged one."""
    faults = Faults("PNG", limits.damaged == "keep")

    def rows(count: int) -> Iterator[NDArray[Any]]:
        fault = pixel_fault(stream, header)
        if fault is None:
            return stored.rows(count)
        faults.report(fault)
        opened = open_vips(stream, "pngload", fail_on="none")
        if opened.image.bands != stored.channels:
            raise InvalidImage(f"damaged or truncated PNG: {fault}")
        return rows_of(opened, count, faults)

    return dataclasses.replace(stored, rows=rows, faults=faults)


def open_avif(stream: BinaryIO, limits: Limits) -> Stored:
    stream.seek(0)
    head = stream.read(1 << 16)
    place = head.find(b"av1C")
    deep = place >= 0 and len(head) > place + 6 and bool(head[place + 6] & 0x40)
    image = open_image(stream, "AVIF")
    limits.check_size(*image.size)
    stored = stored_of(image, "AVIF", metadata_of(image.info))
    stored = dataclasses.replace(
        stored,
        metadata=dataclasses.replace(stored.metadata, described=nclx_of(stream)),
        pages_follow=getattr(image, "n_frames", 1) > 1,
    )
    return _deep_avif(stream, stored) if deep else stored


def open_webp(stream: BinaryIO, limits: Limits) -> Stored:
    return _open_plain(stream, "WEBP", limits)


def open_bmp(stream: BinaryIO, limits: Limits) -> Stored:
    return _open_plain(stream, "BMP", limits)


def open_gif(stream: BinaryIO, limits: Limits) -> Stored:
    return _open_plain(stream, "GIF", limits)


def _open_plain(stream: BinaryIO, kind: str, limits: Limits) -> Stored:
    image = open_image(stream, kind)
    limits.check_size(*image.size)
    return stored_of(image, kind, metadata_of(image.info))


def pillow_rows(image: Image.Image, mode: str) -> Rows:
    """The rows of ``image``, turned into ``mode`` strip by strip."""

    def rows(count: int) -> Iterator[NDArray[Any]]:
        image.load()
        width, height = image.size
        for top in range(0, height, count):
            part = image.crop((0, top, width, min(top + count, height)))
            values = np.asarray(part if part.mode == mode else part.convert(mode))
            yield values.reshape(-1, width, len(mode))

    return rows


def open_image(stream: BinaryIO, kind: str) -> Image.Image:
    """The header read, nothing decoded. Damaged headers raise whatever Pillow raises."""
    module, reader = _READERS[kind]
    stream.seek(0)
    image: Image.Image = getattr(importlib.import_module(f"PIL.{module}"), reader)(stream)
    return image


def _check_same(image: Any, width: int, height: int) -> None:
    if (image.width, image.height) != (width, height):
        raise InvalidImage(f"damaged or truncated: {image.width} x {image.height} where {width} x {height} should be")


def stored_of(image: Image.Image, kind: str, metadata: Metadata) -> Stored:
    """``image`` as Pillow decodes it."""
    width, height = image.size
    mode = _plain_mode(image)
    model, alpha = _MODELS[mode]
    return Stored(
        format=kind,
        width=width,
        height=height,
        model=model,
        alpha=alpha,
        bit_depth=8,
        top=255,
        rows=pillow_rows(image, mode),
        metadata=metadata,
    )


def _plain_mode(image: Image.Image) -> str:
    """The mode that holds the picture's values without palette and key colour."""
    mode, transparent = image.mode, "transparency" in image.info
    if mode in _MODELS and not transparent:
        return mode
    if mode in ("1", "L"):
        return "LA" if transparent else "L"
    if mode in ("P", "PA", "RGB", "RGBa", "RGBX"):
        return "RGBA" if transparent or mode in ("PA", "RGBa") else "RGB"
    if mode in ("LA", "RGBA"):
        return mode
    raise InvalidImage(f"pixels of the kind {mode} are not supported")


def metadata_of(info: dict[Any, Any], segments: Sequence[tuple[str, bytes]] = ()) -> Metadata:
    """What a Pillow reader has found beside the pixels; ``segments`` are those of a JPEG file."""
    icc, exif, xmp = (info.get(name) for name in ("icc_profile", "exif", "xmp"))
    if isinstance(xmp, str):
        xmp = xmp.encode()
    comment = info.get("comment")
    comments = [data for kind, data in segments if kind == "COM"] or [comment if isinstance(comment, bytes) else b""]
    photoshop = [data for kind, data in segments if kind == "APP13"]
    lost: list[str] = []
    if isinstance(xmp, bytes):
        xmp, lost = joined(xmp, [data for kind, data in segments if kind == "APP1"])
    lost += paths_of_photoshop(*photoshop)
    if icc is None and any(kind == "APP2" and data.startswith(b"ICC_PROFILE\0") for kind, data in segments):
        lost.append("the colour profile, of which a part is missing")
    return Metadata(
        icc_profile=icc if isinstance(icc, bytes) else None,
        exif=exif if isinstance(exif, bytes) else None,
        xmp=xmp if isinstance(xmp, bytes) else None,
        iptc=iptc_of_photoshop(*photoshop),
        text=tuple(("Comment", comment_text(data)) for data in comments[:_MOST_COMMENTS] if data),
        dpi=_dpi(info),
        density=_shape_of_a_pixel(info),
        lost=tuple(lost),
    )


def _dpi(info: dict[Any, Any]) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return x, y


def _shape_of_a_pixel(info: dict[Any, Any]) -> Density | None:
    """Of JPEG, which can state a ratio without a unit."""
    x, y = info.get("jfif_density", (0, 0)) if info.get("jfif_unit") == 0 else (0, 0)
    return Density(x, y) if x and y and x != y else None


def _deep_avif(stream: BinaryIO, stored: Stored) -> Stored:
    """Ten or twelve bits, which Pillow cuts to eight. libvips turns the picture upright itself."""
    opened = open_vips(stream, "heifload")
    image = opened.image
    return dataclasses.replace(
        stored,
        width=image.width,
        height=image.height,
        model="GRAY" if image.bands < 3 else "RGB",
        alpha=image.bands in (2, 4),
        bit_depth=16,
        top=float(_REACH[image.format]),
        rows=lambda count: rows_of(open_vips(stream, "heifload"), count),
        orientation=1,
    )
