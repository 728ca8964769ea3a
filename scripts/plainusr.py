"""PlainUSR with its authors' weights as a model bundle: the teacher of `configs/distil-x4.toml`.

    python scripts/plainusr.py PlainUSRL_Rep_x4.pth teachers/plainusr-l-x4

The weights are those of github.com/icandle/PlainUSR (MIT), in the reparameterised form. Its network (Wang et al.,
"PlainUSR", ACCV 2024) is written here anew; srgan itself does not know it, so the bundle runs by ncnn and ONNX Runtime.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.models import Bundle, Provenance
from srgan.networks import NETWORKS
from srgan.networks.foreign import take_foreign
from srgan.networks.network import Network
from srgan.training.finishing import write_model

SLOPE = 0.05
VARIANTS = {
    "l": {"widths": (80, 64, 48), "attention": 16, "depth": 3},
    "s": {"widths": (32, 16, 8), "attention": 4, "depth": 2},
}
"""Channels of the outer, middle and inner blocks, those of the attention, convolutions in a block."""
OVERLAP = 48
"""Pixels by which tiles overlap. The attention reaches farther, but weakly; what it samples depends on the tiling."""


class LocalAttention(nn.Module):
    """A map of importance, from softly pooled features at a sixth of the size, and a gate by the first channel."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, inner, 1)
        self.spread = nn.Conv2d(inner, inner, 3, stride=2, padding=1)
        self.weigh = nn.Conv2d(inner, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        weight = squeezed.exp()
        pooled = functional.avg_pool2d(weight * squeezed, 7, 3) / functional.avg_pool2d(weight, 7, 3)
        importance = torch.sigmoid(self.weigh(self.spread(pooled)))
        enlarged = functional.interpolate(importance, x.shape[2:], mode="bilinear", align_corners=False)
        return x * enlarged * torch.sigmoid(x[:, :1])


class Block(nn.Sequential):
    """3x3 convolutions with activations between them, and the attention."""

    def __init__(self, width: int, inner: int, depth: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers[:-1], LocalAttention(width, inner))


class PlainUSR(Network):
    """Blocks that replace the first of the channels, and leave the others to those that follow."""

    def __init__(self, *, scale: int, widths: tuple[int, int, int], attention: int, depth: int) -> None:
        super().__init__()
        outer, middle, inner = widths
        self.scale, self.radius = scale, OVERLAP
        self.head = nn.Conv2d(3, outer + 3, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, attention, depth) for width in (outer, middle, inner, middle, outer))
        self.tail = nn.Conv2d(outer + 3, 3 * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        for block in self.blocks:
            width = block[0].in_channels
            features = torch.cat([block(features[:, :width]), features[:, width:]], dim=1)
        return functional.pixel_shuffle(self.tail(features), self.scale)


def plainusr(scale: int, *, variant: str = "l") -> Network:
    """The network of these `VARIANTS`, with fresh weights."""
    return PlainUSR(scale=scale, **VARIANTS[variant])


def make_bundle(weights: Path, target: Path, *, variant: str = "l", scale: int = 4) -> Bundle:
    """Write the bundle ``target`` of the file ``weights``. Raises `InvalidConfig` for weights of another network."""
    NETWORKS.targets["plainusr"] = f"{__name__}:plainusr"
    network = plainusr(scale, variant=variant)
    take_foreign(network, weights, "weights")
    return write_model(
        target,
        network.deploy(),
        name=f"plainusr-{variant}-x{scale}",
        description="PlainUSR, as its authors trained it.",
        network="plainusr",
        network_options={"variant": variant},
        minimum=16,
        licence="MIT",
        provenance=Provenance(corpus="not stated by its authors", parent=weights.name),
    )


def main() -> None:
    """Make the bundle."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, metavar="WEIGHTS")
    parser.add_argument("target", type=Path, metavar="BUNDLE")
    parser.add_argument("--variant", choices=VARIANTS, default="l")
    parser.add_argument("--scale", type=int, default=4)
    given = parser.parse_args()
    print(make_bundle(given.weights, given.target, variant=given.variant, scale=given.scale).path)


if __name__ == "__main__":
    main()
