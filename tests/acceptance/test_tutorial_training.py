"""The last part of the tutorial, command by command as it stands there, with a few steps on small pictures."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.benchmark import sample_picture

TITLE = "## Sharp to the eye"
SMALL = "--set steps=4 --set validation.every=2 --set data.batch=1 --set data.tile=128 --set hardware.threads=1 -v"


def commands(root: Path) -> list[list[str]]:
    """The `srgan` commands of that part, in their order, without the word itself."""
    part = (root / "docs" / "tutorial.md").read_text("utf-8").partition(TITLE)[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("srgan ")]


def save(path: Path, side: int, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = sample_picture(side, side, seed=seed).pixels
    Image.fromarray((pixels * 255).round().astype(np.uint8)).save(path)


def test_a_perceptual_model_takes_two_commands(root: Path) -> None:
    assert [words[:2] for words in commands(root)[:3]] == [
        ["config", "init"], ["train", "--config"], ["upscale", "examples/coffee.png"]
    ]  # fmt: skip


@pytest.mark.slow
def test_the_tutorial_makes_a_perceptual_model_of_a_folder(
    root: Path, srgan: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    for seed in range(2):
        save(tmp_path / "photos" / f"{seed}.png", 160, seed)
    save(tmp_path / "judge" / "0.png", 128, 9)
    save(tmp_path / "examples" / "coffee.png", 24, 5)
    (tmp_path / "out").mkdir()  # the first part of the tutorial has made it

    for words in commands(root):
        if words[0] == "train":
            words += SMALL.split()
        if words[0] == "evaluate" and find_spec("stlpips_pytorch") is None:
            words = [word.replace(",stlpips-alex", "") for word in words]
        done = srgan(*words)
        assert done.returncode == 0, (words, done.stderr.decode()[-2000:])
        if words[0] == "train":
            assert "step 2: psnr" in done.stderr.decode()
            assert "lpips-unweighted" in done.stderr.decode()

    figures = done.stdout.decode()
    assert "my-photos" in figures
    assert "LPIPS-UNWEIGHTED" in figures
    assert "biased in its favour" in done.stderr.decode()
    one, other = (Image.open(tmp_path / "out" / f"coffee_{name}.png") for name in ("sharp", "true"))
    assert one.size == other.size == (96, 96)
    assert np.any(np.asarray(one) != np.asarray(other))
    info = tomllib.loads((tmp_path / "runs" / "my-photos" / "001" / "bundle" / "model.toml").read_text())
    assert (info["provenance"]["recipe"], info["provenance"]["parent"]) == ("adversarial", "fast-x4")
    assert info["provenance"]["steps"] == 4
