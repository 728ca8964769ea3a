"""When a file in a watched folder is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from srgan.batch.watch import Watcher
from srgan.errors import InvalidConfig


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher(clock: Clock) -> Watcher:
    return Watcher(2, clock)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    return path


def looks(watcher: Watcher, clock: Clock, file: Path, *times: float) -> list[bool]:
    taken = []
    for clock.now in times:
        taken.append(watcher.takes("a.png", file))
    return taken


def test_a_file_is_taken_once_when_it_has_come_to_rest(watcher: Watcher, clock: Clock, file: Path) -> None:
    assert looks(watcher, clock, file, 0, 1, 1.9, 2, 3, 100) == [False, False, False, True, False, False]


def test_a_file_that_grows_is_waited_for(watcher: Watcher, clock: Clock, file: Path) -> None:
    for now in range(10):
        file.write_bytes(b"1" * (now + 2))
        assert looks(watcher, clock, file, now) == [False]
    assert looks(watcher, clock, file, 10.5, 11) == [False, True]


def test_a_change_that_keeps_the_size_is_seen(watcher: Watcher, clock: Clock, file: Path) -> None:
    assert looks(watcher, clock, file, 0, 2) == [False, True]
    os.utime(file, ns=(7, 7))
    assert looks(watcher, clock, file, 3, 4, 5) == [False, False, True]


def test_a_file_that_went_away_and_came_back_is_new(watcher: Watcher, clock: Clock, file: Path) -> None:
    assert looks(watcher, clock, file, 0, 2) == [False, True]
    content, status = file.read_bytes(), file.stat()
    file.unlink()
    assert looks(watcher, clock, file, 3) == [False]
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert looks(watcher, clock, file, 4, 6) == [False, True]


def test_what_is_no_longer_listed_is_forgotten(watcher: Watcher, clock: Clock, file: Path) -> None:
    assert looks(watcher, clock, file, 0, 2) == [False, True]
    watcher.keep(["a.png", "b.png"])
    assert looks(watcher, clock, file, 9) == [False]
    watcher.keep(["b.png"])
    assert looks(watcher, clock, file, 10, 12) == [False, True]


def test_without_waiting_a_file_is_taken_at_first_sight(clock: Clock, file: Path) -> None:
    assert looks(Watcher(0, clock), clock, file, 0, 1) == [True, False]


@pytest.mark.parametrize("settle", [-1.0, float("nan")])
def test_times_that_are_none_are_refused(settle: float) -> None:
    with pytest.raises(InvalidConfig, match="settle"):
        Watcher(settle)
