"""The state of a training in a checkpoint: exact, damaged, of an earlier form, and of many networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors import safe_open  # noqa: E402 (torch first: without it nothing here can run)
from safetensors.torch import load_file, save_file  # noqa: E402

from srgan.errors import CannotWrite, TrainingFailed  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.training.config import OptimiserSection  # noqa: E402
from srgan.training.optimisers import WeightAverage, make_optimisers  # noqa: E402
from srgan.training.state import MAIN, PLAIN, State  # noqa: E402


def new_state(kind: str = "muon", seed: int = 0, **options: Any) -> State:
    torch.manual_seed(seed)
    network = build("fast", 4, **{"width": 16, "blocks": 1, **options})
    network.to(memory_format=torch.channels_last)
    optimisers = make_optimisers(network, OptimiserSection(kind=kind))
    random = torch.Generator().manual_seed(seed)
    return State({MAIN: network}, {MAIN: WeightAverage(network, 0.9)}, {MAIN: optimisers}, random)


def train_a_little(state: State, steps: int = 3) -> None:
    for _ in range(steps):
        state.step += 1
        x = torch.rand(2, 3, 8, 8, generator=state.random).contiguous(memory_format=torch.channels_last)
        for optimiser in state.all_optimisers():
            optimiser.zero_grad()
        (state.network(x) - torch.rand(2, 3, 32, 32, generator=state.random)).abs().mean().backward()
        for optimiser in state.all_optimisers():
            optimiser.step()
        state.average.update(state.network, state.step)


def contents(state: State, path: Path) -> dict[str, torch.Tensor]:
    state.save(path)
    return load_file(path)


@pytest.mark.parametrize("kind", ["adam", "adamw", "adan", "muon"])
def test_a_state_comes_back_and_goes_on_alike(kind: str, tmp_path: Path) -> None:
    state, other = new_state(kind), new_state(kind, seed=5)
    train_a_little(state)
    state.seconds, state.psnr, state.best_step, state.best = 1.5, 28.25, 2, 28.5
    state.save(tmp_path / "a.safetensors")
    other.load(tmp_path / "a.safetensors")

    assert (other.step, other.seconds, other.psnr, other.best_step, other.best) == (3, 1.5, 28.25, 2, 28.5)
    train_a_little(state)
    train_a_little(other)
    first, second = contents(state, tmp_path / "b.safetensors"), contents(other, tmp_path / "c.safetensors")
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_optimisers_get_their_averages_in_the_order_of_the_weights(kind: str, tmp_path: Path) -> None:
    """Fused optimisers walk through memory: an average in another order would belong to other weights."""
    state, other = new_state(kind), new_state(kind, seed=5)
    train_a_little(state)
    state.save(tmp_path / "a.safetensors")
    other.load(tmp_path / "a.safetensors")

    adam = other.optimisers[MAIN][0]
    averages = [(w, entries["exp_avg"]) for w, entries in adam.state.items()]
    assert any(weight.ndim == 4 and not weight.is_contiguous() for weight, _ in averages)
    assert all(average.stride() == weight.stride() for weight, average in averages)


def test_a_state_that_was_never_judged_comes_back(tmp_path: Path) -> None:
    state, other = new_state(), new_state()
    other.psnr, other.best = 1.0, 1.0
    state.save(tmp_path / "a.safetensors")
    other.load(tmp_path / "a.safetensors")

    assert (other.psnr, other.best) == (None, None)


def test_nothing_in_a_checkpoint_is_pickled(tmp_path: Path) -> None:
    state = new_state()
    train_a_little(state)
    state.save(tmp_path / "a.safetensors")

    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        plain = json.loads(file.metadata()["state"])
    assert plain["step"] == 3
    assert len(plain["groups"]) == 2


@pytest.mark.parametrize("damage", ["truncated", "emptied", "text", "removed", "no notes", "no random state"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "step-00000003.safetensors"
    state = new_state()
    train_a_little(state)
    state.save(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "removed":
        path.unlink()
    elif damage in ("no notes", "no random state"):
        with safe_open(path, "pt") as file:
            notes = None if damage == "no notes" else file.metadata()
        tensors = load_file(path)
        if damage == "no random state":
            del tensors["random/data"]
        save_file(tensors, path, notes)
    else:
        path.write_bytes(b"" if damage == "emptied" else b"hello" * 100)

    with pytest.raises(TrainingFailed, match=r"step-00000003\.safetensors: cannot continue from this checkpoint"):
        new_state().load(path)


@pytest.mark.parametrize(
    "other", [{"width": 32}, {"blocks": 2}, {"kind": "adam"}], ids=["wider", "deeper", "other optimiser"]
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    state = new_state()
    train_a_little(state)
    state.save(tmp_path / "a.safetensors")

    with pytest.raises(TrainingFailed, match="cannot continue"):
        new_state(**other).load(tmp_path / "a.safetensors")


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = new_state()
    path = tmp_path / "a.safetensors"
    state.save(path)
    before = path.read_bytes()
    train_a_little(state)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(CannotWrite, match="No space left on device"):
            state.save(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# --------------------------------------------------------------------------------------------- several networks


def several(*names: str, seed: int = 0) -> State:
    """A main network with Muon and Adam, and others of other sizes with an Adam each, the last one averaged too."""
    state = new_state(seed=seed)
    for number, name in enumerate(names):
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 2 + number, 3), torch.nn.BatchNorm2d(2 + number))
        state.networks[name] = network
        state.optimisers[name] = [torch.optim.Adam(network.parameters(), 1e-3)]
        state.turns[name] = number
    if names:
        state.averages[names[-1]] = WeightAverage(state.networks[names[-1]], 0.5)
    return state


def train_all(state: State) -> None:
    train_a_little(state)
    for name, network in state.networks.items():
        if name == MAIN:
            continue
        for optimiser in state.optimisers[name]:
            optimiser.zero_grad()
            network(torch.rand(2, 3, 8, 8, generator=state.random)).square().mean().backward()
            optimiser.step()
        if name in state.averages:
            state.averages[name].update(network, state.step)


@pytest.mark.parametrize("names", [("discriminator",), ("encoder", "decoder", "critic", "prior")])
def test_any_number_of_networks_comes_back_and_goes_on_alike(names: tuple[str, ...], tmp_path: Path) -> None:
    state, other = several(*names), several(*names, seed=5)
    train_all(state)
    state.loss_scales[names[0]] = torch.tensor([8.0, 3.0])
    other.loss_scales[names[0]] = torch.zeros(2)
    state.save(tmp_path / "a.safetensors")
    other.load(tmp_path / "a.safetensors")

    assert other.turns == {name: number for number, name in enumerate(names)}
    assert other.loss_scales[names[0]].tolist() == [8.0, 3.0]
    train_all(state)
    train_all(other)
    first, second = contents(state, tmp_path / "b.safetensors"), contents(other, tmp_path / "c.safetensors")
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert {f"networks/{name}/0.weight" for name in names} <= first.keys()
    assert f"averages/{names[-1]}/1.running_var" in first
    assert {f"optimisers/{name}/0/0/exp_avg" for name in (MAIN, *names)} <= first.keys()


def test_a_network_that_the_checkpoint_lacks_is_noticed(tmp_path: Path) -> None:
    state = several("critic")
    state.save(tmp_path / "a.safetensors")
    with pytest.raises(TrainingFailed, match="cannot continue"):
        several("critic", "prior").load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("where", ["network", "average", "optimiser"])
def test_one_number_that_is_not_finite_anywhere_is_seen(where: str) -> None:
    state = several("critic", "prior")
    train_all(state)
    assert state.is_finite()
    tensors = {
        "network": state.networks["critic"].state_dict(),
        "average": state.averages["prior"].state,
        "optimiser": next(iter(state.optimisers["prior"][0].state.values())),
    }
    next(value for value in tensors[where].values() if value.ndim).view(-1)[0] = float("inf")
    assert not state.is_finite()


# --------------------------------------------------------------------------------------------------- the first form


def in_first_form(path: Path, rival: bool) -> None:
    """Rewrite a checkpoint as srgan wrote it before networks had names."""
    with safe_open(path, "pt") as file:
        plain = json.loads(file.metadata()["state"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    places = {
        "networks/generator/": "network/",
        "averages/generator/": "average/",
        "networks/discriminator/": "discriminator/",
        "optimisers/generator/0/": "optimiser/0/",
        "optimisers/generator/1/": "optimiser/1/",
        "optimisers/discriminator/0/": "optimiser/2/",
        "loss_scales/generator": "loss_scale/0",
        "loss_scales/discriminator": "loss_scale/1",
        "random/": "random/",
    }
    renamed = {}
    for key, value in tensors.items():
        (place,) = [place for place in places if key.startswith(place)]
        renamed[places[place] + key.removeprefix(place)] = value
    plain["groups"] = list(plain["groups"].values())
    turns = plain.pop("turns")
    plain["discriminator_step"] = turns["discriminator"] if rival else 0
    save_file(renamed, path, {"state": json.dumps(plain)})


@pytest.mark.parametrize("rival", [False, True], ids=["alone", "with a discriminator"])
@pytest.mark.parametrize("scaled", [False, True], ids=["", "fp16"])
def test_a_checkpoint_of_the_first_form_goes_on_alike(rival: bool, scaled: bool, tmp_path: Path) -> None:
    names = ("discriminator",) if rival else ()
    state, other = several(*names), several(*names, seed=5)
    for each in (state, other):
        each.averages = {MAIN: each.average}
        each.loss_scales = {name: torch.full((2,), float(len(name))) for name in (MAIN, *names)} if scaled else {}
    train_all(state)
    state.turns = dict.fromkeys(names, 7)
    state.best, state.best_step = 28.5, 2
    for scale in other.loss_scales.values():
        scale.zero_()
    state.save(tmp_path / "a.safetensors")
    in_first_form(tmp_path / "a.safetensors", rival)
    other.load(tmp_path / "a.safetensors")

    assert [getattr(other, name) for name in PLAIN if name != "parent_features"] == [
        getattr(state, name) for name in PLAIN if name != "parent_features"
    ]
    train_all(state)
    train_all(other)
    first, second = contents(state, tmp_path / "b.safetensors"), contents(other, tmp_path / "c.safetensors")
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
