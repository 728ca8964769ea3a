"""The wear of the preset is Real-ESRGAN's: held against its published options and formulas, computed here in NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.training.config import TrainConfig  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.degradation.kernels import gaussian_kernels  # noqa: E402
from srgan.training.degradation.noise import Dice, poisson_noise  # noqa: E402
from srgan.training.degradation.second_order import SecondOrder  # noqa: E402
from srgan.training.degradation.settings import DegradationSection  # noqa: E402
from srgan.training.degradation.sharpening import sharpened  # noqa: E402
from srgan.training.presets import PRESETS, REAL_ESRGAN  # noqa: E402

SAMPLES = 20_000
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dice() -> Callable[[], Dice]:
    return lambda: Dice(range(SAMPLES), CPU)


# ---------------------------------------------------------------------------------------------------------- exponents


@pytest.mark.parametrize(("low", "high"), [(0.5, 4.0), (1.0, 2.0), (0.5, 8.0), (0.2, 1.0), (1.0, 1.0)])
def test_exponents_lie_as_often_below_one_as_above(low: float, high: float, dice: Callable[[], Dice]) -> None:
    """U(low, 1) with chance 1/2, else U(1, high): each tenth of either half is as full as all others."""
    drawn = dice().around_one(low, high).numpy()
    assert low <= drawn.min()
    assert drawn.max() <= high
    random = np.random.default_rng(1)
    theirs = np.where(random.random(SAMPLES) < 0.5, random.uniform(low, 1, SAMPLES), random.uniform(1, high, SAMPLES))
    assert drawn.mean() == pytest.approx(((low + 1) / 2 + (1 + high) / 2) / 2, abs=0.02 * high)
    assert (drawn < 1).mean() == pytest.approx(0.5 * (low < 1), abs=0.012)
    assert (drawn == 1).mean() == pytest.approx(0.5 * (low == 1) + 0.5 * (high == 1), abs=0.012)
    parts = np.linspace(0.05, 0.95, 19)
    assert np.abs(np.quantile(drawn, parts) - np.quantile(theirs, parts)).max() < 0.02 * high + 0.03


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.8), (1.5, 3.0)])
def test_a_range_without_one_is_drawn_evenly(low: float, high: float, dice: Callable[[], Dice]) -> None:
    drawn = dice().around_one(low, high).numpy()
    assert np.abs(np.quantile(drawn, [0.25, 0.5, 0.75]) - np.linspace(low, high, 5)[1:4]).max() < 0.03 * (high - low)


def test_the_exponents_of_the_preset_reach_its_kernels() -> None:
    """Half of the generalised kernels have tails longer than a Gaussian's, half of the plateaus are 1 / (1 + q)."""
    only = {"isotropic": 0, "anisotropic": 0, "generalised_anisotropic": 0, "plateau_anisotropic": 0, "side": [21, 21]}
    for shape, exponents in (("generalised_isotropic", (0.5, 4.0)), ("plateau_isotropic", (1.0, 2.0))):
        shares = {"generalised_isotropic": 0.0, "plateau_isotropic": 0.0, shape: 1.0}
        sections = {"first": {"blur_sigma": [2.0, 2.0], "sinc": 0.0}, "kernels": {**only, **shares}}
        degrade = SecondOrder(DegradationSection.model_validate({**REAL_ESRGAN, **sections}), 4)
        kernels = degrade._plan(Dice(range(2000), CPU), (64, 64)).first.kernel.numpy()
        # The exponent from two pixels of the kernel: q at 0 is 0, at 4 pixels it is 4.
        ratio = kernels[:, 10, 10] / kernels[:, 10, 14]
        found = np.log(2 * np.log(ratio) if "generalised" in shape else ratio - 1) / np.log(4)
        assert found.min() == pytest.approx(exponents[0], abs=0.01)
        assert found.max() == pytest.approx(exponents[1], abs=0.01)
        assert (found < 0.999).mean() == pytest.approx(0.5 * (exponents[0] < 1), abs=0.04)
        assert (np.abs(found - 1) < 1e-3).mean() == pytest.approx(0.5 * (exponents[0] == 1), abs=0.04)


