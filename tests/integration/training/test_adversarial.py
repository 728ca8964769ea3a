"""The adversarial recipe: whose turn it is, exact resuming, what moves whom, and that it learns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.training import TrainJob, train  # noqa: E402
from srgan.training.adversarial import RIVAL, by_average  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402
from srgan.training.optimisers import WeightAverage  # noqa: E402
from srgan.training.state import MAIN, State  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")


@pytest.fixture
def make_gan(make_config: Config) -> Config:
    """A tiny adversarial run: HR patches of 32 pixels, a discriminator of 8 channels."""

    def make(**changes: Any) -> TrainConfig:
        settings: dict[str, Any] = {
            "recipe": "adversarial",
            "steps": 6,
            "discriminator__name": "patch",
            "discriminator__options": {"width": 8, "depth": 2},
            "discriminator__learning_rate": 1e-3,
            "data__batch": 2,
        }
        return make_config(**(settings | changes))

    return make


class Stop(Exception):
    """Stands for a crash."""


def states(monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """All states that training makes from here on."""
    made: list[State] = []
    initialise = State.__init__

    def remember(self: State, *args: Any, **settings: Any) -> None:
        initialise(self, *args, **settings)
        made.append(self)

    monkeypatch.setattr(State, "__init__", remember)
    return made


def last_checkpoint(config: TrainConfig) -> dict[str, torch.Tensor]:
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


@pytest.mark.parametrize(("n", "m", "wanted"), [(1, 1, 6), (2, 1, 3), (1, 3, 18), (3, 2, 4), (4, 1, 2)])
def test_n_steps_of_the_one_for_m_of_the_other(
    n: int, m: int, wanted: int, make_gan: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optimiser steps are counted where they happen; each takes a batch of its own."""
    made, counted = states(monkeypatch), Counter[str]()
    step, draw = torch.optim.Adam.step, TileStore.batch

    def counting_step(self: torch.optim.Adam, *args: Any) -> Any:
        counted["rival" if self is made[0].optimisers[RIVAL][0] else "generator"] += 1
        return step(self, *args)

    def counting_draw(self: TileStore) -> Any:
        counted["batches"] += 1
        return draw(self)

    monkeypatch.setattr(torch.optim.Adam, "step", counting_step)
    monkeypatch.setattr(TileStore, "batch", counting_draw)

    train(make_gan(updates={"generator": n, "discriminator": m}))

    assert counted == {"generator": 6, "rival": wanted, "batches": 6 + wanted}
    assert (made[0].step, made[0].turns[RIVAL]) == (6, wanted)


@pytest.mark.parametrize("loss", ["bce", "ragan", "lsgan", "hinge", "wgan-gp"])
def test_an_interrupted_run_ends_in_the_same_weights(loss: str, make_gan: Config) -> None:
    """Both networks, both optimisers, both averages, bit for bit; stopped in the middle of a cycle of 3:2."""
    settings: dict[str, Any] = {
        "discriminator__loss": loss,
        "discriminator__r1": 1.0 if loss == "bce" else 0.0,
        "discriminator__r1_every": 3,
        "updates": {"generator": 3, "discriminator": 2},
        "loss__artefact": 1.0,
        "steps": 40,
        "output__checkpoint_every": 20,
        "discriminator__head_start": 10,
    }
    straight, broken = make_gan(**settings), make_gan(**settings, output__name="broken")
    train(straight)

    def crash(status: TrainStep) -> None:
        if status.done == 20:
            raise Stop

    with pytest.raises(Stop):
        train(broken, report=crash)
    train(broken)

    one, other = last_checkpoint(straight), last_checkpoint(broken)
    assert one.keys() == other.keys()
    assert any(key.startswith("networks/discriminator/") for key in one)
    different = [key for key in one if not torch.equal(one[key], other[key])]
    assert not different


