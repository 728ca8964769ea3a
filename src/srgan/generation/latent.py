"""`LatentModel`: noise to codes, codes to pictures, pictures to codes."""

from __future__ import annotations

import os
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from srgan.errors import Closed, InvalidImage, UnsupportedModel, UpscaleFailed
from srgan.models import Bundle, LatentInfo, ModelInfo, find_model, list_models
from srgan.runtime.opening import open_session
from srgan.runtime.session import Session, SessionInfo

Numbers = NDArray[np.float32]

LARGEST = 2**32 - 1
"""Of a seed, and of the number of a picture: larger ones could name the same noise."""


def noise_of(seed: int, number: int, size: int) -> Numbers:
    """The noise of one picture: ``size`` numbers, float32, standard normal, of NumPy's generator seeded by the two.

    It depends on nothing else, so a picture is the same however many are made with it.
    """
    if not (0 <= seed <= LARGEST and 0 <= number <= LARGEST):
        raise ValueError(f"seed and number must be from 0 to {LARGEST}, not {seed} and {number}")
    return np.random.default_rng([seed, number]).standard_normal(size, dtype=np.float32)


def between(start: Numbers, end: Numbers, share: float) -> Numbers:
    """The noise at ``share`` of the way from ``start`` (0) to ``end`` (1), along the great circle (Shoemake 1985).

    The length goes evenly from that of one to that of the other: in many dimensions noise lies near a sphere, and
    points of the straight line lie too far inside.
    """
    lengths = float(np.linalg.norm(start)), float(np.linalg.norm(end))
    if min(lengths) == 0:
        return (start + share * (end - start)).astype(np.float32)
    a, b = start / lengths[0], end / lengths[1]
    angle = float(np.arccos(np.clip(np.dot(a, b), -1, 1)))
    if np.sin(angle) < 1e-6:
        return (start + share * (end - start)).astype(np.float32)
    turned = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    way: Numbers = (turned * (lengths[0] + share * (lengths[1] - lengths[0]))).astype(np.float32)
    return way


class LatentModel:
    """An open latent model. Its networks are opened when they are first used.

    ``model`` is a name, a path or a `Bundle`; the other options are those of `srgan.open_session`. Codes are float32,
    N x channels x h x w, about 0 and of about unit variance: arithmetic with them is arithmetic with pictures.
    Use it from one thread at a time. It holds the networks' memory until `close` or the end of a ``with`` block.

    Raises `UnsupportedModel` for a model that enlarges, and what `srgan.open_session` raises.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Bundle,
        *,
        backend: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
    ) -> None:
        self.bundle = model if isinstance(model, Bundle) else find_model(model)
        if self.bundle.info.latent is None:
            name = self.bundle.info.name
            others = [bundle.info.name for bundle in list_models() if bundle.info.latent is not None]
            raise UnsupportedModel(
                f"{name} enlarges pictures and makes none from noise: srgan upscale IN OUT --model {name}. "
                f"Models that make pictures: {', '.join(others) or 'none is installed; give the path of a bundle'}"
            )
        self.shape: LatentInfo = self.bundle.info.latent
        self._start = partial(open_session, backend=backend, device=device, precision=precision, threads=threads)
        self._sessions: dict[str, Session] = {}
        self._closed = False

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself."""
        return self.bundle.info

    @property
    def ran_on(self) -> SessionInfo:
        """The engine and device in use. Opens the decoder, if nothing is open yet."""
        return (next(iter(self._sessions.values()), None) or self._open("decoder")).info

    def codes(self, noise: Numbers) -> Numbers:
        """The codes of ``noise``, N x `LatentInfo.noise`."""
        if noise.ndim != 2 or noise.shape[1] != self.shape.noise:
            raise ValueError(f"{self.info.name}: noise must be N x {self.shape.noise}, not {noise.shape}")
        return self._run("generator", noise[:, :, None, None], self.shape.code)

    def decode(self, codes: Numbers) -> Numbers:
        """The pictures of ``codes``: N x height x width x 3, float32 in [0, 1]. A larger code is a larger picture."""
        if codes.ndim != 4 or codes.shape[1] != self.shape.code[0] or not codes.size:
            raise ValueError(f"{self.info.name}: codes must be N x {self.shape.code[0]} x h x w, not {codes.shape}")
        height, width = (side * self.shape.reduction for side in codes.shape[2:])
        made = self._run("decoder", codes, (3, height, width))
        return np.ascontiguousarray(np.clip(made, 0, 1).transpose(0, 2, 3, 1))

    def encode(self, pictures: Numbers) -> Numbers:
        """The codes of ``pictures``, N x height x width x 3, float32 in [0, 1].

        Sides are multiples of `LatentInfo.reduction`, or `InvalidImage` is raised; `LatentInfo.side` is what the model
        was trained on.
        """
        if pictures.ndim != 4 or pictures.shape[3] != 3 or not pictures.size:
            raise ValueError(f"{self.info.name}: pictures must be N x height x width x 3, not {pictures.shape}")
        step = self.shape.reduction
        height, width = pictures.shape[1:3]
        if height % step or width % step:
            raise InvalidImage(f"{self.info.name}: sides must be multiples of {step} pixels, not {width} x {height}")
        channels = self.shape.code[0]
        return self._run("encoder", pictures.transpose(0, 3, 1, 2), (channels, height // step, width // step))

    def close(self) -> None:
        """Release the networks' memory. May be called again."""
        self._closed = True
        while self._sessions:
            self._sessions.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, part: str) -> Session:
        if self._closed:
            raise Closed(f"{self.info.name}: the model was closed; open it again")
        if part not in self._sessions:
            self._sessions[part] = self._start(self.bundle.part(part))
        return self._sessions[part]

    def _run(self, part: str, batch: Numbers, shape: tuple[int, int, int]) -> Numbers:
        """What the part makes of ``batch``. Raises `UpscaleFailed` for anything but finite numbers of that shape."""
        made = self._open(part).run(np.ascontiguousarray(batch, np.float32))
        if made.shape != (len(batch), *shape) or not np.isfinite(made).all():
            found = "values that are not finite" if made.shape == (len(batch), *shape) else f"the shape {made.shape}"
            raise UpscaleFailed(f"{self.info.name}: the {part} gave {found}; try another --backend or --device")
        return made
