"""A watched folder: what is new is taken, what changes is made again, and it ends cleanly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from srgan.batch import BatchReport, FileOutcome, process_folder, run
from srgan.progress import Stop
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler


class Watched:
    """A run that watches a folder in a thread of its own."""

    def __init__(self, source: Path, target: Path) -> None:
        self.told: list[FileOutcome] = []
        self.stop = Stop()
        self.report: BatchReport | None = None
        self._thread = threading.Thread(target=self._run, args=(source, target))
        self._thread.start()

    def _run(self, source: Path, target: Path) -> None:
        self.report = process_folder(
            source,
            target,
            Upscaler(NearestSession(2)),
            watch=True,
            settle=0.05,
            each=self.told.append,
            stop=self.stop,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, self.told
            assert self._thread.is_alive()
            time.sleep(0.01)

    def end(self) -> BatchReport:
        self.stop.set()
        self._thread.join(20)
        assert self.report is not None
        return self.report


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(run, "LOOK_EVERY", 0.02)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "in/first.png")
    watching = Watched(tmp_path / "in", tmp_path / "out")
    yield watching
    watching.end()


def done(watched: Watched, name: str) -> int:
    return sum(outcome.source == name and outcome.state == "done" for outcome in watched.told)


def test_new_files_are_taken_and_changed_ones_made_again(watched: Watched, tmp_path: Path) -> None:
    watched.until(lambda: done(watched, "first.png") == 1)
    (tmp_path / "in/deep").mkdir()
    Image.new("RGB", (5, 3)).save(tmp_path / "in/deep/second.png")
    watched.until(lambda: done(watched, "deep/second.png") == 1)
    Image.new("RGB", (6, 3)).save(tmp_path / "in/first.png")
    watched.until(lambda: done(watched, "first.png") == 2)

    report = watched.end()
    assert report.ok
    assert not report.interrupted
    assert {outcome.source: outcome.reason for outcome in report.outcomes} == {
        "first.png": "made again: the input changed",
        "deep/second.png": "",
    }
    with Image.open(tmp_path / "out/first.png") as picture:
        assert picture.size == (12, 6)


def test_a_bad_file_is_told_once_and_tried_again_when_it_is_mended(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "in/bad.png").write_bytes(b"bad")
    watched.until(lambda: any(outcome.source == "bad.png" for outcome in watched.told))
    time.sleep(0.2)
    assert [outcome.state for outcome in watched.told if outcome.source == "bad.png"] == ["failed"]
    Image.new("RGB", (5, 3)).save(tmp_path / "in/bad.png")
    watched.until(lambda: done(watched, "bad.png") == 1)
    assert watched.end().ok


def test_a_file_that_still_grows_is_not_taken(watched: Watched, tmp_path: Path) -> None:
    Image.effect_noise((60, 60), 50).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    with open(tmp_path / "in/slow.png", "wb", buffering=0) as stream:
        for start in range(0, len(content), 200):
            stream.write(content[start : start + 200])
            time.sleep(0.01)
    watched.until(lambda: done(watched, "slow.png") == 1)
    assert [outcome.state for outcome in watched.told if outcome.source == "slow.png"] == ["done"]


def test_nothing_happens_twice_while_it_watches(watched: Watched, tmp_path: Path) -> None:
    watched.until(lambda: done(watched, "first.png") == 1)
    time.sleep(0.3)
    assert len(watched.told) == 1
    report = watched.end()
    assert report.count("done") == 1
    again = process_folder(tmp_path / "in", tmp_path / "out", Upscaler(NearestSession(2)))
    assert again.count("skipped") == 1
