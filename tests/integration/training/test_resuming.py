"""Training that was stopped goes on exactly as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import CannotWrite, ModelNotFound, TrainingFailed  # noqa: E402
from srgan.training import TrainJob, state, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402

Config = Callable[..., TrainConfig]
Pictures = Callable[..., Path]
quick = pytest.mark.usefixtures("quick_export")


class Stop(Exception):
    """Stands for a crash."""


def stop_at(step: int) -> Callable[[TrainStep], None]:
    def watch(status: TrainStep) -> None:
        if status.done >= step:
            raise Stop

    return watch


def last_checkpoint(config: TrainConfig, version: str = "001") -> dict[str, torch.Tensor]:
    folder = config.output.runs / config.output.name / version / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@quick
@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_100_steps_and_a_crash_and_100_steps_are_200_steps(kind: str, make_config: Config, pictures: Path) -> None:
    settings = {
        "steps": 200,
        "optimiser__kind": kind,
        "output__checkpoint_every": 100,
        "validation__folder": pictures,
        "validation__every": 90,
    }
    straight, broken = make_config(**settings), make_config(**settings, output__name="broken")
    train(straight)

    with pytest.raises(Stop):
        train(broken, report=stop_at(120))
    folder = broken.output.runs / "broken" / "001"
    assert (folder / "checkpoints" / "step-00000100.safetensors").exists()
    with (folder / "curve.csv").open("a") as file:
        file.write("110,1.0,0.5,20.0,0.5\n")  # a validation that no checkpoint came after
    steps: list[int] = []
    train(broken, report=lambda status: steps.append(status.done))

    assert steps[:2] == [100, 120]
    assert same(last_checkpoint(straight), last_checkpoint(broken))
    curves = [config.output.runs / config.output.name / "001" / "curve.csv" for config in (straight, broken)]
    rows = [[line.split(",") for line in curve.read_text().splitlines()] for curve in curves]
    # All columns but the seconds.
    assert [[r[0], *r[2:]] for r in rows[0]] == [[r[0], *r[2:]] for r in rows[1]]
    assert [row[0] for row in rows[0]] == ["step", "90", "180", "200"]


CHILD = """
import sys
from srgan.cli.interrupts import stopping
from srgan.errors import Cancelled
from srgan.training import TrainConfig, train

config = TrainConfig.model_validate_json(open(sys.argv[1]).read())
try:
    with stopping("stopping") as stop:
        train(config, report=lambda step: print(step.done, flush=True), stop=stop)
except Cancelled as error:
    print("cancelled:", error)
    sys.exit(130)
