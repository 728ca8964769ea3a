"""Recipe `ensemble`: several generators, each trained on its own, and what is made of them, in one bundle."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from srgan.errors import Cancelled, CannotWrite, SrganError
from srgan.metrics.judges import FIGURES
from srgan.models import Bundle, Provenance
from srgan.networks import build
from srgan.networks.ensemble import MEMBERS, EnsembleNetwork
from srgan.networks.network import Network
from srgan.progress import Report, Stop
from srgan.training.data import TileStore
from srgan.training.features import PerceptualLoss, check_patch
from srgan.training.finishing import ALL_DONE, finish_run, origin_of, warn_of
from srgan.training.fusion import ONE_ANCESTOR, Pair, fit_weights, likeness, soup, train_fusion
from srgan.training.members import member_configs, train_members
from srgan.training.recipes import EnsembleConfig
from srgan.training.runs import Run, open_run
from srgan.training.setup import make_fabric, weights_of
from srgan.training.validation import Validator

FITTED_ON = 200
"""Training batches that the weights are fitted on where there is nothing to validate on."""
JUDGED_BY = "lpips-unweighted"
"""A figure of the table that is added where it can be computed."""

log = logging.getLogger("srgan")


def ensemble(config: EnsembleConfig, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Train the members that ``config.ensemble`` lists, fit what combines them, and return the one bundle.

    Members go to RUN/members/NUMBER and are resumed one by one; a finished one is not trained again. Then the weights
    are fitted on the validation pictures, the fusion is trained, the soup is made if its members started from the same
    weights, and each strategy and member is scored into RUN/strategies.csv. With ``hardware.devices`` above 1, so many
    members are trained at a time. Raises what the members' recipes raise; mistakes in their configurations show before
    anything is trained.
    """
    member_configs(config, config.output.runs)
    looks = PerceptualLoss(config.loss) if config.ensemble.fusion_steps and config.ensemble.fusion_perceptual else None
    if looks is not None:
        check_patch(looks.network, "loss.features", config)
    run = open_run(config, resume=resume)
    with run.held():
        return _train_all(config, run, looks, report, stop)


def _train_all(config: EnsembleConfig, run: Run, looks: PerceptualLoss | None, report: Report, stop: Stop) -> Bundle:
    """`ensemble` in its run."""
    members = member_configs(config, run.folder / "members")
    bundles = train_members(members, devices=config.hardware.devices, report=report, stop=stop)
    hardware = config.hardware.model_copy(update={"devices": 1})
    device: torch.device = make_fabric(hardware).device
    torch.manual_seed(config.seed)
    store = TileStore(config.data, scale=config.network.scale, seed=config.seed, device=device)
    try:
        validator = _validator(config)
        batches = _batches(store, stop)
        pairs = islice(batches, FITTED_ON) if validator is None else validator.pairs(device)
        network, options = _assembled(config, bundles, pairs, device)
        if network.fusion is not None:
            _learn_to_fuse(network, config, batches, looks)
        if validator is not None:
            scores = _scores(network, validator, device)
            _tell(scores, run)
            strategy, figures = next(iter(scores.items()))
            warn_of(f"{run.folder}: the strategy {strategy}", figures["psnr"], validator)
    finally:
        store.close()
    if stop.is_set():
        raise Cancelled(f"{run.folder}: {ALL_DONE}")
    made_by = [bundle.info.provenance for bundle in bundles]
    seen = [*(name for made in made_by for name in made.loss_features), *((looks.name,) if looks else ())]
    provenance = Provenance(
        **origin_of(config, run, store),
        steps=sum(member.steps for member in made_by),
        trained_on="; ".join(dict.fromkeys(member.trained_on for member in made_by)),
        parent=made_by[0].parent,
        loss_features=tuple(dict.fromkeys(seen)),
    )
    return finish_run(config, run, network, "ensemble", options, provenance)


