"""Choosing an execution provider and translating its troubles, on an engine that only plays ONNX Runtime.

The real engine runs in tests/integration/test_backends_agree.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import (
    CorruptModel,
    DeviceUnavailable,
    InvalidConfig,
    MissingDependency,
    OutOfMemory,
    SrganError,
    UnsupportedModel,
    UpscaleFailed,
)
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.runtime import onnx as backend
from srgan.runtime.onnx import OnnxSession, open_onnx, survey

INFO = ModelInfo(name="tiny-x2", network="none", scale=2, radius=4, multiple=2)


class FakeSession:
    """Nearest-neighbour enlargement, on the providers that are said to start."""

    def __init__(self, runtime: FakeRuntime, model: bytes, options: Any, providers: list[tuple[str, dict[str, str]]]):
        runtime.made.append(SimpleNamespace(model=model, options=options, providers=providers))
        if runtime.refusal:
            raise runtime.refusal
        wanted = [name for name, _ in providers if name in runtime.starting]
        self.providers = [*wanted, "CPUExecutionProvider"]
        self.runtime = runtime
        self.falls_back = True

    def disable_fallback(self) -> None:
        self.falls_back = False

    def get_providers(self) -> list[str]:
        return self.providers

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.runtime.inputs]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="output")]

    def run(self, outputs: list[str], feed: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        assert (outputs, list(feed)) == (["output"], ["input"])
        assert not self.falls_back
        if self.runtime.trouble:
            raise self.runtime.trouble
        batch = feed["input"]
        assert batch.flags.c_contiguous
        return [batch.repeat(2, axis=2).repeat(2, axis=3)]


class FakeOptions:
    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class FakeRuntime:
    """Stands for the module onnxruntime."""

    SessionOptions = FakeOptions

    def __init__(self) -> None:
        self.available = ["CPUExecutionProvider"]
        self.starting = {"CPUExecutionProvider"}
        self.inputs = ["input"]
        self.refusal: Exception | None = None
        self.trouble: Exception | None = None
        self.made: list[Any] = []

    def get_available_providers(self) -> list[str]:
        return self.available

    def InferenceSession(self, model: bytes, options: FakeOptions, providers: Any) -> FakeSession:  # noqa: N802
        return FakeSession(self, model, options, providers)

    def install(self, name: str, *, starts: bool = True) -> None:
        self.available = [name, *self.available]
        if starts:
            self.starting.add(name)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> FakeRuntime:
    runtime = FakeRuntime()
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)  # type: ignore[arg-type]
    backend._starts.cache_clear()
    return runtime


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle", INFO, {"model.onnx": b"graph"})


Open = Callable[..., OnnxSession]


@pytest.fixture
def opened(runtime: FakeRuntime, bundle: Bundle) -> Open:
    def opened(device: str = "cpu", precision: str = "auto", threads: int = 3) -> OnnxSession:
        return open_onnx(bundle, device=device, precision=precision, threads=threads)

    return opened


def test_runs_the_graph_of_the_bundle(runtime: FakeRuntime, opened: Open) -> None:
    batch = np.random.default_rng(0).random((2, 3, 4, 6), dtype=np.float32)
    session = opened()

    np.testing.assert_array_equal(session.run(batch[:, :, ::2]), batch[:, :, ::2].repeat(2, axis=2).repeat(2, axis=3))
    assert runtime.made[0].model == b"graph"
    assert (session.info.backend, session.info.device, session.info.precision) == ("onnx", "cpu", "fp32")
    assert (session.info.scale, session.info.radius, session.info.multiple) == (2, 4, 2)


def test_threads_are_as_asked_and_sleep_after_a_run(runtime: FakeRuntime, opened: Open) -> None:
    opened()
    options = runtime.made[0].options

    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.entries == {"session.force_spinning_stop": "1"}


def test_no_threads_means_those_of_the_machine(
    runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "default_threads", lambda: 17)
    opened(threads=0)

    assert runtime.made[0].options.intra_op_num_threads == 17


@pytest.mark.parametrize(
    ("device", "precision", "provider", "options", "arithmetic"),
    [
        ("cuda", "auto", "CUDAExecutionProvider", {"use_tf32": "1"}, "tf32"),
        ("cuda:1", "fp32", "CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"}, "fp32"),
        ("tensorrt", "fp16", "TensorrtExecutionProvider", {"trt_fp16_enable": "1"}, "fp16"),
        ("tensorrt:2", "auto", "TensorrtExecutionProvider", {"device_id": "2"}, "fp32"),
        ("rocm", "auto", "ROCMExecutionProvider", {}, "fp32"),
        ("migraphx", "auto", "MIGraphXExecutionProvider", {}, "fp32"),
        ("directml:1", "auto", "DmlExecutionProvider", {"device_id": "1"}, "fp32"),
        ("coreml", "auto", "CoreMLExecutionProvider", {}, "fp32"),
        ("openvino", "auto", "OpenVINOExecutionProvider", {"device_type": "CPU"}, "fp32"),
        ("openvino:gpu", "auto", "OpenVINOExecutionProvider", {"device_type": "GPU"}, "fp32"),
    ],
)
def test_each_device_has_its_provider(
    runtime: FakeRuntime,
    opened: Open,
    device: str,
    precision: str,
    provider: str,
    options: dict[str, str],
    arithmetic: str,
) -> None:
    runtime.install(provider)

    info = opened(device, precision).info

    assert runtime.made[0].providers == [(provider, options)]
    assert (info.device, info.precision) == (device, arithmetic)


@pytest.mark.parametrize(
    ("device", "precision"), [("cpu", "fp16"), ("cpu", "bf16"), ("cuda", "fp16"), ("tensorrt", "bf16")]
)
def test_a_precision_that_it_does_not_have(runtime: FakeRuntime, opened: Open, device: str, precision: str) -> None:
    runtime.install("CUDAExecutionProvider")
    runtime.install("TensorrtExecutionProvider")

    with pytest.raises(InvalidConfig, match=f"fp32 on {device}, not {precision}"):
        opened(device, precision)


def test_a_provider_that_is_not_installed(opened: Open) -> None:
    with pytest.raises(DeviceUnavailable, match=r"lacks CUDAExecutionProvider \(install onnxruntime-gpu"):
        opened("cuda")
    with pytest.raises(DeviceUnavailable, match=r"lacks CoreMLExecutionProvider$"):
        opened("coreml")


def test_a_provider_that_does_not_start_is_not_replaced_by_the_cpu(runtime: FakeRuntime, opened: Open) -> None:
    runtime.install("CUDAExecutionProvider", starts=False)

    with pytest.raises(DeviceUnavailable, match="does not start on this machine"):
        opened("cuda")


def test_an_unknown_device(opened: Open) -> None:
    with pytest.raises(InvalidConfig, match="has no device 'vulkan'"):
        opened("vulkan")


def test_a_missing_library(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingDependency, match=r"pip install 'srgan\[onnx\]'"):
        open_onnx(bundle, device="cpu", precision="auto", threads=0)
    with pytest.raises(MissingDependency):
        survey()


def test_a_bundle_without_the_form(runtime: FakeRuntime, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "other", INFO, {"weights.safetensors": b"x"})

    with pytest.raises(UnsupportedModel, match="tiny-x2 has no ONNX form"):
        open_onnx(other, device="cpu", precision="auto", threads=0)


@pytest.mark.parametrize(
    ("device", "refusal", "error", "message"),
    [
        ("cpu", RuntimeError("Protobuf parsing failed"), CorruptModel, "bundle: ONNX Runtime cannot load model.onnx"),
        ("cuda", RuntimeError("CUDA failure 35"), DeviceUnavailable, "CUDA failure 35"),
        ("cpu", MemoryError(), OutOfMemory, "not enough memory to load"),
    ],
)
def test_a_graph_that_does_not_load(
    runtime: FakeRuntime, opened: Open, device: str, refusal: Exception, error: type[SrganError], message: str
) -> None:
    runtime.install("CUDAExecutionProvider")
    runtime.refusal = refusal

    with pytest.raises(error, match=message):
        opened(device)


@pytest.mark.parametrize("names", [[], ["x"], ["input", "sigma"]])
def test_a_graph_with_other_inputs(runtime: FakeRuntime, opened: Open, names: list[str]) -> None:
    runtime.inputs = names

    with pytest.raises(CorruptModel, match="must have one input"):
        opened()


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (MemoryError(), OutOfMemory),
        (RuntimeError("Failed to allocate memory for requested buffer of size 3221225472"), OutOfMemory),
        (RuntimeError("CUDA failure 2: out of memory ; GPU=0"), OutOfMemory),
        (RuntimeError("std::bad_alloc"), OutOfMemory),
        (RuntimeError("Non-zero status code returned while running Conv node"), UpscaleFailed),
    ],
)
def test_troubles_of_a_run(runtime: FakeRuntime, opened: Open, trouble: Exception, error: type[SrganError]) -> None:
    session = opened()
    runtime.trouble = trouble

    with pytest.raises(error, match="tiny-x2"):
        session.run(np.zeros((1, 3, 4, 4), np.float32))
    runtime.trouble = None
    assert session.run(np.zeros((1, 3, 4, 4), np.float32)).shape == (1, 3, 8, 8)


def test_the_survey_lists_what_starts(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.install("CoreMLExecutionProvider")
    runtime.install("TensorrtExecutionProvider", starts=False)
    monkeypatch.setattr(backend, "may_have_cuda", lambda: True)

    found = survey()

    assert [device.device for device in found.devices] == ["cpu", "coreml"]
    assert set(found.unavailable) == {"cuda", "tensorrt"}
    assert "onnxruntime-gpu" in found.unavailable["cuda"]
    assert "does not start" in found.unavailable["tensorrt"]


def test_the_survey_says_nothing_of_cuda_where_there_is_no_such_card(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "may_have_cuda", lambda: False)

    assert survey().unavailable == {}


def test_the_model_for_probing_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    backend._starts.cache_clear()

    assert backend._starts("CPUExecutionProvider")
    assert not backend._starts("NoSuchExecutionProvider")
