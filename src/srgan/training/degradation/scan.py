"""What a scanner sees of a print: dots of ink, the grain of paper, dust, and its own blur."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srgan.training.degradation.luck import Luck
from srgan.training.degradation.origins import ScanSection
from srgan.training.degradation.packing import Packed, Pixels, blurred, resized

_ANGLES = {0: 15.0, 1: 75.0, 2: 0.0}
"""Degrees by which the screens of cyan, magenta and yellow are turned, by the channel of RGB that they take away."""
_BLACK = 45.0
_EDGE = 12.0
"""How sharp dots are: the steepness of the ink's edge, by the height of the wave that makes them."""


@dataclass(frozen=True)
class Scan:
    """One print and its scan; ``period`` 0 is a continuous print."""

    period: float
    colours: bool
    contrast: float
    paper: float
    tint: tuple[float, float, float]
    dust: float
    blur: float
    file: Packed

    @classmethod
    def drawn(cls, settings: ScanSection, luck: Luck) -> Scan:
        """One at random. Old paper is yellow: it takes most from blue."""
        screened = luck.happens(settings.screened)
        tint = luck.between(settings.tint)
        return cls(
            period=max(0.3, luck.between(settings.period)) if screened else 0.0,
            colours=luck.happens(settings.colours),
            contrast=settings.contrast,
            paper=luck.between(settings.paper),
            tint=(tint * luck.between((0.1, 0.5)), tint * luck.between((0.3, 0.7)), tint),
            dust=luck.between(settings.dust),
            blur=luck.between(settings.blur),
            file=Packed.drawn(luck, "jpeg", settings.quality),
        )

    def __call__(self, pixels: Pixels, size: tuple[int, int], luck: Luck) -> Pixels:
        """The scan at ``size`` of the picture ``pixels`` that was printed."""
        reduction = pixels.shape[0] / size[0]
        light = np.asarray(pixels, np.float32) / np.float32(255)
        if self.period:
            dots = self._dots(light, self.period * reduction, luck)
            light = light + self.contrast * (dots - light)
        light *= 1 - np.asarray(self.tint, np.float32) / 255
        grain = luck.noise(light.shape[:2]) + blurred_noise(luck, light.shape[:2], reduction)
        light += grain[..., None] * (self.paper / 255)
        self._strew(light, reduction, luck)
        printed = (light * 255 + 0.5).clip(0, 255).astype(np.uint8)
        return self.file(resized(blurred(printed, self.blur * reduction), size, "area"))

    def __str__(self) -> str:
        inks = "four inks" if self.colours else "black"
        dots = f"dots of {inks} at {self.period:.1f} px, " if self.period else ""
        return f"{dots}paper {self.paper:.1f}, tint {self.tint[2]:.0f}, blur {self.blur:.1f}, {self.file}"

    def _dots(self, light: NDArray[np.float32], period: float, luck: Luck) -> NDArray[np.float32]:
        """``light`` as a screen of dots prints it; ``period`` in its own pixels."""
        turn = luck.between((0.0, 90.0))
        if not self.colours:
            gray = light @ np.asarray((0.299, 0.587, 0.114), np.float32)
            # In one ink colour cannot be printed; it stays, as by tinted paper, so that it need not be guessed.
            share = _inked(1 - gray, period, _BLACK + turn, luck)
            return np.clip(light + ((1 - share) - gray)[..., None], 0, 1)
        printed = np.empty_like(light)
        for channel, angle in _ANGLES.items():
            printed[..., channel] = 1 - _inked(1 - light[..., channel], period, angle + turn, luck)
        return printed

    def _strew(self, light: NDArray[np.float32], reduction: float, luck: Luck) -> None:
        """Specks and hairs, dark or light, upon ``light``."""
        height, width = light.shape[:2]
        rows, columns = np.ogrid[:height, :width]
        for _ in range(luck.count(self.dust * height * width / reduction**2 / 1e4)):
            y, x = luck.between((0, height)), luck.between((0, width))
            size = luck.between((0.3, 1.2)) * reduction
            length = luck.between((2, 12)) * reduction if luck.happens(0.4) else 0.0
            angle = luck.between((0, math.pi))
            along = (rows - y) * math.sin(angle) + (columns - x) * math.cos(angle)
            across = (rows - y) * math.cos(angle) - (columns - x) * math.sin(angle)
            away = np.hypot(np.maximum(0, np.abs(along) - length), across + along**2 / (40 * reduction))
            cover = np.clip(size - away, 0, 1).astype(np.float32)[..., None] * luck.between((0.3, 0.9))
            light += cover * ((0.1 if luck.happens(0.6) else 0.97) - light)


def _inked(tone: NDArray[np.float32], period: float, degrees: float, luck: Luck) -> NDArray[np.float32]:
    """How much of each pixel has ink, 0 to 1, where dots are to cover ``tone`` of it."""
    angle = math.radians(degrees)
    y, x = np.mgrid[: tone.shape[0], : tone.shape[1]].astype(np.float32)
    u = (x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / period) + luck.between((0, 2 * math.pi))
    v = (y * math.cos(angle) - x * math.sin(angle)) * (2 * math.pi / period) + luck.between((0, 2 * math.pi))
    height = 0.5 + 0.25 * (np.cos(u) + np.cos(v))
    # The height above which this share of the plane lies, about: the wave is not spread evenly.
    edge = 0.5 + 0.5 * np.sign(0.5 - tone) * np.abs(1 - 2 * tone) ** 1.25
    ink = 1 / (1 + np.exp(_EDGE * (edge - height)))
    # Nothing is printed on white, and nothing left white on black.
    return np.asarray(ink * np.clip(tone * 20, 0, 1) + (1 - ink) * np.clip(tone * 20 - 19, 0, 1), np.float32)


def blurred_noise(luck: Luck, shape: tuple[int, int], period: float) -> NDArray[np.float32]:
    """Noise of variance 1 whose grains are ``period`` pixels wide."""
    coarse = luck.noise((math.ceil(shape[0] / period) + 1, math.ceil(shape[1] / period) + 1))
    rows = (np.arange(shape[0]) / period).astype(int)
    columns = (np.arange(shape[1]) / period).astype(int)
    return np.asarray(coarse[rows][:, columns], np.float32)
