"""The low-resolution side of a training pair is the one that evaluation uses."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.imaging import from_uint8, resize, to_uint8  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.degradation.bicubic import bicubic_down  # noqa: E402

SCALES = pytest.mark.parametrize("scale", [2, 3, 4, 8])


@SCALES
@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (5, 3), (31, 24)])
def test_it_is_our_bicubic_to_the_last_level(scale: int, blocks: tuple[int, int]) -> None:
    height, width = blocks[0] * scale, blocks[1] * scale
    pixels = np.random.default_rng(scale).integers(0, 256, (height, width, 3), np.uint8)
    # In float64: a value that lies half-way between two levels goes up.
    exact = resize(pixels.astype(np.float64), *blocks, "bicubic")

    made = bicubic_down(torch.from_numpy(pixels), scale).numpy()

    assert made.dtype == np.uint8
    assert made.shape == (*blocks, 3)
    # float32 may err where the exact value lies within a thousandth of half-way; nowhere else.
    doubtful = np.abs(exact - np.floor(exact) - 0.5) < 1e-3
    wanted = np.floor(exact + 0.5).clip(0, 255)
    assert np.array_equal(made[~doubtful], wanted[~doubtful])
    assert np.abs(made - wanted)[doubtful].max(initial=0) <= 1
    assert doubtful.mean() < 0.05


@SCALES
def test_it_agrees_with_the_float32_pictures_that_evaluation_resizes(scale: int) -> None:
    pixels = np.random.default_rng(scale).integers(0, 256, (24 * scale, 31 * scale, 3), np.uint8)

    evaluated = to_uint8(resize(from_uint8(pixels), 24, 31, "bicubic"))
    trained = bicubic_down(torch.from_numpy(pixels), scale).numpy()

    difference = np.abs(evaluated.astype(int) - trained)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-3


@SCALES
@pytest.mark.parametrize("level", [0, 1, 127, 128, 255])
def test_a_flat_picture_stays_flat(scale: int, level: int) -> None:
    flat = torch.full((6 * scale, 5 * scale, 3), level, dtype=torch.uint8)

    assert (bicubic_down(flat, scale) == level).all()


def test_overshoot_is_clipped() -> None:
    edge = torch.zeros(32, 32, 1, dtype=torch.uint8)
    edge[:, 16:] = 255
    made = bicubic_down(edge, 2)

    assert made.min() == 0
    assert made.max() == 255
    assert (made[:, :7] == 0).all()
    assert (made[:, 9:] == 255).all()


def test_a_part_of_the_picture_is_the_part_of_the_whole() -> None:
    """Away from borders; which is why patches are cut from a shrunk picture, and not shrunk themselves."""
    pixels = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole, part = bicubic_down(pixels, 4), bicubic_down(pixels[16:48, 16:48], 4)

    assert torch.equal(whole[6:10, 6:10], part[2:6, 2:6])
    assert not torch.equal(whole[4:12, 4:12], part)


def test_any_number_of_channels() -> None:
    pixels = torch.randint(0, 256, (8, 8, 5), dtype=torch.uint8)
    made = bicubic_down(pixels, 2)

    assert made.shape == (4, 4, 5)
    for channel in range(5):
        assert torch.equal(made[..., channel], bicubic_down(pixels[..., channel : channel + 1], 2)[..., 0])
