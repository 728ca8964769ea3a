"""Training: turns a job into a model bundle, by one of the `RECIPES`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from srgan.errors import CannotWrite, MissingDependency
from srgan.progress import Report, Stop, silent
from srgan.training.config import RECIPES, Recipe, TrainConfig, find_recipe
from srgan.training.job import TrainJob, TrainStep

if TYPE_CHECKING:
    from pathlib import Path

    from srgan.models import Bundle

log = logging.getLogger("srgan")

LIBRARIES = ("torch", "lightning_fabric", "safetensors", "onnx", "onnxruntime", "pnnx")


def train(job: TrainJob | TrainConfig, *, report: Report | None = None, stop: Stop | None = None) -> Bundle:
    """Train a model and return its bundle: that in ``output.runs / name / version``, or the copy at ``job.output``.

    A configuration stands for the job of training as it says. An unfinished run that trains the same is continued, bit
    for bit on a CPU, unless the job has ``resume`` off; with ``start`` training goes on from there, under settings that
    may be others. ``report`` is told by `TrainStep`, and ``stop`` asked after each: when it is set, a checkpoint is
    written and `Cancelled` raised. A run whose numbers stay not finite, or which blows up, goes back to its last good
    checkpoint with lower learning rates, up to `OptimiserSection.recoveries` times.

    It can be called from any thread and leaves the process state unchanged. For several devices it starts processes of
    its own, see `train_apart`; processes started by torchrun each take their part, and all return the bundle. Raises
    what the recipe raises, and `MissingDependency` without the `train` extra, before the first step.
    """
    job = job if isinstance(job, TrainJob) else TrainJob(config=job)
    _check_libraries(job.config)
    if job.output is not None and job.output.exists():
        raise CannotWrite(f"{job.output}: exists already; choose another place for the model")
    from srgan.training.apart import processes, train_apart

    if processes(job) > 1:
        return train_apart(job, report=report, stop=stop)
    from srgan.training.process import borrowed

    with borrowed():
        return _copied(_train(job, report or silent, stop or Stop()), job)


def _train(job: TrainJob, report: Report, stop: Stop) -> Bundle:
    """Call the recipe, again where it went back."""

    from srgan.training.launch import follows
    from srgan.training.loop import WentBack

    recipe = find_recipe(job.config.recipe)
    resume: bool | Path = job.resume
    if job.start is not None and not follows():
        from srgan.training.resuming import begin_from

        resume = begin_from(job.config, job.start).folder
    while True:
        try:
            return recipe(job.config, resume=resume, report=report, stop=stop)
        except WentBack as back:
            log.warning("%s", back)
            resume = resume or True


def _copied(bundle: Bundle, job: TrainJob) -> Bundle:
    """``bundle``, or its copy where the job wants one: made by the one of several processes that leads."""
    from srgan.models import write_bundle
    from srgan.training.launch import follows

    if job.output is None:
        return bundle
    if follows():
        return bundle
    return write_bundle(job.output, bundle.info, {name: bundle.read(name) for name in bundle.info.files})


def train_apart(job: TrainJob | TrainConfig, *, report: Report | None = None, stop: Stop | None = None) -> Bundle:
    """`train` in a process of its own, whose death is an error and no more; see `srgan.training.apart.train_apart`."""
    _check_libraries(job.config if isinstance(job, TrainJob) else job)
    from srgan.training.apart import train_apart

    return train_apart(job, report=report, stop=stop)


def blend_models(
    shares: Mapping[str, float], target: Path, *, name: str, family: str = "", description: str = ""
) -> Bundle:
    """Write the bundle ``target`` of the network between several models; see `srgan.training.blend.blend`.

    Raises what that raises, and `MissingDependency` without the `train` extra.
    """
    _check_libraries()
    from srgan.training.blend import blend

    return blend(shares, target, name=name, family=family, description=description)


def export_checkpoint(run: Path, target: Path, *, step: int | None = None, best: bool = False) -> Bundle:
    """Write the bundle ``target`` of a checkpoint of the run in the folder ``run``, or of the last run there.

    See `srgan.training.exporting.export_checkpoint`. Raises what that raises, `CannotWrite` also when ``target``
    exists, and `MissingDependency` without the `train` extra.
    """
    _check_libraries()
    if target.exists():
        raise CannotWrite(f"{target}: exists already; choose another place for the model")
    from srgan.training.exporting import export_checkpoint
    from srgan.training.runs import run_at

    return export_checkpoint(run_at(run), target, step=step, best=best)


def preview_degradation(config: TrainConfig, target: Path) -> None:
    """Write a picture to ``target`` that shows patches as `train` would make them, and what was done to each.

    Its suffix says the format. Raises `CannotWrite`, also when ``target`` exists, `InvalidDataset`, `InvalidConfig` and
    `MissingDependency`.
    """
    if find_spec("torch") is None:
        raise MissingDependency("torch", "train")
    from srgan.training.preview import draw_samples

    draw_samples(config, target)


def _check_libraries(config: TrainConfig | None = None) -> None:
    for library in LIBRARIES:
        if find_spec(library) is None:
            raise MissingDependency(library.replace("_", "-"), "train")
    if config is not None and config.output.wandb and find_spec("wandb") is None:
        raise MissingDependency("wandb", "wandb")


__all__ = [
    "RECIPES",
    "Recipe",
    "TrainConfig",
    "TrainJob",
    "TrainStep",
    "blend_models",
    "export_checkpoint",
    "find_recipe",
    "preview_degradation",
    "train",
    "train_apart",
]
