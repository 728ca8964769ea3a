"""A file's bytes from strips of a picture: colours, alpha and depth as the format can hold them, and metadata."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from srgan.atomic import reason
from srgan.errors import CannotWrite, InvalidConfig, MissingDependency
from srgan.imaging import icc
from srgan.imaging.encoders.jpeg import jpeg_options, state_ratio
from srgan.imaging.encoders.png import PngWriter
from srgan.imaging.encoders.pnm import write_netpbm
from srgan.imaging.formats import FORMATS, Format, check_format, format_of
from srgan.imaging.metadata.descriptions import states_scale
from srgan.imaging.metadata.exif import description_of
from srgan.imaging.metadata.georeference import GEOREFERENCE
from srgan.imaging.picture import Density, to_uint8, to_uint16

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from srgan.imaging.encoders.tiff import TiffWriter
    from srgan.imaging.picture import Picture

Strip = Any
"""Rows x width x channels, float32."""
Model = Literal["GRAY", "RGB", "CMYK"]

_log = logging.getLogger(__name__)
_STRIP_VALUES = 1 << 20
"""Values made ready at a time."""
_QUALITY = {"JPEG": 95, "WEBP": 90, "AVIF": 80, "HEIC": 85, "JXL": 90}
_SIGNATURES = {"GRAY": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
_FROM_SRGB = np.array(
    [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]], np.float64
)
"""XYZ of red, green and blue of sRGB, adapted to D50."""
_NEAR = 2e-3
"""Primaries of this difference are the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """One of several pictures of a file."""

    strips: Iterable[NDArray[np.float32]]
    """As `srgan.imaging.encode_strips` takes them."""
    size: tuple[int, int]
    """Height and width."""
    like: Picture
    """All but the pixels."""


