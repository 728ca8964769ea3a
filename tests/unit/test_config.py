"""The configuration: five sources in order, every mistake at once, and text that reads back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from srgan.config import (
    TRAINING_ENVIRONMENT_PREFIX,
    choices_of,
    find_key,
    json_schema,
    list_keys,
    load_config,
    template,
    to_toml,
)
from srgan.errors import InvalidConfig
from srgan.settings import Section, Settings


class Adam(Section):
    kind: Literal["adam"] = "adam"
    rate: float = Field(default=1e-3, gt=0, description="Learning rate.")


class Muon(Section):
    kind: Literal["muon"] = "muon"
    momentum: float = Field(default=0.9, description="Momentum.")


class Stage(Section):
    steps: int = Field(default=1, ge=1, description="Steps.")


class Data(Section):
    folder: Path = Field(description="Folder of pictures.")
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="Two factors.")
    options: dict[str, Any] = Field(default_factory=dict, description="Free.")


class Run(Section):
    """A configuration with everything that a training file may have."""

    name: str = Field(default="run", description="Name.")
    tile: int | Literal["auto"] = Field(default="auto", description="Side of a tile.")
    data: Data = Field(description="Pictures.")
    stages: tuple[Stage, ...] = Field(default=(Stage(),), description="Stages.")
    optimiser: Adam | Muon = Field(default_factory=Adam, discriminator="kind", description="Optimiser.")

    @model_validator(mode="after")
    def _names_differ(self) -> Run:
        if self.name == str(self.data.folder):
            raise ValueError("name and data.folder must differ")
        return self


def mistakes_of(model: type[BaseModel] = Settings, path: Path | None = None, **sources: Any) -> list[str]:
    """The lines of the error that loading gives."""
    with pytest.raises(InvalidConfig) as caught:
        load_config(model, path, **sources)
    return str(caught.value).split("\n")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------- sources


def test_without_any_source_it_is_the_defaults() -> None:
    assert load_config(Settings) == Settings()


SAME = {
    "settings.toml": '[upscale]\nmodel = "turbo"\nscale = 2\n[runtime]\nthreads = 3\n',
    "settings.yaml": "upscale:\n  model: turbo\n  scale: 2\nruntime: {threads: 3}\n",
    "settings.yml": "upscale: {model: turbo, scale: 2}\nruntime:\n  threads: 3\n",
    "settings.json": '{"$schema": "x", "upscale": {"model": "turbo", "scale": 2}, "runtime": {"threads": 3}}',
}


@pytest.mark.parametrize("name", SAME)
def test_the_suffix_decides_the_format_and_all_formats_mean_the_same(tmp_path: Path, name: str) -> None:
    settings = load_config(Settings, write(tmp_path, name, SAME[name]))
    assert (settings.upscale.model, settings.upscale.scale, settings.runtime.threads) == ("turbo", 2.0, 3)


def test_each_source_wins_over_those_before_it(tmp_path: Path) -> None:
    path = write(tmp_path, "s.toml", "[runtime]\nthreads = 1\n[limits]\nmax_bytes = 1\n")
    environment = {"SRGAN_RUNTIME__THREADS": "2"}
    sets = ["runtime.threads=3"]
    flags = {"runtime.threads": 4}

    def threads(**sources: Any) -> int:
        settings = load_config(Settings, path, **sources)
        assert settings.limits.max_bytes == 1, "a weaker source keeps the keys that no stronger one gives"
        return settings.runtime.threads

    assert threads() == 1
    assert threads(environment=environment) == 2
    assert threads(environment=environment, sets=sets) == 3
    assert threads(environment=environment, sets=sets, flags=flags) == 4
    assert threads(environment=environment, sets=sets, flags={"runtime.threads": None}) == 3, "None is not given"


def test_the_last_of_two_sets_wins() -> None:
    settings = load_config(Settings, sets=["upscale.model=a", "upscale.model=b"])
    assert settings.upscale.model == "b"


@pytest.mark.parametrize(
    ("text", "model"),
    [("4", "4"), ("true", "true"), ('"null"', "null"), ("'a b'", "a b"), ("a=b", "a=b"), ("[", "[")],
)
def test_a_text_stays_a_text_where_the_key_is_one(text: str, model: str) -> None:
    assert load_config(Settings, sets=[f"upscale.model={text}"]).upscale.model == model


def test_texts_become_what_their_key_holds() -> None:
    sets = ["upscale.scale=2.5", "upscale.tile=64", "batch.recursive=no", "upscale.quality=null", "data-x.y=1"]
    settings = load_config(Settings, sets=sets[:4], flags={"upscale.quality": None})
    assert (settings.upscale.scale, settings.upscale.tile, settings.batch.recursive) == (2.5, 64, False)
    assert settings.upscale.quality is None
    assert mistakes_of(sets=sets)[0].startswith("data_x: unknown key"), "a dash in a key is an underscore"


def test_lists_and_tables_can_be_given_as_text() -> None:
    run = load_config(Run, sets=["data.folder=x", "data.betas=[0.8, 1e-1]", "data.options={width: 64}"])
    assert run.data.betas == (0.8, 0.1)
    assert run.data.options == {"width": 64}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16), ("-3", -3), ("+5", 5), ("0", 0), ("1_000", 1000), ("0.5", 0.5), (".5", 0.5), ("2.", 2.0),
        ("1e-4", 1e-4), ("1E3", 1000.0), ("true", True), ("False", False), ("no", False), ("null", None),
        ("none", "none"), ("batch", "batch"), ("007", "007"), ("1.2.3", "1.2.3"), ("nan", "nan"), ("inf", "inf"),
        ("", ""), ("1__0", "1__0"), ("'16'", "16"), ('"true"', "true"), ("[1, 2]", [1, 2]), ("{a: 1}", {"a": 1}),
    ],
)  # fmt: skip
def test_texts_for_keys_that_no_model_knows_are_what_they_look_like(text: str, value: Any) -> None:
    """In a table that is free, at any depth, from the command line and from the environment."""
    run = load_config(Run, sets=["data.folder=x", f"data.options.a={text}", f"data.options.b.c={text}"])
    assert repr(run.data.options) == repr({"a": value, "b": {"c": value}})
    if text:
        run = load_config(Run, environment={"SRGAN_DATA__FOLDER": "x", "SRGAN_DATA__OPTIONS__A": text})
        assert repr(run.data.options) == repr({"a": value})


@pytest.mark.parametrize(
    "text",
    ['{kind="relu", steps=[1, 2]}', '{"kind": "relu", "steps": [1, 2]}', "{kind: relu, steps: [1, 2]}",
     "{ kind = 'relu', steps = [1, 2] }"],
)  # fmt: skip
def test_a_table_can_be_given_as_in_any_kind_of_file(text: str) -> None:
    """Also as TOML, whose ``a = 1`` would be a key without a value in YAML."""
    run = load_config(Run, sets=["data.folder=x", f"data.options.a={text}", f"data.options.b=[{text}]"])
    wanted = {"kind": "relu", "steps": [1, 2]}
    assert run.data.options == {"a": wanted, "b": [wanted]}


def test_a_table_as_text_is_all_that_the_text_says() -> None:
    """A second line is no further key of the TOML around it."""
    assert mistakes_of(Run, sets=["data.folder=x", "data.options={a = 1}\nb = 2"])


def test_a_name_that_looks_like_a_number_stays_a_name() -> None:
    assert load_config(Run, sets=["name=16", "data.folder=3"]).data.folder == Path("3")
    assert load_config(Run, sets=["name=16", "data.folder=3"]).name == "16"


def test_numbers_with_an_exponent_are_numbers_in_yaml_too(tmp_path: Path) -> None:
    path = write(tmp_path, "run.yaml", "data: {folder: x}\noptimiser: {kind: adam, rate: 1e-4}\n")
    assert load_config(Run, path).optimiser == Adam(rate=1e-4)


def test_only_variables_with_two_underscores_are_settings() -> None:
    environment = {"SRGAN_CONFIG": "x", "SRGAN_DATA": "y", "OTHER_UPSCALE__MODEL": "z", "SRGAN_UPSCALE__MODEL": ""}
    assert load_config(Settings, environment=environment) == Settings()


def test_training_and_settings_have_their_own_variables() -> None:
    environment = {"SRGAN_TRAIN__NAME": "a", "SRGAN_TRAIN__DATA__FOLDER": "b", "SRGAN_UPSCALE__MODEL": "c"}
    run = load_config(Run, environment=environment, prefix=TRAINING_ENVIRONMENT_PREFIX)
    assert (run.name, run.data.folder) == ("a", Path("b"))
    assert load_config(Settings, environment=environment).upscale.model == "c"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().upscale.model = "x"  # type: ignore[misc]


def test_loading_changes_no_data_of_the_caller() -> None:
    table = {"width": 1}
    flags = {"data.folder": "x", "data.options": table, "data.options.width": 2}
    assert load_config(Run, flags=flags).data.options == {"width": 2}
    assert table == {"width": 1}


@pytest.mark.parametrize("text", ["JPG", ".jpg", "jpeg", "Jpeg"])
def test_a_format_may_be_written_as_people_write_it(text: str) -> None:
    assert load_config(Settings, sets=[f"upscale.format={text}"]).upscale.format == "jpeg"


# ------------------------------------------------------------------------------------------------ mistakes


def test_all_mistakes_of_all_sources_come_at_once_with_key_path_and_source(tmp_path: Path) -> None:
    path = write(tmp_path, "s.toml", '[upscale]\nmodle = "x"\nquality = 300\n[limits]\nmax_bytes = "many"\n')
    lines = mistakes_of(
        path=path,
        environment={"SRGAN_RUNTIME__THREADS": "-3"},
        sets=["nonsense", "runtime.precision=fp8"],
        flags={"upscale.scale": -1.0, "runtime.memory_limit": 3},
    )
    assert sorted(lines) == [
        "--set nonsense: must have the form key=value, such as upscale.model=fast",
        "limits.max_bytes: must be a valid integer, not 'many' (s.toml)",
        "runtime.memory_limit: must be greater than or equal to 1048576, not 3 (--memory-limit)",
        "runtime.precision: must be 'auto', 'fp32', 'fp16' or 'bf16', not 'fp8' (--set runtime.precision)",
        "runtime.threads: must be greater than or equal to 0, not '-3' ($SRGAN_RUNTIME__THREADS)",
        "upscale.modle: unknown key; did you mean 'model'? (s.toml)",
        "upscale.quality: must be less than or equal to 100, not 300 (s.toml)",
        "upscale.scale: must be greater than 0, not -1.0 (--scale)",
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("upscale.modle", "upscale.modle: unknown key; did you mean 'model'?"),
        ("upscal.model", "upscal: unknown key; did you mean 'upscale'?"),
        ("tile", "tile: unknown key; did you mean 'upscale.tile'?"),
        ("xyzzy", "xyzzy: unknown key; there are: batch, limits, runtime, upscale"),
    ],
)
def test_an_unknown_key_gets_a_suggestion(key: str, said: str) -> None:
    assert mistakes_of(sets=[f"{key}=1"]) == [f"{said} (--set {key})"]


def test_unknown_keys_are_found_inside_lists_and_unions(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "run.toml",
        'data = {folder = "x"}\noptimiser = {kind = "muon", momentun = 1}\n[[stages]]\n[[stages]]\nstep = 3\n',
    )
    assert mistakes_of(Run, path) == [
        "stages.1.step: unknown key; did you mean 'steps'? (run.toml)",
        "optimiser.momentun: unknown key; did you mean 'momentum'? (run.toml)",
    ]


def test_the_complaints_about_one_value_are_one_line() -> None:
    assert mistakes_of(Run, sets=["data.folder=x", "tile=abc"]) == [
        "tile: must be a valid integer or must be 'auto', not 'abc' (--set tile)"
    ]


def test_a_missing_key_and_a_rule_over_several_keys_are_explained() -> None:
    assert mistakes_of(Run) == ["data: is required"]
    assert mistakes_of(Run, sets=["data.betas=[1, 1]"]) == ["data.folder: is required"]
    assert mistakes_of(Run, sets=["data.folder=a", "name=a"]) == ["name and data.folder must differ"]


def test_a_value_in_place_of_a_section_is_a_mistake_even_when_a_stronger_source_hides_it(tmp_path: Path) -> None:
    path = write(tmp_path, "s.toml", "upscale = 3\nruntime = 4\n")
    lines = mistakes_of(path=path, sets=["upscale.tile=5", "upscale.model=x"])
    assert lines == [
        "upscale: is a section, so it cannot be 3",
        "runtime: must be a section with keys of its own, not 4 (s.toml)",
    ]


def test_long_values_are_shortened() -> None:
    (line,) = mistakes_of(flags={"runtime.precision": "x" * 500})
    assert len(line) < 200


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "x = ", "not valid TOML"),
        ("a.json", "{", "not valid JSON"),
        ("a.yaml", "a: [", "not valid YAML"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "not valid YAML"),
        ("a.yaml", "- 1", "must contain keys and values, not list"),
        ("a.ini", "", "suffix must be .toml"),
    ],
)
def test_a_file_that_is_not_a_configuration_is_refused_by_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    (line,) = mistakes_of(path=write(tmp_path, name, text))
    assert line.startswith(str(tmp_path / name))
    assert said in line


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    assert mistakes_of(path=tmp_path / "no.toml") == [f"{tmp_path}/no.toml: cannot be read: No such file or directory"]
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert mistakes_of(path=binary) == [f"{binary}: is not UTF-8 text"]


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    for name in ("a.toml", "a.yaml"):
        assert load_config(Settings, write(tmp_path, name, "")) == Settings()


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_bytes(b"\xef\xbb\xbf[runtime]\nthreads = 2\n")
    assert load_config(Settings, path).runtime.threads == 2


def test_truth_values_as_yaml_keys_are_a_mistake_and_no_crash(tmp_path: Path) -> None:
    path = write(tmp_path, "s.yaml", "on: 1\nupscale: {off: 2}\n")
    assert [line.partition(":")[0].partition(".")[0] for line in mistakes_of(path=path)] == ["upscale", "True"]


# ---------------------------------------------------------------------------------------- what is written


def everything() -> Run:
    return Run(
        name='quo"te\\ ü\n',
        tile=3,
        data=Data(folder=Path("a b"), betas=(1e-9, 2.0), options={"width": 64, "odd key": [True, "x"]}),
        stages=(Stage(steps=1), Stage(steps=2)),
        optimiser=Muon(momentum=0.5),
    )


@pytest.mark.parametrize("comments", [False, True])
def test_toml_reads_back_as_it_was(tmp_path: Path, comments: bool) -> None:
    text = to_toml(everything(), comments=comments)
    assert load_config(Run, write(tmp_path, "run.toml", text)) == everything()
    assert ("# Learning" in text or "# Momentum." in text) == comments


def test_the_template_of_the_settings_is_the_defaults_and_describes_every_key(tmp_path: Path) -> None:
    text = template(Settings)
    assert load_config(Settings, write(tmp_path, "s.toml", text)) == Settings()
    plain = " ".join(text.replace("\n# ", " ").split())
    for key, field in list_keys(Settings):
        assert f"{key.rpartition('.')[2]} =" in text
        assert field.description is not None
        assert field.description in plain


def test_the_template_marks_what_must_be_given(tmp_path: Path) -> None:
    text = template(Run)
    assert "# folder = # required" in text
    assert mistakes_of(Run, write(tmp_path, "run.toml", text)) == ["data.folder: is required (run.toml)"]
    text = text.replace("# folder = # required", 'folder = "x"')
    assert load_config(Run, write(tmp_path, "run.toml", text)) == Run(data=Data(folder=Path("x")))


def test_the_json_schema_knows_every_key_and_forbids_others() -> None:
    schema = json_schema(Settings)
    json.dumps(schema)
    assert set(schema["properties"]) == {"upscale", "runtime", "limits", "batch"}
    section = schema["$defs"]["UpscaleSettings"]
    assert section["additionalProperties"] is False
    assert section["properties"]["quality"]["anyOf"][0]["maximum"] == 100


def test_every_key_of_the_settings_is_described_in_a_sentence() -> None:
    keys = dict(list_keys(Settings))
    assert {"upscale.model", "runtime.threads", "limits.max_pixels", "batch.workers"} <= set(keys)
    for key, field in keys.items():
        assert field.description, key
        assert field.description.endswith("."), key


def test_keys_can_be_found_by_path_with_their_choices() -> None:
    assert choices_of(find_key(Settings, "runtime.precision")) == ("auto", "fp32", "fp16", "bf16")
    assert "webp" in choices_of(find_key(Settings, "upscale.format"))
    assert choices_of(find_key(Settings, "upscale.tile")) == ()
    with pytest.raises(KeyError):
        find_key(Settings, "upscale.nothing")
