"""Running a command line in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan.models import Bundle, ModelInfo, Provenance, Quality, write_bundle


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def srgan(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs ``srgan`` with the given arguments."""
    from srgan import cli

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err or "-vv" in arguments, err
        return Done(code, out, err)

    return run


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """The command line sets up the package's log; other tests get it as it was."""
    log = logging.getLogger("srgan")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = before[0], before[2]
    log.setLevel(before[1])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small colourful PNG, 12 wide and 8 high."""
    path = tmp_path / "small.png"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Bundle]:
    """Two models in $SRGAN_MODELS, for naming, not for running."""
    folder = tmp_path / "models"
    monkeypatch.setenv("SRGAN_MODELS", str(folder))
    made = {}
    for scale in (2, 4):
        info = ModelInfo(
            name=f"mine-x{scale}",
            family="mine",
            description="For the tests.",
            network="fast",
            network_options={"width": 16},
            scale=scale,
            radius=7,
            parameters=12345,
            macs_per_pixel=6789,
            licence="MIT",
            provenance=Provenance(corpus="noise", steps=3, loss_features=("VGG19", "AlexNet") if scale == 4 else ()),
            quality=(Quality(dataset="Set5", pictures=5, psnr=31.234, ssim=0.87654, baseline_psnr=28.4),),
        )
        made[info.name] = write_bundle(folder / info.name, info, {"model.onnx": b"x" * 1500})
    return made
