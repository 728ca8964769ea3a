"""In which arithmetic a training computes: what the device can, what is faster, and what a run began with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.training import arithmetic, train  # noqa: E402
from srgan.training.arithmetic import ROUNDS, choose_precision, has_bf16, race  # noqa: E402
from srgan.training.config import HardwareSection, TrainConfig  # noqa: E402
from srgan.training.runs import Run  # noqa: E402
from srgan.training.state import plain_of  # noqa: E402

Config = Callable[..., TrainConfig]
AUTO = HardwareSection(precision="auto", device="cpu")


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, *seconds: float) -> Callable[[], None]:
        """Work that takes so long the first time, so long the second, ..., and then always the last."""
        left = list(seconds)

        def work() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def fakes(monkeypatch: pytest.MonkeyPatch, *, able: bool = True, bf16: float = 1.0, fp32: float = 2.0) -> list[int]:
    """A processor with these times; the list gets an entry at each measurement."""
    measured: list[int] = []

    def times(works: Any) -> dict[str, float]:
        measured.append(1)
        return {"fp32": fp32, "bf16": bf16}

    monkeypatch.setattr(arithmetic, "race", times)
    monkeypatch.setattr(arithmetic, "has_bf16", lambda device: able)
    return measured


def test_each_is_timed_in_turn_until_the_time_is_over_and_the_least_counts() -> None:
    clock = Clock()
    works = {"a": clock.work(9.0, 0.2, 0.1), "b": clock.work(0.05, 0.3, 0.4)}

    assert race(works, seconds=11.0, clock=clock) == pytest.approx({"a": 0.1, "b": 0.3})
    assert clock.now == pytest.approx(11.05)  # ended after the round in which the time was over


def test_slow_work_is_done_often_enough_all_the_same() -> None:
    clock = Clock()
    done: list[int] = []

    def work() -> None:
        done.append(1)
        clock.now += 60.0

    assert race({"a": work}, seconds=1.0, clock=clock) == {"a": 60.0}
    assert len(done) == ROUNDS


def test_the_faster_one_is_taken_and_said(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "srgan")
    fakes(monkeypatch, bf16=1.0, fp32=2.0)
    assert choose_precision(AUTO, "cpu", None) == "bf16"
    fakes(monkeypatch, bf16=3.0, fp32=2.0)
    assert choose_precision(AUTO, "cpu", None) == "fp32"

    first, second = caplog.messages
    assert "bf16 takes 0.50 times as long as in fp32, so it is bf16" in first
    assert "bf16 takes 1.50 times as long as in fp32, so it is fp32" in second


@pytest.mark.parametrize(
    ("hardware", "device", "able", "chosen"),
    [
        ({"precision": "fp32"}, "cpu", True, "fp32"),
        ({"precision": "bf16"}, "cpu", False, "bf16"),
        ({"precision": "fp16"}, "cuda", True, "fp16"),
        ({}, "cpu", False, "fp32"),
        ({}, "cuda", True, "bf16"),
        ({"devices": 2}, "cpu", True, "bf16"),
    ],
)
def test_nothing_is_measured_where_nothing_is_open(
    hardware: dict[str, Any], device: str, able: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = fakes(monkeypatch, able=able, bf16=3.0)

    assert choose_precision(HardwareSection(**hardware), device, None) == chosen
    assert measured == []


@pytest.mark.usefixtures("quick_export")
def test_a_run_goes_on_in_what_it_began_with(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = fakes(monkeypatch, bf16=3.0)
    run = Run(train(make_config(hardware__precision="auto", steps=2)).path.parent)
    assert plain_of(run.checkpoints()[-1])["arithmetic"] == "32-true"
    assert measured == [1]

    measured = fakes(monkeypatch, bf16=1.0)  # it would come out otherwise now
    assert choose_precision(AUTO, "cpu", run) == "fp32"
    assert measured == []
    fakes(monkeypatch, able=False)
    assert choose_precision(AUTO, "cpu", run) == "fp32"


def test_a_run_of_before_it_was_measured_goes_on_by_ability(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    measured = fakes(monkeypatch, bf16=3.0)
    run = Run(tmp_path)
    run.checkpoint(7).parent.mkdir()
    run.checkpoint(7).touch()
    monkeypatch.setattr(arithmetic, "plain_of", lambda checkpoint: {"step": 7})

    assert choose_precision(AUTO, "cpu", run) == "bf16"
    assert measured == []


def test_the_real_works_are_done_and_draw_nothing() -> None:
    before = torch.get_rng_state()
    times = race(arithmetic._works(), seconds=0.0)

    assert torch.equal(torch.get_rng_state(), before)
    assert set(times) == {"fp32", "bf16"}
    assert all(0 < value < 60 for value in times.values())
    assert has_bf16("mps") is False
