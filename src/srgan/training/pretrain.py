"""Recipe `pretrain`: a generator alone, trained for fidelity. PSNR models end here, and other recipes begin here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from srgan.models import Bundle
from srgan.training.config import TrainConfig
from srgan.training.data import TileStore
from srgan.training.loop import Sitting, Stepped, work
from srgan.training.losses import PixelLoss
from srgan.training.optimisers import StepGuard, WeightAverage, make_optimisers, rate_factor, set_rate
from srgan.training.progress import Curves, TrainStatus
from srgan.training.runs import State, open_run
from srgan.training.setup import averaged, finish, make_fabric, make_network, settle_norms
from srgan.training.validation import Validator

log = logging.getLogger("srgan")


def pretrain(
    config: TrainConfig, *, resume: bool = True, progress: Callable[[TrainStatus], None] | None = None
) -> Bundle:
    """Train ``config.network`` with a pixel loss and return the finished bundle.

    An interrupted run (same configuration) is continued where it stopped. Raises `Cancelled` after an interrupt has
    been answered with a checkpoint, `TrainingFailed` when the gradient stays not finite or a checkpoint does not fit,
    `InvalidDataset`, `InvalidConfig`, `CannotWrite`. Mistakes in the configuration show before anything is decoded.
    """
    fabric = make_fabric(config.hardware)
    torch.manual_seed(config.seed)
    network = make_network(config.network, config.data.patch)
    network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    validator = Validator(config.validation, scale=network.scale) if config.validation.folder else None
    store = TileStore(config.data, scale=network.scale, seed=config.seed, device=fabric.device)
    average = WeightAverage(network, config.optimiser.ema)
    state = State(network, average, make_optimisers(network, config.optimiser), store.generator)
    run = open_run(config, resume=resume)
    if checkpoints := run.checkpoints():
        state.load(checkpoints[-1])
        run.rewind(state.step)
        log.info("%s: going on from step %d", run.folder, state.step)
    curves = Curves(run.folder if config.output.tensorboard else None, state.step)
    sitting = Sitting(
        config=config,
        run=run,
        state=state,
        guard=StepGuard(network),
        validator=validator,
        curves=curves,
        progress=progress,
    )
    try:
        if state.step < config.steps:
            store.fill(state.step)
        if state.step == 0 and config.network.init_from:
            settle_norms(state, store)
        work(sitting, _make_step(sitting, fabric, store))
    finally:
        curves.close()
        store.close()
    return finish(config, run, averaged(state), state, store)


def _make_step(sitting: Sitting, fabric: Any, store: TileStore) -> Callable[[], Stepped]:
    """The training step, which moves the state on by one."""
    config, state, guard = sitting.config, sitting.state, sitting.guard
    module = fabric.setup_module(torch.compile(state.network) if config.hardware.compile else state.network)
    pixel_loss = PixelLoss(config.loss)
    weights = list(state.network.parameters())

    def step() -> Stepped:
        number = state.step + 1
        store.advance(number)
        low, high = store.batch()
        for optimiser in state.optimisers:
            optimiser.zero_grad(set_to_none=True)
        guard.before_forward()
        loss = pixel_loss(module(low), high, number / config.steps)
        fabric.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(weights, config.optimiser.clip)
        set_rate(state.optimisers, rate_factor(config.optimiser, number, config.steps))
        guard.step(state.optimisers, norm)
        state.average.update(state.network, number)
        state.step = number
        return Stepped(loss.detach(), norm)

    return step
