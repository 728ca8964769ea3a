"""Jobs are values: they compare, pickle, are JSON, and know what makes their result another one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from srgan.settings import Job, RuntimeSettings, Section


class Paint(Section):
    colour: str = "red"
    brush: int = Field(default=3, ge=1)


class PaintJob(Job):
    APART: ClassVar[frozenset[str]] = frozenset({"runtime.device", "runtime.threads", "target"})

    kind: Literal["paint"] = "paint"
    target: Path = Path("wall")
    paint: Paint = Paint()
    runtime: RuntimeSettings = RuntimeSettings()


def test_a_job_can_be_sent_anywhere_and_is_equal_there() -> None:
    job = PaintJob(paint=Paint(colour="blue"))

    assert pickle.loads(pickle.dumps(job)) == job
    assert PaintJob.model_validate(json.loads(job.to_json())) == job


def test_a_job_as_json_says_all_that_decides_the_result() -> None:
    said = json.loads(PaintJob().to_json())

    assert (said["kind"], said["version"]) == ("paint", 1)
    assert said["paint"] == {"colour": "red", "brush": 3}


def test_a_file_name_that_is_no_text_survives() -> None:
    job = PaintJob(target=Path("caf\udce9"))

    assert job.to_json().isascii()
    assert PaintJob.model_validate(json.loads(job.to_json())) == job


def test_a_job_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        PaintJob().target = Path("door")


@pytest.mark.parametrize(
    "wrong", [{"brush": 2}, {"paint": {"size": 2}}, {"version": 2}, {"kind": "print"}, {"paint": {"brush": 0}}]
)
def test_what_a_kind_does_not_know_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PaintJob.model_validate(wrong)


def test_where_it_runs_and_what_it_is_called_makes_no_other_job() -> None:
    elsewhere = PaintJob(target=Path("door"), runtime=RuntimeSettings(device="cuda:1", threads=3))

    assert elsewhere.digest() == PaintJob().digest()


def test_what_changes_the_result_makes_another_job() -> None:
    digests = {
        PaintJob().digest(),
        PaintJob().digest("model 1"),
        PaintJob().digest("model 2"),
        PaintJob(paint=Paint(brush=4)).digest(),
        PaintJob(runtime=RuntimeSettings(backend="torch")).digest(),
    }

    assert len(digests) == 5


def test_the_digest_stays_the_same_from_process_to_process() -> None:
    assert PaintJob().digest() == PaintJob.model_validate(json.loads(PaintJob().to_json())).digest()
    assert len(PaintJob().digest()) == 32
