"""Scoring a network during training, under the protocol of `srgan evaluate`."""

from __future__ import annotations

import hashlib
import logging
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan.errors import InvalidDataset, SrganError
from srgan.imaging import DEGRADATIONS, degraded, from_uint8, resize, to_uint8
from srgan.metrics import psnr, ssim
from srgan.metrics.distribution import frechet_distance, kernel_distance
from srgan.metrics.judges import FIGURES, least_side, open_collector, open_judge
from srgan.metrics.lattice import grid
from srgan.networks.network import Network
from srgan.training.degradation.mixed import wear
from srgan.training.degradation.settings import DegradationSection
from srgan.training.picture_settings import ValidationSection
from srgan.training.pictures import find_pairs, find_pictures, probe_pair, read_pair
from srgan.training.samples import sample_sheet

SMALLEST_INSIDE = 11
"""Pixels that must be left inside the border: SSIM's window."""

_DISTANCES = {"fd-squeeze": frechet_distance, "kid-squeeze": kernel_distance}

log = logging.getLogger("srgan")


class Validator:
    """Pictures of ``section.folder`` with their low-resolution versions, ready to score a network.

    The network runs on whole pictures, so they should be of moderate size. Pictures that cannot be used are logged and
    left out; raises `InvalidDataset` when none can. Pictures that ``training`` names too are warned of. ``degradation``
    is that of the training, for `ValidationSection.inputs`. Made inputs depend on the pictures' names alone.
    """

    caption = "bicubic, output, original"

    def __init__(
        self,
        section: ValidationSection,
        *,
        scale: int,
        training: Sequence[Path] = (),
        degradation: DegradationSection | None = None,
    ) -> None:
        folder = section.folder
        assert folder is not None
        worsen = _worsening(section, degradation, scale)
        self._scale = scale
        self._judges = {name: open_judge(name) for name in section.figures if FIGURES[name].kind == "picture"}
        if "grid" in section.figures:
            self._judges["grid"] = lambda result, _: grid(result, scale)
        self._over_all = [name for name in section.figures if FIGURES[name].kind == "set"]
        self._collect = open_collector() if self._over_all else None
        self._pairs: list[tuple[Tensor, NDArray[np.float32]]] = []
        smallest = max([2 * scale + SMALLEST_INSIDE, *(least_side(name, scale) for name in section.figures)])
        try:
            pairs = find_pairs([folder], [section.low_folder] if section.low_folder else [], scale)
        except InvalidDataset as error:
            raise InvalidDataset(f"validation.folder{' and low_folder' * bool(section.low_folder)}: {error}") from error
        used = []
        for pair in pairs:
            try:
                if pair.low is not None:
                    probe_pair(pair, scale)
                high, low = read_pair(pair, scale)
                if min(high.shape[:2]) < smallest:
                    raise InvalidDataset(f"{pair.high}: smaller than {smallest} pixels")
            except SrganError as error:
                log.warning("left out of validation: %s", error)
                continue
            self._pairs.append((worsen(high, pair.high.stem) if worsen else low, from_uint8(high.numpy())))
            used.append(pair.high)
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

        log.info(
            "validation: the mean %s of %d pictures, %s, says which checkpoint is the best",
            section.best,
            len(used),
            inputs_of(section, degradation),
        )

    def pairs(self, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures one by one: low- and high-resolution, 1 x 3 x H x W and 1 x 3 x sH x sW in [0, 1]."""
        for low, target in self._pairs:
            high = torch.from_numpy(target).to(device)
            yield low.to(device).permute(2, 0, 1)[None].float() / 255, high.permute(2, 0, 1)[None]

    def samples(self, network: Network, device: torch.device, count: int) -> NDArray[np.uint8]:
        """What the deployed ``network`` makes of pieces of the first ``count`` pictures, as `sample_sheet` shows it."""
        return sample_sheet(network, self._pairs[:count], device)

    def objection(self, figures: dict[str, float]) -> str:
        """Never one."""
        return ""

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


def inputs_of(section: ValidationSection, degradation: DegradationSection | None) -> str:
    """What the network is given in a validation, in words that differ where the inputs do."""
    if section.low_folder is not None:
        return f"with the inputs of {section.low_folder.resolve()}"
    if section.inputs == "bicubic":
        return "with bicubic inputs"
    if section.inputs == "training" and degradation is not None:
        strengths = degradation.model_dump_json(exclude={"clean", "sharpen"})
        return f"with inputs degraded as for training ({hashlib.sha256(strengths.encode()).hexdigest()[:8]})"
    return f"with degraded inputs ({section.inputs})"


def _worsening(
    section: ValidationSection, degradation: DegradationSection | None, scale: int
) -> Callable[[Tensor, str], Tensor] | None:
    """Makes the input of a picture, uint8 H x W x 3, by its name; None where inputs are given or plain."""
    if section.low_folder is not None or section.inputs == "bicubic":
        return None
    if section.inputs != "training":
        named = DEGRADATIONS[section.inputs]
        return lambda high, name: torch.from_numpy(degraded(high.numpy(), scale, named, name=name).copy())
    degrade = wear(degradation, scale) if degradation is not None else None
    assert degrade is not None

    def worsen(high: Tensor, name: str) -> Tensor:
        seed = zlib.crc32(name.encode(errors="surrogateescape"))
        low = degrade(high.permute(2, 0, 1)[None].float() / 255, [seed])[0]
        return (low.permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous()

    return worsen
