"""One file: made of its input, put into its place and entered in the journal."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from srgan.atomic import rename_onto_nothing
from srgan.batch.make import Make, Product
from srgan.batch.plan import Task
from srgan.batch.report import FileOutcome
from srgan.errors import Cancelled, CannotWrite, InvalidImage, SrganError
from srgan.journal import Journal, Made, Work, stamp
from srgan.progress import Stop, silent

if TYPE_CHECKING:
    from srgan.batch.sheet import Sheet

logger = logging.getLogger("srgan")

STOPPED = "the run was stopped"

HOPELESS = 3
"""Files in a row that found no room on the disk, after which the run is stopped."""
_FULL = 1 << 20
"""Free bytes with which a disk counts as full when writing failed for a reason that does not say it."""
_NO_ROOM = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


@dataclass(kw_only=True)
class Worker:
    """What is done to every input, until ``stop`` is set. Used by several threads."""

    make: Make
    journal: Journal
    work: Work
    sheet: Sheet | None
    stop: Stop = field(default_factory=Stop)
    why: str = ""
    """Why no more is done, when that was not somebody's wish."""
    _in_vain: int = 0

    def outcome(self, task: Task) -> FileOutcome:
        """Do one task and say what became of it; raises nothing."""
        began = time.perf_counter()
        try:
            made = self._make(task)
        except Cancelled:
            return task.outcome("stopped", self.why or STOPPED)
        except SrganError as error:
            self._count(error)
            return self._failed(task, str(error), began)
        except Exception as error:  # a fault of ours in one file must not cost the others
            logger.exception("%s: unexpected error", task.source)
            return self._failed(task, f"unexpected {type(error).__name__}: {error}", began)
        self._in_vain = 0
        seconds = round(time.perf_counter() - began, 3)
        if self.sheet is not None:
            self.sheet.add(task.name, task.source, task.target)
        reason = "; ".join(filter(None, (task.reason, made.remark)))
        return task.outcome(
            "done",
            reason,
            seconds=seconds,
            width=made.width,
            height=made.height,
            frames=made.frames,
            model=made.model,
        )

    def _failed(self, task: Task, reason: str, began: float) -> FileOutcome:
        try:
            self.journal.fail(task.name, task.target_name, reason)
        except CannotWrite as error:
            self._count(error)
        return task.outcome("failed", reason, seconds=round(time.perf_counter() - began, 3))

    def _make(self, task: Task) -> Product:
        """Make one output and put it into its place."""
        self.stop.check()
        self.make.check(task.source)  # what is no input, or too large, is not hashed
        try:
            # Before it is read: what changes from here on shows as a change the next time.
            before = stamp(task.source)
        except OSError as error:
            raise InvalidImage(f"{task.source}: cannot be opened: {error.strerror or error}") from error
        try:
            task.target.parent.mkdir(parents=True, exist_ok=True)
            real, part = self._places(task.target)
        except OSError as error:
            raise CannotWrite(f"{task.target.parent}: {error.strerror or error}") from error
        try:
            try:
                product = self.make.make(task.source, part, task.format, report=silent, stop=self.stop)
            except SrganError as error:
                if str(part) not in str(error):
                    raise
                raise type(error)(str(error).replace(str(part), str(task.target))) from error  # a name people know
            self.stop.check()
            made = Made(task.name, task.target_name, before, stamp(part), self.work)
            self.journal.written(made)
            _place(part, real, replace=task.replace)
            if not made.output.is_of(real):
                raise CannotWrite(f"{task.target}: was changed by another program while it was being written")
        except FileExistsError as error:
            raise CannotWrite(f"{task.target}: was created by another program in the meantime and is kept") from error
        except OSError as error:
            raise CannotWrite(f"{task.target}: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
        try:
            self.journal.done(task.target_name)
        except CannotWrite as error:  # the picture is in its place, and will be found there the next time
            logger.warning("%s", error)
        return product

    def _places(self, target: Path) -> tuple[Path, Path]:
        """Where ``target`` really is (a link is kept, what it points to is replaced), and where it is made: in the
        journal's folder, or beside it where that is another disk."""
        real = Path(os.path.realpath(target))
        near = os.stat(real.parent).st_dev == os.stat(self.journal.folder).st_dev
        folder = self.journal.folder if near else real.parent
        return real, folder / f".srgan-{secrets.token_hex(8)}.made{target.suffix}"

    def _count(self, error: SrganError) -> None:
        """Stop the run when the disk is full: ten thousand files would fail in the same way."""
        said = _without_room(error, self.journal.folder) if isinstance(error, CannotWrite) else ""
        self._in_vain = self._in_vain + 1 if said else 0
        if self._in_vain >= HOPELESS and not self.stop.is_set():
            self.why = (
                f"{HOPELESS} files in a row could not be written ({said}); make room, then the same command goes on"
            )
            self.stop.set()


def _place(part: Path, real: Path, *, replace: bool) -> None:
    """Give a finished file its name: over what has it, or only when nothing has. Raises OSError."""
    if replace:
        if real.exists():
            os.chmod(part, real.stat().st_mode & 0o7777)
        os.replace(part, real)
        return
    rename_onto_nothing(part, real)


def _without_room(error: BaseException, folder: Path) -> str:
    """What the system says, when the reason is a disk that takes no more; else nothing."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    said = next((text for code in _NO_ROOM if (text := os.strerror(code)) in str(error)), "")
    with suppress(OSError):  # whatever the libraries made of it
        said = said or ("the disk is full" if shutil.disk_usage(folder).free < _FULL else "")
    return said
