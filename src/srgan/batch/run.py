"""Many pictures: a folder in, the same tree out, and an account of what became of every file."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack, get_args

from srgan.atomic import check_target
from srgan.batch.existing import DONE_BEFORE, Existing, Rules
from srgan.batch.plan import Job, Naming, Selection, same_name_key
from srgan.batch.report import BatchReport, FileOutcome, write_report
from srgan.batch.sheet import Sheet
from srgan.batch.watch import Watcher
from srgan.batch.worker import STOPPED, Options, Worker
from srgan.errors import Cancelled, CannotWrite, InvalidConfig, SrganError
from srgan.imaging import Kernel, Limits, open_scan, read_picture
from srgan.journal import JOURNAL, Journal, Work
from srgan.upscaler import Size, Upscaler, output_size
from srgan.upscaler.files import Opener, Saving

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Progress = Callable[[FileOutcome, int, int], None]

LOOK_EVERY = 1.0
"""Seconds between two looks at a watched folder."""


def process_folder(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    upscaler: Upscaler | Opener,
    *,
    model: str = "",
    recursive: bool = True,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    name: str | None = None,
    format: str | None = None,
    quality: int | None = None,
    metadata: bool = True,
    provenance: bool = True,
    existing: Existing = "skip",
    retry_failed: bool = False,
    resample: Kernel = "lanczos",
    limits: Limits | None = None,
    workers: int = 2,
    watch: bool = False,
    settle: float = 2.0,
    report: Paths = (),
    contact_sheet: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    **size: Unpack[Size],
) -> BatchReport:
    """Enlarge the pictures in the folder ``source`` into the folder ``target``, and say what became of each.

    Pictures are files named like ones (`srgan.imaging.PICTURE_SUFFIXES`), or those whose name or path in the folder
    matches one of ``include`` (``*.png``, ``holiday/*``), less those that match ``exclude``, in the folder and with
    ``recursive`` below it. The tree is kept, and so are the names, but for suffixes of other formats; or ``name`` is a
    template of `NAME_FIELDS`. ``existing`` says what becomes of outputs that exist, see `Rules`; ``retry_failed`` takes
    only what failed the last time. ``workers`` pictures are in work at a time: one is read or written while another
    has the network. An `Opener` in place of an Upscaler gives each picture its model; ``model`` is then what the
    journal tells it from others by, its name first.

    A journal in ``target`` knows what was done: a run that was stopped or killed goes on when it is begun again, and
    makes no picture twice. With ``watch`` it goes on with what is new or changed and has rested for ``settle`` seconds.
    ``progress`` is called with each outcome, how many there are, and how many there will be, from the calling thread.
    Ctrl-C, ``stop`` when it is set, `Cancelled` raised by ``progress`` and a full disk end the run. ``report`` names
    files that are written then (a table for ``.csv``, else JSON), ``contact_sheet`` a page of all before and after.
    Raises `InvalidConfig` or `CannotWrite` when nothing can be begun, also while another process works on ``target``.
    """
    saving = Saving(format=format, quality=quality, metadata=metadata, provenance=provenance)
    options = Options(size=size, resample=resample, limits=limits or Limits(), saving=saving)
    model = _identity(upscaler, model)
    run = _Run(
        source=Path(source),
        target=Path(target),
        upscaler=upscaler,
        model=model,
        options=options,
        selection=Selection(recursive=recursive, include=include, exclude=exclude, without=Path(target)),
        naming=_naming(name, model, upscaler, options),
        watcher=Watcher(settle) if watch else None,
        progress=progress or (lambda outcome, done, total: None),
        stop=stop or threading.Event(),
    )
    return run.process(existing, retry_failed, workers, _Accounts.of(report, contact_sheet))


@dataclass(frozen=True, kw_only=True)
class _Accounts:
    """What is written about a run at its end."""

    reports: Sequence[Path]
    sheet: Sheet | None
    sheet_path: Path

    @classmethod
    def of(cls, report: Paths, contact_sheet: str | os.PathLike[str] | None) -> _Accounts:
        reports = [report] if isinstance(report, str | os.PathLike) else report
        sheet = None if contact_sheet is None else Sheet()
        return cls(reports=[Path(path) for path in reports], sheet=sheet, sheet_path=Path(contact_sheet or ""))

    def check(self) -> None:
        for path in (*self.reports, *([self.sheet_path] if self.sheet else [])):
            check_target(path, overwrite=True)

    def write(self, result: BatchReport) -> None:
        for path in self.reports:
            write_report(result, path)
        if self.sheet is not None:
            self.sheet.write(self.sheet_path, result)


@dataclass(kw_only=True)
class _Run:
    """One run over a folder: what is under way, and what became of the rest."""

    source: Path
    target: Path
    upscaler: Upscaler | Opener
    model: str
    """Its name, and what tells it from others."""
    options: Options
    selection: Selection
    naming: Naming
    watcher: Watcher | None
    progress: Progress
    stop: threading.Event
    outcomes: dict[str, FileOutcome] = field(default_factory=dict)
    rules: Rules = field(init=False)
    worker: Worker = field(init=False)
    _any_case: bool = False
    """Whether capitals make no difference in the names of outputs."""
    _under_way: dict[str, Job] = field(default_factory=dict)
    _futures: dict[str, Future[FileOutcome]] = field(default_factory=dict)
    _finished: queue.SimpleQueue[FileOutcome] = field(default_factory=queue.SimpleQueue)
    _shown: list[Future[None]] = field(default_factory=list)
    _taken: dict[str, str] = field(default_factory=dict)
    """For the key of each output's name, the input that has it."""

    def process(self, existing: Existing, retry_failed: bool, workers: int, accounts: _Accounts) -> BatchReport:
        """Hold the output folder, do all there is, and write the accounts, whatever happens."""
        began = time.perf_counter()
        _check(workers, existing, self.options.size)
        _prepare(self.source, self.target)
        accounts.check()
        work = _work(self.source, self.model, self.upscaler, self.options)
        with Journal(self.target) as journal:
            self._any_case = _any_case(journal)
            self.rules = Rules(
                existing=existing, retry_failed=retry_failed, journal=journal, work=work, target=self.target
            )
            self.worker = Worker(
                upscaler=self.upscaler,
                options=self.options,
                journal=journal,
                work=work,
                sheet=accounts.sheet,
            )
            interrupted = True
            try:
                journal.begin(work, existing)
                interrupted = not self._go(workers)
                if not interrupted:
                    journal.end()
            finally:
                result = BatchReport(
                    source=str(self.source),
                    target=str(self.target),
                    model=self.model.partition(" ")[0],
                    outcomes=tuple(self.outcomes[key] for key in sorted(self.outcomes)),
                    seconds=round(time.perf_counter() - began, 3),
                    interrupted=interrupted,
                    reason=self.worker.why,
                )
                accounts.write(result)
        return result

    def _go(self, workers: int) -> bool:
        """Do all there is, and say whether the end was reached; a watched folder ends when it is stopped at rest."""
        pool = ThreadPoolExecutor(workers, thread_name_prefix="srgan")
        try:
            self._take_up(pool)
            looked = time.monotonic()
            while self._under_way or self.watcher:
                self._collect()
                if self.watcher and time.monotonic() - looked >= LOOK_EVERY:
                    self._take_up(pool)
                    looked = time.monotonic()
            wait(self._shown)
        except (KeyboardInterrupt, Cancelled):
            return self.watcher is not None and not self._under_way and not self.worker.why
        finally:
            self.worker.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            # A signal may have come between any two steps: what counts is what the workers say.
            for name, job in self._under_way.items():
                future = self._futures.get(name)
                done = future is not None and future.done() and not future.cancelled()
                stopped = job.outcome("stopped", self.worker.why or STOPPED)
                self.outcomes[name] = future.result() if future and done else stopped
        return not self.worker.why

    def _take_up(self, pool: ThreadPoolExecutor) -> None:
        """Look through the folder and hand out what is to be done."""
        before = len(self.outcomes)
        fresh: list[FileOutcome] = []
        jobs = self._plan(fresh)
        for outcome in fresh:
            self.outcomes[outcome.source] = outcome
            if outcome.state == "failed":
                with suppress(CannotWrite):  # it is in the report
                    self.rules.journal.fail(outcome.source, outcome.target, outcome.reason)
        self._under_way.update((job.name, job) for job in jobs)
        for outcome in fresh:
            before += 1
            self.progress(outcome, min(before, len(self.outcomes)), len(self.outcomes) + len(self._under_way))
            if self.worker.sheet is not None and (outcome.state, outcome.reason) == ("skipped", DONE_BEFORE):
                places = self.source / outcome.source, self.target / outcome.target
                self._shown.append(pool.submit(self.worker.sheet.add, outcome.source, *places))
        for job in jobs:
            self._futures[job.name] = pool.submit(self._do, job)

    def _do(self, job: Job) -> FileOutcome:
        outcome = self.worker.outcome(job)
        self._finished.put(outcome)
        return outcome

    def _plan(self, fresh: list[FileOutcome]) -> list[Job]:
        """The jobs to do. Files that need none get their outcome in ``fresh``, unless they had the same before."""

        def tell(outcome: FileOutcome) -> None:
            if self.outcomes.get(outcome.source) != outcome:
                fresh.append(outcome)

        def unreadable(name: str, reason: str) -> None:
            tell(FileOutcome(source=name, target="", state="failed", reason=reason))

        found = sorted(self.selection.find(self.source, unreadable))
        names = [name for name in found if name not in self._under_way]
        if self.watcher:
            self.watcher.keep(found)
            names = [name for name in names if self.watcher.takes(name, self.source / name)]
        inputs = {os.path.realpath(self.source / name) for name in found} if names else set()
        jobs = []
        for name in names:
            job = self._job(name, inputs)
            if isinstance(job, Job):
                jobs.append(job)
            else:
                tell(job)
        return jobs

    def _job(self, name: str, inputs: set[str]) -> Job | FileOutcome:
        """What is to be done with one input, or what became of it without any work."""
        place = self.source / name
        if place.exists() and not place.is_file():  # first of all: opening a pipe would wait for ever
            return FileOutcome(source=name, target="", state="failed", reason="not a regular file")
        try:
            target_name, kind = self.naming.output(name, place)
        except SrganError as error:
            return FileOutcome(source=name, target="", state="failed", reason=str(error))
        job = Job(source=place, target=self.target / target_name, name=name, target_name=target_name, kind=kind)
        if os.path.realpath(job.target) in inputs:
            return job.outcome("failed", "its output would replace an input")
        if self.rules.existing != "rename" and (first := self._owner(target_name, name)) != name:
            return job.outcome("failed", f"its output would replace that of {first}")
        judged = self.rules.judge(job, lambda text: self._owner(text, name, claim=False) == name)
        self._owner(judged.target_name if isinstance(judged, Job) else judged.target, name)
        return judged

    def _owner(self, target_name: str, name: str, *, claim: bool = True) -> str:
        """The input whose output has that name: ``name`` where it was free."""
        key = same_name_key(target_name, any_case=self._any_case)
        return self._taken.setdefault(key, name) if claim else self._taken.get(key, name)

    def _collect(self) -> None:
        """Wait for an outcome, but not for long: somebody may want to stop, and a watched folder is looked at."""
        with suppress(queue.Empty):
            outcome = self._finished.get(timeout=LOOK_EVERY / 4)
            self._enter(outcome)
            self.progress(outcome, len(self.outcomes), len(self.outcomes) + len(self._under_way))
        full = self.watcher is not None and bool(
            self.worker.why
        )  # without watching, the rest comes to its end by itself
        if self.stop.is_set() or (full and self._finished.empty()):
            raise Cancelled

    def _enter(self, outcome: FileOutcome) -> None:
        self.outcomes[outcome.source] = outcome
        del self._under_way[outcome.source], self._futures[outcome.source]


def _check(workers: int, existing: str, size: Size) -> None:
    if workers < 1:
        raise InvalidConfig(f"workers must be at least 1, not {workers}")
    if existing not in get_args(Existing):
        raise InvalidConfig(f"existing must be one of {', '.join(get_args(Existing))}, not {existing!r}")
    output_size((1, 1), **size)  # refuses sizes that make no sense for any picture


def _identity(upscaler: Upscaler | Opener, model: str) -> str:
    """Name of the model, and what tells it from others."""
    if not isinstance(upscaler, Upscaler):
        return model or "several"
    info = upscaler.info
    return " ".join(filter(None, (info.model, info.version, info.sha256)))


def _naming(template: str | None, model: str, upscaler: Upscaler | Opener, options: Options) -> Naming:
    """How outputs are called, when the size is what ``options`` say."""
    size = options.size

    def measure(path: Path) -> tuple[int, int, float]:
        with open_scan(path, limits=options.limits) as scan:
            like = scan.like
        if isinstance(upscaler, Upscaler):
            opened = upscaler
        else:
            opened = upscaler(read_picture(path, limits=options.limits) if upscaler.looks else like, size)
        height, width = opened.output_size((like.height, like.width), **size)
        return width, height, size.get("scale") or opened.scale

    scale = size.get("scale") or (upscaler.scale if isinstance(upscaler, Upscaler) else None)
    return Naming(
        template=template,
        format=options.saving.format,
        scale=scale,
        in_pixels=any(value is not None for key, value in size.items() if key != "scale"),
        model=model.partition(" ")[0],
        measure=measure,
    )


def _work(source: Path, model: str, upscaler: Upscaler | Opener, options: Options) -> Work:
    """What this run does to every picture. Where it runs, and in what portions, is not part of it."""
    saving = options.saving
    settings: dict[str, Any] = {**options.size, "resample": options.resample, "quality": saving.quality}
    settings |= {"format": saving.format, "metadata": saving.metadata, "provenance": saving.provenance}
    if isinstance(upscaler, Upscaler):
        more = {key: value for key, value in upscaler.settings.items() if key not in ("backend", "precision")}
        settings = {"scale": upscaler.scale, **settings, **more}
    given = {key: value for key, value in settings.items() if value is not None}
    digest = hashlib.blake2b(json.dumps(given, sort_keys=True).encode(), digest_size=16).hexdigest()
    return Work(os.path.realpath(source), model, digest)


def _prepare(source: Path, target: Path) -> None:
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


def _any_case(journal: Journal) -> bool:
    """Whether the output folder's file system takes names that differ in capitals for the same."""
    try:
        return (journal.folder / JOURNAL.upper()).samefile(journal.folder / JOURNAL)
    except OSError:
        return False
