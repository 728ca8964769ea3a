"""What a network makes of pieces of pictures, side by side with what it was given and what it should have made."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan.imaging import from_uint8, resize, to_uint8
from srgan.networks.network import Network

SIDE = 160
"""Of a piece, in pixels of the output, or a little less."""
GAP = 4
"""White between the pieces."""
GRID = 4
"""The piece with most detail is looked for in steps of so many low-resolution pixels."""


@torch.inference_mode()
def sample_sheet(
    network: Network, pairs: Iterable[tuple[Tensor, NDArray[np.float32]]], device: torch.device
) -> NDArray[np.uint8]:
    """A row for each pair (H x W x 3 uint8 in low resolution, the original in [0, 1]): bicubic, output, original.

    Of each picture it is the piece with most detail, so always the same. Gives H x W x 3. ``network`` is deployed.
    """
    rows = [_row(network, low, target, device) for low, target in pairs]
    widest = max(row.shape[1] for row in rows)
    filled = [np.pad(row, ((0, GAP), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(filled)[:-GAP]


def _row(network: Network, low: Tensor, target: NDArray[np.float32], device: torch.device) -> NDArray[np.uint8]:
    scale, multiple = network.scale, network.multiple
    height, width = (min(SIDE // scale, side) for side in low.shape[:2])
    y, x = _busiest(low, height, width)
    # As much around it as the network looks at, from where a run of the whole picture would begin a block of pixels.
    top, left = (max(0, start - network.radius) // multiple * multiple for start in (y, x))
    around = low[top : y + height + network.radius, left : x + width + network.radius]
    down, right = (-side % multiple for side in around.shape[:2])
    batch = around.to(device).permute(2, 0, 1)[None].float() / 255
    output = network(functional.pad(batch, (0, right, 0, down), mode="replicate"))[0]
    made = output.permute(1, 2, 0).float().cpu().numpy()
    enlarged = resize(from_uint8(around.numpy()), around.shape[0] * scale, around.shape[1] * scale)
    inside = np.s_[
        (y - top) * scale : (y - top + height) * scale,
        (x - left) * scale : (x - left + width) * scale,
    ]
    original = target[y * scale : (y + height) * scale, x * scale : (x + width) * scale]
    pieces = [to_uint8(np.ascontiguousarray(piece)) for piece in (enlarged[inside], made[inside], original)]
    white = np.full((pieces[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([pieces[0], white, pieces[1], white, pieces[2]], axis=1)


def _busiest(low: Tensor, height: int, width: int) -> tuple[int, int]:
    """Where the piece of that size begins whose green channel changes most from pixel to pixel."""
    green = low[..., 1].float()
    change = torch.zeros_like(green)
    change[1:] += (green[1:] - green[:-1]).abs()
    change[:, 1:] += (green[:, 1:] - green[:, :-1]).abs()
    detail = functional.avg_pool2d(change[None, None], (height, width), stride=GRID)[0, 0]
    row, column = divmod(int(detail.argmax()), detail.shape[1])
    return row * GRID, column * GRID
