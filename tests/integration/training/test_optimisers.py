"""Optimisers, schedule, moving average, and steps that must not be taken."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import nn  # noqa: E402 (torch first: without it nothing here can run)

from srgan.networks import build  # noqa: E402
from srgan.training.config import OptimiserSection  # noqa: E402
from srgan.training.optimisers import (  # noqa: E402
    Muon,
    StepGuard,
    WeightAverage,
    current_rate,
    make_optimisers,
    orthogonalise,
    rate_factor,
    set_rate,
)

# ------------------------------------------------------------------------------------------------------------ Muon


@pytest.mark.parametrize("shape", [(16, 16), (8, 72), (72, 8), (1, 9), (48, 432), (3, 16, 144)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3

    result = orthogonalise(matrices)

    values = torch.linalg.svdvals(result)
    assert result.shape == matrices.shape
    assert values.min() > 0.3
    assert values.max() < 1.3
    # The directions are those of the matrix: the nearest orthogonal one is U V'.
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    cosine = (result * (u @ v)).sum((-2, -1)) / result.norm(dim=(-2, -1)) / (u @ v).norm(dim=(-2, -1))
    assert cosine.min() > 0.95


def test_a_batch_of_matrices_is_as_good_as_one_after_the_other() -> None:
    matrices = torch.randn(5, 8, 72)

    torch.testing.assert_close(orthogonalise(matrices), torch.stack([orthogonalise(m) for m in matrices]))


def test_no_gradient_gives_no_update() -> None:
    assert orthogonalise(torch.zeros(4, 9)).abs().max() == 0


def test_muon_moves_every_direction_by_the_rate() -> None:
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.zeros(16, 8, 3, 3)), nn.Parameter(torch.zeros(16, 8, 3, 3))]
    optimiser = Muon(weights, lr=0.1)
    for weight in weights:
        weight.grad = torch.randn_like(weight) * 1e-4
    optimiser.step()
    for weight in weights:
        moved = torch.linalg.svdvals(weight.detach().reshape(16, -1))
        assert moved.min() > 0.03
        assert moved.max() < 0.13
        assert (weight.detach() * weight.grad).sum() < 0


def test_muon_moves_tall_kernels_further() -> None:
    tall, wide = nn.Parameter(torch.zeros(64, 1, 1, 1)), nn.Parameter(torch.zeros(1, 64, 1, 1))
    for weight in (tall, wide):
        weight.grad = torch.ones_like(weight)
    Muon([tall, wide], lr=0.1).step()

    assert wide.detach().norm() == pytest.approx(0.1, rel=0.4)
    assert (tall.detach().norm() / wide.detach().norm()).item() == pytest.approx(math.sqrt(64), rel=1e-4)


def test_muon_takes_each_kernel_by_itself() -> None:
    """Working on several of one shape together gives what one at a time gives."""
    torch.manual_seed(0)
    together = [nn.Parameter(torch.randn(8, 4, 3, 3)) for _ in range(3)] + [nn.Parameter(torch.randn(8, 8, 3, 3))]
    alone = copy.deepcopy(together)
    optimisers = [Muon(together, lr=0.1), *(Muon([weight], lr=0.1) for weight in alone)]
    for _ in range(3):
        for a, b in zip(together, alone, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone(memory_format=torch.channels_last)
        for optimiser in optimisers:
            optimiser.step()

    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b)


def test_muon_has_momentum() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(4, 4))
    optimiser = Muon([weight], lr=0.1, momentum=0.5)
    first, second = torch.eye(4), -0.5 * torch.eye(4)
    weight.grad = first
    optimiser.step()
    after_one = weight.detach().clone()
    weight.grad = second
    optimiser.step()

    # The average is 0.5 * (0.5 * I) + 0.5 * (-0.5 * I) = 0, and the look-ahead goes half-way to the gradient.
    assert torch.equal(optimiser.state[weight]["momentum"], torch.zeros(4, 4))
    assert (torch.diagonal(weight.detach() - after_one) > 0).all()


def test_weights_without_a_gradient_stay() -> None:
    weights = [nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))]
    weights[0].grad = torch.eye(4)
    Muon(weights, lr=0.1).step()

    assert not torch.equal(weights[0], torch.ones(4, 4))
    assert torch.equal(weights[1], torch.ones(4, 4))


def test_muon_takes_no_closure() -> None:
    with pytest.raises(ValueError, match="closure"):
        Muon([nn.Parameter(torch.ones(2, 2))], lr=0.1).step(lambda: 0.0)


# ---------------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fast", {}),
        ("fast", {"expanded": True}),
        ("turbo", {}),
        ("balanced", {"width": 16}),
        ("srresnet", {"width": 16, "blocks": 2}),
    ],
)
def test_muon_gets_the_inner_kernels_and_adam_the_rest(name: str, options: dict[str, Any]) -> None:
    network = build(name, 4, **options)
    names = {id(p): n for n, p in network.named_parameters()}

    adam, muon = make_optimisers(network, OptimiserSection(kind="muon"))

    inner = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    rest = {names[id(p)] for group in adam.param_groups for p in group["params"]}
    assert isinstance(adam, torch.optim.Adam)
    assert isinstance(muon, Muon)
    assert inner | rest == set(names.values())
    assert not inner & rest
    assert not [n for n in inner if n.startswith(("stem", "head", "output")) or n.endswith("bias")]
    kernels = {n for n, p in network.named_parameters() if p.ndim > 1}
    assert rest & kernels == {n for n in kernels if n.startswith(("stem", "head", "output"))}
    assert len(rest & kernels) == 2
    assert len(inner) >= 4


def test_adam_gets_everything() -> None:
    network = build("fast", 4, width=16, blocks=1)
    (adam,) = make_optimisers(network, OptimiserSection(kind="adam", learning_rate=3e-4, betas=(0.8, 0.95)))

    (group,) = adam.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]
    assert (group["lr"], group["peak"], group["betas"]) == (3e-4, 3e-4, (0.8, 0.95))


def test_rates_are_set_as_a_part_of_their_peaks() -> None:
    section = OptimiserSection(kind="muon", learning_rate=1e-3, muon_learning_rate=2e-2)
    optimisers = make_optimisers(build("fast", 4, width=16, blocks=1), section)

    set_rate(optimisers, 0.25)

    assert [o.param_groups[0]["lr"] for o in optimisers] == [pytest.approx(2.5e-4), pytest.approx(5e-3)]
    assert current_rate(optimisers) == pytest.approx(2.5e-4)
    set_rate(optimisers, 1.0)
    assert [o.param_groups[0]["lr"] for o in optimisers] == [1e-3, 2e-2]


# -------------------------------------------------------------------------------------------------------- schedule


def test_the_rate_rises_linearly_and_falls_to_its_end() -> None:
    section = OptimiserSection(warmup=10, final=0.01)
    factors = [rate_factor(section, step, 100) for step in range(1, 101)]

    assert factors[:10] == [pytest.approx(step / 10) for step in range(1, 11)]
    assert factors[49] == pytest.approx(0.01 + 0.99 * 0.5)
    assert factors[99] == pytest.approx(0.01)
    assert all(a > b for a, b in itertools.pairwise(factors[9:]))
    assert max(factors) <= 1


def test_without_warm_up_the_first_step_is_nearly_full() -> None:
    assert rate_factor(OptimiserSection(warmup=0), 1, 1000) == pytest.approx(1, abs=1e-5)


def test_a_plateau_comes_before_the_descent() -> None:
    section = OptimiserSection(warmup=5, flat=0.6, final=0.0)

    assert [rate_factor(section, step, 100) for step in (5, 6, 30, 60)] == [1, 1, 1, 1]
    assert rate_factor(section, 80, 100) == pytest.approx(0.5)
    assert rate_factor(section, 100, 100) == pytest.approx(0, abs=1e-12)


def test_a_plateau_to_the_end() -> None:
    assert rate_factor(OptimiserSection(warmup=0, flat=1.0), 100, 100) == 1


def test_a_warm_up_longer_than_the_run() -> None:
    assert rate_factor(OptimiserSection(warmup=100), 10, 10) == pytest.approx(0.1)


def basicsr(step: int, periods: list[int], weights: list[float], least: float) -> float:
    """The rate that BasicSR's CosineAnnealingRestartLR has behind ``step`` of its own, for a peak of 1."""
    ends = list(itertools.accumulate(periods))
    number = next(number for number, end in enumerate(ends) if step <= end)
    since = step - (ends[number - 1] if number else 0)
    return least + weights[number] * 0.5 * (1 - least) * (1 + math.cos(math.pi * since / periods[number]))


