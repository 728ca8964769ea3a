"""What came out, for people (text), for programs (JSON) and for the documentation (Markdown)."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from conformance.bench import Job, Measure, Result

INTRODUCTION = """\
# Conformance

What happens around the network decides whether an enlarged picture can be used: its colours, depth, transparency,
metadata, size and name, and what becomes of a file that is broken. The suite in `conformance/` asks for all of it
from outside, by the command line alone: it makes files with known answers, runs an upscaler on them and measures what
came out. It imports nothing of srgan.

```sh
make conformance
.venv/bin/python -m conformance --command 'any-upscaler {input} {output}' --json rows.json --markdown rows.md
```

`--only 'alpha.*'` runs some rows, `--list` names them all, `--scale` tells the factor if it is not 4. Exit code 1
says that a row failed. This page is written by `--merge a.json b.json --markdown docs/reference/conformance.md`; run
the three commands below again with `--json` to check it.

Networks may draw detail that no input has, so pictures are compared in their low frequencies: means over 4 x 4 input
pixels in general, 2 x 2 at transparent edges. Bounds leave room for a network's taste, not for a profile that is
lost. Colour differences are CIEDE2000 through LittleCMS. The peers are called as their own documentation shows; what
they were not made for, such as metadata in a library that only has pixels, fails them all the same, because whoever
uses them loses it. The suite itself is tried on an upscaler that does everything right and on twenty-five that each
do one thing wrong (`tests/unit/conformance`).

Bounds are not all older than the figures. After first runs of all three, the bound on the difference of pictures went
from 3 to 6 of 255 levels, since the network of a peer shifts all colours by 4, which the rows about colour and
constants say already; that on distinct values of 16-bit gradients went from 1000 to 257, and that of Display P3 to JPEG
from 2.5 to 1.8, since a lost profile had passed. `folder` rows were not run on the peers, which have no such command.

"""
SIGNS = {"PASS": "pass", "FAIL": "**fail**", "NOT RUN": "not run"}


def heading(job: Job, name: str, version: str) -> dict[str, Any]:
    """With what, where and when the rows were run."""
    tools = ("numpy", "Pillow", "tifffile", "pyvips", "pyvips-binary")
    return {
        "name": name,
        "version": version,
        "command": job.command,
        "tiled_command": job.tiled,
        "batch_command": job.batch,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "judged_with": ", ".join(f"{tool} {_version(tool)}" for tool in tools)
        + f", Python {platform.python_version()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(tool: str) -> str:
    try:
        return importlib.metadata.version(tool)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def version_of(command: str) -> str:
    """What ``PROGRAM --version`` says in one line; empty where that is nothing."""
    import subprocess

    program = shlex.split(command)[0]
    if not shutil.which(program):
        return ""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0][:80] if lines and done.returncode == 0 else ""


def counts(results: list[Result]) -> str:
    found = Counter(result.status for result in results)
    return f"{found['PASS']} pass, {found['FAIL']} fail, {found['NOT RUN']} not run"


def document(head: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    found = Counter(result.status for result in results)
    return head | {"counts": dict(found), "rows": [result.as_dict() for result in results]}


def results_of(document: dict[str, Any]) -> list[Result]:
    """The way back from `document`."""
    return [
        Result(**(row | {"measures": [Measure(**measure) for measure in row["measures"]]})) for row in document["rows"]
    ]


def line(result: Result) -> str:
    return f"{result.status:8}{result.id:32} {result.told()}"


def page(documents: list[dict[str, Any]]) -> str:
    """The page of the documentation."""
    return INTRODUCTION + table(documents)


def table(documents: list[dict[str, Any]]) -> str:
    """In Markdown: who was judged and how, the totals of each kind, and every row side by side."""
    parts = [_judged(documents), _totals(documents)]
    by_id = [{result.id: result for result in results_of(one)} for one in documents]
    order = list(dict.fromkeys(result.id for one in documents for result in results_of(one)))
    for kind in dict.fromkeys(id.partition(".")[0] for id in order):
        names = " | ".join(one["name"] for one in documents)
        parts.append(f"## {kind.capitalize()}\n\n| row | what is asked | {names} |\n|---|---|{'---|' * len(documents)}")
        for id in (id for id in order if id.partition(".")[0] == kind):
            seen = [one.get(id) for one in by_id]
            known = next(result for result in seen if result)
            cells = " | ".join(_cell(result) for result in seen)
            parts[-1] += f"\n| `{id.partition('.')[2]}` | {_safe(known.title)}. Given: {_safe(known.given)} | {cells} |"
    return "\n\n".join(parts) + "\n"


def _cell(result: Result | None) -> str:
    if result is None:
        return "not run"
    told = _safe(result.told())
    return SIGNS[result.status] + (f": {told}" if told else "")


def _safe(text: str) -> str:
    """A cell of a table: one line, no bars, no markup."""
    text = " ".join(text.split()).replace("|", "/").replace("`", "'")
    return re.sub(r"([\[\]<>*$_])", r"\\\1", text)


def _judged(documents: list[dict[str, Any]]) -> str:
    lines = []
    for one in documents:
        lines.append(f"- **{one['name']}** {one['version']}, {one['date']}:")
        for key, what in (("command", "picture"), ("tiled_command", "tiles"), ("batch_command", "folder")):
            if one.get(key):
                lines.append(f"    - {what}: ``{one[key]}``")
    machine = "; ".join(dict.fromkeys(one["machine"] for one in documents))
    judged = "; ".join(dict.fromkeys(one["judged_with"] for one in documents))
    return "\n".join([*lines, "", f"Machine: {machine}. Judged with {judged}."])


def _totals(documents: list[dict[str, Any]]) -> str:
    names = " | ".join(one["name"] for one in documents)
    lines = [f"| kind | {names} |", f"|---|{'---|' * len(documents)}"]
    judged = [results_of(one) for one in documents]
    kinds = list(dict.fromkeys(result.id.partition(".")[0] for results in judged for result in results))
    for kind in [*kinds, ""]:
        cells = []
        for results in judged:
            found = Counter(r.status for r in results if not kind or r.id.startswith(kind + "."))
            run = found["PASS"] + found["FAIL"]
            cells.append(f"{found['PASS']} of {run}" if run else "not run")
        lines.append(f"| {kind or '**all**'} | {' | '.join(cells)} |")
    return "\n".join(lines)
