"""The torch backend on a machine without torch. With torch: tests/integration/test_torch_session.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from srgan.errors import MissingDependency, UnsupportedModel
from srgan.models import ModelInfo, write_bundle
from srgan.runtime.pytorch import open_torch, survey

INFO = ModelInfo(name="tiny-x2", network="fast", scale=2, radius=4)


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


def test_names_the_extra_that_brings_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", INFO, {"weights.safetensors": b"x"})

    with pytest.raises(MissingDependency, match=r"torch is not installed.*srgan\[train\]"):
        open_torch(bundle, device="cpu", precision="auto", threads=0)
    with pytest.raises(MissingDependency):
        survey()


def test_a_missing_form_comes_first(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", INFO, {"model.onnx": b"x"})

    with pytest.raises(UnsupportedModel, match="tiny-x2 has no torch form"):
        open_torch(bundle, device="cpu", precision="auto", threads=0)
