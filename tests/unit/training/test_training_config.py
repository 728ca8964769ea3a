"""The training file: its checks, its defaults, and the files in `configs/`. Nothing here may load torch."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from srgan.config import TRAINING_ENVIRONMENT_PREFIX, find_key, list_keys, load_config, to_toml
from srgan.errors import InvalidConfig, MissingDependency
from srgan.models.info import NAME_PATTERN
from srgan.training import LIBRARIES, train
from srgan.training.config import TrainConfig
from srgan.training.latent.settings import PHASES, LatentConfig

ROOT = Path(__file__).resolve().parents[3]
LISTS = {"queue.toml", "corpus.toml"}
"""No training files, but lists: what is trained one after another, and what the pictures are made of."""
FILES = sorted(path for path in (ROOT / "configs").iterdir() if path.name not in LISTS)
STARTING_EXAMPLE = ROOT / "configs" / "pretrain.toml"
GAN_LOSSES = ("loss.perceptual", "loss.feature", "loss.adversarial", "loss.artefact", "loss.grid")
ELSEWHERE = ("data.degradation.", "discriminator.", "updates.", "ensemble.", *GAN_LOSSES)
"""Beginnings of keys that the starting example leaves out: a long section, and what belongs to the other recipe."""
MODELS = [path for path in FILES if re.fullmatch(r".+-x\d\.toml", path.name)]
"""The files of models that are shipped, or may be; the others are named after a paper, an origin or a tutorial."""


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("data.folders=photos", 'data.folders: must be a list, such as ["this", "that"], not \'photos\''),
        ("data.folders=[]", "data.folders: must not be empty"),
        ('data.folders=[""]', "data.folders.0: must be a path; use . for the current folder, not ''"),
        ('validation.folder=""', "validation.folder: must be a path; use . for the current folder, not ''"),
        (
            "output.name=../up",
            "output.name: must be at most 64 lower-case letters, digits, dots, dashes or underscores",
        ),
    ],
)
def test_natural_mistakes_are_explained_in_plain_words(sets: str, said: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        load_config(TrainConfig, None, sets=[sets])
    lines = str(error.value).splitlines()
    assert any(line.startswith(said) for line in lines), lines


def config(**changes: Any) -> TrainConfig:
    """The smallest valid configuration with ``section__key=value`` changed."""
    values: dict[str, Any] = {"data": {"folders": ["pictures"]}}
    for path, value in changes.items():
        section, _, key = path.rpartition("__")
        (values.setdefault(section, {}) if section else values)[key] = value
    return TrainConfig.model_validate(values)


# ---------------------------------------------------------------------------------------------------- the model


def test_importing_it_loads_no_heavy_library() -> None:
    code = (
        "import sys, srgan.training, srgan.training.config\n"
        f"sys.exit(' '.join({{'ncnn', 'PIL', {str(LIBRARIES)[1:-1]}}} & set(sys.modules)) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_folders_must_be_given() -> None:
    made = config()

    assert made.data.folders == (Path("pictures"),)
    assert (made.recipe, made.network.name, made.network.scale) == ("pretrain", "fast", 4)
    with pytest.raises(ValidationError, match=r"data\n\s+Field required"):
        TrainConfig.model_validate({})


def test_every_key_is_described() -> None:
    undescribed = [key for key, field in list_keys(TrainConfig) if not (field.description or "").endswith(".")]

    assert undescribed == []


def test_it_comes_back_from_its_own_forms(tmp_path: Path) -> None:
    made = config(steps=7, network__options={"width": 16}, output__name="mine", optimiser__betas=[0.5, 0.9])
    (tmp_path / "made.toml").write_text(to_toml(made))

    assert TrainConfig.model_validate_json(made.model_dump_json()) == made
    assert load_config(TrainConfig, tmp_path / "made.toml") == made


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("steps", 0),
        ("seed", -1),
        ("seed", 2**63),
        ("data__folders", []),
        ("data__patch", 7),
        ("data__batch", 0),
        ("data__memory_gib", 0),
        ("data__flat_share", 1.5),
        ("data__max_pictures", 0),
        ("network__scale", 0),
        ("network__scale", 17),
        ("loss__pixel", "l3"),
        ("loss__fft", -0.1),
        ("loss__fft", float("nan")),
        ("loss__mse_after", 2),
        ("optimiser__kind", "sgd"),
        ("optimiser__learning_rate", 0),
        ("optimiser__betas", [0.9, 1.0]),
        ("optimiser__adan_betas", [0.9, 0.9]),
        ("optimiser__weight_decay", -0.1),
        ("optimiser__periods", [0.5, 0.0, 0.5]),
        ("optimiser__restart_weights", [1.5]),
        ("optimiser__ema", 1.0),
        ("optimiser__clip", 0),
        ("optimiser__warmup", -1),
        ("validation__every", 0),
        ("hardware__device", "tpu"),
        ("hardware__precision", "fp8"),
        ("hardware__threads", -1),
        ("output__name", "../up"),
        ("output__name", ""),
        ("output__keep", 0),
        ("output__wandb", "team/project"),
        ("output__typo", 1),
        ("typo", 1),
    ],
)
def test_what_is_out_of_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key.rpartition("__")[2]):
        config(**{key: value})


def test_a_patch_must_fit_into_a_tile() -> None:
    assert config(data__patch=120, data__tile=480)
    with pytest.raises(ValidationError, match=r"data\.patch 121 times network\.scale 4 is larger than data\.tile 480"):
        config(data__patch=121, data__tile=480)


def test_a_tile_must_be_a_multiple_of_the_scale() -> None:
    assert config(data__tile=480, network__scale=3)
    with pytest.raises(ValidationError, match=r"data\.tile 482 is not a multiple of network\.scale 3"):
        config(data__tile=482, network__scale=3)


@pytest.mark.parametrize(
    ("optimiser", "said"),
    [
        ({"kind": "adam", "weight_decay": 0.01}, "weight_decay: adam has none; set kind to adamw or adan"),
        ({"kind": "muon", "weight_decay": 0.0}, "weight_decay: muon has none"),
        ({"schedule": "restarts", "periods": (0.5, 0.4)}, r"periods cover 0\.9 of the steps"),
        ({"schedule": "restarts", "restart_weights": (1.0, 0.5)}, "has 2 entries but periods has 4"),
        ({"schedule": "restarts", "flat": 0.5}, "flat is for the schedule cosine"),
    ],
)
def test_settings_that_an_optimiser_would_not_heed_are_refused(optimiser: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        config(optimiser=optimiser)


def test_a_decay_fits_its_optimiser_and_periods_may_be_longer_than_the_run() -> None:
    assert config(optimiser={"kind": "adan", "weight_decay": 0.02}).optimiser.weight_decay == 0.02
    assert config(optimiser={"schedule": "restarts", "periods": [1 / 3] * 3}).optimiser.schedule == "restarts"
    assert config(optimiser={"schedule": "restarts", "periods": [0.6, 0.6]}).optimiser.periods == (0.6, 0.6)
    with pytest.raises(ValidationError, match="set optimiser to adamw or adan"):
        config(recipe="adversarial", discriminator={"weight_decay": 0.1})


def test_each_folder_needs_its_own_of_low_resolution() -> None:
    assert config(data__low_folders=["low"]).data.low_folders == (Path("low"),)
    with pytest.raises(ValidationError, match="low_folders has 2 entries but folders has 1"):
        config(data__low_folders=["low", "lower"])


def test_low_resolution_is_either_given_or_made_by_wear() -> None:
    with pytest.raises(ValidationError, match=r"low_folders and degradation\.kind cannot be combined"):
        config(data__low_folders=["low"], data__degradation={"kind": "second-order"})


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config().steps = 3


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('steps = "many"\n[data]\nfolder = ["x"]\n[optimizer]\nkind = "adam"\n')

    with pytest.raises(InvalidConfig) as caught:
        load_config(TrainConfig, tmp_path / "bad.toml")

    message = str(caught.value)
    assert "steps: must be a valid integer" in message
    assert "data.folder: unknown key; did you mean 'folders'?" in message
    assert "data.folders: is required" in message
    assert "optimizer: unknown key; did you mean 'optimiser'?" in message


# ------------------------------------------------------------------------------------------------- train() itself


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_missing_is_named_before_anything_is_done(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.training.find_spec", lambda name: None if name == library else object())

    with pytest.raises(MissingDependency, match=r"is not installed\. .*srgan\[train\]") as caught:
        train(config())

    assert caught.value.package.replace("-", "_") == library


def test_the_libraries_are_those_of_the_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["train"]
    names = {re.split("[<>=~! ;]", requirement)[0].replace("-", "_") for requirement in extra}

    # TensorBoard is asked for where curves are drawn, which can be switched off.
    assert names == {*LIBRARIES, "tensorboard"}


# ----------------------------------------------------------------------------------------------------- configs/


def test_there_are_files_to_begin_with() -> None:
    names = {path.stem for path in FILES}

    assert names >= {
        "pretrain",
        "turbo-x4",
        "turbo-plain-x4",
        "fast-plain-x4",
        "fast-x4",
        "fast-x2",
        "quality-x4",
        "balanced-x4",
    }
    assert names >= {"photo-x4", "photo-fast-x4", "photo-several-x4", "photo-gpu-x4"}
    assert names >= {"srgan-paper-pretrain", "srgan-paper", "config", "config_scaled", "my-photos"}
    assert {path.suffix for path in FILES} == {".toml", ".yaml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_valid(path: Path) -> None:
    loaded = load_config(TrainConfig, path)

    assert loaded.validation.folder is not None
    assert loaded.validation.folder not in loaded.data.folders
    assert all(not folder.is_absolute() for folder in (*loaded.data.folders, loaded.validation.folder))
    # turbo works on blocks of two by two pixels
    assert loaded.network.name != "turbo" or loaded.data.patch % 2 == 0


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_file_is_named_after_the_model_it_makes(path: Path) -> None:
    loaded = load_config(TrainConfig, path)

    assert re.fullmatch(NAME_PATTERN, path.stem)
    made = re.sub("-(cpu|plain)-", "-", path.stem)  # another way to the same model
    assert loaded.output.name == made == f"{loaded.output.family}-x{loaded.network.scale}"
    # A family of its own is what goes on from another's weights, or holds several.
    own = loaded.recipe == "ensemble" or bool(loaded.network.init_from)
    assert own or loaded.network.name == ("plain" if "-plain-" in path.stem else loaded.output.family)
    assert loaded.output.description.endswith(".")
    assert loaded.output.corpus
    assert loaded.output.licence


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_how_it_is_used(path: Path) -> None:
    assert f"srgan train --config configs/{path.name}" in path.read_text()


def test_the_phases_of_critters_are_as_long_as_they_are_written() -> None:
    config = load_config(TrainConfig, ROOT / "configs" / "critters.toml")
    assert isinstance(config, LatentConfig)
    written = {name: getattr(config.phases, name) for name in PHASES}
    assert config.phases.steps(config.steps) == written
    assert config.refiner.folders
    assert config.output.licence == "CC0-1.0"


def test_no_two_files_share_a_seed() -> None:
    configs = [load_config(TrainConfig, path) for path in FILES if "-cpu-" not in path.name]
    begun = [config for config in configs if not config.network.init_from and config.recipe != "ensemble"]
    seeds = [config.seed for config in begun]

    assert len(set(seeds)) == len(seeds)


def test_the_starting_example_has_every_key_with_a_comment() -> None:
    lines = STARTING_EXAMPLE.read_text().splitlines()
    section, seen = "", {}
    for line in lines:
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = f"{heading[1]}."
        elif key := re.match(r"(?:# )?(\w+) = ", line):
            seen[section + key[1]] = line
    keys = [key for key, _ in list_keys(TrainConfig) if not key.startswith(ELSEWHERE)]

    assert list(seen) == keys
    assert [key for key, line in seen.items() if "  #" not in line] == []


def test_the_starting_example_says_where_it_leaves_the_defaults() -> None:
    loaded = load_config(TrainConfig, STARTING_EXAMPLE)
    text = STARTING_EXAMPLE.read_text()
    for key, _ in list_keys(TrainConfig):
        if key.startswith(ELSEWHERE):
            continue
        section, _, name = key.rpartition(".")
        value = getattr(getattr(loaded, section) if section else loaded, name)
        default = find_key(TrainConfig, key).get_default(call_default_factory=True)
        (line,) = re.findall(rf"^(?:# )?{name} = .*$", _part(text, section), re.MULTILINE)
        says_so = "# default " in line or "required" in line
        assert says_so == (value != default or line.startswith("#")), line


def _part(text: str, section: str) -> str:
    """The lines of a section of a TOML text; of the top when ``section`` is empty."""
    parts = re.split(r"^\[(\w+)\]$", text, flags=re.MULTILINE)
    return parts[0] if not section else parts[parts.index(section) + 1]


def test_options_of_networks_can_be_set_one_by_one() -> None:
    sets = ["data.folders=[p]", "recipe=adversarial", "network.options.width=16", "network.options.expanded=true"]
    sets += ["discriminator.options.width=8", "discriminator.options.norm=none", "loss.feature_layers.conv5_4=0.5"]
    made = load_config(TrainConfig, sets=sets)
    assert made.network.options == {"width": 16, "expanded": True}
    assert made.discriminator.options == {"width": 8, "norm": "none"}  # type: ignore[attr-defined]
    assert made.loss.feature_layers == {"conv5_4": 0.5}
    by_environment = load_config(
        TrainConfig,
        environment={"SRGAN_TRAIN__NETWORK__OPTIONS__WIDTH": "16"},
        prefix=TRAINING_ENVIRONMENT_PREFIX,
        sets=["data.folders=[p]"],
    )
    assert by_environment.network.options == {"width": 16}


# ------------------------------------------------------------------------------------------------------- schedule


def scheduled(*stages: dict[str, Any], **data: Any) -> TrainConfig:
    values = {"folders": ["p"], "patch": 48, "batch": 7, "schedule": stages, **data}
    return TrainConfig.model_validate({"data": values})


def test_sizes_follow_the_schedule_and_then_those_of_the_section() -> None:
    data = scheduled({"until": 0.2, "patch": 32, "batch": 4}, {"until": 0.5, "batch": 16}).data
    assert data.stages() == [(32, 4), (48, 16), (48, 7)]
    assert [data.size_at(step, 10) for step in (1, 2, 3, 5, 6, 10)] == [
        (32, 4),
        (32, 4),
        (48, 16),
        (48, 16),
        (48, 7),
        (48, 7),
    ]
    assert data.size_at(1, None) == (48, 7)
    assert scheduled().data.size_at(1, 10) == (48, 7)


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([{"until": 0.5}, {"until": 0.5}], r"until must rise from stage to stage, not 0\.5, 0\.5"),
        ([{"until": 0.5}, {"until": 0.2}], "until must rise"),
        ([{"until": 1.0}], "less than 1"),
        ([{"until": 0.0}], "greater than 0"),
        ([{"until": 0.1, "patch": 128}], r"data\.schedule\.0\.patch 128 times network\.scale 4 is larger"),
        ([{"until": 0.1, "patch": 4}], "greater than or equal to 8"),
        ([{"until": 0.1, "batch": 0}], "greater than or equal to 1"),
        ([{"patch": 32}], "Field required"),
        ([{"until": 0.1, "rate": 1e-4}], "Extra inputs"),
    ],
)
def test_senseless_schedules_are_refused(stages: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        scheduled(*stages)


def test_a_schedule_can_be_set_for_one_run_and_is_written_and_read_again(tmp_path: Path) -> None:
    stages = "data.schedule=[{until: 0.2, patch: 32, batch: 4}, {until: 0.4, batch: 8}]"
    made = load_config(TrainConfig, sets=["data.folders=[p]", stages])
    assert made.data.stages() == [(32, 4), (32, 8), (32, 16)]
    (tmp_path / "t.toml").write_text(to_toml(made))
    assert load_config(TrainConfig, tmp_path / "t.toml") == made
    with pytest.raises(InvalidConfig, match=r"data\.schedule\.0\.until: must be less than 1.*--set data\.schedule"):
        load_config(TrainConfig, sets=["data.folders=[p]", "data.schedule=[{until: 2}]"])


# ----------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("validation", "says"),
    [
        ({"low_folder": "low"}, r"validation\.low_folder: needs validation\.folder"),
        ({"folder": "v", "low_folder": "low", "inputs": "mixed"}, "inputs are either given or made"),
        ({"folder": "v", "inputs": "training"}, r"training needs data\.degradation\.kind"),
        ({"folder": "v", "inputs": "rain"}, "'bicubic', 'training', 'blur'"),
    ],
)
def test_inputs_of_the_validation_that_cannot_be_are_refused(validation: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TrainConfig.model_validate({"data": {"folders": ["p"]}, "validation": validation})
    worn = {"folders": ["p"], "degradation": {"kind": "second-order"}}
    TrainConfig.model_validate({"data": worn, "validation": {"folder": "v", "inputs": "training"}})
