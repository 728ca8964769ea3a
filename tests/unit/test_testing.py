"""The fakes do what they say, and the check of sessions finds each kind of broken one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from srgan.errors import OutOfMemory, UpscaleFailed
from srgan.testing import BlurSession, FaultySession, NearestSession, assert_batch, assert_session


def batch(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape or (1, 3, 6, 8), dtype=np.float32)


def test_nearest_repeats_pixels() -> None:
    session = NearestSession(3)

    assert np.array_equal(session.run(batch()), np.kron(batch(), np.ones((3, 3), np.float32)))
    assert session.shapes == [(1, 3, 6, 8)]


def test_blur_averages_what_is_within_its_radius_and_inside_the_batch() -> None:
    point = np.zeros((1, 3, 7, 7), np.float32)
    point[..., 3, 0] = 1

    blurred = BlurSession(1, radius=2).run(point)

    down, across = [0, 1 / 8, 2 / 9, 3 / 9, 2 / 9, 1 / 8, 0], [3 / 6, 2 / 8, 1 / 9, 0, 0, 0, 0]
    assert np.allclose(blurred[0, 0], np.outer(down, across), atol=1e-6)


def test_blur_is_defined_for_pictures_smaller_than_its_radius() -> None:
    assert BlurSession(2, radius=4).run(np.ones((1, 3, 1, 2), np.float32)).tolist() == np.ones((1, 3, 2, 4)).tolist()


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("nan", lambda out: np.isnan(out).any()),
        ("infinity", lambda out: np.isinf(out).any()),
        ("shape", lambda out: out.shape == (1, 3, 12, 15)),
        ("flat", lambda out: np.ptp(out) == 0 and out.any()),
        ("black", lambda out: not out.any()),
    ],
)
def test_each_fault_looks_like_its_name(fault: Any, check: Any) -> None:
    session = FaultySession(NearestSession(), fault)

    assert check(session.run(batch()))
    assert session.failures == 1


def test_faults_come_when_they_are_asked_for() -> None:
    session = FaultySession(NearestSession(), "memory", when=lambda batch: batch.shape[2] > 6)

    assert np.array_equal(session.run(batch()), NearestSession().run(batch()))
    with pytest.raises(OutOfMemory):
        session.run(batch(1, 3, 8, 8))
    assert session.failures == 1
    with pytest.raises(UpscaleFailed, match="the device was lost"):
        FaultySession(NearestSession(), "error").run(batch())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (batch().astype(np.float64), "float32"),
        (batch()[0], "N x C"),
        (batch(1, 1, 6, 8), "channels"),
        (batch(1, 3, 2, 8), "less than 4"),
        (batch(1, 3, 5, 8), "multiple of 2"),
        (batch() * np.nan, "finite"),
        (batch() - 0.5, "in .0, 1"),
        (batch() + 0.5, "in .0, 1"),
    ],
)
def test_a_batch_that_no_session_need_take_is_refused(wrong: np.ndarray, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        NearestSession(multiple=2, minimum=4).run(wrong)
    assert_batch(NearestSession(multiple=2, minimum=4).info, batch())


@pytest.mark.parametrize(
    "session",
    [NearestSession(), NearestSession(1, channels=1, multiple=4, minimum=9), BlurSession(3, radius=4, multiple=2)],
)
def test_good_sessions_pass(session: Any) -> None:
    assert_session(session)


class Broken(NearestSession):
    def __init__(self, spoil: Any, **claims: Any) -> None:
        super().__init__(**claims)
        self._spoil = spoil

    def run(self, batch: np.ndarray) -> np.ndarray:
        result: np.ndarray = self._spoil(super().run(batch), batch)
        return result


class StaysOpen(NearestSession):
    def close(self) -> None:
        pass


def fade() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Each run darker than the one before."""
    runs = itertools.count(1)
    return lambda out, _: out / np.float32(next(runs))


def write_input(out: np.ndarray, batch: np.ndarray) -> np.ndarray:
    batch *= 0.5
    return out


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (Broken(lambda out, _: out.astype(np.float64)), "is float64"),
        (Broken(lambda out, _: out[..., 1:]), "has the shape"),
        (Broken(lambda out, _: out / 0), "not numbers"),
        (Broken(write_input), "input was changed"),
        (Broken(fade()), "second run"),
        (Broken(lambda out, batch: out * batch.flags.c_contiguous), "not contiguous"),
        (Broken(lambda out, _: out - out.mean(axis=0)), "influence each other"),
        (BlurSession(radius=3, claimed_radius=2), "beyond the radius 2 matter"),
        (StaysOpen(), "closed still runs"),
    ],
)
def test_each_kind_of_broken_session_is_found(session: Any, message: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match=message):
        assert_session(session)


def test_the_fakes_have_the_shape_of_a_session() -> None:
    from srgan.runtime.session import Session

    sessions: list[Session] = [NearestSession(), BlurSession(), FaultySession(NearestSession(), "nan")]
    for session in sessions:
        assert replace(session.info, model="x").scale == 2
