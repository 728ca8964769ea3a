"""The parts of a latent model as sessions, on networks whose results are known by arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srgan.errors import Closed, UnsupportedModel
from srgan.models import Bundle
from srgan.runtime import open_session


@pytest.fixture
def linear(make_latent: Callable[..., Bundle], tmp_path: Path) -> Bundle:
    return make_latent(tmp_path / "linear")


@pytest.mark.parametrize("threads", [1, 3])
def test_what_is_decoded_is_encoded_again(linear: Bundle, threads: int) -> None:
    codes = np.random.default_rng(1).standard_normal((2, 6, 5, 9)).astype(np.float32)
    decoder = open_session(linear.part("decoder"), backend="ncnn", device="cpu", threads=threads)
    encoder = open_session(linear.part("encoder"), backend="ncnn", device="cpu", threads=threads)

    pictures = decoder.run(codes)

    assert pictures.shape == (2, 3, 80, 144)
    # The middle columns of a block are where its slopes are all but zero.
    middle = pictures[:, :, 8::16, 7::16] + pictures[:, :, 8::16, 8::16]
    np.testing.assert_allclose(middle / 2, 0.5 + codes[:, :3] / 8, atol=1e-6)
    np.testing.assert_allclose(encoder.run(pictures), codes, atol=1e-4)


def test_noise_becomes_a_code(linear: Bundle) -> None:
    session = open_session(linear.part("generator"), backend="ncnn", device="cpu")
    noise = np.eye(4, dtype=np.float32)[:, :, None, None]

    codes = session.run(np.concatenate([noise, noise[:1] + 2 * noise[3:]]))

    assert codes.shape == (5, 6, 4, 4)
    np.testing.assert_allclose(codes[4], codes[0] + 2 * codes[3], atol=1e-6)


def test_a_session_says_what_it_is(linear: Bundle) -> None:
    info = open_session(linear.part("encoder"), device="cpu").info

    assert (info.model, info.version, info.part) == ("linear", "1.2.0", "encoder")
    assert (info.channels, info.multiple, info.margin, info.sha256) == (3, 16, 0, linear.info.digest)


def test_a_session_of_a_part_is_closed_as_others(linear: Bundle) -> None:
    session = open_session(linear.part("generator"), device="cpu")
    session.close()

    with pytest.raises(Closed):
        session.run(np.zeros((1, 4, 1, 1), np.float32))


@pytest.mark.parametrize(("backend", "file"), [("onnx", "decoder.onnx"), ("torch", "weights.safetensors")])
def test_a_form_that_is_not_there_is_named(linear: Bundle, backend: str, file: str) -> None:
    with pytest.raises(UnsupportedModel, match=f"linear has no {file}"):
        open_session(linear.part("decoder"), backend=backend, device="cpu")


def test_the_whole_enlarges_nothing(linear: Bundle) -> None:
    with pytest.raises(UnsupportedModel, match="enlarges none; use it with: srgan generate OUT --model linear"):
        open_session(linear)
