"""Sixteen bits and floats stay what they are; gray stays gray."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import files
from conformance.bench import Bench
from conformance.decode import Decoded, decode
from conformance.files import png
from conformance.judge import kept, right_size
from conformance.measure import pooled
from conformance.pictures import gradient, u8, u16
from conformance.rows import row

WHY = "Sixteen bits read as eight give bands in every sky; a dark picture taken for 8 bit comes out glaring."


def fine_gradient(bench: Bench, out: Decoded, small: Any) -> None:
    """More values than 8 bit has, rising without a step back."""
    right_size(bench, out, small)
    channel = out.pixels[..., 0]
    bench.expect("distinct values", len(np.unique(channel)), least=257)
    means = channel[8:-8].mean(0)[8:-8]
    bench.expect("largest step back in levels of 255", float(max(0, -np.diff(means).min()) * 255), most=0.5)
    off = np.abs(pooled(channel[..., None], bench.scale)[4:-4, 4:-4] - small[4:-4, 4:-4, :1])
    bench.expect("mean error in levels of 255", float(off.mean() * 255), most=1.5)


@row("depth.png16-gradient", "A 16-bit gradient stays smooth", "96x48 gradient, PNG 16 bit", WHY)
def png_gradient(bench: Bench) -> None:
    small = gradient(96, 48, 0.3, 0.5)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u16(small), 16))))
    kept(bench, out, format="PNG", model="rgb", depth=16)
    fine_gradient(bench, out, small)


@row(
    "depth.png16-gray-gradient", "A 16-bit gray gradient stays smooth and gray", "96x48 gradient, PNG gray 16 bit", WHY
)
def png_gray_gradient(bench: Bench) -> None:
    small = gradient(96, 48, 0.3, 0.5, channels=1)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u16(small), 16))))
    kept(bench, out, format="PNG", model="gray", depth=16)
    fine_gradient(bench, out, small)


@row("depth.tiff16-gradient", "A 16-bit TIFF gradient stays smooth", "96x48 gradient, TIFF 16 bit", WHY)
def tiff_gradient(bench: Bench) -> None:
    import tifffile

    small = gradient(96, 48, 0.3, 0.5)
    tifffile.imwrite(bench.folder / "in.tif", u16(small), photometric="rgb")
    out = decode(bench.upscale(bench.folder / "in.tif"))
    kept(bench, out, format="TIFF", model="rgb", depth=16)
    fine_gradient(bench, out, small)


def dark(bench: Bench, suffix: str) -> None:
    """Values up to 250 of 65535: black, to the eye."""
    small = u16(gradient(64, 48, 20 / 65535, 250 / 65535))
    source = bench.folder / f"in{suffix}"
    if suffix == ".png":
        files.write(source, png(small, 16))
    else:
        import tifffile

        tifffile.imwrite(source, small, photometric="rgb")
    out = decode(bench.upscale(source))
    bench.expect("bits", out.depth, 16)
    right_size(bench, out, small)
    bench.expect("brightest value of 65535", float(out.colour.max() * 65535), most=1200)


@row("depth.dark16-png", "A dark 16-bit PNG stays dark", "64x48, no value above 250 of 65535", WHY)
def dark_png(bench: Bench) -> None:
    dark(bench, ".png")


@row("depth.dark16-tiff", "A dark 16-bit TIFF stays dark", "64x48, no value above 250 of 65535", WHY)
def dark_tiff(bench: Bench) -> None:
    dark(bench, ".tif")


def floats(bench: Bench, low: float, high: float) -> None:
    import tifffile

    small = gradient(64, 48, low, high).astype(np.float32)
    tifffile.imwrite(bench.folder / "in.tif", small, photometric="rgb")
    out = decode(bench.upscale(bench.folder / "in.tif"))
    kept(bench, out, format="TIFF", model="rgb", depth=32)
    right_size(bench, out, small)
    inner = pooled(out.colour, bench.scale)
    spread = float(small.max() - small.min())
    bench.expect("mean error in % of the range", float(np.abs(inner - small).mean() / spread * 100), most=2)
    bench.expect("distinct values", len(np.unique(out.colour)), least=257)


@row("depth.float", "A float picture in 0..1 stays float", "64x48 gradient, TIFF float32",
     "Renders and scientific pictures are floats.")  # fmt: skip
def float_unit(bench: Bench) -> None:
    floats(bench, 0.1, 0.9)


@row("depth.float-range", "The range of a float picture is kept", "64x48 gradient from -0.5 to 6, TIFF float32",
     "High dynamic range and measured values go beyond 1; clipped, they are lost.")  # fmt: skip
def float_range(bench: Bench) -> None:
    floats(bench, -0.5, 6.0)


@row("depth.gray-png", "Gray stays one channel", "64x48 gradient, PNG gray", "Gray as RGB is three times the file.")
def gray_png(bench: Bench) -> None:
    small = gradient(64, 48, channels=1)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    bench.expect("channels", out.pixels.shape[2], 1)
    right_size(bench, out, small)
    error = np.abs(pooled(out.pixels, bench.scale) - small).mean() * 255
    bench.expect("mean error in levels of 255", float(error), most=1.5)


@row("depth.bright-dark-8bit", "A dark 8-bit picture stays dark", "64x48, no value above 1 of 255",
     "Guessing the depth from the brightest value goes wrong both ways.")  # fmt: skip
def dark_8(bench: Bench) -> None:
    small = gradient(64, 48, 0, 1 / 255)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    right_size(bench, out, small)
    bench.expect("brightest value of 255", float(out.colour.max() * 255), most=6)
