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

logger = logging.getLogger("srgan")

Kind = Literal["photo", "drawing"]

MODELS: dict[Kind, str] = {"photo": "fast", "drawing": "artwork"}
"""The family for each kind. Where there is none for drawings, photographs' is taken."""

_PATCH, _ACROSS = 128, 4
"""The sample: at most 4 x 4 patches of 128 x 128 pixels, spread evenly; at native size, since shrinking would hide what
tells the two apart."""
FEATURES = ("flat", "even", "inner_even", "sharp", "peaked", "few", "noise", "chroma")


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

    A drawing gets the model for drawings when there is one that reaches ``scale``, else that for photographs.
    """
    kind, confidence = kind_of(picture)
    chosen = MODELS[kind]
    because = f"a {'photograph' if kind == 'photo' else 'drawing'} ({confidence:.0%} sure)"
    if kind == "drawing" and not _reaches(chosen, scale):
        logger.info("the picture seems to be %s; there is no model %r for it, so %r is taken", because, chosen, MODELS["photo"])
        return MODELS["photo"]
    logger.info("the picture seems to be %s: model %r", because, chosen)
    return chosen


def features(picture: Picture) -> tuple[float, ...]:
    """The figures named in `FEATURES`, each about -5 to 5, of a sample of ``picture``."""
    patches = _sample(picture)
    luma = patches @ np.float32([0.299, 0.587, 0.114])
    blue, red = patches[..., 2] - luma, patches[..., 0] - luma
    steps = np.concatenate([np.abs(d).ravel() for d in _differences(luma)])
    pure = np.concatenate([(p | q).ravel() for p, q in _pairs((luma < 4) | (luma > 251))])
    ...
    return ()
