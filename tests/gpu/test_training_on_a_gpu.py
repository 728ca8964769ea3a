"""Training on a CUDA device: it does what it does on the CPU, in either arithmetic, and can be interrupted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]
"""Warnings that drivers and compilers give on this or that device are no defects of ours."""

DEVICE = "cuda"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[Any], dict[str, Any]]]:
    """``run(section__key=value)`` trains a tiny network; gives what it told on the way and its last checkpoint."""
    for library in ("torch", "lightning_fabric", "safetensors"):
        pytest.importorskip(library)
    from safetensors.torch import load_file, save

    from srgan.training import TrainConfig
    from srgan.training import train as begin

    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        coarse.resize((192, 144), Image.Resampling.BICUBIC).save(tmp_path / "pictures" / f"{number}.png")
    monkeypatch.setattr(
        "srgan.networks.export.export_forms",
        lambda network, info: {
            "weights.safetensors": save({k: v.contiguous() for k, v in network.state_dict().items()})
        },
    )

    def train(*, stop: int = 0, **changes: Any) -> tuple[list[Any], dict[str, Any]]:
        values: dict[str, Any] = {
            "steps": 100,
            "network": {"name": "fast", "scale": 4, "options": {"width": 16, "blocks": 1}},
            "data": {"folders": [tmp_path / "pictures"], "patch": 8, "batch": 8, "tile": 64},
            "optimiser": {"kind": "muon", "warmup": 10},
            "hardware": {"device": DEVICE, "precision": "fp32"},
            "output": {"runs": tmp_path / "runs", "name": "tiny", "tensorboard": False, "checkpoint_every": 50},
        }
        for path, value in changes.items():
            section, _, key = path.rpartition("__")
            (values[section] if section else values)[key] = value
        heard: list[Any] = []

        def listen(status: Any) -> None:
            heard.append(status)
            if stop and status.done >= stop:
                raise InterruptedError

        with contextlib.suppress(InterruptedError):
            begin(TrainConfig.model_validate(values), report=listen)
        folder = tmp_path / "runs" / values["output"]["name"] / "001" / "checkpoints"
        return heard, load_file(max(folder.glob("*.safetensors")))

    return train


def test_it_learns_what_it_learns_on_the_cpu(run: Callable[..., Any]) -> None:
    there, _ = run(output__name="there")
    here, _ = run(output__name="here", hardware__device="cpu")

    assert [status.loss for status in there[1:]] == pytest.approx([status.loss for status in here[1:]], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_it_learns_in_16_bits(run: Callable[..., Any], precision: str, compile: bool) -> None:
    heard, saved = run(hardware__precision=precision, hardware__compile=compile)

    assert heard[-1].loss < heard[1].loss
    assert str(saved["networks/generator/stem.weight"].dtype) == "torch.float32"


def test_fp16_finds_a_scale_and_keeps_it(run: Callable[..., Any]) -> None:
    _, saved = run(hardware__precision="fp16")

    assert saved["loss_scales/generator"][0] >= 1.0
    assert saved["optimisers/generator/0/0/step"] >= 90


def test_it_goes_on_after_an_interruption(run: Callable[..., Any]) -> None:
    straight, _ = run(output__name="straight")
    run(output__name="broken", stop=60)
    heard, _ = run(output__name="broken")

    assert [status.done for status in heard] == [50, 60, 80, 100]
    assert heard[-1].loss == pytest.approx(straight[-1].loss, rel=0.05)


def test_bad_steps_are_left_out_on_the_device(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from srgan.training import losses

    calls = 0

    def sometimes_bad(output: Any, target: Any) -> Any:
        nonlocal calls
        calls += 1
        return torch.nn.functional.l1_loss(output, target) * (float("nan") if calls % 10 == 0 else 1.0)

    monkeypatch.setitem(losses.PIXEL_LOSSES, "l1", sometimes_bad)
    _, saved = run(network__name="srresnet", network__options={"width": 8, "blocks": 1})

    assert all(value.isfinite().all() for value in saved.values() if value.is_floating_point())
    assert saved["optimisers/generator/0/0/step"] == 90
