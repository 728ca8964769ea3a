"""Any job from its JSON, and what is refused before any work."""

from __future__ import annotations

import json
import pickle
import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from srgan import jobs
from srgan.batch import BatchJob
from srgan.errors import Cancelled, InvalidConfig
from srgan.evaluation.job import EvaluateJob
from srgan.progress import Step, Stop
from srgan.settings import Job, Outcome
from srgan.upscaler.job import UpscaleJob


class CountJob(Job):
    """A kind of work that a plug-in adds."""

    kind: Literal["count"] = "count"
    most: int = 3


def count(job: CountJob, *, report: Any, stop: Any) -> Outcome:
    for done in range(job.most):
        report(Step(done, job.most, "numbers"))
        stop.check()
    return Outcome(state="done", report={"counted": job.most})


COUNT = jobs.Kind(f"{__name__}:CountJob", f"{__name__}:count")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "small.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (9, 14, 3), np.uint8)).save(path)
    return path


def test_every_kind_has_a_model_of_its_name_and_a_runner() -> None:
    assert list(jobs.KINDS.builtin) == ["upscale", "batch", "train", "evaluate", "generate", "encode", "reconstruct"]
    for name in jobs.KINDS.builtin:
        kind = jobs.KINDS.load(name)
        model = kind.load_model()
        assert issubclass(model, Job)
        assert model.model_fields["kind"].default == name
        assert callable(kind.load_runner())


def test_a_picture_is_enlarged_by_its_job(picture: Path, tmp_path: Path) -> None:
    told: list[Step] = []
    text = json.dumps(
        {
            "kind": "upscale",
            "source": str(picture),
            "target": str(tmp_path / "large.png"),
            "upscale": {"model": "bicubic", "scale": 3},
        }
    )

    outcome = jobs.run(jobs.load(text), report=told.append)

    assert outcome.state == "done"
    assert outcome.report["output"]["width"] == 42
    assert json.loads(json.dumps(outcome.report)) == outcome.report
    with Image.open(tmp_path / "large.png") as large:
        assert large.size == (42, 27)
    assert told[-1].done == told[-1].total


def test_a_folder_is_enlarged_by_its_job_from_another_thread(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture.rename(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    job = BatchJob.model_validate(
        {"source": tmp_path / "in", "target": tmp_path / "out", "upscale": {"model": "nearest", "scale": 2}}
    )
    outcomes: list[Outcome] = []

    thread = threading.Thread(target=lambda: outcomes.append(jobs.run(job)))
    thread.start()
    thread.join(60)

    (outcome,) = outcomes
    assert (outcome.state, outcome.fault) == ("partly", None)
    assert outcome.report["counts"] == {"done": 1, "skipped": 0, "failed": 1, "stopped": 0}


def test_models_are_scored_by_their_job(tmp_path: Path) -> None:
    (tmp_path / "high").mkdir()
    Image.effect_noise((64, 48), 60).convert("RGB").save(tmp_path / "high" / "a.png")
    job = EvaluateJob.model_validate(
        {"models": ["nearest"], "folder": tmp_path / "high", "upscale": {"scale": 2}, "csv": tmp_path / "scores.csv"}
    )

    outcome = jobs.run(job)

    assert outcome.state == "done"
    assert outcome.report["mean"]["psnr"]["value"] == outcome.result.first.psnr.value
    assert (tmp_path / "scores.csv").read_text().count("\n") == 2


def test_a_job_that_is_stopped_leaves_nothing(picture: Path, tmp_path: Path) -> None:
    stop = Stop()
    stop.set()
    job = UpscaleJob.model_validate(
        {"source": picture, "target": tmp_path / "large.png", "upscale": {"model": "bicubic"}}
    )

    with pytest.raises(Cancelled):
        jobs.run(job, stop=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "job: is not valid JSON"),
        ("[" * 100_000, "job: is not valid JSON"),
        ("[]", "job: must contain keys and values, not list"),
        ("{}", 'job: has no "kind"; it must be one of upscale, batch'),
        ('{"kind": 3}', "job: kind must be a name such as upscale, not 3"),
        ('{"kind": "upscal"}', "There is no kind of job 'upscal'. Did you mean 'upscale'?"),
        ('{"kind": "upscale", "version": 2}', "job: has version 2 of upscale; this srgan supports version 1"),
        ('{"kind": "upscale", "source": "a"}', "job: target: is required"),
        ('{"kind": "upscale", "source": "a", "target": "b", "sorce": 1}', "did you mean 'source'?"),
        (
            '{"kind": "upscale", "source": "a", "target": "b", "upscale": {"tta": 3}, "limits": {"max_side": 0}}',
            "job: limits.max_side: ",
        ),
        (
            '{"kind": "batch", "source": "a", "target": "b", "size": {"width": 3, "long_side": 4}}',
            "long_side cannot be combined with width or height",
        ),
        ('{"kind": "evaluate", "folder": "a", "metrics": ["psnr,ssim"]}', "no figure is called 'psnr,ssim'"),
        ('{"kind": "evaluate", "folder": "a", "degrade": "jpeg", "low_dir": "b"}', "low_dir cannot be combined"),
    ],
)
def test_what_is_no_job_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        jobs.load(text)

    assert said in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InvalidConfig) as caught:
        jobs.load('{"kind": "batch", "target": "b", "batch": {"workers": 0}, "upscale": {"scale": -1}}', name="my.json")

    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("my.json: ") for line in lines)


