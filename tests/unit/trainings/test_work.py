"""Working through the queue, with a training that takes no time."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from scripts.trainings.diary import Diary
from scripts.trainings.entries import QueueFile
from scripts.trainings.place import Place
from scripts.trainings.work import Work

from srgan.errors import Cancelled, CannotWrite, InvalidConfig, InvalidDataset, TrainingFailed
from srgan.models import Bundle
from srgan.progress import Report, Stop
from srgan.training.config import TrainConfig
from srgan.training.job import TrainJob, TrainStep

Make = Callable[..., Bundle]


class Trainer:
    """Stands for `srgan.training.train`: validates as it is told to, keeps what a run keeps, and ends as asked."""

    def __init__(self, make_bundle: Make) -> None:
        self.make_bundle = make_bundle
        self.configs: list[TrainConfig] = []
        self.psnr: Callable[[int], float] = lambda step: 30 + step / 1000
        self.seconds = 60.0
        self.at: dict[int, Callable[[], object]] = {}
        """What happens at a step, before its validation is reported."""

    @property
    def names(self) -> list[str]:
        return [config.output.name for config in self.configs]

    def __call__(self, job: TrainJob, *, report: Report, stop: Stop) -> Bundle:
        config = job.config
        self.configs.append(config)
        run = config.output.runs / config.output.name / "001"
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text(config.model_dump_json())
        curve = run / "curve.csv"
        first = config.steps_before
        for kept in (run / "checkpoints").iterdir():
            first = max(first, int(kept.stem.removeprefix("step-")))
        if not curve.exists():
            curve.write_text("step,seconds,loss,psnr,ssim\n")
        for step in range(first + 100, config.steps + 1, 100):
            self.at.get(step, lambda: None)()
            with curve.open("a") as file:
                file.write(f"{step},{step * self.seconds},0.1,{self.psnr(step)},0.8\n")
            for kept in (run / "checkpoints").iterdir():
                kept.unlink()
            (run / "checkpoints" / f"step-{step:08d}.safetensors").touch()
            report(TrainStep(step, config.steps, "steps", psnr=self.psnr(step)))
            if stop.is_set():
                raise Cancelled(f"stopped at step {step}")
        return self.make_bundle(run / "bundle", config.output.name, steps=config.steps)


@pytest.fixture
def trainer(make_bundle: Make) -> Trainer:
    return Trainer(make_bundle)


@pytest.fixture
def work(queue: QueueFile, place: Place, tmp_path: Path, trainer: Trainer) -> Work:
    return Work(
        queue=queue,
        place=place,
        shipped=tmp_path / "shipped",
        diary=Diary(tmp_path / "log.md"),
        train=trainer,
        threads=2,
        today=lambda: date(2026, 11, 30),
    )


def states(work: Work) -> list[tuple[str, int]]:
    return [(entry.state, entry.step) for entry in work.queue.read().entry]


def test_entry_after_entry_is_trained_and_written_down(work: Work, trainer: Trainer) -> None:
    assert work.through(Stop()) == []

    assert trainer.names == ["first-x4", "second-x4"]
    assert {config.hardware.threads for config in trainer.configs} == {2}
    assert {config.output.runs for config in trainer.configs} == {work.place.runs}
    assert states(work) == [("done", 1000), ("done", 500)]
    assert work.queue.find("first").result == "psnr 31.000 at step 1000"
    log = work.diary.path.read_text()
    assert "## first-x4, 2026-11-30\n\nSteps 0 to 1,000 of 1,000" in log
    assert "## second-x4, 2026-11-30\n\nSteps 0 to 500 of 500" in log
    assert work.place.worker() is None
    assert work.through(Stop()) == []
    assert len(trainer.configs) == 2  # nothing is left


def test_while_it_works_the_lock_says_at_what_and_keeps_others_out(work: Work, trainer: Trainer) -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append(work.place.worker())
        with pytest.raises(CannotWrite):
            work.through(Stop())

    trainer.at[200] = look
    work.through(Stop())
    assert [worker.entry for worker in seen] == ["first", "second"]


def test_a_stop_keeps_the_place_and_the_next_run_goes_on_there(work: Work, trainer: Trainer) -> None:
    stop = Stop()
    trainer.at[300] = stop.set
    with pytest.raises(Cancelled):
        work.through(stop)
    assert states(work) == [("waiting", 300), ("waiting", 0)]
    assert "Steps 0 to 300 of 1,000" in work.diary.path.read_text()
    with pytest.raises(Cancelled):
        work.through(stop)  # already wished: nothing is begun

    work.through(Stop())
    assert trainer.names == ["first-x4", "first-x4", "second-x4"]
    assert trainer.configs[0] == trainer.configs[1]
    assert states(work)[0] == ("done", 1000)


def test_one_that_is_flat_for_an_hour_gives_its_place_to_the_next(work: Work, trainer: Trainer, caplog: Any) -> None:
    trainer.seconds = 18.0  # half an hour from one validation to the next
    trainer.psnr = lambda step: 30.0 if step >= 200 else 29.0
    work.through(Stop())

    assert states(work) == [("flat", 400), ("flat", 400)]
    assert "first: no better psnr in 1.0 hours; psnr 30.000 at step 200" in caplog.text


def test_a_trial_is_never_flat(work: Work, trainer: Trainer) -> None:
    """It is compared with others that do all their steps."""
    text = work.queue.path.read_text().replace('becomes = "first-x4"', 'becomes = "first-x4"\ntrial = true')
    work.queue.path.write_text(text)
    trainer.seconds = 18.0
    trainer.psnr = lambda step: 30.0
    work.through(Stop())

    assert states(work) == [("done", 1000), ("flat", 300)]


def test_an_entry_may_be_flat_for_longer(work: Work, trainer: Trainer) -> None:
    trainer.seconds = 18.0
    trainer.psnr = lambda step: 30.0 if step >= 200 else 29.0
    text = work.queue.path.read_text().replace('becomes = "first-x4"', 'becomes = "first-x4"\nflat_after = 2.5')
    work.queue.path.write_text(text)
    work.through(Stop())

    assert states(work) == [("flat", 700), ("flat", 400)]


def test_an_entry_with_hours_ends_when_they_are_over(work: Work, trainer: Trainer) -> None:
    text = work.queue.path.read_text().replace('becomes = "first-x4"', 'becomes = "first-x4"\nhours = 2.0')
    work.queue.path.write_text(text)
    trainer.seconds = 18.0
    work.through(Stop())

    assert states(work) == [("done", 400), ("done", 500)]


def test_a_killed_one_is_gone_on_with(work: Work, trainer: Trainer) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    trainer.at[300] = die
    with pytest.raises(KeyboardInterrupt):
        work.through(Stop())
    trainer.at = {}
    work.through(Stop())
    assert trainer.configs[0] == trainer.configs[1]


def test_one_that_finished_unheard_is_not_trained_again(work: Work, trainer: Trainer) -> None:
    work.through(Stop())
    work.queue.note("first", state="waiting", step=0)  # as if it had been killed before it could say so
    work.through(Stop())

    assert trainer.names == ["first-x4", "second-x4"]
    assert states(work)[0] == ("done", 1000)


def test_what_cannot_be_trained_here_is_passed_over_and_still_waits(work: Work, trainer: Trainer) -> None:
    def missing() -> None:
        if trainer.names[-1] == "first-x4":
            raise InvalidDataset("datasets/photos: there is no such folder")

    trainer.at[100] = missing
    assert work.through(Stop()) == ["first: datasets/photos: there is no such folder"]
    assert states(work) == [("waiting", 0), ("done", 500)]


def test_one_whose_numbers_are_no_good_has_failed(work: Work, trainer: Trainer) -> None:
    def fail() -> None:
        if trainer.names[-1] == "first-x4":
            raise TrainingFailed("weights are not finite")

    trainer.at[300] = fail
    assert len(work.through(Stop())) == 1
    assert states(work) == [("failed", 200), ("done", 500)]
    assert work.queue.find("first").result == "weights are not finite"
    assert work.through(Stop()) == []


def test_a_run_with_other_settings_is_not_forgotten_in_silence(work: Work, trainer: Trainer) -> None:
    stop = Stop()
    trainer.at[300] = stop.set
    with pytest.raises(Cancelled):
        work.through(stop)
    file = work.queue.path.parent / "small.toml"
    file.write_text(file.read_text().replace("steps = 1000", "steps = 1000\nseed = 9"))

    (said,) = work.through(Stop())
    assert "is unfinished and has different settings (seed)" in said
    assert trainer.names == ["first-x4", "second-x4"]


# ------------------------------------------------------------------------------------------ without its checkpoints


def test_without_checkpoints_it_goes_on_from_the_committed_weights(
    work: Work, trainer: Trainer, make_bundle: Make, caplog: Any
) -> None:
    shipped = make_bundle(work.shipped / "first-x4", "first-x4", steps=400)
    work.queue.note("first", step=600, shipped=400)
    stop = Stop()
    trainer.at[700] = stop.set
    with pytest.raises(Cancelled):
        work.through(stop)

    (begun,) = trainer.configs
    assert (begun.steps_before, begun.network.init_from, begun.steps) == (400, str(shipped.path), 1000)
    assert "goes on from the committed weights, those of step 400 of 1000" in caplog.text
    assert "the optimisers begin anew" in caplog.text
    assert "Steps 400 to 700 of 1,000" in work.diary.path.read_text()

    # From then on it is a run like others, whatever is harvested meanwhile.
    work.queue.note("first", shipped=700)
    make_bundle(work.shipped / "first-x4", "first-x4", steps=700)
    work.through(Stop())
    assert trainer.configs[1] == begun
    assert states(work)[0] == ("done", 1000)


@pytest.mark.parametrize("steps", [None, 30_000])
def test_weights_of_another_training_are_no_start(
    steps: int | None, work: Work, trainer: Trainer, make_bundle: Make, caplog: Any
) -> None:
    if steps:
        make_bundle(work.shipped / "first-x4", "first-x4", steps=steps)
    work.queue.note("first", step=600, shipped=400)
    with caplog.at_level(logging.WARNING, "srgan"):
        work.through(Stop())

    assert trainer.configs[0].steps_before == 0
    assert "first: was at step 600, but its checkpoints are not here" in caplog.text


def test_a_run_that_this_srgan_cannot_read_is_left_alone(work: Work, trainer: Trainer) -> None:
    run = work.place.runs / "first-x4" / "001"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "step-00000300.safetensors").touch()
    (run / "config.json").write_text(json.dumps({"steps": "many"}))

    (said,) = work.through(Stop())
    assert "move the folder away" in said


def test_a_queue_that_cannot_be_read_is_told_of(work: Work) -> None:
    work.queue.path.write_text("entry = 3")
    with pytest.raises(InvalidConfig):
        work.through(Stop())
