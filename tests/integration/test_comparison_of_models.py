"""The shipped models side by side on the example pictures, from the command line to the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan import cli
from srgan.evaluation import Degraded
from srgan.imaging import Limits, to_uint8


@pytest.fixture(scope="module")
def references(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, large enough for every figure without a network."""
    folder = tmp_path_factory.mktemp("references")
    for name in ("astronaut.png", "coffee.png"):
        with Image.open(examples / name) as picture:
            side = min(picture.size) // 4 * 4
            picture.convert("RGB").crop((0, 0, side, side)).resize((192, 192)).save(folder / name)
    return folder


@pytest.fixture
def evaluated(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs ``srgan evaluate --json`` and gives the document."""

    def run(*arguments: object) -> Any:
        capsys.readouterr()
        code = cli.run(["evaluate", "--json", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out)

    return run


def test_networks_are_ahead_of_bicubic_and_the_page_shows_all(
    evaluated: Callable[..., Any], references: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    metrics = ("--metrics", "consistency,niqe-photos")
    models = evaluated("fast-x4", "turbo-x4", references, *metrics, "--html", page)["models"]
    assert list(models) == ["fast-x4", "turbo-x4"]
    for name, report in models.items():
        mean = {key: value["value"] for key, value in report["mean"].items()}
        assert mean["psnr"] > mean["baseline_psnr"], name
        assert mean["consistency"] > mean["baseline_consistency"] + 5, name
        assert mean["niqe-photos"] < mean["baseline_niqe-photos"], name
        assert report["seconds"] > 0
    text = page.read_text("utf-8")
    assert text.count("<article>") == 2
    for name in models:
        assert text.count(f'alt="part of {name}"') == 2


def test_another_programs_results_on_spoilt_inputs(
    evaluated: Callable[..., Any], references: Path, tmp_path: Path
) -> None:
    """Pillow's bicubic as the other program; the protocol's is nearly the same, so are their figures."""
    spoilt = ("--degrade", "mixed", "--seed", "5")
    evaluated("turbo-x4", references, *spoilt, "--save-inputs", tmp_path / "low")
    (tmp_path / "pillow").mkdir()
    for path in (tmp_path / "low").iterdir():
        with Image.open(path) as small:
            assert np.array_equal(np.asarray(small), expected_input(references / path.name))
            small.resize((192, 192), Image.Resampling.BICUBIC).save(tmp_path / "pillow" / path.name)
    report = evaluated(references, *spoilt, "--results", tmp_path / "pillow", "--metrics", "niqe-photos")
    mean = report["mean"]
    assert mean["psnr"]["value"] == pytest.approx(mean["baseline_psnr"]["value"], abs=0.1)
    assert mean["niqe-photos"]["value"] == pytest.approx(mean["baseline_niqe-photos"]["value"], rel=0.1)
    assert "degraded (mixed, seed 5)" in report["protocol"]


def expected_input(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return to_uint8(Degraded("mixed", 5).small(path, np.asarray(picture), 4, Limits()))
