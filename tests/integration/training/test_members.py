"""What each member of an ensemble is trained with, and their training: one by one, resumed, or side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import Cancelled, InvalidConfig, TrainingFailed  # noqa: E402 (torch first)
from srgan.hardware import default_threads  # noqa: E402
from srgan.models import Bundle, ModelInfo, write_bundle  # noqa: E402
from srgan.progress import Report, Step, Stop, silent  # noqa: E402
from srgan.training import RECIPES  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.members import finished, member_configs, train_members  # noqa: E402
from srgan.training.recipes import AdversarialConfig, EnsembleConfig  # noqa: E402
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
    assert [type(member) for member in (first, second)] == [TrainConfig, AdversarialConfig]
    assert not any(isinstance(member, EnsembleConfig) for member in (first, second, third))


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
        ([{}, {"ensemble": "x"}], "ensemble.members.1.ensemble: is for the ensemble as a whole"),
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

    def train(config: TrainConfig, *, report: Report, stop: Stop) -> Bundle:
        done.append(config)
        report(Step(config.steps, config.steps))
        info = ModelInfo(name=config.output.name, network="fast", scale=4, radius=1)
        return write_bundle(open_run(config, resume=True).bundle, info, {"model.onnx": b"x"})

    monkeypatch.setattr("srgan.training.train", train)
    return done


def test_one_after_the_other_each_from_the_bundle_it_names(
    make: Config, tmp_path: Path, trained: list[TrainConfig]
) -> None:
    bundles = train_members(member_configs(make(*THREE), tmp_path), devices=1, report=silent, stop=Stop())

    assert [config.output.name for config in trained] == ["0", "1", "2"]
    assert [bundle.path for bundle in bundles] == [tmp_path / str(number) / "001" / "bundle" for number in range(3)]
    assert [config.network.init_from for config in trained] == ["", str(bundles[0].path), str(bundles[0].path)]


def test_what_has_finished_is_not_trained_again_unless_its_settings_change(
    make: Config, tmp_path: Path, trained: list[TrainConfig]
) -> None:
    train_members(member_configs(make(*THREE), tmp_path), devices=1, report=silent, stop=Stop())
    trained.clear()

    again = train_members(member_configs(make(*THREE), tmp_path), devices=1, report=silent, stop=Stop())
    assert (trained, len(again)) == ([], 3)

    train_members(
        member_configs(make({}, {"loss": {"adversarial": 0.5}}, {}), tmp_path), devices=1, report=silent, stop=Stop()
    )
    assert [config.output.name for config in trained] == ["1"]
    assert finished(trained[0]) is not None


def test_the_progress_is_that_of_all(make: Config, tmp_path: Path, trained: list[TrainConfig]) -> None:
    said: list[tuple[int, int]] = []
    configs = member_configs(make({"steps": 4}, {"steps": 5}), tmp_path)

    train_members(configs, devices=1, report=lambda step: said.append((step.done, step.total)), stop=Stop())

    assert said == [(4, 9), (9, 9)]


# --------------------------------------------------------------------------------------------------- side by side

RECIPE = '''
import json, os, time
from srgan.errors import Cancelled, TrainingFailed
from srgan.progress import Step
from srgan.training import Recipe, TrainConfig
from srgan.models import ModelInfo, write_bundle
from srgan.training.runs import open_run

RECIPE = Recipe(TrainConfig, "pretender:work")

def work(config, *, resume, report, stop):
    """Pretend to train, 1 and 2 until both have begun; fail for seed 666, be stopped for 777, go on for 888."""
    name, folder = config.output.name, config.output.runs
    seen = {"device": os.environ["CUDA_VISIBLE_DEVICES"], "start": time.time(), "from": config.network.init_from}
    seen["stray"] = [key for key in ("WORLD_SIZE", "LOCAL_RANK") if key in os.environ]
    seen["threads"] = config.hardware.threads
    report(Step(config.steps / 2, config.steps, "steps", "half"))
    if config.seed == 666:
        raise TrainingFailed("the numbers were not finite")
    if config.seed == 777:
        raise Cancelled("by somebody")
    while config.seed == 888 and not stop.is_set():
        time.sleep(0.01)
    if stop.is_set():
        raise Cancelled
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.begun").touch()
    wanted = {"0": ["0"], "1": ["1", "2"], "2": ["1", "2"]}[name] if config.seed < 600 else [name]
    until = time.monotonic() + 120
    while not all((folder / f"{other}.begun").exists() for other in wanted) and time.monotonic() < until:
        time.sleep(0.01)
    seen["end"] = time.time()
    run = open_run(config, resume=resume)
    (folder / f"{name}.seen").write_text(json.dumps(seen))
    return write_bundle(run.bundle, ModelInfo(name=name, network="fast", scale=4, radius=1), {"model.onnx": b"x"})
'''


@pytest.fixture
def pretenders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The recipe `pretender` of an installed package, which other processes find too."""
    home = tmp_path / "site"
    (home / "pretender-1.dist-info").mkdir(parents=True)
    (home / "pretender-1.dist-info" / "METADATA").write_text("Name: pretender\nVersion: 1\n")
    (home / "pretender-1.dist-info" / "entry_points.txt").write_text("[srgan.recipes]\npretender = pretender:RECIPE\n")
    (home / "pretender.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(home)
    RECIPES.__dict__.pop("targets", None)
    yield
    RECIPES.__dict__.pop("targets", None)
    sys.modules.pop("pretender", None)


def pretending(*members: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"recipe": "pretender", **member} for member in members]


