"""One picture as several bands, one for each processor core.

ncnn's own threads share the work inside each layer and wait for each other there. How well that goes depends on the
number of channels: with 64, two threads kept 1.9 of two cores busy, with 48 only 1.6. Bands that overlap by the
network's radius need no waiting: at 512 x 512 they made `fast` 30 % faster, `turbo` no faster and no slower.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from srgan import tiling
from srgan.runtime.forks import Crew

Pixels = NDArray[np.float32]

MOST_WASTE = 1.1
"""Bands hold at most this many times the picture, because the overlap is work that the engine's own threads save."""


def cut(length: int, needs: tiling.Needs, threads: int) -> tuple[list[tiling.Span], int]:
    """Bands across an axis of ``length`` pixels, at most one for each of ``threads``, and the threads left for each."""
    padded, overlap = needs.padded(length), 2 * needs.radius
    for count in range(threads, 1, -1):
        spans = tiling.spans(length, needs.padded(math.ceil((padded + (count - 1) * overlap) / count)), needs)
        if 1 < len(spans) <= threads and sum(span.stop - span.start for span in spans) <= MOST_WASTE * length:
            return spans, max(1, threads // len(spans))
    return [tiling.Span(0, length, 0, length)], threads


class Bands:
    """``threads`` threads for the pictures of one session, whose windows have these ``needs`` and grow by ``scale``;
    without ``needs`` none is cut."""

    def __init__(self, threads: int, needs: tiling.Needs | None, scale: int) -> None:
        self.threads = threads
        self._needs = needs
        self._scale = scale
        self._crew = Crew(threads, "srgan-band")

    def enlarge(self, picture: Pixels, run: Callable[[Pixels, int], Pixels | None]) -> Pixels | None:
        """``picture`` (C x H x W) through ``run(window, threads)``, in bands across its longer side.

        As many channels as that gives, x sH x sW.
        None when ``run`` gave None for one of them. What ``run`` raises passes through when all bands have ended.
        """
        _, height, width = picture.shape
        upright = height >= width
        if self._needs is None:
            return run(picture, self.threads)
        spans, each = cut(max(height, width), self._needs, self.threads)
        if len(spans) == 1:
            return run(picture, self.threads)
        s = self._scale
        outs: list[Pixels] = []
        first = threading.Lock()

        def fill(span: tiling.Span) -> bool:
            seen = slice(span.start, span.stop)
            made = run(picture[:, seen] if upright else picture[:, :, seen], each)
            if made is None:
                return False
            with first:
                if not outs:
                    outs.append(np.empty((len(made), height * s, width * s), np.float32))
            out = outs[0]
            kept = slice((span.keep_start - span.start) * s, (span.keep_stop - span.start) * s)
            place = slice(span.keep_start * s, span.keep_stop * s)
            if upright:
                out[:, place] = made[:, kept]
            else:
                out[:, :, place] = made[:, :, kept]
            return True

        futures = [self._crew.begin(partial(fill, span)) for span in spans]
        for future in futures:
            future.exception()  # nothing may still run when the caller tidies up
        return outs[0] if all(future.result() for future in futures) else None

    def close(self) -> None:
        """Let the threads go."""
        self._crew.dismiss()
