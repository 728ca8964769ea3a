"""Sessions on ONNX Runtime: the portable engine, with whatever execution provider is installed."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan.errors import (
    CorruptModel,
    DeviceUnavailable,
    InvalidConfig,
    MissingDependency,
    OutOfMemory,
    UnsupportedModel,
    UpscaleFailed,
)
from srgan.hardware import cpu_name, default_threads, total_memory
from srgan.models.bundle import ONNX, Bundle
from srgan.runtime.devices import Device, Survey, may_have_cuda
from srgan.runtime.forks import ADVICE, abandon, exit_without_libraries, tell_of_fork
from srgan.runtime.onnxgraph import keep_outputs
from srgan.runtime.session import SessionInfo, closed, describe

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
"""Kind of device with the execution provider that reaches it."""

WHEELS = {"cuda": "onnxruntime-gpu", "tensorrt": "onnxruntime-gpu", "directml": "onnxruntime-directml"}
WHEELS["openvino"] = "onnxruntime-openvino"
"""The distribution that brings a provider, where it is not onnxruntime itself."""

_PLAIN = ("output",)
"""The output of a graph with one."""

_OUT_OF_MEMORY = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "cudaerrormemoryallocation")

_IDENTITY = base64.b64decode("CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEBE=")
"""The smallest ONNX model, y = x for one float, to see whether a provider really starts."""


def open_onnx(
    bundle: Bundle, *, device: str, precision: str, threads: int, outputs: tuple[str, ...] = ()
) -> OnnxSession:
    """A session for ``bundle``'s ONNX form on a kind of device in `PROVIDERS`, with ``:N`` for the N-th.

    The graph computes in fp32. On CUDA ``auto`` lets the tensor cores round factors to TF32; ``fp32`` does not.
    ``fp16`` is for TensorRT only, ``bf16`` for none.
    """
    if not bundle.has(ONNX):
        raise UnsupportedModel(f"{bundle.info.name} has no ONNX form ({bundle.file(ONNX)})")
    engine = _engine()
    kind, _, index = device.partition(":")
    provider = PROVIDERS.get(kind)
    if provider is None:
        raise InvalidConfig(f"The onnx backend has no device {device!r}. Choose one of: {', '.join(PROVIDERS)}")
    if provider not in engine.get_available_providers():
        raise DeviceUnavailable(_no_provider(kind))
    options, arithmetic = _provider_options(kind, index, precision)
    begin = partial(_begin, bundle, outputs, provider, options, threads or default_threads())
    session = begin()
    if provider not in session.get_providers():
        raise DeviceUnavailable(f"ONNX Runtime has the provider {provider}, but it does not start on this machine")
    made = {output.name for output in session.get_outputs()}
    if [i.name for i in session.get_inputs()] != ["input"] or made != set(outputs or _PLAIN):
        raise CorruptModel(f"{bundle.path}: {bundle.file(ONNX)} must have one input, `input`, and one output, `output`")
    info = describe(bundle.info, backend="onnx", device=device, precision=arithmetic, outputs=outputs)
    return OnnxSession(session, info, begin)


def _begin(bundle: Bundle, outputs: tuple[str, ...], provider: str, options: dict[str, str], threads: int) -> Any:
    return _start(_engine(), _model(bundle, outputs), provider, options, threads, str(bundle.path))


def _model(bundle: Bundle, outputs: tuple[str, ...]) -> bytes:
    """The graph with no more in it than ``outputs`` need; of a model with one output, as it is."""
    model = bundle.read(ONNX)
    if not outputs:
        return model
    try:
        return keep_outputs(model, outputs)
    except ValueError as error:
        raise CorruptModel(f"{bundle.path}: {bundle.file(ONNX)} is damaged: {error}") from error


class OnnxSession:
    """A loaded ONNX graph. May be used from several threads at a time.

    In a forked process it is loaded anew where it runs on the CPU; on other devices a run raises `DeviceUnavailable`.
    """

    def __init__(self, session: Any, info: SessionInfo, begin: Callable[[], Any]) -> None:
        """``begin`` makes another session like ``session``."""
        self.info = info
        self._session: Any | None = session
        self._begin = begin
        self._closed = False
        self._opening = threading.Lock()
        tell_of_fork(self)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Session.run`."""
        session = self._opened()
        array = np.ascontiguousarray(batch, np.float32)
        try:
            made = session.run(list(self.info.outputs or _PLAIN), {"input": array})
        except MemoryError as error:
            raise OutOfMemory(self._too_large(batch)) from error
        except Exception as error:  # ONNX Runtime's errors have no common class but this
            if any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
                raise OutOfMemory(self._too_large(batch)) from error
            raise UpscaleFailed(f"{self.info.model}: ONNX Runtime on {self.info.where} stopped: {error}") from error
        enlarged: NDArray[np.float32] = made[0] if len(made) == 1 else np.concatenate(made, axis=1)
        return enlarged

    def _too_large(self, batch: NDArray[np.float32]) -> str:
        count, _, height, width = batch.shape
        return f"{self.info.model}: not enough memory on {self.info.where} for {count} x {width} x {height} pixels"

    def _opened(self) -> Any:
        with self._opening:
            if self._closed:
                raise closed(self.info)
            if self._session is None:
                if self.info.device != "cpu":
                    raise DeviceUnavailable(f"{self.info.model}: {self.info.device} does not survive a fork; {ADVICE}")
                self._session = self._begin()
            return self._session

    def close(self) -> None:
        """See `Session.close`."""
        with self._opening:
            self._closed = True
            self._session = None  # a run that has begun holds it until its end

    def after_fork(self) -> None:
        """See `forks.Forked`."""
        abandon(self._session)
        self._session = None
        self._opening = threading.Lock()


