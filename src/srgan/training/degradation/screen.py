"""What a screenshot holds: a picture shown at a size that is not its own, often with few colours or half of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from srgan.training.degradation.luck import Luck
from srgan.training.degradation.origins import ScreenSection
from srgan.training.degradation.packing import KERNELS, Packed, Pixels, resized, scaled


@dataclass(frozen=True)
class Screen:
    """One screenshot; ``palette`` 0 is all colours, and without ``file`` it was stored without loss."""

    shown: float
    kernels: tuple[str, str]
    palette: int
    dithered: bool
    file: Packed | None

    @classmethod
    def drawn(cls, settings: ScreenSection, luck: Luck) -> Screen:
        """One at random."""
        palette = luck.happens(settings.palette)
        packed = luck.happens(settings.packed)
        return cls(
            shown=luck.between(settings.shown),
            kernels=(_kernel(settings, luck), _kernel(settings, luck)),
            palette=luck.whole(settings.palette_colours) if palette else 0,
            dithered=luck.happens(0.5),
            file=Packed.drawn(luck, "jpeg" if luck.happens(0.7) else "webp", settings.quality) if packed else None,
        )

    def __call__(self, pixels: Pixels, size: tuple[int, int], luck: Luck) -> Pixels:
        """The screenshot at ``size`` of the original ``pixels``."""
        height, width = scaled(size, self.shown)
        within = min(height, pixels.shape[0]), min(width, pixels.shape[1])
        seen = resized(resized(pixels, within, self.kernels[0]), size, self.kernels[1])
        if self.palette:
            dither = Image.Dither.FLOYDSTEINBERG if self.dithered else Image.Dither.NONE
            picture = Image.fromarray(seen)
            few = picture.quantize(self.palette).convert("RGB").quantize(self.palette)
            seen = np.array(picture.quantize(palette=few, dither=dither).convert("RGB"))
        return self.file(seen) if self.file else seen

    def __str__(self) -> str:
        dithered = ", dithered" if self.dithered else ""
        palette = f", {self.palette} colours{dithered}" if self.palette else ""
        return f"{self.kernels[0]} to x{self.shown:.2f}, {self.kernels[1]}{palette}, {self.file or 'PNG'}"


def _kernel(settings: ScreenSection, luck: Luck) -> str:
    others = [name for name in KERNELS if name != "nearest"]
    return "nearest" if luck.happens(settings.nearest) else others[luck.whole((0, len(others) - 1))]
