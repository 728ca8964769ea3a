"""Reading what an upscaler wrote, with readers that keep every bit: what a viewer of that file would see."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.bench import Stop


@dataclass(frozen=True)
class Decoded:
    """A picture file. ``pixels`` are H x W x C: integers as [0, 1], floats as they are; straight alpha, not rotated."""

    pixels: NDArray[Any]
    model: str
    """gray, rgb or cmyk (0 is no ink)."""
    alpha: bool
    depth: int
    """Bits of a channel: 8, 16 or 32; 1, 2 and 4 count as 8."""
    format: str
    profile: bytes | None
    premultiplied: bool = False
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def colour(self) -> NDArray[Any]:
        return self.pixels[..., :-1] if self.alpha else self.pixels

    @property
    def rgb(self) -> NDArray[Any]:
        """H x W x 3, without alpha; CMYK the plain way."""
        colour = self.colour
        if self.model == "cmyk":
            return np.asarray((1 - colour[..., :3]) * (1 - colour[..., 3:]))
        return np.repeat(colour, 3, 2) if colour.shape[2] == 1 else colour

    @property
    def rgba(self) -> NDArray[Any]:
        alpha = self.pixels[..., -1:] if self.alpha else np.ones((*self.pixels.shape[:2], 1))
        return np.concatenate([self.rgb, alpha], 2)


def plug_in_codecs() -> None:
    """HEIC and JPEG XL for Pillow, where they are installed."""
    for name, hook in (("pillow_heif", "register_heif_opener"), ("pillow_jxl", None)):
        try:
            module = __import__(name)
        except ImportError:
            continue
        if hook:
            getattr(module, hook)()


def decode(path: Path) -> Decoded:
    """Read a file whatever its name is. Raises `Stop` where it is none that can be shown."""
    if not path.is_file():
        raise Stop("exit code 0, and no output")
    data = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if data[:8] == b"\x89PNG\r\n\x1a\n":
                return _png(data)
            if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return _tiff(path)
            if data[:2] in (b"P5", b"P6"):
                return _pnm(data)
            return _pillow(data)
    except Stop:
        raise
    except Exception as error:
        raise Stop(f"the output cannot be decoded: {error}") from error


def still_good(path: Path) -> bool:
    """Whether a file can be decoded in full."""
    try:
        decode(path)
    except (Stop, OSError):
        return False
    return True


def _info(opened: Any) -> dict[str, Any]:
    """What Pillow found beside the pixels; ``exif`` parsed, ``exif_bytes`` as they stand."""
    info = dict(opened.info)
    return info | {"exif_bytes": info.get("exif"), "exif": _exif(opened)}


def _exif(opened: Any) -> Any:
    """EXIF with its directories read while the file is open."""
    held = opened.getexif()
    for directory in (0x8769, 0x8825):
        held.get_ifd(directory)
    return held


def _scaled(values: NDArray[Any]) -> tuple[NDArray[Any], int]:
    if values.ndim == 2:
        values = values[..., None]
    if values.dtype == np.bool_:
        return values.astype(np.float64), 8
    if values.dtype.kind == "f":
        return values.astype(np.float64), 32
    top = int(np.iinfo(values.dtype).max)
    return values / top, 8 * values.dtype.itemsize


def _model(bands: int, cmyk: bool = False) -> tuple[str, bool]:
    """Colour model and alpha of so many bands."""
    if cmyk:
        return "cmyk", bands == 5
    return ("gray", bands == 2) if bands < 3 else ("rgb", bands == 4)


def _png(data: bytes) -> Decoded:
    import pyvips
    from PIL import Image

    image = pyvips.Image.new_from_buffer(data, "", fail_on="warning")
    pixels, depth = _scaled(image.numpy())
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        info, profile = _info(opened), opened.info.get("icc_profile")
        if opened.mode == "1":
            info["bilevel"] = True
    if data[24] == 16 and depth != 16:
        depth = 16
    model, alpha = _model(pixels.shape[2])
    return Decoded(pixels, model, alpha, depth, "PNG", profile, info=info)


def _tiff(path: Path) -> Decoded:
    import tifffile
    from PIL import Image

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        tags: dict[str, Any] = {"pages": len(file.pages), "orientation": page.tags.valueof(274)}
        tags |= {"xmp": page.tags.valueof(700), "iptc": page.tags.valueof(33723)}
        extra = tuple(int(value) for value in page.extrasamples)
        cmyk, white_is_zero = page.photometric == 5, page.photometric == 0
        depth, profile = int(page.bitspersample), page.tags.valueof(34675)
        planar = page.planarconfig == 2
        compression = int(page.compression)
        try:
            values = page.asarray()
            if planar and values.ndim == 3:
                values = np.moveaxis(values, 0, 2)
            associated = bool(extra) and extra[-1] == 1
            if page.photometric in (3, 6):  # palettes and YCbCr are left to libvips
                raise ValueError("not plain")
        except (ValueError, NotImplementedError):
            values, associated = _by_vips(path), False
    pixels, _ = _scaled(values)
    if white_is_zero:
        pixels = 1 - pixels
    if associated:
        alpha = pixels[..., -1:]
        safe = np.where(alpha > 0, alpha, 1)
        pixels = np.concatenate([np.where(alpha > 0, np.clip(pixels[..., :-1] / safe, 0, 1), 0), alpha], 2)
    try:
        with Image.open(path) as opened:
            tags["exif"] = _exif(opened)
            tags["dpi"] = opened.info.get("dpi")
    except Exception:
        tags["exif"] = Image.Exif()
    tags["compression"] = compression
    model, has_alpha = _model(pixels.shape[2], cmyk)
    depth = 8 if depth < 8 else depth
    return Decoded(pixels, model, has_alpha, depth, "TIFF", _bytes(profile), bool(extra) and extra[-1] == 1, tags)


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def page_brightness(path: Path) -> list[float]:
    """The mean of the values of each page of a TIFF."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        count = len(file.pages)
    return [float(_by_vips(path, page)[..., :3].mean()) for page in range(count)]


def _by_vips(path: Path, page: int = 0) -> NDArray[Any]:
    import pyvips

    return np.asarray(pyvips.Image.tiffload(str(path), page=page, fail_on="warning").numpy())


def _pnm(data: bytes) -> Decoded:
    head = re.match(rb"P([56])\s(?:#.*\n)?(\d+)\s(?:#.*\n)?(\d+)\s(?:#.*\n)?(\d+)\s", data)
    if head is None:
        raise Stop("the output cannot be decoded: no header of PNM")
    width, height, top = (int(number) for number in head.groups()[1:])
    bands = 3 if head[1] == b"6" else 1
    kind = np.dtype(">u2" if top > 255 else "u1")
    values = np.frombuffer(data, kind, width * height * bands, head.end()).reshape(height, width, bands)
    model, alpha = _model(bands)
    return Decoded(values / top, model, alpha, 8 * kind.itemsize, "PPM", None)


def _pillow(data: bytes) -> Decoded:
    from PIL import Image

    plug_in_codecs()
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        info, kind, profile = _info(opened), str(opened.format), opened.info.get("icc_profile")
        image: Image.Image = opened
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        elif image.mode == "1":
            image = image.convert("L")
        mode, values = image.mode, np.asarray(image)
    if mode.startswith("I"):
        values = np.clip(values, 0, 65535).astype(np.uint16)
    pixels, depth = _scaled(values)
    model, alpha = ("cmyk", False) if mode == "CMYK" else _model(pixels.shape[2])
    return Decoded(pixels, model, alpha, depth, "JPEG" if kind == "MPO" else kind, profile, info=info)
