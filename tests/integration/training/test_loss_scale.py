"""The scale of a loss in float16. It is decided by arithmetic that a CPU has too, so all but the speed shows here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.progress import Step  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.optimisers import LossScale, StepGuard  # noqa: E402

Config = Callable[..., TrainConfig]
GAN: dict[str, Any] = {
    "recipe": "adversarial",
    "discriminator": {"name": "patch", "options": {"width": 8, "depth": 2}},
    "loss": {"perceptual": 0.0},
    "data__batch": 2,
}


class Stop(Exception):
    """Stands for a crash."""


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on all networks have a scale, whatever their precision."""
    initialise = StepGuard.__init__

    def always(self: StepGuard, *networks: torch.nn.Module, scaled: bool = False) -> None:
        initialise(self, *networks, scaled=True)

    return lambda: monkeypatch.setattr(StepGuard, "__init__", always)


def trained(config: TrainConfig) -> dict[str, torch.Tensor]:
    train(config)
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


def test_it_is_halved_by_a_bad_step_and_doubled_by_many_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LossScale, "GROWTH_STEPS", 3)
    scale = LossScale(torch.device("cpu"))
    seen = []
    for bad in [1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]:
        scale.update(torch.tensor(float(bad)))
        seen.append(float(scale.state[0]))

    assert [value / 2**16 for value in seen] == [1 / 2, 1 / 4, 1 / 4, 1 / 4, *[1 / 8] * 3, *[1 / 4] * 3, 1 / 2]


def test_it_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LossScale, "GROWTH_STEPS", 1)
    scale = LossScale(torch.device("cpu"))
    for bad, limit in [(0.0, 2.0**24), (1.0, 1.0)]:
        for _ in range(40):
            scale.update(torch.tensor(bad))
        assert float(scale.state[0]) == limit


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("settings", [{"optimiser__kind": "muon", "optimiser__accumulate": 2}, GAN], ids=["one", "two"])
def test_scaling_changes_nothing_where_nothing_is_lost(
    settings: dict[str, Any], make_config: Config, scaled: Callable[[], None]
) -> None:
    """In float32 a power of two is exact: the weights are the same bit for bit, whatever was scaled on the way."""
    plain = trained(make_config(**settings, steps=10, output__name="plain"))
    scaled()
    other = trained(make_config(**settings, steps=10, output__name="scaled"))

    scales = {key for key in other if key.startswith("loss_scales/")}
    assert scales == {"loss_scales/generator"} | ({"loss_scales/discriminator"} if "recipe" in settings else set())
    assert all(other[key].tolist() == [2.0**16, 10.0] for key in scales)
    assert plain.keys() == other.keys() - scales
    assert [key for key in plain if not torch.equal(plain[key], other[key])] == []


@pytest.mark.usefixtures("quick_export")
def test_each_network_finds_the_scale_that_its_gradients_can_bear(
    make_config: Config, scaled: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator's overflow above 2**13, the discriminator's above 2**15; both steps are left out until it fits."""
    limits = iter([2.0**13, 2.0**15])
    initialise = LossScale.__init__

    def limited(self: LossScale, device: torch.device) -> None:
        initialise(self, device)
        self.limit = next(limits)  # type: ignore[attr-defined]

    def overflow(self: LossScale, loss: torch.Tensor) -> torch.Tensor:
        return loss * self.state[0] * (float("inf") if self.state[0] > self.limit else 1.0)  # type: ignore[attr-defined]

    scaled()
    monkeypatch.setattr(LossScale, "__init__", limited)
    monkeypatch.setattr(LossScale, "enlarge", overflow)
    saved = trained(make_config(**GAN, steps=10))

    assert saved["loss_scales/generator"].tolist() == [2.0**13, 7.0]
    assert saved["loss_scales/discriminator"].tolist() == [2.0**15, 9.0]
    assert (saved["optimisers/generator/0/0/step"], saved["optimisers/discriminator/0/0/step"]) == (7, 9)


@pytest.mark.usefixtures("quick_export")
def test_an_interrupted_run_goes_on_with_its_scales(
    make_config: Config, scaled: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LossScale, "GROWTH_STEPS", 13)
    scaled()
    settings = {**GAN, "steps": 40, "output__checkpoint_every": 20}
    one = trained(make_config(**settings))

    def crash(status: Step) -> None:
        raise Stop

    broken = make_config(**settings, output__name="broken")
    with pytest.raises(Stop):
        train(broken, report=crash)
    other = trained(broken)

    assert one["loss_scales/generator"].tolist() == [2.0**19, 1.0]
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_fp16_is_refused_where_it_is_of_no_use(make_config: Config) -> None:
    with pytest.raises(InvalidConfig, match=r"hardware\.precision: fp16 is for CUDA devices, not .*bf16 or fp32"):
        train(make_config(hardware__precision="fp16"))
