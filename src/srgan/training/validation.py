"""Scoring a network during training, under the protocol of `srgan evaluate`."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan.errors import InvalidDataset, SrganError
from srgan.imaging import from_uint8, to_uint8
from srgan.metrics import psnr, ssim
from srgan.networks.network import Network
from srgan.training.data import find_pictures, read_rgb
from srgan.training.degradation.bicubic import bicubic_down

SMALLEST_INSIDE = 11
"""Pixels that must be left inside the border: SSIM's window."""

log = logging.getLogger("srgan")


class Validator:
    """Pictures of ``folder`` with their low-resolution versions, ready to score a network.

    The network runs on whole pictures, so they should be of moderate size. Pictures that cannot be used are logged and
    left out; raises `InvalidDataset` when none can.
    """

    def __init__(self, folder: Path, *, scale: int, limit: int) -> None:
        self._scale = scale
        self._pairs: list[tuple[Tensor, NDArray[np.float32]]] = []
        smallest = 2 * scale + SMALLEST_INSIDE
        for path in find_pictures([folder]):
            try:
                pixels = read_rgb(path)
            except SrganError as error:
                log.warning("left out of validation: %s", error)
                continue
            height, width = (side // scale * scale for side in pixels.shape[:2])
            if min(height, width) < smallest:
                log.warning("left out of validation: %s: smaller than %d pixels", path, smallest)
                continue
            pixels = np.ascontiguousarray(pixels[:height, :width])
            self._pairs.append((bicubic_down(torch.from_numpy(pixels), scale), from_uint8(pixels)))
            if len(self._pairs) == limit:
                break
        if not self._pairs:
            raise InvalidDataset(f"{folder}: no picture here can be used for validation")

    @torch.inference_mode()
    def score(self, network: Network, device: torch.device) -> tuple[float, float]:
        """Mean PSNR (dB) and SSIM of the deployed ``network``: Y channel, without ``scale`` pixels of border, 8 bit."""
        scores = []
        for low, target in self._pairs:
            batch = low.to(device).permute(2, 0, 1)[None].float() / 255
            down, right = (-side % network.multiple for side in low.shape[:2])
            output = network(functional.pad(batch, (0, right, 0, down), mode="replicate"))[0]
            output = output.permute(1, 2, 0)[: target.shape[0], : target.shape[1]].float().cpu().numpy()
            rounded = from_uint8(to_uint8(output))
            scores.append((psnr(rounded, target, border=self._scale), ssim(rounded, target, border=self._scale)))
        return float(np.mean([s[0] for s in scores])), float(np.mean([s[1] for s in scores]))
