"""Many pictures: a folder in, the same tree out, and an account of what became of every file."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any, Literal, Unpack

from srgan.errors import Cancelled, CannotWrite, InvalidConfig, SrganError
from srgan.imaging import PICTURE_SUFFIXES, Kernel, Limits, check_target, format_of, read_picture, write_strips
from srgan.upscaler import Size, Upscaler

logger = logging.getLogger("srgan")

State = Literal["done", "skipped", "failed", "stopped"]

STOPPED = "the run was stopped"

SUFFIX_OF = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}


@dataclass(frozen=True, kw_only=True)
class FileOutcome:
    """What became of one file."""

    source: str
    """Path in the input folder, with forward slashes."""
    target: str
    """Path in the output folder, with forward slashes."""
    state: State
    """`done`: written and checked. `skipped`: the output was there. `failed`: see the reason. `stopped`: not finished
    when the run was stopped; nothing was written."""
    reason: str = ""
    """Why it was skipped, failed or stopped; empty when done."""
    seconds: float = 0.0
    """From the start of reading to the end of writing; files overlap."""
    width: int | None = None
    """Width of the written picture."""
    height: int | None = None
    """Height of the written picture."""


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """What became of all files, in the order of their names."""

    source: str
    """The input folder."""
    target: str
    """The output folder."""
    model: str
    """Name of the model."""
    outcomes: tuple[FileOutcome, ...]
    """One for each input."""
    seconds: float
    """Length of the run."""
    interrupted: bool
    """Whether it was stopped before its end."""

    @property
    def ok(self) -> bool:
        """Whether every output is there."""
        return not self.interrupted and all(outcome.state in ("done", "skipped") for outcome in self.outcomes)

    def count(self, state: State) -> int:
        """The number of files with this outcome."""
        return sum(outcome.state == state for outcome in self.outcomes)

    def summary(self) -> str:
        """One line for people."""
        if not self.outcomes:
            return f"{self.source}: no pictures"
        states: tuple[State, ...] = ("done", "skipped", "failed", "stopped")
        counts = ", ".join(f"{self.count(state)} {state}" for state in states if self.count(state))
        return f"{counts} of {len(self.outcomes)} in {self.seconds:.1f} s"

    def to_json(self) -> str:
        """The whole report, with the counts on top."""
        counts = {state: self.count(state) for state in ("done", "skipped", "failed", "stopped")}
        return json.dumps({"ok": self.ok, "counts": counts, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One input and where it goes."""

    source: Path
    target: Path
    name: str
    target_name: str

    def outcome(self, state: State, reason: str = "", **more: Any) -> FileOutcome:
        return FileOutcome(source=self.name, target=self.target_name, state=state, reason=reason, **more)


