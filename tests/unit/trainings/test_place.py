"""Who works in the folder of trainings, and how it is paused and ended: with real processes that only wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripts.trainings.place import Place, is_still, paused

from srgan.errors import CannotWrite

pytestmark = pytest.mark.skipif(os.name == "nt", reason="locks and signals of POSIX")

ROOT = Path(__file__).resolve().parents[3]
WORKER = textwrap.dedent("""
    import subprocess, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from scripts.trainings.place import Place
    with Place(Path(sys.argv[1])).working() as tell:
        tell("first")
        child = subprocess.Popen(["sleep", "60"])
        try:
            sys.stdout.write(f"{child.pid}\\n")
            sys.stdout.flush()
            time.sleep(60)
        finally:
            child.kill()
""")
Worker = tuple[int, int]


@pytest.fixture
def worker(place: Place) -> Iterator[Worker]:
    """A process that works in the folder: its number, and that of one that it has started."""
    command = [sys.executable, "-c", "import signal; signal.signal(15, lambda *_: exit(3))\n" + WORKER]
    process = subprocess.Popen([*command, str(place.folder), str(ROOT)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    yield process.pid, child
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdout.close()


def comes(true: Callable[[], bool]) -> bool:
    """Whether it comes within some seconds: a signal takes its time."""
    until = time.monotonic() + 20
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def test_one_works_in_a_folder_at_a_time(place: Place, worker: Worker) -> None:
    found = place.worker()
    assert found is not None
    assert (found.pid, found.entry) == (worker[0], "first")
    with pytest.raises(CannotWrite, match="another process works through a queue here"), place.working():
        pass
    assert (found := place.worker()) is not None  # what the refused one did has changed nothing
    assert found.entry == "first"


def test_a_killed_one_is_none(place: Place, worker: Worker) -> None:
    os.kill(worker[0], signal.SIGKILL)

    assert comes(lambda: place.worker() is None)
    assert not place.pause()
    assert (place.folder / "queue.lock").exists()  # with its number still in it, which proves nothing
    with place.working() as tell:
        tell("second")


def test_pausing_stops_it_and_what_it_has_started(place: Place, worker: Worker) -> None:
    assert place.pause()
    assert comes(lambda: all(map(is_still, worker)))
    assert not place.pause()  # it is already
    assert place.resume()
    assert comes(lambda: not any(map(is_still, worker)))
    assert not place.resume()


def test_a_block_is_undisturbed_and_then_it_goes_on(place: Place, worker: Worker) -> None:
    def measure() -> None:
        with paused(place) as done:
            assert done
            assert comes(lambda: is_still(worker[0]))
            with paused(place) as again:
                assert not again
            assert is_still(worker[0])  # the inner block had not paused it
            raise KeyError

    with pytest.raises(KeyError):
        measure()
    assert comes(lambda: not is_still(worker[0]))


def test_stopping_waits_for_the_end_also_of_a_paused_one(place: Place, worker: Worker) -> None:
    place.pause()
    assert comes(lambda: is_still(worker[0]))

    assert place.stop(patience=20)
    assert place.worker() is None
    assert not place.stop()


def test_one_that_does_not_end_is_told_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.kill", lambda *_: None)
    with place.working(), pytest.raises(CannotWrite, match=r"was asked to end, and has not within 0 s"):
        place.stop(patience=0.3)


def test_without_a_folder_there_is_nobody(place: Place) -> None:
    assert place.worker() is None
    assert not any((place.pause(), place.resume(), place.stop()))
    with paused(place) as done:
        assert not done
    assert not place.folder.exists()


def test_the_usual_folder_is_among_the_users_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Place.usual().folder == tmp_path / "srgan" / "training"
    monkeypatch.setenv("SRGAN_TRAINING", str(tmp_path / "else"))
    assert Place.usual().runs == tmp_path / "else" / "runs"


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match=r"queue\.lock"), Place(tmp_path / "file").working():
        pass


def test_pictures_are_where_the_variable_says_and_beside_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    monkeypatch.delenv("SRGAN_DATA", raising=False)
    assert place.data() == ()

    monkeypatch.setenv("SRGAN_DATA", os.pathsep.join(["/one", "/two"]))
    (tmp_path / "data").mkdir()
    assert place.data() == (Path("/one"), Path("/two"), tmp_path / "data")
