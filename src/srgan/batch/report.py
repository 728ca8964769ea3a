"""What became of every file, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from srgan.atomic import write_whole

State = Literal["done", "skipped", "failed", "stopped"]

STATES: tuple[State, ...] = ("done", "skipped", "failed", "stopped")


@dataclass(frozen=True, kw_only=True)
class FileOutcome:
    """What became of one file."""

    source: str
    """Path in the input folder, with forward slashes."""
    target: str
    """Path in the output folder, with forward slashes."""
    state: State
    """`done`: written and checked. `skipped`: see the reason. `failed`: see the reason; nothing was written.
    `stopped`: not finished when the run was stopped; nothing was written."""
    reason: str = ""
    """Why it was skipped, failed, stopped or made again, and what was damaged in it; empty for an output that is simply
    new."""
    seconds: float = 0.0
    """From the start of reading to the end of writing; files overlap."""
    width: int | None = None
    """Width of the written picture."""
    height: int | None = None
    """Height of the written picture."""
    frames: int | None = None
    """1, or the number of pictures in the written animation."""
    model: str = ""
    """Name of the model that made it in this run."""


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """What became of all files, in the order of their names."""

    source: str
    """The input folder."""
    target: str
    """The output folder."""
    model: str
    """Name of the model, or of the choice between several."""
    outcomes: tuple[FileOutcome, ...]
    """One for each input."""
    seconds: float
    """Length of the run."""
    interrupted: bool
    """Whether it was stopped before its end."""
    reason: str = ""
    """Why it stopped by itself before its end, if it did: the disk is full."""

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
        counts = ", ".join(f"{self.count(state)} {state}" for state in STATES if self.count(state))
        return f"{counts} of {len(self.outcomes)} in {self.seconds:.1f} s"

    def to_json(self) -> str:
        """The whole report, with the counts on top."""
        counts = {state: self.count(state) for state in STATES}
        return json.dumps({"ok": self.ok, "counts": counts, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """The outcomes as a table, one line for each input below the names of the columns."""
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(field.name for field in fields(FileOutcome))
        table.writerows(asdict(outcome).values() for outcome in self.outcomes)
        return text.getvalue()


def write_report(report: BatchReport, path: Path) -> None:
    """Write ``report``: as a table when ``path`` ends in ``.csv``, else as JSON. Raises `CannotWrite`."""
    write_whole(path, report.to_csv() if path.suffix.lower() == ".csv" else report.to_json())


def printable(text: str) -> str:
    """``text`` in one line, whatever a file is called."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
