"""Weights of other programs, such as BasicSR's, for networks of ours that have the same layers.

They come as PyTorch files with ``params_ema`` or ``params``, which `srgan.networks.pickled` reads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from srgan.errors import CorruptModel, InvalidConfig
from srgan.networks.network import ExpandedConv, Network
from srgan.networks.pickled import read_pickled

SUFFIXES = (".pth", ".pt")
HOLDERS = ("params_ema", "params", "state_dict")
"""Under which of its keys a file may keep the weights; the first that is there counts: averaged ones are better."""

log = logging.getLogger("srgan")
Layer = tuple[str, dict[str, Tensor]]


def not_finite(weights: Mapping[str, Tensor]) -> str:
    """What is NaN or infinite among ``weights``, in words; empty if nothing is."""
    for name, weight in weights.items():
        if weight.is_floating_point() and (count := int((~weight.isfinite()).sum())):
            return f"{count} of the {weight.numel()} values of {name} are not finite"
    return ""


def is_foreign(model: str) -> bool:
    """Whether ``model`` names such a file, rather than a bundle."""
    return model.lower().endswith(SUFFIXES)


@torch.no_grad()
def take_foreign(network: Network, path: Path, where: str) -> None:
    """Take over the weights of the file at ``path``, all of them. ``where`` names the setting in errors.

    Names differ from program to program, so layers are matched by their order and shapes: the file must have the very
    layers of ``network``, in the order in which they are made. A bias in front of a batch norm, which it undoes, may be
    there or not. Raises what `read_pickled` raises, and `InvalidConfig` when the layers are others. That activations
    and ranges of values are the same cannot be seen in a file.
    """
    theirs, ours = list(_stored(path, where)), list(_layers(network, where))
    for number, ((their_name, tensors), (our_name, layer)) in enumerate(zip(theirs, ours, strict=False), 1):
        wanted = tuple(_kernel(layer).shape)
        if tuple(tensors["weight"].shape) != wanted or ("running_mean" in tensors) != isinstance(layer, nn.BatchNorm2d):
            raise InvalidConfig(
                f"{where}: {path}: its layer {number}, {their_name}, is {_shape(tensors['weight'])}, but "
                f"{our_name} of this network is {_shape(_kernel(layer))}: another architecture, or other options"
            )
        if broken := not_finite(tensors):
            raise CorruptModel(f"{where}: {path}: {broken} in its layer {number}, {their_name}: a damaged file")
        if mistake := _mistake(layer, tensors):
            raise InvalidConfig(f"{where}: {path}: its layer {number}, {their_name}, {mistake}: a damaged file")
    if len(theirs) != len(ours):
        raise InvalidConfig(
            f"{where}: {path}: it has {len(theirs)} layers and this network {len(ours)}; look at "
            "network.options, such as blocks, and network.scale"
        )
    surplus: Tensor | None = None
    for (their_name, tensors), (_, layer) in zip(theirs, ours, strict=True):
        if surplus is not None and not isinstance(layer, nn.BatchNorm2d):
            raise InvalidConfig(f"{where}: {path}: the layer before {their_name} has a bias, and here none")
        surplus = _take(layer, tensors, surplus)
    if surplus is not None:
        raise InvalidConfig(f"{where}: {path}: its last layer, {theirs[-1][0]}, has a bias, and here none")
    log.info("%d layers start from %s", len(ours), path)


def _stored(path: Path, where: str) -> Iterator[Layer]:
    """The layers of a file in their order: names, and tensors by their own names."""
    content = read_pickled(path, where)
    for holder in HOLDERS:
        if isinstance(content.get(holder), Mapping):
            content = content[holder]
            break
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise CorruptModel(f"{where}: {path}: holds no weights by name, nor {', '.join(HOLDERS)}")
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in content.items():
        layer, _, part = str(name).rpartition(".")
        layers.setdefault(layer, {})[part] = value
    for name, tensors in layers.items():
        if "weight" not in tensors or not tensors["weight"].is_floating_point():
            raise InvalidConfig(f"{where}: {path}: {name} is no layer with a weight, as all layers here are")
        yield name, tensors


def _layers(network: Network, where: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of ``network`` that have weights, in their order."""
    for name, layer in network.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if own and not isinstance(layer, ExpandedConv) and not own.keys() <= {"weight", "bias"}:
            raise InvalidConfig(f"{where}: {name} of this network is of a kind that no checkpoint is read into")
        if own:
            yield name, layer


def _kernel(layer: nn.Module) -> Tensor:
    if isinstance(layer, ExpandedConv):
        return layer.direct
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _mistake(layer: nn.Module, tensors: dict[str, Tensor]) -> str:
    """What is wrong with the parts beside the weight of what becomes ``layer``; empty if nothing is."""
    wanted = _kernel(layer).shape[:1]
    for part in ("bias", "running_mean", "running_var"):
        tensor = tensors.get(part)
        if tensor is None:
            if isinstance(layer, nn.BatchNorm2d):
                return f"is a batch norm without {part}"
        elif tensor.shape != wanted or not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            return f"has a {part} of {_shape(tensor)} ({kind}) instead of {wanted[0]} floating-point values"
    return ""


def _take(layer: nn.Module, tensors: dict[str, Tensor], before: Tensor | None) -> Tensor | None:
    """Give ``layer`` its weights, and give back a bias that it cannot hold. ``before`` is that of the layer before."""
    bias = tensors.get("bias")
    if isinstance(layer, ExpandedConv):
        layer.absorb(tensors["weight"], bias)
        return None
    _kernel(layer).copy_(tensors["weight"])
    if isinstance(layer, nn.BatchNorm2d):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.bias.copy_(tensors["bias"])
        layer.running_mean.copy_(tensors["running_mean"] - (0 if before is None else before))
        layer.running_var.copy_(tensors["running_var"])
        return None
    own = getattr(layer, "bias", None)
    if own is None:
        return bias
    own.zero_()
    if bias is not None:
        own.copy_(bias)
    return None


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single value"
