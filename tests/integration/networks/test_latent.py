"""The networks of the latent GAN: shapes, ranges, how they start, and that merged forms compute the same."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need torch")

from torch import Tensor, nn  # noqa: E402 (torch first: without it nothing here can be imported)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.networks.latent import CODE, PARTS, build_part  # noqa: E402
from srgan.networks.latent.embedding import NarrowDecoder, NarrowEncoder, fit_linear  # noqa: E402
from srgan.networks.latent.factored import Basis, FactoredCritic, FactoredGenerator  # noqa: E402

SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("netRS", "origin"): {"width": 4},
    ("netRS", "narrow"): {"widths": (8, 8, 8)},
    ("netG2", "origin"): {"width": 4},
    ("netG2", "narrow"): {"widths": (8, 8, 8), "finest": 8},
    ("netG1", "origin"): {"z": 6, "width": 4},
    ("netG1", "narrow"): {"z": 6, "width": 12, "coordinates": 10},
    ("netD1", "origin"): {"width": 4},
    ("netD1", "narrow"): {"width": 12, "coordinates": 10},
    ("RefinerG", "origin"): {"width": 8},
    ("RefinerG", "narrow"): {"width": 8, "deep": 8},
    ("RefinerD", "origin"): {"width": 4},
    ("RefinerD", "narrow"): {"width": 4},
}
"""A narrow network for every role and form."""
FORMS = ("origin", "narrow")


def small(role: str, form: str) -> nn.Module:
    torch.manual_seed(3)
    return build_part(role, form, **SMALL[role, form])


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pictures(count: int, side: int, seed: int = 1) -> Tensor:
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(seed))


def every_weight_learns(network: nn.Module, loss: Tensor) -> None:
    """All that is to be trained has a gradient, and some of it is not zero."""
    loss.backward()
    gradients = [weight.grad for weight in network.parameters() if weight.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients if gradient is not None)


# --------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_has_a_code_and_the_code_a_picture(form: str) -> None:
    encoder, decoder = small("netRS", form), small("netG2", form)

    codes = encoder(pictures(3, 64))
    made = decoder(codes)

    assert codes.shape == (3, *CODE)
    assert made.shape == (3, 3, 64, 64)
    every_weight_learns(encoder, (made - pictures(3, 64)).abs().mean() + codes.square().mean())


@pytest.mark.parametrize("form", FORMS)
def test_larger_pictures_have_larger_codes(form: str) -> None:
    codes = small("netRS", form)(torch.rand(2, 3, 96, 128))

    assert codes.shape == (2, CODE[0], 6, 8)
    assert small("netG2", form)(codes).shape == (2, 3, 96, 128)


@pytest.mark.parametrize("form", FORMS)
def test_codes_are_normalised_over_a_batch(form: str) -> None:
    with torch.no_grad():
        codes = small("netRS", form)(pictures(16, 64))

    assert codes.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    assert float(codes.var(dim=(0, 2, 3)).max()) == pytest.approx(1, abs=0.02)


def test_the_decoder_of_the_origin_gives_pictures_in_range() -> None:
    made = small("netG2", "origin")(20 * random(2, *CODE))

    assert 0 <= made.min() < 0.1
    assert 0.9 < made.max() <= 1


@pytest.mark.parametrize("form", FORMS)
def test_noise_becomes_a_code_and_a_code_a_score(form: str) -> None:
    generator, critic = small("netG1", form), small("netD1", form)

    codes = generator(random(5, 6))
    scores = critic(codes)

    assert codes.shape == (5, *CODE)
    assert scores.shape == (5, 1)
    assert codes.min() < 0 < codes.max()
    every_weight_learns(generator, scores.mean())


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_becomes_eight_times_larger(form: str) -> None:
    network = small("RefinerG", form)

    assert network(pictures(1, 64)).shape == (1, 3, 512, 512)
    assert network(torch.rand(2, 3, 16, 40)).shape == (2, 3, 128, 320)


@pytest.mark.parametrize("form", FORMS)
def test_enlarged_pictures_are_judged(form: str) -> None:
    critic = small("RefinerD", form)

    scores = critic(pictures(2, 512))

    assert scores.shape[:2] == (2, 1)
    every_weight_learns(critic, scores.mean())


def test_the_critic_of_the_origin_knows_one_size() -> None:
    with pytest.raises(ValueError, match="must be 512 px, not 64 x 64"):
        small("RefinerD", "origin")(pictures(1, 64))


@pytest.mark.parametrize("form", FORMS)
def test_the_radius_of_a_refiner_is_its_reach(form: str) -> None:
    """Gradients of what becomes of the first and last pixel of a block of 8: at ``radius`` the last that are not 0."""
    network = small("RefinerG", form)
    for weight in network.parameters():  # no layer starts as zero
        torch.nn.init.normal_(weight, std=1.5 * max(1, weight[0].numel()) ** -0.5 if weight.ndim > 1 else 0.2)
    side, middle = 144, 72
    picture = pictures(1, side).double().requires_grad_()
    enlarged = network.double()(picture)
    reach = 0
    for pixel in (middle, middle + network.multiple - 1):
        block = enlarged[0, :, pixel * 8 : pixel * 8 + 8, pixel * 8 : pixel * 8 + 8]
        (gradient,) = torch.autograd.grad((block * pictures(1, 8)[0]).sum(), picture, retain_graph=True)
        reach = max(reach, int((gradient[0].abs().sum(0).nonzero() - pixel).abs().max()))

    assert reach == network.radius


# ---------------------------------------------------------------------------------------------- what origins say


def test_the_latent_generator_of_the_origin_is_four_transposed_convolutions() -> None:
    kinds = [type(layer).__name__ for layer in build_part("netG1", "origin").modules()][2:]

    assert kinds == 3 * ["ConvTranspose2d", "BatchNorm2d", "ReLU"] + ["ConvTranspose2d"]


def test_the_encoder_of_the_origin_is_a_resnet_of_18_layers() -> None:
    encoder = build_part("netRS", "origin")
    weighted = [m for m in encoder.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]

    assert len(weighted) + 1 == 18  # and the head, where a classifier was
    # torchvision's resnet18 has 11,176,512 without its classifier.
    assert sum(p.numel() for p in encoder.trunk.parameters()) == 11_176_512


def test_the_refiner_of_the_origin_has_nine_layers() -> None:
    refiner = build_part("RefinerG", "origin")

    assert len(refiner.encoder) + len(refiner.decoder) == 9


def test_the_critic_of_the_origin_has_seven_convolutions_and_one() -> None:
    layers = [layer for layer in build_part("RefinerD", "origin").modules() if isinstance(layer, nn.Conv2d)]

    assert [layer.kernel_size for layer in layers] == 8 * [(4, 4)]


@pytest.mark.parametrize("role", ["netD1", "RefinerD"])
def test_critics_are_spectrally_normalised(role: str) -> None:
    critic = build_part(role, "origin")

    assert any("parametrizations" in name for name, _ in critic.named_parameters())


@pytest.mark.parametrize("role", PARTS)
def test_weights_of_the_origin_are_those_of_xavier(role: str) -> None:
    """Normal, with a variance of 2 / (inputs + outputs) of a place."""
    network = build_part(role, "origin")
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    large = max(layers, key=lambda layer: layer.weight.numel())
    weight = large.parametrizations.weight.original if hasattr(large, "parametrizations") else large.weight
    places = large.kernel_size[0] * large.kernel_size[1]
    fans = (large.in_channels + large.out_channels) * places

    assert float(weight.detach().std()) == pytest.approx((2 / fans) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("role", "parameters"),
    [("netRS", 490e3), ("netG2", 434e3), ("netG1", 420e3), ("netD1", 247e3), ("RefinerG", 726e3)],
)
def test_narrow_networks_are_small(role: str, parameters: float) -> None:
    assert sum(p.numel() for p in build_part(role).parameters()) == pytest.approx(parameters, rel=0.02)


# ------------------------------------------------------------------------------------------------ the linear code


def striped(count: int, seed: int = 0) -> Tensor:
    """Pictures of few blocks, which a linear code can hold: mixtures of eight patterns."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    shares = torch.rand(count, 8, 4, 4, generator=generator) / 8
    blocks = torch.einsum("nkhw,kcyx->nchywx", shares, patterns)
    return blocks.reshape(count, 3, 64, 64)


