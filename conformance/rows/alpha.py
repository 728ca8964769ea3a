"""Transparency: present, right, and without a fringe."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import files
from conformance.bench import Bench, Stop
from conformance.decode import Decoded, decode
from conformance.files import chunk, pillow, png
from conformance.judge import right_size
from conformance.measure import coarse_difference, composite, pooled
from conformance.pictures import badge, grid, plain, u8, u16
from conformance.rows import row

WHY = "A logo with a dark or coloured rim, or on a black square, cannot be used."
BACKDROPS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0), "magenta": (1.0, 0.0, 1.0)}


def has_alpha(bench: Bench, out: Decoded, small: Any) -> None:
    right_size(bench, out, small)
    bench.expect("alpha", out.alpha, True)
    if not out.alpha:
        raise Stop("the transparency is lost")


def on_backdrops(bench: Bench, out: Decoded, small: Any) -> None:
    """Shown on three colours, averaged over 2 x 2 input pixels; a fringe is a few levels there."""
    for name, colour in BACKDROPS.items():
        apart = coarse_difference(composite(out.pixels, colour), composite(small, colour), bench.scale, block=2) * 255
        bench.expect(f"on {name}: mean", float(apart.mean()), most=2)
        bench.expect(f"on {name}: worst", float(apart.max()), most=30)


def no_leak(bench: Bench, out: Decoded, seen_from: float = 0.1) -> None:
    """Where something shows, it is red: the green that was hidden stays hidden."""
    shown = out.pixels[..., 3] > seen_from
    green = out.pixels[..., 1][shown] * 255
    bench.expect("hidden green in what shows, 99th percentile of 255", float(np.percentile(green, 99)), most=50)


@row("alpha.present", "Transparency is there, and right", "64x64 disc, PNG RGBA", WHY)
def present(bench: Bench) -> None:
    small = badge()
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    has_alpha(bench, out, small)
    apart = coarse_difference(out.pixels[..., 3:], small[..., 3:], bench.scale, block=2)
    bench.expect("alpha off by, mean % of full", float(apart.mean() * 100), most=1)
    bench.expect("corner transparent", float(out.pixels[:8, :8, 3].max() * 255), most=1)
    bench.expect("middle opaque", float(out.pixels[124:132, 112:120, 3].min() * 255), least=254)


@row("alpha.no-fringe", "No fringe on black, white and magenta", "red disc with a soft edge, PNG RGBA", WHY)
def no_fringe(bench: Bench) -> None:
    small = badge()
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    has_alpha(bench, out, small)
    on_backdrops(bench, out, small)


@row("alpha.no-leak", "Colour that is hidden stays hidden", "red disc, green under what is transparent, PNG RGBA",
     "Editors leave white, black or old pixels under transparency; they must not bleed into the edge.")  # fmt: skip
def hidden(bench: Bench) -> None:
    small = badge()
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    has_alpha(bench, out, small)
    no_leak(bench, out)


@row("alpha.webp", "WebP keeps its transparency", "red disc, WebP RGBA", WHY)
def webp(bench: Bench) -> None:
    small = badge()
    out = decode(bench.upscale(pillow(bench.folder / "in.webp", small, lossless=True, exact=True)))
    has_alpha(bench, out, small)
    on_backdrops(bench, out, small)


@row("alpha.premultiplied-tiff", "Premultiplied TIFF is not darkened", "red disc, TIFF with associated alpha",
     "Compositing programs write premultiplied alpha; taken for straight, every edge turns dark.")  # fmt: skip
def premultiplied(bench: Bench) -> None:
    _tiff(bench, associated=True)


@row("alpha.straight-tiff16", "TIFF with straight alpha, 16 bit", "red disc, TIFF 16 bit, unassociated alpha", WHY)
def straight_tiff(bench: Bench) -> None:
    _tiff(bench, associated=False)


def _tiff(bench: Bench, associated: bool) -> None:
    import tifffile

    small = badge()
    stored = np.concatenate([small[..., :3] * small[..., 3:], small[..., 3:]], 2) if associated else small
    kind = "assocalpha" if associated else "unassalpha"
    values = u8(stored) if associated else u16(stored)
    tifffile.imwrite(bench.folder / "in.tif", values, photometric="rgb", extrasamples=[kind])
    out = decode(bench.upscale(bench.folder / "in.tif"))
    has_alpha(bench, out, small)
    bench.expect("bits", out.depth, 8 if associated else 16)
    on_backdrops(bench, out, small)


@row("alpha.nothing-shows", "A fully transparent picture stays so", "48x48, alpha 0 everywhere, PNG RGBA",
     "Dividing by an alpha of 0 is a classic.")  # fmt: skip
def nothing(bench: Bench) -> None:
    small = plain((0.6, 0.3, 0.2, 0.0))
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    has_alpha(bench, out, small)
    bench.expect("largest alpha of 255", float(out.pixels[..., -1].max() * 255), most=1)


@row("alpha.sixteen-bit", "Alpha of 16 bit stays 16 bit", "alpha rises from left to right, PNG RGBA 16 bit",
     "Soft shadows in 8 bit have bands.")  # fmt: skip
def deep(bench: Bench) -> None:
    x, y = grid(96, 48)
    alpha = 0.2 + 0.3 * (0.9 * x + 0.1 * y)
    small = np.concatenate([plain((0.5, 0.3, 0.2), 96, 48), alpha[..., None]], 2)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u16(small), 16))))
    has_alpha(bench, out, small)
    bench.expect("bits", out.depth, 16)
    bench.expect("distinct values of alpha", len(np.unique(out.pixels[..., 3])), least=257)
    off = np.abs(pooled(out.pixels[..., 3:], bench.scale) - small[..., 3:])[4:-4, 4:-4]
    bench.expect("alpha off by, mean % of full", float(off.mean() * 100), most=1)


@row("alpha.gray", "Gray with alpha keeps both", "gray disc, PNG gray and alpha", WHY)
def gray(bench: Bench) -> None:
    rgba = badge()
    small = np.concatenate([np.where(rgba[..., 3:] > 0, 0.8, 0.1), rgba[..., 3:]], 2)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    has_alpha(bench, out, small)
    bench.expect("colour", out.model, "gray")
    on_backdrops(bench, out, small)


@row("alpha.palette", "The transparent colour of a palette stays transparent", "disc, PNG palette with tRNS",
     "Old icons and sprites have a palette.")  # fmt: skip
def palette(bench: Bench) -> None:
    inside = (badge()[..., 3:] > 0.5).astype(int)
    colours = np.array([[0, 255, 0], [220, 30, 30]])
    data = png(inside, palette=colours, extra=chunk(b"tRNS", b"\0\xff"))
    out = decode(bench.upscale(files.write(bench.folder / "in.png", data)))
    small = np.concatenate([colours[inside[..., 0]] / 255, inside.astype(float)], 2)
    has_alpha(bench, out, small)
    on_backdrops(bench, out, small)


@row("alpha.colour-key", "A transparent colour of an RGB PNG stays transparent", "disc, PNG RGB with tRNS",
     "The rarest kind of transparency, and the first to be forgotten.")  # fmt: skip
def colour_key(bench: Bench) -> None:
    inside = badge()[..., 3] > 0.5
    rgb = np.where(inside[..., None], [220, 30, 30], [0, 255, 0]).astype(np.uint8)
    data = png(rgb, extra=chunk(b"tRNS", bytes([0, 0, 0, 255, 0, 0])))
    out = decode(bench.upscale(files.write(bench.folder / "in.png", data)))
    small = np.concatenate([rgb / 255, inside[..., None].astype(float)], 2)
    has_alpha(bench, out, small)
    on_backdrops(bench, out, small)


@row("alpha.gray-key", "A transparent gray of a PNG of 2 bits stays transparent", "disc, PNG gray of 2 bits with tRNS",
     "The value counts in 2 bits; compared with values of 8 bits, nothing is transparent.")  # fmt: skip
def gray_key(bench: Bench) -> None:
    inside = badge()[..., 3:] > 0.5
    values = np.where(inside, 2, 1)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(values, 2, extra=chunk(b"tRNS", b"\0\1")))))
    small = np.concatenate([np.repeat(values / 3, 3, 2), inside.astype(float)], 2)
    has_alpha(bench, out, small)
    apart = coarse_difference(out.pixels[..., -1:], small[..., 3:], bench.scale, block=2)
    bench.expect("alpha off by, mean % of full", float(apart.mean() * 100), most=2)


@row("alpha.opaque-target", "A target without alpha shows a plain backdrop, or is refused", "red disc to JPEG",
     "What was hidden must not appear when the target cannot hide it.")  # fmt: skip
def opaque_target(bench: Bench) -> None:
    small = badge()
    source = files.write(bench.folder / "in.png", png(u8(small)))
    target = bench.folder / "out.jpg"
    ran = bench.run(source, target)
    if ran.code:
        bench.note("outcome", "refused")
        bench.expect("says why", bool(ran.last_line()), True)
        bench.expect("output left", target.exists(), False)
        return
    out = decode(target)
    right_size(bench, out, small)
    corner = out.rgb[:16, :16].mean((0, 1))
    bench.expect("outcome", "hidden green shows" if corner[1] - max(corner[0], corner[2]) > 0.3 else "plain backdrop",
                 "plain backdrop")  # fmt: skip
    apart = coarse_difference(out.rgb, composite(small, tuple(corner)), bench.scale, block=2) * 255
    bench.expect("mean difference", float(apart.mean()), most=4)
