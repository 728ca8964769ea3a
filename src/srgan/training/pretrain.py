"""Recipe `pretrain`: a generator alone, trained for fidelity. PSNR models end here, and other recipes begin here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srgan.models import Bundle
from srgan.progress import Report, Stop
from srgan.training.config import TrainConfig
from srgan.training.data import TileStore, open_store
from srgan.training.finishing import finish
from srgan.training.learner import Learner, Stepped
from srgan.training.loop import Sitting, open_sitting, work_through
from srgan.training.losses import PixelLoss
from srgan.training.optimisers import StepGuard, WeightAverage, make_optimisers, rate_factor, set_rate
from srgan.training.runs import Run, begun_run
from srgan.training.setup import make_fabric, make_network
from srgan.training.state import MAIN, State
from srgan.training.team import Team, make_team
from srgan.training.validation import Validator

log = logging.getLogger("srgan")
Look = Callable[[nn.Module], tuple[Tensor, dict[str, Tensor]]]
"""Draws a batch, puts it through the module, and gives its loss, and scalars by name that are worth a curve."""


def pretrain(config: TrainConfig, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Train ``config.network`` with a pixel loss and return the finished bundle.

    An interrupted run (same configuration) is continued where it stopped. Raises `Cancelled` when ``stop`` was set,
    after a checkpoint, `WentBack` when the run is to be opened anew (`srgan.training.train` does so),
    `TrainingFailed` when the gradient stays not finite all the same or a checkpoint does not fit, `InvalidDataset`,
    `InvalidConfig`, `CannotWrite`, also when another process trains in the run already. Mistakes in the configuration
    show before anything is decoded.
    """
    return train_alone(config, _originals, resume=resume, report=report, stop=stop)


@dataclass(frozen=True)
class Start:
    """What is known before a network that trains alone is given something to learn from."""

    config: TrainConfig
    begun: Run | None
    """The run that goes on, None for a new one."""
    device: torch.device
    team: Team
    scale: int


Source = Callable[[Start], AbstractContextManager[tuple[TileStore, Callable[[Sitting], Look]]]]
"""Opens what a recipe learns from until training has ended: a store, and how a sitting looks at its batches."""


def train_alone(config: TrainConfig, source: Source, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Train ``config.network`` without a rival on what ``source`` opens, and return the finished bundle.

    Ending early, resuming and errors are those of `pretrain`.
    """
    begun = begun_run(config, resume)
    fabric = make_fabric(config.hardware, begun)
    team = make_team(fabric)
    torch.manual_seed(config.seed)
    begun = team.tell(begun)
    network = make_network(config.network, config.data.patch, config.hardware, begun=begun, stages=config.data.stages())
    network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    validator = None
    if config.validation.folder is not None and team.leads:
        validator = Validator(
            config.validation,
            scale=network.scale,
            training=config.data.folders,
            degradation=config.data.degradation,
        )
    with source(Start(config, begun, fabric.device, team, network.scale)) as (store, look_of):
        average = WeightAverage(network, config.optimiser.ema)
        optimisers = {MAIN: make_optimisers(network, config.optimiser)}
        arithmetic = fabric.strategy.precision.precision
        state = State({MAIN: network}, {MAIN: average}, optimisers, store.generator, arithmetic=arithmetic)
        with open_sitting(
            config,
            state,
            run=begun,
            guards={MAIN: StepGuard(network, scaled=config.hardware.precision == "fp16")},
            team=team,
            validator=validator,
            report=report,
            stop=stop,
        ) as sitting:
            work_through(sitting, store, make_step(sitting, fabric, store, look_of(sitting)))
            return finish(sitting, store)


@contextmanager
def _originals(start: Start) -> Iterator[tuple[TileStore, Callable[[Sitting], Look]]]:
    store = open_store(start.config, start.device, share=(start.team.rank, start.team.size))
    yield store, lambda sitting: _against_originals(sitting, store)


def _against_originals(sitting: Sitting, store: TileStore) -> Look:
    config, state = sitting.config, sitting.state
    pixel_loss = PixelLoss(config.loss)

    def look(module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        low, high = store.batch()
        return pixel_loss(module(low), high, (state.step + 1) / config.steps), {}

    return look


def make_step(sitting: Sitting, fabric: Any, store: TileStore, look: Look) -> Callable[[], Stepped]:
    """The training step of a network that trains alone, which moves the state on by one."""
    config, state = sitting.config, sitting.state
    optimisers = state.optimisers[MAIN]
    learner = Learner(
        fabric, state.network, optimisers, sitting.guards[MAIN], config.optimiser, compile=config.hardware.compile
    )

    def step() -> Stepped:
        number = state.step + 1
        store.advance(number)
        set_rate(
            optimisers, rate_factor(config.optimiser, number, config.steps, config.steps_before) * state.rate_scale
        )
        stepped = learner.step(lambda: look(learner.module))
        state.average.update(state.network, number)
        state.step = number
        return stepped

    return step
