"""What the command line writes: results to stdout, messages to stderr.

With ``--json`` stdout is exactly one JSON document. Messages are silenced by ``--quiet``; errors are not.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from srgan.cli.failures import OutputClosed, write_talk
from srgan.errors import CannotWrite
from srgan.progress import Step

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

LOG = logging.getLogger("srgan")


def set_verbosity(verbose: int, quiet: bool) -> None:
    """-q shows errors only, -v also what is being done, -vv also the details and tracebacks."""
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    LOG.setLevel(level)


def start_logging() -> None:
    """Send the package's log to stderr, in the form of the other talk."""
    LOG.handlers[:] = [_Talk()]
    LOG.propagate = False
    set_verbosity(0, quiet=False)
    # What Pillow thinks of damaged metadata is no talk of ours; where it matters, reading raises an error.
    warnings.filterwarnings("ignore", module=r"PIL\.")


class _Talk(logging.Handler):
    """Writes records as talk: to the stderr of the moment, so that lines appear above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        write_talk(f"srgan: {record.levelname.lower()}: {self.format(record)}")


def is_quiet() -> bool:
    """Whether only errors are to be shown."""
    return not LOG.isEnabledFor(logging.WARNING)


def emit(text: str) -> None:
    """Write a result to stdout, with a line end."""
    emit_bytes(f"{text}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def emit_json(value: Any) -> None:
    """Write the one JSON document of a command."""
    emit(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def emit_bytes(data: bytes) -> None:
    """Write to stdout at once. Raises `OutputClosed` when the reader has gone, `CannotWrite` when the disk is full."""
    rest = memoryview(data)
    try:
        sys.stdout.flush()
        while rest:
            # Without Python's buffer (PYTHONUNBUFFERED) a write may take only a part.
            written = sys.stdout.buffer.write(rest)
            if not written:
                raise OSError(0, "it takes no more data")
            rest = rest[written:]
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        raise OutputClosed from error
    except OSError as error:
        raise CannotWrite(f"standard output: {error.strerror or error}") from error


def say(text: str) -> None:
    """Tell the person something that is not a result."""
    if not is_quiet():
        write_talk(text)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of plain text: numbers to the right, all else to the left."""
    cells = [[*map(str, headings)], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.4g}"
        if isinstance(value, float) and abs(value) < 1
        else f"{value:.2f}"
        if isinstance(value, float)
        else str(value)
    )


def bytes_text(count: float) -> str:
    """A number of bytes for people: ``1.5 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class Progress:
    """A `Report` for people: on a terminal a bar with the time left, else a plain line every ``every`` seconds.

    It shows nothing when quiet, nor in the first ``delay`` seconds, but for news.
    """

    def __init__(self, label: str, *, delay: float = 1.0, every: float = 10.0) -> None:
        self._label = label
        self._every = every
        self._next = time.monotonic() + delay
        self._first: tuple[float, float] | None = None
        """When the first call came, and how much was done then: resumed work does not begin at nothing."""
        self._unit = ""
        """Work that comes in another unit is another part, with a speed of its own."""
        self._on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._bar: Bar | None = None

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if step.news:
            say(step.news)
        if self._first is None or step.unit != self._unit:
            self._first, self._unit = (now, step.done), step.unit
            if self._bar is not None:
                self._bar.reset(self._bar.task_ids[0])
        if is_quiet() or step.total <= 0 or (self._bar is None and now < self._next):
            return
        if self._on_terminal:
            self._draw(step)
            return
        if step.done >= step.total:
            return
        self._next = now + self._every
        parts = [f"{self._label}: {_amount(step)}", step.note]
        began, before = self._first
        if step.done > before:
            parts.append(f"about {_duration((now - began) / (step.done - before) * (step.total - step.done))} left")
        say(", ".join(filter(None, parts)))

    def _draw(self, step: Step) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[amount]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.add_task(self._label, total=step.total, note=step.note, amount=_amount(step))
            self._bar.start()
        task = self._bar.task_ids[0]
        self._bar.update(task, completed=step.done, total=step.total, note=step.note, amount=_amount(step))

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _amount(step: Step) -> str:
    """``3 of 12 files``; pixels by the million."""
    if step.unit == "pixels":
        return f"{step.done / 1e6:.1f} of {step.total / 1e6:.1f} megapixels"
    return f"{step.done:.0f} of {step.total:.0f} {step.unit}".rstrip()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
