"""The training file: every setting of `srgan train`, typed and described. Importing this loads no torch.

What all recipes share is in `TrainConfig`. A recipe brings what is its own with it: `RECIPES` names a `Recipe` for
each, whose settings are a subclass. The key ``recipe`` of a file says by which of them it is read.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, field_validator, model_validator
from pydantic.json_schema import models_json_schema

from srgan.config import DRAFT, checked, template
from srgan.errors import InvalidConfig
from srgan.models.info import NAME_PATTERN
from srgan.plugins import Table
from srgan.settings import Section
from srgan.training.picture_settings import DataSection, Fraction, PositiveInt, ValidationSection

if TYPE_CHECKING:
    from srgan.models import Bundle

Average = Annotated[float, Field(ge=0, lt=1)]
Period = Annotated[float, Field(gt=0)]
WeightDecay = Annotated[float, Field(ge=0, lt=1)]


def _sound(name: Any) -> Any:
    if isinstance(name, str) and not re.search(NAME_PATTERN, name):
        raise ValueError(
            "must be at most 64 lower-case letters, digits, dots, dashes or underscores; first a letter or digit"
        )
    return name


def check_decay(kind: str, decay: float | None, chosen_by: str) -> None:
    """Raise ValueError where the optimiser ``kind``, that the key ``chosen_by`` names, would not heed ``decay``."""
    if decay is not None and kind not in DECAYING:
        raise ValueError(f"weight_decay: {kind} has none; set {chosen_by} to {' or '.join(DECAYING)}, or leave it out")


DECAYING = ("adamw", "adan")
"""Optimisers with a weight decay."""
ModelName = Annotated[str, Field(pattern=NAME_PATTERN), BeforeValidator(_sound)]


class NetworkSection(Section):
    """The network to train."""

    name: str = Field(
        default="fast",
        description="Architecture: plain, turbo, fast, balanced, quality, srresnet, or one from a plug-in.",
    )
    scale: int = Field(default=4, ge=1, le=16, description="Scale factor of the network.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the architecture, such as width = 64."
    )
    init_from: str = Field(
        default="",
        description="Bundle (name or path) to start from. Weights with matching shapes are used; a different scale "
        "gets a new head; fast grows into quality, and plain into a larger plain. Or a .pth file from another program "
        "(params_ema or params) with the same layers.",
    )


class LossSection(Section):
    """Loss terms and their weights."""

    pixel: Literal["l1", "charbonnier", "mse"] = Field(default="l1", description="Pixel loss.")
    pixel_weight: float = Field(default=1.0, ge=0, description="Weight of the pixel loss, fft included.")
    fft: float = Field(
        default=0.0, ge=0, description="Weight of the L1 loss between the Fourier spectra of output and target."
    )
    mse_after: Fraction = Field(
        default=1.0, description="Fraction of the steps after which the pixel loss switches to MSE; 1 means never."
    )
    perceptual: float = Field(default=1.0, ge=0, description="Recipe adversarial: weight of the perceptual loss.")
    perceptual_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Fraction of each batch that the perceptual loss looks at, at least one patch: the same loss on "
        "average, in less time but with more noise.",
    )
    features: Literal["squeezenet", "vgg16", "vgg19"] = Field(
        default="squeezenet",
        description="Feature network of the perceptual loss. The VGG networks need feature_weights.",
    )
    feature_weights: Path | None = Field(
        default=None, description="torchvision's ImageNet weights file for the VGG network, such as vgg19-dcbb9e9d.pth."
    )
    feature_layers: dict[str, float] = Field(
        default_factory=dict,
        description="VGG layers and their weights, such as conv5_4 (before the activation) or relu5_4 (after it; "
        "VGG54 of the SRGAN paper). Default: relu5_4, or relu5_3 for vgg16.",
    )
    feature_distance: Literal["unit", "l1", "mse"] = Field(
        default="unit",
        description="Distance between features: of unit-length features as in LPIPS, or L1 or MSE of the raw features.",
    )
    adversarial: float = Field(default=0.1, ge=0, description="Recipe adversarial: weight of the GAN loss.")
    grid: float = Field(
        default=25.0,
        ge=0,
        description="Recipe adversarial: weight of the loss against checkerboard patterns with the period of the "
        "scale.",
    )
    artefact: float = Field(default=0.0, ge=0, description="Recipe adversarial: weight of the artefact loss (LDL).")


class OptimiserSection(Section):
    """Optimiser and learning-rate schedule."""

    kind: Literal["adam", "adamw", "adan", "muon"] = Field(
        default="adam",
        description="Optimiser. muon: orthogonalised momentum for the inner convolutions, Adam for the rest.",
    )
    learning_rate: float = Field(
        default=1e-3, gt=0, le=1, description="Peak learning rate of Adam, AdamW or Adan; Adan bears a higher one."
    )
    muon_learning_rate: float = Field(default=7e-3, gt=0, le=1, description="Peak learning rate of Muon.")
    betas: tuple[Average, Average] = Field(default=(0.9, 0.99), description="Betas of Adam and AdamW.")
    adan_betas: tuple[Average, Average, Average] = Field(
        default=(0.98, 0.92, 0.99),
        description="Betas of Adan, also of the discriminator's: of the gradient, of its change, and of their square.",
    )
    weight_decay: WeightDecay | None = Field(
        default=None, description="Decoupled weight decay of adamw and adan. Default: 0.01."
    )
    warmup: int = Field(default=100, ge=0, description="Warm-up steps, over which the learning rate rises from zero.")
    flat: Fraction = Field(
        default=0.0, description="Fraction of the steps at the peak learning rate before the cosine decay."
    )
    final: Fraction = Field(default=1e-3, description="Learning rate at the last step, as a fraction of the peak.")
    schedule: Literal["cosine", "steps", "restarts"] = Field(
        default="cosine",
        description="Learning-rate schedule: cosine decay; steps: multiplied by gamma at each milestone; restarts: a "
        "cosine decay in each of several periods.",
    )
    milestones: tuple[Fraction, ...] = Field(
        default=(0.5,), description="Milestones of the schedule steps, as fractions of the steps."
    )
    gamma: float = Field(default=0.1, gt=0, le=1, description="Factor of the schedule steps.")
    periods: tuple[Period, ...] = Field(
        default=(0.25, 0.25, 0.25, 0.25),
        min_length=1,
        description="Periods of the schedule restarts, as fractions of the steps; they must cover all steps.",
    )
    restart_weights: tuple[Fraction, ...] = Field(
        default=(),
        description="Peak of each period, as a fraction of the peak learning rate. Default: all 1.",
    )
    clip: float = Field(default=1.0, gt=0, description="Gradient clipping: maximum norm.")
    ema: Average = Field(
        default=0.999, description="Decay of the exponential moving average of the weights, which becomes the model."
    )
    accumulate: PositiveInt = Field(default=1, description="Gradient accumulation: batches per optimiser step.")
    recoveries: int = Field(
        default=3,
        ge=0,
        description="How many times training may return to the last good checkpoint after NaN or infinite values.",
    )
    recovery_rate: float = Field(
        default=0.5, gt=0, le=1, description="Factor for all learning rates at each such return."
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> OptimiserSection:
        check_decay(self.kind, self.weight_decay, "kind")
        if self.schedule == "restarts":
            if sum(self.periods) < 1 - 1e-6:
                raise ValueError(f"periods cover {sum(self.periods):g} of the steps; their sum must be at least 1")
            if self.restart_weights and len(self.restart_weights) != len(self.periods):
                raise ValueError(
                    f"restart_weights has {len(self.restart_weights)} entries but periods has {len(self.periods)}; "
                    "they must match"
                )
            if self.flat:
                raise ValueError("flat is for the schedule cosine; restarts have periods instead")
        return self


class HardwareSection(Section):
    """Devices, precision and memory."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Device to train on.")
    devices: PositiveInt = Field(
        default=1,
        description="Number of devices of this machine (data parallel), each with its own process and batch. Recipe "
        "ensemble: number of members trained at the same time, one per device.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="Numeric precision. auto: bf16 where the device supports it well (measured on a CPU), else fp32. "
        "fp16: for CUDA devices without fast bf16, with automatic loss scaling.",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 means all.")
    loaders: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="Further threads, which make batches ahead of the step; with 0 the step makes them itself. The "
        "batches are the same. Default, with a degradation only: one for every two CPU threads, at most 4; on a GPU 1.",
    )
    compile: bool = Field(
        default=False, description="Compile the network with torch.compile: slower to start, faster on a GPU."
    )
    checkpoint_activations: bool = Field(
        default=False,
        description="Recompute the activations of residual blocks in the backward pass: less memory, a third more "
        "time.",
    )


