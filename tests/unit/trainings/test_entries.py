"""The queue's file: what it says, and what is written into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.trainings.entries import QueueFile

from srgan.config import load_config
from srgan.errors import InvalidConfig
from srgan.training.config import TrainConfig
from srgan.training.latent.settings import LatentConfig
from srgan.training.recipes import DistilConfig

ROOT = Path(__file__).resolve().parents[3]


def test_an_entry_is_its_training_file_with_what_it_says_itself(queue: QueueFile) -> None:
    first, second = (queue.config(entry, output__runs="there", hardware__threads=3) for entry in queue.read().entry)

    assert (first.steps, first.network.init_from, first.optimiser.warmup) == (1000, "", 100)
    assert (second.steps, second.network.init_from, second.optimiser.warmup) == (500, "fast-x4", 7)
    assert (first.output.name, second.output.name) == ("first-x4", "second-x4")
    assert (second.output.runs, second.hardware.threads) == (Path("there"), 3)


def test_folders_are_found_in_the_data_folder_if_there_is_one(queue: QueueFile) -> None:
    entry = queue.read().entry[0]
    there = QueueFile(queue.path, (Path("/data"),))

    assert there.config(entry).data.folders == (Path("/data/train/photos"), Path("elsewhere"))
    assert there.config(entry).validation.folder == Path("/data/eval/Set5")
    assert queue.config(entry).data.folders == (Path("datasets/photos"), Path("elsewhere"))
    assert there.locate(Path("datasets/Set5")) == Path("/data/eval/Set5")


def test_the_first_folder_of_pictures_that_has_one_counts(queue: QueueFile, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (second / "train" / "photos").mkdir(parents=True)
    there = QueueFile(queue.path, (first, second))

    assert there.locate(Path("datasets/photos")) == second / "train" / "photos"
    assert there.locate(Path("datasets/Set5")) == first / "eval" / "Set5"
    (first / "train" / "photos").mkdir(parents=True)
    assert there.locate(Path("datasets/photos")) == first / "train" / "photos"


def test_folders_of_the_refiner_are_found_there_too(tmp_path: Path) -> None:
    (tmp_path / "figures.toml").write_text(
        'recipe = "latent"\n[data]\nfolders = ["datasets/small"]\n[refiner]\nfolders = ["datasets/large"]\n'
    )
    (tmp_path / "queue.toml").write_text(
        '[folders]\n"datasets/small" = "a"\n"datasets/large" = "b"\n'
        '[[entry]]\nname = "figures"\nfile = "figures.toml"\nbecomes = "figures"\n'
    )
    queue = QueueFile(tmp_path / "queue.toml", (Path("/data"),))
    config = queue.config(queue.find("figures"))
    assert isinstance(config, LatentConfig)
    assert config.data.folders == (Path("/data/a"),)
    assert (config.refiner.folders, config.refiner.validation_folder) == ((Path("/data/b"),), None)


def test_a_note_changes_its_entry_and_nothing_else(queue: QueueFile) -> None:
    before = queue.path.read_text()
    queue.note("first", step=40, state="flat", result='psnr 31.4 with "quotes" and \\1')
    queue.note("first", step=50)
    entry = queue.find("first")

    assert (entry.step, entry.state, entry.result) == (50, "flat", 'psnr 31.4 with "quotes" and \\1')
    assert queue.find("second").step == 0
    written = queue.path.read_text()
    assert [line for line in written.splitlines() if line not in before.splitlines()] == [
        "step = 50",
        'state = "flat"',
        'result = "psnr 31.4 with \\"quotes\\" and \\\\1"',
    ]
    assert written.index("result") < written.index("# About the second.")  # that comment is about the next entry
    queue.note("second", shipped=7)
    assert queue.path.read_text().endswith("]\nshipped = 7\n")


def test_what_cannot_be_changed_in_place_is_left_alone(queue: QueueFile) -> None:
    queue.path.write_text('entry = [{ name = "inline", file = "small.toml", becomes = "a" }]\n')
    before = queue.path.read_text()
    with pytest.raises(InvalidConfig, match=r"write the entry inline as a table \[\[entry\]\]"):
        queue.note("inline", step=3)
    assert queue.path.read_text() == before


def test_mistakes_are_told_with_their_place(queue: QueueFile) -> None:
    with pytest.raises(InvalidConfig, match="has no entry 'third', but first, second"):
        queue.note("third", step=3)
    queue.path.write_text(queue.path.read_text().replace('"second"', '"first"'))
    with pytest.raises(InvalidConfig, match="first is there twice"):
        queue.read()
    queue.path.write_text('[[entry]]\nname = "a"\nfile = "f"\nbecomes = "a"\nstate = "lost"\n')
    with pytest.raises(InvalidConfig, match="state"):
        queue.read()


def test_a_bundle_says_what_was_changed_of_its_training_file(queue: QueueFile) -> None:
    first, second = queue.read().entry

    assert queue.origin(first) == "configs/small.toml"
    assert queue.origin(second) == "configs/small.toml with steps=500 optimiser.warmup=7 network.init_from=fast-x4"


def test_what_a_teacher_computes_ahead_is_shared_by_the_runs(queue: QueueFile) -> None:
    """Beside them, whatever its training file calls it; without a store there is none."""
    (queue.path.parent / "small.toml").write_text(
        'recipe = "distil"\n[data]\nfolders = ["datasets/photos"]\n[teacher]\nmodel = "balanced-x4"\nstore = "mine"\n'
    )
    config = queue.config(queue.read().entry[0], output__runs="there/runs")
    assert isinstance(config, DistilConfig)
    assert (config.teacher.store, config.teacher.model) == (Path("there/targets"), "balanced-x4")
    assert config.data.folders == (Path("datasets/photos"),)
    plain = queue.read().entry[0].model_copy(update={"sets": ("recipe=pretrain",)})
    assert type(queue.config(plain)) is TrainConfig
    none = queue.read().entry[0].model_copy(update={"sets": ("teacher.store=null",)})
    assert queue.config(none).teacher.store is None  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- the project's own


def test_every_entry_of_the_project_is_a_valid_training_for_a_cpu() -> None:
    queue = QueueFile(ROOT / "configs" / "queue.toml", (Path("/data"),))
    entries = queue.read().entry

    assert [entry.name for entry in entries][:2] == ["fast", "balanced"]
    assert len(entries) == 14
    assert [entry.name for entry in entries if entry.trial] == [e.name for e in entries if e.name.startswith("trial: ")]
    for entry in entries:
        config = queue.config(entry)
        assert config.hardware.device in ("auto", "cpu")
        assert config.output.family
        assert config.validation.every * 10 <= config.steps
        assert config.validation.folder is not None
        assert all(path.is_relative_to("/data") for path in (*config.data.folders, config.validation.folder))
        assert config.output.name.endswith(f"-x{config.network.scale}")
        assert config.validation.every % config.output.checkpoint_every == 0 or config.output.checkpoint_every <= 1000


def test_a_trial_differs_from_the_other_by_the_teacher_alone() -> None:
    queue = QueueFile(ROOT / "configs" / "queue.toml", (Path("/data"),))
    for seed in (1, 2):
        alone, taught = (
            queue.config(queue.find(f"trial: {kind}, seed {seed}")) for kind in ("squared error", "teacher")
        )
        mine, theirs = (config.model_dump(exclude={"recipe", "teacher", "output"}) for config in (alone, taught))
        assert (alone.recipe, taught.recipe, alone.seed) == ("pretrain", "distil", seed)
        assert mine == theirs


def test_balanced_on_a_cpu_is_the_same_model_as_on_a_gpu() -> None:
    here, gpu = (
        load_config(TrainConfig, ROOT / "configs" / f"{name}.toml") for name in ("balanced-cpu-x4", "balanced-x4")
    )

    assert here.network == gpu.network
    assert (here.output.name, here.output.family, here.output.corpus) == (
        gpu.output.name, gpu.output.family, gpu.output.corpus,
    )  # fmt: skip