def autoencoder() -> tuple[NarrowEncoder, NarrowDecoder]:
    torch.manual_seed(4)
    encoder, decoder = NarrowEncoder(widths=(8, 8, 8)), NarrowDecoder(widths=(8, 8, 8), finest=8)
    encoder.norm.momentum = None  # a plain average over what it sees
    return encoder, decoder


def test_at_the_start_it_is_the_best_linear_autoencoder() -> None:
    encoder, decoder = autoencoder()

    kept = fit_linear(encoder, decoder, striped(40))

    assert kept == pytest.approx(1, abs=1e-4)
    encoder(striped(40))
    new = striped(20, seed=8)
    assert (decoder.eval()(encoder.eval()(new)) - new).abs().max() < 0.01


def test_what_it_keeps_of_noise_is_a_part() -> None:
    encoder, decoder = autoencoder()

    assert 64 / 768 < fit_linear(encoder, decoder, pictures(60, 64)) < 0.5


def test_the_linear_path_does_not_learn() -> None:
    encoder, decoder = autoencoder()
    fit_linear(encoder, decoder, striped(40))

    learns = {name for net in (encoder, decoder) for name, weight in net.named_parameters() if weight.requires_grad}

    assert learns
    assert not {name for name in learns if name.startswith("linear")}


def test_pictures_of_one_colour_have_no_components() -> None:
    with pytest.raises(ValueError, match="all of one colour"):
        fit_linear(*autoencoder(), torch.full((4, 3, 64, 64), 0.5))


