"""WebP and AVIF: their losses are made by the real encoders, on the CPU, a picture at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from srgan.training.degradation.packing import encoded


def through_file(picture: Tensor, form: str, quality: int) -> Tensor:
    """Encode ``picture`` (3 x H x W in [0, 1]) as "webp" or "avif" at ``quality`` and decode it again.

    Device and type stay. Raises `MissingDependency` when this build of Pillow cannot write ``form``.
    """
    levels = (picture.detach().cpu() * 255).round().clamp(0, 255).to(torch.uint8)
    decoded = encoded(levels.permute(1, 2, 0).contiguous().numpy(), form, quality)
    return (torch.from_numpy(decoded).permute(2, 0, 1).float() / 255).to(picture)
