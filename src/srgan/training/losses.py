"""Losses of the PSNR recipes. All take float32 N x C x H x W in [0, 1] and give a scalar."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from srgan.training.config import LossSection

CHARBONNIER_EPSILON = 1e-3


def charbonnier(output: Tensor, target: Tensor) -> Tensor:
    """sqrt(d**2 + eps**2), a smooth L1 (Lai et al. 2017)."""
    return torch.sqrt((output - target).square() + CHARBONNIER_EPSILON**2).mean()


def spectral_l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the orthonormal Fourier coefficients."""
    difference = torch.fft.rfft2(output - target, norm="ortho")
    return torch.view_as_real(difference).abs().mean()


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": functional.l1_loss,
    "charbonnier": charbonnier,
    "mse": functional.mse_loss,
}


class PixelLoss:
    """The loss that ``section`` describes, at a point ``progress`` (0 to 1) of the training."""

    def __init__(self, section: LossSection) -> None:
        self._section = section

    def __call__(self, output: Tensor, target: Tensor, progress: float) -> Tensor:
        name = "mse" if progress > self._section.mse_after else self._section.pixel
        loss = PIXEL_LOSSES[name](output, target)
        if self._section.fft:
            loss = loss + self._section.fft * spectral_l1(output, target)
        return loss * self._section.pixel_weight
