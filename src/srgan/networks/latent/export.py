"""Writing a latent model in every form that its bundle holds, and proving that all of them compute the same.

    generator.onnx, generator.ncnn.param, generator.ncnn.bin   netG1: noise N x z x 1 x 1 to codes
    decoder.*                                                  netG2: codes to pictures, of any size
    encoder.*                                                  netRS: pictures to codes, sides multiples of 16
    weights.safetensors                                        all three, under netG1., netG2. and netRS.

As in `srgan.networks.export`, weights are rounded to 16 bits before anything is written, and each form is run by its
engine beside the torch module, at another size than that of the trace: largest difference `TOLERANCE` of the range.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from srgan.errors import UnsupportedModel
from srgan.networks.export import (
    NCNN_BIN,
    NCNN_PARAM,
    ONNX,
    SAFETENSORS,
    Arrays,
    Named,
    Subject,
    load_weights,
    prove,
    rounded,
    run_module,
    run_ncnn,
    run_onnx,
    to_ncnn,
    to_onnx,
    to_safetensors,
)
from srgan.networks.latent import CODE, REDUCTION, SIDE
from srgan.networks.latent.deployed import build_deployed, deployed, part_of

PARTS = {"generator": "netG1", "decoder": "netG2", "encoder": "netRS"}
"""The parts with their roles (`srgan.models.bundle` has them too; rooms on one line do not know each other)."""

_TRACED = (4, 6)
_CHECKED = (3, 5)
"""Height and width for tracing and checking, in places of the code."""


class LatentShape(Protocol):
    """What `srgan.models.info.LatentInfo` says of sizes."""

    @property
    def noise(self) -> int: ...
    @property
    def code(self) -> tuple[int, int, int]: ...
    @property
    def side(self) -> int: ...


class Described(Named, Protocol):
    """What is asked of the description of a latent model."""

    @property
    def latent(self) -> LatentShape | None: ...


def latent_facts(generator: nn.Module, decoder: nn.Module, encoder: nn.Module) -> dict[str, Any]:
    """What a description (`srgan.models.ModelInfo`) says that follows from the networks, by field.

    Beside them it needs ``network_options``: ``{"netG1": {"form": "narrow", ...}, "netG2": ..., "netRS": ...}``, the
    form and the options that `build_part` made each of; and ``latent`` may have a ``refiner``.
    """
    parts = [deployed(network) for network in (generator, decoder, encoder)]
    first = next(parts[0].parameters())
    return {
        "network": "latent",
        "scale": 1,
        "channels": 3,
        "radius": 0,
        "multiple": REDUCTION,
        "parameters": sum(weight.numel() for part in parts for weight in part.parameters()),
        "latent": {
            "noise": first.shape[0],
            "code": CODE,
            "side": SIDE,
        },  # of a transposed convolution inputs come first
    }


def latent_forms(generator: nn.Module, decoder: nn.Module, encoder: nn.Module, info: Described) -> dict[str, bytes]:
    """All forms of a latent model, by their file names in a bundle. The networks themselves are left as they are.

    ``generator`` is netG1, as it was trained or merged, ``decoder`` netG2, ``encoder`` netRS, each of any form;
    ``info`` has their `latent_facts`. Raises `UnsupportedModel` when it does not describe them, when a weight does not
    fit into 16 bits, when a converter cannot express a network, or when a form does not compute what the network
    computes. Raises `MissingDependency` without the libraries of the `train` extra.
    """
    _check_description(info)
    networks = dict(zip(PARTS, (generator, decoder, encoder), strict=True))
    plain = {part: rounded(deployed(network), f"{info.name} ({part})") for part, network in networks.items()}
    states = {f"{PARTS[part]}.{key}": value for part in plain for key, value in plain[part].state_dict().items()}
    weights = to_safetensors(states, {"name": info.name, "network": info.network, "licence": info.licence})
    forms = {SAFETENSORS: weights}
    for part, module in plain.items():
        forms |= _forms_of(part, module, info, weights)
    return forms


def _check_description(info: Described) -> None:
    if info.latent is None or info.network != "latent":
        raise UnsupportedModel(f"{info.name}: model.toml does not say that this is a latent model: see latent_facts")
    if (tuple(info.latent.code), info.latent.side) != (CODE, SIDE):
        raise UnsupportedModel(
            f"{info.name}: model.toml says code {info.latent.code} and side {info.latent.side}, "
            f"but the networks have {CODE} and {SIDE}"
        )


def _forms_of(part: str, module: nn.Module, info: Described, weights: bytes) -> dict[str, bytes]:
    """The forms of one part but the weights, proved beside them."""
    assert info.latent is not None
    role = PARTS[part]
    subject = Subject(
        module=module,
        name=f"{info.name} ({part})",
        sample=_input(part, info.latent.noise, _TRACED),
        trial=_input(part, info.latent.noise, _CHECKED, count=2),
        notes={"name": info.name, "network": role, "licence": info.licence},
    )
    _check_shape(subject, part)
    graph, (param, data) = to_onnx(subject), to_ncnn(subject)
    files = {name: f"{part}{name.removeprefix('model')}" for name in (ONNX, NCNN_PARAM, NCNN_BIN)}
    prove(
        subject,
        {
            SAFETENSORS: partial(_run_torch, role, info, weights),
            files[ONNX]: partial(run_onnx, subject, graph),
            files[NCNN_BIN]: partial(run_ncnn, subject, param, data),
        },
    )
    return {files[ONNX]: graph, files[NCNN_PARAM]: param, files[NCNN_BIN]: data}


def _input(part: str, noise: int, places: tuple[int, int], count: int = 1) -> torch.Tensor:
    """Noise, codes or pictures as the part gets them."""
    height, width = places
    generator = torch.Generator().manual_seed(20)
    if part == "encoder":
        return torch.rand(count, 3, REDUCTION * height, REDUCTION * width, generator=generator)
    shape = (noise, 1, 1) if part == "generator" else (CODE[0], height, width)
    return torch.randn(count, *shape, generator=generator)


def _check_shape(subject: Subject, part: str) -> None:
    """Raise `UnsupportedModel` for a network that is not the part."""
    count, _, height, width = subject.trial.shape
    wanted = {
        "generator": (count, *CODE),
        "decoder": (count, 3, REDUCTION * height, REDUCTION * width),
        "encoder": (count, CODE[0], height // REDUCTION, width // REDUCTION),
    }[part]
    try:
        (made,) = run_module(subject.module, subject.trial)
    except RuntimeError as error:
        raise UnsupportedModel(f"{subject.name}: the network does not take what it should: {error}") from error
    if made.shape != wanted:
        raise UnsupportedModel(f"{subject.name}: the network gives {made.shape} and not {wanted}")


def _run_torch(role: str, info: Described, weights: bytes, inputs: NDArray[np.float32]) -> Arrays:
    from safetensors.torch import load

    fresh = build_deployed(role, **info.network_options.get(role, {}))
    load_weights(fresh, part_of(load(weights), role), info.name)
    return run_module(fresh, torch.from_numpy(inputs))
