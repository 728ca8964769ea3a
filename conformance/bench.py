"""What a row is, and the bench it runs on: it calls the upscaler under test, watches it, and keeps the measures."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MEMORY_CAP = 6 << 30
"""Bytes of RSS at which a command is ended: a bomb must not take the machine that judges it."""


class Stop(Exception):
    """The row has failed and cannot go on; the message says what was seen."""


class NotRun(Exception):
    """The row says nothing about this upscaler; the message says why."""


@dataclass(frozen=True)
class Job:
    """How the upscaler under test is called. ``{input}`` and ``{output}`` in a command stand for paths."""

    command: str
    tiled: str | None = None
    """The same with small tiles."""
    batch: str | None = None
    """A command that turns a folder into a folder."""
    scale: int = 4
    timeout: float = 60.0
    """Seconds that one call may take."""


@dataclass(frozen=True)
class Row:
    id: str
    title: str
    given: str
    """The input, in words."""
    why: str
    check: Callable[[Bench], None]


@dataclass
class Measure:
    what: str
    value: Any
    bound: str
    ok: bool

    def __str__(self) -> str:
        value = f"{self.value:.4g}" if isinstance(self.value, float) else str(self.value)
        bound = self.bound.removeprefix("= ")
        if self.bound.startswith("= ") and bound == value:
            return f"{self.what} {value}"
        return f"{self.what} {value} ({self.bound})"


@dataclass
class Result:
    id: str
    title: str
    given: str
    why: str
    status: str = "PASS"
    reason: str = ""
    measures: list[Measure] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def told(self) -> str:
        """What was measured, in one line: where the row failed, only what failed."""
        seen = [str(m) for m in self.measures if self.status != "FAIL" or not m.ok]
        return "; ".join([self.reason, *seen] if self.reason else seen)


@dataclass(frozen=True)
class Ran:
    """One call of a command."""

    code: int | None
    """Exit code; negative for a signal; None when it was ended because it took too long or too much memory."""
    seconds: float
    message: str
    """What it said on stderr and stdout."""
    peak: int
    """Largest RSS of the process in bytes."""

    def outcome(self) -> str:
        if self.code is None:
            return f"ended by the bench after {self.seconds:.0f} s at {self.peak >> 20} MiB"
        return f"exit code {self.code}" + (f": {self.last_line()}" if self.last_line() else "")

    def last_line(self) -> str:
        """The last line that has letters in it, shortened."""
        lines = [line.strip() for line in self.message.splitlines() if any(c.isalpha() for c in line)]
        return (lines[-1][:157] + "...") if lines and len(lines[-1]) > 160 else (lines[-1] if lines else "")


class Bench:
    """For one row: an empty folder, the upscaler under test, and the measures so far."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job
        self.scale = job.scale
        self.folder = folder
        self.measures: list[Measure] = []

    # -- measures

    def expect(self, what: str, value: Any, equals: Any = None, *, most: float | None = None,
               least: float | None = None, differs: Any = None) -> None:  # fmt: skip
        """Keep a measure and whether it is within its bound. All bounds of a row must hold."""
        if most is not None:
            self.measures.append(Measure(what, value, f"at most {most:g}", bool(value <= most)))
        elif least is not None:
            self.measures.append(Measure(what, value, f"at least {least:g}", bool(value >= least)))
        elif differs is not None:
            self.measures.append(Measure(what, value, f"not {differs}", bool(value != differs)))
        else:
            self.measures.append(Measure(what, value, f"= {equals}", bool(value == equals)))

    def ended(self, ran: Ran, *, well: bool) -> None:
        """Keep the exit code: 0 where it should end ``well``, else another; being ended by the bench is never right."""
        if ran.code is None:
            self.measures.append(Measure("exit code", ran.outcome(), "an exit code", False))
        elif well:
            self.expect("exit code", ran.outcome() if ran.code else 0, 0)
        else:
            self.expect("exit code", ran.code, differs=0)

    def note(self, what: str, value: Any) -> None:
        """Keep what was seen where more than one answer is right."""
        self.measures.append(Measure(what, value, f"= {value}", True))

    # -- calls

    def run(self, source: Path | str, target: Path | str, *, template: str | None = None, file_limit: int | None = None,
            timeout: float | None = None, kill_after: float | None = None) -> Ran:  # fmt: skip
        """Call the upscaler. ``file_limit``: bytes after which no file can grow; ``kill_after``: seconds to SIGKILL."""
        words = [
            word.replace("{input}", str(source)).replace("{output}", str(target))
            for word in shlex.split(template or self.job.command)
        ]
        return call(words, self.folder, timeout or self.job.timeout, file_limit=file_limit, kill_after=kill_after)

    def upscale(self, source: Path, name: str | None = None, *, template: str | None = None) -> Path:
        """Call the upscaler where it must do its work. Gives the output, which exists; else the row fails."""
        target = self.folder / (name or f"out{source.suffix}")
        before = digest(source)
        ran = self.run(source, target, template=template)
        if ran.code != 0:
            raise Stop(f"{ran.outcome()} for a good {source.suffix.lstrip('.')} file")
        if not target.is_file() or not target.stat().st_size:
            raise Stop("exit code 0, and no output")
        if digest(source) != before:
            raise Stop("the input was changed")
        return target

    def refused(self, source: Path | str, name: str = "out.png", *, within: float = 20.0, **options: Any) -> Ran:
        """Call the upscaler where it must refuse: an exit code, a message, no output, in time."""
        target = self.folder / name
        ran = self.run(source, target, timeout=within, **options)
        self.ended(ran, well=False)
        self.expect("says why", bool(ran.last_line()), True)
        self.expect("output left", os.path.lexists(target), False)
        self.expect("seconds", round(ran.seconds, 1), most=within)
        return ran


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def call(words: list[str], folder: Path, timeout: float, *, file_limit: int | None = None,
         kill_after: float | None = None) -> Ran:  # fmt: skip
    """Run a command to its end, in a process group of its own, within limits of time and memory."""

    def limits() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    start = time.monotonic()
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                words, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
                preexec_fn=limits,
            )  # fmt: skip
        except OSError as error:
            raise Stop(f"the command cannot be started: {error}") from error
        end = start + (timeout if kill_after is None else kill_after)
        peak, ended = _watch(process, end)
        seconds = time.monotonic() - start
        said.seek(0)
        message = said.read(1 << 20).decode("utf-8", "replace").replace(f"{folder}{os.sep}", "")
    if file_limit is not None:  # the limit holds for what the command said, too, which then is a file
        message = message or "(no room for a message)"
    code = process.returncode if not ended or kill_after is not None else None
    return Ran(code, seconds, message, peak)


