"""A picture as strips of rows, top to bottom: fit for a network, made ahead, resampled, and joined."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from srgan import tiling
from srgan.errors import InvalidImage, OutOfMemory, UpscaleFailed
from srgan.hardware import available_memory
from srgan.imaging import Kernel, resize_strips, to_uint8, to_uint16
from srgan.upscaler.alpha import unweigh, weigh

Job = TypeVar("Job")
Made = TypeVar("Made")
Pixels = NDArray[np.float32]


def ahead(work: Callable[[Job], Made], jobs: Iterator[Job]) -> Iterator[tuple[Job, Made]]:
    """Each of ``jobs`` with what ``work`` makes of it, in order; the next one is under way while one is used.

    The jobs are drawn in the caller's thread, the work is done in another, one at a time.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="srgan-tile")
    process = os.getpid()

    def made(future: Future[Made]) -> Made:
        if os.getpid() != process:  # the other thread is not here
            raise UpscaleFailed("this was started before the process forked; start it again in the new process")
        return future.result()

    waiting: tuple[Job, Future[Made]] | None = None
    try:
        for job in jobs:
            future = pool.submit(work, job)
            if waiting is not None:
                yield waiting[0], made(waiting[1])
            waiting = job, future
        if waiting is not None:
            yield waiting[0], made(waiting[1])
    finally:
        if os.getpid() == process:
            pool.shutdown(cancel_futures=True)


def checked(pixels: Pixels) -> Pixels:
    """``pixels`` as every network can take them; `InvalidImage` when they are none."""
    if pixels.ndim != 3 or pixels.dtype != np.float32 or pixels.shape[2] not in (1, 2, 3, 4) or not pixels.size:
        raise InvalidImage(f"pixels must be float32, height x width x 1..4, not {pixels.dtype} {pixels.shape}")
    with np.errstate(invalid="ignore"):
        low, high = float(pixels.min()), float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidImage("the picture contains NaN or infinite values")
    return pixels if low >= 0 and high <= 1 else np.clip(pixels, 0, 1)


def resampled(
    strips: Iterator[Pixels], shape: tuple[int, int, int], target: tuple[int, int], kernel: Kernel
) -> Iterator[Pixels]:
    """``strips`` of a picture of ``shape`` as strips of one of size ``target``, clipped; alpha weighs the colours."""
    height, width, channels = shape
    rows = tiling.Rows(strips)
    if channels in (1, 3) or (height, width) == target:
        made = resize_strips(rows.take, (height, width), *target, channels, kernel)
    else:
        weighed = resize_strips(
            lambda top, bottom: weigh(rows.take(top, bottom)), (height, width), *target, 2 * channels - 1, kernel
        )
        made = map(unweigh, weighed)
    for strip in made:
        yield np.clip(strip, 0, 1)


def join(strips: Iterator[Pixels], shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Strips as one array of ``shape`` and ``dtype``: uint8, uint16 or a float type.

    Raises `OutOfMemory` before the work starts when there is no room for it: a system that promises memory it does not
    have would kill the process in the middle.
    """
    need, free = math.prod(shape) * dtype.itemsize, available_memory()
    try:
        if free is not None and need > free:
            raise MemoryError
        whole = np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise OutOfMemory(
            f"the result of {shape[1]} x {shape[0]} pixels needs {need / 2**30:.1f} GiB of memory"
            + ("" if free is None else f"; {free / 2**30:.1f} GiB are free")
        ) from error
    row = 0
    for strip in strips:
        if strip.shape == shape and strip.dtype == dtype:
            whole = strip
        elif dtype == np.uint8:
            whole[row : row + len(strip)] = to_uint8(strip)
        elif dtype == np.uint16:
            whole[row : row + len(strip)] = to_uint16(strip)
        else:
            whole[row : row + len(strip)] = strip
        row += len(strip)
    return whole
