"""The recipe `distil`: what it learns from, what it refuses, how it goes on, and what it says of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)
from torch import Tensor  # noqa: E402

from srgan.errors import Cancelled, InvalidConfig, ModelNotFound  # noqa: E402
from srgan.models import Bundle, Provenance, write_bundle  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.progress import Step, Stop  # noqa: E402
from srgan.testing import NearestSession  # noqa: E402
from srgan.training import TrainJob, distil, export_checkpoint, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.data import TileStore  # noqa: E402
from srgan.training.finishing import write_model  # noqa: E402
from srgan.training.runs import Run  # noqa: E402
from srgan.training.teacher import Teacher  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")
CPU = torch.device("cpu")


@pytest.fixture
def make_teacher(tmp_path: Path, quick_export: None) -> Callable[..., Bundle]:
    """A bundle of a tiny network with weights of ``seed``."""

    def make(name: str = "teacher", *, seed: int = 3, scale: int = 4, channels: int = 3, gain: float = 1.0) -> Bundle:
        options = {"width": 8, "blocks": 1, "channels": channels}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build("fast", scale, **options).deploy()
        with torch.no_grad():
            network.head.conv.bias.fill_(gain - 1)
        return write_model(
            tmp_path / name,
            network,
            name=name,
            network="fast",
            network_options=options,
            provenance=Provenance(loss_features=("the teacher's features",)),
        )

    return make


@pytest.fixture
def make_lesson(make_config: Config, make_teacher: Callable[..., Bundle]) -> Config:
    """A tiny distillation, with ``section__key=value`` changed."""

    def make(**changes: Any) -> TrainConfig:
        model = changes.pop("teacher__model", None) or str(make_teacher().path)
        return make_config(**({"recipe": "distil", "steps": 6, "teacher__model": model} | changes))

    return make


def weights(config: TrainConfig, version: str = "001") -> dict[str, Tensor]:
    return load_file(max((config.output.runs / config.output.name / version / "checkpoints").glob("*.safetensors")))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Doubling:
    """Stands for a teacher: its output is the mean colour of each patch."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def patches(self, low: Tensor) -> Tensor:
        self.seen.append(low)
        return low.mean((2, 3), keepdim=True).expand(-1, -1, 4 * low.shape[2], 4 * low.shape[3])


# ------------------------------------------------------------------------------------------------- what it learns from


def look_at(config: TrainConfig, done: float, output: Callable[[Tensor], Tensor]) -> tuple[Any, Any, Doubling]:
    """The loss and its parts of one batch, at a point of the training, of a network that computes ``output``."""
    store = TileStore(config.data, scale=4, seed=1, device=CPU)
    store.fill()
    teacher = Doubling()
    loss, terms = distil.make_look(config, store, teacher, lambda: done)(output)  # type: ignore[arg-type]
    store.close()
    return loss, terms, teacher


def flat(low: Tensor) -> Tensor:
    return low.mean((2, 3), keepdim=True).expand(-1, -1, 32, 32)


def test_the_loss_is_the_weighted_sum_of_both(make_lesson: Config) -> None:
    """A network that does as the teacher does has lost nothing against it, and as always against the originals."""
    config = make_lesson(teacher__weight=5.0, loss__pixel_weight=2.0)
    loss, terms, teacher = look_at(config, 0.5, flat)
    assert terms.keys() == {"loss/pixel", "loss/teacher"}
    assert terms["loss/teacher"] == 0
    assert loss == terms["loss/pixel"] > 0
    assert [tuple(low.shape) for low in teacher.seen] == [(4, 3, 8, 8)]

    off = look_at(config, 0.5, lambda low: flat(low) + 0.1)[1]
    assert off["loss/teacher"].item() == pytest.approx(5 * 0.1, rel=1e-4)


@pytest.mark.parametrize(
    ("pixel", "done", "wanted"),
    [("same", 0.5, 0.1), ("mse", 0.5, 0.01), ("same", 0.9, 0.01), ("l1", 0.9, 0.01)],
    ids=["as the other", "its own kind", "behind mse_after", "its own kind behind mse_after"],
)
def test_the_kind_of_the_teachers_loss(pixel: str, done: float, wanted: float, make_lesson: Config) -> None:
    config = make_lesson(teacher__pixel=pixel, loss__pixel="l1", loss__mse_after=0.8)
    assert look_at(config, done, lambda low: flat(low) + 0.1)[1]["loss/teacher"].item() == pytest.approx(
        wanted, rel=1e-3
    )


def test_after_its_time_only_the_originals_count(make_lesson: Config) -> None:
    config = make_lesson(teacher__until=0.5, teacher__free_share=0.5)
    _, terms, teacher = look_at(config, 0.51, flat)
    assert (terms.keys(), teacher.seen) == ({"loss/pixel"}, [])
    assert look_at(config, 0.5, flat)[1].keys() == {"loss/pixel", "loss/teacher"}


