"""Resizing where each picture of a batch has a size and a resizer of its own.

Pictures of different size share a batch as the top left parts of one canvas. Resizing is a product with two matrices,
which makes it one operation for the whole batch, whatever the sizes. The borders of the old and the new picture
coincide exactly, so nothing moves.
"""

from __future__ import annotations

import torch
from torch import Tensor

MODES = ("area", "bilinear", "bicubic")


def resize(
    pictures: Tensor, sizes: Tensor, new_sizes: Tensor, canvas: tuple[int, int], modes: Tensor, antialias: Tensor
) -> Tensor:
    """Resize N x C x H x W ``pictures``, of which ``sizes`` (N x 2) is real, to ``new_sizes`` on a new ``canvas``.

    ``modes`` holds indices into `MODES`. Where ``antialias`` is False, reductions by bilinear and bicubic look at the
    nearest 2 or 4 pixels only. The rest of the canvas is filled with a mirrored continuation of the picture.
    """
    height, width = pictures.shape[-2:]
    # Sizes and modes are known on the CPU: a look at them on a GPU would wait for everything that it still has to do.
    kinds = [number for number in range(len(MODES)) if (modes == number).any()]
    shared = (kinds, modes.to(pictures.device), antialias.to(pictures.device))
    old, new = sizes.to(pictures.device), new_sizes.to(pictures.device)
    down = _weights(old[:, 0], new[:, 0], height, canvas[0], *shared)
    square = height == width and canvas[0] == canvas[1]
    right = down
    if not (square and torch.equal(*sizes.unbind(1)) and torch.equal(*new_sizes.unbind(1))):
        right = _weights(old[:, 1], new[:, 1], width, canvas[1], *shared)
    return (down[:, None] @ pictures) @ right[:, None].mT


def _weights(
    old: Tensor, new: Tensor, length: int, canvas: int, kinds: list[int], modes: Tensor, antialias: Tensor
) -> Tensor:
    """Matrices N x canvas x length that resize lines of ``old`` pixels to ``new`` ones; ``kinds`` are in ``modes``."""
    old_, new_ = old[:, None, None].float(), new[:, None, None].float()
    place = torch.arange(canvas, device=old.device)[None] % (2 * new[:, None])
    place = torch.where(place >= new[:, None], 2 * new[:, None] - 1 - place, place)
    ratio = old_ / new_
    centre = (place[:, :, None] + 0.5) * ratio - 0.5
    source = torch.arange(length, device=old.device, dtype=torch.float32)[None, None]
    # Pixels of the mirrored picture beyond both borders count for the pixel that they repeat.
    distance = torch.stack([source - centre, -1 - source - centre, 2 * old_ - 1 - source - centre])
    modes, antialias = modes[:, None, None], antialias[:, None, None]
    weights = torch.zeros_like(distance)
    for kind in kinds:
        found = _KERNELS[kind](distance, ratio, antialias)
        weights = found if len(kinds) == 1 else torch.where(modes == kind, found, weights)
    weights = weights.sum(dim=0) * (source < old_)
    return weights / weights.sum(dim=2, keepdim=True)


def _area(distance: Tensor, ratio: Tensor, antialias: Tensor) -> Tensor:
    """Weight of a pixel at ``distance`` pixels when ``ratio`` old pixels make a new one; so the two below."""
    half = ratio / 2
    return (torch.minimum(distance + 0.5, half) - torch.maximum(distance - 0.5, -half)).clamp(min=0)


def _linear(distance: Tensor, ratio: Tensor, antialias: Tensor) -> Tensor:
    return (1 - _stretched(distance, ratio, antialias)).clamp(min=0)


def _cubic(distance: Tensor, ratio: Tensor, antialias: Tensor) -> Tensor:
    x = _stretched(distance, ratio, antialias)
    # Keys' cubic: libraries that antialias have a = -0.5, the others -0.75.
    a = torch.where(antialias, -0.5, -0.75)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _stretched(distance: Tensor, ratio: Tensor, antialias: Tensor) -> Tensor:
    return (distance / torch.where(antialias, ratio.clamp(min=1), 1.0)).abs()


_KERNELS = (_area, _linear, _cubic)
"""In the order of `MODES`."""
