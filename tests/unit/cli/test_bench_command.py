"""`srgan bench`: what reaches the library, and where the report goes. Measuring itself is tested elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.progress import Step


class Report:
    """A report with two forms."""

    def to_json(self) -> str:
        return json.dumps({"rows": []}) + "\n"

    def render(self) -> str:
        return "the table"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """Each call of `srgan.benchmark.run_benchmark`: the models, and the other arguments."""
    made: list[tuple[Any, dict[str, Any]]] = []

    def run_benchmark(models: Any, **options: Any) -> Report:
        made.append((models, options))
        options.pop("report")(Step(1, 2, "rows"))
        return Report()

    monkeypatch.setattr("srgan.benchmark.run_benchmark", run_benchmark)
    return made


def test_without_arguments_the_model_of_the_settings_is_measured(
    srgan: Callable[..., Any], calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRGAN_UPSCALE__MODEL", "mine")
    done = srgan("bench")
    assert (done.code, done.out) == (0, "the table\n")
    ((models, options),) = calls
    assert models == ["mine"]
    assert (options["sizes"], options["threads"], options["backend"]) == ((256, 512), (1, 2), "auto")


def test_arguments_reach_the_measurement(srgan: Callable[..., Any], calls: list[Any]) -> None:
    options = [
        "--size",
        "64",
        "--size",
        "96",
        "--threads",
        "1",
        "--repeats",
        "7",
        "--seconds",
        "2",
        "--backend",
        "onnx",
    ]
    assert srgan("bench", "turbo", "fast", *options, "--device", "cpu", "--precision", "fp32", "--scale", "2").code == 0
    ((models, given),) = calls
    assert models == ["turbo", "fast"]
    assert given == {
        "sizes": [64, 96],
        "threads": [1],
        "repeats": 7,
        "seconds": 2.0,
        "scale": 2.0,
        "backend": "onnx",
        "device": "cpu",
        "precision": "fp32",
    }


def test_the_report_as_json_is_one_document_here_and_in_a_file(
    srgan: Callable[..., Any], calls: list[Any], tmp_path: Path
) -> None:
    done = srgan("bench", "--json", "--output", tmp_path / "report.json")
    assert json.loads(done.out) == json.loads((tmp_path / "report.json").read_text()) == {"rows": []}


def test_a_report_that_cannot_be_written_is_an_error(
    srgan: Callable[..., Any], calls: list[Any], tmp_path: Path
) -> None:
    done = srgan("bench", "--output", tmp_path / "no" / "report.json")
    assert done.code == 7
    assert "no/report.json" in done.err
