"""What is measured: colour difference in Lab, low frequencies, places, composites. All in plain numpy and LittleCMS.

A good network may draw detail that is not in the input, and must not be punished for it. So pictures are compared in
their low frequencies: both are averaged over the same blocks of input pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def pooled(pixels: Array, block: int) -> Array:
    """Means of ``block`` x ``block`` pixels, H x W x C; what fills no block at the right and bottom is left out."""
    height, width = (side // block for side in pixels.shape[:2])
    cut = pixels[: height * block, : width * block]
    return np.asarray(cut.reshape(height, block, width, block, -1).mean((1, 3), dtype=np.float64))


def coarse_difference(large: Array, small: Array, scale: int, block: int = 4) -> Array:
    """Absolute difference of the block means of an output and its input, in units of the values."""
    block = min(block, *small.shape[:2])
    return np.asarray(np.abs(pooled(large, block * scale) - pooled(small, block)))


def composite(pixels: Array, backdrop: tuple[float, float, float]) -> Array:
    """Straight RGBA (or gray and alpha) on a plain colour: H x W x 3."""
    alpha = pixels[..., -1:]
    colour = np.repeat(pixels[..., :1], 3, 2) if pixels.shape[2] == 2 else pixels[..., :3]
    return np.asarray(colour * alpha + np.asarray(backdrop) * (1 - alpha))


def centroid(values: Array) -> tuple[float, float]:
    """(x, y) of the centre of gravity, in pixels, with the centre of the first pixel at 0.5."""
    weight = np.clip(values, 0, None)
    total = weight.sum()
    if total <= 0:
        return float("nan"), float("nan")
    ys, xs = np.mgrid[0 : values.shape[0], 0 : values.shape[1]] + 0.5
    return float((xs * weight).sum() / total), float((ys * weight).sum() / total)


def bends(pixels: Array) -> tuple[Array, Array]:
    """Second differences of the means of the columns and of the rows: 0 on a gradient, a spike at a seam."""
    flat = pixels.mean(2)
    return np.diff(flat.mean(0), 2), np.diff(flat.mean(1), 2)


def lab(pixels: Array, profile: bytes | None) -> Array:
    """Values in [0, 1] (H x W x 1, 3 or 4 for CMYK) as Lab under D50, by LittleCMS; without a profile they are sRGB."""
    import pyvips

    bands = pixels.shape[2]
    values = np.ascontiguousarray(np.clip(pixels * 65535 + 0.5, 0, 65535).astype(np.uint16))
    image = pyvips.Image.new_from_array(values)
    space = {1: "grey16", 3: "rgb16", 4: "cmyk"}[bands]
    if bands == 4:  # libvips takes CMYK as 8 bit
        image = pyvips.Image.new_from_array(np.ascontiguousarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)))
    image = image.copy(interpretation=space)
    if profile is None:
        if bands == 1:
            image = image.bandjoin([image, image]).copy(interpretation="rgb16")
        profile = pyvips.Operation.call("profile_load", "srgb")
    image = image.copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return np.asarray(image.icc_import(embedded=True, intent="relative", pcs="lab").numpy(), np.float64)


def delta_e(first: Array, second: Array) -> Array:
    """CIEDE2000 colour difference of Lab values, ... x 3 (Sharma, Wu and Dalal 2005)."""
    l1, a1, b1 = np.moveaxis(first, -1, 0)
    l2, a2, b2 = np.moveaxis(second, -1, 0)
    chroma7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - np.sqrt(chroma7 / (chroma7 + 25.0**7)))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1 = np.degrees(np.arctan2(b1, stretch * a1)) % 360
    h2 = np.degrees(np.arctan2(b2, stretch * a2)) % 360
    turn = h2 - h1
    turn = np.where(turn > 180, turn - 360, np.where(turn < -180, turn + 360, turn))
    turn = np.where(c1 * c2 == 0, 0, turn)
    d_light, d_chroma = l2 - l1, c2 - c1
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = np.where(c1 * c2 == 0, h1 + h2, (h1 + turn / 2) % 360)
    weight = (1 - 0.17 * np.cos(np.radians(hue - 30)) + 0.24 * np.cos(np.radians(2 * hue))
              + 0.32 * np.cos(np.radians(3 * hue + 6)) - 0.20 * np.cos(np.radians(4 * hue - 63)))  # fmt: skip
    s_light = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_chroma, s_hue = 1 + 0.045 * chroma, 1 + 0.015 * chroma * weight
    angle = 30 * np.exp(-(((hue - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(np.radians(2 * angle))
    x, y, z = d_light / s_light, d_chroma / s_chroma, d_hue / s_hue
    return np.asarray(np.sqrt(np.maximum(x * x + y * y + z * z + rotation * y * z, 0)))
