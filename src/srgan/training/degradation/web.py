"""What a web page shows: a picture made smaller and packed, often from one that was packed before."""

from __future__ import annotations

from dataclasses import dataclass

from srgan.training.degradation.luck import Luck
from srgan.training.degradation.origins import WebSection
from srgan.training.degradation.packing import FORMS, Packed, Pixels, resized, scaled, sharpened_by_mask

_REDUCERS = ("bicubic", "Lanczos", "bilinear", "area")


@dataclass(frozen=True)
class Web:
    """One picture of a page; ``first`` is the file that it was made from, if that was packed too."""

    between: float
    reducers: tuple[str, str]
    sharpen: float
    first: Packed | None
    last: Packed

    @classmethod
    def drawn(cls, settings: WebSection, luck: Luck) -> Web:
        """One at random."""
        again = luck.happens(settings.again)
        files = [_file(settings, luck) for _ in range(2)]
        return cls(
            between=luck.between(settings.between) if again else 1.0,
            reducers=(_REDUCERS[luck.whole((0, 3))], _REDUCERS[luck.whole((0, 3))]),
            sharpen=luck.between((0.2, 0.8)) if luck.happens(settings.sharpen) else 0.0,
            first=files[0] if again else None,
            last=files[1],
        )

    def __call__(self, pixels: Pixels, size: tuple[int, int], luck: Luck) -> Pixels:
        """The picture of the page at ``size``, of the original ``pixels``."""
        if self.first is not None:
            height, width = scaled(size, self.between)
            within = min(height, pixels.shape[0]), min(width, pixels.shape[1])
            pixels = self.first(resized(pixels, within, self.reducers[0]))
        pixels = resized(pixels, size, self.reducers[1])
        return self.last(sharpened_by_mask(pixels, 1.0, self.sharpen) if self.sharpen else pixels)

    def __str__(self) -> str:
        first = f"{self.first} at x{self.between:.2f}, " if self.first else ""
        sharp = f"sharpened {self.sharpen:.1f}, " if self.sharpen else ""
        return f"{first}{self.reducers[1]}, {sharp}{self.last}"


def _file(settings: WebSection, luck: Luck) -> Packed:
    form = FORMS[luck.pick(settings.shares)]
    qualities = settings.avif_quality if form == "avif" else settings.quality
    return Packed.drawn(luck, form, qualities, settings.full_colour if form == "jpeg" else 0.0)
