"""What the training files of papers and presets mean, number by number. Nothing here loads torch."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from srgan.config import load_config
from srgan.errors import InvalidConfig
from srgan.training.config import TrainConfig, train_template
from srgan.training.presets import PRESETS, preset

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def load(name: str) -> TrainConfig:
    return load_config(TrainConfig, CONFIGS / name)


def values(config: TrainConfig, *keys: str) -> list[Any]:
    """The values at ``section.key`` paths."""
    found = []
    for key in keys:
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        found.append(value)
    return found


# -------------------------------------------------------------------------------------------------- the SRGAN paper


@pytest.mark.parametrize("name", ["srgan-paper-pretrain.toml", "srgan-paper.toml"])
def test_both_stages_of_the_paper_see_the_same_pictures_through_the_same_network(name: str) -> None:
    made = load(name)

    assert values(made, "network.name", "network.scale", "network.options") == ["srresnet", 4, {}]
    assert made.data.patch * made.network.scale == 96
    assert values(made, "data.batch", "data.augment", "data.min_detail") == [16, False, 0.0]
    assert made.data.degradation.kind == "bicubic"
    assert values(made, "optimiser.kind", "optimiser.learning_rate", "optimiser.betas") == ["adam", 1e-4, (0.9, 0.999)]


@pytest.mark.parametrize("name", ["srgan-paper-pretrain.toml", "srgan-paper.toml"])
def test_nothing_that_the_paper_does_not_have_is_switched_on(name: str) -> None:
    made = load(name)

    assert values(made, "optimiser.warmup", "optimiser.ema", "optimiser.schedule") == [0, 0.0, "steps"]
    assert made.optimiser.clip >= 1e6
    assert values(made, "loss.fft", "loss.mse_after", "loss.pixel") == [0.0, 1.0, "mse"]


def test_the_papers_generator_is_trained_a_million_steps_at_one_rate() -> None:
    made = load("srgan-paper-pretrain.toml")

    assert values(made, "recipe", "steps", "optimiser.milestones") == ["pretrain", 1_000_000, ()]


def test_the_papers_loss_is_vgg54_and_a_thousandth_of_the_discriminator() -> None:
    loss = load("srgan-paper.toml").loss

    assert loss.pixel_weight == loss.artefact == 0
    assert loss.perceptual == pytest.approx(1 / 12.75**2, rel=1e-4)
    assert (loss.features, loss.feature_layers, loss.feature_distance) == ("vgg19", {"relu5_4": 1.0}, "mse")
    assert loss.adversarial == 1e-3
    assert loss.feature_weights is not None


def test_the_papers_gan_has_two_phases_of_100_000_steps_and_takes_turns() -> None:
    made = load("srgan-paper.toml")

    assert made.steps * made.optimiser.milestones[0] == 100_000
    assert values(made, "steps", "optimiser.milestones", "optimiser.gamma") == [200_000, (0.5,), 0.1]
    assert values(made, "updates.generator", "updates.discriminator", "discriminator.head_start") == [1, 1, 0]


def test_the_papers_discriminator_is_as_in_figure_4() -> None:
    rival = load("srgan-paper.toml").discriminator

    assert (rival.name, rival.options, rival.loss, rival.label, rival.r1) == ("srgan", {}, "bce", 1.0, 0.0)
    assert (rival.learning_rate, rival.betas) == (1e-4, (0.9, 0.999))


def test_the_papers_second_stage_starts_from_the_bundle_of_the_first() -> None:
    first = load("srgan-paper-pretrain.toml").output

    assert Path(load("srgan-paper.toml").network.init_from) == first.runs / first.name / "001" / "bundle"


# ---------------------------------------------------------------------------------------------- the modern one


def test_the_modern_gan_starts_from_the_model_of_its_own_generator() -> None:
    made, first = load("photo-gpu-x4.toml"), load("quality-x4.toml")

    assert made.network.name == first.network.name == "quality"
    assert Path(made.network.init_from) == first.output.runs / first.output.name / "001" / "bundle"


def test_the_modern_gan_has_what_came_after_the_paper() -> None:
    made = load("photo-gpu-x4.toml")

    assert values(made, "discriminator.name", "loss.pixel", "optimiser.ema") == ["unet", "l1", 0.999]
    assert values(made, "loss.pixel_weight", "loss.perceptual", "loss.adversarial") == [1.0, 1.0, 0.1]
    assert made.loss.artefact / made.loss.adversarial == pytest.approx(1.0 / 5e-3), "as in LDL's own training file"
    assert made.data.patch * made.network.scale == 256
    assert made.data.patch * made.network.scale % 8 == 0, "the U-Net halves three times"


def test_the_alternatives_in_its_comments_are_valid() -> None:
    text = (CONFIGS / "photo-gpu-x4.toml").read_text()
    for line in ('features = "vgg19"', "feature_weights = ", "feature_layers = ", 'feature_distance = "l1"'):
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    text = text.replace('features = "squeezenet"', '# features = "squeezenet"')

    made = TrainConfig.model_validate(tomllib.loads(text))

    assert made.loss.feature_layers == {
        "conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0
    }  # fmt: skip


# ------------------------------------------------------------------------------------ Multi-Generator SRGAN, twice


def test_full_scale_keeps_the_settings_of_its_origin() -> None:
    made = load("config.yaml")

    assert values(made, "network.name", "network.scale", "network.options") == ["srresnet", 4, {"blocks": 20}]
    assert values(made, "data.patch", "data.batch", "optimiser.clip") == [64, 16, 1.0]
    assert values(made, "discriminator.loss", "discriminator.label") == ["bce", 0.9]
    assert values(made, "discriminator.learning_rate", "optimiser.learning_rate") == [1e-4, 9e-5]


def test_scaled_down_doubles_64_pixels_to_128() -> None:
    made = load("config_scaled.yaml")

    assert (made.data.patch, made.data.patch * made.network.scale) == (64, 128)
    assert made.network.init_from == "fast-x2"
    assert made.data.batch < load("config.yaml").data.batch


@pytest.mark.parametrize("name", ["config.yaml", "config_scaled.yaml"])
def test_two_steps_of_the_generator_for_each_of_the_discriminator(name: str) -> None:
    assert values(load(name), "recipe", "updates.generator", "updates.discriminator") == ["adversarial", 2, 1]


def test_the_first_stage_of_full_scale_is_the_same_file_with_another_recipe() -> None:
    text = (CONFIGS / "config.yaml").read_text()
    words = "--set recipe=pretrain --set output.name=config-pretrain"
    assert words in text

    made = load_config(TrainConfig, CONFIGS / "config.yaml", sets=words.replace("--set ", "").split())

    assert values(made, "recipe", "output.name", "loss.pixel") == ["pretrain", "config-pretrain", "mse"]
    assert made.loss.pixel_weight > 0, "the first stage has no other loss"
    assert f"network.init_from={made.output.runs / made.output.name / '001' / 'bundle'}" in text


def test_the_content_layer_in_the_comments_of_full_scale_is_valid() -> None:
    text = (CONFIGS / "config.yaml").read_text()
    for key in ("features: vgg19", "feature_weights: ", "feature_layers: ", "feature_distance: mse"):
        assert f"  # {key}" in text
        text = text.replace(f"  # {key}", f"  {key}")
    loaded = yaml.safe_load(text.replace("features: squeezenet", "# features: squeezenet"))

    assert TrainConfig.model_validate(loaded).loss.feature_layers == {"conv3_3": 1.0}


@pytest.mark.parametrize("suffix", ["toml", "yaml", "yml", "json"])
@pytest.mark.parametrize(("generator", "discriminator"), [(2, 1), (1, 5)])
def test_the_ratio_of_updates_can_be_said_in_every_form(
    suffix: str, generator: int, discriminator: int, tmp_path: Path
) -> None:
    document = {
        "recipe": "adversarial",
        "data": {"folders": ["photos"]},
        "updates": {"generator": generator, "discriminator": discriminator},
    }
    path = tmp_path / f"mine.{suffix}"
    if suffix == "toml":
        path.write_text(
            'recipe = "adversarial"\ndata.folders = ["photos"]\n'
            f"updates.generator = {generator}\nupdates.discriminator = {discriminator}\n"
        )
    else:
        path.write_text(json.dumps(document) if suffix == "json" else yaml.safe_dump(document))

    updates = load_config(TrainConfig, path).updates

    assert (updates.generator, updates.discriminator) == (generator, discriminator)


@pytest.mark.parametrize("key", ["generator", "discriminator"])
def test_nobody_can_be_left_without_steps(key: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"updates\.{key}"):
        load_config(TrainConfig, CONFIGS / "config.yaml", sets=[f"updates.{key}=0"])


# ------------------------------------------------------------------------------------------------------- presets


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("fast-gan", "my-photos.toml"),
        ("gan", "photo-gpu-x4.toml"),
        ("basic", "pretrain.toml"),
        ("high-quality", "quality-x4.toml"),
    ],
)
def test_a_preset_trains_as_its_file_does(name: str, file: str, tmp_path: Path) -> None:
    (tmp_path / "made.toml").write_text(preset(name))
    made, wanted = load_config(TrainConfig, tmp_path / "made.toml"), load(file)

    assert type(made) is type(wanted)
    for section in set(type(made).model_fields) - {"data", "validation", "output"}:
        assert getattr(made, section) == getattr(wanted, section), section
    assert made.data.model_copy(update={"folders": ()}) == wanted.data.model_copy(update={"folders": ()})
    assert made.validation.every == wanted.validation.every


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_explains_every_key_and_needs_no_other_package(name: str) -> None:
    lines = preset(name).splitlines()

    keys = [number for number, line in enumerate(lines) if re.match(r"(# )?\w+ =", line)]
    assert len(keys) > 60
    assert all(lines[number - 1].startswith("# ") for number in keys)
    assert "stlpips" not in PRESETS[name]["validation"].get("figures", ()), "its package is not among the extras"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_back_as_it_was_meant(name: str, tmp_path: Path) -> None:
    (tmp_path / "made.toml").write_text(preset(name))
    made = load_config(TrainConfig, tmp_path / "made.toml")

    assert made == TrainConfig.model_validate(PRESETS[name])
    assert type(made) is type(TrainConfig.model_validate(PRESETS[name]))


@pytest.mark.parametrize("recipe", ["pretrain", "adversarial", "ensemble", "take"])
def test_the_file_of_a_recipe_reads_back_as_its_defaults(recipe: str, tmp_path: Path) -> None:
    text = train_template(recipe)
    assert text.count("# folders = # required") == 1
    (tmp_path / "made.toml").write_text(text.replace("# folders = # required", 'folders = ["p"]'))

    made = load_config(TrainConfig, tmp_path / "made.toml")

    assert made == TrainConfig.model_validate({"recipe": recipe, "data": {"folders": ["p"]}})


def test_presets_differ() -> None:
    made = [TrainConfig.model_validate(values) for values in PRESETS.values()]
    assert len({(one.network.name, one.recipe, one.steps, one.data.degradation.kind) for one in made}) == len(made)


def test_an_unknown_preset_is_answered_with_the_choices() -> None:
    with pytest.raises(InvalidConfig, match=r"no preset 'best'\. Choose one of: basic, fast, high-quality"):
        preset("best")
