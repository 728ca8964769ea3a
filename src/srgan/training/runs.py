"""Runs on disk: versions, and what each keeps in its folder.

    runs/NAME/001/config.json                       the resolved configuration
                 /commit                            the commit of srgan that began it
                 /teacher.json                      recipe distil: the teacher that it began with
                 /checkpoints/step-00001000.safetensors
                 /curve.csv                         one line for each validation
                 /samples/step-00001000.png         what the network makes, at each validation
                 /bundle/                           the model, when the run has finished
                 /lock                              held by the process that trains in it

What a checkpoint holds is known in `srgan.training.state`. A new version is begun when all that trains the same has
finished.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srgan.atomic import hold, write_whole
from srgan.errors import CannotWrite, InvalidConfig
from srgan.imaging import Picture, from_uint8, write_picture
from srgan.training.config import TrainConfig
from srgan.training.job import differences

log = logging.getLogger("srgan")

ONCE_SHARED = ("discriminator", "updates", "ensemble")
"""Sections that the configurations of all recipes had, before each recipe had settings of its own."""
CHECKPOINT = re.compile(r"step-(\d{8})\.safetensors")


def config_hash(config: TrainConfig) -> str:
    """SHA-256 of the resolved configuration, with all that makes no difference to the weights."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()


@dataclass(frozen=True)
class Run:
    """One version of a run: a folder."""

    folder: Path

    @property
    def commit(self) -> str:
        """The commit that began the run; empty when it was an installed package."""
        path = self.folder / "commit"
        return path.read_text() if path.exists() else ""

    @property
    def teacher(self) -> dict[str, Any]:
        """What is known of the teacher that the run began with; empty without one."""
        path = self.folder / "teacher.json"
        known: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return known

    @property
    def teacher_features(self) -> tuple[str, ...]:
        """The networks that losses looked through when the teacher was trained."""
        return tuple(self.teacher.get("loss_features", ()))

    @property
    def bundle(self) -> Path:
        """Where the finished model goes."""
        return self.folder / "bundle"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep everybody else out of this run until the block ends. Raises `CannotWrite`, also when one is in it."""
        path = self.folder / "lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise CannotWrite(f"{path}: {error.strerror or error}") from error
        try:
            if not hold(file):
                raise CannotWrite(
                    f"{self.folder}: another process is training in this run; wait for it, or use --fresh"
                )
            yield
        finally:
            os.close(file)

    def checkpoints(self) -> list[Path]:
        """All checkpoints, oldest first."""
        folder = self.folder / "checkpoints"
        return sorted(p for p in folder.glob("*") if CHECKPOINT.fullmatch(p.name)) if folder.is_dir() else []

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of ``step`` goes."""
        return self.folder / "checkpoints" / f"step-{step:08d}.safetensors"

    def show(self, step: int, pixels: NDArray[np.uint8]) -> None:
        """Keep a picture, H x W x 3, of what the network makes at ``step``. Raises `CannotWrite`."""
        folder = self.folder / "samples"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise CannotWrite(f"{folder}: {error.strerror or error}") from error
        write_picture(Picture(pixels=from_uint8(pixels)), folder / f"step-{step:08d}.png", overwrite=True)

    def prune(self, keep: int, best: int) -> None:
        """Delete all but the last ``keep`` checkpoints and that of step ``best``. That of step 0 makes way for any."""
        paths = self.checkpoints()
        for number, path in enumerate(paths, 1):
            old = number <= len(paths) - keep and path != self.checkpoint(best)
            if old or (path == self.checkpoint(0) and len(paths) > 1):
                path.unlink(missing_ok=True)

    def note(self, row: dict[str, float]) -> None:
        """Append a line to the learning curve; the keys of ``row`` are its columns, new ones among them.

        Raises `CannotWrite`.
        """
        path = self.folder / "curve.csv"
        try:
            columns = self._widened(path, row)
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                if not path.stat().st_size:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise CannotWrite(f"{path}: {error.strerror or error}") from error

    @staticmethod
    def _widened(path: Path, row: dict[str, float]) -> list[str]:
        """The columns of the curve at ``path``, which it is given those of ``row`` that it lacks."""
        if not path.exists() or not path.stat().st_size:
            return list(row)
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            known = list(reader.fieldnames or ())
            if row.keys() <= {*known}:
                return known
            rows = list(reader)
        columns = [*known, *(name for name in row if name not in known)]
        content = io.StringIO()
        writer = csv.DictWriter(content, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(path, content.getvalue().encode())
        return columns

    def rewind(self, step: int) -> None:
        """Drop the lines of the learning curve after ``step``, which are about to be made again.

        With them goes what a process that died, or a full disk, has left there of a line. Raises `CannotWrite`.
        """
        path = self.folder / "curve.csv"
        try:
            if not path.exists():
                return
            content = path.read_bytes()
            heading, *lines = content.splitlines(keepends=True) or [b""]
            whole = heading.endswith(b"\n")
            kept = [line for line in lines if whole and _is_row(line, heading.count(b","), step)]
            rewound = b"".join([heading, *kept]) if whole else b""
            if rewound != content:
                write_whole(path, rewound)
        except OSError as error:
            raise CannotWrite(f"{path}: {error.strerror or error}") from error


def _is_row(line: bytes, commas: int, last: int) -> bool:
    """Whether ``line`` is a whole one of a learning curve, of step ``last`` or one before it."""
    step = line.partition(b",")[0].strip()
    return line.endswith(b"\n") and line.count(b",") == commas and step.isdigit() and int(step) <= last


def run_at(folder: Path) -> Run:
    """The run in ``folder``: that itself, or the last version where it holds several. Raises `InvalidConfig`."""
    found = Run(folder) if (folder / "config.json").is_file() else next(versions(folder), None)
    if found is None:
        raise InvalidConfig(f"{folder}: is no run of a training, which would be a folder such as runs/NAME/001")
    return found


def open_run(config: TrainConfig, *, resume: bool | Path) -> Run:
    """The run to work in: that of `begun_run`, else a new one. Raises `CannotWrite`."""
    return begun_run(config, resume) or new_run(config)


def begun_run(config: TrainConfig, resume: bool | Path) -> Run | None:
    """The run to go on with: the one whose folder ``resume`` is, the newest that can be where it is True, else none."""
    if isinstance(resume, Path):
        return Run(resume)
    return unfinished_run(config) if resume else None


def new_run(config: TrainConfig) -> Run:
    """A new version. Raises `CannotWrite`."""
    last = next(versions(config.output.runs / config.output.name), None)
    folder = config.output.runs / config.output.name / f"{int(last.folder.name) + 1 if last else 1:03d}"
    try:
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.json").write_text(config.model_dump_json(indent=1))
        (folder / "commit").write_text(commit_here())
    except OSError as error:
        raise CannotWrite(f"{folder}: {error.strerror or error}") from error
    return Run(folder)


def unfinished_run(config: TrainConfig) -> Run | None:
    """The newest version that can be continued: it has not finished, and ``config`` trains the same weights.

    Where there is none, those that have begun and have not finished are warned of: they are passed over.
    """
    passed: list[str] = []
    for run in versions(config.output.runs / config.output.name):
        if run.bundle.exists():
            continue
        begun_with = config_of(run)
        if begun_with is None:
            if run.checkpoints():
                passed.append(f"{run.folder} is unfinished, but its config.json cannot be read")
        elif others := differences(begun_with, config):
            passed.append(f"{run.folder} is unfinished but has different settings ({', '.join(others)})")
        else:
            return run
    for said in passed:
        log.warning("%s, so a new run starts; --resume RUN goes on with any run under new settings", said)
    return None


def finished_run(config: TrainConfig) -> Run | None:
    """The newest version that has finished, and where ``config`` trains the same weights."""
    for run in versions(config.output.runs / config.output.name):
        begun_with = config_of(run) if run.bundle.exists() else None
        if begun_with is not None and not differences(begun_with, config):
            return run
    return None


def versions(root: Path) -> Iterator[Run]:
    """All versions in the folder of a name, the newest first."""
    folders = [path for path in root.glob("*") if re.fullmatch("[0-9]+", path.name) and path.is_dir()]
    yield from map(Run, sorted(folders, key=lambda path: int(path.name), reverse=True))


def config_of(run: Run) -> TrainConfig | None:
    """The configuration that ``run`` was begun with, if it is there and still valid."""
    try:
        values = json.loads((run.folder / "config.json").read_bytes())
        known = TrainConfig.form_of(values).model_fields
        return TrainConfig.model_validate({k: v for k, v in values.items() if k in known or k not in ONCE_SHARED})
    except (OSError, ValueError, AttributeError):
        return None


def commit_here() -> str:
    """The commit of the working tree that this package runs from; empty for an installed package."""
    here = Path(__file__)

    def git(*words: str) -> str:
        command = ["git", "-C", str(here.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # fails where the package lies in the tree of something else
        return git("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty")
    except (OSError, subprocess.SubprocessError):
        return ""
