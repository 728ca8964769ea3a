"""Light apart from colour, as JPEG and video codecs store pictures. All values are in levels of 255."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


def to_ycc(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Light N x 1 x H x W and colour N x 2 x H x W, whole numbers from 0 to 255, of RGB ``levels`` N x 3 x H x W."""
    ycc = (_mixed(levels, _TO_YCC) + levels.new_tensor([0.0, 128.0, 128.0])[:, None, None]).round().clamp(0, 255)
    return ycc[:, :1], ycc[:, 1:]


def to_rgb(light: Tensor, colour: Tensor) -> Tensor:
    """The way back, to whole numbers from 0 to 255."""
    return _mixed(torch.cat([light, colour - 128], dim=1), _TO_RGB).round().clamp(0, 255)


def halved(planes: Tensor) -> Tensor:
    """Means of 2 x 2 samples, whole. Ties are many: libjpeg rounds halves down and up in turn along a row."""
    ties = torch.tensor([0.25, 0.5], device=planes.device).repeat(planes.shape[-1] // 4 + 1)
    return (functional.avg_pool2d(planes, 2) + ties[: planes.shape[-1] // 2]).floor()


def doubled(planes: Tensor) -> Tensor:
    """Twice the size by a triangle filter, whole. Ties go up on the left of a sample and down on its right."""
    fine = functional.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)
    ties = torch.tensor([8 / 16, 7 / 16], device=planes.device).repeat(planes.shape[-1])
    return (fine + ties).floor()


def _mixed(pictures: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    mixed: Tensor = pictures.new_tensor(matrix) @ pictures.flatten(2)
    return mixed.reshape(pictures.shape)
