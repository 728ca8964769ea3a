"""The parts of a latent model as they run: norms folded into convolutions, factored layers merged, nothing trained."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from srgan.networks.latent import build_part
from srgan.networks.latent.embedding import NarrowEncoder
from srgan.networks.latent.factored import FactoredGenerator
from srgan.networks.latent.origin import ConvGenerator, SkipDecoder

_NORMS = {"head": "norm"}
"""The norm behind a convolution, where it is not called by its name."""


@torch.no_grad()
def deployed(network: nn.Module) -> nn.Module:
    """A copy of netG1, netG2 or netRS for inference, in float32 on the CPU, that computes the same.

    netG1 then takes noise as N x z x 1 x 1. A network that is deployed already stays as it is.
    """
    if isinstance(network, FactoredGenerator):
        plain: nn.Module = copy.deepcopy(network).cpu().float().merged()
    else:
        inner = network.layers if isinstance(network, ConvGenerator) else network
        plain = copy.deepcopy(inner).cpu().float().eval().requires_grad_(False)
    if isinstance(plain, NarrowEncoder) and isinstance(plain.norm, nn.BatchNorm2d):
        linear, head = _folded_sum(plain.linear, plain.head, plain.norm)
        for name, layer in {"linear": linear, "head": head, "norm": nn.Identity()}.items():
            setattr(plain, name, layer)
    if isinstance(plain, SkipDecoder):
        for number, norm in enumerate(plain.norm):
            if isinstance(norm, nn.BatchNorm2d):
                up, skip = plain.up[number], plain.skip[number]
                plain.up[number], plain.skip[number] = _folded_sum(up, skip, norm)
                plain.norm[number] = nn.Identity()
    for parent in list(plain.modules()):
        for before, after in list(_pairs(parent)):
            setattr(parent, before, _folded(getattr(parent, before), getattr(parent, after)))
            setattr(parent, after, nn.Identity())
    return plain.requires_grad_(False)


def build_deployed(role: str, /, *, form: str = "narrow", **options: object) -> nn.Module:
    """The part with the ``role`` netG1, netG2 or netRS as `deployed` makes it, with weights that mean nothing.

    The program's random numbers stay as they are. Raises what `build_part` raises.
    """
    with torch.random.fork_rng(devices=[]):
        return deployed(build_part(role, form, **options))


def part_of(weights: Mapping[str, Tensor], role: str) -> dict[str, Tensor]:
    """What belongs to the ``role`` of the weights of a latent model, without the role in the names."""
    return {key.removeprefix(f"{role}."): value for key, value in weights.items() if key.startswith(f"{role}.")}


def _pairs(parent: nn.Module) -> Iterator[tuple[str, str]]:
    """The names of each convolution of ``parent`` and of the norm that follows it."""
    children = dict(parent.named_children())
    names = (
        itertools.pairwise(children)
        if isinstance(parent, nn.Sequential)
        else [(name, _NORMS.get(name, f"{name}_norm")) for name in children]
    )
    for before, after in names:
        conv, norm = children[before], children.get(after)
        if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
            yield before, after


def _folded(conv: nn.Module, norm: nn.Module) -> nn.Module:
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))


def _folded_sum(first: nn.Module, second: nn.Module, norm: nn.BatchNorm2d) -> tuple[nn.Module, nn.Module]:
    """Two convolutions whose sum is what ``norm`` gives of the sum of ``first`` and ``second``."""
    shiftless = copy.deepcopy(norm)
    assert shiftless.running_mean is not None
    shiftless.running_mean.zero_()
    if shiftless.affine:
        shiftless.bias.zero_()
    return _folded(first, norm), _folded(second, shiftless)
