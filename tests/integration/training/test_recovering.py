"""Numbers that stay not finite send a run back to its last good checkpoint, with lower learning rates."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors import safe_open  # noqa: E402 (torch first: without it nothing here can run)
from safetensors.torch import load_file  # noqa: E402

from srgan.errors import Cancelled, TrainingFailed  # noqa: E402
from srgan.progress import Step, Stop  # noqa: E402
from srgan.training import gan_losses, losses, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.state import State  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")


class Crash(Exception):
    """Stands for a crash."""


def poison(monkeypatch: pytest.MonkeyPatch, *calls: range) -> Callable[[], int]:
    """The pixel loss is NaN in these of its calls, counted from 1. Gives the number of calls so far."""
    count = 0

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        value = torch.nn.functional.l1_loss(output, target)
        return value * float("nan") if any(count in span for span in calls) else value

    monkeypatch.setitem(losses.PIXEL_LOSSES, "l1", loss)
    return lambda: count


def checkpoints(config: TrainConfig) -> dict[int, Path]:
    folder = config.output.runs / config.output.name / "001" / "checkpoints"
    return {int(path.stem.removeprefix("step-")): path for path in sorted(folder.iterdir())}


def plain(path: Path) -> dict[str, Any]:
    import json

    with safe_open(path, "pt") as file:
        values: dict[str, Any] = json.loads(file.metadata()["state"])
    return values


def test_it_goes_back_with_half_the_rate(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From step 51 on all is NaN; noticed at 80, back to 50, and from there on it is well."""
    calls = poison(monkeypatch, range(51, 81))
    config = make_config(steps=100, optimiser__schedule="steps", optimiser__milestones=[], output__checkpoint_every=25)
    with caplog.at_level(logging.WARNING, "srgan"):
        bundle = train(config)

    assert "at step 80 the gradient was not finite for 30 steps in a row; back to step 50" in caplog.text
    assert "with learning rates times 0.5 (1 of 3)" in caplog.text
    assert bundle.info.provenance.steps == 100
    assert calls() == 80 + 50
    assert set(checkpoints(config)) == {50, 75, 100}, "none was written while all was NaN"
    saved = load_file(checkpoints(config)[100])
    assert saved["optimisers/generator/0/0/step"] == 100
    state = plain(checkpoints(config)[100])
    assert (state["recoveries"], state["recovered_at"], state["rate_scale"]) == (1, 50, 0.5)
    group = state["groups"]["generator/0"][0]
    assert group["lr"] == pytest.approx(0.5 * group["peak"])


