"""Pictures made small and worse, as cameras and the web leave them: `DEGRADATIONS`, the same for each run."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srgan.imaging.resize import resize

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """What befalls a picture before it is enlarged, in this order; each strength is drawn evenly between two ends."""

    blur: tuple[float, float] | None = None
    """Sigma of a Gaussian before shrinking, in pixels of the small picture."""
    noise: tuple[float, float] | None = None
    """Sigma of Gaussian noise on the small picture, in levels of 255, for each channel by itself."""
    quality: tuple[int, int] | None = None
    """JPEG quality of the small picture, 4:2:0, by Pillow."""

    @property
    def says(self) -> str:
        """In words."""
        parts = [
            f"blurred (Gaussian, sigma {self.blur[0]:g} to {self.blur[1]:g} px of the input)" if self.blur else "",
            "made small by MATLAB bicubic",
            f"noise (Gaussian, sigma {self.noise[0]:g} to {self.noise[1]:g} of 255)" if self.noise else "",
            "8 bit",
            f"JPEG quality {self.quality[0]} to {self.quality[1]}" if self.quality else "",
        ]
        return ", ".join(part for part in parts if part)


DEGRADATIONS = {
    "blur": Degradation(blur=(0.4, 1.0)),
    "noise": Degradation(noise=(5, 20)),
    "jpeg": Degradation(quality=(40, 70)),
    "mixed": Degradation(blur=(0.2, 0.6), noise=(2, 12), quality=(40, 70)),
}


def degraded(reference: Bytes, scale: int, degradation: Degradation, *, name: str, seed: int = 0) -> Bytes:
    """``reference``, H x W x C in whole multiples of ``scale``, made small and degraded: H / scale x W / scale x C.

    The strengths depend on ``seed`` and the ``name`` of the picture alone. C is 1 or 3. `Degradation()` is the bicubic
    reduction alone.
    """
    drawn = int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big")
    chance = np.random.default_rng([seed, drawn])
    # All strengths are drawn whether they are used or not, so that `mixed` and its parts differ in nothing else.
    blur, noise, quality = chance.random(3)
    values = reference.astype(np.float64)
    if degradation.blur:
        values = _blurred(values, scale * _between(degradation.blur, blur))
    values = _bicubic(values, scale)
    if degradation.noise:
        values = values + chance.normal(0, _between(degradation.noise, noise), values.shape)
    small = _whole(values)
    return _as_jpeg(small, round(_between(degradation.quality, quality))) if degradation.quality else small


def _between(ends: tuple[float, float], part: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * part


def _bicubic(values: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """Made small in 0..255 and float64, in which ties before rounding are exact."""
    return resize(values, values.shape[0] // scale, values.shape[1] // scale)


def _whole(values: NDArray[np.float64]) -> Bytes:
    return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)


def _blurred(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Under a Gaussian, cut off at three sigma; the border mirrored with its own values repeated."""
    radius = math.ceil(3 * sigma)
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        lines = np.moveaxis(values, axis, 0)
        padded = np.pad(lines, ((radius, radius), (0, 0), (0, 0)), mode="symmetric")
        blurred = sum(weight * padded[k : k + len(lines)] for k, weight in enumerate(weights / weights.sum()))
        values = np.moveaxis(np.asarray(blurred), 0, axis)
    return values


def _as_jpeg(pixels: Bytes, quality: int) -> Bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as picture:
        return np.asarray(picture).reshape(pixels.shape)
