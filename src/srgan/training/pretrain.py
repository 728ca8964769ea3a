"""Recipe `pretrain`: a generator alone, trained for fidelity. The start of every other recipe, and of the PSNR models."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from srgan.errors import Cancelled, TrainingFailed
from srgan.models import Bundle
from srgan.networks import build
from srgan.training.config import TrainConfig
from srgan.training.data import TileStore
from srgan.training.losses import PixelLoss
from srgan.training.optimisers import WeightAverage, current_rate, make_optimisers, rate_factor, set_rate
from srgan.training.progress import Curves, TrainStatus, interrupts
from srgan.training.runs import Run, State, open_run
from srgan.training.setup import averaged, finish, make_fabric, start_from
from srgan.training.validation import Validator

MAX_BAD_STEPS = 20
"""Steps in a row whose loss or gradient is not finite, after which training gives up."""
REPORT_EVERY = 20
"""Steps between progress reports; reading the loss makes the host wait for the device."""

log = logging.getLogger("srgan")


def pretrain(
    config: TrainConfig, *, resume: bool = True, progress: Callable[[TrainStatus], None] | None = None
) -> Bundle:
    """Train ``config.network`` with a pixel loss and return the finished bundle.

    An interrupted run (same configuration) is continued where it stopped. Raises `Cancelled` after an interrupt has been
    answered with a checkpoint, `TrainingFailed` when the loss stays not finite, `InvalidDataset`, `InvalidConfig`.
    """
    fabric = make_fabric(config.hardware)
    torch.manual_seed(config.seed)
    network = build(config.network.name, config.network.scale, **config.network.options)
    if config.network.init_from:
        start_from(network, config.network.init_from)
    network.to(fabric.device)
    for weight in network.parameters():
        weight.data = weight.data.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight.data
    store = TileStore(
        config.data, scale=config.network.scale, seed=config.seed + fabric.global_rank, device=fabric.device
    )
    log.info(
        "%d pictures, %.0f megapixels, %d tiles%s",
        store.pictures,
        store.megapixels,
        store.tiles,
        ", streamed" if store.streaming else "",
    )
    optimisers = make_optimisers(network, config.optimiser)
    state = State(network, WeightAverage(network, config.optimiser.ema), optimisers, store.generator)
    run = open_run(config, resume=resume)
    if checkpoints := run.checkpoints():
        state.load(checkpoints[-1])
        store.seek(state.step)
        log.info("%s: going on from step %d", run.folder, state.step)
    validator = None
    if config.validation.folder:
        validator = Validator(
            config.validation.folder,
            scale=network.scale,
            limit=config.validation.max_pictures,
            multiple=network.multiple,
        )
    curves = Curves(run.folder if config.output.tensorboard else None)
    try:
        _loop(config, fabric, state, store, validator, run, curves, progress)
    finally:
        curves.close()
        store.close()
    return finish(config, run, averaged(state), state, store)


def _loop(
    config: TrainConfig,
    fabric: Any,
    state: State,
    store: TileStore,
    validator: Validator | None,
    run: Run,
    curves: Curves,
    progress: Callable[[TrainStatus], None] | None,
) -> None:
    """Step until done or interrupted. Everything that changes is in ``state``."""
    step = _make_step(config, fabric, state, store)
    bad_steps, last_loss = 0, math.nan
    began, first = time.perf_counter(), state.step
    before = state.seconds
    with interrupts() as interrupted:
        while state.step < config.steps:
            loss, norm = step()
            bad_steps = 0 if math.isfinite(norm) else bad_steps + 1
            if bad_steps >= MAX_BAD_STEPS:
                raise TrainingFailed(
                    f"{run.folder}: the gradient was not finite for {bad_steps} steps in a row; "
                    "lower the learning rate or train in fp32"
                )
            state.seconds = before + time.perf_counter() - began
            now, last = state.step, state.step == config.steps
            if now % REPORT_EVERY == 0 or last:
                last_loss = loss.item()
                curves.add(
                    now, {"loss": last_loss, "gradient norm": norm, "learning rate": current_rate(state.optimisers)}
                )
            if validator and (now % config.validation.every == 0 or last):
                _validate(state, validator, run, curves, last_loss, fabric.device)
            if now % config.output.checkpoint_every == 0 or last or interrupted.is_set():
                state.save(run.checkpoint(now))
                run.prune(config.output.keep, state.best_step)
            if progress and (now % REPORT_EVERY == 0 or last):
                rate = (now - first) / (state.seconds - before)
                progress(
                    TrainStatus(step=now, steps=config.steps, loss=last_loss, psnr=state.psnr, steps_per_second=rate)
                )
            if interrupted.is_set() and not last:
                raise Cancelled(
                    f"{run.folder}: stopped at step {now} of {config.steps}; the same command goes on from there"
                )


def _make_step(config: TrainConfig, fabric: Any, state: State, store: TileStore) -> Callable[[], tuple[Tensor, float]]:
    """The training step: it moves ``state`` on by one and gives the loss and the gradient's norm before clipping."""
    network = torch.compile(state.network) if config.hardware.compile else state.network
    module, *optimisers = fabric.setup(network, *state.optimisers)
    pixel_loss = PixelLoss(config.loss)
    weights = list(state.network.parameters())

    def step() -> tuple[Tensor, float]:
        number = state.step + 1
        store.advance(number)
        low, high = store.batch()
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss = pixel_loss(module(low), high, number / config.steps)
        fabric.backward(loss)
        norm = float(torch.nn.utils.clip_grad_norm_(weights, config.optimiser.clip))
        if math.isfinite(norm):
            set_rate(state.optimisers, rate_factor(config.optimiser, number, config.steps))
            for optimiser in optimisers:
                optimiser.step()
            state.average.update(state.network, number)
        else:
            log.warning("step %d: the gradient is not finite; the step was left out", number)
        state.step = number
        return loss.detach(), norm

    return step


def _validate(state: State, validator: Validator, run: Run, curves: Curves, loss: float, device: torch.device) -> None:
    """Score the averaged weights and remember the best."""
    psnr, ssim = validator.score(averaged(state), device)
    state.psnr = psnr
    if psnr > state.best_psnr:
        state.best_step, state.best_psnr = state.step, psnr
    curves.add(state.step, {"validation PSNR": psnr, "validation SSIM": ssim})
    run.note({"step": state.step, "seconds": round(state.seconds, 1), "loss": loss, "psnr": psnr, "ssim": ssim})
    log.info("step %d: PSNR %.3f dB, SSIM %.4f", state.step, psnr, ssim)
