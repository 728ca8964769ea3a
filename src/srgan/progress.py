"""Progress reports and stopping, the same for all long-running functions.

A long-running function takes ``report``, which it calls with a `Step` now and then, and ``stop``, which it checks
between parts of the work. Both are optional.
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
    """Progress of a task."""

    done: float
    """Amount done so far, 0 to ``total``. Resumed work does not start at 0."""
    total: float
    """Total amount; 0 while unknown."""
    unit: str = ""
    """Unit, in the plural: ``pixels``, ``pictures``, ``steps``."""
    note: str = ""
    """Current detail: the name of a file, or a metric."""
    news: str = ""
    """A message to show once, such as the expected duration; usually empty."""


Report = Callable[[Step], None]
"""Called with a `Step` before the work, now and then, and at its end; possibly from another thread than the caller's,
never from two at once. An exception from it stops the work, and nothing unfinished is left behind."""


class Flag(Protocol):
    """An event: `threading.Event`, `multiprocessing.Event`, ..."""

    def set(self) -> None: ...
    def is_set(self) -> bool: ...


class Stop:
    """A request to end work early. Any thread may set it; the work checks it and leaves nothing half done.

    ``flag`` holds the request, for instance an event shared by several processes; by default one of this process.
    """

    def __init__(self, flag: Flag | None = None) -> None:
        self._flag = flag if flag is not None else threading.Event()
        self.reason = ""
        """The reason, if given."""

    def set(self, reason: str = "") -> None:
        """Request the stop. The first reason is kept."""
        if not self._flag.is_set():
            self.reason = reason
        self._flag.set()

    def is_set(self) -> bool:
        """Whether a stop was requested."""
        return self._flag.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if a stop was requested."""
        if self._flag.is_set():
            raise Cancelled(self.reason or None)

    def wait(self, seconds: float) -> bool:
        """Wait, at most until a stop is requested; returns whether it was."""
        until = time.monotonic() + seconds
        while not self._flag.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
        return self._flag.is_set()


def silent(step: Step) -> None:
    """A `Report` that does nothing."""


def part(report: Report, before: float, own: float, total: float, *, unit: str = "", note: str = "") -> Report:
    """A report for a part of the work, which passes the progress of the whole on to ``report``.

    The part has the weight ``own`` of ``total``, of which ``before`` is already done, in ``unit``. The part's note is
    passed on, else ``note``.
    """

    def tell(step: Step) -> None:
        share = min(max(step.done / step.total, 0.0), 1.0) if step.total > 0 else 0.0
        report(Step(before + own * share, total, unit or step.unit, step.note or note, step.news))

    return tell


def stoppable(report: Report | None, stop: Stop | None) -> Report:
    """``report`` that also checks ``stop``, both optional: for work that reports often enough to be stopped there."""
    if stop is None:
        return report or silent

    def tell(step: Step) -> None:
        stop.check()
        if report is not None:
            report(step)

    return tell
