"""Working through the queue: the next entry that waits, gone on with exactly, until it is done, flat or stopped."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from scripts.trainings.curve import Curve
from scripts.trainings.diary import Diary
from scripts.trainings.entries import Entry, Queue, QueueFile
from scripts.trainings.place import Place

from srgan.errors import Cancelled, InvalidConfig, SrganError, TrainingFailed
from srgan.models import Bundle
from srgan.progress import Report, Step, Stop, silent
from srgan.training.config import TrainConfig
from srgan.training.job import TrainJob, differences
from srgan.training.runs import Run, config_of, finished_run, versions

CHOSEN_BY_THE_RUN = {"steps_before", "network.init_from"}
"""What a run that began from a bundle, since its checkpoints were lost, has of its own."""

log = logging.getLogger("srgan")


@dataclass(frozen=True, kw_only=True)
class Work:
    """All that working through a queue needs."""

    queue: QueueFile
    place: Place
    shipped: Path
    """The folder of the shipped bundles."""
    diary: Diary
    train: Callable[..., Bundle]
    """`srgan.training.train`."""
    report: Report = silent
    threads: int = 1
    today: Callable[[], date] = date.today

    def through(self, stop: Stop) -> list[str]:
        """Train entry after entry, each as long as it waits; gives those that cannot be trained here, with the reason.

        Raises `Cancelled` when ``stop`` was set, after a checkpoint, and `CannotWrite` when another one works here.
        """
        passed: dict[str, str] = {}
        with self.place.working() as tell:
            while entry := _next(self.queue.read(), passed):
                stop.check()
                tell(entry.name)
                log.info("queue: %s", entry.name)
                try:
                    self._go_on_with(entry, stop)
                except TrainingFailed as error:
                    self.queue.note(entry.name, state="failed", result=str(error))
                    passed[entry.name] = str(error)
                except Cancelled:
                    raise
                except SrganError as error:  # what may be otherwise on another machine, or later
                    passed[entry.name] = str(error)
                if entry.name in passed:
                    log.error("%s: passed over: %s", entry.name, passed[entry.name])
        return [f"{name}: {why}" for name, why in passed.items()]

    def _go_on_with(self, entry: Entry, stop: Stop) -> None:
        config = self._placed(
            entry, self.queue.config(entry, output__runs=self.place.runs, hardware__threads=self.threads)
        )
        if finished_run(config):  # by a process that was killed before it could say so
            self._note(entry, config, "done")
            return
        either = Stop(_Either(stop))
        own = math.inf if entry.trial else entry.flat_after
        flat_after = own or self.queue.read().flat_after
        watch = Watch(flat_after, entry.hours, config, self.report, either)
        state = "waiting"
        try:
            self.train(TrainJob(config=config), report=watch, stop=either)
            state = "done"
        except Cancelled:
            if stop.is_set() or not watch.ending:
                raise
            state = watch.ending
            log.warning("%s: %s", entry.name, either.reason)
        finally:
            self._note(entry, config, state)

    def _placed(self, entry: Entry, config: TrainConfig) -> TrainConfig:
        """The training as the run that there is has it, or as the shipped bundle lets it go on without one."""
        there = [(run, config_of(run)) for run in versions(config.output.runs / config.output.name)]
        for _, begun in there:
            if begun is not None and set(differences(begun, config)) <= CHOSEN_BY_THE_RUN:
                return _from_model(config, begun.steps_before, begun.network.init_from)
        for run, begun in there:
            if run.checkpoints() and not run.bundle.exists():
                others = ", ".join(differences(begun, config)) if begun else "its config.json cannot be read"
                raise InvalidConfig(
                    f"{run.folder} is unfinished and has different settings ({others}): put these back, or move the "
                    "folder away to start afresh"
                )
        if entry.shipped and (bundle := self._shipped(entry)) and entry.shipped < config.steps:
            log.warning(
                "%s: there are no checkpoints here, so it goes on from the committed weights, those of step %d of %d; "
                "the schedule keeps its place, the optimisers begin anew",
                entry.name, entry.shipped, config.steps,
            )  # fmt: skip
            return _from_model(config, entry.shipped, str(bundle.path))
        if entry.step:
            log.warning(
                "%s: was at step %d, but its checkpoints are not here and none of its weights are committed: it "
                "begins anew", entry.name, entry.step,
            )  # fmt: skip
        return config

    def _shipped(self, entry: Entry) -> Bundle | None:
        """The shipped bundle, if it is still what `Entry.shipped` says."""
        folder = self.shipped / entry.becomes
        bundle = Bundle.open(folder) if folder.is_dir() else None
        return bundle if bundle and bundle.info.provenance.steps == entry.shipped else None

    def _note(self, entry: Entry, config: TrainConfig, state: str) -> None:
        """Write down how far it is, in the queue and in the diary."""
        run = _run_of(config)
        if run is None:
            return
        curve = Curve.of(run.folder, config.validation.best, config.steps_before)
        steps = [int(path.stem.removeprefix("step-")) for path in run.checkpoints()]
        self.queue.note(entry.name, state=state, step=max([*steps, config.steps_before]), result=curve.said())
        self.diary.tell(entry.becomes, self.today(), curve, config.steps)


def _next(queue: Queue, passed: dict[str, str]) -> Entry | None:
    return next((e for e in queue.entry if e.state == "waiting" and e.name not in passed), None)


def _run_of(config: TrainConfig) -> Run | None:
    """The newest run that trains just this."""
    for run in versions(config.output.runs / config.output.name):
        begun = config_of(run)
        if begun is not None and not differences(begun, config):
            return run
    return None


def _from_model(config: TrainConfig, before: int, model: str) -> TrainConfig:
    network = config.network.model_copy(update={"init_from": model})
    return config.model_copy(update={"steps_before": before, "network": network})


class _Either:
    """A flag of its own that another wish counts for as well."""

    def __init__(self, other: Stop) -> None:
        self._own, self._other = threading.Event(), other

    def set(self) -> None:
        self._own.set()

    def is_set(self) -> bool:
        return self._own.is_set() or self._other.is_set()


class Watch:
    """A `Report` that sets ``stop`` when the run is flat or its hours are over: looks at each new validation."""

    def __init__(self, flat_after: float, hours: float | None, config: TrainConfig, report: Report, stop: Stop) -> None:
        self._flat_after, self._hours = flat_after * 3600, None if hours is None else hours * 3600
        self._config, self._report, self._stop = config, report, stop
        self._seen = -1
        self.ending = ""
        """The state that it ended the run for."""

    def __call__(self, step: Step) -> None:
        self._report(step)
        run = _run_of(self._config)
        if self.ending or run is None:
            return
        path = run.folder / "curve.csv"
        if not path.exists() or (seen := path.stat().st_mtime_ns) == self._seen:
            return
        self._seen = seen
        curve = Curve.of(run.folder, self._config.validation.best, self._config.steps_before)
        if self._hours is not None and curve.seconds() >= self._hours:
            self._end("done", f"its {self._hours / 3600:g} hours are over at step {curve.step}")
        elif curve.flat_for() >= self._flat_after:
            self._end("flat", f"no better {curve.figure} in {curve.flat_for() / 3600:.1f} hours; {curve.said()}")

    def _end(self, state: str, why: str) -> None:
        self.ending = state
        self._stop.set(why)