def test_what_was_recovered_is_exactly_a_run_from_there(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rates that are not lowered, going back and on gives the weights of a run that nothing befell."""
    straight = make_config(steps=80, output__checkpoint_every=40, output__name="straight")
    train(straight)
    poison(monkeypatch, range(41, 61))
    befallen = make_config(steps=80, output__checkpoint_every=40, optimiser__recovery_rate=1.0)
    train(befallen)

    one, other = load_file(checkpoints(straight)[80]), load_file(checkpoints(befallen)[80])
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_a_crash_after_going_back_forgets_nothing(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"steps": 80, "output__checkpoint_every": 40}
    poison(monkeypatch, range(41, 61))
    straight, broken = make_config(**settings, output__name="straight"), make_config(**settings)
    train(straight)

    poison(monkeypatch, range(41, 61))
    seen: list[int] = []

    def crash(status: Step) -> None:
        seen.append(status.done)
        if seen == [0, 20, 40, 40, 60]:  # back to 40 in between
            raise Crash  # before the first step that a checkpoint follows

    with pytest.raises(Crash):
        train(broken, report=crash)
    train(broken)

    one, other = load_file(checkpoints(straight)[80]), load_file(checkpoints(broken)[80])
    assert plain(checkpoints(broken)[80])["recoveries"] == 1
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_without_a_checkpoint_yet_it_begins_again(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, range(1, 21))
    config = make_config(steps=40)
    train(config)

    assert set(checkpoints(config)) == {40}
    assert plain(checkpoints(config)[40])["recovered_at"] == 0
    assert load_file(checkpoints(config)[40])["optimisers/generator/0/0/step"] == 40


def test_a_checkpoint_that_leads_nowhere_is_given_up(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time that nothing comes of the checkpoint of step 40, it is that of step 20's turn."""
    poison(monkeypatch, range(41, 61), range(61, 81))
    config = make_config(steps=60, output__checkpoint_every=20)
    train(config)

    state = plain(checkpoints(config)[60])
    assert (state["recoveries"], state["recovered_at"], state["rate_scale"]) == (2, 20, 0.25)


def test_a_best_checkpoint_that_leads_nowhere_is_forgotten(
    make_config: Config, pictures: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The best, of step 40, is given up, and the one before knows another that was pruned long ago."""
    scores = iter([20.0, 21.0, 19.0, 19.5, 19.0])  # of steps 20, 40, 40, 60, 80: at 60 it went back twice before

    class Judge:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def bicubic(self) -> float:
            return 0.0

        def score(self, *_: Any) -> dict[str, float]:
            return {"psnr": next(scores), "ssim": 0.5}

        def objection(self, *_: Any) -> str:
            return ""

    monkeypatch.setattr("srgan.training.pretrain.Validator", Judge)
    poison(monkeypatch, range(41, 61), range(61, 81))
    config = make_config(
        steps=80,
        validation__folder=pictures,
        validation__every=20,
        output__checkpoint_every=10,
        output__keep=2,
        output__take="best",
    )
    bundle = train(config)

    assert "the best checkpoint (step 20) is missing; the next best will replace it" in caplog.text
    assert plain(checkpoints(config)[80])["recovered_at"] == 30
    assert plain(checkpoints(config)[80])["best_step"] == 60
    assert bundle.info.provenance.steps == 60


def test_a_wish_to_stop_while_it_goes_back_is_answered(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = poison(monkeypatch, range(41, 61))
    load = State.load

    def interrupted(self: State, path: Path) -> None:
        load(self, path)
        if calls() == 60:
            wish.set()

    wish = Stop()
    monkeypatch.setattr(State, "load", interrupted)
    config = make_config(steps=80, output__checkpoint_every=40)
    with pytest.raises(
        Cancelled, match=r"back to step 40, .*; stopped there; the same command without --fresh continues"
    ):
        train(config, stop=wish)

    assert calls() == 60
    train(config)
    assert calls() == 60 + 40
    assert plain(checkpoints(config)[80])["recoveries"] == 1


def test_it_does_not_go_back_for_ever(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = poison(monkeypatch, range(21, 10_000))
    config = make_config(steps=100, output__checkpoint_every=20, optimiser__recoveries=2)
    with pytest.raises(TrainingFailed, match=r"after going back 2 times it was no better; lower the learning rate"):
        train(config)

    assert calls() == 20 + 3 * 20
    with pytest.raises(TrainingFailed, match="at step 20 the gradient"):
        train(make_config(output__name="never", steps=40, optimiser__recoveries=0), report=None)


def test_no_checkpoint_with_weights_that_are_not_finite_is_written(
    make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients can be finite and the weights not, when the optimiser itself overflows."""
    save, good = State.save, []

    def checked(self: State, path: Path) -> None:
        good.append((self.step, self.is_finite()))
        save(self, path)

    monkeypatch.setattr(State, "save", checked)
    blown = False

    def blow(status: Step) -> None:
        nonlocal blown
        if status.done == 20 and not blown:
            blown = True
            made[-1].average.state["stem.weight"].fill_(float("inf"))

    made: list[State] = []
    initialise = State.__init__

    def remember(self: State, *args: Any, **settings: Any) -> None:
        initialise(self, *args, **settings)
        made.append(self)

    monkeypatch.setattr(State, "__init__", remember)
    config = make_config(steps=40, output__checkpoint_every=10)
    train(config, report=blow)

    assert good == [(0, True), (10, True), (20, True), (20, True), (30, True), (40, True)]
    assert len(made) == 2


def test_a_validation_that_is_nan_sends_back(
    make_config: Config, pictures: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scores = iter([20.0, float("nan"), 21.0, 22.0])

    class Judge:
        def __init__(self, *_: Any, **__: Any) -> None: ...
        def bicubic(self) -> float:
            return 0.0

        def score(self, *_: Any) -> dict[str, float]:
            return {"psnr": next(scores), "ssim": 0.5}

        def objection(self, *_: Any) -> str:
            return ""

    monkeypatch.setattr("srgan.training.pretrain.Validator", Judge)
    config = make_config(steps=30, validation__folder=pictures, validation__every=10)
    train(config)

    assert "at step 20 figures of the validation were not finite; back to step 10" in caplog.text
    lines = (config.output.runs / "tiny" / "001" / "curve.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "10", "20", "30"]


def test_a_discriminator_that_cannot_step_is_noticed(make_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> torch.Tensor:
        return gan_losses.discriminator_loss("hinge", *_[1:]) * float("inf")

    monkeypatch.setattr("srgan.training.adversarial.discriminator_loss", nothing)
    config = make_config(
        recipe="adversarial",
        steps=40,
        discriminator={"name": "patch", "options": {"width": 8, "depth": 2}},
        optimiser__recoveries=1,
        data__batch=2,
    )
    with pytest.raises(TrainingFailed, match="not finite for 20 steps in a row, and after going back 1 times"):
        train(config)


def test_a_network_that_becomes_nan_between_two_checkpoints_is_seen_by_the_validation(
    make_config: Config, pictures: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[State] = []
    initialise = State.__init__

    def remember(self: State, *args: Any, **settings: Any) -> None:
        initialise(self, *args, **settings)
        made.append(self)

    def blow(status: Step) -> None:
        if status.done == 20 and len(made) == 1:
            made[-1].average.state["stem.weight"].fill_(float("nan"))

    monkeypatch.setattr(State, "__init__", remember)
    train(make_config(validation__folder=pictures, validation__every=30), report=blow)
    assert "at step 30 figures of the validation were not finite; back to step 0" in caplog.text


def test_nothing_is_written_of_a_beginning_that_is_not_finite(
    make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srgan.training import pretrain

    make = pretrain.make_network

    def broken(*args: Any, **settings: Any) -> Any:
        network = make(*args, **settings)
        network.stem.bias.data[0] = float("nan")
        return network

    monkeypatch.setattr(pretrain, "make_network", broken)
    with pytest.raises(TrainingFailed, match=r"tiny.001: weights are not finite before the first step"):
        train(config := make_config())
    assert checkpoints(config) == {}


def test_a_checkpoint_that_is_not_finite_is_not_gone_on_from(make_config: Config) -> None:
    """None is ever written; one that came from elsewhere is refused by its name."""
    from safetensors.torch import save_file

    def crash(status: Step) -> None:
        if status.done == 20:
            raise Crash

    config = make_config(output__checkpoint_every=20)
    with pytest.raises(Crash):
        train(config, report=crash)
    path = max(checkpoints(config).values())
    with safe_open(path, "pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    tensors["networks/generator/stem.bias"][0] = float("nan")
    save_file(tensors, path, header)
    with pytest.raises(TrainingFailed, match=rf"{path.name}: has numbers that are not finite; delete it"):
        train(config)
