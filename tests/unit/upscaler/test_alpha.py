"""Transparency neither fringes nor leaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.upscaler.alpha import bound_alpha, extend_colour, unweigh, weigh

WHITE = (1.0, 1.0, 1.0, 0.0)
RED = (1.0, 0.0, 0.0, 1.0)
BLUE = (0.0, 0.0, 1.0, 1.0)


def row(*pixels: tuple[float, ...]) -> np.ndarray:
    return np.array([pixels], np.float32)


def test_visible_colour_is_continued_and_nothing_else_changes() -> None:
    extended = extend_colour(row(WHITE, WHITE, WHITE, RED, (0.2, 0.4, 0.6, 0.01)), 2)

    assert extended[0, :, :3].tolist()[:3] == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert np.array_equal(extended[0, 3:], row(RED, (0.2, 0.4, 0.6, 0.01))[0])
    assert extended[0, :, 3].tolist() == pytest.approx([0, 0, 0, 1, 0.01])


def test_between_two_colours_lies_their_mean() -> None:
    extended = extend_colour(row(RED, WHITE, BLUE), 1)

    assert extended[0, 1].tolist() == [0.5, 0, 0.5, 0]


def test_a_pixel_between_is_filled_once_from_all_around() -> None:
    pixels = np.ones((3, 3, 2), np.float32)
    pixels[..., 0] = np.arange(9).reshape(3, 3) / 8
    pixels[1, 1] = (0.9, 0)

    assert extend_colour(pixels, 5)[1, 1, 0] == pytest.approx(0.5)


def test_an_opaque_or_an_invisible_picture_is_left_as_it_is() -> None:
    opaque, invisible = row(RED, BLUE), row(WHITE, WHITE)

    assert extend_colour(opaque, 9) is opaque
    assert extend_colour(invisible, 9) is invisible


@given(
    seed=st.integers(0, 1000),
    distance=st.integers(1, 4),
    top=st.integers(0, 30),
    channels=st.sampled_from([2, 4]),
)
def test_a_part_is_filled_as_the_whole_when_it_sees_that_far(seed: int, distance: int, top: int, channels: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.random((40, 30, channels), dtype=np.float32)
    pixels[..., -1] = np.where(random.random((40, 30)) < 0.05, pixels[..., -1], 0)
    start, bottom = max(0, top - distance), min(40, top + 5 + distance)

    part = extend_colour(pixels[start:bottom], distance)[top - start : top - start + 5]

    assert np.array_equal(part, extend_colour(pixels, distance)[top : top + 5])


def test_alpha_is_bounded_by_its_surroundings() -> None:
    alpha = np.array([[0, 0, 0, 0.5, 1, 1, 1]], np.float32)[..., None]
    overshooting = np.array([[-0.1, 0.02, 0.1, 0.1, -0.2, 0.3, 0.4, 0.6, 0.7, 1.3, 0.9, 0.9, 1.2, 0.98]], np.float32)

    bounded = bound_alpha(np.repeat(overshooting, 2, axis=0)[..., None], alpha, 2)

    expected = [0, 0, 0, 0, 0, 0.3, 0.4, 0.6, 0.7, 1, 1, 1, 1, 1]
    assert bounded.shape == (2, 14, 1)
    assert bounded[0, :, 0].tolist() == bounded[1, :, 0].tolist() == pytest.approx(expected)


def test_alpha_is_bounded_by_the_rows_around_too() -> None:
    alpha = np.zeros((5, 5, 1), np.float32)
    alpha[1, 1] = 1

    bounded = bound_alpha(np.full((5, 5, 1), 0.5, np.float32), alpha, 1)

    assert bounded[..., 0].tolist() == [[0.5, 0.5, 0.5, 0, 0]] * 3 + [[0] * 5] * 2


def test_alpha_is_exact_between_pixels_that_agree_right_beside_an_edge() -> None:
    alpha = np.array([[0, 0, 1, 1]] * 2, np.float32)[..., None]

    bounded = bound_alpha(np.full((8, 16, 1), 0.5, np.float32), alpha, 4)

    expected = [0] * 6 + [0.5] * 4 + [1] * 6
    assert bounded[..., 0].tolist() == [expected] * 8


@pytest.mark.parametrize(("scale", "free"), [(1, [1, 2, 3]), (2, [3, 4, 5, 6]), (3, [4, 5, 6, 7, 8, 9, 10])])
def test_alpha_is_free_as_far_as_the_halves_of_its_pixels_reach(scale: int, free: list[int]) -> None:
    alpha = np.array([[0, 0, 1, 0, 0]], np.float32)[..., None]

    bounded = bound_alpha(np.full((scale, 5 * scale, 1), 0.5, np.float32), alpha, scale)

    assert np.flatnonzero(bounded[0, :, 0] == 0.5).tolist() == free


def test_a_pale_line_may_become_an_opaque_thinner_one() -> None:
    alpha = np.array([[0, 0, 0.5, 0, 0]], np.float32)[..., None]
    thin = np.array([[0, 0, 0, 0, 1.2, 0, -0.1, 0, 0, 0]] * 2, np.float32)[..., None]

    bounded = bound_alpha(thin, alpha, 2)

    assert bounded[0, :, 0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert thin.max() > 1, "the network's own array is left alone"


def test_a_view_that_is_not_contiguous_is_bounded_as_well() -> None:
    alpha = np.ones((3, 2, 1), np.float32)
    enlarged = np.zeros((1, 4, 6), np.float32).transpose(2, 1, 0)

    assert (bound_alpha(enlarged, alpha, 2) == 1).all()


def test_resampled_colours_count_as_much_as_they_are_visible() -> None:
    pixels = row((0.0, 1.0, 0.0, 0.25), (1.0, 0.0, 0.0, 0.75), (0.3, 0.3, 0.3, 0.0), (0.5, 0.5, 0.5, 0.0))
    halves = weigh(pixels).reshape(1, 2, 2, 7).mean(axis=2)

    small = unweigh(halves)

    assert small[0, 0].tolist() == pytest.approx([0.75, 0.25, 0, 0.5])
    assert small[0, 1].tolist() == pytest.approx([0.4, 0.4, 0.4, 0])


def test_weighing_and_back_changes_nothing() -> None:
    pixels = np.random.default_rng(0).random((4, 5, 2), dtype=np.float32)

    assert np.allclose(unweigh(weigh(pixels)), pixels, atol=1e-6)
