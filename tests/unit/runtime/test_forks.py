"""Threads and locks in a forked process. Every child here is a real one, and has ten seconds."""

from __future__ import annotations

import contextlib
import gc
import os
import runpy
import threading
import time
import weakref
from collections.abc import Callable

import pytest

from srgan.runtime import forks
from srgan.runtime.forks import Crew, abandon, tell_of_fork

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
in_a_process = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def in_child(work: Callable[[], bool], seconds: float = 10) -> bool:
    """What ``work`` gives in a forked process; False when it raises, `TimeoutError` when it waits."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        gone, status = os.waitpid(child, os.WNOHANG)
        if gone:
            return status == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise TimeoutError


def test_a_crew_works_in_its_own_threads_and_no_more_of_them_than_it_may() -> None:
    crew = Crew(2, "ours")
    names, most, now = set(), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
            names.add(threading.current_thread().name)
        time.sleep(0.01)
        with lock:
            now -= 1

    for future in [crew.begin(work) for _ in range(9)]:
        future.result()

    assert most == 2
    assert {name.rpartition("_")[0] for name in names} == {"ours"}


def test_what_is_raised_passes_through_and_holds_nothing() -> None:
    class Large:
        pass

    crew = Crew(1, "ours")
    held: list[weakref.ref[Large]] = []

    def work() -> None:
        large = Large()
        held.append(weakref.ref(large))
        raise ValueError("no")

    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            crew.do(work)
        assert held[0]() is None, "only the garbage collection would free it"
    finally:
        gc.enable()


def test_an_interrupted_caller_leaves_no_work_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import Future

    ended = threading.Event()
    monkeypatch.setattr(Future, "result", lambda self, timeout=None: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        Crew(1, "ours").do(lambda: (time.sleep(0.05), ended.set()))

    assert ended.is_set()


def test_a_dismissed_crew_ends_its_threads_and_may_begin_again() -> None:
    crew = Crew(2, "dismissed")
    crew.do(lambda: None)
    crew.dismiss()
    crew.dismiss()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("dismissed")]
    assert crew.do(lambda: 3) == 3


@forking
@in_a_process
def test_a_crew_has_new_threads_in_a_child() -> None:
    crew = Crew(1, "ours")
    assert crew.do(lambda: 1) == 1

    assert in_child(lambda: crew.do(lambda: 2) == 2)
    assert crew.do(lambda: 3) == 3, "the parent's threads are as they were"


@forking
@in_a_process
def test_a_crew_that_is_at_work_and_locked_does_not_hold_up_a_child() -> None:
    crew = Crew(1, "ours")
    go = threading.Event()
    slow = crew.begin(lambda: go.wait(20))
    with crew._lock:
        assert in_child(lambda: crew.do(lambda: 2) == 2)
    go.set()
    assert slow.result()


@forking
@in_a_process
def test_who_asks_is_told_in_the_child_alone_and_not_kept_alive_for_it() -> None:
    class Asking:
        told = 0

        def after_fork(self) -> None:
            self.told += 1

    asking, gone = Asking(), Asking()
    tell_of_fork(asking)
    tell_of_fork(gone)
    reference = weakref.ref(gone)
    del gone
    gc.collect()

    assert reference() is None
    assert in_child(lambda: asking.told == 1)
    assert asking.told == 0


def test_what_is_abandoned_is_never_freed() -> None:
    class Net:
        pass

    net = Net()
    reference = weakref.ref(net)
    abandon(net)
    del net
    gc.collect()

    assert reference() is not None


def test_a_system_without_fork_needs_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    again = runpy.run_path(forks.__file__)

    assert again["Crew"](1, "ours").do(lambda: 1) == 1
