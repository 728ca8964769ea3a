"""Several generators of one architecture as one network, and the ways to make one picture of theirs.

Each way is an output of the network, and so of the one exported graph: a backend computes what is asked for only. With
``fidelity`` member 0 was trained for PSNR and the others, here the GAN members, for looks; without it all are alike.

    mean        of all members
    median      of all members, for each value
    weighted    mean with the given weights
    frequency   low frequencies of the PSNR member, all above them from the mean of the GAN members
    fusion      mean with weights for each pixel, which a small network gives that sees all members
    soup        one more network, whose weights are the mean of those of the GAN members
    fidelity    the PSNR member alone
    members     no picture but all of the members', one after the other in channels
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.errors import InvalidConfig
from srgan.networks import build
from srgan.networks.network import LEAK, Network, conv3x3

MEMBERS = "members"
OUTPUTS = ("mean", "median", "weighted", "frequency", "fusion", "soup", "fidelity", MEMBERS)
MOST_MEMBERS = 8
SIGMA = 1.5
"""Of the Gaussian that parts low frequencies from high ones, in pixels of the output."""
_REACH = 5
"""Where that Gaussian is cut off, beyond three sigma."""


class EnsembleNetwork(Network):
    """``count`` networks that are built as ``member`` says: ``network``, its name, and its options.

    A run gives a tuple: the pictures that `outputs` names, in that order. ``fidelity`` adds ``frequency`` and
    ``fidelity``, ``weights`` (one for each member, none negative, of sum 1) adds ``weighted``, ``fusion`` and ``soup``
    add the outputs of their names. The weights of `fusion` and of `soup` come from training, see
    `srgan.training.fusion`; a fresh fusion is the mean. Raises `InvalidConfig`.
    """

    def __init__(
        self,
        scale: int,
        *,
        member: Mapping[str, Any] | None = None,
        count: int = 3,
        fidelity: bool = True,
        weights: Sequence[float] | None = None,
        fusion: bool = False,
        soup: bool = False,
    ) -> None:
        super().__init__()
        if type(count) is not int or not 2 <= count <= MOST_MEMBERS:
            raise InvalidConfig(f"network 'ensemble': count must be 2 to {MOST_MEMBERS} members, not {count!r}")
        options = dict(member or {"network": "fast"})
        name = options.pop("network", None)
        if not isinstance(name, str) or name == "ensemble":
            raise InvalidConfig(f"network 'ensemble': member.network must name the members' architecture, not {name!r}")
        self.members = nn.ModuleList(build(name, scale, **options) for _ in range(count))
        self.soup = build(name, scale, **options) if soup else None
        first = self._member(0)
        self.scale, self.multiple, self.channels = first.scale, first.multiple, first.channels
        self.fidelity = fidelity
        self.weights = _checked(weights, count)
        self.fusion = Fusion(count, first.channels, scale) if fusion else None
        there = {"weighted": weights is not None, "fusion": fusion, "soup": soup}
        there |= dict.fromkeys(("frequency", "fidelity"), fidelity)
        self.outputs = tuple(name for name in OUTPUTS if there.get(name, True))
        # From whatever place within an input pixel, so many pixels of the output reach so many of the input.
        blurred = (_REACH + scale - 1) // scale if fidelity else 0
        self.radius = first.radius + max(blurred, Fusion.RADIUS if fusion else 0)
        self.gaussian: Tensor
        self.register_buffer("gaussian", _gaussian(first.channels), persistent=False)

    def _member(self, index: int) -> Network:
        network = self.members[index]
        assert isinstance(network, Network)
        return network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.pictures(x, self.outputs)

    def pictures(self, x: Tensor, names: Sequence[str]) -> tuple[Tensor, ...]:
        """The outputs ``names`` for ``x``, and no more work than they take."""
        together = set(names) - {"fidelity", "soup"}
        count = len(self.members) if together else int("fidelity" in names)
        made = [self._member(index)(x) for index in range(count)]
        return tuple(self.soup(x) if name == "soup" and self.soup else self.combine(name, made) for name in names)

    def combine(self, name: str, made: Sequence[Tensor]) -> Tensor:
        """The output ``name``, which is not ``soup``, of the members' pictures."""
        match name:
            case "mean":
                return _mean(made)
            case "median":
                return _median(made)
            case "weighted" if self.weights is not None:
                return _sum([picture * weight for picture, weight in zip(made, self.weights, strict=True) if weight])
            case "frequency":
                # The low-pass is linear: what the GAN members' mean lacks of the PSNR member's low frequencies.
                looks = _mean(made[1:])
                return looks + self._low(made[0] - looks)
            case "fusion" if self.fusion is not None:
                weights = self.fusion(torch.cat(list(made), dim=1)).split(1, dim=1)
                return _sum([picture * weight for picture, weight in zip(made, weights, strict=True)])
            case "fidelity":
                return made[0]
            case _:
                return torch.cat(list(made), dim=1)

    def _low(self, picture: Tensor) -> Tensor:
        channels = self.channels
        padded = functional.pad(picture, (_REACH, _REACH, _REACH, _REACH), mode="replicate")
        upright = functional.conv2d(padded, self.gaussian, groups=channels)
        return functional.conv2d(upright, self.gaussian.transpose(2, 3), groups=channels)

    def only(self, *names: str) -> Chosen:
        """A network of these outputs alone, their channels one after the other. Shares the weights."""
        return Chosen(self, names)

    def alternatives(self) -> Sequence[Network]:
        return [self.only(name) for name in self.outputs]

    def deploy(self) -> Self:
        """Each member in its own form for inference."""
        plain = super().deploy()
        plain.members = nn.ModuleList(self._member(index).deploy() for index in range(len(self.members)))
        if self.soup is not None:
            plain.soup = self.soup.deploy()
        return plain


