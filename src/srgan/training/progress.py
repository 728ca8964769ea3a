"""What a run tells while it works: status for whoever watches, curves for TensorBoard, and answers to an interrupt."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from srgan.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("srgan")


@dataclass(frozen=True, kw_only=True)
class TrainStatus:
    """How far training is."""

    step: int
    """Steps done, the ones of earlier sittings included."""
    steps: int
    """Steps in all."""
    loss: float
    """Loss of a batch a few steps ago at most; NaN before the first was looked at."""
    psnr: float | None
    """PSNR of the last validation in dB, if there was one."""
    steps_per_second: float
    """Mean speed of this sitting, validation and checkpoints included."""

    @property
    def seconds_left(self) -> float:
        """Estimate of the time to go."""
        return (self.steps - self.step) / max(self.steps_per_second, 1e-9)


class Curves:
    """Scalars and pictures for TensorBoard in ``folder``, after ``step``; without a folder they go nowhere."""

    def __init__(self, folder: Path | None, step: int = 0) -> None:
        self._writer: Any = None
        if folder:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingDependency("tensorboard", "train") from error
            # What an interrupted run wrote after its checkpoint is about to be written again.
            self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each named curve."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def show(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Add a picture, H x W x 3."""
        if self._writer:
            self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is pending."""
        if self._writer:
            self._writer.close()


@contextlib.contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event that a loop can answer between two steps. A second Ctrl-C stops at once.

    Not under torchrun, which passes on a Ctrl-C that its processes have had already; nor does SIGTERM.

    Outside the main thread, where Python allows no signal handlers, the event is never set.
    """
    event = threading.Event()
    passed_on = "TORCHELASTIC_RUN_ID" in os.environ
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def answer(number: int, frame: FrameType | None) -> None:
        if event.is_set() and number == signal.SIGINT and not passed_on:
            raise KeyboardInterrupt
        if not event.is_set():
            log.warning("stopping after this step, with a checkpoint; another Ctrl-C stops at once, without one")
        event.set()

    previous = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
