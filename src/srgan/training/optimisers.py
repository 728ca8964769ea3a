"""Optimisers, the learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from srgan.networks.network import Network
from srgan.training.config import OptimiserSection

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration; they trade exactness for speed of convergence (Jordan et al. 2024)."""
WEIGHT_DECAY = 0.01
"""Of optimisers that have one, where a training file says nothing."""


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised: every direction of a kernel moves by the same amount.

    For the kernels between first and last layer, seen as matrices outputs x (inputs * height * width). Method: K.
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. torch has one too, for
    two-dimensional weights only, which takes them one by one; here those of one shape are worked on together, as a GPU
    likes it.
    """

    _step_supports_amp_scaling = True  # torch's word for: obeys `found_inf`

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all weights that have a gradient. ``closure`` is not supported."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for weights in by_shape.values():
                self._move(weights, group["lr"], group["momentum"])

    def _move(self, weights: list[Tensor], rate: float, decay: float) -> None:
        """Update ``weights``, all of one shape."""
        for weight in weights:
            if "momentum" not in self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight, memory_format=torch.contiguous_format)
        momenta = [self.state[weight]["momentum"] for weight in weights]
        rows = len(weights[0])
        gradient = torch.stack([weight.grad.reshape(rows, -1) for weight in weights if weight.grad is not None])
        before = torch.stack([momentum.reshape(rows, -1) for momentum in momenta])
        after = before.lerp(gradient, 1 - decay)
        # Nesterov's look-ahead.
        update = orthogonalise(gradient.lerp(after, decay)) * max(1.0, rows / gradient.shape[2]) ** 0.5
        bad: Tensor | None = getattr(self, "found_inf", None)
        if bad is not None:
            after, update = torch.where(bad > 0, before, after), torch.where(bad > 0, 0.0, update)
        for weight, momentum, new, change in zip(weights, momenta, after, update, strict=True):
            momentum.copy_(new.view(weight.shape))
            weight.sub_(change.reshape(weight.shape), alpha=rate)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrices (... x rows x columns) with all singular values near one, by a Newton-Schulz iteration."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices) / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = x.mT if tall else x
    return result


class Adan(torch.optim.Optimizer):
    """Adaptive Nesterov momentum: besides the gradient and its square, its change since the step before is averaged.

    Method: Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", 2022, algorithm
    1, with proximal weight decay, and averages that are corrected for their start from zero as in Adam. ``betas`` are
    what stays of an average at each step, so one minus the paper's. It keeps four tensors for each weight, Adam two.
    """

    _step_supports_amp_scaling = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        weight_decay: float = 0.01,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all weights that have a gradient. ``closure`` is not supported."""
        if closure is not None:
            raise ValueError("Adan takes no closure")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, **{k: group[k] for k in ("lr", "betas", "weight_decay", "eps")})

    def _move(
        self,
        weight: Tensor,
        gradient: Tensor,
        *,
        lr: float,
        betas: tuple[float, float, float],
        weight_decay: float,
        eps: float,
    ) -> None:
        old = self.state[weight]
        if not old:
            old |= {name: torch.zeros_like(weight) for name in ("mean", "change", "square", "previous")}
            old["step"] = torch.zeros((), device=weight.device)
        of_mean, of_change, of_square = betas
        step = old["step"] + 1
        change = (gradient - old["previous"]) * (step > 1)
        new = {
            "mean": old["mean"].lerp(gradient, 1 - of_mean),
            "change": old["change"].lerp(change, 1 - of_change),
            "square": old["square"].lerp((gradient + of_change * change).square(), 1 - of_square),
            "previous": gradient,
            "step": step,
        }
        momentum = new["mean"] / (1 - of_mean**step) + of_change * new["change"] / (1 - of_change**step)
        spread = (new["square"] / (1 - of_square**step)).sqrt() + eps
        moved = (weight - lr * momentum / spread) / (1 + lr * weight_decay)
        bad: Tensor | None = getattr(self, "found_inf", None)
        for before, after in ((weight, moved), *((old[name], new[name]) for name in new)):
            before.copy_(after if bad is None else torch.where(bad > 0, before, after))


