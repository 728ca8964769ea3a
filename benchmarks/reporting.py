"""What every benchmark prints about itself, and the options that all of them have."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from srgan.benchmark import LIBRARIES, describe_machine, library_versions

ROOT = Path(__file__).resolve().parents[1]


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="see that it runs, in seconds; the figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to this file")
    return parser


def print_header(protocol: str, *more_libraries: str) -> dict[str, Any]:
    """Print the command, the machine, the versions and the protocol; give the same for the JSON document."""
    machine = describe_machine()
    versions = library_versions([*LIBRARIES, *more_libraries])
    command = shlex.join(["python", _short(sys.argv[0]), *sys.argv[1:]])
    print(f"Command: {command}")
    print(f"Commit: {_commit()}")
    print(f"Machine: {machine}")
    print(f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}")
    print(f"Protocol: {protocol}")
    print(flush=True)
    return {
        "command": command,
        "commit": _commit(),
        "machine": vars(machine),
        "versions": versions,
        "protocol": protocol,
    }


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have a training of the queue, `scripts/train_queue`, stand still while the block measures."""
    sys.path.append(str(ROOT))
    from scripts.trainings.place import paused

    with paused() as done:
        if done:
            say("the training of this machine stands still meanwhile")
        yield


def write_json(path: Path | None, document: dict[str, Any]) -> None:
    """Write ``document`` to ``path``, if there is one."""
    if path is not None:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def say(text: str) -> None:
    """Tell a waiting person what is being done; not part of the result."""
    print(text, file=sys.stderr, flush=True)


def _short(script: str) -> str:
    path = Path(script).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _commit() -> str:
    """The commit of the checkout, marked when the package or the benchmarks differ from it."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--abbrev=10", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip() + (" with changes" if changes.stdout.strip() else "")
