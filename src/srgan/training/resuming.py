"""Going on from any checkpoint, under settings that may be others than it was made with."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from srgan.atomic import write_whole
from srgan.errors import CannotWrite, InvalidConfig, TrainingFailed
from srgan.networks import build
from srgan.training.config import TrainConfig, find_recipe
from srgan.training.job import differences
from srgan.training.runs import Run, config_of, new_run, versions
from srgan.training.state import MAIN, plain_of, shapes_of

FIXED = (
    "recipe",
    "network.name",
    "network.scale",
    "network.options",
    "optimiser.kind",
    "discriminator.name",
    "discriminator.options",
    "discriminator.optimiser",
)
"""What a checkpoint is made of, and so cannot go on without."""
ORIGIN = "origin"
"""The file in a run's folder that names the checkpoint which it was begun from."""

log = logging.getLogger("srgan")


def begin_from(config: TrainConfig, start: Path) -> Run:
    """The run that trains as ``config`` says, from ``start`` on: the folder of a run, or a checkpoint.

    That is the run itself, if it has not finished and trains the same. Otherwise it is a new version of ``config``'s
    own that begins with a copy of the checkpoint, so that nothing is lost of the old one; asked again, it is the same
    version, as long as that has not finished. Raises `InvalidConfig` for what is no checkpoint, does not fit the
    network, or has nothing left to do, and `CannotWrite`.
    """
    if not find_recipe(config.recipe).together:
        raise InvalidConfig(f"--resume {start}: the recipe {config.recipe} has no checkpoints of its own to go on from")
    checkpoint = _checkpoint(start)
    source = Run(checkpoint.parent.parent)
    begun_with = config_of(source)
    others = [] if begun_with is None else differences(begun_with, config)
    if fixed := [name for name in others if name.startswith(FIXED)]:
        raise InvalidConfig(
            f"--resume {start}: a checkpoint holds the weights of one training, so these cannot change: "
            f"{', '.join(fixed)}. To begin another training with its model, give network.init_from"
        )
    if start.is_dir() and begun_with is not None and not others and not source.bundle.exists():
        return source
    for run in versions(config.output.runs / config.output.name):
        begun = config_of(run)
        same = begun is not None and not differences(begun, config)
        if same and not run.bundle.exists() and _origin(run) == str(checkpoint):
            return run
    known = _fitting(config, checkpoint)
    if others:
        log.info("%s: going on with other settings: %s", start, ", ".join(others))
    return _copied(config, checkpoint, source, known)


def _checkpoint(start: Path) -> Path:
    """The checkpoint that ``start`` names, without links and dots."""
    if start.is_dir():
        found = Run(start).checkpoints()
        if not found:
            raise InvalidConfig(f"--resume {start}: there are no checkpoints in this folder, as a run's has them")
        return found[-1].resolve()
    if not start.is_file():
        raise InvalidConfig(f"--resume {start}: no such run or checkpoint")
    return start.resolve()


def _fitting(config: TrainConfig, checkpoint: Path) -> dict[str, Any]:
    """The plain values of ``checkpoint``. Raises `InvalidConfig` unless it can go on as ``config`` says."""
    try:
        known, shapes = plain_of(checkpoint), shapes_of(checkpoint, MAIN)
    except TrainingFailed as error:
        raise InvalidConfig(f"--resume {checkpoint}: not a checkpoint of srgan ({error})") from error
    section = config.network
    network = build(section.name, section.scale, **section.options)
    if shapes != {name: tuple(value.shape) for name, value in network.state_dict().items()}:
        raise InvalidConfig(f"--resume {checkpoint}: its weights are not those of network.name and network.options")
    if known["step"] >= config.steps:
        raise InvalidConfig(
            f"--resume {checkpoint}: all {config.steps} steps are done there ({known['step']}); set steps to more"
        )
    patience = config.validation.patience
    if patience is not None and known.get("waited", 0) >= patience:
        raise InvalidConfig(
            f"--resume {checkpoint}: it has waited for {known['waited']} validations without a better one, and "
            f"validation.patience = {patience} ends that; set it to more, or to null"
        )
    return known


def _copied(config: TrainConfig, checkpoint: Path, source: Run, known: dict[str, Any]) -> Run:
    """A new version that begins with ``checkpoint``, the best one that it remembers, and the curve up to there."""
    run = new_run(config)
    try:
        write_whole(run.checkpoint(known["step"]), checkpoint.read_bytes())
        best = source.checkpoint(known["best_step"])
        if known["best_step"] not in (0, known["step"]) and best.is_file():
            write_whole(run.checkpoint(known["best_step"]), best.read_bytes())
        if (source.folder / "curve.csv").is_file():
            write_whole(run.folder / "curve.csv", (source.folder / "curve.csv").read_bytes())
        (run.folder / ORIGIN).write_bytes(os.fsencode(checkpoint))
    except OSError as error:
        raise CannotWrite(f"{run.folder}: {error.strerror or error}") from error
    return run


def _origin(run: Run) -> str:
    path = run.folder / ORIGIN
    return os.fsdecode(path.read_bytes()) if path.is_file() else ""