class LossScale:
    """What a loss is multiplied by so that its small gradients do not vanish in float16.

    It is halved when a gradient was not finite, and doubled after `GROWTH_STEPS` steps that were, as by torch's
    `GradScaler`. That one asks each optimiser by itself; here one scale belongs to all optimisers of a network, which
    take their step together or not at all. Powers of two, so that scaling changes no digit. ``state`` (two numbers on
    the device: scale, good steps) belongs into a checkpoint.
    """

    FIRST, LARGEST = 2.0**16, 2.0**24
    GROWTH_STEPS = 2000

    def __init__(self, device: torch.device) -> None:
        self.state = torch.tensor([self.FIRST, 0.0], device=device)

    def enlarge(self, loss: Tensor) -> Tensor:
        """``loss``, scaled."""
        return loss * self.state[0]

    @torch.no_grad()
    def restore(self, weights: Iterable[Tensor]) -> None:
        """Scale the gradients of ``weights`` back."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        torch._foreach_mul_(gradients, self.state[0].reciprocal())

    @torch.no_grad()
    def update(self, bad: Tensor) -> None:
        """Follow a step that was ``bad`` (1.0) or not (0.0)."""
        scale, good = self.state.unbind()
        good = (good + 1) * (1 - bad)
        grow = (good >= self.GROWTH_STEPS).float()
        scale = (scale * (1 + grow) * (1 - 0.5 * bad)).clamp(1.0, self.LARGEST)
        self.state.copy_(torch.stack([scale, good * (1 - grow)]))


class StepGuard:
    """Leaves out each step whose gradient is not finite, and counts them. Keeps a `LossScale` if ``scaled``.

    ``others`` do not learn in these steps, but forward passes go through them too, and so into their batch norms. All
    of it is decided on the device; the host waits for the device only in `counts` and `in_a_row`.
    """

    def __init__(self, network: nn.Module, *others: nn.Module, scaled: bool = False) -> None:
        device = next(network.parameters()).device
        self.scale = LossScale(device) if scaled else None
        self._buffers = [buffer for module in (network, *others) for buffer in module.buffers()]
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._in_a_row = torch.zeros((), device=device)
        self._since_asked = torch.zeros((), device=device)

    def before_forward(self) -> None:
        """Remember what the forward pass changes by itself: the statistics of batch norms."""
        for kept, buffer in zip(self._kept, self._buffers, strict=True):
            kept.copy_(buffer)

    @torch.no_grad()
    def step(self, optimisers: Iterable[torch.optim.Optimizer], norm: Tensor) -> None:
        """Let ``optimisers`` take their step if ``norm``, that of the gradient, is finite; else leave all as it was."""
        bad = (~norm.isfinite()).float()
        for optimiser in optimisers:
            if getattr(optimiser, "_step_supports_amp_scaling", False):
                # How torch's own gradient scaler tells an optimiser, and has it decide on the device.
                optimiser.found_inf = bad  # type: ignore[attr-defined]
                optimiser.step()
                del optimiser.found_inf  # type: ignore[attr-defined]
            elif not bad:
                optimiser.step()
        for kept, buffer in zip(self._kept, self._buffers, strict=True):
            buffer.copy_(torch.where(bad > 0, kept, buffer))
        if self.scale:
            self.scale.update(bad)
        self._in_a_row = (self._in_a_row + bad) * bad
        self._since_asked += bad

    @property
    def in_a_row(self) -> int:
        """Steps left out in a row up to now. Waits for the device."""
        return int(self._in_a_row)

    def counts(self) -> tuple[int, int]:
        """Steps left out: in a row up to now, and since this was last asked."""
        in_a_row, since_asked = torch.stack([self._in_a_row, self._since_asked]).tolist()
        self._since_asked.zero_()
        return int(in_a_row), int(since_asked)


def make_optimisers(network: Network, section: OptimiserSection) -> list[torch.optim.Optimizer]:
    """The optimisers for all weights of ``network``. Each group remembers its peak rate as ``peak``."""
    named = list(network.named_parameters())
    inner = [p for name, p in named if p.ndim > 1 and not name.startswith(network.ends)]
    if section.kind != "muon":
        inner = []
    taken = {id(p) for p in inner}
    rest = [p for _, p in named if id(p) not in taken]
    optimisers = [make_optimiser("adam" if inner else section.kind, rest, section, section.adan_betas)]
    if inner:
        optimisers.append(_with_peak(Muon(inner, section.muon_learning_rate)))
    return optimisers


class Rates(Protocol):
    """What a section of the training file says of an optimiser, whatever its kind."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...
    @property
    def weight_decay(self) -> float | None: ...


