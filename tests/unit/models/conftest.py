"""Small bundles that hold no real weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.models import Bundle, ModelInfo, write_bundle

FILES = {"model.onnx": b"onnx" * 100, "weights.safetensors": bytes(range(256))}


@pytest.fixture
def files() -> dict[str, bytes]:
    """What `make_bundle` puts beside `model.toml`."""
    return dict(FILES)


@pytest.fixture
def make_info() -> Callable[..., ModelInfo]:
    def make(name: str = "tiny-x4", **changes: Any) -> ModelInfo:
        return ModelInfo(**{"name": name, "family": "tiny", "network": "fast", "scale": 4, "radius": 3, **changes})

    return make


@pytest.fixture
def make_bundle(make_info: Callable[..., ModelInfo]) -> Callable[..., Bundle]:
    """``make_bundle(path, name, **fields of the info)``."""

    def make(path: Path, name: str = "tiny-x4", **changes: Any) -> Bundle:
        return write_bundle(path, make_info(name, **changes), FILES)

    return make
