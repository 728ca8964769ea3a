"""The processes that train one network together, and what they agree on. Mostly there is one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from srgan.training.launch import PartnerLost

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Process ``rank`` of ``size``. The one of rank 0 leads: it alone validates and writes.

    All must call the methods alike. ``host`` is a process group of the CPUs, so that an agreement waits for no device.
    A process that has died makes the methods of the others raise `PartnerLost`.
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

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """In the block torch exchanges gradients by itself: where that fails, raise `PartnerLost`; pass on all else."""
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and (isinstance(error, distributed.DistError) or "gloo" in str(error)):
                raise PartnerLost from error
            raise

    def part(self) -> None:
        """The end of what is done together, when all are here. None of the other methods may be called any more."""
        if self.size > 1:
            self.wait()
            distributed.destroy_process_group()


ALONE = Team()


def make_team(fabric: Any) -> Team:
    """The processes that a launched ``fabric`` has brought together."""
    if fabric.world_size == 1:
        return Team()
    return Team(fabric.global_rank, fabric.world_size, distributed.new_group(backend="gloo"))


@contextlib.contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise PartnerLost from error
