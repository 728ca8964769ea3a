"""Who imports whom: the contracts in pyproject.toml, and what `import srgan` and `srgan --help` may load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "lightning_fabric", "safetensors", "tensorboard", "onnx", "onnxruntime", "pnnx", "ncnn"}
"""Libraries of one room each: only work that needs them may wait for them."""

SLOW_TO_START = {"numpy", "PIL", "pydantic", "yaml"}
"""Libraries of the base install that nothing needs before there is a picture or a setting to look at."""


def modules_after(program: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded once it ran ``program``."""
    report = "import sys; print('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_the_import_contracts_of_pyproject_hold(root: Path) -> None:
    # In a process of its own, because import-linter sets up logging and thereby silences loggers that exist already.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_import_srgan_loads_no_other_library() -> None:
    assert modules_after("import srgan") & (HEAVY | SLOW_TO_START) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["upscale", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    program = f"""
import sys
from srgan.cli import main
sys.argv = ["srgan", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert modules_after(program) & (HEAVY | {"numpy", "PIL"}) == set()