def test_patches_without_an_original_are_cut_out_of_the_high_resolution(make_lesson: Config) -> None:
    """They come first, and of the others the batch is as it would be without them."""
    config = make_lesson(teacher__free_share=0.5)
    seen: list[Tensor] = []

    def network(low: Tensor) -> Tensor:
        seen.append(low)
        return flat(low)

    _, terms, _ = look_at(config, 0.5, network)
    store = TileStore(config.data, scale=4, seed=1, device=CPU)
    store.fill()
    low, high = store.batch()
    store.close()
    assert torch.equal(seen[0][2:], low[2:])
    for piece, whole in zip(seen[0][:2], high[:2], strict=True):
        windows = whole.unfold(1, 8, 1).unfold(2, 8, 1)
        assert (windows == piece[:, None, None]).all(-1).all(-1).all(0).any()
    assert terms["loss/pixel"] == (flat(low[2:]) - high[2:]).abs().mean()

    nothing_else = make_lesson(teacher__free_share=1.0, teacher__model=str(config.teacher.model))  # type: ignore[attr-defined]
    assert look_at(nothing_else, 0.5, network)[1].keys() == {"loss/teacher"}


def test_pieces_are_anywhere_in_a_patch() -> None:
    high = torch.arange(36.0).reshape(1, 1, 6, 6).expand(200, 3, 6, 6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cut = distil.cut_free(high, 4)
    assert cut.shape == (200, 3, 4, 4)
    assert {int(piece[0, 0, 0]) for piece in cut} == {row * 6 + column for row in range(3) for column in range(3)}


def test_a_student_comes_nearer_to_its_teacher(make_lesson: Config, make_teacher: Callable[..., Bundle]) -> None:
    """With the teacher's loss alone it learns what no original says: this teacher makes everything brighter."""
    bright = make_teacher("bright", gain=1.08)
    losses = {"loss__pixel_weight": 0.0, "optimiser__learning_rate": 5e-3, "optimiser__warmup": 5}
    student = train(make_lesson(steps=60, teacher__model=str(bright.path), teacher__free_share=0.5, **losses))
    network = build("fast", 4, width=16, blocks=1).deploy()
    from safetensors.torch import load

    network.load_state_dict(load(student.read("weights.safetensors")))
    gray = torch.full((1, 3, 16, 16), 0.5)
    with torch.no_grad():
        assert network(gray)[..., 16:-16, 16:-16].mean().item() == pytest.approx(0.58, abs=0.03)


# ------------------------------------------------------------------------------------------------- how it goes on


@pytest.mark.parametrize("stored", [False, True], ids=["in each step", "from a store"])
def test_an_interrupted_run_goes_on_exactly(stored: bool, make_lesson: Config, tmp_path: Path) -> None:
    more = {"teacher__store": tmp_path / "store"} if stored else {}
    config = make_lesson(steps=6, teacher__free_share=0.25, teacher__until=0.7, output__checkpoint_every=100, **more)
    whole = config.model_copy(update={"output": config.output.model_copy(update={"runs": tmp_path / "whole"})})
    train(whole)
    stop = Stop()
    store = TileStore.batch

    def third(self: TileStore) -> Any:
        third.calls += 1  # type: ignore[attr-defined]
        if third.calls == 3:  # type: ignore[attr-defined]
            stop.set()
        return store(self)

    third.calls = 0  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TileStore, "batch", third)
        with pytest.raises(Cancelled):
            train(config, stop=stop)
    train(config)

    assert same(weights(config), weights(whole))


def test_a_run_goes_on_with_the_teacher_that_it_began_with(
    make_lesson: Config, make_teacher: Callable[..., Bundle], tmp_path: Path
) -> None:
    config = make_lesson(steps=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "srgan.training.pretrain.finish", lambda *_: None
        )  # the steps are done, and the model is not written
        train(config)
    run = Run(config.output.runs / "tiny" / "001")
    old = run.teacher["said"]
    make_teacher(seed=4)
    with pytest.raises(
        InvalidConfig, match=r"teacher\.model: .*001 began with teacher 1\.0\.0 sha256:\w{64}, and this"
    ):
        train(config)
    assert run.teacher["said"] == old

    checkpoint = run.checkpoint(4)
    longer = make_lesson(steps=6)
    make_teacher(seed=4)
    bundle = train(TrainJob(config=longer, start=checkpoint))
    assert bundle.info.provenance.teacher not in ("", old)


# ---------------------------------------------------------------------------------------------- what it says of itself


def test_the_model_names_its_teacher(make_lesson: Config, make_teacher: Callable[..., Bundle], tmp_path: Path) -> None:
    config = make_lesson(validation__folder=make_lesson().data.folders[0], validation__every=3)
    heard: list[Step] = []
    bundle = train(config, report=heard.append)
    digest = make_teacher().info.digest
    provenance = bundle.info.provenance
    assert (provenance.recipe, provenance.steps) == ("distil", 6)
    assert provenance.teacher == f"teacher 1.0.0 sha256:{digest}"
    assert provenance.loss_features == ("the teacher's features",)
    assert heard[-1].note.startswith("loss ")
    assert "PSNR" in heard[-1].note

    exported = export_checkpoint(config.output.runs / "tiny", tmp_path / "exported")
    assert exported.info.provenance.teacher == provenance.teacher
    assert exported.info.provenance.loss_features == provenance.loss_features


