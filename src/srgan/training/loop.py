"""The middle that recipes share: step after step, with reports, validations, checkpoints, and an end on request."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from srgan.errors import Cancelled, TrainingFailed
from srgan.metrics.judges import FIGURES
from srgan.networks.foreign import is_foreign
from srgan.networks.network import Network
from srgan.progress import Report, Stop, silent
from srgan.training.config import TrainConfig
from srgan.training.curves import Curves, open_curves
from srgan.training.data import TileStore
from srgan.training.job import TrainStep
from srgan.training.learner import Stepped
from srgan.training.optimisers import StepGuard, current_rate
from srgan.training.runs import Run, new_run
from srgan.training.setup import averaged, origin, settle_norms
from srgan.training.state import State
from srgan.training.team import ALONE, Team
from srgan.training.validation import inputs_of

MAX_BAD_STEPS = 20
"""Steps in a row whose gradient is not finite, after which training goes back to its last good checkpoint."""
REPORT_EVERY = 20
"""Steps between reports. Looking at a loss makes the host wait for the device."""

BLOWN_UP = 100.0
"""How many times the loss of the first step is no accident of a batch any more."""
LEAST_LOSS = 0.01
"""A first loss below this counts as this: a batch of flat patches says little of those that come."""
SILENCE = 10.0
"""Seconds after which the progress is told, whatever the step."""

log = logging.getLogger("srgan")


class WentBack(Exception):
    """The run now stands at an earlier checkpoint, with lower learning rates: it is to be opened anew."""


class Judge(Protocol):
    """What scores the averaged weights of the main network, in its form for inference: `validation.Validator`."""

    caption: str
    """What `samples` shows."""

    def score(self, network: Network, device: torch.device) -> dict[str, float]:
        """Figures by name; that of `ValidationSection.best` is among them."""

    def samples(self, network: Network, device: torch.device, count: int) -> NDArray[np.uint8]:
        """A picture H x W x 3 of ``count`` samples."""

    def objection(self, figures: dict[str, float]) -> str:
        """Why a network with these ``figures`` cannot be the best, however good that one is; mostly empty."""


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """One stretch of training without interruption, and all it needs. What changes is in ``state``."""

    config: TrainConfig
    run: Run
    state: State
    guards: Mapping[str, StepGuard]
    """Of each network that learns, by its name in ``state``."""
    validator: Judge | None
    curves: Curves
    report: Report
    stop: Stop
    team: Team = ALONE
    """The processes that train together. All but the leader have no validator, and report to nobody."""
    fresh: bool = False
    """Whether the run begins now, rather than going on from a checkpoint."""


@contextlib.contextmanager
def open_sitting(
    config: TrainConfig,
    state: State,
    *,
    run: Run | None,
    guards: Mapping[str, StepGuard],
    team: Team,
    validator: Judge | None,
    report: Report,
    stop: Stop,
) -> Iterator[Sitting]:
    """Go on with ``run``, ``state`` being as its last checkpoint left it if it has one; with None begin a new one.

    Until the block ends no other process can. Raises `CannotWrite`, also when one trains there already.
    """
    state.loss_scales = {name: guard.scale.state for name, guard in guards.items() if guard.scale}
    run = team.tell((run or new_run(config)) if team.leads else None)
    assert run is not None
    with run.held() if team.leads else contextlib.nullcontext():
        checkpoints = run.checkpoints()
        team.wait()  # the leader may begin to write
        if checkpoints:
            _load(checkpoints[-1], run, state)
            if not state.is_finite():
                raise TrainingFailed(
                    f"{checkpoints[-1]}: has numbers that are not finite; delete it to go on from the one before"
                )
            _judge_alike(config, state)
            log.info("%s: going on from step %d", run.folder, state.step)
        else:
            if config.steps_before:
                state.step = config.steps_before
                log.warning(
                    "%s: the first %d of %d steps were those of %s; optimisers start anew, with a warm-up",
                    run.folder,
                    config.steps_before,
                    config.steps,
                    config.network.init_from,
                )
            _judge_alike(config, state)
        if state.parent is None:
            state.parent, state.parent_features = origin(config.network.init_from)
        if team.leads:
            run.rewind(state.step)
        yield Sitting(
            config=config,
            run=run,
            state=state,
            guards=guards,
            team=team,
            validator=validator,
            curves=open_curves(config, run, state.step) if team.leads else Curves(),
            report=report if team.leads else silent,
            stop=stop,
            fresh=not checkpoints,
        )


def _load(checkpoint: Path, run: Run, state: State) -> None:
    """Take ``state`` to ``checkpoint``. A best one that has not outlived what came after is forgotten."""
    state.load(checkpoint)
    if state.best_step and not run.checkpoint(state.best_step).exists():
        log.warning(
            "%s: the best checkpoint (step %d) is missing; the next best will replace it", run.folder, state.best_step
        )
        state.best_step, state.best = 0, None


def _judge_alike(config: TrainConfig, state: State) -> None:
    """Forget the best checkpoint where it was found by another figure, or on other pictures."""
    section = config.validation
    if section.folder is None:
        return
    judged_by = f"{section.best} of {section.max_pictures} pictures of {section.folder.resolve()}"
    if section.low_folder is not None or section.inputs != "bicubic":
        judged_by += f" {inputs_of(section, config.data.degradation)}"
    if state.judged_by and state.judged_by != judged_by and state.best is not None:
        log.info("the best checkpoint was that by %s; a new best is sought, by %s", state.judged_by, judged_by)
        state.best_step, state.best, state.waited = 0, None, 0
    state.judged_by = judged_by


def work_through(sitting: Sitting, store: TileStore, step: Callable[[], Stepped]) -> None:
    """`work` with ``store`` filled before and closed behind it. A run that has ended already decodes nothing."""
    state, team = sitting.state, sitting.team
    try:
        if not finished(sitting.config, state):
            store.fill(state.step, sitting.stop)
            start = sitting.config.network.init_from
            if sitting.fresh and start and not is_foreign(start):
                settle_norms(state, store)
                team.copy([*state.network.state_dict().values(), *state.average.state.values()])
            work(sitting, step)
    finally:
        sitting.curves.close()
        store.close()
        if store.waited:
            log.info("steps waited %.1f s for batches; if that is much, set hardware.loaders to more", store.waited)


def finished(config: TrainConfig, state: State) -> bool:
    """Whether all steps are done, or the best figure has not become better for too long."""
    return state.step >= config.steps or _stale(config, state)


def _stale(config: TrainConfig, state: State) -> bool:
    patience = config.validation.patience
    return patience is not None and state.waited >= patience


def work(sitting: Sitting, step: Callable[[], Stepped]) -> None:
    """Call ``step``, which moves the state on by one, until training has `finished`.

    Raises `Cancelled` when the wish to stop has been answered with a checkpoint, `WentBack` when numbers were not
    finite (noticed at the next report, validation or checkpoint), `TrainingFailed` when that was so too often,
    `CannotWrite`.
    """
    state, run, team = sitting.state, sitting.run, sitting.team
    if team.leads and not run.checkpoints():
        if not state.is_finite():
            raise TrainingFailed(f"{run.folder}: weights are not finite before the first step: a bad starting point")
        state.save(run.checkpoint(state.step))  # where to go back to, until there is a better one
    try:
        _go_on(sitting, step)
    except WentBack as back:
        if team.agree(sitting.stop.is_set()):
            _stop(team, f"{back}; stopped there")
        raise


def _go_on(sitting: Sitting, step: Callable[[], Stepped]) -> None:
    """`work`, but for its beginning and its ends."""
    config, state, run, team = sitting.config, sitting.state, sitting.run, sitting.team
    validated = team.tell(sitting.validator is not None)
    first, before, began = state.step, state.seconds, time.perf_counter()
    latest, told = math.nan, began
    sitting.report(TrainStep(first, config.steps, "steps", psnr=state.psnr))
    while not finished(config, state):
        with team.alive():
            stepped = step()
        state.seconds = before + time.perf_counter() - began
        now = state.step
        if state.first_loss is None:
            _look_at_loss(sitting, stepped)
        report = now % REPORT_EVERY == 0 or now == config.steps
        validate = validated and (now % config.validation.every == 0 or now == config.steps)
        if report or validate:
            latest = _watch(sitting, stepped)
        if validate:
            _validate(sitting, latest)
        last, stop = finished(config, state), team.agree(sitting.stop.is_set())
        needed = last or stop or (validate and state.best_step == now)
        if needed or now % config.output.checkpoint_every == 0:
            _save(sitting, stepped, whatever=needed)
        # Where steps are slow, a sign of life in between; without the loss, which all processes would have to look at.
        if report or time.perf_counter() - told > SILENCE:
            told = time.perf_counter()
            said = _said(latest, state.psnr, (now - first) / (state.seconds - before))
            sitting.report(TrainStep(now, config.steps, "steps", said, loss=latest, psnr=state.psnr))
        if stop and not last:
            _stop(team, f"{run.folder}: stopped at step {now} of {config.steps}")


def _said(loss: float, psnr: float | None, speed: float) -> str:
    """What a report notes."""
    known = [] if math.isnan(loss) else [f"loss {loss:.3g}"]
    known += [] if psnr is None else [f"PSNR {psnr:.2f} dB"]
    return ", ".join([*known, f"{speed:.1f} steps/s"])


def _stop(team: Team, said: str) -> NoReturn:
    """Raise `Cancelled`. The command may have had --fresh, also where the run has been opened anew since."""
    team.part()
    raise Cancelled(f"{said}; the same command without --fresh continues from there")


def _save(sitting: Sitting, stepped: Stepped, *, whatever: bool) -> None:
    """Write a checkpoint, if training is well: a place to go back to. ``whatever``: also amid steps left out.

    A step that was left out changed nothing, so what is written then is no worse than what was there before.
    """
    state, run = sitting.state, sitting.run
    if not state.is_finite():
        _go_back(sitting, "weights are not finite")
    _look_at_loss(sitting, stepped)
    if sitting.team.leads and (whatever or not any(guard.in_a_row for guard in sitting.guards.values())):
        state.save(run.checkpoint(state.step))
        run.prune(sitting.config.output.keep, state.best_step)


def _go_back(sitting: Sitting, trouble: str) -> NoReturn:
    """Make the last good checkpoint, with lower rates, the one to go on from. Raises `WentBack` or `TrainingFailed`."""
    state, run, team, section = sitting.state, sitting.run, sitting.team, sitting.config.optimiser
    step, recoveries, checkpoints = state.step, state.recoveries, run.checkpoints()
    team.wait()
    if recoveries >= section.recoveries or not checkpoints:
        again = f", and after going back {recoveries} times it was no better" if recoveries else ""
        team.part()
        raise TrainingFailed(f"{run.folder}: at step {step} {trouble}{again}; lower the learning rate or train in fp32")
    if checkpoints[-1] == run.checkpoint(state.recovered_at) and len(checkpoints) > 1:
        checkpoints.pop().unlink(missing_ok=True)  # it was gone back to before, and nothing better came of it
    _load(checkpoints[-1], run, state)
    state.recoveries, state.recovered_at = recoveries + 1, state.step
    state.rate_scale = section.recovery_rate**state.recoveries
    if team.leads:
        state.save(checkpoints[-1])
    team.wait()
    raise WentBack(
        f"{run.folder}: at step {step} {trouble}; back to step {state.step}, "
        f"with learning rates times {state.rate_scale:g} ({state.recoveries} of {section.recoveries})"
    )


def _watch(sitting: Sitting, stepped: Stepped) -> float:
    """Draw the curves, and see whether steps had to be left out. Gives the loss."""
    step = sitting.state.step
    rate = current_rate(sitting.state.all_optimisers())
    loss, norm = sitting.team.mean(stepped.loss).item(), stepped.norm.item()
    terms = {name: value.item() for name, value in stepped.terms.items()}
    sitting.curves.add(step, {"loss": loss, "gradient norm": norm, "learning rate": rate, **terms})
    counts = [guard.counts() for guard in sitting.guards.values()]
    if since := sum(left_out for _, left_out in counts):
        # In float16 that is how the scale of the loss is found.
        level = logging.INFO if sitting.state.loss_scales else logging.WARNING
        log.log(level, "up to step %d: %d steps were left out, their gradient was not finite", step, since)
    in_a_row = max(bad for bad, _ in counts)
    if in_a_row >= MAX_BAD_STEPS:
        _go_back(sitting, f"the gradient was not finite for {in_a_row} steps in a row")
    _look_at_loss(sitting, stepped)
    return loss


def _look_at_loss(sitting: Sitting, stepped: Stepped) -> None:
    """Remember the loss of pixels, which no game between networks moves, and go back where it has blown up."""
    state = sitting.state
    if not stepped.falls:
        return
    loss = sitting.team.mean(stepped.terms.get("loss/pixel", stepped.loss)).item()
    if not math.isfinite(loss):
        return  # its step was left out
    state.first_loss, state.last_loss = loss if state.first_loss is None else state.first_loss, loss
    if (times := growth(state)) > BLOWN_UP:
        _go_back(sitting, f"the loss was {times:.0f} times that of the first step")


def growth(state: State) -> float:
    """How many times the loss of the first step the last one is; NaN where they are not known."""
    if state.first_loss is None or state.last_loss is None:
        return math.nan
    return state.last_loss / max(abs(state.first_loss), LEAST_LOSS)


def _validate(sitting: Sitting, loss: float) -> None:
    """Score the averaged weights and remember the best."""
    state, team = sitting.state, sitting.team
    device: torch.device = next(state.network.parameters()).device
    network = averaged(state)
    figures = team.tell(sitting.validator.score(network, device) if sitting.validator else {})
    if any(map(math.isnan, figures.values())):
        _go_back(sitting, "figures of the validation were not finite")
    state.psnr = figures.get("psnr")
    name = sitting.config.validation.best
    objection = team.tell(sitting.validator.objection(figures) if sitting.validator else "")
    if objection:
        log.warning("step %d: %s; it cannot be the best", state.step, objection)
    if not objection and better(name, figures[name], state.best):
        state.best_step, state.best, state.waited = state.step, figures[name], 0
    else:
        state.waited += 1
    if sitting.validator is None:
        return
    if count := sitting.config.output.samples:
        caption = sitting.validator.caption
        sitting.curves.show(state.step, sitting.validator.samples(network, device, count), caption)
    sitting.curves.judge(state.step, figures, loss=loss, seconds=state.seconds)
    said = ", ".join(f"{name} {value:.{max(3, _digits(name))}f}" for name, value in figures.items())
    log.info("step %d: %s", state.step, said)
    if _stale(sitting.config, state):
        log.warning(
            "training ends at step %d of %d: no better %s in %d validations; the best was %.5g, at step %d",
            state.step,
            sitting.config.steps,
            name,
            state.waited,
            state.best,
            state.best_step,
        )


def _digits(name: str) -> int:
    return FIGURES[name].digits if name in FIGURES else 3


def better(name: str, value: float, than: float | None) -> bool:
    """Whether ``value`` of the figure ``name`` is better than the best so far, if there is one.

    What no evaluation knows is a distance of a recipe's own: less is better.
    """
    if than is None:
        return True
    if name not in FIGURES:
        return value < than
    return FIGURES[name].fault(value) < FIGURES[name].fault(than)
