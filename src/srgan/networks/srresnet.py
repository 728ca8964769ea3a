"""SRResNet, the generator of the SRGAN paper (Ledig et al., CVPR 2017, arXiv 1609.04802)."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from srgan.networks.network import Network, check_scale, check_sizes
from srgan.networks.recompute import run_block


class PaperBlock(nn.Module):
    """conv k3 n64, BN, PReLU, conv k3 n64, BN, elementwise sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(width)
        self.act = nn.PReLU()
        self.conv2: nn.Module = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))
        return out


class SRResNet(Network):
    """The paper's generator for any power-of-two scale; 1,547,350 parameters at x4.

    9x9 stem with PReLU, ``blocks`` residual blocks, 3x3 convolution with BN and a long skip, log2(``scale``) stages of
    [3x3 to 256, PixelShuffle 2, PReLU], 9x9 output. Convolutions in front of a batch norm have no bias.
    """

    ends = ("stem", "output")
    recompute = False

    def __init__(self, scale: int = 4, *, width: int = 64, blocks: int = 16, channels: int = 3) -> None:
        super().__init__()
        check_scale("srresnet", scale, (2, 4, 8, 16))
        check_sizes("srresnet", width=width, blocks=blocks, channels=channels)
        self.scale, self.channels = scale, channels
        stages = scale.bit_length() - 1
        # The stages and the 9x9 output work at ever higher resolution, where their reach counts ever less: 1 + 1/2 + ..
        # and 4/scale. From whatever place within an input pixel, that is 3 input pixels at every scale.
        self.radius = 4 + 2 * blocks + 1 + 3
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(PaperBlock(width) for _ in range(blocks)))
        self.join: nn.Module = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.join_norm: nn.Module = nn.BatchNorm2d(width)
        upsample: list[nn.Module] = []
        for _ in range(stages):
            upsample += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        self.upsample = nn.Sequential(*upsample)
        self.output = nn.Conv2d(width, channels, 9, padding=4)

    def forward(self, x: Tensor) -> Tensor:
        features = inner = self.stem(x)
        for block in self.blocks:
            inner = run_block(block, inner, again=self.recompute)
        out: Tensor = self.output(self.upsample(self.join_norm(self.join(inner)) + features))
        return out

    @torch.no_grad()
    def deploy(self) -> Self:
        """Fold the batch norms into their convolutions."""
        plain = super().deploy()
        for block in plain.blocks:
            assert isinstance(block, PaperBlock)
            block.conv1, block.norm1 = _fold(block.conv1, block.norm1), nn.Identity()
            block.conv2, block.norm2 = _fold(block.conv2, block.norm2), nn.Identity()
        plain.join, plain.join_norm = _fold(plain.join, plain.join_norm), nn.Identity()
        return plain


def _fold(conv: nn.Module, norm: nn.Module) -> nn.Module:
    """The convolution that does the work of both; a pair that is folded already stays as it is."""
    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        return fuse_conv_bn_eval(conv, norm)
    return conv