# ----------------------------------------------------------------------------------------------------- what it refuses


def test_a_teacher_of_another_scale(make_lesson: Config, make_teacher: Callable[..., Bundle]) -> None:
    twice = make_teacher("twice", scale=2)
    with pytest.raises(InvalidConfig, match=r"teacher\.model: .*twice enlarges 2 times, and network\.scale is 4"):
        train(make_lesson(teacher__model=str(twice.path)))


def test_a_teacher_of_other_channels(make_lesson: Config, make_teacher: Callable[..., Bundle]) -> None:
    gray = make_teacher("gray", channels=1)
    with pytest.raises(InvalidConfig, match=r"teacher\.model: .*gray has 1 channels, and training pictures have 3"):
        train(make_lesson(teacher__model=str(gray.path)))


def test_a_teacher_of_another_range_of_values(
    make_lesson: Config, make_teacher: Callable[..., Bundle], caplog: pytest.LogCaptureFixture
) -> None:
    """What a bundle says of its range is heeded; a network whose output is unlike its input is refused."""
    broken = make_teacher("broken", gain=1.5)
    with pytest.raises(
        InvalidConfig, match=r"the output of .*broken is unlike its input \(mean difference 0\.\d\d of 1"
    ):
        train(make_lesson(teacher__model=str(broken.path)))
    info = make_teacher().info.model_copy(update={"value_range": (0.0, 255.0)})
    ranged = make_teacher("ranged", gain=1 + 0.05 * 255)
    ranged = write_bundle(ranged.path, info, {name: ranged.read(name) for name in ranged.info.files})
    with caplog.at_level(logging.INFO, "srgan"):
        train(make_lesson(teacher__model=str(ranged.path), steps=1))
    assert "the teacher is teacher 1.0.0 sha256:" in caplog.text


def test_swapped_colours_are_unlike() -> None:
    from srgan.training import teacher as module

    class Swapping:
        info = NearestSession(4).info

        def patches(self, low: Tensor) -> Tensor:
            return low.flip(1).repeat_interleave(4, 2).repeat_interleave(4, 3)

    with pytest.raises(InvalidConfig, match="order of colours"):
        module._check(Swapping(), "swapped.pth", 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bicubic", "no-such-model"])
def test_what_is_no_model_teaches_nothing(name: str, make_lesson: Config) -> None:
    with pytest.raises(ModelNotFound, match=f"There is no model '{name}'"):
        train(make_lesson(teacher__model=name))


# ---------------------------------------------------------------------------------------- files of other programs


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file as other programs write it, of a small SRResNet that enlarges by repeating pixels, nearly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = build("fast", 4, width=8, blocks=1)
    path = tmp_path / "other.pth"
    torch.save({"params_ema": network.state_dict()}, path)
    return path


def test_a_file_of_another_program_teaches(checkpoint: Path, make_lesson: Config) -> None:
    config = make_lesson(
        teacher__model=str(checkpoint), teacher__network="fast", teacher__options={"width": 8, "blocks": 1}
    )
    assert train(config).info.provenance.teacher.startswith("other.pth sha256:")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "teacher.network: .*other.pth does not state its architecture"),
        ({"teacher__network": "fastt"}, "teacher.network: There is no network 'fastt'"),
        ({"teacher__network": "ensemble"}, "teacher.network"),
        ({"teacher__network": "fast", "teacher__options": {"width": 16, "blocks": 1}}, "teacher.model: .*its layer 1"),
    ],
)
def test_a_file_needs_its_architecture(
    changes: dict[str, Any], said: str, checkpoint: Path, make_lesson: Config
) -> None:
    with pytest.raises(InvalidConfig, match=said):
        train(make_lesson(teacher__model=str(checkpoint), **changes))


def test_a_bundle_states_its_own_architecture(make_lesson: Config) -> None:
    with pytest.raises(InvalidConfig, match=r"are for a \.pth file"):
        train(make_lesson(teacher__network="fast"))


# ----------------------------------------------------------------------------------------------------------- patches


@pytest.mark.parametrize(("multiple", "minimum"), [(1, 1), (4, 16), (3, 20)])
def test_patches_of_any_size_reach_the_teacher_as_it_wants_them(multiple: int, minimum: int) -> None:
    session = NearestSession(4, radius=8, multiple=multiple, minimum=minimum)
    low = torch.rand(2, 3, 8, 10)
    made = Teacher(session).patches(low)
    assert torch.equal(made, low.repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert all(max(minimum, 8) <= side and side % multiple == 0 for shape in session.shapes for side in shape[2:])
