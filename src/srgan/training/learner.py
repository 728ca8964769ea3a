"""A network that learns: one optimiser step, from one batch or several, in whatever arithmetic."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from srgan.training.config import OptimiserSection
from srgan.training.optimisers import StepGuard


class Stepped(NamedTuple):
    """What a training step tells. The tensors stay on the device: looking at one makes the host wait for it."""

    loss: Tensor
    norm: Tensor
    """Of the gradient, before clipping."""
    terms: Mapping[str, Tensor] = MappingProxyType({})
    """Named parts of the loss, and whatever else is worth a curve."""
    falls: bool = True
    """Whether the loss is one that training makes smaller; where networks only play against each other it is not."""


class Learner:
    """``network`` with all that moves it; ``module`` is what its forward passes go through.

    Every step is the mean of ``section.accumulate`` batches. It equals a step on one batch as large as they are
    together, but for what looks at a batch as a whole: batch norms and the averages of relativistic losses.
    """

    def __init__(
        self,
        fabric: Any,
        network: nn.Module,
        optimisers: list[torch.optim.Optimizer],
        guard: StepGuard,
        section: OptimiserSection,
        *,
        compile: bool = False,
    ) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*broadcast_buffers")  # its successor is not in every torch yet
            self.module: nn.Module = fabric.setup_module(torch.compile(network) if compile else network)
        self._fabric = fabric
        self._weights = list(network.parameters())
        self._optimisers, self._guard = optimisers, guard
        self._batches, self._clip = section.accumulate, section.clip

    def step(self, look: Callable[[], tuple[Tensor, Mapping[str, Tensor]]]) -> Stepped:
        """One optimiser step. ``look`` draws a batch and gives its loss, and scalars by name that are worth a curve."""
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
        self._guard.before_forward()
        scale = self._guard.scale
        seen: list[dict[str, Tensor]] = []
        for number in range(1, self._batches + 1):
            # Processes that train together exchange gradients once, after the last batch.
            with self._fabric.no_backward_sync(self.module, enabled=number < self._batches):
                loss, terms = look()
                part = loss / self._batches
                self._fabric.backward(scale.enlarge(part) if scale else part)
            seen.append({name: value.detach() for name, value in {**terms, "": loss}.items()})
        if scale:
            scale.restore(self._weights)
        norm = torch.nn.utils.clip_grad_norm_(self._weights, self._clip)
        self._guard.step(self._optimisers, norm)
        means = {name: torch.stack([values[name] for values in seen]).mean() for name in seen[0]}
        return Stepped(means.pop(""), norm, means)
