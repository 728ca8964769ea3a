"""The adversarial losses: values by hand, where they pull, and penalties that are the slopes they say."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.training.gan_losses import (  # noqa: E402 (torch first: without it nothing here can run)
    artefact_map,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    grid_loss,
    r1_penalty,
)

KINDS = ("bce", "ragan", "lsgan", "hinge", "wgan-gp")


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("bce", softplus(-2) + softplus(-1)),
        ("ragan", softplus(-3)),
        ("lsgan", ((2 - 1) ** 2 + (-1) ** 2) / 2),
        ("hinge", 0.0),
        ("wgan-gp", -3.0),
    ],
)
def test_the_discriminators_loss_by_hand(kind: str, wanted: float) -> None:
    """One real picture judged 2, one generated picture judged -1."""
    assert discriminator_loss(kind, logits(2.0), logits(-1.0)).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("bce", softplus(1)),
        ("ragan", softplus(3)),
        ("lsgan", (-1 - 1) ** 2),
        ("hinge", 1.0),
        ("wgan-gp", 1.0),
    ],
)
def test_the_generators_loss_by_hand(kind: str, wanted: float) -> None:
    assert generator_loss(kind, logits(2.0), logits(-1.0)).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generator_pulls_where_the_discriminator_pushes(kind: str) -> None:
    """The one's gradient at a generated picture has the other's sign reversed."""
    fake = logits(0.3, 0.2).requires_grad_()
    (down,) = torch.autograd.grad(discriminator_loss(kind, logits(0.5, 0.1), fake), fake)
    (up,) = torch.autograd.grad(generator_loss(kind, logits(0.5, 0.1), fake), fake)

    assert (down > 0).all()
    assert (up < 0).all()


def test_a_smoothed_label_is_where_the_discriminator_comes_to_rest() -> None:
    real = logits(math.log(0.9 / 0.1)).requires_grad_()
    (slope,) = torch.autograd.grad(discriminator_loss("bce", real, logits(0.0), label=0.9), real)

    assert slope.item() == pytest.approx(0, abs=1e-6)


def test_the_generator_leaves_the_real_side_of_ragan_alone() -> None:
    real = logits(0.5).requires_grad_()
    generator_loss("ragan", real, logits(0.1).requires_grad_()).backward()

    assert real.grad is None


def test_a_critic_of_slope_one_pays_nothing() -> None:
    real, fake = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    slope = (3 * 8 * 8) ** -0.5

    def critic(x: torch.Tensor) -> torch.Tensor:
        return slope * x.sum((1, 2, 3))

    drawn = torch.Generator().manual_seed(0)
    assert gradient_penalty(critic, real, fake, drawn).item() == pytest.approx(0, abs=1e-6)
    assert gradient_penalty(lambda x: 3 * critic(x), real, fake, drawn).item() == pytest.approx(4, rel=1e-4)


def test_the_penalty_is_taken_between_real_and_generated() -> None:
    seen = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.square().sum((1, 2, 3))

    gradient_penalty(critic, torch.ones(64, 1, 2, 2), torch.zeros(64, 1, 2, 2), torch.Generator().manual_seed(0))

    place = seen[0].flatten(1)
    assert torch.equal(place[:, 0], place[:, 3])
    assert 0 <= place.min() < 0.1
    assert 0.9 < place.max() <= 1


@pytest.mark.parametrize("places", [1, 4, 16])
def test_a_critic_that_judges_many_places_pays_for_the_slope_of_their_mean(places: int) -> None:
    """One that says the same everywhere is the critic of the whole picture."""
    real, fake = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)

    def whole(x: torch.Tensor) -> torch.Tensor:
        return x.square().sum((1, 2, 3)) / 5

    def dense(x: torch.Tensor) -> torch.Tensor:
        return whole(x)[:, None, None, None].expand(-1, 1, places, places)

    def drawn() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    torch.testing.assert_close(r1_penalty(dense, real), r1_penalty(whole, real))
    torch.testing.assert_close(
        gradient_penalty(dense, real, fake, drawn()), gradient_penalty(whole, real, fake, drawn())
    )


@pytest.mark.parametrize("name", ["patch", "unet", "srgan"])
def test_the_penalty_is_in_the_units_of_the_game(name: str) -> None:
    """Pictures moved along the gradient: what the game's mean gains is what the slope says."""
    from srgan.networks.discriminators import build_discriminator

    torch.manual_seed(5)
    options: dict[str, object] = {"norm": "none", "width": 8, "dense": 16} if name == "srgan" else {"width": 8}
    critic = build_discriminator(name, **options).eval().double()
    pictures = torch.rand(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(pictures).mean(), pictures)
    with torch.no_grad():
        little = 1e-6 * gradient / gradient.norm()
        gain = (critic(pictures + little).mean() - critic(pictures - little).mean()) / 2e-6
    found = (2 * r1_penalty(critic, pictures.detach())).sqrt()
    assert found.item() == pytest.approx(gain.item(), rel=1e-3)