def test_pictures_of_fewer_directions_than_the_code_has() -> None:
    encoder, decoder = autoencoder()
    fit_linear(encoder, decoder, striped(2))

    assert encoder(striped(2)).isfinite().all()


# ------------------------------------------------------------------------------------------------ principal codes


def codes(count: int, seed: int = 0) -> Tensor:
    """Codes that vary in twelve directions, each less than the one before, about a mean that is not flat."""
    directions = random(12, 1024, seed=7)
    sizes = torch.linspace(2, 0.1, 12)
    flat = random(count, 12, seed=seed) * sizes @ directions + random(1024, seed=8)
    return flat.reshape(count, *CODE)


def test_coordinates_lead_back_to_the_code() -> None:
    basis = Basis(12)

    assert basis.fit(codes(200)) == pytest.approx(1, abs=1e-5)
    new = codes(30, seed=5)
    torch.testing.assert_close(basis.codes(basis.coordinates(new)), new, atol=1e-2, rtol=1e-3)


def test_a_coordinate_varies_by_the_root_of_what_it_stands_for() -> None:
    basis = Basis(12)
    basis.fit(codes(500))
    coordinates = basis.coordinates(codes(500))

    torch.testing.assert_close(coordinates.std(dim=0), basis.root, rtol=0.01, atol=0.01)
    assert (basis.root.diff() < 0).all()


def test_fewer_codes_than_coordinates() -> None:
    with pytest.raises(ValueError, match="12 codes do not span 12 coordinates"):
        Basis(12).fit(codes(12))


def trained_generator() -> FactoredGenerator:
    """As training might leave it: every weight and statistic is somewhere."""
    torch.manual_seed(6)
    generator = FactoredGenerator(z=6, width=20, coordinates=12)
    generator.basis.fit(codes(100))
    for name, tensor in generator.layers.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.3, 2)
        elif tensor.is_floating_point():
            tensor.add_(0.3 * torch.randn_like(tensor))
    return generator.eval()


def test_the_merged_generator_computes_the_same() -> None:
    generator, noise = trained_generator(), random(9, 6)
    merged = generator.merged()

    with torch.no_grad():
        wanted = generator(noise)
        torch.testing.assert_close(merged(noise[:, :, None, None]), wanted, atol=1e-4, rtol=1e-4)
    assert wanted.std() > 0.5
    assert {type(layer).__name__ for layer in merged} == {"ConvTranspose2d", "ReLU"}
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in merged) == 4


@pytest.mark.parametrize("norm", ["spectral", "none"])
def test_the_merged_critic_computes_the_same(norm: str) -> None:
    torch.manual_seed(6)
    critic = FactoredCritic(width=20, coordinates=12, norm=norm)
    critic.basis.fit(codes(100))

    merged = critic.merged()

    with torch.no_grad():
        wanted = critic.eval()(codes(9, seed=3))
        torch.testing.assert_close(merged(codes(9, seed=3)), wanted, atol=1e-4, rtol=1e-3)
    assert wanted.std() > 0
    assert {type(layer).__name__ for layer in merged} == {"Conv2d", "LeakyReLU", "Flatten"}


def test_merging_leaves_a_critic_training() -> None:
    critic = FactoredCritic(width=8, coordinates=5)
    critic.merged()

    assert critic.training


# ---------------------------------------------------------------------------------------------------- mistakes


def test_a_form_that_does_not_exist() -> None:
    with pytest.raises(InvalidConfig, match=r"There is no netRS 'wide'\. Choose one of: origin, narrow"):
        build_part("netRS", "wide")


def test_an_option_that_a_form_does_not_have() -> None:
    with pytest.raises(InvalidConfig, match="netD1 'narrow': there is no option 'z'; there are: width, depth"):
        build_part("netD1", "narrow", z=3)


@pytest.mark.parametrize(
    ("role", "options", "complaint"),
    [
        ("netRS", {"widths": (8, 8)}, "widths must be three numbers, not 2"),
        ("netG2", {"widths": (8, 0, 8)}, r"widths\[1\] must be a whole number from 1, not 0"),
        ("netG1", {"z": 0}, "z must be a whole number from 1, not 0"),
        ("netD1", {"norm": "batch"}, "norm must be spectral or none, not 'batch'"),
    ],
)
def test_options_that_cannot_be(role: str, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        build_part(role, "narrow", **options)


@pytest.mark.parametrize("name", ["refiner", "origin-refiner"])
def test_refiners_enlarge_eight_times_and_nothing_else(name: str) -> None:
    from srgan.networks import build

    with pytest.raises(InvalidConfig, match=f"network '{name}' comes in the scales 8, not 4"):
        build(name, 4)
