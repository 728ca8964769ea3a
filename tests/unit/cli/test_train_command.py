"""`srgan train`: what reaches the library, and what is shown of it. Training itself is tested elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.cli.output import Progress
from srgan.errors import Cancelled, MissingDependency, TrainingFailed
from srgan.models import Bundle
from srgan.progress import Report, Step, Stop
from srgan.training.config import TrainConfig
from srgan.training.job import TrainJob


class Trainer:
    """Stands for `srgan.training.train`: remembers how it was called, and returns a bundle or raises."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.error: Exception | None = None
        self.job: TrainJob | None = None

    @property
    def config(self) -> TrainConfig | None:
        return self.job.config if self.job else None

    def __call__(self, job: TrainJob, *, report: Report, stop: Stop) -> Bundle:
        self.job = job
        report(Step(0, 10, "steps", "1.0 steps/s"))
        report(Step(5, 10, "steps", "loss 0.125, PSNR 30.50 dB, 2.0 steps/s"))
        if self.error is not None:
            raise self.error
        return self.bundle


@pytest.fixture
def trainer(bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch) -> Trainer:
    trainer = Trainer(bundles["mine-x4"])
    monkeypatch.setattr("srgan.training.train", trainer)
    return trainer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.toml"
    path.write_text('steps = 10\n[data]\nfolders = ["photos"]\nbatch = 4\n')
    return path


def test_the_file_is_trained_as_it_says_and_the_bundle_is_the_result(
    srgan: Callable[..., Any], trainer: Trainer, file: Path
) -> None:
    done = srgan("train", "--config", file)
    assert done.code == 0, done.err
    assert done.out == f"{trainer.bundle.path}\n"
    assert trainer.config == TrainConfig.model_validate({"steps": 10, "data": {"folders": ["photos"], "batch": 4}})
    assert trainer.job == TrainJob(config=trainer.config)
    assert done.err.startswith("training: 0 of 10 steps, 1.0 steps/s\n"), "no figure before there is one"


