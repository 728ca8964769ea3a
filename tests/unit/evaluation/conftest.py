"""Pictures to score on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.imaging import Picture, from_uint8, to_uint8, write_picture

Draw = Callable[..., NDArray[np.float32]]


@pytest.fixture
def draw() -> Draw:
    """``draw(height, width, channels=3, seed=0)``: a picture with edges, in values of 8 bit."""

    def scene(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.float32]:
        y, x, c = np.mgrid[:height, :width, :channels]
        waves = np.sin(x / (4 + seed) + c) + np.sign(np.cos(y / (5 + seed))) + np.sin((x + y) / 9)
        return from_uint8(to_uint8((0.5 + waves / 6).astype(np.float32)))

    return scene


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    """Three pictures and a text."""
    path = tmp_path / "Trio"
    path.mkdir()
    for i, size in enumerate([(50, 47), (40, 64), (64, 40)]):
        write_picture(Picture(pixels=draw(*size, seed=i)), path / f"{'cab'[i]}.png")
    (path / "notes.txt").write_text("not meant to be scored")
    return path
