"""The teacher of the recipe `distil`: a model of the same scale, whose outputs are targets."""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from srgan.errors import InvalidConfig
from srgan.hardware import available_memory
from srgan.imaging import Picture, from_uint8, to_uint8
from srgan.models import find_model
from srgan.networks import build
from srgan.networks.foreign import is_foreign, take_foreign
from srgan.progress import Stop
from srgan.runtime import open_session
from srgan.runtime.pytorch import TorchSession
from srgan.runtime.session import Session, SessionInfo
from srgan.training.recipes import TeacherSection
from srgan.upscaler import Upscaler

UNLIKE = 0.1
"""Mean difference, of 1, between a smooth picture and its enlargement that no super-resolution makes."""
MOST_AT_ONCE = 2 << 30
"""Bytes that a whole picture may use on a CPU: where tiles must overlap far, larger ones save half of the time."""
PROBE = 32
"""Side of that picture, at least."""

log = logging.getLogger("srgan")


class Teacher:
    """An open model in fp32. Any thread may use it; they take turns."""

    def __init__(self, session: Session, loss_features: tuple[str, ...] = ()) -> None:
        self._session, self._turn = session, threading.Lock()
        self.info = info = session.info
        said = " ".join(filter(None, [info.model, info.version, f"sha256:{info.sha256}"]))
        self.known: dict[str, Any] = {"said": said, "loss_features": list(loss_features)}
        """What a run remembers of it: see `srgan.training.runs.Run.teacher`."""

    def patches(self, low: Tensor) -> Tensor:
        """Its outputs for a batch, N x 3 x H x W in [0, 1]: N x 3 x sH x sW, clipped, on the device of ``low``.

        Not mirrored at the borders, as pictures are by `Upscaler`: that took 0.2 to 0.4 dB from the output for patches
        of 32 pixels, since networks learn from such patches what no surroundings mean. Raises as `Session.run` does.
        """
        info = self.info
        height, width = low.shape[2:]
        down, right = (-(-max(side, info.minimum) // info.multiple) * info.multiple - side for side in (height, width))
        whole = functional.pad(low.detach().cpu(), (0, right, 0, down), mode="replicate")
        with self._turn:
            made = torch.from_numpy(self._session.run(whole.contiguous().numpy()))
        return made[:, :, : height * info.scale, : width * info.scale].clamp(0, 1).to(low.device)

    def picture(self, low: Tensor, stop: Stop | None = None) -> Tensor:
        """Its output for a whole picture, uint8 H x W x 3: uint8 sH x sW x 3. Raises as `Upscaler.upscale` does."""
        limit = None
        if self.info.device == "cpu":
            limit = min(MOST_AT_ONCE, (available_memory() or MOST_AT_ONCE) // 2)
        with self._turn, Upscaler(self._session, memory_limit=limit) as upscaler:
            made = upscaler.upscale(Picture(pixels=from_uint8(low.numpy())), stop=stop)
        return torch.from_numpy(to_uint8(made.pixels))

    def close(self) -> None:
        """Release the model."""
        self._session.close()


def open_teacher(section: TeacherSection, *, scale: int, device: torch.device) -> Teacher:
    """Open the teacher that ``section`` names, to teach a network of ``scale`` that trains on ``device``.

    On a CPU it runs there, else on the best device that there is for it. Raises `InvalidConfig` when it has another
    scale, other channels, or gives pictures that are unlike their inputs; what `find_model`, `open_session` and
    `take_foreign` raise.
    """
    if is_foreign(section.model):
        teacher = Teacher(_foreign(section, scale, device))
    else:
        if section.network or section.options:
            raise InvalidConfig("teacher.network and teacher.options are for a .pth file; a bundle states its own")
        bundle = find_model(section.model, scale)
        where = "cpu" if device.type == "cpu" else "auto"
        session = open_session(bundle, device=where, precision="fp32", threads=torch.get_num_threads())
        teacher = Teacher(session, bundle.info.provenance.loss_features)
    try:
        _check(teacher, section.model, scale)
    except BaseException:
        teacher.close()
        raise
    log.info("the teacher is %s, by %s on %s", teacher.known["said"], teacher.info.backend, teacher.info.where)
    return teacher


def _foreign(section: TeacherSection, scale: int, device: torch.device) -> Session:
    """A session of another program's file."""
    if not section.network:
        raise InvalidConfig(f"teacher.network: {section.model} does not state its architecture; name one")
    path = Path(section.model)
    with torch.random.fork_rng(devices=[]):
        try:
            network = build(section.network, scale, **section.options)
        except InvalidConfig as error:
            raise InvalidConfig(f"teacher.network: {error}") from error
        if network.outputs:
            raise InvalidConfig("teacher.network: an ensemble must be a bundle")
        take_foreign(network, path, "teacher.model")
    multiple = network.multiple
    info = SessionInfo(
        model=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        scale=network.scale,
        channels=network.channels,
        radius=network.radius,
        margin=min(2 + 2 * multiple, network.radius // multiple * multiple),
        multiple=multiple,
        backend="torch",
        device=str(device),
    )
    return TorchSession(network.deploy().to(device).requires_grad_(False), info, torch.get_num_threads())


def _check(teacher: Teacher, model: str, scale: int) -> None:
    """Raise `InvalidConfig` for a model that cannot teach."""
    info = teacher.info
    if info.scale != scale:
        raise InvalidConfig(f"teacher.model: {model} enlarges {info.scale} times, and network.scale is {scale}")
    if info.channels != 3:
        raise InvalidConfig(f"teacher.model: {model} has {info.channels} channels, and training pictures have 3")
    side = max(PROBE, info.minimum)
    ramp = torch.linspace(0.1, 0.9, side)
    # Of each channel another picture, so that their order shows.
    probe = torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), ramp.flip(0).expand(side, side)])
    made = teacher.patches(probe[None])
    difference = float((functional.avg_pool2d(made, scale) - probe).abs().mean())
    if not difference <= UNLIKE:
        raise InvalidConfig(
            f"teacher.model: the output of {model} is unlike its input (mean difference {difference:.2f} of 1): the "
            "network takes another range of values or order of colours, or its weights are damaged"
        )
