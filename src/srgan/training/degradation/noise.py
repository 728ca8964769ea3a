"""Random numbers that belong to the samples of a batch, and noise made of them.

Each sample has a seed. Its degradation follows from the seed alone: neither the other samples of the batch nor earlier
batches matter, which makes resumed training exact and single samples reproducible.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

NUMBERS = 96
"""Uniform numbers that a sample has at its disposal."""
PHOTONS = 256
"""Mean number of photons in a white pixel, for Poisson noise of strength 1."""


class Dice:
    """The random numbers of N samples. Numbers are tensors of N on the CPU; noise is on ``device``."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        rows = [torch.rand(NUMBERS, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in seeds]
        self._columns: Iterator[Tensor] = iter(torch.stack(rows, dim=1))
        # The next seed: the same one would give noise that follows from the numbers above.
        self._noise = [torch.Generator(device).manual_seed(seed + 1) for seed in seeds]

    def between(self, low: float, high: float) -> Tensor:
        """Evenly distributed from ``low`` to ``high``."""
        return next(self._columns).mul(high - low).add(low)

    def around_one(self, low: float, high: float) -> Tensor:
        """As often below 1, evenly from ``low``, as above, evenly to ``high``; exactly 1 for the half without room.

        Exponents of kernels are drawn so by Real-ESRGAN. As `between` where 1 is not in the range.
        """
        if not low <= 1 <= high:
            return self.between(low, high)
        place = 2 * next(self._columns) - 1
        return 1 + torch.where(place < 0, place * (1 - low), place * (high - 1))

    def whole(self, low: int, high: int) -> Tensor:
        """Whole numbers from ``low`` to ``high``, both among them."""
        return next(self._columns).mul(high - low + 1).floor().long() + low

    def happens(self, chance: float) -> Tensor:
        """True with this chance."""
        return next(self._columns).lt(chance)

    def pick(self, shares: Sequence[float]) -> Tensor:
        """Indices into ``shares``, each as often as its share says."""
        limits = torch.tensor(shares, dtype=torch.float64).cumsum(0)
        return torch.searchsorted(limits / limits[-1], next(self._columns), right=True)

    def gaussian(self, sample: int, shape: tuple[int, ...]) -> Tensor:
        """Normally distributed numbers of ``sample``."""
        generator = self._noise[sample]
        return torch.randn(shape, generator=generator, device=generator.device)

    def poisson(self, sample: int, rate: Tensor) -> Tensor:
        """Counts of ``sample`` with the mean ``rate``."""
        return torch.poisson(rate, generator=self._noise[sample])


def gaussian_noise(
    pictures: Tensor, sizes: Tensor, sigmas: Tensor, gray: Tensor, dice: Dice, samples: Sequence[int]
) -> Tensor:
    """Add Gaussian noise of ``sigmas`` levels to N x 3 x H x W ``pictures``, of which ``sizes`` is real; not clipped.

    ``samples`` are the numbers of the pictures in ``dice``.
    """
    noise = torch.zeros_like(pictures)
    for index, sample in enumerate(samples):
        height, width = sizes[index].tolist()
        channels = 1 if gray[index] else 3
        noise[index, :, :height, :width] = dice.gaussian(sample, (channels, height, width))
    return pictures + noise * (sigmas / 255).to(pictures)[:, None, None, None]


def poisson_noise(
    pictures: Tensor,
    sizes: Tensor,
    scales: Tensor,
    gray: Tensor,
    dice: Dice,
    samples: Sequence[int],
    *,
    photons: int = PHOTONS,
) -> Tensor:
    """As `gaussian_noise`, but with the noise of counted photons, ``scales`` times as strong.

    A white pixel has ``photons`` of them; with 0, as many as the picture has levels, rounded up to a power of two.
    """
    noise = torch.zeros_like(pictures)
    weights = pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    for index, sample in enumerate(samples):
        height, width = sizes[index].tolist()
        light = pictures[index, :, :height, :width].clamp(0, 1)
        if gray[index]:
            light = (light * weights).sum(dim=0, keepdim=True)
        white = photons
        if not photons:
            levels = (light * 255).round()
            light = levels / 255
            white = 1 << (int(levels.long().flatten().bincount().count_nonzero()) - 1).bit_length()
        rate = light * white
        noise[index, :, :height, :width] = (dice.poisson(sample, rate) - rate) / white
    return pictures + noise * scales.to(pictures)[:, None, None, None]
