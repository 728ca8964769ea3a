"""Options files of BasicSR, made into training files: for people who come from there. Importing this loads no torch.

What has a meaning here is taken over. What would come to mean something else is refused, all of it at once; what has no
counterpart is listed. Nothing is passed over in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from srgan.errors import InvalidConfig

MODELS = {"SRModel": "pretrain", "SRGANModel": "adversarial", "ESRGANModel": "adversarial"}
GENERATORS = ("MSRResNet", "EDSR")
DISCRIMINATORS = {"VGGStyleDiscriminator": "srgan", "UNetDiscriminatorSN": "unet"}
PIXEL_LOSSES = {"L1Loss": "l1", "MSELoss": "mse", "CharbonnierLoss": "charbonnier"}
CRITERIA = {"l1": "l1", "l2": "mse", "mse": "mse"}
GAMES = {"vanilla": "bce", "lsgan": "lsgan", "hinge": "hinge"}
OPTIMISERS = {"Adam": "adam", "AdamW": "adamw"}
FLIPS = ("use_flip", "use_hflip", "use_rot")
NO_CLIPPING = 1e6
"""Its models scale no gradient down."""


@dataclass(frozen=True)
class Imported:
    """A training file made of BasicSR's options, and what a person should know about it, a sentence each."""

    values: dict[str, Any]
    """The training file, section by section. Whoever reads it sees whether all of it is in range there."""
    differences: tuple[str, ...]
    """What is here in another form."""
    left_out: tuple[str, ...]
    """Keys without a counterpart."""


