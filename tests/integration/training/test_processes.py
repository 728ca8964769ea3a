"""Training in several processes is training in one with a batch as large as all of theirs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402
from srgan.training.launch import PartnerLost  # noqa: E402
from srgan.training.team import ALONE, Team  # noqa: E402

Config = Callable[..., TrainConfig]


@pytest.mark.parametrize(
    "degradation",
    [{}, {"kind": "second-order"}, {"kind": "second-order", "clean": 0.5}],
    ids=["bicubic", "worn", "half worn"],
)
def test_the_parts_of_a_batch_are_the_batch(degradation: dict[str, object], make_config: Config) -> None:
    device = torch.device("cpu")

    def batches(batch: int, share: tuple[int, int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        data = make_config(data__batch=batch, data__degradation=degradation, data__min_detail=3.0).data
        store = TileStore(data, scale=4, seed=5, device=device, share=share)
        store.fill()
        return [store.batch() for _ in range(2)]

    whole, *parts = batches(6, (0, 1)), *(batches(2, (rank, 3)) for rank in range(3))

    for number, pair in enumerate(whole):
        for kind, all_of_it in enumerate(pair):
            assert torch.equal(torch.cat([part[number][kind] for part in parts]), all_of_it)


CHILD = """
import os, sys
import safetensors.torch
import torch
import srgan.networks.export
import srgan.training.losses
from srgan.errors import SrganError
from srgan.progress import Stop
from srgan.training import train
from srgan.training.config import TrainConfig

def export_forms(network, info):
    state = {k: v.contiguous() for k, v in network.state_dict().items()}
    return {"weights.safetensors": safetensors.torch.save(state)}

srgan.networks.export.export_forms = export_forms
step = 0

def sometimes_bad(output, target):
    # in one of the two processes only: they exchange gradients, so both must notice
    global step
    step += 1
    bad = sys.argv[3:] and os.environ["LOCAL_RANK"] == "1" and 21 <= step <= 40
    return torch.nn.functional.l1_loss(output, target) * (float("nan") if bad else 1.0)

srgan.training.losses.PIXEL_LOSSES["l1"] = sometimes_bad

def work():
    config = TrainConfig.model_validate_json(open(sys.argv[1]).read())
    stop_at, stop = int(sys.argv[2]), Stop()

    def show(status):
        print(status.done, status.loss, flush=True)
        if status.done == stop_at:
            stop.set()

    before = {**os.environ, "PYTORCH_NVML_BASED_CUDA_CHECK": None}
    try:
        bundle = train(config, report=show, stop=stop)
        print("bundle", bundle.info.provenance.steps, flush=True)
    except SrganError as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(3)
    assert {**os.environ, "PYTORCH_NVML_BASED_CUDA_CHECK": None} == before

if __name__ == "__main__":
    work()
"""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
GAN: dict[str, Any] = {
    "recipe": "adversarial",
    "discriminator": {
        "name": "srgan",
        "options": {"width": 4, "dense": 8, "norm": "none"},
        "loss": "wgan-gp",  # its penalty draws, as the patches do
        "r1": 1.0,
        "r1_every": 2,
    },
    "loss": {"perceptual": 0.1, "adversarial": 0.5, "artefact": 1.0},
    "updates": {"generator": 2, "discriminator": 1},
}


@pytest.fixture
def in_two(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``in_two(config)`` trains in two processes of this machine, which torchrun starts, or `train` itself."""

    def run(
        config: TrainConfig, launcher: list[str] = TORCHRUN, *, stop_at: int = -1, bad: bool = False
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "child.py").write_text(CHILD)
        (tmp_path / "config.json").write_text(config.model_dump_json())
        command = [sys.executable, *launcher, str(tmp_path / "child.py"), str(tmp_path / "config.json"), str(stop_at)]
        command += ["bad"] * bad
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment)

    return run


def checkpoint(config: TrainConfig) -> dict[str, torch.Tensor]:
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], network: str) -> float:
    """How far two networks lie apart, relative to their length."""
    names = [name for name in one if name.startswith(network)]
    a, b = (torch.cat([state[name].flatten().float() for name in names]) for state in (one, other))
    return float((a - b).norm() / a.norm())


