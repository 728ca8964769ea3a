"""A file's bytes from strips of a picture, whose values `srgan.imaging.fitting` makes, and metadata."""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from srgan.atomic import reason
from srgan.errors import CannotWrite, InvalidConfig, MissingDependency
from srgan.imaging.described import CodePoints
from srgan.imaging.encoders.jpeg import jpeg_options, state_ratio
from srgan.imaging.encoders.png import PngWriter
from srgan.imaging.encoders.pnm import write_netpbm
from srgan.imaging.fitting import Plan, Strip, plan_for
from srgan.imaging.formats import FORMATS, check_format, format_of, part_of
from srgan.imaging.metadata.descriptions import states_scale
from srgan.imaging.metadata.exif import description_of
from srgan.imaging.metadata.georeference import GEOREFERENCE
from srgan.imaging.picture import Density

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from srgan.imaging.encoders.tiff import TiffWriter
    from srgan.imaging.picture import Picture

Rows = Iterable[Any]
"""Values of the file, rows x width x samples, as `Plan.rows` gives them."""

_log = logging.getLogger(__name__)
_BT601 = 6
"""The matrix to luma and chroma, by its code point."""
_AVIF_SRGB = b"colrnclx" + struct.pack(">HH", 1, 13)


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """One of several pictures of a file."""

    strips: Iterable[NDArray[np.float32]]
    """As `srgan.imaging.encode_strips` takes them."""
    size: tuple[int, int]
    """Height and width."""
    like: Picture
    """All but the pixels."""


def encode(
    strips: Iterable[Strip], size: tuple[int, int], like: Picture, format: str, quality: int | None, stream: BinaryIO
) -> None:
    """Write a picture of ``size`` (height, width) to an empty, seekable ``stream``, as `encode_picture` says.

    PNG, TIFF, PPM and PFM hold a few strips; the others hold the whole picture as integers. Raises `InvalidConfig`,
    `LimitExceeded`, `CannotWrite`, `MissingDependency`, and ValueError when there are too many or too few rows.
    """
    format = format_of(None, format)
    if quality is not None and not 1 <= quality <= 100:
        raise InvalidConfig(f"quality must be 1 to 100, not {quality}")
    plan = plan_for(like, format)
    check_format(format, size[1], size[0], plan.samples)
    _check_installed(format)
    if format != "TIFF":
        _tell_of_tags(like, format)
    quality = quality or FORMATS[format].quality or 100
    part_of(FORMATS[format].encoder)(plan.rows(strips), size, plan, like, quality, stream)


def _check_installed(format: str) -> None:
    """Before the work. The libraries are imported where they are used."""
    from importlib.util import find_spec

    held = FORMATS[format]
    if held.needs and find_spec(held.needs[0]) is None:
        raise MissingDependency(held.needs[1], held.extra or "")
    if format == "AVIF":
        from PIL import features

        if not features.check("avif"):
            raise CannotWrite("Pillow has no AVIF on this machine; choose WebP or PNG")


def _whole(rows: Iterable[NDArray[Any]], shape: tuple[int, int, int]) -> NDArray[Any]:
    values = np.empty(shape, np.uint8)
    row = 0
    for part in rows:
        values[row : row + len(part)] = part
        row += len(part)
    if row != shape[0]:
        raise ValueError(f"{row} rows came for a picture of {shape[0]}")
    return values


# ------------------------------------------------------------------------------------------------------- streaming


