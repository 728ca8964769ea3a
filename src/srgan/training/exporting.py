"""A model out of a run that goes on: the averaged weights of one of its checkpoints, as a bundle."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srgan.errors import InvalidConfig
from srgan.models import Bundle, Provenance
from srgan.networks import build
from srgan.training.config import TrainConfig
from srgan.training.features import looked_through
from srgan.training.finishing import write_model
from srgan.training.recipes import AdversarialConfig
from srgan.training.runs import Run, config_hash, config_of
from srgan.training.state import MAIN, plain_of

log = logging.getLogger("srgan")

_AVERAGES = (f"averages/{MAIN}/", "average/")
"""What the names of averaged weights begin with, in today's checkpoints and in those of the first form."""


def export_checkpoint(run: Run, target: Path, *, step: int | None = None, best: bool = False) -> Bundle:
    """Write the bundle ``target`` of the averaged weights that ``run`` had at ``step``; by default the last it kept.

    ``best`` takes the checkpoint of the best validation, the last where that one is gone. The run is only read, so
    another process may train in it meanwhile. Raises `InvalidConfig` for a folder that is no run, a step of which
    there is no checkpoint, and a recipe whose model is more than one network, `TrainingFailed` for a damaged
    checkpoint, and `CannotWrite`.
    """
    config = config_of(run)
    if config is None:
        raise InvalidConfig(f"{run.folder}: is no run of a training that this srgan knows: it has no valid config.json")
    checkpoint = _pick(run, step, best)
    plain, weights = plain_of(checkpoint), _weights(checkpoint)
    options = {name: value for name, value in config.network.options.items() if name != "expanded"}
    network = build(config.network.name, config.network.scale, **config.network.options)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InvalidConfig(f"{run.folder}: its checkpoints hold another network than its config.json names") from error
    bundle = write_model(
        target,
        network.deploy(),
        name=config.output.name,
        family=config.output.family,
        description=config.output.description,
        network=config.network.name,
        network_options=options,
        licence=config.output.licence,
        provenance=_provenance(config, run, plain),
    )
    log.info("%s: the averaged weights of step %d", bundle.path, plain["step"])
    return bundle


def _pick(run: Run, step: int | None, best: bool) -> Path:
    """The checkpoint that is meant."""
    there = run.checkpoints()
    if not there:
        raise InvalidConfig(f"{run.folder}: has no checkpoint of one network to export")
    if step is not None:
        if run.checkpoint(step) not in there:
            steps = ", ".join(str(int(path.stem.removeprefix("step-"))) for path in there)
            raise InvalidConfig(f"{run.folder}: has no checkpoint of step {step}; it has those of {steps}")
        return run.checkpoint(step)
    if best:
        found = run.checkpoint(plain_of(there[-1]).get("best_step", 0))
        if found in there:
            return found
        log.warning("%s: the best checkpoint is gone; the model is that of the last", run.folder)
    return there[-1]


def _weights(checkpoint: Path) -> dict[str, Tensor]:
    """The averaged weights of the one network in ``checkpoint``, which is known to be sound."""
    from safetensors import safe_open

    with safe_open(checkpoint, "pt") as file:
        names = list(file.keys())
        for start in _AVERAGES:
            if taken := {name.removeprefix(start): file.get_tensor(name) for name in names if name.startswith(start)}:
                return taken
    return {}


def _provenance(config: TrainConfig, run: Run, plain: dict[str, Any]) -> Provenance:
    """Where the model comes from: as that of a finished run, but for the hardware, which a checkpoint does not know."""
    seen = [*(plain.get("parent_features") or ()), *run.teacher_features]
    if isinstance(config, AdversarialConfig) and config.loss.perceptual:
        seen.append(looked_through(config.loss))
    done, minutes = f"step {plain['step']:,} of {config.steps:,}", f"{plain.get('seconds', 0.0) / 60:.0f} minutes"
    return Provenance(
        corpus=config.output.corpus,
        recipe=config.recipe,
        config=config.output.name,
        config_sha256=config_hash(config),
        steps=plain["step"],
        seed=config.seed,
        commit=run.commit,
        trained_on=f"{done}, {minutes}, exported with torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}",
        parent=plain.get("parent") or "",
        teacher=run.teacher.get("said", ""),
        loss_features=tuple(dict.fromkeys(seen)),
    )