def process_folder(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    upscaler: Upscaler,
    *,
    recursive: bool = True,
    patterns: Sequence[str] = (),
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    resample: Kernel = "lanczos",
    limits: Limits | None = None,
    workers: int = 2,
    report: str | os.PathLike[str] | None = None,
    progress: Callable[[FileOutcome, int, int], None] | None = None,
    **size: Unpack[Size],
) -> BatchReport:
    """Enlarge the pictures in the folder ``source`` into the folder ``target``, and say what became of each.

    Files named like pictures (`srgan.imaging.PICTURE_SUFFIXES`), or those whose path in the folder or name matches one
    of ``patterns`` (``*.png``, ``holiday/*``), are read from the folder and, with ``recursive``, the folders in it;
    hidden ones (a dot in front) are left out, and so are ``target`` where it lies inside ``source`` and folders behind
    symbolic links.
    The tree of folders is kept. An output has the input's name, with another suffix where ``format`` asks for it or the
    input's format cannot be written (then PNG). Outputs that exist are skipped unless ``overwrite``.

    ``workers`` pictures are at work at once: while one is in the network, the others are read and written. ``size``,
    ``resample``, ``quality`` and ``limits`` are those of `srgan.upscale`.

    One bad file does not stop the others: it is `failed` in the report, with the reason. ``progress`` is called with
    each outcome, how many there are so far, and how many there will be, from the calling thread. Ctrl-C, or `Cancelled`
    raised by ``progress``, stops the run: what is under way is given up or finished, no half file is left, and the
    report says so (``interrupted``). With ``report``, a JSON file of that name is written, whatever happens.

    Raises `InvalidConfig` or `CannotWrite` when nothing can be begun at all.
    """
    began = time.perf_counter()
    source, target = Path(source), Path(target)
    if workers < 1:
        raise InvalidConfig(f"workers must be at least 1, not {workers}")
    upscaler.output_size((1, 1), **size)  # refuses sizes that make no sense for any picture
    kind = None if format is None else format_of(None, format)
    _prepare(source, target, report)
    jobs, outcomes = _plan(source, target, recursive, patterns, kind, overwrite)
    work = _Work(upscaler, size, resample, limits or Limits(), quality, overwrite)
    interrupted = True
    try:
        interrupted = not _run_all(jobs, work, outcomes, workers, progress)
    finally:
        result = BatchReport(
            source=str(source),
            target=str(target),
            model=upscaler.info.model,
            outcomes=tuple(outcomes[name] for name in sorted(outcomes)),
            seconds=round(time.perf_counter() - began, 3),
            interrupted=interrupted,
        )
        if report is not None:
            _write_whole(Path(report), result.to_json())
    return result


@dataclass(frozen=True)
class _Work:
    """What is done to every picture, until ``stop`` is set."""

    upscaler: Upscaler
    size: Size
    resample: Kernel
    limits: Limits
    quality: int | None
    overwrite: bool
    stop: threading.Event = field(default_factory=threading.Event)

    def outcome(self, job: _Job) -> FileOutcome:
        """Do one job and say what became of it; raises nothing."""
        began = time.perf_counter()
        try:
            width, height = self._enlarge(job)
        except Cancelled:
            return job.outcome("stopped", STOPPED)
        except SrganError as error:
            return job.outcome("failed", str(error), seconds=round(time.perf_counter() - began, 3))
        except Exception as error:  # a fault of ours in one file must not cost the others
            logger.exception("%s: unexpected error", job.source)
            return job.outcome("failed", f"unexpected {type(error).__name__}: {error}")
        return job.outcome("done", seconds=round(time.perf_counter() - began, 3), width=width, height=height)

    def _enlarge(self, job: _Job) -> tuple[int, int]:
        """Read, enlarge and write one picture; width and height of the result."""
        self._look()
        picture = read_picture(job.source, limits=self.limits)
        height, width = self.upscaler.output_size((picture.height, picture.width), **self.size)
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"{job.target.parent}: {error.strerror or error}") from error
        strips = self.upscaler.strips(picture.pixels, resample=self.resample, progress=self._look, **self.size)
        write_strips(strips, (height, width), job.target, like=picture, quality=self.quality, overwrite=self.overwrite)
        return width, height

    def _look(self, done: int = 0, total: int = 0) -> None:
        if self.stop.is_set():
            raise Cancelled


def _run_all(
    jobs: Sequence[_Job],
    work: _Work,
    outcomes: dict[str, FileOutcome],
    workers: int,
    progress: Callable[[FileOutcome, int, int], None] | None,
) -> bool:
    """Do all jobs and collect their outcomes; whether the end was reached. ``outcomes`` has those that need no work."""
    futures: dict[Future[FileOutcome], _Job] = {}
    total, told = len(outcomes) + len(jobs), 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="srgan")
    try:
        for outcome in list(outcomes.values()):
            told += 1
            if progress is not None:
                progress(outcome, told, total)
        futures = {pool.submit(work.outcome, job): job for job in jobs}
        for future in as_completed(futures):
            outcome = outcomes[futures[future].name] = future.result()
            told += 1
            if progress is not None:
                progress(outcome, told, total)
    except (KeyboardInterrupt, Cancelled):
        return False
    finally:
        work.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        finished = {job.name: future.result() for future, job in futures.items() if not future.cancelled()}
        outcomes.update({job.name: finished.get(job.name, job.outcome("stopped", STOPPED)) for job in jobs})
    return True


