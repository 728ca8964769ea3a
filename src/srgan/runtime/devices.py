"""What this machine can run models on: which devices each backend reaches, and why it does not reach the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

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
