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


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ({"width": 16, "blocks": 1}, {"width": 32, "blocks": 3}),
        ({"width": 16, "blocks": 2}, {"width": 16, "blocks": 5}),
        ({"width": 16, "blocks": 2}, {"width": 48, "blocks": 2, "expanded": True}),
    ],
    ids=["wider and deeper", "deeper", "wider and expanded"],
)
def test_a_larger_network_grows_out_of_a_smaller_one(
    smaller: dict[str, Any], larger: dict[str, Any], make_config: Config, tmp_path: Path
) -> None:
    """The same output to begin with, and a gradient in all of it."""
    from srgan.training.setup import make_network

    start, bundle = trained_bundle(tmp_path, "fast", smaller, 4)
    config = make_config(network__name="quality", network__options=larger, network__init_from=str(bundle.path))
    network = make_network(config.network, config.data.patch)
    x = torch.rand(2, 3, 12, 10)
    torch.testing.assert_close(network(x), start(x), atol=5e-3, rtol=1e-2)

    torch.nn.functional.mse_loss(network(x), torch.rand(2, 3, 48, 40)).backward()
    width, old = larger["width"], smaller["width"]
    for name, layer in network.deploy().named_modules():
        if name.endswith("second") and width > old:
            # What leads from new channels to old ones is zero, and must not stay so.
            assert not layer.weight[:old, old:].any()
    for name, weight in network.named_parameters():
        # The second convolution of a new block is zero, so the first one's turn comes a step later.
        # Both kernels of a branch that starts from nothing: likewise.
        if ".first." not in name and "expand" not in name:
            assert weight.grad is not None
            assert weight.grad.any(), name


@pytest.mark.parametrize(
    "larger",
    [{"width": 24, "depth": 5}, {"width": 16, "depth": 5}, {"width": 24, "depth": 2, "expanded": True}],
    ids=["wider and deeper", "deeper", "wider and expanded"],
)
def test_a_plain_network_grows_out_of_a_smaller_one(
    larger: dict[str, Any], make_config: Config, tmp_path: Path
) -> None:
    from srgan.training.setup import make_network

    start, bundle = trained_bundle(tmp_path, "plain", {"width": 16, "depth": 2}, 4)
    config = make_config(network__name="plain", network__options=larger, network__init_from=str(bundle.path))
    network = make_network(config.network, config.data.patch)
    x = torch.rand(2, 3, 12, 10)
    torch.testing.assert_close(network(x), start(x), atol=5e-3, rtol=1e-2)

    torch.nn.functional.mse_loss(network(x), torch.rand(2, 3, 48, 40)).backward()
    kernels = [layer.direct if larger.get("expanded") else layer.weight for layer in network.body]
    for kernel in kernels:
        assert not kernel[:16, 16:].any()  # nothing that was there listens to new channels, and must learn to
        assert kernel.grad[:16].any()
    new = network.head.conv.weight.grad[:, 16:]
    assert new.any() or not new.numel()


@pytest.mark.parametrize(
    ("name", "options"),
    [("plain", {"width": 8, "depth": 2}), ("plain", {"width": 16, "depth": 1}), ("plain", {"width": 16, "depth": 2})],
    ids=["narrower", "shallower", "as large"],
)
def test_a_plain_network_grows_out_of_smaller_ones_only(name: str, options: dict[str, Any]) -> None:
    larger = build("plain", 4, width=16, depth=2).deploy().state_dict()

    assert build(name, 4, **options).grown(larger) is None
    assert build("plain", 2, width=24, depth=2).grown(larger) is None, "another head"
    assert build("turbo", 4).grown(larger) is None, "another kind"
    assert build("fast", 4).grown(larger) is None, "another kind"


def test_a_network_does_not_grow_out_of_a_larger_one(make_config: Config, tmp_path: Path) -> None:
    _, bundle = trained_bundle(tmp_path, "fast", {"width": 32, "blocks": 3}, 4)
    network = build("fast", 4, width=16, blocks=1)
    from safetensors.torch import load

    assert network.grown(load(bundle.read("weights.safetensors"))) is None


def test_growing_gives_another_scale_a_new_head(make_config: Config, tmp_path: Path) -> None:
    start, bundle = trained_bundle(tmp_path, "fast", {"width": 16, "blocks": 1}, 4)
    made = first_of(
        make_config(network__scale=2, network__options={"width": 16, "blocks": 3}, network__init_from=str(bundle.path))
    )
    torch.testing.assert_close(made.stem.weight, start.stem.weight, atol=1e-3, rtol=1e-2)
    assert made(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)


