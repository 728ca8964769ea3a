"""Blocks that run again in the backward pass: the same training, in less memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402

Config = Callable[..., TrainConfig]
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("fast", {"width": 16, "blocks": 2, "expanded": True}),
    ("balanced", {"width": 16, "blocks": 2}),
    ("srresnet", {"width": 8, "blocks": 2}),
]
every_kind = pytest.mark.parametrize(("name", "options"), NETWORKS, ids=[name for name, _ in NETWORKS])


def trained(config: TrainConfig) -> dict[str, torch.Tensor]:
    train(config)
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


@pytest.mark.usefixtures("quick_export")
@every_kind
def test_a_run_ends_in_the_same_weights(name: str, options: dict[str, Any], make_config: Config) -> None:
    """Bit for bit, the statistics of batch norms included."""
    settings = {"network__name": name, "network__options": options, "steps": 5}
    plain = trained(make_config(**settings, output__name="plain"))
    again = trained(make_config(**settings, output__name="again", hardware__checkpoint_activations=True))

    assert plain.keys() == again.keys()
    assert [key for key in plain if not torch.equal(plain[key], again[key])] == []


@every_kind
def test_less_is_kept_for_the_gradient(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = build(name, 2, **(options | {"blocks": 8}))
    # A fresh block is the identity, which needs no gradient of its inside.
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    picture = torch.rand(2, 3, 24, 24)

    def kept() -> int:
        storages: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = network(picture).mean()
        loss.backward()
        return sum(storages.values())

    plain = kept()
    network.recompute = True
    assert kept() < 0.65 * plain


@every_kind
def test_where_no_gradient_is_asked_for_it_runs_once(name: str, options: dict[str, Any]) -> None:
    network = build(name, 2, **options)
    network.recompute = True
    runs = 0

    def count(*_: Any) -> None:
        nonlocal runs
        runs += 1

    network.blocks[0].register_forward_hook(count)
    picture = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        network(picture)
    assert runs == 1

    network(picture).mean().backward()
    assert runs > 1
    deployed = network.deploy()
    with torch.no_grad():
        torch.testing.assert_close(deployed(picture), network.eval()(picture), atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("quick_export")
def test_it_can_be_compiled(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **_: real(module, backend="eager"))
    settings = {"steps": 3, "hardware__checkpoint_activations": True}
    plain = trained(make_config(**settings, output__name="plain"))
    compiled = trained(make_config(**settings, output__name="compiled", hardware__compile=True))

    torch.testing.assert_close(compiled["networks/generator/stem.weight"], plain["networks/generator/stem.weight"])


def test_what_cannot_be_is_refused(make_config: Config) -> None:
    turbo = {"network__name": "turbo", "network__options": {"width": 16, "depth": 1}}
    with pytest.raises(InvalidConfig, match="has no residual blocks"):
        train(make_config(**turbo, hardware__checkpoint_activations=True))
    paper = {"network__name": "srresnet", "network__options": {"width": 8, "blocks": 1}}
    with pytest.raises(InvalidConfig, match=r"cannot be combined with hardware\.compile for networks with batch norm"):
        train(make_config(**paper, hardware__checkpoint_activations=True, hardware__compile=True))
