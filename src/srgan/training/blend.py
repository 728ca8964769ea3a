"""Blending: one network between several, by the weighted mean of their weights.

Networks that were trained on from the same weights lie near enough to each other for the ones in between to work too
(network interpolation, Wang et al., "ESRGAN", 2018): between a model that is true and one that pleases, any measure of
texture can be had at the cost of one network.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from srgan.errors import InvalidConfig
from srgan.models import Bundle, ModelInfo, Provenance, find_model
from srgan.networks import build
from srgan.training.finishing import write_model
from srgan.training.fusion import ONE_ANCESTOR, likeness
from srgan.training.runs import commit_here
from srgan.training.setup import weights_of

log = logging.getLogger("srgan")


def blend(shares: Mapping[str, float], target: Path, *, name: str, family: str = "", description: str = "") -> Bundle:
    """Write the bundle ``target`` of the network between the models that ``shares`` names, each with its share.

    Shares count relative to their sum. What is known of the first model holds for the result, but for where it is
    from; nobody has measured its quality yet. Raises `InvalidConfig` for fewer than two models, for shares of which
    none is more than zero, for different networks and for networks without a common ancestor; what `find_model` and
    `write_bundle` raise.
    """
    total = sum(shares.values())
    if len(shares) < 2 or min(shares.values()) < 0 or not 0 < total < float("inf"):
        raise InvalidConfig("a blend needs at least two models with shares of 0 or more, not all 0, such as fast=0.3")
    bundles = {text: find_model(text) for text in shares}
    first = next(iter(bundles.values())).info
    for text, bundle in bundles.items():
        _check_kind(text, bundle.info, first)
    states = [weights_of(bundle) for bundle in bundles.values()]
    alike = likeness(states)
    if not alike >= ONE_ANCESTOR:
        raise InvalidConfig(
            f"{', '.join(shares)}: not trained from the same start (similarity {alike:.2f}, at least {ONE_ANCESTOR:g} "
            "needed), so their weights cannot be averaged"
        )
    parts = [share / total for share in shares.values()]
    network = build(first.network, first.scale, **first.network_options).deploy()
    network.load_state_dict(_mean(states, parts))
    made_by = [bundle.info.provenance for bundle in bundles.values()]
    recipe = " + ".join(f"{part:.3g} {bundle.info.name}" for part, bundle in zip(parts, bundles.values(), strict=True))
    made = write_model(
        target,
        network,
        name=name,
        family=family,
        description=description or f"Between {' and '.join(bundle.info.name for bundle in bundles.values())}.",
        network=first.network,
        network_options=first.network_options,
        value_range=first.value_range,
        minimum=first.minimum,
        licence=first.licence,
        provenance=Provenance(
            corpus="; ".join(dict.fromkeys(made.corpus for made in made_by)),
            recipe="blend",
            config=recipe,
            steps=max(made.steps for made in made_by),
            commit=commit_here(),
            trained_on="; ".join(dict.fromkeys(made.trained_on for made in made_by)),
            parent=first.name,
            teacher="; ".join(dict.fromkeys(made.teacher for made in made_by if made.teacher)),
            loss_features=tuple(dict.fromkeys(feature for made in made_by for feature in made.loss_features)),
        ),
    )
    log.info("%s: %s", made.path, recipe)
    return made


def _check_kind(text: str, info: ModelInfo, first: ModelInfo) -> None:
    if info.outputs:
        raise InvalidConfig(f"{text}: is an ensemble; blend its members, or use its strategy soup")
    if info.latent is not None:
        raise InvalidConfig(f"{text}: makes pictures from noise; only models that enlarge can be blended")
    kinds = [(kind.network, kind.scale, kind.channels, kind.network_options) for kind in (info, first)]
    if kinds[0] != kinds[1]:
        said = [f"{network!r} x{scale} with {options}" for network, scale, _, options in kinds]
        raise InvalidConfig(
            f"{text}: is {said[0]}, and {first.name} {said[1]}: only identical architectures can be blended"
        )
    if info.licence != first.licence:
        raise InvalidConfig(f"{text}: has the licence {info.licence!r}, and {first.name} {first.licence!r}")


def _mean(states: list[dict[str, Tensor]], parts: list[float]) -> dict[str, Tensor]:
    return {
        key: torch.stack([part * state[key].double() for part, state in zip(parts, states, strict=True)]).sum(0).float()
        for key in states[0]
    }