class _Library:
    """ONNX Runtime as this process has it."""

    def after_fork(self) -> None:
        """See `forks.Forked`."""
        if "onnxruntime" in sys.modules:
            exit_without_libraries()


_library = _Library()
tell_of_fork(_library)


def survey() -> Survey:
    """The kinds of device whose provider is installed and starts."""
    available = _engine().get_available_providers()
    devices = []
    unavailable = {}
    for kind, provider in PROVIDERS.items():
        if kind == "cpu":
            devices.append(Device(backend="onnx", device="cpu", name=cpu_name(), memory_bytes=total_memory()))
        elif provider not in available:
            if kind == "cuda" and may_have_cuda():
                unavailable[kind] = _no_provider(kind)
        elif _starts(provider):
            devices.append(Device(backend="onnx", device=kind, name=provider.removesuffix("ExecutionProvider")))
        else:
            unavailable[kind] = f"the provider {provider} is installed but does not start: its driver or libraries lack"
    return Survey(devices, unavailable)


def _engine() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency("onnxruntime", "onnx") from error
    return onnxruntime


def _no_provider(kind: str) -> str:
    wheel = WHEELS.get(kind)
    advice = f" (install {wheel} in place of onnxruntime)" if wheel else ""
    return f"the ONNX Runtime installed here cannot use {kind}: it lacks {PROVIDERS[kind]}{advice}"


def _provider_options(kind: str, index: str, precision: str) -> tuple[dict[str, str], str]:
    """The provider's options, and the arithmetic that they lead to. Raises `InvalidConfig` for one it does not have."""
    options = {}
    if kind == "openvino":
        options = {"device_type": index.upper() or "CPU"}
    elif index:
        options = {"device_id": index}
    if kind == "tensorrt" and precision == "fp16":
        return {**options, "trt_fp16_enable": "1"}, "fp16"
    if precision not in ("auto", "fp32"):
        raise InvalidConfig(f"The onnx backend supports only fp32 on {kind}, not {precision}")
    if kind == "cuda":
        return {**options, "use_tf32": "1" if precision == "auto" else "0"}, "tf32" if precision == "auto" else "fp32"
    return options, "fp32"


def _start(engine: Any, model: bytes, provider: str, options: dict[str, str], threads: int, where: str) -> Any:
    settings = engine.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4  # what matters comes back as an exception
    # Tiles differ in size, so a plan of the memory made for one is of no use to the next.
    settings.enable_mem_pattern = False
    # Idle worker threads sleep as soon as a run is over.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = engine.InferenceSession(model, settings, providers=[(provider, options)])
    except MemoryError as error:
        raise OutOfMemory(f"{where}: not enough memory to load the model") from error
    except Exception as error:  # ONNX Runtime's errors have no common class but this
        if provider == PROVIDERS["cpu"]:
            raise CorruptModel(f"{where}: ONNX Runtime cannot load {ONNX}: {error}") from error
        raise DeviceUnavailable(f"ONNX Runtime cannot start {provider}: {error}") from error
    # Without this a failing GPU would be replaced by the CPU in the middle of the work.
    session.disable_fallback()
    return session


@cache
def _starts(provider: str) -> bool:
    """Whether a session on ``provider`` comes up: that it is compiled in says nothing about drivers and libraries."""
    try:
        return provider in _start(_engine(), _IDENTITY, provider, {}, 1, "probe").get_providers()
    except (CorruptModel, DeviceUnavailable, OutOfMemory):
        return False