@pytest.mark.parametrize(
    ("periods", "weights", "steps"),
    [([40, 40, 120], [1.0, 0.5, 0.25], 200), ([7, 13, 80], [1.0, 1.0, 1.0], 100), ([60, 90], [1.0, 0.1], 100)],
    ids=["ever longer", "no round fractions", "longer than the run"],
)
def test_restarts_are_those_of_basicsr(periods: list[int], weights: list[float], steps: int) -> None:
    section = OptimiserSection(
        schedule="restarts",
        periods=[period / steps for period in periods],
        restart_weights=weights,
        warmup=0,
        final=0.01,
    )

    rates = [rate_factor(section, step, steps) for step in range(1, steps + 1)]

    assert rates == pytest.approx([basicsr(step, periods, weights, 0.01) for step in range(1, steps + 1)])


def test_a_period_ends_at_the_least_rate_and_the_next_begins_near_its_peak() -> None:
    section = OptimiserSection(schedule="restarts", periods=(0.7, 0.1, 0.2), warmup=0, final=0.0)
    rates = {step: rate_factor(section, step, 1000) for step in (700, 701, 800, 801, 1000)}

    assert [rates[step] for step in (700, 800, 1000)] == pytest.approx([0, 0, 0])
    assert min(rates[701], rates[801]) > 0.99


