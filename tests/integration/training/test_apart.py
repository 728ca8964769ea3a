"""A training in a process of its own: what crosses the border, and what its death is."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import Cancelled, MissingDependency, TrainingFailed  # noqa: E402 (torch first)
from srgan.progress import Step, Stop  # noqa: E402
from srgan.training import RECIPES, TrainConfig, TrainJob, TrainStep, train_apart  # noqa: E402

Config = Callable[..., TrainConfig]
posix = pytest.mark.skipif(os.name == "nt", reason="no such signals here")

RECIPE = '''
import logging, os, signal, sys, threading, time
from pathlib import Path
from pydantic import Field
from srgan.errors import Cancelled, InvalidDataset, MissingDependency
from srgan.models import ModelInfo, write_bundle
from srgan.training import Recipe, TrainConfig, TrainStep

class Config(TrainConfig):
    act: str = Field(default="finish", description="What happens after the first step.")

class Odd(Exception):
    """Cannot be passed on."""
    def __init__(self, one, two):
        super().__init__(one)

RECIPE = Recipe(Config, "bench_of_tests:work", together=False)

def work(config, *, resume, report, stop):
    log = logging.getLogger("srgan")
    folder = config.output.runs
    folder.mkdir(exist_ok=True)
    (folder / "pid").write_text(str(os.getpid()))
    log.info("100%% of %s", "it")
    log.debug("too quiet")
    report(TrainStep(1, 3, "steps", "note", loss=0.5))
    match config.act:
        case "wait":
            while not stop.is_set():
                time.sleep(0.01)
            (folder / "checkpoint").write_text(stop.reason)
            raise Cancelled("stopped at step 1")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "memory":
            raise MemoryError
        case "allocator":
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried")
        case "deliberate":
            raise MissingDependency("foo", "bar")
        case "bug":
            raise ZeroDivisionError("a bug")
        case "odd":
            raise Odd("one", "two")
    return write_bundle(folder / "bundle", ModelInfo(name="made", network="fast", scale=4, radius=1), {"model.onnx": b"x"})
'''  # noqa: E501


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package with the recipe `bench`, which other processes find too."""
    home = tmp_path / "site"
    (home / "bench_of_tests-1.dist-info").mkdir(parents=True)
    (home / "bench_of_tests-1.dist-info" / "METADATA").write_text("Name: bench-of-tests\nVersion: 1\n")
    (home / "bench_of_tests-1.dist-info" / "entry_points.txt").write_text(
        "[srgan.recipes]\nbench = bench_of_tests:RECIPE\n"
    )
    (home / "bench_of_tests.py").write_text(RECIPE)
    monkeypatch.syspath_prepend(home)
    RECIPES.__dict__.pop("targets", None)
    yield
    RECIPES.__dict__.pop("targets", None)
    sys.modules.pop("bench_of_tests", None)


@pytest.fixture
def make(bench: None, make_config: Config) -> Config:
    return lambda act="finish", **changes: make_config(recipe="bench", act=act, **changes)


def running(pid: int) -> bool:
    """Whether there is such a process, which nobody has to collect any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_reports_log_and_bundle_come_back(make: Config, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    heard: list[Step] = []
    caplog.set_level(logging.INFO, "srgan")
    job = TrainJob(config=make(), output=tmp_path / "copy.zip")
    bundle = train_apart(job, report=heard.append)

    assert heard == [TrainStep(1, 3, "steps", "note", loss=0.5)]
    assert bundle.info.name == "made"
    assert bundle.path == tmp_path / "copy.zip"
    assert caplog.messages == ["100% of it"]
    pid = int((job.config.output.runs / "pid").read_text())
    assert pid != os.getpid()
    assert not running(pid)


def test_the_wish_to_stop_crosses_with_its_reason(make: Config) -> None:
    config, stop = make("wait"), Stop()
    with pytest.raises(Cancelled, match="stopped at step 1"):
        train_apart(config, report=lambda _: stop.set("enough"), stop=stop)
    assert (config.output.runs / "checkpoint").read_text() == "enough"


@posix
def test_a_killed_process_is_an_error_that_says_so(make: Config) -> None:
    with pytest.raises(TrainingFailed, match=r"ended by SIGKILL, as the system does when memory runs out.*goes on"):
        train_apart(make("kill"))


@pytest.mark.parametrize(
    ("act", "kind", "said"),
    [
        ("exit", TrainingFailed, "has ended with the exit code 3"),
        ("memory", TrainingFailed, r"memory ran out \(MemoryError\); a smaller data\.batch"),
        ("allocator", TrainingFailed, "memory ran out .*you tried"),
        ("deliberate", MissingDependency, r"pip install 'srgan\[bar\]'"),
        ("bug", ZeroDivisionError, "a bug"),
        ("odd", TrainingFailed, "Odd: one"),
    ],
)
def test_what_ends_it_is_raised_here(act: str, kind: type[Exception], said: str, make: Config) -> None:
    with pytest.raises(kind, match=said) as caught:
        train_apart(make(act))
    if act == "bug":
        assert "in work" in caught.value.__notes__[0], "where it was raised"


def test_what_the_report_raises_ends_it_with_a_checkpoint(make: Config) -> None:
    config = make("wait")
    with pytest.raises(ZeroDivisionError):
        train_apart(config, report=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    assert (config.output.runs / "checkpoint").exists()
    assert not running(int((config.output.runs / "pid").read_text()))


PARENT = """
import sys
from srgan.training import TrainConfig, train_apart

def work():
    config = TrainConfig.model_validate_json(open(sys.argv[1]).read())
    train_apart(config, report=lambda step: print(step.done, flush=True))

{start}
"""


def parent(config: TrainConfig, tmp_path: Path, start: str, *, script: bool) -> subprocess.Popen[str]:
    """A program that trains ``config`` apart, as a script or as words after -c."""
    (tmp_path / "config.json").write_text(config.model_dump_json())
    program = PARENT.format(start=start)
    (tmp_path / "script.py").write_text(program)
    words = [str(tmp_path / "script.py")] if script else ["-c", program]
    home = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, *words, str(tmp_path / "config.json")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": home},
        start_new_session=os.name != "nt",
    )  # fmt: skip


@posix
def test_it_ends_with_a_checkpoint_when_its_parent_dies(make: Config, tmp_path: Path) -> None:
    config = make("wait")
    with parent(config, tmp_path, "work()", script=False) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        process.kill()
    pid, deadline = int((config.output.runs / "pid").read_text()), time.monotonic() + 60
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not running(pid)
    assert "has ended" in (config.output.runs / "checkpoint").read_text()


@posix
def test_ctrl_c_in_the_terminal_ends_both_at_once_where_nobody_answers_it(make: Config, tmp_path: Path) -> None:
    """All processes of a terminal get it; the child leaves the answer to its parent, which here has none."""
    config = make("wait")
    with parent(config, tmp_path, "work()", script=False) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)

    assert err.count("Traceback") == 1
    assert "KeyboardInterrupt" in err
    assert not running(int((config.output.runs / "pid").read_text()))


def test_a_script_that_is_not_guarded_is_told_how(make: Config, tmp_path: Path) -> None:
    """A new process imports it, and would begin the same again."""
    with parent(make(), tmp_path, "work()", script=True) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert 'must do so below `if __name__ == "__main__":`' in err.splitlines()[-1]


def test_a_guarded_script_in_a_thread(make: Config, tmp_path: Path) -> None:
    start = "if __name__ == '__main__':\n    import threading\n    it = threading.Thread(target=work)\n    it.start()"
    with parent(make(), tmp_path, start, script=True) as process:
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "1\n", "")