"""


@quick
@pytest.mark.skipif(os.name == "nt", reason="no such signals here")
def test_a_process_that_gets_ctrl_c_saves_and_goes_on_exactly(make_config: Config, tmp_path: Path) -> None:
    config = make_config(steps=200, optimiser__kind="muon")
    straight = config.model_copy(update={"output": config.output.model_copy(update={"name": "straight"})})
    (tmp_path / "config.json").write_text(config.model_dump_json())
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "config.json")], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["0\n", "20\n"]
    child.send_signal(signal.SIGINT)
    rest, _ = child.communicate(timeout=300)

    assert child.returncode == 130
    assert "of 200; the same command without --fresh continues from there" in rest
    (saved,) = (config.output.runs / "tiny" / "001" / "checkpoints").iterdir()
    assert 20 <= int(saved.stem.removeprefix("step-")) < 200
    train(config)
    train(straight)
    assert same(last_checkpoint(config), last_checkpoint(straight))


def test_slow_steps_give_a_sign_of_life(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.training.loop.SILENCE", 0.0)
    steps: list[int] = []
    train(make_config(steps=4), report=lambda status: steps.append(status.done))
    assert steps == [0, 1, 2, 3, 4]


@quick
def test_a_streamed_dataset_goes_on_exactly(make_config: Config, make_pictures: Pictures) -> None:
    folder = make_pictures(*[(64, 64 + 32 * (n % 3)) for n in range(9)])
    broken_picture = folder / "004.png"
    broken_picture.write_bytes(broken_picture.read_bytes()[:-2000])
    settings = {
        "steps": 120,
        "data__folders": [folder],
        "data__tile": 32,
        "data__memory_gib": 1e-9,
        "data__refresh": 3,
        "output__checkpoint_every": 50,
    }
    straight, broken = make_config(**settings), make_config(**settings, output__name="broken")
    train(straight)
    with pytest.raises(Stop):
        train(broken, report=stop_at(60))
    train(broken)

    assert same(last_checkpoint(straight), last_checkpoint(broken))


@quick
def test_streamed_pairs_from_a_list_go_on_exactly(make_config: Config, make_pictures: Pictures, tmp_path: Path) -> None:
    high = make_pictures(*[(64, 64 + 32 * (n % 3)) for n in range(9)], name="high")
    low = make_pictures(*[(16, 16 + 8 * (n % 3)) for n in range(9)], name="low")
    (low / "005.png").unlink()
    for folder in (high, low):
        lines = [f"{folder.name}/{number:03d}.png" for number in range(9)]
        (tmp_path / f"{folder.name}.txt").write_text("\n".join(lines))
    settings = {
        "steps": 60,
        "data__folders": [tmp_path / "high.txt"],
        "data__low_folders": [tmp_path / "low.txt"],
        "data__tile": 32,
        "data__memory_gib": 1e-9,
        "data__refresh": 3,
        "output__checkpoint_every": 25,
    }
    straight, broken = make_config(**settings), make_config(**settings, output__name="broken")
    train(straight)
    with pytest.raises(Stop):
        train(broken, report=stop_at(40))
    train(broken)

    assert same(last_checkpoint(straight), last_checkpoint(broken))


@quick
def test_worn_pictures_go_on_exactly(make_config: Config) -> None:
    degradation = {"kind": "second-order", "webp": 0.2, "shuffle": 0.3}
    settings = {"steps": 60, "data__degradation": degradation, "output__checkpoint_every": 25}
    straight, broken = make_config(**settings), make_config(**settings, output__name="broken")
    train(straight)
    with pytest.raises(Stop):
        train(broken, report=stop_at(40))
    train(broken)

    assert same(last_checkpoint(straight), last_checkpoint(broken))


@quick
def test_without_resume_training_begins_anew(make_config: Config) -> None:
    config = make_config(output__checkpoint_every=20)
    with pytest.raises(Stop):
        train(config, report=stop_at(20))

    steps: list[int] = []
    train(TrainJob(config=config, resume=False), report=lambda status: steps.append(status.done))

    assert steps == [0, 20, 40]
    assert (config.output.runs / "tiny" / "002" / "bundle").is_dir()


@quick
@pytest.mark.skipif(os.name == "nt", reason="no such signals here")
def test_one_process_at_a_time_trains_in_a_run(make_config: Config, tmp_path: Path) -> None:
    """The second one changes nothing, and can begin a new run instead; the first goes on undisturbed."""
    config = make_config(steps=100_000)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    command = [sys.executable, "-c", CHILD, str(tmp_path / "config.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["0\n", "20\n"]
        with pytest.raises(
            CannotWrite, match=r"tiny.001: another process is training in this run; wait for it, or use --fresh"
        ):
            train(config)
        with pytest.raises(Stop):
            train(TrainJob(config=config, resume=False), report=stop_at(20))
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=300)

    assert child.returncode == 130
    assert rest.startswith("40\n")
    assert sorted(path.name for path in (config.output.runs / "tiny").iterdir()) == ["001", "002"]


@quick
def test_a_run_does_not_need_the_model_that_it_started_from_again(make_config: Config) -> None:
    """It has a checkpoint before the first step, and knows what the bundle at its end has to say."""
    grandparent = train(make_config(steps=1, output__name="grandparent"))
    settings = {"recipe": "adversarial", "data__batch": 2}
    discriminator = {"name": "patch", "options": {"width": 8, "depth": 2}}
    parent = train(
        make_config(
            **settings,
            steps=1,
            discriminator=discriminator,
            network__init_from=str(grandparent.path),
            output__name="parent",
        )
    )
    straight, broken = (
        make_config(network__init_from=str(parent.path), output__name=name) for name in ("straight", "broken")
    )
    wanted = train(straight).info.provenance
    with pytest.raises(Stop):
        train(broken, report=stop_at(20))
    parent.path.rename(parent.path.with_name("elsewhere"))

    assert train(broken).info.provenance.model_dump(include={"parent", "loss_features"}) == wanted.model_dump(
        include={"parent", "loss_features"}
    )
    assert (wanted.parent, len(wanted.loss_features)) == ("parent", 1)
    assert same(last_checkpoint(straight), last_checkpoint(broken))
    with pytest.raises(ModelNotFound):
        train(TrainJob(config=broken, resume=False))
    assert not (broken.output.runs / "broken" / "002").exists(), "that shows before anything is begun"


@quick
def test_a_checkpoint_that_does_not_know_where_it_began_goes_on(
    make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of an earlier version of srgan."""
    parent = train(make_config(steps=1, output__name="parent"))
    config = make_config(network__init_from=str(parent.path))
    known = tuple(name for name in state.PLAIN if not name.startswith("parent"))
    with monkeypatch.context() as patch:
        patch.setattr(state, "PLAIN", known)
        with pytest.raises(Stop):
            train(config, report=stop_at(20))

    assert train(config).info.provenance.parent == "parent"


