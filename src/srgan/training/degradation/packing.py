"""Files: what the real encoders leave of a picture, and the resizing that comes before and after them.

Pictures are H x W x 3, uint8, as programs have them between their steps.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, features

from srgan.errors import MissingDependency
from srgan.training.degradation.luck import Luck

Pixels = NDArray[np.uint8]
FORMS = ("jpeg", "webp", "avif")
KERNELS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
    "area": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}
_NAMES = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}
_BLOCK = 16


@dataclass(frozen=True)
class Packed:
    """One file that a picture goes through. ``shift`` is where its blocks begin, above and left of the picture."""

    form: str
    quality: int
    full_colour: bool = False
    shift: tuple[int, int] = (0, 0)

    @classmethod
    def drawn(cls, luck: Luck, form: str, qualities: tuple[int, int], full_colour: float = 0.0) -> Packed:
        """One with a quality of these, and blocks that begin anywhere: patches are parts of larger pictures."""
        shift = luck.whole((0, _BLOCK - 1)), luck.whole((0, _BLOCK - 1))
        return cls(form, luck.whole(qualities), luck.happens(full_colour), shift)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Encode and decode. Raises `MissingDependency` when this build of Pillow cannot write the form."""
        down, right = self.shift
        wide = np.pad(pixels, ((down, 0), (right, 0), (0, 0)), mode="symmetric")
        return encoded(wide, self.form, self.quality, full_colour=self.full_colour)[down:, right:]

    def __str__(self) -> str:
        return f"{_NAMES[self.form]} {self.quality}{' 4:4:4' * self.full_colour}"


def encoded(pixels: Pixels, form: str, quality: int, *, full_colour: bool = False) -> Pixels:
    """Encode ``pixels`` as one of `FORMS` and decode them again.

    Raises `MissingDependency` when this build of Pillow cannot write ``form``.
    """
    if form != "jpeg" and not features.check(form):
        raise MissingDependency(f"Pillow with {form.upper()}", "train")
    # One thread and the quickest effort: the artefacts are much the same, and workers are needed elsewhere.
    options: dict[str, dict[str, int]] = {
        "jpeg": {"subsampling": 0 if full_colour else 2},
        "webp": {"method": 2},
        "avif": {"speed": 8, "max_threads": 1},
    }
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, form, quality=quality, **options[form])
    return np.array(Image.open(stored).convert("RGB"))


def resized(pixels: Pixels, size: tuple[int, int], kernel: str) -> Pixels:
    """``pixels`` at ``size`` (height, width), rounded to 8 bits, by one of `KERNELS`; all but nearest antialias."""
    if pixels.shape[:2] == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize((size[1], size[0]), KERNELS[kernel]))


def scaled(size: tuple[int, int], factor: float, least: int = 4) -> tuple[int, int]:
    """``size`` times ``factor``, in whole pixels, ``least`` at least."""
    return max(least, round(size[0] * factor)), max(least, round(size[1] * factor))


def blurred(pixels: Pixels, sigma: float) -> Pixels:
    """Blurred by a Gaussian of ``sigma`` pixels."""
    return np.array(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma))) if sigma > 0 else pixels


def sharpened_by_mask(pixels: Pixels, radius: float, weight: float) -> Pixels:
    """With ``weight`` times what a blur of ``radius`` pixels takes away added again, as photo programs do."""
    mask = ImageFilter.UnsharpMask(radius, round(100 * weight), 2)
    return np.array(Image.fromarray(pixels).filter(mask))
