"""Blur: kernels of many shapes, and their application to batches."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from srgan.training.degradation.bicubic import mirrored

REACH = 10
"""Kernels are squares of 2 * REACH + 1 pixels; smaller ones have zeros around them."""
SHAPES = (
    "isotropic",
    "anisotropic",
    "generalised_isotropic",
    "generalised_anisotropic",
    "plateau_isotropic",
    "plateau_anisotropic",
)


def gaussian_kernels(sigmas: Tensor, angles: Tensor, exponents: Tensor, plateau: Tensor, sides: Tensor) -> Tensor:
    """N kernels that add up to 1: N x 21 x 21 float64.

    ``sigmas`` N x 2 are standard deviations along the axes, turned by ``angles`` in radians. With q the squared
    distance in standard deviations, a kernel is exp(-q^e / 2), and 1 / (1 + q^e) where ``plateau`` is True; e is in
    ``exponents``. What lies outside the square of side ``sides`` (odd) is zero.
    """
    line = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    cosine, sine = angles.cos()[:, None, None], angles.sin()[:, None, None]
    along, across = cosine * x + sine * y, cosine * y - sine * x
    q = (along / sigmas[:, 0, None, None]) ** 2 + (across / sigmas[:, 1, None, None]) ** 2
    powered = q ** exponents[:, None, None]
    values = torch.where(plateau[:, None, None], 1 / (1 + powered), torch.exp(-powered / 2))
    return _normalised(values, sides)


def sinc_kernels(cutoffs: Tensor, sides: Tensor) -> Tensor:
    """N round low-pass filters N x 21 x 21 float64 with a sharp end at ``cutoffs``, in radians per pixel: they ring."""
    line = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    radius = (line[:, None] ** 2 + line[None, :] ** 2).sqrt()[None]
    cut = cutoffs[:, None, None]
    safe = radius.clamp(min=1e-9)
    values = cut * torch.special.bessel_j1(cut * safe) / (2 * math.pi * safe)
    values[:, REACH, REACH] = cutoffs**2 / (4 * math.pi)
    return _normalised(values, sides)


def _normalised(values: Tensor, sides: Tensor) -> Tensor:
    line = torch.arange(-REACH, REACH + 1).abs()
    inside = line[None] <= (sides // 2)[:, None]
    values = values * inside[:, :, None] * inside[:, None, :]
    return values / values.sum(dim=(1, 2), keepdim=True)


def blur(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each of N x C x H x W ``pictures`` with its kernel; they are mirrored at their borders."""
    height, width = pictures.shape[-2:]
    rows = mirrored(height, REACH).to(pictures.device)
    columns = mirrored(width, REACH).to(pictures.device)
    wide = pictures.index_select(-2, rows).index_select(-1, columns)
    size = (_quick_length(wide.shape[-2]), _quick_length(wide.shape[-1]))
    spectrum = torch.fft.rfft2(wide, s=size) * torch.fft.rfft2(kernels.to(pictures), s=size)[:, None]
    blurred: Tensor = torch.fft.irfft2(spectrum, s=size)
    return blurred[..., 2 * REACH : 2 * REACH + height, 2 * REACH : 2 * REACH + width]


@cache
def _quick_length(least: int) -> int:
    """The next length without prime factors above 7: 150 is three times as quick to transform as 148 = 4 * 37."""
    length = least
    while 210**16 % length:
        length += 1
    return length
