"""Which model a picture wants: `kind_of` tells a photograph from a drawing, `choose_model` names the model for it.

A drawing is what a hand or a program has made of lines, areas and fills: line art, cartoons, icons, maps, sprites,
screens, painted figures. A photograph is what a camera saw. Eight figures are taken from the values themselves, of
which none needs more than a look at neighbouring pixels, and weighed by a logistic regression. What it was fitted on
and how often it is right: docs/explanation/choosing.md; `benchmarks/choice.py` makes both anew.
"""

from __future__ import annotations

import logging
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from srgan.errors import ModelNotFound
from srgan.imaging import Picture, to_uint8
from srgan.models import find_model
from srgan.upscaler.sizes import count_runs

logger = logging.getLogger("srgan")

Kind = Literal["photo", "drawing"]

MODELS: dict[Kind, str] = {"photo": "fast", "drawing": "artwork"}
"""The family for each kind. Where there is none for drawings, photographs' is taken."""

_PATCH, _ACROSS = 64, 4
"""The sample: at most 4 x 4 patches of 64 x 64 pixels, spread evenly; at native size, since shrinking would hide what
tells the two apart."""
FEATURES = ("flat", "even", "flat_inside", "chroma", "plain", "two_toned", "pure", "few")
WEIGHTS = (1.870, -0.690, 1.160, 0.276, -1.348, 1.898, -0.312, 0.446)
BIAS = -1.069
"""Fitted by `benchmarks/choice.py --fit` on one half of 198 photographs, 337 pieces of free game art and 400 of Open
Clip Art: as they are, as JPEG, four times smaller, both, gray, and noisy; photographs weigh half as much again."""


def kind_of(picture: Picture) -> tuple[Kind, float]:
    """Whether ``picture`` is a photograph or a drawing, and how sure that is, 0.5 to 1.

    Some milliseconds, whatever the picture's size. What is transparent is not looked at.
    """
    values = features(picture)
    score = BIAS + sum(weight * value for weight, value in zip(WEIGHTS, values, strict=True))
    drawing = 1 / (1 + math.exp(-min(50.0, max(-50.0, score))))
    return ("drawing", drawing) if drawing > 0.5 else ("photo", 1 - drawing)


def choose_model(picture: Picture, scale: float | None = None) -> str:
    """The family to enlarge ``picture`` with by ``scale``, for `find_model`; says in the log what was chosen and why.

    A drawing gets the model for drawings when there is one that reaches ``scale`` (any when None) in one run, else that
    for photographs.
    """
    kind, confidence = kind_of(picture)
    chosen = MODELS[kind]
    because = f"a {'photograph' if kind == 'photo' else 'drawing'} ({confidence:.0%} sure)"
    if kind == "drawing" and not _reaches(chosen, scale):
        logger.info(
            "the picture seems to be %s; there is no model %r for it, so %r is used", because, chosen, MODELS["photo"]
        )
        return MODELS["photo"]
    logger.info("the picture seems to be %s: model %r", because, chosen)
    return chosen


def features(picture: Picture) -> tuple[float, ...]:
    """The figures named in `FEATURES`, each between -7 and 7, of a sample of ``picture``.

    Shares are given as logarithms of odds: neighbours that are nearly equal (``even``); how many of those are equal
    (``flat``), and how many where neither is white or black (``flat_inside``); blocks of nearly one tone (``plain``);
    pixels of blocks with an edge that lie close to one of its two tones (``two_toned``); white and black pixels
    (``pure``); and pixels of the eight most common colours (``few``). ``chroma`` is the logarithm of steps in colour
    over steps in lightness.
    """
    patches = _sample(picture)
    red, green, blue = (np.ascontiguousarray(patches[..., channel]) for channel in range(3))
    luma = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    pure = (np.maximum(np.maximum(red, green), blue) < 4) | (np.minimum(np.minimum(red, green), blue) > 251)
    light = _steps(luma)
    tint = _steps(blue - luma) + _steps(red - luma)
    whole = light + tint
    plain, two_toned = _blocks(luma, pure)
    return (
        _odds(_equal_of_even(whole)),
        _odds(whole < 4),
        _odds(_equal_of_even(whole[~_pairs(pure)])),
        math.log((_mean(tint) + 0.2) / (_mean(light) + 0.2)),
        plain,
        two_toned,
        _odds(pure),
        _odds(_common(patches)),
    )