def _assembled(
    config: EnsembleConfig, bundles: list[Bundle], pairs: Iterable[Pair], device: torch.device
) -> tuple[EnsembleNetwork, dict[str, Any]]:
    """The network with the members' weights in its form for inference, and the options that build it."""
    section = config.ensemble
    first = bundles[0].info
    states = [weights_of(bundle) for bundle in bundles]
    options: dict[str, Any] = {
        "member": {"network": first.network, **first.network_options},
        "count": len(bundles),
        "fidelity": section.fidelity,
        "fusion": section.fusion_steps > 0,
        "soup": section.soup and _mixes(states[int(section.fidelity) :]),
    }
    network = _filled(first.scale, options, states).to(device)
    options["weights"] = [round(weight, 6) for weight in fit_weights(network, pairs)]
    log.info("weights of the members: %s", ", ".join(f"{weight:.3f}" for weight in options["weights"]))
    return _filled(first.scale, options, states).to(device), options


def _mixes(states: list[dict[str, Tensor]]) -> bool:
    """Whether the mean of these members' weights is worth anything. Says so where the members speak against it."""
    if len(states) < 2:
        return False
    alike = likeness(states)
    if alike >= ONE_ANCESTOR:
        return True
    log.warning(
        "no soup: its members did not start from the same weights (similarity %.2f, at least %.1f is needed); "
        "give them one network.init_from, or set ensemble.soup = false",
        alike,
        ONE_ANCESTOR,
    )
    return False


def _filled(scale: int, options: dict[str, Any], states: list[dict[str, Tensor]]) -> EnsembleNetwork:
    network = build("ensemble", scale, **options).deploy()
    assert isinstance(network, EnsembleNetwork)
    for member, state in zip(network.members, states, strict=True):
        member.load_state_dict(state)
    if network.soup is not None:
        network.soup.load_state_dict(soup(states[int(network.fidelity) :]))
    return network.requires_grad_(False)


def _batches(store: TileStore, stop: Stop) -> Iterator[Pair]:
    """Batches of training pictures, from the first on."""
    store.fill(stop=stop)
    step = 0
    while True:
        stop.check()
        step += 1
        store.advance(step)
        yield store.batch()


def _learn_to_fuse(
    network: EnsembleNetwork, config: EnsembleConfig, batches: Iterator[Pair], looks: PerceptualLoss | None
) -> None:
    """Train the fusion to make small L1 and, with its weight, ``looks``."""
    section = config.ensemble
    if looks is not None:
        looks.to(next(network.parameters()).device)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        value = functional.l1_loss(output, target)
        if looks is not None:
            value = value + section.fusion_perceptual * looks(output, target)
        return value

    mean = train_fusion(
        network, batches, section.fusion_steps, loss=loss, learning_rate=section.fusion_learning_rate, seed=config.seed
    )
    log.info("fusion: %d steps, loss %.5f", section.fusion_steps, mean)


# ------------------------------------------------------------------------------------------------------ scores


def _validator(config: EnsembleConfig) -> Validator | None:
    """With the perceptual figure of the table, where it can be computed."""
    section = config.validation
    if section.folder is None:
        log.warning("there is no validation.folder: weights are fitted on training pictures, and nothing is scored")
        return None
    scale, degradation = config.network.scale, config.data.degradation
    if JUDGED_BY not in section.figures:
        try:
            figures = (*section.figures, JUDGED_BY)
            return Validator(section.model_copy(update={"figures": figures}), scale=scale, degradation=degradation)
        except SrganError as error:
            log.info("without %s: %s", JUDGED_BY, error)
    return Validator(section, scale=scale, degradation=degradation)


def _scores(network: EnsembleNetwork, validator: Validator, device: torch.device) -> dict[str, dict[str, float]]:
    """The figures of each strategy and of each member alone."""
    parts: dict[str, Network] = {name: network.only(name) for name in network.outputs if name != MEMBERS}
    parts |= {f"member {number}": member for number, member in enumerate(network.members)}  # type: ignore[misc]
    return {name: validator.score(part, device) for name, part in parts.items()}


def _tell(scores: dict[str, dict[str, float]], run: Run) -> None:
    """Write the table of figures into the run's folder, and log it. Raises `CannotWrite`."""
    path = run.folder / "strategies.csv"
    names = list(next(iter(scores.values())))
    try:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["strategy", *names])
            writer.writerows([strategy, *(figures[name] for name in names)] for strategy, figures in scores.items())
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror or error}") from error
    for strategy, figures in scores.items():
        said = ", ".join(f"{name} {figures[name]:.{max(3, FIGURES[name].digits)}f}" for name in names)
        log.info("%-10s %s", strategy, said)