def test_progress_shows_loss_quality_and_speed(
    srgan: Callable[..., Any], trainer: Trainer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.cli.train.Progress", lambda label, delay: Progress(label, delay=delay, every=0))
    err = srgan("train", "-c", file).err
    assert "training: 5 of 10 steps, loss 0.125, PSNR 30.50 dB, 2.0 steps/s, about " in err


def test_variables_and_sets_win_over_the_file_and_fresh_begins_anew(
    srgan: Callable[..., Any], trainer: Trainer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRGAN_TRAIN__DATA__BATCH", "8")
    monkeypatch.setenv("SRGAN_TRAIN__SEED", "3")
    monkeypatch.setenv("SRGAN_UPSCALE__MODEL", "other")
    assert srgan("train", "-c", file, "--set", "seed=4", "--fresh").code == 0
    assert trainer.config is not None
    assert (trainer.config.data.batch, trainer.config.seed) == (8, 4)
    assert trainer.job is not None
    assert not trainer.job.resume


def test_where_a_copy_goes_is_part_of_the_job(
    srgan: Callable[..., Any], trainer: Trainer, file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "model.zip"
    assert srgan("train", "-c", file, "--output", target).code == 0
    assert trainer.job is not None
    assert trainer.job.output == target


def test_of_several_processes_one_alone_tells(
    srgan: Callable[..., Any], trainer: Trainer, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert srgan("train", "-c", file).out == ""
    monkeypatch.setenv("RANK", "0")
    assert srgan("train", "-c", file).out == f"{trainer.bundle.path}\n"


def test_the_result_as_json_is_the_model_and_its_place(srgan: Callable[..., Any], trainer: Trainer, file: Path) -> None:
    document = json.loads(srgan("train", "-c", file, "--json").out)
    assert (document["name"], document["path"]) == ("mine-x4", str(trainer.bundle.path))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_preview_of_the_degradation_trains_nothing(
    as_json: bool,
    srgan: Callable[..., Any],
    trainer: Trainer,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[TrainConfig, Path]] = []
    monkeypatch.setattr("srgan.training.preview_degradation", lambda *given: drawn.append(given))
    target = tmp_path / "samples.png"

    done = srgan(
        "train", "-c", file, "--set", "seed=4", "--preview-degradation", target, *(["--json"] if as_json else [])
    )

    assert (done.code, done.err) == (0, "")
    assert (json.loads(done.out) == {"path": str(target)}) if as_json else (done.out == f"{target}\n")
    ((config, path),) = drawn
    assert (config.seed, path) == (4, target)
    assert trainer.config is None


def test_a_preview_that_cannot_be_drawn_is_an_error(
    srgan: Callable[..., Any], trainer: Trainer, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.training.find_spec", lambda name: None)

    done = srgan("train", "-c", file, "--preview-degradation", tmp_path / "samples.png")

    assert (done.code, done.out) == (5, "")
    assert done.err.endswith("torch is not installed. Install it with: pip install 'srgan[train]'\n")
    assert trainer.config is None


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Cancelled("runs/x/001: stopped at step 5"), 130, "srgan: runs/x/001: stopped at step 5\n"),
        (TrainingFailed("the loss is not finite"), 6, "srgan: error: the loss is not finite\n"),
        (MissingDependency("torch", "train"), 5, "pip install 'srgan[train]'\n"),
    ],
)
def test_what_ends_training_is_said_with_its_code(
    error: Exception, code: int, said: str, srgan: Callable[..., Any], trainer: Trainer, file: Path
) -> None:
    trainer.error = error
    done = srgan("train", "-c", file)
    assert (done.code, done.out) == (code, "")
    assert done.err.endswith(said)


def test_mistakes_in_the_training_file_come_all_at_once(
    srgan: Callable[..., Any], trainer: Trainer, file: Path
) -> None:
    file.write_text("stepps = 3\n[data]\nbatch = 0\n")
    done = srgan("train", "-c", file)
    assert (done.code, done.out) == (2, "")
    assert sorted(line.split(": ")[2] for line in done.err.splitlines()) == ["data.batch", "data.folders", "stepps"]
    assert "did you mean 'steps'?" in done.err
    assert trainer.config is None


# --------------------------------------------------------------------------------------- files of other programs

RUST = """
[network]
factor = 2
[training]
learning_rate = 0.001
max_steps = 300
quantise = true
[data]
training_folder = "photos"
"""


def test_a_file_of_srgan_rust_is_trained_as_it_stands(
    srgan: Callable[..., Any], trainer: Trainer, tmp_path: Path
) -> None:
    (tmp_path / "training.toml").write_text(RUST)
    done = srgan("train", "--config", tmp_path / "training.toml", "--set", "optimiser.learning_rate=5e-4")

    assert done.code == 0, done.err
    assert trainer.config is not None
    assert (trainer.config.network.scale, trainer.config.steps) == (2, 300)
    assert trainer.config.optimiser.learning_rate == 5e-4, "what is set for this run is stronger"
    assert "training.toml: a training file of srgan-rust, read as:" in done.err
    lines = [line.split() for line in done.err.splitlines()]
    assert ["training.max_steps", "300", "steps", "300"] in lines
    assert any(line[:3] == ["training.quantise", "true", "-"] and "because" in line for line in lines)


def test_an_unknown_key_of_it_is_named(srgan: Callable[..., Any], trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "training.toml").write_text(RUST.replace("quantise", "quantize"))
    done = srgan("train", "--config", tmp_path / "training.toml")

    assert (done.code, done.out, trainer.job) == (2, "", None)
    assert "training.quantize: unknown key; did you mean 'training.quantise'?" in done.err


def test_what_is_out_of_range_there_is_told_by_our_key(
    srgan: Callable[..., Any], trainer: Trainer, tmp_path: Path
) -> None:
    (tmp_path / "training.toml").write_text(RUST.replace("0.001", "7"))
    done = srgan("train", "--config", tmp_path / "training.toml")

    assert (done.code, trainer.job) == (2, None)
    assert "optimiser.learning_rate: must be less than or equal to 1, not 7.0 (training.toml)" in done.err


def test_quiet_trains_without_the_table(srgan: Callable[..., Any], trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "training.toml").write_text(RUST)
    done = srgan("train", "--config", tmp_path / "training.toml", "-q")
    assert (done.code, done.err) == (0, "")


# ------------------------------------------------------------------------------------------- options of GAN programs


def test_options_that_gan_programs_have_set_keys_of_the_file(
    srgan: Callable[..., Any], trainer: Trainer, tmp_path: Path
) -> None:
    done = srgan(
        "train", "--recipe", "latent", "--dataset-path", tmp_path, "--batch-size", 64, "--lr", "2e-4",
        "--lambda-adv", 0.2, "--lambda-l1", 50,
    )  # fmt: skip
    assert done.code == 0, done.err
    config: Any = trainer.config
    assert (config.recipe, config.data.folders, config.data.batch) == ("latent", (tmp_path,), 64)
    assert (config.optimiser.learning_rate, config.loss.adversarial, config.loss.pixel_weight) == (2e-4, 0.2, 50.0)


def test_they_are_stronger_than_the_file(srgan: Callable[..., Any], trainer: Trainer, file: Path) -> None:
    assert srgan("train", "--config", file, "--batch-size", 7, "--set", "data.batch=3").code == 0
    assert trainer.config is not None
    assert (trainer.config.data.batch, trainer.config.recipe) == (7, "pretrain")


def test_a_mistake_in_one_is_told_by_its_name(srgan: Callable[..., Any], trainer: Trainer, file: Path) -> None:
    done = srgan("train", "--config", file, "--lr", 5, "--batch-size", 0)
    assert done.code == 2
    assert "optimiser.learning_rate: must be less than or equal to 1, not 5.0 (--lr)" in done.err
    assert "data.batch: must be greater than or equal to 1, not 0 (--batch-size)" in done.err


def test_epochs_count_the_pictures_of_all_sub_folders(
    srgan: Callable[..., Any], trainer: Trainer, tmp_path: Path, picture: Path
) -> None:
    pytest.importorskip("torch", reason="pictures are found where they are read")
    for number in range(12):
        (tmp_path / "data" / f"class{number % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / f"class{number % 3}" / f"{number}.png").write_bytes(picture.read_bytes())
    words = ("--recipe", "latent", "--dataset-path", tmp_path / "data", "--batch-size", 4)
    assert srgan("train", *words, "--epochs", 200).code == 0
    config: Any = trainer.config
    assert config.phases.steps(config.steps)["autoencoder"] == 600
    done = srgan("train", *words, "--epochs", 1, "--set", "phases.autoencoder=100", "--set", "phases.decoder=1",
                 "--set", "phases.refiner=0")  # fmt: skip
    assert done.code == 2
    assert "leave none for the phase decoder" in done.err
