"""Sizes, places and plain colours: exactly so many times larger, not shifted, without seams, without a drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import files
from conformance.bench import Bench, NotRun
from conformance.decode import decode
from conformance.files import png
from conformance.judge import right_size
from conformance.measure import bends, centroid, pooled
from conformance.pictures import blob, gradient, noise, plain, scene, u8
from conformance.rows import row

SIZES = ((1, 1), (1, 64), (64, 1), (2, 2), (3, 5), (7, 4), (31, 33), (127, 9), (1, 700), (700, 1))


def size_row(width: int, height: int) -> None:
    @row(f"sizes.{width}x{height}", f"{width}x{height} becomes exactly as many times larger",
         f"{width}x{height}, one colour, PNG",
         "Networks need a smallest size; what is smaller crashes, or comes out another size.")  # fmt: skip
    def check(bench: Bench) -> None:
        small = plain((0.6, 0.4, 0.3), width, height)
        out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
        right_size(bench, out, small)
        off = np.abs(out.rgb.mean((0, 1)) - u8(small)[0, 0] / 255).max() * 255
        bench.expect("colour off by, levels of 255", float(off), most=6)


for pair in SIZES:
    size_row(*pair)

COLOURS = {
    "black": (0, 0, 0), "white": (255, 255, 255), "gray": (128, 128, 128), "red": (255, 0, 0), "green": (0, 255, 0),
    "blue": (0, 0, 255), "cyan": (0, 255, 255), "magenta": (255, 0, 255), "yellow": (255, 255, 0),
}  # fmt: skip


def colour_row(name: str, colour: tuple[int, ...]) -> None:
    @row(f"constant.{name}", f"Plain {name} stays {name}", f"48x48, plain {name}, PNG",
         "A drift of colour shows in every flat area, and between tiles.")  # fmt: skip
    def check(bench: Bench) -> None:
        small = plain(tuple(value / 255 for value in colour))
        out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
        right_size(bench, out, small)
        off = np.abs(out.rgb - small[0, 0]) * 255
        bench.expect("mean error in levels of 255", float(off.mean()), most=1)
        # One level is what rounding can cost; four are seen by nobody, more at a border is a rim.
        bench.expect("largest error", float(off.max()), most=4)


for entry in COLOURS.items():
    colour_row(*entry)


@row("geometry.no-shift", "Nothing moves", "four soft spots at known places, each in a 48x48 PNG",
     "A shift of half a pixel shows when layers, masks or frames no longer fit.")  # fmt: skip
def no_shift(bench: Bench) -> None:
    worst = 0.0
    for number, (x, y) in enumerate(((24.0, 24.0), (20.25, 27.5), (27.7, 21.1), (23.4, 19.9))):
        source = files.write(bench.folder / f"in{number}.png", png(u8(blob(x, y))))
        out = decode(bench.upscale(source, f"out{number}.png"))
        right_size(bench, out, blob(x, y))
        bench.measures.pop()
        found = centroid(np.clip(out.rgb.mean(2) - 0.23, 0, None))
        wanted = centroid(np.clip(u8(blob(x, y)).mean(2) / 255 - 0.23, 0, None))
        shift = max(abs(found[0] / bench.scale - wanted[0]), abs(found[1] / bench.scale - wanted[1]))
        worst = max(worst, shift if np.isfinite(shift) else 99.0)
    bench.expect("largest shift in input pixels", float(worst), most=0.1)


@row("geometry.not-mirrored", "Nothing is mirrored or turned", "scene without symmetry, PNG",
     "Rows stored from below and exchanged axes are common mistakes.")  # fmt: skip
def not_mirrored(bench: Bench) -> None:
    small = scene(48, 48)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(small)))))
    right_size(bench, out, small)
    back = pooled(out.rgb, bench.scale)
    ways = {
        "as it was": back, "mirrored": back[:, ::-1], "upside down": back[::-1], "turned by 180": back[::-1, ::-1],
        "transposed": back.transpose(1, 0, 2), "blue and red exchanged": back[..., ::-1],
    }  # fmt: skip
    bench.expect("comes out", min(ways, key=lambda way: float(np.abs(ways[way] - small).mean())), "as it was")


@row("geometry.same-twice", "The same input gives the same picture", "scene, PNG, twice",
     "What differs from run to run cannot be checked, cached or resumed.")  # fmt: skip
def same_twice(bench: Bench) -> None:
    source = files.write(bench.folder / "in.png", png(u8(scene())))
    first, second = (decode(bench.upscale(source, f"out{number}.png")).pixels for number in (1, 2))
    apart = np.abs(first - second).max() * 255 if first.shape == second.shape else 255.0
    bench.expect("largest difference in levels of 255", float(apart), most=1)


def smooth(bench: Bench, small: Any, template: str | None) -> None:
    """No column or row bends more than in the input."""
    source = files.write(bench.folder / "in.png", png(u8(small)))
    out = decode(bench.upscale(source, template=template))
    right_size(bench, out, small)
    seen, wanted = bends(pooled(out.rgb, bench.scale)), bends(u8(small) / 255)
    for name, a, b in zip(("columns", "rows"), seen, wanted, strict=True):
        bench.expect(f"largest bend between {name}, levels of 255", float(np.abs(a - b)[6:-6].max() * 255), most=0.5)


SEAMS = "Tiles that are put side by side without care leave a grid on skies and walls."


@row("seams.gradient", "A large gradient has no seam", "640x448 gradient, PNG", SEAMS)
def large_gradient(bench: Bench) -> None:
    smooth(bench, gradient(640, 448), None)


@row("seams.tiled-gradient", "With small tiles, a gradient has no seam", "200x150 gradient, PNG", SEAMS)
def tiled_gradient(bench: Bench) -> None:
    if not bench.job.tiled:
        raise NotRun("no --tiled-command was given")
    smooth(bench, gradient(200, 150), bench.job.tiled)


@row("seams.tiled-as-whole", "Tiles give the picture that one piece gives", "150x110 scene with noise, PNG", SEAMS)
def tiled_as_whole(bench: Bench) -> None:
    if not bench.job.tiled:
        raise NotRun("no --tiled-command was given")
    small = scene(150, 110) * 0.8 + noise(150, 110) * 0.15
    source = files.write(bench.folder / "in.png", png(u8(small)))
    whole = decode(bench.upscale(source, "whole.png"))
    tiled = decode(bench.upscale(source, "tiled.png", template=bench.job.tiled))
    right_size(bench, tiled, small)
    apart = np.abs(whole.rgb - tiled.rgb) * 255
    bench.expect("largest difference in levels of 255", float(apart.max()), most=3)
    bench.expect("mean difference", float(apart.mean()), most=0.2)
