"""The training log: for each run and day a section with the steps it made, in how many hours, and what it came to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from scripts.trainings.curve import Curve

from srgan.atomic import write_whole
from srgan.metrics.judges import FIGURES

TITLE = """# Training log

What [the queue](how-to/train-queue.md) has trained, by run and day. Figures are those of each run's own validation.
"""
LINES = 8
"""Validations of a day that are shown, at most."""
_SECTION = re.compile(r"^(## \S+, \d{4}-\d\d-\d\d)$", re.MULTILINE)
_SPAN = re.compile(r"^Steps ([\d,]+) to ([\d,]+) ", re.MULTILINE)


@dataclass(frozen=True)
class Diary:
    """The log at ``path``; a file that is not there is begun."""

    path: Path

    def tell(self, name: str, day: date, curve: Curve, steps: int) -> None:
        """Write what the run ``name`` did on that ``day``: all of ``curve`` that no earlier section tells of.

        A section of that day is written anew, but for its notes. Nothing is written where nothing was validated since.
        Raises `CannotWrite`.
        """
        sections = self._sections()
        heading = f"## {name}, {day}"
        earlier = [text for title, text in sections.items() if title.startswith(f"## {name},") and title != heading]
        begin = max([curve.first, *(_number(span[1]) for text in earlier for span in _SPAN.findall(text))])
        if begin > curve.step:  # a run that was begun anew
            begin = curve.first
        if begin == curve.step:
            return
        notes = [line for line in sections.get(heading, "").splitlines() if line.startswith("- ")]
        sections[heading] = _section(curve, begin, steps, notes)
        self._write(sections)

    def add(self, name: str, day: date, note: str) -> None:
        """Add a line to the section of that day, which is made if need be; once. Raises `CannotWrite`."""
        sections, heading = self._sections(), f"## {name}, {day}"
        line, text = f"- {' '.join(note.split())}", sections.get(heading, "")
        if line not in text.splitlines():
            gap = "\n" if text.splitlines() and not text.splitlines()[-1].startswith("- ") else ""
            sections[heading] = f"{text}{gap}{line}\n"
            self._write(sections)

    def _sections(self) -> dict[str, str]:
        """The text below each heading, without empty lines around it."""
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        _, *parts = _SECTION.split(text)
        return {title: f"{content.strip()}\n" for title, content in zip(parts[::2], parts[1::2], strict=True)}

    def _write(self, sections: dict[str, str]) -> None:
        text = "\n".join([TITLE, *(f"{heading}\n\n{content}" for heading, content in sections.items())])
        write_whole(self.path, text)


def _section(curve: Curve, begin: int, steps: int, notes: list[str]) -> str:
    rows = [row for row in curve.rows if row["step"] > begin]
    names = [name for name in rows[0] if name in FIGURES]
    hours = curve.seconds(begin) / 3600
    speed = f"{(curve.step - begin) / hours / 3600:.2f} steps/s" if hours else "no time"
    table = [f"| step | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    for row in _some(rows):
        figures = (f"{row[name]:.{max(3, FIGURES[name].digits)}f}" for name in names)
        table.append(f"| {int(row['step']):,} | {' | '.join(figures)} |")
    best = f"; best so far: {curve.said()}" if curve.said() else ""
    lines = [f"Steps {begin:,} to {curve.step:,} of {steps:,} in {hours:.1f} hours, {speed}{best}.", "", *table]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _some(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """The last of the rows, and others at even distances."""
    count = min(LINES, len(rows))
    return [rows[(index + 1) * len(rows) // count - 1] for index in range(count)]


def _number(text: str) -> int:
    return int(text.replace(",", ""))
