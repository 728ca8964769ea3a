"""The losses: values by hand, and when which one counts."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.training.config import LossSection  # noqa: E402 (torch first: without it nothing here can run)
from srgan.training.losses import PIXEL_LOSSES, PixelLoss, charbonnier, spectral_l1  # noqa: E402


def pair(*values: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures that differ by ``values``."""
    output = torch.tensor(values).reshape(1, 1, 1, -1)
    return output, torch.zeros_like(output)


def test_l1_is_the_mean_of_the_sizes() -> None:
    assert PIXEL_LOSSES["l1"](*pair(0.1, -0.3)).item() == pytest.approx(0.2)


def test_mse_is_the_mean_of_the_squares() -> None:
    assert PIXEL_LOSSES["mse"](*pair(0.1, -0.3)).item() == pytest.approx(0.05)


def test_charbonnier_is_l1_rounded_off_at_zero() -> None:
    assert charbonnier(*pair(0.3, -0.3)).item() == pytest.approx(0.3, abs=1e-5)
    assert charbonnier(*pair(0.0)).item() == pytest.approx(1e-3)
    assert charbonnier(*pair(1e-3)).item() == pytest.approx(2**0.5 * 1e-3)


def test_charbonnier_has_a_gradient_at_zero() -> None:
    output, target = pair(0.0, 0.0)
    output.requires_grad_()
    charbonnier(output, target).backward()

    assert output.grad.isfinite().all()


def test_the_spectral_loss_keeps_the_energy() -> None:
    """One wave along the columns: all of its energy lies in one coefficient of the half spectrum."""
    size = 16
    wave = torch.cos(2 * torch.pi * 3 * torch.arange(size) / size).repeat(size, 1)[None, None]
    coefficient = 0.5 * size  # amplitude 1: half of it in each of two conjugate coefficients, orthonormal

    loss = spectral_l1(wave, torch.zeros_like(wave)).item()

    assert loss == pytest.approx(coefficient / (size * (size // 2 + 1) * 2), rel=1e-4)


def test_the_spectral_loss_of_equal_pictures_is_zero() -> None:
    picture = torch.rand(2, 3, 9, 7)

    assert spectral_l1(picture, picture).item() == 0


@pytest.mark.parametrize("name", ["l1", "charbonnier", "mse"])
def test_the_configured_loss_is_taken(name: str) -> None:
    output, target = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)

    loss = PixelLoss(LossSection(pixel=name))(output, target, 0.5)

    assert loss.item() == PIXEL_LOSSES[name](output, target).item()


def test_the_spectral_part_is_added_with_its_weight() -> None:
    output, target = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)

    loss = PixelLoss(LossSection(pixel="l1", fft=0.25))(output, target, 0.5)

    expected = PIXEL_LOSSES["l1"](output, target) + 0.25 * spectral_l1(output, target)
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize(
    ("progress", "mse_after", "name"),
    [(0.0, 0.9, "l1"), (0.9, 0.9, "l1"), (0.91, 0.9, "mse"), (1.0, 0.9, "mse"), (1.0, 1.0, "l1"), (0.01, 0.0, "mse")],
)
def test_squares_count_near_the_end(progress: float, mse_after: float, name: str) -> None:
    output, target = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)

    loss = PixelLoss(LossSection(pixel="l1", mse_after=mse_after))(output, target, progress)

    assert loss.item() == PIXEL_LOSSES[name](output, target).item()
