"""What becomes of an output that is there already."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from srgan.batch.plan import Task, numbered
from srgan.batch.report import FileOutcome
from srgan.journal import Journal, Made, Work, stamp

Existing = Literal["skip", "overwrite", "rename"]

EXISTS = "the output exists"
DONE_BEFORE = "done before"
CHANGED = "the output was changed after it was made"
ANOTHER = "the output exists and was made from another file"
DID_NOT_FAIL = "did not fail before"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a run treats outputs that exist.

    An output that was made here before, of the same input by the same model with the same settings, and that nobody has
    changed since, is always left: it is what this run would make. (But ``overwrite`` makes it again unless the run
    goes on with one that did not come to its end.)

    ``skip`` makes an output again that was made here of an input, with settings or by a model that have changed since,
    and touches no other. ``overwrite`` replaces whatever is there. ``rename`` leaves it and gives the new output a
    number: ``name (2).png``.

    With ``retry_failed``, only inputs that failed the last time are worked on.
    """

    existing: Existing
    retry_failed: bool
    journal: Journal
    work: Work
    target: Path

    def judge(self, task: Task, free: Callable[[str], bool]) -> Task | FileOutcome:
        """The task as it is to be done, or why nothing is. ``free`` says whether no other task has a name."""
        if self.retry_failed and self.journal.failed(self.work, task.name) is None:
            return task.outcome("skipped", DID_NOT_FAIL)
        if self.existing == "rename":
            return self._renamed(task, free)
        made = self.journal.made(task.target_name)
        if not os.path.lexists(task.target):
            return replace(task, reason="made again: its output was gone") if made else task
        if self.existing == "overwrite":
            again = made is None or not self.journal.in_this_run(made) or self._is_other(made, task)
            return replace(task, replace=True) if again else task.outcome("skipped", DONE_BEFORE)
        if made is None:
            return task.outcome("skipped", EXISTS)
        if not self._is_ours(made):
            return task.outcome("skipped", CHANGED)
        other = self._is_other(made, task)
        if other in ("", ANOTHER):
            return task.outcome("skipped", other or DONE_BEFORE)
        return replace(task, replace=True, reason=f"made again: {other}")

    def _renamed(self, task: Task, free: Callable[[str], bool]) -> Task | FileOutcome:
        made = self.journal.made_from(self.work, task.name)
        if made and not self._is_other(made, task) and self._is_ours(made):
            found = replace(task, target_name=made.target, target=self.target / made.target)
            return found.outcome("skipped", DONE_BEFORE)
        name, number = task.target_name, 1
        while os.path.lexists(self.target / name) or not free(name):
            number += 1
            name = numbered(task.target_name, number)
        return replace(task, target_name=name, target=self.target / name)

    def _is_ours(self, made: Made) -> bool:
        """Whether the output is still what was made."""
        try:
            return made.output.is_of(self.target / made.target)
        except OSError:
            return False

    def _is_other(self, made: Made, task: Task) -> str:
        """In what the making of an output differs from what this run would do; empty when in nothing."""
        here = (made.work.source, made.source) == (self.work.source, task.name)
        try:
            # The time of change means nothing between two files.
            same = made.input.is_of(task.source) if here else made.input.digest == stamp(task.source).digest
        except OSError:
            same = False
        if not same:
            return "the input changed" if here else ANOTHER
        if made.work.model != self.work.model:
            return "the model changed"
        return "" if made.work.settings == self.work.settings else "the settings changed"
