"""Recipe `adversarial`: a generator against a discriminator, for pictures that look right rather than score well.

The generator makes the sum of pixel loss, feature distance, adversarial loss and, if asked, an extra L1 on artefacts
small. It should start from a PSNR model (`network.init_from`), as the SRGAN paper's does from SRResNet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srgan.errors import InvalidConfig
from srgan.models import Bundle
from srgan.networks.discriminators import build_discriminator
from srgan.networks.foreign import take_foreign
from srgan.progress import Report, Stop
from srgan.training.data import TileStore, open_store
from srgan.training.features import PerceptualLoss, check_patch
from srgan.training.finishing import finish
from srgan.training.gan_losses import (
    artefact_map,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    grid_loss,
    r1_penalty,
)
from srgan.training.learner import Learner, Stepped
from srgan.training.loop import Sitting, open_sitting, work_through
from srgan.training.losses import PixelLoss
from srgan.training.optimisers import (
    StepGuard,
    WeightAverage,
    make_optimiser,
    make_optimisers,
    rate_factor,
    set_rate,
)
from srgan.training.recipes import AdversarialConfig, DiscriminatorSection
from srgan.training.runs import Run, begun_run
from srgan.training.setup import make_fabric, make_network
from srgan.training.state import MAIN, State
from srgan.training.team import make_team
from srgan.training.validation import Validator

RIVAL = "discriminator"
"""Its name in the state."""

log = logging.getLogger("srgan")


def adversarial(config: AdversarialConfig, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Train ``config.network`` against ``config.discriminator`` and return the finished bundle.

    Ending early, resuming and errors are those of `pretrain`; mistakes in the configuration show before anything is
    decoded.
    """
    begun = begun_run(config, resume)
    fabric = make_fabric(config.hardware, begun)
    team = make_team(fabric)
    torch.manual_seed(config.seed)
    begun = team.tell(begun)
    network = make_network(config.network, config.data.patch, config.hardware, begun=begun, stages=config.data.stages())
    discriminator = make_discriminator(config.discriminator, begun=begun)
    perceptual = PerceptualLoss(config.loss) if config.loss.perceptual else None
    check_patch(discriminator, "discriminator", config)
    if perceptual is not None:
        check_patch(perceptual.network, "loss.features", config)
    if not config.network.init_from:
        log.warning("network.init_from is empty: training a GAN from scratch rarely works well")
    for module in (network, discriminator, perceptual):
        if module is not None:
            module.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
    validates = config.validation.folder is not None and team.leads
    validator = None
    if validates:
        validator = Validator(
            config.validation,
            scale=network.scale,
            training=config.data.folders,
            degradation=config.data.degradation,
        )
    store = open_store(config, fabric.device, share=(team.rank, team.size))
    average = WeightAverage(network, config.optimiser.ema)
    state = State(
        {MAIN: network, RIVAL: discriminator},
        {MAIN: average},
        {MAIN: make_optimisers(network, config.optimiser), RIVAL: [_rivals_optimiser(discriminator, config)]},
        store.generator,
        turns={RIVAL: 0},
        arithmetic=fabric.strategy.precision.precision,
    )
    scaled = config.hardware.precision == "fp16"
    seen = (perceptual.name,) if perceptual else ()
    with open_sitting(
        config,
        state,
        run=begun,
        guards={
            MAIN: StepGuard(network, discriminator, scaled=scaled),
            RIVAL: StepGuard(discriminator, network, scaled=scaled),
        },
        team=team,
        validator=validator,
        report=report,
        stop=stop,
    ) as sitting:
        work_through(sitting, store, make_step(sitting, fabric, store, perceptual))
        return finish(sitting, store, loss_features=seen)


def make_discriminator(section: DiscriminatorSection, *, begun: Run | None = None) -> nn.Module:
    """The discriminator with fresh weights or those of `DiscriminatorSection.init_from`.

    That file is not asked for where ``begun``, the run that it goes on with, has a checkpoint. Raises `InvalidConfig`,
    also for a combination that cannot work, and what `take_foreign` raises.
    """
    try:
        discriminator = build_discriminator(section.name, **section.options)
    except InvalidConfig as error:
        raise InvalidConfig(f"discriminator.options: {error}" if section.options else str(error)) from error
    penalised = section.loss == "wgan-gp" or section.r1
    if penalised and any(isinstance(layer, nn.BatchNorm2d) for layer in discriminator.modules()):
        raise InvalidConfig(
            'discriminator: the gradient penalty excludes batch norm: set discriminator.options.norm = "none"'
        )
    if section.init_from and not (begun and begun.checkpoints()):
        take_foreign(discriminator, section.init_from, "discriminator.init_from")
    return discriminator


def _rivals_optimiser(discriminator: nn.Module, config: AdversarialConfig) -> torch.optim.Optimizer:
    section = config.discriminator
    return make_optimiser(section.optimiser, list(discriminator.parameters()), section, config.optimiser.adan_betas)


