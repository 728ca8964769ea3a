"""The networks of the latent GAN as its origin describes them, with Xavier initialisation.

They have millions of weights and want a GPU. What `embedding`, `factored` and `refiner` hold computes the same kind of
thing for a tenth of the cost.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.networks.discriminators import SLOPE, spectral
from srgan.networks.latent import CODE, SIDE
from srgan.networks.network import Network, check_scale, check_sizes


def xavier(network: nn.Module) -> nn.Module:
    """``network`` with Glorot and Bengio's initialisation (2010) in all convolutions and dense layers; biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norms beside a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shrink = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(shrink, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(x)))
        out: Tensor = functional.relu(self.second_norm(self.second(inner)) + self.shortcut(x))
        return out


class ResNetEncoder(nn.Module):
    """netRS: the trunk of ResNet-18, without the pooling behind its first layer, for which 64 pixels are too few.

    Pictures N x 3 x 64 x 64 in [0, 1] to codes N x 64 x 4 x 4; larger ones, multiples of 16, to larger codes.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        check_sizes("netRS", width=width)
        plan = [(1, 1), (1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1)]
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        inputs = width
        for factor, stride in plan:
            layers.append(_BasicBlock(inputs, factor * width, stride))
            inputs = factor * width
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Conv2d(inputs, CODE[0], 1)
        # The generator learns codes: their scale must not be the encoder's to choose.
        self.norm = nn.BatchNorm2d(CODE[0], affine=False)
        xavier(self)

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.norm(self.head(self.trunk(2 * pictures - 1)))
        return out


class SkipDecoder(nn.Module):
    """netG2: four doublings by transposed convolutions, each with what came before added, enlarged: internal skips.

    Codes N x 64 x h x w to pictures N x 3 x 16h x 16w in [0, 1].
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        check_sizes("netG2", width=width)
        sizes = [CODE[0], 8 * width, 4 * width, 2 * width, width]
        pairs = list(itertools.pairwise(sizes))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, padding=1, bias=False) for a, b in pairs)
        self.skip = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in pairs)
        self.norm = nn.ModuleList(nn.BatchNorm2d(b) for _, b in pairs)
        self.head = nn.Conv2d(width, 3, 3, padding=1)
        xavier(self)

    def forward(self, codes: Tensor) -> Tensor:
        x = codes
        for up, skip, norm in zip(self.up, self.skip, self.norm, strict=True):
            enlarged = functional.interpolate(skip(x), scale_factor=2.0, mode="nearest")
            x = functional.relu(norm(up(x) + enlarged))
        return (torch.tanh(self.head(x)) + 1) / 2


class ConvGenerator(nn.Module):
    """netG1: four transposed convolutions with batch norm and ReLU between them; noise N x z to codes N x 64 x 4 x 4.

    The last has neither, since codes have both signs.
    """

    def __init__(self, *, z: int = 100, width: int = 64) -> None:
        super().__init__()
        check_sizes("netG1", z=z, width=width)
        self.z = z
        sizes = [z, 4 * width, 2 * width, 2 * width]
        layers: list[nn.Module] = []
        for number, (a, b) in enumerate(itertools.pairwise(sizes)):
            kernel, padding = (CODE[1], 0) if number == 0 else (3, 1)
            layers += [nn.ConvTranspose2d(a, b, kernel, 1, padding, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(sizes[-1], CODE[0], 3, padding=1))
        xavier(self)

    def forward(self, noise: Tensor) -> Tensor:
        out: Tensor = self.layers(noise[:, :, None, None])
        return out


class ConvCritic(nn.Module):
    """netD1: convolutions with spectral normalisation and leaky ReLUs; codes N x 64 x 4 x 4 to scores N x 1."""

    def __init__(self, *, width: int = 64, norm: str = "spectral") -> None:
        super().__init__()
        check_sizes("netD1", width=width)
        wrap = critic_norm("netD1", norm)
        self.layers = nn.Sequential(
            wrap(xavier(nn.Conv2d(CODE[0], width, 3, padding=1))),
            nn.LeakyReLU(SLOPE),
            wrap(xavier(nn.Conv2d(width, 2 * width, 3, padding=1))),
            nn.LeakyReLU(SLOPE),
            wrap(xavier(nn.Conv2d(2 * width, 4 * width, CODE[1]))),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
            xavier(nn.Linear(4 * width, 1)),
        )

    def forward(self, codes: Tensor) -> Tensor:
        out: Tensor = self.layers(codes)
        return out


class OriginRefiner(Network):
    """RefinerG: nine encoder-decoder layers with residuals, from 64 pixels to 512.

    Three layers halve (64, 32, 16 to 8 pixels) and six double (8 to 512); at equal sizes what the encoder saw is added.
    The whole is a residual beside the enlarged input. Pictures N x 3 x H x W in [0, 1], sides multiples of 8.
    """

    multiple = 8
    ends = ("encoder.0", "head")

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.scale = 8
        self.radius = 22  # of 8 input pixels that share a place of the coarsest level, the tests find, no farther
        sizes = [3, width, 2 * width, 4 * width]
        self.encoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, 2, padding=1), nn.LeakyReLU(SLOPE)) for a, b in itertools.pairwise(sizes)
        )
        sizes = [4 * width, 2 * width, width, width, width // 2, width // 2, width // 4]
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, padding=1), nn.ReLU()) for a, b in itertools.pairwise(sizes)
        )
        self.head = nn.Conv2d(sizes[-1], 3, 3, padding=1)
        xavier(self)
        with torch.no_grad():
            self.head.weight.mul_(0.1)  # at first it gives the enlarged input, and has that to improve on

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        out = 2 * x - 1
        for layer in self.encoder:
            out = layer(out)
            skips.append(out)
        skips.pop()
        for layer in self.decoder:
            out = layer(out)
            if skips:
                out = out + skips.pop()
        base = functional.interpolate(x, scale_factor=8.0, mode="bicubic", align_corners=False)
        detail: Tensor = self.head(out)
        return detail.to(x.dtype) + base


def origin_refiner(scale: int = 8, *, width: int = 64) -> Network:
    """RefinerG of the origin, as a network that enlarges any picture 8 times."""
    check_scale("origin-refiner", scale, (8,))
    check_sizes("origin-refiner", width=width)
    return OriginRefiner(width=width)


class RefinerCritic(nn.Module):
    """RefinerD: seven convolutions that halve 512 pixels to 4, and one of 4x4: pictures N x 3 x 512 x 512 to N x 1."""

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        check_sizes("RefinerD", width=width)
        layers: list[nn.Module] = []
        inputs = 3
        for number in range(7):
            outputs = min(width << number, 8 * width)
            layers += [spectral(xavier(nn.Conv2d(inputs, outputs, 4, 2, padding=1))), nn.LeakyReLU(SLOPE)]
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.verdict = xavier(nn.Conv2d(inputs, 1, 4))

    def forward(self, pictures: Tensor) -> Tensor:
        if tuple(pictures.shape[2:]) != (8 * SIDE, 8 * SIDE):
            height, width = pictures.shape[2:]
            raise ValueError(f"its sides must be {8 * SIDE} px, not {width} x {height}")
        out: Tensor = self.verdict(self.layers(pictures)).flatten(1)
        return out


def critic_norm(role: str, norm: str) -> Any:
    """What a critic's layers are wrapped in: ``spectral``, or ``none`` beside a gradient penalty."""
    from srgan.errors import InvalidConfig

    if norm not in ("spectral", "none"):
        raise InvalidConfig(f"{role}: norm must be spectral or none, not {norm!r}")
    return spectral if norm == "spectral" else lambda layer: layer