@dataclass(frozen=True)
class _Plan:
    """How the strips of a picture become values of a file."""

    model: Model
    alpha: bool
    dtype: type[np.generic]
    profile: bytes | None
    steps: tuple[Callable[[Strip], Strip], ...]
    """What is done with each strip, one after the other; the result is floating point, as in the file but for range."""
    levels: tuple[float, float]
    premultiplied: bool

    @property
    def samples(self) -> int:
        return {"GRAY": 1, "RGB": 3, "CMYK": 4}[self.model] + self.alpha

    def rows(self, strips: Iterable[Strip]) -> Iterator[NDArray[Any]]:
        """Values of the file, in portions of a few megabytes."""
        for strip in strips:
            step = max(1, _STRIP_VALUES // (strip.shape[1] * self.samples))
            for start in range(0, len(strip), step):
                values = strip[start : start + step]
                for convert in self.steps:
                    values = convert(values)
                yield self._numbers(values)
            # The next strip may be as large: let go of this one before it is made.
            del strip, values

    def _numbers(self, values: Strip) -> NDArray[Any]:
        """Values in [0, 1] as numbers of ``dtype``."""
        colours = values.shape[2] - self.alpha
        if self.dtype is np.float32 and self.levels != (0.0, 1.0):
            low, high = np.float32(self.levels[0]), np.float32(self.levels[1])
            values = values.copy()
            values[..., :colours] = values[..., :colours] * (high - low) + low
        if self.premultiplied:
            values = values.copy()
            values[..., :colours] *= values[..., colours:]
        if self.dtype is np.uint8:
            return to_uint8(values)
        return to_uint16(values) if self.dtype is np.uint16 else np.nan_to_num(values)


def encode(
    strips: Iterable[Strip], size: tuple[int, int], like: Picture, format: str, quality: int | None, stream: BinaryIO
) -> None:
    """Write a picture of ``size`` (height, width) to an empty, seekable ``stream``, as `encode_picture` says.

    PNG, TIFF, PPM and PFM hold a few strips; the others hold the whole picture as integers. Raises `InvalidConfig`,
    `LimitExceeded`, `CannotWrite`, `MissingDependency`, and ValueError when there are too many or too few rows.
    """
    format = format_of(None, format)
    if quality is not None and not 1 <= quality <= 100:
        raise InvalidConfig(f"the quality is 1 to 100, not {quality}")
    plan = _plan(like, format)
    check_format(format, size[1], size[0], plan.samples)
    _check_installed(format)
    if format != "TIFF":
        _tell_of_tags(like, format)
    rows = plan.rows(strips)
    if format == "PNG":
        _encode_png(rows, size, plan, like, stream)
    elif format == "TIFF":
        _encode_tiff(rows, size, plan, like, stream)
    elif format in ("PPM", "PFM"):
        write_netpbm(stream, size, plan.samples, rows)
    else:
        values = _whole(rows, (*size, plan.samples))
        try:
            _encode_by_pillow(values, plan, like, format, quality, stream)
        except (OSError, ValueError, OverflowError, RuntimeError) as error:
            raise CannotWrite(reason(error)) from error


def _check_installed(format: str) -> None:
    """Before the work. The libraries are imported where they are used."""
    from importlib.util import find_spec

    module, library = {"HEIC": ("pillow_heif", "pillow-heif"), "JXL": ("pillow_jxl", "pillow-jxl-plugin")}.get(
        format, ("", "")
    )
    if module and find_spec(module) is None:
        raise MissingDependency(library, FORMATS[format].extra or "")
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


# ------------------------------------------------------------------------------------------- colour, alpha, depth


def _plan(like: Picture, format: str) -> _Plan:
    """What ``format`` can hold of the pixels of ``like``."""
    held = FORMATS[format]
    alpha = like.has_alpha and held.alpha
    colours = like.pixels.shape[2] - like.has_alpha
    own: Model = "GRAY" if colours == 1 else "RGB"
    steps: list[Callable[[Strip], Strip]] = [] if alpha == like.has_alpha else [_on_white]
    space, profile = like.space, like.icc_profile
    if space is not None:
        if held.profile and space.model in held.models and (space.model == "GRAY") == (own == "GRAY"):
            steps.append(_on_colours(space.from_working, alpha))
            own = space.model
        else:
            profile = space.working_profile
    if own not in held.models:
        own = "RGB"
        steps.append(_on_colours(lambda gray: np.repeat(gray, 3, axis=2), alpha))
    if not held.profile and own == "RGB" and (to_srgb := _to_srgb(profile)) is not None:
        steps.append(_on_colours(to_srgb, alpha))
    return _Plan(
        model=own,
        alpha=alpha,
        dtype=_dtype(like.bit_depth, held),
        profile=profile if held.profile and profile and profile[16:20] == _SIGNATURES[own] else None,
        steps=tuple(steps),
        levels=like.levels if like.bit_depth == 32 else (0.0, 1.0),
        premultiplied=alpha and like.premultiplied and format == "TIFF",
    )


def _dtype(bit_depth: int, held: Format) -> type[np.generic]:
    bits = max(held.least_bits, min(bit_depth, held.bits))
    return np.float32 if bits == 32 else np.uint16 if bits > 8 else np.uint8


def _on_white(strip: Strip) -> Strip:
    """Rows without their alpha, as they look on white paper: the rule for formats that have no alpha."""
    colour, alpha = strip[..., :-1], strip[..., -1:]
    return np.asarray(colour * alpha + (1 - alpha), np.float32)


def _on_colours(convert: Callable[[Strip], Strip], alpha: bool) -> Callable[[Strip], Strip]:
    """``convert`` for the colour channels alone; alpha, where there is one, stays as it is."""
    if not alpha:
        return convert
    return lambda strip: np.concatenate([convert(np.ascontiguousarray(strip[..., :-1])), strip[..., -1:]], axis=2)


def _to_srgb(profile: bytes | None) -> Callable[[Strip], Strip] | None:
    """From the primaries of ``profile``, whose curves are that of sRGB, to sRGB, for files without a profile.

    Colours outside sRGB are clipped. None when there is nothing to do or nothing known.
    """
    try:
        primaries = icc.colorants(icc.read_profile(profile)) if profile else None
    except icc.UnusableProfile:
        return None
    if primaries is None or np.abs(primaries - _FROM_SRGB).max() < _NEAR:
        return None
    matrix = (primaries @ np.linalg.inv(_FROM_SRGB)).astype(np.float32)

    def convert(strip: Strip) -> Strip:
        linear = np.where(strip <= 0.04045, strip / 12.92, ((np.maximum(strip, 0.04045) + 0.055) / 1.055) ** 2.4)
        linear = np.clip(linear.astype(np.float32) @ matrix, 0, 1)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return encoded.astype(np.float32)

    return convert


# ------------------------------------------------------------------------------------------------------- streaming


def _encode_png(
    rows: Iterable[NDArray[Any]], size: tuple[int, int], plan: _Plan, like: Picture, stream: BinaryIO
) -> None:
    writer = PngWriter(
        stream,
        size[1],
        size[0],
        plan.samples,
        bit_depth=8 if plan.dtype is np.uint8 else 16,
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


def _encode_tiff(
    rows: Iterable[NDArray[Any]], size: tuple[int, int], plan: _Plan, like: Picture, stream: BinaryIO
) -> None:
    from srgan.imaging.encoders.tiff import TiffWriter

    writer = TiffWriter(stream, most_bytes=_bytes_of(plan, size))
    try:
        _add_page(writer, rows, size, plan, like)
    finally:
        writer.close()


def encode_pages(pages: Iterable[Page], most_bytes: int, stream: BinaryIO) -> list[tuple[int, int]]:
    """Write ``pages`` as a TIFF to an empty, seekable ``stream``, as `write_pages` says, and return their sizes."""
    from srgan.imaging.encoders.tiff import TiffWriter

    writer = TiffWriter(stream, most_bytes=most_bytes, several=True)
    sizes = []
    try:
        for page in pages:
            plan = _plan(page.like, "TIFF")
            check_format("TIFF", page.size[1], page.size[0], plan.samples)
            most_bytes -= _bytes_of(plan, page.size)
            if most_bytes < 0:
                raise ValueError("the pages are larger than was said")
            _add_page(writer, plan.rows(page.strips), page.size, plan, page.like)
            sizes.append(page.size)
    finally:
        writer.close()
    return sizes


def _bytes_of(plan: _Plan, size: tuple[int, int]) -> int:
    return size[0] * size[1] * plan.samples * np.dtype(plan.dtype).itemsize


def _add_page(
    writer: TiffWriter, rows: Iterable[NDArray[Any]], size: tuple[int, int], plan: _Plan, like: Picture
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


def _encode_by_pillow(
    values: NDArray[Any], plan: _Plan, like: Picture, format: str, quality: int | None, stream: BinaryIO
) -> None:
    from PIL import Image

    if plan.model == "CMYK":
        image = Image.frombuffer("CMYK", values.shape[1::-1], values.tobytes(), "raw", "CMYK", 0, 1)
    else:
        image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    quality = quality or _QUALITY.get(format, 100)
    if format == "JPEG":
        start = stream.tell()
        image.save(stream, "JPEG", quality=quality, subsampling="4:4:4", **jpeg_options(plan.profile, like))
        state_ratio(stream, start, like.density and like.density.ratio)
    elif format == "WEBP":
        how = {"lossless": True, "exact": True} if quality == 100 else {"quality": quality}
        image.save(stream, "WEBP", **how, **_blocks(plan, like))
    elif format == "AVIF":
        image.save(stream, "AVIF", quality=quality, subsampling="4:4:4", **_blocks(plan, like))
    elif format == "HEIC":
        _encode_heic(image, quality, _blocks(plan, like), stream)
    elif format == "JXL":
        _encode_jxl(image, quality, like, stream)
    elif format == "GIF":
        image, options = _palette(image)
        comments = [text for keyword, text in like.text if keyword == "Comment"]
        image.save(stream, "GIF", **options, **({"comment": comments[0].encode()} if comments else {}))
    else:
        image.save(stream, format, **({} if (dpi := like.per_inch) is None else {"dpi": dpi}))


def _blocks(plan: _Plan, like: Picture) -> dict[str, Any]:
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
    if measures and (like.per_inch is None or format not in ("PNG", "JPEG", "BMP")):
        lost.append("the scale in pixels per unit")
    elif like.density is not None and like.density.ratio and format not in ("PNG", "JPEG"):
        lost.append("the shape of a pixel")
    if lost:
        _log.warning("%s: %s has no place for %s", like.name or "the picture", format, "; ".join(lost))


def _scaled(like: Picture) -> bool:
    description = description_of(like.exif) if like.exif else None
    return description is not None and states_scale(description)


def _encode_heic(image: Image.Image, quality: int, blocks: dict[str, Any], stream: BinaryIO) -> None:
    import pillow_heif

    image.info = {}
    file = pillow_heif.from_pillow(image)
    if "icc_profile" in blocks:
        file.info["icc_profile"], file.info["icc_profile_type"] = blocks.pop("icc_profile"), "prof"
    file.save(stream, quality=-1 if quality == 100 else quality, chroma=444, **blocks)


def _encode_jxl(image: Image.Image, quality: int, like: Picture, stream: BinaryIO) -> None:
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
