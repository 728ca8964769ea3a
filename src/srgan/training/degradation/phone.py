"""What a phone makes of a scene: a small lens, few photons, and software that hides it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srgan.training.degradation.luck import Luck
from srgan.training.degradation.origins import PhoneSection
from srgan.training.degradation.packing import Packed, Pixels, blurred, resized, scaled, sharpened_by_mask

_GAMMA = 2.2
_REACH = 2
"""Pixels that denoising looks around itself."""


@dataclass(frozen=True)
class Phone:
    """One photograph."""

    lens: float
    zoom: float
    photons: float
    read_noise: float
    denoise: float
    chroma: float
    radius: float
    sharpen: float
    file: Packed

    @classmethod
    def drawn(cls, settings: PhoneSection, luck: Luck) -> Phone:
        """One at random."""
        zoomed = luck.happens(settings.zoom)
        return cls(
            lens=luck.between(settings.lens),
            zoom=luck.between(settings.zoom_factor) if zoomed else 1.0,
            photons=luck.grown(settings.photons),
            read_noise=luck.between(settings.read_noise),
            denoise=luck.between(settings.denoise),
            chroma=luck.between(settings.chroma),
            radius=luck.between(settings.sharpen_radius),
            sharpen=luck.between(settings.sharpen),
            file=Packed.drawn(luck, "jpeg", settings.quality, settings.full_colour),
        )

    def __call__(self, pixels: Pixels, size: tuple[int, int], luck: Luck) -> Pixels:
        """The photograph at ``size`` of the scene ``pixels``."""
        reduction = pixels.shape[0] / size[0]
        seen = resized(blurred(pixels, self.lens * reduction), scaled(size, 1 / self.zoom), "area")
        noisy, deviation = self._noisy(seen, luck)
        clean = resized(self._denoised(noisy, deviation), size, "bicubic")
        return self.file(sharpened_by_mask(clean, self.radius, self.sharpen))

    def __str__(self) -> str:
        zoom = f", zoom {self.zoom:.1f}" if self.zoom > 1 else ""
        return (
            f"blur {self.lens:.1f}{zoom}, {self.photons:.0f} photons, denoised {self.denoise:.1f}, "
            f"sharpened {self.sharpen:.1f}, {self.file}"
        )

    def _noisy(self, pixels: Pixels, luck: Luck) -> tuple[Pixels, float]:
        """With the noise of a sensor, which counts photons; and how large that is in middle gray, in levels of 255."""
        light = np.asarray((pixels / np.float32(255)) ** _GAMMA, np.float32)
        read = (self.read_noise / 255) ** 2
        light += luck.noise(light.shape) * np.sqrt(light / self.photons + read)
        middle = 0.5**_GAMMA
        slope = 1 / (_GAMMA * middle ** (1 - 1 / _GAMMA))
        deviation = 255 * slope * float(np.sqrt(middle / self.photons + read))
        return _rounded(np.asarray(255 * light.clip(0, 1) ** (1 / _GAMMA), np.float32)), deviation

    def _denoised(self, pixels: Pixels, deviation: float) -> Pixels:
        """Smooth where nothing is but noise, so that faint texture goes as well; colour blurred."""
        planes = np.array(Image.fromarray(pixels).convert("YCbCr"))
        luma = smoothed(planes[..., 0].astype(np.float32), _REACH, (self.denoise * deviation) ** 2)
        soft = blurred(planes, self.chroma)
        joined = np.dstack([_rounded(luma), soft[..., 1], soft[..., 2]])
        return np.array(Image.fromarray(joined, "YCbCr").convert("RGB"))


def smoothed(plane: NDArray[np.float32], reach: int, variance: float) -> NDArray[np.float32]:
    """The guided filter (He et al. 2013) of ``plane``, H x W, by itself.

    Squares of 2 ``reach`` + 1 pixels become their mean where they vary by less than ``variance``, and stay where more.
    """
    mean = _mean(plane, reach)
    varies = np.maximum(0, _mean(plane * plane, reach) - mean * mean)
    slope = np.asarray(varies / (varies + max(variance, 1e-6)), np.float32)
    return _mean(slope, reach) * plane + _mean(np.asarray(mean - slope * mean, np.float32), reach)


def _mean(plane: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Means of squares about each pixel; the picture is mirrored at its borders."""
    side = 2 * reach + 1
    for axis in (0, 1):
        wide = np.pad(plane, [(reach + 1, reach) if k == axis else (0, 0) for k in (0, 1)], mode="symmetric")
        total = wide.cumsum(axis=axis, dtype=np.float64)
        high, low = np.arange(side, wide.shape[axis]), np.arange(wide.shape[axis] - side)
        plane = ((total.take(high, axis) - total.take(low, axis)) / side).astype(np.float32)
    return plane


def _rounded(levels: NDArray[np.float32]) -> Pixels:
    return (levels + 0.5).clip(0, 255).astype(np.uint8)