def test_the_streams_are_for_the_command_line_only(tmp_path: Path) -> None:
    job = UpscaleJob(source=Path("-"), target=tmp_path / "a.png")

    with pytest.raises(InvalidConfig, match="works on the command line only"):
        jobs.run(job)


def test_a_package_adds_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("count", f"{__name__}:COUNT", jobs.KINDS.group)
    monkeypatch.setattr("srgan.plugins.entry_points", lambda group: [point] if group == jobs.KINDS.group else [])
    fresh = jobs.Table(jobs.KINDS.group, jobs.KINDS.noun, jobs.KINDS.builtin)
    monkeypatch.setattr(jobs, "KINDS", fresh)
    monkeypatch.setattr("importlib.import_module", lambda name: __import__("sys").modules[name])
    told: list[Step] = []

    job = jobs.load('{"kind": "count", "most": 2}')
    outcome = jobs.run(job, report=told.append, stop=Stop())

    assert outcome.report == {"counted": 2}
    assert [step.done for step in told] == [0, 1]


JOBS: list[Job] = [
    UpscaleJob.model_validate({"source": "a", "target": "b", "upscale": {"scale": 2.5}, "uncertainty": "c"}),
    BatchJob.model_validate({"source": "a", "target": "b", "include": ["*.png"], "batch": {"existing": "rename"}}),
    EvaluateJob.model_validate({"models": ["fast"], "folder": "c", "metrics": ["psnr"]}),
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.kind)
def test_a_job_travels(job: Job) -> None:
    assert jobs.load(job.to_json()) == job
    assert pickle.loads(pickle.dumps(job)) == job


class TestIdentity:
    """What was done is known by what makes the result, not by where it was made and what it is called."""

    SAME = (
        {"source": "x"},
        {"target": "x"},
        {"runtime": {"device": "vulkan:0", "threads": 3}},
        {"runtime": {"memory_limit": 1 << 30, "backend": "onnx"}},
        {"upscale": {"tile": 64}},
        {"limits": {"max_pixels": 10}},
    )
    OTHER = (
        {"upscale": {"scale": 3}},
        {"upscale": {"tta": True}},
        {"upscale": {"quality": 50}},
        {"upscale": {"metadata": False}},
        {"size": {"width": 30}},
    )

    @pytest.mark.parametrize("model", [UpscaleJob, BatchJob])
    @pytest.mark.parametrize("change", SAME, ids=json.dumps)
    def test_what_does_not_count(self, model: type[Job], change: dict[str, Any]) -> None:
        usual = {"source": "a", "target": "b"}

        assert model.model_validate({**usual, **change}).digest() == model.model_validate(usual).digest()

    def test_what_counts(self) -> None:
        usual = {"source": "a", "target": "b"}
        digests = {BatchJob.model_validate({**usual, **change}).digest() for change in ({}, *self.OTHER)}

        assert len(digests) == 1 + len(self.OTHER)

    def test_how_a_folder_is_worked_through_does_not_count(self) -> None:
        usual = {"source": "a", "target": "b"}
        more = {"batch": {"workers": 5, "existing": "rename"}, "include": ["*.png"], "watch": True, "reports": ["r"]}

        assert BatchJob.model_validate({**usual, **more}).digest() == BatchJob.model_validate(usual).digest()
