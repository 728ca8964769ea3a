"""Sessions on PyTorch: the networks as they were trained, on CUDA, on Apple's GPUs and on the CPU."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

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
from srgan.hardware import cpu_name, total_memory
from srgan.models.bundle import SAFETENSORS, Bundle
from srgan.models.info import PartInfo
from srgan.runtime.devices import Device, Survey, may_have_cuda
from srgan.runtime.forks import ADVICE, Crew, abandon, tell_of_fork
from srgan.runtime.session import SessionInfo, closed, describe

if TYPE_CHECKING:
    import torch

    from srgan.models.info import ModelInfo


def open_torch(
    bundle: Bundle, *, device: str, precision: str, threads: int, outputs: tuple[str, ...] = ()
) -> TorchSession:
    """A session for ``bundle``'s trainable form on ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``auto`` is ``fp16`` on CUDA and ``fp32`` elsewhere; ``fp16`` is not for the CPU. With ``threads`` of 0 the number
    that the program has set for torch holds; another is set during a run only, because torch keeps one for all.
    """
    if not bundle.has(SAFETENSORS):
        raise UnsupportedModel(f"{bundle.info.name} has no torch form ({bundle.file(SAFETENSORS)})")
    _require()
    import torch

    place = _device(device)
    if precision == "auto":
        precision = "fp16" if place.type == "cuda" else "fp32"
    if precision == "fp16" and place.type == "cpu":
        raise InvalidConfig("torch supports fp32 and bf16 on the CPU, not fp16")
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    crew = Crew(1, "srgan-torch")
    network = crew.do(partial(_placed, bundle, outputs, place, dtype))
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else ""
    info = describe(
        bundle.info, backend="torch", device=str(place), device_name=name, precision=precision, outputs=outputs
    )
    return TorchSession(network, info, threads, crew)


def _placed(bundle: Bundle, outputs: tuple[str, ...], place: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    """The network for these outputs, where it shall run."""
    import torch

    network = _network(bundle.info, bundle.read(SAFETENSORS), str(bundle.path))
    if outputs:
        network = _only(network, bundle.info, outputs)
    try:
        return network.to(place, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"{bundle.info.name}: not enough memory on {place} to load the model") from error
    except RuntimeError as error:  # a device that is lost, or was in use when this process was forked
        raise DeviceUnavailable(f"{bundle.info.name}: torch cannot use {place}: {error}") from error


class TorchSession:
    """A torch module in inference, in a thread of its own. ``network`` takes and gives N x C x H x W.

    On the CPU it works in forked processes too; on other devices a run there raises `DeviceUnavailable`.
    """

    def __init__(self, network: torch.nn.Module, info: SessionInfo, threads: int = 0, crew: Crew | None = None) -> None:
        self.info = info
        self._network: torch.nn.Module | None = network
        self._threads = threads
        one = next(network.parameters())
        self._device, self._dtype = one.device, one.dtype
        self._crew = crew or Crew(1, "srgan-torch")
        self._lost = False
        tell_of_fork(self)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Session.run`."""
        network = self._network
        if network is None:
            raise closed(self.info)
        if self._lost:
            raise DeviceUnavailable(f"{self.info.model}: {self.info.device} does not survive a fork; {ADVICE}")
        return self._crew.do(partial(self._run, network, batch))

    def _run(self, network: torch.nn.Module, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        array = np.ascontiguousarray(batch, np.float32)
        try:
            with torch.inference_mode(), _threads(self._threads), _exact_sums(self.info.precision):
                pixels = torch.from_numpy(array).to(self._device, self._dtype)
                enlarged = network(pixels.contiguous(memory_format=torch.channels_last))
                out: NDArray[np.float32] = enlarged.float().contiguous().cpu().numpy()
                return out
        except (torch.OutOfMemoryError, MemoryError) as error:
            _give_back(self._device.type)
            raise OutOfMemory(self._too_large(batch)) from error
        except RuntimeError as error:
            # The CPU's allocator has no error class of its own.
            if "not enough memory" in str(error) or "can't allocate memory" in str(error):
                raise OutOfMemory(self._too_large(batch)) from error
            raise UpscaleFailed(f"{self.info.model}: torch on {self.info.where} stopped: {error}") from error

    def _too_large(self, batch: NDArray[np.float32]) -> str:
        count, _, height, width = batch.shape
        return f"{self.info.model}: not enough memory on {self.info.where} for {count} x {width} x {height} pixels"

    def close(self) -> None:
        """See `Session.close`."""
        if self._network is None:
            return
        self._network = None
        self._crew.dismiss()
        if not self._lost:
            _give_back(self._device.type)

    def after_fork(self) -> None:
        """See `forks.Forked`."""
        if self._device.type != "cpu":
            self._lost = True
            abandon(self._network)


def survey() -> Survey:
    """The CPU, and every CUDA and Apple device that torch reaches."""
    _require()
    import torch

    devices = [Device(backend="torch", device="cpu", name=cpu_name(), memory_bytes=total_memory())]
    unavailable = {}
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(index)
            devices.append(
                Device(backend="torch", device=f"cuda:{index}", name=found.name, memory_bytes=found.total_memory)
            )
    elif may_have_cuda():
        unavailable["cuda"] = _no_cuda()
    if torch.backends.mps.is_available():
        devices.append(Device(backend="torch", device="mps", name=cpu_name(), memory_bytes=total_memory()))
    return Survey(devices, unavailable)


def _require() -> None:
    try:
        import torch  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise MissingDependency("torch", "train") from error


def _device(device: str) -> torch.device:
    import torch

    kind, _, index = device.partition(":")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise DeviceUnavailable(_no_cuda())
        if int(index or 0) >= torch.cuda.device_count():
            raise DeviceUnavailable(f"There is no {device}: torch sees {torch.cuda.device_count()} CUDA device(s)")
        # Not the host program's current device: `cuda` means the first one always.
        return torch.device("cuda", int(index or 0))
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceUnavailable("torch finds no Apple GPU (mps) on this machine")
        return torch.device("mps")
    if device != "cpu":
        raise InvalidConfig(f"The torch backend has no device {device!r}. Choose one of: cpu, cuda, mps")
    return torch.device("cpu")


def _no_cuda() -> str:
    import torch

    if torch.version.cuda is None:
        return "the torch installed here is built without CUDA"
    return f"torch finds no usable CUDA device; it needs a driver for CUDA {torch.version.cuda} or newer"


def _network(info: ModelInfo, data: bytes, where: str) -> torch.nn.Module:
    """The network in its inference form with the weights from ``data``, in float32 on the CPU."""
    import torch

    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise MissingDependency("safetensors", "train") from error
    from srgan.networks import build
    from srgan.networks.latent.deployed import build_deployed, part_of

    try:
        weights = load(data)
    except SafetensorError as error:
        raise CorruptModel(f"{where}: {SAFETENSORS} cannot be read: {error}") from error
    network: torch.nn.Module
    if isinstance(info, PartInfo):
        network, weights = build_deployed(info.network, **info.network_options), part_of(weights, info.network)
    else:
        # Weights are about to replace what chance gives here, and the program's random numbers are not ours to use up.
        with torch.random.fork_rng(devices=[]):
            network = build(info.network, info.scale, **info.network_options).deploy()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CorruptModel(f"{where}: {SAFETENSORS} is not for the network {info.network!r}: {error}") from error
    return network.float().eval().requires_grad_(False)


def _only(network: torch.nn.Module, info: ModelInfo, outputs: tuple[str, ...]) -> torch.nn.Module:
    """``network`` for these of its outputs."""
    from srgan.networks.ensemble import EnsembleNetwork

    if not isinstance(network, EnsembleNetwork):
        raise CorruptModel(f"{info.name}: it states several outputs, but the network {info.network!r} has one")
    return network.only(*outputs)


class _ThreadCount:
    """Torch's number of threads, which one run at a time may change."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def after_fork(self) -> None:
        """See `forks.Forked`."""
        self.lock = threading.Lock()


_thread_count = _ThreadCount()
tell_of_fork(_thread_count)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads inside, and as many as before afterwards; 0 changes nothing."""
    import torch

    if count == 0 or count == torch.get_num_threads():
        yield
        return
    with _thread_count.lock:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextlib.contextmanager
def _exact_sums(precision: str) -> Iterator[None]:
    """In fp32 on CUDA, keep convolutions from rounding their factors to TF32."""
    import torch

    cudnn = torch.backends.cudnn
    if precision != "fp32" or not torch.cuda.is_available():
        yield
    elif hasattr(cudnn, "conv"):  # torch 2.9 and newer, where the older switch clashes with programs that use this one
        before = cudnn.conv.fp32_precision
        cudnn.conv.fp32_precision = "ieee"
        try:
            yield
        finally:
            cudnn.conv.fp32_precision = before
    else:
        with cudnn.flags(True, cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False):
            yield


def _give_back(kind: str) -> None:
    """Return what torch holds in reserve, so that a smaller piece, or another program, finds room."""
    import torch

    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()
