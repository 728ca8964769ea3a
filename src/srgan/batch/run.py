"""A run over a folder: the same tree comes out, with an account of what became of every file."""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from srgan.atomic import check_target
from srgan.batch.existing import DONE_BEFORE, Existing, Rules
from srgan.batch.job import FolderJob
from srgan.batch.make import Make
from srgan.batch.plan import Naming, Selection, Task, same_name_key
from srgan.batch.report import BatchReport, FileOutcome, printable, write_report
from srgan.batch.sheet import Sheet
from srgan.batch.watch import Watcher
from srgan.batch.worker import STOPPED, Worker
from srgan.errors import Cancelled, CannotWrite, InvalidConfig, SrganError
from srgan.journal import JOURNAL, Journal, Work
from srgan.progress import Report, Step, Stop, silent

log = logging.getLogger("srgan")

APART_BY_NAME = "--existing rename numbers it, --name '{stem}_{input}' tells the two apart"
LOOK_EVERY = 1.0
"""Seconds between two looks at a watched folder."""


def process(
    job: FolderJob,
    make: Make,
    *,
    each: Callable[[FileOutcome], None] | None = None,
    report: Report | None = None,
    stop: Stop | None = None,
) -> BatchReport:
    """Make one file of each input in the folder ``job.source`` in the folder ``job.target``, and tell of each.

    The tree is kept, and so are the names, but for suffixes of other formats; or ``job.batch.name`` is a template of
    `NAME_FIELDS`. ``job.batch.existing`` says what becomes of outputs that exist, see `Rules`. ``job.batch.workers``
    files are in work at a time: one is read or written while another has the network.

    A journal in the output folder knows what was done: a run that was stopped or killed goes on when it is begun again,
    and makes nothing twice. With ``job.watch`` it goes on with what is new or changed and has rested. ``each`` is told
    what became of a file, ``report`` how far the run is, both from the calling thread. ``stop``, Ctrl-C and a full disk
    end the run; a file that is under way is then left undone. Reports and contact sheet are written whatever happens.
    Raises `InvalidConfig` or `CannotWrite` when nothing can be begun, also while another process works on the output
    folder.
    """
    batch = job.batch
    run = _Batch(
        source=job.source,
        target=job.target,
        make=make,
        selection=Selection(
            suffixes=make.suffixes,
            recursive=batch.recursive,
            include=job.include,
            exclude=job.exclude,
            without=job.target,
        ),
        naming=Naming(make=make, template=batch.name, format=make.format, in_pixels=make.in_pixels),
        watcher=Watcher(batch.settle) if job.watch else None,
        each=each or (lambda outcome: None),
        report=report or silent,
        stop=stop or Stop(),
    )
    return run.process(batch.existing, job.retry_failed, batch.workers, _Accounts.of(job.reports, job.contact_sheet))


@dataclass(frozen=True, kw_only=True)
class _Accounts:
    """What is written about a run at its end."""

    reports: Sequence[Path]
    sheet: Sheet | None
    sheet_path: Path

    @classmethod
    def of(cls, reports: Sequence[Path], contact_sheet: Path | None) -> _Accounts:
        sheet = None if contact_sheet is None else Sheet()
        return cls(reports=reports, sheet=sheet, sheet_path=contact_sheet or Path())

    def check(self, source: Path, selection: Selection) -> None:
        """Refuse what cannot be written, and what would replace a picture or another account. Raises `CannotWrite`."""
        taken: set[str] = set()
        for path in (*self.reports, *([self.sheet_path] if self.sheet else [])):
            check_target(path, overwrite=True)
            real = os.path.realpath(path)
            if Path(real).suffix.lower() in selection.suffixes or selection.takes(source, Path(real)):
                raise CannotWrite(f"{path}: is called like an input, which it could replace; choose another name")
            if real in taken:
                raise CannotWrite(f"{path}: is asked for twice; give each report and sheet a name of its own")
            taken.add(real)

    def write(self, result: BatchReport) -> None:
        for path in self.reports:
            write_report(result, path)
        if self.sheet is not None:
            self.sheet.write(self.sheet_path, result)


