"""Running rows side by side, each in a process of its own kind: what breaks one does not break the others."""

from __future__ import annotations

import multiprocessing
import shlex
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from conformance.bench import Job, Result, judge
from conformance.rows import collected


def run(ids: list[str], job: Job, jobs: int, tell: Callable[[Result], None]) -> list[Result]:
    """Judge the rows in ``jobs`` processes. ``tell`` gets each as it ends; they come back in order."""
    results: dict[str, Result] = {}
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(judge_by_id, id, job): id for id in ids}
        for future in as_completed(waiting):
            result = results[waiting[future]] = future.result()
            tell(result)
    return [results[id] for id in ids]


def judge_by_id(id: str, job: Job) -> Result:
    """In a worker: rows are functions, which do not travel; their ids do. A mistake of the suite is a failed row."""
    found = next(row for row in collected() if row.id == id)
    try:
        return judge(found, job)
    except Exception:
        text = traceback.format_exc().strip().splitlines()
        return Result(found.id, found.title, found.given, found.why, "FAIL", f"the check itself broke: {text[-1]}")


def rooted(command: str | None) -> str | None:
    """A command with its relative paths made absolute: it is called from other folders."""
    if command is None:
        return None
    words = shlex.split(command)
    # Not resolved: the python of a virtual environment is a link that must be called by its own name.
    return shlex.join(str(Path(word).absolute()) if "/" in word and Path(word).is_file() else word for word in words)
