"""The discriminators: shapes, the paper's numbers, and spectral norms that are what they say."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="networks need torch")

from torch import nn  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.networks.discriminators import (  # noqa: E402
    PatchDiscriminator,
    SpectralNorm,
    UNetDiscriminator,
    build_discriminator,
    spectral,
)


def test_the_papers_discriminator_has_the_papers_size() -> None:
    """Figure 4 of the paper: 3x3 convolutions, and a dense layer of 1024 on 512 x 6 x 6."""
    network = build_discriminator("srgan")
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]

    assert [c.out_channels for c in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [c.stride[0] for c in convolutions] == [1, 2, 1, 2, 1, 2, 1, 2]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()) == 7
    assert sum(p.numel() for p in network.parameters()) == 1_792 + 4_681_728 + 3_712 + 18_875_392 + 1_025


@pytest.mark.parametrize("side", [32, 96, 128])
def test_a_whole_picture_gets_one_verdict_at_any_size(side: int) -> None:
    network = build_discriminator("srgan", width=4, dense=8)

    assert network(torch.rand(2, 3, side, side)).shape == (2, 1)


def test_at_the_papers_size_nothing_is_averaged() -> None:
    network = build_discriminator("srgan", width=4, dense=8).eval()
    picture = torch.rand(1, 3, 96, 96)

    assert network.features(picture).shape == (1, 32, 6, 6)
    assert torch.equal(network.pool(network.features(picture)), network.features(picture))


@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_without_batch_norm_pictures_are_judged_apart(norm: str) -> None:
    network = build_discriminator("srgan", width=4, dense=8, norm=norm).eval()
    pictures = torch.rand(3, 3, 32, 32)

    assert torch.allclose(network(pictures)[:1], network(pictures[:1]), atol=1e-5)


def test_the_unet_judges_every_pixel() -> None:
    assert UNetDiscriminator(width=8)(torch.rand(2, 3, 40, 32)).shape == (2, 1, 40, 32)


def test_the_unet_of_real_esrgan_has_its_size() -> None:
    """4,376,897 weights: the count of the U-Net discriminator that Real-ESRGAN publishes, with 64 features."""
    assert sum(p.numel() for p in UNetDiscriminator().parameters()) == 4_376_897


def test_the_unet_sees_the_neighbourhood() -> None:
    network = UNetDiscriminator(width=8).eval()
    picture = torch.rand(1, 3, 64, 64)
    changed = picture.clone()
    changed[..., 40, 40] += 0.5

    difference = (network(picture) - network(changed)).abs()[0, 0]

    assert difference[32, 32] > 0
    assert difference[0, 0] == 0


@pytest.mark.parametrize(("depth", "reach"), [(2, 34 + 4), (3, 70 + 8)])
def test_a_patch_sees_what_it_says(depth: int, reach: int) -> None:
    """4x4 convolutions with stride 2 reach 22 (depth 3) pixels; each 3x3 on top of them adds 2 * 2**depth."""
    network = PatchDiscriminator(width=8, depth=depth).eval()
    picture = torch.rand(1, 3, 128, 128, requires_grad=True)
    out = network(picture)
    assert out.shape == (1, 1, 128 >> depth, 128 >> depth)
    middle = out.shape[2] // 2
    (gradient,) = torch.autograd.grad(out[0, 0, middle, middle], picture)

    seen = gradient.abs().sum((0, 1, 2)).nonzero()
    inner = sum(3 * 2**k for k in range(depth)) + 1
    assert seen.max() - seen.min() + 1 == inner + 2 * 2 * 2**depth <= reach


def test_a_normalised_weight_has_norm_one_and_follows_the_steps() -> None:
    torch.manual_seed(0)
    layer = spectral(nn.Conv2d(8, 16, 3))
    largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
    assert largest.item() == pytest.approx(1, abs=0.01)

    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(torch.linspace(0.1, 5, 16)[:, None, None, None])
    for _ in range(50):
        layer(torch.rand(1, 8, 5, 5))
    largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
    assert largest.item() == pytest.approx(1, abs=0.01)


def test_only_training_moves_the_estimate() -> None:
    layer = spectral(nn.Conv2d(4, 4, 3)).eval()
    norm = layer.parametrizations.weight[0]
    assert isinstance(norm, SpectralNorm)
    before = norm.u.clone()

    layer(torch.rand(1, 4, 5, 5))

    assert torch.equal(norm.u, before)
    layer.train()(torch.rand(1, 4, 5, 5))
    assert not torch.equal(norm.u, before)


def test_the_estimate_is_float32_under_autocast() -> None:
    torch.manual_seed(0)
    layer = spectral(nn.Conv2d(8, 16, 3)).eval()
    plain = copy.deepcopy(layer).weight
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.weight, plain)
        assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nobody", {}, "nobody"),
        ("patch", {"colour": 3}, "colour"),
        ("srgan", {"norm": "layer"}, "batch, spectral or none"),
        ("unet", {"width": 0}, "width"),
    ],
)
def test_what_cannot_be_built_is_said(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        build_discriminator(name, **options)
