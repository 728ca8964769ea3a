"""Results on stdout, talk on stderr."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator

import pytest

from srgan.cli import output
from srgan.cli.failures import OutputClosed
from srgan.cli.output import Progress, bytes_text, emit, emit_bytes, emit_json, say, set_verbosity, start_logging, table
from srgan.errors import CannotWrite
from srgan.progress import Step


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    log = logging.getLogger("srgan")
    before = (log.handlers[:], log.level, log.propagate)
    start_logging()
    yield
    log.handlers[:], log.propagate = before[0], before[2]
    log.setLevel(before[1])


def test_results_and_talk_go_their_own_ways(capsys: pytest.CaptureFixture[str]) -> None:
    emit("result")
    say("talk")
    assert capsys.readouterr() == ("result\n", "talk\n")


def test_quiet_silences_talk_and_warnings_but_no_result_and_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_verbosity(0, quiet=True)
    emit("result")
    say("talk")
    logging.getLogger("srgan.runtime").warning("a warning")
    logging.getLogger("srgan.runtime").error("an error")
    assert capsys.readouterr() == ("result\n", "srgan: error: an error\n")


@pytest.mark.parametrize(
    ("verbose", "shown"), [(0, ["w"]), (1, ["w", "i"]), (2, ["w", "i", "d"]), (3, ["w", "i", "d"])]
)
def test_verbosity_opens_the_log_step_by_step(
    verbose: int, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_verbosity(verbose, quiet=False)
    log = logging.getLogger("srgan.upscaler")
    log.warning("w")
    log.info("i")
    log.debug("d")
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == shown


def test_json_is_one_document_and_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"name": "Größe", "path": os.fspath("x")})
    out = capsys.readouterr().out
    assert "Größe" in out
    assert json.loads(out) == {"name": "Größe", "path": "x"}


class Stdout:
    """A stdout whose buffer takes as much of each write as ``takes`` says, or raises."""

    encoding = "utf-8"

    def __init__(self, takes: Callable[[int], int]) -> None:
        self.takes = takes
        self.taken = b""
        self.buffer = self

    def write(self, data: memoryview) -> int:
        count = self.takes(len(data))
        self.taken += bytes(data[:count])
        return count

    def flush(self) -> None:
        pass


def raising(error: OSError) -> Callable[[int], int]:
    def takes(count: int) -> int:
        raise error

    return takes


@pytest.mark.parametrize(
    ("takes", "raised", "said"),
    [
        (raising(BrokenPipeError()), OutputClosed, None),
        (raising(OSError(28, "No space left on device")), CannotWrite, "standard output: No space left on device"),
        (lambda count: 0, CannotWrite, "standard output: it takes no more data"),
    ],
)
def test_a_reader_that_has_gone_and_a_full_disk_are_told_apart(
    takes: Callable[[int], int], raised: type[Exception], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Stdout(takes))
    with pytest.raises(raised, match=said):
        emit_bytes(b"x")


def test_a_stdout_that_takes_little_at_a_time_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(lambda count: min(count, 7))
    monkeypatch.setattr(sys, "stdout", stdout)
    emit_bytes(bytes(range(100)))
    assert stdout.taken == bytes(range(100))


def test_letters_that_the_terminal_does_not_know_do_not_break_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    emit("Größe")
    assert raw.getvalue() == b"Gr\\xf6\\xdfe\n"


def test_a_table_aligns_numbers_right_and_words_left() -> None:
    text = table(("NAME", "DB"), [("a", 31.5), ("long name", None), ("b", 9.123)])
    assert text.splitlines() == ["NAME          DB", "a          31.50", "long name      -", "b           9.12"]


def test_a_table_without_rows_is_its_headings() -> None:
    assert table(("A", "B"), []) == "A  B"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (3e12, "3.0 TB")]
)
def test_bytes_are_written_for_people(count: float, text: str) -> None:
    assert bytes_text(count) == text


# ------------------------------------------------------------------------------------------------ progress


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(output.time, "monotonic", clock)
    return clock


def test_short_work_shows_no_progress(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("upscaling") as progress:
        progress(Step(1, 2))
        clock.now += 0.9
        progress(Step(2, 2))
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_progress_is_a_line_now_and_then_with_the_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("upscaling", every=10) as progress:
        for done in range(0, 101, 10):
            progress(Step(done, 100, "files", f"file {done}"))
            clock.now += 5
    assert capsys.readouterr().err.splitlines() == [
        "upscaling: 10 of 100 files, file 10, about 45 s left",
        "upscaling: 30 of 100 files, file 30, about 35 s left",
        "upscaling: 50 of 100 files, file 50, about 25 s left",
        "upscaling: 70 of 100 files, file 70, about 15 s left",
        "upscaling: 90 of 100 files, file 90, about 5 s left",
    ]


@pytest.mark.parametrize(("seconds", "said"), [(89, "89 s"), (600, "10 min"), (36_000, "10.0 h")])
def test_the_time_left_is_said_in_fitting_units(
    seconds: float, said: str, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("training", delay=0, every=0) as progress:
        progress(Step(0, 2))
        clock.now += seconds
        progress(Step(1, 2))
    assert f"about {said} left" in capsys.readouterr().err


def test_the_time_left_counts_from_where_the_work_was_taken_up(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("training", delay=0, every=0) as progress:
        progress(Step(900, 1000))
        clock.now += 10
        progress(Step(910, 1000))
    assert capsys.readouterr().err.splitlines() == [
        "training: 900 of 1000",
        "training: 910 of 1000, about 2 min left",
    ]


def test_a_part_in_another_unit_has_a_time_of_its_own(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures are prepared before steps are counted; what those took says nothing of these."""
    with Progress("training", delay=0, every=0) as progress:
        progress(Step(0, 4_000_000, "pixels"))
        clock.now += 600
        progress(Step(2_000_000, 4_000_000, "pixels"))
        clock.now += 600
        progress(Step(0, 100, "steps"))
        clock.now += 10
        progress(Step(10, 100, "steps"))
    assert capsys.readouterr().err.splitlines() == [
        "training: 0.0 of 4.0 megapixels",
        "training: 2.0 of 4.0 megapixels, about 10 min left",
        "training: 0 of 100 steps",
        "training: 10 of 100 steps, about 2 min left",
    ]


def test_quiet_work_shows_no_progress(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    set_verbosity(0, quiet=True)
    with Progress("upscaling", delay=0) as progress:
        clock.now += 60
        progress(Step(1, 2))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_is_a_bar_that_leaves_nothing_behind(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("upscaling", delay=0) as progress:
        progress(Step(1, 4, note="cat.png"))
        progress(Step(2, 4, note="[/dog].png"))
        progress(Step(1, 9, "steps"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "upscaling" in captured.err
    assert "2 of 4" in captured.err
    assert "1 of 9 steps" in captured.err
    assert "[/dog].png" in captured.err, "a file name is never markup"
