"""What this machine can run models on: which devices each backend reaches, and why it does not reach the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from srgan.errors import SrganError
from srgan.plugins import Table


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device as one backend reaches it."""

    backend: str
    """Name of the backend: `ncnn`, `onnx`, `torch`, ..."""
    device: str
    """What to ask `open_session` for: `cpu`, `vulkan:0`, `cuda:0`, ..."""
    name: str
    """What the maker calls it."""
    memory_bytes: int | None = None
    """Memory of the device, where the backend tells."""
    software: bool = False
    """A program that plays the device on the CPU: right, but slow. Never chosen by `auto`."""


@dataclass(frozen=True)
class Survey:
    """What one backend finds on this machine."""

    devices: list[Device]
    unavailable: dict[str, str] = field(default_factory=dict)
    """Kind of device, such as `cuda`, with the reason why the backend has none."""


SURVEYS = Table(
    "srgan.backend_surveys",
    "backend",
    {
        "ncnn": "srgan.runtime.ncnn:survey",
        "onnx": "srgan.runtime.onnx:survey",
        "torch": "srgan.runtime.pytorch:survey",
        "resize": "srgan.runtime.resize:survey",
    },
)
"""One function per backend, ``() -> Survey``, which raises `MissingDependency` when the library is not installed."""


def list_devices() -> list[Device]:
    """Every device that some backend can use on this machine. Imports the libraries of all backends to ask them."""
    return [device for name in SURVEYS.names() for device in _survey(name).devices]


def unavailable_backends() -> dict[str, str]:
    """Each backend, or kind of device of a backend (``"onnx cuda"``), that cannot be used here, with the reason."""
    reasons = {}
    for name in SURVEYS.names():
        for kind, reason in _survey(name).unavailable.items():
            reasons[f"{name} {kind}".rstrip()] = reason
    return reasons


def _survey(name: str) -> Survey:
    try:
        survey: Callable[[], Survey] = SURVEYS.load(name)
        return survey()
    except (SrganError, ImportError) as error:
        return Survey([], {"": str(error)})


def cpu_name() -> str:
    """The name of the processor, as its maker writes it."""
    if sys.platform == "linux":
        for line in _lines("/proc/cpuinfo"):
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware"):
                return value.strip()
    elif sys.platform == "darwin":
        import subprocess

        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if answer:
            return answer
    import platform

    return platform.processor() or platform.machine() or "CPU"


def total_memory() -> int | None:
    """Bytes of main memory, where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def default_threads() -> int:
    """How many threads a run uses when nobody says: the physical cores that this process may use.

    The second thread of a core only gets in the way of the first in dense arithmetic. A container's CPU quota, the
    process's affinity and ``OMP_NUM_THREADS`` are respected.
    """
    threads = _physical_cores()
    quota = _cgroup_quota()
    if quota is not None:
        threads = min(threads, max(1, int(quota)))
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdigit() and int(asked) > 0:
        threads = min(threads, int(asked))
    return threads


def _physical_cores(cpus: Path = Path("/sys/devices/system/cpu")) -> int:
    if sys.platform != "linux":
        return max(1, os.cpu_count() or 1)
    allowed = os.sched_getaffinity(0)
    # Threads of one core list the same siblings; where the kernel does not tell, each counts as a core of its own.
    cores = {
        next(iter(_lines(cpus / f"cpu{index}" / "topology" / "thread_siblings_list")), str(index)) for index in allowed
    }
    return max(1, len(cores))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The number of CPUs that the control groups of this process allow, or None without a limit."""
    quotas = []
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            group = Path(*(part for part in path.split("/") if part not in ("", "..")))
            # Every group up to the root may set a limit, and the smallest holds.
            folders = [root / group, *(root / parent for parent in group.parents)]
            quotas += [" ".join(_lines(folder / "cpu.max")) for folder in folders]
        elif "cpu" in controllers.split(","):
            quota, period = (_lines(root / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
            quotas.append(" ".join(quota + period))
    limits = [int(a) / int(b) for a, b in (q.split() for q in quotas if q.count(" ") == 1) if a.isdigit() and int(b)]
    return min(limits, default=None)


def _lines(path: str | Path) -> list[str]:
    """The lines of a file that the system keeps, none when it is not there."""
    try:
        return Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def may_have_cuda() -> bool:
    """A cheap look for an NVIDIA driver, so that `auto` need not load torch on the many machines without one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if sys.platform == "linux":
        return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg")))
    if sys.platform == "win32":
        return os.path.exists(os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll"))
    return False


def may_have_vulkan_gpu() -> bool:
    """A cheap look for a graphics device, so that `auto` starts Vulkan only where more than a software driver is."""
    if sys.platform != "linux":
        return True
    nodes = ("/dev/nvidiactl", "/dev/dxg", "/dev/mali0", "/dev/kgsl-3d0")
    return any(map(os.path.exists, nodes)) or any(name.startswith("renderD") for name in _names("/dev/dri"))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
