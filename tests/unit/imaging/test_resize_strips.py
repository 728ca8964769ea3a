"""Resampling strip by strip gives what resampling the whole picture gives, and asks for rows in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.imaging import resize, resize_strips

KERNELS = ["bicubic", "lanczos", "bilinear", "nearest", "box"]


@given(
    kernel=st.sampled_from(KERNELS),
    size_in=st.tuples(st.integers(1, 300), st.integers(1, 12)),
    size_out=st.tuples(st.integers(1, 400), st.integers(1, 12)),
    channels=st.integers(1, 5),
)
def test_strips_are_the_whole_picture_and_rows_are_taken_from_top_to_bottom(
    kernel: Any, size_in: tuple[int, int], size_out: tuple[int, int], channels: int
) -> None:
    pixels = np.random.default_rng(1).random((*size_in, channels), dtype=np.float32)
    tops = [0]

    def take(top: int, bottom: int) -> np.ndarray:
        assert tops[-1] <= top < bottom <= size_in[0]
        tops.append(top)
        return pixels[top:bottom]

    strips = list(resize_strips(take, size_in, *size_out, channels, kernel))

    assert np.array_equal(np.concatenate(strips), resize(pixels, *size_out, kernel))
    assert all(strip.dtype == np.float32 for strip in strips)


def test_a_strip_touches_few_rows_of_a_tall_picture() -> None:
    spans = []

    def take(top: int, bottom: int) -> np.ndarray:
        spans.append(bottom - top)
        return np.zeros((bottom - top, 2, 1), np.float32)

    for _ in resize_strips(take, (10_000, 2), 5_000, 2, 1, "lanczos"):
        pass

    assert max(spans) < 300


@pytest.mark.parametrize(("height", "kernel"), [(0, "bicubic"), (3, "sharp")])
def test_what_resize_refuses_is_refused(height: int, kernel: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be made|no kernel"):
        next(resize_strips(lambda top, bottom: np.zeros((1, 1, 1), np.float32), (1, 1), height, 1, 1, kernel))
