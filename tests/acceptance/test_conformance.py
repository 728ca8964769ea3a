"""The conformance suite passes on srgan: all of it, with nothing left out.

Every day most rows call the command line in this process, which takes a fifth of the time; those that are about the
process itself, its arguments or its end call the installed command. `make soak` has all of them call it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance import bench
from conformance.bench import Job, Ran, Result, judge
from conformance.rows import collected

from srgan import cli

ROWS = {row.id: row for row in collected()}
KINDS = (
    "formats", "animation", "colour", "depth", "alpha", "metadata", "sizes", "constant", "geometry", "seams", "hostile",
    "outputs", "names", "limits", "batch",
)  # fmt: skip
AS_COMMANDS = ("names.", "outputs.killed", "outputs.full-disk", "batch.killed", "batch.two-at-once", "hostile.bomb")
"""Rows that send signals, set limits, or ask what becomes of a name on its way into a process."""

MAY_NOT_RUN = {"formats.heic": "pillow_heif", "formats.jxl": "pillow_jxl"}
"""Rows whose input needs the extra ``formats``."""


def job_of(program: str) -> Job:
    return Job(
        command=f"{program} upscale {{input}} {{output}} --scale 4",
        tiled=f"{program} upscale {{input}} {{output}} --scale 4 --tile 64",
        batch=f"{program} batch-process {{input}} {{output}} --scale 4",
    )


@pytest.fixture
def judged(command: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Result]:
    """Judges a row."""

    def call(words: list[str], folder: Path, timeout: float, **limits: Any) -> Ran:
        assert not any(limits.values()), "a row of AS_COMMANDS"
        said, start = io.TextIOWrapper(io.BytesIO(), "utf-8"), time.monotonic()
        with (
            contextlib.chdir(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):  # fmt: skip
            warnings.simplefilter("ignore")  # as in a process of its own
            code = cli.run(words[1:])
        said.seek(0)
        return Ran(code, time.monotonic() - start, said.read().replace(f"{folder}/", ""), 0)

    def run(id: str) -> Result:
        if not id.startswith(AS_COMMANDS):
            monkeypatch.setattr(bench, "call", call)
        return judge(ROWS[id], job_of(shlex.quote(command)))

    return run


@pytest.mark.parametrize("id", ROWS)
def test_every_row_passes(id: str, judged: Callable[[str], Result]) -> None:
    result = judged(id)

    absent = id in MAY_NOT_RUN and importlib.util.find_spec(MAY_NOT_RUN[id]) is None
    assert result.status == ("NOT RUN" if absent else "PASS"), result.told()


def test_rows_that_are_named_here_exist() -> None:
    assert {id.partition(".")[0] for id in ROWS} == set(KINDS)
    assert all(any(id.startswith(start) for id in ROWS) for start in (*AS_COMMANDS, *MAY_NOT_RUN))


@pytest.fixture(scope="module")
def rows(command: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every row of a run of the whole suite on the installed command, by its id."""
    path = tmp_path_factory.mktemp("conformance") / "rows.json"
    job = job_of(shlex.quote(command))
    done = subprocess.run(
        [
            sys.executable, "-m", "conformance", "--json", str(path),
            "--command", job.command, "--tiled-command", str(job.tiled), "--batch-command", str(job.batch),
        ],
        cwd=root, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert path.exists(), done.stderr[-2000:]
    return {row["id"]: row for row in json.loads(path.read_text("utf-8"))["rows"]}


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_of_a_kind_passes_on_the_command(kind: str, rows: dict[str, dict[str, Any]]) -> None:
    of_kind = {id: row for id, row in rows.items() if id.startswith(kind + ".")}
    assert of_kind

    failed = {
        id: [row["reason"], *(m for m in row["measures"] if not m["ok"])]
        for id, row in of_kind.items()
        if row["status"] == "FAIL"
    }
    assert failed == {}

    absent = {id for id, module in MAY_NOT_RUN.items() if importlib.util.find_spec(module) is None}
    assert {id for id, row in of_kind.items() if row["status"] == "NOT RUN"} <= absent


@pytest.mark.soak
def test_a_run_of_the_suite_leaves_no_row_out(rows: dict[str, dict[str, Any]]) -> None:
    assert list(rows) == list(ROWS)