def _sample(picture: Picture) -> NDArray[np.float32]:
    """Patches, N x height x width x 3, of the values 0 to 255 that lie where ``picture`` is not transparent."""
    colour, alpha = picture.colour, picture.alpha
    top, bottom, left, right = 0, picture.height, 0, picture.width
    if alpha is not None:
        seen = alpha[..., 0] > 0.5
        if seen.any():
            visible_rows, visible_columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            top, bottom = int(visible_rows[0]), int(visible_rows[-1]) + 1
            left, right = int(visible_columns[0]), int(visible_columns[-1]) + 1
    rows, columns = _places(top, bottom), _places(left, right)
    high, wide = min(_PATCH, bottom - top), min(_PATCH, right - left)
    cut = [np.s_[row : row + high, column : column + wide] for row in rows for column in columns]
    patches = to_uint8(np.stack([colour[place] for place in cut])).astype(np.float32)
    if alpha is not None:
        opacity = np.stack([alpha[place] for place in cut])
        patches = patches * opacity + 255 * (1 - opacity)
    return np.repeat(patches, 3, axis=3) if patches.shape[3] == 1 else patches


def _places(start: int, stop: int) -> list[int]:
    """Where patches begin along an axis."""
    count = min(_ACROSS, max(1, -(-(stop - start) // _PATCH)))
    last = max(start, stop - _PATCH)
    return [round(start + (last - start) * i / max(1, count - 1)) for i in range(count)]


def _steps(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each value differs from the next to the right and the next below."""
    across, down = values[:, :, 1:] - values[:, :, :-1], values[:, 1:] - values[:, :-1]
    return np.abs(np.concatenate((across.ravel(), down.ravel())))


def _pairs(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each of `_steps`: whether either value is marked."""
    return np.concatenate(((marks[:, :, 1:] | marks[:, :, :-1]).ravel(), (marks[:, 1:] | marks[:, :-1]).ravel()))


def _equal_of_even(steps: NDArray[np.float32]) -> float:
    """How many of the small steps are none at all. Where there are hardly any small ones: few, as in a photograph."""
    if not steps.size:
        return 0.1
    return (float((steps < 0.5).mean()) + 0.002) / (float((steps < 4).mean()) + 0.02)


def _common(patches: NDArray[np.float32]) -> float:
    """Share of the eight most common colours, at 16 levels a channel."""
    levels = patches.astype(np.uint16) >> 4
    counts = np.bincount(((levels[..., 0] << 8) | (levels[..., 1] << 4) | levels[..., 2]).ravel(), minlength=4096)
    return float(np.partition(counts, -8)[-8:].sum() / counts.sum())


def _blocks(luma: NDArray[np.float32], pure: NDArray[np.bool_]) -> tuple[float, float]:
    """Of blocks of 8 x 8: how many of those not white or black are nearly one tone; and of those with an edge in them,
    how many pixels lie close to one of the edge's two tones."""
    n, height, width = (luma.shape[0], luma.shape[1] // 8, luma.shape[2] // 8)
    if not height or not width:
        return 0.0, 0.0
    cut = luma[:, : height * 8, : width * 8].reshape(n, height, 8, width, 8).transpose(0, 1, 3, 2, 4).reshape(-1, 64)
    clean = ~pure[:, : height * 8 : 8, : width * 8 : 8].ravel()
    low, high = cut.min(axis=1), cut.max(axis=1)
    span = high - low
    edged = span > 48
    place = (cut[edged] - low[edged, None]) / span[edged, None]
    return _odds(span[clean] < 6), _odds(np.abs(place - 0.5) > 0.4)


def _odds(share: NDArray[np.bool_] | float) -> float:
    """Logarithm of the odds of a share, 0 when there is nothing to share; bounded to about 4.6."""
    if isinstance(share, np.ndarray):
        if not share.size:
            return 0.0
        share = float(share.mean())
    return math.log((share + 0.01) / (1.01 - share))


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean()) if values.size else 0.0


def _reaches(family: str, scale: float | None) -> bool:
    """Whether there is such a family, with a member of which one run does for ``scale``."""
    try:
        own = find_model(family, scale).info.scale
        return scale is None or count_runs(own, scale) <= 1
    except ModelNotFound:
        return False
