"""Runs on disk: versions, checkpoints that can be continued exactly, and the learning curve.

    runs/NAME/001/config.json                       the resolved configuration
                 /commit                            the commit of srgan that began it
                 /checkpoints/step-00001000.safetensors
                 /curve.csv                         one line for each validation
                 /samples/step-00001000.png         what the network makes, at each validation
                 /bundle/                           the model, when the run has finished
                 /lock                              held by the process that trains in it

A checkpoint is one safetensors file (weights, average, optimisers, random states) with the plain values in its header,
so nothing is ever unpickled. A new version is begun when the last one has finished or had another configuration.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srgan.atomic import hold, write_whole
from srgan.errors import CannotWrite, TrainingFailed
from srgan.imaging import Picture, from_uint8, write_picture
from srgan.networks.network import Network
from srgan.training.config import TrainConfig
from srgan.training.optimisers import WeightAverage

log = logging.getLogger("srgan")

PLAIN = (
    "step",
    "discriminator_step",
    "seconds",
    "psnr",
    "best_step",
    "best",
    "waited",
    "recoveries",
    "recovered_at",
    "rate_scale",
    "parent",
    "parent_features",
)
"""Fields of `State` that go into a checkpoint's header."""
CHECKPOINT = re.compile(r"step-(\d{8})\.safetensors")


def config_hash(config: TrainConfig) -> str:
    """SHA-256 of the resolved configuration."""
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
                raise CannotWrite(f"{self.folder}: another process trains here; wait for it, or give --fresh")
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
        """Append a line to the learning curve; the keys of ``row`` are its columns. Raises `CannotWrite`."""
        path = self.folder / "curve.csv"
        try:
            fresh = not path.exists() or not path.stat().st_size
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if fresh:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise CannotWrite(f"{path}: {error.strerror or error}") from error

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


def open_run(config: TrainConfig, *, resume: bool) -> Run:
    """The run to work in: the last version if it can be continued and ``resume`` is set, else a new one.

    Raises `CannotWrite`.
    """
    return (unfinished_run(config) if resume else None) or new_run(config)


def new_run(config: TrainConfig) -> Run:
    """A new version. Raises `CannotWrite`."""
    last = _last_run(config)
    folder = config.output.runs / config.output.name / f"{int(last.folder.name) + 1 if last else 1:03d}"
    try:
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.json").write_text(config.model_dump_json(indent=1))
        (folder / "commit").write_text(commit_here())
    except OSError as error:
        raise CannotWrite(f"{folder}: {error.strerror or error}") from error
    return Run(folder)


def unfinished_run(config: TrainConfig) -> Run | None:
    """The last version, when it can be continued: it has not finished and was begun with this very configuration."""
    last = _last_run(config)
    if last is None or last.bundle.exists():
        return None
    begun_with = _config_of(last)
    if begun_with == config:
        return last
    if begun_with is not None:
        others = ", ".join(_differences(begun_with.model_dump(), config.model_dump()))
        log.warning("%s is unfinished but had other settings (%s), so a new run begins", last.folder, others)
    return None


def _differences(one: dict[str, Any], other: dict[str, Any], before: str = "") -> Iterator[str]:
    """The dotted names of the settings in which two configurations differ."""
    for name, value in one.items():
        if isinstance(value, dict) and isinstance(other.get(name), dict):
            yield from _differences(value, other[name], f"{before}{name}.")
        elif value != other.get(name):
            yield f"{before}{name}"
    yield from (f"{before}{name}" for name in other.keys() - one.keys())


def finished_run(config: TrainConfig) -> Run | None:
    """The last version, when it has finished and was begun with this very configuration."""
    last = _last_run(config)
    return last if last and last.bundle.exists() and _config_of(last) == config else None


def _last_run(config: TrainConfig) -> Run | None:
    root = config.output.runs / config.output.name
    versions = [path for path in root.glob("*") if re.fullmatch("[0-9]+", path.name) and path.is_dir()]
    return Run(max(versions, key=lambda path: int(path.name))) if versions else None


