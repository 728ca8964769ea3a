"""What all networks share: their contract, the direct head, and the convolution that trains wide and runs narrow."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.errors import InvalidConfig

LEAK = 0.1
SCALES = (2, 3, 4, 8)


class Network(nn.Module):
    """A network that enlarges pictures: N x channels x H x W in [0, 1] to N x channels x (scale*H) x (scale*W)."""

    scale: int
    radius: int
    multiple: int = 1
    channels: int = 3
    ends: tuple[str, ...] = ("stem", "head")
    """Prefixes of the first and last layers, which some optimisers treat apart."""
    recompute: bool | None = None
    """Whether training runs the blocks again for the gradient instead of keeping what they computed: less memory, a
    third more time. None: the network has no such blocks."""
    outputs: tuple[str, ...] = ()
    """Names of the pictures that a run gives, as a tuple in this order. Empty: it gives one picture, as a tensor."""

    def deploy(self) -> Self:
        """A copy in evaluation mode with every training-time form replaced by the one that runs."""
        plain = copy.deepcopy(self).eval()
        for parent in list(plain.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, ExpandedConv):
                    setattr(parent, name, child.collapse())
        return plain

    def grown(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """Weights with which this network, deployed, computes what a smaller one of its kind does with ``weights``.

        None when ``weights``, those of a deployed network, are not of a smaller one with the same head, or when
        networks of this kind cannot grow. All of what is new can learn (after Net2Net, Chen, Goodfellow and Shlens
        2016).
        """
        del weights
        return None

    def alternatives(self) -> Sequence[Network]:
        """What may be run of it: itself, or for each of its `outputs` the network that gives this one alone."""
        return [self]


class ExpandedConv(nn.Module):
    """A 3x3 convolution that learns more weights than it runs.

    The kernel is ``direct + project @ expand``: a plain 3x3 kernel beside a 3x3 kernel to ``2 * outputs`` channels
    followed by a 1x1 kernel. The three are collapsed into one 3x3 kernel *before* each run, so a training step costs
    hardly more than that of a plain convolution (Bhardwaj et al., "Collapsible Linear Blocks", MLSys 2022).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = 2 * outputs
        self.direct = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.expand = nn.Parameter(torch.empty(inner, inputs, 3, 3))
        self.project = nn.Parameter(torch.empty(outputs, inner))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_normal_(self.direct, a=LEAK)
        nn.init.kaiming_normal_(self.expand, a=LEAK)
        # The branch starts as a small addition: the two kernels together begin at the variance of one.
        nn.init.normal_(self.project, std=0.1 * inner**-0.5)

    def kernel(self) -> Tensor:
        """The one 3x3 kernel, outputs x inputs x 3 x 3."""
        return self.direct + torch.einsum("om,mihw->oihw", self.project, self.expand)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel(), self.bias, padding=1)

    @torch.no_grad()
    def absorb(self, weight: Tensor, bias: Tensor | None) -> None:
        """Become the plain 3x3 convolution with this ``weight`` and ``bias``; the branch starts from nothing."""
        self.direct.copy_(weight)
        self.project.zero_()
        self.bias.zero_()
        if bias is not None:
            self.bias.copy_(bias)

    @torch.no_grad()
    def collapse(self) -> nn.Conv2d:
        """The plain convolution that computes the same."""
        outputs, inputs = self.direct.shape[:2]
        plain = nn.Conv2d(inputs, outputs, 3, padding=1, device=self.direct.device, dtype=self.direct.dtype)
        plain.weight.copy_(self.kernel())
        plain.bias.copy_(self.bias)  # type: ignore[union-attr]
        return plain


def conv3x3(inputs: int, outputs: int, *, expanded: bool = False, gain: float = 1.0) -> nn.Module:
    """A 3x3 convolution with "same" zero padding; He initialisation times ``gain``, zero bias.

    ``gain=0`` makes the layer start as zero, which lets a residual block start as the identity.
    """
    layer: nn.Conv2d | ExpandedConv
    kernels: list[Tensor]
    if expanded:
        layer = ExpandedConv(inputs, outputs)
        kernels = [layer.direct, layer.project]
    else:
        layer = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(layer.weight, a=LEAK)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        kernels = [layer.weight]
    with torch.no_grad():
        for kernel in kernels:
            kernel.mul_(gain)
    return layer


class DirectHead(nn.Module):
    """One 3x3 convolution to ``channels * factor**2`` and a pixel shuffle, added to the enlarged input.

    All work happens at low resolution, which makes it 1.7 to 3 times cheaper than shuffling in stages with convolutions
    at high resolution between them. The nearest-neighbour base leaves the network only the missing detail to learn.
    """

    def __init__(self, width: int, channels: int, factor: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv = conv3x3(width, channels * factor * factor, gain=0.1)
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        base = functional.interpolate(x, scale_factor=float(self.scale), mode="nearest")
        detail: Tensor = self.shuffle(self.conv(features))
        # Under autocast the sum and so the loss are float32: rounding the output to bfloat16 costs quality.
        return detail.to(x.dtype) + base


def check_scale(network: str, scale: int, allowed: tuple[int, ...] = SCALES) -> None:
    """Raise `InvalidConfig` unless ``scale`` is one that ``network`` can be built for."""
    if scale not in allowed:
        raise InvalidConfig(f"network {network!r} comes in the scales {', '.join(map(str, allowed))}, not {scale}")


def check_sizes(network: str, **sizes: int) -> None:
    """Raise `InvalidConfig` unless all ``sizes``, such as the width, are whole numbers from 1.

    Not left to torch: it builds a network of -1 blocks without a word.
    """
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            raise InvalidConfig(f"network {network!r}: {name} must be a whole number from 1, not {value!r}")


def check_options(what: str, maker: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise `InvalidConfig` for one of ``options`` that ``maker`` of ``what`` does not take, naming those it does."""
    known = inspect.signature(maker).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    takes = [name for name in known if name != "scale"]
    if odd := [name for name in options if name not in takes]:
        raise InvalidConfig(f"{what}: there is no option {odd[0]!r}; there are: {', '.join(takes) or 'none'}")


def costs(network: Network) -> tuple[int, int]:
    """Multiply-accumulates, and an estimate of the bytes of working memory, for each input pixel.

    Counted on the convolutions of a deployed network. An engine holds the input and output of the layer it runs, once
    as they are and once in the transformed form of its fast convolution, and its pool keeps what earlier layers needed:
    seven times input and output in all, by measurements of ncnn (turbo 2,100 and fast 2,820 bytes at 512 x 512).
    """
    side = 8 * network.multiple
    macs, widest = 0, 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, widest
        assert isinstance(layer, nn.Conv2d)
        macs += layer.weight.numel() * output.shape[2] * output.shape[3]
        widest = max(widest, inputs[0].numel() + output.numel())

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    device = next(network.parameters()).device
    with torch.inference_mode():
        result = network(torch.zeros(1, network.channels, side, side, device=device))
    for hook in hooks:
        hook.remove()
    pixels = side * side
    return macs // pixels, 4 * (7 * widest + 2 * result.numel()) // pixels


def facts(network: Network) -> dict[str, Any]:
    """What a model's description (`srgan.models.ModelInfo`) says that follows from a deployed ``network``, by field."""
    spent = [costs(each) for each in network.alternatives()]
    return {
        "outputs": network.outputs,
        "scale": network.scale,
        "channels": network.channels,
        "radius": network.radius,
        "multiple": network.multiple,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "macs_per_pixel": spent[0][0],
        "working_bytes_per_pixel": max(working for _, working in spent),
    }