def make_optimiser(
    kind: str, weights: Sequence[Tensor], section: Rates, adan_betas: tuple[float, float, float]
) -> torch.optim.Optimizer:
    """The optimiser ``kind`` (adam, adamw, adan) of ``weights``; its group remembers its peak rate as ``peak``."""
    rate, betas, decay = section.learning_rate, section.betas, section.weight_decay
    decay = WEIGHT_DECAY if decay is None else decay
    fused = weights[0].device.type in ("cpu", "cuda")
    if kind == "adan":
        return _with_peak(Adan(weights, rate, adan_betas, decay))
    if kind == "adamw":
        return _with_peak(torch.optim.AdamW(weights, rate, betas=betas, weight_decay=decay, fused=fused))
    return _with_peak(torch.optim.Adam(weights, rate, betas=betas, fused=fused))


def make_adam(weights: Iterable[Tensor], rate: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """Adam for those of ``weights`` that are to learn; its group remembers its peak rate as ``peak``."""
    learning = [weight for weight in weights if weight.requires_grad]
    fused = learning[0].device.type in ("cpu", "cuda")
    return _with_peak(torch.optim.Adam(learning, rate, betas=betas, fused=fused))


def _with_peak(optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
    for group in optimiser.param_groups:
        group["peak"] = group["lr"]
    return optimiser


def rate_factor(section: OptimiserSection, step: int, steps: int, before: int = 0) -> float:
    """The learning rate at ``step`` (from 1) of ``steps``, as a fraction of its peak.

    It rises over ``section.warmup`` steps. With the schedule ``steps`` it is then multiplied by ``section.gamma``
    behind each milestone. With ``cosine`` it falls in half a cosine from ``section.flat`` of all steps on; rise and
    fall overlap when ``flat`` is small: the descent counts from there, and begins to show when the rise is over. When
    ``before`` steps were done elsewhere, a run begins behind them, and rises to where the schedule is by then.
    With ``restarts`` it falls in half a cosine in each of ``section.periods``, from its share of ``restart_weights``.
    """
    rise = min(1.0, (step - before) / section.warmup) if section.warmup else 1.0
    return rise if step <= section.warmup and not before else rise * _scheduled(section, step, steps)


def _scheduled(section: OptimiserSection, step: int, steps: int) -> float:
    """`rate_factor` without the rise."""
    if section.schedule == "steps":
        return section.gamma ** sum(step > milestone * steps for milestone in section.milestones)
    if section.schedule == "restarts":
        return _restarted(section, step, steps)
    descent = (step / steps - section.flat) / (1 - section.flat) if section.flat < 1 else 0.0
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0.0, descent)))
    return section.final + (1 - section.final) * cosine


def _restarted(section: OptimiserSection, step: int, steps: int) -> float:
    """The schedule of BasicSR's CosineAnnealingRestartLR, which gives the last step of a period its lowest rate."""
    ends = [round(share * steps) for share in itertools.accumulate(section.periods)]
    number = min(bisect.bisect_left(ends, step), len(ends) - 1)
    start = ends[number - 1] if number else 0
    weight = section.restart_weights[number] if section.restart_weights else 1.0
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - start) / max(1, ends[number] - start)))
    return section.final + weight * (1 - section.final) * cosine


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
    """Moving average of a network's state, with exponentially falling weights; early on, the mean of all there was.

    With a ``pace`` above 1 it is early on that of the last part of what there was, one in ``pace`` of it. A network
    that plays against another wants that: it moves on all the time, and the mean of where it was is nowhere.
    """

    def __init__(self, network: nn.Module, factor: float, *, pace: int = 1) -> None:
        self.factor, self._pace = factor, pace
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` (from 1)."""
        weight = 1 - min(self.factor, 1 - self._pace / (step + self._pace))
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
