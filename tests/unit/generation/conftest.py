"""Models whose pictures are known by arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from srgan.models import Bundle, ModelInfo, write_bundle

REPEAT = """7767517
3 3
Input in0 0 1 in0
Pooling same 1 1 in0 inner 0=1 1=1 2=1
Interp repeat 1 1 inner out0 0=1 1=8.000000e+00 2=8.000000e+00
"""


@pytest.fixture
def linear(make_latent: Callable[..., Bundle], tmp_path: Path) -> Bundle:
    """A latent model, with the upscaling model that it names beside it: each pixel 8 x 8 times."""
    info = ModelInfo(name="repeat-x8", network="none", scale=8, radius=0)
    write_bundle(tmp_path / "models" / "repeat-x8", info, {"model.ncnn.param": REPEAT.encode(), "model.ncnn.bin": b""})
    return make_latent(tmp_path / "models" / "linear", latent={"refiner": "repeat-x8"})
