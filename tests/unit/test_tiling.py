"""Tiles cover the picture once, see far enough around themselves, have one shape, and fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.tiling import Needs, Rows, Span, pad_to, spans, window_shape

needs = st.builds(
    Needs, radius=st.integers(0, 12), multiple=st.sampled_from([1, 2, 3, 4, 8]), minimum=st.integers(1, 40)
)


@given(length=st.integers(1, 400), window=st.integers(1, 450), needs=needs)
def test_what_is_kept_covers_the_axis_once_and_has_seen_what_matters(length: int, window: int, needs: Needs) -> None:
    tiles = spans(length, window, needs)
    end = needs.padded(length)

    assert [tile.keep_start for tile in tiles] == [0, *(tile.keep_stop for tile in tiles[:-1])]
    assert tiles[-1].keep_stop == length
    for tile in tiles:
        assert tile.keep_start < tile.keep_stop
        assert 0 <= tile.start <= tile.keep_start
        assert tile.keep_stop <= tile.stop <= end
        # Either the window ends where the picture ends, or it sees a radius beyond what is kept.
        assert tile.start == 0 or tile.keep_start - tile.start >= needs.radius
        assert tile.stop == end or tile.stop - tile.keep_stop >= needs.radius


@given(length=st.integers(1, 400), window=st.integers(1, 450), needs=needs)
def test_windows_are_alike_aligned_and_no_larger_than_asked(length: int, window: int, needs: Needs) -> None:
    tiles = spans(length, window, needs)
    sizes = {tile.stop - tile.start for tile in tiles}

    assert len(sizes) == 1
    assert sizes.pop() <= min(max(window, needs.shortest()), needs.padded(length))
    for tile in tiles:
        assert tile.start % needs.multiple == 0
        assert tile.stop % needs.multiple == 0
        assert tile.stop - tile.start >= needs.minimum


def test_windows_share_the_work_evenly() -> None:
    # Three windows are needed; with 100 each the last would overlap its neighbour by 60 instead of 4.
    assert spans(232, 100, Needs(radius=2)) == [
        Span(0, 80, 0, 78),
        Span(76, 156, 78, 154),
        Span(152, 232, 154, 232),
    ]


def test_a_picture_that_fits_is_one_tile_padded_to_what_the_network_takes() -> None:
    assert spans(10, 64, Needs(radius=5, multiple=4, minimum=16)) == [Span(0, 16, 0, 10)]
    assert spans(1, 1, Needs()) == [Span(0, 1, 0, 1)]


@pytest.mark.parametrize(
    ("height", "width", "pixels", "expected"),
    [
        (100, 200, 20_000, (100, 200)),  # it fits
        (1000, 1000, 10_000, (100, 100)),  # square tiles waste least
        (50, 1000, 10_000, (50, 200)),  # a flat picture: as wide as there is room for
        (1000, 50, 10_000, (200, 50)),
        (1000, 1000, 1, (21, 21)),  # never less than twice the radius and a pixel
    ],
)
def test_windows_are_as_large_as_allowed(height: int, width: int, pixels: int, expected: tuple[int, int]) -> None:
    assert window_shape(height, width, Needs(radius=10), pixels=pixels) == expected


def test_windows_keep_to_a_number_of_rows() -> None:
    assert window_shape(1000, 1000, Needs(radius=10), pixels=10_000, rows=50) == (50, 200)
    assert window_shape(1000, 1000, Needs(radius=10), pixels=10_000, rows=5) == (21, 476)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), pixels=st.integers(1, 10**6), needs=needs)
def test_windows_stay_within_the_pixels_allowed(height: int, width: int, pixels: int, needs: Needs) -> None:
    high, wide = window_shape(height, width, needs, pixels=pixels)
    shortest = needs.shortest()

    assert high % needs.multiple == wide % needs.multiple == 0
    assert min(high, needs.padded(height)) >= min(shortest, needs.padded(height))
    if min(high, wide) > shortest:
        assert high * wide <= pixels
    if needs.padded(height) * needs.padded(width) <= pixels:
        assert (high, wide) == (needs.padded(height), needs.padded(width))


@given(
    heights=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    steps=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), min_size=1, max_size=20),
)
def test_rows_come_out_as_they_went_in(heights: list[int], steps: list[tuple[int, int]]) -> None:
    whole = np.arange(sum(heights), dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    ends = np.cumsum(heights)
    rows = Rows(whole[end - height : end] for height, end in zip(heights, ends, strict=True))
    top = 0
    for down, count in steps:
        top = min(top + down, len(whole) - 1)
        bottom = min(top + count, len(whole))
        assert np.array_equal(rows.take(top, bottom), whole[top:bottom])


def test_rows_that_were_given_up_are_not_made_up() -> None:
    rows = Rows([np.zeros((9, 1, 1), np.float32)])
    rows.take(5, 6)

    with pytest.raises(ValueError, match="row 4 was given up"):
        rows.take(4, 6)


def test_rows_above_the_window_are_forgotten() -> None:
    alive = 0

    class Strip(np.ndarray):  # type: ignore[type-arg]
        def __del__(self) -> None:
            nonlocal alive
            alive -= self.base is None

    def strips() -> Iterator[np.ndarray]:  # type: ignore[type-arg]
        nonlocal alive
        for _ in range(100):
            alive += 1
            yield np.ndarray.__new__(Strip, (10, 4, 3), np.float32)

    rows = Rows(strips())
    most = 0
    for top in range(0, 980, 7):
        rows.take(top, top + 20)
        most = max(most, alive)

    assert 1 < most <= 5


def test_padding_repeats_the_last_row_and_column() -> None:
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3, 1)

    assert pad_to(pixels, 4, 4)[..., 0].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
    assert pad_to(pixels, 2, 3) is pixels
