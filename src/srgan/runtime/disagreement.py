"""Where the members of an ensemble disagree: each invents something else, and what is there they all show.

The measure is the standard deviation, over the members, of the luma of each pixel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from srgan.runtime.faults import refuse_faulty
from srgan.runtime.session import Session, SessionInfo

Batch = NDArray[np.float32]

FULL = 16 / 255
"""The disagreement from which on `Trust` gives all that it may to the PSNR member."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


def disagreement(members: Batch, channels: int) -> Batch:
    """Standard deviation of the luma over the ``members``, whose pictures are N x (K * ``channels``) x H x W.

    The result is N x 1 x H x W, in the units of the pictures and at most half of their range. A single channel is the
    luma itself.
    """
    count, planes, height, width = members.shape
    pictures = members.reshape(count, planes // channels, channels, height, width)
    luma = pictures[:, :, 0] if channels == 1 else np.einsum("nkchw,c->nkhw", pictures, _LUMA, optimize=True)
    deviation: Batch = luma.std(axis=1, keepdims=True)
    return deviation


class Disagreement:
    """A map in the place of a picture: `disagreement` at each pixel, the same in all channels.

    ``session`` gives the output ``members``. May be used from as many threads as that.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def info(self) -> SessionInfo:
        return replace(_enlarged_memory(self._session.info), picture=False)

    def run(self, batch: Batch) -> Batch:
        """See `Session.run`. A member's picture that cannot be right raises `UpscaleFailed`."""
        members = _sound(self._session, batch, self._session.run(batch))
        shape = len(batch), self._session.info.channels, *members.shape[2:]
        return np.ascontiguousarray(np.broadcast_to(disagreement(members, shape[1]), shape))

    def close(self) -> None:
        """Close the session inside."""
        self._session.close()


class Trust:
    """A picture that is blended towards the PSNR member where the members disagree.

    ``session`` gives a picture and ``members``, the PSNR member first. At each pixel the result is
    picture + w * (PSNR member - picture) with w = ``trust`` * min(1, disagreement / `FULL`); ``trust`` is 0 to 1.
    May be used from as many threads as ``session``.
    """

    def __init__(self, session: Session, trust: float) -> None:
        self._session = session
        self._trust = np.float32(trust)

    @property
    def info(self) -> SessionInfo:
        inner = self._session.info
        return replace(_enlarged_memory(inner), outputs=inner.outputs[:1])

    def run(self, batch: Batch) -> Batch:
        """See `Session.run`. A picture or member that cannot be right raises `UpscaleFailed`: a blend would hide it."""
        channels = self._session.info.channels
        made = _sound(self._session, batch, self._session.run(batch))
        picture, members = made[:, :channels], made[:, channels:]
        weight = disagreement(members, channels)
        weight *= np.float32(1 / FULL)
        np.minimum(weight, 1, out=weight)
        weight *= self._trust
        blended = members[:, :channels] - picture
        blended *= weight
        blended += picture
        return blended

    def close(self) -> None:
        """Close the session inside."""
        self._session.close()


def _sound(session: Session, batch: Batch, made: Batch) -> Batch:
    """``made`` of ``batch`` when each of its pictures can be right."""
    channels = session.info.channels
    for first in range(0, max(made.shape[1], 1), channels):
        refuse_faulty(session.info, batch, made[:, first : first + channels])
    return made


def _enlarged_memory(info: SessionInfo) -> SessionInfo:
    """``info`` with room for the lumas, the result and what leads to it, beside what the run itself needs."""
    more = 4 * 8 * info.channels * info.scale * info.scale
    return replace(info, working_bytes_per_pixel=info.working_bytes_per_pixel + more)
