"""How far a picture is from photographs in the statistics of its fine structure, without a reference: NIQE's form.

Mittal, Soundararajan and Bovik, "Making a 'Completely Blind' Image Quality Analyzer", 2013: 36 features of each patch
of 96 x 96 pixels, 18 at each of two scales, follow a normal distribution in good photographs; the figure is the
distance of a picture's own distribution from that one. The photographs are ours, not the authors', so values are not
those of NIQE and must not be compared with published ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan.errors import CorruptModel, InvalidImage

Pixels = NDArray[np.floating[Any]]
Plane = NDArray[np.float64]

PATCH = 96
"""Pixels of the square patches at the full scale; half as many at the half scale."""
FEATURES = 36
SHARP = 0.75
"""Of the sharpest patch of a photograph: what a patch needs to count among the pristine ones."""

_SIGMA = 7 / 6
_HALF = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
"""MATLAB's bicubic for a picture of half the size."""
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""The neighbours whose products count: beside, below, and on both diagonals."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pristine:
    """The normal distribution of the features of good photographs."""

    mean: Plane
    """36 numbers."""
    covariance: Plane
    """36 x 36."""


def naturalness(pixels: Pixels, model: Pristine | None = None) -> float:
    """The distance of a picture, H x W x 1 or 3 in [0, 1], from ``model``: 0 for photographs, more for anything else.

    Both sides must be at least `PATCH`; what is left over on the right and below does not count, nor do patches without
    any structure. The covariance of few patches says little: compare means over pictures. ``model`` is the shipped one
    by default. Raises `InvalidImage` when no patch has any structure, ValueError for too small pictures.
    """
    model = model or pristine()
    features, _ = patch_features(pixels)
    if not len(features):
        raise InvalidImage("niqe-photos: no part of the picture has any structure")
    covariance = np.cov(features, rowvar=False) if len(features) > 1 else np.zeros((FEATURES, FEATURES))
    gap = features.mean(0) - model.mean
    inverse = np.linalg.pinv((covariance + model.covariance) / 2, hermitian=True)
    return math.sqrt(max(float(gap @ inverse @ gap), 0.0))


def fit(photographs: Iterable[Pixels]) -> Pristine:
    """The distribution over the sharp patches of ``photographs``, each as `naturalness` takes them.

    A patch is sharp whose mean local deviation is above `SHARP` times that of the picture's sharpest one. Raises
    ValueError for fewer than 37 sharp patches in all, whose covariance could not be inverted.
    """
    kept = []
    for pixels in photographs:
        features, sharpness = patch_features(pixels)
        kept.append(features[sharpness > SHARP * sharpness.max(initial=0.0)])
    vectors = np.concatenate(kept) if kept else np.empty((0, FEATURES))
    if len(vectors) <= FEATURES:
        raise ValueError(f"{len(vectors)} sharp patches are too few for {FEATURES} features")
    return Pristine(mean=vectors.mean(0), covariance=np.cov(vectors, rowvar=False))