def _prepare(source: Path, target: Path, report: str | os.PathLike[str] | None) -> None:
    """Make the output folder, and refuse what cannot end well."""
    if not source.is_dir():
        raise InvalidConfig(f"{source}: {'not a folder' if source.exists() else 'no such folder'}")
    try:
        target.mkdir(parents=True, exist_ok=True)
        if target.samefile(source):
            raise InvalidConfig(f"{target}: input and output are the same folder")
    except OSError as error:
        raise CannotWrite(f"{target}: {error.strerror or error}") from error
    if not os.access(target, os.W_OK | os.X_OK):
        raise CannotWrite(f"{target}: the folder cannot be written to")
    if report is not None:
        check_target(report, overwrite=True)


def _plan(
    source: Path, target: Path, recursive: bool, patterns: Sequence[str], kind: str | None, overwrite: bool
) -> tuple[list[_Job], dict[str, FileOutcome]]:
    """The jobs to do, and the outcomes of the files that need no work."""
    outcomes: dict[str, FileOutcome] = {}
    found = sorted(_pictures(source, target, recursive, patterns, outcomes))
    inputs = {os.path.realpath(source / name) for name in found}
    jobs, taken = [], dict[str, str]()
    for name in found:
        relative = PurePath(name)
        output = relative.with_suffix(_suffix(relative, kind))
        job = _Job(source=source / relative, target=target / output, name=name, target_name=output.as_posix())
        first = taken.setdefault(_key(job.target), name)
        if first != name:
            outcomes[name] = job.outcome("failed", f"its output would replace that of {first}")
        elif os.path.realpath(job.target) in inputs:
            outcomes[name] = job.outcome("failed", "its output would replace an input")
        elif job.source.exists() and not job.source.is_file():
            outcomes[name] = job.outcome("failed", "not a regular file")
        elif not overwrite and os.path.lexists(job.target):
            outcomes[name] = job.outcome("skipped", "the output exists")
        else:
            jobs.append(job)
    return jobs, outcomes


def _pictures(
    source: Path, target: Path, recursive: bool, patterns: Sequence[str], outcomes: dict[str, FileOutcome]
) -> Iterator[str]:
    """Paths in ``source`` of what shall be enlarged. A folder that cannot be listed becomes a failed outcome."""

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(source).as_posix()
        outcomes[name] = FileOutcome(source=name, target="", state="failed", reason=error.strerror or str(error))

    within = target.resolve()
    for folder, folders, files in os.walk(source, onerror=unreadable):
        here = Path(folder)
        folders[:] = [f for f in folders if recursive and f[0] != "." and (here / f).resolve() != within]
        for file in files:
            name = (here / file).relative_to(source).as_posix()
            if patterns:
                wanted = any(fnmatch(name, pattern) or fnmatch(file, pattern) for pattern in patterns)
            else:
                wanted = os.path.splitext(file)[1].lower() in PICTURE_SUFFIXES
            if wanted and file[0] != ".":
                yield name


def _suffix(name: PurePath, kind: str | None) -> str:
    """The suffix of the output: the input's own where that fits."""
    try:
        own = format_of(name)
    except InvalidConfig:
        own = ""
    if own and kind in (None, own):
        return name.suffix
    return SUFFIX_OF[kind or "PNG"]


def _key(path: Path) -> str:
    """What two names have in common that mean one file, on this kind of system."""
    name = os.path.normcase(path)
    return name.casefold() if sys.platform == "darwin" else name


def _write_whole(path: Path, text: str) -> None:
    """Write a text file so that it is whole or not there."""
    temporary = path.with_name(f".srgan-{secrets.token_hex(8)}.part")
    try:
        try:
            # A file name that is not Unicode becomes an escape that JSON knows.
            with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror or error}") from error
