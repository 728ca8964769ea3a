"""Training files of the two programs that srgan grew out of: srgan-rust and Multi-Generator SRGAN. Loads no torch.

Each key becomes one of ours, or has no effect for a reason that is told; an unknown one is a mistake. What a file does
not say is as the program had it, where that decides about the training.
"""

from __future__ import annotations

import configparser
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from srgan.config import read_values
from srgan.errors import InvalidConfig
from srgan.imaging.formats import FORMATS

SUFFIXES = tuple(suffix for format in FORMATS.values() for suffix in format.suffixes)
HEADINGS = ("key", "value", "here", "value here")
"""Of a table of `Became.cells`."""
VGG19 = {
    number: f"{kind}{block}_{place}"
    for block, first, count in ((1, 1, 2), (2, 6, 2), (3, 11, 4), (4, 20, 4), (5, 29, 4))
    for place in range(1, count + 1)
    for number, kind in ((first + 2 * place - 2, "conv"), (first + 2 * place - 1, "relu"))
}
"""The last layer of the first so many modules of torchvision's VGG19; those in between are poolings."""


@dataclass(frozen=True)
class Became:
    """What became of a key."""

    key: str
    value: Any
    here: Mapping[str, Any]
    """Our keys with their values; none where it has no effect."""
    said: str = ""
    """Why it has none, or what is different here."""

    def cells(self) -> tuple[str, str, str, str]:
        """Key, value, our key and our value, in words."""
        if not self.here:
            return self.key, _shown(self.value), "-", f"has no effect, because {self.said}"
        values = ", ".join(_shown(value) for value in self.here.values())
        return self.key, _shown(self.value), ", ".join(self.here), f"{values}; {self.said}" if self.said else values


@dataclass(frozen=True)
class Origin:
    """A training file of another program, as one of ours."""

    program: str
    values: dict[str, Any]
    """The training file, section by section. Whoever reads it sees whether all of it is in range there."""
    rows: tuple[Became, ...]


def import_origin(path: Path) -> Origin | None:
    """The file at ``path`` (TOML, YAML, JSON, or INI) as a training file; None when it is of no such program.

    Raises `InvalidConfig`, with a line for each key that is unknown or cannot be taken over.
    """
    values = _ini(path) if path.suffix.lower() == ".ini" else read_values(path)
    read = next((read for known, read in FORMS.items() if known(values)), None)
    if read is None:
        return None
    form = _Form(dict(_flat(values)))
    program = read(form)
    form.refuse_the_rest()
    if form.mistakes:
        raise InvalidConfig("\n".join(f"{path}: {mistake}" for mistake in form.mistakes))
    return Origin(program, form.made, tuple(form.rows))