def _watch(process: subprocess.Popen[bytes], end: float) -> tuple[int, bool]:
    """Wait, and end the whole group when it takes too long or too much memory. Peak RSS, and whether it was ended."""
    peak, ended = 0, False
    done = threading.Event()

    def wait() -> None:
        process.wait()
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    while not done.wait(0.01):
        peak = max(peak, _resident(process.pid))
        if time.monotonic() > end or peak > MEMORY_CAP:
            ended = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            done.wait(10)
            break
    return peak, ended


def _resident(pid: int) -> int:
    """The most that a process and its children have held so far in bytes of RSS; 0 where there is no /proc."""
    total = 0
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        total = int(status.partition("VmHWM:")[2].split()[0]) << 10
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += _resident(int(child))
    except (OSError, IndexError, ValueError):
        pass
    return total


def judge(row: Row, job: Job) -> Result:
    """Run one row in a folder of its own, which is removed again."""
    result = Result(row.id, row.title, row.given, row.why)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        bench = Bench(job, Path(folder))
        try:
            row.check(bench)
        except Stop as stop:
            result.status, result.reason = "FAIL", str(stop)
        except NotRun as reason:
            result.status, result.reason = "NOT RUN", str(reason)
        result.measures = bench.measures
    if result.status == "PASS" and not all(measure.ok for measure in result.measures):
        result.status = "FAIL"
    result.seconds = round(time.monotonic() - start, 2)
    return result
