"""`srgan config`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.config import Settings, load_config


def test_the_schema_of_the_settings_is_one_json_document(srgan: Callable[..., Any]) -> None:
    done = srgan("config", "schema")
    document = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert set(document["properties"]) == set(Settings.model_fields)
    assert document["$schema"].startswith("https://json-schema.org/")


def test_the_schema_of_the_training_file_has_its_keys(srgan: Callable[..., Any]) -> None:
    document = json.loads(srgan("config", "schema", "--kind", "train").out)
    assert {"recipe", "steps", "data", "network"} <= set(document["properties"])


def test_init_writes_a_file_that_means_the_defaults(
    srgan: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert srgan("config", "init").out == "srgan.toml\n"
    assert load_config(Settings, tmp_path / "srgan.toml") == Settings()
    assert srgan("config", "init", "--kind", "train").out == "train.toml\n"
    assert tomllib.loads((tmp_path / "train.toml").read_text())["recipe"] == "pretrain"


def test_init_writes_a_preset(srgan: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    done = srgan("config", "init", path, "--kind", "train", "--preset", "fast-gan")
    assert (done.code, done.out) == (0, f"{path}\n")
    document = tomllib.loads(path.read_text())
    assert (document["recipe"], document["network"]["init_from"]) == ("adversarial", "fast-x4")
    assert document["updates"] == {"generator": 2, "discriminator": 1}


def test_init_never_touches_a_file_that_exists(srgan: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("# mine")
    done = srgan("config", "init", path)
    assert (done.code, done.out) == (7, "")
    assert done.err == f"srgan: error: {path}: exists already\n"
    assert path.read_text() == "# mine"


def test_init_to_standard_output_writes_no_file(
    srgan: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tomllib.loads(srgan("config", "init", "-").out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["init", "x.yaml"], 2, "must end in .toml"),
        (["init", "no/such/folder/x.toml"], 7, "No such file or directory"),
        (["init", "--kind", "nothing"], 2, "'nothing' is not"),
        (["init", "--kind", "train", "--preset", "best"], 2, "Choose one of: fast-gan, gan"),
        (["init", "--preset", "fast-gan"], 2, "add --kind train"),
        (["schema", "--kind", "nothing"], 2, "'nothing' is not"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    code: int,
    said: str,
    srgan: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = srgan("config", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
