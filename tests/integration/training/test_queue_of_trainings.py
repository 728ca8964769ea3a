"""The queue with a real training: killed, gone on with, stopped, and harvested."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)
from scripts.trainings.diary import Diary  # noqa: E402
from scripts.trainings.entries import QueueFile  # noqa: E402
from scripts.trainings.harvest import Harvest  # noqa: E402
from scripts.trainings.place import Place  # noqa: E402
from scripts.trainings.work import Work  # noqa: E402

from srgan.errors import Cancelled  # noqa: E402
from srgan.models import Bundle  # noqa: E402
from srgan.progress import Step, Stop  # noqa: E402
from srgan.training import train  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
TRAINING = """
steps = {steps}
[network]
name = "fast"
scale = 4
options = {{ width = 16, blocks = 1 }}
[data]
folders = ["datasets/photos"]
patch = 8
batch = 4
tile = 64
[optimiser]
warmup = 10
learning_rate = 2e-3
[validation]
folder = "datasets/Set5"
every = 20
[hardware]
device = "cpu"
precision = "fp32"
[output]
tensorboard = false
samples = 0
checkpoint_every = 20
"""
QUEUE = """
[folders]
"datasets/photos" = "photos"
"datasets/Set5" = "Set5"

[[entry]]
name = "tiny"
file = "tiny.toml"
becomes = "tiny-x4"
"""


@pytest.fixture
def folder(tmp_path: Path, pictures: Path, make_pictures: Callable[..., Path]) -> Path:
    """A folder with a queue of one tiny training and its pictures."""
    (tmp_path / "photos").symlink_to(pictures)
    make_pictures((96, 128), name="Set5")
    (tmp_path / "queue.toml").write_text(QUEUE)
    (tmp_path / "shipped").mkdir()
    return tmp_path


def write_training(folder: Path, steps: int) -> None:
    (folder / "tiny.toml").write_text(TRAINING.format(steps=steps))


def command(folder: Path, *words: str) -> list[str]:
    where = ("--queue", "queue.toml", "--place", "place", "--data", ".", "--log", "log.md", "--shipped", "shipped")
    return [sys.executable, str(ROOT / "scripts" / "train_queue"), *where, *words]


def entry(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "queue.toml").read_text())["entry"][0]
    return found


def reaches(folder: Path, step: int) -> bool:
    """Whether there comes a checkpoint of ``step`` or one behind it."""
    checkpoints = folder / "place" / "runs" / "tiny-x4" / "001" / "checkpoints"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        names = [path.name for path in checkpoints.glob("step-*")] if checkpoints.exists() else []
        if any(name >= f"step-{step:08d}" for name in names):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_killed_queue_goes_on_and_a_stopped_one_keeps_its_place(folder: Path) -> None:
    write_training(folder, 100_000)
    where = {"cwd": folder, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen(command(folder, "run"), **where)  # type: ignore[call-overload]
    assert reaches(folder, 20)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert "step" not in entry(folder)  # it could not say a word

    second = subprocess.Popen(command(folder, "run"), **where)  # type: ignore[call-overload]
    assert reaches(folder, 60)
    stopped = subprocess.run(command(folder, "stop"), cwd=folder, capture_output=True, text=True, check=True)
    _, said = second.communicate()

    assert stopped.stdout == "stopped, with a checkpoint\n"
    assert second.returncode == 128 + signal.SIGTERM, said
    assert "going on from step" in said
    assert [path.name for path in (folder / "place" / "runs" / "tiny-x4").iterdir()] == ["001"]
    assert entry(folder)["state"] == "waiting"
    assert entry(folder)["step"] >= 60
    assert "## tiny-x4, " in (folder / "log.md").read_text()


@pytest.mark.usefixtures("quick_export")
def test_stopping_and_going_on_gives_the_same_weights(folder: Path) -> None:
    write_training(folder, 60)
    straight, broken = (_work(folder, name) for name in ("straight", "broken"))
    straight.through(Stop())
    (folder / "queue.toml").write_text(QUEUE)
    stop = Stop()

    def watch(step: Step) -> None:
        if step.done >= 40:
            stop.set()

    with pytest.raises(Cancelled, match="stopped at step 4"):
        _work(folder, "broken", watch).through(stop)
    broken.through(Stop())

    runs = [load_file(folder / name / "runs" / "tiny-x4" / "001" / "bundle" / "weights.safetensors")
            for name in ("straight", "broken")]  # fmt: skip
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])
    assert entry(folder)["state"] == "done"


def test_what_was_trained_is_harvested_and_gone_on_with_elsewhere(folder: Path, caplog: Any) -> None:
    write_training(folder, 200)
    stop = Stop()
    work = _work(folder, "place", lambda step: stop.set() if step.done >= 160 else None)
    with pytest.raises(Cancelled, match="stopped at step 16"):
        work.through(stop)

    said: list[str] = []
    diary = Diary(folder / "log.md")
    harvest = Harvest(
        queue=work.queue, place=work.place, shipped=folder / "shipped", diary=diary, today=_day, say=said.append
    )
    verdict = harvest.entry("tiny")
    made = Bundle.open(folder / "place" / "models" / "tiny-x4")
    made.verify()
    assert [quality.dataset for quality in made.info.quality] == ["Set5"]
    assert verdict.ship == (made.info.quality[0].psnr > (made.info.quality[0].baseline_psnr or 0)), said
    assert f"step {made.info.provenance.steps} is {'' if verdict.ship else 'not '}shipped" in diary.path.read_text()

    # Another machine has only what is committed.
    (folder / "shipped" / "tiny-x4").mkdir(exist_ok=True)
    for file in made.path.iterdir():
        (folder / "shipped" / "tiny-x4" / file.name).write_bytes(file.read_bytes())
    work.queue.note("tiny", shipped=made.info.provenance.steps)
    told: list[float] = []
    leave = Stop()

    def briefly(step: Step) -> None:
        told.append(step.done)
        leave.set()

    with pytest.raises(Cancelled):
        _work(folder, "elsewhere", briefly).through(leave)
    assert told[0] == made.info.provenance.steps
    assert "goes on from the committed weights" in caplog.text
    _work(folder, "elsewhere").through(Stop())
    assert entry(folder)["state"] == "done"


def _day() -> date:
    return date(2026, 11, 30)


def _work(folder: Path, place: str, report: Callable[[Step], Any] = lambda _: None) -> Work:
    return Work(
        queue=QueueFile(folder / "queue.toml", (folder,)),
        place=Place(folder / place),
        shipped=folder / "shipped",
        diary=Diary(folder / "log.md"),
        train=train,
        report=report,
        today=_day,
    )


def test_what_starts_from_fast_in_the_projects_queue_fits_its_plan(tmp_path: Path) -> None:
    """The fast-x4 that its own entry makes, with random weights, stands for the one that will be shipped."""
    from srgan.networks import build
    from srgan.training.finishing import write_model
    from srgan.training.setup import make_network

    queue = QueueFile(ROOT / "configs" / "queue.toml", (tmp_path,))
    plan = queue.config(queue.find("fast")).network
    network = build(plan.name, plan.scale, **plan.options).deploy()
    made = write_model(tmp_path / "fast-x4", network, name="fast-x4", network=plan.name, network_options=plan.options)
    x = torch.rand(1, 3, 16, 16)
    for entry in queue.read().entry:
        if queue.config(entry).network.init_from == "fast-x4":
            config = queue.config(entry, network__init_from=str(made.path))
            begun = make_network(config.network, config.data.patch).deploy()

            if config.network.scale == plan.scale:
                torch.testing.assert_close(begun(x), network(x), atol=5e-3, rtol=1e-2)
