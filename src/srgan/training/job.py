"""Training jobs and their progress. Importing this loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, model_validator

from srgan.progress import Report, Step, Stop
from srgan.settings import Job, Outcome
from srgan.training.config import TrainConfig, train_schema

LOOKING_ON = ("pretrain", "adversarial", "distil")
"""Recipes that use the pictures of the validation for nothing but to judge."""
PLACES = (
    "data.folders",
    "data.low_folders",
    "validation.folder",
    "validation.low_folder",
    "loss.feature_weights",
    "discriminator.init_from",
    "teacher.store",
    "refiner.folders",
    "refiner.validation_folder",
)
"""Keys of paths: the same place may be written in several ways."""


@dataclass(frozen=True, slots=True)
class TrainStep(Step):
    """Training progress, with the numbers that its note has as text."""

    loss: float = math.nan
    """Loss of a recent batch; NaN before the first."""
    psnr: float | None = None
    """PSNR of the last validation in dB, if there was one."""


class TrainJob(Job):
    """A training: what `srgan.training.train` does.

    Two jobs with the same digest train the same weights, up to rounding on different devices, so one can continue an
    unfinished run of the other.
    """

    kind: Literal["train"] = Field(default="train", description="Kind of job.")
    config: SerializeAsAny[TrainConfig] = Field(description="The training file.")
    resume: bool = Field(
        default=True, description="Continue an unfinished run of the same training instead of starting a new one."
    )
    start: Path | None = Field(
        default=None,
        description="Where to go on from, under settings that may be others: the folder of a run, finished or not, or "
        "one of its checkpoints.",
    )
    output: Path | None = Field(
        default=None,
        description="Path for a copy of the finished model: a new folder, or a file ending in .zip.",
    )

    APART: ClassVar[frozenset[str]] = frozenset(
        {
            # Where it is done, and in what portions. hardware.devices is not here, since each has a batch of its own,
            # nor precision, which rounds far more than devices differ and which a checkpoint's loss scales belong to.
            "config.hardware.device",
            "config.hardware.threads",
            "config.hardware.loaders",
            "config.hardware.compile",
            "config.hardware.checkpoint_activations",
            # Where it is kept, and how much of it. output.take is not here, as it chooses among weights. For
            # validation see `identity`.
            "config.output.runs",
            "config.output.checkpoint_every",
            "config.output.keep",
            "config.output.samples",
            "config.output.tensorboard",
            "config.output.wandb",
            "config.output.publish",
            # A mark on what comes out.
            "config.validation.fid_threshold",
            # Whether what comes out is fit to be called a model decides about no weight.
            "config.output.unfit",
            # What is said of the model: a run goes on under words that were put right.
            "config.output.name",
            "config.output.family",
            "config.output.description",
            "config.output.corpus",
            "config.output.licence",
            # Begun anew or gone on with, it comes to the same; and the copy is one.
            "resume",
            "output",
        }
    )

    @model_validator(mode="after")
    def _one_beginning(self) -> TrainJob:
        if self.start is not None and not self.resume:
            raise ValueError(
                "resume and start contradict each other: with a checkpoint to go on from, none begins anew"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """As of every job, without the validation where that only looks on.

        It decides about weights where it ends training or chooses among checkpoints, and with recipes that learn from
        it.
        """
        content = super().identity()
        if _looks_on(self.config):
            del content["config"]["validation"]
        return content

    @classmethod
    def model_json_schema(cls, *args: Any, **settings: Any) -> dict[str, Any]:
        """As of every model, with the training files of all recipes."""
        schema, file = super().model_json_schema(*args, **settings), train_schema()
        schema["$defs"] |= file["$defs"]
        schema["properties"]["config"] |= {"oneOf": file["oneOf"]}
        schema["properties"]["config"].pop("$ref", None)
        return schema


def run_train(job: TrainJob, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Carry out ``job`` by `srgan.training.train`; the result is the bundle. Raises what that raises."""
    from srgan.training import train

    bundle = train(job, report=report, stop=stop)
    told = {**bundle.info.model_dump(mode="json"), "path": str(bundle.path)}
    return Outcome(state="done", report=told, result=bundle)


def differences(one: TrainConfig, other: TrainConfig) -> list[str]:
    """The dotted names of the settings by which two configurations train different weights."""
    contents = [Job.identity(TrainJob(config=config))["config"] for config in (one, other)]
    if _looks_on(one) and _looks_on(other):
        for content in contents:
            del content["validation"]
    return _different(*contents)


def _looks_on(config: TrainConfig) -> bool:
    """Whether the validation decides about no weight."""
    return config.recipe in LOOKING_ON and config.validation.patience is None and config.output.take == "last"


def _different(one: dict[str, Any], other: dict[str, Any], before: str = "") -> list[str]:
    found = []
    for name in (*one, *(name for name in other if name not in one)):
        mine, theirs = one.get(name), other.get(name)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found += _different(mine, theirs, f"{before}{name}.")
        elif mine != theirs and not (f"{before}{name}" in PLACES and _places(mine) == _places(theirs)):
            found.append(f"{before}{name}")
    return found


def _places(paths: str | list[str] | None) -> list[Path]:
    """One path or several, without links and dots."""
    return [Path(path).resolve() for path in ([paths] if isinstance(paths, str) else paths or [])]
