"""`scripts/fit_niqe.py`: the shipped model can be made again, by the same steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan.imaging import from_uint8, read_picture, resize, to_uint8
from srgan.metrics.naturalness import fit


def pictures(folder: Path, count: int) -> None:
    """Noise under a blur that differs from picture to picture, and one that is too small to count."""
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (400, 600, 3), np.uint8)
        small = Image.fromarray(noise).resize((300 + number, 200))
        small.resize((600, 400), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    Image.new("RGB", (383, 600)).save(folder / "small.png")
    (folder / "photos.json").write_text("{}")


def run(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts" / "fit_niqe.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_script_fits_to_the_photographs_at_half_their_size(root: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 8)
    done = run(root, tmp_path / "photos", "--to", tmp_path / "model.npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".png") == 8, "the small one is left out"
    paths = sorted((tmp_path / "photos").glob("0*.png"))
    expected = fit(from_uint8(to_uint8(resize(read_picture(path).colour, 200, 300))) for path in paths)
    with np.load(tmp_path / "model.npz") as model:
        assert np.allclose(model["mean"], expected.mean)
        assert np.allclose(model["covariance"], expected.covariance)


def test_too_few_photographs_are_said_to_be(root: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 2)
    done = run(root, tmp_path / "photos", "--to", tmp_path / "model.npz")
    assert done.returncode != 0
    assert "are too few for 36 features" in done.stderr
    assert not (tmp_path / "model.npz").exists()


@pytest.mark.parametrize("name", ["mean", "covariance"])
def test_the_shipped_model_holds_numbers_and_nothing_else(root: Path, name: str) -> None:
    path = root / "src" / "srgan" / "metrics" / "weights" / "niqe_photos.npz"
    assert path.stat().st_size < 20_000
    with np.load(path, allow_pickle=False) as model:
        assert set(model) == {"mean", "covariance"}
        assert np.isfinite(model[name]).all()
