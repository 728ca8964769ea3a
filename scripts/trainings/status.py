"""How far the queue is, as a table."""

from __future__ import annotations

from datetime import datetime, timedelta

from scripts.trainings.curve import Curve
from scripts.trainings.entries import Entry, QueueFile
from scripts.trainings.place import Place, Worker, is_still

from srgan.cli.output import table
from srgan.errors import InvalidConfig
from srgan.training.runs import config_of, run_at

HEADINGS = ("ENTRY", "STATE", "STEP", "OF", "BEST SO FAR", "STEPS/S", "END")


def status(queue: QueueFile, place: Place, now: datetime) -> str:
    """A line for each entry: its state, how far it is, its best figure, its speed and when it will end at that."""
    worker = place.worker()
    rows = [_row(entry, queue, place, worker, now) for entry in queue.read().entry]
    return table(HEADINGS, rows) if rows else f"{queue.path}: has no entries"


def _row(entry: Entry, queue: QueueFile, place: Place, worker: Worker | None, now: datetime) -> tuple[object, ...]:
    active = worker if worker and worker.entry == entry.name else None
    state: str = entry.state if active is None else "paused" if is_still(active.pid) else "running"
    config = queue.config(entry)
    try:
        run = run_at(place.runs / entry.becomes)
    except InvalidConfig:
        return (entry.name, state, entry.step, config.steps, entry.result or None, None, None)
    begun = config_of(run) or config
    curve = Curve.of(run.folder, begun.validation.best, begun.steps_before)
    steps = [int(path.stem.removeprefix("step-")) for path in run.checkpoints()]
    step, speed = max([curve.step, *steps]), curve.speed()
    # Rounded to what a person wants of it; whoever is paused ends so much later.
    end = now + timedelta(seconds=(config.steps - step) / speed) if speed and active else None
    if state == "waiting" and step:
        state = "begun"
    return (entry.name, state, step, config.steps, curve.said() or None, speed, end and f"{end:%Y-%m-%d %H:%M}")