@dataclass(kw_only=True)
class _Batch:
    """One run over a folder: what is under way, and what became of the rest."""

    source: Path
    target: Path
    make: Make
    selection: Selection
    naming: Naming
    watcher: Watcher | None
    each: Callable[[FileOutcome], None]
    report: Report
    stop: Stop
    outcomes: dict[str, FileOutcome] = field(default_factory=dict)
    rules: Rules = field(init=False)
    worker: Worker = field(init=False)
    _any_case: bool = False
    """Whether capitals make no difference in the names of outputs."""
    _under_way: dict[str, Task] = field(default_factory=dict)
    _futures: dict[str, Future[FileOutcome]] = field(default_factory=dict)
    _finished: queue.SimpleQueue[FileOutcome] = field(default_factory=queue.SimpleQueue)
    _shown: list[Future[None]] = field(default_factory=list)
    _taken: dict[str, str] = field(default_factory=dict)
    """For the key of each output's name, the input that has it."""

    def process(self, existing: Existing, retry_failed: bool, workers: int, accounts: _Accounts) -> BatchReport:
        """Hold the output folder, do all there is, and write the accounts, whatever happens."""
        began = time.perf_counter()
        _prepare(self.source, self.target)
        accounts.check(self.source, self.selection)
        identity = self.make.identity
        work = Work(os.path.realpath(self.source), identity.model, identity.settings)
        with Journal(self.target) as journal:
            self._any_case = _any_case(journal)
            self.rules = Rules(
                existing=existing, retry_failed=retry_failed, journal=journal, work=work, target=self.target
            )
            self.worker = Worker(make=self.make, journal=journal, work=work, sheet=accounts.sheet)
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
                    model=identity.name,
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
            for name, task in self._under_way.items():
                future = self._futures.get(name)
                done = future is not None and future.done() and not future.cancelled()
                stopped = task.outcome("stopped", self.worker.why or STOPPED)
                self.outcomes[name] = future.result() if future and done else stopped
        return not self.worker.why

    def _take_up(self, pool: ThreadPoolExecutor) -> None:
        """Look through the folder and hand out what is to be done."""
        before = len(self.outcomes)
        fresh: list[FileOutcome] = []
        tasks = self._plan(fresh)
        for outcome in fresh:
            self.outcomes[outcome.source] = outcome
            if outcome.state == "failed":
                with suppress(CannotWrite):  # it is in the report
                    self.rules.journal.fail(outcome.source, outcome.target, outcome.reason)
        self._under_way.update((task.name, task) for task in tasks)
        for outcome in fresh:
            before += 1
            self._tell(outcome, min(before, len(self.outcomes)))
            if self.worker.sheet is not None and (outcome.state, outcome.reason) == ("skipped", DONE_BEFORE):
                places = self.source / outcome.source, self.target / outcome.target
                self._shown.append(pool.submit(self.worker.sheet.add, outcome.source, *places))
        for task in tasks:
            self._futures[task.name] = pool.submit(self._do, task)

    def _do(self, task: Task) -> FileOutcome:
        outcome = self.worker.outcome(task)
        self._finished.put(outcome)
        return outcome

    def _plan(self, fresh: list[FileOutcome]) -> list[Task]:
        """The tasks to do. Files that need none get their outcome in ``fresh``, unless they had the same before."""

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
        tasks = []
        for name in names:
            task = self._task(name, inputs)
            if isinstance(task, Task):
                tasks.append(task)
            else:
                tell(task)
        return tasks

    def _task(self, name: str, inputs: set[str]) -> Task | FileOutcome:
        """What is to be done with one input, or what became of it without any work."""
        place = self.source / name
        if place.exists() and not place.is_file():  # first of all: opening a pipe would wait for ever
            return FileOutcome(source=name, target="", state="failed", reason="not a regular file")
        try:
            target_name, format = self.naming.output(name, place)
        except SrganError as error:
            return FileOutcome(source=name, target="", state="failed", reason=str(error))
        task = Task(source=place, target=self.target / target_name, name=name, target_name=target_name, format=format)
        if os.path.realpath(task.target) in inputs:
            return task.outcome("failed", "its output would replace an input")
        if self.rules.existing != "rename" and (first := self._owner(target_name, name)) != name:
            return task.outcome("failed", f"its output would replace that of {first}; {APART_BY_NAME}")
        judged = self.rules.judge(task, lambda text: self._owner(text, name, claim=False) == name)
        self._owner(judged.target_name if isinstance(judged, Task) else judged.target, name)
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
            self._tell(outcome, len(self.outcomes))
        full = self.watcher is not None and bool(
            self.worker.why
        )  # without watching, the rest comes to its end by itself
        if self.stop.is_set() or (full and self._finished.empty()):
            raise Cancelled

    def _tell(self, outcome: FileOutcome, done: int) -> None:
        """Log what became of a file, and report how far the run is."""
        name, reason = printable(outcome.source), printable(outcome.reason)
        if outcome.state == "failed":
            named = outcome.source in outcome.reason or name in reason
            log.error("%s", reason if named else f"{name}: {reason}")
        elif outcome.state == "done":
            again = f", {reason}" if reason else ""
            log.info("%s: done, %sx%s, %.2f s%s", name, outcome.width, outcome.height, outcome.seconds, again)
        else:
            log.info("%s: %s, %s", name, outcome.state, reason)
        self.each(outcome)
        if outcome.state != "skipped":  # which takes no time, and would make the rest look as quick
            self.report(Step(done, len(self.outcomes) + len(self._under_way), "files", name))

    def _enter(self, outcome: FileOutcome) -> None:
        self.outcomes[outcome.source] = outcome
        del self._under_way[outcome.source], self._futures[outcome.source]


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
