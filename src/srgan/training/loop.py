"""The middle that recipes share: step after step, with reports, validations, checkpoints and an answer to Ctrl-C."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from srgan.errors import Cancelled, TrainingFailed
from srgan.metrics.judges import FIGURES
from srgan.training.config import TrainConfig
from srgan.training.optimisers import StepGuard, current_rate
from srgan.training.progress import Curves, TrainStatus, interrupts
from srgan.training.runs import Run, State
from srgan.training.setup import averaged
from srgan.training.validation import Validator

MAX_BAD_STEPS = 20
"""Steps in a row whose gradient is not finite, after which training gives up."""
REPORT_EVERY = 20
"""Steps between reports. Looking at a loss makes the host wait for the device."""

log = logging.getLogger("srgan")


class Stepped(NamedTuple):
    """What a training step tells. The tensors stay on the device: looking at one makes the host wait for it."""

    loss: Tensor
    norm: Tensor
    """Of the generator's gradient, before clipping."""
    terms: Mapping[str, Tensor] = MappingProxyType({})
    """Named parts of the loss, and whatever else is worth a curve."""


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """One stretch of training without interruption, and all it needs. What changes is in ``state``."""

    config: TrainConfig
    run: Run
    state: State
    guard: StepGuard
    validator: Validator | None
    curves: Curves
    progress: Callable[[TrainStatus], None] | None


def work(sitting: Sitting, step: Callable[[], Stepped]) -> None:
    """Call ``step``, which moves the state on by one, until all steps are done.

    Raises `Cancelled` when an interrupt has been answered with a checkpoint, `TrainingFailed` when `MAX_BAD_STEPS` in a
    row were left out (noticed at the next report), `CannotWrite`.
    """
    config, state, run = sitting.config, sitting.state, sitting.run
    first, before, began = state.step, state.seconds, time.perf_counter()
    latest = math.nan
    with interrupts() as interrupted:
        while state.step < config.steps:
            stepped = step()
            state.seconds = before + time.perf_counter() - began
            now, last = state.step, state.step == config.steps
            report = now % REPORT_EVERY == 0 or last
            validate = sitting.validator is not None and (now % config.validation.every == 0 or last)
            if report or validate:
                latest = stepped.loss.item()
                _watch(sitting, stepped)
            if validate:
                _validate(sitting, latest)
            stop = interrupted.is_set()
            if now % config.output.checkpoint_every == 0 or last or stop or (validate and state.best_step == now):
                state.save(run.checkpoint(now))
                run.prune(config.output.keep, state.best_step)
            if sitting.progress and report:
                speed = (now - first) / (state.seconds - before)
                sitting.progress(
                    TrainStatus(step=now, steps=config.steps, loss=latest, psnr=state.psnr, steps_per_second=speed)
                )
            if stop and not last:
                raise Cancelled(
                    f"{run.folder}: stopped at step {now} of {config.steps}; the same command goes on from there"
                )


def _watch(sitting: Sitting, stepped: Stepped) -> None:
    """Draw the curves, and see whether steps had to be left out."""
    step = sitting.state.step
    rate = current_rate(sitting.state.optimisers)
    loss, norm = stepped.loss.item(), stepped.norm.item()
    terms = {name: value.item() for name, value in stepped.terms.items()}
    sitting.curves.add(step, {"loss": loss, "gradient norm": norm, "learning rate": rate, **terms})
    in_a_row, since = sitting.guard.counts()
    if since:
        log.warning("up to step %d: %d steps were left out, their gradient was not finite", step, since)
    if in_a_row >= MAX_BAD_STEPS:
        raise TrainingFailed(
            f"{sitting.run.folder}: the gradient was not finite for {in_a_row} steps in a row; "
            "lower the learning rate or train in fp32"
        )


def _validate(sitting: Sitting, loss: float) -> None:
    """Score the averaged weights and remember the best."""
    assert sitting.validator is not None
    state = sitting.state
    device: torch.device = next(state.network.parameters()).device
    figures = sitting.validator.score(averaged(state), device)
    state.psnr = figures["psnr"]
    name = sitting.config.validation.best
    if better(name, figures[name], state.best):
        state.best_step, state.best = state.step, figures[name]
    sitting.curves.add(state.step, {f"validation/{name}": value for name, value in figures.items()})
    sitting.run.note({"step": state.step, "seconds": round(state.seconds, 1), "loss": loss, **figures})
    said = ", ".join(f"{name} {value:.{max(3, FIGURES[name].digits)}f}" for name, value in figures.items())
    log.info("step %d: %s", state.step, said)


def better(name: str, value: float, than: float | None) -> bool:
    """Whether ``value`` of the figure ``name`` is better than the best so far, if there is one."""
    if than is None:
        return True
    return value > than if FIGURES[name].more_is_better else value < than
