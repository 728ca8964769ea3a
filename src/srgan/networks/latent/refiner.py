"""RefinerG that trains on a processor: 8 times larger, for what the latent GAN makes and for any picture."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from srgan.networks.discriminators import SLOPE
from srgan.networks.latent.embedding import Residual, silence
from srgan.networks.network import Network, check_scale, check_sizes

SCALE = 8


class Refiner(Network):
    """A U-Net at low resolution and one convolution to 8 x 8 pixels each, added to the bicubically enlarged input.

    Three halvings, so that it sees eyes as wholes; no norms, which would tie tiles together. ``width`` are the channels
    at full, ``deep`` at lower resolution. Pictures N x 3 x H x W in [0, 1], sides multiples of 8.
    """

    multiple = 8
    ends = ("stem", "head")

    def __init__(self, *, width: int = 48, deep: int = 64) -> None:
        super().__init__()
        self.scale = SCALE
        # Convolutions: 3 + 1 in full resolution at either end with two residuals before the head (4), 1 + 4 to halve
        # and work there, 2 + 8 and 4 + 16 further down, 8 + 4 on the way up; 7 as a block reaches into its neighbours.
        self.radius = 3 + (1 + 4) + (2 + 8) + (4 + 16) + 8 + 4 + 4 + 1 + 7
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), Residual(width))
        self.down = nn.ModuleList(
            nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv2d(inputs, deep, 3, 2, padding=1), Residual(deep))
            for inputs in (width, deep, deep)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(deep, 4 * outputs, 1), nn.PixelShuffle(2)) for outputs in (deep, deep, width)
        )
        self.mix = nn.ModuleList(
            [Residual(deep), Residual(deep), nn.Sequential(Residual(width), Residual(width), nn.LeakyReLU(SLOPE))]
        )
        self.head = nn.Conv2d(width, 3 * SCALE**2, 3, padding=1)
        silence(self.head)

    def forward(self, x: Tensor) -> Tensor:
        out = self.stem(2 * x - 1)
        skips = []
        for layer in self.down:
            skips.append(out)
            out = layer(out)
        for up, mix, skip in zip(self.up, self.mix, reversed(skips), strict=True):
            out = mix(skip + up(out))
        base = functional.interpolate(x, scale_factor=float(SCALE), mode="bicubic", align_corners=False)
        detail: Tensor = functional.pixel_shuffle(self.head(out), SCALE)
        return detail.to(x.dtype) + base


def refiner(scale: int = SCALE, *, width: int = 48, deep: int = 64) -> Network:
    """RefinerG: 0.7 million weights; comes in x8 only."""
    check_scale("refiner", scale, (SCALE,))
    check_sizes("refiner", width=width, deep=deep)
    return Refiner(width=width, deep=deep)
