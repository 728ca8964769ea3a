"""`scripts/train_queue`: what its commands show."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from scripts.trainings import commandline, status
from scripts.trainings.entries import QueueFile
from scripts.trainings.place import Place, Worker

from srgan.errors import TrainingFailed

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(queue: QueueFile, place: Place, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``command("status")``: its exit code, what it printed, and what it said."""
    monkeypatch.setattr("os.nice", lambda _: 0)  # for good, also for the tests that come after
    for name in commandline.LIBRARIES:
        monkeypatch.setenv(name, "1")
    folders = ("--queue", queue.path, "--place", place.folder, "--log", tmp_path / "log.md", "--shipped", tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = commandline.main([str(word) for word in (*folders, *words)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def begun(queue: QueueFile, place: Place) -> Path:
    """A run of the entry first, at step 300 of 1000."""
    folder = place.runs / "first-x4" / "001"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000300.safetensors").touch()
    (folder / "config.json").write_text(queue.config(queue.read().entry[0]).model_dump_json())
    rows = [f"{step},{step * 2},0.1,{30 + step / 1000},0.8" for step in (100, 200, 300)]
    (folder / "curve.csv").write_text("\n".join(["step,seconds,loss,psnr,ssim", *rows, ""]))
    return folder


def test_status_is_a_table_of_all_entries(
    command: Command, begun: Path, queue: QueueFile, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = command("status")
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["ENTRY", "STATE", "STEP", "OF", "BEST", "SO", "FAR", "STEPS/S", "END"],
        ["first", "begun", "300", "1000", "psnr", "30.300", "at", "step", "300", "0.5", "-"],
        ["second", "waiting", "0", "500", "-", "-", "-"],
    ]
    monkeypatch.setattr(Place, "worker", lambda _: Worker(1, "first"))
    for still, state in ((False, "running"), (True, "paused")):
        monkeypatch.setattr(status, "is_still", lambda _, still=still: still)
        line = status.status(queue, place, datetime(2026, 11, 30, 12, 0)).splitlines()[1]
        assert line.split()[1] == state
        assert line.endswith("0.5  2026-11-30 12:23")


def test_status_of_what_ran_elsewhere_is_what_the_queue_says(command: Command, queue: QueueFile) -> None:
    queue.note("first", state="flat", step=700, result="psnr 31.0 at step 600")

    line = command("status")[1].splitlines()[1]
    assert line.split()[:9] == [
        "first",
        "flat",
        "700",
        "1000",
        "psnr",
        "31.0",
        "at",
        "step",
        "600",
    ]
    queue.path.write_text("")
    assert "has no entries" in command("status")[1]


@pytest.mark.parametrize(
    ("word", "said"),
    [("pause", "no training moves"), ("resume", "no training is paused"), ("stop", "no training runs")],
)
def test_where_nothing_runs_they_say_so(word: str, said: str, command: Command) -> None:
    code, out, _ = command(word)

    assert code == 0
    assert out.startswith(said)


def test_quietly_gives_the_exit_code_of_its_command(command: Command) -> None:
    assert command("quietly", sys.executable, "-c", "raise SystemExit(7)")[0] == 7


def test_run_trains_and_says_what_it_passed_over(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.trainings.work import Work

    seen: list[Work] = []
    passed: list[str] = []

    def through(work: Work, stop: Any) -> list[str]:
        seen.append(work)
        return passed

    monkeypatch.setattr(Work, "through", through)
    code, _, err = command("run", "--threads", "2")
    assert (code, seen[0].threads) == (0, 2)
    assert "nothing is left to train" in err
    passed.append("first: no pictures")
    assert command("run")[0] == 1


def test_harvest_takes_what_has_runs_and_goes_on_after_an_error(
    command: Command, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(run: Path, target: Path, *, best: bool) -> None:
        raise TrainingFailed(f"{run.name} cannot be read")

    monkeypatch.setattr("scripts.trainings.harvest.export_checkpoint", export)
    code, _, err = command("harvest")
    assert (code, err) == (1, "srgan: error: first: 001 cannot be read\n")
    code, _, err = command("harvest", "second", "first")
    assert code == 1
    assert [line.split(": ")[2] for line in err.splitlines()] == ["second", "first"]


def test_harvest_without_runs_says_so(command: Command) -> None:
    code, out, _ = command("harvest")

    assert code == 0
    assert out.startswith("there are no runs of this queue in ")


def test_mistakes_have_the_exit_codes_of_srgan(command: Command, queue: QueueFile) -> None:
    queue.path.write_text(json.dumps("no queue"))
    code, _, err = command("status")

    assert code == 2
    assert "srgan: error: " in err
