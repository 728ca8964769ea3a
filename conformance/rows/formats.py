"""Every format that people have comes back as itself, with the same picture in it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from conformance import files
from conformance.bench import Bench
from conformance.decode import decode, page_brightness
from conformance.files import pillow, png, vips_image
from conformance.judge import kept, same_picture
from conformance.pictures import gradient, scene, u8, u16
from conformance.rows import row

WHY = "Files come in all kinds; one that is not read, or read wrongly, is the first thing that people meet."
Writer = Callable[[Path], Any]


def picture(kind: str) -> np.ndarray[Any, Any]:
    """The scene in colour (``rgb``) or gray, as it stands in the file in the end."""
    rgb = scene()
    return rgb if kind == "rgb" else rgb @ np.array([[0.3], [0.59], [0.11]])


def entry(id: str, title: str, suffix: str, format: str, write: Writer, *, model: str = "rgb", depth: int = 8,
          shown: Any = None, mean: float = 6.0, colour_may_change: bool = False) -> None:  # fmt: skip
    """One format: written by ``write``, upscaled to the same suffix, and looked at."""

    @row(f"formats.{id}", f"{title} stays what it is", f"64x48 scene, {title}", WHY)
    def check(bench: Bench) -> None:
        source = bench.folder / f"in{suffix}"
        write(source)
        out = decode(bench.upscale(source))
        if colour_may_change:  # a palette or two levels cannot hold what lies between
            bench.expect("format", out.format, format)
            bench.note("colour", out.model)
        else:
            kept(bench, out, format=format, model=model, depth=depth)
        same_picture(bench, out, picture(model) if shown is None else shown(), mean=mean)


def two_levels() -> np.ndarray[Any, Any]:
    return (picture("gray") > 0.45).astype(float)


def few_colours() -> np.ndarray[Any, Any]:
    """The scene in the 27 colours of a palette."""
    return np.asarray(np.round(scene() * 2) / 2)


def indexed() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    steps = np.round(scene() * 2).astype(int)
    palette = np.stack(np.meshgrid(*[[0, 128, 255]] * 3, indexing="ij"), -1).reshape(-1, 3)
    return (steps @ np.array([9, 3, 1]))[..., None], palette


def ten_bits(path: Path) -> None:
    """Gray of ten bits, packed without gaps, as cameras and scanners write it."""
    values = np.round(picture("gray")[..., 0] * 1023).astype(np.uint16)
    flags = (values[..., None] >> np.arange(9, -1, -1)) & 1
    pixels = np.packbits(flags.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: 10, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(pixels)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    files.write(path, head + pixels + struct.pack("<H", len(tags)) + table + bytes(4))


def png_file(values: Any, depth: int = 8, **options: Any) -> Writer:
    return lambda path: files.write(path, png(values(), depth, **options))


def tiff(values: Any, **options: Any) -> Writer:
    """By libvips."""
    return lambda path: vips_image(values()).tiffsave(str(path), **options)


def tiff_by_tifffile(values: Any, **options: Any) -> Writer:
    def write(path: Path) -> None:
        import tifffile

        tifffile.imwrite(path, values(), **options)

    return write


def rgb8() -> Any:
    return u8(scene())


def rgb16() -> Any:
    return u16(scene())


def gray8() -> Any:
    return u8(picture("gray"))


def gray16() -> Any:
    return u16(picture("gray"))


def by_pillow(values: Any = rgb8, mode: str | None = None, **options: Any) -> Writer:
    return lambda path: pillow(path, values(), mode, **options)


def ink() -> Any:
    return files.cmyk_of(scene())


entry("png-rgb8", "PNG, 8 bit", ".png", "PNG", png_file(rgb8))
entry("png-rgb16", "PNG, 16 bit", ".png", "PNG", png_file(rgb16, 16), depth=16)
entry("png-gray8", "PNG, gray", ".png", "PNG", png_file(gray8), model="gray")
entry("png-gray16", "PNG, gray 16 bit", ".png", "PNG", png_file(gray16, 16), model="gray", depth=16)
entry("png-interlaced8", "PNG, interlaced", ".png", "PNG", png_file(rgb8, interlaced=True))
entry("png-interlaced16", "PNG, interlaced 16 bit", ".png", "PNG", png_file(rgb16, 16, interlaced=True), depth=16)
entry("png-palette", "PNG with a palette", ".png", "PNG",
      lambda path: files.write(path, png(indexed()[0], palette=indexed()[1])), shown=few_colours,
      colour_may_change=True)  # fmt: skip
entry("png-1bit", "PNG, 1 bit", ".png", "PNG", png_file(two_levels, 1), shown=two_levels, colour_may_change=True)
entry("png-gray4", "PNG, gray 4 bit", ".png", "PNG", png_file(lambda: np.round(picture("gray") * 15), 4),
      model="gray", shown=lambda: np.round(picture("gray") * 15) / 15)  # fmt: skip
entry("jpeg", "JPEG", ".jpg", "JPEG", by_pillow(quality=95))
entry("jpeg-progressive", "JPEG, progressive", ".jpg", "JPEG", by_pillow(quality=95, progressive=True))
entry("jpeg-gray", "JPEG, gray", ".jpg", "JPEG", by_pillow(gray8, quality=95), model="gray")
entry("jpeg-cmyk", "JPEG, CMYK", ".jpg", "JPEG", by_pillow(ink, "CMYK", quality=95), model="cmyk", shown=scene)
entry("jpeg-ycck", "JPEG, YCCK as Photoshop writes it", ".jpg", "JPEG", lambda path: files.ycck(path, ink()),
      model="cmyk", shown=scene)  # fmt: skip
entry("webp", "WebP", ".webp", "WEBP", by_pillow(quality=95))
entry("webp-lossless", "WebP, lossless", ".webp", "WEBP", by_pillow(lossless=True))
entry("tiff-8", "TIFF, 8 bit strips", ".tif", "TIFF", tiff(rgb8))
entry("tiff-16", "TIFF, 16 bit", ".tif", "TIFF", tiff(rgb16), depth=16)
entry(
    "tiff-float",
    "TIFF, float",
    ".tif",
    "TIFF",
    tiff_by_tifffile(lambda: scene().astype(np.float32), photometric="rgb"),
    depth=32,
)
entry(
    "tiff-tiled", "TIFF, tiled 16 bit", ".tif", "TIFF", tiff(rgb16, tile=True, tile_width=16, tile_height=16), depth=16
)
entry("tiff-lzw", "TIFF, LZW with predictor", ".tif", "TIFF", tiff(rgb8, compression="lzw", predictor="horizontal"))
entry("tiff-deflate", "TIFF, deflate 16 bit", ".tif", "TIFF", tiff(rgb16, compression="deflate"), depth=16)
entry("tiff-jpeg", "TIFF, JPEG inside", ".tif", "TIFF", tiff(rgb8, compression="jpeg", Q=95))
entry("tiff-big", "BigTIFF", ".tif", "TIFF", tiff(rgb8, bigtiff=True))
entry("tiff-planar", "TIFF, planes apart", ".tif", "TIFF",
      tiff_by_tifffile(lambda: np.moveaxis(rgb8(), 2, 0).copy(), photometric="rgb",
                       planarconfig="separate"))  # fmt: skip
entry("tiff-lzma", "TIFF, LZMA", ".tif", "TIFF", tiff_by_tifffile(rgb8, photometric="rgb", compression="lzma"))
entry("tiff-zstd", "TIFF, Zstandard", ".tif", "TIFF", by_pillow(compression="zstd"))
entry("tiff-gray10", "TIFF, gray 10 bit", ".tif", "TIFF", ten_bits, model="gray", depth=16)
entry("tiff-gray16", "TIFF, gray 16 bit", ".tif", "TIFF", tiff(gray16), model="gray", depth=16)
entry("tiff-white-is-zero", "TIFF, gray with 0 for white", ".tif", "TIFF",
      tiff_by_tifffile(lambda: 255 - gray8()[..., 0], photometric="miniswhite"), model="gray")  # fmt: skip
entry("tiff-1bit", "TIFF, 1 bit", ".tif", "TIFF", by_pillow(lambda: two_levels()[..., 0] > 0.5), shown=two_levels,
      colour_may_change=True)  # fmt: skip
entry("bmp", "BMP", ".bmp", "BMP", by_pillow())
entry("gif", "GIF", ".gif", "GIF", by_pillow(lambda: u8(few_colours())), shown=few_colours, colour_may_change=True)
entry("ppm-8", "PPM, 8 bit", ".ppm", "PPM", by_pillow())
entry("ppm-16", "PPM, 16 bit", ".ppm", "PPM",
      lambda path: files.write(path, b"P6\n64 48\n65535\n" + rgb16().astype(">u2").tobytes()), depth=16)  # fmt: skip
entry("pgm-8", "PGM, 8 bit", ".pgm", "PPM", by_pillow(gray8), model="gray")
entry("pgm-16", "PGM, 16 bit", ".pgm", "PPM",
      lambda path: files.write(path, b"P5\n64 48\n65535\n" + gray16().astype(">u2").tobytes()), model="gray",
      depth=16)  # fmt: skip
entry("avif", "AVIF", ".avif", "AVIF", by_pillow(quality=90))
entry("heic", "HEIC", ".heic", "HEIF", by_pillow(quality=90))
entry("jxl", "JPEG XL", ".jxl", "JXL", by_pillow(quality=95))


@row("formats.tiff-pages", "All pages of a TIFF are kept", "TIFF of three pages, each of another brightness",
     "A scan of many pages that comes back with its first is a loss that is found too late.")  # fmt: skip
def tiff_pages(bench: Bench) -> None:
    import tifffile

    source = bench.folder / "in.tif"
    levels = (60, 120, 180)
    with tifffile.TiffWriter(source) as writer:
        for level in levels:
            writer.write(np.full((24, 32, 3), level, np.uint8), photometric="rgb")
    target = bench.upscale(source)
    decode(target)
    means = page_brightness(target)
    bench.expect("pages", len(means), 3)
    bench.expect("largest error of a page's brightness", max(abs(a - b) for a, b in zip(means, levels, strict=False)),
                 most=2)  # fmt: skip


CHANGES = (("jpg", "JPEG"), ("webp", "WEBP"), ("tif", "TIFF"), ("bmp", "BMP"))


def change(suffix: str, format: str) -> None:
    @row(f"formats.png-to-{suffix}", f"The suffix of the output decides: PNG to {format}", "64x48 scene, PNG, 8 bit",
         "Print shops and web sites ask for another format than the one that came.")  # fmt: skip
    def check(bench: Bench) -> None:
        source = files.write(bench.folder / "in.png", png(rgb8()))
        out = decode(bench.upscale(source, f"out.{suffix}"))
        bench.expect("format", out.format, format)
        same_picture(bench, out, scene())


for pair in CHANGES:
    change(*pair)


@row("formats.suffix-in-capitals", "Suffixes in capitals are suffixes", "IN.JPG to OUT.PNG",
     "Cameras write DSC0001.JPG.")  # fmt: skip
def capitals(bench: Bench) -> None:
    source = pillow(bench.folder / "IN.JPG", u8(gradient(40, 30)), quality=95)
    out = decode(bench.upscale(source, "OUT.PNG"))
    bench.expect("format", out.format, "PNG")
    same_picture(bench, out, gradient(40, 30))


@row("formats.wrong-suffix", "The content decides, not the name", "a JPEG called in.png",
     "Web sites hand out JPEG and WebP under the name of PNG.")  # fmt: skip
def wrong_suffix(bench: Bench) -> None:
    held = io.BytesIO()
    from PIL import Image

    Image.fromarray(rgb8()).save(held, "JPEG", quality=95)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", held.getvalue()), "out.png"))
    same_picture(bench, out, scene())
