"""`srgan train-export`: what reaches the library, and what is shown of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.models import Bundle


@pytest.fixture
def asked(bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """How `srgan.training.export_checkpoint` was called."""
    calls: list[Any] = []

    def export(run: Path, target: Path, *, step: int | None, best: bool) -> Bundle:
        calls.append((run, target, step, best))
        return bundles["mine-x4"]

    monkeypatch.setattr("srgan.training.export_checkpoint", export)
    return calls


def test_the_last_checkpoint_is_the_usual_one(srgan: Callable[..., Any], asked: list[Any]) -> None:
    done = srgan("train-export", "runs/mine", "-o", "out")

    assert done.code == 0, done.err
    assert asked == [(Path("runs/mine"), Path("out"), None, False)]
    assert Path(done.out.strip()).name == "mine-x4"
    assert "srgan upscale IN OUT --model" in done.err


def test_a_step_or_the_best_can_be_asked_for(srgan: Callable[..., Any], asked: list[Any]) -> None:
    assert srgan("train-export", "runs/mine", "-o", "out", "--step", "2000").code == 0
    done = srgan("train-export", "runs/mine", "-o", "out", "--best", "--json")

    assert [call[2:] for call in asked] == [(2000, False), (None, True)]
    assert json.loads(done.out)["name"] == "mine-x4"


def test_a_step_and_the_best_contradict_each_other(srgan: Callable[..., Any], asked: list[Any]) -> None:
    done = srgan("train-export", "runs/mine", "-o", "out", "--best", "--step", "2000")

    assert (done.code, asked) == (2, [])
    assert "--best and --step contradict each other" in done.err
