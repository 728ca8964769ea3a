"""A training as a value: what it is the same as."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from srgan.config import checked
from srgan.errors import InvalidConfig
from srgan.models import ModelInfo, write_bundle
from srgan.training import TrainConfig, TrainJob, TrainStep
from srgan.training.job import differences, run_train


def job(changes: dict[str, Any] | None = None, **own: Any) -> TrainJob:
    values: dict[str, Any] = {"recipe": "adversarial", "data": {"folders": ["photos"]}, "validation": {"folder": "v"}}
    for key, value in (changes or {}).items():
        section, _, name = key.rpartition(".")
        (values.setdefault(section, {}) if section else values)[name] = value
    return TrainJob(config=TrainConfig.model_validate(values), **own)


APART: list[tuple[str, Any]] = [
    ("hardware.device", "cuda"),
    ("hardware.threads", 3),
    ("hardware.loaders", 3),
    ("hardware.compile", True),
    ("hardware.checkpoint_activations", True),
    ("output.runs", "elsewhere"),
    ("output.name", "other"),
    ("output.family", "family"),
    ("output.description", "Put right."),
    ("output.corpus", "photographs"),
    ("output.licence", "MIT"),
    ("output.checkpoint_every", 7),
    ("output.keep", 1),
    ("output.samples", 0),
    ("output.tensorboard", False),
    ("output.wandb", "mine"),
    ("output.unfit", "keep"),
]
PART: list[tuple[str, Any]] = [
    ("steps", 7),
    ("seed", 1),
    ("hardware.devices", 2),
    ("hardware.precision", "bf16"),
    ("network.init_from", "fast"),
    ("data.batch", 3),
    ("data.schedule", [{"until": 0.5, "batch": 2}]),
    ("data.memory_gib", 1.0),
    ("data.degradation", {"clean": 0.5}),
    ("loss.pixel", "mse"),
    ("optimiser.recoveries", 0),
    ("discriminator.r1", 1.0),
    ("updates.generator", 2),
    ("validation.patience", 3),
    ("output.take", "best"),
]


JUDGING: list[tuple[str, Any]] = [
    ("validation.every", 5),
    ("validation.folder", "other"),
    ("validation.max_pictures", 3),
    ("validation.figures", ["grid"]),
    ("validation.best", "ssim"),
    ("validation.low_folder", "small"),
    ("validation.inputs", "mixed"),
]


@pytest.mark.parametrize(("key", "value"), JUDGING, ids=lambda value: str(value))
def test_validation_makes_another_job_only_where_it_decides(key: str, value: Any) -> None:
    assert job({key: value}).digest() == job().digest()
    for deciding in ({"validation.patience": 3}, {"output.take": "best"}):
        assert job({**deciding, key: value}).digest() != job(deciding).digest()
    fitted = {"recipe": "ensemble", "network.name": "fast"}
    assert job({**fitted, key: value}).digest() != job(fitted).digest(), "an ensemble is fitted on these pictures"


def test_one_place_may_be_written_in_two_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    one = job().config
    for other in ("./photos", str(tmp_path / "photos"), "link", "photos/../photos"):
        assert differences(one, job({"data.folders": [other]}).config) == []
    assert differences(one, job({"data.folders": ["other"]}).config) == ["data.folders"]
    assert differences(one, job({"data.folders": ["photos", "photos"]}).config) == ["data.folders"]


def test_to_begin_anew_and_from_somewhere_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="contradict"):
        job(start=Path("runs/a/001"), resume=False)
    assert job(start=Path("runs/a/001")).digest() != job().digest()


@pytest.mark.parametrize(("key", "value"), APART, ids=lambda value: str(value))
def test_where_it_runs_and_what_it_is_called_makes_no_other_job(key: str, value: Any) -> None:
    other = job({key: value})
    assert other != job()
    assert other.digest() == job().digest()
    assert differences(other.config, job().config) == []


@pytest.mark.parametrize(("key", "value"), PART, ids=lambda value: str(value))
def test_what_decides_the_weights_makes_another(key: str, value: Any) -> None:
    other = job({key: value})
    assert other.digest() != job().digest()
    assert [name for name in differences(other.config, job().config) if not name.startswith(key)] == []
    assert differences(other.config, job().config)


def test_every_key_of_output_and_hardware_was_thought_of() -> None:
    thought_of = {key for key, _ in (*APART, *PART)}
    for section in ("output", "hardware"):
        fields = getattr(job().config, section).__class__.model_fields
        assert {f"{section}.{name}" for name in fields} <= thought_of
    of_a_recipe = {"output.publish", "validation.fid_threshold"}  # test_latent_settings.py
    apart = {key for key, _ in APART} | {"resume", "output"} | of_a_recipe
    assert {key.removeprefix("config.") for key in TrainJob.APART} == apart


def test_whether_it_begins_anew_and_where_a_copy_goes_makes_no_other() -> None:
    assert job(resume=False, output=Path("copy")).digest() == job().digest()


def test_differences_are_named() -> None:
    one, other = job({"seed": 3, "data.batch": 2}).config, TrainConfig.model_validate({"data": {"folders": ["photos"]}})
    assert set(differences(one, other)) == {
        "recipe", "seed", "data.batch", "discriminator", "updates"
    }  # fmt: skip


def test_it_comes_back_from_json_and_from_another_process() -> None:
    made = job({"discriminator.options": {"width": 16}}, resume=False, output="out.zip")
    assert TrainJob.model_validate_json(made.to_json()) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert '"width": 16' in made.to_json(), "the recipe's own sections are written"
    assert made.kind == "train"


@pytest.mark.parametrize("change", [{"kind": "upscale"}, {"version": 2}, {"typo": 1}, {"config": {"typo": 1}}])
def test_what_it_does_not_know_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainJob.model_validate({**job().model_dump(), **change})


def test_its_schema_knows_the_files_of_all_recipes() -> None:
    schema = TrainJob.model_json_schema()
    choices = {
        name: schema["$defs"][choice["$ref"].rpartition("/")[2]]["properties"]
        for choice in schema["properties"]["config"]["oneOf"]
        for name in choice["properties"]["recipe"]["enum"]
    }
    assert {"pretrain", "adversarial", "ensemble", "take"} <= set(choices)
    assert "discriminator" in choices["adversarial"]
    assert "discriminator" not in choices["pretrain"]
    assert set(schema["properties"]) == {"kind", "version", "config", "resume", "start", "output"}


def test_mistakes_in_its_file_are_told_in_the_words_of_the_recipe() -> None:
    values = {**job().model_dump(), "config": {**job().config.model_dump(), "updatse": {}, "ensemble": {}}}
    with pytest.raises(InvalidConfig) as caught:
        checked(TrainJob, values)
    assert sorted(str(caught.value).splitlines()) == [
        "config.ensemble: unknown key; it belongs to the recipe ensemble",
        "config.updatse: unknown key; did you mean 'updates'?",
    ]


def test_carrying_it_out_tells_of_the_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = write_bundle(
        tmp_path / "made", ModelInfo(name="made", network="fast", scale=4, radius=1), {"model.onnx": b""}
    )
    asked: list[Any] = []
    monkeypatch.setattr("srgan.training.train", lambda job, **how: asked.append((job, how)) or made)
    outcome = run_train(job(), report=None, stop=None)

    assert asked == [(job(), {"report": None, "stop": None})]
    assert (outcome.state, outcome.result) == ("done", made)
    assert (outcome.report["name"], outcome.report["path"]) == ("made", str(made.path))


def test_a_step_has_its_figures_as_numbers_too() -> None:
    step = TrainStep(3, 10, "steps", "loss 0.1", loss=0.1)
    assert (step.done, step.total, step.psnr) == (3, 10, None)
    assert pickle.loads(pickle.dumps(step)) == step
