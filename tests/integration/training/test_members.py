"""What each member of an ensemble is trained with, and their training: one by one, resumed, or side by side."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import InvalidConfig, TrainingFailed  # noqa: E402 (torch first: without it nothing here can run)
from srgan.models import Bundle, ModelInfo, write_bundle  # noqa: E402
from srgan.training import members as module  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.members import finished, member_configs, train_members  # noqa: E402
from srgan.training.progress import TrainStatus  # noqa: E402
from srgan.training.runs import open_run  # noqa: E402

Config = Callable[..., TrainConfig]
THREE = [{}, {}, {}]


@pytest.fixture
def make(make_config: Config) -> Config:
    def make(*members: dict[str, Any], **changes: Any) -> TrainConfig:
        return make_config(recipe="ensemble", ensemble={"members": list(members)}, **changes)

    return make


# ------------------------------------------------------------------------------------------------ configurations


def test_what_nobody_says_is_a_psnr_member_and_gans_that_start_from_it(make: Config, tmp_path: Path) -> None:
    first, second, third = member_configs(make(*THREE, seed=7, hardware__devices=3), tmp_path)

    assert [member.recipe for member in (first, second, third)] == ["pretrain", "adversarial", "adversarial"]
    assert [member.seed for member in (first, second, third)] == [7, 8, 9]
    assert [member.network.init_from for member in (first, second, third)] == ["", "member 0", "member 0"]
    assert [member.output.name for member in (first, second, third)] == ["0", "1", "2"]
    assert {member.output.runs for member in (first, second, third)} == {tmp_path}
    assert {member.hardware.devices for member in (first, second, third)} == {1}
    assert not any(member.ensemble.members for member in (first, second, third))


def test_without_a_psnr_member_all_are_alike(make_config: Config, tmp_path: Path) -> None:
    config = make_config(recipe="ensemble", ensemble={"members": THREE, "fidelity": False})
    made = member_configs(config, tmp_path)

    assert {member.recipe for member in made} == {"pretrain"}
    assert {member.network.init_from for member in made} == {""}
    assert len({member.seed for member in made}) == 3


def test_own_settings_lie_over_those_of_the_file_table_by_table(make: Config, tmp_path: Path) -> None:
    own = {
        "recipe": "adversarial",
        "seed": 50,
        "steps": 3,
        "loss": {"adversarial": 0.3},
        "discriminator": {"name": "patch", "options": {"width": 8}},
        "network": {"init_from": "fast"},
    }
    config = make({"steps": 4}, own, loss__fft=0.05, steps=9)
    first, second = member_configs(config, tmp_path)

    assert (first.steps, first.loss.adversarial, first.loss.fft) == (4, 0.1, 0.05)
    assert (second.steps, second.seed, second.loss.adversarial, second.loss.fft) == (3, 50, 0.3, 0.05)
    assert (second.discriminator.name, second.discriminator.options) == ("patch", {"width": 8})
    assert second.network.init_from == "fast"
    assert second.network.options == config.network.options


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([{}], "ensemble.members: an ensemble has 2 to 8 members, not 1"),
        ([{}] * 9, "ensemble.members: an ensemble has 2 to 8 members, not 9"),
        ([{}, {"steps": 0}], "ensemble.members.1.steps: Input should be greater than or equal to 1"),
        ([{}, {"los": {}}], "ensemble.members.1.los: Extra inputs are not permitted"),
        ([{}, {"recipe": "ensemble"}], "ensemble.members.1.recipe: a member cannot be an ensemble itself"),
        ([{}, {"ensemble": {"members": [{}]}}], "ensemble.members.1.ensemble: is for the ensemble as a whole"),
        ([{}, {"network": {"scale": 2}}], "ensemble.members.1.network.scale: must be network.scale of the ensemble, 4"),
        ([{"network": {"scale": 2}}] * 2, "ensemble.members.0.network.scale: must be network.scale of the ensemble, 4"),
        ([{}, {"network": {"options": {"blocks": 2}}}], "ensemble.members.1.network: name and options must be"),
        ([{}, {"network": "fast"}], "ensemble.members.1.network: must be a table"),
        ([{"output": "x"}, {}], "ensemble.members.0.output: must be a table"),
        ([{}, {"hardware": "cpu"}], "ensemble.members.1.hardware: must be a table"),
        ([{}, {"loss": 1.0}], "ensemble.members.1.loss: must be a table"),
        ([{}, {"ensemble": "x"}], "ensemble.members.1.ensemble: must be a table"),
        ([{"network": {"init_from": "member 1"}}, {}], "ensemble.members.0.network.init_from: there is no 'member 1'"),
        ([{}, {"network": {"init_from": "member 1"}}], "ensemble.members.1.network.init_from: there is no 'member 1'"),
    ],
)
def test_mistakes_are_named_by_member_and_key(
    make: Config, tmp_path: Path, members: list[dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(InvalidConfig) as caught:
        member_configs(make(*members), tmp_path)

    assert complaint in str(caught.value)


def test_all_mistakes_come_at_once(make: Config, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as caught:
        member_configs(make({"steps": 0}, {"seed": -1}, {"network": "fast", "output": "x"}), tmp_path)

    assert len(str(caught.value).splitlines()) == 4


def test_a_wider_convolution_in_training_is_no_other_architecture(make: Config, tmp_path: Path) -> None:
    expanded = {"network": {"options": {"expanded": True}}}

    assert member_configs(make({}, expanded), tmp_path)[1].network.options["expanded"]


# ----------------------------------------------------------------------------------------------------- training


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """What was trained, in order: a run with a bundle that holds nothing of use."""
    done: list[TrainConfig] = []

    def train(config: TrainConfig, *, progress: Callable[[TrainStatus], None] | None = None) -> Bundle:
        done.append(config)
        if progress:
            progress(TrainStatus(step=config.steps, steps=config.steps, loss=1.0, psnr=None, steps_per_second=1.0))
        info = ModelInfo(name=config.output.name, network="fast", scale=4, radius=1)
        return write_bundle(open_run(config, resume=True).bundle, info, {"model.onnx": b"x"})

    monkeypatch.setattr("srgan.training.train", train)
    return done


def test_one_after_the_other_each_from_the_bundle_it_names(
    make: Config, tmp_path: Path, trained: list[TrainConfig]
) -> None:
    bundles = train_members(member_configs(make(*THREE), tmp_path), devices=1)

    assert [config.output.name for config in trained] == ["0", "1", "2"]
    assert [bundle.path for bundle in bundles] == [tmp_path / str(number) / "001" / "bundle" for number in range(3)]
    assert [config.network.init_from for config in trained] == ["", str(bundles[0].path), str(bundles[0].path)]


def test_what_has_finished_is_not_trained_again_unless_its_settings_change(
    make: Config, tmp_path: Path, trained: list[TrainConfig]
) -> None:
    train_members(member_configs(make(*THREE), tmp_path), devices=1)
    trained.clear()

    again = train_members(member_configs(make(*THREE), tmp_path), devices=1)
    assert (trained, len(again)) == ([], 3)

    train_members(member_configs(make({}, {"loss": {"adversarial": 0.5}}, {}), tmp_path), devices=1)
    assert [config.output.name for config in trained] == ["1"]
    assert finished(trained[0]) is not None


def test_the_progress_is_that_of_all(make: Config, tmp_path: Path, trained: list[TrainConfig]) -> None:
    said: list[tuple[int, int]] = []
    configs = member_configs(make({"steps": 4}, {"steps": 5}), tmp_path)

    train_members(configs, devices=1, progress=lambda status: said.append((status.step, status.steps)))

    assert said == [(4, 9), (9, 9)]


# --------------------------------------------------------------------------------------------------- side by side

CHILD = """
import json, os, sys, time
from pathlib import Path
from srgan.models import ModelInfo, write_bundle
file = Path(sys.argv[-1])
values = json.loads(file.read_text())
name = values["output"]["name"]
folder = file.parent / name / "001"
folder.mkdir(parents=True)
(folder / "config.json").write_text(file.read_text())
seen = {"device": os.environ["CUDA_VISIBLE_DEVICES"], "start": time.time(), "from": values["network"]["init_from"]}
seen["stray"] = [key for key in os.environ if key.startswith("SRGAN_TRAIN__") or key == "WORLD_SIZE"]
if values["seed"] == 666:
    print("the numbers were not finite", file=sys.stderr)
    sys.exit(1)
