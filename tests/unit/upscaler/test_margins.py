"""A margin is there for the network and gone from the result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from srgan.testing import NearestSession
from srgan.upscaler import Upscaler
from srgan.upscaler.margins import continued, inside

Pixels = NDArray[np.float32]


def cut(pixels: Pixels, places: list[int]) -> list[Pixels]:
    return list(np.split(pixels, sorted({place % len(pixels) for place in places} - {0})))


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 9),
    margin=st.integers(0, 5),
    places=st.lists(st.integers(0, 40), max_size=4),
)
def test_continuing_mirrors_the_border_and_cutting_undoes_it(
    height: int, width: int, margin: int, places: list[int]
) -> None:
    pixels = np.random.default_rng(height * 100 + width).random((height, width, 3), np.float32)

    around = list(continued(iter(cut(pixels, places)), margin))
    back = list(inside(iter(cut(np.concatenate(around), places)), margin, height))

    expected = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(np.concatenate(around), expected)
    np.testing.assert_array_equal(np.concatenate(back), pixels)
    assert all(len(strip) for strip in back)


class Darkening(NearestSession):
    """Wrong beside the border, as networks are that see zeros beyond it."""

    def __init__(self, margin: int) -> None:
        super().__init__(2, radius=4)
        self.info = replace(self.info, margin=margin)

    def run(self, batch: Pixels) -> Pixels:
        out = super().run(batch).copy()
        out[..., :4] = out[..., -4:] = out[..., :4, :] = out[..., -4:, :] = 0.25
        return out


@pytest.mark.parametrize("tile", [None, 24])
@pytest.mark.parametrize("size", [(40, 30), (1, 1), (3, 50)])
@pytest.mark.parametrize("scale", [2, 4, 3])
def test_a_network_that_is_wrong_at_the_border_gets_a_margin(
    tile: int | None, size: tuple[int, int], scale: int
) -> None:
    pixels = np.full((*size, 3), 0.75, np.float32)

    with_margin = np.concatenate(list(Upscaler(Darkening(2), tile=tile).strips(pixels, scale=scale)))
    without = np.concatenate(list(Upscaler(Darkening(0), tile=tile).strips(pixels, scale=scale)))

    assert with_margin.shape == (size[0] * scale, size[1] * scale, 3)
    np.testing.assert_allclose(with_margin, 0.75, atol=1e-6)
    assert without.min() < 0.5


def test_progress_ends_at_the_whole_with_a_margin() -> None:
    told: list[tuple[int, int]] = []
    session = NearestSession(2, radius=4)
    session.info = replace(session.info, margin=3)

    list(
        Upscaler(session, tile=16).strips(
            np.zeros((40, 30, 3), np.float32), report=lambda step: told.append((step.done, step.total))
        )
    )

    assert told[0] == (0, 46 * 36)
    assert told[-1] == (46 * 36, 46 * 36)
    assert told == sorted(told)
