"""What a file hides under transparent pixels is not learnt: it is replaced as before a picture is enlarged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.imaging import from_uint8, to_uint8  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.picture_settings import DataSection  # noqa: E402
from srgan.training.pictures import read_rgb  # noqa: E402
from srgan.upscaler.alpha import extend_colour  # noqa: E402


def opened(folder: Path, **changes: Any) -> TileStore:
    """A store that is filled, and needs no threads any more."""
    section = DataSection.model_validate({"folders": [folder], "patch": 8, "batch": 4, "tile": 64, **changes})
    store = TileStore(section, scale=4, seed=1, device=torch.device("cpu"))
    store.fill()
    store.close()
    return store


def with_hole(folder: Path, name: str, hidden: tuple[int, int, int], channels: int = 4) -> None:
    """A picture of one green, whose right half is transparent and of another colour."""
    pixels = np.full((64, 96, channels), 255, np.uint8)
    pixels[..., :3] = (40, 160, 80)
    pixels[:, 48:] = (*hidden, 0)[:channels]
    Image.fromarray(pixels).save(folder / name)


@pytest.mark.parametrize("kind", ["bicubic", "second-order"])
def test_hidden_colours_are_not_learnt(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As it is enlarged, so it is learnt: the one colour that is visible goes on."""
    with_hole(tmp_path, "a.png", (255, 0, 255))
    wear = {"kind": kind} if kind == "bicubic" else {"kind": kind, "clean": 1.0}
    store = opened(tmp_path, batch=64, degradation=wear)
    for side in store.batch():
        assert side.mul(255).round().permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0).tolist() == [[40, 160, 80]]
    (message,) = caplog.messages
    assert message.startswith("1 of 1 training pictures are transparent in parts, such as ")
    assert "a.png" in message


def test_few_pictures_with_hidden_colours_are_no_warning(
    make_pictures: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures(*[(40, 40)] * 12)
    with_hole(folder, "hole.png", (0, 0, 0))
    opaque = np.full((40, 40, 4), 255, np.uint8)
    Image.fromarray(opaque).save(folder / "opaque.png")
    caplog.set_level(logging.INFO, "srgan")
    opened(folder)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("1 of 14 training pictures")


def test_pictures_of_which_nothing_is_visible_are_left_out(
    make_pictures: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures((64, 64))
    Image.new("RGBA", (64, 64), (200, 10, 10, 0)).save(folder / "nothing.png")
    store = opened(folder)
    assert len(store._filled) == 1
    assert "nothing.png: nothing of it is visible" in caplog.text


def test_colours_continue_into_what_is_hidden_as_in_front_of_the_network(tmp_path: Path) -> None:
    """And so far that nothing of it stays. What is seen a little keeps its colour; so do gray pictures."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (40, 60, 4), np.uint8)
    pixels[..., 3] = np.where(random.random((40, 60)) < 0.9, 0, pixels[..., 3] | 1)
    pixels[10:30, 10:50, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    told: list[Path] = []
    read = read_rgb(tmp_path / "a.png", told.append)
    assert told == [tmp_path / "a.png"]
    seen = pixels[..., 3] > 0
    assert np.array_equal(read[seen], pixels[seen][:, :3])
    near = to_uint8(extend_colour(from_uint8(pixels), 3)[..., :3])
    reached = ~np.isclose(near, pixels[..., :3]).all(axis=-1) | seen
    assert 0.5 < reached.mean() < 0.9
    assert np.array_equal(read[reached], near[reached])
    other = pixels.copy()
    other[~seen, :3] = 255 - other[~seen, :3]
    Image.fromarray(other).save(tmp_path / "other.png")
    assert np.array_equal(read_rgb(tmp_path / "other.png"), read)

    gray = np.stack([pixels[..., 0], pixels[..., 3]], axis=-1)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    assert np.array_equal(read_rgb(tmp_path / "gray.png"), read[..., [0, 0, 0]])
    pixels[..., 3] = 1
    Image.fromarray(pixels).save(tmp_path / "faint.png")
    assert np.array_equal(read_rgb(tmp_path / "faint.png", told.append), pixels[..., :3])
    assert len(told) == 1
