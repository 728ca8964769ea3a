"""The plans of `benchmarks/plans.py` that are not shipped keep the contract of all networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need torch")

from benchmarks.plan_networks import PLANS, announce  # noqa: E402 (torch first: without it nothing can be imported)

from srgan.models.bundle import KNOWN_FILES  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.networks.network import Network  # noqa: E402
from srgan.training.finishing import write_model  # noqa: E402

SMALL: list[tuple[str, dict[str, Any]]] = [
    ("partial", {"width": 6, "parts": [6, 4], "focus": 2}),
    ("partial", {"width": 6, "parts": [6, 4, 6], "focus": 0}),
    ("leaky", {"width": 6, "depth": 3}),
    ("deep", {"width": 6, "blocks": 2, "focus": 2}),
    ("deep", {"width": 6, "blocks": 2, "focus": 0}),
    ("wide", {"width": 6, "blocks": 2}),
    ("context", {"width": 6, "blocks": 1, "far": 4, "far_blocks": 1}),
]


@pytest.fixture(autouse=True)
def announced() -> None:
    announce()


def scrambled(name: str, options: dict[str, Any]) -> Network:
    """In double precision, and no weight is where it starts."""
    torch.manual_seed(7)
    network = build(name, 4, **options).double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.4)
    return network


def test_all_plans_can_be_built() -> None:
    for name, options in PLANS.values():
        network = build(name, 4, **options)
        picture = torch.rand(1, 3, 2 * network.multiple, 4 * network.multiple)

        assert network(picture).shape == (1, 3, 8 * network.multiple, 16 * network.multiple)


@pytest.mark.parametrize(("name", "options"), SMALL, ids=str)
def test_the_radius_is_the_reach_and_no_more(name: str, options: dict[str, Any]) -> None:
    """Over all places that a pixel may have on the network's grid."""
    network = scrambled(name, options)
    step = network.multiple
    side = 2 * (network.radius // step + 2) * step
    picture = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    output = network(picture)
    found = 0
    for offset in range(step):
        pixel = side // 2 // step * step + offset
        inside = output[0, :, 4 * pixel : 4 * pixel + 4, 4 * pixel : 4 * pixel + 4]
        weights = torch.rand(inside.shape, dtype=torch.float64)
        (gradient,) = torch.autograd.grad((inside * weights).sum(), picture, retain_graph=True)
        found = max(found, int((gradient[0].abs().sum(0).nonzero() - pixel).abs().max()))

    assert found == network.radius


@pytest.mark.parametrize(("name", "options"), SMALL, ids=str)
def test_a_tile_gives_what_the_whole_picture_does(name: str, options: dict[str, Any]) -> None:
    """Where its origin and its sides are multiples, and what is kept of it lies the radius away from its borders."""
    network = scrambled(name, options)
    step = network.multiple
    margin = -(-network.radius // step) * step
    start, side = 2 * step, 2 * margin + 2 * step
    picture = torch.rand(1, 3, start + side + 2 * step, side, dtype=torch.float64)
    with torch.no_grad():
        whole = network(picture)[..., 4 * (start + margin) : 4 * (start + side - margin), :]
        tile = network(picture[..., start : start + side, :])[..., 4 * margin : 4 * (side - margin), :]

    torch.testing.assert_close(tile, whole, rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), SMALL[:1], ids=str)
def test_every_form_computes_the_same(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    """`write_model` refuses forms that do not."""
    network = scrambled(name, options).float()

    bundle = write_model(tmp_path / "model", network, name="model", network=name, network_options=options)

    assert set(bundle.info.files) == set(KNOWN_FILES)
    assert bundle.info.multiple == network.multiple
