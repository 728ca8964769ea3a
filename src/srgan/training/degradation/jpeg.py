"""JPEG's loss, computed for whole batches on their device: what a baseline encoder and decoder leave of a picture."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from srgan.training.degradation.colour import doubled, halved, to_rgb, to_ycc

# The tables of the standard's annex K, row by row.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)


def jpeg(pictures: Tensor, qualities: Tensor, *, full_colour: bool) -> Tensor:
    """Compress each of N x 3 x H x W ``pictures`` (RGB in [0, 1]) at its quality (1 to 100) and decode it again.

    Quality means what it means to libjpeg. Colour is stored at full resolution (4:4:4) or at half (4:2:0). The result
    is in [0, 1], rounded to 8 bit. Halving, doubling and all rounding are libjpeg's; what differs from it is its
    arithmetic in whole numbers, which puts some coefficients into the next bin: 0.2 to 0.9 levels in the mean.
    """
    height, width = pictures.shape[-2:]
    padding = (0, -width % 16, 0, -height % 16)
    levels = (functional.pad(pictures, padding, mode="replicate") * 255).round().clamp(0, 255)
    light, colour = to_ycc(levels)
    tables = _tables(qualities.to(pictures.device))
    light = _coded(light, tables[:, 0])
    if full_colour:
        colour = _coded(colour, tables[:, 1])
    else:
        # Below the picture libjpeg repeats the last halved row, not the last row.
        half = halved(colour[..., : height + height % 2, :])
        half = functional.pad(half, (0, 0, 0, -half.shape[-2] % 8), mode="replicate")
        half = _coded(half, tables[:, 1])
        colour = doubled(half[..., : (height + 1) // 2, : (width + 1) // 2])
    light, colour = light[..., :height, :width], colour[..., :height, :width]
    return to_rgb(light, colour) / 255


def _tables(qualities: Tensor) -> Tensor:
    """Quantisation steps N x 2 x 64, for light and for colour."""
    plain = torch.tensor([_LUMINANCE, _CHROMINANCE], device=qualities.device).reshape(2, 64)
    percent = torch.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)[:, None, None]
    return ((plain * percent + 50) // 100).clamp(1, 255).float()


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """``planes`` N x C x H x W in [0, 255] after quantising the cosine transform of their 8 x 8 blocks."""
    n, c, height, width = planes.shape
    blocks = planes.reshape(n, c, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(n, -1, 64) - 128
    transform = _transform(planes.device)
    steps = table[:, None]
    values = blocks @ transform.T / steps
    # Halves are common: libjpeg rounds them away from zero, torch to even numbers.
    whole = values.sign() * (values.abs() + 0.5).floor()
    decoded = (whole * steps) @ transform + 128
    decoded = decoded.reshape(n, c, height // 8, width // 8, 8, 8).transpose(3, 4).reshape(n, c, height, width)
    return decoded.round().clamp(0, 255)


@cache
def _transform(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of a block that is laid out as 64 numbers."""
    k = torch.arange(8, dtype=torch.float64)
    rows = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).float().to(device)