def encode_png(rows: Rows, size: tuple[int, int], plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    writer = PngWriter(
        stream,
        size[1],
        size[0],
        plan.samples,
        bit_depth=8 if plan.dtype is np.uint8 else 16,
        described=plan.described,
        icc_profile=plan.profile,
        exif=like.exif,
        xmp=like.xmp,
        iptc=like.iptc,
        text=like.text,
        dpi=like.per_inch,
        shape_of_a_pixel=like.density and like.density.ratio,
    )
    # A portion is compressed while the next one is made: by the network, or at least turned into integers.
    with ThreadPoolExecutor(1, thread_name_prefix="srgan-png") as pool:
        writing: Future[None] | None = None
        for part in rows:
            if writing is not None:
                writing.result()
            writing = pool.submit(writer.write_rows, part)
        if writing is not None:
            writing.result()
    writer.finish()


def encode_tiff(rows: Rows, size: tuple[int, int], plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    from srgan.imaging.encoders.tiff import TiffWriter

    writer = TiffWriter(stream, most_bytes=_bytes_of(plan, size))
    try:
        _add_page(writer, rows, size, plan, like)
    finally:
        writer.close()


def encode_netpbm(rows: Rows, size: tuple[int, int], plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    write_netpbm(stream, size, plan.samples, rows)


def encode_pages(pages: Iterable[Page], most_bytes: int, stream: BinaryIO) -> list[tuple[int, int]]:
    """Write ``pages`` as a TIFF to an empty, seekable ``stream``, as `write_pages` says, and return their sizes."""
    from srgan.imaging.encoders.tiff import TiffWriter

    writer = TiffWriter(stream, most_bytes=most_bytes, several=True)
    sizes = []
    try:
        for page in pages:
            plan = plan_for(page.like, "TIFF")
            check_format("TIFF", page.size[1], page.size[0], plan.samples)
            most_bytes -= _bytes_of(plan, page.size)
            if most_bytes < 0:
                raise ValueError("the pages are larger than was said")
            _add_page(writer, plan.rows(page.strips), page.size, plan, page.like)
            sizes.append(page.size)
    finally:
        writer.close()
    return sizes


def _bytes_of(plan: Plan, size: tuple[int, int]) -> int:
    return size[0] * size[1] * plan.samples * np.dtype(plan.dtype).itemsize


def _add_page(
    writer: TiffWriter, rows: Iterable[NDArray[Any]], size: tuple[int, int], plan: Plan, like: Picture
) -> None:
    writer.add(
        size,
        plan.model,
        None if not plan.alpha else "premultiplied" if plan.premultiplied else "straight",
        plan.dtype,
        rows,
        icc_profile=plan.profile,
        exif=like.exif,
        xmp=like.xmp,
        iptc=like.iptc,
        tags=like.tags,
        density=like.density if like.dpi is None else Density(*like.dpi, 2),
    )


# ---------------------------------------------------------------------------------------------------------- Pillow


def _by_pillow(save: Callable[[Image.Image, Plan, Picture, int, BinaryIO], None]) -> Callable[..., None]:
    """The encoder of a format whose pictures ``save`` writes whole."""

    def encode(rows: Rows, size: tuple[int, int], plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
        from PIL import Image

        values = _whole(rows, (*size, plan.samples))
        try:
            if plan.model == "CMYK":
                image = Image.frombuffer("CMYK", size[::-1], values.tobytes(), "raw", "CMYK", 0, 1)
            else:
                image = Image.fromarray(values[..., 0] if plan.samples == 1 else values)
            del values
            save(image, plan, like, quality, stream)
        except (OSError, ValueError, OverflowError, RuntimeError) as error:
            raise CannotWrite(reason(error)) from error

    return encode


@_by_pillow
def encode_jpeg(image: Image.Image, plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    start = stream.tell()
    image.save(stream, "JPEG", quality=quality, subsampling="4:4:4", **jpeg_options(plan.profile, like))
    state_ratio(stream, start, like.density and like.density.ratio)


@_by_pillow
def encode_webp(image: Image.Image, plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    how = {"lossless": True, "exact": True} if quality == 100 else {"quality": quality}
    image.save(stream, "WEBP", **how, **_blocks(plan, like))


@_by_pillow
def encode_gif(image: Image.Image, plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    image, options = _palette(image)
    comments = [text for keyword, text in like.text if keyword == "Comment"]
    image.save(stream, "GIF", **options, **({"comment": comments[0].encode()} if comments else {}))


@_by_pillow
def encode_bmp(image: Image.Image, plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    image.save(stream, "BMP", **({} if (dpi := like.per_inch) is None else {"dpi": dpi}))


def _blocks(plan: Plan, like: Picture) -> dict[str, Any]:
    """Profile, EXIF and XMP, as most of Pillow's writers take them."""
    found = {
        "icc_profile": plan.profile,
        "exif": None if like.exif is None else b"Exif\0\0" + like.exif,
        "xmp": like.xmp,
    }
    return {name: value for name, value in found.items() if value is not None}


def _tell_of_tags(like: Picture, format: str) -> None:
    """What TIFF alone has a place for."""
    lost = []
    if any(tag in GEOREFERENCE for tag in like.tags):
        lost.append("the georeference")
    if any(tag not in GEOREFERENCE for tag in like.tags):
        lost.append("the name or number of the page")
    measures = like.density is not None and like.format == "TIFF" and (like.density.unit != 1 or _scaled(like))
    if measures and (like.per_inch is None or not FORMATS[format].resolution):
        lost.append("the scale in pixels per unit")
    elif like.density is not None and like.density.ratio and not FORMATS[format].pixel_shape:
        lost.append("the shape of a pixel")
    if lost:
        _log.warning("%s: %s has no place for %s", like.name or "the picture", format, "; ".join(lost))


def _scaled(like: Picture) -> bool:
    description = description_of(like.exif) if like.exif else None
    return description is not None and states_scale(description)


@_by_pillow
def encode_avif(image: Image.Image, plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    """Pillow knows no other code points than those of sRGB, so the box that has them is written anew."""
    encoded = io.BytesIO()
    image.save(encoded, "AVIF", quality=quality, subsampling="4:4:4", **_blocks(plan, like))
    data = encoded.getvalue()
    if isinstance(plan.described, CodePoints):
        said = struct.pack(">HH", plan.described.primaries, plan.described.transfer)
        before, found, after = data.partition(_AVIF_SRGB)
        if not found:
            raise CannotWrite("this version of Pillow does not say what the colours of an AVIF are; choose PNG")
        data = before + _AVIF_SRGB[:-4] + said + after
    stream.write(data)


@_by_pillow
def encode_heic(image: Image.Image, plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    import pillow_heif

    image.info = {}
    file = pillow_heif.from_pillow(image)
    blocks = _blocks(plan, like)
    if isinstance(plan.described, CodePoints):
        blocks |= {
            "color_primaries": plan.described.primaries,
            "transfer_characteristics": plan.described.transfer,
            "matrix_coefficients": _BT601,
            "full_range_flag": 1,
        }
    if "icc_profile" in blocks:
        file.info["icc_profile"], file.info["icc_profile_type"] = blocks.pop("icc_profile"), "prof"
    file.save(stream, quality=-1 if quality == 100 else quality, chroma=444, **blocks)


@_by_pillow
def encode_jxl(image: Image.Image, plan: Plan, like: Picture, quality: int, stream: BinaryIO) -> None:
    import pillow_jxl  # noqa: F401 (makes itself known to Pillow)

    how: dict[str, Any] = {"lossless": True} if quality == 100 else {"quality": quality}
    if like.exif is not None:
        how["exif"] = bytes(4) + like.exif  # the box begins with the offset of the TIFF stream in it
    if like.xmp is not None:
        how["xmp"] = like.xmp
    image.save(stream, "JXL", **how)


def _palette(image: Image.Image) -> tuple[Image.Image, dict[str, Any]]:
    """``image`` in at most 256 colours, one of them transparent where alpha is below a half.

    Gray, and colours that are few enough, stay exact. Of others, median cut chooses 256, or 255 beside the
    transparent one, and dots of the nearest ones mix them (Floyd and Steinberg).
    """
    from PIL import Image

    clear = None
    if image.mode in ("LA", "RGBA"):
        clear = image.getchannel("A").point(lambda value: 255 * (value < 128))
        clear = clear if clear.getextrema()[1] else None
        image = image.convert(image.mode[:-1])
        if clear is not None:
            image.paste(0, mask=clear)  # what is not seen takes no colours
    if clear is None and image.mode == "L":
        return image, {}
    image = image.convert("RGB")
    most = 256 - (clear is not None)
    exact = image.getcolors(most) is not None
    palette = image.quantize(most, Image.Quantize.MEDIANCUT)
    if not exact:
        palette = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if clear is None:
        return palette, {}
    palette.paste(255, mask=clear)
    return palette, {"transparency": 255}
