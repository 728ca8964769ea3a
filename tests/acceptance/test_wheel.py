"""The wheel: what users install holds the package, its models and nothing else, and works without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

SHIPPED_BYTES = 30_000_000
BASE_ONLY = """
import sys
for name in ("torch", "lightning_fabric", "safetensors", "tensorboard", "onnx", "onnxruntime", "pnnx"):
    sys.modules[name] = None  # importing it fails, as where it is not installed
"""


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(unpacked: Path, program: str, where: Path) -> subprocess.CompletedProcess[str]:
    """Run ``program`` where only the unpacked wheel is srgan, and no library of an extra can be imported."""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    return subprocess.run(
        [sys.executable, "-c", BASE_ONLY + program],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_package_and_nothing_else(root: Path, unpacked: Path) -> None:
    source = root / "src" / "srgan"
    here = {str(p.relative_to(unpacked / "srgan")) for p in (unpacked / "srgan").rglob("*") if p.is_file()}
    there = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts}

    assert here == there
    assert "py.typed" in here
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")} == {"srgan"}


def test_the_shipped_models_are_in_the_wheel_and_small(unpacked: Path) -> None:
    shipped = unpacked / "srgan" / "models" / "shipped"
    bundles = {path.parent.name for path in shipped.glob("*/model.toml")}

    assert bundles, "no model is shipped"
    assert sum(path.stat().st_size for path in shipped.rglob("*") if path.is_file()) < SHIPPED_BYTES
    for name in bundles:
        files = {path.name for path in (shipped / name).iterdir()}
        networks = ("generator", "decoder", "encoder") if name == "critters" else ("model",)
        assert {f"{network}.ncnn.{kind}" for network in networks for kind in ("param", "bin")} <= files, name


def test_the_metadata_names_licence_command_and_extras(unpacked: Path) -> None:
    (info,) = unpacked.glob("*.dist-info")
    metadata = Parser().parsestr((info / "METADATA").read_text("utf-8"))

    assert metadata["License-Expression"] == "MIT"
    assert (info / "licenses" / "LICENSE").is_file()
    assert {"onnx", "train", "convert", "all"} <= set(metadata.get_all("Provides-Extra") or [])
    assert "srgan = srgan.__main__:main" in (info / "entry_points.txt").read_text("utf-8")


def test_the_unpacked_wheel_upscales_a_picture_without_any_extra(
    unpacked: Path, examples: Path, tmp_path: Path
) -> None:
    program = f"""
import srgan
assert srgan.__file__.startswith({str(unpacked)!r}), srgan.__file__
from PIL import Image
with Image.open({str(examples / "wolf.png")!r}) as small:
    large = srgan.upscale(small)
assert large.size == (4 * 146, 4 * 200), large.size
assert large.mode == "RGBA", large.mode
"""
    done = run_installed(unpacked, program, tmp_path)

    assert done.returncode == 0, done.stderr


def test_a_command_that_needs_an_extra_names_it(unpacked: Path, tmp_path: Path) -> None:
    config = tmp_path / "train.toml"
    config.write_text(f"[data]\nfolders = ['{tmp_path}']\n", "utf-8")
    program = f"""
from srgan.cli import main
sys.argv = ["srgan", "train", "--config", {str(config)!r}]
main()
"""
    done = run_installed(unpacked, program, tmp_path)

    assert done.returncode not in (0, 1), done.stderr
    assert "pip install 'srgan[train]'" in done.stderr
    assert "Traceback" not in done.stderr