def import_options(path: Path) -> Imported:
    """Read the options file at ``path``. Raises `InvalidConfig` with a line for each key that cannot be taken over."""
    try:
        options = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidConfig(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidConfig(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(options, dict) or "network_g" not in options:
        raise InvalidConfig(
            f"{path}: not a training file of BasicSR, which has the sections network_g, datasets and train, nor of "
            "srgan-rust or Multi-Generator SRGAN"
        )
    reading = _Reading(dict(_flat(options)))
    recipe = _general(reading)
    _pictures(reading)
    _network(reading)
    _optimiser(reading)
    _losses(reading, recipe)
    if recipe == "adversarial":
        _game(reading)
    _rest(reading)
    if reading.refused:
        raise InvalidConfig("\n".join(f"{path}: {refusal}" for refusal in reading.refused))
    return Imported(reading.made, tuple(reading.differences), tuple(sorted(reading.options)))


def _flat(options: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """All keys as dotted paths; empty values are left out, as if they were not there."""
    for key, value in options.items():
        if isinstance(value, Mapping) and key != "layer_weights":
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value


@dataclass
class _Reading:
    """What is left of the ``options``, and what has been made of the others."""

    options: dict[str, Any]
    made: dict[str, Any] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    every: int = 1
    """Steps of the discriminator to one of the generator: steps are counted by the former there, by the latter here."""

    def take(self, key: str, default: Any = None) -> Any:
        return self.options.pop(key, default)

    def number(self, key: str, default: float) -> float:
        """A number; YAML 1.1 takes 1e-4 without a point for text."""
        value = self.take(key, default)
        number = _number(value)
        if number is None:
            self.refused.append(f"{key}: must be a number, not {value!r}")
            return default
        return number

    def whole(self, key: str, default: float, *, least: int = 1) -> int:
        """A whole number from ``least``, which may be written as 1e5."""
        value = self.number(key, default)
        if value != int(value) or value < least:
            self.refused.append(f"{key}: must be a whole number from {least}, not {value:g}")
            return max(least, int(default))
        return int(value)

    def numbers(self, key: str, default: tuple[float, ...] = ()) -> list[float]:
        """A list of numbers."""
        value = self.take(key, default)
        made = [_number(item) for item in value] if isinstance(value, (list, tuple)) else [None]
        if None in made:
            self.refused.append(f"{key}: must be a list of numbers, not {value!r}")
            return list(default)
        return [number for number in made if number is not None]

    def put(self, key: str, value: Any) -> None:
        section, _, name = key.rpartition(".")
        (self.made.setdefault(section, {}) if section else self.made)[name] = value

    def refuse_unless(self, key: str, allowed: tuple[Any, ...], reason: str) -> None:
        """Take ``key`` if it is there, and refuse it when its value is none of ``allowed``."""
        value = self.take(key, allowed[0])
        if value not in allowed:
            self.refused.append(f"{key}: {value!r}: {reason}")

    def choose(self, key: str, choices: Mapping[str, str], reason: str, *, default: str | None = None) -> str:
        """The counterpart of the word at ``key``; refused, when it has none."""
        word = self.take(key, default)
        if word not in choices:
            self.refused.append(f"{key}: {word!r}: {reason}; there are counterparts of {', '.join(choices)}")
        return choices.get(str(word), next(iter(choices.values())))


def _number(value: Any) -> float | None:
    """``value`` as a finite number, None if it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _general(reading: _Reading) -> str:
    """Name, seed, devices and recipe, which is given back."""
    name = str(reading.take("name", "model"))
    fitting = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:64] or "model"
    if fitting != name:
        reading.differences.append(f"name: {name} is written {fitting} here")
    reading.put("output.name", fitting)
    reading.put("seed", reading.whole("manual_seed", 0, least=0))
    devices = reading.take("num_gpu", "auto")
    if devices == 0:
        reading.put("hardware.device", "cpu")
    elif devices != "auto":
        reading.put("hardware.devices", devices)
    kind = reading.options.get("model_type")
    recipe = reading.choose("model_type", MODELS, "no equivalent recipe")
    reading.put("recipe", recipe)
    if kind == "ESRGANModel":
        reading.put("discriminator.loss", "ragan")
    return recipe


def _pictures(reading: _Reading) -> None:
    scale = reading.whole("scale", 4)
    reading.put("network.scale", scale)
    train = "datasets.train."
    reading.refuse_unless(f"{train}type", ("PairedImageDataset",), "only PairedImageDataset is supported")
    for part in ("datasets.train.", "datasets.val."):
        reading.refuse_unless(f"{part}io_backend.type", ("disk",), "only disk is supported")
        reading.take(f"{part}name")
    reading.refuse_unless("datasets.val.type", ("PairedImageDataset",), "only PairedImageDataset is supported")
    names = ("{}", f"{{}}x{scale}", f"{{}}_x{scale}")
    reading.refuse_unless(f"{train}filename_tmpl", names, f"low-resolution pictures must be named {', '.join(names)}")
    for key in ("meta_info_file", "mean", "std", "color"):
        if (value := reading.take(train + key)) is not None:
            reading.refused.append(f"{train}{key}: {value!r}: there is nothing like it here; leave it out")
    for key, target in (("dataroot_gt", "folders"), ("dataroot_lq", "low_folders")):
        value = reading.take(train + key)
        if value is None and target == "folders":
            reading.refused.append(f"{train}{key}: is needed: the folder of training pictures")
        if value is not None:
            reading.put(f"data.{target}", value if isinstance(value, list) else [value])
    size = reading.whole(f"{train}gt_size", 32 * scale)
    if size % scale:
        reading.refused.append(f"{train}gt_size: {size} is no multiple of the scale {scale}")
    reading.put("data.patch", size // scale)
    if size > 480:
        reading.put("data.tile", size)
    # Versions of it differ in the name of the flip: a key that is not there says nothing.
    flips = {key: bool(reading.take(train + key)) for key in FLIPS if train + key in reading.options}
    if len(set(flips.values())) > 1:
        reading.refused.append(f"{train}{', '.join(flips)}: flips and turns come together here: set both or none")
    reading.put("data.augment", any(flips.values()) or not flips)
    reading.put("data.batch", reading.whole(f"{train}batch_size_per_gpu", 16))
    reading.refuse_unless(f"{train}use_shuffle", (True,), "patches are always sampled at random")
    if folder := reading.take("datasets.val.dataroot_gt"):
        reading.put("validation.folder", folder)
        reading.put("validation.max_pictures", 100_000)  # all, as there
        if low := reading.take("datasets.val.dataroot_lq"):
            reading.put("validation.low_folder", low)


def _network(reading: _Reading) -> None:
    kind = reading.choose("network_g.type", dict.fromkeys(GENERATORS, "quality"), "no equivalent network")
    for key in ("num_in_ch", "num_out_ch"):
        reading.refuse_unless(f"network_g.{key}", (3,), "pictures have three channels")
    reading.refuse_unless("network_g.res_scale", (1, 1.0), "residual scaling is not supported")
    upscale = reading.take("network_g.upscale")
    if upscale not in (None, reading.made["network"]["scale"]):
        reading.refused.append(f"network_g.upscale: {upscale} is not the scale {reading.made['network']['scale']}")
    reading.put("network.name", kind)
    options = {"width": reading.take("network_g.num_feat", 64), "blocks": reading.take("network_g.num_block", 16)}
    reading.put("network.options", options)
    reading.take("network_g.img_range")
    reading.take("network_g.rgb_mean")
    reading.differences.append(
        "network_g: becomes `quality` with the same number of blocks and channels: also residual blocks without batch "
        "norm, but leaky ReLU, no input normalisation, and all layers at low resolution. A different, faster network"
    )
    for key in ("path.pretrain_network_g", "path.pretrain_model_g"):
        if weights := reading.take(key):
            reading.differences.append(
                f"{key}: {weights} does not fit into another network; set network.init_from to a model of `quality`, "
                "or to a .pth file whose layers are the same"
            )
    for key in ("path.strict_load_g", "path.strict_load", "path.param_key_g", "path.strict_load_d"):
        reading.take(key)


def _optimiser(reading: _Reading) -> None:
    for one, section in (("train.optim_g.", "optimiser"), ("train.optim_d.", "discriminator")):
        if section == "discriminator" and reading.made["recipe"] != "adversarial":
            continue
        kind = reading.choose(f"{one}type", OPTIMISERS, "no equivalent optimiser", default="Adam")
        reading.put(f"{section}.{'kind' if section == 'optimiser' else 'optimiser'}", kind)
        if kind == "adamw":
            reading.put(f"{section}.weight_decay", reading.number(f"{one}weight_decay", 0.01))
        else:
            reading.refuse_unless(f"{one}weight_decay", (0, 0.0), "only AdamW has a weight decay here")
        reading.put(f"{section}.learning_rate", reading.number(f"{one}lr", 1e-3))
        reading.put(f"{section}.betas", reading.take(f"{one}betas", [0.9, 0.999]))
    reading.put("optimiser.clip", NO_CLIPPING)
    reading.put("optimiser.ema", reading.number("train.ema_decay", 0.0))
    total = reading.whole("train.total_iter", reading.whole("train.niter", 1_000_000))
    if reading.made["recipe"] == "adversarial":
        reading.every = reading.whole("train.net_d_iters", 1)
        reading.put("updates.discriminator", reading.every)
    if total % reading.every:
        reading.refused.append(f"train.total_iter: {total} is no multiple of train.net_d_iters {reading.every}")
    reading.put("steps", total // reading.every)
    reading.put("optimiser.warmup", max(0, reading.whole("train.warmup_iter", -1, least=-1)) // reading.every)
    _schedule(reading, total)


def _schedule(reading: _Reading, total: int) -> None:
    kind = reading.take("train.scheduler.type", "MultiStepLR")
    if kind in ("MultiStepLR", "MultiStepRestartLR"):
        milestones = reading.numbers("train.scheduler.milestones")
        reading.put("optimiser.schedule", "steps")
        reading.put("optimiser.milestones", [step / total for step in milestones if step <= total])
        reading.put("optimiser.gamma", reading.number("train.scheduler.gamma", 0.1))
        restarts = reading.numbers("train.scheduler.restarts", (0,))
        reading.take("train.scheduler.restart_weights")
        if restarts != [0]:
            reading.refused.append("train.scheduler.restarts: restarts are not supported")
    elif kind == "CosineAnnealingRestartLR":
        periods = reading.numbers("train.scheduler.periods")
        weights = reading.numbers("train.scheduler.restart_weights", (1,))
        least = reading.number("train.scheduler.eta_min", 0.0)
        # A rate of zero is refused with what else is out of range here.
        reading.put("optimiser.final", least / (reading.made["optimiser"]["learning_rate"] or 1))
        if (periods, weights) == ([total], [1]):
            reading.put("optimiser.schedule", "cosine")
        else:
            reading.put("optimiser.schedule", "restarts")
            reading.put("optimiser.periods", [period / total for period in periods])
            reading.put("optimiser.restart_weights", weights)
    else:
        reading.refused.append(
            f"train.scheduler.type: {kind!r}: there are MultiStepLR, MultiStepRestartLR and CosineAnnealingRestartLR"
        )


def _losses(reading: _Reading, recipe: str) -> None:
    pixel = "train.pixel_opt."
    if f"{pixel}type" in reading.options:
        loss = reading.choose(f"{pixel}type", PIXEL_LOSSES, "no equivalent pixel loss")
        if loss == "charbonnier":
            reading.differences.append(f"{pixel}eps: 1e-6 under the root is fixed here")
            reading.take(f"{pixel}eps")
        reading.put("loss.pixel", loss)
        reading.put("loss.pixel_weight", reading.number(f"{pixel}loss_weight", 1.0))
        reading.refuse_unless(f"{pixel}reduction", ("mean",), "only mean is supported")
    elif recipe == "pretrain":
        reading.refused.append("train.pixel_opt: is needed to train a network alone")
    else:
        reading.put("loss.pixel_weight", 0.0)
    if recipe == "pretrain":
        return
    features = "train.perceptual_opt."
    weight = reading.number(f"{features}perceptual_weight", 1.0 if f"{features}type" in reading.options else 0.0)
    reading.put("loss.perceptual", weight)
    if not reading.take(f"{features}type"):
        return
    network = reading.take(f"{features}vgg_type", "vgg19")
    if network not in ("vgg16", "vgg19"):
        reading.refused.append(f"{features}vgg_type: {network!r}: there are vgg16 and vgg19")
        network = "vgg19"
    reading.put("loss.features", network)
    reading.put("loss.feature_layers", reading.take(f"{features}layer_weights", {}))
    reading.put(
        "loss.feature_distance", reading.choose(f"{features}criterion", CRITERIA, "no such distance", default="l1")
    )
    reading.refuse_unless(f"{features}style_weight", (0, 0.0), "the style loss is not supported")
    reading.refuse_unless(f"{features}use_input_norm", (True,), "inputs are always normalised as ImageNet's")
    reading.refuse_unless(f"{features}range_norm", (False,), "pictures have the range [0, 1]")
    reading.differences.append(
        f"loss.feature_weights: give the file of {network}'s weights from torchvision; it is not downloaded here"
    )


def _game(reading: _Reading) -> None:
    game = "train.gan_opt."
    relativistic = reading.made.get("discriminator", {}).get("loss") == "ragan"
    played = reading.choose(f"{game}gan_type", GAMES, "no equivalent GAN loss", default="vanilla")
    if not relativistic:
        reading.put("discriminator.loss", played)
    elif played != "bce":
        reading.refused.append(f"{game}gan_type: the relativistic game of ESRGANModel is that of vanilla here")
    reading.put("discriminator.label", reading.number(f"{game}real_label_val", 1.0))
    reading.refuse_unless(f"{game}fake_label_val", (0, 0.0), "generated pictures count as 0")
    reading.put("loss.adversarial", reading.number(f"{game}loss_weight", 1.0))
    reading.take(f"{game}type")
    reading.refuse_unless("train.net_d_init_iters", (0,), "not supported; see discriminator.head_start")
    kind = reading.options.get("network_d.type")
    name = reading.choose("network_d.type", DISCRIMINATORS, "no equivalent discriminator")
    reading.put("discriminator.name", name)
    reading.put("discriminator.options", {"width": reading.take("network_d.num_feat", 64)})
    reading.refuse_unless("network_d.num_in_ch", (3,), "pictures have three channels")
    reading.refuse_unless("network_d.skip_connection", (True,), "the U-Net always has skip connections")
    if name == "srgan":
        reading.take("network_d.input_size")
        reading.differences.append(f"network_d: {kind} becomes the SRGAN paper's, whose layers differ slightly")
    if weights := reading.take("path.pretrain_network_d"):
        if name == "unet":
            reading.put("discriminator.init_from", weights)
        else:
            reading.refused.append(f"path.pretrain_network_d: {weights}: has other layers than the SRGAN paper's")


def _rest(reading: _Reading) -> None:
    """Validation and checkpoints."""
    for key, target in (
        ("val.val_freq", "validation.every"),
        ("logger.save_checkpoint_freq", "output.checkpoint_every"),
    ):
        reading.put(target, max(1, reading.whole(key, 5000) // reading.every))
    reading.put("output.tensorboard", bool(reading.take("logger.use_tb_logger", True)))
    metrics = [key for key in reading.options if key.startswith("val.metrics.")]
    if metrics:
        for key in metrics:
            reading.take(key)
        reading.differences.append(
            "val.metrics: PSNR and SSIM are of the Y channel here, without a border of the scale"
        )
