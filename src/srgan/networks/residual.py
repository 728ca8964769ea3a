"""The deployable family: residual blocks without batch norm and with a direct head (after EDSR, Lim et al. 2017).

`fast` and `quality` work on the pixels themselves, `turbo` on 2x2 blocks of them (pixel unshuffle), which gives a wide
network at a quarter of the cost. Channels are multiples of 16 and activations leaky ReLUs, because that is what
inference engines run fastest.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from srgan.networks.network import LEAK, DirectHead, Network, check_scale, check_sizes, conv3x3
from srgan.networks.recompute import run_block


class ResidualBlock(nn.Module):
    """x + conv(lrelu(conv(x))), which starts as the identity."""

    def __init__(self, width: int, *, expanded: bool) -> None:
        super().__init__()
        self.first = conv3x3(width, width, expanded=expanded)
        self.second = conv3x3(width, width, expanded=expanded, gain=0.0)
        self.act = nn.LeakyReLU(LEAK)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.act(self.first(x)))
        return out


class ResidualNetwork(Network):
    """3-``width``; ``blocks`` residual blocks; ``width``-``width`` with a long skip; direct head."""

    recompute = False

    def __init__(self, *, scale: int, width: int, blocks: int, channels: int = 3, expanded: bool = False) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.radius = 2 * blocks + 3
        self.stem = conv3x3(channels, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, expanded=expanded) for _ in range(blocks)))
        self.join = conv3x3(width, width, expanded=expanded)
        self.head = DirectHead(width, channels, scale, scale)

    def forward(self, x: Tensor) -> Tensor:
        features = inner = self.stem(x)
        for block in self.blocks:
            inner = run_block(block, inner, again=self.recompute)
        out: Tensor = self.head(self.join(inner) + features, x)
        return out

    @torch.no_grad()
    def grown(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """See `Network.grown`. Channels and blocks that are new start with fresh kernels that nothing listens to yet:
        what leads from them to what was there is zero, as are the second convolutions of new blocks.
        """
        own = self.deploy().state_dict()
        blocks = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
        width = len(weights.get("stem.bias", ()))
        smaller = 0 < blocks <= len(self.blocks) and 0 < width <= len(own["stem.bias"])
        if not smaller or (blocks, width) == (len(self.blocks), len(own["stem.bias"])):
            return None
        # Old blocks go evenly among the new ones.
        places = {f"blocks.{i}.": f"blocks.{i * len(self.blocks) // blocks}." for i in range(blocks)}
        for name, given in weights.items():
            prefix = next((p for p in places if name.startswith(p)), "")
            mine = own.get(places.get(prefix, "") + name.removeprefix(prefix))
            if mine is None or any(a < b for a, b in zip(mine.shape, given.shape, strict=True)):
                return None
            if name.startswith("head.") and len(mine) != len(given):
                return None
            if given.ndim == 1:
                mine[: len(given)] = given
                continue
            mine[: len(given)] = 0.0
            mine[: len(given), : given.shape[1]] = given
        return own


class UnshuffledNetwork(Network):
    """Pixel unshuffle by 2; 12-``width``; ``depth`` convolutions; direct head with a pixel shuffle by 2 * scale."""

    multiple = 2

    def __init__(self, *, scale: int, width: int, depth: int, channels: int = 3, expanded: bool = False) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        # depth + 2 convolutions on 2x2 blocks, and one pixel more because a block reaches into its neighbour.
        self.radius = 2 * (depth + 2) + 1
        self.unshuffle = nn.PixelUnshuffle(2)
        self.stem = conv3x3(channels * 4, width)
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [conv3x3(width, width, expanded=expanded), nn.LeakyReLU(LEAK)]
        self.act = nn.LeakyReLU(LEAK)
        self.body = nn.Sequential(*layers)
        self.head = DirectHead(width, channels, 2 * scale, scale)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(self.act(self.stem(self.unshuffle(x)))), x)
        return out


def turbo(scale: int, *, width: int = 64, depth: int = 6, channels: int = 3, expanded: bool = False) -> Network:
    """Cheapest tier: 85k multiply-accumulates per input pixel at x4."""
    check_scale("turbo", scale)
    check_sizes("turbo", width=width, depth=depth, channels=channels)
    return UnshuffledNetwork(scale=scale, width=width, depth=depth, channels=channels, expanded=expanded)


def fast(scale: int, *, width: int = 48, blocks: int = 4, channels: int = 3, expanded: bool = False) -> Network:
    """The everyday tier: 209k multiply-accumulates per input pixel at x4."""
    check_scale("fast", scale)
    check_sizes("fast", width=width, blocks=blocks, channels=channels)
    return ResidualNetwork(scale=scale, width=width, blocks=blocks, channels=channels, expanded=expanded)


def quality(scale: int, *, width: int = 64, blocks: int = 16, channels: int = 3, expanded: bool = False) -> Network:
    """The best tier, and the generator of the GAN recipes: 1.25M multiply-accumulates per input pixel at x4."""
    check_scale("quality", scale)
    check_sizes("quality", width=width, blocks=blocks, channels=channels)
    return ResidualNetwork(scale=scale, width=width, blocks=blocks, channels=channels, expanded=expanded)
