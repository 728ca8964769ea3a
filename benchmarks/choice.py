"""How often `--model auto` tells photographs from drawings, on folders of pictures that are known to be one or other.

    python benchmarks/choice.py --photos PHOTOS --drawings ART CLIPART --photos-unseen BSD100 --drawings-unseen EMOJI

Every picture is judged as it is (at most 1024 x 1024 from its middle), as JPEG of quality 75 and 40, made four times
smaller, both, gray, and with noise (sigma 10 of 255). Of every other drawing only the inside is taken, so that an empty
background does not tell. Only pictures whose name has an odd CRC-32 count, since the others are what the weights were
fitted on; of the folders ``--...-unseen`` all. With --fit the weights are fitted anew, printed, and judged instead of
those in the package.
"""

from __future__ import annotations

import argparse
import io
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from reporting import options, print_header, say, write_json

from srgan.benchmark import sample_picture, table
from srgan.imaging import Picture, to_uint8
from srgan.upscaler.choice import BIAS, FEATURES, WEIGHTS, features

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".avif"}
VARIANTS = ("as it is", "JPEG 75", "JPEG 40", "small", "small, JPEG 75", "gray", "noisy")
PHOTOS_WEIGH = 1.5
"""A photograph taken for a drawing is the worse mistake."""


@dataclass(frozen=True)
class Sample:
    """One variant of one picture."""

    kind: str
    folder: str
    variant: str
    fitted_on: bool
    figures: tuple[float, ...]
    seconds: float


def main() -> None:
    """Measure and print."""
    given = _arguments()
    header = print_header("share of pictures told right, in percent; milliseconds are the median for one picture.")
    samples = list(_generated() if given.quick else _samples(given))
    weights, bias = np.array(WEIGHTS), BIAS
    if given.fit:
        weights, bias = _fitted([sample for sample in samples if sample.fitted_on])
        print(f"WEIGHTS = ({', '.join(f'{w:.3f}' for w in weights)})  # {', '.join(FEATURES)}\nBIAS = {bias:.3f}\n")
    held_out = [sample for sample in samples if not sample.fitted_on]
    rows = list(_rows(held_out, weights, bias))
    print(table(("folder", "is", "pictures", *VARIANTS), [_cells(row) for row in rows]))
    print()
    print(table(("", "told photo", "told drawing"), _confusion(held_out, weights, bias)))
    milliseconds = 1000 * float(np.median([sample.seconds for sample in samples]))
    print(f"\nOne picture takes {milliseconds:.1f} ms.")
    write_json(given.json, header | {"rows": rows, "milliseconds": milliseconds})


def _arguments() -> argparse.Namespace:
    parser = options(__doc__)
    for kind in ("photos", "drawings"):
        parser.add_argument(f"--{kind}", nargs="+", type=Path, default=[], metavar="FOLDER")
        parser.add_argument(f"--{kind}-unseen", nargs="+", type=Path, default=[], metavar="FOLDER")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="NAME", help="files that are neither")
    parser.add_argument("--fit", action="store_true", help="fit the weights anew")
    given = parser.parse_args()
    if not given.quick and not (given.photos + given.photos_unseen and given.drawings + given.drawings_unseen):
        parser.error("give folders of photographs and of drawings")
    return given


def _samples(given: argparse.Namespace) -> Iterator[Sample]:
    for kind, folders, unseen in (
        ("photo", given.photos, False),
        ("photo", given.photos_unseen, True),
        ("drawing", given.drawings, False),
        ("drawing", given.drawings_unseen, True),
    ):
        for folder in folders:
            files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
            say(f"choice: {len(files)} pictures in {folder}")
            for path in files:
                if path.name not in given.leave_out:
                    held_out = unseen or zlib.crc32(path.name.encode()) % 2 == 1
                    with Image.open(path) as image:
                        yield from _judged(image.convert("RGB"), kind, path.name, folder.name, not held_out)


def _generated() -> Iterator[Sample]:
    """Stand-ins for pictures."""
    for number in range(4):
        photo = Image.fromarray(to_uint8(sample_picture(200 + 9 * number, 220).pixels))
        drawing = Image.new("RGB", (240, 200), "white")
        draw = ImageDraw.Draw(drawing)
        draw.ellipse((20, 30 + number * 9, 200, 170), fill=("red", "teal", "gold", "navy")[number], outline="black")
        yield from _judged(photo, "photo", "", "generated", number % 2 == 0)
        yield from _judged(drawing, "drawing", "", "generated", number % 2 == 0)


