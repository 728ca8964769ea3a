"""The kinds of jobs, and one call that runs any of them.

    job = load(text)            # JSON
    outcome = run(job, report=show, stop=stop)

The command line and the library both make jobs, so they cannot give different results. A kind is an entry in `KINDS`;
another package adds one by an entry point in the group ``srgan.jobs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from srgan.config import checked, parse_json
from srgan.errors import InvalidConfig
from srgan.plugins import Table
from srgan.progress import Report, Stop
from srgan.settings import Job, Outcome

KINDS = Table(
    "srgan.jobs",
    "kind of job",
    {
        "upscale": "srgan.jobs:UPSCALE",
        "batch": "srgan.jobs:BATCH",
        "train": "srgan.jobs:TRAIN",
        "evaluate": "srgan.jobs:EVALUATE",
        "generate": "srgan.jobs:GENERATE",
        "encode": "srgan.jobs:ENCODE",
        "reconstruct": "srgan.jobs:RECONSTRUCT",
    },
)
"""Each kind's name with its `Kind`."""


@dataclass(frozen=True)
class Kind:
    """One kind of job: its model and its runner, both given as ``module:attribute`` and loaded when needed.

    The model is a subclass of `Job`. The runner is called ``runner(job, report=..., stop=...)`` and returns an
    `Outcome`; it raises `SrganError` when the job cannot be run.
    """

    model: str
    runner: str

    def load_model(self) -> type[Job]:
        """The model. Raises what importing its module raises."""
        found: type[Job] = _attribute(self.model)
        return found

    def load_runner(self) -> Callable[..., Outcome]:
        """The runner. Raises what importing its module raises."""
        found: Callable[..., Outcome] = _attribute(self.runner)
        return found


UPSCALE = Kind("srgan.upscaler.job:UpscaleJob", "srgan.upscaler.job:run_upscale")
BATCH = Kind("srgan.batch.job:BatchJob", "srgan.batch.pictures:run_batch")
TRAIN = Kind("srgan.training.job:TrainJob", "srgan.training.job:run_train")
EVALUATE = Kind("srgan.evaluation.job:EvaluateJob", "srgan.evaluation.job:run_evaluate")
GENERATE = Kind("srgan.generation.job:GenerateJob", "srgan.generation.job:run_generate")
ENCODE = Kind("srgan.generation.coding:EncodeJob", "srgan.generation.coding:run_encode")
RECONSTRUCT = Kind("srgan.generation.coding:ReconstructJob", "srgan.generation.coding:run_reconstruct")


def load(data: str | bytes | Mapping[str, Any], *, name: str = "job") -> Job:
    """Read a job from ``data``: JSON text, or the parsed values.

    Raises `InvalidConfig`, with ``name`` and one line per mistake, for invalid JSON, an unknown kind or version, and
    unknown keys or invalid values.
    """
    values = data if isinstance(data, Mapping) else _parsed(data, name)
    if "kind" not in values:
        raise InvalidConfig(f'{name}: has no "kind"; it must be one of {", ".join(KINDS.names())}')
    kind = values["kind"]
    if not isinstance(kind, str):
        raise InvalidConfig(f"{name}: kind must be a name such as upscale, not {kind!r}")
    try:
        model = KINDS.load(kind).load_model()
    except InvalidConfig as error:
        raise InvalidConfig(f"{name}: {error}") from error
    known = model.model_fields["version"].default
    if (version := values.get("version", known)) != known:
        raise InvalidConfig(f"{name}: has version {version} of {kind}; this srgan supports version {known}")
    try:
        job: Job = checked(model, values)
    except InvalidConfig as error:
        raise InvalidConfig("\n".join(f"{name}: {line}" for line in str(error).splitlines())) from error
    return job


def run(job: Job, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Run ``job`` and return its outcome.

    ``report`` is called with the progress, ``stop`` is checked to end early, see `srgan.progress`. May be called from
    any thread. Raises `SrganError`: `Cancelled` when ``stop`` ended a job that has no partial result.
    """
    kind: Kind = KINDS.load(job.kind)
    return kind.load_runner()(job, report=report, stop=stop)


def _parsed(text: str | bytes, name: str) -> Mapping[str, Any]:
    try:
        values = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{name}: is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise InvalidConfig(f"{name}: must contain keys and values, not {type(values).__name__}")
    return values


def _attribute(target: str) -> Any:
    import importlib

    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
