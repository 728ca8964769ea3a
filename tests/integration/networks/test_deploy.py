"""What runs computes what was trained: folded batch norms, collapsed branches, and how a network starts."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need torch")

from torch import nn  # noqa: E402 (torch first: without it nothing here can be imported)

from srgan.networks import build  # noqa: E402
from srgan.networks.network import DirectHead, ExpandedConv, Network, conv3x3  # noqa: E402

EXPANDED = [
    ("plain", {"width": 16, "depth": 2, "expanded": True}),
    ("turbo", {"width": 16, "depth": 2, "expanded": True}),
    ("fast", {"width": 16, "blocks": 2, "expanded": True}),
    ("balanced", {"width": 16, "blocks": 2, "expanded": True}),
    ("quality", {"width": 16, "blocks": 2, "expanded": True}),
]
PLAIN = [
    ("plain", {"width": 16, "depth": 2}),
    ("turbo", {"width": 16, "depth": 2}),
    ("fast", {"width": 16, "blocks": 2}),
    ("balanced", {"width": 16, "blocks": 2}),
    ("quality", {"width": 16, "blocks": 2}),
    ("srresnet", {"width": 16, "blocks": 2}),
]


def trained(name: str, options: dict[str, Any], scale: int = 2) -> Network:
    """A network as training might leave it: every weight and statistic is somewhere."""
    torch.manual_seed(1)
    network = build(name, scale, **options)
    for key, tensor in network.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.2, 3)
        elif tensor.is_floating_point():
            tensor.add_(torch.randn_like(tensor) * 0.1)
    return network


def picture(network: Network) -> torch.Tensor:
    return torch.rand(2, 3, 10 * network.multiple, 7 * network.multiple, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("name", "options"), EXPANDED + PLAIN, ids=lambda value: str(value))
@pytest.mark.parametrize("scale", [2, 4])
def test_the_deployed_network_computes_the_same(name: str, options: dict[str, Any], scale: int) -> None:
    network = trained(name, options, scale).eval()
    deployed = network.deploy()

    with torch.no_grad():
        torch.testing.assert_close(deployed(picture(network)), network(picture(network)), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), EXPANDED, ids=lambda value: str(value))
def test_branches_are_gone_and_the_size_is_that_of_the_plain_network(name: str, options: dict[str, Any]) -> None:
    deployed = trained(name, options).deploy()
    plain = build(name, 2, **{key: value for key, value in options.items() if key != "expanded"})

    assert not any(isinstance(module, ExpandedConv) for module in deployed.modules())
    assert {k: v.shape for k, v in deployed.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    plain.load_state_dict(deployed.state_dict())


def test_batch_norms_are_gone() -> None:
    deployed = trained("srresnet", {"width": 16, "blocks": 3}).deploy()

    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
    assert not any("norm" in key for key in deployed.state_dict())


def test_deploying_srresnet_needs_its_statistics() -> None:
    """A network whose statistics do not count would pass the comparison above for the wrong reason."""
    network = trained("srresnet", {"width": 16, "blocks": 1}).eval()
    with torch.no_grad():
        before = network(picture(network))
        network.join_norm.running_mean += 1
        assert (network(picture(network)) - before).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "options"), EXPANDED + PLAIN, ids=lambda value: str(value))
def test_the_original_is_left_as_it_was(name: str, options: dict[str, Any]) -> None:
    network = trained(name, options).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}

    deployed = network.deploy()
    with torch.no_grad():
        for parameter in deployed.parameters():
            parameter.zero_()

    assert network.training
    assert not deployed.training
    assert list(before) == list(network.state_dict())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(("name", "options"), EXPANDED + PLAIN, ids=lambda value: str(value))
def test_deploying_twice_changes_nothing_more(name: str, options: dict[str, Any]) -> None:
    once = trained(name, options).deploy()
    twice = once.deploy()

    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), twice.parameters(), strict=True))


# ------------------------------------------------------------------------------------------- the expanded layer


def test_the_expanded_layer_is_one_convolution() -> None:
    torch.manual_seed(0)
    layer = ExpandedConv(5, 8).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    x = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    # The branch, run as it is described: a 3x3 convolution to twice the channels, then a 1x1.
    wide = nn.functional.conv2d(x, layer.expand, padding=1)
    branch = nn.functional.conv2d(wide, layer.project[:, :, None, None])
    direct = nn.functional.conv2d(x, layer.direct, layer.bias, padding=1)

    torch.testing.assert_close(layer(x), direct + branch)
    torch.testing.assert_close(layer.collapse()(x), direct + branch)


@pytest.mark.parametrize("with_bias", [True, False])
def test_the_expanded_layer_takes_over_a_plain_one(with_bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, 3, padding=1, bias=with_bias)
    layer = ExpandedConv(4, 6)
    nn.init.normal_(layer.bias)
    x = torch.randn(1, 4, 5, 5)

    layer.absorb(plain.weight, plain.bias)

    torch.testing.assert_close(layer(x), plain(x))


def test_all_of_an_expanded_layer_learns_after_taking_over() -> None:
    torch.manual_seed(0)
    layer = ExpandedConv(4, 6)
    layer.absorb(torch.randn(6, 4, 3, 3), None)
    layer(torch.randn(1, 4, 5, 5)).square().sum().backward()

    assert layer.direct.grad.abs().max() > 0
    assert layer.project.grad.abs().max() > 0
    # The 3x3 of the branch follows when the 1x1 has left zero.
    assert layer.expand.grad.abs().max() == 0


# -------------------------------------------------------------------------------------------------- how they start


@pytest.mark.parametrize("expanded", [False, True])
def test_a_layer_can_start_as_zero(expanded: bool) -> None:
    layer = conv3x3(4, 4, expanded=expanded, gain=0.0)
    x = torch.randn(1, 4, 5, 5)

    assert layer(x).abs().max() == 0
    layer(x).sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in layer.parameters())


@pytest.mark.parametrize("name", ["turbo", "fast", "balanced", "quality"])
def test_a_fresh_network_is_not_far_from_plain_repetition(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, 2)
    x = torch.rand(1, 3, 16, 16)
    nearest = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    with torch.no_grad():
        difference = (network(x) - nearest).abs().mean()

    assert 0 < difference < 0.2


def test_the_head_adds_its_detail_to_the_repeated_input() -> None:
    head = DirectHead(4, 3, factor=3, scale=3)
    nn.init.zeros_(head.conv.weight)
    nn.init.zeros_(head.conv.bias)
    x = torch.rand(1, 3, 4, 5)

    assert torch.equal(head(torch.rand(1, 4, 4, 5), x), x.repeat_interleave(3, 2).repeat_interleave(3, 3))


@pytest.mark.parametrize("name", ["turbo", "fast", "balanced", "quality"])
def test_under_autocast_the_output_is_float32(name: str) -> None:
    network = build(name, 2, width=16)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(torch.rand(1, 3, 8, 8))

    assert output.dtype == torch.float32