def _judged(image: Image.Image, kind: str, name: str, folder: str, fitted_on: bool) -> Iterator[Sample]:
    if kind == "drawing" and zlib.crc32(name.encode()[::-1]) % 2:
        image = _inside(image)
    for variant, made in zip(VARIANTS, _variants(image), strict=True):
        picture = Picture(pixels=np.asarray(made, np.float32) / np.float32(255))
        start = time.perf_counter()
        figures = features(picture)
        yield Sample(kind, folder, variant, fitted_on, figures, time.perf_counter() - start)


def _variants(image: Image.Image) -> Iterator[Image.Image]:
    """In the order of `VARIANTS`."""
    width, height = (min(side, 1024) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    middle = image.crop((left, top, left + width, top + height))
    small = image.resize((max(16, image.width // 4), max(16, image.height // 4)), Image.Resampling.BICUBIC)
    yield middle
    yield _as_jpeg(middle, 75)
    yield _as_jpeg(middle, 40)
    yield small
    yield _as_jpeg(small, 75)
    yield middle.convert("L").convert("RGB")
    values = np.asarray(middle, np.float32)
    noise = np.random.default_rng(0).normal(0, 10, values.shape).astype(np.float32)
    yield Image.fromarray(np.clip(values + noise, 0, 255).astype(np.uint8))


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def _inside(image: Image.Image) -> Image.Image:
    """The middle three fifths, each way, of what is not of the colour of the first pixel."""
    values = np.asarray(image).astype(np.int16)
    drawn = np.abs(values - values[0, 0]).max(axis=2) > 8
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not rows.size or min(np.ptp(rows), np.ptp(columns)) < 120:
        return image
    high, wide = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    top, left = int(rows[0]), int(columns[0])
    return image.crop((left + wide // 5, top + high // 5, left + wide - wide // 5, top + high - high // 5))


def _fitted(samples: list[Sample]) -> tuple[NDArray[np.float64], float]:
    """Logistic regression by Newton's method, slightly held back; every folder of a kind weighs the same."""
    figures = np.array([sample.figures for sample in samples])
    is_drawing = np.array([sample.kind == "drawing" for sample in samples], float)
    folders = {(sample.kind, sample.folder) for sample in samples}
    share = np.zeros(len(samples))
    for kind, folder in folders:
        inside = np.array([(sample.kind, sample.folder) == (kind, folder) for sample in samples])
        alike = sum(1 for other, _ in folders if other == kind)
        share[inside] = (PHOTOS_WEIGH if kind == "photo" else 1) / alike / inside.sum()
    middle, spread = figures.mean(axis=0), figures.std(axis=0) + 1e-9
    inputs = np.column_stack((np.ones(len(figures)), (figures - middle) / spread))
    held_back = np.diag([0.0] + [1e-3] * figures.shape[1])
    found = np.zeros(inputs.shape[1])
    for _ in range(50):
        told = 1 / (1 + np.exp(-inputs @ found))
        slope = inputs.T @ (share * (told - is_drawing)) + held_back @ found
        found -= np.linalg.solve((inputs.T * (share * told * (1 - told))) @ inputs + held_back + 1e-9, slope)
    weights = found[1:] / spread
    return weights, float(found[0] - weights @ middle)


def _told_drawing(sample: Sample, weights: NDArray[np.float64], bias: float) -> bool:
    return bool(weights @ np.array(sample.figures) + bias > 0)


def _rows(samples: list[Sample], weights: NDArray[np.float64], bias: float) -> Iterator[dict[str, Any]]:
    for kind, folder in dict.fromkeys((sample.kind, sample.folder) for sample in samples):
        right: dict[str, list[bool]] = {variant: [] for variant in VARIANTS}
        for sample in samples:
            if (sample.kind, sample.folder) == (kind, folder):
                right[sample.variant].append(_told_drawing(sample, weights, bias) == (kind == "drawing"))
        shares = {variant: float(np.mean(found)) for variant, found in right.items()}
        yield {"folder": folder, "kind": kind, "pictures": len(right[VARIANTS[0]]), "right": shares}


def _cells(row: dict[str, Any]) -> list[str]:
    return [row["folder"], row["kind"], str(row["pictures"]), *(f"{100 * row['right'][name]:.0f}" for name in VARIANTS)]


def _confusion(samples: list[Sample], weights: NDArray[np.float64], bias: float) -> list[list[str]]:
    """Rows of the table, all variants together."""
    rows = []
    for kind in ("photo", "drawing"):
        told = [_told_drawing(sample, weights, bias) for sample in samples if sample.kind == kind]
        rows.append([f"is {kind}", str(len(told) - sum(told)), str(sum(told))])
    return rows


if __name__ == "__main__":
    main()
