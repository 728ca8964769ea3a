"""What an ensemble learns after its members: weights, the fusion, the soup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load  # noqa: E402 - after the skip

from srgan.errors import TrainingFailed  # noqa: E402
from srgan.models import find_model  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.networks.ensemble import EnsembleNetwork  # noqa: E402
from srgan.training.fusion import (  # noqa: E402
    ONE_ANCESTOR,
    fit_weights,
    likeness,
    members_of,
    soup,
    train_fusion,
)


class Biased(torch.nn.Module):
    """The wanted picture, which it can know since it is in the input, plus an error of its own."""

    def __init__(self, error: Any) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Any) -> Any:
        wide = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return wide + self.error[..., : wide.shape[2], : wide.shape[3]]


def ensemble(*errors: Any, **options: Any) -> EnsembleNetwork:
    member = {"network": "fast", "width": 4, "blocks": 1}
    network = build("ensemble", 2, member=member, count=len(errors), fusion=True, **options)
    assert isinstance(network, EnsembleNetwork)
    network.members = torch.nn.ModuleList([Biased(error) for error in errors])
    network._member = lambda index: network.members[index]  # type: ignore[method-assign]
    return network.requires_grad_(False)


def noise(seed: int, size: float = 0.1) -> Any:
    return size * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def pairs(count: int = 4, side: int = 16, seed: int = 0) -> Iterator[tuple[Any, Any]]:
    generator = torch.Generator().manual_seed(seed)
    while count != 0:
        count -= 1
        low = torch.rand(1, 3, side, side, generator=generator)
        yield low, low.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


# ------------------------------------------------------------------------------------------------- fixed weights


def error_of(network: EnsembleNetwork, weights: Any) -> float:
    total = 0.0
    for low, high in pairs():
        made = sum(weight * one for weight, one in zip(weights, members_of(network, low, high), strict=True))
        total += float((made - high).square().mean())
    return total


def test_independent_errors_are_weighed_by_one_over_their_variance() -> None:
    weights = fit_weights(ensemble(noise(1, 0.1), noise(2, 0.2)), pairs())

    assert weights == pytest.approx((0.8, 0.2), abs=0.05)
    assert sum(weights) == pytest.approx(1)


def test_a_member_that_only_harms_gets_nothing() -> None:
    good = noise(1)
    assert fit_weights(ensemble(good, 3 * good, noise(2)), pairs())[1] == 0


def test_members_that_err_to_both_sides_are_balanced() -> None:
    one = noise(1)

    assert fit_weights(ensemble(one, -one), pairs()) == pytest.approx((0.5, 0.5))
    assert fit_weights(ensemble(one, -3 * one), pairs()) == pytest.approx((0.75, 0.25))


def test_no_other_weights_come_closer() -> None:
    network = ensemble(noise(1, 0.1), noise(2, 0.15) + 0.5 * noise(1, 0.1), noise(3, 0.12), noise(4, 0.5))
    weights = fit_weights(network, pairs())
    least = error_of(network, weights)
    generator = torch.Generator().manual_seed(0)

    assert min(weights) >= 0
    for _ in range(200):
        step = torch.tensor(weights) + 0.02 * torch.randn(4, generator=generator)
        other = step.clamp(min=0) / step.clamp(min=0).sum()
        assert error_of(network, other.tolist()) > least


def test_equal_and_perfect_members() -> None:
    same, none = noise(1), torch.zeros(1, 3, 64, 64)

    assert fit_weights(ensemble(same, same), pairs()) == (1, 0)
    assert fit_weights(ensemble(same, none, noise(2)), pairs()) == (0, 1, 0)


def test_pictures_may_be_of_any_size_and_count_by_their_pixels() -> None:
    network = ensemble(noise(1), noise(2))
    network.multiple = 4

    weights = fit_weights(network, [*pairs(2, side=9), *pairs(1, side=14)])

    assert sum(weights) == pytest.approx(1)


@pytest.mark.parametrize("errors", [(float("nan"), 0.0), (float("inf"), 0.0)])
def test_a_broken_member_is_no_member(errors: tuple[float, float]) -> None:
    broken = ensemble(*(torch.full((1, 3, 64, 64), error) for error in errors))

    with pytest.raises(TrainingFailed, match="values that are not finite"):
        fit_weights(broken, pairs())
    with pytest.raises(TrainingFailed, match="no pictures"):
        fit_weights(ensemble(noise(1), noise(2)), [])


# ----------------------------------------------------------------------------------------------------- the fusion


def test_the_fusion_learns_where_to_believe_whom() -> None:
    """One member is wrong where the picture is dark, the other where it is bright."""

    class Where(torch.nn.Module):
        def __init__(self, bright: bool) -> None:
            super().__init__()
            self.bright = bright

        def forward(self, x: Any) -> Any:
            wide = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            wrong = (wide > 0.5) == self.bright
            return wide + 0.4 * wrong * torch.where(wide > 0.5, 1.0, -1.0)

    network = ensemble(noise(1), noise(2))
    network.members = torch.nn.ModuleList([Where(True), Where(False)])

    def flat() -> Iterator[tuple[Any, Any]]:
        generator = torch.Generator().manual_seed(3)
        while True:
            low = torch.rand(4, 1, 2, 2, generator=generator).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
            low = low.expand(4, 3, 8, 8).contiguous()
            yield low, low.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    def loss() -> float:
        low, high = next(flat())
        return float((network.combine("fusion", members_of(network, low, high)) - high).abs().mean())

    fresh = train_fusion(network, flat(), 0)
    before = loss()
    last = train_fusion(network, flat(), 300, learning_rate=1e-2)

    assert fresh == 0
    assert before == pytest.approx(0.2, abs=0.01)  # the mean of the two
    assert loss() < before / 2
    assert last < before


def test_the_fusion_learns_what_its_loss_asks_for() -> None:
    """Two members that are wrong by as much: one too bright, one too dark. The loss has a taste."""
    bright, dark = torch.full((1, 3, 64, 64), 0.2), torch.full((1, 3, 64, 64), -0.2)

    def liking(sign: float) -> float:
        network = ensemble(bright, dark)
        train_fusion(network, pairs(-1), 60, loss=lambda out, high: (sign * (high - out)).mean(), learning_rate=2e-2)
        low, high = next(pairs())
        return float((network.combine("fusion", members_of(network, low, high)) - high).mean())

    assert liking(1) > 0.1
    assert liking(-1) < -0.1


def test_the_same_seed_gives_the_same_fusion_and_members_stay_as_they_are() -> None:
    def trained(seed: int) -> tuple[EnsembleNetwork, dict[str, Any]]:
        torch.manual_seed(1)
        network = build("ensemble", 2, member={"network": "fast", "width": 4, "blocks": 1}, fusion=True)
        assert isinstance(network, EnsembleNetwork)
        before = {key: value.clone() for key, value in network.members.state_dict().items()}
        train_fusion(network, pairs(-1), 5, seed=seed)
        assert all(torch.equal(value, before[key]) for key, value in network.members.state_dict().items())
        assert network.fusion is not None
        return network, network.fusion.state_dict()

    (_, one), (_, same), (_, other) = trained(3), trained(3), trained(4)

    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert not torch.equal(one["look.weight"], other["look.weight"])
    assert one["weigh.weight"].abs().max() > 0


def test_the_programs_random_numbers_are_left_alone() -> None:
    network = ensemble(noise(1), noise(2))
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    train_fusion(network, pairs(-1), 2)

    assert torch.equal(torch.rand(3), wanted)


def test_a_loss_that_is_not_finite_ends_it() -> None:
    broken = ensemble(torch.full((1, 3, 64, 64), float("nan")), noise(1))

    with pytest.raises(TrainingFailed, match=r"lower ensemble\.fusion_learning_rate"):
        train_fusion(broken, pairs(-1), 3)


# -------------------------------------------------------------------------------------------------------- the soup


def test_the_soup_is_the_mean_of_the_weights() -> None:
    networks = [build("fast", 2, width=4, blocks=1) for _ in range(3)]
    states = [network.state_dict() for network in networks]

    mixed = soup(states)

    assert mixed.keys() == states[0].keys()
    for key, value in mixed.items():
        assert value.dtype == states[0][key].dtype
        assert torch.allclose(value, (states[0][key] + states[1][key] + states[2][key]) / 3, atol=1e-6)
    networks[0].load_state_dict(mixed)


def test_counters_are_taken_from_the_first() -> None:
    one, two = {"n": torch.tensor(3), "w": torch.zeros(2)}, {"n": torch.tensor(5), "w": torch.ones(2)}

    mixed = soup([one, two])

    assert mixed["n"] == 3
    assert mixed["w"].tolist() == [0.5, 0.5]


def weights_of(model: str) -> dict[str, Any]:
    return {key: value.float() for key, value in load(find_model(model).read("weights.safetensors")).items()}


def test_models_trained_on_from_one_are_alike_and_others_are_not() -> None:
    """On the shipped models that `ONE_ANCESTOR` was measured on."""
    fast, photo, artwork = (weights_of(model) for model in ("fast-x4", "photo-fast-x4", "artwork-x4"))
    torch.manual_seed(0)
    fresh = build("fast", 4).deploy().state_dict()
    of_another_seed = {key: value for key, value in weights_of("fast-x2").items() if value.shape == fast[key].shape}

    assert likeness([fast, fast]) == pytest.approx(1)
    assert likeness([fast, photo, artwork]) > ONE_ANCESTOR + 0.3
    assert abs(likeness([fast, fresh])) < 0.05
    assert abs(likeness([{key: fast[key] for key in of_another_seed}, of_another_seed])) < 0.05


def test_the_likeness_is_that_of_the_least_alike() -> None:
    one, other = {"w": torch.eye(2)}, {"w": torch.tensor([[1.0, 0.0], [0.0, -1.0]])}

    assert likeness([one, one, other]) == pytest.approx(0)
    assert likeness([other, one, one]) == pytest.approx(0)


def test_the_order_of_the_keys_does_not_matter() -> None:
    one = {"a": torch.eye(2), "b": -torch.ones(2, 2)}

    assert likeness([one, dict(reversed(one.items()))]) == pytest.approx(1)


def test_biases_which_begin_alike_do_not_count() -> None:
    one, other = ({"w": torch.eye(2) * sign, "b": torch.ones(100)} for sign in (1, -1))

    assert likeness([one, other]) == pytest.approx(-1)


def test_weights_that_are_not_finite_are_like_nothing() -> None:
    broken, whole = {"w": torch.full((2, 2), float("nan"))}, {"w": torch.eye(2)}

    assert not likeness([whole, whole, broken]) >= ONE_ANCESTOR
