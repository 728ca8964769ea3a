"""Resampling against its definition, one output pixel at a time, and against figures known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.imaging import resize

SMOOTH = ["bicubic", "lanczos", "bilinear", "box"]


def keys(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def lanczos(x: float) -> float:
    if x == 0:
        return 1.0
    return 3 * math.sin(math.pi * x) * math.sin(math.pi * x / 3) / (math.pi * x) ** 2 if abs(x) < 3 else 0.0


KERNELS: dict[str, tuple[float, Callable[[float], float]]] = {
    "bicubic": (2, keys),
    "lanczos": (3, lanczos),
    "bilinear": (1, lambda x: max(0.0, 1 - abs(x))),
}


def along(signal: NDArray[np.float64], size: int, kernel: str) -> NDArray[np.float64]:
    """The first axis resampled to ``size`` by the definition: stretched kernel, mirrored border, weights of sum 1."""
    length = len(signal)
    step = length / size
    result = np.zeros((size, *signal.shape[1:]))
    for i in range(size):
        centre = (i + 0.5) * step - 0.5
        radius, function = KERNELS[kernel]
        stretch = max(1.0, step)
        reach = range(math.floor(centre - radius * stretch), math.ceil(centre + radius * stretch) + 1)
        weights = [function((centre - k) / stretch) for k in reach]
        for k, weight in zip(reach, weights, strict=True):
            m = k % (2 * length)
            result[i] += weight / sum(weights) * signal[m if m < length else 2 * length - 1 - m]
    return result


def noise(height: int, width: int, channels: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(height * 1000 + width).random((height, width, channels))


SIZES = [
    ((17, 23), (68, 92)),
    ((40, 60), (10, 15)),
    ((31, 45), (20, 77)),
    ((5, 3), (16, 2)),
    ((1, 9), (4, 3)),
    ((200, 7), (33, 7)),
    ((9, 2), (300, 2)),
]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_each_kernel_is_its_definition(kernel: Any, before: tuple[int, int], after: tuple[int, int]) -> None:
    pixels = noise(*before)
    expected = along(along(pixels, after[0], kernel).swapaxes(0, 1), after[1], kernel).swapaxes(0, 1)
    assert np.abs(resize(pixels, *after, kernel) - expected).max() < 1e-12
    single = resize(pixels.astype(np.float32), *after, kernel)
    assert single.dtype == np.float32
    assert np.abs(single - expected).max() < 2e-6


def test_known_values_of_matlab() -> None:
    """imresize([0 0 1 0 0 0 0 0], 0.5) and imresize([0 1], 2), worked out with fractions from its documentation."""
    impulse = np.zeros((1, 8, 1))
    impulse[0, 2] = 1
    assert resize(impulse, 1, 4)[0, :, 0] == pytest.approx([13 / 128, 111 / 256, -9 / 256, 0], abs=1e-15)
    step = np.array([[[0.0], [1.0]]])
    assert resize(step, 1, 4)[0, :, 0] == pytest.approx([-3 / 32, 13 / 64, 51 / 64, 35 / 32], abs=1e-15)


@pytest.mark.parametrize("kernel", [*SMOOTH, "nearest"])
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_a_flat_picture_stays_flat(kernel: Any, before: tuple[int, int], after: tuple[int, int]) -> None:
    flat = np.full((*before, 2), 0.3)
    assert np.abs(resize(flat, *after, kernel) - 0.3).max() < 1e-12


@pytest.mark.parametrize("kernel", SMOOTH)
def test_mirrored_and_turned_pictures_come_out_mirrored_and_turned(kernel: Any) -> None:
    pixels = noise(21, 34)
    result = resize(pixels, 50, 13, kernel)
    assert np.abs(resize(pixels[::-1, ::-1], 50, 13, kernel) - result[::-1, ::-1]).max() < 1e-12
    assert np.abs(resize(pixels.swapaxes(0, 1), 13, 50, kernel) - result.swapaxes(0, 1)).max() < 1e-12


@pytest.mark.parametrize("kernel", SMOOTH)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_channels_do_not_mix(kernel: Any, channels: int) -> None:
    pixels = noise(12, 19, channels)
    together = resize(pixels, 30, 8, kernel)
    for c in range(channels):
        assert np.abs(resize(pixels[..., c : c + 1], 30, 8, kernel)[..., 0] - together[..., c]).max() < 1e-12


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_box_is_repetition_up_and_the_mean_down(scale: int) -> None:
    pixels = noise(6, 9)
    large = resize(pixels, 6 * scale, 9 * scale, "box")
    assert np.abs(large - pixels.repeat(scale, 0).repeat(scale, 1)).max() < 1e-12
    small = resize(large + 0, 6, 9, "box")
    assert np.abs(small - pixels).max() < 1e-12
    means = noise(6 * scale, 9 * scale)
    expected = means.reshape(6, scale, 9, scale, 3).mean(axis=(1, 3))
    assert np.abs(resize(means, 6, 9, "box") - expected).max() < 1e-12


def test_box_weighs_parts_of_pixels_by_their_area() -> None:
    row = np.array([[[3.0], [6.0], [12.0]]])
    assert resize(row, 1, 2, "box")[0, :, 0] == pytest.approx([(3 + 6 / 2) / 1.5, (6 / 2 + 12) / 1.5])


@pytest.mark.parametrize("scale", [1, 2, 3, 5])
def test_nearest_repeats_and_takes_the_middle(scale: int) -> None:
    pixels = noise(7, 4).astype(np.float32)
    large = resize(pixels, 7 * scale, 4 * scale, "nearest")
    assert np.array_equal(large, pixels.repeat(scale, 0).repeat(scale, 1))
    assert np.array_equal(resize(large, 7, 4, "nearest"), pixels)
    row = np.arange(5.0).reshape(1, 5, 1)
    assert resize(row, 1, 3, "nearest")[0, :, 0].tolist() == [0, 2, 4]


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos", "bilinear", "nearest", "box"])
def test_the_same_size_is_a_copy(kernel: Any) -> None:
    pixels = noise(5, 6)
    result = resize(pixels, 5, 6, kernel)
    assert np.array_equal(result, pixels)
    assert not np.shares_memory(result, pixels)


def test_shrinking_removes_what_cannot_be_shown() -> None:
    stripes = np.tile(np.array([0.0, 1.0]), (32, 32))[..., None]
    for kernel in ("bicubic", "lanczos", "bilinear", "box"):
        assert np.abs(resize(stripes, 8, 16, kernel)[2:-2, 2:-2] - 0.5).max() < 0.02
    assert set(np.unique(resize(stripes, 8, 16, "nearest"))) <= {0.0, 1.0}


def test_enlarging_and_shrinking_again_gives_the_picture_back() -> None:
    y, x = np.mgrid[:30, :40]
    pixels = np.sin(x / 6)[..., None] * np.cos(y / 5)[..., None]
    assert np.abs(resize(resize(pixels, 120, 160), 30, 40) - pixels).max() < 0.02


def test_views_are_resampled_too() -> None:
    planes = noise(20, 30).transpose(2, 0, 1).copy().transpose(1, 2, 0)
    assert np.array_equal(resize(planes[::2, ::-1], 7, 50), resize(np.ascontiguousarray(planes[::2, ::-1]), 7, 50))


@pytest.mark.parametrize(
    ("shape", "size", "kernel"),
    [
        ((4, 4), (2, 2), "bicubic"),
        ((0, 4, 3), (2, 2), "bicubic"),
        ((4, 4, 3), (0, 2), "bicubic"),
        ((4, 4, 3), (2, -1), "nearest"),
        ((4, 4, 3), (2, 2), "cubic"),
    ],
)
def test_impossible_requests_are_refused(shape: tuple[int, ...], size: tuple[int, int], kernel: Any) -> None:
    with pytest.raises(ValueError, match=r"pixels|kernel"):
        resize(np.zeros(shape, np.float32), *size, kernel)
