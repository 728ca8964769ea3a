"""How far work is, and whether it may go on."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from srgan.errors import Cancelled
from srgan.progress import Report, Step, Stop, part, silent, stoppable


@pytest.fixture
def told() -> list[Step]:
    return []


def test_a_part_of_the_work_tells_how_far_all_of_it_is(told: list[Step]) -> None:
    second: Report = part(told.append, 100, 50, 200, unit="pixels", note="page 2")

    for step in (Step(0, 8), Step(2, 8, "tiles", "tile 2"), Step(8, 8)):
        second(step)

    assert told == [
        Step(100, 200, "pixels", "page 2"),
        Step(112.5, 200, "pixels", "tile 2"),
        Step(150, 200, "pixels", "page 2"),
    ]


def test_a_part_keeps_its_own_unit_when_the_whole_has_none(told: list[Step]) -> None:
    part(told.append, 0, 1, 2)(Step(1, 2, "frames"))

    assert told == [Step(0.5, 2, "frames")]


@pytest.mark.parametrize(("done", "total", "share"), [(3, 2, 1), (-1, 2, 0), (5, 0, 0)])
def test_a_part_never_leaves_its_place(done: float, total: float, share: float, told: list[Step]) -> None:
    part(told.append, 10, 4, 20)(Step(done, total))

    assert told[0].done == 10 + 4 * share


def test_parts_of_parts(told: list[Step]) -> None:
    outer = part(told.append, 1, 1, 4, unit="pictures")
    inner = part(outer, 3, 1, 4)

    inner(Step(1, 2))

    assert told == [Step(1 + 3.5 / 4, 4, "pictures")]


def test_nobody_wishes_to_stop_at_first() -> None:
    stop = Stop()

    stop.check()
    assert not stop.is_set()


def test_the_wish_to_stop_is_an_error_in_the_work_and_says_why() -> None:
    stop = Stop()
    stop.set("the disk is full")
    stop.set("something else")

    with pytest.raises(Cancelled, match="the disk is full"):
        stop.check()


def test_without_a_reason_the_error_says_what_it_means() -> None:
    stop = Stop()
    stop.set()

    with pytest.raises(Cancelled, match="stopped on request"):
        stop.check()


def test_another_thread_may_wish_it_and_waiting_ends_then() -> None:
    stop = Stop()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()

    assert stop.wait(30)
    assert time.monotonic() - began < 20


def test_waiting_ends_with_its_time() -> None:
    assert not Stop().wait(0.01)


def test_processes_may_share_the_wish() -> None:
    shared = multiprocessing.get_context("spawn").Event()
    here, there = Stop(shared), Stop(shared)

    there.set()

    assert here.is_set()


def test_a_report_can_be_the_place_where_work_stops(told: list[Step]) -> None:
    stop = Stop()
    report = stoppable(told.append, stop)
    report(Step(1, 2))
    stop.set()

    with pytest.raises(Cancelled):
        report(Step(2, 2))
    assert told == [Step(1, 2)]


def test_without_a_wish_a_report_is_left_as_it_is(told: list[Step]) -> None:
    report = told.append
    assert stoppable(report, None) == report
    assert stoppable(None, None) is silent
    stoppable(None, Stop())(Step(0, 1))