@quick
@pytest.mark.parametrize("left", ["", "step,seconds,loss,psnr,ssim\n10,1.0,0.5,2"], ids=["emptied", "torn"])
def test_a_damaged_curve_locks_nobody_out(left: str, make_config: Config, pictures: Path) -> None:
    config = make_config(validation__folder=pictures, validation__every=10, output__checkpoint_every=20)
    with pytest.raises(Stop):
        train(config, report=stop_at(20))
    curve = config.output.runs / "tiny" / "001" / "curve.csv"
    curve.write_text(left)
    train(config)

    assert [line.split(",")[0] for line in curve.read_text().splitlines()] == ["step", "30", "40"]


@quick
def test_a_damaged_checkpoint_is_not_passed_over_in_silence(make_config: Config) -> None:
    config = make_config(output__checkpoint_every=10)
    with pytest.raises(Stop):
        train(config, report=stop_at(20))
    path = config.output.runs / "tiny" / "001" / "checkpoints" / "step-00000020.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingFailed, match="delete it to go on from the one before"):
        train(config)

    path.unlink()
    assert train(config).info.provenance.steps == 40


@quick
def test_latest_and_best_checkpoints_are_kept(make_config: Config, pictures: Path) -> None:
    scores = iter([20.0, 25.0, 21.0, 22.0, 23.0])

    class Judge:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def bicubic(self) -> float:
            return 0.0

        def score(self, *_: Any) -> dict[str, float]:
            return {"psnr": next(scores), "ssim": 0.5}

        def objection(self, *_: Any) -> str:
            return ""

    config = make_config(
        steps=50, validation__folder=pictures, validation__every=10, output__checkpoint_every=15, output__keep=2
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("srgan.training.pretrain.Validator", Judge)
        train(config)

    folder = config.output.runs / "tiny" / "001" / "checkpoints"
    # Saved: 10 and 20 as the best so far, 15, 30 and 45 in turn, 50 as the last.
    assert sorted(int(path.stem.removeprefix("step-")) for path in folder.iterdir()) == [20, 45, 50]


@quick
def test_a_compiled_network_learns_the_same(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def compile_eagerly(module: Any, **_: Any) -> Any:
        compiled.append(module)
        return real(module, backend="eager")  # the default backend needs a C++ compiler and a minute

    real = torch.compile
    plain, other = make_config(), make_config(hardware__compile=True, output__name="compiled")
    train(plain)
    monkeypatch.setattr(torch, "compile", compile_eagerly)
    train(other)

    assert len(compiled) >= 1
    assert same(last_checkpoint(plain), last_checkpoint(other))