@pytest.mark.parametrize("plateau", [False, True])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7, 4.0])
def test_kernels_have_the_published_form(exponent: float, plateau: bool) -> None:
    """With the inverse of a covariance matrix, as it is written in the paper."""
    sigmas, angle, side = (2.2, 0.9), 0.6, 13
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(np.square(sigmas)) @ turn.T)
    y, x = np.mgrid[-6:7, -6:7]
    grid = np.stack([x, y], axis=-1)
    q = np.einsum("...i,ij,...j", grid, inverse, grid)
    wanted = 1 / (1 + q**exponent) if plateau else np.exp(-0.5 * q**exponent)

    one = torch.ones(1, dtype=torch.float64)
    made = gaussian_kernels(
        torch.tensor([sigmas], dtype=torch.float64), one * angle, one * exponent, torch.tensor([plateau]), one * side
    )
    np.testing.assert_allclose(made[0, 4:17, 4:17].numpy(), wanted / wanted.sum(), atol=1e-12)


# ----------------------------------------------------------------------------------------------- how often, how much

PUBLISHED = {
    # Of options/train_realesrnet_x4plus.yml: chance of a blur, of a sinc filter as blur, of enlarging, of reducing,
    # ends of the resizing, chance of Gaussian noise and of gray noise, largest sigma and scale of noise
    "first": (1.0, 0.1, 0.2, 0.7, (0.15, 1.5), 0.5, 0.4, 30, 3.0),
    "second": (0.8, 0.1, 0.3, 0.4, (0.3, 1.2), 0.5, 0.4, 25, 2.5),
}


def share(lines: list[str], pattern: str) -> float:
    return float(np.mean([bool(re.search(pattern, line)) for line in lines]))


def numbers(lines: list[str], pattern: str) -> NDArray[np.float64]:
    return np.array([float(found[1]) for line in lines if (found := re.search(pattern, line))])


def test_what_befalls_pictures_is_as_often_and_as_strong_as_published() -> None:
    degrade = SecondOrder(DegradationSection.model_validate(REAL_ESRGAN), 4)
    said = degrade.describe((400, 400), range(SAMPLES))
    for number, name in enumerate(PUBLISHED):
        lines = [words[number] for words in said]
        blurred, sinc, up, down, ends, gaussian, gray, sigma, scale = PUBLISHED[name]
        front = [line.split(", x")[0] for line in lines]
        is_sinc = share(front, "^sinc$")
        assert share(front, "^(blur|sinc)") == pytest.approx(blurred, abs=0.01)
        assert is_sinc / blurred == pytest.approx(sinc, abs=0.01)
        factors = numbers(lines, r"x([0-9.]+)")
        assert (factors > 1.004).mean() == pytest.approx(up, abs=0.015)
        assert (factors < 0.996).mean() == pytest.approx(down, abs=0.015)
        assert (factors.min(), factors.max()) == pytest.approx(ends, abs=0.01)
        assert share(lines, "noise") == 1
        assert share(lines, "Poisson") == pytest.approx(1 - gaussian, abs=0.015)
        assert share(lines, "gray") == pytest.approx(gray, abs=0.015)
        sigmas, scales = numbers(lines, r"(?<!Poisson )noise ([0-9.]+)"), numbers(lines, r"Poisson noise ([0-9.]+)")
        assert (sigmas.min(), sigmas.max()) == pytest.approx((1, sigma), abs=0.2)
        assert sigmas.mean() == pytest.approx((1 + sigma) / 2, rel=0.03)
        assert (scales.min(), scales.max()) == pytest.approx((0.05, scale), abs=0.02)
        qualities = numbers(lines, r"JPEG ([0-9]+)")
        assert len(qualities) == SAMPLES, "each is compressed in both rounds"
        assert (qualities.min(), qualities.max()) == (30, 95)
        assert qualities.mean() == pytest.approx(62.5, abs=0.5)
        assert share(lines, "WebP|AVIF|MPEG|H.264") == 0
    second = [words[1] for words in said]
    assert share(second, "JPEG [0-9]+$") == pytest.approx(0.5 + 0.5 * 0.2, abs=0.015), "last, or only a sinc missing"
    assert share(second, r"(x[0-9.]+.*sinc)") == pytest.approx(0.8, abs=0.015)
    orders = {re.sub(r"[0-9.]+|gray |Poisson ", "", words[0]).replace("sinc", "blur ") for words in said}
    assert orders == {"blur , x, noise , JPEG "}, "never in another order"


