"""Where curves go: the run's files, Weights & Biases with a stand-in, and that none is left out. Loads no torch."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.errors import InvalidConfig, MissingDependency
from srgan.training import train
from srgan.training.config import TrainConfig
from srgan.training.curves import WANDB_ID, Curves, Files, Wandb, open_curves
from srgan.training.runs import Run

PIXELS = np.full((4, 6, 3), 128, np.uint8)
KEY = "0123456789abcdef0123456789abcdef01234567"


def config(**output: Any) -> TrainConfig:
    return TrainConfig.model_validate({"data": {"folders": ["p"]}, "output": {"name": "mine", **output}})


class FakeRun:
    def __init__(self, **settings: Any) -> None:
        self.settings, self.logged, self.metrics, self.finished = settings, [], [], False

    def define_metric(self, name: str, *, step_metric: str) -> None:
        self.metrics.append((name, step_metric))

    def log(self, values: dict[str, Any]) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module ``wandb`` that remembers its runs."""
    module: Any = types.ModuleType("wandb")
    module.runs = []

    def init(**settings: Any) -> FakeRun:
        module.runs.append(FakeRun(**settings))
        return module.runs[-1]

    class Error(Exception):
        pass

    module.init, module.Image, module.Settings = init, lambda pixels: ("image", pixels.shape), dict
    module.errors = types.SimpleNamespace(Error=Error)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return module


def test_wandb_gets_what_tensorboard_gets(fake: Any, tmp_path: Path) -> None:
    sink = Wandb(config(wandb="project"), Run(tmp_path))
    sink.add(20, {"loss": 0.5, "learning rate": 1e-3})
    sink.show(40, PIXELS, "input, output")
    sink.judge(40, {"psnr": 30.0, "ssim": 0.9}, loss=0.4, seconds=2.0)
    sink.close()

    (run,) = fake.runs
    assert run.logged == [
        {"loss": 0.5, "learning rate": 1e-3, "step": 20},
        {"input, output": ("image", (4, 6, 3)), "step": 40},
        {"validation/psnr": 30.0, "validation/ssim": 0.9, "step": 40},
    ]
    assert (run.metrics, run.finished) == ([("*", "step")], True)


def test_wandb_is_told_the_settings_and_no_secret(fake: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "004"
    folder.mkdir(parents=True)
    Wandb(config(wandb="project"), Run(folder))

    settings = fake.runs[0].settings
    assert (settings["project"], settings["name"], settings["dir"]) == ("project", "mine/004", str(folder))
    assert settings["config"]["data"]["folders"] == ["p"]
    off = {"console": "off", "save_code": False, "disable_code": True, "disable_git": True}
    assert settings["settings"] == off
    assert KEY not in repr(settings)
    assert [path.name for path in folder.iterdir()] == [WANDB_ID]


def test_a_run_that_goes_on_is_the_same_one_there(fake: Any, tmp_path: Path) -> None:
    for folder in ("001", "001", "002"):
        (tmp_path / folder).mkdir(exist_ok=True)
        Wandb(config(wandb="project"), Run(tmp_path / folder)).close()

    first, second, other = (run.settings["id"] for run in fake.runs)
    assert first == second != other
    assert all(run.settings["resume"] == "allow" for run in fake.runs)


def test_not_being_logged_in_is_told_with_the_way_out(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise fake.errors.Error("api_key not configured (no-tty)")

    monkeypatch.setattr(fake, "init", refuse)
    with pytest.raises(InvalidConfig, match=r"output\.wandb: api_key not configured .*`wandb login`.* WANDB_MODE"):
        Wandb(config(wandb="project"), Run(tmp_path))


def test_a_missing_wandb_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingDependency, match=r"wandb is not installed.*pip install 'srgan\[wandb\]'"):
        Wandb(config(wandb="project"), Run(tmp_path))


@pytest.mark.parametrize(("project", "asked"), [("project", True), ("", False)])
def test_it_is_missed_before_anything_is_done(
    project: str, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.training.find_spec", lambda name: None if name == "wandb" else object())
    monkeypatch.setattr("srgan.training._train", lambda *_: pytest.fail("trained") if asked else tmp_path)
    settings = config(wandb=project, runs=tmp_path / "runs")
    if asked:
        with pytest.raises(MissingDependency, match=r"srgan\[wandb\]"):
            train(settings)
    else:
        assert train(settings) == tmp_path
    assert not (tmp_path / "runs").exists()


def test_files_keep_validations_and_samples(tmp_path: Path) -> None:
    curves = Curves([Files(Run(tmp_path))])
    curves.add(20, {"loss": 0.5})
    assert list(tmp_path.iterdir()) == []
    curves.judge(40, {"psnr": 30.0}, loss=0.25, seconds=1.26)
    curves.show(40, PIXELS, "samples")
    curves.close()

    assert (tmp_path / "curve.csv").read_text() == "step,seconds,loss,psnr\n40,1.3,0.25,30.0\n"
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-00000040.png"]


def test_every_place_that_is_asked_for_gets_everything(fake: Any, tmp_path: Path) -> None:
    curves = open_curves(config(wandb="project", tensorboard=False), Run(tmp_path), 0)
    curves.add(20, {"loss": 0.5})
    curves.judge(20, {"psnr": 30.0}, loss=0.25, seconds=1.0)
    curves.show(20, PIXELS, "samples")
    curves.close()

    assert len(fake.runs[0].logged) == 3
    assert fake.runs[0].finished
    assert (tmp_path / "curve.csv").exists()
    open_curves(config(tensorboard=False), Run(tmp_path), 0)
    assert len(fake.runs) == 1, "nobody asked for it"
