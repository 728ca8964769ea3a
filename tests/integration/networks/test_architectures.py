"""The networks as the papers and our own figures describe them: sizes, costs, shapes and reach."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="networks need torch")

from srgan.errors import InvalidConfig  # noqa: E402 (torch first: without it nothing here can be imported)
from srgan.networks import NETWORKS, build  # noqa: E402
from srgan.networks.network import SCALES, Network, costs  # noqa: E402

DIRECT = ("plain", "turbo", "fast", "balanced", "quality")
ALL = [(name, scale) for name in DIRECT for scale in SCALES] + [("srresnet", scale) for scale in (2, 4, 8, 16)]


def shortened(name: str, scale: int) -> Network:
    """A narrow network with fewer repetitions of the same block, where any weight has a visible effect."""
    options = {"turbo": {"depth": 2}, "plain": {"depth": 2}}.get(name, {"blocks": 1 if name == "balanced" else 2})
    network = build(name, scale, width=4, **options).double().eval()
    scramble(network)
    return network


def scramble(network: Network) -> None:
    """No weight stays at the zero or one that it starts from."""
    generator = torch.Generator().manual_seed(5)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.is_floating_point():
            spread = 1.5 * max(1, tensor[0].numel()) ** -0.5 if tensor.ndim > 1 else 0.2
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * spread)


# -------------------------------------------------------------------------------------------------- size and cost


@pytest.mark.parametrize(
    ("name", "scale", "parameters"),
    [
        ("srresnet", 4, 1_547_350),
        ("turbo", 4, 339_328),
        ("plain", 4, 209_184),
        ("fast", 4, 209_184),
        ("balanced", 4, 426_288),
        ("quality", 4, 1_248_112),
        ("fast", 2, 209_184 - 36 * (48 * 9 + 1)),
        ("turbo", 2, 339_328 - 144 * (64 * 9 + 1)),
    ],
)
def test_number_of_parameters(name: str, scale: int, parameters: int) -> None:
    assert sum(p.numel() for p in build(name, scale).parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "scale", "macs"),
    [
        ("turbo", 4, (12 * 64 + 6 * 64 * 64 + 64 * 192) * 9 // 4),
        ("plain", 4, (3 * 48 + 9 * 48 * 48 + 48 * 48) * 9),
        ("fast", 4, (3 * 48 + 9 * 48 * 48 + 48 * 48) * 9),
        ("balanced", 4, (3 * 48 + 19 * 48 * 48 + 48 * 48) * 9 + 4 * 48 * 48),
        ("quality", 4, (3 * 64 + 33 * 64 * 64 + 64 * 48) * 9),
        # The stages of SRResNet work at 1, 2 and 4 times the resolution.
        ("srresnet", 4, 3 * 64 * 81 + 33 * 64 * 64 * 9 + 64 * 256 * 9 * (1 + 4) + 64 * 3 * 81 * 16),
    ],
)
def test_multiply_accumulates_for_each_input_pixel(name: str, scale: int, macs: int) -> None:
    counted, _ = costs(build(name, scale).deploy())

    assert counted == macs
    published = {
        "plain": 209e3,
        "turbo": 85e3,
        "fast": 209e3,
        "balanced": 425e3,
        "quality": 1.25e6,
        "srresnet": 2.22e6,
    }
    assert counted == pytest.approx(published[name], rel=0.01)


def test_working_memory_grows_with_the_widest_layer() -> None:
    _, narrow = costs(build("fast", 4, width=16).deploy())
    _, wide = costs(build("fast", 4, width=64).deploy())

    # Input and output of a 64 to 64 convolution in float32, seven times over, and the output picture twice.
    assert wide == 4 * (7 * (64 + 64) + 2 * 3 * 16)
    assert narrow < wide


def test_counting_leaves_no_trace() -> None:
    network = build("fast", 4, width=16, blocks=1).deploy()
    costs(network)

    assert all(not module._forward_hooks for module in network.modules())


# --------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(("name", "scale"), ALL)
def test_the_output_is_scale_times_larger(name: str, scale: int) -> None:
    network = shortened(name, scale)
    picture = torch.rand(2, 3, 4 * network.multiple, 3 * network.multiple, dtype=torch.float64)

    output = network(picture)

    assert output.shape == (2, 3, 4 * network.multiple * scale, 3 * network.multiple * scale)
    assert network.scale == scale
    assert network.channels == 3


@pytest.mark.parametrize("name", ["plain", "turbo", "fast", "balanced", "quality", "srresnet"])
def test_other_numbers_of_channels(name: str) -> None:
    network = build(name, 2, width=8, channels=1)

    assert network.channels == 1
    assert network(torch.rand(1, 1, 4, 4)).shape == (1, 1, 8, 8)


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("scale", [0, 1, 5, 6, 16, -2])
def test_a_scale_that_the_direct_head_does_not_come_in(name: str, scale: int) -> None:
    with pytest.raises(InvalidConfig, match=f"network '{name}' comes in the scales 2, 3, 4, 8, not {scale}"):
        build(name, scale)


@pytest.mark.parametrize("scale", [1, 3, 6, 32])
def test_srresnet_comes_in_powers_of_two(scale: int) -> None:
    with pytest.raises(InvalidConfig, match=f"scales 2, 4, 8, 16, not {scale}"):
        build("srresnet", scale)


def test_an_unknown_network() -> None:
    with pytest.raises(InvalidConfig, match=r"There is no network 'huge'\. Choose one of: srresnet, turbo, fast"):
        build("huge", 4)


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("fast", {"depth": 3}, "there is no option 'depth'; there are: width"),
        ("turbo", {"blocks": 3}, "there is no option 'blocks'"),
        ("fast", {"scale": 3}, "there is no option 'scale'"),
        ("fast", {"width": 0}, "width must be a whole number from 1, not 0"),
        ("fast", {"blocks": -1}, "blocks must be a whole number from 1, not -1"),
        ("plain", {"depth": 0}, "depth must be a whole number from 1, not 0"),
        ("turbo", {"depth": 2.0}, "depth must be a whole number from 1, not 2.0"),
        ("balanced", {"width": "48"}, "width must be a whole number from 1, not '48'"),
        ("quality", {"channels": True}, "channels must be a whole number from 1, not True"),
        ("srresnet", {"blocks": 0}, "blocks must be a whole number from 1, not 0"),
    ],
)
def test_options_that_an_architecture_does_not_have(name: str, options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint) as caught:
        build(name, 4, **options)

    assert f"network '{name}': " in str(caught.value)


@pytest.mark.parametrize("name", NETWORKS.names())
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    def weights() -> torch.Tensor:
        torch.manual_seed(3)
        return torch.cat([p.flatten() for p in build(name, 8 if "refiner" in name else 4).parameters()])

    assert torch.equal(weights(), weights())


# ---------------------------------------------------------------------------------------------------------- reach


@pytest.mark.parametrize(("name", "scale"), ALL)
def test_the_radius_is_the_reach_and_no_more(name: str, scale: int) -> None:
    """Gradients of every output pixel that belongs to one block of input pixels: farther than ``radius`` they are zero,
    and at ``radius`` some is not. The stated slack is none."""
    network = shortened(name, scale)
    side = 2 * (network.radius + 2) * network.multiple
    middle = side // 2 // network.multiple * network.multiple
    picture = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    output = network(picture)
    reach = 0
    for offset in range(network.multiple):
        pixel = middle + offset
        block = output[0, :, pixel * scale : (pixel + 1) * scale, pixel * scale : (pixel + 1) * scale]
        # Weights of their own for all outputs, so that no two gradients cancel.
        weights = torch.rand(block.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(offset))
        (gradient,) = torch.autograd.grad((block * weights).sum(), picture, retain_graph=True)
        touched = gradient[0].abs().sum(0).nonzero()
        reach = max(reach, int((touched - pixel).abs().max()))

    assert reach == network.radius


@pytest.mark.parametrize("name", ["plain", "turbo", "fast", "balanced", "srresnet"])
def test_a_change_farther_than_the_radius_moves_nothing(name: str) -> None:
    network = shortened(name, 2)
    r, m = network.radius, network.multiple
    side = math.ceil((2 * r + 4) / m) * m
    picture = torch.rand(1, 3, side, side, dtype=torch.float64)
    changed = picture.clone()
    changed[..., 0] = 1 - changed[..., 0]
    with torch.no_grad():
        difference = (network(picture) - network(changed)).abs().amax(dim=(0, 1, 2))

    assert difference[2 * (r + 1) :].max() == 0
    assert difference[: 2 * (r + 1)].max() > 0


@pytest.mark.parametrize(
    ("name", "radius"),
    [("plain", 11), ("turbo", 17), ("fast", 11), ("balanced", 21), ("quality", 35), ("srresnet", 40)],
)
def test_the_radius_of_the_real_ones(name: str, radius: int) -> None:
    assert build(name, 4).radius == radius
