"""Noise, ways between noise, and a latent model as arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.errors import Closed, InvalidImage, UnsupportedModel, UpscaleFailed
from srgan.generation import LatentModel, between, noise_of
from srgan.models import Bundle


class TestNoise:
    def test_it_is_known_by_seed_and_number_alone(self) -> None:
        assert noise_of(7, 3, 5).dtype == np.float32
        np.testing.assert_array_equal(noise_of(7, 3, 5), noise_of(7, 3, 5))
        several = {noise_of(seed, number, 4).tobytes() for seed in range(10) for number in range(10)}
        assert len(several) == 100

    def test_it_stays_what_it_is(self) -> None:
        """Pictures that people remember by their numbers: what would change this changes them all."""
        np.testing.assert_allclose(noise_of(7, 3, 3), [-1.516544, 1.557005, 0.449156], atol=1e-6)

    def test_it_is_standard_normal(self) -> None:
        many = np.concatenate([noise_of(0, number, 64) for number in range(500)])

        assert abs(many.mean()) < 0.02
        assert abs(many.std() - 1) < 0.02

    @pytest.mark.parametrize(("seed", "number"), [(-1, 0), (0, -1), (2**32, 0), (0, 2**32)])
    def test_numbers_that_could_name_the_same(self, seed: int, number: int) -> None:
        with pytest.raises(ValueError, match="from 0 to 4294967295"):
            noise_of(seed, number, 4)


class TestBetween:
    @given(st.integers(0, 99), st.integers(0, 99), st.floats(0, 1))
    def test_the_length_goes_evenly_from_one_to_the_other(self, a: int, b: int, share: float) -> None:
        start, end = noise_of(1, a, 16), noise_of(2, b, 16)
        lengths = np.linalg.norm(start), np.linalg.norm(end)

        way = between(start, end, share)

        assert way.dtype == np.float32
        assert np.linalg.norm(way) == pytest.approx(lengths[0] + share * (lengths[1] - lengths[0]), rel=1e-4)

    def test_it_begins_and_ends_where_it_is_asked_to_and_turns_evenly(self) -> None:
        start, end = noise_of(1, 0, 8), noise_of(1, 1, 8)
        ways = [between(start, end, step / 4) for step in range(5)]

        np.testing.assert_allclose(ways[0], start, atol=1e-6)
        np.testing.assert_allclose(ways[4], end, atol=1e-6)
        unit = [way / np.linalg.norm(way) for way in ways]
        angles = [np.arccos(np.clip(unit[i] @ unit[i + 1], -1, 1)) for i in range(4)]
        assert max(angles) - min(angles) < 1e-3

    @pytest.mark.parametrize("factor", [0.0, 1.0, 2.0, -1.0])
    def test_where_there_is_no_great_circle_it_is_straight(self, factor: float) -> None:
        start = noise_of(1, 0, 8)

        np.testing.assert_allclose(between(start, factor * start, 0.5), (1 + factor) / 2 * start, atol=1e-5)


def test_noise_to_pictures_and_back(linear: Bundle) -> None:
    noise = 0.3 * np.stack([noise_of(0, number, 4) for number in range(3)])
    with LatentModel(linear) as model:
        codes = model.codes(noise)
        pictures = model.decode(codes)

        assert codes.shape == (3, 6, 4, 4)
        assert (pictures.shape, pictures.dtype) == ((3, 64, 64, 3), np.float32)
        assert pictures.min() > 0
        assert pictures.max() < 1
        np.testing.assert_allclose(model.encode(pictures), codes, atol=1e-4)
        assert (model.ran_on.backend, model.ran_on.device) == ("ncnn", "cpu")


def test_arithmetic_with_codes_is_arithmetic_with_pictures(linear: Bundle) -> None:
    codes = np.random.default_rng(3).standard_normal((3, 6, 4, 4)).astype(np.float32) / 4
    with LatentModel(linear) as model:
        a, b, c = model.decode(codes)
        (made,) = model.decode(codes[:1] - codes[1:2] + codes[2:])

    np.testing.assert_allclose(made, a - b + c, atol=1e-5)


def test_pictures_are_clipped(linear: Bundle) -> None:
    with LatentModel(linear) as model:
        dark, bright = model.decode(np.stack([np.full((6, 4, 4), level, np.float32) for level in (-9, 9)]))

    assert (dark.min(), bright.max()) == (0, 1)


def test_larger_codes_are_larger_pictures(linear: Bundle) -> None:
    with LatentModel(linear) as model:
        pictures = model.decode(np.zeros((2, 6, 3, 7), np.float32))

        assert pictures.shape == (2, 48, 112, 3)
        assert model.encode(pictures).shape == (2, 6, 3, 7)


@pytest.mark.parametrize(
    ("call", "shape", "said"),
    [
        ("codes", (1, 5), "noise must be N x 4"),
        ("codes", (4,), "noise must be N x 4"),
        ("decode", (6, 4, 4), "codes must be N x 6 x h x w"),
        ("decode", (1, 6, 0, 4), "codes must be N x 6 x h x w"),
        ("encode", (1, 3, 64, 64), "pictures must be N x height x width x 3"),
        ("encode", (64, 64, 3), "pictures must be N x height x width x 3"),
    ],
)
def test_arrays_of_another_shape(linear: Bundle, call: str, shape: tuple[int, ...], said: str) -> None:
    with LatentModel(linear) as model, pytest.raises(ValueError, match=said):
        getattr(model, call)(np.zeros(shape, np.float32))


def test_a_picture_of_another_size_is_told(linear: Bundle) -> None:
    with LatentModel(linear) as model, pytest.raises(InvalidImage, match="multiples of 16 pixels, not 40 x 64"):
        model.encode(np.zeros((1, 64, 40, 3), np.float32))


def test_other_models_are_refused_with_those_that_would_do(
    linear: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SRGAN_MODELS", str(tmp_path / "models"))

    with pytest.raises(UnsupportedModel, match=r"srgan upscale IN OUT --model fast-x4\. Models .*: .*linear$"):
        LatentModel("fast")


def test_a_model_that_was_closed(linear: Bundle) -> None:
    model = LatentModel(linear)
    model.decode(np.zeros((1, 6, 4, 4), np.float32))
    model.close()
    model.close()

    with pytest.raises(Closed, match="linear: the model was closed"):
        model.decode(np.zeros((1, 6, 4, 4), np.float32))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda made: made * np.nan, "the decoder gave values that are not finite; try another --backend"),
        (lambda made: made[..., 1:], r"the decoder gave the shape \(1, 3, 64, 63\)"),
    ],
)
def test_what_is_no_picture_is_not_given(
    linear: Bundle, monkeypatch: pytest.MonkeyPatch, broken: Callable[[Any], Any], said: str
) -> None:
    with LatentModel(linear) as model:
        session = model._open("decoder")
        run = session.run
        monkeypatch.setattr(session, "run", lambda batch: broken(run(batch)))

        with pytest.raises(UpscaleFailed, match=said):
            model.decode(np.zeros((1, 6, 4, 4), np.float32))
