"""netG1 and netD1 that train on a processor: they work in the principal components of all codes.

A code has 1,024 numbers that depend on each other over all its places: flat colours must agree everywhere. A
convolutional head has to learn that; in the basis of the codes' principal components (`Basis`) it is given. While
training, noise becomes coordinates and coordinates are judged; `merged` gives plain transposed convolutions that
compute the same, and these are what a bundle holds.
"""

from __future__ import annotations

from math import prod
from typing import Self

import torch
from torch import Tensor, nn

from srgan.networks.discriminators import SLOPE
from srgan.networks.latent import CODE
from srgan.networks.latent.origin import critic_norm
from srgan.networks.network import check_sizes

NUMBERS = prod(CODE)


class Basis(nn.Module):
    """The principal components of codes. Coordinates have, each, the square root of its deviation as deviation.

    Between raw coordinates, where the last hardly count, and whitened ones, where noise counts as much as figures.
    ``mean`` (1,024), ``axes`` (1,024 x size) and ``root`` (size), the roots of the deviations, are buffers.
    """

    mean: Tensor
    axes: Tensor
    root: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.zeros(NUMBERS))
        self.register_buffer("axes", torch.eye(NUMBERS)[:, :size].clone())
        self.register_buffer("root", torch.ones(size))

    @torch.no_grad()
    def fit(self, codes: Tensor) -> float:
        """Become the basis of ``codes``, N x 64 x 4 x 4. Gives the share of the variance that is kept.

        Raises ValueError for fewer codes than coordinates.
        """
        flat = codes.flatten(1).double()
        if len(flat) <= self.size:
            raise ValueError(f"{len(flat)} codes do not span {self.size} coordinates")
        mean = flat.mean(dim=0)
        _, singular, vectors = torch.linalg.svd(flat - mean, full_matrices=False)
        deviation = singular / len(flat) ** 0.5
        self.mean.copy_(mean)
        self.axes.copy_(vectors[: self.size].T)
        self.root.copy_(deviation[: self.size].clamp_min(1e-6 * float(deviation[0])).sqrt())
        return float((deviation[: self.size] ** 2).sum() / (deviation**2).sum())

    def coordinates(self, codes: Tensor) -> Tensor:
        """Codes N x 64 x 4 x 4 to coordinates N x size."""
        return (codes.flatten(1) - self.mean) @ self.axes / self.root

    def codes(self, coordinates: Tensor) -> Tensor:
        """Coordinates N x size to codes N x 64 x 4 x 4."""
        flat = (coordinates * self.root) @ self.axes.T + self.mean
        return flat.reshape(-1, *CODE)

    def take(self, other: Basis) -> Self:
        """Become ``other``."""
        self.load_state_dict(other.state_dict())
        return self


class FactoredGenerator(nn.Module):
    """netG1: noise N x z to codes N x 64 x 4 x 4, by way of coordinates."""

    def __init__(self, *, z: int = 64, width: int = 384, depth: int = 3, coordinates: int = 256) -> None:
        super().__init__()
        check_sizes("netG1", z=z, width=width, depth=depth, coordinates=coordinates)
        self.z = z
        layers: list[nn.Module] = []
        inputs = z
        for _ in range(depth):
            layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.Linear(width, coordinates))
        self.basis = Basis(coordinates)

    def coordinates(self, noise: Tensor) -> Tensor:
        """Noise N x z to coordinates, as `Basis` has them."""
        out: Tensor = self.layers(noise) * self.basis.root
        return out

    def forward(self, noise: Tensor) -> Tensor:
        return self.basis.codes(self.coordinates(noise))

    @torch.no_grad()
    def merged(self) -> nn.Sequential:
        """Transposed convolutions and ReLUs that give the same: noise N x z x 1 x 1 to codes.

        The mean code differs from place to place, which no bias can express, so the last hidden layer has one channel
        more, which is always 1.
        """
        layers: list[nn.Module] = []
        blocks = list(self.layers)
        last = blocks.pop()
        assert isinstance(last, nn.Linear)
        for dense, norm, _ in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True):
            assert isinstance(dense, nn.Linear)
            assert isinstance(norm, nn.BatchNorm1d)
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()  # type: ignore[operator, union-attr]
            weight, bias = dense.weight * gain[:, None], norm.bias - norm.running_mean * gain  # type: ignore[operator]
            if norm is blocks[-2]:
                weight = torch.cat([weight, torch.zeros_like(weight[:1])])
                bias = torch.cat([bias, torch.ones_like(bias[:1])])
            plain = nn.ConvTranspose2d(weight.shape[1], len(weight), 1)
            plain.weight.copy_(weight.T[:, :, None, None])
            plain.bias.copy_(bias)  # type: ignore[union-attr]
            layers += [plain, nn.ReLU()]
        spread = self.basis.axes * self.basis.root**2  # from the raw output of the last layer to a code
        head = nn.ConvTranspose2d(last.in_features + 1, CODE[0], CODE[1])
        head.weight[:-1] = (spread @ last.weight).T.reshape(-1, *CODE)
        head.weight[-1] = (spread @ last.bias + self.basis.mean).reshape(CODE)
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        return nn.Sequential(*layers, head).eval().requires_grad_(False)


class FactoredCritic(nn.Module):
    """netD1: codes N x 64 x 4 x 4 to scores N x 1, by way of coordinates.

    ``norm`` is ``spectral``, or ``none`` beside a gradient penalty.
    """

    def __init__(self, *, width: int = 384, depth: int = 2, coordinates: int = 256, norm: str = "spectral") -> None:
        super().__init__()
        check_sizes("netD1", width=width, depth=depth, coordinates=coordinates)
        wrap = critic_norm("netD1", norm)
        layers: list[nn.Module] = []
        inputs = coordinates
        for _ in range(depth):
            layers += [wrap(nn.Linear(inputs, width)), nn.LeakyReLU(SLOPE)]
            inputs = width
        self.layers = nn.Sequential(*layers, wrap(nn.Linear(width, 1)))
        self.basis = Basis(coordinates)

    def judge(self, coordinates: Tensor) -> Tensor:
        """Coordinates, as `Basis` has them, to scores N x 1."""
        out: Tensor = self.layers(coordinates)
        return out

    def forward(self, codes: Tensor) -> Tensor:
        return self.judge(self.basis.coordinates(codes))

    @torch.no_grad()
    def merged(self) -> nn.Sequential:
        """Convolutions and leaky ReLUs that give the same."""
        layers: list[nn.Module] = []
        gather = (self.basis.axes / self.basis.root).T  # size x 1,024
        was_training, _ = self.training, self.eval()
        for number, layer in enumerate(self.layers):
            if not isinstance(layer, nn.Linear):
                layers.append(nn.LeakyReLU(SLOPE))
                continue
            weight, bias = layer.weight.detach(), layer.bias.detach()
            if number == 0:
                full = weight @ gather
                plain = nn.Conv2d(CODE[0], len(weight), CODE[1])
                plain.weight.copy_(full.reshape(-1, *CODE))
                bias = bias - full @ self.basis.mean
            else:
                plain = nn.Conv2d(weight.shape[1], len(weight), 1)
                plain.weight.copy_(weight[:, :, None, None])
            plain.bias.copy_(bias)  # type: ignore[union-attr]
            layers.append(plain)
        self.train(was_training)
        return nn.Sequential(*layers, nn.Flatten()).eval().requires_grad_(False)
