"""How different two pictures look, by the features of a network; each is also a loss.

All take RGB pictures in [0, 1], N x 3 x H x W, each side at least `squeezenet.LEAST_SIDE`, and give N numbers: 0 for
equal pictures, more for less alike, the same whichever comes first. The whole picture counts, its border too. The
gradient flows into both and is finite everywhere, equal pictures included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srgan.errors import CorruptModel

Network = Callable[[Tensor], Sequence[Tensor]]
"""Pictures to taps, each N x C x H x W: `squeezenet.SqueezeNet`, or another network with features worth comparing."""


def feature_distance(network: Network, a: Tensor, b: Tensor) -> Tensor:
    """LPIPS without its learned weights: every channel of the seven taps counts the same.

    At each tap the features are scaled to unit length at each pixel; the squared difference is summed over channels,
    averaged over the picture, and summed over taps. Zhang et al., "The Unreasonable Effectiveness of Deep Features as
    a Perceptual Metric", 2018, call this the uncalibrated network. The weights that come with LPIPS were fitted to
    other features (see `squeezenet`), so values are not those of LPIPS and must not be compared with published ones.
    """
    return torch.stack([_unit_difference(x, y).sum(1).mean((1, 2)) for x, y in _pairs(network, a, b)]).sum(0)


def structure_texture_distance(network: Network, a: Tensor, b: Tensor) -> Tensor:
    """The form of DISTS on SqueezeNet, in [0, 2]: forgiving about where texture lies, not about how it looks.

    One minus the mean, over the picture itself and the seven taps, of half the similarity of the channels' means
    (texture) and half that of their covariance (structure), every channel the same. Ding et al., "Image Quality
    Assessment: Unifying Structure and Texture Similarity", 2020, fit weights and pool otherwise; do not compare.
    """
    return 1 - torch.stack([_similarity(x, y) for x, y in [(a, b), *_pairs(network, a, b)]]).mean(0)


class ShiftTolerantDistance(nn.Module):
    """ST-LPIPS on AlexNet, with the weights that its authors publish: a judge that shares nothing with SqueezeNet.

    Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", 2022. Called as ``distance(a, b)``.
    """

    LEAST_SIDE = 32

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )
        self.heads = nn.ParameterList([torch.zeros(1, c, 1, 1) for c in (64, 192, 384, 256, 256)])
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> ShiftTolerantDistance:
        """With the weights of ``alex_shift_tolerant.pth``. Raises `CorruptModel` when the file is another."""
        try:
            # In this process: the file is part of an installed package, whose code is trusted as much.
            stored = torch.load(path, map_location="cpu", weights_only=True)
            distance = cls()
            layers = ("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")
            named = {
                f"convolutions.{k}.{part}": stored[f"net.{layer}.{part}"]
                for k, layer in enumerate(layers)
                for part in ("weight", "bias")
            }
            heads = {f"heads.{k}": stored[f"lin{k}.model.1.weight"] for k in range(len(layers))}
            distance.load_state_dict(named | heads)
        except Exception as error:  # a damaged file fails in many ways, all of them in torch
            raise CorruptModel(f"{path}: these are not the weights of ST-LPIPS on AlexNet") from error
        return distance

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """N distances of pictures whose sides are at least `LEAST_SIDE`; nearly always below 1."""
        return torch.stack(
            [
                (head * _unit_difference(x, y)).sum(1).mean((1, 2))
                for head, x, y in zip(self.heads, self._taps(a), self._taps(b), strict=True)
            ]
        ).sum(0)

    def _taps(self, pictures: Tensor) -> list[Tensor]:
        x = (pictures * 2 - 1 - cast(Tensor, self.shift)) / cast(Tensor, self.scale)
        taps = []
        for k, convolution in enumerate(self.convolutions):
            if k in (1, 2):
                x = _blurred_half(F.max_pool2d(x, 3, stride=1))
            x = convolution(x)
            x = F.relu(_blurred_half(x) if k == 0 else x)
            taps.append(x)
        return taps


def _blurred_half(x: Tensor) -> Tensor:
    """Every second pixel after a binomial blur, mirrored by two pixels beyond the border."""
    line = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def _pairs(network: Network, a: Tensor, b: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The taps of both; one pass, since a batch is quicker than two."""
    if a.shape != b.shape:
        raise ValueError(f"two batches of one shape are compared, not {tuple(a.shape)} and {tuple(b.shape)}")
    taps = network(torch.cat((a, b)))
    return [(tap[: len(a)], tap[len(a) :]) for tap in taps]


def _unit_difference(x: Tensor, y: Tensor) -> Tensor:
    """The squared difference of the directions; the 1e-20 keeps the gradient finite where all features are 0."""
    x, y = (f / (f.square().sum(1, keepdim=True) + 1e-20).sqrt() for f in (x, y))
    return (x - y).square()


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """Half texture, half structure, mean over channels."""
    c = 1e-6
    mean_x, mean_y = x.mean((2, 3), keepdim=True), y.mean((2, 3), keepdim=True)
    centred_x, centred_y = x - mean_x, y - mean_y
    covariance = (centred_x * centred_y).mean((2, 3))
    variances = (centred_x.square() + centred_y.square()).mean((2, 3))
    texture = (2 * mean_x * mean_y + c) / (mean_x.square() + mean_y.square() + c)
    structure = (2 * covariance + c) / (variances + c)
    return ((texture[..., 0, 0] + structure) / 2).mean(1)
