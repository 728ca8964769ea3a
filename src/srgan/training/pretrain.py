"""Recipe `pretrain`: a generator alone, trained for fidelity. PSNR models end here, and other recipes begin here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srgan.models import Bundle
from srgan.progress import Report, Stop
from srgan.training.config import TrainConfig
from srgan.training.data import TileStore, open_store
from srgan.training.finishing import finish
from srgan.training.learner import Learner, Stepped
from srgan.training.loop import Sitting, open_sitting, work_through
from srgan.training.losses import PixelLoss
from srgan.training.optimisers import StepGuard, WeightAverage, make_optimisers, rate_factor, set_rate
from srgan.training.runs import begun_run
from srgan.training.setup import make_fabric, make_network
from srgan.training.state import MAIN, State
from srgan.training.team import make_team
from srgan.training.validation import Validator

log = logging.getLogger("srgan")


def pretrain(config: TrainConfig, *, resume: bool | Path, report: Report, stop: Stop) -> Bundle:
    """Train ``config.network`` with a pixel loss and return the finished bundle.

    An interrupted run (same configuration) is continued where it stopped. Raises `Cancelled` when ``stop`` was set,
    after a checkpoint, `WentBack` when the run is to be opened anew (`srgan.training.train` does so),
    `TrainingFailed` when the gradient stays not finite all the same or a checkpoint does not fit, `InvalidDataset`,
    `InvalidConfig`, `CannotWrite`, also when another process trains in the run already. Mistakes in the configuration
    show before anything is decoded.
    """
    begun = begun_run(config, resume)
    fabric = make_fabric(config.hardware, begun)
    team = make_team(fabric)
    torch.manual_seed(config.seed)
    begun = team.tell(begun)
    network = make_network(config.network, config.data.patch, config.hardware, begun=begun, stages=config.data.stages())
    network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
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
        work_through(sitting, store, _make_step(sitting, fabric, store))
        return finish(sitting, store)


def _make_step(sitting: Sitting, fabric: Any, store: TileStore) -> Callable[[], Stepped]:
    """The training step, which moves the state on by one."""
    config, state = sitting.config, sitting.state
    optimisers = state.optimisers[MAIN]
    learner = Learner(
        fabric, state.network, optimisers, sitting.guards[MAIN], config.optimiser, compile=config.hardware.compile
    )
    pixel_loss = PixelLoss(config.loss)

    def look() -> tuple[Tensor, dict[str, Tensor]]:
        low, high = store.batch()
        return pixel_loss(learner.module(low), high, (state.step + 1) / config.steps), {}

    def step() -> Stepped:
        number = state.step + 1
        store.advance(number)
        set_rate(
            optimisers, rate_factor(config.optimiser, number, config.steps, config.steps_before) * state.rate_scale
        )
        stepped = learner.step(look)
        state.average.update(state.network, number)
        state.step = number
        return stepped

    return step
