"""What a forked process must do anew: a fork copies the memory, but of the threads only the one that forks.

The child waits for ever where it counts on a thread that is not there, or on a lock that such a thread held. OpenMP is
the worst trap: it keeps a team of workers for each thread that has used it, and does not see that the team is gone. So
engines work in threads of ours (`Crew`), of which a child makes new ones, and each thing with locks or threads of its
own asks to be told (`tell_of_fork`).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

Made = TypeVar("Made")

ADVICE = "use multiprocessing's start method spawn (or forkserver), or open it in the new process only"


class Forked(Protocol):
    """What wants to know."""

    def after_fork(self) -> None:
        """Called in the child, in its only thread, before all else that runs there. Neither raises nor waits."""
        ...


_told: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_of_fork(thing: Forked) -> None:
    """Call ``thing.after_fork()`` in every process that is forked from now on, as long as somebody holds ``thing``."""
    _told.add(thing)


def _in_child() -> None:
    for thing in list(_told):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_in_child)


def abandon(thing: object) -> None:
    """Keep ``thing`` as long as the process lives: letting go of it would wait for threads that are not there."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def exit_without_libraries() -> None:
    """End this process, when its time comes, before its libraries tidy up: some would wait for threads that are not
    there. Python's own end is as always, and so is the exit code."""
    with contextlib.suppress(OSError, AttributeError):  # other C libraries than glibc have no on_exit
        c = ctypes.CDLL(None)
        c.on_exit(c._exit, None)
        atexit.register(c.fflush, None)


class Crew:
    """At most ``count`` threads in which an engine works; in a forked process they are new. May be used by several
    threads."""

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._name = name
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        tell_of_fork(self)

    def begin(self, work: Callable[[], Made]) -> Future[Made]:
        """Have ``work`` done."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.count, thread_name_prefix=self._name)
            return self._pool.submit(work)

    def do(self, work: Callable[[], Made]) -> Made:
        """What ``work`` gives; what it raises passes through. An interrupted caller leaves no work behind."""
        future = self.begin(work)
        try:
            return future.result()
        finally:
            wait((future,))
            del future  # it holds what was raised, which holds this frame

    def dismiss(self) -> None:
        """Let the threads go when they have done what they have begun."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown()
                self._pool = None

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._pool = None
