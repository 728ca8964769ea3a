"""How far long work is, and whether it may go on: the one way in which every room tells it and asks it.

A function that works for long takes ``report``, which it calls with a `Step` now and then, and ``stop``, which it
asks between two parts of the work. Whoever starts the work gives both, or neither.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from srgan.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Step:
    """How far the work is."""

    done: float
    """What is done so far, 0 to ``total``. Work that was resumed does not begin at 0."""
    total: float
    """What there is to do in all; 0 while nobody knows."""
    unit: str = ""
    """What is counted, in the plural: ``pixels``, ``pictures``, ``steps``."""
    note: str = ""
    """What the work is at: the name of a file, or a figure."""
    news: str = ""
    """What is to be told once, such as how long the work will take; most steps have none."""


Report = Callable[[Step], None]
"""Is told of a `Step`: before the work, now and then, and at its end; perhaps from another thread than the caller's,
never from two at once. What it raises stops the work, and nothing unfinished is left behind."""


class Flag(Protocol):
    """Something that is set once, by anybody: a `threading.Event`, that of `multiprocessing`, ..."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...


class Stop:
    """The wish that work ends early. Any thread may set it; the work asks for it and leaves nothing half done.

    ``flag`` is what holds the wish, for instance an event that several processes share; without it one of this process.
    """

    def __init__(self, flag: Flag | None = None) -> None:
        self._flag = flag if flag is not None else threading.Event()
        self.reason = ""
        """Why, when that is known."""

    def set(self, reason: str = "") -> None:
        """Wish it. The first reason is kept."""
        if not self._flag.is_set():
            self.reason = reason
        self._flag.set()

    def is_set(self) -> bool:
        """Whether anybody wishes it."""
        return self._flag.is_set()

    def check(self) -> None:
        """Raise `Cancelled` when anybody wishes it."""
        if self._flag.is_set():
            raise Cancelled(self.reason or None)

    def wait(self, seconds: float) -> bool:
        """Wait so long, less when the wish comes; whether it is there."""
        until = time.monotonic() + seconds
        while not self._flag.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self._flag.is_set()


def silent(step: Step) -> None:
    """The `Report` for whom nobody listens to."""


def part(report: Report, before: float, own: float, total: float, *, unit: str = "", note: str = "") -> Report:
    """The report of a part of the work, which tells ``report`` how far all of it is.

    The part has the weight ``own`` of ``total``, and ``before`` of it is done already, in ``unit``. What the part
    notes is passed on, else ``note``.
    """

    def tell(step: Step) -> None:
        share = min(max(step.done / step.total, 0.0), 1.0) if step.total > 0 else 0.0
        report(Step(before + own * share, total, unit or step.unit, step.note or note, step.news))

    return tell


def stoppable(report: Report | None, stop: Stop | None) -> Report:
    """``report``, if any, that also asks ``stop``, if any: for work that reports often enough to be stopped there."""
    if stop is None:
        return report or silent

    def tell(step: Step) -> None:
        stop.check()
        if report is not None:
            report(step)

    return tell
