"""Differentiable augmentation (Zhao et al. 2020): a critic sees all pictures, real and made, only after it.

So it can learn by heart neither of few pictures, and what is done to them does not leak into what is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SHIFT = 1 / 8
"""Of the side, that a picture is moved at most."""
HOLE = 1 / 2
"""Of the side, that is cut out."""


def augmented(pictures: Tensor, policy: Sequence[str], random: torch.Generator) -> Tensor:
    """``pictures``, N x 3 x H x W, each changed in its own way by all of ``policy``: colour, translation, cutout.

    ``random`` is on the CPU. With an empty policy they are as they were, and nothing is drawn.
    """
    for kind in policy:
        pictures = {"colour": _colour, "translation": _translation, "cutout": _cutout}[kind](pictures, random)
    return pictures


def _colour(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Brightness by up to a half, saturation from none to double, contrast from half to one and a half."""
    brightness, saturation, contrast = torch.rand(3, len(pictures), 1, 1, 1, generator=random).to(pictures.device)
    x = pictures + (brightness - 0.5)
    gray = x.mean(dim=1, keepdim=True)
    x = gray + (x - gray) * (2 * saturation)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    out: Tensor = mean + (x - mean) * (contrast + 0.5)
    return out


def _translation(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Moved by up to an eighth, black where nothing is left."""
    height, width = pictures.shape[2:]
    reach = round(max(height, width) * SHIFT)
    down, right = torch.randint(-reach, reach + 1, (2, len(pictures)), generator=random).tolist()
    padded = functional.pad(pictures, (reach, reach, reach, reach))
    moved = [
        padded[number : number + 1, :, reach + y : reach + y + height, reach + x : reach + x + width]
        for number, (y, x) in enumerate(zip(down, right, strict=True))
    ]
    return torch.cat(moved)


def _cutout(pictures: Tensor, random: torch.Generator) -> Tensor:
    """A square of half the side, anywhere, is black."""
    height, width = pictures.shape[2:]
    middle = torch.rand(2, len(pictures), 1, generator=random).to(pictures.device)
    rows = torch.arange(height, device=pictures.device)
    columns = torch.arange(width, device=pictures.device)
    tall = (rows - middle[0] * height).abs() < height * HOLE / 2
    wide = (columns - middle[1] * width).abs() < width * HOLE / 2
    hole = tall[:, None, :, None] & wide[:, None, None, :]
    return pictures.masked_fill(hole, 0.0)
