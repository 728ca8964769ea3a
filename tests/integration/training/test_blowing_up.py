"""A training that blows up with finite numbers goes back, and never ends as a model without a word."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.cli.failures import exit_code_of  # noqa: E402 (torch first: without it nothing here can run)
from srgan.errors import TrainingFailed  # noqa: E402
from srgan.training import losses, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.runs import unfinished_run  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")


def swell(monkeypatch: pytest.MonkeyPatch, factor: float, *calls: range) -> None:
    """The pixel loss is ``factor`` times as large in these of its calls, counted from 1; its gradient is not."""
    count = 0

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        value = torch.nn.functional.l1_loss(output, target)
        return value + (factor - 1) * value.detach() if any(count in span for span in calls) else value

    monkeypatch.setitem(losses.PIXEL_LOSSES, "l1", loss)


@pytest.mark.parametrize("recipe", ["pretrain", "adversarial"])
@pytest.mark.parametrize("validated", [True, False])
def test_a_rate_that_no_going_back_helps_ends_without_a_model(
    validated: bool, recipe: str, make_config: Config, pictures: Path
) -> None:
    config = make_config(
        recipe=recipe,
        steps=100,
        optimiser={"learning_rate": 1.0, "warmup": 0, "clip": 1e6},
        validation__folder=pictures if validated else None,
        **({"discriminator": {"name": "patch", "options": {"width": 8, "depth": 2}}} if recipe != "pretrain" else {}),
    )
    with pytest.raises(TrainingFailed, match=r"the loss was \d+ times .* after going back 3 times it was no") as caught:
        train(config)
    assert exit_code_of(caught.value) == 6
    assert unfinished_run(config) is not None, "it is not finished, and its checkpoints are there"


def test_it_goes_back_with_half_the_rate(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    swell(monkeypatch, 1000.0, range(55, 61))
    bundle = train(make_config(steps=80, output__checkpoint_every=25))
    assert "times that of the first step; back to step 50, with learning rates times 0.5 (1 of 3)" in caplog.text
    assert bundle.info.provenance.steps == 80


def test_no_checkpoint_of_a_loss_that_has_blown_up_is_written(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The loss is looked at in each step that a checkpoint would be written of, not only in those of a report."""
    swell(monkeypatch, 1000.0, range(25, 31))
    train(make_config(output__checkpoint_every=6))
    assert "at step 30 the loss was" in caplog.text
    assert "back to step 24" in caplog.text


def test_a_batch_of_flat_patches_to_begin_with_is_no_measure(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    swell(monkeypatch, 1e-6, range(1, 2))
    train(make_config())
    assert caplog.messages == []


@pytest.mark.parametrize("validated", [True, False])
def test_a_loss_that_ends_far_above_its_beginning_makes_no_model_unless_that_is_wanted(
    validated: bool, make_config: Config, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swell(monkeypatch, 60.0, range(40, 41))
    folder = pictures if validated else None
    config = make_config(validation__folder=folder)
    with pytest.raises(TrainingFailed, match=r"001: training has blown up: at the end the loss is .*output.unfit=keep"):
        train(config)
    assert not (config.output.runs / "tiny" / "001" / "bundle").exists()
    with pytest.raises(TrainingFailed, match="training has blown up"):
        train(config)  # asked again, it says the same

    wanted = make_config(validation__folder=folder, output__unfit="keep")
    assert train(wanted).path == config.output.runs / "tiny" / "001" / "bundle"


@pytest.mark.parametrize(("psnr", "grown", "refused"), [(10.0, 6.0, True), (10.0, 1.0, False), (18.0, 6.0, False)])
def test_far_below_bicubic_with_a_loss_that_has_grown_is_refused(
    psnr: float,
    grown: float,
    refused: bool,
    make_config: Config,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A loss that is smaller than at the beginning is that of a training which was too short, or of a GAN."""

    class Judge:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def bicubic(self) -> float:
            return 25.0

        def score(self, *_: Any) -> dict[str, float]:
            return {"psnr": psnr, "ssim": 0.5}

        def objection(self, figures: dict[str, float]) -> str:
            return ""

    monkeypatch.setattr("srgan.training.pretrain.Validator", Judge)
    swell(monkeypatch, grown, range(40, 41))
    config = make_config(validation__folder=pictures, output__samples=0)
    if refused:
        with pytest.raises(TrainingFailed, match="training has blown up"):
            train(config)
    else:
        train(config)
    said = f"001: the model is worse than bicubic by PSNR on the validation pictures: {psnr:.2f} dB, and bicubic 25.00"
    assert said in caplog.text


def test_a_short_training_is_warned_of_and_a_good_one_is_not(
    make_config: Config, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = {"name": "srresnet", "scale": 4, "options": {"width": 8, "blocks": 1}}
    train(make_config(steps=2, network=network, validation__folder=pictures, output__name="short"))
    assert "short" in caplog.text
    assert "worse than bicubic" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "srgan"):
        train(make_config(steps=200, validation__folder=pictures))
    assert "worse than bicubic" not in caplog.text
