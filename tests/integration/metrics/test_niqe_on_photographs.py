"""`niqe-photos` as shipped, on real photographs that it was not fitted to: whatever spoils them is seen."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from srgan.metrics.naturalness import naturalness

Spoil = Callable[[Image.Image], Image.Image]


def mean(pictures: list[Image.Image], spoil: Spoil) -> float:
    return float(np.mean([naturalness(pixels(spoil(picture))) for picture in pictures]))


def pixels(picture: Image.Image) -> NDArray[np.float32]:
    return np.asarray(picture, np.float32) / np.float32(255)


def as_jpeg(quality: int) -> Spoil:
    def spoil(picture: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return spoil


def noisy(sigma: float) -> Spoil:
    def spoil(picture: Image.Image) -> Image.Image:
        noise = np.random.default_rng(0).normal(0, sigma, (picture.height, picture.width, 3))
        return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))

    return spoil


def blurred(radius: float) -> Spoil:
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(radius))


def enlarged(factor: int) -> Spoil:
    def spoil(picture: Image.Image) -> Image.Image:
        small = picture.resize((picture.width // factor, picture.height // factor), Image.Resampling.BICUBIC)
        return small.resize(picture.size, Image.Resampling.BICUBIC)

    return spoil


@pytest.fixture(scope="module", params=[4, pytest.param(12, marks=pytest.mark.soak)])
def photographs(request: pytest.FixtureRequest, data_folder: Callable[[str], Path]) -> list[Image.Image]:
    paths = sorted(data_folder("eval/BSD100").glob("*.png"))[: request.param]
    return [Image.open(path).convert("RGB") for path in paths]


@pytest.fixture(scope="module")
def as_they_are(photographs: list[Image.Image]) -> float:
    return mean(photographs, lambda picture: picture)


@pytest.mark.parametrize(
    ("some", "more"),
    [
        (blurred(1), blurred(2)),
        (noisy(10), noisy(30)),
        (as_jpeg(40), as_jpeg(10)),
        (enlarged(2), enlarged(4)),
    ],
    ids=["blur", "noise", "jpeg", "bicubic"],
)
def test_photographs_are_best_as_they_are(
    some: Spoil, more: Spoil, photographs: list[Image.Image], as_they_are: float
) -> None:
    spoilt, ruined = (mean(photographs, spoil) for spoil in (some, more))
    assert as_they_are < spoilt < ruined
