"""The training file: every setting of `srgan train`, typed and described. Importing this loads no torch.

What all recipes share is in `TrainConfig`. A recipe brings what is its own with it: `RECIPES` names a `Recipe` for
each, whose settings are a subclass. The key ``recipe`` of a file says by which of them it is read.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ModelWrapValidatorHandler, field_validator, model_validator
from pydantic.json_schema import models_json_schema

from srgan.config import DRAFT, template
from srgan.errors import InvalidConfig
from srgan.models.info import NAME_PATTERN
from srgan.plugins import Table
from srgan.settings import Section
from srgan.training.degradation.settings import DegradationSection

if TYPE_CHECKING:
    from srgan.models import Bundle

Fraction = Annotated[float, Field(ge=0, le=1)]
Average = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]


def _named(path: Any) -> Any:
    """An empty text would be the current folder, with all that lies in it."""
    if path == "":
        raise ValueError("must be a path; . is the current folder")
    return path


def _sound(name: Any) -> Any:
    if isinstance(name, str) and not re.search(NAME_PATTERN, name):
        raise ValueError(
            "must be of small letters, digits, dots, dashes and underscores, 64 at most, the first a letter or digit"
        )
    return name


GivenPath = Annotated[Path, BeforeValidator(_named)]
ModelName = Annotated[str, Field(pattern=NAME_PATTERN), BeforeValidator(_sound)]


class NetworkSection(Section):
    """Which network is trained."""

    name: str = Field(
        default="fast", description="Architecture: srresnet, turbo, fast, balanced, quality or a plug-in's."
    )
    scale: int = Field(default=4, ge=1, le=16, description="Enlargement that the network learns.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the architecture, such as width = 64."
    )
    init_from: str = Field(
        default="",
        description="Bundle (name or path) to start from. Weights whose shapes fit are taken; "
        "a new scale gets a new head; fast grows into quality. Or a .pth file of another program, with params_ema or "
        "params, whose layers are the same.",
    )


class DataSection(Section):
    """The training pictures."""

    folders: tuple[GivenPath, ...] = Field(
        min_length=1,
        description="Folders of high-resolution pictures, searched recursively, and lists of them: text files with a "
        "path on each line, relative to the list's folder.",
    )
    low_folders: tuple[GivenPath, ...] = Field(
        default=(),
        description="Low-resolution counterparts, one folder or list for each of folders: the same paths below the "
        "folder, the same lines of the list. Without any they are made as degradation says.",
    )
    patch: int = Field(default=32, ge=8, le=512, description="Side of a training patch in low-resolution pixels.")
    batch: PositiveInt = Field(default=16, description="Patches in a batch, on each device.")
    tile: int = Field(
        default=480,
        ge=32,
        description="Pictures are kept as tiles of this side, in high-resolution pixels; up to a quarter larger where "
        "that saves much memory, as with pictures of 512 pixels.",
    )
    min_detail: float = Field(
        default=0.0,
        ge=0,
        description="Patches whose mean gradient, in levels of 255, is below this are mostly drawn again.",
    )
    flat_share: Fraction = Field(default=0.1, description="Chance that a patch below min_detail is used all the same.")
    memory_gib: float = Field(
        default=4.0, gt=0, description="Memory for decoded pictures. A larger dataset is streamed through it."
    )
    refresh: PositiveInt = Field(
        default=200, description="When streaming: steps between exchanges of one tile in sixteen."
    )
    augment: bool = Field(default=True, description="Random flips and quarter turns.")
    max_pictures: int | None = Field(default=None, ge=1, description="Use only the first so many pictures.")
    degradation: DegradationSection = Field(
        default_factory=DegradationSection, description="How low-resolution pictures are made."
    )

    @model_validator(mode="after")
    def _one_way_to_low_resolution(self) -> DataSection:
        if not self.low_folders:
            return self
        if len(self.low_folders) != len(self.folders):
            raise ValueError(
                f"low_folders has {len(self.low_folders)} entries and folders {len(self.folders)}: each needs its own"
            )
        if self.degradation.kind != "bicubic":
            raise ValueError(
                "low_folders and degradation.kind are two ways to low-resolution pictures: leave one of them out"
            )
        return self


class LossSection(Section):
    """What the network is trained to make small."""

    pixel: Literal["l1", "charbonnier", "mse"] = Field(default="l1", description="Pixel loss.")
    pixel_weight: float = Field(default=1.0, ge=0, description="Weight of the pixel loss and its spectral part.")
    fft: float = Field(
        default=0.0, ge=0, description="Weight of the L1 distance between the spectra of output and target."
    )
    mse_after: Fraction = Field(
        default=1.0, description="Fraction of the steps after which the pixel loss becomes MSE; 1 is never."
    )
    perceptual: float = Field(default=1.0, ge=0, description="Adversarial recipe: weight of the feature distance.")
    features: Literal["squeezenet", "vgg16", "vgg19"] = Field(
        default="squeezenet", description="Network whose features are compared. The VGGs need feature_weights."
    )
    feature_weights: Path | None = Field(
        default=None, description="File of torchvision's ImageNet weights of the VGG, such as vgg19-dcbb9e9d.pth."
    )
    feature_layers: dict[str, float] = Field(
        default_factory=dict,
        description="Layers of the VGG with their weights: conv5_4 before the activation, relu5_4 after it, which is "
        "the SRGAN paper's VGG54 and the default.",
    )
    feature_distance: Literal["unit", "l1", "mse"] = Field(
        default="unit", description="How features are compared: as LPIPS does, scaled to unit length, or as they are."
    )
    adversarial: float = Field(default=0.1, ge=0, description="Adversarial recipe: weight of the discriminator.")
    grid: float = Field(
        default=25.0,
        ge=0,
        description="Adversarial recipe: weight of patterns that are repeated from one enlarged pixel to the next.",
    )
    artefact: float = Field(
        default=0.0, ge=0, description="Adversarial recipe: weight of an extra L1 where artefacts show (LDL)."
    )


class OptimiserSection(Section):
    """How the weights are moved."""

    kind: Literal["adam", "muon"] = Field(
        default="adam", description="muon: orthogonalised momentum for the inner kernels, Adam for the rest."
    )
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Peak learning rate of Adam.")
    muon_learning_rate: float = Field(default=7e-3, gt=0, le=1, description="Peak learning rate of Muon.")
    betas: tuple[Average, Average] = Field(default=(0.9, 0.99), description="Adam's averaging factors.")
    warmup: int = Field(default=100, ge=0, description="Steps over which the learning rate rises from zero.")
    flat: Fraction = Field(
        default=0.0, description="Fraction of the steps at the peak before the cosine descent begins."
    )
    final: Fraction = Field(default=1e-3, description="Learning rate at the last step, as a fraction of the peak.")
    schedule: Literal["cosine", "steps"] = Field(
        default="cosine", description="steps: the rate is multiplied by gamma at each of the milestones instead."
    )
    milestones: tuple[Fraction, ...] = Field(
        default=(0.5,), description="Fractions of the steps after which the rate of the schedule steps falls."
    )
    gamma: float = Field(default=0.1, gt=0, le=1, description="What it is multiplied by.")
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient; a longer one is scaled down.")
    ema: Average = Field(default=0.999, description="Averaging factor of the weights that are kept.")
    accumulate: PositiveInt = Field(
        default=1, description="Batches in each optimiser step, one after the other: a larger batch in the same memory."
    )
    recoveries: int = Field(
        default=3,
        ge=0,
        description="How often training may go back to its last good checkpoint when numbers stay not finite.",
    )
    recovery_rate: float = Field(
        default=0.5, gt=0, le=1, description="What all learning rates are multiplied by each time it goes back."
    )


class ValidationSection(Section):
    """How progress is judged."""

    folder: GivenPath | None = Field(
        default=None,
        description="Folder of high-resolution pictures that training never sees, each run as a whole: "
        "of moderate size.",
    )
    every: PositiveInt = Field(default=1000, description="Steps between validations.")
    max_pictures: PositiveInt = Field(default=20, description="Use only the first so many pictures.")
    figures: tuple[
        Literal["lpips-unweighted", "dists-squeeze", "stlpips-alex", "fd-squeeze", "kid-squeeze", "grid"], ...
    ] = Field(default=(), description="Figures besides PSNR and SSIM, as `srgan evaluate` gives them.")
    best: str = Field(default="psnr", description="The figure that says which checkpoint is the best.")
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Validations in a row without a better best figure after which training ends early.",
    )


class HardwareSection(Section):
    """Where the work is done."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Device to train on.")
    devices: PositiveInt = Field(
        default=1,
        description="How many devices of this machine train together, each with a process and a batch of its own. "
        "Recipe ensemble: how many members are trained at a time, on a device each.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="Arithmetic. auto takes bf16 where the device computes it quickly, else fp32. fp16 is for CUDA "
        "devices that are not quick at bf16; each network's loss is scaled to its narrow range.",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes all.")
    compile: bool = Field(
        default=False, description="Compile the network with torch.compile: slower to start, faster on a GPU."
    )
    checkpoint_activations: bool = Field(
        default=False,
        description="Run residual blocks again for the gradient instead of keeping what they computed: less memory, a "
        "third more time.",
    )


class OutputSection(Section):
    """What is kept."""

    name: ModelName = Field(default="model", description="Name of the run and of the model.")
    family: str = Field(default="", description="Name that models of different scale share.")
    description: str = Field(default="", description="One sentence about the model.")
    corpus: str = Field(default="", description="What the training pictures are, for the model's provenance.")
    licence: str = Field(default="", description="SPDX identifier of the weights' licence.")
    runs: Path = Field(default=Path("runs"), description="Folder of all runs; each gets NAME/VERSION in it.")
    checkpoint_every: PositiveInt = Field(
        default=1000, description="Steps between checkpoints. There is also one at each best validation."
    )
    keep: PositiveInt = Field(default=3, description="Latest checkpoints that are kept, besides the best.")
    take: Literal["last", "best"] = Field(
        default="last",
        description="Which averaged weights become the model: the last, or those of the best checkpoint.",
    )
    unfit: Literal["refuse", "keep"] = Field(
        default="refuse",
        description="What becomes of a run that ends with weights worse than those it began with: refuse writes no "
        "model. Its checkpoints stay either way.",
    )
    samples: int = Field(
        default=4,
        ge=0,
        description="Validation pictures of which each validation shows a piece: bicubic, output and original, in "
        "RUN/samples and for TensorBoard.",
    )
    tensorboard: bool = Field(default=True, description="Write curves for TensorBoard.")


RECIPES = Table(
    "srgan.recipes",
    "recipe",
    {name: f"srgan.training.recipes:{name.upper()}" for name in ("pretrain", "adversarial", "ensemble", "take")},
)
"""The ways from a training file to a model: each names a `Recipe`."""
CHOICE = "Training recipe: pretrain, adversarial, ensemble, take or a plug-in's."


class TrainConfig(Section):
    """A training run. `srgan config init --kind train` writes one to begin with.

    To validate values by this class reads them by the settings of the recipe that they name.
    """

    recipe: str = Field(default="pretrain", description=CHOICE)
    steps: PositiveInt = Field(default=50_000, description="Optimiser steps of the generator.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of everything random.")
    network: NetworkSection = Field(default_factory=NetworkSection, description="Which network is trained.")
    data: DataSection = Field(description="The training pictures.")
    loss: LossSection = Field(default_factory=LossSection, description="What the network is trained to make small.")
    optimiser: OptimiserSection = Field(default_factory=OptimiserSection, description="How the weights are moved.")
    validation: ValidationSection = Field(default_factory=ValidationSection, description="How progress is judged.")
    hardware: HardwareSection = Field(default_factory=HardwareSection, description="Where the work is done.")
    output: OutputSection = Field(default_factory=OutputSection, description="What is kept.")

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
            yield f"validation.best: {self.validation.best!r} is not among {', '.join(known)}"
        if self.validation.folder is None:
            if self.validation.patience is not None:
                yield "validation.patience: needs validation.folder, the pictures that it is judged by"
            if self.output.take == "best":
                yield "output.take: the best checkpoint is known by validation only; give validation.folder"
        patch, tile, scale = self.data.patch, self.data.tile, self.network.scale
        if patch * scale > tile:
            yield f"data.patch {patch} times network.scale {scale} is larger than data.tile {tile}"
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
        raise InvalidConfig(f"The plug-in for the recipe {name!r} names no Recipe, but a {type(recipe).__name__}")
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
