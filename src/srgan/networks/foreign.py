"""Weights of other programs, such as BasicSR's, for networks of ours that have the same layers.

They come as PyTorch files with ``params_ema`` or ``params``, which `srgan.networks.pickled` reads, or as safetensors.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from srgan.errors import CorruptModel, InvalidConfig, ModelNotFound
from srgan.networks.network import ExpandedConv
from srgan.networks.pickled import read_pickled

SUFFIXES = (".pth", ".pt")
HOLDERS = ("params_ema", "params", "state_dict")
"""Under which of its keys a file may keep the weights; the first that is there counts: averaged ones are better."""
SPECTRAL = {
    "weight_orig": "weight",
    "weight_u": "u",
    "weight_v": "",
    "parametrizations.weight.original": "weight",
    "parametrizations.weight.0.u": "u",
    "parametrizations.weight.0._u": "u",
    "parametrizations.weight.0._v": "",
}
"""The parts of a layer with spectral normalisation: by torch's older way, by parametrization as here, and by torch's.

Its left singular vector is all that is needed of the two.
"""

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
def take_foreign(network: nn.Module, path: Path, where: str) -> None:
    """Take over the weights of the file at ``path``, all of them. ``where`` names the setting in errors.

    Names differ from program to program, so layers are matched by their order and shapes: the file must have the very
    layers of ``network``, in the order in which they are made. safetensors files keep no order: their layers must be
    numbered, as conv0 to conv9, or have the names that they have here. That goes for checkpoints of srgan's own runs
    too, of which the network that ``where`` names is taken. A bias in front of a batch norm, which it undoes, may be
    there or not. Raises what `read_pickled` raises, and `InvalidConfig` when the layers are others. That activations
    and ranges of values are the same cannot be seen in a file.
    """
    ours = list(_layers(network, where))
    theirs = _in_order(list(_stored(path, where)), ours, path, where)
    for number, ((their_name, tensors), (our_name, layer)) in enumerate(zip(theirs, ours, strict=False), 1):
        found, wanted = _described(tensors["weight"], tensors), _described(_kernel(layer), _parts(layer))
        if found != wanted:
            raise InvalidConfig(
                f"{where}: {path}: its layer {number}, {their_name}, is {found}, but "
                f"{our_name} of this network is {wanted}: another architecture, or other options"
            )
        if broken := not_finite(tensors):
            raise CorruptModel(f"{where}: {path}: {broken} in its layer {number}, {their_name}: a damaged file")
        if mistake := _mistake(layer, tensors):
            raise InvalidConfig(f"{where}: {path}: its layer {number}, {their_name}, {mistake}: a damaged file")
    if len(theirs) != len(ours):
        section = where.partition(".")[0]
        also = ", such as blocks, and network.scale" if section == "network" else ""
        raise InvalidConfig(
            f"{where}: {path}: it has {len(theirs)} layers and this network {len(ours)}; look at "
            f"{section}.options{also}"
        )
    surplus: Tensor | None = None
    for (their_name, tensors), (_, layer) in zip(theirs, ours, strict=True):
        if surplus is not None and not isinstance(layer, nn.BatchNorm2d):
            raise InvalidConfig(f"{where}: {path}: the layer before {their_name} has a bias, and here none")
        surplus = _take(layer, tensors, surplus)
    if surplus is not None:
        raise InvalidConfig(f"{where}: {path}: its last layer, {theirs[-1][0]}, has a bias, and here none")
    log.info("%d layers start from %s", len(ours), path)


def _in_order(theirs: list[Layer], ours: list[tuple[str, nn.Module]], path: Path, where: str) -> list[Layer]:
    """The layers of a file in the order in which a network runs through them."""
    if path.suffix.lower() != ".safetensors":
        return theirs
    named = dict(theirs)
    if named.keys() == {name for name, _ in ours}:
        return [(name, named[name]) for name, _ in ours]
    places = [re.fullmatch(r"(.*?)(\d+)", name) for name in named]
    numbers = {place[2]: place[0] for place in places if place}
    if len(numbers) != len(named) or len({place[1] for place in places if place}) != 1:
        raise InvalidConfig(
            f"{where}: {path}: the layers of a safetensors file have no order, and these have neither the names that "
            "they have here nor numbers; take the .pth file that it was made of"
        )
    return [(numbers[number], named[numbers[number]]) for number in sorted(numbers, key=int)]


def _stored(path: Path, where: str) -> Iterator[Layer]:
    """The layers of a file: names, and tensors by their own names."""
    content = _of_run(path, where) if path.suffix.lower() == ".safetensors" else read_pickled(path, where)
    for holder in HOLDERS:
        if isinstance(content.get(holder), Mapping):
            content = content[holder]
            break
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise CorruptModel(f"{where}: {path}: holds no weights by name, nor {', '.join(HOLDERS)}")
    layers: dict[str, dict[str, Tensor]] = {}
    for name, value in content.items():
        layer, part = _place(str(name))
        if part:
            layers.setdefault(layer, {})[part] = value
    for name, tensors in layers.items():
        if "weight" not in tensors or not tensors["weight"].is_floating_point():
            raise InvalidConfig(f"{where}: {path}: {name} is no layer with a weight, as all layers here are")
        yield name, tensors


def _place(name: str) -> tuple[str, str]:
    """The layer of the tensor ``name`` and its part there, which is empty for one that nobody needs."""
    for ending, part in SPECTRAL.items():
        if name.endswith(f".{ending}"):
            return name.removesuffix(f".{ending}"), part
    layer, _, part = name.rpartition(".")
    return layer, part


def _of_run(path: Path, where: str) -> dict[str, Any]:
    """What the safetensors file at ``path`` holds: all of it, or the one network that is asked for of a checkpoint."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.is_dir():
        raise ModelNotFound(f"{where}: {path}: is a folder; give a file of weights, such as one of its checkpoints")
    if not path.is_file():
        raise ModelNotFound(f"{where}: {path}: no such file")
    try:
        content = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CorruptModel(f"{where}: {path}: not a safetensors file ({error})") from error
    if "random/torch" not in content:
        return dict(content)
    section = where.partition(".")[0]
    for start in (f"networks/{section}/", f"{section}/"):  # the second in checkpoints of the first form
        if own := {name.removeprefix(start): value for name, value in content.items() if name.startswith(start)}:
            return own
    raise InvalidConfig(f"{where}: {path}: this checkpoint of a run holds no {section}")


