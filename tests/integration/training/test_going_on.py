"""`--resume PATH`: from any checkpoint, finished run or not, under settings that may be others."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.training import TrainJob, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402
from srgan.training.optimisers import rate_factor  # noqa: E402
from srgan.training.state import plain_of  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")


class Crash(Exception):
    """Stands for a crash."""


def crash_at(step: int) -> Callable[[TrainStep], None]:
    def watch(status: TrainStep) -> None:
        if status.done >= step:
            raise Crash

    return watch


def steps_of(config: TrainConfig, start: Path | None, **how: Any) -> list[int]:
    seen: list[int] = []
    train(TrainJob(config=config, start=start, **how), report=lambda status: seen.append(status.done))
    return seen


def folder(config: TrainConfig, version: str = "001") -> Path:
    return config.output.runs / config.output.name / version


def checkpoint(config: TrainConfig, step: int, version: str = "001") -> Path:
    return folder(config, version) / "checkpoints" / f"step-{step:08d}.safetensors"


def same(one: Path, other: Path) -> bool:
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def interrupted(config: TrainConfig, step: int) -> None:
    with pytest.raises(Crash):
        train(config, report=crash_at(step))


# -------------------------------------------------------------------------------------- the same training, elsewhere


def test_validation_and_outputs_may_change_with_the_same_command(make_config: Config, pictures: Path) -> None:
    """And the weights are those of a run that nobody touched."""
    straight = make_config(steps=60, output__name="straight")
    train(straight)
    interrupted(make_config(steps=60, output__checkpoint_every=20, validation__folder=pictures), 40)
    changed = make_config(
        steps=60,
        output__checkpoint_every=7,
        output__keep=1,
        output__samples=1,
        validation__folder=pictures,
        validation__every=15,
        validation__max_pictures=1,
        validation__figures=["grid"],
        validation__best="grid",
        hardware={"device": "cpu", "precision": "fp32", "threads": 2},
    )
    assert steps_of(changed, None)[0] == 40
    a, b = load_file(checkpoint(straight, 60)), load_file(checkpoint(changed, 60))
    assert all(torch.allclose(a[key].float(), b[key].float(), atol=1e-6) for key in a)
    assert not folder(changed, "002").exists()


def test_a_curve_gets_the_columns_of_new_figures(make_config: Config, pictures: Path) -> None:
    judged = {"validation__folder": pictures, "validation__every": 10, "output__checkpoint_every": 20}
    interrupted(make_config(**judged), 20)
    train(config := make_config(**judged, validation__figures=["grid"]))
    with (folder(config) / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10", "20", "30", "40"]
    assert [bool(row["grid"]) for row in rows] == [False, False, True, True]
    assert all(float(row["psnr"]) > 0 for row in rows)


def test_a_best_by_another_figure_is_sought_anew(make_config: Config, pictures: Path) -> None:
    judged = {"validation__folder": pictures, "validation__every": 10, "output__checkpoint_every": 20}
    interrupted(make_config(**judged), 20)
    assert plain_of(checkpoint(make_config(), 20))["best"] > 10
    train(config := make_config(**judged, validation__best="ssim"))
    assert plain_of(checkpoint(config, 40))["best"] < 1


# ------------------------------------------------------------------------------------------------ from any checkpoint


def test_a_moved_run_goes_on_where_it_is(make_config: Config, tmp_path: Path) -> None:
    interrupted(config := make_config(output__checkpoint_every=20), 20)
    shutil.move(config.output.runs, tmp_path / "moved")
    moved = tmp_path / "moved" / "tiny" / "001"
    assert steps_of(config, moved)[0] == 20
    assert (moved / "bundle").is_dir()
    assert not config.output.runs.exists()


def test_more_steps_go_on_with_the_schedule_of_the_new_length(make_config: Config) -> None:
    """A finished run is left as it is; the learning rate is that of the long run at each step."""
    short, long = make_config(), make_config(steps=80)
    train(short)
    before = {path: path.read_bytes() for path in folder(short).rglob("*") if path.is_file()}
    assert steps_of(long, folder(short))[0] == 40
    assert {path: path.read_bytes() for path in folder(short).rglob("*") if path.is_file()} == before
    assert (folder(long, "002") / "bundle").is_dir()
    group = plain_of(checkpoint(long, 80, "002"))["groups"]["generator/0"][0]
    assert group["lr"] == pytest.approx(group["peak"] * rate_factor(long.optimiser, 80, 80))
    assert plain_of(checkpoint(long, 80, "002"))["step"] == 80


def test_the_same_command_again_goes_on_with_what_it_began(make_config: Config) -> None:
    train(short := make_config())
    long = make_config(steps=100, output__checkpoint_every=20)
    with pytest.raises(Crash):
        train(TrainJob(config=long, start=folder(short)), report=crash_at(60))
    assert steps_of(long, folder(short))[0] == 60
    assert not folder(long, "003").exists()
    straight = make_config(steps=100, output__name="straight")
    train(TrainJob(config=straight, start=checkpoint(short, 40)))
    assert same(checkpoint(long, 100, "002"), checkpoint(straight, 100))


@pytest.mark.parametrize("step", [10, 20])
def test_from_a_checkpoint_that_is_not_the_last_one(step: int, make_config: Config, pictures: Path) -> None:
    """The steps after it are made again in a run of their own, on a CPU bit for bit; nothing of the old one is lost."""
    config = make_config(output__checkpoint_every=10, output__keep=9, validation__folder=pictures, validation__every=10)
    train(config)
    assert steps_of(config, checkpoint(config, step))[0] == step
    assert same(checkpoint(config, 40), checkpoint(config, 40, "002"))
    curves = [(folder(config, version) / "curve.csv").read_text().splitlines() for version in ("001", "002")]
    assert [line.split(",")[0] for line in curves[1]] == [line.split(",")[0] for line in curves[0]]


def test_a_checkpoint_far_from_its_run(make_config: Config, tmp_path: Path) -> None:
    train(config := make_config(output__checkpoint_every=20))
    alone = shutil.copy(checkpoint(config, 20), tmp_path / "step.safetensors")
    other = make_config(output__name="other")
    assert steps_of(other, Path(alone))[0] == 20
    assert same(checkpoint(config, 40), checkpoint(other, 40))


@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": {"warmup": 10, "learning_rate": 1e-4}},
        {"data__batch": 2},
        {"seed": 7},
        {"data__memory_gib": 1.0},
        {"loss__pixel": "mse"},
        {"validation__patience": None},
        {"output__name": "renamed"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_any_other_setting_may_change_and_is_heard(changes: dict[str, Any], make_config: Config) -> None:
    interrupted(first := make_config(output__checkpoint_every=20), 20)
    config = make_config(**changes)
    assert steps_of(config, folder(first))[0] == 20
    new = "001" if config.output.name == "renamed" or changes == {"validation__patience": None} else "002"
    made = folder(first if changes.get("output__name") else config, new)
    last = plain_of(made / "checkpoints" / checkpoint(config, 40).name)
    assert last["groups"]["generator/0"][0]["peak"] == config.optimiser.learning_rate


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"name": "turbo", "scale": 4}}, "these cannot change: network.name, network.options"),
        ({"network__scale": 2}, "these cannot change: network.scale"),
        ({"optimiser": {"kind": "muon"}}, "these cannot change: optimiser.kind"),
        ({"recipe": "adversarial"}, "cannot change: recipe. .* give network.init_from"),
        ({"steps": 30}, r"all 30 steps are done there \(40\); set steps to more"),
        ({}, r"all 40 steps are done there \(40\); set steps to more"),
        ({"recipe": "ensemble"}, "the recipe ensemble has no checkpoints"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_refused_before_anything_is_begun(
    changes: dict[str, Any], message: str, make_config: Config
) -> None:
    train(config := make_config())
    with pytest.raises(InvalidConfig, match=message):
        train(TrainJob(config=make_config(**changes), start=folder(config)))
    assert not folder(config, "002").exists()


def test_what_is_no_checkpoint(make_config: Config, tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no")
    (tmp_path / "empty").mkdir()
    for start, message in (
        ("nowhere", "no such run or checkpoint"),
        ("empty", "there are no checkpoints in this folder"),
        ("text.safetensors", "not a checkpoint of srgan"),
    ):
        with pytest.raises(InvalidConfig, match=f"--resume .*{start}: {message}"):
            train(TrainJob(config=make_config(), start=tmp_path / start))
    assert not (tmp_path / "runs").exists()


def test_another_network_is_seen_where_no_settings_lie_beside_the_checkpoint(
    make_config: Config, tmp_path: Path
) -> None:
    train(config := make_config())
    alone = Path(shutil.copy(checkpoint(config, 40), tmp_path / "step.safetensors"))
    wider = make_config(steps=50, network__options={"width": 32, "blocks": 1}, output__name="wider")
    with pytest.raises(InvalidConfig, match=r"step.safetensors: its weights are not those of network.name"):
        train(TrainJob(config=wider, start=alone))


def test_a_run_whose_patience_is_at_an_end_needs_more_of_it(
    make_config: Config, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Judge:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def bicubic(self) -> float:
            return 0.0

        def score(self, *_: Any) -> dict[str, float]:
            return {"psnr": 20.0, "ssim": 0.5}

        def objection(self, *_: Any) -> str:
            return ""

    monkeypatch.setattr("srgan.training.pretrain.Validator", Judge)
    judged = {"validation__folder": pictures, "validation__every": 10, "output__samples": 0}
    train(config := make_config(**judged, steps=100, validation__patience=2))
    assert checkpoint(config, 30).exists()
    with pytest.raises(InvalidConfig, match=r"waited for 2 validations .* validation.patience = 2 ends that"):
        train(TrainJob(config=config, start=folder(config)))
    steps_of(make_config(**judged, steps=100, validation__patience=4), folder(config))
    assert checkpoint(config, 50, "002").exists()
