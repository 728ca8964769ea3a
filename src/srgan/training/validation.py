"""Scoring a network during training, under the protocol of `srgan evaluate`."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan.errors import InvalidDataset, SrganError
from srgan.imaging import read_picture, to_uint8
from srgan.metrics import psnr, ssim
from srgan.networks.network import Network
from srgan.training.data import find_pictures
from srgan.training.degrade import bicubic_down

log = logging.getLogger("srgan")


class Validator:
    """Pictures of ``folder`` with their low-resolution versions, ready to score a network.

    The network runs on whole pictures, so they should be of moderate size. Raises `InvalidDataset` when none can be
    used.
    """

    def __init__(self, folder: Path, *, scale: int, limit: int, multiple: int = 1) -> None:
        self._scale = scale
        self._pairs: list[tuple[Tensor, NDArray[np.float32]]] = []
        step = scale * multiple
        for path in find_pictures([folder]):
            try:
                pixels = to_uint8(read_picture(path).pixels)
            except SrganError as error:
                log.warning("left out of validation: %s", error)
                continue
            pixels = pixels[..., [0, 0, 0]] if pixels.shape[2] < 3 else pixels[..., :3]
            pixels = np.ascontiguousarray(pixels[: pixels.shape[0] // step * step, : pixels.shape[1] // step * step])
            if pixels.size:
                self._pairs.append(
                    (bicubic_down(torch.from_numpy(pixels), scale), pixels.astype(np.float32) / np.float32(255))
                )
            if len(self._pairs) == limit:
                break
        if not self._pairs:
            raise InvalidDataset(f"{folder}: no picture here can be used for validation")

    @torch.inference_mode()
    def score(self, network: Network, device: torch.device) -> tuple[float, float]:
        """Mean PSNR (dB) and SSIM of the deployed ``network``: Y channel, without ``scale`` pixels of border, 8 bit."""
        scores = []
        for low, target in self._pairs:
            batch = (low.to(device).permute(2, 0, 1)[None].float() / 255).contiguous(memory_format=torch.channels_last)
            output = network(batch)[0].clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
            rounded = np.floor(output * 255 + 0.5) / np.float32(255)
            scores.append((psnr(rounded, target, border=self._scale), ssim(rounded, target, border=self._scale)))
        return float(np.mean([s[0] for s in scores])), float(np.mean([s[1] for s in scores]))
