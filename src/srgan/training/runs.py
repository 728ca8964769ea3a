"""Runs on disk: versions, checkpoints that can be continued exactly, and the learning curve.

    runs/NAME/001/config.json                       the resolved configuration
                 /commit                            the commit of srgan that began it
                 /checkpoints/step-00001000.safetensors
                 /curve.csv                         one line for each validation
                 /bundle/                           the model, when the run has finished

A checkpoint is one safetensors file (weights, average, optimisers, random states) with the plain values in its header,
so nothing is ever unpickled. A new version is begun when the last one has finished or had another configuration.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srgan.errors import CannotWrite, TrainingFailed
from srgan.networks.network import Network
from srgan.training.config import TrainConfig
from srgan.training.optimisers import WeightAverage

PLAIN = ("step", "seconds", "psnr", "best_step", "best_psnr")
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

    def checkpoints(self) -> list[Path]:
        """All checkpoints, oldest first."""
        folder = self.folder / "checkpoints"
        return sorted(p for p in folder.glob("*") if CHECKPOINT.fullmatch(p.name)) if folder.is_dir() else []

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of ``step`` goes."""
        return self.folder / "checkpoints" / f"step-{step:08d}.safetensors"

    def prune(self, keep: int, best: int) -> None:
        """Delete all but the last ``keep`` checkpoints and that of step ``best``."""
        for path in self.checkpoints()[:-keep]:
            if path != self.checkpoint(best):
                path.unlink(missing_ok=True)

    def note(self, row: dict[str, float]) -> None:
        """Append a line to the learning curve."""
        path = self.folder / "curve.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)


def open_run(config: TrainConfig, *, resume: bool) -> Run:
    """The run to work in: the last version if it can be continued and ``resume`` is set, else a new one."""
    root = config.output.runs / config.output.name
    versions = sorted(p for p in root.glob("[0-9]*") if p.is_dir() and p.name.isdigit()) if root.is_dir() else []
    if versions and resume:
        last = Run(versions[-1])
        saved = last.folder / "config.json"
        if not last.bundle.exists() and saved.exists() and saved.read_text() == config.model_dump_json(indent=1):
            return last
    folder = root / f"{int(versions[-1].name) + 1 if versions else 1:03d}"
    try:
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.json").write_text(config.model_dump_json(indent=1))
        (folder / "commit").write_text(_commit())
    except OSError as error:
        raise CannotWrite(f"{folder}: {error.strerror or error}") from error
    return Run(folder)


@dataclass
class State:
    """All that training changes, and so all that a checkpoint holds."""

    network: Network
    average: WeightAverage
    optimisers: list[torch.optim.Optimizer]
    generator: torch.Generator
    step: int = 0
    seconds: float = 0.0
    psnr: float | None = None
    """PSNR of the last validation, in dB."""
    best_step: int = 0
    best_psnr: float = float("-inf")

    def save(self, path: Path) -> None:
        """Write a checkpoint: whole, or not at all. Raises `CannotWrite`."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.state.items()}
        groups: list[Any] = []
        for number, optimiser in enumerate(self.optimisers):
            state = optimiser.state_dict()
            groups.append(state["param_groups"])
            for index, entries in state["state"].items():
                tensors |= {f"optimiser/{number}/{index}/{k}": v for k, v in entries.items()}
        tensors["random/torch"] = torch.get_rng_state()
        tensors["random/data"] = self.generator.get_state()
        plain = {name: getattr(self, name) for name in PLAIN} | {"groups": groups}
        # Clones: safetensors refuses tensors that share memory or are not contiguous.
        own = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        blob = save(own, {"state": json.dumps(plain)})
        partial = path.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise CannotWrite(f"{path}: {error.strerror or error}") from error

    def load(self, path: Path) -> None:
        """Continue from a checkpoint. Raises `TrainingFailed` when it does not fit or is damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                plain = json.loads(file.metadata()["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            self.network.load_state_dict(_below(tensors, "network/"))
            self.average.load(_below(tensors, "average/"))
            for number, optimiser in enumerate(self.optimisers):
                state: dict[int, dict[str, Tensor]] = {}
                for key, value in _below(tensors, f"optimiser/{number}/").items():
                    index, _, name = key.partition("/")
                    state.setdefault(int(index), {})[name] = value
                optimiser.load_state_dict({"state": state, "param_groups": plain["groups"][number]})
        except (SafetensorError, KeyError, IndexError, ValueError, RuntimeError, OSError) as error:
            raise TrainingFailed(f"{path}: cannot continue from this checkpoint: {error}") from error
        torch.set_rng_state(tensors["random/torch"])
        self.generator.set_state(tensors["random/data"])
        for name in PLAIN:
            setattr(self, name, plain[name])


def _commit() -> str:
    """The commit of the working tree that this package runs from; empty for an installed package."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
