"""One tile through the network, checked, and tried again another way when it came out wrong.

The order: the session at hand; the same device in fp32; smaller tiles; the CPU in fp32; then an error. What had to be
given up stays given up for the rest of the picture, so that a broken device costs one detour and not one per tile; the
next picture starts afresh. Every step down is logged as a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from srgan import tiling
from srgan.errors import OutOfMemory, SrganError, UpscaleFailed
from srgan.runtime.faults import fault_of
from srgan.runtime.session import Session, SessionInfo

logger = logging.getLogger("srgan")

Pixels = NDArray[np.float32]
SMALLEST_GAIN = 16
"""Tiles are not made so small that they keep fewer pixels than this, or than a radius, across."""


class Reopen(Protocol):
    """Opens the same model again on another device or in another precision. Raises `SrganError` when it cannot."""

    def __call__(self, *, device: str, precision: str) -> Session: ...


class BadTile(Exception):
    """A tile that cannot be right; the message says what is wrong with it."""


class Attempts:
    """The way of one picture's tiles through the sessions.

    ``session`` is tried first; ``reopen`` gives the others, or is None when there are none. ``turn`` is entered around
    every use of a session. ``on_run`` is called before each run and may raise to stop the work.
    """

    def __init__(
        self, session: Session, reopen: Reopen | None, turn: AbstractContextManager[object], on_run: Callable[[], None]
    ) -> None:
        info = session.info
        self.needs = tiling.Needs(radius=info.radius, multiple=info.multiple, minimum=info.minimum)
        self.scale = info.scale
        self._session = session
        self._reopen = reopen
        self._turn = turn
        self._on_run = on_run
        self._most: int | None = None
        """Windows of more pixels than this did not fit into memory."""
        self._left: list[tuple[str, str]] = []
        """Device and precision of what is still to be tried."""
        if reopen is not None:
            if info.precision != "fp32":
                self._left.append((info.device, "fp32"))
            if not is_cpu(info):
                self._left.append(("cpu", "fp32"))

    def enlarge(self, window: Pixels) -> Pixels:
        """Enlarge ``window``, H x W x 1 or x ``info.channels``, H and W as the session asks, values in [0, 1].

        One channel goes through a network of several as equal channels, and comes back as their mean. The result is
        (scale*H) x (scale*W) x C, perhaps a view, finite, not clipped. Raises `UpscaleFailed` or `OutOfMemory` when
        nothing helped.
        """
        while True:
            try:
                return self._whole_or_parts(window)
            except (BadTile, OutOfMemory) as fault:
                self._step_down(fault)

    def _whole_or_parts(self, window: Pixels) -> Pixels:
        pixels = window.shape[0] * window.shape[1]
        if self._most is not None and pixels > self._most and self._part_shape(window, self._most):
            return self._parts(window, self._most)
        try:
            return self._checked(window)
        except (OutOfMemory, MemoryError) as fault:
            if not self._part_shape(window, pixels // 2):
                raise OutOfMemory(
                    f"{self._here()}: even tiles of {_by(window)} pixels do not fit into memory"
                ) from fault
            self._most = pixels // 2
            logger.warning("%s: a tile of %s pixels does not fit into memory", self._here(), _by(window))
        except BadTile as fault:
            # In lower precision the session is given up before the tile is.
            if (self._left and self._session.info.precision != "fp32") or not self._part_shape(window, pixels // 2):
                raise
            logger.warning("%s: a tile of %s pixels %s; trying smaller", self._here(), _by(window), fault)
        return self._parts(window, pixels // 2)

    def _checked(self, window: Pixels) -> Pixels:
        info = self._session.info
        batch = np.ascontiguousarray(window.transpose(2, 0, 1))[None]
        if window.shape[2] == 1 and info.channels > 1:
            batch = np.repeat(batch, info.channels, axis=1)
        self._on_run()
        try:
            with self._turn:
                enlarged = self._session.run(batch)
        except UpscaleFailed as error:
            raise BadTile(f"could not be made ({error})") from error
        reason = fault_of(batch, enlarged, self.scale, picture=info.picture)
        if reason is not None:
            raise BadTile(reason)
        planes: Pixels = enlarged[0].astype(np.float32, copy=False)
        if window.shape[2] == 1 and info.channels > 1:
            # The mean as first plus mean difference: exact where all are equal.
            planes = planes[:1] + (planes[1:] - planes[:1]).sum(axis=0, keepdims=True) / np.float32(info.channels)
        return planes.transpose(1, 2, 0)

    def _part_shape(self, window: Pixels, pixels: int) -> tuple[int, int] | None:
        """Shape of windows of about ``pixels`` pixels to cut ``window`` into; None when it cannot be cut smaller."""
        height, width = window.shape[:2]
        shortest = self.needs.shortest(max(SMALLEST_GAIN, self.needs.radius))
        shape = tiling.window_shape(height, width, self.needs, pixels=pixels, shortest=shortest)
        return shape if shape[0] * shape[1] < height * width else None

    def _parts(self, window: Pixels, pixels: int) -> Pixels:
        """`enlarge` by smaller windows. Near its own edges the window is as inexact either way."""
        height, width, channels = window.shape
        rows, columns = self._part_shape(window, pixels) or (height, width)
        s = self.scale
        result = np.empty((height * s, width * s, channels), np.float32)
        for row in tiling.spans(height, rows, self.needs):
            for column in tiling.spans(width, columns, self.needs):
                part = self._whole_or_parts(window[row.start : row.stop, column.start : column.stop])
                place(result, part, row, column, s)
        return result

    def _step_down(self, fault: BadTile | OutOfMemory) -> None:
        """Take the next session; when there is none, raise what the caller shall see."""
        given_up = self._here()
        while self._left:
            device, precision = self._left.pop(0)
            if isinstance(fault, OutOfMemory) and device != "cpu":
                continue  # more precision needs more memory
            logger.warning("%s: %s; trying %s in %s", given_up, _told(fault), device, precision)
            assert self._reopen is not None
            try:
                with self._turn:
                    session = self._reopen(device=device, precision=precision)
            except SrganError as error:
                logger.warning("%s in %s cannot be used: %s", device, precision, error)
                continue
            if session.info.scale == self.scale:
                self._session = session
                self._most = None
                return
        if isinstance(fault, OutOfMemory):
            raise fault
        raise UpscaleFailed(f"{given_up}: {_told(fault)} in all attempts. No picture was written") from fault

    def _here(self) -> str:
        info = self._session.info
        return f"{info.model} ({info.backend or 'session'}, {info.where}, {info.precision})"


def is_cpu(info: SessionInfo) -> bool:
    """Whether the session runs on the CPU."""
    return info.device.partition(":")[0] == "cpu"


def place(target: Pixels, tile: Pixels, row: tiling.Span, column: tiling.Span, scale: int, top: int = 0) -> None:
    """Copy what is kept of an enlarged ``tile``, clipped to [0, 1], into ``target``.

    The first row of ``target`` is the enlarged input row ``top``.
    """
    rows = slice((row.keep_start - row.start) * scale, (row.keep_stop - row.start) * scale)
    columns = slice((column.keep_start - column.start) * scale, (column.keep_stop - column.start) * scale)
    down, right = (row.keep_start - top) * scale, column.keep_start * scale
    kept = tile[rows, columns]
    place = target[down : down + kept.shape[0], right : right + kept.shape[1]]
    for channel in range(kept.shape[2]):  # sessions give planes: one at a time is copied twice as fast
        np.clip(kept[..., channel], 0, 1, out=place[..., channel])


def _told(fault: Exception) -> str:
    return "out of memory" if isinstance(fault, OutOfMemory) else f"a tile {fault}"


def _by(window: Pixels) -> str:
    return f"{window.shape[1]} x {window.shape[0]}"
