"""Training: a configuration in, a model bundle out. `RECIPES` lists the ways to get there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from srgan.errors import MissingDependency
from srgan.plugins import Table

if TYPE_CHECKING:
    from pathlib import Path

    from srgan.models import Bundle
    from srgan.training.config import TrainConfig
    from srgan.training.progress import TrainStatus

log = logging.getLogger("srgan")

LIBRARIES = ("torch", "lightning_fabric", "safetensors", "onnx", "onnxruntime", "pnnx")

RECIPES = Table(
    "srgan.recipes",
    "recipe",
    {
        "pretrain": "srgan.training.pretrain:pretrain",
        "adversarial": "srgan.training.adversarial:adversarial",
        "ensemble": "srgan.training.ensemble:ensemble",
        "take": "srgan.training.take:take",
    },
)


def train(config: TrainConfig, *, resume: bool = True, progress: Callable[[TrainStatus], None] | None = None) -> Bundle:
    """Train a model as ``config`` says and return its bundle, in ``config.output.runs / name / version / bundle``.

    With ``resume`` an unfinished run of the same configuration is continued, bit for bit on a CPU; otherwise a new
    version is begun. ``progress`` is called every few steps. A run whose numbers stay not finite goes back to its last
    good checkpoint with lower learning rates, up to `OptimiserSection.recoveries` times. Raises what the recipe raises,
    and `MissingDependency` without the `train` extra: before the first step, though the last libraries are needed only
    after the last.
    """
    for library in LIBRARIES:
        if find_spec(library) is None:
            raise MissingDependency(library.replace("_", "-"), "train")
    from srgan.training.loop import WentBack

    recipe = RECIPES.load(config.recipe)
    while True:
        try:
            bundle: Bundle = recipe(config, resume=resume, progress=progress)
        except WentBack as back:
            log.warning("%s", back)
            resume = True
        else:
            return bundle


def blend_models(
    shares: Mapping[str, float], target: Path, *, name: str, family: str = "", description: str = ""
) -> Bundle:
    """Write the bundle ``target`` of the network between several models; see `srgan.training.blend.blend`.

    Raises what that raises, and `MissingDependency` without the `train` extra.
    """
    for library in LIBRARIES:
        if find_spec(library) is None:
            raise MissingDependency(library.replace("_", "-"), "train")
    from srgan.training.blend import blend

    return blend(shares, target, name=name, family=family, description=description)


def preview_degradation(config: TrainConfig, target: Path) -> None:
    """Write a picture to ``target`` that shows patches as `train` would make them, and what was done to each.

    Its suffix says the format. Raises `CannotWrite`, also when ``target`` exists, `InvalidDataset`, `InvalidConfig` and
    `MissingDependency`.
    """
    if find_spec("torch") is None:
        raise MissingDependency("torch", "train")
    from srgan.training.preview import draw_samples

    draw_samples(config, target)


__all__ = ["RECIPES", "blend_models", "preview_degradation", "train"]