class OutputSection(Section):
    """Model name, checkpoints and logs."""

    name: ModelName = Field(default="model", description="Name of the run and of the model.")
    family: str = Field(default="", description="Family name, shared by models that differ only in scale.")
    description: str = Field(default="", description="One sentence about the model.")
    corpus: str = Field(default="", description="Description of the training pictures, for the model's provenance.")
    licence: str = Field(default="", description="SPDX identifier of the weights' licence.")
    runs: Path = Field(default=Path("runs"), description="Folder for all runs; each gets a sub-folder NAME/NUMBER.")
    checkpoint_every: PositiveInt = Field(
        default=1000, description="Steps between checkpoints. Each best validation also saves one."
    )
    keep: PositiveInt = Field(default=3, description="Number of recent checkpoints to keep, besides the best.")
    take: Literal["last", "best"] = Field(
        default="last",
        description="Checkpoint whose averaged weights become the model.",
    )
    unfit: Literal["refuse", "keep"] = Field(
        default="refuse",
        description="What becomes of a run that ends with weights worse than those it began with: refuse writes no "
        "model. Its checkpoints stay either way.",
    )
    samples: int = Field(
        default=4,
        ge=0,
        description="Number of validation pictures to show as samples (bicubic, output, original) in RUN/samples and "
        "TensorBoard.",
    )
    tensorboard: bool = Field(default=True, description="Write TensorBoard logs.")
    wandb: str = Field(
        default="",
        pattern=r"^[^/\\#?%:]*$",
        description="Project of Weights & Biases to log curves, samples and settings to; empty for none. Needs the "
        "extra wandb. The account is that of `wandb login`; with WANDB_MODE=offline nothing is sent.",
    )