def patch_features(pixels: Pixels) -> tuple[Plane, Plane]:
    """The 36 features of each patch with structure, N x 36, and how sharp each is, N.

    ``pixels`` as in `naturalness`. Luma in 0..255 is normalised by its local mean and deviation (7 x 7 Gaussian), here
    and at half the size; asymmetric generalised Gaussians are fitted to the values and to products of neighbours.
    """
    height, width = (side // PATCH * PATCH for side in pixels.shape[:2])
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not min(height, width):
        raise ValueError(f"a picture is H x W x 1 or 3 of at least {PATCH} x {PATCH} pixels, not {pixels.shape}")
    plane = _luma(pixels[:height, :width])
    columns = []
    sharpness = np.empty(0)
    for side in (PATCH, PATCH // 2):
        normalised, deviation = _normalised(plane)
        patches = _patches(normalised, side)
        if side == PATCH:
            sharpness = _patches(deviation, side).mean((1, 2))
        columns.append(_features(patches))
        plane = _halved(_halved(plane, 0), 1)
    features = np.concatenate(columns, axis=1)
    whole = np.isfinite(features).all(1)
    return features[whole], sharpness[whole]


@cache
def pristine() -> Pristine:
    """The shipped distribution: `weights/NOTICE.md`. Raises `CorruptModel` when its file is damaged."""
    name = "niqe_photos.npz"
    try:
        with (
            (resources.files("srgan.metrics") / "weights" / name).open("rb") as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            model = Pristine(mean=stored["mean"], covariance=stored["covariance"])
    except Exception as error:  # a damaged archive fails in many ways
        raise CorruptModel(f"{name}: the shipped statistics are damaged: install srgan again") from error
    return model


def _luma(pixels: Pixels) -> Plane:
    """BT.601 in full range, 0..255, as MATLAB's rgb2gray has it, not rounded."""
    values = pixels.astype(np.float64) * 255
    return np.asarray(values[..., 0] if values.shape[2] == 1 else values @ np.array([0.2989, 0.5870, 0.1140]))


def _normalised(plane: Plane) -> tuple[Plane, Plane]:
    """What remains of each value less its local mean, over its local deviation and 1; and the deviation."""
    mean = _blurred(plane)
    deviation = np.sqrt(np.abs(_blurred(plane * plane) - mean * mean))
    return (plane - mean) / (deviation + 1), deviation


def _blurred(plane: Plane) -> Plane:
    """Under a Gaussian of 7 x 7, the border continued by its own values."""
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    padded = np.pad(plane, 3, mode="edge")
    height, width = plane.shape
    down = _weighted(weights, [padded[k : k + height] for k in range(7)])
    return _weighted(weights, [down[:, k : k + width] for k in range(7)])


def _halved(plane: Plane, axis: int) -> Plane:
    """Half as long along ``axis``, which is even; the border mirrored with its own values repeated."""
    lines = np.moveaxis(plane, axis, 0)
    padded = np.pad(lines, ((3, 3), (0, 0)), mode="symmetric")
    taps = [padded[k : k + len(lines) : 2] for k in range(8)]
    return np.moveaxis(_weighted(_HALF, [tap[: len(lines) // 2] for tap in taps]), 0, axis)


def _weighted(weights: Plane, planes: Sequence[Plane]) -> Plane:
    total: Plane = weights[0] * planes[0]
    for weight, plane in zip(weights[1:], planes[1:], strict=True):
        total += weight * plane
    return total


def _patches(plane: Plane, side: int) -> Plane:
    """N x ``side`` x ``side``, row by row."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _features(patches: Plane) -> Plane:
    """N x 18: shape and width of the values, then shape, mean and both widths of the four products."""
    means = _gamma_table()[2]
    alpha, left, right = _asymmetric_gaussian(patches)
    features = [alpha, (left + right) / 2]
    for shift in _SHIFTS:
        alpha, left, right = _asymmetric_gaussian(patches * np.roll(patches, shift, axis=(1, 2)))
        features += [alpha, (right - left) * _at(alpha, means), left, right]
    return np.stack(features, axis=1)


def _asymmetric_gaussian(values: Plane) -> tuple[Plane, Plane, Plane]:
    """Shape, left and right width of the distribution of each of N patches, fitted by moments.

    Not finite where a patch has no values below or none above 0.
    """
    below, above = values < 0, values > 0
    squares = values * values
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt((squares * below).sum((1, 2)) / below.sum((1, 2)))
        right = np.sqrt((squares * above).sum((1, 2)) / above.sum((1, 2)))
        ratio = left / right
        moments = np.abs(values).mean((1, 2)) ** 2 / squares.mean((1, 2))
        moments = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    ratios, widths, _ = _gamma_table()
    middles = (ratios[1:] + ratios[:-1]) / 2
    alpha = _SHAPES[np.searchsorted(middles, np.nan_to_num(moments))]
    width = _at(alpha, widths)
    return alpha, left * width, right * width


_SHAPES = np.arange(200, 10001) / 1000
"""The shapes that are told apart, 0.2 to 10."""


@cache
def _gamma_table() -> tuple[Plane, Plane, Plane]:
    """For each of `_SHAPES`, by the gamma function G: G(2/a)^2 / (G(1/a) G(3/a)), which grows with a; the width that
    belongs to a deviation of 1; and the mean that belongs to a difference of widths of 1."""
    one, two, three = (np.array([math.lgamma(k / shape) for shape in _SHAPES]) for k in (1, 2, 3))
    return np.exp(2 * two - one - three), np.exp((one - three) / 2), np.exp(two - one)


def _at(alpha: Plane, table: Plane) -> Plane:
    """The entries of a table that belong to the shapes ``alpha``."""
    return np.asarray(table[np.rint(alpha * 1000).astype(int) - 200])
