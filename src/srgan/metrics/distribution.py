"""How far apart two sets of feature vectors lie: distances between collections of pictures, not between pictures.

Whoever reports them names the features. "FID" and "KID" as published are those of Inception v3 and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating[Any]]

_ROWS = 1024
"""Rows of the kernel matrix made at a time."""


def frechet_distance(a: Vectors, b: Vectors) -> float:
    """The squared Frechet distance of the normal distributions fitted to N x D and M x D vectors; at least 0.

    Biased upwards by too few vectors (in the order of D^2 / N): below ten times D it says little. Raises ValueError
    for fewer than two vectors or different D.
    """
    x, y = _prepared(a, b)
    gap = x.mean(0) - y.mean(0)
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    # The trace of sqrt(first @ second), through a symmetric matrix of the same eigenvalues: real, whatever the rank.
    values, vectors = np.linalg.eigh(np.atleast_2d(first))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ np.atleast_2d(second) @ root), 0)).sum()
    total = gap @ gap + np.trace(np.atleast_2d(first)) + np.trace(np.atleast_2d(second)) - 2 * cross
    return max(float(total), 0.0)


def kernel_distance(a: Vectors, b: Vectors) -> float:
    """The unbiased squared maximum mean discrepancy under the kernel (x y / D + 1)^3, as KID uses it.

    Unbiased for any number of vectors, so it may be a little below 0 for two halves of one set. Over all vectors, not
    over drawn subsets. Raises ValueError as `frechet_distance` does.
    """
    x, y = _prepared(a, b)
    within = _kernel_sum(x, x, diagonal=False) / (len(x) * (len(x) - 1))
    within += _kernel_sum(y, y, diagonal=False) / (len(y) * (len(y) - 1))
    return within - 2 * _kernel_sum(x, y, diagonal=True) / (len(x) * len(y))


def _prepared(a: Vectors, b: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"two sets of at least two vectors of one length are compared, not {a.shape} and {b.shape}")
    return a.astype(np.float64), b.astype(np.float64)


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64], *, diagonal: bool) -> float:
    total = 0.0
    for top in range(0, len(x), _ROWS):
        total += float((((x[top : top + _ROWS] @ y.T) / x.shape[1] + 1) ** 3).sum())
    if not diagonal:
        total -= float(((np.square(x).sum(1) / x.shape[1] + 1) ** 3).sum())
    return total