def _config_of(run: Run) -> TrainConfig | None:
    """The configuration that ``run`` was begun with, if it is there and still valid."""
    try:
        return TrainConfig.model_validate_json((run.folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return None


@dataclass
class State:
    """All that training changes, and so all that a checkpoint holds."""

    network: Network
    average: WeightAverage
    optimisers: list[torch.optim.Optimizer]
    generator: torch.Generator
    """Random numbers of data and losses."""
    discriminator: torch.nn.Module | None = None
    discriminator_optimiser: torch.optim.Optimizer | None = None
    step: int = 0
    """Optimiser steps of the network."""
    discriminator_step: int = 0
    seconds: float = 0.0
    psnr: float | None = None
    """PSNR of the last validation, in dB."""
    best_step: int = 0
    best: float | None = None
    """The best value so far of the figure `ValidationSection.best`, that of ``best_step``."""
    waited: int = 0
    """Validations since then."""
    recoveries: int = 0
    """How often training went back to an earlier checkpoint because numbers were not finite."""
    recovered_at: int = -1
    """The step it went back to the last time; -1 if never."""
    rate_scale: float = 1.0
    """What all learning rates are multiplied by since then."""
    parent: str | None = None
    """Name of the model that training started from, empty without one; None as long as nobody has looked."""
    parent_features: Sequence[str] = ()
    """The networks that losses looked through when that one was trained."""
    loss_scales: list[Tensor] = field(default_factory=list)
    """The states of the `LossScale`s, in the precision that has them."""

    def is_finite(self) -> bool:
        """Whether no number in weights, averages and optimisers is infinite or NaN. Waits for the device."""
        holders = [self.network.state_dict(), self.average.state]
        if self.discriminator:
            holders.append(self.discriminator.state_dict())
        holders += [entries for optimiser in self._all_optimisers() for entries in optimiser.state.values()]
        tensors = [value for holder in holders for value in holder.values() if value.is_floating_point()]
        return bool(torch.stack([value.isfinite().all().cpu() for value in tensors]).all())

    def _all_optimisers(self) -> list[torch.optim.Optimizer]:
        rival = self.discriminator_optimiser
        return self.optimisers if rival is None else [*self.optimisers, rival]

    def save(self, path: Path) -> None:
        """Write a checkpoint: whole, or not at all. Raises `CannotWrite`."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.state.items()}
        if self.discriminator:
            tensors |= {f"discriminator/{k}": v for k, v in self.discriminator.state_dict().items()}
        groups: list[Any] = []
        for number, optimiser in enumerate(self._all_optimisers()):
            state = optimiser.state_dict()
            groups.append(state["param_groups"])
            for index, entries in state["state"].items():
                tensors |= {f"optimiser/{number}/{index}/{k}": v for k, v in entries.items()}
        tensors |= {f"loss_scale/{number}": scale for number, scale in enumerate(self.loss_scales)}
        tensors["random/torch"] = torch.get_rng_state()
        tensors["random/data"] = self.generator.get_state()
        plain = {name: getattr(self, name) for name in PLAIN} | {"groups": groups}
        # Clones: safetensors refuses tensors that share memory or are not contiguous.
        own = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        blob = save(own, {"state": json.dumps(plain)})
        write_whole(path, blob)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint. Raises `TrainingFailed` when it does not fit or is damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                plain = json.loads(file.metadata()["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            self.network.load_state_dict(_below(tensors, "network/"))
            self.average.load(_below(tensors, "average/"))
            if self.discriminator:
                self.discriminator.load_state_dict(_below(tensors, "discriminator/"))
            for number, optimiser in enumerate(self._all_optimisers()):
                entries = _below(tensors, f"optimiser/{number}/")
                optimiser.load_state_dict(_optimiser_state(optimiser, entries, plain["groups"][number]))
            for number, scale in enumerate(self.loss_scales):
                scale.copy_(tensors[f"loss_scale/{number}"])
            torch.set_rng_state(tensors["random/torch"])
            self.generator.set_state(tensors["random/data"])
            for name in PLAIN:
                if name in plain:  # a checkpoint of an earlier version of srgan knows fewer
                    setattr(self, name, plain[name])
        except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError, OSError) as error:
            raise TrainingFailed(
                f"{path}: cannot continue from this checkpoint ({error}); delete it to go on from the one before"
            ) from error


def _optimiser_state(
    optimiser: torch.optim.Optimizer, entries: dict[str, Tensor], groups: list[dict[str, Any]]
) -> dict[str, Any]:
    """What `Optimizer.load_state_dict` takes, from the ``entries`` and ``groups`` of a checkpoint."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in entries.items():
        index, _, name = key.partition("/")
        weight = weights[int(index)]
        if value.shape == weight.shape:
            # Fused optimisers walk through memory, so an average must lie there in the order of its weight, which is
            # not that of the file. torch does not check.
            value = torch.empty_like(weight).copy_(value)
        state.setdefault(int(index), {})[name] = value
    return {"state": state, "param_groups": groups}


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


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
