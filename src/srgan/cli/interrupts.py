"""What Ctrl-C and the other signals that end a program mean to a command that can end in good order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from srgan.cli.failures import write_talk
from srgan.errors import Cancelled
from srgan.progress import Stop

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; the wish of another program; a terminal that is closed. Windows lacks the last."""


@contextmanager
def stopping(said: str) -> Iterator[Stop]:
    """A `Stop` that is set by any of `SIGNALS`; ``said`` then tells what becomes of the work. A second Ctrl-C ends it.

    A signal that this process was started to ignore, as by nohup, stays ignored. Under torchrun, which passes on a
    Ctrl-C that its processes have had already, a second one is none. The `Cancelled` that comes of another signal than
    Ctrl-C becomes the exit code of that signal. Nothing sets it outside the main thread, where Python allows no signal
    handlers.
    """
    stop = Stop()
    passed_on = "TORCHELASTIC_RUN_ID" in os.environ
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    first: list[int] = []

    def answer(number: int, frame: FrameType | None) -> None:
        if first and number == signal.SIGINT and not passed_on:
            raise KeyboardInterrupt
        if not first:
            write_talk(f"srgan: {said}; another Ctrl-C stops at once")
        first.append(number)
        stop.set()

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, answer)
    try:
        yield stop
    except Cancelled as error:
        if not first or first[0] == signal.SIGINT:
            raise
        write_talk(f"srgan: {error}")
        raise SystemExit(128 + first[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
