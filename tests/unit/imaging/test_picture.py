"""`Picture` and the rule between floats and integers."""

from __future__ import annotations

import numpy as np
import pytest

from srgan.errors import InvalidImage
from srgan.imaging import Picture, from_uint8, from_uint16, to_uint8, to_uint16


@pytest.mark.parametrize(("channels", "alpha", "colours"), [(1, False, 1), (2, True, 1), (3, False, 3), (4, True, 3)])
def test_channels_say_what_is_colour_and_what_is_alpha(channels: int, alpha: bool, colours: int) -> None:
    pixels = np.arange(2 * 3 * channels, dtype=np.float32).reshape(2, 3, channels) / 100
    picture = Picture(pixels=pixels)
    assert (picture.height, picture.width, picture.has_alpha) == (2, 3, alpha)
    assert picture.colour.shape == (2, 3, colours)
    assert np.shares_memory(picture.colour, pixels)
    if alpha:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, pixels[..., -1:])
    else:
        assert picture.alpha is None


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2, 3)),
        np.zeros((2, 2, 3), np.uint8),
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 5), np.float32),
        np.zeros((0, 2, 3), np.float32),
        np.zeros((2, 0, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match="float32 of shape height x width"):
        Picture(pixels=pixels)


def test_halves_round_up_and_out_of_range_values_are_clipped() -> None:
    values = np.array(
        [-5, -0.001, 0, 0.49 / 255, 0.5 / 255, 1.5 / 255, 254.5 / 255, 1, 1.01, 7, np.inf, -np.inf, np.nan]
    )
    assert to_uint8(values).tolist() == [0, 0, 0, 0, 1, 2, 255, 255, 255, 255, 255, 0, 0]
    assert to_uint16(values[[0, 7, 9, 12]]).tolist() == [0, 65535, 65535, 0]


def test_every_integer_survives_the_way_to_float_and_back() -> None:
    bytes_ = np.arange(256, dtype=np.uint8)
    words = np.arange(65536, dtype=np.uint16)
    assert from_uint8(bytes_).dtype == from_uint16(words).dtype == np.float32
    assert from_uint8(bytes_)[[0, 255]].tolist() == [0.0, 1.0]
    assert np.array_equal(to_uint8(from_uint8(bytes_)), bytes_)
    assert np.array_equal(to_uint16(from_uint16(words)), words)


@pytest.mark.parametrize("shape", [(), (0, 4, 3), (1, 1, 1), (700, 1000, 3), (3, 700, 1000), (2, 900_000), (600_000,)])
def test_blocks_join_to_the_same_result_as_one_piece(shape: tuple[int, ...]) -> None:
    pixels = np.asarray(np.random.default_rng(0).uniform(-0.2, 1.2, shape), np.float32)
    before = pixels.copy()
    expected = np.floor(np.clip(pixels.astype(np.float64), 0, 1) * 255 + 0.5)
    result = to_uint8(pixels)
    assert result.shape == shape
    assert result.dtype == np.uint8
    assert (np.abs(result - expected) <= (np.abs(pixels * 255 % 1 - 0.5) < 1e-4)).all()
    assert np.array_equal(pixels, before)


def test_views_are_converted_too() -> None:
    planes = np.random.default_rng(1).random((3, 40, 50), np.float32)
    view = planes.transpose(1, 2, 0)[::2]
    assert np.array_equal(to_uint8(view), to_uint8(np.ascontiguousarray(view)))
    assert to_uint8(view).flags.c_contiguous


def test_a_picture_is_shown_in_one_short_line() -> None:
    picture = Picture(pixels=np.zeros((200, 300, 4), np.float32), icc_profile=bytes(5000), format="PNG")
    assert repr(picture) == "<Picture 300 x 200, RGBA, 8 bit, from PNG>"
