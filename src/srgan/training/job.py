"""Training jobs and their progress. Importing this loads no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny

from srgan.progress import Report, Step, Stop
from srgan.settings import Job, Outcome
from srgan.training.config import TrainConfig, train_schema


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
            "config.hardware.compile",
            "config.hardware.checkpoint_activations",
            # Where it is kept, and how much of it. output.take is not here, as it chooses among weights; nor is
            # validation, which may choose, end training or fit an ensemble, and whose figures are a curve's columns.
            "config.output.runs",
            "config.output.checkpoint_every",
            "config.output.keep",
            "config.output.samples",
            "config.output.tensorboard",
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
    contents = [TrainJob(config=config).identity()["config"] for config in (one, other)]
    return _different(*contents)


def _different(one: dict[str, Any], other: dict[str, Any], before: str = "") -> list[str]:
    found = []
    for name in (*one, *(name for name in other if name not in one)):
        mine, theirs = one.get(name), other.get(name)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found += _different(mine, theirs, f"{before}{name}.")
        elif mine != theirs:
            found.append(f"{before}{name}")
    return found