def test_penalties_reach_the_weights() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    r1_penalty(lambda x: weight * x.sum((1, 2, 3)), torch.rand(2, 1, 2, 2)).backward()

    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * 4, rel=1e-5)  # d/dw of w^2 * 4 / 2


def test_artefacts_are_where_the_residual_is_restless_and_the_average_is_better() -> None:
    target = torch.full((1, 3, 32, 32), 0.5)
    output, average = target.clone(), target.clone()
    output[..., :16, ::2] += 0.2  # stripes that the average does not have
    output[..., 20:, :16] += 0.1  # a flat error
    average[..., 20:, 16:] += 0.2
    output[..., 20:, 16::2] += 0.1  # stripes again, but nearer to the target than the average

    found = artefact_map(output, average, target)[0, 0]

    assert found[8, 8] > 0
    assert found[28, 8].item() == pytest.approx(0, abs=1e-7)
    assert found[28, 24] == 0


def test_without_error_there_are_no_artefacts() -> None:
    target = torch.rand(2, 3, 16, 16)

    assert artefact_map(target, target, target).abs().max() == 0


def test_processes_that_share_a_batch_penalise_it_as_one_would() -> None:
    """Half the slopes each: the mean of both is that of the whole, on the same lines."""
    torch.manual_seed(2)
    critic = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, 2), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(36, 1)
    )
    real, fake = torch.rand(6, 3, 8, 8), torch.rand(6, 3, 8, 8)
    draw = torch.Generator

    whole = gradient_penalty(critic, real, fake, draw().manual_seed(1))
    halves = [
        gradient_penalty(critic, real[at : at + 3], fake[at : at + 3], draw().manual_seed(1), part=(at // 3, 2))
        for at in (0, 3)
    ]
    torch.testing.assert_close(torch.stack(halves).mean(), whole)
    assert not torch.isclose(halves[0], halves[1])


# ----------------------------------------------------------------------------------------------------------- the grid


def pattern(scale: int, strength: float) -> torch.Tensor:
    """The same in each enlarged pixel, of mean 0 and mean absolute value ``strength``."""
    made = torch.randn(1, 3, scale, scale, generator=torch.Generator().manual_seed(8))
    made -= made.mean((2, 3), keepdim=True)
    return made * (strength / made.abs().mean())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_repeated_pattern_counts_for_what_it_is(scale: int) -> None:
    target = torch.rand(2, 3, 32 * scale, 24 * scale)
    output = target + pattern(scale, 0.03).tile(1, 1, 32, 24)
    assert grid_loss(output, target, scale).item() == pytest.approx(0.03, rel=1e-4)


def test_what_the_target_has_itself_does_not_count() -> None:
    target = torch.rand(1, 3, 64, 64) + pattern(4, 0.2).tile(1, 1, 16, 16)
    assert grid_loss(target, target, 4).item() == 0


def test_colours_and_detail_that_is_not_repeated_hardly_count() -> None:
    target = torch.rand(4, 3, 128, 128)
    assert grid_loss(target + 0.1, target, 4).item() == pytest.approx(0, abs=1e-6)
    noise = torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 0.05
    assert grid_loss(target + noise, target, 4) < noise.abs().mean() / 6


def test_a_pattern_of_one_corner_is_not_hidden_by_the_rest() -> None:
    target = torch.zeros(1, 3, 128, 128)
    output = target.clone()
    output[..., :32, :32] += pattern(4, 0.03).tile(1, 1, 8, 8)
    assert grid_loss(output, target, 4) > 0.03 / 49


def test_a_patch_smaller_than_the_window_is_one_window() -> None:
    target = torch.zeros(1, 3, 16, 24)
    assert grid_loss(target + pattern(4, 0.03).tile(1, 1, 4, 6), target, 4).item() == pytest.approx(0.03, rel=1e-4)


def test_the_pattern_goes_when_the_grid_is_made_small() -> None:
    target = torch.rand(1, 3, 64, 64)
    output = (target + pattern(4, 0.03).tile(1, 1, 16, 16)).requires_grad_()
    optimiser = torch.optim.SGD([output], 2.0)
    for _ in range(400):
        optimiser.zero_grad()
        grid_loss(output, target, 4).backward()
        optimiser.step()
    assert grid_loss(output, target, 4) < 0.003
