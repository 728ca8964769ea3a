"""How large results are, and how often the network runs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.errors import InvalidConfig
from srgan.upscaler import output_size
from srgan.upscaler.sizes import count_runs, needed_scale


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, (400, 800)),
        ({"scale": 2.5}, (250, 500)),
        ({"scale": 0.25}, (25, 50)),
        ({"scale": 1e-9}, (1, 1)),
        ({"width": 300}, (150, 300)),
        ({"height": 301}, (301, 602)),
        ({"width": 7, "height": 900}, (900, 7)),
        ({"long_side": 1000}, (500, 1000)),
        ({"width": 1}, (1, 1)),
    ],
)
def test_every_way_to_say_a_size(wanted: Any, expected: tuple[int, int]) -> None:
    assert output_size((100, 200), **wanted) == expected


def test_the_long_side_of_an_upright_picture_is_its_height() -> None:
    assert output_size((200, 100), long_side=1000) == (1000, 500)


def test_halves_are_rounded_up() -> None:
    assert output_size((5, 3), scale=1.5) == (8, 5)


@pytest.mark.parametrize(
    "wanted",
    [
        {"scale": 2, "width": 300},
        {"scale": 2, "long_side": 300},
        {"height": 2, "long_side": 300},
        {"scale": 0},
        {"scale": -2},
        {"scale": math.nan},
        {"scale": math.inf},
        {"width": 0},
        {"height": -1},
        {"long_side": 2.5},
        {"width": 10**7},
        {"scale": 10**6},
        {"width": 500_000, "height": None},
    ],
)
def test_sizes_that_make_no_sense_are_refused(wanted: Any) -> None:
    with pytest.raises(InvalidConfig, match=r"Give only one|must be|limit"):
        output_size((300, 100), **wanted)


@pytest.mark.parametrize(
    ("network", "needed", "runs"),
    [
        (4, 4, 1),
        (4, 3, 1),
        (4, 1.01, 1),
        (4, 1, 0),  # nothing to enlarge
        (4, 0.5, 0),
        (4, 4.21, 1),  # all beyond 4 is the resampler's
        (4, 64, 1),
        (8, 64, 1),
        (2, 2.4, 1),  # so are 20 %
        (2, 2.41, 2),
        (2, 4, 2),
        (2, 8, 2),
        (3, 3.6, 1),
        (3, 3.61, 2),
        (3, 27, 2),
        (1, 1, 1),  # a network that only restores
        (1, 4, 1),
        (1, 0.5, 1),
    ],
)
def test_the_network_runs_as_often_as_needed(network: int, needed: float, runs: int) -> None:
    assert count_runs(network, needed) == runs


@given(network=st.integers(2, 16), needed=st.floats(0.01, 5000))
def test_runs_reach_the_size_and_one_less_would_not(network: int, needed: float) -> None:
    runs = count_runs(network, needed)

    assert network**runs * 1.2 >= needed or network**runs >= 4
    assert runs < 2 or (network ** (runs - 1) * 1.2 < needed and network ** (runs - 1) < 4)


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), by=st.sampled_from(["width", "height", "long_side"]))
def test_exactly_the_networks_own_factor_is_one_run_whoever_asks_for_it(width: int, height: int, by: str) -> None:
    side = {"width": width, "height": height, "long_side": max(width, height)}[by]
    size = output_size((height, width), **{by: 4 * side})  # type: ignore[arg-type]

    assert size == (4 * height, 4 * width)
    assert count_runs(4, needed_scale((height, width), size)) == 1


def test_the_side_that_grows_most_decides() -> None:
    assert needed_scale((100, 100), (50, 300)) == 3
    assert needed_scale((100, 100), (300, 50)) == 3
