"""The ensemble as a network: what each of its outputs is made of, and how far it looks."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need torch")


from srgan.errors import InvalidConfig  # noqa: E402 (torch first: without it nothing here can be imported)
from srgan.networks import build  # noqa: E402
from srgan.networks.ensemble import OUTPUTS, EnsembleNetwork, Fusion  # noqa: E402

TINY = {"network": "fast", "width": 4, "blocks": 1}
WEIGHTS = [0.5, 0.2, 0.3]


class Still(torch.nn.Module):
    """Gives the same picture whatever it sees, and counts how often."""

    def __init__(self, picture: Any) -> None:
        super().__init__()
        self.picture, self.runs = picture, 0

    def forward(self, x: Any) -> Any:
        self.runs += 1
        return self.picture


def ensemble(scale: int = 2, *, seed: int = 3, **options: Any) -> EnsembleNetwork:
    """An ensemble with every output, in float64, whose weights are all random."""
    wanted: dict[str, Any] = {"member": TINY, "weights": WEIGHTS, "fusion": True, "soup": True, **options}
    network = build("ensemble", scale, **wanted).double().eval()
    assert isinstance(network, EnsembleNetwork)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            spread = 1.5 * max(1, tensor[0].numel()) ** -0.5 if tensor.ndim > 1 else 0.2
            values = torch.randn(tensor.shape, generator=generator) * spread
            tensor.copy_(values.abs() if name.endswith("running_var") else values)
    return network


def still(*pictures: Any, **options: Any) -> EnsembleNetwork:
    """An ensemble whose members give these pictures, as if trained to."""
    options = {"count": len(pictures), "weights": None, "soup": False, **options}
    network = ensemble(**options)
    network.members = torch.nn.ModuleList([Still(picture) for picture in pictures])
    network._member = lambda index: network.members[index]  # type: ignore[method-assign]
    return network


def noise(height: int = 8, width: int = 10, seed: int = 0) -> Any:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(network: EnsembleNetwork, x: Any) -> dict[str, Any]:
    with torch.no_grad():
        return dict(zip(network.outputs, network(x), strict=True))


# -------------------------------------------------------------------------------------------------- what there is


@pytest.mark.parametrize(
    ("options", "outputs"),
    [
        ({}, ("mean", "median", "frequency", "fidelity", "members")),
        ({"fidelity": False}, ("mean", "median", "members")),
        ({"weights": [0, 1, 0]}, ("mean", "median", "weighted", "frequency", "fidelity", "members")),
        ({"weights": WEIGHTS, "fusion": True, "soup": True}, OUTPUTS),
    ],
)
def test_the_options_say_which_outputs_there_are(options: dict[str, Any], outputs: tuple[str, ...]) -> None:
    network = build("ensemble", 2, member=TINY, **options)

    assert network.outputs == outputs
    assert len(network(torch.rand(1, 3, 8, 8))) == len(outputs)


def test_members_begin_with_weights_of_their_own() -> None:
    first, second, third = made(build("ensemble", 2, member=TINY), torch.rand(1, 3, 6, 6))["members"].chunk(3, dim=1)

    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"count": 1}, "count must be 2 to 8 members, not 1"),
        ({"count": 9}, "count must be 2 to 8 members, not 9"),
        ({"count": True}, "count must be 2 to 8 members, not True"),
        ({"member": {"width": 4}}, "member.network must name the members' architecture, not None"),
        ({"member": {"network": "ensemble"}}, "member.network must name the members' architecture, not 'ensemble'"),
        ({"member": {"network": "fast", "depth": 1}}, "network 'fast': there is no option 'depth'"),
        ({"weights": [1, 0]}, "weights must be 3 numbers from 0 whose sum is 1"),
        ({"weights": [1.5, -0.5, 0]}, "weights must be 3 numbers"),
        ({"weights": [0.4, 0.4, 0.4]}, "weights must be 3 numbers"),
        ({"weights": [float("nan")] * 3}, "weights must be 3 numbers"),
    ],
)
def test_what_cannot_be_built(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        build("ensemble", 2, **options)


@pytest.mark.parametrize(("count", "scale"), [(2, 2), (3, 4), (5, 4), (5, 8)])
def test_the_fusion_is_small(count: int, scale: int) -> None:
    assert sum(weight.numel() for weight in Fusion(count, 3, scale).parameters()) < 30_000


# ---------------------------------------------------------------------------------------------- what they hold


def test_every_output_is_a_picture_of_the_right_size() -> None:
    pictures = made(ensemble(4), noise(6, 7))

    assert pictures.pop("members").shape == (1, 9, 24, 28)
    assert {tuple(picture.shape) for picture in pictures.values()} == {(1, 3, 24, 28)}


def test_the_mean_is_the_mean() -> None:
    a, b, c = noise(seed=1), noise(seed=2), noise(seed=3)
    picture = made(still(a, b, c), noise())["mean"]

    assert torch.equal(picture, (a + b + c) / 3)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_the_median_is_the_middle_or_between_the_two_in_the_middle(count: int) -> None:
    pictures = [noise(seed=seed) for seed in range(count)]
    ordered = torch.stack(pictures).sort(dim=0).values
    wanted = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2

    assert torch.equal(made(still(*pictures), noise())["median"], wanted)


def test_the_weights_weigh_and_a_member_of_no_weight_does_not_count() -> None:
    a, b = noise(seed=1), noise(seed=2)
    nothing = torch.full_like(a, float("nan"))
    picture = made(still(a, b, nothing, weights=[0.25, 0.75, 0]), noise())["weighted"]

    assert torch.equal(picture, a * 0.25 + b * 0.75)


def test_slow_changes_come_from_the_psnr_member_and_fine_ones_from_the_others() -> None:
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    slope = ((rows + columns) / 80).double().expand(1, 3, 40, 40)
    texture = (0.1 * (-1.0) ** (rows + columns)).double().expand(1, 3, 40, 40)
    grey = torch.full_like(slope, 0.5)
    picture = made(still(slope - texture, grey + texture, grey + texture), noise())["frequency"]
    inside = (slice(None), slice(None), slice(8, -8), slice(8, -8))

    assert torch.allclose(picture[inside], (slope + texture)[inside], atol=2e-4)


def test_a_colour_of_the_psnr_member_reaches_the_very_border() -> None:
    looks = noise(20, 24, seed=5)
    picture = made(still(looks + 0.25, looks, looks), noise())["frequency"]

    assert torch.allclose(picture, looks + 0.25, atol=1e-12)


def test_the_low_pass_is_a_gaussian_of_one_and_a_half_pixels_that_sixteen_bits_hold() -> None:
    kernel = build("ensemble", 2, member=TINY).gaussian[0].flatten()
    away = torch.arange(-5.0, 6.0)

    assert kernel.sum() == 1
    assert torch.equal(kernel.half().float(), kernel)
    assert (kernel * away.square()).sum().sqrt() == pytest.approx(1.5, rel=0.02)
    assert torch.allclose(kernel, kernel[5] * torch.exp(-away.square() / 4.5), atol=1e-3)


def test_a_fresh_fusion_is_the_mean_and_a_trained_one_can_choose() -> None:
    pictures = [noise(seed=seed) for seed in range(3)]
    network = still(*pictures)
    network.fusion = Fusion(3, 3, 2).double()
    assert torch.allclose(made(network, noise())["fusion"], sum(pictures) / 3)

    with torch.no_grad():
        network.fusion.weigh.bias[4:8] = 50  # the four pixels of the second member
    assert torch.allclose(made(network, noise())["fusion"], pictures[1])


def test_the_weights_of_the_fusion_sum_to_one_everywhere() -> None:
    network = ensemble(4)
    weights = network.fusion(torch.rand(2, 9, 16, 24, dtype=torch.float64))  # type: ignore[misc]

    assert weights.shape == (2, 3, 16, 24)
    assert torch.allclose(weights.sum(dim=1), torch.ones(2, 16, 24, dtype=torch.float64))
    assert weights.std() > 0.01


def test_the_psnr_member_is_the_first_and_the_soup_a_network_of_its_own() -> None:
    network, x = ensemble(), noise()
    pictures = made(network, x)

    assert torch.equal(pictures["fidelity"], network.members[0](x))
    assert torch.equal(pictures["soup"], network.soup(x))  # type: ignore[misc]
    assert torch.equal(pictures["members"], torch.cat([member(x) for member in network.members], dim=1))


# -------------------------------------------------------------------------------------------- parts and forms


def test_one_output_alone_is_the_same_picture() -> None:
    network, x = ensemble(), noise()
    pictures = made(network, x)

    for name in network.outputs:
        assert torch.equal(network.only(name)(x), pictures[name]), name
    together = network.only("soup", "members")(x)
    assert torch.equal(together, torch.cat([pictures["soup"], pictures["members"]], dim=1))


@pytest.mark.parametrize(
    ("names", "runs"),
    [
        (["soup"], [0, 0, 0]),
        (["fidelity"], [1, 0, 0]),
        (["soup", "fidelity"], [1, 0, 0]),
        (["mean", "members"], [1] * 3),
    ],
)
def test_no_member_runs_that_is_not_needed_and_none_twice(names: list[str], runs: list[int]) -> None:
    network = still(noise(seed=1), noise(seed=2), noise(seed=3), soup=True)

    network.pictures(noise(4, 5), names)

    assert [member.runs for member in network.members] == runs  # type: ignore[union-attr]


def test_an_output_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidConfig, match="there is no output soup; there are: mean, median, members"):
        build("ensemble", 2, member=TINY, fidelity=False).only("soup")  # type: ignore[operator]


@pytest.mark.parametrize(
    "member", [{"network": "srresnet", "width": 4, "blocks": 1}, {**TINY, "expanded": True}, {"network": "turbo"}]
)
def test_the_form_for_inference_computes_the_same_and_is_final(member: dict[str, Any]) -> None:
    network, x = ensemble(member=member), noise(6, 8)
    deployed = network.deploy()
    before, after = made(network, x), made(deployed, x)

    for name, picture in before.items():
        assert torch.allclose(after[name], picture, atol=1e-9), name
    assert deployed.deploy().state_dict().keys() == deployed.state_dict().keys()
    assert not any("norm" in key or "expand" in key for key in deployed.state_dict())


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("options", [{}, {"fusion": False}, {"fidelity": False, "fusion": False}])
def test_no_output_looks_farther_than_the_radius(scale: int, options: dict[str, Any]) -> None:
    network = ensemble(scale, **options)
    side = 2 * (network.radius + 2)
    picture = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    pixel, reach = side // 2, 0
    for name in network.outputs:
        output = network.only(name)(picture)
        block = output[0, :, pixel * scale : (pixel + 1) * scale, pixel * scale : (pixel + 1) * scale]
        mix = torch.rand(block.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        (gradient,) = torch.autograd.grad((block * mix).sum(), picture)
        touched = gradient[0].abs().sum(0).nonzero()
        reach = max(reach, int((touched - pixel).abs().max()))

    assert reach == network.radius


def test_the_members_decide_what_may_go_in() -> None:
    network = build("ensemble", 4, member={"network": "turbo", "width": 4, "depth": 1, "channels": 1})

    assert (network.scale, network.multiple, network.channels) == (4, 2, 1)
    assert made(network, torch.rand(1, 1, 6, 8))["members"].shape == (1, 3, 24, 32)


def test_smaller_than_the_low_pass() -> None:
    picture = made(ensemble(2), torch.rand(1, 3, 1, 1, dtype=torch.float64))["frequency"]

    assert picture.shape == (1, 3, 2, 2)
    assert picture.isfinite().all()
