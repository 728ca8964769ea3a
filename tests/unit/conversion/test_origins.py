"""Training files of srgan-rust and Multi-Generator SRGAN: what each key becomes, and that none is passed over."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from srgan.config import checked
from srgan.conversion.origins import VGG19, Origin, import_origin
from srgan.errors import InvalidConfig
from srgan.training.config import TrainConfig

RUST = """
[network]
factor = 3
width = 32
log_depth = 5
global_node_factor = 2

[training]
learning_rate = 0.002
batch_size = 8
patch_size = 24
loss_type = "L2"
srgb_downscale = false
quantise = true
checkpoint_interval = 500
max_steps = 20000
early_stopping_patience = 20

[data]
training_folder = "photos"
recurse = false

[data.augmentation]
horizontal_flip = false
vertical_flip = false
rotate_90 = false
brightness_range = 0.1
contrast_range = 0.1

[validation]
validation_folder = "judge"
max_images = 5
frequency = 100

[output]
parameter_file = "models/My Net.rsr"
checkpoint_dir = "./checkpoints"
tensorboard_dir = "logs"
save_best_model = true
"""
MULTI: dict[str, Any] = {
    "dataset": {
        "input_size": 64,
        "output_size": 128,
        "batch_size": 4,
        "num_workers": 4,
        "shuffle": True,
        "hr_train_dir": "high",
        "lr_train_dir": "low",
        "hr_valid_dir": "judge",
        "lr_valid_dir": "judge-low",
    },
    "generator": {
        "number_of_residual_blocks": 20,
        "upscale_factor": 2,
        "kernel_size1": 9,
        "kernel_size2": 3,
        "stride": 1,
        "padding1": 4,
        "padding2": 1,
        "number_of_channels": 64,
        "input_channels": 3,
    },
    "discriminator": {"input_channels": 3, "input_size": 128, "fc_size": 512, "leaky_relu_slope": 0.2},
    "vgg": {"feature_layer": 15},
    "pretrain": {"num_epochs": 15, "lr": "1e-6", "save_images": True, "image_save_path": "out"},
    "adversarial_train": {
        "d_steps": 1,
        "g_steps": 5,
        "num_epochs": 75,
        "lr_D": "1e-4",
        "lr_G": 9e-5,
        "save_images": False,
        "image_save_path": "out",
    },
}


def file(made: Origin) -> Any:
    """The training file that was made, checked."""
    return checked(TrainConfig, made.values, "training.toml")


def rows(made: Origin) -> dict[str, tuple[str, ...]]:
    """The table, by their keys."""
    return {cells[0]: cells[1:] for cells in (row.cells() for row in made.rows)}


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Origin]:
    """``imported(text)``: of TOML; ``imported(values)``: of YAML, with ten training pictures in the folder high."""
    monkeypatch.chdir(tmp_path)

    def make(content: str | dict[str, Any], suffix: str = "toml") -> Origin:
        path = tmp_path / f"training.{suffix}"
        if isinstance(content, dict):
            (tmp_path / "high" / "deep").mkdir(parents=True, exist_ok=True)
            for number in range(10):
                (tmp_path / "high" / "deep" / f"{number}.png").touch()
            (tmp_path / "high" / "notes.txt").touch()
            path = path.with_suffix(".yaml")
            content = yaml.safe_dump(content)
        path.write_text(content)
        made = import_origin(path)
        assert made is not None
        return made

    return make


def multi(**changes: Any) -> dict[str, Any]:
    """`MULTI` with ``section__key=value`` changed; None takes a key away, and a section without a key."""
    values = copy.deepcopy(MULTI)
    for path, value in changes.items():
        section, _, key = path.partition("__")
        here, name = (values[section], key) if key else (values, section)
        if value is None:
            del here[name]
        else:
            here[name] = value
    return values


# ------------------------------------------------------------------------------------------------------ srgan-rust


def test_a_file_of_srgan_rust_is_taken_over(imported: Callable[..., Origin]) -> None:
    made = imported(RUST)
    read = file(made)

    assert (made.program, read.recipe, read.steps) == ("srgan-rust", "pretrain", 20_000)
    assert (read.network.name, read.network.scale, read.network.options) == ("fast", 3, {"width": 32, "blocks": 15})
    assert (read.data.folders, read.data.patch, read.data.batch, read.data.augment) == ((Path("photos"),), 24, 8, False)
    assert (read.optimiser.learning_rate, read.loss.pixel) == (0.002, "mse")
    judged = read.validation
    assert (judged.folder, judged.max_pictures, judged.every, judged.patience) == (Path("judge"), 5, 100, 20)
    kept = read.output
    assert (kept.name, kept.runs, kept.checkpoint_every) == ("my-net", Path("checkpoints"), 500)
    assert (kept.tensorboard, kept.take) == (True, "best")


def test_every_key_of_it_is_in_the_table(imported: Callable[..., Origin]) -> None:
    table = rows(imported(RUST))

    assert len(table) == RUST.count(" = ")
    assert table["network.factor"] == ("3", "network.scale", "3")
    assert table["output.parameter_file"][1:] == (
        "output.name",
        '"my-net"; the model is a bundle in NAME/NUMBER below output.runs',
    )
    idle = {key for key, cells in table.items() if cells[1] == "-"}
    assert idle == {
        "network.global_node_factor",
        "training.srgb_downscale",
        "training.quantise",
        "data.recurse",
        "data.augmentation.brightness_range",
        "data.augmentation.contrast_range",
    }
    assert all(table[key][2].startswith("has no effect, because ") for key in idle)


def test_what_it_does_not_say_is_as_there(imported: Callable[..., Origin]) -> None:
    made = imported('[data]\ntraining_folder = "p"\n')
    read = file(made)

    assert (read.network.scale, read.network.options) == (4, {"width": 16, "blocks": 7})
    assert (read.optimiser.learning_rate, read.data.batch, read.data.patch) == (3e-3, 4, 48)
    assert (read.loss.pixel, read.output.checkpoint_every, read.data.augment) == ("l1", 1000, True)
    assert rows(made)["training.batch_size"] == ("4", "data.batch", "4; the default there")
    assert read.validation.folder is None
    assert read.output.take == "last", "the best is known by validation only"


def test_without_validation_pictures_what_needs_them_has_no_effect(imported: Callable[..., Origin]) -> None:
    made = imported(RUST.replace('validation_folder = "judge"\n', ""))

    assert file(made).validation.patience is None
    for key in ("training.early_stopping_patience", "output.save_best_model", "validation.frequency"):
        assert rows(made)[key][2].startswith("has no effect, because there are no validation pictures")


def test_a_large_patch_gets_a_tile_to_lie_in(imported: Callable[..., Origin]) -> None:
    read = file(imported(RUST.replace("patch_size = 24", "patch_size = 200")))
    assert (read.data.patch, read.data.tile) == (200, 600)


def test_json_says_the_same(imported: Callable[..., Origin]) -> None:
    content = json.dumps({"data": {"training_folder": "p"}, "training": {"batch_size": 2, "max_steps": None}})
    assert file(imported(content, "json")).data.batch == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("batch_size = 8", "batchsize = 8", r"training\.batchsize: unknown key; did you mean 'training\.batch_size'\?"),
        ("recurse = false", "colour = 1", r"data\.colour: unknown key"),
        ('loss_type = "L2"', 'loss_type = "L3"', r"training\.loss_type: must be L1 or L2, not 'L3'"),
        ("batch_size = 8", 'batch_size = "many"', r"training\.batch_size: must be a whole number, not 'many'"),
        ("batch_size = 8", "batch_size = 1.5", r"training\.batch_size: must be a whole number, not 1\.5"),
        ("batch_size = 8", "batch_size = true", r"training\.batch_size: must be a whole number, not True"),
        ("rotate_90 = false", 'rotate_90 = "maybe"', r"rotate_90: must be true or false, not 'maybe'"),
        ('training_folder = "photos"', "", r"data\.training_folder: is needed"),
        ('parameter_file = "models/My Net.rsr"', 'parameter_file = ""', r"parameter_file: '' cannot be taken over"),
    ],
)
def test_mistakes_are_named_by_their_own_keys(old: str, new: str, said: str, imported: Callable[..., Origin]) -> None:
    assert old in RUST
    with pytest.raises(InvalidConfig, match=rf"training\.toml: .*{said}"):
        imported(RUST.replace(old, new))


def test_all_mistakes_are_told_at_once(imported: Callable[..., Origin]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        imported(RUST.replace('"L2"', '"L3"').replace("recurse", "recurs").replace("factor = 3", "factor = 'x'"))
    assert len(str(caught.value).splitlines()) == 3


# -------------------------------------------------------------------------------------------- Multi-Generator SRGAN


def test_a_file_of_multi_generator_srgan_is_taken_over(imported: Callable[..., Origin]) -> None:
    made = imported(MULTI)
    read = file(made)

    assert (made.program, read.recipe) == ("Multi-Generator SRGAN", "adversarial")
    assert (read.network.name, read.network.scale) == ("srresnet", 2)
    assert read.network.options == {"blocks": 20, "width": 64}
    assert (read.data.patch, read.data.batch) == (64, 4)
    assert (read.data.folders, read.data.low_folders) == ((Path("high"),), (Path("low"),))
    assert (read.updates.generator, read.updates.discriminator) == (5, 1)
    assert (read.discriminator.name, read.discriminator.options) == ("srgan", {"dense": 512})
    assert (read.discriminator.learning_rate, read.optimiser.learning_rate) == (1e-4, 9e-5)
    assert (read.loss.features, read.loss.feature_layers) == ("vgg19", {"conv3_3": 1.0})
    assert (read.validation.folder, read.validation.low_folder) == (Path("judge"), Path("judge-low"))
    assert read.output.samples == 0
    # 75 epochs of ten pictures in batches of four, five steps of the generator for each batch.
    assert read.steps == 75 * 3 * 5


def test_every_key_of_that_is_in_its_table(imported: Callable[..., Origin]) -> None:
    table = rows(imported(MULTI))

    assert set(table) == {f"{section}.{key}" for section, keys in MULTI.items() for key in keys}
    assert table["generator.kernel_size1"] == (
        "9",
        "-",
        "has no effect, because the first and last convolution of srresnet always has it",
    )
    first = "--set recipe=pretrain --set steps=45 --set optimiser.learning_rate=1e-06"
    assert table["pretrain.num_epochs"][2].endswith(f"the first is the same file with {first}")
    assert table["adversarial_train.num_epochs"][1:] == ("steps", "1125; there are 10 pictures")


def test_the_first_stage_alone_is_a_pretraining(imported: Callable[..., Origin]) -> None:
    made = imported(multi(adversarial_train=None))
    read = file(made)

    assert (read.recipe, read.steps, read.optimiser.learning_rate) == ("pretrain", 45, 1e-6)
    assert read.output.samples == 4
    assert rows(made)["vgg.feature_layer"][1] == "-"


def test_epochs_without_pictures_leave_the_steps_to_the_person(imported: Callable[..., Origin]) -> None:
    made = imported(multi(dataset__hr_train_dir="elsewhere"))

    assert file(made).steps == TrainConfig.model_fields["steps"].default
    assert "elsewhere has none here: set steps" in rows(made)["adversarial_train.num_epochs"][2]


def test_ini_says_the_same(imported: Callable[..., Origin]) -> None:
    lines = []
    for section, keys in MULTI.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in keys.items())]
    by_yaml = imported(MULTI)

    assert imported("\n".join(lines), "ini").values == by_yaml.values


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"generator__kernel_size2": 5},
            r"generator\.kernel_size2: 5: every other convolution of srresnet always has 3",
        ),
        ({"generator__stride": 2}, r"generator\.stride: 2: srresnet always has 1"),
        ({"dataset__output_size": 256}, r"dataset\.output_size: 256 is not 2 times dataset\.input_size 64"),
        ({"discriminator__leaky_relu_slope": 0.1}, r"leaky_relu_slope: 0\.1: every discriminator always has 0\.2"),
        ({"vgg__feature_layer": 5}, r"vgg\.feature_layer: 5: there, VGG19 has a pooling or nothing"),
        ({"vgg__layers": 3}, r"vgg\.layers: unknown key; did you mean 'vgg\.feature_layer'\?"),
        ({"dataset__hr_train_dir": None}, r"dataset\.hr_train_dir: is needed"),
        ({"adversarial_train__lr_G": "fast"}, r"adversarial_train\.lr_G: must be a number, not 'fast'"),
        ({"optimizer": {"name": "sgd"}}, r"optimizer\.name: unknown key"),
    ],
)
def test_what_it_cannot_have_here_is_refused(
    changes: dict[str, Any], said: str, imported: Callable[..., Origin]
) -> None:
    with pytest.raises(InvalidConfig, match=said):
        imported(multi(**changes))


def test_layers_of_vgg19_are_counted_as_torchvision_does() -> None:
    known = {1: "conv1_1", 4: "relu1_2", 8: "conv2_2", 15: "conv3_3", 22: "conv4_2", 34: "relu5_3", 36: "relu5_4"}
    assert known.items() <= VGG19.items()
    assert len(VGG19) == 32
    assert not {5, 10, 19, 28, 37} & VGG19.keys(), "those are poolings"


# -------------------------------------------------------------------------------------------------- other files


@pytest.mark.parametrize(
    "content",
    [
        "recipe: pretrain\ndata: {folders: [p]}",
        "recipe: adversarial\ndata: {folders: [p]}\ndiscriminator: {name: unet}",
        "data: {folders: [p]}\ntraining: {steps: 3}",
        "network_g: {type: EDSR}",
        "",
    ],
    ids=["one of ours", "a GAN of ours", "ours with a mistake", "BasicSR", "empty"],
)
def test_other_files_are_left_alone(content: str, tmp_path: Path) -> None:
    (tmp_path / "train.yaml").write_text(content)
    assert import_origin(tmp_path / "train.yaml") is None


def test_the_projects_own_files_are_its_own() -> None:
    configs = Path(__file__).resolve().parents[3] / "configs"
    assert [path.name for path in configs.iterdir() if import_origin(path)] == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.toml", "[", "not valid TOML"),
        ("a.ini", "what", "not valid INI"),
        ("a.ini", None, "cannot be read"),
        ("a.toml", None, "cannot be read"),
        ("a.txt", "x", "the suffix must be"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InvalidConfig, match=said):
        import_origin(tmp_path / name)