@pytest.mark.slow
@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize(
    ("settings", "launcher"),
    [({"optimiser__kind": "muon", "optimiser__accumulate": 2}, []), (GAN, TORCHRUN)],
    ids=["pretrain, started by itself", "adversarial, by torchrun"],
)
def test_two_processes_are_one_with_twice_the_batch(
    settings: dict[str, Any], launcher: list[str], make_config: Config, pictures: Path, in_two: Callable[..., Any]
) -> None:
    settings = {"steps": 20, "validation__folder": pictures, "validation__every": 10, **settings}
    one = make_config(**settings, data__batch=4, output__name="one")
    heard: list[TrainStep] = []
    train(one, report=heard.append)
    two = make_config(**settings, data__batch=2, hardware__devices=2, output__name="two")
    half = make_config(**settings, data__batch=2, output__name="half")
    train(half)

    done = in_two(two, launcher)

    assert done.returncode == 0, done.stderr
    begun, told, *rest = done.stdout.splitlines()
    step, loss = told.split()
    assert (begun, step) == ("0 nan", "20")
    assert float(loss) == pytest.approx(heard[-1].loss, rel=1e-3)
    # One process alone tells; of torchrun's, each has called `train`, and each is given the one bundle.
    assert rest == ["bundle 20"] * (1 + bool(launcher))
    networks = ("networks/generator/", "averages/generator/", "networks/discriminator/")[: 2 + ("recipe" in settings)]
    for network in networks:
        limit = apart(checkpoint(one), checkpoint(half), network) / 20
        assert apart(checkpoint(one), checkpoint(two), network) < min(1e-3, limit)
    folder = two.output.runs / "two"
    assert [path.name for path in folder.iterdir()] == ["001"]
    curves = [(config.output.runs / config.output.name / "001" / "curve.csv").read_text() for config in (one, two)]
    assert [line.split(",")[0] for line in curves[1].splitlines()] == ["step", "10", "20"]
    psnr = [float(curve.splitlines()[-1].split(",")[3]) for curve in curves]
    assert psnr[0] == pytest.approx(psnr[1], abs=0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("launcher", [[], TORCHRUN], ids=["started by itself", "by torchrun"])
def test_a_wish_to_stop_stops_both_and_they_go_on(
    launcher: list[str], make_config: Config, in_two: Callable[..., Any]
) -> None:
    """The second neither hangs nor fails. They go on where a run of one would be."""
    settings = {"steps": 60, "output__checkpoint_every": 50}
    two = make_config(**settings, data__batch=2, hardware__devices=2, output__name="two")
    stopped = in_two(two, launcher, stop_at=20)
    assert stopped.returncode != 0, stopped.stderr
    assert stopped.stdout.count("Cancelled") == 1 + bool(launcher), "each that was called tells its caller"
    step = re.search(r"stopped at step (\d+) of 60", stopped.stdout)
    assert step is not None
    # Where a pipe lies between them, the wish takes a moment; where there is none, a step.
    assert int(step[1]) == 21 if launcher else 21 <= int(step[1]) < 60

    went_on = in_two(two, [])
    assert went_on.returncode == 0, went_on.stderr
    assert went_on.stdout.splitlines()[-1] == "bundle 60"
    one = make_config(**settings, data__batch=4, output__name="one")
    train(one)
    assert apart(checkpoint(one), checkpoint(two), "networks/generator/") < 1e-3


@pytest.mark.slow
def test_one_that_is_killed_is_the_error_of_all(make_config: Config, tmp_path: Path) -> None:
    """Started from ``python -c``, which has no file that could be run again."""
    config = make_config(steps=100_000, data__batch=2, hardware__devices=2)
    (tmp_path / "config.json").write_text(config.model_dump_json())
    program = (
        "import sys, multiprocessing\n"
        "from srgan.errors import TrainingFailed\n"
        "from srgan.training import TrainConfig, train\n"
        "def report(step):\n"
        "    print(step.done, flush=True)\n"
        "    max(multiprocessing.active_children(), key=lambda child: child.pid).kill()\n"
        "try:\n"
        "    train(TrainConfig.model_validate_json(open(sys.argv[1]).read()), report=report)\n"
        "except TrainingFailed as error:\n"
        "    print(error)\n"
        "print(len(multiprocessing.active_children()))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "config.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stderr
    assert "the training process was ended by SIGKILL" in done.stdout.splitlines()[-2]
    assert done.stdout.splitlines()[-1] == "0", "no process is left"


@pytest.mark.slow
def test_both_go_back_when_the_numbers_of_one_are_not_finite(make_config: Config, in_two: Callable[..., Any]) -> None:
    two = make_config(steps=40, data__batch=2, hardware__devices=2, output__checkpoint_every=20)
    done = in_two(two, [], bad=True)

    assert done.returncode == 0, done.stderr
    assert "at step 40 the gradient was not finite for 20 steps in a row; back to step 20" in done.stderr
    # The report at step 40 came to nothing; it is made again after going back.
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["0", "20", "20", "40", "bundle"]
    assert all(value.isfinite().all() for value in checkpoint(two).values() if value.is_floating_point())


def test_a_launcher_of_another_number_is_noticed(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InvalidConfig, match=r"4 processes were started together.*give --set hardware\.devices=4"):
        train(make_config())


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer"), PartnerLost),
        (torch.distributed.DistBackendError("NCCL error"), PartnerLost),
        (RuntimeError("shapes do not match"), RuntimeError),
    ],
)
def test_what_torch_says_when_another_process_is_gone(error: Exception, raised: type[Exception]) -> None:
    with pytest.raises(raised) as caught, Team(0, 2).alive():
        raise error
    assert type(caught.value) is raised
    with pytest.raises(type(error)), ALONE.alive():
        raise error


def test_one_process_agrees_with_itself() -> None:
    loss = torch.tensor(2.0)
    assert (ALONE.leads, ALONE.agree(True), ALONE.agree(False), ALONE.tell("x")) == (True, True, False, "x")
    assert ALONE.mean(loss) is loss
    ALONE.copy([loss])
    ALONE.wait()
    ALONE.part()
