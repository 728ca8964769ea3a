"""What a still of a video shows: half of its lines from another moment, pixels that were not square, a codec."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from srgan.training.degradation.luck import Luck
from srgan.training.degradation.origins import StillSection
from srgan.training.degradation.packing import Pixels, resized
from srgan.training.degradation.video import CODECS, through_video

_SQUEEZE = 0.75
"""720 pixels for what is shown as about 960, as on DVDs of wide pictures."""


@dataclass(frozen=True)
class Still:
    """One still. ``comb`` is by how many pixels the odd lines are late; 0 is none."""

    comb: int
    doubled: bool
    squeezed: bool
    codec: str
    quantiser: int
    path: tuple[tuple[int, int], ...]
    blocky: bool

    @classmethod
    def drawn(cls, settings: StillSection, luck: Luck) -> Still:
        """One at random."""
        combed = luck.happens(settings.combed)
        motion = luck.whole((1, settings.motion)) * (1 if luck.happens(0.5) else -1)
        codec = CODECS[luck.pick(settings.shares)]
        moves = luck.whole((-2, 2)), luck.whole((-2, 2))
        return cls(
            comb=motion if combed else 0,
            doubled=luck.happens(settings.doubled),
            squeezed=luck.happens(settings.squeezed),
            codec=codec,
            quantiser=luck.whole(settings.quantiser_h264 if codec == "h264" else settings.quantiser),
            path=(moves,) if luck.happens(0.6) else (),
            blocky=luck.happens(settings.blocky_colour),
        )

    def __call__(self, pixels: Pixels, size: tuple[int, int], luck: Luck) -> Pixels:
        """The still at ``size`` of the scene ``pixels``. Raises `MissingDependency` without the codec."""
        frame = resized(pixels, size, "bicubic")
        if self.squeezed:
            frame = resized(frame, (size[0], max(4, round(size[1] * _SQUEEZE))), "bicubic")
        if self.comb:
            width = frame.shape[1]
            late = np.abs((np.arange(width) - self.comb) % (2 * width - 2))
            late = np.where(late >= width, 2 * width - 2 - late, late)
            frame = frame.copy()
            frame[1::2] = frame[1::2, late]
        elif self.doubled:
            frame = resized(frame[::2], (frame.shape[0], frame.shape[1]), "bilinear")
        frame = _narrow(frame)
        planes = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1).float() / 255
        shown = through_video(planes, self.codec, self.quantiser, self.path)
        frame = shown.mul(255).round().byte().permute(1, 2, 0).numpy()
        return resized(_blocky(frame) if self.blocky else frame, size, "bilinear")

    def __str__(self) -> str:
        said = [
            f"combed {self.comb:+d}" if self.comb else "one field" if self.doubled else "",
            "squeezed" if self.squeezed else "",
            f"{self.codec} q{self.quantiser}",
            "blocky colour" if self.blocky else "",
        ]
        return ", ".join(word for word in said if word)


def _narrow(pixels: Pixels) -> Pixels:
    """Through the 220 levels that video has for what screens show in 256."""
    levels = (pixels.astype(np.float32) * (219 / 255)).round()
    return np.asarray((levels * (255 / 219)).round().clip(0, 255), np.uint8)


def _blocky(pixels: Pixels) -> Pixels:
    """With colour at half the resolution, enlarged by repetition."""
    planes = np.array(Image.fromarray(pixels).convert("YCbCr"))
    height, width = planes.shape[:2]
    half = resized(planes, (max(1, height // 2), max(1, width // 2)), "area")
    whole = resized(half, (height, width), "nearest")
    joined = np.dstack([planes[..., 0], whole[..., 1], whole[..., 2]])
    return np.array(Image.fromarray(joined, "YCbCr").convert("RGB"))