RECIPES = Table(
    "srgan.recipes",
    "recipe",
    {
        name: f"srgan.training.recipes:{name.upper()}"
        for name in ("pretrain", "adversarial", "distil", "ensemble", "take")
    }
    | {"latent": "srgan.training.latent.settings:LATENT"},
)
"""The ways from a training file to a model: each names a `Recipe`."""
CHOICE = "Training recipe: pretrain, adversarial, distil, ensemble, take, latent, or one from a plug-in."


class TrainConfig(Section):
    """A training run. `srgan config init --kind train` writes one to begin with.

    To validate values by this class reads them by the settings of the recipe that they name.
    """

    recipe: str = Field(default="pretrain", description=CHOICE)
    steps: PositiveInt = Field(default=50_000, description="Optimiser steps of the generator.")
    steps_before: int = Field(
        default=0,
        ge=0,
        description="Steps that the model in network.init_from already has of these: the schedule continues after "
        "them, with a new warm-up. For a run whose checkpoints are lost.",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Random seed.")
    network: NetworkSection = Field(default_factory=NetworkSection, description="The network to train.")
    data: DataSection = Field(description="The training pictures.")
    loss: LossSection = Field(default_factory=LossSection, description="Loss terms and their weights.")
    optimiser: OptimiserSection = Field(
        default_factory=OptimiserSection, description="Optimiser and learning-rate schedule."
    )
    validation: ValidationSection = Field(default_factory=ValidationSection, description="Validation during training.")
    hardware: HardwareSection = Field(default_factory=HardwareSection, description="Devices, precision and memory.")
    output: OutputSection = Field(default_factory=OutputSection, description="Model name, checkpoints and logs.")

    def for_epochs(self, epochs: int, pictures: int) -> Self:
        """This configuration with the `steps` that ``epochs`` take: as many patches as there are ``pictures`` each.

        Raises `InvalidConfig` where that contradicts the rest.
        """
        steps = max(1, math.ceil(epochs * pictures / (self.data.batch * self.optimiser.accumulate)))
        return checked(type(self), {**self.model_dump(), "steps": self.steps_for(steps)})

    def steps_for(self, passes: int) -> int:
        """`steps`, when that part of them which passes over the pictures takes ``passes``."""
        return passes

    @classmethod
    def form_of(cls, values: Mapping[str, Any]) -> type[TrainConfig]:
        """The settings of the recipe that ``values`` name. An unknown one is told of by the validation."""
        if cls is TrainConfig:
            with contextlib.suppress(InvalidConfig):
                return find_recipe(str(values.get("recipe", "pretrain"))).settings
        return cls

    @classmethod
    def owner_of(cls, key: str) -> str:
        """The recipes that have the section ``key``, in words."""
        owners = [name for name, settings in _forms() if key in settings.model_fields]
        return f"it belongs to the recipe {' or '.join(owners)}" if owners else ""

    @model_validator(mode="wrap")
    @classmethod
    def _by_recipe(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        form = cls.form_of(values) if isinstance(values, Mapping) else cls
        return handler(values) if form is cls else form.model_validate(values)

    @field_validator("recipe")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in RECIPES.targets:
            raise ValueError(f"must be one of {', '.join(RECIPES.names())}")
        try:
            find_recipe(name)
        except InvalidConfig as error:
            raise ValueError(str(error)) from error
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """All contradictions at once, a line for each."""
        if mistakes := list(self._contradictions()):
            raise ValueError("\n".join(mistakes))
        return self

    def _contradictions(self) -> Iterator[str]:
        known = ("psnr", "ssim", *self.validation.figures)
        if self.validation.best not in known:
            yield f"validation.best: {self.validation.best!r} must be one of {', '.join(known)}"
        if self.validation.folder is None:
            if self.validation.patience is not None:
                yield "validation.patience: needs validation.folder"
            if self.output.take == "best":
                yield "output.take: best needs validation.folder"
            if self.validation.low_folder is not None:
                yield "validation.low_folder: needs validation.folder"
        if self.validation.inputs != "bicubic" and self.validation.low_folder is not None:
            yield "validation.inputs: cannot be combined with validation.low_folder: inputs are either given or made"
        if self.validation.inputs == "training" and self.data.degradation.kind == "bicubic":
            yield "validation.inputs: training needs data.degradation.kind other than bicubic"
        if self.steps_before:
            if not find_recipe(self.recipe).together:
                yield f"steps_before: the recipe {self.recipe} has no steps of its own"
            if not self.network.init_from:
                yield "steps_before: needs network.init_from"
            if self.steps_before >= self.steps:
                yield f"steps_before: {self.steps_before} leaves nothing to do of {self.steps} steps"
        tile, scale = self.data.tile, self.network.scale
        for number, size in enumerate(self.data.stages()):
            if size.patch * scale > tile:
                key = f"schedule.{number}.patch" if number < len(self.data.schedule) else "patch"
                yield f"data.{key} {size.patch} times network.scale {scale} is larger than data.tile {tile}"
        if tile % scale:
            yield f"data.tile {tile} is not a multiple of network.scale {scale}"


@dataclass(frozen=True)
class Recipe:
    """One way from a training file to a model.

    A package of its own announces one by an entry point of the group `srgan.recipes`.
    """

    settings: type[TrainConfig]
    """How its training files are read: `TrainConfig`, or a subclass with sections of its own, each key described."""
    work: str
    """``module:function`` of what trains, which is imported when it is called: what it may load is heavy.

    It takes the configuration, ``resume``, ``report`` and ``stop``, and gives the bundle. ``resume`` is what
    `srgan.training.runs.begun_run` takes: whether to go on with an unfinished run, or the folder of that run.
    """
    together: bool = True
    """Whether ``hardware.devices`` is the number of processes that are to do this work together, by `Team`."""

    def __call__(self, config: TrainConfig, **how: Any) -> Bundle:
        """Do the work as ``config``, an instance of `settings`, says, and ``how``: see `work`."""
        module, _, name = self.work.partition(":")
        bundle: Bundle = getattr(importlib.import_module(module), name)(config, **how)
        return bundle


def find_recipe(name: str) -> Recipe:
    """The recipe ``name``. Raises `InvalidConfig` when there is none, and when a plug-in's is not a `Recipe`."""
    recipe = RECIPES.load(name)
    if not isinstance(recipe, Recipe):
        raise InvalidConfig(f"The plug-in for the recipe {name!r} is not a Recipe but a {type(recipe).__name__}")
    return recipe


def _forms() -> Iterator[tuple[str, type[TrainConfig]]]:
    """Each recipe's name and settings; a plug-in that cannot be loaded is left out."""
    for name in RECIPES.names():
        with contextlib.suppress(InvalidConfig):
            yield name, find_recipe(name).settings


def train_schema() -> dict[str, Any]:
    """The JSON Schema of a training file, for editors: one of the forms of all recipes, by the key ``recipe``."""
    names: dict[type[TrainConfig], list[str]] = {}
    for name, form in _forms():
        names.setdefault(form, []).append(name)
    made, schema = models_json_schema([(form, "validation") for form in names])
    choices = []
    for form, known in names.items():
        chosen: dict[str, Any] = {**made[form, "validation"], "properties": {"recipe": {"enum": known}}}
        if "pretrain" not in known:
            chosen["required"] = ["recipe"]
        choices.append(chosen)
    return {"$schema": DRAFT, "title": "Training file", **schema, "oneOf": choices}


def train_template(recipe: str = "pretrain") -> str:
    """A commented training file for ``recipe`` with every key at its default. Raises `InvalidConfig`."""
    return template(find_recipe(recipe).settings, recipe=recipe)
