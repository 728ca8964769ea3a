"""Which Vulkan device ncnn takes, and how it computes there: on graphics cards that are only pretended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from srgan.errors import DeviceUnavailable, InvalidConfig
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.runtime import ncnn as backend
from srgan.runtime.ncnn import open_ncnn, survey

GRAPH = """7767517
3 3
Input in0 0 1 in0
Convolution spread 1 1 in0 wide 0=12 1=1 4=0 5=1 6=36
PixelShuffle shuffle 1 1 wide out0 0=2 1=0
"""
"""One 1x1 convolution without padding, and a shuffle: twice as large."""


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Bundle:
    info = ModelInfo(name="twice-x2", network="none", scale=2, radius=0)
    data = b"\0\0\0\0" + np.ones(36 + 12, np.float32).tobytes()
    return write_bundle(tmp_path / "bundle", info, {"model.ncnn.param": GRAPH.encode(), "model.ncnn.bin": data})


class FakeGpu:
    def __init__(self, name: str, kind: int) -> None:
        self.name, self.kind = name, kind

    def device_name(self) -> str:
        return self.name

    def type(self) -> int:
        return self.kind


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[FakeGpu]:
    """A list to put the machine's graphics cards into; the last one is ncnn's favourite."""
    import ncnn

    found: list[FakeGpu] = []
    monkeypatch.setattr(ncnn, "get_gpu_count", lambda: len(found))
    monkeypatch.setattr(ncnn, "get_gpu_info", lambda index: found[index])
    monkeypatch.setattr(ncnn, "get_default_gpu_index", lambda: len(found) - 1)
    return found


DISCRETE, INTEGRATED, SOFTWARE = 0, 1, 3


def test_vulkan_means_the_best_real_gpu(gpus: list[FakeGpu]) -> None:
    gpus += [FakeGpu("small", INTEGRATED), FakeGpu("large", DISCRETE)]
    assert backend._vulkan_device("vulkan").name == "large"

    gpus.append(FakeGpu("llvmpipe", SOFTWARE))
    found = backend._vulkan_device("vulkan")
    assert (found.name, found.device, found.software) == ("small", "vulkan:0", False)


def test_a_software_renderer_is_used_when_asked_for_by_its_number_only(gpus: list[FakeGpu]) -> None:
    gpus.append(FakeGpu("llvmpipe", SOFTWARE))

    with pytest.raises(DeviceUnavailable, match=r"only a software renderer.*vulkan:0 \(llvmpipe\)"):
        backend._vulkan_device("vulkan")
    assert backend._vulkan_device("vulkan:0").software


def test_a_vulkan_device_that_is_not_there(gpus: list[FakeGpu], tiny_bundle: Bundle) -> None:
    with pytest.raises(DeviceUnavailable, match="no Vulkan device"):
        open_ncnn(tiny_bundle, device="vulkan", precision="auto", threads=1)
    gpus.append(FakeGpu("large", DISCRETE))
    with pytest.raises(DeviceUnavailable, match=r"no vulkan:3; there are: vulkan:0 \(large\)"):
        open_ncnn(tiny_bundle, device="vulkan:3", precision="auto", threads=1)


def test_vulkan_has_no_bf16(gpus: list[FakeGpu], tiny_bundle: Bundle) -> None:
    gpus.append(FakeGpu("large", DISCRETE))

    with pytest.raises(InvalidConfig, match="fp32 and fp16"):
        open_ncnn(tiny_bundle, device="vulkan", precision="bf16", threads=1)


@pytest.mark.parametrize(
    ("precision", "half", "told"), [("auto", True, "fp16"), ("fp16", True, "fp16"), ("fp32", False, "fp32")]
)
def test_vulkan_stores_in_16_bits_and_never_adds_in_16(precision: str, half: bool, told: str) -> None:
    import ncnn

    options = ncnn.Option()

    assert backend._vulkan_precision(options, precision) == told
    assert (options.use_fp16_storage, options.use_fp16_packed) == (half, half)
    assert (options.use_vulkan_compute, options.use_fp16_arithmetic, options.use_bf16_storage) == (True, False, False)


def test_the_survey_without_a_graphics_driver(gpus: list[FakeGpu]) -> None:
    found = survey()

    assert [device.device for device in found.devices] == ["cpu"]
    assert "libvulkan1" in found.unavailable["vulkan"]


def test_without_any_vulkan_driver_everything_but_vulkan_works(tiny_bundle: Bundle) -> None:
    code = (
        "import sys, srgan.runtime as r, srgan.runtime.ncnn, numpy as np\n"
        "print([device.device for device in r.ncnn.survey().devices])\n"
        "print(r.open_session(sys.argv[1]).run(np.zeros((1, 3, 2, 2), 'f4')).shape)"
    )
    environment = {**os.environ, "VK_ICD_FILENAMES": "/none.json", "VK_DRIVER_FILES": "/none.json"}
    command = [sys.executable, "-c", code, str(tiny_bundle.path)]

    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)

    assert done.stdout.splitlines() == ["['cpu']", "(1, 3, 4, 4)"]
    assert done.stderr == ""
