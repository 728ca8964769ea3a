"""Scoring models against reference pictures as a value, and the rules of what can be scored beside what."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from srgan.atomic import check_target, write_whole
from srgan.errors import CannotWrite, InvalidConfig, InvalidDataset
from srgan.evaluation.comparison import BICUBIC, ORIGINAL, Comparison, check_order
from srgan.evaluation.inputs import Degraded, Inputs, LowFolder, Results
from srgan.evaluation.recording import record_quality
from srgan.evaluation.scoring import Trial, whole_scale
from srgan.evaluation.webpage import comparison_page
from srgan.models import find_model
from srgan.progress import part, silent
from srgan.runtime import RESIZE_MODELS
from srgan.settings import Job, Outcome
from srgan.upscaler import Upscaler
from srgan.upscaler.job import Modelled

if TYPE_CHECKING:
    from srgan.evaluation.report import EvaluationReport
    from srgan.progress import Report, Stop

_CHANGING = ("tta", "fix_colour", "strategy", "trust")
"""Settings with which a model gives other figures than its own."""


class EvaluateJob(Modelled, Job):
    """Models, and finished results of other programs, scored on the pictures of a folder."""

    APART: ClassVar[frozenset[str]] = Modelled.APART | {"folder", "csv", "html", "save_dir", "save_inputs", "record"}

    kind: Literal["evaluate"] = "evaluate"
    models: tuple[str, ...] = Field(default=(), description="Names, families or paths of models, or a plain resampler.")
    folder: Path = Field(description="Folder of high-resolution pictures.")
    results: tuple[str, ...] = Field(
        default=(), description="Folders of pictures upscaled by other programs, each as DIR or LABEL=DIR."
    )
    limit: int | None = Field(default=None, ge=1, description="Use only the first N pictures, by name.")
    metrics: tuple[str, ...] = Field(default=("psnr", "ssim"), description="Metrics.")
    degrade: str | None = Field(
        default=None, description="Degrade the low-resolution inputs: blur, noise, jpeg, or mixed."
    )
    seed: int = Field(default=0, ge=0, description="Random seed of degrade.")
    low_dir: Path | None = Field(default=None, description="Folder of low-resolution inputs, instead of downscaling.")
    csv: Path | None = Field(default=None, description="Also write one line per picture as CSV.")
    html: Path | None = Field(default=None, description="Also write an HTML page with the pictures of all models.")
    worst_by: str = Field(default="psnr", description="Metric of the first model that sorts the page.")
    save_dir: Path | None = Field(default=None, description="Folder for the upscaled pictures.")
    save_inputs: Path | None = Field(default=None, description="Folder for the low-resolution inputs.")
    record: bool = Field(default=False, description="Store the mean scores in the bundle's model.toml.")

    @model_validator(mode="after")
    def _fits_together(self) -> EvaluateJob:
        if strange := [name for name in self.metrics if not name or "," in name]:
            raise ValueError(f"metrics: no figure is called {strange[0]!r}")
        if self.degrade is not None and self.low_dir is not None:
            raise ValueError("degrade and low_dir cannot be combined")
        if self.record:
            self._check_recordable()
        return self

    def _check_recordable(self) -> None:
        """Raise ValueError where the means would not be the model's own on all pictures, under the protocol."""
        if len(self.models) != 1 or self.results or self.degrade or self.low_dir:
            raise ValueError("record: needs exactly one model and the standard inputs")
        if self.limit is not None:
            raise ValueError("record: cannot be combined with a limit, as scores must be of all pictures")
        if self.models[0] in RESIZE_MODELS:
            raise ValueError(f"record: {self.models[0]} is plain resampling and has no model.toml")
        if changing := [name for name in _CHANGING if getattr(self.upscale, name)]:
            names = " and ".join(f"upscale.{name}" for name in changing)
            raise ValueError(f"record: {names} cannot be used, as it changes the model's scores")


