"""Our bicubic against torch's antialiased one, which equals MATLAB's inside a mirrored border, and its known scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.imaging import from_uint8, read_picture, resize, to_uint8
from srgan.metrics import psnr, ssim


def by_torch(pixels: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """The same in torch, float64: mirror the border, resample, cut the border off."""
    torch = pytest.importorskip("torch", reason="the reference implementation is torch's")
    rows, columns, _ = pixels.shape
    border = 24  # times every scale used below a whole number of pixels
    framed = np.pad(pixels.astype(np.float64), ((border, border), (border, border), (0, 0)), mode="symmetric")
    top, left = border * height // rows, border * width // columns
    size = (height + 2 * top, width + 2 * left)
    batch = torch.from_numpy(framed).permute(2, 0, 1)[None]
    result = torch.nn.functional.interpolate(batch, size=size, mode="bicubic", antialias=True, align_corners=False)
    return np.asarray(result[0].permute(1, 2, 0).numpy()[top : top + height, left : left + width])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((96, 72), (24, 18)),
        ((96, 72), (32, 24)),
        ((96, 72), (48, 36)),
        ((24, 36), (96, 144)),
        ((24, 36), (72, 108)),
        ((48, 72), (72, 48)),
        ((24, 24), (3, 192)),
    ],
)
def test_equal_to_torch_after_mirroring_the_border(before: tuple[int, int], after: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).random((*before, 3))
    expected = by_torch(pixels, *after)
    assert np.abs(resize(pixels, *after) - expected).max() < 1e-12
    assert np.abs(resize(pixels.astype(np.float32), *after) - expected).max() < 2e-6


def test_a_photograph_made_small_is_equal_to_the_last_bit(examples: Path) -> None:
    for path in sorted(examples.glob("*.png")):
        pixels = to_uint8(read_picture(path).pixels)[..., :3].astype(np.float64)
        rows, columns = pixels.shape[0] // 4 * 4, pixels.shape[1] // 4 * 4
        pixels = pixels[:rows, :columns]
        ours = np.floor(np.clip(resize(pixels, rows // 4, columns // 4), 0, 255) + 0.5)
        theirs = np.floor(np.clip(by_torch(pixels, rows // 4, columns // 4), 0, 255) + 0.5)
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "scale", "decibel", "similarity"),
    [("Set5", 2, 33.68, 0.9305), ("Set5", 4, 28.43, 0.8113), ("Set14", 4, 26.09, 0.7050)],
)
def test_bicubic_scores_what_the_literature_says(
    name: str, scale: int, decibel: float, similarity: float, data_folder: Callable[[str], Path]
) -> None:
    """Low resolution and result rounded to 8 bit, Y channel, border of ``scale``."""
    measured = baseline(data_folder(f"eval/{name}"), scale)
    assert measured[0] == pytest.approx(decibel, abs=0.006)
    assert measured[1] == pytest.approx(similarity, abs=0.0001)


@pytest.mark.soak
def test_bicubic_on_bsd100(data_folder: Callable[[str], Path]) -> None:
    decibel, similarity = baseline(data_folder("eval/BSD100"), 4)
    assert decibel == pytest.approx(25.96, abs=0.006)
    assert similarity == pytest.approx(0.6681, abs=0.0002)


def baseline(folder: Path, scale: int) -> tuple[float, float]:
    """Mean PSNR and SSIM of making every picture of ``folder`` small and large again."""
    scores = []
    for path in sorted(folder.iterdir()):
        reference = to_uint8(read_picture(path).pixels)
        rows, columns = reference.shape[0] // scale * scale, reference.shape[1] // scale * scale
        reference = reference[:rows, :columns]
        small = resize(reference.astype(np.float64), rows // scale, columns // scale)
        small = from_uint8(np.floor(np.clip(small, 0, 255) + 0.5).astype(np.uint8))
        result = from_uint8(to_uint8(resize(small, rows, columns)))
        truth = from_uint8(reference)
        scores.append((psnr(result, truth, border=scale), ssim(result, truth, border=scale)))
    decibel, similarity = np.mean(scores, axis=0)
    return float(decibel), float(similarity)
