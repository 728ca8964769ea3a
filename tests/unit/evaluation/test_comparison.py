"""Several reports side by side: over the same pictures, and nothing that cannot be compared."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.errors import InvalidConfig, InvalidDataset
from srgan.evaluation import (
    Comparison,
    Degraded,
    EvaluationReport,
    Failure,
    Mean,
    PictureScore,
    SetFigure,
    check_order,
    evaluate,
)
from srgan.testing import NearestSession

METRICS = ("psnr", "ssim", "lpips-unweighted", "niqe-photos", "kid-squeeze")


def report(model: str, values: dict[str, float], **changes: Any) -> EvaluationReport:
    """A report in which all figures of a picture follow from one value."""
    scores = tuple(
        PictureScore(
            name=name,
            width=40,
            height=40,
            psnr=value,
            ssim=value / 100,
            baseline_psnr=20.0,
            baseline_ssim=0.2,
            seconds=0.5,
            more={"lpips-unweighted": 50 - value, "niqe-photos": value / 10},
            baseline_more={"lpips-unweighted": 30.0, "niqe-photos": 7.0},
            reference_more={"niqe-photos": 3.0},
        )
        for name, value in sorted(values.items())
    )
    fields: dict[str, Any] = {
        "model": model, "scale": 4, "backend": "b", "device": "d", "precision": "fp32", "dataset": "Many",
        "scores": scores, "failures": (), "metrics": METRICS,
        "sets": {"kid-squeeze": SetFigure(value=0.1, baseline=0.9, patches=100)},
    }  # fmt: skip
    return EvaluationReport(**(fields | changes))


A = report("a", {"x.png": 30.0, "y.png": 28.0, "z.png": 32.0})
B = report("b", {"x.png": 31.0, "y.png": 27.0, "z.png": 33.0})


def value(mean: Mean | float) -> float:
    return mean.value if isinstance(mean, Mean) else mean


def test_the_means_of_all_then_of_bicubic_and_of_the_originals() -> None:
    lines = Comparison({"a": A, "b": B}).lines
    assert [line.label for line in lines] == ["a", "b", "bicubic", "original"]
    assert [list(line.means) for line in lines[:3]] == [list(METRICS)] * 3
    assert [value(line.means["psnr"]) for line in lines[:3]] == pytest.approx([30, 91 / 3, 20])
    assert [value(line.means["niqe-photos"]) for line in lines] == pytest.approx([3, 91 / 30, 7, 3])
    assert [value(line.means["kid-squeeze"]) for line in lines[:3]] == [0.1, 0.1, 0.9]
    assert set(lines[3].means) == {"niqe-photos"}, "an original is its own reference: it has no other figure"
    assert [line.seconds for line in lines] == [0.5, 0.5, None, None]


def test_bicubic_that_is_a_contender_is_there_once() -> None:
    assert [line.label for line in Comparison({"bicubic": A, "b": B}).lines] == ["bicubic", "b", "original"]


def test_means_are_over_the_pictures_that_all_were_scored_on() -> None:
    missing = report("c", {"x.png": 10.0, "z.png": 20.0}, failures=(Failure(name="y.png", reason="broken"),))
    comparison = Comparison({"a": A, "c": missing})
    assert comparison.pictures == ["x.png", "z.png"]
    assert comparison.left_out == ["y.png"]
    assert [value(line.means["psnr"]) for line in comparison.lines[:3]] == pytest.approx([31, 15, 20])
    assert "kid-squeeze" not in comparison.lines[0].means, "that of three pictures beside that of two"
    assert comparison.warnings == [
        "not every model could be scored on y.png: the means leave them out",
        "kid-squeeze: left out where other pictures are among those compared",
    ]
    with pytest.raises(InvalidDataset, match="no picture could be scored for all of a, d"):
        Comparison({"a": A, "d": report("d", {"w.png": 1.0})})


@pytest.mark.parametrize(
    "changes", [{"scale": 2}, {"dataset": "Few"}, {"protocol": "another"}, {"metrics": ("psnr", "ssim")}]
)
def test_what_is_about_something_else_is_not_compared(changes: dict[str, Any]) -> None:
    other = report("b", {"x.png": 31.0}, **changes)
    with pytest.raises(InvalidConfig, match="same pictures and at the same scale"):
        Comparison({"a": A, "b": other})


def test_warnings_say_of_whom_where_there_are_several() -> None:
    warned = report("w", {"x.png": 30.0}, warnings=("it flatters",))
    assert Comparison({"w": warned}).warnings == ["it flatters"]
    assert Comparison({"w": warned, "v": report("v", {"x.png": 1.0})}).warnings == ["w: it flatters"]


def test_no_model_is_called_what_the_references_are_called() -> None:
    with pytest.raises(InvalidConfig, match="the label original is reserved"):
        Comparison({"a": A, "original": B})


@pytest.mark.parametrize(
    ("figure", "order"),
    [("psnr", "yxz"), ("ssim", "yxz"), ("lpips-unweighted", "yxz"), ("niqe-photos", "zxy")],
)
def test_the_worst_come_first_whichever_way_is_better(figure: str, order: str) -> None:
    assert Comparison({"a": A, "b": B}).worst_first(figure) == [f"{name}.png" for name in order]


def test_a_figure_over_all_pictures_or_none_at_all_orders_nothing() -> None:
    for figure in ("kid-squeeze", "beauty", "stlpips-alex"):
        with pytest.raises(
            InvalidConfig, match=r"cannot sort the pictures by .* psnr, ssim, lpips-unweighted, niqe-photos$"
        ):
            check_order(figure, METRICS)
    check_order("niqe-photos", METRICS)


def test_json_and_csv_hold_every_model_in_full() -> None:
    missing = report("c", {"x.png": 10.0}, failures=(Failure(name="y.png", reason="broken"),))
    comparison = Comparison({"one": A, "two": missing})
    document = json.loads(comparison.to_json())
    assert list(document["models"]) == ["one", "two"]
    assert document["models"]["one"] == json.loads(A.to_json())
    assert document["models"]["one"]["mean"]["reference_niqe-photos"]["value"] == 3
    assert (document["common_pictures"], document["left_out"]) == (1, ["y.png", "z.png"])
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [(row["model"], row["name"], row["failure"]) for row in rows] == [
        ("one", "x.png", ""),
        ("one", "y.png", ""),
        ("one", "z.png", ""),
        ("two", "x.png", ""),
        ("two", "y.png", "broken"),
    ]
    assert rows[1]["lpips-unweighted"] == "22.0"
    assert rows[1]["reference_niqe-photos"] == "3.0"


def test_a_report_over_a_part_of_its_pictures() -> None:
    assert A.only({"x.png", "y.png", "z.png", "others.png"}) is A
    part = A.only({"z.png"})
    assert part.psnr.value == 32
    assert part.sets == {}
    with pytest.raises(ValueError, match="at least one picture"):
        A.only({"others.png"})


def test_bicubic_is_scored_once_for_all_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srgan.evaluation import Trial

    judged: list[str] = []
    monkeypatch.setattr(
        "srgan.evaluation.scoring.open_blind_judge", lambda name: lambda a: judged.append(name) or float(a.mean())
    )
    monkeypatch.setattr("srgan.evaluation.scoring.least_side", lambda name, scale: 1)
    trial = Trial(folder, metrics=["niqe-photos"])
    reports = {str(k): trial.score(NearestSession(2)) for k in range(3)}
    assert len(judged) == 3 * (3 + 2), "each result, bicubic, and the original"
    score = reports["2"].scores[0]
    assert score.more["niqe-photos"] != score.baseline_more["niqe-photos"]
    assert score.reference_more["niqe-photos"] == pytest.approx(np.mean([0.5]), abs=0.2)
    lines = Comparison(reports).lines
    assert lines[0].means == lines[2].means


def test_degraded_inputs_are_not_compared_with_clean_ones(folder: Path) -> None:
    clean, spoilt = (evaluate(NearestSession(2), folder, inputs=inputs) for inputs in (None, Degraded("noise")))
    with pytest.raises(InvalidConfig, match="models can only be compared on the same pictures"):
        Comparison({"clean": clean, "spoilt": spoilt})
