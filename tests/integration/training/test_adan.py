"""Adan and AdamW: the paper's numbers, steps that must not be taken, and a training that goes on exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)
from torch import nn  # noqa: E402

from srgan.networks import build  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import OptimiserSection, TrainConfig  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402
from srgan.training.optimisers import Adan, StepGuard, make_optimisers  # noqa: E402

Config = Callable[..., TrainConfig]


def by_hand(start: float, gradients: list[float], lr: float, betas: tuple[float, ...], decay: float) -> list[float]:
    """Algorithm 1 of the paper for a single weight, its betas being one minus ours, with corrected averages."""
    b1, b2, b3 = (1 - beta for beta in betas)
    m = v = n = 0.0
    weight, before, found = start, None, []
    for k, g in enumerate(gradients, 1):
        change = 0.0 if before is None else g - before
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * change
        n = (1 - b3) * n + b3 * (g + (1 - b2) * change) ** 2
        m_hat, v_hat, n_hat = (x / (1 - (1 - b) ** k) for x, b in ((m, b1), (v, b2), (n, b3)))
        eta = lr / (math.sqrt(n_hat) + 1e-8)
        weight = (weight - eta * (m_hat + (1 - b2) * v_hat)) / (1 + decay * lr)
        before = g
        found.append(weight)
    return found


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.98, 0.92, 0.99), (0.5, 0.6, 0.7)])
def test_adan_is_the_papers(betas: tuple[float, float, float], decay: float) -> None:
    gradients = [[0.3, -1.0], [0.1, -2.0], [-0.4, 0.5], [2.0, 0.0]]
    weight = nn.Parameter(torch.tensor([1.0, -0.5], dtype=torch.float64))
    optimiser = Adan([weight], 0.1, betas, decay)
    found = []
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimiser.step()
        found.append(weight.tolist())

    for place, start in enumerate((1.0, -0.5)):
        wanted = by_hand(start, [gradient[place] for gradient in gradients], 0.1, betas, decay)
        assert [values[place] for values in found] == pytest.approx(wanted, rel=1e-6)


def test_its_first_step_is_as_long_as_the_rate() -> None:
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.tensor([1e-4, -5.0, 0.0])
    Adan([weight], 0.01, weight_decay=0.0).step()

    torch.testing.assert_close(weight.detach(), torch.tensor([-0.01, 0.01, 0.0]))


def test_it_finds_the_bottom_of_a_narrow_valley() -> None:
    weight = nn.Parameter(torch.tensor([4.0, -3.0]))
    optimiser = Adan([weight], 0.2, weight_decay=0.0)
    for number in range(500):
        optimiser.param_groups[0]["lr"] = 0.2 * (1 - number / 500)
        optimiser.zero_grad()
        (50 * weight[0] ** 2 + 0.5 * weight[1] ** 2).backward()
        optimiser.step()

    assert weight.detach().abs().max() < 0.05


def test_weights_without_a_gradient_stay_and_no_closure_is_taken() -> None:
    weights = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    weights[0].grad = torch.ones(2)
    optimiser = Adan(weights, 0.1)
    optimiser.step()

    assert weights[0].max() < 1
    assert torch.equal(weights[1], torch.ones(2))
    with pytest.raises(ValueError, match="closure"):
        optimiser.step(lambda: 0.0)


@pytest.mark.parametrize("bad_at", [1, 3], ids=["the first", "a later one"])
def test_a_bad_step_is_as_if_it_had_not_been(bad_at: int) -> None:
    def end(*, with_bad: bool) -> list[torch.Tensor]:
        weight = nn.Parameter(torch.arange(4.0))
        network = nn.ParameterList([weight])
        optimiser, guard = Adan([weight], 0.1), StepGuard(network)
        for number in range(1, 6):
            if with_bad and number == bad_at:
                weight.grad = torch.full((4,), float("nan"))
                guard.step([optimiser], torch.tensor(float("nan")))
            weight.grad = torch.sin(torch.arange(4.0) + number)
            guard.step([optimiser], weight.grad.norm())
        return [weight.detach(), *optimiser.state[weight].values()]

    for one, other in zip(end(with_bad=True), end(with_bad=False), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("given", "used"), [(None, 0.01), (0.0, 0.0), (0.2, 0.2)])
@pytest.mark.parametrize(("kind", "of"), [("adamw", torch.optim.AdamW), ("adan", Adan)])
def test_settings_reach_the_optimiser(kind: str, of: type, given: float | None, used: float) -> None:
    network = build("fast", 4, width=16, blocks=1)
    section = OptimiserSection(
        kind=kind, learning_rate=3e-4, betas=(0.8, 0.95), adan_betas=(0.9, 0.8, 0.7), weight_decay=given
    )
    (made,) = make_optimisers(network, section)
    (group,) = made.param_groups

    assert type(made) is of
    assert [id(p) for p in group["params"]] == [id(p) for p in network.parameters()]
    assert (group["lr"], group["peak"], group["weight_decay"]) == (3e-4, 3e-4, used)
    assert group["betas"] == ((0.9, 0.8, 0.7) if kind == "adan" else (0.8, 0.95))


class Stop(Exception):
    """Stands for a crash."""


def last_checkpoint(config: TrainConfig) -> dict[str, torch.Tensor]:
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


def test_both_networks_go_on_exactly_with_optimisers_of_their_own(make_config: Config, quick_export: None) -> None:
    settings: dict[str, Any] = {
        "recipe": "adversarial",
        "steps": 40,
        "network__options": {"width": 16, "blocks": 1},
        "data__batch": 2,
        "discriminator": {"name": "patch", "options": {"width": 8, "depth": 2}, "optimiser": "adamw"},
        "optimiser": {"kind": "adan", "warmup": 5, "schedule": "restarts", "periods": (0.3, 0.7)},
        "loss__perceptual": 0.0,
        "output__checkpoint_every": 20,
    }
    straight, broken = make_config(**settings), make_config(**settings, output__name="broken")
    train(straight)

    def crash(status: TrainStep) -> None:
        if status.done == 20:
            raise Stop

    with pytest.raises(Stop):
        train(broken, report=crash)
    train(broken)

    one, other = last_checkpoint(straight), last_checkpoint(broken)
    assert {"optimisers/generator/0/0/change", "optimisers/discriminator/0/0/exp_avg"} <= one.keys()
    assert one.keys() == other.keys()
    assert [key for key in one if not torch.equal(one[key], other[key])] == []