def run_evaluate(job: EvaluateJob, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Carry out ``job``; the result is a `Comparison`, also of one model. Raises `SrganError`."""
    _check_files(job)
    trial = Trial(job.folder, inputs=_inputs(job), limits=job.limited(), first=job.limit, metrics=job.metrics)
    check_order(job.worst_by, trial.metrics)
    with tempfile.TemporaryDirectory(prefix="srgan-") as temporary, ExitStack() as opened:
        contenders = _contenders(job, opened)
        folders = _folders(trial, contenders, job.save_dir or (Path(temporary) if job.html else None), job.save_inputs)
        if job.save_inputs is not None:
            trial.write_inputs(job.save_inputs, contenders[0].scale)
        comparison = Comparison(_reports(trial, contenders, folders, report, stop))
        fault = None
        try:
            _write(job, comparison, trial, folders)
        except (CannotWrite, InvalidConfig, InvalidDataset) as error:
            fault = error  # the figures are there all the same
    told = comparison.first if len(comparison.full) == 1 else comparison
    failed = any(one.failures for one in comparison.full.values())
    state: Literal["done", "partly"] = "partly" if failed else "done"
    return Outcome(state=state, report=json.loads(told.to_json()), result=comparison, fault=fault)


def _write(job: EvaluateJob, comparison: Comparison, trial: Trial, folders: Mapping[str, Path]) -> None:
    """The files that were asked for. Raises `CannotWrite`, and what `record_quality` raises."""
    if job.csv is not None:
        write_whole(job.csv, comparison.first.to_csv() if len(comparison.full) == 1 else comparison.to_csv())
    if job.html is not None:
        write_whole(job.html, comparison_page(comparison, trial, folders, worst_by=job.worst_by))
    if job.record:
        record_quality(find_model(job.models[0], job.upscale.scale).path, comparison.first)


@dataclass(frozen=True, kw_only=True)
class _Contender:
    """What is scored under a label of its own."""

    label: str
    made_by: Upscaler | Results
    loss_features: tuple[str, ...] = ()

    @property
    def scale(self) -> float:
        return self.made_by.scale


def _check_files(job: EvaluateJob) -> None:
    """Raise `CannotWrite` for one that cannot be written: told before the work, not after it.

    An earlier table or page may be replaced. The suffix keeps a picture from being taken for one.
    """
    for file, option, suffixes in ((job.csv, "--csv", (".csv",)), (job.html, "--html", (".html", ".htm"))):
        if file is None:
            continue
        if file.suffix.lower() not in suffixes:
            raise CannotWrite(f"{file}: {option} takes a file that ends in {suffixes[0]}")
        check_target(file, overwrite=True)


def _inputs(job: EvaluateJob) -> Inputs | None:
    if job.degrade is not None:
        return Degraded(job.degrade, job.seed)
    return None if job.low_dir is None else LowFolder(job.low_dir)


def _contenders(job: EvaluateJob, opened: ExitStack) -> list[_Contender]:
    """All opened, which ``opened`` closes, so that what cannot be scored is told before the work.

    Raises `InvalidConfig`.
    """
    wanted = job.upscale.scale
    upscalers = [opened.enter_context(Upscaler(model, scale=wanted, **job.opening())) for model in job.models]
    names = [upscaler.info.model for upscaler in upscalers]
    contenders = [
        _Contender(
            label=name if names.count(name) == 1 and name not in (BICUBIC, ORIGINAL) else model,
            made_by=upscaler,
            loss_features=_loss_features(model, wanted),
        )
        for model, name, upscaler in zip(job.models, names, upscalers, strict=True)
    ]
    scale = wanted or (contenders[0].scale if contenders else 4)
    for text in job.results:
        label, equals, folder = text.partition("=")
        finished = Results(folder if equals else text, scale=scale, label=label if equals else None)
        contenders.append(_Contender(label=finished.label, made_by=finished))
    _check_labels(contenders)
    whole_scale(contenders[0].scale)
    return contenders


def _check_labels(contenders: list[_Contender]) -> None:
    """Raise `InvalidConfig` for contenders that cannot be told apart or compared."""
    if not contenders:
        raise InvalidConfig("nothing to score: name a model, or give a folder of upscaled pictures with --results")
    labels = [_file_name(one.label) for one in contenders]
    if doubled := sorted({label for label in labels if labels.count(label) > 1}):
        raise InvalidConfig(f"the label {doubled[0]} is used twice; choose another with --results LABEL=DIR")
    for one in contenders:
        elsewhere = isinstance(one.made_by, Results)
        if one.label == ORIGINAL or (one.label == BICUBIC and elsewhere):
            way = "choose another label with --results LABEL=DIR" if elsewhere else "name the model by its path"
            raise InvalidConfig(f"{one.label}: this label is reserved; {way}")
    if len(scales := {one.scale for one in contenders}) > 1:
        said = ", ".join(f"{one.label} x{one.scale:g}" for one in contenders)
        raise InvalidConfig(f"models must be compared at the same scale, not {said}; give --scale {min(scales):g}")


def _loss_features(model: str, scale: float | None) -> tuple[str, ...]:
    """The feature networks that a loss of the model's training looked through."""
    return () if model in RESIZE_MODELS else find_model(model, scale).info.provenance.loss_features


def _folders(
    trial: Trial, contenders: list[_Contender], kept: Path | None, save_inputs: Path | None
) -> dict[str, Path]:
    """Where in ``kept`` the pictures of each are kept, by its label; made, and ``save_inputs`` with them."""
    alone = len(contenders) == 1
    folders = {one.label: kept if alone else kept / _file_name(one.label) for one in contenders} if kept else {}
    finished = [one.made_by.folder for one in contenders if isinstance(one.made_by, Results)]
    trial.make_folders([*folders.values(), *filter(None, [save_inputs])], finished)
    return folders


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.-]+", "_", label).strip(".") or "_"


def _reports(
    trial: Trial,
    contenders: list[_Contender],
    folders: Mapping[str, Path],
    report: Report | None,
    stop: Stop | None,
) -> dict[str, EvaluationReport]:
    """The report of each, by its label."""
    reports: dict[str, EvaluationReport] = {}
    pictures = len(trial.paths)
    for number, one in enumerate(contenders):
        tell = part(
            report or silent,
            number * pictures,
            pictures,
            len(contenders) * pictures,
            note=one.label if len(contenders) > 1 else "",
        )
        reports[one.label] = trial.score(
            one.made_by, report=tell, stop=stop, save=folders.get(one.label), trained_with=one.loss_features
        )
    return reports