def test_a_warm_up_comes_before_the_first_period_only() -> None:
    section = OptimiserSection(schedule="restarts", periods=(0.5, 0.5), warmup=10)

    assert [rate_factor(section, step, 100) for step in (1, 5, 10)] == pytest.approx([0.1, 0.5, 1.0])
    assert rate_factor(section, 51, 100) > 0.99


# -------------------------------------------------------------------------------------------------------- average


def test_the_average_begins_as_the_mean_of_all_there_was() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.999)
    values = [network.weight.item()]
    for step in range(1, 6):
        nn.init.constant_(network.weight, float(step))
        values.append(float(step))
        average.update(network, step)
        assert average.state["weight"].item() == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_later_it_forgets_exponentially() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = WeightAverage(network, 0.9)
    nn.init.ones_(network.weight)
    expected = 0.0
    for step in range(100, 110):
        average.update(network, step)
        expected = 0.9 * expected + 0.1
        assert average.state["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_with_a_pace_it_is_that_of_the_last_part() -> None:
    """Of weights that move on steadily it lags by one part in ten of the way, and not by half of it."""
    lags = {}
    for pace in (1, 9):
        network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(network.weight)
        average = WeightAverage(network, 0.999, pace=pace)
        for step in range(1, 201):
            nn.init.constant_(network.weight, float(step))
            average.update(network, step)
        lags[pace] = 200 - average.state["weight"].item()
    assert lags[1] == pytest.approx(100, abs=1)
    assert lags[9] == pytest.approx(20, abs=2)


def test_the_average_does_not_follow_the_weights_by_itself() -> None:
    network = nn.Linear(2, 2)
    average = WeightAverage(network, 0.9)
    before = average.state["weight"].clone()
    nn.init.zeros_(network.weight)

    assert torch.equal(average.state["weight"], before)


def test_counters_are_copied_and_statistics_averaged() -> None:
    network = nn.BatchNorm2d(2)
    average = WeightAverage(network, 0.5)
    network(torch.randn(4, 2, 3, 3) + 5)
    average.update(network, 10)

    assert average.state["num_batches_tracked"] == 1
    torch.testing.assert_close(average.state["running_mean"], 0.5 * network.running_mean)


# ---------------------------------------------------------------------------------------------------------- guard


class Small(nn.Module):
    """A kernel for Muon, one for Adam, and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)))


def optimisers_of(network: Small, *, fused: bool) -> list[torch.optim.Optimizer]:
    rest = [p for name, p in network.named_parameters() if name != "last.weight"]
    return [torch.optim.Adam(rest, 1e-2, fused=fused), Muon([network.last.weight], 1e-2)]


def take(network: Small, optimisers: list[torch.optim.Optimizer], guard: StepGuard, scale: float) -> None:
    for optimiser in optimisers:
        optimiser.zero_grad()
    guard.before_forward()
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(3))
    (network(x).square().mean() * scale).backward()
    guard.step(optimisers, nn.utils.clip_grad_norm_(network.parameters(), 1.0))


def everything(network: Small, optimisers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """All values that a step may change."""
    values = dict(network.state_dict())
    for number, optimiser in enumerate(optimisers):
        for index, entries in optimiser.state_dict()["state"].items():
            values |= {f"{number}/{index}/{key}": torch.as_tensor(value) for key, value in entries.items()}
    return {key: value.clone() for key, value in values.items()}


@pytest.mark.parametrize("fused", [True, False], ids=["decided on the device", "decided on the host"])
@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_bad_step_changes_nothing(fused: bool, scale: float) -> None:
    torch.manual_seed(0)
    network = Small()
    optimisers, guard = optimisers_of(network, fused=fused), StepGuard(network)
    for _ in range(3):
        take(network, optimisers, guard, 1.0)
    before = everything(network, optimisers)

    take(network, optimisers, guard, scale)

    after = everything(network, optimisers)
    assert before.keys() == after.keys()
    assert [key for key in before if not torch.equal(before[key], after[key])] == []
    take(network, optimisers, guard, 1.0)
    moved = everything(network, optimisers)
    assert [key for key in before if torch.equal(before[key], moved[key])] == []


def test_a_bad_first_step_leaves_nothing_behind() -> None:
    torch.manual_seed(0)
    network = Small()
    optimisers, guard = optimisers_of(network, fused=True), StepGuard(network)
    take(network, optimisers, guard, float("nan"))
    torch.manual_seed(0)
    clean = Small()
    clean_optimisers, clean_guard = optimisers_of(clean, fused=True), StepGuard(clean)
    for n, o, g in ((network, optimisers, guard), (clean, clean_optimisers, clean_guard)):
        take(n, o, g, 1.0)

    for a, b in zip(
        everything(network, optimisers).values(), everything(clean, clean_optimisers).values(), strict=True
    ):
        assert torch.equal(a, b)


def test_guarding_changes_no_good_step() -> None:
    results = []
    for guarded in (True, False):
        torch.manual_seed(0)
        network = Small()
        optimisers, guard = optimisers_of(network, fused=True), StepGuard(network)
        if not guarded:
            guard.step = lambda optimisers, norm: [o.step() for o in optimisers]  # type: ignore[method-assign]
        for _ in range(3):
            take(network, optimisers, guard, 1.0)
        results.append(everything(network, optimisers))

    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])


def test_steps_left_out_are_counted() -> None:
    network = Small()
    optimisers, guard = optimisers_of(network, fused=True), StepGuard(network)
    for scale in (1.0, float("nan"), 1.0, float("nan"), float("nan")):
        take(network, optimisers, guard, scale)

    assert guard.counts() == (2, 3)
    assert guard.counts() == (2, 0)
    take(network, optimisers, guard, 1.0)
    assert guard.counts() == (0, 0)
