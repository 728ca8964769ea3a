"""Whether a second run of a network pays where one misses the size asked for, and a resampler could do the rest.

    python benchmarks/second_run.py datasets/Set5 datasets/BSD100 --limit 10
    python benchmarks/second_run.py --quick

Each reference picture is made smaller by the factor, by bicubic and rounded to 8 bit, and enlarged to its size again:
by one run and a resampler, and by two runs and a reduction. Sharpness is the mean step from pixel to pixel in luma
over that of the reference: 1 is as sharp. Seconds are those of the whole enlargement, of all pictures together.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reporting import options, print_header, say, undisturbed, write_json

from srgan.benchmark import sample_picture, table
from srgan.imaging import Picture, from_uint8, read_picture, resize, to_uint8, write_picture
from srgan.metrics.fidelity import psnr, ssim, to_y
from srgan.metrics.judges import Judge, open_judge
from srgan.upscaler import Upscaler

Pixels = NDArray[np.float32]
FACTORS = (4.05, 4.2, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0)
LIKENESS = "lpips-unweighted"
BORDER = 8
"""Pixels on each side that do not count for PSNR and SSIM."""
WAYS = {"one": 1, "two": 2}
HEADS = (
    *("enlarged by", "PSNR, 1 run", "2 runs", "SSIM, 1 run", "2 runs", f"{LIKENESS}, 1 run", "2 runs"),
    *("sharpness, 1 run", "2 runs", "s, 1 run", "2 runs"),
)


@undisturbed()
def main() -> None:
    """Measure and print."""
    given = _arguments()
    header = print_header(
        f"PSNR and SSIM on Y without {BORDER} pixels of border; means over the pictures; lanczos to the exact size"
    )
    judge = open_judge(LIKENESS)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        paths = _generated(Path(scratch)) if given.quick else _paths(given.folders, given.limit)
        for model in given.models:
            upscaler = Upscaler(model)
            for factor in given.factors:
                say(f"second run: {model}, {factor:g}")
                rows.append({"model": model, "factor": factor, **_compared(upscaler, paths, factor, judge)})
            print(f"{model}, {len(paths)} pictures\n")
            print(table(HEADS, [_cells(row) for row in rows if row["model"] == model]), end="\n\n")
    write_json(given.json, header | {"rows": rows, "pictures": [path.name for path in paths]})


def _arguments() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="reference pictures")
    parser.add_argument("--models", nargs="+", default=["fast", "photo-fast"], metavar="MODEL")
    parser.add_argument("--factors", nargs="+", type=float, default=list(FACTORS), metavar="FACTOR")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N pictures of each folder")
    given = parser.parse_args()
    if given.quick:
        given.models, given.factors = ["turbo"], [4.5]
    elif not given.folders:
        parser.error("give folders of reference pictures")
    return given


def _generated(folder: Path) -> list[Path]:
    """A stand-in for a photograph."""
    target = folder / "picture.png"
    write_picture(sample_picture(144, 152), target)
    return [target]


def _paths(folders: list[Path], limit: int | None) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("*.png"))[:limit]]


def _compared(upscaler: Upscaler, paths: list[Path], factor: float, judge: Judge) -> dict[str, dict[str, float]]:
    """The figures of each way by their names, means over the pictures."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for path in paths:
        reference = read_picture(path).colour
        height, width = reference.shape[:2]
        small = resize(reference, round(height / factor), round(width / factor), "bicubic")
        small = from_uint8(to_uint8(np.clip(small, 0, 1)))
        for way, runs in WAYS.items():
            began = time.perf_counter()
            enlarged = _enlarged(upscaler, small, runs, (height, width))
            seconds = time.perf_counter() - began
            found[way].append({**_figures(enlarged, reference, judge), "seconds": seconds})
    return {
        way: {name: float((np.sum if name == "seconds" else np.mean)([one[name] for one in each])) for name in each[0]}
        for way, each in found.items()
    }


def _enlarged(upscaler: Upscaler, small: Pixels, runs: int, size: tuple[int, int]) -> Pixels:
    """By the network ``runs`` times, then to ``size``, in 8 bit."""
    picture = Picture(pixels=small)
    for _ in range(runs):
        picture = upscaler.upscale(picture, scale=upscaler.info.scale)
    return from_uint8(to_uint8(np.clip(resize(picture.pixels, *size, "lanczos"), 0, 1)))


def _figures(enlarged: Pixels, reference: Pixels, judge: Judge) -> dict[str, float]:
    return {
        "psnr": psnr(enlarged, reference, border=BORDER),
        "ssim": ssim(enlarged, reference, border=BORDER),
        LIKENESS: judge(enlarged, reference),
        "sharpness": _steps(enlarged) / _steps(reference),
    }


def _steps(pixels: Pixels) -> float:
    luma = to_y(pixels)
    return float(np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean())


def _cells(row: dict[str, Any]) -> list[str]:
    digits = {"psnr": 2, "ssim": 4, LIKENESS: 4, "sharpness": 2, "seconds": 1}
    return [
        f"{row['factor']:g}",
        *(f"{row[way][name]:.{places}f}" for name, places in digits.items() for way in WAYS),
    ]


if __name__ == "__main__":
    main()