def test_batch_norms_that_were_folded_are_found_again(make_config: Config, tmp_path: Path) -> None:
    """In training mode a batch norm divides by the batch's own spread: a fresh one would lose the start."""
    from srgan.training.data import TileStore
    from srgan.training.optimisers import WeightAverage
    from srgan.training.setup import averaged, make_network, settle_norms
    from srgan.training.state import MAIN, State

    start, bundle = trained_bundle(tmp_path, "srresnet", {"width": 8, "blocks": 2}, 4)
    config = make_config(
        network__name="srresnet", network__options={"width": 8, "blocks": 2}, network__init_from=str(bundle.path)
    )
    network = make_network(config.network, config.data.patch)
    store = TileStore(config.data, scale=4, seed=0, device=torch.device("cpu"))
    store.fill()
    x, _ = store.batch()
    with torch.no_grad():
        lost = (network(x) - start(x)).abs().max()
        state = State({MAIN: network}, {MAIN: WeightAverage(network, 0.9)}, {}, store.generator)
        settle_norms(state, store)
        low, _ = store.batch()  # another batch than the one that was shown to it
        assert (network(low) - start(low)).abs().mean() < 0.1 * lost
        torch.testing.assert_close(averaged(state)(low), start(low), atol=5e-3, rtol=1e-2)
    assert network.training
    assert not any(layer._forward_pre_hooks for layer in network.modules())


def test_a_network_without_batch_norms_draws_no_batch_for_them(make_config: Config) -> None:
    from srgan.training.data import TileStore
    from srgan.training.optimisers import WeightAverage
    from srgan.training.setup import make_network, settle_norms
    from srgan.training.state import MAIN, State

    config = make_config()
    network = make_network(config.network, config.data.patch)
    store = TileStore(config.data, scale=4, seed=0, device=torch.device("cpu"))
    before = store.generator.get_state()
    settle_norms(State({MAIN: network}, {MAIN: WeightAverage(network, 0.9)}, {}, store.generator), store)
    assert torch.equal(store.generator.get_state(), before)


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("recipe", ["pretrain", "adversarial"])
def test_both_recipes_go_on_from_a_model_with_folded_batch_norms(
    recipe: str, make_config: Config, tmp_path: Path
) -> None:
    start, bundle = trained_bundle(tmp_path, "srresnet", {"width": 8, "blocks": 1}, 4)
    made = train(
        make_config(
            recipe=recipe,
            steps=30,  # so that the running statistics follow the batches
            network__name="srresnet",
            network__options={"width": 8, "blocks": 1},
            network__init_from=str(bundle.path),
            optimiser={"learning_rate": 1e-9, "warmup": 0, "ema": 0.0},
            **(
                {"discriminator": {"name": "patch", "options": {"width": 4, "depth": 1}}}
                if recipe != "pretrain"
                else {}
            ),
        )
    )
    from safetensors.torch import load

    network = build("srresnet", 4, width=8, blocks=1).deploy()
    network.load_state_dict(load(made.read("weights.safetensors")))
    x = torch.rand(1, 3, 12, 10)
    with torch.no_grad():
        onward, wanted = network(x), start(x)
    torch.testing.assert_close(onward, wanted, atol=5e-2, rtol=5e-2)
    assert (onward - wanted).abs().mean() < 0.1 * (wanted - wanted.mean()).abs().mean()


def test_another_scale_gets_a_new_head(make_config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start, bundle = trained_bundle(tmp_path, "fast", {"width": 16, "blocks": 1}, 4)
    with caplog.at_level(logging.INFO, "srgan"):
        made = first_of(make_config(network__scale=2, network__init_from=str(bundle.path)))

    torch.testing.assert_close(made.stem.weight, start.stem.weight, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(made.join.bias, start.join.bias, atol=1e-3, rtol=1e-3)
    assert made.head.conv.weight.shape == (12, 16, 3, 3)
    assert "head.conv has another shape and starts afresh" in caplog.text
    assert "4 layers start from start" in caplog.text


@pytest.mark.parametrize(
    ("name", "options"),
    [("fast", {"width": 32, "blocks": 1}), ("plain", {"width": 16, "depth": 2})],
    ids=["nothing fits", "only the ends fit"],
)
def test_another_architecture_is_no_start(
    name: str, options: dict[str, Any], make_config: Config, tmp_path: Path
) -> None:
    _, bundle = trained_bundle(tmp_path, name, options, 4)

    with pytest.raises(InvalidConfig, match=rf"network\.init_from: .*: no inner layer of '{name}' fits this network"):
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


@pytest.mark.parametrize("value", [float("nan"), 1e6], ids=["NaN", "more than 16 bits hold"])
def test_a_model_whose_weights_are_not_finite_is_refused(value: float, make_config: Config, tmp_path: Path) -> None:
    from safetensors.torch import load, save

    _, bundle = trained_bundle(tmp_path, "fast", {"width": 16, "blocks": 1}, 4)
    weights = load(bundle.read("weights.safetensors"))
    weights["stem.weight"][0, 0] = value
    broken = write_bundle(tmp_path / "broken", bundle.info, {"weights.safetensors": save(weights)})
    config = make_config(network__init_from=str(broken.path))
    with pytest.raises(CorruptModel, match=r"broken: weights.safetensors: 9 of the 432 values of stem.weight are not"):
        train(config)
    assert not config.output.runs.exists(), "that shows before anything is begun"
