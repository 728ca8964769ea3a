"""The kinds of work there are, and the one call that carries out any of them.

    job = load(text)            # JSON, wherever it came from
    outcome = run(job, report=show, stop=stop)

The command line, the library and the service only make jobs, so that they cannot give different results. A kind is a
line in `KINDS`; another package adds one by an entry point in the group ``srgan.jobs``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from srgan.config import checked
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
    },
)
"""Each kind's name with its `Kind`."""


@dataclass(frozen=True)
class Kind:
    """One kind of work: where its model is, and what carries it out; both ``module:attribute``, loaded when needed.

    The model is a subclass of `Job`. The runner is called ``runner(job, report=..., stop=...)`` and returns an
    `Outcome`; it raises `SrganError` when the job cannot be carried out.
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


def load(data: str | bytes | Mapping[str, Any], *, name: str = "job") -> Job:
    """The job that ``data`` says: JSON text, or what it holds.

    Raises `InvalidConfig`, with ``name`` and one line for each mistake, for what is no JSON, a kind that there is not,
    a form of another version, and keys or values that the kind does not know.
    """
    values = data if isinstance(data, Mapping) else _parsed(data, name)
    if "kind" not in values:
        raise InvalidConfig(f'{name}: says no kind; there are {", ".join(KINDS.names())}, as in "kind": "upscale"')
    kind = values["kind"]
    if not isinstance(kind, str):
        raise InvalidConfig(f"{name}: kind must be a name such as upscale, not {kind!r}")
    model = KINDS.load(kind).load_model()
    known = model.model_fields["version"].default
    if (version := values.get("version", known)) != known:
        raise InvalidConfig(f"{name}: is of version {version} of {kind}; this srgan knows version {known}")
    try:
        job: Job = checked(model, values)
    except InvalidConfig as error:
        raise InvalidConfig("\n".join(f"{name}: {line}" for line in str(error).splitlines())) from error
    return job


def run(job: Job, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Carry out ``job`` and say what became of it.

    ``report`` is told how far the work is, ``stop`` is asked whether it may go on, see `srgan.progress`. May be called
    from any thread. Raises `SrganError`: `Cancelled` when ``stop`` ended a job that leaves nothing to tell of.
    """
    kind: Kind = KINDS.load(job.kind)
    return kind.load_runner()(job, report=report, stop=stop)


def _parsed(text: str | bytes, name: str) -> Mapping[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{name}: is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InvalidConfig(f"{name}: must hold keys and values, not {type(values).__name__}")
    return values


def _attribute(target: str) -> Any:
    import importlib

    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
