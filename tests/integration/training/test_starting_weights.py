"""Training can start from another model's weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import CorruptModel, InvalidConfig  # noqa: E402 (torch first: without it nothing here can run)
from srgan.models import Bundle, ModelInfo, write_bundle  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402

Config = Callable[..., TrainConfig]


def trained_bundle(folder: Path, name: str, options: dict[str, Any], scale: int) -> tuple[Any, Bundle]:
    """A deployed network with weights all over the place, and its bundle."""
    from safetensors.torch import save

    torch.manual_seed(9)
    network = build(name, scale, **options)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point():
            value.add_(torch.randn_like(value) * 0.05)
    network = network.deploy()
    info = ModelInfo(name="start", network=name, network_options=options, scale=scale, radius=1)
    data = save({k: v.half() for k, v in network.state_dict().items()})
    return network, write_bundle(folder / "start", info, {"weights.safetensors": data})


def first_of(config: TrainConfig) -> Any:
    """The network that training would begin with, deployed."""
    from srgan.training.setup import make_network

    torch.manual_seed(3)
    return make_network(config.network, config.data.patch).deploy()


@pytest.mark.parametrize(
    ("name", "options", "extra"),
    [
        ("fast", {"width": 16, "blocks": 1}, {}),
        ("fast", {"width": 16, "blocks": 1}, {"expanded": True}),
        ("balanced", {"width": 16, "blocks": 1}, {"expanded": True}),
        ("srresnet", {"width": 8, "blocks": 1}, {}),
    ],
    ids=["plain", "expanded", "span", "batch norms that were folded"],
)
def test_a_network_starts_where_a_model_stopped(
    name: str, options: dict[str, Any], extra: dict[str, Any], make_config: Config, tmp_path: Path
) -> None:
    start, bundle = trained_bundle(tmp_path, name, options, 4)
    config = make_config(network__name=name, network__options={**options, **extra}, network__init_from=str(bundle.path))
    x = torch.rand(1, 3, 12, 10)
    with torch.no_grad():
        # The weights of a bundle are stored in 16 bits.
        torch.testing.assert_close(first_of(config)(x), start(x), atol=5e-3, rtol=1e-2)


def test_another_scale_gets_a_new_head(make_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start, bundle = trained_bundle(tmp_path, "fast", {"width": 16, "blocks": 1}, 4)
    with caplog.at_level(logging.INFO, "srgan"):
        made = first_of(make_config(network__scale=2, network__init_from=str(bundle.path)))

    torch.testing.assert_close(made.stem.weight, start.stem.weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(made.join.bias, start.join.bias, atol=1e-3, rtol=1e-3)
    assert made.head.conv.weight.shape == (12, 16, 3, 3)
    assert "head.conv has another shape and starts afresh" in caplog.text
    assert "4 layers start from start" in caplog.text


def test_another_architecture_is_no_start(make_config: Config, tmp_path: Path) -> None:
    _, bundle = trained_bundle(tmp_path, "fast", {"width": 32, "blocks": 1}, 4)

    with pytest.raises(InvalidConfig, match=r"network\.init_from: .*: no layer of 'fast' fits this network"):
        first_of(make_config(network__init_from=str(bundle.path)))


def test_a_model_without_weights_to_train_is_no_start(make_config: Config, tmp_path: Path) -> None:
    info = ModelInfo(name="start", network="fast", scale=4, radius=1)
    onnx_only = write_bundle(tmp_path / "a", info, {"model.onnx": b"x"})
    damaged = write_bundle(tmp_path / "b", info, {"weights.safetensors": b"not weights"})

    with pytest.raises(CorruptModel, match=r"the bundle has no weights\.safetensors"):
        first_of(make_config(network__init_from=str(onnx_only.path)))
    with pytest.raises(CorruptModel, match=r"weights\.safetensors cannot be read"):
        first_of(make_config(network__init_from=str(damaged.path)))


@pytest.mark.usefixtures("quick_export")
def test_the_parent_is_named_in_the_provenance(make_config: Config, tmp_path: Path) -> None:
    _, bundle = trained_bundle(tmp_path, "fast", {"width": 16, "blocks": 1}, 4)

    made = train(make_config(steps=2, network__init_from=str(bundle.path)))

    assert made.info.provenance.parent == "start"
