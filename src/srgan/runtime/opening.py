"""`open_session`: from a model's name to a running session on the best available device."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from srgan.errors import (
    DeviceUnavailable,
    InvalidConfig,
    MissingDependency,
    SrganError,
    UnsupportedModel,
)
from srgan.models.bundle import NCNN_PARAM, ONNX, SAFETENSORS, Bundle, Part
from srgan.models.catalogue import find_model
from srgan.models.info import MEMBERS
from srgan.plugins import Table
from srgan.runtime.devices import may_have_cuda, may_have_vulkan_gpu
from srgan.runtime.session import Closing, Session, SessionInfo

if TYPE_CHECKING:
    from srgan.imaging.resize import Kernel

logger = logging.getLogger(__name__)

BACKENDS = Table(
    "srgan.backends",
    "backend",
    {
        "ncnn": "srgan.runtime.ncnn:open_ncnn",
        "onnx": "srgan.runtime.onnx:open_onnx",
        "torch": "srgan.runtime.pytorch:open_torch",
        "resize": "srgan.runtime.resize:open_resize",
    },
)
"""Openers, ``(bundle, *, device, precision, threads) -> Session``.

A session takes and gives pixels in the model's own value range; `open_session` puts [0, 1] around it. For a model that
gives several pictures (`ModelInfo.outputs`) there is one argument more, ``outputs``: those that are wanted, never none,
whose channels the session gives one after the other. `SessionInfo.device` is a device that the opener takes. A session
without a `close` gets one. The opener of a plug-in gets ``device`` as the user wrote it,
``auto`` included; ``threads`` may be 0, see `srgan.hardware.default_threads`. It raises `DeviceUnavailable`,
`MissingDependency`, `UnsupportedModel` or `InvalidConfig` when it cannot do what was asked.
"""

FORMS = {"ncnn": NCNN_PARAM, "onnx": ONNX, "torch": SAFETENSORS}
"""The file of a bundle that a built-in backend runs."""

RESIZE_MODELS = ("bicubic", "lanczos", "bilinear", "nearest")
"""Names that mean plain enlargement instead of a network."""

PRECISIONS = ("auto", "fp32", "fp16", "bf16")

_PREFERENCE = (
    ("torch", "cuda"),
    ("onnx", "cuda"),
    ("ncnn", "vulkan"),
    ("torch", "mps"),
    ("onnx", "directml"),
    ("ncnn", "cpu"),
    ("onnx", "cpu"),
    ("torch", "cpu"),
)
_SYSTEMS = {"mps": "darwin", "directml": "win32"}
_ONNX_ONLY = ("tensorrt", "rocm", "migraphx", "coreml", "openvino")
_DEVICES = ("auto", "cpu", "gpu", "cuda", "vulkan", "mps", "directml", *_ONNX_ONLY)
_CANNOT = (DeviceUnavailable, MissingDependency, UnsupportedModel, InvalidConfig)


def open_session(
    model: str | os.PathLike[str] | Bundle,
    *,
    scale: float | None = None,
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    output: str | Sequence[str] = (),
) -> Session:
    """Open ``model`` on a device.

    ``model`` is a name, a path or a bundle (see `srgan.models.find_model`, also for ``scale``), or one of
    `RESIZE_MODELS` for plain resampling by ``scale`` (rounded up; default 4), or a `Part` of a latent model.

    ``device`` is ``auto``, ``cpu``, ``gpu`` (any), ``cuda``, ``vulkan``, ``mps``, ``directml``, ``tensorrt``, ``rocm``,
    ``migraphx``, ``coreml`` or ``openvino``, with ``:N`` for the N-th of its kind. ``backend`` is ``auto`` or a name in
    `BACKENDS`, ``precision`` ``auto``, ``fp32``, ``fp16`` or ``bf16``. ``auto`` uses the first available of: CUDA, a
    Vulkan GPU, the CPU; never a software renderer. ``threads`` 0 means all physical cores that this process may use.

    ``output`` is for a model with several outputs, such as an ensemble: a name in `ModelInfo.outputs` (default: the
    first), or several names, whose channels are concatenated. Only what they need is computed.

    A device or backend requested by name is never replaced by another: `DeviceUnavailable`, `MissingDependency`,
    `UnsupportedModel` or `InvalidConfig` is raised instead. Also raises `ModelNotFound` and `CorruptModel`.
    """
    _check(backend, device, precision, threads)
    wanted = (output,) if isinstance(output, str) and output else tuple(output)
    if isinstance(model, str) and model in RESIZE_MODELS:
        _check_outputs(model, (), wanted)
        return _open_kernel(cast("Kernel", model), scale, backend, device)
    bundle = model if isinstance(model, Bundle) else find_model(model, scale)
    _check_enlarges(bundle)
    _check_outputs(bundle.info.name, bundle.info.outputs, wanted)
    session = _open(bundle, backend, device, precision, threads, wanted or bundle.info.outputs[:1])
    low, high = bundle.info.value_range
    return session if (low, high) == (0.0, 1.0) or backend == "resize" else _Ranged(session, low, high)


def _check(backend: str, device: str, precision: str, threads: int) -> None:
    if precision not in PRECISIONS:
        raise InvalidConfig(f"There is no precision {precision!r}. Choose one of: {', '.join(PRECISIONS)}")
    if threads < 0:
        raise InvalidConfig(f"threads must be 0 (all physical cores) or more, not {threads}")
    kind, colon, index = device.partition(":")
    if backend not in ("auto", *FORMS, "resize"):
        return
    if kind not in _DEVICES:
        raise InvalidConfig(f"There is no device {device!r}. Choose one of: {', '.join(_DEVICES)}")
    if colon and (kind in ("auto", "cpu", "gpu") or not (index.isdigit() or kind == "openvino")):
        raise InvalidConfig(
            f"{device!r} is not a device name; use a kind such as cuda or vulkan, optionally with :0, :1, ..."
        )


def _check_enlarges(bundle: Bundle) -> None:
    if bundle.info.latent is not None and not isinstance(bundle, Part):
        name = bundle.info.name
        raise UnsupportedModel(
            f"{name} makes new pictures from noise and enlarges none; use it with: srgan generate OUT --model {name}"
        )


def _check_outputs(name: str, there: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    if unknown := [output for output in wanted if output not in there]:
        raise no_strategy(name, there, unknown[0])


def no_strategy(name: str, there: tuple[str, ...], wanted: str) -> InvalidConfig:
    """The error that says which strategies there are, when the model ``name`` has not the one that is ``wanted``."""
    pictures = ", ".join(output for output in there if output != MEMBERS)
    says = f"Choose one of: {pictures}" if there else "It is no ensemble: there is nothing to choose"
    return InvalidConfig(f"{name} has no strategy {wanted!r}. {says}")


def _open_kernel(kernel: Kernel, scale: float | None, backend: str, device: str) -> Session:
    from srgan.runtime.resize import ResizeSession

    if backend not in ("auto", "resize"):
        raise UnsupportedModel(f"{kernel} is plain resampling, not a network, so the {backend} backend cannot run it")
    if device not in ("auto", "cpu"):
        raise DeviceUnavailable(f"{kernel} is plain resampling, which runs on the CPU only, not on {device}")
    factor = 4 if scale is None else max(1, math.ceil(scale))
    return ResizeSession(kernel, factor)


def _open(bundle: Bundle, backend: str, device: str, precision: str, threads: int, outputs: tuple[str, ...]) -> Session:
    """Try the candidates in turn; when none opens, say why for each."""
    name = bundle.info.name
    more = {"outputs": outputs} if outputs else {}
    failures: list[tuple[str, SrganError]] = []
    for candidate, place in _candidates(bundle, backend, device):
        try:
            opener = BACKENDS.load(candidate)
            session: Session = opener(bundle, device=place, precision=precision, threads=threads, **more)
        except _CANNOT as error:
            failures.append((f"{candidate} on {place}", error))
            continue
        for what, reason in failures:
            logger.info("%s: not %s: %s", name, what, reason)
        return session if hasattr(session, "close") else Closing(session)
    if len(failures) == 1:
        raise failures[0][1]
    reasons = "; ".join(f"{what}: {reason}" for what, reason in failures)
    kinds = {type(reason) for _, reason in failures}
    kind = kinds.pop() if len(kinds) == 1 else DeviceUnavailable
    if kind is MissingDependency:
        kind = DeviceUnavailable
    raise kind(f"{name} cannot run as requested: {reasons}")


def _candidates(bundle: Bundle, backend: str, device: str) -> list[tuple[str, str]]:
    """The (backend, device) pairs that may serve the request, best first; never empty.

    Raises `UnsupportedModel` when the bundle has no form for any of them.
    """
    if backend not in ("auto", *FORMS):
        return [(backend, device)]
    kind = device.partition(":")[0]
    if kind in _ONNX_ONLY:
        pairs = [("onnx", device)]
    elif kind == "auto":
        pairs = [pair for pair in _PREFERENCE if _worth_trying(pair[1], pair[0] == backend)]
    elif kind == "gpu":
        pairs = [pair for pair in _PREFERENCE if pair[1] != "cpu" and _of_this_system(pair[1])]
    else:
        pairs = [(name, device) for name, place in _PREFERENCE if place == kind]
    pairs = [pair for pair in pairs if backend in ("auto", pair[0])]
    if not pairs:
        raise InvalidConfig(f"The {backend} backend has no device {device!r}")
    runnable = [pair for pair in pairs if bundle.has(FORMS[pair[0]])]
    if not runnable:
        wanted = " or ".join(sorted({bundle.file(FORMS[name]) for name, _ in pairs}))
        present = ", ".join(bundle.info.files) or "no weights"
        raise UnsupportedModel(
            f"{bundle.info.name} has no {wanted}, which this backend and device need; it has {present}"
        )
    return runnable


def _worth_trying(place: str, backend_named: bool) -> bool:
    """Whether `auto` looks at this kind of device: loading torch to find no GPU would cost more than most pictures."""
    if place == "cuda":
        return may_have_cuda()
    if place == "vulkan":
        return may_have_vulkan_gpu()
    # On Apple's and Microsoft's systems Vulkan reaches the same GPU with less weight to load.
    return place == "cpu" or (backend_named and _of_this_system(place))


def _of_this_system(place: str) -> bool:
    return sys.platform == _SYSTEMS.get(place, sys.platform)


class _Ranged:
    """A session whose model works in [``low``, ``high``], seen from outside as one in [0, 1]."""

    def __init__(self, session: Session, low: float, high: float) -> None:
        self._session = session
        self._low = np.float32(low)
        self._span = np.float32(high - low)

    @property
    def info(self) -> SessionInfo:
        return self._session.info

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return (self._session.run(batch * self._span + self._low) - self._low) / self._span

    def close(self) -> None:
        self._session.close()
