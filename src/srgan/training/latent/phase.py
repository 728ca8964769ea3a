"""What all phases share: each is a run of its own below that of the whole, with checkpoints, curves and a best one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from srgan.errors import Cancelled, CannotWrite
from srgan.networks.latent import build_part
from srgan.progress import Report, Stop, part
from srgan.training.config import OptimiserSection
from srgan.training.gan_losses import discriminator_loss, generator_loss
from srgan.training.latent.augmentation import augmented
from srgan.training.latent.settings import PHASES, LatentConfig
from srgan.training.learner import Learner, Stepped
from srgan.training.loop import Judge, Sitting, finished, open_sitting
from srgan.training.loop import work as work_on
from srgan.training.optimisers import StepGuard, WeightAverage, make_adam, rate_factor, set_rate
from srgan.training.runs import Run
from srgan.training.state import State
from srgan.training.team import ALONE

Step = Callable[[], Stepped]
Loss = tuple[Tensor, dict[str, Tensor]]
"""A loss and its parts."""

log = logging.getLogger("srgan")


@dataclass(frozen=True, kw_only=True)
class Work:
    """One training from the first phase to the last, and what each of them needs."""

    config: LatentConfig
    run: Run
    fabric: Any
    report: Report
    stop: Stop

    @property
    def device(self) -> torch.device:
        """Where networks are trained."""
        found: torch.device = self.fabric.device
        return found

    def steps(self, phase: str) -> int:
        """How long it is; 0 for one that is left out."""
        return self.config.phases.steps(self.config.steps)[phase]

    def run_of(self, phase: str) -> Run:
        """Where it is kept."""
        return Run(self.run.folder / phase)

    def seed(self, phase: str) -> int:
        """Of its random numbers: they do not depend on what was drawn before it."""
        return self.config.seed * len(PHASES) + PHASES.index(phase)

    def build(self, role: str, **usual: Any) -> nn.Module:
        """The network ``role`` as the configuration has it, with fresh weights; ``usual`` options can be overruled."""
        options = {**usual, **self.config.parts.options.get(role, {})}
        network = build_part(role, self.config.form(role), **options)
        return self.placed(network)

    def placed(self, network: nn.Module) -> nn.Module:
        """``network`` on the device, in the memory layout that convolutions like."""
        moved: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return moved


@dataclass(frozen=True, kw_only=True)
class Player:
    """A network that learns in a phase: ``module`` is what its forward passes go through, if that is another one."""

    network: nn.Module
    rate: float
    """Of its learning, as a multiple of `OptimiserSection.learning_rate`."""
    betas: tuple[float, float] = (0.9, 0.99)
    module: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One of `PHASES`: who learns, the first being what is judged and averaged, by what, and how a step is done."""

    name: str
    players: Mapping[str, Player]
    judge: Judge
    best: str
    """The figure of ``judge`` that selects."""
    schedule: Mapping[str, Any] = field(default_factory=dict)
    """Changes of `OptimiserSection`."""
    clip: float | None = None
    """Largest norm of a gradient, instead of `OptimiserSection.clip`."""
    pace: int = 1
    """Of the average, see `WeightAverage`."""
    prepare: Callable[[Context], Step]
    """Makes what does a step."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a phase's step is made with."""

    work: Work
    sitting: Sitting
    learners: Mapping[str, Learner]

    @property
    def state(self) -> State:
        """That of the phase."""
        return self.sitting.state

    def draw(self, count: int, of: int) -> Tensor:
        """``count`` random numbers below ``of``."""
        return torch.randint(of, (count,), generator=self.state.random)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal, drawn on the CPU, so that it is the same everywhere."""
        return torch.randn(shape, generator=self.state.random).to(self.work.device)

    def moved(self, stepped: Stepped) -> Stepped:
        """Take note of a step of the main network."""
        self.state.step += 1
        self.state.average.update(self.state.network, self.state.step)
        return stepped

    def set_rates(self) -> float:
        """Learning rates for the coming step, and how far in the phase it is, from 0 to 1."""
        config, number = self.sitting.config, self.state.step + 1
        factor = rate_factor(config.optimiser, number, config.steps) * self.state.rate_scale
        set_rate(self.state.all_optimisers(), factor)
        return number / config.steps


def train_phase(work: Work, phase: Phase) -> nn.Module:
    """Train the phase, or go on with it, or find it done; gives its main network with the weights that were chosen.

    Raises what `srgan.training.loop.work` raises.
    """
    if work.stop.is_set():
        raise Cancelled(f"{work.run.folder}: stopped before the phase {phase.name}; the same command continues there")
    config = _own_config(work.config, phase, work.steps(phase.name))
    state = _state(work, phase, config.optimiser.ema)
    run = work.run_of(phase.name)
    try:
        (run.folder / "checkpoints").mkdir(exist_ok=True, parents=True)
    except OSError as error:
        raise CannotWrite(f"{run.folder}: {error.strerror or error}") from error
    networks = {name: player.network for name, player in phase.players.items()}
    scaled = config.hardware.precision == "fp16"
    guards = {
        name: StepGuard(network, *(other for other in networks.values() if other is not network), scaled=scaled)
        for name, network in networks.items()
    }
    with open_sitting(
        config,
        state,
        run=run,
        guards=guards,
        team=ALONE,
        validator=phase.judge,
        report=_share(work, phase.name),
        stop=work.stop,
    ) as sitting:
        try:
            if not finished(config, state):
                log.info("%s: phase %s, %d steps", work.run.folder, phase.name, config.steps)
                learners = {name: _learner(work, sitting, name, player) for name, player in phase.players.items()}
                work_on(sitting, phase.prepare(Context(work=work, sitting=sitting, learners=learners)))
        finally:
            sitting.curves.close()
        return _chosen(sitting)


def _own_config(config: LatentConfig, phase: Phase, steps: int) -> LatentConfig:
    """The configuration of a phase as a run of its own."""
    section = config.optimiser
    changed: OptimiserSection = section.model_copy(update={**phase.schedule, "clip": phase.clip or section.clip})
    validation = config.validation.model_copy(update={"best": phase.best, "folder": None})
    return config.model_copy(update={"steps": steps, "optimiser": changed, "validation": validation})


def _state(work: Work, phase: Phase, decay: float) -> State:
    main = next(iter(phase.players))
    rate = work.config.optimiser.learning_rate
    return State(
        {name: player.network for name, player in phase.players.items()},
        {main: WeightAverage(phase.players[main].network, decay, pace=phase.pace)},
        {
            name: [make_adam(player.network.parameters(), rate * player.rate, player.betas)]
            for name, player in phase.players.items()
        },
        torch.Generator().manual_seed(work.seed(phase.name)),
        turns={name: 0 for name in phase.players if name != main},
        arithmetic=work.fabric.strategy.precision.precision,
        main=main,
    )


def _learner(work: Work, sitting: Sitting, name: str, player: Player) -> Learner:
    state = sitting.state
    return Learner(
        work.fabric,
        player.module or player.network,
        state.optimisers[name],
        sitting.guards[name],
        sitting.config.optimiser,
    )


def _share(work: Work, phase: str) -> Report:
    """The report of one phase as a part of the whole."""
    before = sum(work.steps(name) for name in PHASES[: PHASES.index(phase)])
    own = work.steps(phase)
    return part(work.report, before, own, work.config.steps, unit="steps", note=phase)


def _chosen(sitting: Sitting) -> nn.Module:
    """The main network with the averaged weights that `LatentOutput.take` names, for inference from now on."""
    state, run = sitting.state, sitting.run
    if sitting.config.output.take == "best":
        best = run.checkpoint(state.best_step)
        if state.best_step and best.exists():
            state.load(best)
        else:
            log.warning("%s: no checkpoint was found to be the best; that of step %d is taken", run.folder, state.step)
    network: nn.Module = state.network
    network.load_state_dict(state.average.state)
    return network.eval().requires_grad_(False)


# ------------------------------------------------------------------------------------------------ critics of pictures


class PictureGame:
    """The hinge game between the maker of pictures and ``critic``, a `Learner`, with augmentation in front of it."""

    def __init__(self, context: Context, name: str) -> None:
        self._name, self._context = name, context
        self._network, self._learner = context.state.networks[name], context.learners[name]

    def _seen(self, pictures: Tensor) -> Tensor:
        seen = augmented(pictures, self._context.work.config.diff_augment, self._context.state.random)
        return seen.contiguous(memory_format=torch.channels_last)

    def tell_apart(self, look: Callable[[], tuple[Tensor, Tensor]]) -> Mapping[str, Tensor]:
        """A step of the critic on real and made pictures, which ``look`` gives; figures for curves."""

        def judge() -> tuple[Tensor, dict[str, Tensor]]:
            real, made = look()
            of_real, of_made = self._learner.module(self._seen(real)), self._learner.module(self._seen(made.detach()))
            told = {"real": of_real.float().mean(), "made": of_made.float().mean()}
            return discriminator_loss("hinge", of_real, of_made), {f"{self._name}/{k}": v for k, v in told.items()}

        self._context.state.turns[self._name] += 1
        stepped = self._learner.step(judge)
        return {**stepped.terms, f"loss/{self._name}": stepped.loss}

    def convince(self, made: Tensor) -> Tensor:
        """The maker's adversarial loss, in which the critic does not learn."""
        return generator_loss("hinge", None, self._network(self._seen(made)))

    def freeze(self, frozen: bool) -> None:
        """Keep gradients out of the critic, or let them in again."""
        self._network.requires_grad_(not frozen)


def make_step(
    context: Context,
    improve: Callable[[bool], Loss],
    game: PictureGame | None = None,
    look: Callable[[], tuple[Tensor, Tensor]] | None = None,
    *,
    since: float = 0.0,
) -> Step:
    """A step of the phase's main network, whose loss ``improve`` gives when told whether the game is on.

    It is on where there is one, after the fraction ``since`` of the phase: then the critic takes a step in front, on
    the real and made pictures that ``look`` gives, without gradient.
    """
    learner = context.learners[context.state.main]
    told: dict[str, Tensor] = {}

    def step() -> Stepped:
        playing = context.set_rates() > since and game is not None
        if game is not None and look is not None and playing:
            told.update(game.tell_apart(torch.no_grad()(look)))
            game.freeze(True)
        stepped = learner.step(lambda: improve(playing))
        if game is not None and playing:
            game.freeze(False)
        return context.moved(stepped._replace(terms={**stepped.terms, **told}))

    return step
