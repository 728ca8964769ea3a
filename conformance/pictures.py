"""Pictures with known answers, made by formula. All are float64, H x W x C, in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def grid(width: int, height: int) -> tuple[Array, Array]:
    """x and y of the pixels' centres, in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width]
    return (x + 0.5) / width, (y + 0.5) / height


def scene(width: int = 64, height: int = 48) -> Array:
    """A smooth colourful picture without symmetry, so that no turn or mirroring of it goes unseen. RGB."""
    x, y = grid(width, height)
    disc = _soft(0.22 - np.hypot(x - 0.28, (y - 0.32) * height / width), width)
    bar = _soft(0.5 - np.abs(x - 0.75) * 5, width / 5) * _soft(0.45 - np.abs(y - 0.55), height)
    ground = np.stack([0.25 + 0.5 * x, 0.3 + 0.4 * y, 0.75 - 0.5 * x * y], 2)
    picture = ground * (1 - disc[..., None]) + np.array([0.85, 0.25, 0.2]) * disc[..., None]
    return np.asarray(picture * (1 - bar[..., None]) + np.array([0.15, 0.6, 0.3]) * bar[..., None])


def patches() -> Array:
    """Twenty-four colours from pale to strong in fields of 12 pixels, 72 x 48. RGB."""
    rng = np.random.default_rng(24)
    colours = np.concatenate([
        np.linspace(0.08, 0.95, 6)[:, None].repeat(3, 1),
        np.array([[9, 1, 1], [1, 8, 1], [1, 1, 8.5], [9, 8.5, 1], [8, 1, 7], [1, 7, 8]]) / 10,
        rng.uniform(0.15, 0.85, (12, 3)),
    ]).reshape(4, 6, 3)  # fmt: skip
    return np.asarray(colours.repeat(12, 0).repeat(12, 1))


def gradient(width: int, height: int, low: float = 0.1, high: float = 0.9, channels: int = 3) -> Array:
    """Values that rise with x, and a little with y; of three channels, green and blue are a little weaker."""
    x, y = grid(width, height)
    rise = low + (high - low) * (0.9 * x + 0.1 * y)
    return np.asarray(rise[..., None] * np.array([1.0, 0.93, 0.86])[:channels])


def badge(size: int = 64) -> Array:
    """A red disc with a soft edge; where it is transparent, green is hidden. RGBA, straight alpha."""
    x, y = grid(size, size)
    alpha = _soft(0.33 - np.hypot(x - 0.45, y - 0.5), size)
    shown = alpha[..., None] > 0
    colour = np.where(shown, np.array([0.85, 0.1, 0.1]), np.array([0.0, 1.0, 0.0]))
    return np.concatenate([colour, alpha[..., None]], 2)


def blob(x: float, y: float, size: int = 48, sigma: float = 2.5) -> Array:
    """A bright soft spot with its centre at (x, y), in pixels from the corner. RGB."""
    ys, xs = np.mgrid[0:size, 0:size] + 0.5
    spot = 0.2 + 0.6 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))
    return np.repeat(spot[..., None], 3, 2)


def plain(colour: tuple[float, ...], width: int = 48, height: int = 48) -> Array:
    return np.broadcast_to(np.asarray(colour, float), (height, width, len(colour))).copy()


def noise(width: int, height: int) -> Array:
    """What no format compresses. RGB."""
    return np.random.default_rng(5).uniform(0, 1, (height, width, 3))


def _soft(distance: Array, pixels: float) -> Array:
    """0 outside, 1 inside, over about one and a half pixels."""
    return np.clip(distance * pixels / 1.5 + 0.5, 0, 1)


def u8(values: Array) -> NDArray[np.uint8]:
    return np.asarray(np.floor(np.clip(values, 0, 1) * 255 + 0.5), np.uint8)


def u16(values: Array) -> NDArray[np.uint16]:
    return np.asarray(np.floor(np.clip(values, 0, 1) * 65535 + 0.5), np.uint16)
