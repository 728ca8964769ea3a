"""Scoring a network during training, under the protocol of `srgan evaluate`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan.errors import InvalidDataset, SrganError
from srgan.imaging import from_uint8, resize, to_uint8
from srgan.metrics import psnr, ssim
from srgan.metrics.distribution import frechet_distance, kernel_distance
from srgan.metrics.judges import FIGURES, least_side, open_collector, open_judge
from srgan.metrics.lattice import grid
from srgan.networks.network import Network
from srgan.training.degradation.bicubic import bicubic_down
from srgan.training.picture_settings import ValidationSection
from srgan.training.pictures import find_pictures, read_rgb
from srgan.training.samples import sample_sheet

SMALLEST_INSIDE = 11
"""Pixels that must be left inside the border: SSIM's window."""

_DISTANCES = {"fd-squeeze": frechet_distance, "kid-squeeze": kernel_distance}

log = logging.getLogger("srgan")


class Validator:
    """Pictures of ``section.folder`` with their low-resolution versions, ready to score a network.

    The network runs on whole pictures, so they should be of moderate size. Pictures that cannot be used are logged and
    left out; raises `InvalidDataset` when none can. Pictures that ``training`` names too are warned of.
    """

    def __init__(self, section: ValidationSection, *, scale: int, training: Sequence[Path] = ()) -> None:
        folder = section.folder
        assert folder is not None
        self._scale = scale
        self._judges = {name: open_judge(name) for name in section.figures if FIGURES[name].kind == "picture"}
        if "grid" in section.figures:
            self._judges["grid"] = lambda result, _: grid(result, scale)
        self._over_all = [name for name in section.figures if FIGURES[name].kind == "set"]
        self._collect = open_collector() if self._over_all else None
        self._pairs: list[tuple[Tensor, NDArray[np.float32]]] = []
        smallest = max([2 * scale + SMALLEST_INSIDE, *(least_side(name, scale) for name in section.figures)])
        try:
            paths = find_pictures([folder])
        except InvalidDataset as error:
            raise InvalidDataset(f"validation.folder: {error}") from error
        used = []
        for path in paths:
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
            used.append(path)
            if len(self._pairs) == section.max_pictures:
                break
        if not self._pairs:
            raise InvalidDataset(f"validation.folder: {folder}: no picture here can be used")
        learnt = {path.resolve() for path in find_pictures(training)}
        if known := sum(path.resolve() in learnt for path in used):
            log.warning(
                "%d of %d validation pictures are training pictures: the metrics will be too good", known, len(used)
            )
        # The references' patches never change.
        self._patches = self._features(target for _, target in self._pairs)
        if self._over_all and len(self._patches) < 2:
            raise InvalidDataset(f"{folder}: too small for {', '.join(self._over_all)}, which compare many patches")

    def pairs(self, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures one by one: low- and high-resolution, 1 x 3 x H x W and 1 x 3 x sH x sW in [0, 1]."""
        for low, target in self._pairs:
            high = torch.from_numpy(target).to(device)
            yield low.to(device).permute(2, 0, 1)[None].float() / 255, high.permute(2, 0, 1)[None]

    def samples(self, network: Network, device: torch.device, count: int) -> NDArray[np.uint8]:
        """What the deployed ``network`` makes of pieces of the first ``count`` pictures, as `sample_sheet` shows it."""
        return sample_sheet(network, self._pairs[:count], device)

    def bicubic(self) -> float:
        """The mean PSNR in dB that plain bicubic enlargements have, as `score` would give it."""
        found = []
        for low, target in self._pairs:
            small = from_uint8(low.numpy())
            enlarged = from_uint8(to_uint8(resize(small, target.shape[0], target.shape[1], "bicubic")))
            found.append(psnr(enlarged, target, border=self._scale))
        return float(np.mean(found))

    @torch.inference_mode()
    def score(self, network: Network, device: torch.device) -> dict[str, float]:
        """Mean figures of the deployed ``network`` over the pictures, all in 8 bit.

        ``psnr`` (dB) and ``ssim`` see the Y channel without ``scale`` pixels of border, the figures of the section the
        whole picture. Those of kind ``set`` compare all results with all references. All are NaN when a pixel is NaN or
        infinite, which no picture could show.
        """
        scores: list[dict[str, float]] = []
        results: list[NDArray[np.float32]] = []
        for low, target in self._pairs:
            batch = low.to(device).permute(2, 0, 1)[None].float() / 255
            down, right = (-side % network.multiple for side in low.shape[:2])
            output = network(functional.pad(batch, (0, right, 0, down), mode="replicate"))[0]
            if not output.isfinite().all():
                return dict.fromkeys(["psnr", "ssim", *self._judges, *self._over_all], math.nan)
            output = output.permute(1, 2, 0)[: target.shape[0], : target.shape[1]].float().cpu().numpy()
            rounded = from_uint8(to_uint8(output))
            figures = {
                "psnr": psnr(rounded, target, border=self._scale),
                "ssim": ssim(rounded, target, border=self._scale),
            }
            scores.append(figures | {name: judge(rounded, target) for name, judge in self._judges.items()})
            if self._collect is not None:
                results.append(rounded)
        means = {name: float(np.mean([figures[name] for figures in scores])) for name in scores[0]}
        patches = self._features(results)
        return means | {name: _DISTANCES[name](patches, self._patches) for name in self._over_all}

    def _features(self, pictures: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The features of all patches of ``pictures``, N x D; none where no figure wants them."""
        if self._collect is None:
            return np.zeros((0, 0), np.float32)
        return np.concatenate([self._collect(picture) for picture in pictures])
