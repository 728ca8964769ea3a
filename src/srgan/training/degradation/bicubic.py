"""Making low-resolution pictures out of high-resolution ones, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def bicubic_down(picture: Tensor, scale: int) -> Tensor:
    """Shrink a uint8 picture H x W x C by ``scale`` exactly as MATLAB's ``imresize(..., 'bicubic')`` does.

    H and W must be multiples of ``scale``. torch's antialiased bicubic has the same kernel but renormalises it at the
    border, where MATLAB mirrors the picture; so the picture is mirrored first and the extra is cut off again.
    """
    margin = 4 * scale
    height, width = picture.shape[:2]
    rows = mirrored(height, margin).to(picture.device)
    columns = mirrored(width, margin).to(picture.device)
    wide = picture[rows][:, columns].permute(2, 0, 1)[None].float()
    size = (wide.shape[2] // scale, wide.shape[3] // scale)
    small = functional.interpolate(wide, size=size, mode="bicubic", antialias=True, align_corners=False)
    inner = small[0, :, 4:-4, 4:-4].permute(1, 2, 0)
    return (inner + 0.5).floor().clamp(0, 255).to(torch.uint8).contiguous()


def mirrored(length: int, margin: int) -> Tensor:
    """Indices of a line of ``length`` extended by ``margin`` mirrored pixels (edge pixel repeated) at both ends."""
    index = torch.arange(-margin, length + margin) % (2 * length)
    return torch.where(index >= length, 2 * length - 1 - index, index)
