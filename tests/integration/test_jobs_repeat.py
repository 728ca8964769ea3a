"""`srgan run` does from a command's JSON what the command does, byte for byte, whatever the kind of work."""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan import jobs
from srgan.models import Bundle

SRGAN = [sys.executable, "-m", "srgan"]

COMMANDS = {
    "upscale": "upscale in/a.png a.png --model fast --scale 2.5",
    "batch": "batch-process in out --model turbo --long-side 70 --format tiff --contact-sheet sheet.html",
    "evaluate": "evaluate turbo in --save-dir kept --save-inputs low --csv scores.csv --metrics consistency",
    "generate": "generate new --model linear --count 3 --seed 4 --first 2 --truncation 0.5",
    "encode": "encode in codes.npz --model linear",
    "reconstruct": "reconstruct in/b.png b.png --model linear",
    "train": "train --set data.folders=[in] --set data.tile=64 --set data.patch=8 --set data.batch=2 --set steps=3 "
    "--set network.name=fast --set 'network.options={width: 16, blocks: 1}' --set hardware.device=cpu "
    "--set hardware.threads=1 --set hardware.precision=fp32 --set output.tensorboard=false --output model",
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(5)
    for name in ("a", "b"):
        Image.fromarray(random.integers(0, 256, (72, 96, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def srgan(folder: Path, *arguments: str) -> bytes:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SRGAN_")}
    return subprocess.run([*SRGAN, *arguments], cwd=folder, env=environment, check=True, capture_output=True).stdout


def made(folder: Path) -> dict[str, object]:
    """What lies in ``folder``, but for the input, times and journals."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name.startswith(("in/", "out/.srgan/", "runs/")) or name in ("job.json", "sheet.html"):
            continue
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                found[name] = [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]
        elif path.name == "model.toml":
            found[name] = [line for line in path.read_text().splitlines() if "trained_on" not in line]
        else:
            found[name] = path.read_bytes()
    return found


def test_every_kind_is_repeated_here() -> None:
    assert set(COMMANDS) == set(jobs.KINDS.builtin)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_job_repeats_the_command(
    kind: str, pictures: Path, tmp_path: Path, make_latent: Callable[..., Bundle]
) -> None:
    if kind == "train":
        pytest.importorskip("torch")
    command = shlex.split(COMMANDS[kind])
    by_command, by_job = tmp_path / "command", tmp_path / "job"
    for folder in (by_command, by_job):
        folder.mkdir()
        (folder / "in").symlink_to(pictures)
        if kind in ("generate", "encode", "reconstruct"):
            make_latent(folder / "linear")
    (by_job / "job.json").write_bytes(srgan(by_command, command[0], "--print-job", *command[1:]))

    srgan(by_command, *command)
    srgan(by_job, "run", "job.json")

    results = made(by_command)
    assert results
    assert made(by_job) == results