class Chosen(Network):
    """Outputs ``names`` of ``ensemble`` as one tensor, their channels one after the other."""

    def __init__(self, ensemble: EnsembleNetwork, names: Sequence[str]) -> None:
        super().__init__()
        if unknown := set(names) - set(ensemble.outputs):
            raise InvalidConfig(
                f"network 'ensemble': there is no output {', '.join(sorted(unknown))}; "
                f"there are: {', '.join(ensemble.outputs)}"
            )
        self.ensemble = ensemble
        self.names = tuple(names)
        self.scale, self.radius = ensemble.scale, ensemble.radius
        self.multiple, self.channels = ensemble.multiple, ensemble.channels

    def forward(self, x: Tensor) -> Tensor:
        pictures = self.ensemble.pictures(x, self.names)
        return pictures[0] if len(pictures) == 1 else torch.cat(pictures, dim=1)


class Fusion(nn.Module):
    """Weights for each pixel and member, N x K x sH x sW of sum 1, from the members' pictures N x (K*C) x sH x sW.

    It works on s x s pixels at once, at the resolution of the input, where it costs little. Fewer than 30,000 weights
    for five members or less. A fresh one gives all members the same weight.
    """

    RADIUS = 2
    """In input pixels."""

    def __init__(self, count: int, channels: int, scale: int) -> None:
        super().__init__()
        width = 32 if scale <= 4 else 16
        self.unshuffle = nn.PixelUnshuffle(scale)
        self.look = nn.Conv2d(count * channels * scale * scale, width, 1)
        self.first = conv3x3(width, width)
        self.second = conv3x3(width, width)
        self.weigh = nn.Conv2d(width, count * scale * scale, 1)
        self.shuffle = nn.PixelShuffle(scale)
        self.act = nn.LeakyReLU(LEAK)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)  # type: ignore[arg-type]

    def forward(self, members: Tensor) -> Tensor:
        features = self.act(self.look(self.unshuffle(members)))
        features = self.act(self.second(self.act(self.first(features))))
        return torch.softmax(self.shuffle(self.weigh(features)), dim=1)


def _sum(pictures: Sequence[Tensor]) -> Tensor:
    total = pictures[0]
    for picture in pictures[1:]:
        total = total + picture
    return total


def _mean(pictures: Sequence[Tensor]) -> Tensor:
    return _sum(pictures) / len(pictures)


def _median(pictures: Sequence[Tensor]) -> Tensor:
    """By exchanges of neighbours, which every engine knows as minimum and maximum."""
    ordered = list(pictures)
    for last in range(len(ordered) - 1, 0, -1):
        for index in range(last):
            one, other = ordered[index], ordered[index + 1]
            ordered[index], ordered[index + 1] = torch.minimum(one, other), torch.maximum(one, other)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _gaussian(channels: int) -> Tensor:
    """The low-pass's upright kernel, channels x 1 x 11 x 1.

    In whole parts of 4096, so that 16 bits hold it exactly and its sum is exactly 1 in every form of a model.
    """
    away = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (away / SIGMA).square())
    parts = (4096 * weights / weights.sum()).round()
    parts[_REACH] += 4096 - parts.sum()
    return (parts / 4096).float().reshape(1, 1, -1, 1).repeat(channels, 1, 1, 1)


def _checked(weights: Sequence[float] | None, count: int) -> tuple[float, ...] | None:
    """``weights`` of sum 1. Raises `InvalidConfig`."""
    if weights is None:
        return None
    numbers = tuple(float(weight) for weight in weights)
    if len(numbers) != count or min(numbers) < 0 or not math.isclose(sum(numbers), 1, abs_tol=1e-4):
        raise InvalidConfig(
            f"network 'ensemble': weights must be {count} numbers from 0 whose sum is 1, not {list(weights)}"
        )
    return numbers
