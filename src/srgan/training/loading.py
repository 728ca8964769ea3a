"""Batches made ahead of the step that takes them, by threads of their own: the same ones as without threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

Drawn = TypeVar("Drawn")
Made = TypeVar("Made")


class _Ahead(NamedTuple, Generic[Made]):
    """A batch in the making, and the states of the random numbers before and after it was drawn."""

    before: Tensor
    after: Tensor
    made: Future[Made]


class Loader(Generic[Drawn, Made]):
    """Gives what ``make(draw(generator))`` gives, made ahead by up to ``threads`` threads; with 0, when it is taken.

    ``draw`` takes all random numbers of a batch, in the thread that calls `take`; ``make`` is a function of what was
    drawn. ``generator`` is always where it would be if nothing was made ahead: a batch counts when it is taken. So
    neither the number of threads nor their timing can matter, a saved state continues exactly, and whoever else
    draws from ``generator`` or sets it back merely has what was made ahead thrown away. At most ``threads`` + 1 batches
    are held.
    """

    def __init__(
        self,
        generator: torch.Generator,
        draw: Callable[[torch.Generator], Drawn],
        make: Callable[[Drawn], Made],
        *,
        threads: int,
    ) -> None:
        self._generator, self._draw, self._make, self._depth = generator, draw, make, threads + 1
        self._further = torch.Generator()
        self._ahead: deque[_Ahead[Made]] = deque()
        self._pool = ThreadPoolExecutor(threads, "batches", initializer=_alone) if threads else None
        self.waited = 0.0
        """Seconds that `take` has waited for the threads."""

    def take(self) -> Made:
        """The next batch. Raises what ``make`` raised, in whichever thread."""
        if self._pool is None:
            return self._make(self._draw(self._generator))
        if not self._ahead or not torch.equal(self._ahead[0].before, self._generator.get_state()):
            self.discard()
        self._make_ahead(self._pool)
        first = self._ahead.popleft()
        began = time.perf_counter()
        made = first.made.result()
        self.waited += time.perf_counter() - began
        self._generator.set_state(first.after)
        return made

    def discard(self) -> None:
        """Forget what was made ahead. Nothing is being made when this returns: what it is made of may change."""
        for batch in self._ahead:
            batch.made.cancel()
        wait([batch.made for batch in self._ahead])
        self._ahead.clear()
        self._further.set_state(self._generator.get_state())

    def close(self) -> None:
        """End the threads. What is taken afterwards is made when it is taken."""
        self.discard()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _make_ahead(self, pool: ThreadPoolExecutor) -> None:
        while len(self._ahead) < self._depth:
            before = self._further.get_state()
            drawn = self._draw(self._further)
            self._ahead.append(_Ahead(before, self._further.get_state(), pool.submit(self._make, drawn)))


def _alone() -> None:
    """Threads that work side by side each take one core. The number of the thread that trains is its own, and stays."""
    torch.set_num_threads(1)
