"""The picture features that the perceptual metrics share: SqueezeNet 1.1, trained on ImageNet.

The weights are those of the Caffe release (SqueezeNet 1.1, 57.5 % top-1), without the classifier, stored in float16:
`weights/NOTICE.md`. They are **not** the weights of torchvision's SqueezeNet 1.1, which was trained anew; learned heads
for the one mean nothing on the other.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import cast

import torch
import torch.nn.functional as F
from safetensors.torch import load as read_safetensors
from torch import Tensor, nn

from srgan.errors import CorruptModel

CHANNELS = (64, 128, 256, 384, 384, 512, 512)
"""Of the seven taps."""

LEAST_SIDE = 17
"""The smallest height and width of a picture that leaves something at every tap."""

_MEAN_BGR = (104.0, 117.0, 123.0)
_FIRES = (
    (64, 16, 64),
    (128, 16, 64),
    (128, 32, 128),
    (256, 32, 128),
    (256, 48, 192),
    (384, 48, 192),
    (384, 64, 256),
    (512, 64, 256),
)
"""Input, squeezed and expanded channels of fire2 to fire9."""


class SqueezeNet(nn.Module):
    """The trunk with the seven taps that LPIPS uses: conv1, fire3, fire5, fire6, fire7, fire8 and fire9, after ReLU.

    Its parameters are frozen; the gradient flows to the input.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        for number, channels in enumerate(_FIRES, start=2):
            self.add_module(f"fire{number}", _Fire(*channels))
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> SqueezeNet:
        """Stays in evaluation mode, whatever the loss that holds it is told."""
        return super().train(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """The taps of RGB pictures in [0, 1], N x 3 x H x W, each side at least `LEAST_SIDE`."""
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[2:]) < LEAST_SIDE:
            raise ValueError(
                f"features are taken of N x 3 x H x W of at least {LEAST_SIDE} px, not {tuple(pictures.shape)}"
            )
        x = F.relu(self.conv1(pictures.flip(1) * 255.0 - cast(Tensor, self.mean)))
        taps = [x]
        for number in range(2, 10):
            if number in (2, 4, 6):
                x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
            x = self.get_submodule(f"fire{number}")(x)
            if number not in (2, 4):
                taps.append(x)
        return taps


@cache
def squeezenet() -> SqueezeNet:
    """The network with the shipped weights, on the CPU, one for the process; deep-copy it to move it elsewhere.

    Random numbers are left alone, so that it makes no difference who asks for it first.

    Raises `CorruptModel` when the shipped file is damaged.
    """
    name = "squeezenet1_1.safetensors"
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn only to be replaced
        network = SqueezeNet()
    try:
        stored = read_safetensors((resources.files("srgan.metrics") / "weights" / name).read_bytes())
        network.load_state_dict({key: value.float() for key, value in stored.items()})
    except Exception as error:  # safetensors has errors of its own, torch a RuntimeError for wrong names
        raise CorruptModel(f"{name}: the shipped weights are damaged: install srgan again") from error
    return network


class _Fire(nn.Module):
    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze1x1(x))
        return F.relu(torch.cat((self.expand1x1(x), self.expand3x3(x)), dim=1))
