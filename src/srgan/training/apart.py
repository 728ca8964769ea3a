"""Training in processes of its own: one, or as many as train together.

Whoever starts them and each of them are joined by one pipe. Through it go down the wish to stop, and up how far the
work is, what is logged, and what came of it. Its end is the end of the other side: a training whose parent has died
saves a checkpoint and ends.

Importing this loads no torch: a process that was started has not loaded it either when its environment is set.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from srgan.errors import Cancelled, SrganError, TrainingFailed
from srgan.models import Bundle
from srgan.progress import Report, Step, Stop, silent
from srgan.training.config import TrainConfig, find_recipe
from srgan.training.job import TrainJob
from srgan.training.launch import LAUNCHED, OF_A_TEAM, PartnerLost, launched

GRACE = 60.0
"""Seconds that a process has to save a checkpoint when it is no longer wanted."""
ECHO = 10.0
"""Seconds after the error of one process in which those that train with it tell of it too."""
LOOK_EVERY = 0.1
"""Seconds between looks at whether an end is wished."""

_FOR_THE_PARENT = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
"""Signals that a terminal sends to all processes in it: the one that started the others answers for them."""

log = logging.getLogger("srgan")


def processes(job: TrainJob) -> int:
    """How many processes train ``job`` together that nobody has started yet; 1 if it needs no others."""
    together = find_recipe(job.config.recipe).together
    return job.config.hardware.devices if together and not launched() else 1


def train_apart(job: TrainJob | TrainConfig, *, report: Report | None = None, stop: Stop | None = None) -> Bundle:
    """`srgan.training.train` in a process of its own, or in several that train together.

    What they log is logged here. A process that dies raises `TrainingFailed` here, which says of what. When this
    process dies, they save a checkpoint and end. What ``report`` raises stops them. A script that calls this does so
    below ``if __name__ == "__main__":``, since a new process imports it.
    """
    job = job if isinstance(job, TrainJob) else TrainJob(config=job)
    count = processes(job)
    place = _meeting_place() if count > 1 else {}
    children: list[Child] = []
    with dismissing(children):
        for rank in range(count):
            numbers = {LAUNCHED: str(rank), "RANK": str(rank), "WORLD_SIZE": str(count)}
            own = {**dict.fromkeys(OF_A_TEAM), **place, **numbers} if count > 1 else {}
            children.append(Child(job, environment=own, talks=rank == 0))
        return _attend(children, report or silent, stop or Stop())


def _meeting_place() -> dict[str, str]:
    """Where on this machine processes find each other, as variables of their environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def _attend(children: Sequence[Child], report: Report, stop: Stop) -> Bundle:
    """Wait for what comes of ``children``, and give that of the first. Raises the error that caused all others."""
    deadline: float | None = None
    while any(child.outcome is None for child in children) and (deadline is None or time.monotonic() < deadline):
        listen(children)
        if stop.is_set():
            for child in children:
                child.stop(stop.reason)
        for child in children:
            for step in child.read():
                report(step)
        if deadline is None and any(isinstance(child.outcome, BaseException) for child in children):
            deadline = time.monotonic() + ECHO
    errors = [child.outcome for child in children if isinstance(child.outcome, BaseException)]
    wished = [error for error in errors if stop.is_set() and isinstance(error, Cancelled)]
    causes = [error for error in errors if not isinstance(error, PartnerLost)]
    for error in (*wished, *causes, *errors):
        raise error
    return children[0].bundle()


def listen(children: Sequence[Child]) -> None:
    """Wait until one of ``children`` has something to tell, for a moment at most."""
    wait([child.line for child in children if child.outcome is None], LOOK_EVERY)


@contextlib.contextmanager
def dismissing(children: Sequence[Child]) -> Iterator[None]:
    """See that all ``children`` have ended when the block has: with a checkpoint, unless it is left by an interrupt."""
    try:
        yield
    except Exception:
        _dismiss(children, GRACE)
        raise
    except BaseException:
        _dismiss(children, 0.0)
        raise
    else:
        _dismiss(children, GRACE)


