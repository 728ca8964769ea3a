"""What is shipped, and what is not: with figures that nobody measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripts.trainings import harvest as module
from scripts.trainings.diary import Diary
from scripts.trainings.entries import QueueFile
from scripts.trainings.harvest import Harvest, Rival, judge
from scripts.trainings.place import Place

from srgan.errors import InvalidConfig
from srgan.evaluation.job import EvaluateJob
from srgan.models import Bundle, Quality, write_bundle

Make = Callable[..., Bundle]
BICUBIC = {"Set5": 28.0, "Set14": 26.0, "BSD100": 25.0}


def test_a_better_one_takes_the_place_of_its_predecessor() -> None:
    before = Rival("old", {"Set5": 30.0, "Set14": 28.0})

    assert judge("psnr", {"Set5": 30.2, "Set14": 27.9}, before, []).ship
    verdict = judge("psnr", {"Set5": 30.2, "Set14": 27.8}, before, [])
    assert not verdict.ship
    assert verdict.why == "not better: psnr 29.000 against 29.000 of old on Set5, Set14"


def test_of_some_figures_less_is_better() -> None:
    assert judge("stlpips-alex", {"Set14": 0.1}, Rival("old", {"Set14": 0.2}), []).ship
    assert not judge("stlpips-alex", {"Set14": 0.3}, Rival("old", {"Set14": 0.2}), []).ship


def test_what_cannot_be_compared_is_not_shipped() -> None:
    verdict = judge("psnr", {"Set5": 35.0}, Rival("old", {"Set5": 30.0, "art-val": 28.0}), [])
    assert (verdict.ship, verdict.why) == (False, "cannot be held against old: no art-val here")
    assert not judge("psnr", {"Set5": 35.0}, Rival("old", {}), []).ship
    assert not judge("psnr", {"Set5": 35.0}, None, []).ship


def test_a_new_one_has_to_beat_all() -> None:
    others = [Rival("bicubic", {"Set5": 28.0}), Rival("fast", {"Set5": 31.0})]

    verdict = judge("psnr", {"Set5": 31.5}, None, others)
    assert verdict.ship
    assert "28.000 of bicubic" in verdict.why
    assert "31.000 of fast" in verdict.why
    assert not judge("psnr", {"Set5": 30.0}, None, others).ship


# ------------------------------------------------------------------------------------------- with bundles on a disk


class World:
    """A run of the entry first, whose bundle scores what is said here, and a folder of shipped models."""

    def __init__(self, queue: QueueFile, place: Place, tmp_path: Path, make_bundle: Make) -> None:
        self.make, self.place, self.shipped = make_bundle, place, tmp_path / "shipped"
        self.shipped.mkdir()
        self.queue = QueueFile(queue.path, (tmp_path / "data",))
        self.queue.path.write_text(
            self.queue.path.read_text().replace(
                "[folders]", '[folders]\n"datasets/Set14" = "eval/Set14"\n"datasets/BSD100" = "eval/BSD100"'
            )
        )
        for name in BICUBIC:
            (tmp_path / "data" / "eval" / name).mkdir(parents=True)
        self.run = place.runs / "first-x4" / "001"
        self.run.mkdir(parents=True)
        self.run.joinpath("config.json").write_text(json.dumps({"data": {"folders": ["x"]}}))
        self.scores = {"Set5": 31.0, "Set14": 28.0, "BSD100": 27.0}
        self.step = 40
        self.size = 8
        self.said: list[str] = []
        self.evaluated: list[str] = []
        self.diary = Diary(tmp_path / "log.md")
        self.harvest = Harvest(
            queue=self.queue,
            place=place,
            shipped=self.shipped,
            diary=self.diary,
            today=lambda: date(2026, 11, 30),
            say=self.said.append,
        )

    def export(self, run: Path, target: Path, *, best: bool) -> Bundle:
        assert (run, best) == (self.run, True)
        return self.make(target, "from-the-run", steps=self.step, macs=2000, size=self.size)

    def evaluate(self, job: EvaluateJob) -> Any:
        (model,), name = job.models, job.folder.name
        self.evaluated.append(f"{Path(model).name} {name}")
        bundle = Bundle.open(model)
        quality = Quality(dataset=name, pictures=1, psnr=self.scores[name], ssim=0.8)
        info = bundle.info.model_copy(update={"quality": (*bundle.info.quality, quality)})
        if job.record:
            write_bundle(bundle.path, info, {file: bundle.read(file) for file in info.files})
        lines = [
            SimpleNamespace(label=bundle.info.name, means={"psnr": self.scores[name]}),
            SimpleNamespace(label="bicubic", means={"psnr": BICUBIC[name]}),
        ]
        return SimpleNamespace(fault=None, result=SimpleNamespace(lines=lines, reports={bundle.info.name: None}))


@pytest.fixture
def world(queue: QueueFile, place: Place, tmp_path: Path, make_bundle: Make, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(queue, place, tmp_path, make_bundle)
    monkeypatch.setattr(module, "export_checkpoint", made.export)
    monkeypatch.setattr(module, "run_evaluate", made.evaluate)
    return made


def test_the_first_of_its_name_is_shipped_when_it_beats_bicubic_and_the_smaller(world: World) -> None:
    world.make(world.shipped / "small-x4", "small-x4", macs=1000, Set5=30.0, Set14=27.0, BSD100=26.0)
    world.make(world.shipped / "large-x4", "large-x4", macs=3000, Set5=35.0)  # costs more
    world.make(world.shipped / "gan-x4", "gan-x4", macs=1000, kind="adversarial", Set5=35.0)  # is for other things
    world.make(world.shipped / "art-x4", "art-x4", macs=1000, drawings=35.0)  # and so is this
    verdict = world.harvest.entry("first")

    assert verdict.ship, verdict.why
    shipped = Bundle.open(world.shipped / "first-x4")
    shipped.verify()
    assert shipped.info.name == "first-x4"
    assert shipped.info.version == "1.0.0"
    assert {q.dataset: q.psnr for q in shipped.info.quality} == world.scores
    assert shipped.info.provenance.config == "configs/small.toml"
    assert world.queue.find("first").shipped == 40
    assert "of bicubic" in verdict.why
    assert "of small-x4" in verdict.why
    assert not any(name in verdict.why for name in ("large", "gan", "art"))
    assert "- Harvested: step 40 is shipped, better: psnr 28.667" in world.diary.path.read_text()
    assert world.said[-1].startswith("first: step 40 is shipped, better:")


def test_one_that_a_smaller_one_beats_is_kept_but_not_shipped(world: World) -> None:
    world.make(world.shipped / "small-x4", "small-x4", macs=1000, Set5=33.0, Set14=30.0, BSD100=29.0)
    verdict = world.harvest.entry("first")

    assert not verdict.ship
    assert not (world.shipped / "first-x4").exists()
    assert Bundle.open(world.place.folder / "models" / "first-x4").info.provenance.steps == 40
    assert world.queue.find("first").shipped == 0
    assert "step 40 is not shipped, not better: " in world.diary.path.read_text()


def test_a_better_one_replaces_its_predecessor_with_a_new_version(world: World) -> None:
    world.make(world.shipped / "first-x4", "first-x4", steps=7, Set5=30.9)
    verdict = world.harvest.entry("first")

    assert verdict.ship
    assert verdict.why == "better: psnr 31.000 against 30.900 of the shipped first-x4 on Set5"
    shipped = Bundle.open(world.shipped / "first-x4").info
    assert (shipped.version, shipped.provenance.steps) == ("1.1.0", 40)
    assert world.evaluated == ["first-x4 Set5"]  # the predecessor is taken at its word


def test_a_worse_one_leaves_its_predecessor_as_it_is(world: World) -> None:
    world.make(world.shipped / "first-x4", "first-x4", steps=7, Set5=31.1)
    before = {path.name: path.read_bytes() for path in (world.shipped / "first-x4").iterdir()}

    assert not world.harvest.entry("first").ship
    assert {path.name: path.read_bytes() for path in (world.shipped / "first-x4").iterdir()} == before


def test_a_folder_of_pictures_that_is_not_here_forbids_the_comparison(world: World) -> None:
    world.make(world.shipped / "first-x4", "first-x4", drawings=20.0)
    verdict = world.harvest.entry("first")

    assert (verdict.ship, verdict.why) == (False, "cannot be held against the shipped first-x4: no drawings here")
    assert any("not judged by drawings" in line for line in world.said)


def test_all_shipped_models_stay_within_their_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 20_000)
    world.make(world.shipped / "other-x4", "other-x4", macs=3000, size=12_000)
    world.size = 9_000
    verdict = world.harvest.entry("first")

    assert not verdict.ship
    assert "bytes of 20,000" in verdict.why
    assert not (world.shipped / "first-x4").exists()
    world.size = 5_000
    assert world.harvest.entry("first").ship


def test_a_finished_run_gives_its_own_bundle(world: World) -> None:
    world.make(world.run / "bundle", "first-x4", steps=1000, macs=2000)
    world.harvest.entry("first")

    assert Bundle.open(world.place.folder / "models" / "first-x4").info.provenance.steps == 1000


def test_a_trial_is_judged_but_never_shipped(world: World) -> None:
    text = world.queue.path.read_text().replace('becomes = "first-x4"', 'becomes = "first-x4"\ntrial = true')
    world.queue.path.write_text(text)
    verdict = world.harvest.entry("first")

    said = "a trial: psnr 31.000 on Set5, 28.000 on Set14, 27.000 on BSD100"
    assert (verdict.ship, verdict.why) == (False, said)
    assert not (world.shipped / "first-x4").exists()
    assert f"- Harvested: step 40 is not shipped, {said}." in world.diary.path.read_text()
    assert world.queue.find("first").shipped == 0


def test_an_entry_without_a_run_says_so(world: World) -> None:
    with pytest.raises(InvalidConfig, match=r"second-x4: is no run of a training"):
        world.harvest.entry("second")
