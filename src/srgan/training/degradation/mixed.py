"""Batches whose samples come from different places: phones, web pages, scanners, screens, videos.

The second-order degradation takes its share as one batch, on its device. All others are made a picture at a time, on
the CPU, by the programs that made them in the world: Pillow's encoders, and FFmpeg's for stills.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from srgan.training.degradation.luck import Luck
from srgan.training.degradation.origins import ORIGINS
from srgan.training.degradation.packing import Pixels
from srgan.training.degradation.phone import Phone
from srgan.training.degradation.scan import Scan
from srgan.training.degradation.screen import Screen
from srgan.training.degradation.second_order import SecondOrder
from srgan.training.degradation.settings import DegradationSection
from srgan.training.degradation.still import Still
from srgan.training.degradation.video import CODECS, need_codecs
from srgan.training.degradation.web import Web


class Wear(Protocol):
    """Makes low-resolution pictures out of batches of high-resolution ones."""

    def __call__(self, pictures: Tensor, seeds: Sequence[int]) -> Tensor:
        """N x 3 x H x W in [0, 1] to N x 3 x H/scale x W/scale, whole levels of 255; each by its own seed."""

    def original(self, pictures: Tensor) -> Tensor:
        """What is worn out, and what is to be made of it again."""

    def describe(self, size: tuple[int, int], seeds: Sequence[int]) -> list[tuple[str, str]]:
        """What happens to pictures of ``size`` (height, width) with ``seeds``, in two lines each."""


class _Origin(Protocol):
    def __call__(self, pixels: Pixels, size: tuple[int, int], luck: Luck) -> Pixels: ...


def wear(settings: DegradationSection, scale: int) -> Wear | None:
    """What ``settings`` ask for; None for plain bicubic reduction. Raises `MissingDependency` for absent codecs."""
    if settings.kind == "bicubic":
        return None
    return Mixed(settings, scale) if settings.kind == "mixed" else SecondOrder(settings, scale)


class Mixed:
    """The wear of `kind = "mixed"`. Raises `MissingDependency` when a video codec is asked for that is not there."""

    def __init__(self, settings: DegradationSection, scale: int) -> None:
        self._settings, self._scale = settings, scale
        mix = settings.mix
        self._shares = mix.shares
        # The settings of the second-order degradation hold for its share of the mix.
        second = settings.model_copy(update={"kind": "second-order" if mix.second_order else "mixed"})
        self._second_order = SecondOrder(second, scale)
        if mix.still:
            need_codecs([codec for codec, share in zip(CODECS, settings.still.shares, strict=True) if share])
        self._draw: dict[str, Callable[[Luck], _Origin]] = {
            "phone": lambda luck: Phone.drawn(settings.phone, luck),
            "web": lambda luck: Web.drawn(settings.web, luck),
            "scan": lambda luck: Scan.drawn(settings.scan, luck),
            "screen": lambda luck: Screen.drawn(settings.screen, luck),
            "still": lambda luck: Still.drawn(settings.still, luck),
        }

    @torch.no_grad()
    def __call__(self, pictures: Tensor, seeds: Sequence[int]) -> Tensor:
        """As `SecondOrder`: N x 3 x H x W in [0, 1] to N x 3 x H/scale x W/scale, channels-last, on the same device."""
        size = pictures.shape[-2] // self._scale, pictures.shape[-1] // self._scale
        worn = torch.empty(len(seeds), 3, *size, device=pictures.device)
        together = []
        for sample, seed in enumerate(seeds):
            _, origin, luck = self._drawn(seed)
            if origin is None:
                together.append(sample)
                continue
            pixels = pictures[sample].mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
            made = np.ascontiguousarray(origin(np.ascontiguousarray(pixels), size, luck))
            worn[sample] = torch.from_numpy(made).permute(2, 0, 1).to(worn) / 255
        if together:
            worn[together] = self._second_order(pictures[together], [seeds[sample] for sample in together])
        return worn.contiguous(memory_format=torch.channels_last)

    def original(self, pictures: Tensor) -> Tensor:
        """What is worn out, and what is to be made of it again: ``pictures``, sharpened if the settings say so."""
        return self._second_order.original(pictures)

    def describe(self, size: tuple[int, int], seeds: Sequence[int]) -> list[tuple[str, str]]:
        """What happens to pictures of ``size`` (height, width) with ``seeds``, in words."""
        said = []
        for seed in seeds:
            name, origin, _ = self._drawn(seed)
            said.append((name, str(origin)) if origin else self._second_order.describe(size, [seed])[0])
        return said

    def _drawn(self, seed: int) -> tuple[str, _Origin | None, Luck]:
        """Where the sample comes from, what is done to it (None: the second-order degradation), and its luck."""
        luck = Luck(seed)
        name = ORIGINS[luck.pick(self._shares)]
        return name, self._draw[name](luck) if name in self._draw else None, luck
