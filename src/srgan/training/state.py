"""The state of a training, and checkpoints from which it goes on exactly.

A checkpoint is one safetensors file, with the plain values in its header, so nothing is ever unpickled:

    networks/NAME/...           weights
    averages/NAME/...           their moving averages
    optimisers/NAME/N/I/...     what the N-th optimiser of a network keeps of its I-th weight
    loss_scales/NAME            scale and good steps, in the precision that has them
    random/torch, random/data   states of the random numbers

NAME is that of a network. Checkpoints of the first form, which knew two networks and numbered all optimisers, are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from srgan.atomic import write_whole
from srgan.errors import TrainingFailed
from srgan.networks.network import Network
from srgan.training.optimisers import WeightAverage

PLAIN = (
    "step",
    "turns",
    "seconds",
    "psnr",
    "first_loss",
    "last_loss",
    "best_step",
    "best",
    "judged_by",
    "waited",
    "recoveries",
    "recovered_at",
    "rate_scale",
    "parent",
    "parent_features",
    "arithmetic",
)
"""Fields of `State` that go into a checkpoint's header."""
MAIN = "generator"
"""The name of the network that becomes the model."""


@dataclass
class State:
    """All that training changes, and so all that a checkpoint holds.

    Networks have names, and so have what moves them and what is averaged of them. The one called ``main`` has an
    average.
    """

    networks: dict[str, nn.Module]
    averages: dict[str, WeightAverage]
    optimisers: dict[str, list[torch.optim.Optimizer]]
    random: torch.Generator
    """Random numbers of the data."""
    step: int = 0
    """Optimiser steps of the main network."""
    turns: dict[str, int] = field(default_factory=dict)
    """Optimiser steps of the other networks, where they have a rhythm of their own."""
    seconds: float = 0.0
    psnr: float | None = None
    """PSNR of the last validation, in dB."""
    first_loss: float | None = None
    """Of the first step: its part of pixels, where it has one. With it training tells whether it blows up."""
    last_loss: float | None = None
    """The same, when it was last looked at."""
    best_step: int = 0
    best: float | None = None
    """The best value so far of the figure `ValidationSection.best`, that of ``best_step``."""
    judged_by: str = ""
    """What that is a figure of, in words; empty in a checkpoint of an earlier version of srgan."""
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
    arithmetic: str = ""
    """Fabric's name of the precision that the run began with."""
    loss_scales: dict[str, Tensor] = field(default_factory=dict)
    """The states of the `LossScale`s by network, in the precision that has them."""
    main: str = MAIN
    """The name of the network that learns and is judged."""

    @property
    def network(self) -> Network:
        """The main network."""
        return cast(Network, self.networks[self.main])

    @property
    def average(self) -> WeightAverage:
        """Of the main network."""
        return self.averages[self.main]

    def all_optimisers(self) -> list[torch.optim.Optimizer]:
        """Those of all networks, the main one's first."""
        return [optimiser for _, _, optimiser in self._numbered()]

    def _numbered(self) -> Iterator[tuple[str, int, torch.optim.Optimizer]]:
        """Each optimiser with its network's name and its number there."""
        for name in sorted(self.optimisers, key=lambda name: name != self.main):
            for number, optimiser in enumerate(self.optimisers[name]):
                yield name, number, optimiser

    def is_finite(self) -> bool:
        """Whether no number in weights, averages and optimisers is infinite or NaN. Waits for the device."""
        holders: list[dict[str, Any]] = [network.state_dict() for network in self.networks.values()]
        holders += [average.state for average in self.averages.values()]
        holders += [entries for optimiser in self.all_optimisers() for entries in optimiser.state.values()]
        tensors = [value for holder in holders for value in holder.values() if value.is_floating_point()]
        return bool(torch.stack([value.isfinite().all().cpu() for value in tensors]).all())

    def save(self, path: Path) -> None:
        """Write a checkpoint: whole, or not at all. Raises `CannotWrite`."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            tensors |= {f"networks/{name}/{key}": value for key, value in network.state_dict().items()}
        for name, average in self.averages.items():
            tensors |= {f"averages/{name}/{key}": value for key, value in average.state.items()}
        groups: dict[str, Any] = {}
        for name, number, optimiser in self._numbered():
            state = optimiser.state_dict()
            groups[f"{name}/{number}"] = state["param_groups"]
            for index, entries in state["state"].items():
                tensors |= {f"optimisers/{name}/{number}/{index}/{key}": value for key, value in entries.items()}
        tensors |= {f"loss_scales/{name}": scale for name, scale in self.loss_scales.items()}
        tensors["random/torch"] = torch.get_rng_state()
        tensors["random/data"] = self.random.get_state()
        plain = {name: getattr(self, name) for name in PLAIN} | {"groups": groups}
        # Clones: safetensors refuses tensors that share memory or are not contiguous.
        own = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        write_whole(path, save(own, {"state": json.dumps(plain)}))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint. Raises `TrainingFailed` when it does not fit or is damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                plain = json.loads(file.metadata()["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            if isinstance(plain["groups"], list):
                plain, tensors = self._from_first_form(plain, tensors)
            for name, network in self.networks.items():
                network.load_state_dict(_below(tensors, f"networks/{name}/"))
            for name, average in self.averages.items():
                average.load(_below(tensors, f"averages/{name}/"))
            for name, number, optimiser in self._numbered():
                entries = _below(tensors, f"optimisers/{name}/{number}/")
                optimiser.load_state_dict(_optimiser_state(optimiser, entries, plain["groups"][f"{name}/{number}"]))
            for name, scale in self.loss_scales.items():
                if f"loss_scales/{name}" in tensors:  # not when it was made in another precision
                    scale.copy_(tensors[f"loss_scales/{name}"])
            torch.set_rng_state(tensors["random/torch"])
            self.random.set_state(tensors["random/data"])
            for name in PLAIN:
                if name in plain:  # a checkpoint of an earlier version of srgan knows fewer
                    setattr(self, name, plain[name])
        except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError, OSError) as error:
            raise TrainingFailed(
                f"{path}: cannot continue from this checkpoint ({error}); delete it to go on from the one before"
            ) from error

    def _from_first_form(
        self, plain: dict[str, Any], tensors: dict[str, Tensor]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """A checkpoint of the first form in today's.

        Its tensors were network/..., average/..., discriminator/..., optimiser/N/I/... and loss_scale/N, the numbers of
        the main network being the first.
        """
        rivals = [name for name in self.networks if name != MAIN]
        places = {"network": f"networks/{MAIN}", "average": f"averages/{MAIN}"}
        places |= {f"loss_scale/{index}": f"loss_scales/{name}" for index, name in enumerate([MAIN, *rivals])}
        places["discriminator"] = "networks/discriminator"
        groups = {}
        for index, (name, number, _) in enumerate(self._numbered()):
            places[f"optimiser/{index}"] = f"optimisers/{name}/{number}"
            groups[f"{name}/{number}"] = plain["groups"][index]
        renamed = {}
        for key, value in tensors.items():
            parts = key.split("/")
            known = next((count for count in (2, 1) if "/".join(parts[:count]) in places), 0)
            head = [places["/".join(parts[:known])]] if known else []
            renamed["/".join([*head, *parts[known:]])] = value
        turns = dict.fromkeys(rivals, plain.get("discriminator_step", 0))
        return {**plain, "groups": groups, "turns": turns}, renamed


def plain_of(path: Path) -> dict[str, Any]:
    """The plain values in the header of the checkpoint at ``path``. Raises `TrainingFailed` for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            plain: dict[str, Any] = json.loads((file.metadata() or {})["state"])
            return {"step": int(plain["step"]), "best_step": 0, **plain}
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise TrainingFailed(
            f"{path}: cannot be read ({type(error).__name__}: {error}); delete it to continue from the one before"
        ) from error


def shapes_of(path: Path, network: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of ``network`` in the checkpoint at ``path``, by their names."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = list(file.keys())
        prefix = f"networks/{network}/"
        if not any(name.startswith(prefix) for name in names):
            prefix = "network/"  # the first form
        return {
            name.removeprefix(prefix): tuple(file.get_slice(name).get_shape())
            for name in names
            if name.startswith(prefix)
        }


def _optimiser_state(
    optimiser: torch.optim.Optimizer, entries: dict[str, Tensor], groups: list[dict[str, Any]]
) -> dict[str, Any]:
    """What `Optimizer.load_state_dict` takes, from the ``entries`` and ``groups`` of a checkpoint."""
    # What was set for it, such as its peak rate, may be other than it was then; only the weights must be the same.
    own = optimiser.state_dict()["param_groups"]
    if [group["params"] for group in own] != [group["params"] for group in groups]:
        raise ValueError("its optimisers move other weights")
    groups = [{**mine, "lr": theirs["lr"]} for mine, theirs in zip(own, groups, strict=True)]
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


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
