"""SPAN, the swift parameter-free attention network (Wan et al., CVPR Workshops 2024), with a direct head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srgan.networks.network import LEAK, DirectHead, Network, check_scale, check_sizes, conv3x3
from srgan.networks.recompute import run_block


class AttentionBlock(nn.Module):
    """Three 3x3 convolutions whose output gates itself: (o + x) * (sigmoid(o) - 0.5). No weights in the gate."""

    def __init__(self, width: int, *, expanded: bool) -> None:
        super().__init__()
        self.first = conv3x3(width, width, expanded=expanded)
        self.second = conv3x3(width, width, expanded=expanded)
        self.third = conv3x3(width, width, expanded=expanded)
        self.act = nn.LeakyReLU(LEAK)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The gated output, and the output of the first convolution for the network's last skip."""
        inner = self.first(x)
        out = self.third(self.act(self.second(self.act(inner))))
        return (out + x) * (torch.sigmoid(out) - 0.5), inner


class SPAN(Network):
    """Stem, ``blocks`` attention blocks, a convolution, 1x1 fusion of four feature maps, direct head."""

    recompute = False

    def __init__(self, *, scale: int, width: int, blocks: int, channels: int = 3, expanded: bool = False) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.radius = 3 * blocks + 3
        self.stem = conv3x3(channels, width)
        self.blocks = nn.ModuleList(AttentionBlock(width, expanded=expanded) for _ in range(blocks))
        self.join = conv3x3(width, width, expanded=expanded)
        self.fuse = nn.Conv2d(4 * width, width, 1)
        nn.init.kaiming_normal_(self.fuse.weight, nonlinearity="linear")
        nn.init.zeros_(self.fuse.bias)  # type: ignore[arg-type]
        self.head = DirectHead(width, channels, scale, scale)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        out, first, inner = features, features, features
        for index, block in enumerate(self.blocks):
            out, inner = run_block(block, out, again=self.recompute)
            if index == 0:
                first = out
        fused = self.fuse(torch.cat([features, self.join(out), first, inner], dim=1))
        enlarged: Tensor = self.head(fused, x)
        return enlarged


def balanced(scale: int, *, width: int = 48, blocks: int = 6, channels: int = 3, expanded: bool = False) -> Network:
    """The middle tier: 425k multiply-accumulates per input pixel at x4."""
    check_scale("balanced", scale)
    check_sizes("balanced", width=width, blocks=blocks, channels=channels)
    return SPAN(scale=scale, width=width, blocks=blocks, channels=channels, expanded=expanded)
