"""Bands must be invisible: the same pixels, whatever the number of threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from srgan import tiling
from srgan.runtime.bands import MOST_WASTE, Bands, cut
from srgan.testing import BlurSession

Pixels = NDArray[np.float32]


def picture(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * 1000 + width).random((3, height, width), np.float32)


@given(
    length=st.integers(1, 700),
    radius=st.integers(0, 20),
    multiple=st.sampled_from([1, 2, 4]),
    threads=st.integers(1, 9),
)
def test_bands_cover_the_axis_once_and_waste_little(length: int, radius: int, multiple: int, threads: int) -> None:
    length *= multiple
    needs = tiling.Needs(radius=radius, multiple=multiple)

    spans, each = cut(length, needs, threads)

    kept = [row for span in spans for row in range(span.keep_start, span.keep_stop)]
    assert kept == list(range(length))
    assert all(span.start >= 0 and span.stop <= length and span.start % multiple == 0 for span in spans)
    assert 1 <= len(spans) * each <= threads
    assert len(spans) == 1 or sum(span.stop - span.start for span in spans) <= MOST_WASTE * length


def test_a_long_axis_gets_a_band_for_each_thread_and_a_short_one_keeps_the_engines_threads() -> None:
    needs = tiling.Needs(radius=11)

    long, one_each = cut(512, needs, 2)
    short, all_of_them = cut(100, needs, 2)

    assert (len(long), one_each) == (2, 1)
    assert (len(short), all_of_them) == (1, 2)


def test_threads_that_are_not_a_band_work_within_the_bands() -> None:
    spans, each = cut(700, tiling.Needs(radius=11), 8)

    assert 1 < len(spans) < 8
    assert each == 8 // len(spans)


@pytest.mark.parametrize("shape", [(400, 37), (37, 400), (400, 400)])
def test_the_result_is_that_of_the_whole_picture(shape: tuple[int, int]) -> None:
    session = BlurSession(scale=3, radius=4, multiple=1)
    bands = Bands(3, tiling.Needs(radius=4), 3)
    seen: list[tuple[int, ...]] = []

    def run(window: Pixels, threads: int) -> Pixels:
        seen.append((*window.shape, threads))
        return session.run(window[None])[0]

    out = bands.enlarge(picture(*shape), run)

    assert len(seen) == 3
    assert all(entry[-1] == 1 for entry in seen)
    np.testing.assert_allclose(out, session.run(picture(*shape)[None])[0], atol=1e-6)


def test_bands_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)

    def run(window: Pixels, threads: int) -> Pixels:
        both.wait()  # passes only when two are here together
        return window

    out = Bands(2, tiling.Needs(), 1).enlarge(picture(64, 8), run)

    np.testing.assert_array_equal(out, picture(64, 8))


def test_one_thread_sees_the_whole_picture() -> None:
    shapes: list[tuple[int, ...]] = []

    def run(window: Pixels, threads: int) -> Pixels:
        shapes.append((*window.shape, threads))
        return window

    Bands(1, tiling.Needs(), 1).enlarge(picture(640, 8), run)

    assert shapes == [(3, 640, 8, 1)]


def test_a_band_without_memory_makes_no_picture() -> None:
    def run(window: Pixels, threads: int) -> Pixels | None:
        return window if np.array_equal(window[:, 0], picture(640, 8)[:, 0]) else None

    assert Bands(2, tiling.Needs(), 1).enlarge(picture(640, 8), run) is None


def test_an_error_waits_for_the_other_bands() -> None:
    ended = threading.Event()
    begun = threading.Event()

    def run(window: Pixels, threads: int) -> Pixels:
        if np.array_equal(window[:, 0], picture(640, 8)[:, 0]):
            begun.wait(20)
            raise ValueError("the first band")
        begun.set()
        ended.wait(0.2)
        ended.set()
        return window

    with pytest.raises(ValueError, match="the first band"):
        Bands(2, tiling.Needs(), 1).enlarge(picture(640, 8), run)
    assert ended.is_set()


def test_without_needs_nothing_is_cut() -> None:
    """What makes something other than an enlarged picture gets the whole, with all the threads."""
    given: list[tuple[tuple[int, ...], int]] = []

    def run(window: Pixels, threads: int) -> Pixels:
        given.append((window.shape, threads))
        return np.ones((7, 4, 4), np.float32)

    bands = Bands(3, None, 1)
    made = bands.enlarge(picture(500, 20), run)
    bands.close()

    assert given == [((3, 500, 20), 3)]
    assert made is not None
    assert made.shape == (7, 4, 4)
