"""netRS and netG2 that train on a processor: a frozen linear code, and a narrow network that improves on it.

The linear path is the best that a linear code can be: the principal components of blocks of 16 x 16 pixels
(`fit_linear`). Left to learn it gets worse before it gets better, so it stays as it is, and the networks beside it
begin by adding nothing. At the start the two together already are an autoencoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.networks.discriminators import SLOPE
from srgan.networks.latent import CODE, REDUCTION
from srgan.networks.network import check_sizes

BLOCK = 3 * REDUCTION**2
"""Numbers in a block of pixels."""


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), which starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        silence(self.second)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.leaky_relu(self.first(functional.leaky_relu(x, SLOPE)), SLOPE)
        out: Tensor = x + self.second(inner)
        return out


def silence(layer: nn.Conv2d) -> None:
    """Let ``layer`` give zero until it has learnt something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # all here have one


class NarrowEncoder(nn.Module):
    """netRS: pictures N x 3 x 16h x 16w in [0, 1] to codes N x 64 x h x w, normalised by channel.

    ``widths`` are the channels at a quarter, an eighth and a sixteenth of the resolution.
    """

    def __init__(self, *, widths: tuple[int, int, int] = (48, 64, 96)) -> None:
        super().__init__()
        fine, middle, coarse = _checked("netRS", widths)
        self.linear = nn.Conv2d(BLOCK, CODE[0], 1).requires_grad_(False)
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1),
            Residual(fine),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(fine, middle, 3, 2, padding=1),
            Residual(middle),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(middle, coarse, 3, 2, padding=1),
            Residual(coarse),
            nn.LeakyReLU(SLOPE),
        )
        self.head = nn.Conv2d(coarse, CODE[0], 3, padding=1)
        silence(self.head)
        self.norm = nn.BatchNorm2d(CODE[0], affine=False, momentum=0.02)

    def forward(self, pictures: Tensor) -> Tensor:
        x = 2 * pictures - 1
        out: Tensor = self.norm(self.linear(functional.pixel_unshuffle(x, REDUCTION)) + self.head(self.layers(x)))
        return out


class NarrowDecoder(nn.Module):
    """netG2: codes N x 64 x h x w to pictures N x 3 x 16h x 16w, in [0, 1] but for overshoot."""

    def __init__(self, *, widths: tuple[int, int, int] = (48, 64, 96), finest: int = 32) -> None:
        super().__init__()
        fine, middle, coarse = _checked("netG2", widths)
        check_sizes("netG2", finest=finest)
        self.linear = nn.Conv2d(CODE[0], BLOCK, 1).requires_grad_(False)
        self.layers = nn.Sequential(
            nn.Conv2d(CODE[0], coarse, 3, padding=1),
            Residual(coarse),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(coarse, 4 * middle, 1),
            nn.PixelShuffle(2),
            Residual(middle),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(middle, 4 * fine, 1),
            nn.PixelShuffle(2),
            Residual(fine),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(fine, 4 * finest, 1),
            nn.PixelShuffle(2),
            nn.LeakyReLU(SLOPE),
        )
        self.head = nn.Conv2d(finest, 12, 3, padding=1)
        silence(self.head)

    def forward(self, codes: Tensor) -> Tensor:
        linear = functional.pixel_shuffle(self.linear(codes), REDUCTION)
        detail: Tensor = functional.pixel_shuffle(self.head(self.layers(codes)), 2)
        return (linear + detail.to(linear.dtype) + 1) / 2


@torch.no_grad()
def fit_linear(encoder: NarrowEncoder, decoder: NarrowDecoder, pictures: Tensor) -> float:
    """Make the linear paths the principal components of the blocks of ``pictures``, N x 3 x H x W in [0, 1].

    Gives the share of the variance that the code keeps. Raises ValueError where all pictures are one flat colour.
    """
    blocks = functional.pixel_unshuffle(2 * pictures.double() - 1, REDUCTION).movedim(1, 3).reshape(-1, BLOCK)
    mean = blocks.mean(dim=0)
    covariance = torch.cov((blocks - mean).T)
    values, vectors = torch.linalg.eigh(covariance)
    kept, axes = values[-CODE[0] :].flip(0), vectors[:, -CODE[0] :].flip(1)
    if kept[0] <= 0:
        raise ValueError("the pictures are all of one colour")
    # What hardly varies is not to be blown up to unit variance.
    deviation = kept.clamp_min(1e-6 * float(kept[0])).sqrt()
    encoder.linear.weight.copy_((axes / deviation).T[:, :, None, None])
    encoder.linear.bias.copy_(-(mean @ axes) / deviation)  # type: ignore[union-attr]
    decoder.linear.weight.copy_((axes * deviation)[:, :, None, None])
    decoder.linear.bias.copy_(mean)  # type: ignore[union-attr]
    return float(kept.sum() / covariance.trace())


def _checked(role: str, widths: tuple[int, int, int]) -> tuple[int, int, int]:
    from srgan.errors import InvalidConfig

    if len(widths) != 3:
        raise InvalidConfig(f"network {role!r}: widths must be three numbers, not {len(widths)}")
    check_sizes(role, **{f"widths[{number}]": width for number, width in enumerate(widths)})
    return widths[0], widths[1], widths[2]
