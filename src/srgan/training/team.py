"""The processes that train one network together, and what they agree on. Mostly there is one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from srgan.errors import InvalidConfig, TrainingFailed

T = TypeVar("T")

LAUNCHED = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment by which processes that belong together find each other."""


@dataclass(frozen=True)
class Team:
    """Process ``rank`` of ``size``. The one of rank 0 leads: it alone validates and writes.

    All must call the methods alike. ``host`` is a process group of the CPUs, so that an agreement waits for no device.
    A process that has died makes the methods of the others raise `TrainingFailed`.
    """

    rank: int = 0
    size: int = 1
    host: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def agree(self, wish: bool) -> bool:
        """Whether any process has this wish."""
        if self.size == 1:
            return wish
        votes = torch.tensor(float(wish))
        with _alive():
            distributed.all_reduce(votes, group=self.host)
        return bool(votes)

    def tell(self, value: T) -> T:
        """The leader's ``value``, in every process."""
        if self.size == 1:
            return value
        holder = [value]
        with _alive():
            distributed.broadcast_object_list(holder, src=0, group=self.host)
        return holder[0]

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a scalar over all processes."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        with _alive():
            distributed.all_reduce(total)
        return total / self.size

    def copy(self, tensors: Iterable[Tensor]) -> None:
        """Give ``tensors`` the leader's values, in place."""
        if self.size > 1:
            with _alive(), torch.no_grad():
                for tensor in tensors:
                    distributed.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            with _alive():
                distributed.barrier(group=self.host)

    def part(self) -> None:
        """The end of what is done together: the leader goes on alone, the others end here, with `SystemExit`."""
        if self.size == 1:
            return
        self.wait()
        distributed.destroy_process_group()
        if not self.leads:
            raise SystemExit(0)
        if "TORCHELASTIC_RUN_ID" not in os.environ:  # what Fabric has set would make it take a later run for a part
            for name in LAUNCHED:
                os.environ.pop(name, None)


ALONE = Team()


def make_team(fabric: Any) -> Team:
    """The processes that a launched ``fabric`` has brought together."""
    if fabric.world_size == 1:
        return Team()
    return Team(fabric.global_rank, fabric.world_size, distributed.new_group(backend="gloo"))


def check_launch(devices: int) -> None:
    """Raise `InvalidConfig` when a launcher such as torchrun has started another number of processes."""
    started = int(os.environ.get("WORLD_SIZE", 1))
    if "LOCAL_RANK" in os.environ and started != devices:
        raise InvalidConfig(
            f"hardware.devices: {started} processes were started together, but the configuration says {devices}; "
            f"give --set hardware.devices={started}"
        )


@contextlib.contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise TrainingFailed(
            "another process of this training has ended; what it says tells why. The same command, without --fresh, "
            "goes on from the last checkpoint"
        ) from error
