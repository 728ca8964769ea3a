"""PSNR and SSIM against figures worked out by hand and against the plain formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.metrics import psnr, ssim, to_y


def picture(height: int = 24, width: int = 30, channels: int = 3, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


def test_luma_of_the_corners_of_the_cube() -> None:
    corners = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]], np.float32)
    assert to_y(corners)[0] == pytest.approx([16, 235, 81.481, 144.553, 40.966])


def test_gray_counts_as_three_equal_channels() -> None:
    gray = picture(channels=1)
    assert to_y(gray) == pytest.approx(to_y(np.repeat(gray, 3, axis=2)))
    other = picture(channels=1, seed=1)
    assert psnr(gray, other) == pytest.approx(psnr(np.repeat(gray, 3, axis=2), np.repeat(other, 3, axis=2)))


def test_one_level_of_error_in_every_value_is_48_db() -> None:
    low = np.full((20, 20, 3), 100 / 255, np.float64)
    high = np.full((20, 20, 3), 101 / 255, np.float64)
    assert psnr(low, high, channel="rgb") == pytest.approx(10 * math.log10(255**2))
    assert psnr(low, high) == pytest.approx(10 * math.log10(255**2 / (219 / 255) ** 2))  # 1.32 dB more


def test_the_order_of_the_two_does_not_matter_and_equal_pictures_are_perfect() -> None:
    a, b = picture(), picture(seed=1)
    assert psnr(a, b) == pytest.approx(psnr(b, a))
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b, channel="rgb") < 0.2


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize("channel", ["y", "rgb"])
def test_what_lies_in_the_border_does_not_count(measure: Any, channel: Any) -> None:
    a, b = picture(), picture(seed=1)
    framed = b.copy()
    framed[:4], framed[-4:], framed[:, :4], framed[:, -4:] = 0, 1, 0, 1
    assert measure(a, framed, border=4, channel=channel) == measure(a, b, border=4, channel=channel)
    assert measure(a, b, border=4, channel=channel) == measure(a[4:-4, 4:-4], b[4:-4, 4:-4], channel=channel)
    assert measure(a, framed, border=3, channel=channel) != measure(a, b, border=3, channel=channel)


def plain_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The definition, one window at a time."""
    g = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(g, g) / g.sum() ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            p, q = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            c1, c2 = 6.5025, 58.5225
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize("size", [(11, 11), (12, 40), (90, 15)])
def test_ssim_is_its_definition(size: tuple[int, int]) -> None:
    a = picture(*size)
    b = np.clip(a + 0.1 * picture(*size, seed=2) - 0.05, 0, 1)
    assert ssim(a, b) == pytest.approx(plain_ssim(to_y(a), to_y(b)), abs=1e-9)
    channels = [plain_ssim(255.0 * a[..., c], 255.0 * b[..., c]) for c in range(3)]
    assert ssim(a, b, channel="rgb") == pytest.approx(np.mean(channels), abs=1e-5)


def test_more_noise_scores_lower() -> None:
    a, noise = picture(), picture(seed=3) - 0.5
    scores = [(psnr(a, a + s * noise), ssim(a, a + s * noise)) for s in (0.05, 0.1, 0.2, 0.4)]
    assert scores == sorted(scores, reverse=True)
    assert psnr(a, a + 0.1 * noise) - psnr(a, a + 0.2 * noise) == pytest.approx(6.02, abs=0.05)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_what_cannot_be_compared_is_refused(measure: Any) -> None:
    with pytest.raises(ValueError, match="one shape"):
        measure(picture(20, 20), picture(20, 21))
    with pytest.raises(ValueError, match="one shape"):
        measure(picture(channels=4), picture(channels=4))
    with pytest.raises(ValueError, match="one shape"):
        measure(picture()[..., 0], picture()[..., 0])
    with pytest.raises(ValueError, match="too few"):
        measure(picture(20, 20), picture(20, 20), border=10)
    with pytest.raises(ValueError, match="too few"):
        measure(picture(), picture(), border=-1)
    with pytest.raises(ValueError, match="no channel"):
        measure(picture(), picture(), channel="lab")


def test_ssim_needs_room_for_its_window() -> None:
    assert psnr(picture(20, 10), picture(20, 10, seed=1)) < 20
    with pytest.raises(ValueError, match="too few"):
        ssim(picture(20, 10), picture(20, 10, seed=1))
