"""A run that goes on from a model of the first steps, where their checkpoints are lost."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.models import Bundle  # noqa: E402
from srgan.training import export_checkpoint, train  # noqa: E402
from srgan.training.config import OptimiserSection, TrainConfig  # noqa: E402
from srgan.training.optimisers import rate_factor  # noqa: E402

Config = Callable[..., TrainConfig]


def test_the_schedule_is_where_it_was_and_rises_to_it() -> None:
    section = OptimiserSection(warmup=10, final=0.01)
    whole = [rate_factor(section, step, 100) for step in range(1, 101)]
    later = [rate_factor(section, step, 100, 40) for step in range(41, 101)]

    assert later[9:] == whole[49:]
    assert later[:10] == pytest.approx([value * (i + 1) / 10 for i, value in enumerate(whole[40:50])])


def test_steps_before_within_the_warm_up_and_none_at_all() -> None:
    section = OptimiserSection(warmup=10)

    assert rate_factor(section, 6, 100, 5) == pytest.approx(rate_factor(OptimiserSection(warmup=0), 6, 100) / 10)
    assert rate_factor(OptimiserSection(warmup=0), 51, 100, 50) == rate_factor(section, 51, 100)
    steps = OptimiserSection(warmup=10, schedule="steps", milestones=(0.5,), gamma=0.1)
    assert rate_factor(steps, 56, 100, 50) == pytest.approx(0.06)


@pytest.mark.usefixtures("quick_export")
def test_only_the_steps_that_are_left_are_done(
    make_config: Config, pictures: Path, tmp_path: Path, caplog: Any
) -> None:
    first = train(make_config(output__checkpoint_every=20)).path.parent
    half = export_checkpoint(first, tmp_path / "half", step=20)
    told: list[int] = []
    changes = {"network__init_from": str(half.path), "steps_before": 20, "output__name": "rest"}
    config = make_config(**changes, validation__folder=pictures, validation__every=10, output__checkpoint_every=15)
    with caplog.at_level(logging.WARNING, "srgan"):
        bundle = train(config, report=lambda step: told.append(int(step.done)))

    assert "the first 20 of 40 steps were those of" in caplog.text
    assert (told[0], told[-1]) == (20, 40)
    with (bundle.path.parent / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["30", "40"]
    steps = [int(path.stem.removeprefix("step-")) for path in (bundle.path.parent / "checkpoints").iterdir()]
    assert sorted(steps)[-2:] == [30, 40]
    assert min(steps) >= 20
    assert bundle.info.provenance.steps == 40
    assert bundle.info.provenance.parent == "tiny"
    assert bundle.read("weights.safetensors") != Bundle.open(half.path).read("weights.safetensors")


@pytest.mark.usefixtures("quick_export")
def test_a_discriminator_that_begins_anew_has_its_head_start_again(make_config: Config, tmp_path: Path) -> None:
    start = train(make_config(steps=2, output__name="start")).path
    seen: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        from srgan.training import adversarial

        real = adversarial._convince
        patch.setattr(adversarial, "_convince", lambda *rest: seen.append(True) or real(*rest))
        train(
            make_config(
                recipe="adversarial",
                steps=40,
                steps_before=34,
                network__init_from=str(start),
                data__patch=16,
                loss={"perceptual": 0.0},
                discriminator={"name": "patch", "options": {"width": 8}, "head_start": 4},
            )
        )
    assert len(seen) == 2  # steps 39 and 40


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps_before": 10}, "needs network.init_from"),
        ({"steps_before": 40, "network__init_from": "fast"}, "40 leaves nothing to do of 40 steps"),
        ({"steps_before": 10, "network__init_from": "fast", "recipe": "take"}, "take has no steps of its own"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str, make_config: Config) -> None:
    with pytest.raises(ValueError, match=f"steps_before: .*{said}"):
        make_config(**changes)
