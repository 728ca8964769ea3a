"""Phase gan: netG1 learns to make from noise what netRS makes of pictures, and netD1 to tell the two apart.

Narrow ones work in coordinates of the codes' principal components (`srgan.networks.latent.factored`), those of the
origin on codes.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srgan.networks.latent.factored import FactoredCritic, FactoredGenerator
from srgan.training.gan_losses import discriminator_loss, generator_loss, gradient_penalty
from srgan.training.latent.judging import Gallery, SampleJudge
from srgan.training.latent.phase import Context, Loss, Phase, Player, Step, Work, train_phase
from srgan.training.latent.pictures import as_floats
from srgan.training.learner import Stepped

MOST_COORDINATES = 256
"""Of codes: they keep 99.98 per cent of the variance of simple drawings."""
PACE = 9
"""Of the average. On 5,000 drawings, after 300 steps: diversity 0.53 with 1, 0.78 with 9, 0.93 without an average."""
LEAST_CODES = 4
"""Codes that there must be for each coordinate, or there are fewer of those."""

log = logging.getLogger("srgan")


class InCoordinates(nn.Module):
    """netG1, narrow, as far as the coordinates."""

    def __init__(self, generator: FactoredGenerator) -> None:
        super().__init__()
        self.netG1 = generator

    def forward(self, noise: Tensor) -> Tensor:
        return self.netG1.coordinates(noise)


class OfCoordinates(nn.Module):
    """netD1, narrow, from the coordinates on."""

    def __init__(self, critic: FactoredCritic) -> None:
        super().__init__()
        self.netD1 = critic

    def forward(self, coordinates: Tensor) -> Tensor:
        return self.netD1.judge(coordinates)


@dataclass(frozen=True)
class Game:
    """Both sides, and what their forward passes go through: N x z to what ``judge`` takes.

    ``real`` is as many as there are pictures: codes, coordinates, or the pictures themselves (uint8).
    """

    generator: nn.Module
    critic: nn.Module
    make: nn.Module
    judge: nn.Module
    real: Tensor

    def batch(self, chosen: Tensor, device: torch.device) -> Tensor:
        """Those of ``real`` that were ``chosen``, as floats."""
        picked = self.real[chosen.to(self.real.device)]
        return as_floats(picked, device) if picked.dtype == torch.uint8 else picked


def noise_of(generator: nn.Module) -> int:
    """How many numbers of noise netG1 takes."""
    found: int = generator.z  # type: ignore[assignment]  # of any module torch says that it may be a tensor
    return found


def make_game(work: Work, codes: Tensor) -> Game:
    """The networks of the configuration, with fresh weights, for ``codes``. Narrow ones fit their basis to these."""
    torch.manual_seed(work.seed("gan"))
    norm = {"norm": "none"} if work.config.gan.loss == "wgan-gp" else {}
    if work.config.form("netG1") != "narrow":
        generator, critic = work.build("netG1"), work.build("netD1", **norm)
        return Game(generator, critic, generator, critic, codes)
    size = min(MOST_COORDINATES, len(codes) // LEAST_CODES)
    if size < MOST_COORDINATES:
        log.info("netG1 works in %d coordinates, as there are %d pictures only", size, len(codes))
    narrow = work.build("netG1", coordinates=size)
    assert isinstance(narrow, FactoredGenerator)
    judge = work.build("netD1", coordinates=narrow.basis.size, **norm)
    assert isinstance(judge, FactoredCritic)
    log.info("%d coordinates keep %.2f %% of the codes' variance", narrow.basis.size, 100 * narrow.basis.fit(codes))
    judge.basis.take(narrow.basis)
    return Game(narrow, judge, InCoordinates(narrow), OfCoordinates(judge), narrow.basis.coordinates(codes))


def train_generator(work: Work, gallery: Gallery, game: Game, decoder: nn.Module) -> nn.Module:
    """Phase gan; gives netG1. ``decoder`` makes pictures of what that gives."""
    section = work.config.gan
    players = {
        "netG1": Player(network=game.generator, module=game.make, rate=section.rate, betas=section.betas),
        "netD1": Player(network=game.critic, module=game.judge, rate=section.critic_rate, betas=section.betas),
    }
    phase = Phase(
        name="gan",
        players=players,
        judge=SampleJudge(gallery, lambda network, noise: decoder(network(noise)), noise_of(game.generator)),
        best=work.config.validation.best,
        # Full rates for half of the time: the game has no minimum to come near. And no clipping, which in the
        # prototypes there was none of: Adam takes the size out of gradients, and a limit would take it out unevenly.
        schedule={"flat": max(0.5, work.config.optimiser.flat), "final": max(0.05, work.config.optimiser.final)},
        clip=math.inf,
        pace=PACE,
        prepare=lambda context: _rounds(context, game),
    )
    return train_phase(work, phase)


def _rounds(context: Context, game: Game) -> Step:
    """A step of netG1, in front of it as many of netD1 as `UpdatesSection` says, each with noise of its own."""
    work, state = context.work, context.state
    section, updates = work.config.gan, work.config.updates
    generator, critic = context.learners["netG1"], context.learners["netD1"]
    told: dict[str, Tensor] = {}

    def tell_apart() -> Loss:
        real = game.batch(context.draw(section.batch, len(game.real)), work.device)
        with torch.no_grad():
            made = generator.module(context.noise(section.batch, noise_of(game.generator)))
        of_real, of_made = critic.module(real), critic.module(made)
        loss = discriminator_loss(section.loss, of_real, of_made)
        if section.loss == "wgan-gp":  # the slope of a slope: in float32, by the bare network
            penalty = gradient_penalty(game.judge, real, made, state.random)
            loss = loss + section.gradient_penalty * penalty
        return loss, {"netD1/real": of_real.float().mean(), "netD1/made": of_made.float().mean()}

    def improve() -> Loss:
        loss = generator_loss(
            section.loss, None, critic.module(generator.module(context.noise(section.batch, noise_of(game.generator))))
        )
        return loss, {"loss/netG1": loss}

    def step() -> Stepped:
        context.set_rates()
        if state.step % updates.generator == 0:
            for _ in range(updates.discriminator):
                state.turns["netD1"] += 1
                stepped = critic.step(tell_apart)
                told.update({**stepped.terms, "loss/netD1": stepped.loss})
        game.critic.requires_grad_(False)
        stepped = generator.step(improve)
        game.critic.requires_grad_(True)
        return context.moved(stepped._replace(terms={**stepped.terms, **told}, falls=False))

    return step
