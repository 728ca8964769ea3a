"""Removing a model's colour drift: what the result shows from afar is what the input showed.

Networks, adversarial ones most, shift colours a little over wide areas. The result, made small again, is compared with
the input; their difference, smoothed until only the drift is left of it, is added to the result. All that needs the
input's resolution only; the two steps at the output's resolution are one average and one bilinear enlargement.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from srgan.runtime.faults import refuse_faulty
from srgan.runtime.session import Session, SessionInfo

Batch = NDArray[np.float32]

SIGMA = 6.0
"""Of the Gaussian that separates drift from detail, in input pixels."""
_BLOCK = 32
"""Positions that share one dense matrix of weights."""


class FixColour:
    """``session``, with its low-frequency colour drift removed.

    Drift is what is left of (input - result made small by averages) after a Gaussian of ``sigma`` input pixels, cut off
    at 2.5 sigma. Detail finer than that stays the model's. The radius grows by that reach and one pixel for the
    enlargement, so that tiles still join without a seam; the working memory by one more result. At the picture's edges
    the weights are those that keep straight lines straight, so that a drift that grows towards an edge is removed there
    too. May be used from as many threads as ``session``.
    """

    def __init__(self, session: Session, sigma: float = SIGMA) -> None:
        if not 0.5 <= sigma <= 64:
            raise ValueError(f"sigma is 0.5 to 64 pixels, not {sigma}")
        self._session = session
        self._sigma = sigma
        self._reach = math.ceil(2.5 * sigma)

    @property
    def info(self) -> SessionInfo:
        inner = self._session.info
        # In float32: the corrected result, two that are large in one direction only, and three small ones.
        more = 4 * inner.channels * (inner.scale * inner.scale + 2 * inner.scale + 3)
        return replace(
            inner,
            radius=inner.radius + self._reach + (1 if inner.scale > 1 else 0),
            working_bytes_per_pixel=inner.working_bytes_per_pixel + more,
        )

    def run(self, batch: Batch) -> Batch:
        """See `Session.run`. Errors of the run are raised as they are; a run that cannot be right, which the correction
        would hide, raises `UpscaleFailed`."""
        info = self._session.info
        enlarged = self._session.run(batch)
        n, channels, height, width = batch.shape
        if enlarged.shape != (n, channels, height * info.scale, width * info.scale):
            refuse_faulty(info, batch, enlarged)
        with np.errstate(invalid="ignore", over="ignore"):
            small = _made_small(enlarged, info.scale)
        refuse_faulty(info, batch, small, scale=1)
        drift = batch - small
        for axis in (2, 3):
            drift = _smoothed(drift, axis, self._sigma, self._reach)
        return _added(enlarged, drift, info.scale)

    def close(self) -> None:
        """Close the session inside."""
        self._session.close()


def _made_small(values: Batch, scale: int) -> Batch:
    """Means of squares of ``scale`` x ``scale`` values."""
    if scale == 1:
        return values
    n, channels, height, width = values.shape
    rows = values.reshape(n, channels, height // scale, scale, width)
    total = rows[:, :, :, 0] + rows[:, :, :, 1]
    for row in range(2, scale):
        total += rows[:, :, :, row]
    # Columns by slices: many times faster than a sum over an axis of four values.
    small = total[..., 0::scale] + total[..., 1::scale]
    for column in range(2, scale):
        small += total[..., column::scale]
    small *= np.float32(1 / (scale * scale))
    return small


def _smoothed(values: Batch, axis: int, sigma: float, reach: int) -> Batch:
    """``values`` smoothed along ``axis`` (2 or 3), as products with small dense matrices, which BLAS does fast."""
    result = np.empty_like(values)
    length = values.shape[axis]
    for start in range(0, length, _BLOCK):
        stop = min(length, start + _BLOCK)
        low, high = max(0, start - reach), min(length, stop + reach)
        # The place of the block within its surroundings, and how far those go, is all that the weights depend on.
        weights = _weights(stop - start, start - low, high - low, sigma, reach)
        if axis == 2:
            np.matmul(weights, values[:, :, low:high], out=result[:, :, start:stop])
        else:
            np.matmul(values[..., low:high], weights.T, out=result[..., start:stop])
    return result


@lru_cache(maxsize=64)
def _weights(count: int, first: int, length: int, sigma: float, reach: int) -> Batch:
    """Weights, ``count`` x ``length``, of positions 0 to ``length`` for those from ``first`` on.

    A Gaussian, times the straight line that makes the weights sum to 1 and their centre of mass the position itself:
    where the Gaussian is whole, that line is constant.
    """
    away = np.arange(length)[None, :] - (first + np.arange(count))[:, None]
    weights = np.where(np.abs(away) <= reach, np.exp(-0.5 * (away / sigma) ** 2), 0.0)
    m0, m1, m2 = (np.sum(weights * away**power, axis=1, keepdims=True) for power in (0, 1, 2))
    determinant = m0 * m2 - m1 * m1
    alone = determinant < 1e-9  # one position, through which every line goes
    level = np.where(alone, 1 / m0, m2 / np.where(alone, 1, determinant))
    slope = np.where(alone, 0, -m1 / np.where(alone, 1, determinant))
    made: Batch = (weights * (level + slope * away)).astype(np.float32)
    made.setflags(write=False)
    return made


def _added(values: Batch, small: Batch, scale: int) -> Batch:
    """``values`` plus ``small``, enlarged ``scale`` times by straight lines between the centres of its pixels."""
    if scale == 1:
        return values + small
    result = np.empty(values.shape, np.float32)
    wide = _stretched(small, scale)
    # Strips of some rows stay within the cache between their making and their adding.
    below = np.concatenate((wide[:, :, :1], wide, wide[:, :, -1:]), axis=2)
    for phase in range(scale):
        share = np.float32((phase + 0.5) / scale - 0.5)
        one, other = (below[:, :, :-2], -share) if share < 0 else (below[:, :, 2:], share)
        for row in range(0, small.shape[2], _BLOCK):
            rows = slice(row, row + _BLOCK)
            out = np.s_[:, :, row * scale + phase : (row + _BLOCK) * scale : scale]
            between = (one[:, :, rows] - wide[:, :, rows]) * other
            between += wide[:, :, rows]
            np.add(values[out], between, out=result[out])
    return result


def _stretched(small: Batch, scale: int) -> Batch:
    """``small`` enlarged along its last axis."""
    n, channels, height, width = small.shape
    wide = np.empty((n, channels, height, width, scale), np.float32)
    beside = np.concatenate((small[..., :1], small, small[..., -1:]), axis=3)
    for phase in range(scale):
        share = np.float32((phase + 0.5) / scale - 0.5)
        other = beside[..., :-2] if share < 0 else beside[..., 2:]
        wide[..., phase] = small + (other - small) * abs(share)
    return wide.reshape(n, channels, height, width * scale)