if values["seed"] == 777:
    sys.exit(130)
time.sleep(0.5)
seen["end"] = time.time()
(file.parent / f"{name}.seen").write_text(json.dumps(seen))
write_bundle(folder / "bundle", ModelInfo(name=name, network="fast", scale=4, radius=1), {"model.onnx": b"x"})
"""


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that pretend to train: a bundle after half a second, or a failure for seed 666, a stop for 777."""
    script = tmp_path / "child"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path / "child.py"} "$@"\n')
    (tmp_path / "child.py").write_text(CHILD)
    script.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(script))
    for name, value in {"SRGAN_TRAIN__STEPS": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setitem(os.environ, name, value)


@pytest.mark.usefixtures("children")
def test_each_device_has_a_process_and_who_needs_another_waits_for_it(make: Config, tmp_path: Path) -> None:
    folder = tmp_path / "members"
    bundles = train_members(member_configs(make(*THREE), folder), devices=2)
    first, second, third = (json.loads((folder / f"{number}.seen").read_text()) for number in range(3))

    assert [bundle.info.name for bundle in bundles] == ["0", "1", "2"]
    assert second["start"] > first["end"]
    assert second["from"] == third["from"] == str(bundles[0].path)
    assert max(second["start"], third["start"]) < min(second["end"], third["end"])
    assert {second["device"], third["device"]} == {"0", "1"}
    assert first["stray"] == second["stray"] == []


@pytest.mark.usefixtures("children")
def test_a_process_sees_one_of_the_devices_that_this_one_sees(
    make: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    independent = [{"recipe": "pretrain", "network": {"init_from": "fast"}}] * 2
    train_members(member_configs(make(*independent), tmp_path / "members"), devices=2)

    seen = {json.loads((tmp_path / "members" / f"{number}.seen").read_text())["device"] for number in (0, 1)}
    assert seen == {"4", "7"}


@pytest.mark.usefixtures("children")
def test_the_last_words_of_a_process_that_failed(make: Config, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"member 1: the numbers were not finite \(.*1\.log\)"):
        train_members(member_configs(make({}, {"seed": 666}), tmp_path / "members"), devices=2)


@pytest.mark.usefixtures("children")
def test_a_process_that_was_stopped_stops_all(make: Config, tmp_path: Path) -> None:
    with pytest.raises(module.Cancelled, match="the same command, without --fresh, goes on from there"):
        train_members(member_configs(make({}, {"seed": 777}), tmp_path / "members"), devices=2)


@pytest.mark.usefixtures("quick_export")
def test_what_such_a_process_does(make_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = make_config(steps=2), make_config(steps=2, output__name="bad", network__init_from="nowhere")
    for name, config in (("good", good), ("bad", bad)):
        (tmp_path / name).write_text(config.model_dump_json())

    assert module.main([str(tmp_path / "good")]) == 0
    assert finished(good) is not None
    assert module.main([str(tmp_path / "bad")]) == 1
    assert "nowhere" in caplog.records[-1].getMessage()
    assert finished(bad) is None
