"""Each recipe reads the training file by settings of its own, a plug-in's too. Nothing here loads torch."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from srgan.config import list_keys, load_config, to_toml
from srgan.errors import InvalidConfig
from srgan.training import RECIPES, Recipe, TrainConfig, TrainJob, train
from srgan.training.config import find_recipe, train_schema, train_template
from srgan.training.job import differences
from srgan.training.latent.settings import LatentConfig
from srgan.training.recipes import AdversarialConfig, DistilConfig, EnsembleConfig

DATA = {"data": {"folders": ["photos"]}}
TEACHER = {"distil": {"teacher": {"model": "balanced-x4"}}}
"""What a recipe needs besides pictures."""
PLUGIN = '''
from pydantic import Field
from srgan.settings import Section
from srgan.training import Recipe, TrainConfig

class AlchemySection(Section):
    """How lead is worked."""

    heat: float = Field(default=1.5, gt=0, description="Degrees of the fire.")

class AlchemyConfig(TrainConfig):
    alchemy: AlchemySection = Field(default_factory=AlchemySection, description="How lead is worked.")

RECIPE = Recipe(AlchemyConfig, "alchemist:work")
given = []

def work(config, *, resume, report, stop):
    given.append((config, resume, stop.is_set()))
    return "gold"

def plain(config):
    """No recipe: a function alone."""
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An installed package that announces the recipe `alchemy`, `plain`, which is none, and `ghost`, which is lost."""
    (tmp_path / "alchemist.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "alchemist", raising=False)
    points = [
        EntryPoint("alchemy", "alchemist:RECIPE", "srgan.recipes"),
        EntryPoint("plain", "alchemist:plain", "srgan.recipes"),
        EntryPoint("ghost", "no_such_module:RECIPE", "srgan.recipes"),
    ]
    monkeypatch.setattr("srgan.plugins.entry_points", lambda *, group: [p for p in points if p.group == group])
    RECIPES.__dict__.pop("targets", None)
    import alchemist

    yield alchemist
    RECIPES.__dict__.pop("targets", None)
    sys.modules.pop("alchemist", None)


def made(**values: Any) -> TrainConfig:
    return TrainConfig.model_validate({**DATA, **values})


# ------------------------------------------------------------------------------------------------- those of srgan


@pytest.mark.parametrize(
    ("recipe", "form"),
    [
        ("pretrain", TrainConfig),
        ("take", TrainConfig),
        ("adversarial", AdversarialConfig),
        ("distil", DistilConfig),
        ("ensemble", EnsembleConfig),
        ("latent", LatentConfig),
    ],
)
def test_the_recipe_says_by_what_a_file_is_read(recipe: str, form: type[TrainConfig]) -> None:
    config = made(recipe=recipe, **TEACHER.get(recipe, {}))

    assert (type(config), config.recipe) == (form, recipe)
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert TrainConfig.model_validate(config) is config
    assert type(made()) is TrainConfig


@pytest.mark.parametrize("recipe", ["pretrain", "take", "adversarial", "distil", "ensemble", "latent"])
def test_a_file_to_begin_with_has_every_key_of_its_recipe(recipe: str, tmp_path: Path) -> None:
    text = train_template(recipe).replace("# folders = # required", 'folders = ["photos"]')
    text = text.replace("# model = # required", 'model = "balanced-x4"')
    (tmp_path / "mine.toml").write_text(text)

    assert load_config(TrainConfig, tmp_path / "mine.toml") == made(recipe=recipe, **TEACHER.get(recipe, {}))
    for key, field in list_keys(find_recipe(recipe).settings):
        assert f"\n{key.rpartition('.')[2]} = " in f"\n{text}" or field.default is None, key
        assert (field.description or "").endswith("."), key


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (
            ["recipe=alchemy"],
            "recipe: must be one of pretrain, adversarial, distil, ensemble, take, latent, not 'alchemy'",
        ),
        (["discriminator.name=unet"], "discriminator: unknown key; it belongs to the recipe adversarial or ensemble"),
        (["recipe=adversarial", "ensemble.soup=true"], "ensemble: unknown key; it belongs to the recipe ensemble"),
        (["recipe=adversarial", "updates.genrator=2"], "updates.genrator: unknown key; did you mean 'generator'?"),
        (["recipe=adversarial", "discriminater.r1=2"], "discriminater: unknown key; did you mean 'discriminator'?"),
        (["recipe=ensemble", "ensemble.members=3"], "ensemble.members: must be a list"),
    ],
)
def test_mistakes_are_told_in_the_words_of_the_recipe(sets: list[str], said: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_config(TrainConfig, sets=["data.folders=[photos]", *sets])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(said)


def test_mistakes_beside_an_unknown_recipe_are_told_too() -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_config(TrainConfig, sets=["recipe=alchemy", "stepps=3"])
    assert [line.split(":")[0] for line in sorted(str(caught.value).splitlines())] == ["data", "recipe", "stepps"]


def test_a_file_serves_another_recipe_that_is_chosen_for_a_run(tmp_path: Path) -> None:
    """As its first stage: what only its own recipe has is then left out, but no mistake is."""
    file = tmp_path / "gan.toml"
    file.write_text('recipe = "adversarial"\nupdates.generator = 2\n[data]\nfolders = ["photos"]\n')

    assert load_config(TrainConfig, file, sets=["recipe=pretrain"]) == made()
    assert load_config(TrainConfig, file, sets=["recipe=ensemble"]).updates.generator == 2  # type: ignore[attr-defined]
    environment = {"SRGAN_TRAIN__RECIPE": "pretrain"}
    assert load_config(TrainConfig, file, environment=environment, prefix="SRGAN_TRAIN__") == made()
    with pytest.raises(InvalidConfig, match="updates: unknown key"):
        load_config(TrainConfig, file, sets=["recipe=pretrain", "updates.generator=3"])
    file.write_text(f"typo = 1\n{file.read_text()}")
    with pytest.raises(InvalidConfig, match="typo: unknown key"):
        load_config(TrainConfig, file, sets=["recipe=pretrain"])


# ---------------------------------------------------------------------------------------------------------- distil


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([], "teacher: is required"),
        (["teacher.weight=2"], "teacher.model: is required"),
        (["teacher.model="], "teacher.model: "),
        (["teacher.model=x", "teacher.weight=0"], "teacher.weight: must be greater than 0"),
        (["teacher.model=x", "teacher.until=0"], "teacher.until: must be greater than 0"),
        (
            ["teacher.model=x", "teacher.free_share=0.02"],
            "teacher.free_share: 0.02 of a batch of 16 is less than one patch",
        ),
        (
            ["teacher.model=x", "teacher.free_share=0.5", "data.degradation.kind=second-order"],
            "teacher.free_share: cannot be combined with data.degradation",
        ),
        (
            ["teacher.model=x", "teacher.store=there", "data.degradation.kind=second-order"],
            "teacher.store: cannot be combined with data.degradation",
        ),
        (
            ["teacher.model=x", "teacher.until=0.5", "loss.pixel_weight=0"],
            "teacher.until: with loss.pixel_weight = 0 nothing would be learnt after it",
        ),
        (["teacher.model=x", "validation.patience=3"], "validation.patience: needs validation.folder"),
    ],
)
def test_what_a_teacher_cannot_do(sets: list[str], said: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_config(TrainConfig, sets=["data.folders=[photos]", "recipe=distil", *sets])
    (line,) = str(caught.value).splitlines()
    assert line.startswith(said)


def test_patches_without_an_original_are_counted() -> None:
    shares = {0.0: 0, 0.1: 2, 0.5: 8, 1.0: 16}
    for share, patches in shares.items():
        config = made(recipe="distil", teacher={"model": "x", "free_share": share})
        assert isinstance(config, DistilConfig)
        assert config.free(16) == patches


def test_validation_and_places_make_no_other_run_of_it() -> None:
    one = made(recipe="distil", teacher={"model": "x", "store": "there"}, validation={"folder": "Set5"})
    same = made(recipe="distil", teacher={"model": "x", "store": "./there/../there"}, validation={"folder": "Set14"})
    other = made(recipe="distil", teacher={"model": "y"}, validation={"folder": "Set5"})

    assert differences(one, same) == []
    assert differences(one, other) == ["teacher.model", "teacher.store"]
    assert (
        TrainJob(config=one).digest()
        == TrainJob(config=one.model_copy(update={"validation": same.validation})).digest()
    )


# ------------------------------------------------------------------------------------------------- those of others


def test_a_plug_in_brings_its_section(plugin: Any, tmp_path: Path) -> None:
    config = made(recipe="alchemy", alchemy={"heat": 3})

    assert (type(config), config.recipe) == (plugin.AlchemyConfig, "alchemy")
    assert config.alchemy.heat == 3  # type: ignore[attr-defined]
    (tmp_path / "made.toml").write_text(to_toml(config))
    assert load_config(TrainConfig, tmp_path / "made.toml") == config
    assert TrainJob.model_validate_json(TrainJob(config=config).to_json()).config == config
    assert TrainJob(config=config).digest() != TrainJob(config=made(recipe="alchemy")).digest()


def test_its_section_is_checked_in_its_words(plugin: Any) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load_config(TrainConfig, sets=["recipe=alchemy", "data.folders=[x]", "alchemy.heta=3", "alchemy.heat=0"])
    lines = sorted(str(caught.value).splitlines())
    assert lines[0].startswith("alchemy.heat: must be greater than 0, not '0'")
    assert lines[1].startswith("alchemy.heta: unknown key; did you mean 'heat'?")
    with pytest.raises(InvalidConfig, match="alchemy: unknown key; it belongs to the recipe alchemy"):
        load_config(TrainConfig, sets=["data.folders=[x]", "alchemy.heat=3"])


def test_its_keys_are_in_the_schema_and_in_a_file_to_begin_with(plugin: Any) -> None:
    schema = train_schema()
    chosen = {name: choice for choice in schema["oneOf"] for name in choice["properties"]["recipe"]["enum"]}

    assert set(chosen) == {"pretrain", "adversarial", "distil", "ensemble", "take", "latent", "alchemy"}, (
        "what cannot be loaded is left out"
    )
    form = schema["$defs"][chosen["alchemy"]["$ref"].rpartition("/")[2]]
    assert form["properties"]["alchemy"]["$ref"] == "#/$defs/AlchemySection"
    assert schema["$defs"]["AlchemySection"]["properties"]["heat"]["description"] == "Degrees of the fire."
    assert chosen["alchemy"]["required"] == ["recipe"]
    assert "required" not in chosen["pretrain"]
    assert json.loads(json.dumps(schema)) == schema
    text = train_template("alchemy")
    assert 'recipe = "alchemy"\n' in text
    assert "[alchemy]\n\n# Degrees of the fire.\nheat = 1.5\n" in text


def test_it_is_given_its_settings(plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="a training gives back what it changed of torch")
    config = made(recipe="alchemy")
    monkeypatch.setattr("srgan.training.find_spec", lambda name: object())

    assert train(config) == "gold"
    assert train(TrainJob(config=config, resume=False)) == "gold"
    assert plugin.given == [(config, True, False), (config, False, False)]


@pytest.mark.parametrize(
    ("name", "said"), [("plain", "is not a Recipe but a function"), ("ghost", "cannot be loaded: No module named")]
)
def test_one_that_is_none_is_refused_by_name(name: str, said: str, plugin: Any) -> None:
    with pytest.raises(ValidationError, match=rf"The plug-in for the recipe '{name}' {said}"):
        made(recipe=name)
    with pytest.raises(InvalidConfig, match=said):
        find_recipe(name)


def test_a_recipe_is_a_value() -> None:
    assert find_recipe("pretrain") == Recipe(TrainConfig, "srgan.training.pretrain:pretrain")
    assert not find_recipe("ensemble").together
