"""Animations enlarged frame by frame, into a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np

from srgan.atomic import check_target
from srgan.imaging import (
    Animation,
    Frame,
    Kernel,
    Picture,
    animated_format_of,
    blank,
    check_format,
    write_animation,
)
from srgan.progress import Report, Step, Stop, part, silent
from srgan.upscaler.pipeline import Upscaler
from srgan.upscaler.sizes import Size


def enlarge_animation(
    upscaler: Upscaler,
    animation: Animation,
    target: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    resample: Kernel = "lanczos",
    report: Report | None = None,
    stop: Stop | None = None,
    describe: Callable[[Picture], Picture] = lambda like: like,
    **size: Unpack[Size],
) -> Path:
    """Enlarge ``animation``, write it to ``target`` as GIF, PNG or WebP and return that path.

    Frames, their times and the number of plays stay as they are; the formats may differ. Each frame goes through
    `Upscaler.upscale` as it looks on the screen, transparency included; equal frames in a row are enlarged once, and
    two or three are in memory at a time. ``describe`` changes what is written beside the pixels: it gets and returns a
    picture that has `blank` pixels. ``size`` is as in `Upscaler.upscale`.

    ``report`` is told of the frames, ``stop`` is asked as there. Raises `InvalidConfig` for a ``target`` of a format
    without animation (save the first frame with `srgan.upscale` instead), and what the frames, `Upscaler.upscale` and
    `write_animation` raise.
    """
    kind = animated_format_of(target, format)
    check_target(target, overwrite=overwrite)
    height, width = upscaler.output_size(animation.size, **size)
    channels = animation.like.pixels.shape[2]
    check_format(kind, width, height, channels)
    return write_animation(
        _enlarged(upscaler, animation, resample, report or silent, stop, size),
        target,
        size=(height, width),
        like=replace(describe(animation.like), pixels=blank(height, width, channels)),
        loop=animation.loop,
        background=animation.background,
        format=kind,
        quality=quality,
        overwrite=overwrite,
    )


def _enlarged(
    upscaler: Upscaler, animation: Animation, resample: Kernel, report: Report, stop: Stop | None, size: Size
) -> Iterator[Frame]:
    before: Picture | None = None
    after: Picture | None = None
    for number, frame in enumerate(animation.frames):
        tell = part(report, number, 1, animation.count, unit="frames")
        if before is None or after is None or not np.array_equal(frame.picture.pixels, before.pixels):
            before = frame.picture
            after = upscaler.upscale(before, resample=resample, report=tell, stop=stop, **size)
        else:
            tell(Step(1, 1))
        yield replace(frame, picture=after)
