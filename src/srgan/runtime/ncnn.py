"""Sessions on ncnn: the fastest engine on CPUs that we measured, and the way to any GPU that speaks Vulkan.

The weights go from memory to the engine through a reader that cannot run past their end: ncnn's own reader of memory
neither knows where the data stops nor keeps it alive, although layers go on using it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from srgan import tiling
from srgan.errors import (
    CorruptModel,
    DeviceUnavailable,
    InvalidConfig,
    OutOfMemory,
    UnsupportedModel,
    UpscaleFailed,
)
from srgan.hardware import cpu_name, default_threads, total_memory
from srgan.models.bundle import NCNN_BIN, NCNN_PARAM, Bundle
from srgan.runtime.bands import Bands
from srgan.runtime.devices import Device, Survey
from srgan.runtime.forks import ADVICE, Crew, abandon, exit_without_libraries, tell_of_fork
from srgan.runtime.ncnngraph import check_graph, largest_kernel
from srgan.runtime.session import SessionInfo, closed, describe

logger = logging.getLogger(__name__)

INPUT = "in0"

_LARGE_KERNEL = 5
_NO_MEMORY = -100
_SOFTWARE_TYPE = 3  # VK_PHYSICAL_DEVICE_TYPE_CPU
_BLOCK_TIME_MS = 20
_LAST_RUN_SECONDS = 5
_NO_VULKAN = "there is no Vulkan device: install the GPU's driver and, on Debian, libvulkan1"


def open_ncnn(
    bundle: Bundle, *, device: str, precision: str, threads: int, outputs: tuple[str, ...] = ()
) -> NcnnSession:
    """A session for ``bundle``'s ncnn form on ``cpu``, ``vulkan`` (the best real GPU) or ``vulkan:N`` (that very one).

    On Vulkan ``auto`` is ``fp16``: values are stored in 16 bits and added up in 32. On the CPU ``auto`` is ``fp32``;
    ``bf16`` was up to 14 % faster there, but changes every fourth pixel value, by up to 2/255; ``fp16`` needs an ARM
    processor that has it.
    """
    if not bundle.has(NCNN_PARAM) or not bundle.has(NCNN_BIN):
        files = f"{bundle.file(NCNN_PARAM)} and {bundle.file(NCNN_BIN)}"
        raise UnsupportedModel(f"{bundle.info.name} has no ncnn form ({files})")
    engine = _engine()
    options = engine.Option()
    threads = threads or _threads(engine)
    # The same for the other OpenMP: how long workers look out for the next layer before they sleep.
    options.openmp_blocktime = _BLOCK_TIME_MS
    options.use_winograd_convolution = True
    options.use_packing_layout = True
    index, name = None, ""
    if device == "cpu":
        precision = _cpu_precision(engine, options, precision)
    else:
        found = _vulkan_device(device)
        device, name = found.device, found.name
        index = int(device.partition(":")[2])
        precision = _vulkan_precision(options, precision)
    graph = bundle.read(NCNN_PARAM).decode("utf-8", "replace")
    # The graph has its outputs by number, in the order that the model states.
    blobs = [f"out{number}" for number in range(len(bundle.info.outputs) or 1)]
    load = partial(_load, options, index, graph, bundle.read(NCNN_BIN), str(bundle.path), blobs=blobs)
    info = describe(bundle.info, backend="ncnn", device=device, device_name=name, precision=precision, outputs=outputs)
    wanted = [blobs[bundle.info.outputs.index(name)] for name in outputs] or blobs
    session = NcnnSession(load, info, threads=threads if device == "cpu" else 1, blobs=wanted)
    if device != "cpu":
        _vulkan.sessions.add(session)
    return session


class NcnnSession:
    """A loaded ncnn network. May be used from several threads, which take turns; other threads go on while it runs.

    On the CPU it works in forked processes too; on Vulkan a run there raises `DeviceUnavailable`.
    """

    def __init__(
        self, load: Callable[[int], Any], info: SessionInfo, *, threads: int = 1, blobs: Sequence[str] = ("out0",)
    ) -> None:
        """``load`` makes the network for a number of threads; it is called again after the memory ran out. ``blobs``
        are the graph's outputs that a run gives; the engine computes no more than they need."""
        self.info = info
        self._blobs = tuple(blobs)
        self._load = load
        needs = tiling.Needs(radius=info.radius, multiple=info.multiple, minimum=info.minimum)
        # What a part gives is no enlarged input, so it is not put together from bands.
        self._bands = Bands(threads, None if info.part else needs, info.scale)
        # OpenMP is used in threads of our own alone, also to load.
        self._crew = Crew(1, "srgan-ncnn")
        # A network is laid out for its number of threads. The first is for pictures too small for bands.
        self._nets = {threads: self._crew.do(partial(load, threads))}
        self._closed = False
        self._loading = threading.Lock()
        self._running = threading.Lock()
        tell_of_fork(self)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Session.run`. The pictures of a batch are run one after the other."""
        with self._running:
            if self._closed:
                raise closed(self.info)
            out = self._crew.do(partial(self._run, batch))
            if out is None:
                self._unload()
                raise OutOfMemory(self._too_large(batch))
            return out

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The enlarged batch, or None when the memory ran out: an exception would hold the network, which shall go."""
        try:
            if len(batch) == 1:
                enlarged = self._bands.enlarge(batch[0], self._enlarge)
                return None if enlarged is None else enlarged[np.newaxis]
            made = []
            for picture in batch:
                enlarged = self._bands.enlarge(picture, self._enlarge)
                if enlarged is None:
                    return None
                made.append(enlarged)
            return np.stack(made)
        except MemoryError:
            return None

    def _enlarge(self, picture: NDArray[np.float32], threads: int) -> NDArray[np.float32] | None:
        """One picture, or one band of it, on ``threads`` of the engine's own threads; None when the memory ran out."""
        import ncnn

        with self._loading:
            if threads not in self._nets:
                self._nets[threads] = self._load(threads)
            net = self._nets[threads]
        array = np.ascontiguousarray(picture, np.float32)
        # The clone owns its memory, with the padding between channels that the vector code of the layers counts on.
        pixels = ncnn.Mat(array).clone()
        if pixels.empty():
            return None
        made = []
        with net.create_extractor() as extractor:
            status = extractor.input(INPUT, pixels)
            for blob in self._blobs:
                if status == 0:
                    status, enlarged = extractor.extract(blob)
                    made.append(enlarged)
        if status == _NO_MEMORY or (status == 0 and any(enlarged.empty() for enlarged in made)):
            return None
        if status != 0:
            raise UpscaleFailed(f"{self.info.model}: ncnn on {self.info.where} stopped with code {status}")
        return self._joined([np.asarray(enlarged) for enlarged in made], array.shape)

    def _joined(self, made: list[NDArray[np.float32]], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The outputs' channels one after the other. Each array keeps its matrix alive, whose memory does not belong
        to the network's own pool."""
        if self.info.part:
            return made[0]
        channels, height, width = shape
        size = height * self.info.scale, width * self.info.scale
        for out in made:
            # A model with one output makes one picture; of several outputs one may hold several.
            fits = out.shape[0] % channels == 0 if self.info.outputs else out.shape[0] == channels
            if out.shape[1:] != size or not fits:
                raise UpscaleFailed(f"{self.info.model}: the network made {out.shape} of {shape}")
        return made[0] if len(made) == 1 else np.concatenate(made)

    def _too_large(self, array: NDArray[np.float32]) -> str:
        height, width = array.shape[-2:]
        return f"{self.info.model}: not enough memory on {self.info.where} for {width} x {height} pixels in one piece"

    def _unload(self) -> None:
        """Let go of the network and the memory it keeps for the next run: a smaller piece may need just that."""
        with _captured_stderr():  # it says "FATAL ERROR" of the piece of memory that it could not get
            self._nets.clear()

    def close(self) -> None:
        """See `Session.close`."""
        self.close_within(-1)

    def close_within(self, seconds: float) -> bool:
        """`close`; False when the run that has begun did not end in that time. Without end where it is -1."""
        self._closed = True
        if not self._running.acquire(timeout=seconds):
            return False
        self._nets.clear()
        self._running.release()
        self._bands.close()
        self._crew.dismiss()
        return True

    def after_fork(self) -> None:
        """See `forks.Forked`."""
        on_vulkan = self.info.device != "cpu"
        if on_vulkan:
            self._load = partial(_lost, self.info.model)
        # What a run that has begun holds of the network stays held.
        if on_vulkan or self._running.locked():
            abandon(self._nets)
            self._nets = {}
        self._loading = threading.Lock()
        self._running = threading.Lock()


def _lost(model: str, threads: int) -> Any:
    raise DeviceUnavailable(f"{model}: Vulkan does not survive a fork, and this process was forked; {ADVICE}")


def survey() -> Survey:
    """The CPU, and every Vulkan device with the memory that its driver offers."""
    engine = _engine()
    devices = [Device(backend="ncnn", device="cpu", name=cpu_name(), memory_bytes=total_memory())]
    if _vulkan.lost:
        return Survey(devices, {"vulkan": _LOST})
    found = vulkan_devices()
    for entry in found:
        with _captured_stderr():
            megabytes = engine.get_gpu_device(int(entry.device.partition(":")[2])).get_heap_budget()
        devices.append(replace(entry, memory_bytes=(int(megabytes) << 20) or None))
    if any(not entry.software for entry in found):
        return Survey(devices)
    return Survey(devices, {"vulkan": "the only Vulkan driver is a software renderer" if found else _NO_VULKAN})


def _engine() -> Any:
    """The library, loaded so that a worker thread with nothing to do sleeps.

    GNU OpenMP reads the policy once, while it is loaded. By itself a worker burns its core while it waits for the
    others after each layer: where another program wants the cores too, two threads took 2 to 30 times longer than one.
    """
    if "ncnn" in sys.modules:
        return sys.modules["ncnn"]
    ours = not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ)
    if ours:
        os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        import ncnn
    except ImportError as error:
        raise DeviceUnavailable(f"ncnn cannot be loaded: {error}. Install it with: pip install ncnn") from error
    finally:
        if ours:
            del os.environ["OMP_WAIT_POLICY"]
    return ncnn


def _threads(engine: Any) -> int:
    if sys.platform == "linux":
        return default_threads()
    return min(default_threads(), max(1, engine.get_physical_cpu_count()))


def _cpu_precision(engine: Any, options: Any, precision: str) -> str:
    options.use_vulkan_compute = False
    if precision == "fp16" and not engine.cpu_support_arm_asimdhp():
        raise InvalidConfig("ncnn supports fp32 and bf16 on this processor, not fp16")
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
        setattr(options, name, precision == "fp16")
    options.use_bf16_storage = precision == "bf16"
    return "fp32" if precision == "auto" else precision


def _vulkan_precision(options: Any, precision: str) -> str:
    options.use_vulkan_compute = True
    if precision == "bf16":
        raise InvalidConfig("ncnn supports fp32 and fp16 on Vulkan devices, not bf16")
    options.use_fp16_packed = options.use_fp16_storage = precision != "fp32"
    # Sums in 16 bits would lose what the stored 16 bits keep.
    options.use_fp16_arithmetic = False
    options.use_bf16_storage = False
    return "fp32" if precision == "fp32" else "fp16"


# ---------------------------------------------------------------------------------------------------- loading


def _load(
    options: Any,
    vulkan_index: int | None,
    graph: str,
    weights: bytes,
    where: str,
    threads: int,
    blobs: Sequence[str] = ("out0",),
) -> Any:
    """A network with its layers and weights, and the outputs ``blobs``. Raises `CorruptModel` with what ncnn says,
    naming ``where``."""
    import ncnn

    check_graph(graph, where)
    net = ncnn.Net()
    options.num_threads = threads
    net.opt = options
    if largest_kernel(graph) >= _LARGE_KERNEL:
        # A 9x9 convolution to few channels as a matrix product took 17 s where the plain loop took 1.7.
        net.opt.use_sgemm_convolution = False
    if vulkan_index is not None:
        net.set_vulkan_device(vulkan_index)
    reader = _reader(weights)
    with _captured_stderr() as said:
        done = net.load_param_mem(graph) == 0 and net.load_model(reader) == 0
    if not done:
        reason = said[-1] if said else "the layers and the weights do not fit together"
        raise CorruptModel(f"{where}: ncnn cannot load the model: {reason}")
    if said:
        # Not for us: another thread's, or a warning that the user should see.
        os.write(2, ("\n".join(said) + "\n").encode())
    if reader.left:
        raise CorruptModel(f"{where}: {NCNN_BIN} holds {reader.left} bytes more than the layers of {NCNN_PARAM} use")
    names = {*net.input_names(), *net.output_names()}
    if names != {INPUT, *blobs}:
        raise CorruptModel(
            f"{where}: {NCNN_PARAM} must have the input {INPUT} and the output {', '.join(blobs)} and no others"
        )
    return net


def _reader(data: bytes) -> Any:
    """A reader of ``data`` for `ncnn.Net.load_model` that copies, stops at the end and knows how much is ``left``."""
    import ncnn

    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    view = memoryview(data)

    class Reader(ncnn.DataReader):  # type: ignore[misc]
        left = len(data)

        def read(self, target: Any, size: int) -> int:
            piece = bytes(view[len(data) - self.left :][:size])
            ctypes.memmove(pointer(target, None), piece, len(piece))
            self.left -= len(piece)
            return len(piece)

    return Reader()


# ----------------------------------------------------------------------------------------------------- Vulkan

_LOST = f"this process was forked from one that used Vulkan, which does not outlive that; {ADVICE}"


class _Vulkan:
    """What this process has to do with Vulkan."""

    def __init__(self) -> None:
        self.started = False
        self.lost = False
        """It was started before this process was forked."""
        self.sessions: weakref.WeakSet[NcnnSession] = weakref.WeakSet()

    def after_fork(self) -> None:
        """See `forks.Forked`."""
        self.lost = self.lost or self.started
        self.sessions = weakref.WeakSet()
        if self.lost:
            atexit.unregister(_leave_vulkan)
            exit_without_libraries()


_vulkan = _Vulkan()
tell_of_fork(_vulkan)


def vulkan_devices() -> list[Device]:
    """The Vulkan devices that ncnn finds, software renderers included. Starts Vulkan, the first time."""
    engine = _engine()
    _vulkan.started = True
    with _captured_stderr() as said:
        count = max(0, engine.get_gpu_count())
        infos = [engine.get_gpu_info(index) for index in range(count)]
    for line in said:
        logger.debug("%s", line)
    if count:
        # Registered after ncnn's own exit hooks, so it runs before them and while the driver is still loaded.
        atexit.unregister(_leave_vulkan)
        atexit.register(_leave_vulkan)
    return [
        Device(
            backend="ncnn",
            device=f"vulkan:{index}",
            name=str(info.device_name()),
            software=info.type() == _SOFTWARE_TYPE,
        )
        for index, info in enumerate(infos)
    ]


def _vulkan_device(device: str) -> Device:
    """The device that ``vulkan`` or ``vulkan:N`` means; `DeviceUnavailable` says what there is instead."""
    if _vulkan.lost:
        raise DeviceUnavailable(_LOST)
    found = vulkan_devices()
    if not found:
        raise DeviceUnavailable(_NO_VULKAN)
    if ":" in device:
        for entry in found:
            if entry.device == device:
                return entry
        raise DeviceUnavailable(f"there is no {device}; there are: {_listing(found)}")
    real = [entry for entry in found if not entry.software]
    if not real:
        raise DeviceUnavailable(
            f"there is no Vulkan GPU, only a software renderer, slower than the CPU itself: {_listing(found)}; "
            f"ask for {found[0].device} by its number to use it anyway"
        )
    best = f"vulkan:{_engine().get_default_gpu_index()}"
    return next((entry for entry in real if entry.device == best), real[0])


def _listing(devices: list[Device]) -> str:
    return ", ".join(f"{entry.device} ({entry.name})" for entry in devices)


def _leave_vulkan() -> None:
    """Free all networks on Vulkan devices and then Vulkan itself, while interpreter and driver are still whole."""
    ended = [session.close_within(_LAST_RUN_SECONDS) for session in list(_vulkan.sessions)]
    if all(ended):
        with contextlib.suppress(ImportError):
            _engine().destroy_gpu_instance()


class _Stderr:
    """The process's standard error, which one thread at a time may take away."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.real: int | None = None
        """Where it leads, while it is taken away."""

    def after_fork(self) -> None:
        """See `forks.Forked`."""
        self.lock = threading.RLock()
        if self.real is not None:
            os.dup2(self.real, 2)
            self.real = None


_stderr = _Stderr()
tell_of_fork(_stderr)


@contextlib.contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """Keep what is written to the process's standard error meanwhile; its lines are in the list afterwards.

    ncnn tells its troubles, and the properties of every GPU, there and nowhere else.
    """
    lines: list[str] = []
    # Two at a time would each take the other's file for the real thing.
    with _stderr.lock, contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(_scratch_file())
            saved = os.dup(2)
        except OSError:  # a process without standard error, or without a place for files
            yield lines
            return
        before = _stderr.real
        _stderr.real = saved if before is None else before
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            _stderr.real = before
            os.close(saved)
            file.seek(0)
            lines += [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]


def _scratch_file() -> BinaryIO:
    """A file without a name, in memory where the system can: there may be no folder to write to."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("srgan"), "w+b")
    import tempfile

    return cast("BinaryIO", tempfile.TemporaryFile())
