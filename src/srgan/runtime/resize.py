"""Plain resampling as a session: the honest baseline that a network has to beat, and the way to enlarge without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srgan.errors import DeviceUnavailable, InvalidConfig, OutOfMemory
from srgan.hardware import cpu_name, total_memory
from srgan.imaging.resize import Kernel, resize
from srgan.models.bundle import Bundle
from srgan.models.info import MEMBERS
from srgan.runtime.devices import Device, Survey
from srgan.runtime.session import SessionInfo, closed

RADIUS: dict[str, int] = {"bicubic": 2, "lanczos": 3, "bilinear": 1, "nearest": 0}
"""How far each kernel reaches, in input pixels."""


def open_resize(
    bundle: Bundle, *, device: str, precision: str, threads: int, outputs: tuple[str, ...] = ()
) -> ResizeSession:
    """Bicubic enlargement by ``bundle``'s scale, without its weights: what the model is measured against."""
    if MEMBERS in outputs:
        raise InvalidConfig("The resize backend has no ensemble members whose disagreement could be measured")
    if device not in ("auto", "cpu"):
        raise DeviceUnavailable(f"The resize backend runs on the CPU only, not on {device}")
    if precision not in ("auto", "fp32"):
        raise InvalidConfig(f"The resize backend supports only fp32, not {precision}")
    return ResizeSession("bicubic", bundle.info.scale)


class ResizeSession:
    """Enlarges by ``scale`` with a kernel in `RADIUS`. Takes any number of channels, and several threads at a time."""

    def __init__(self, kernel: Kernel, scale: int) -> None:
        if kernel not in RADIUS:
            raise InvalidConfig(f"There is no kernel {kernel!r}. Choose one of: {', '.join(RADIUS)}")
        self._kernel = kernel
        self._closed = False
        self.info = SessionInfo(
            model=kernel,
            scale=scale,
            radius=RADIUS[kernel],
            # In and out in float32, and as much again in between.
            working_bytes_per_pixel=3 * 4 * (1 + 2 * scale * scale),
            backend="resize",
        )

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Session.run`."""
        if self._closed:
            raise closed(self.info)
        count, channels, height, width = batch.shape
        scale = self.info.scale
        try:
            out = np.empty((count, channels, height * scale, width * scale), np.float32)
            for index, picture in enumerate(batch):
                pixels = resize(np.moveaxis(picture, 0, -1), height * scale, width * scale, self._kernel)
                out[index] = np.moveaxis(pixels, -1, 0)
            return out
        except MemoryError as error:
            raise OutOfMemory(
                f"{self._kernel}: not enough memory for {width} x {height} pixels in one piece"
            ) from error

    def close(self) -> None:
        """See `Session.close`."""
        self._closed = True


def survey() -> Survey:
    """The CPU."""
    return Survey([Device(backend="resize", device="cpu", name=cpu_name(), memory_bytes=total_memory())])
