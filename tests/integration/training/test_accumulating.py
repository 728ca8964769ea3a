"""Several batches in one step are one batch as large as they are together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")
GAN: dict[str, Any] = {
    "recipe": "adversarial",
    # Spectral norms follow the weights with each forward pass, so a little further with several batches.
    "discriminator": {"name": "srgan", "options": {"width": 4, "dense": 8, "norm": "none"}, "r1": 1.0, "r1_every": 2},
    "loss": {"perceptual": 0.0, "adversarial": 0.5, "artefact": 1.0},
}


class Stop(Exception):
    """Stands for a crash."""


@pytest.fixture
def dealt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """``dealt(n)``: from here on a batch is the next ``n`` pairs of a fixed sequence."""

    def deal(size: int) -> None:
        place = 0

        def pair(number: int) -> tuple[torch.Tensor, torch.Tensor]:
            random = torch.Generator().manual_seed(number)
            low = torch.rand(1, 3, 8, 8, generator=random)
            return low, torch.nn.functional.interpolate(low, scale_factor=4.0, mode="bilinear")

        def batch(_: TileStore) -> tuple[torch.Tensor, torch.Tensor]:
            nonlocal place
            pairs = [pair(number) for number in range(place, place + size)]
            place += size
            return torch.cat([low for low, _ in pairs]), torch.cat([high for _, high in pairs])

        monkeypatch.setattr(TileStore, "batch", batch)

    return deal


def trained(config: TrainConfig) -> dict[str, torch.Tensor]:
    train(config)
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], network: str) -> float:
    """How far two networks lie apart, relative to their length."""
    names = [name for name in one if name.startswith(network)]
    a, b = (torch.cat([state[name].flatten().float() for name in names]) for state in (one, other))
    return float((a - b).norm() / a.norm())


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser__kind": "adam"},
        {"optimiser__kind": "muon"},
        {**GAN, "updates": {"generator": 2, "discriminator": 1}},
        {**GAN, "updates": {"generator": 1, "discriminator": 2}},
    ],
    ids=["adam", "muon", "2:1", "1:2"],
)
def test_three_batches_in_a_step_are_one_of_three_times_the_size(
    settings: dict[str, Any], make_config: Config, dealt: Callable[[int], None]
) -> None:
    settings = {"steps": 8, "optimiser__warmup": 2, **settings}
    runs = []
    for name, size, batches in [("whole", 6, 1), ("parts", 2, 3), ("smaller", 2, 1)]:
        dealt(size)
        runs.append(trained(make_config(**settings, optimiser__accumulate=batches, output__name=name)))
    whole, parts, smaller = runs

    for network in ("networks/generator/", "networks/discriminator/")[: 1 + ("recipe" in settings)]:
        assert apart(whole, parts, network) < min(1e-4, apart(whole, smaller, network) / 20)
    assert whole["optimisers/generator/0/0/step"] == parts["optimisers/generator/0/0/step"] == 8


def test_an_interrupted_run_of_several_batches_ends_in_the_same_weights(make_config: Config) -> None:
    settings = {
        **GAN,
        "steps": 40,
        "optimiser__accumulate": 2,
        "updates": {"generator": 3, "discriminator": 2},
        "output__checkpoint_every": 20,
        "data__batch": 1,
    }
    straight, broken = make_config(**settings), make_config(**settings, output__name="broken")
    one = trained(straight)

    def crash(status: TrainStep) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(broken, report=crash)
    other = trained(broken)

    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_what_is_told_is_the_mean_of_the_batches(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from srgan.training import losses

    values = iter(range(1, 1000))
    monkeypatch.setitem(losses.PIXEL_LOSSES, "l1", lambda output, _: output.mean() * 0 + next(values))
    heard: list[float] = []
    train(
        make_config(steps=20, optimiser__accumulate=4, output__unfit="keep"),
        report=lambda status: heard.append(status.loss),
    )

    assert heard[1:] == [pytest.approx((77 + 78 + 79 + 80) / 4)]
