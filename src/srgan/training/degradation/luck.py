"""The random numbers of one sample. Its wear follows from its seed alone, whatever else is in the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Luck:
    """Numbers drawn in turn, from a seed (0 to 2^63 - 1)."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def between(self, bounds: tuple[float, float]) -> float:
        """Evenly distributed within ``bounds``."""
        return float(self._random.uniform(*bounds))

    def grown(self, bounds: tuple[float, float]) -> float:
        """Evenly distributed on a logarithmic scale, within ``bounds``, which are above 0."""
        return math.exp(self.between((math.log(bounds[0]), math.log(bounds[1]))))

    def whole(self, bounds: tuple[int, int]) -> int:
        """A whole number within ``bounds``, both among them."""
        return int(self._random.integers(bounds[0], bounds[1] + 1))

    def happens(self, chance: float) -> bool:
        """True with this chance."""
        return bool(self._random.random() < chance)

    def pick(self, shares: Sequence[float]) -> int:
        """An index into ``shares``, each as often as its share says."""
        limits = np.cumsum(shares)
        return int(np.searchsorted(limits / limits[-1], self._random.random(), side="right"))

    def noise(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Normally distributed numbers."""
        return self._random.standard_normal(shape, np.float32)

    def count(self, mean: float) -> int:
        """A Poisson distributed number."""
        return int(self._random.poisson(mean))
