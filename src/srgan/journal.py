"""What was done in an output folder, kept so that a run killed at any moment goes on without doing anything twice.

The journal is a file of lines of JSON that only grows, in the hidden folder `FOLDER` of the output folder. Lines, not a
database: a line is written by one call and is there or is not, whatever kills the process; a half line at the end is
removed; any file system will do, also those where the locks of databases do not hold; and people can read it.

An output is made in `FOLDER`, and then goes through three steps: a line ``written`` with its size and hash; its
renaming to its place; a line ``done``. A run that died between two of them is put right when the folder is opened
again: a file that lies in its place and has the hash that was announced is done, else the picture is made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from srgan.atomic import hold
from srgan.errors import CannotWrite

logger = logging.getLogger("srgan")

FOLDER = ".srgan"
"""Folder in an output folder that holds the journal and what is being written. Removing it forgets what was done."""
JOURNAL = "journal.jsonl"
FORMAT = 1

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """What tells a file's content from another: size and hash; with the time of its change as a short cut."""

    bytes: int
    changed: int
    """Time of the last change, in nanoseconds."""
    digest: str
    """BLAKE2b of the content, 16 bytes in hexadecimal."""

    def is_of(self, path: Path) -> bool:
        """Whether the file at ``path`` has this content. It is read only where its time differs. Raises OSError."""
        status = os.stat(path)
        if status.st_size != self.bytes:
            return False
        return status.st_mtime_ns == self.changed or stamp(path).digest == self.digest


def stamp(path: Path) -> Stamp:
    """Read the file at ``path`` and say what its content is. Raises OSError."""
    hashed = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        status = os.fstat(stream.fileno())
        while block := stream.read(_BLOCK):
            hashed.update(block)
    return Stamp(status.st_size, status.st_mtime_ns, hashed.hexdigest())


@dataclass(frozen=True)
class Work:
    """What a run does to every picture. Two runs with an equal one make the same output from the same input."""

    source: str
    """The input folder, as an absolute path."""
    model: str
    """Name, version and hash of the model."""
    settings: str
    """Hash of the settings that change the output."""


@dataclass(frozen=True)
class Made:
    """An output that was made."""

    source: str
    """Path of its input in the input folder."""
    target: str
    """Its path in the output folder."""
    input: Stamp
    output: Stamp
    work: Work
    run: int = 0
    """Number of the run that made it, from 1."""


@dataclass
class _Begun:
    work: Work
    existing: str
    process: int
    ended: bool = False


