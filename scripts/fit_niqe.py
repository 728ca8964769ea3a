"""Fit the pristine model of `niqe-photos` to a folder of photographs: src/srgan/metrics/weights/niqe_photos.npz.

    python scripts/fit_niqe.py datasets/photos

Each photograph is made half as large first, which takes away most of what a lossy file has left in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srgan.imaging import PICTURE_SUFFIXES, from_uint8, read_picture, resize, to_uint8
from srgan.metrics.naturalness import PATCH, fit

TARGET = Path(__file__).resolve().parents[1] / "src" / "srgan" / "metrics" / "weights" / "niqe_photos.npz"


def photographs(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Those that hold at least four patches at half their size, in 8 bit as any file."""
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES):
        pixels = read_picture(path).colour
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        if min(height, width) >= 2 * PATCH:
            print(path.name, flush=True)
            yield from_uint8(to_uint8(resize(pixels, height, width)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of photographs")
    parser.add_argument("--to", type=Path, default=TARGET, metavar="FILE", help="where the model goes")
    given = parser.parse_args()
    model = fit(photographs(given.folder))
    np.savez(given.to, mean=model.mean, covariance=model.covariance)
    print(f"{given.to}: {given.to.stat().st_size} bytes")


if __name__ == "__main__":
    main()
