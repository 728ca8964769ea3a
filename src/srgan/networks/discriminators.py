"""Discriminators: what the generator of a GAN has to convince. `DISCRIMINATORS` lists them.

All take pictures N x 3 x H x W in [0, 1] and give logits, or scores of a critic: N x 1 for a whole picture, or
N x 1 x h x w where every place is judged by itself. Those that not every size suits raise ValueError for the others.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from srgan.errors import InvalidConfig
from srgan.networks.network import check_options, check_sizes
from srgan.plugins import Table

SLOPE = 0.2
"""Of the leaky ReLUs: all discriminators of the SRGAN line use it."""

DISCRIMINATORS = Table(
    "srgan.discriminators",
    "discriminator",
    {
        "srgan": "srgan.networks.discriminators:PaperDiscriminator",
        "unet": "srgan.networks.discriminators:UNetDiscriminator",
        "patch": "srgan.networks.discriminators:PatchDiscriminator",
    },
)


def build_discriminator(name: str, /, **options: Any) -> nn.Module:
    """Build the discriminator ``name`` with fresh weights. Raises `InvalidConfig` for a name or options unknown."""
    maker = DISCRIMINATORS.load(name)
    check_options(f"discriminator {name!r}", maker, options)
    try:
        return cast(nn.Module, maker(**options))
    except TypeError as error:
        raise InvalidConfig(f"discriminator {name!r}: {error}") from error


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value, which one power iteration a training step follows.

    Miyato et al., "Spectral normalization for generative adversarial networks", 2018. Unlike torch's own, it computes
    in float32 under autocast: in bfloat16 the estimate is off by up to a per cent.
    """

    u: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        start = torch.randn(len(weight), dtype=torch.float32, device=weight.device)
        self.register_buffer("u", functional.normalize(start, dim=0))
        for _ in range(15):
            self._iterate(weight.detach().flatten(1))

    def _iterate(self, matrix: Tensor) -> None:
        self.u.copy_(functional.normalize(matrix @ functional.normalize(matrix.T @ self.u, dim=0), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            with torch.no_grad():
                if self.training:
                    self._iterate(matrix)
                u = self.u.clone()
                v = functional.normalize(matrix.T @ u, dim=0)
            return weight / torch.dot(u, matrix @ v)


def spectral(layer: nn.Module) -> nn.Module:
    """``layer`` with its weight normalised."""
    parametrize.register_parametrization(layer, "weight", SpectralNorm(cast(Tensor, layer.weight)))
    return layer


class PaperDiscriminator(nn.Module):
    """The discriminator of the SRGAN paper (Ledig et al. 2017, figure 4): N x 1 for a whole picture.

    Eight 3x3 convolutions that double the channels while they halve the picture, two dense layers. ``width`` is 64 and
    pictures have 96 pixels in the paper; other sizes are averaged to the 6x6 that the dense layer knows. The paper's
    sigmoid is part of the loss. ``norm`` is ``batch`` as in the paper, ``spectral`` or ``none``: a critic with a
    gradient penalty must not mix the pictures of a batch.
    """

    def __init__(self, *, width: int = 64, dense: int = 1024, norm: str = "batch") -> None:
        super().__init__()
        check_sizes("srgan", width=width, dense=dense)
        if norm not in ("batch", "spectral", "none"):
            raise InvalidConfig(f"discriminator 'srgan': norm must be batch, spectral or none, not {norm!r}")
        plan = [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        inputs = width
        for factor, stride in plan:
            outputs = factor * width
            conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=norm != "batch")
            layers.append(spectral(conv) if norm == "spectral" else conv)
            if norm == "batch":
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.LeakyReLU(SLOPE))
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.verdict = nn.Sequential(nn.Linear(inputs * 36, dense), nn.LeakyReLU(SLOPE), nn.Linear(dense, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        out: Tensor = self.verdict(self.pool(self.features(pictures)).flatten(1))
        return out


class UNetDiscriminator(nn.Module):
    """A U-Net with spectral normalisation that judges every pixel with the whole neighbourhood in view: N x 1 x H x W.

    As in Real-ESRGAN (Wang et al. 2021): three halvings, three doublings with skips that are added, two convolutions
    more. Sides must be multiples of 8. ``width`` of 64 is theirs; its cost falls with the square.
    """

    MULTIPLE = 8

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        check_sizes("unet", width=width)

        def half(inputs: int, outputs: int) -> nn.Module:
            return spectral(nn.Conv2d(inputs, outputs, 4, 2, padding=1, bias=False))

        def same(inputs: int, outputs: int) -> nn.Module:
            return spectral(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))

        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList([half(width << k, width << (k + 1)) for k in range(3)])
        self.up = nn.ModuleList([same(width << (k + 1), width << k) for k in (2, 1, 0)])
        self.tail = nn.ModuleList([same(width, width) for _ in range(2)])
        self.verdict = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[2:]
        if height % self.MULTIPLE or width % self.MULTIPLE:
            raise ValueError(f"its sides must be multiples of {self.MULTIPLE} px, not {width} x {height}")
        x = functional.leaky_relu(self.stem(pictures), SLOPE)
        skips = []
        for layer in self.down:
            skips.append(x)
            x = functional.leaky_relu(layer(x), SLOPE)
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
            x = functional.leaky_relu(layer(x), SLOPE) + skip
        for layer in self.tail:
            x = functional.leaky_relu(layer(x), SLOPE)
        out: Tensor = self.verdict(x)
        return out


class PatchDiscriminator(nn.Module):
    """A PatchGAN (Isola et al. 2017) with spectral normalisation: N x 1 x h x w, each place judging its surroundings.

    A 4x4 convolution with stride 2 and ``depth`` - 1 more that halve and double, one 4x4 convolution without stride.
    With ``depth`` 3 a place sees 70 pixels and stands for 8. The cheapest of the three. Sides must be at least
    2 to the power of ``depth``.
    """

    def __init__(self, *, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        check_sizes("patch", width=width, depth=depth)
        self.least = 2**depth
        layers: list[nn.Module] = [spectral(nn.Conv2d(3, width, 4, 2, padding=1)), nn.LeakyReLU(SLOPE)]
        inputs = width
        for _ in range(depth - 1):
            outputs = min(2 * inputs, 8 * width)
            layers += [spectral(nn.Conv2d(inputs, outputs, 4, 2, padding=1)), nn.LeakyReLU(SLOPE)]
            inputs = outputs
        layers += [spectral(nn.Conv2d(inputs, 2 * inputs, 3, padding=1)), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(2 * inputs, 1, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        if min(pictures.shape[2:]) < self.least:
            height, width = pictures.shape[2:]
            raise ValueError(f"its sides must be at least {self.least} px, not {width} x {height}")
        out: Tensor = self.layers(pictures)
        return out
