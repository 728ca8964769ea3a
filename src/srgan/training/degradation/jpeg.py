"""JPEG's loss, computed for whole batches on their device: what a baseline encoder and decoder leave of a picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

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
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def jpeg(pictures: Tensor, qualities: Tensor, *, full_colour: bool) -> Tensor:
    """Compress each of N x 3 x H x W ``pictures`` (RGB in [0, 1]) at its quality (1 to 100) and decode it again.

    Quality means what it means to libjpeg. Colour is stored at full resolution (4:4:4) or at half (4:2:0). The result
    is in [0, 1], rounded to 8 bit. Halving, doubling and all rounding are libjpeg's; what differs from it is its
    arithmetic in whole numbers, which puts some coefficients into the next bin: 0.2 to 0.9 levels in the mean.
    """
    height, width = pictures.shape[-2:]
    padding = (0, -width % 16, 0, -height % 16)
    levels = (functional.pad(pictures, padding, mode="replicate") * 255).round().clamp(0, 255)
    ycc = (_mixed(levels, _TO_YCC) + levels.new_tensor([0.0, 128.0, 128.0])[:, None, None]).round()
    light, colour = ycc[:, :1], ycc[:, 1:]
    tables = _tables(qualities.to(pictures.device))
    light = _coded(light, tables[:, 0])
    if full_colour:
        colour = _coded(colour, tables[:, 1])
    else:
        # Below the picture libjpeg repeats the last halved row, not the last row.
        half = _halved(colour[..., : height + height % 2, :])
        half = functional.pad(half, (0, 0, 0, -half.shape[-2] % 8), mode="replicate")
        half = _coded(half, tables[:, 1])
        colour = _doubled(half[..., : (height + 1) // 2, : (width + 1) // 2])
    light, colour = light[..., :height, :width], colour[..., :height, :width]
    return _mixed(torch.cat([light, colour - 128], dim=1), _TO_RGB).round().clamp(0, 255) / 255


def _halved(planes: Tensor) -> Tensor:
    """Means of 2 x 2 samples. Whole sums have many ties: libjpeg rounds halves down and up in turn along a row."""
    ties = torch.tensor([0.25, 0.5], device=planes.device).repeat(planes.shape[-1] // 4)
    return (functional.avg_pool2d(planes, 2) + ties).floor()


def _doubled(planes: Tensor) -> Tensor:
    """Twice the size by a triangle filter. Sixteenths have ties too: up on the left of a sample, down on the right."""
    fine = functional.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)
    ties = torch.tensor([8 / 16, 7 / 16], device=planes.device).repeat(planes.shape[-1])
    return (fine + ties).floor()


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


def _transform(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of a block that is laid out as 64 numbers."""
    k = torch.arange(8, dtype=torch.float64)
    rows = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).float().to(device)


def _mixed(pictures: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    mixed: Tensor = pictures.new_tensor(matrix) @ pictures.flatten(2)
    return mixed.reshape(pictures.shape)