def _ini(path: Path) -> dict[str, Any]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys as they are written
    try:
        parser.read_string(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InvalidConfig(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, configparser.Error) as error:
        raise InvalidConfig(f"{path}: not valid INI: {' '.join(str(error).split())}") from error
    return {section: dict(parser[section]) for section in parser.sections()}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """All keys as dotted paths, but for those without a value."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value


@dataclass
class _Form:
    """What is left of a file's keys, and what has been made of the others."""

    left: dict[str, Any]
    made: dict[str, Any] = field(default_factory=dict)
    rows: list[Became] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def put(self, **values: Any) -> None:
        """Set ``section__key=value`` of the training file."""
        for path, value in values.items():
            section, _, name = path.rpartition("__")
            (self.made.setdefault(section, {}) if section else self.made)[name] = value

    def number(self, key: str, default: float | None = None, *, whole: bool = True) -> Any:
        """The number at ``key``, which may be text, as 1e-4 is in YAML 1.1."""
        self.asked.append(key)
        value = self.left.get(key, default)
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if value is not None and not (math.isfinite(number) and (not whole or number == int(number))):
            self.mistakes.append(f"{key}: must be a {'whole ' if whole else ''}number, not {value!r}")
            number = default or 1
        return None if value is None else int(number) if whole else number

    def flag(self, key: str, default: bool | None = None) -> bool | None:
        """The truth at ``key``, in a word where it is text."""
        self.asked.append(key)
        value = self.left.get(key, default)
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if isinstance(value, str):
            value = words.get(value.lower(), value)
        if value is not None and not isinstance(value, bool):
            self.mistakes.append(f"{key}: must be true or false, not {value!r}")
            return default
        return value

    def text(self, key: str) -> str | None:
        """The text at ``key``."""
        self.asked.append(key)
        value = self.left.get(key)
        return None if value is None else str(value)

    def became(self, key: str, default: Any = None, /, *, said: str = "", **here: Any) -> None:
        """Note what became of ``key``, which has ``default`` where the file does not say, and set it."""
        self.put(**here)
        if key not in self.left:
            said = f"{said}; the default there" if said else "the default there"
        value = self.left.pop(key, default)
        self.rows.append(Became(key, value, {path.replace("__", "."): made for path, made in here.items()}, said))

    def idle(self, because: str, *keys: str) -> None:
        """Note that those of ``keys`` that are there have no effect."""
        self.asked += keys
        for key in keys:
            if key in self.left:
                self.rows.append(Became(key, self.left.pop(key), {}, because))

    def fixed(self, wanted: float, what: str, *keys: str) -> None:
        """``keys`` have ``wanted`` here, and cannot have anything else."""
        for key in keys:
            value = self.number(key, whole=False)
            if value not in (None, wanted):
                self.mistakes.append(f"{key}: {value:g}: {what} always has {wanted:g}")
            self.idle(f"{what} always has it", key)

    def refuse_the_rest(self) -> None:
        """Name each key that nothing was made of."""
        for key, value in self.left.items():
            if key not in self.asked:
                near = get_close_matches(key, self.asked, n=1)
                self.mistakes.append(f"{key}: unknown key" + (f"; did you mean {near[0]!r}?" if near else ""))
            elif not any(mistake.startswith(f"{key}:") for mistake in self.mistakes):
                self.mistakes.append(f"{key}: {value!r} cannot be taken over")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# ------------------------------------------------------------------------------------------------------ srgan-rust


def _is_ours(values: Mapping[str, Any]) -> bool:
    data = values.get("data")
    return "recipe" in values or (isinstance(data, Mapping) and "folders" in data)


def _is_rust(values: Mapping[str, Any]) -> bool:
    known = {"network": ("factor", "log_depth"), "data": ("training_folder",), "output": ("parameter_file",)}
    sections = ((values.get(name), keys) for name, keys in known.items())
    own = any(isinstance(section, Mapping) and any(key in section for key in keys) for section, keys in sections)
    return own or ("training" in values and not _is_ours(values))


def _rust(form: _Form) -> str:
    """`network`, `training`, `data`, `validation`, `output`, with the defaults of srgan-rust."""
    form.put(recipe="pretrain", network__name="fast")
    scale, width, depth = (
        form.number(f"network.{key}", default) for key, default in (("factor", 4), ("width", 16), ("log_depth", 4))
    )
    form.became("network.factor", 4, network__scale=scale)
    # As many layers as there: 2^depth - 1, here two in each block, one before and one behind them.
    blocks = max(1, 2 ** min(max(depth, 1), 8) // 2 - 1)
    options = {"width": width, "blocks": blocks}
    for key, value in (("network.width", 16), ("network.log_depth", 4)):
        form.became(key, value, said="as wide and deep, but plain residual blocks", network__options=options)
    form.idle("networks here see the neighbourhood of a pixel only, so that tiles fit", "network.global_node_factor")
    rate = form.number("training.learning_rate", 3e-3, whole=False)
    form.became("training.learning_rate", 3e-3, optimiser__learning_rate=rate)
    form.became("training.batch_size", 4, data__batch=form.number("training.batch_size", 4))
    patch = form.number("training.patch_size", 48)
    tile = {"data__tile": patch * scale} if patch * scale > 480 else {}
    form.became("training.patch_size", 48, data__patch=patch, **tile)
    loss = form.text("training.loss_type") or "L1"
    if loss.upper() not in ("L1", "L2"):
        form.mistakes.append(f"training.loss_type: must be L1 or L2, not {loss!r}")
    form.became("training.loss_type", "L1", loss__pixel="mse" if loss.upper() == "L2" else "l1")
    form.idle(
        "small pictures are made by bicubic reduction in sRGB, as for published figures", "training.srgb_downscale"
    )
    form.idle("models hold their weights as 16-bit numbers, and are not made coarser", "training.quantise")
    every = form.number("training.checkpoint_interval", 1000)
    form.became("training.checkpoint_interval", 1000, output__checkpoint_every=every)
    if (steps := form.number("training.max_steps")) is not None:
        form.became("training.max_steps", steps=steps)
    _rust_data(form)
    _rust_validation(form)
    _rust_output(form)
    return "srgan-rust"


def _rust_data(form: _Form) -> None:
    if folder := form.text("data.training_folder"):
        form.became("data.training_folder", data__folders=[folder])
    else:
        form.mistakes.append("data.training_folder: is needed: the folder of training pictures")
    form.idle("folders are always searched with all that lies below them", "data.recurse")
    turns = ("horizontal_flip", True), ("vertical_flip", False), ("rotate_90", True)
    wanted = [form.flag(f"data.augmentation.{key}", default) for key, default in turns]
    for key, default in turns:
        said = "flips and turns go together here"
        form.became(f"data.augmentation.{key}", default, said=said, data__augment=any(wanted))
    form.idle(
        "pictures keep their brightness and contrast: both of a pair would change alike",
        "data.augmentation.brightness_range",
        "data.augmentation.contrast_range",
    )


def _rust_validation(form: _Form) -> None:
    folder = form.text("validation.validation_folder")
    pictures, every = form.number("validation.max_images"), form.number("validation.frequency", 100)
    patience, best = form.number("training.early_stopping_patience"), form.flag("output.save_best_model", True)
    if not folder:
        form.idle(
            "there are no validation pictures (validation.validation_folder)",
            "validation.max_images",
            "validation.frequency",
            "training.early_stopping_patience",
            "output.save_best_model",
        )
        return
    form.became("validation.validation_folder", validation__folder=folder)
    form.became("validation.frequency", 100, validation__every=every)
    if pictures is not None:
        form.became("validation.max_images", validation__max_pictures=pictures)
    if patience is not None:
        form.became("training.early_stopping_patience", validation__patience=patience)
    form.became("output.save_best_model", True, output__take="best" if best else "last")


def _rust_output(form: _Form) -> None:
    if file := form.text("output.parameter_file"):
        name = _name(Path(file).stem)
        form.became(
            "output.parameter_file", said="the model is a bundle in NAME/NUMBER below output.runs", output__name=name
        )
    if folder := form.text("output.checkpoint_dir"):
        form.became("output.checkpoint_dir", said="with a folder for each run", output__runs=folder)
    if form.text("output.tensorboard_dir"):
        form.became("output.tensorboard_dir", said="in the folder of the run", output__tensorboard=True)


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:64] or "model"


# -------------------------------------------------------------------------------------------- Multi-Generator SRGAN


def _is_multi(values: Mapping[str, Any]) -> bool:
    return not _is_ours(values) and any(
        name in values for name in ("dataset", "generator", "vgg", "adversarial_train", "pretrain")
    )


def _multi(form: _Form) -> str:
    """`dataset`, `generator`, `discriminator`, `vgg`, `pretrain`, `adversarial_train` of Multi-Generator SRGAN."""
    adversarial = any(key.startswith("adversarial_train.") for key in form.left)
    form.put(recipe="adversarial" if adversarial else "pretrain", network__name="srresnet", loss__pixel="mse")
    form.made["data"] = {}
    _multi_data(form)
    form.fixed(9, "the first and last convolution of srresnet", "generator.kernel_size1")
    form.fixed(3, "every other convolution of srresnet", "generator.kernel_size2")
    form.fixed(1, "srresnet", "generator.stride", "generator.padding2")
    form.fixed(4, "the padding of those kernels", "generator.padding1")
    form.fixed(3, "a picture", "generator.input_channels", "discriminator.input_channels")
    form.fixed(0.2, "every discriminator", "discriminator.leaky_relu_slope")
    options: dict[str, int] = {}
    for key, name in (("number_of_residual_blocks", "blocks"), ("number_of_channels", "width")):
        if (value := form.number(f"generator.{key}")) is not None:
            options = {**options, name: value}
            form.became(f"generator.{key}", network__options=options)
    form.idle("discriminators take any size", "discriminator.input_size")
    (folder,) = form.made["data"].get("folders", [""])
    if adversarial:
        _multi_gan(form, folder)
    else:
        form.idle("this is no GAN: there is no section adversarial_train", "discriminator.fc_size", "vgg.feature_layer")
        _stage(form, folder, "pretrain", rate="lr", each=1)
    return "Multi-Generator SRGAN"


def _multi_data(form: _Form) -> None:
    small, large, factor = (
        form.number(key) for key in ("dataset.input_size", "dataset.output_size", "generator.upscale_factor")
    )
    scale = factor or ((large // small) if small and large else 2)
    if small and large and large != scale * small:
        form.mistakes.append(f"dataset.output_size: {large} is not {scale} times dataset.input_size {small}")
    if small is not None:
        form.became("dataset.input_size", said="cut out, not squeezed", data__patch=small)
    if large is not None:
        form.became("dataset.output_size", network__scale=scale)
    form.put(network__scale=scale)
    if factor is not None:
        form.became("generator.upscale_factor", network__scale=scale)
    if (batch := form.number("dataset.batch_size")) is not None:
        form.became("dataset.batch_size", data__batch=batch)
    if folder := form.text("dataset.hr_train_dir"):
        form.became("dataset.hr_train_dir", data__folders=[folder])
    else:
        form.mistakes.append("dataset.hr_train_dir: is needed: the folder of training pictures")
    if low := form.text("dataset.lr_train_dir"):
        form.became("dataset.lr_train_dir", said="of the same names", data__low_folders=[low])
    if valid := form.text("dataset.hr_valid_dir"):
        form.became("dataset.hr_valid_dir", validation__folder=valid)
    if valid and (low := form.text("dataset.lr_valid_dir")):
        form.became("dataset.lr_valid_dir", said="of the same names", validation__low_folder=low)
    form.idle("there are no large validation pictures (dataset.hr_valid_dir)", "dataset.lr_valid_dir")
    form.idle("patches are cut from memory; hardware.loaders makes degraded batches ahead", "dataset.num_workers")
    form.idle("patches are always drawn at random", "dataset.shuffle")


def _multi_gan(form: _Form, folder: str) -> None:
    """The GAN. What the program has no keys for is as in its sister here, `configs/config.yaml`."""
    form.put(discriminator__name="srgan", discriminator__loss="bce", discriminator__label=0.9, loss__adversarial=0.1)
    if (dense := form.number("discriminator.fc_size")) is not None:
        form.became("discriminator.fc_size", discriminator__options={"dense": dense})
    if (layer := form.number("vgg.feature_layer")) is not None:
        if layer not in VGG19:
            form.mistakes.append(f"vgg.feature_layer: {layer}: there, VGG19 has a pooling or nothing; 15 is conv3_3")
        form.became(
            "vgg.feature_layer",
            said="give loss.feature_weights, torchvision's file; or set loss.features to squeezenet without layers",
            loss__features="vgg19",
            loss__feature_layers={VGG19.get(layer, "conv3_3"): 1.0},
            loss__feature_distance="mse",
        )
    for key, ours in (("g_steps", "generator"), ("d_steps", "discriminator")):
        if (steps := form.number(f"adversarial_train.{key}")) is not None:
            form.became(f"adversarial_train.{key}", **{f"updates__{ours}": steps})
    if (rate := form.number("adversarial_train.lr_D", whole=False)) is not None:
        form.became("adversarial_train.lr_D", discriminator__learning_rate=rate)
    each = form.made.get("updates", {}).get("generator", 1)
    epochs, first = form.number("pretrain.num_epochs"), form.number("pretrain.lr", whole=False)
    sets = ["--set recipe=pretrain"]
    if epochs and (steps := _steps(epochs, folder, form.made["data"].get("batch", 16))):
        sets.append(f"--set steps={steps}")
    if first:
        sets.append(f"--set optimiser.learning_rate={first:g}")
    form.idle(
        f"this is the second stage; the first is the same file with {' '.join(sets)}",
        "pretrain.num_epochs",
        "pretrain.lr",
        "pretrain.save_images",
        "pretrain.image_save_path",
    )
    _stage(form, folder, "adversarial_train", rate="lr_G", each=each)


def _stage(form: _Form, folder: str, section: str, *, rate: str, each: int) -> None:
    """Length, rate and pictures of a stage, in which each batch of an epoch is worth ``each`` steps."""
    if (epochs := form.number(f"{section}.num_epochs")) is not None:
        if steps := _steps(epochs, folder, form.made["data"].get("batch", 16)):
            pictures = f"there are {_count(folder)} pictures"
            form.became(f"{section}.num_epochs", said=pictures, steps=steps * each)
        else:
            form.idle(f"epochs count pictures, and {folder} has none here: set steps", f"{section}.num_epochs")
    if (value := form.number(f"{section}.{rate}", whole=False)) is not None:
        form.became(f"{section}.{rate}", optimiser__learning_rate=value)
    if (save := form.flag(f"{section}.save_images")) is not None:
        form.became(f"{section}.save_images", output__samples=4 if save else 0)
    form.idle("samples lie in the folder of the run", f"{section}.image_save_path")


def _steps(epochs: int, folder: str, batch: int) -> int:
    return epochs * math.ceil(_count(folder) / max(1, batch))


def _count(folder: str) -> int:
    """The pictures below ``folder``; 0 where there is no such folder."""
    if not folder or not Path(folder).is_dir():
        return 0
    return sum(path.suffix.lower() in SUFFIXES for path in Path(folder).rglob("*"))


FORMS = {_is_rust: _rust, _is_multi: _multi}
"""How a file is known, and who reads it."""
