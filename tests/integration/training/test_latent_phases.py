"""What the phases are made of: batches of the refiner, games, the generator's basis, and publishing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="networks need torch")

from torch import nn  # noqa: E402 (torch first: without it nothing here can be imported)

from srgan.models import Bundle, ModelInfo, write_bundle  # noqa: E402
from srgan.models.versions import latest_of, versions_of  # noqa: E402
from srgan.networks.latent import CODE  # noqa: E402
from srgan.progress import Stop, silent  # noqa: E402
from srgan.training import TrainConfig  # noqa: E402
from srgan.training.latent.adversary import Game, InCoordinates, OfCoordinates, make_game, noise_of  # noqa: E402
from srgan.training.latent.bundles import publish_all  # noqa: E402
from srgan.training.latent.phase import Context, Work  # noqa: E402
from srgan.training.latent.refining import Inputs  # noqa: E402
from srgan.training.latent.settings import LatentConfig  # noqa: E402
from srgan.training.runs import Run  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def work(tmp_path: Path) -> Callable[..., Work]:
    """``work(section={...})``: a training that nobody begins."""

    def make(**values: Any) -> Work:
        config = TrainConfig.model_validate({"recipe": "latent", "data": {"folders": ["p"]}, **values})
        assert isinstance(config, LatentConfig)
        fabric = SimpleNamespace(device=CPU)
        return Work(config=config, run=Run(tmp_path / "run"), fabric=fabric, report=silent, stop=Stop())

    return make


def context(work: Work, seed: int = 1) -> Context:
    """One whose random numbers begin at ``seed``."""
    state = SimpleNamespace(random=torch.Generator().manual_seed(seed))
    return Context(work=work, sitting=SimpleNamespace(state=state), learners={})  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ the refiner's batch


def inputs() -> Inputs:
    """Pictures whose red says where they are from: 10 and 20 real, 110 and 120 decoded, 200 generated."""
    large = torch.zeros(2, 3, 512, 512, dtype=torch.uint8)
    large[0], large[1] = 10, 20
    small = large[..., :64, :64]
    return Inputs(large, small + 100, torch.full((1, 3, 64, 64), 200, dtype=torch.uint8))


def reds(patches: Any) -> list[int]:
    return [round(float(patch[0].mean()) * 255) for patch in patches]


def test_a_batch_holds_its_shares_of_real_decoded_and_generated_inputs(work: Callable[..., Work]) -> None:
    low, high = inputs().batch(context(work(refiner={"batch": 10, "patch": 8, "made": 0.6})))

    assert (low.shape, high.shape) == ((10, 3, 8, 8), (7, 3, 64, 64)), "what was generated has no original"
    assert set(reds(low[:4])) <= {10, 20}
    assert set(reds(low[4:7])) <= {110, 120}
    assert reds(low[7:]) == [200] * 3
    assert [red % 100 for red in reds(low[:7])] == reds(high), "each with its own original"


def test_without_made_inputs_all_are_real(work: Callable[..., Work]) -> None:
    section = {"batch": 6, "patch": 8, "made": 0.0}
    low, high = inputs().batch(context(work(refiner=section)))
    assert (len(low), len(high)) == (6, 6)
    assert set(reds(low)) <= {10, 20}


def test_patches_and_originals_are_cut_at_the_same_place_and_flipped_alike(work: Callable[..., Work]) -> None:
    ramp = torch.arange(64).repeat_interleave(8).to(torch.uint8)
    large = torch.stack([ramp.expand(512, 512), ramp[:, None].expand(512, 512), torch.zeros(512, 512)])[None]
    large = large.to(torch.uint8)
    made = Inputs(large, large[:0], large[:0])
    for augment in (False, True):
        ready = work(refiner={"batch": 12, "patch": 8, "made": 0.0}, data={"folders": ["p"], "augment": augment})
        low, high = made.batch(context(ready))
        assert torch.allclose(nn.functional.avg_pool2d(high, 8), low)
        flipped = [bool(patch[0, 0, 0] > patch[0, 0, 7]) for patch in low]
        assert any(flipped) is augment
        assert all(patch[1, 7, 0] > patch[1, 0, 0] for patch in low), "never upside down"


# ------------------------------------------------------------------------------------------------------------- games


def codes(count: int) -> Any:
    return torch.randn((count, *CODE), generator=torch.Generator().manual_seed(5))


def test_a_narrow_game_is_played_in_coordinates_of_the_codes(work: Callable[..., Work]) -> None:
    options = {"netG1": {"z": 6, "width": 8}, "netD1": {"width": 8}}
    real = codes(40)
    game = make_game(work(parts={"options": options}), real)

    assert isinstance(game.make, InCoordinates)
    assert isinstance(game.judge, OfCoordinates)
    assert game.real.shape == (40, 10), "one coordinate for four codes"
    assert noise_of(game.generator) == 6
    noise = torch.randn(5, 6)
    game.generator.eval()
    basis: Any = game.generator.basis
    assert torch.allclose(basis.codes(game.make(noise)), game.generator(noise), atol=1e-5)
    assert torch.allclose(game.judge(game.real), game.critic(real), atol=1e-4)
    assert torch.equal(basis.axes, game.critic.basis.axes)  # type: ignore[union-attr]


def test_a_game_of_the_origin_is_played_on_codes(work: Callable[..., Work]) -> None:
    parts = {
        "forms": {"netG1": "origin", "netD1": "origin"},
        "options": {"netG1": {"z": 6, "width": 2}, "netD1": {"width": 2}},
    }
    game = make_game(work(parts=parts), codes(8))
    assert game.make is game.generator
    assert game.make(torch.randn(2, 6)).shape == (2, *CODE)
    assert game.judge(game.real).shape == (8, 1)


def test_the_game_begins_alike_whatever_was_drawn_before(work: Callable[..., Work]) -> None:
    options = {"options": {"netG1": {"z": 6, "width": 8}, "netD1": {"width": 8}}}
    first = make_game(work(parts=options), codes(40))
    torch.rand(7)
    second = make_game(work(parts=options), codes(40))
    other = make_game(work(parts=options, seed=1), codes(40))
    weights = [next(game.generator.parameters()) for game in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_pictures_can_be_what_is_played_on() -> None:
    pictures = torch.full((3, 3, 64, 64), 51, dtype=torch.uint8)
    game = Game(nn.Identity(), nn.Identity(), nn.Identity(), nn.Identity(), pictures)
    batch = game.batch(torch.tensor([2, 0]), CPU)
    assert (batch.shape, batch.dtype) == ((2, 3, 64, 64), torch.float32)
    assert batch.unique().tolist() == pytest.approx([0.2])


def test_phases_have_random_numbers_of_their_own(work: Callable[..., Work]) -> None:
    seeds = {
        (seed, phase): work(seed=seed).seed(phase) for seed in (0, 1, 2) for phase in ("autoencoder", "gan", "refiner")
    }
    assert len(set(seeds.values())) == 9


# -------------------------------------------------------------------------------------------------------- publishing


@pytest.fixture
def bundles(tmp_path: Path) -> list[Bundle]:
    """Two small bundles that stand for the generator and its refiner."""
    infos = [ModelInfo(name=name, network="refiner", scale=8, radius=3) for name in ("figures", "figures-refiner-x8")]
    return [write_bundle(tmp_path / info.name, info, {"model.onnx": b"onnx"}) for info in infos]


def manifest(distance: float, *, pictures: int = 1000, collapsed: str = "") -> dict[str, Any]:
    return {
        "judged by": "fd-squeeze",
        "held-out pictures": pictures,
        "distance": distance,
        "collapsed": collapsed,
    }


def test_the_better_of_two_runs_becomes_the_latest_and_both_are_kept(
    work: Callable[..., Work], bundles: list[Bundle], tmp_path: Path
) -> None:
    root = tmp_path / "models"
    ready = work(output={"name": "figures", "publish": root})
    publish_all(ready, bundles, manifest(60))
    first = latest_of(root / "figures").name
    publish_all(ready, bundles, manifest(61))
    assert latest_of(root / "figures").name == first
    publish_all(ready, bundles, manifest(59))
    best = latest_of(root / "figures").name
    assert best > first
    publish_all(ready, bundles, manifest(5, collapsed="all alike"))
    assert latest_of(root / "figures").name == best
    assert len(versions_of(root / "figures")) == len(versions_of(root / "figures-refiner-x8")) == 4
    assert latest_of(root / "figures-refiner-x8").name == versions_of(root / "figures-refiner-x8")[2]


def test_distances_over_other_pictures_are_not_compared(
    work: Callable[..., Work], bundles: list[Bundle], tmp_path: Path
) -> None:
    root = tmp_path / "models"
    ready = work(output={"name": "figures", "publish": root})
    publish_all(ready, bundles, manifest(60))
    publish_all(ready, bundles, manifest(90, pictures=200))
    assert latest_of(root / "figures").name == versions_of(root / "figures")[1]


def test_nothing_is_published_unless_it_is_asked_for(
    work: Callable[..., Work], bundles: list[Bundle], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    publish_all(work(), bundles, manifest(60))
    assert sorted(tmp_path.rglob("*")) == before
