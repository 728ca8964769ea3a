"""How different colours look."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Lab = NDArray[np.float64]

_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
"""From linear sRGB, D65 (IEC 61966-2-1, to seven digits)."""


def to_lab(pixels: NDArray[np.floating[Any]]) -> Lab:
    """sRGB in [0, 1], H x W x 3 (or any shape that ends in 3), to CIE 1976 L*a*b* under D65, of the same shape."""
    encoded = np.asarray(pixels, np.float64)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((np.maximum(encoded, 0.04045) + 0.055) / 1.055) ** 2.4)
    matrix = np.array(_TO_XYZ)
    relative = linear @ (matrix / matrix.sum(axis=1, keepdims=True)).T  # to the white point
    t = np.where(relative > (6 / 29) ** 3, np.cbrt(relative), relative / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = t[..., 0], t[..., 1], t[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def delta_e_2000(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> Lab:
    """The CIEDE2000 difference of colours in CIE L*a*b*, ... x 3; the result has the shape without the last axis.

    About 1 is the least that can be seen. All weights are 1. It is not continuous where hues are opposite.
    Source: CIE 142-2001; Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", 2005.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    seventh = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(seventh / (seventh + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    coloured = c1 * c2 > 0  # gray has no hue, so neither a difference nor a mean of two
    turn = np.where(coloured, h2 - h1, 0)
    turn -= 360 * np.sign(turn) * (np.abs(turn) > 180)
    # The mean lies on the shorter of the two arcs.
    far = coloured & (np.abs(h1 - h2) > 180)
    hue = np.where(coloured, (h1 + h2) / 2, h1 + h2) + np.where(far, np.where(h1 + h2 < 360, 180, -180), 0)

    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    off = (lightness - 50) ** 2
    weight_l = 1 + 0.015 * off / np.sqrt(20 + off)
    weight_c = 1 + 0.045 * chroma
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    shape = 1 + sum(height * np.cos(np.radians(times * hue + by)) for height, times, by in waves)
    weight_h = 1 + 0.015 * chroma * shape

    d_l = (l2 - l1) / weight_l
    d_c = (c2 - c1) / weight_c
    d_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2) / weight_h
    rotation = 60 * np.exp(-(((hue - 275) / 25) ** 2))
    seventh = chroma**7
    twist = -2 * np.sqrt(seventh / (seventh + 25.0**7)) * np.sin(np.radians(rotation))
    total: Lab = np.sqrt(np.maximum(d_l**2 + d_c**2 + d_h**2 + twist * d_c * d_h, 0))
    return total
