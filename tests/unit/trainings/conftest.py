"""A queue of two trainings that nobody carries out, and bundles that nobody runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripts.trainings.entries import QueueFile
from scripts.trainings.place import Place

from srgan.models import Bundle, ModelInfo, Provenance, Quality, write_bundle

TRAINING = """
steps = 1000
[network]
name = "fast"
scale = 4
[data]
folders = ["datasets/photos", "elsewhere"]
[validation]
folder = "datasets/Set5"
every = 100
[output]
name = "from-the-file"
"""
QUEUE = """# What is trained.

[folders]
"datasets/photos" = "train/photos"
"datasets/Set5" = "eval/Set5"

[[entry]]
name = "first"
file = "small.toml"
becomes = "first-x4"   # with a remark

# About the second.
[[entry]]
name = "second"
file = "small.toml"
becomes = "second-x4"
init_from = "fast-x4"
steps = 500
sets = [
  "optimiser.warmup=7",
]
"""


@pytest.fixture
def queue(tmp_path: Path) -> QueueFile:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "small.toml").write_text(TRAINING)
    (folder / "queue.toml").write_text(QUEUE)
    return QueueFile(folder / "queue.toml")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "place")


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """``make_bundle(folder, name, macs=..., Set5=30.0)``: with these figures, and a file of ``size`` bytes."""

    def make(
        folder: Path,
        name: str,
        *,
        steps: int = 10,
        macs: int = 1000,
        size: int = 8,
        kind: str = "pretrain",
        **psnr: Any,
    ) -> Bundle:
        info = ModelInfo(
            name=name,
            network="fast",
            scale=4,
            radius=7,
            macs_per_pixel=macs,
            provenance=Provenance(steps=steps, recipe=kind),
            quality=tuple(Quality(dataset=key, pictures=1, psnr=value, ssim=0.8) for key, value in psnr.items()),
        )
        return write_bundle(folder, info, {"weights.safetensors": bytes(size)})

    return make
