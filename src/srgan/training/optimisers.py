"""Optimisers, the learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from srgan.networks.network import Network
from srgan.training.config import OptimiserSection

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration; they trade exactness for speed of convergence (Jordan et al. 2024)."""


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised: every direction of a kernel moves by the same amount.

    For the kernels between first and last layer, seen as matrices outputs x (inputs * height * width). Method: K. Jordan et al.,
    "Muon: an optimizer for hidden layers in neural networks", 2024. torch has one too, for two-dimensional weights only.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all weights that have a gradient."""
        loss = closure() if closure else None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight, memory_format=torch.contiguous_format)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                # Nesterov's look-ahead.
                matrix = torch.lerp(weight.grad, momentum, group["momentum"]).reshape(len(weight), -1)
                update = orthogonalise(matrix) * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                weight.add_(update.view(weight.shape), alpha=-group["lr"])
        return loss


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with all singular values near one, by a Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = x.T if tall else x
    return result


def make_optimisers(network: Network, section: OptimiserSection) -> list[torch.optim.Optimizer]:
    """The optimisers for all weights of ``network``. Each group remembers its peak rate as ``peak``."""
    named = list(network.named_parameters())
    inner = (
        [p for name, p in named if p.ndim > 1 and not name.startswith(network.ends)] if section.kind == "muon" else []
    )
    taken = {id(p) for p in inner}
    rest = [p for _, p in named if id(p) not in taken]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.Adam(rest, section.learning_rate, betas=section.betas, fused=rest[0].device.type in ("cpu", "cuda"))
    ]
    if inner:
        optimisers.append(Muon(inner, section.muon_learning_rate))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return optimisers


def rate_factor(section: OptimiserSection, step: int, steps: int) -> float:
    """The learning rate at ``step`` (from 1) of ``steps`` as a fraction of its peak: linear rise, plateau, cosine descent."""
    if step <= section.warmup:
        return step / section.warmup
    descent = (step / steps - section.flat) / (1 - section.flat) if section.flat < 1 else 0.0
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, descent)))
    return section.final + (1 - section.final) * cosine


def set_rate(optimisers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set every group's learning rate to ``factor`` of its peak."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor


def current_rate(optimisers: list[torch.optim.Optimizer]) -> float:
    """The learning rate of the first optimiser's first group."""
    rate: float = optimisers[0].param_groups[0]["lr"]
    return rate


class WeightAverage:
    """Exponential moving average of a network's floating-point state, in float32. Early on it averages over what there is."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        self.factor = factor
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` (from 1)."""
        weight = 1 - min(self.factor, 1 - 1 / (step + 1))
        averages, values = [], []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.state[name])
                values.append(value)
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(averages, values, weight)

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a saved ``state``."""
        for name, value in state.items():
            self.state[name].copy_(value)
