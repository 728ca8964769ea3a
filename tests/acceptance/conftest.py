"""Running the installed command in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="session")
def command() -> str:
    """The `srgan` command that belongs to this Python."""
    found = shutil.which("srgan", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("srgan is not installed beside this Python")
    return found


@pytest.fixture
def srgan(command: str, tmp_path: Path) -> Run:
    """Runs ``srgan`` with arguments, in an empty folder; stdout and stderr come back as bytes."""

    def run(
        *arguments: object, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [command, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small colourful PNG, 12 wide and 8 high."""
    path = tmp_path / "small.png"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path
