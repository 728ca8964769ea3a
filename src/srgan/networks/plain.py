"""3x3 convolutions one after the other, with clipped activations and a direct head.

After QuickSRNet (Berger et al., "QuickSRNet: plain single-image super-resolution architecture for faster inference on
mobile platforms", CVPR Workshops 2023): each convolution starts near the identity, a skip that costs no time, and what
lies between 0 and 1 is ready for 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from srgan.networks.network import DirectHead, Network, check_scale, check_sizes, conv3x3

FRESH = 0.3
"""Spread of a kernel beside the identity that it starts from, as a share of He's initialisation."""


class PlainNetwork(Network):
    """3-``width``; ``depth`` convolutions; direct head. Everything but the head is clipped to [0, 1]."""

    def __init__(self, *, scale: int, width: int, depth: int, channels: int = 3, expanded: bool = False) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        self.radius = depth + 2
        self.stem = conv3x3(channels, width)
        self.body = nn.ModuleList(conv3x3(width, width, expanded=expanded, gain=FRESH) for _ in range(depth))
        self.act: nn.Module = nn.Hardtanh(0.0, 1.0)
        self.head = DirectHead(width, channels, scale, scale)
        for layer in self.body:
            add_identity(layer)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.act(self.stem(x))
        for layer in self.body:
            inner = self.act(layer(inner))
        out: Tensor = self.head(inner, x)
        return out

    @torch.no_grad()
    def grown(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """See `Network.grown`. A new convolution is the identity for the channels that were there: clipping what is
        clipped changes nothing. New channels start with fresh kernels; nothing that was there listens to them yet.
        """
        depth = len({name.split(".")[1] for name in weights if name.startswith("body.")})
        width = len(weights.get("stem.bias", ()))
        own = self.deploy().state_dict()
        wide, deep = len(own["stem.bias"]), len(self.body)
        if not (0 < depth <= deep and 0 < width <= wide) or (depth, width) == (deep, wide):
            return None
        for layer in range(deep):
            kernel = own[f"body.{layer}.weight"]
            kernel[:width] = 0.0
            kernel[range(width), range(width), 1, 1] = 1.0
            own[f"body.{layer}.bias"][:width] = 0.0
        own["head.conv.weight"].zero_()
        # Old convolutions go evenly among the new ones.
        places = {f"body.{i}": f"body.{i * deep // depth}" for i in range(depth)}
        for name, given in weights.items():
            layer_name, _, kind = name.rpartition(".")
            mine = own.get(f"{places.get(layer_name, layer_name)}.{kind}")
            if mine is None or any(a < b for a, b in zip(mine.shape, given.shape, strict=True)):
                return None
            if name.startswith("head.") and len(mine) != len(given):
                return None
            mine[tuple(slice(0, side) for side in given.shape)] = given
        return own


@torch.no_grad()
def add_identity(layer: nn.Module) -> None:
    """Add the kernel that gives every channel to itself."""
    kernel = getattr(layer, "direct", None)
    kernel = layer.weight if kernel is None else kernel
    assert isinstance(kernel, Tensor)
    kernel[:, :, 1, 1] += torch.eye(len(kernel))


def plain(scale: int, *, width: int = 48, depth: int = 9, channels: int = 3, expanded: bool = False) -> Network:
    """The convolutions of `fast` without its skips: 209k multiply-accumulates per input pixel at x4."""
    check_scale("plain", scale)
    check_sizes("plain", width=width, depth=depth, channels=channels)
    return PlainNetwork(scale=scale, width=width, depth=depth, channels=channels, expanded=expanded)
