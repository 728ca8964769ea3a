"""Training ends early when it no longer helps, and which weights become the model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load, load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.progress import Step  # noqa: E402
from srgan.training import losses, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")


class Stop(Exception):
    """Stands for a crash."""


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], None]:
    """``judged([...])``: these are the PSNRs of the validations to come; the last one stays."""

    def make(values: list[float]) -> None:
        def sequence() -> Iterator[float]:
            yield from values
            while True:
                yield values[-1]

        scores = sequence()

        class Judge:
            def __init__(self, *_: Any, **__: Any) -> None: ...
            def bicubic(self) -> float:
                return 0.0

            def score(self, *_: Any) -> dict[str, float]:
                return {"psnr": next(scores), "ssim": 0.5}

            def objection(self, *_: Any) -> str:
                return ""

        monkeypatch.setattr("srgan.training.pretrain.Validator", Judge)

    return make


@pytest.fixture
def patient(make_config: Config, pictures: Path) -> Config:
    """A run of 200 steps that validates every 10 and waits for 3 validations."""

    def make(**changes: Any) -> TrainConfig:
        settings: dict[str, Any] = {
            "steps": 200,
            "validation__folder": pictures,
            "validation__every": 10,
            "validation__patience": 3,
            "output__checkpoint_every": 30,
        }
        return make_config(**(settings | changes))

    return make


def checkpoints(config: TrainConfig) -> dict[int, dict[str, torch.Tensor]]:
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return {int(path.stem.removeprefix("step-")): load_file(path) for path in folder.iterdir()}


def test_it_ends_after_so_many_validations_without_a_better_one(
    patient: Config, judged: Callable[[list[float]], None], caplog: pytest.LogCaptureFixture
) -> None:
    judged([20, 21, 20.5, 22, 21, 21.5, 22])  # an equal one is no better one
    with caplog.at_level(logging.WARNING, "srgan"):
        bundle = train(config := patient())

    assert bundle.info.provenance.steps == 70
    assert max(checkpoints(config)) == 70
    assert "ends at step 70 of 200: no better psnr in 3 validations; the best was 22, at step 40" in caplog.text


def test_a_run_that_becomes_better_and_better_goes_on(patient: Config, judged: Callable[[list[float]], None]) -> None:
    judged([float(number) for number in range(20)])
    assert train(patient()).info.provenance.steps == 200


def test_the_patience_outlives_an_interruption(patient: Config, judged: Callable[[list[float]], None]) -> None:
    """Stopped between the second and third validation without a better one."""

    def crash(status: Step) -> None:
        if status.done == 60:
            raise Stop

    judged([20, 21, 22, 21, 21, 21])
    config = patient(output__checkpoint_every=10)
    with pytest.raises(Stop):
        train(config, report=crash)
    judged([21])

    assert max(checkpoints(config)) == 60
    assert train(config).info.provenance.steps == 60, "the third one was at the step of the last checkpoint"

    judged([20, 21, 22, 21, 21, 21])
    other = patient(output__checkpoint_every=50, output__name="other")
    with pytest.raises(Stop):
        train(other, report=crash)
    assert max(checkpoints(other)) == 60
    assert train(other).info.provenance.steps == 60


@pytest.mark.parametrize(("take", "step"), [("last", 60), ("best", 30)])
def test_the_model_is_that_of_the_last_step_or_of_the_best(
    take: str, step: int, patient: Config, judged: Callable[[list[float]], None]
) -> None:
    judged([20, 21, 22, 21, 21, 21])
    bundle = train(config := patient(output__take=take, output__keep=1))

    saved = checkpoints(config)
    weights = load(bundle.read("weights.safetensors"))
    assert set(saved) == {30, 60}
    assert not torch.equal(saved[30]["averages/generator/stem.weight"], saved[60]["averages/generator/stem.weight"])
    assert all(torch.equal(value, saved[step][f"averages/generator/{name}"]) for name, value in weights.items())
    assert bundle.info.provenance.steps == step


@pytest.mark.parametrize("when", ["before the end", "before the next sitting"])
def test_a_run_whose_best_checkpoint_is_gone_ends_with_the_last(
    when: str, patient: Config, judged: Callable[[list[float]], None], caplog: pytest.LogCaptureFixture
) -> None:
    judged([20, 21, 22, 21, 21, 21])
    config = patient(output__take="best")

    def lose(status: Step) -> None:
        if status.done == 60:
            next((config.output.runs / "tiny" / "001" / "checkpoints").glob("*30.safetensors")).unlink()
            if when != "before the end":
                raise Stop

    if when != "before the end":
        with pytest.raises(Stop):
            train(config, report=lose)
    bundle = train(config, report=lose)

    assert bundle.info.provenance.steps == 60
    assert "tiny/001: the best checkpoint is missing; the model is that of step 60" in caplog.text.replace("\\", "/")


def test_a_best_step_that_was_left_out_is_kept_all_the_same(
    patient: Config, judged: Callable[[list[float]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As happens in fp16; what a step left out leaves is the weights before it, and a step more in their average."""
    calls = 0

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return torch.nn.functional.l1_loss(output, target) * (float("nan") if calls == 30 else 1.0)

    monkeypatch.setitem(losses.PIXEL_LOSSES, "l1", loss)
    judged([20, 21, 22, 21, 21, 21])
    config = patient(output__take="best", output__checkpoint_every=1000)

    assert train(config).info.provenance.steps == 30
    assert checkpoints(config)[30]["optimisers/generator/0/0/step"] == 29