def side_by_side(configs: list[TrainConfig], report: Report = silent, stop: Stop | None = None) -> list[Bundle]:
    return train_members(configs, devices=2, report=report, stop=stop or Stop())


@pytest.mark.usefixtures("pretenders")
def test_each_device_has_a_process_and_who_needs_another_waits_for_it(
    make: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"CUDA_VISIBLE_DEVICES": "4,7", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "members"
    told: list[Step] = []
    bundles = side_by_side(member_configs(make(*pretending(*THREE), steps=4, hardware__threads=0), folder), told.append)
    first, second, third = (json.loads((folder / f"{number}.seen").read_text()) for number in range(3))

    assert [bundle.info.name for bundle in bundles] == ["0", "1", "2"]
    assert second["start"] > first["end"]
    assert second["from"] == third["from"] == str(bundles[0].path)
    assert max(second["start"], third["start"]) < min(second["end"], third["end"])
    assert {second["device"], third["device"]} == {"4", "7"}, "of those that this process sees"
    assert first["stray"] == second["stray"] == []
    assert first["threads"] == max(1, default_threads() // 2)
    assert [(step.done, step.total, step.note) for step in told] == [(2, 12, "half"), (6, 12, "half"), (8, 12, "half")]

    assert side_by_side(member_configs(make(*pretending(*THREE), steps=4), folder))[0].path == bundles[0].path
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["0", "1", "2"], "nothing is done twice"


@pytest.mark.usefixtures("pretenders")
def test_one_that_fails_is_named_and_ends_the_others(make: Config, tmp_path: Path) -> None:
    alone = {"network": {"init_from": "fast"}}
    configs = member_configs(make(*pretending({"seed": 888}, {"seed": 666, **alone})), tmp_path / "members")
    with pytest.raises(TrainingFailed, match="member 1: the numbers were not finite"):
        side_by_side(configs)


@pytest.mark.usefixtures("pretenders")
def test_a_process_that_was_stopped_by_somebody_stops_all(make: Config, tmp_path: Path) -> None:
    configs = member_configs(make(*pretending({"seed": 777}, {})), tmp_path / "members")
    with pytest.raises(Cancelled, match="the same command without --fresh continues from there"):
        side_by_side(configs)


@pytest.mark.usefixtures("pretenders")
def test_the_wish_to_stop_reaches_all(make: Config, tmp_path: Path) -> None:
    configs = member_configs(make(*pretending({"seed": 888}, {})), tmp_path / "members")
    stop = Stop()
    with pytest.raises(Cancelled, match="the same command without --fresh continues from there"):
        side_by_side(configs, lambda _: stop.set(), stop)
