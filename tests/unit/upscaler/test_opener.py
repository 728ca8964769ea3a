"""Models that are opened when a picture needs them, kept for the next, and closed."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import srgan
from srgan.errors import Closed, InvalidImage
from srgan.imaging import Picture, blank
from srgan.testing import NearestSession
from srgan.upscaler.opener import MOST_OPEN, Models


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_a_model_is_opened_once_for_all_pictures_that_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.runtime.open_session", lambda model, *, scale, **options: NearestSession(2))
    models = Models("fast")
    picture = Picture(pixels=blank(10, 10, 3))

    assert models(picture, {"scale": 4}) is models(picture, {"long_side": 35})  # fast-x4, both
    assert models(picture, {"scale": 4}) is not models(picture, {"scale": 2})  # fast-x2


def test_what_one_picture_asks_for_is_not_what_the_next_one_gets() -> None:
    models = Models("fast", device="cpu")
    picture = Picture(pixels=blank(4, 4, 3))

    assert models(picture, {"scale": 3}).scale == 4
    assert models(picture, {}).scale == 4
    assert Models("bicubic")(picture, {"scale": 7}).info.scale == 7


@pytest.fixture
def opened_sessions(monkeypatch: pytest.MonkeyPatch) -> list[NearestSession]:
    """Every session that is opened from now on, of resamplers of any scale."""
    sessions: list[NearestSession] = []

    def open_session(model: str, *, scale: float, **options: Any) -> NearestSession:
        sessions.append(NearestSession(round(scale)))
        return sessions[-1]

    monkeypatch.setattr("srgan.runtime.open_session", open_session)
    return sessions


def test_no_more_models_stay_open_than_are_needed(opened_sessions: list[NearestSession]) -> None:
    models, picture = Models("bicubic"), Picture(pixels=blank(2, 2, 3))

    for scale in range(2, 2 + MOST_OPEN):
        models(picture, {"scale": scale})
    assert not any(session.closed for session in opened_sessions)
    models(picture, {"scale": 2})  # asked for again: the one of 3 is the next to go
    models(picture, {"scale": 100})
    models(picture, {"scale": 2})

    assert [session.info.scale for session in opened_sessions if session.closed] == [3]
    assert len(opened_sessions) == MOST_OPEN + 1


def test_a_model_that_is_in_use_is_closed_after_that(opened_sessions: list[NearestSession]) -> None:
    models, picture = Models("bicubic"), Picture(pixels=blank(20, 20, 3))
    strips = models(picture, {"scale": 2}).strips(picture.pixels, scale=2)
    first = next(strips)
    for scale in range(3, 4 + MOST_OPEN):
        models(picture, {"scale": scale})

    assert not opened_sessions[0].closed
    assert sum(len(strip) for strip in [first, *strips]) == 40
    del strips
    gc.collect()
    assert opened_sessions[0].closed


def test_closed_models_open_no_more(opened_sessions: list[NearestSession]) -> None:
    picture = Picture(pixels=blank(2, 2, 3))
    with Models("bicubic") as models:
        upscaler = models(picture, {"scale": 2})
    models.close()

    assert opened_sessions[0].closed
    with pytest.raises(Closed, match="open them again"):
        models(picture, {"scale": 2})
    with pytest.raises(Closed):
        upscaler.upscale(picture)


def test_a_call_leaves_nothing_open(opened_sessions: list[NearestSession]) -> None:
    kept = NearestSession(2)

    srgan.upscale(noise(4, 4), "bicubic", scale=2)
    srgan.upscale(noise(4, 4), kept)
    with pytest.raises(InvalidImage):
        srgan.upscale(noise(4, 4).astype(np.int32), "bicubic", scale=2)

    assert all(session.closed for session in opened_sessions)
    assert not kept.closed, "who opened it closes it"
