"""The settings of the recipe `latent`. Loads no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from srgan.config import list_keys
from srgan.networks.latent import PARTS
from srgan.settings import Section
from srgan.training.config import (
    CHOICE,
    Average,
    LossSection,
    OptimiserSection,
    OutputSection,
    Recipe,
    TrainConfig,
)
from srgan.training.picture_settings import Fraction, GivenPath, PositiveInt, ValidationSection
from srgan.training.recipes import UpdatesSection

PHASES = ("autoencoder", "decoder", "gan", "refiner")
"""In the order in which they are trained."""
Rate = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[int, Field(ge=0)]

USED: dict[str, set[str]] = {
    "": {"recipe", "steps", "steps_before", "seed"},
    "data": {"folders", "batch", "memory_gib", "augment", "max_pictures"},
    "loss": {
        "pixel_weight",
        "perceptual",
        "features",
        "feature_weights",
        "feature_layers",
        "feature_distance",
        "adversarial",
        "perceptual_share",
    },
    "optimiser": {
        "kind",
        "learning_rate",
        "betas",
        "warmup",
        "flat",
        "final",
        "schedule",
        "milestones",
        "gamma",
        "periods",
        "restart_weights",
        "clip",
        "ema",
        "accumulate",
        "recoveries",
        "recovery_rate",
    },
    "validation": {"folder", "every", "max_pictures", "best"},
    "hardware": {"device", "devices", "precision", "threads"},
    "output": {
        "name",
        "family",
        "description",
        "corpus",
        "licence",
        "runs",
        "checkpoint_every",
        "keep",
        "take",
        "samples",
        "tensorboard",
        "wandb",
    },
}
"""By section, the keys of all recipes that this one listens to. The others must stay at their defaults."""


class PhasesSection(Section):
    """Lengths of the phases. They divide `steps` in this proportion; with steps = their sum they are exact."""

    autoencoder: Share = Field(
        default=20_000, description="netRS and netG2 by L1: a share of steps, in proportion to the others."
    )
    decoder: Share = Field(
        default=7_000, description="netG2 alone by features and a critic, likewise; 0 leaves the phase out."
    )
    gan: Share = Field(default=50_000, description="netG1 against netD1, likewise.")
    refiner: Share = Field(default=13_000, description="RefinerG, likewise; 0 leaves the phase out.")

    def steps(self, total: int) -> dict[str, int]:
        """The steps of each phase, which make ``total`` together."""
        shares = [getattr(self, name) for name in PHASES]
        ends = [round(total * end / sum(shares)) for end in itertools.accumulate(shares)]
        return {name: end - start for name, start, end in zip(PHASES, [0, *ends], ends, strict=False)}


class PartsSection(Section):
    """The networks, by the names that their origin gave them."""

    forms: dict[str, str] = Field(
        default_factory=dict,
        description="Form of a network: narrow (the default, for processors) or origin (as its origin describes it), "
        'such as { netRS = "origin" }. Roles: netRS, netG2, netG1, netD1, RefinerG, RefinerD.',
    )
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Arguments of a network, such as { netG1 = { width = 256 } }."
    )


class AutoencoderSection(Section):
    """Phase autoencoder: netRS and netG2 learn to reproduce pictures."""

    noise: float = Field(
        default=0.05, ge=0, le=1, description="Deviation of the noise on codes, which are of about unit deviation."
    )


class DecoderSection(Section):
    """Phase decoder: netG2 alone learns to look right. The codes are fixed from here on."""

    rate: Rate = Field(default=1.0, description="Its learning rate, as a multiple of optimiser.learning_rate.")
    critic_rate: Rate = Field(default=0.4, description="Likewise for its critic.")
    adversarial: float = Field(
        default=0.01, ge=0, description="Weight of the GAN loss (hinge) next to L1; 0 for no critic."
    )
    critic: int = Field(default=24, ge=1, description="Width of its critic, a patch discriminator.")


class GanSection(Section):
    """Phase gan: netG1 makes codes from noise, netD1 tells them from those of pictures."""

    loss: Literal["hinge", "wgan-gp"] = Field(
        default="hinge",
        description="hinge, with spectral norm in netD1; or wgan-gp, without: set updates.discriminator to 3 or more.",
    )
    batch: PositiveInt = Field(default=96, description="Batch size.")
    rate: Rate = Field(default=0.5, description="Learning rate of netG1, as a multiple of optimiser.learning_rate.")
    critic_rate: Rate = Field(default=0.7, description="Likewise for netD1.")
    betas: tuple[Average, Average] = Field(default=(0.0, 0.9), description="Betas of Adam for both.")
    gradient_penalty: float = Field(default=10.0, ge=0, description="Weight of the gradient penalty of wgan-gp.")


class RefinerSection(Section):
    """Phase refiner: RefinerG takes 64 pixels to 512."""

    folders: tuple[GivenPath, ...] = Field(
        default=(),
        description="Folders or lists of pictures of at least 512 pixels. Default: those of data.folders that are "
        "large enough.",
    )
    validation_folder: GivenPath | None = Field(
        default=None, description="Folder of held-out pictures of at least 512 pixels. See validation.held_out."
    )
    batch: PositiveInt = Field(default=8, description="Batch size.")
    patch: int = Field(
        default=16, ge=8, le=64, multiple_of=8, description="Patch size in pixels of 64; RefinerD origin needs 64."
    )
    rate: Rate = Field(default=1.0, description="Learning rate of RefinerG, as a multiple of optimiser.learning_rate.")
    critic_rate: Rate = Field(default=0.4, description="Likewise for RefinerD.")
    made: Fraction = Field(
        default=0.3,
        description="Share of a batch whose inputs were made: half decoded from codes of pictures, half generated. The "
        "rest are pictures, reduced.",
    )
    adversarial_from: Fraction = Field(
        default=0.7, description="Fraction of the phase after which the GAN loss joins in; 1 means never."
    )


class LatentLoss(LossSection):
    """Loss terms and their weights."""

    pixel_weight: float = Field(default=100.0, ge=0, description="Phase refiner: weight of L1 (lambda_l1).")
    perceptual: float = Field(
        default=0.3, ge=0, description="Phase decoder: weight of the perceptual loss next to L1; 0 for none."
    )
    adversarial: float = Field(default=0.1, ge=0, description="Phase refiner: weight of the GAN loss (lambda_adv).")


class LatentOptimiser(OptimiserSection):
    """Optimiser and learning-rate schedule."""

    warmup: int = Field(default=20, ge=0, description="Warm-up steps at the beginning of each phase.")
    final: Fraction = Field(default=0.02, description="Learning rate at the end of a phase, as a fraction of the peak.")


class LatentValidation(ValidationSection):
    """Validation during training."""

    every: PositiveInt = Field(default=1000, description="Steps between validations.")
    max_pictures: PositiveInt = Field(
        default=2000,
        description="Use so many held-out pictures, and as many samples. A Frechet distance of fewer than 5,000 says "
        "little beyond its run.",
    )
    best: Literal["fd-squeeze", "kid-squeeze", "fd-pixels"] = Field(
        default="fd-squeeze", description="Distance that selects the best checkpoint of decoder and gan."
    )
    held_out: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="Share of the pictures that is held out to validate on, where no folder of such is given.",
    )
    fid_threshold: float = Field(
        default=25.0,
        ge=0,
        description="Largest distance (best) of samples that counts as release grade. The features are those of the "
        "named distance: this is no FID of Inception.",
    )


class LatentOutput(OutputSection):
    """Model name, checkpoints and logs."""

    take: Literal["last", "best"] = Field(
        default="best", description="Checkpoint of each phase whose averaged weights are taken."
    )
    publish: GivenPath | None = Field(
        default=None,
        description="Folder of models, such as $SRGAN_MODELS, where each finished run becomes a version of NAME and of "
        "NAME-refiner-x8. A better one becomes the latest; `srgan models rollback` goes back.",
    )


class LatentConfig(TrainConfig):
    """Settings of the recipe `latent`."""

    recipe: str = Field(default="latent", description=CHOICE)
    steps: PositiveInt = Field(default=90_000, description="Optimiser steps of all phases together.")
    phases: PhasesSection = Field(default_factory=PhasesSection, description="Lengths of the phases.")
    parts: PartsSection = Field(default_factory=PartsSection, description="The networks.")
    autoencoder: AutoencoderSection = Field(default_factory=AutoencoderSection, description="Phase autoencoder.")
    decoder: DecoderSection = Field(default_factory=DecoderSection, description="Phase decoder.")
    gan: GanSection = Field(default_factory=GanSection, description="Phase gan.")
    updates: UpdatesSection = Field(
        default_factory=UpdatesSection, description="Phase gan: ratio of netG1's steps to netD1's."
    )
    refiner: RefinerSection = Field(default_factory=RefinerSection, description="Phase refiner.")
    diff_augment: tuple[Literal["colour", "translation", "cutout"], ...] = Field(
        default=(),
        description="What is done to all pictures that a critic sees, real or not, so that few pictures last longer "
        "(DiffAugment).",
    )
    loss: LatentLoss = Field(default_factory=LatentLoss, description="Loss terms and their weights.")
    optimiser: LatentOptimiser = Field(
        default_factory=LatentOptimiser, description="Optimiser and learning-rate schedule."
    )
    validation: LatentValidation = Field(default_factory=LatentValidation, description="Validation during training.")
    output: LatentOutput = Field(default_factory=LatentOutput, description="Model name, checkpoints and logs.")

    def form(self, role: str) -> str:
        """The form of the network ``role``."""
        return self.parts.forms.get(role, "narrow")

    def steps_for(self, passes: int) -> int:
        """All phases, when the autoencoder takes ``passes``."""
        shares: list[int] = [getattr(self.phases, name) for name in PHASES]
        return round(passes * sum(shares) / shares[0])

    def _contradictions(self) -> Iterator[str]:
        for key, field in list_keys(TrainConfig):
            section, _, name = key.rpartition(".")
            if name not in USED.get(section, ()) and _at(self, key) != field.get_default(call_default_factory=True):
                yield f"{key}: the recipe latent has no use for it; leave it out"
        if self.steps_before:
            yield "steps_before: the recipe latent goes on with its own checkpoints only"
        if self.hardware.devices > 1:
            yield "hardware.devices: the recipe latent trains on one device"
        if self.optimiser.kind != "adam":
            yield "optimiser.kind: the recipe latent trains with adam"
        yield from self._mistaken_parts()
        for name in ("autoencoder", "gan"):
            if not getattr(self.phases, name):
                yield f"phases.{name}: cannot be left out"
        if self.phases.autoencoder and self.phases.gan:
            lengths = self.phases.steps(self.steps)
            if short := [name for name, steps in lengths.items() if not steps and getattr(self.phases, name)]:
                yield f"steps: {self.steps} leave none for the phase {', '.join(short)}"
        if self.form("RefinerD") == "origin" and self.refiner.patch != 64:
            yield "refiner.patch: RefinerD origin looks at whole pictures, so it must be 64"

    def _mistaken_parts(self) -> Iterator[str]:
        for role, form in self.parts.forms.items():
            if role not in PARTS:
                yield f"parts.forms: there is no network {role!r}; choose of {', '.join(PARTS)}"
            elif form not in PARTS[role].names():
                yield f"parts.forms.{role}: must be one of {', '.join(PARTS[role].names())}, not {form!r}"
        for role in self.parts.options:
            if role not in PARTS:
                yield f"parts.options: there is no network {role!r}; choose of {', '.join(PARTS)}"
        if (self.form("netG1") == "narrow") != (self.form("netD1") == "narrow"):
            yield "parts.forms: netG1 and netD1 must both be narrow, or neither: narrow ones work in coordinates"
        if (self.form("netRS") == "narrow") != (self.form("netG2") == "narrow"):
            yield "parts.forms: netRS and netG2 must both be narrow, or neither: narrow ones share a linear code"


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


LATENT = Recipe(LatentConfig, "srgan.training.latent.recipe:latent", together=False)
