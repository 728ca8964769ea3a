"""The distances between sets, against closed forms and the plain sums."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.metrics.distribution import frechet_distance, kernel_distance


def vectors(count: int, length: int = 5, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, length))


def plain_kernel_distance(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def kernel(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
        return float((p @ q / len(p) + 1) ** 3)

    within = [kernel(p, q) for s in (x,) for i, p in enumerate(s) for j, q in enumerate(s) if i != j]
    others = [kernel(p, q) for s in (y,) for i, p in enumerate(s) for j, q in enumerate(s) if i != j]
    between = [kernel(p, q) for p in x for q in y]
    return float(np.mean(within) + np.mean(others) - 2 * np.mean(between))


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
def test_both_are_symmetric_and_grow_with_the_shift(measure: object) -> None:
    assert callable(measure)
    a, b = vectors(300), vectors(200, seed=1)
    assert measure(a, b) == pytest.approx(measure(b, a))
    values = [measure(a, b + shift) for shift in (0, 0.3, 0.6, 1.2)]
    assert values == sorted(values)
    assert values[-1] > 10 * abs(values[0])


def test_a_set_is_at_no_frechet_distance_from_itself() -> None:
    assert frechet_distance(vectors(100), vectors(100)) == pytest.approx(0, abs=1e-9)


def test_frechet_of_a_shift_is_its_square_and_of_a_stretch_that_of_the_deviations() -> None:
    a = vectors(1000, 3)
    assert frechet_distance(a, a + np.array([3, 4, 0])) == pytest.approx(25)
    deviations = a.std(0, ddof=1)
    stretched = a * np.array([2, 1, 1])
    gap = a.mean(0)[0] ** 2
    assert frechet_distance(a, stretched) == pytest.approx(deviations[0] ** 2 + gap, rel=0.01)


def test_frechet_is_real_for_fewer_vectors_than_dimensions() -> None:
    value = frechet_distance(vectors(4, 20), vectors(5, 20, seed=1))
    assert np.isfinite(value)
    assert value > 1


def test_the_kernel_distance_is_its_definition() -> None:
    a, b = vectors(12, 4), vectors(9, 4, seed=1) * 2
    assert kernel_distance(a, b) == pytest.approx(plain_kernel_distance(a, b))


def test_the_kernel_distance_in_strips_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = vectors(40), vectors(31, seed=1)
    whole = kernel_distance(a, b)
    monkeypatch.setattr("srgan.metrics.distribution._ROWS", 7)
    assert kernel_distance(a, b) == pytest.approx(whole)


def test_the_kernel_distance_of_two_halves_is_nothing_on_average() -> None:
    values = [kernel_distance(vectors(40, seed=k), vectors(40, seed=k + 1000)) for k in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    assert min(values) < 0, "it is unbiased, so not always above"


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("shapes", [((1, 5), (9, 5)), ((9, 5), (9, 4)), ((9,), (9,))])
def test_sets_that_cannot_be_compared(measure: object, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="at least two vectors"):
        measure(np.ones(shapes[0]), np.ones(shapes[1]))
