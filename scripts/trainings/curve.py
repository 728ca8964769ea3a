"""What the learning curve of a run tells: how good it is, how fast, and whether it still becomes better."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from srgan.metrics.judges import FIGURES

STILL = 3.0
"""A validation that came so many times later than they mostly do came after a pause, which does not count."""
LATEST = 6
"""Intervals that the speed is judged by."""


@dataclass(frozen=True)
class Curve:
    """The validations of a run, judged by one figure. Times are those of work: pauses count as one usual interval."""

    rows: tuple[dict[str, float], ...]
    figure: str = "psnr"
    first: int = 0
    """The step that the run began at."""

    @classmethod
    def of(cls, folder: Path, figure: str = "psnr", first: int = 0) -> Curve:
        """That of the run in ``folder``; empty where there is none. A line that is being written is left out."""
        try:
            text = (folder / "curve.csv").read_text("utf-8")
        except OSError:
            text = ""
        return cls(tuple(_rows(text)), figure, first)

    @property
    def step(self) -> int:
        """The last step that was validated."""
        return int(self.rows[-1]["step"]) if self.rows else self.first

    @property
    def best(self) -> dict[str, float] | None:
        """The first of the best validations."""
        known = [row for row in self.rows if self.figure in row]
        return min(known, key=lambda row: FIGURES[self.figure].fault(row[self.figure]), default=None)

    def intervals(self) -> list[tuple[int, float, int]]:
        """The last step, the seconds and the number of steps of each stretch from one validation to the next."""
        stretches, before, then = [], self.first, 0.0
        for row in self.rows:
            steps, seconds = int(row["step"]) - before, row["seconds"] - then
            if steps > 0:
                stretches.append((int(row["step"]), max(0.0, seconds), steps))
            before, then = int(row["step"]), row["seconds"]
        if not stretches:
            return []
        usual = statistics.median(seconds / steps for _, seconds, steps in stretches)
        return [(at, min(seconds, STILL * usual * steps), steps) for at, seconds, steps in stretches]

    def seconds(self, after: int = 0) -> float:
        """Time of the work behind step ``after``."""
        return sum(seconds for at, seconds, _ in self.intervals() if at > after)

    def speed(self) -> float | None:
        """Steps per second of late, in the median."""
        rates = [steps / seconds for _, seconds, steps in self.intervals()[-LATEST:] if seconds > 0]
        return statistics.median(rates) if rates else None

    def flat_for(self) -> float:
        """Time of work since the best validation."""
        return 0.0 if self.best is None else self.seconds(int(self.best["step"]))

    def said(self) -> str:
        """The best figure, in words."""
        if self.best is None:
            return ""
        digits = max(3, FIGURES[self.figure].digits)
        return f"{self.figure} {self.best[self.figure]:.{digits}f} at step {int(self.best['step'])}"


def _rows(text: str) -> Iterator[dict[str, float]]:
    whole, _, _ = text.rpartition("\n")
    for row in csv.DictReader(whole.splitlines()):
        try:
            yield {key: float(value) for key, value in row.items()}
        except (TypeError, ValueError):
            continue