def _layers(network: nn.Module, where: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers of ``network`` that have weights, in their order."""
    for name, layer in network.named_modules():
        own = dict(layer.named_parameters(recurse=False))
        if "parametrizations" in name.split("."):
            continue  # the inside of a layer that has been yielded
        if own and not isinstance(layer, ExpandedConv) and not own.keys() <= {"weight", "bias"}:
            raise InvalidConfig(f"{where}: {name} of this network is of a kind that no checkpoint is read into")
        if own or _vector(layer) is not None:
            yield name, layer


def _vector(layer: nn.Module) -> Tensor | None:
    """The singular vector of a layer with spectral normalisation; None for any other."""
    if not parametrize.is_parametrized(layer, "weight"):
        return None
    vector: Tensor = layer.get_submodule("parametrizations.weight.0").get_buffer("u")
    return vector


def _parts(layer: nn.Module) -> set[str]:
    """The parts by which a file tells layers of this kind from others."""
    if isinstance(layer, nn.BatchNorm2d):
        return {"running_mean"}
    return set() if _vector(layer) is None else {"u"}


def _described(weight: Tensor, parts: Container[str]) -> str:
    """Shape and kind of a layer, in words."""
    kinds = {"running_mean": " (a batch norm)", "u": " (with spectral normalisation)"}
    return _shape(weight) + "".join(words for part, words in kinds.items() if part in parts)


def _kernel(layer: nn.Module) -> Tensor:
    if isinstance(layer, ExpandedConv):
        return layer.direct
    if _vector(layer) is not None:
        return layer.get_parameter("parametrizations.weight.original")
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _mistake(layer: nn.Module, tensors: dict[str, Tensor]) -> str:
    """What is wrong with the parts beside the weight of what becomes ``layer``; empty if nothing is."""
    wanted = _kernel(layer).shape[:1]
    for part in ("bias", "running_mean", "running_var", "u"):
        tensor = tensors.get(part)
        if tensor is None:
            if isinstance(layer, nn.BatchNorm2d) and part != "u":
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
    if (vector := _vector(layer)) is not None:
        vector.copy_(tensors["u"])
    own = getattr(layer, "bias", None)
    if own is None:
        return bias
    own.zero_()
    if bias is not None:
        own.copy_(bias)
    return None


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single value"
