"""`srgan config`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srgan.config import load_config
from srgan.settings import Settings


def test_the_schema_of_the_settings_is_one_json_document(srgan: Callable[..., Any]) -> None:
    done = srgan("config", "schema")
    document = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert set(document["properties"]) == set(Settings.model_fields)
    assert document["$schema"].startswith("https://json-schema.org/")


def test_the_schema_of_the_training_file_has_the_keys_of_every_recipe(srgan: Callable[..., Any]) -> None:
    document = json.loads(srgan("config", "schema", "--kind", "train").out)
    keys = {}
    for choice in document["oneOf"]:
        form = document["$defs"][choice["$ref"].rpartition("/")[2]]
        keys |= {recipe: set(form["properties"]) for recipe in choice["properties"]["recipe"]["enum"]}
        assert form["additionalProperties"] is False
    assert document["$schema"].startswith("https://json-schema.org/")
    assert all({"recipe", "steps", "data", "network"} <= known for known in keys.values())
    assert keys["adversarial"] - keys["pretrain"] == {"discriminator", "updates"}
    assert keys["ensemble"] - keys["adversarial"] == {"ensemble"}
    assert keys["take"] == keys["pretrain"]


def test_init_writes_a_file_that_means_the_defaults(
    srgan: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert srgan("config", "init").out == "srgan.toml\n"
    assert load_config(Settings, tmp_path / "srgan.toml") == Settings()
    assert srgan("config", "init", "--kind", "train").out == "train.toml\n"
    assert tomllib.loads((tmp_path / "train.toml").read_text())["recipe"] == "pretrain"


def test_init_writes_the_file_of_a_recipe(srgan: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert srgan("config", "init", path, "--kind", "train", "--recipe", "adversarial").out == f"{path}\n"
    document = tomllib.loads(path.read_text())
    assert (document["recipe"], document["discriminator"]["name"]) == ("adversarial", "unet")
    assert "discriminator" not in tomllib.loads(srgan("config", "init", "-", "--kind", "train").out)


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
        (["init", "--kind", "train", "--preset", "best"], 2, "Choose one of: basic, fast, high-quality"),
        (["init", "--preset", "fast-gan"], 2, "add --kind train"),
        (["init", "--recipe", "take"], 2, "add --kind train"),
        (["init", "--kind", "train", "--recipe", "alchemy"], 2, "Choose one of: pretrain, adversarial"),
        (["init", "--kind", "train", "--recipe", "take", "--preset", "gan"], 2, "a preset has its own recipe"),
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


OPTIONS = """
name: mine
model_type: SRModel
scale: 2
datasets: {train: {type: PairedImageDataset, dataroot_gt: pictures, gt_size: 64}}
network_g: {type: EDSR, num_feat: 32, num_block: 4}
train:
  optim_g: {type: Adam, lr: 1e-4}
  total_iter: 1000
  pixel_opt: {type: L1Loss}
logger: {print_freq: 100}
"""


def test_options_of_basicsr_become_a_training_file(srgan: Callable[..., Any], tmp_path: Path) -> None:
    from srgan.training.config import TrainConfig

    source, target = tmp_path / "options.yml", tmp_path / "made.toml"
    source.write_text(OPTIONS)
    done = srgan("config", "import", source, "-o", target)

    assert (done.code, done.out) == (0, f"{target}\n")
    assert "left out: logger.print_freq" in done.err
    assert "Different here: network_g" in done.err
    text = target.read_text()
    assert "left out: logger.print_freq" in text
    assert load_config(TrainConfig, target).network.options == {"width": 32, "blocks": 4}

    again = srgan("config", "import", source, "-o", target)
    assert (again.code, again.out) != (0, f"{target}\n")
    assert "exists already" in again.err
    assert target.read_text() == text


def test_options_that_mean_something_else_make_no_file(srgan: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "options.yml").write_text(OPTIONS.replace("EDSR", "SwinIR"))
    done = srgan("config", "import", tmp_path / "options.yml", "-o", tmp_path / "made.toml")
    assert done.code != 0
    assert "network_g.type: 'SwinIR'" in done.err
    assert not (tmp_path / "made.toml").exists()


ORIGIN = """
network: {factor: 2, width: 16}
training: {max_steps: 300, quantise: true}
data: {training_folder: photos}
"""


def test_a_file_of_an_origin_becomes_a_training_file(srgan: Callable[..., Any], tmp_path: Path) -> None:
    from srgan.training.config import TrainConfig

    source, target = tmp_path / "training.yaml", tmp_path / "made.toml"
    source.write_text(ORIGIN)
    done = srgan("config", "import", source, "-o", target)

    assert (done.code, done.out) == (0, f"{target}\n")
    assert "has no effect, because models hold" in done.err
    made = load_config(TrainConfig, target)
    assert (made.network.scale, made.steps) == (2, 300)
    assert "training.quantise" in target.read_text(), "the table is in the file too"


def test_what_is_no_training_file_is_told_what_there_is(srgan: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("colour: blue")
    done = srgan("config", "import", tmp_path / "other.yaml", "-o", tmp_path / "made.toml")
    assert done.code == 2
    assert "not a training file of BasicSR" in done.err
    assert "srgan-rust" in done.err


@pytest.mark.parametrize("name", ["basic", "fast", "high-quality", "advanced"])
def test_generate_config_writes_the_preset_of_that_name(name: str, srgan: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert srgan("generate-config", path, "-p", name).out == f"{path}\n"
    assert path.read_text() == srgan("config", "init", "-", "--kind", "train", "--preset", name).out


def test_generate_config_has_a_preset_of_its_own(srgan: Callable[..., Any]) -> None:
    assert srgan("generate-config", "-").out == srgan("generate-config", "-", "-p", "basic").out
    assert "no preset 'best'" in srgan("generate-config", "-", "-p", "best").err
