"""The middle that recipes share: step after step, with reports, validations, checkpoints and an answer to Ctrl-C."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from srgan.errors import Cancelled, TrainingFailed
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


def work(sitting: Sitting, step: Callable[[], tuple[Tensor, Tensor]]) -> None:
    """Call ``step``, which moves the state on by one and gives loss and gradient norm, until all steps are done.

    Raises `Cancelled` when an interrupt has been answered with a checkpoint, `TrainingFailed` when `MAX_BAD_STEPS` in a
    row were left out (noticed at the next report), `CannotWrite`.
    """
    config, state, run = sitting.config, sitting.state, sitting.run
    first, before, began = state.step, state.seconds, time.perf_counter()
    latest = math.nan
    with interrupts() as interrupted:
        while state.step < config.steps:
            loss, norm = step()
            state.seconds = before + time.perf_counter() - began
            now, last = state.step, state.step == config.steps
            report = now % REPORT_EVERY == 0 or last
            validate = sitting.validator is not None and (now % config.validation.every == 0 or last)
            if report or validate:
                latest = loss.item()
                _watch(sitting, latest, norm.item())
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


def _watch(sitting: Sitting, loss: float, norm: float) -> None:
    """Draw the curves, and see whether steps had to be left out."""
    step = sitting.state.step
    rate = current_rate(sitting.state.optimisers)
    sitting.curves.add(step, {"loss": loss, "gradient norm": norm, "learning rate": rate})
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
    psnr, ssim = sitting.validator.score(averaged(state), device)
    state.psnr = psnr
    if psnr > state.best_psnr:
        state.best_step, state.best_psnr = state.step, psnr
    sitting.curves.add(state.step, {"validation PSNR": psnr, "validation SSIM": ssim})
    sitting.run.note({"step": state.step, "seconds": round(state.seconds, 1), "loss": loss, "psnr": psnr, "ssim": ssim})
    log.info("step %d: PSNR %.3f dB, SSIM %.4f", state.step, psnr, ssim)
