"""Plans that compete in `plans.py` with the networks that srgan ships; those that lose stay here.

Written from the descriptions in their papers, with our stem, direct head and initialisation, so that only the body
differs. All work at tile origins that are multiples of `Network.multiple`, and then a tile gives what the whole does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.networks import NETWORKS
from srgan.networks.network import LEAK, DirectHead, Network, conv3x3
from srgan.networks.plain import PlainNetwork
from srgan.networks.residual import ResidualBlock, ResidualNetwork

CELL = 4
"""Side of the squares of pixels that a local attention is the mean of."""


class LocalAttention(nn.Module):
    """x * s, where s is a map in (0, 1) out of the means of `CELL` x `CELL` pixels: its grid starts at the origin.

    The idea of PlainUSR's local importance attention, whose pooling overlaps and ends short of the border, so that no
    grid makes it exact under tiling; here the cells are squares that do not overlap.
    """

    def __init__(self, width: int, focus: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, focus, 1)
        self.look = conv3x3(focus, focus)
        self.tell = conv3x3(focus, width)
        self.act = nn.LeakyReLU(LEAK)

    def forward(self, x: Tensor) -> Tensor:
        cells = functional.avg_pool2d(self.squeeze(x), CELL)
        inner = self.tell(self.act(self.look(cells)))
        importance = torch.sigmoid(inner)
        up = functional.interpolate(importance, scale_factor=float(CELL), mode="bilinear", align_corners=False)
        return x * up * torch.sigmoid(x[:, :1])


def reach(blocks: int, convolutions: int, *, attention: bool) -> int:
    """The receptive radius of ``blocks`` of so many 3x3 ``convolutions`` and an attention, between a stem and a head.

    What a pixel needs is followed from the output back. It depends on where in its cell the pixel lies: the worst.
    """
    farthest = 0
    for start in range(CELL if attention else 1):
        low = high = start
        low, high = low - 1, high + 1
        for _ in range(blocks):
            if attention:  # the enlargement lies between two cells, and two convolutions look one further each
                low = ((low - CELL // 2) // CELL - 2) * CELL
                high = ((high - CELL // 2) // CELL + 3) * CELL + CELL - 1
            low, high = low - convolutions, high + convolutions
        farthest = max(farthest, start - low + 1, high - start + 1)
    return farthest


class PartialBlock(nn.Module):
    """Two 3x3 convolutions and an attention on the first ``part`` channels; the others pass."""

    def __init__(self, width: int, part: int, focus: int, *, residual: bool) -> None:
        super().__init__()
        self.part, self.rest, self.residual = part, width - part, residual
        self.first = conv3x3(part, part)
        self.second = conv3x3(part, part)
        self.act = nn.LeakyReLU(LEAK)
        self.attention = LocalAttention(part, focus) if focus else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        own, other = torch.split(x, [self.part, self.rest], dim=1) if self.rest else (x, None)
        made: Tensor = self.attention(self.second(self.act(self.first(own))))
        made = made + own if self.residual else made
        return made if other is None else torch.cat([made, other], dim=1)


class PartialNetwork(Network):
    """After PlainUSR (Wang et al., ACCV 2024): blocks on the first channels only, widest at the ends."""

    def __init__(self, *, scale: int, width: int, parts: tuple[int, ...], focus: int, channels: int = 3) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.multiple = CELL if focus else 1
        self.radius = reach(len(parts), 2, attention=focus > 0)
        self.stem = conv3x3(channels, width)
        self.blocks = nn.Sequential(*(PartialBlock(width, part, focus, residual=True) for part in parts))
        self.head = DirectHead(width, channels, scale, scale)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.blocks(self.stem(x)), x)
        return out


class LeakyNetwork(PlainNetwork):
    """`plain` with leaky activations instead of clipped ones."""

    def __init__(self, *, scale: int, width: int, depth: int) -> None:
        super().__init__(scale=scale, width=width, depth=depth)
        self.act = nn.LeakyReLU(LEAK)


class DeepBlock(nn.Module):
    """Three activated 3x3 convolutions, + x, a 1x1 convolution and an attention; zero at the start."""

    def __init__(self, width: int, focus: int) -> None:
        super().__init__()
        self.first, self.second, self.third = (conv3x3(width, width) for _ in range(3))
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.kaiming_normal_(self.mix.weight, nonlinearity="linear")
        self.act = nn.SiLU()
        self.attention = LocalAttention(width, focus) if focus else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.act(self.third(self.act(self.second(self.act(self.first(x))))))
        out: Tensor = self.attention(self.mix(inner + x))
        return out


class DeepNetwork(Network):
    """After DIPNet (Yu et al., CVPR Workshops 2023) and RLFN: blocks of three convolutions with an attention each."""

    def __init__(self, *, scale: int, width: int, blocks: int, focus: int, channels: int = 3) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.multiple = CELL if focus else 1
        self.radius = reach(blocks, 3, attention=focus > 0)
        self.stem = conv3x3(channels, width)
        self.blocks = nn.Sequential(*(DeepBlock(width, focus) for _ in range(blocks)))
        self.join = nn.Conv2d(width, width, 1)
        nn.init.kaiming_normal_(self.join.weight, nonlinearity="linear")
        self.head = DirectHead(width, channels, scale, scale)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        out: Tensor = self.head(self.join(self.blocks(features)) + features, x)
        return out


class WideNetwork(Network):
    """Pixel unshuffle by 2 as `turbo`, with the residual blocks of `fast`."""

    multiple = 2

    def __init__(self, *, scale: int, width: int, blocks: int, channels: int = 3) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.radius = 2 * (2 * blocks + 3) + 1
        self.unshuffle = nn.PixelUnshuffle(2)
        self.stem = conv3x3(channels * 4, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, expanded=False) for _ in range(blocks)))
        self.join = conv3x3(width, width)
        self.head = DirectHead(width, channels, 2 * scale, scale)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(self.unshuffle(x))
        out: Tensor = self.head(self.join(self.blocks(features)) + features, x)
        return out


class ContextNetwork(ResidualNetwork):
    """`fast`, and beside it residual blocks on squares of `CELL` x `CELL` pixels, which see far for little time.

    What they find is added to the features of the stem; nothing at the start.
    """

    multiple = CELL

    def __init__(self, *, scale: int, width: int, blocks: int, far: int, far_blocks: int) -> None:
        super().__init__(scale=scale, width=width, blocks=blocks)
        near = 2 * blocks + 2
        ends = [(start - near, start + near) for start in range(CELL)]
        cells = 2 * far_blocks + 1
        self.radius = max(
            max(start - (low // CELL - cells) * CELL, (high // CELL + cells) * CELL + CELL - 1 - start)
            for start, (low, high) in enumerate(ends)
        )
        self.down = nn.Conv2d(self.channels, far, CELL, stride=CELL)
        nn.init.kaiming_normal_(self.down.weight, nonlinearity="linear")
        self.far = nn.Sequential(*(ResidualBlock(far, expanded=False) for _ in range(far_blocks)))
        self.back = conv3x3(far, width, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        context = self.back(self.far(self.down(x)))
        inner = features + functional.interpolate(context, scale_factor=float(CELL), mode="nearest")
        out: Tensor = self.head(self.join(self.blocks(inner)) + features, x)
        return out


def context(scale: int, *, width: int = 48, blocks: int = 3, far: int = 96, far_blocks: int = 3) -> Network:
    return ContextNetwork(scale=scale, width=width, blocks=blocks, far=far, far_blocks=far_blocks)


def partial(scale: int, *, width: int = 32, parts: list[int] | None = None, focus: int = 4) -> Network:
    return PartialNetwork(scale=scale, width=width, parts=tuple(parts or (32, 16, 8, 16, 32)), focus=focus)


def leaky(scale: int, *, width: int = 48, depth: int = 9) -> Network:
    return LeakyNetwork(scale=scale, width=width, depth=depth)


def deep(scale: int, *, width: int = 32, blocks: int = 4, focus: int = 16) -> Network:
    return DeepNetwork(scale=scale, width=width, blocks=blocks, focus=focus)


def wide(scale: int, *, width: int = 96, blocks: int = 4) -> Network:
    return WideNetwork(scale=scale, width=width, blocks=blocks)


PLANS: dict[str, tuple[str, dict[str, Any]]] = {
    "turbo": ("turbo", {}),
    "plain 32x3": ("plain", {"width": 32, "depth": 3}),
    "plain 32x4": ("plain", {"width": 32, "depth": 4}),
    "leaky 32x4": ("leaky", {"width": 32, "depth": 4}),
    "residual 32x2": ("fast", {"width": 32, "blocks": 2}),
    "fast": ("fast", {}),
    "plain 48x9": ("plain", {"width": 48, "depth": 9}),
    "plain 48x9, expanded": ("plain", {"width": 48, "depth": 9, "expanded": True}),
    "leaky 48x9": ("leaky", {"width": 48, "depth": 9}),
    "context 48x3": ("context", {"width": 48, "blocks": 3, "far": 96, "far_blocks": 3}),
    "partial 48": ("partial", {"width": 48, "parts": [48, 32, 16, 32, 48], "focus": 8}),
    "span 32x4": ("balanced", {"width": 32, "blocks": 4}),
    "deep 32x4": ("deep", {"width": 32, "blocks": 4, "focus": 16}),
    "wide 96x5": ("wide", {"width": 96, "blocks": 5}),
    "residual 32x7": ("fast", {"width": 32, "blocks": 7}),
    "balanced": ("balanced", {}),
    "residual 48x12": ("fast", {"width": 48, "blocks": 12}),
    "plain 48x22": ("plain", {"width": 48, "depth": 22}),
}
"""By name: the network, as `srgan.networks.build` knows it, and its options."""


def announce() -> None:
    """Have `srgan.networks.build`, and so the trainer, know the plans of this file."""
    names = ("context", "partial", "leaky", "deep", "wide")
    NETWORKS.targets.update({name: f"{__name__}:{name}" for name in names})