def _config(sitting: Sitting) -> AdversarialConfig:
    assert isinstance(sitting.config, AdversarialConfig)
    return sitting.config


def make_step(
    sitting: Sitting, fabric: Any, store: TileStore, perceptual: PerceptualLoss | None
) -> Callable[[], Stepped]:
    """One optimiser step of the generator, with those of the discriminator in front where it is its turn.

    ``updates.generator`` steps of the one follow ``updates.discriminator`` of the other, each with a batch of its own.
    Whose turn it is follows from the state's step alone, so a run can be interrupted within a cycle.
    """
    config, state, guards = _config(sitting), sitting.state, sitting.guards
    rival, moves, section, compiled = state.networks[RIVAL], state.optimisers, config.optimiser, config.hardware.compile
    generator = Learner(fabric, state.network, moves[MAIN], guards[MAIN], section, compile=compiled)
    discriminator = Learner(fabric, rival, moves[RIVAL], guards[RIVAL], section)
    pixel_loss = PixelLoss(config.loss)
    judged: dict[str, Tensor] = {}
    lines = torch.Generator()

    def improve() -> tuple[Tensor, dict[str, Tensor]]:
        """The generator's loss on a batch, and its weighted parts."""
        low, high = store.batch()
        number = state.step + 1
        output = generator.module(low)
        terms = {"loss/pixel": pixel_loss(output, high, number / config.steps)}
        with fabric.autocast():
            if perceptual is not None:
                terms["loss/perceptual"] = config.loss.perceptual * perceptual(output, high)
            if config.loss.adversarial and number - config.steps_before > config.discriminator.head_start:
                terms["loss/adversarial"] = config.loss.adversarial * _convince(config, state, output, high)
        if config.loss.grid:
            terms["loss/grid"] = config.loss.grid * grid_loss(output, high, config.network.scale)
        if config.loss.artefact:
            with fabric.autocast():
                weight = artefact_map(output, by_average(state, low), high)
            terms["loss/artefact"] = config.loss.artefact * (weight * (output - high).abs()).mean()
        return torch.stack(list(terms.values())).sum(), terms

    def tell_apart() -> tuple[Tensor, dict[str, Tensor]]:
        return _tell_apart(sitting, store.batch(), generator.module, discriminator.module, lines)

    def step() -> Stepped:
        number = state.step + 1
        store.advance(number)
        factor = rate_factor(config.optimiser, number, config.steps, config.steps_before) * state.rate_scale
        set_rate(state.all_optimisers(), factor)
        if state.step % config.updates.generator == 0:
            for _ in range(config.updates.discriminator):
                state.turns[RIVAL] += 1
                lines.manual_seed(config.seed + state.turns[RIVAL])  # not the state's: batches are drawn ahead of it
                told = discriminator.step(tell_apart)
                judged.update({**told.terms, "loss/discriminator": told.loss})
        rival.requires_grad_(False)
        stepped = generator.step(improve)
        rival.requires_grad_(True)
        state.average.update(state.network, number)
        state.step = number
        return stepped._replace(terms={**stepped.terms, **judged})

    return step


@torch.no_grad()
def by_average(state: State, low: Tensor) -> Tensor:
    """What the network would make of ``low`` with the averaged weights, in training mode."""
    # Batch norms write their statistics into what they are given, and the average is not theirs to change.
    own = {name: state.average.state[name].clone() for name, _ in state.network.named_buffers()}
    out: Tensor = torch.func.functional_call(state.network, {**state.average.state, **own}, (low,))
    return out


def _convince(config: AdversarialConfig, state: State, output: Tensor, high: Tensor) -> Tensor:
    """The generator's adversarial loss; the discriminator is frozen."""
    discriminator = state.networks[RIVAL]
    kind = config.discriminator.loss
    real = None
    if kind == "ragan":
        with torch.no_grad():
            real = discriminator(high)
    return generator_loss(kind, real, discriminator(output))


def _tell_apart(
    sitting: Sitting,
    batch: tuple[Tensor, Tensor],
    generate: nn.Module,
    discriminate: nn.Module,
    lines: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The discriminator's loss on a batch, and what it thinks of it; the generator, as it trains, is left alone.

    ``lines`` draws for `gradient_penalty`.
    """
    state, team = sitting.state, sitting.team
    section, bare = _config(sitting).discriminator, state.networks[RIVAL]
    low, real = batch
    with torch.no_grad():
        fake = generate(low)
    of_real, of_fake = discriminate(real), discriminate(fake)
    loss = discriminator_loss(section.loss, of_real, of_fake, label=section.label)
    # Penalties are slopes of slopes: in float32, outside of autocast.
    if section.loss == "wgan-gp":
        loss = loss + section.gradient_penalty * gradient_penalty(bare, real, fake, lines, part=(team.rank, team.size))
    if section.r1 and state.turns[RIVAL] % section.r1_every == 0:
        loss = loss + section.r1 * section.r1_every * r1_penalty(bare, real)
    return loss, {"discriminator/real": of_real.float().mean(), "discriminator/fake": of_fake.float().mean()}
