"""The `Session` seam: anything that maps a batch of low-resolution pictures to high-resolution ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from srgan.errors import Closed
from srgan.models.info import WORKING_BYTES_PER_PIXEL, ModelInfo, PartInfo


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """Properties of a session that its caller needs."""

    model: str
    """Name of the model, for messages and provenance."""
    version: str = ""
    """Version of the model; empty if it has none."""
    sha256: str = ""
    """Hash of the model's weights, see `ModelInfo.digest`; empty if it has none."""
    scale: int
    """The output is this many times larger in both directions."""
    channels: int = 3
    """Colour channels of input and output."""
    outputs: tuple[str, ...] = ()
    """The selected outputs of a model with several, see `srgan.open_session`; empty for other models."""
    picture: bool = True
    """Whether the output is a picture. A map may be black or flat where the input is not."""
    part: str = ""
    """Of a latent model the part that it runs, see `srgan.models.bundle`; empty for other models. What comes out is
    no enlarged input then: its channels and size are the part's, ``scale`` means nothing."""
    radius: int = 0
    """Receptive radius in input pixels: tiles that overlap by this much join without a seam."""
    margin: int = 0
    """Input pixels of padding to add on every side and to crop from the result: with zero padding, networks shift the
    colours near the border."""
    multiple: int = 1
    """Height and width of the input must be multiples of this."""
    minimum: int = 1
    """Smallest height and width of the input."""
    working_bytes_per_pixel: int = WORKING_BYTES_PER_PIXEL
    """Estimate of the memory one run needs, per input pixel."""
    backend: str = ""
    """Engine: `ncnn`, `onnx`, `torch`, `resize`, ..."""
    device: str = "cpu"
    """Device as `srgan.open_session` takes it for this backend: `cpu`, `cuda:0`, `vulkan:0`."""
    device_name: str = ""
    """Product name of the device, if known and not the CPU."""
    precision: str = "fp32"
    """Precision in use: `fp32`, `tf32`, `fp16`, `bf16`."""

    @property
    def where(self) -> str:
        """The device for display: `cpu`, `vulkan:0 (product name)`."""
        return with_name(self.device, self.device_name)


def with_name(device: str, name: str) -> str:
    """A device for display."""
    return f"{device} ({name})" if name else device


def describe(
    model: ModelInfo,
    *,
    backend: str,
    device: str,
    precision: str,
    outputs: tuple[str, ...] = (),
    device_name: str = "",
) -> SessionInfo:
    """The info of a session that runs ``model`` for these ``outputs``."""
    return SessionInfo(
        model=model.name,
        version=model.version,
        sha256=model.digest,
        scale=model.scale,
        outputs=outputs,
        part=model.part if isinstance(model, PartInfo) else "",
        channels=model.channels,
        radius=model.radius,
        margin=_margin(model),
        multiple=model.multiple,
        minimum=model.minimum,
        working_bytes_per_pixel=model.working_bytes_per_pixel,
        backend=backend,
        device=device,
        device_name=device_name,
        precision=precision,
    )


def _margin(model: ModelInfo) -> int:
    """See `SessionInfo.margin`. It is a multiple of the network's, which so sees the picture in the same blocks.

    Beside a saturated border the shipped networks were wrong by up to 15/255 without, and by 2/255 with it.
    """
    step = model.multiple
    return min(math.ceil((2 + 2 * step) / step), model.radius // step) * step


class Session(Protocol):
    """A model on a device. Use a session from one thread at a time unless its class says otherwise."""

    @property
    def info(self) -> SessionInfo: ...

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Enlarge ``batch``.

        ``batch`` is float32, N x C x H x W, C = ``info.channels``, values in [0, 1], H and W multiples of
        ``info.multiple`` and at least ``info.minimum``. The result is float32, N x C x (scale*H) x (scale*W); values
        may slightly exceed [0, 1]; the caller clips. Several outputs are concatenated along the channels. Raises
        `srgan.errors.OutOfMemory` when the engine runs out of memory; the session can be used again afterwards, with a
        smaller batch. Raises `srgan.errors.Closed` after `close`.
        """
        ...

    def close(self) -> None:
        """Release the memory of model and engine, after running calls have finished. May be called again."""
        ...


class Closing:
    """Adds `close` to a ``session`` that has none."""

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session
        self.info = session.info

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Session.run`."""
        if self._session is None:
            raise closed(self.info)
        return self._session.run(batch)

    def close(self) -> None:
        """See `Session.close`."""
        session, self._session = self._session, None
        close = getattr(session, "close", None)
        if close is not None:
            close()


def closed(info: SessionInfo) -> Closed:
    """The error of a run after `Session.close`."""
    return Closed(f"{info.model}: the session was closed and cannot be run any more; open the model again")
