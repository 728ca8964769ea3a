"""NIQE's form: its parts against what is known of them, and that whatever spoils a picture is seen."""

from __future__ import annotations

import io
from importlib import resources

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srgan.errors import CorruptModel, InvalidImage
from srgan.imaging import resize
from srgan.metrics import naturalness as module
from srgan.metrics.naturalness import FEATURES, PATCH, Pristine, fit, naturalness, patch_features, pristine

Pixels = NDArray[np.float32]


def photo(seed: int, height: int = 192, width: int = 192, channels: int = 1) -> Pixels:
    """Noise with a spectrum that falls as that of photographs does, and a few edges."""
    chance = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    falling = 1 / np.maximum(np.hypot(down, across), 1 / width) ** 1.1
    waves = np.fft.irfft2(np.fft.rfft2(chance.normal(size=(height, width))) * falling, (height, width))
    y, x = np.mgrid[:height, :width]
    lines = zip(chance.random(4) * 3, chance.random(4) * 150, strict=True)
    edges = sum(np.sign(np.cos(angle) * y + np.sin(angle) * x - place) for angle, place in lines)
    values = 0.5 + 0.15 * waves / waves.std() + 0.05 * edges
    return np.repeat(np.clip(values, 0, 1)[..., None].astype(np.float32), channels, axis=2)


@pytest.fixture(scope="module")
def model() -> Pristine:
    return fit(photo(seed, 384, 384) for seed in range(100, 112))


def as_jpeg(pixels: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray((pixels[..., 0] * 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream), np.float32)[..., None] / 255


def blurred(pixels: Pixels, factor: int) -> Pixels:
    height, width = pixels.shape[:2]
    return resize(resize(pixels, height // factor, width // factor), height, width)


def noisy(pixels: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(0).normal(0, sigma / 255, pixels.shape)
    return np.clip(pixels + noise, 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    "spoil", [lambda p, k: blurred(p, 2 * k), lambda p, k: noisy(p, 12 * k), lambda p, k: as_jpeg(p, 40 // k)]
)
def test_what_spoils_a_picture_makes_it_worse_and_more_so_even_worse(spoil: object, model: Pristine) -> None:
    pictures = [photo(seed, 288, 288) for seed in range(4)]
    fine, bad, terrible = (
        np.mean([naturalness(make(picture), model) for picture in pictures])
        for make in (lambda p: p, lambda p: spoil(p, 1), lambda p: spoil(p, 3))  # type: ignore[operator]
    )
    assert fine < bad - 0.5
    assert bad < terrible - 0.5


def test_the_photographs_themselves_are_nearest(model: Pristine) -> None:
    assert naturalness(photo(100, 384, 384), model) < naturalness(blurred(photo(100, 384, 384), 3), model)
    random = np.random.default_rng(0).random((192, 192, 1), np.float32)
    assert naturalness(random, model) > 3 * naturalness(photo(0), model)


def test_colour_with_equal_channels_is_nearly_gray_and_the_rest_beyond_whole_patches_does_not_count(
    model: Pristine,
) -> None:
    gray = photo(3, 200, 220)
    # 0.2989 + 0.5870 + 0.1140 = 0.9999
    assert naturalness(gray.repeat(3, axis=2), model) == pytest.approx(naturalness(gray, model), rel=1e-3)
    assert naturalness(gray[:192, :192], model) == naturalness(gray, model)


def test_one_patch_is_enough(model: Pristine) -> None:
    assert np.isfinite(naturalness(photo(0, PATCH, PATCH), model))
    with pytest.raises(ValueError, match="at least 96 x 96"):
        naturalness(photo(0, PATCH, PATCH - 1), model)
    with pytest.raises(ValueError, match="H x W x 1 or 3"):
        naturalness(np.zeros((96, 96, 4)), model)


def test_patches_without_structure_do_not_count(model: Pristine) -> None:
    part = photo(5, 96, 288)
    part[:, 96:] = 0.25  # the second patch still sees the edge
    features, sharpness = patch_features(part)
    assert features.shape == (2, FEATURES)
    assert sharpness.shape == (2,)
    with pytest.raises(InvalidImage, match="no part of the picture has any structure"):
        naturalness(np.full((192, 192, 3), 0.5, np.float32), model)


def test_the_fit_takes_sharp_patches_only() -> None:
    pictures = []
    for seed in range(45):
        picture = photo(seed, 192, 96)
        picture[96:] = blurred(picture[96:], 8)
        pictures.append(picture)
    sharp = np.concatenate([patch_features(picture)[0][:1] for picture in pictures])
    model = fit(pictures)
    assert np.allclose(model.mean, sharp.mean(0))
    assert np.allclose(model.covariance, np.cov(sharp, rowvar=False))
    with pytest.raises(ValueError, match="20 sharp patches are too few for 36 features"):
        fit(pictures[:20])


# ---- its parts


def test_the_fit_of_a_generalised_gaussian_finds_its_shape_and_its_widths() -> None:
    """Laplace has shape 1, Gauss 2; the width of a Gaussian is its sigma times the square root of 2."""
    chance = np.random.default_rng(1)
    gauss = chance.normal(0, 3, (2, 300, 300))
    alpha, left, right = module._asymmetric_gaussian(gauss)
    assert alpha == pytest.approx([2, 2], abs=0.05)
    assert left == pytest.approx([3 * 2**0.5] * 2, rel=0.02)
    assert right == pytest.approx([3 * 2**0.5] * 2, rel=0.02)
    laplace = chance.laplace(0, 3, (1, 300, 300))
    laplace[laplace > 0] *= 2
    # Twice as wide on one side: as many values on both sides, not an asymmetric Gaussian, but the order must be seen.
    alpha, left, right = module._asymmetric_gaussian(laplace)
    assert right / left == pytest.approx(2, rel=0.05)
    assert alpha[0] < 1.3


def test_normalised_values_have_no_local_mean_and_about_unit_deviation() -> None:
    values, deviation = module._normalised(photo(2)[..., 0].astype(float) * 255)
    assert abs(values.mean()) < 0.05
    assert 0.5 < values.std() < 1.2
    assert (deviation >= 0).all()


def test_half_the_size_is_matlabs() -> None:
    picture = photo(7, 96, 192)
    halved = module._halved(module._halved(picture[..., 0].astype(float), 0), 1)
    assert np.allclose(halved, resize(picture.astype(np.float64), 48, 96)[..., 0], atol=1e-12)


# ---- what is shipped


def test_the_shipped_model_is_a_distribution_of_36_features() -> None:
    model = pristine()
    assert model.mean.shape == (FEATURES,)
    assert model.covariance.shape == (FEATURES, FEATURES)
    assert np.allclose(model.covariance, model.covariance.T)
    assert (np.linalg.eigvalsh(model.covariance) > -1e-12).all()
    shapes = model.mean[[0, 18]]
    assert ((shapes > 1) & (shapes < 4)).all(), "those of photographs, between Laplace and somewhat beyond Gauss"


def test_a_damaged_model_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(resources, "files", lambda name: tmp_path)
    pristine.cache_clear()
    with pytest.raises(CorruptModel, match="install srgan again"):
        pristine()
    pristine.cache_clear()