def _dismiss(children: Sequence[Child], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for child in children:
        child.stop("it is no longer wanted")
    for child in children:
        # A process that cannot get rid of what it has to tell would not end.
        while child.outcome is None and time.monotonic() < deadline:
            listen([child])
            for _ in child.read():
                pass
        child.end(max(0.0, deadline - time.monotonic()))


class Child:
    """A process that trains ``job``. What it logs is logged here, from errors on unless it ``talks``.

    ``environment`` has the variables that it sees beside those of this process; None takes one away. Its log lines
    begin with ``name``.
    """

    def __init__(
        self,
        job: TrainJob,
        *,
        environment: Mapping[str, str | None] | None = None,
        talks: bool = True,
        name: str = "",
    ) -> None:
        self._name = name
        self._begun = self._stopped = False
        self.outcome: Path | BaseException | None = None
        """The bundle's place or what went wrong, once it has ended."""
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        level = log.getEffectiveLevel() if talks else max(logging.ERROR, log.getEffectiveLevel())
        self._process = context.Process(target=_work, args=(theirs, job, dict(environment or {}), level), name="train")
        with _shielded():
            self._process.start()
        theirs.close()

    def read(self) -> Iterator[Step]:
        """How far it has come since this was last asked."""
        try:
            while self.outcome is None and self.line.poll():
                kind, value = self.line.recv()
                self._begun = True
                if kind == "step":
                    yield value
                elif kind == "log":
                    self._log(value)
                elif kind == "ended":
                    self.outcome = value
        except (EOFError, OSError):
            self.outcome = self._death()

    def _log(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            record.msg = f"{self._name}{record.msg}"  # without arguments, so its % is no mark
            logger.handle(record)

    def bundle(self) -> Bundle:
        """What it made. Raises what it raised."""
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        assert self.outcome is not None
        return Bundle.open(self.outcome)

    def stop(self, reason: str = "") -> None:
        """Have it stop, as by `Stop`. Once is enough."""
        if not self._stopped:
            self._stopped = True
            with contextlib.suppress(OSError):
                self.line.send(reason)

    def end(self, seconds: float) -> None:
        """Wait for its end, ``seconds`` at most, then kill it."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self.line.close()

    def _death(self) -> SrganError:
        """What a process that has ended without a word died of."""
        self._process.join(GRACE)
        code = self._process.exitcode
        if self._stopped and not self._begun:
            return Cancelled("stopped before it began")
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            why = f"was ended by {name}"
            if name == "SIGKILL":
                why += ", as the system does when memory runs out: a smaller data.batch, data.patch or data.memory_gib "
                why += "needs less"
        elif self._begun:
            why = f"has ended with the exit code {code}"
        else:
            return TrainingFailed(
                f"the training process could not begin (exit code {code}): what it wrote to standard error tells why. "
                'A script that trains must do so below `if __name__ == "__main__":`'
            )
        return TrainingFailed(f"the training process {why}; the same job goes on from the last checkpoint")


@contextlib.contextmanager
def _shielded() -> Iterator[None]:
    """Have a process that is started here not see Ctrl-C before it has settled what that means to it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---------------------------------------------------------------------------------------------- in the process


def _work(line: Connection, job: TrainJob, environment: Mapping[str, str | None], level: int) -> None:
    """Train ``job``, and tell of it through ``line``."""
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    stop, turn = Stop(), threading.Lock()

    def tell(kind: str, value: Any) -> None:
        with turn, contextlib.suppress(OSError):  # whoever would hear it may have died
            line.send((kind, value))

    tell("begun", None)
    _answer_signals(stop)
    threading.Thread(target=_obey, args=(line, stop), name="obey", daemon=True).start()
    _log_through(_Log(tell), level)
    from srgan.training import train

    try:
        tell("ended", train(job, report=lambda step: tell("step", step), stop=stop).path)
    except BaseException as error:
        tell("ended", _portable(error))


def _answer_signals(stop: Stop) -> None:
    """This process has no owner but the one that started it, who passes on what a person at a terminal wishes."""
    for number in _FOR_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set("stopped by SIGTERM"))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FOR_THE_PARENT)


def _obey(line: Connection, stop: Stop) -> None:
    """Set ``stop`` when that is wished, and when the other end of ``line`` is gone."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            stop.set(line.recv())
    stop.set("the process that started this training has ended")
    time.sleep(GRACE)
    os._exit(1)


class _Log(logging.Handler):
    """Passes on records, with their text ready."""

    def __init__(self, tell: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        kept = {key: getattr(record, key) for key in ("name", "levelno", "levelname", "created", "pathname", "lineno")}
        self._tell("log", logging.makeLogRecord({**kept, "msg": text}))


def _log_through(handler: logging.Handler, level: int) -> None:
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False
    # Else lightning-fabric, which finds nobody who listens, writes to standard error by itself.
    logging.getLogger().addHandler(logging.NullHandler())


def _portable(error: BaseException) -> BaseException:
    """``error`` as it can be passed on. One of memory is told as what it is here: an end of the training."""
    import pickle

    if _of_memory(error):
        return TrainingFailed(
            f"memory ran out ({' '.join(str(error).split())[:200] or 'MemoryError'}); a smaller data.batch, data.patch "
            "or data.memory_gib needs less, and so does hardware.checkpoint_activations"
        )
    if not isinstance(error, SrganError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return TrainingFailed(f"{type(error).__name__}: {error}")
    return error


def _of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