def moved(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, bool]:
    """Whether a run of ``config`` moves the generator, and the discriminator, from where they began."""
    made = states(monkeypatch)
    train(config)
    state = made[0]
    torch.manual_seed(config.seed)
    from srgan.training.adversarial import make_discriminator
    from srgan.training.setup import make_network

    began = make_network(config.network, config.data.patch), make_discriminator(config.discriminator)
    ended = state.network, state.networks[RIVAL]
    assert ended[1] is not None
    return tuple(  # type: ignore[return-value]
        any(not torch.equal(a, b) for a, b in zip(x.parameters(), y.parameters(), strict=True))  # type: ignore[union-attr]
        for x, y in zip(began, ended, strict=True)
    )


@pytest.mark.parametrize("term", ["pixel_weight", "perceptual", "adversarial", "grid"])
def test_each_term_alone_moves_the_generator(term: str, make_gan: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {"pixel_weight": 0.0, "perceptual": 0.0, "adversarial": 0.0, "grid": 0.0}
    assert moved(make_gan(loss=nothing | {term: 1.0}), monkeypatch) == (True, True)


def test_the_head_start_keeps_the_discriminator_out_of_the_generator(
    make_gan: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {"pixel_weight": 0.0, "perceptual": 0.0, "adversarial": 1.0, "grid": 0.0, "artefact": 1e-9}
    assert moved(make_gan(loss=only, discriminator__head_start=6, steps=6), monkeypatch)[1]

    made = states(monkeypatch)
    train(make_gan(loss=only, discriminator__head_start=6, output__name="other"))
    steps = [group["lr"] for group in made[0].optimisers[MAIN][0].param_groups]
    assert steps  # the optimiser ran; what it moved came from the artefact term alone
    weights = torch.cat([p.detach().flatten() for p in made[0].network.parameters()])
    assert weights.isfinite().all()


def test_the_generators_step_leaves_no_gradient_in_the_discriminator(
    make_gan: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 steps of the generator after the last of the discriminator: its gradient is that of its own step."""
    made, norms = states(monkeypatch), []

    def watch(status: TrainStep) -> None:
        discriminator = made[0].networks[RIVAL]
        assert discriminator is not None
        norms.append([p.grad.clone() for p in discriminator.parameters() if p.grad is not None])
        assert all(p.requires_grad for p in discriminator.parameters())

    train(make_gan(steps=40, updates={"generator": 20, "discriminator": 1}), report=watch)
    rival = made[0].networks[RIVAL]
    assert rival is not None
    kept = [p.grad for p in rival.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(norms[-1], kept, strict=True))
    assert made[0].turns[RIVAL] == 2


def test_a_discriminator_learns_to_tell(make_gan: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a generator that hardly moves, real pictures come to be judged above generated ones."""
    made = states(monkeypatch)
    config = make_gan(
        steps=60,
        optimiser__learning_rate=1e-6,
        optimiser__warmup=0,
        optimiser__final=1.0,
        data__batch=4,
        loss={"perceptual": 0.0},
    )
    train(config)
    state = made[0]
    discriminator = state.networks[RIVAL]
    store = TileStore(config.data, scale=4, seed=9, device=torch.device("cpu"))
    store.fill()
    low, high = store.batch()
    with torch.no_grad():
        assert discriminator(high).mean() > discriminator(state.network(low)).mean() + 0.2


def test_the_bundle_says_through_which_features_a_loss_looked(make_gan: Config) -> None:
    assert any("SqueezeNet" in name for name in train(make_gan()).info.provenance.loss_features)
    without = make_gan(loss={"perceptual": 0.0}, output__name="without")
    assert train(without).info.provenance.loss_features == ()
    assert train(TrainJob(config=without, resume=False)).info.provenance.recipe == "adversarial"


def test_looking_at_the_average_leaves_it_alone() -> None:
    """SRResNet has batch norms, whose statistics a forward pass in training mode would move."""
    torch.manual_seed(0)
    network = build("srresnet", 4, width=8, blocks=1).train()
    state = State({MAIN: network}, {MAIN: WeightAverage(network, 0.9)}, {}, torch.Generator())
    with torch.no_grad():
        for value in state.average.state.values():
            if value.is_floating_point():
                value.add_(0.01)
    before = {name: value.clone() for name, value in state.average.state.items()}
    low = torch.rand(2, 3, 8, 8)

    found = by_average(state, low)

    assert not torch.equal(found, network(low))
    other = build("srresnet", 4, width=8, blocks=1).train()
    other.load_state_dict(before)
    assert torch.allclose(found, other(low), atol=1e-6)
    assert all(torch.equal(state.average.state[name], value) for name, value in before.items())


@pytest.mark.parametrize("whose", ["generator", "discriminator"])
def test_a_step_left_out_leaves_the_batch_norms_of_both_networks(
    whose: str, make_gan: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of the one gives NaN, and what it gives goes through the other, or has come through it."""
    made, before = states(monkeypatch), list[dict[str, torch.Tensor]]()
    forward = type(build("srresnet", 4, width=8, blocks=1)).forward

    def all_statistics() -> dict[str, torch.Tensor]:
        rival = made[0].networks[RIVAL]
        assert rival is not None
        named = [*made[0].network.named_buffers(prefix="own"), *rival.named_buffers(prefix="rival")]
        return {name: value.clone() for name, value in named}

    def sick(self: Any, x: torch.Tensor) -> torch.Tensor:
        calls.append(torch.is_grad_enabled())
        ill = len(calls) == {"discriminator": 3, "generator": 4}[whose]  # its second turn
        if ill:
            before.append(all_statistics())
        out: torch.Tensor = forward(self, x)
        return out * float("nan") if ill else out

    calls: list[bool] = []
    monkeypatch.setattr("srgan.networks.srresnet.SRResNet.forward", sick)
    train(
        make_gan(
            steps=2,
            network={"name": "srresnet", "scale": 4, "options": {"width": 8, "blocks": 1}},
            discriminator={"name": "srgan", "options": {"width": 4, "dense": 8}},
            loss={"perceptual": 0.0},
        )
    )

    after = all_statistics()
    assert calls[:4] == [False, True, False, True]
    assert any(name.startswith("rival") and name.endswith("running_var") for name in after)
    assert all(value.isfinite().all() for value in after.values())
    if whose == "generator":
        assert [name for name, value in after.items() if not torch.equal(value, before[0][name])] == []
    else:
        counts = {int(value) for name, value in after.items() if name.startswith("own") and "num_batches" in name}
        assert counts == {3}, "two passes of step 1, and the generator's own of step 2"


def test_what_a_loss_saw_is_handed_down(make_gan: Config) -> None:
    """A model that goes on from a GAN without a discriminator of its own is still judged with a warning."""
    gan = train(make_gan())
    onward = make_gan(network__init_from=str(gan.path), output__name="child", network__name="fast")
    values = onward.model_dump(exclude={"discriminator", "updates"}) | {"recipe": "pretrain"}
    child = train(TrainConfig.model_validate(values)).info.provenance

    assert child.parent == gan.info.name
    assert child.loss_features == gan.info.provenance.loss_features != ()


def test_a_penalty_wants_no_batch_norm(make_gan: Config) -> None:
    paper = {"name": "srgan", "options": {"width": 4, "dense": 8}, "loss": "wgan-gp"}
    with pytest.raises(InvalidConfig, match="excludes batch norm"):
        train(make_gan(discriminator=paper))
    paper["options"] = {"width": 4, "dense": 8, "norm": "none"}
    train(make_gan(discriminator=paper))


def test_the_best_checkpoint_is_that_of_the_chosen_figure(make_gan: Config, pictures: Path) -> None:
    config = make_gan(
        steps=40,
        validation={
            "folder": pictures,
            "every": 10,
            "max_pictures": 1,
            "figures": ["lpips-unweighted"],
            "best": "lpips-unweighted",
        },
        output__keep=1,
    )
    train(config)
    folder = config.output.runs / config.output.name / "001"
    heading, *lines = (folder / "curve.csv").read_text().splitlines()
    place = heading.split(",").index("lpips-unweighted")
    values = {int(line.split(",")[0]): float(line.split(",")[place]) for line in lines}

    kept = {int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").iterdir()}
    assert set(values) == {10, 20, 30, 40}
    assert kept == {min(values, key=values.__getitem__), 40}


def test_a_figure_that_is_not_measured_cannot_choose(make_gan: Config) -> None:
    with pytest.raises(ValueError, match="lpips-unweighted"):
        make_gan(validation={"best": "lpips-unweighted"})
