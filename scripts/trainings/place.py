"""The folder that trainings live in, outside of any checkout; who works in it, and how that one is paused or ended.

runs/NAME/001/     as `srgan train` makes them
models/NAME/       what was harvested last
data/              pictures, as `scripts/corpus` makes them
queue.lock         held by the process that works through the queue; says its number and its entry
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from srgan.atomic import hold
from srgan.errors import CannotWrite, InvalidConfig

PATIENCE = 120.0
"""Seconds that a training has for its last checkpoint."""
_SAID = 1024
"""Bytes of what the lock says."""
_TRIES, _PAUSE = 5, 0.2
"""Whoever looks at the lock holds it for a moment, so that it is tried more than once."""


@dataclass(frozen=True)
class Worker:
    """The process that works through the queue."""

    pid: int
    entry: str
    """The entry that it trains; empty between two."""


@dataclass(frozen=True)
class Place:
    """One such folder."""

    folder: Path

    @classmethod
    def usual(cls) -> Place:
        """``$SRGAN_TRAINING``, else a folder among the user's data."""
        if chosen := os.environ.get("SRGAN_TRAINING"):
            return cls(Path(chosen).expanduser())
        home = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or "~/.local/share"
        return cls(Path(home).expanduser() / "srgan" / "training")

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.folder / "runs"

    def data(self) -> tuple[Path, ...]:
        """The folders of pictures: those of ``$SRGAN_DATA``, written as ``$PATH`` is, then the one in here if it is."""
        said = os.environ.get("SRGAN_DATA", "").split(os.pathsep)
        own = self.folder / "data"
        return (*(Path(path).expanduser() for path in said if path), *([own] if own.is_dir() else []))

    @contextlib.contextmanager
    def working(self) -> Iterator[Callable[[str], None]]:
        """Be the one that works here, until the block ends; what it gives tells which entry.

        Raises `CannotWrite` when another one does.
        """
        file = self._open(create=True)
        try:
            for _ in range(_TRIES):
                if hold(file):
                    break
                time.sleep(_PAUSE)
            else:
                raise CannotWrite(f"{self.folder}: another process works through a queue here; `status` shows it")

            def tell(entry: str) -> None:
                said = json.dumps({"pid": os.getpid(), "entry": entry}).encode()
                os.pwrite(file, said.ljust(_SAID), 0)  # at once, so that nobody reads half of it

            tell("")
            yield tell
        finally:
            os.close(file)

    def worker(self) -> Worker | None:
        """Who works here. The lock proves that it lives, so its number is not one that the system has given anew."""
        if not (self.folder / "queue.lock").exists():
            return None
        file = self._open(create=False)
        try:
            if hold(file):
                return None
            said = json.loads(os.pread(file, _SAID, 0))
            return Worker(int(said["pid"]), str(said["entry"]))
        except (ValueError, LookupError, TypeError):
            return None  # it is just beginning
        finally:
            os.close(file)

    def _open(self, *, create: bool) -> int:
        path = self.folder / "queue.lock"
        try:
            if create:
                self.folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        except OSError as error:
            raise CannotWrite(f"{path}: {error.strerror or error}") from error

    def pause(self) -> bool:
        """Have the training stand still until `resume`; False where there is none that moves. It keeps its memory."""
        worker = self.worker()
        if worker is None or is_still(worker.pid):
            return False
        _send(worker.pid, "SIGSTOP")
        return True

    def resume(self) -> bool:
        """Have a paused training go on; False where there is none."""
        worker = self.worker()
        if worker is None or not is_still(worker.pid):
            return False
        _send(worker.pid, "SIGCONT")
        return True

    def stop(self, *, patience: float = PATIENCE) -> bool:
        """End the work with a checkpoint, and wait for that; False where there is none.

        Raises `CannotWrite` when it has not ended after so many seconds.
        """
        worker = self.worker()
        if worker is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)
            if is_still(worker.pid):
                _send(worker.pid, "SIGCONT")
        until = time.monotonic() + patience
        while (now := self.worker()) is not None and now.pid == worker.pid:
            if time.monotonic() > until:
                raise CannotWrite(f"process {worker.pid} was asked to end, and has not within {patience:.0f} s")
            time.sleep(_PAUSE)
        return True


@contextlib.contextmanager
def paused(place: Place | None = None) -> Iterator[bool]:
    """Have the training of this machine, if there is one, stand still while the block runs; whether there was one.

    One that somebody else has paused is left paused. A process that is killed within the block leaves it paused too:
    `scripts/train_queue resume`.
    """
    place = place or Place.usual()
    done = place.pause()
    try:
        yield done
    finally:
        if done:
            place.resume()


def is_still(pid: int) -> bool:
    """Whether the process was paused."""
    said = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return said.strip().startswith("T")


def _send(pid: int, name: str) -> None:
    """Send a signal to the process and to those that it has started, which train with it."""
    number = getattr(signal, name, None)
    if number is None:
        raise InvalidConfig("this system cannot pause a process; stop it, and run it again later")
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, number)
