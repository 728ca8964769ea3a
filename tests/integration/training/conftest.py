"""Small pictures, the smallest configuration, and a quick end in the place of the real export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srgan.training.config import TrainConfig


def textured(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Blobs of colour with a fine texture: something to learn, and no two places alike."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    rows, columns = np.mgrid[:height, :width]
    waves = 30 * np.sin(rows * 0.9 + seed)[..., None] * np.cos(columns * 0.7)[..., None]
    noise = random.normal(0, 6, (height, width, 3))
    return (smooth + waves + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three pictures of 144 x 192 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(3):
        Image.fromarray(textured(144, 192, seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., Path]:
    """``make_pictures((height, width), ...)``: a folder with a picture of each size."""

    def make(*sizes: tuple[int, int], name: str = "made") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number, (height, width) in enumerate(sizes):
            Image.fromarray(textured(height, width, number)).save(folder / f"{number:03d}.png")
        return folder

    return make


@pytest.fixture
def make_config(tmp_path: Path, pictures: Path) -> Callable[..., TrainConfig]:
    """A tiny run on one CPU thread, with ``section__key=value`` changed."""

    def make(**changes: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "steps": 40,
            "network": {"name": "fast", "scale": 4, "options": {"width": 16, "blocks": 1}},
            "data": {"folders": [pictures], "patch": 8, "batch": 4, "tile": 64},
            "optimiser": {"warmup": 10, "learning_rate": 2e-3},
            "hardware": {"device": "cpu", "precision": "fp32", "threads": 1},
            "output": {
                "runs": tmp_path / "runs",
                "name": "tiny",
                "tensorboard": False,
                "samples": 0,
                "checkpoint_every": 1000,
            },
        }
        for path, value in changes.items():
            section, _, key = path.rpartition("__")
            (values.setdefault(section, {}) if section else values)[key] = value
        return TrainConfig.model_validate(values)

    return make


@pytest.fixture
def quick_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the trainable form, which takes no converter: the real export has tests of its own."""
    pytest.importorskip("torch", reason="training needs torch")
    from safetensors.torch import save

    def export_forms(network: Any, info: Any) -> dict[str, bytes]:
        return {"weights.safetensors": save({k: v.contiguous() for k, v in network.state_dict().items()})}

    monkeypatch.setattr("srgan.networks.export.export_forms", export_forms)


@pytest.fixture(autouse=True)
def _quick_pickles(pickles_read_here: None) -> None:
    """For every test of training."""


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    torch = pytest.importorskip("torch", reason="training needs torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
