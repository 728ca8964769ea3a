"""A grid of the scale's period is seen, whatever the picture, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.metrics.lattice import grid, window


def natural(height: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    """Noise with the spectrum of photographs, in three channels, whole levels."""
    random = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    radius = np.hypot(rows, columns)
    radius[0, 0] = np.inf
    plane = np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / radius).real
    plane = 0.5 + 0.2 * plane / plane.std()
    return np.repeat((plane.clip(0, 1) * 255).round()[..., None] / 255, 3, axis=2)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_picture_without_a_grid_has_about_one(scale: int) -> None:
    assert grid(natural(250, 330, seed=scale), scale) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_pattern_in_each_enlarged_pixel_is_seen(scale: int) -> None:
    """One of 4 to 16 levels, in a picture of 50 levels' spread."""
    pattern = np.random.default_rng(1).normal(size=(scale, scale))
    pattern -= pattern.mean()
    pattern *= 2 * scale / 255 / np.abs(pattern).max()
    picture = natural(240, 312, seed=3)
    repeated = np.tile(pattern, (240 // scale, 312 // scale))[..., None]
    assert grid(picture + repeated, scale) > 1.5 * grid(picture, scale)


def test_more_of_it_gives_more() -> None:
    picture = natural(192, 192)
    columns = np.tile([1.0, -1.0, 1.0, -1.0], 48)[None, :, None]
    figures = [grid(picture + strength / 255 * columns, 4) for strength in (0, 1, 2, 4)]
    assert figures == sorted(figures)
    # Energy goes with the square of the strength.
    assert (figures[3] - figures[0]) / (figures[2] - figures[0]) == pytest.approx(4, rel=0.2)


def test_a_grid_of_another_period_is_not_meant() -> None:
    stripes = np.tile([2.0, -1.0, -1.0], 64)[None, :, None] / 255 * 4
    picture = natural(192, 192)
    assert grid(picture + stripes, 3) > 3
    assert grid(picture + stripes, 4) == pytest.approx(grid(picture, 4), rel=0.2)


def test_where_nothing_is_there_is_no_grid() -> None:
    """Less than the rounding to whole levels does not count."""
    flat = np.full((96, 128, 1), 0.5)
    assert grid(flat, 4) == pytest.approx(1, abs=1e-6)
    assert grid(flat + 3e-5 * np.tile([1.0, -1.0], 64)[None, :, None], 4) < 1.5


def test_gray_counts_as_three_equal_channels() -> None:
    picture = natural(96, 96)
    assert grid(picture[..., :1], 4) == pytest.approx(grid(picture, 4))


def test_squares_are_no_pattern() -> None:
    """In a nearest enlargement all pixels of a square are alike: nothing is repeated in them, however it looks."""
    assert grid(natural(64, 80).repeat(4, 0).repeat(4, 1), 4) < 1


def test_a_picture_smaller_than_the_window_is_refused() -> None:
    assert [window(scale) for scale in (2, 3, 4, 8, 16)] == [64, 63, 64, 64, 128]
    with pytest.raises(ValueError, match="windows of 64 pixels, not in 80 x 63"):
        grid(np.zeros((63, 80, 3)), 4)
