"""The conformance suite passes on the installed command: all of it, with nothing left out."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KINDS = (
    "formats", "animation", "colour", "depth", "alpha", "metadata", "sizes", "constant", "geometry", "seams", "hostile",
    "outputs", "names", "limits", "batch",
)  # fmt: skip
MAY_NOT_RUN = {"formats.heic": "pillow_heif", "formats.jxl": "pillow_jxl"}
"""Rows whose input needs the extra ``formats``."""


@pytest.fixture(scope="module")
def rows(command: str, root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every row of a run of the whole suite, by its id."""
    path = tmp_path_factory.mktemp("conformance") / "rows.json"
    program = shlex.quote(command)
    done = subprocess.run(
        [
            sys.executable, "-m", "conformance", "--json", str(path),
            "--command", f"{program} upscale {{input}} {{output}} --scale 4",
            "--tiled-command", f"{program} upscale {{input}} {{output}} --scale 4 --tile 64",
            "--batch-command", f"{program} batch-process {{input}} {{output}} --scale 4",
        ],
        cwd=root, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert path.exists(), done.stderr[-2000:]
    return {row["id"]: row for row in json.loads(path.read_text("utf-8"))["rows"]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_row_of_a_kind_passes(kind: str, rows: dict[str, dict[str, Any]]) -> None:
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


@pytest.mark.slow
def test_there_is_no_kind_that_nobody_looks_at(rows: dict[str, dict[str, Any]]) -> None:
    assert {id.partition(".")[0] for id in rows} == set(KINDS)
