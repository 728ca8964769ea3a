"""What a session's result can be seen to be wrong by, without knowing what it should be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srgan.errors import UpscaleFailed
from srgan.runtime.session import SessionInfo


def fault_of(
    batch: NDArray[np.float32], enlarged: NDArray[np.float32], scale: int, *, picture: bool = True
) -> str | None:
    """What is wrong with the result of a run, or None: wrong shape, NaN or infinity, constant or black though the input
    is not. An input with hardly any contrast, or hardly any light, may give a constant or black result; so may any when
    no ``picture`` is made of it but a map."""
    n, channels, height, width = batch.shape
    expected = (n, channels, height * scale, width * scale)
    if enlarged.shape != expected or enlarged.dtype.kind != "f":
        return f"came out as {enlarged.dtype} of shape {enlarged.shape}, not as float32 of shape {expected}"
    with np.errstate(invalid="ignore"):
        low, high = enlarged.min(axis=(0, 2, 3)), enlarged.max(axis=(0, 2, 3))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return "came out with values that are not numbers"
    if not picture:
        return None
    if high.max() < 1 / 512 and batch.mean() > 1 / 64:
        return "came out black"
    if (high - low).max() < 1e-6 and (batch.max(axis=(0, 2, 3)) - batch.min(axis=(0, 2, 3))).max() > 1 / 16:
        return "came out as one flat colour"
    return None


def refuse_faulty(
    info: SessionInfo, batch: NDArray[np.float32], enlarged: NDArray[np.float32], scale: int | None = None
) -> None:
    """Raise `UpscaleFailed` when `fault_of` finds something: for sessions that change another's result, and would hide
    from their caller that it was wrong. ``scale`` is that of ``info`` unless ``enlarged`` was made smaller since."""
    reason = fault_of(batch, enlarged, info.scale if scale is None else scale, picture=info.picture)
    if reason is not None:
        raise UpscaleFailed(f"{info.model}: a run {reason}")