class Journal:
    """The journal of the folder ``target``, held for this process alone until it is closed.

    Raises `CannotWrite` when it cannot be written, or when another process holds it. Its methods may be called from
    several threads.
    """

    def __init__(self, target: Path) -> None:
        self.folder = target / FOLDER
        self._target = target
        self._lock = threading.Lock()
        self._made: dict[str, Made] = {}
        self._latest: dict[tuple[str, str], str] = {}
        self._announced: dict[str, Made] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._runs: list[_Begun] = []
        self._unfinished = 0
        path = self.folder / JOURNAL
        try:
            self.folder.mkdir(exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise CannotWrite(f"{path}: {error.strerror or error}") from error
        try:
            held = hold(self._file)
            self._read(path, mend=held)
            if not held:
                process = f" (process {self._runs[-1].process})" if self._runs else ""
                raise CannotWrite(f"{target}: another srgan{process} is using this folder; wait until it has finished")
            self._clear()
            self._reconcile()
        except OSError as error:
            os.close(self._file)
            raise CannotWrite(f"{path}: {error.strerror or error}") from error
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._clear()
        except OSError as fault:  # the next run clears up; or the folder is gone, and all with it
            logger.warning("%s: %s", self.folder, fault.strerror or fault)
        finally:
            os.close(self._file)

    # ------------------------------------------------------------------------------------------ what is known

    def made(self, target: str) -> Made | None:
        """How the output of that name was made, if it was made here."""
        return self._made.get(target)

    def made_from(self, work: Work, source: str) -> Made | None:
        """The latest output that was made of that input."""
        return self._made.get(self._latest.get((work.source, source), ""))

    def failed(self, work: Work, source: str) -> str | None:
        """Why that input failed the last time, or None when it did not."""
        return self._failed.get((work.source, source))

    def in_this_run(self, made: Made) -> bool:
        """Whether that output was made by the run that was begun, or by one like it that it goes on with."""
        return made.run >= self._unfinished > 0

    # ------------------------------------------------------------------------------------------ what happens

    def begin(self, work: Work, existing: str) -> None:
        """A run begins. When the one before was of the same kind and did not come to its end, it is gone on with."""
        with self._lock:
            self._unfinished = len(self._runs) + 1
            for number in range(len(self._runs), 0, -1):
                run = self._runs[number - 1]
                if run.ended or (run.work, run.existing) != (work, existing):
                    break
                self._unfinished = number
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            run = _Begun(work, existing, os.getpid())
            self._append({"is": "run", "journal": FORMAT, "at": at, **asdict(run)}, durable=True)
            self._runs.append(run)

    def written(self, made: Made) -> None:
        """An output is about to take its place."""
        with self._lock:
            made = replace(made, run=len(self._runs))
            line = asdict(made)
            del line["work"], line["run"]
            self._append({"is": "written", **line}, durable=False)
            self._announced[made.target] = made

    def done(self, target: str) -> None:
        """It has taken its place. On return that is on the disk."""
        with self._lock:
            self._append({"is": "done", "target": target}, durable=True)
            self._accept(target)

    def fail(self, source: str, target: str, reason: str) -> None:
        """That input could not be enlarged."""
        with self._lock:
            self._append({"is": "failed", "source": source, "target": target, "reason": reason}, durable=False)
            self._announced.pop(target, None)
            self._failed[self._runs[-1].work.source, source] = reason

    def end(self) -> None:
        """The run came to its end."""
        with self._lock:
            self._append({"is": "end"}, durable=True)
            self._runs[-1].ended = True

    # ------------------------------------------------------------------------------------------ the file

    def _append(self, line: dict[str, Any], *, durable: bool) -> None:
        """One line, the whole of it or none."""
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise CannotWrite(f"{self.folder / JOURNAL}: {error.strerror or error}") from error

    def _read(self, path: Path, *, mend: bool) -> None:
        """Take in all that the file says. Lines that say nothing are passed over, half a line at the end is removed."""
        with open(path, "rb") as stream:
            data = stream.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data) and mend:
            os.ftruncate(self._file, whole)
        damaged = 0
        for line in data[:whole].splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
                damaged += 1
        if damaged and mend:
            logger.warning("%s: %d unreadable lines were skipped", path, damaged)

    def _take(self, line: dict[str, Any]) -> None:
        kind = line["is"]
        if kind == "run":
            work = Work(*(str(line["work"][name]) for name in ("source", "model", "settings")))
            self._runs.append(_Begun(work, str(line["existing"]), int(line["process"])))
        elif kind == "end":
            self._runs[-1].ended = True
        elif kind == "failed":
            self._failed[self._runs[-1].work.source, str(line["source"])] = str(line["reason"])
            self._announced.pop(line["target"], None)
        elif kind == "done":
            self._accept(str(line["target"]))
        elif kind == "written":
            target, before, after = _inside(line["target"]), _stamp_of(line["input"]), _stamp_of(line["output"])
            made = Made(str(line["source"]), target, before, after, self._runs[-1].work, len(self._runs))
            self._announced[target] = made

    def _accept(self, target: str) -> None:
        made = self._announced.pop(target)
        self._made[target] = made
        self._latest[made.work.source, made.source] = target
        self._failed.pop((made.work.source, made.source), None)

    def _reconcile(self) -> None:
        """Put right what a run that died left between its steps."""
        for target, made in list(self._announced.items()):
            try:
                there = made.output.is_of(self._target / target)
            except OSError:
                there = False
            if there:
                self._append({"is": "done", "target": target, "late": True}, durable=True)
                self._accept(target)
            else:
                del self._announced[target]

    def _clear(self) -> None:
        """Remove what a run that died was writing: while the journal is held, nobody else writes here."""
        for path in self.folder.iterdir():
            if path.name.startswith(".srgan-"):
                path.unlink(missing_ok=True)


def _stamp_of(value: dict[str, Any]) -> Stamp:
    return Stamp(int(value["bytes"]), int(value["changed"]), str(value["digest"]))


def _inside(name: str) -> str:
    """``name``, when it is a path in the output folder. Raises ValueError."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or os.path.isabs(name):
        raise ValueError(name)
    return name