def test_its_jpeg_halves_colours_and_its_resizing_looks_at_few_pixels() -> None:
    plan = SecondOrder(DegradationSection.model_validate(REAL_ESRGAN), 4)._plan(Dice(range(3000), CPU), (64, 64))
    for strengths in (plan.first, plan.second):
        assert not strengths.full_colour.any()
        assert not strengths.antialias.any()
        assert np.abs(np.bincount(strengths.mode.numpy()) / 3000 - 1 / 3).max() < 0.03


# ------------------------------------------------------------------------------------------------------------- photons


@pytest.mark.parametrize(("levels", "white"), [(2, 2), (3, 4), (16, 16), (17, 32), (200, 256)])
@pytest.mark.parametrize("gray", [False, True])
def test_photons_are_a_power_of_two_of_the_levels(levels: int, white: int, gray: bool) -> None:
    """The variance of Poisson noise is that of the light over the photons in white, times the square of the scale."""
    row = torch.arange(160 * 160) % levels * (255 // (levels - 1))
    picture = (row.reshape(1, 1, 160, 160).float() / 255).expand(1, 3, -1, -1).contiguous()
    picture = torch.cat([picture, torch.rand(1, 3, 20, 160).expand(1, 3, 20, 160)], dim=2)  # beyond what is real
    made = poisson_noise(
        picture, torch.tensor([[160, 160]]), torch.tensor([0.5]), torch.tensor([gray]), Dice([4], CPU), [0], photons=0
    )
    noise = (made - picture)[0, :, :160].numpy()
    light = row.numpy() / 255
    assert noise.var() == pytest.approx(0.25 * light.mean() / white, rel=0.05)
    assert np.array_equal(noise[0], noise[1]) == gray


# ---------------------------------------------------------------------------------------------------------- sharpening


def test_sharpening_is_that_of_an_unsharp_mask_of_51_pixels() -> None:
    picture = np.random.default_rng(3).random((120, 130))
    picture[40:80, 30:90] = 0.5 + 0.02 * picture[40:80, 30:90]  # faint detail, which is left alone
    line = np.exp(-(np.arange(-25, 26) ** 2) / (2 * 8.0**2))
    line /= line.sum()

    def soft(values: NDArray[np.float64]) -> NDArray[np.float64]:
        wide = np.pad(values, 25, mode="symmetric")
        across = np.apply_along_axis(lambda v: np.convolve(v, line, "valid"), 1, wide)
        return np.apply_along_axis(lambda v: np.convolve(v, line, "valid"), 0, across)

    detail = picture - soft(picture)
    where = soft((np.abs(detail) * 255 > 10).astype(float))
    wanted = where * np.clip(picture + 0.5 * detail, 0, 1) + (1 - where) * picture
    made = sharpened(torch.from_numpy(picture).expand(1, 3, -1, -1), 0.5)
    np.testing.assert_allclose(made[0, 1].numpy(), wanted, atol=1e-9)


def test_what_is_worn_is_sharpened_and_so_is_its_target(make_config: Callable[..., TrainConfig]) -> None:
    def batch(**degradation: object) -> tuple[torch.Tensor, torch.Tensor]:
        data = make_config(data__degradation={**REAL_ESRGAN, **degradation}, data__batch=8).data
        store = TileStore(data, scale=4, seed=5, device=CPU)
        store.fill()
        made = store.batch()
        store.close()
        return made

    (low, high), (plain_low, plain_high) = batch(), batch(sharpen=0)
    assert torch.equal(high, sharpened(plain_high, 0.5))
    assert not torch.equal(low, plain_low)
    assert high.is_contiguous(memory_format=torch.channels_last)
    _, target = batch(clean=1.0)
    assert torch.equal(target, plain_high), "a spared patch has the target that it is the reduction of"
    _, half = batch(clean=0.5)
    same = (half == plain_high).flatten(1).all(1)
    assert 0 < same.sum() < 8


def test_the_preset_is_a_training_file() -> None:
    made = TrainConfig.model_validate(PRESETS["real-esrnet"])
    assert made.data.degradation == DegradationSection.model_validate(REAL_ESRGAN)
    assert (made.data.patch * made.network.scale, made.optimiser.learning_rate) == (256, 2e-4)
