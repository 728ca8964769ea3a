"""What an enlargement must not change of its input."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.evaluation.against_input import JUDGES, colour_shift, consistency
from srgan.imaging import resize
from srgan.metrics import delta_e_2000, to_lab
from srgan.metrics.judges import FIGURES

RANDOM = np.random.default_rng(4)
SMALL = resize(RANDOM.random((4, 4, 3)) * 0.4 + 0.3, 24, 20)


def enlarged(scale: int = 4) -> NDArray[np.float64]:
    return resize(SMALL, 24 * scale, 20 * scale)


def test_there_is_a_judge_for_each_figure_of_this_kind() -> None:
    assert set(JUDGES) == {name for name, figure in FIGURES.items() if figure.kind == "input"}


def test_another_shade_all_over_is_its_own_difference() -> None:
    """Moved away from gray by some levels: what the shrunk pictures differ by, and less of it where it is less."""
    shade = np.array([0.02, 0.0, -0.02])
    wanted = float(delta_e_2000(to_lab(SMALL + shade), to_lab(SMALL)).mean())
    plain = colour_shift(enlarged(), SMALL)
    assert colour_shift(enlarged() + shade, SMALL) == pytest.approx(wanted, abs=plain)
    assert colour_shift(enlarged() + shade / 4, SMALL) < 0.5 * wanted
    assert wanted > 1


def test_detail_that_shrinking_takes_away_is_no_shift() -> None:
    checkers = 0.05 * (np.indices((96, 80)).sum(0) % 2 * 2 - 1)[..., None]
    assert colour_shift(enlarged() + checkers, SMALL) == pytest.approx(colour_shift(enlarged(), SMALL), abs=0.05)


def test_gray_is_compared_as_colour_is() -> None:
    gray, large = SMALL[..., :1], enlarged()[..., :1] + 0.01
    assert colour_shift(large, gray) == pytest.approx(colour_shift(large.repeat(3, 2), gray.repeat(3, 2)))
    assert consistency(large, gray) == pytest.approx(consistency(large.repeat(3, 2), gray.repeat(3, 2)))


@pytest.mark.parametrize("scale", [2, 4])
def test_the_grid_is_looked_for_at_the_scale_of_the_pair(scale: int) -> None:
    small = np.full((64, 64, 1), 0.5)
    marks = np.zeros((64 * scale, 64 * scale, 1))
    marks[::scale, ::scale] = 0.1
    assert JUDGES["grid"](np.full_like(marks, 0.5), small) == pytest.approx(1)
    assert JUDGES["grid"](0.5 + marks, small) > 100
