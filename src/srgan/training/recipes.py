"""The built-in recipes and the settings that each adds to the common ones. Loads no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from srgan.settings import Section
from srgan.training.config import CHOICE, Average, Recipe, TrainConfig, WeightDecay, check_decay
from srgan.training.picture_settings import Fraction, GivenPath, PositiveInt


class DiscriminatorSection(Section):
    """Discriminator and GAN loss."""

    name: str = Field(default="unet", description="Architecture: srgan, unet, patch, or one from a plug-in.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the architecture, such as width = 32."
    )
    init_from: GivenPath | None = Field(
        default=None,
        description="File to start from: a checkpoint of a GAN's run, or a .pth or .safetensors file of another "
        "program with the same layers, such as Real-ESRGAN's for unet.",
    )
    loss: Literal["bce", "ragan", "lsgan", "hinge", "wgan-gp"] = Field(
        default="bce", description="GAN loss; ragan is the relativistic average GAN with BCE."
    )
    label: float = Field(
        default=1.0, gt=0.5, le=1, description="Label of real pictures; 0.9 is one-sided label smoothing."
    )
    optimiser: Literal["adam", "adamw", "adan"] = Field(default="adam", description="Optimiser of the discriminator.")
    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="Peak learning rate of the discriminator.")
    betas: tuple[Average, Average] = Field(
        default=(0.9, 0.99), description="Betas of the discriminator's Adam or AdamW."
    )
    weight_decay: WeightDecay | None = Field(
        default=None, description="Decoupled weight decay of the discriminator's adamw or adan. Default: 0.01."
    )
    gradient_penalty: float = Field(
        default=10.0,
        ge=0,
        description="Weight of the gradient penalty of wgan-gp, on the slope of a picture's mean score.",
    )
    r1: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the R1 penalty: half the squared slope of a real picture's mean score; 0 disables it.",
    )
    r1_every: PositiveInt = Field(default=16, description="Apply the R1 penalty every N discriminator steps.")
    head_start: int = Field(
        default=0,
        ge=0,
        description="Train the discriminator for this many generator steps before the GAN loss counts for the "
        "generator.",
    )

    @model_validator(mode="after")
    def _fits_its_optimiser(self) -> DiscriminatorSection:
        check_decay(self.optimiser, self.weight_decay, "optimiser")
        return self


class UpdatesSection(Section):
    """Ratio of generator to discriminator steps. Each step uses a new batch."""

    generator: PositiveInt = Field(default=1, description="Generator steps in a row.")
    discriminator: PositiveInt = Field(default=1, description="Discriminator steps before them.")


class TeacherSection(Section):
    """The model whose outputs are targets beside the originals."""

    model: str = Field(
        min_length=1,
        description="Bundle (name or path) of the teacher, with the scale of the network. Or a .pth file from another "
        "program, with network and options.",
    )
    network: str = Field(default="", description="Architecture of a teacher that is a .pth file, as network.name.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of that architecture, as network.options."
    )
    weight: float = Field(
        default=1.0, gt=0, description="Weight of the loss against the teacher's outputs, beside loss.pixel_weight."
    )
    pixel: Literal["same", "l1", "charbonnier", "mse"] = Field(
        default="same",
        description="Loss against the teacher's outputs; same is loss.pixel. loss.fft and mse_after apply to both.",
    )
    until: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Fraction of the steps after which only the originals count; 1 means never.",
    )
    free_share: Fraction = Field(
        default=0.0,
        description="Share of the batch that is cut out of the high-resolution pictures and used as input. It has no "
        "original, so only the teacher's loss counts there.",
    )
    store: GivenPath | None = Field(
        default=None,
        description="Folder for the teacher's outputs for whole training pictures, computed before the first step "
        "where they are missing. Default: computed in each step, for its patches.",
    )


class EnsembleSection(Section):
    """Members of the ensemble and how they are combined."""

    members: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="One table per member with the settings that differ from the rest of the file, such as recipe, "
        "seed, loss.adversarial or network.init_from; `member 0` there means the first member.",
    )
    fidelity: bool = Field(
        default=True,
        description="By default, train the first member for PSNR (recipe pretrain) and start the others from it "
        "(recipe adversarial).",
    )
    soup: bool = Field(
        default=True, description="Also make a network with the mean weights of the members, without the PSNR member."
    )
    fusion_steps: int = Field(
        default=2000,
        ge=0,
        description="Training steps of the fusion network, which weights the members per pixel; 0 for no fusion.",
    )
    fusion_perceptual: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the perceptual loss, next to L1, for the fusion network. With 0 it mostly selects the "
        "PSNR member.",
    )
    fusion_learning_rate: float = Field(
        default=2e-3, gt=0, le=1, description="Peak learning rate of the fusion network (Adam)."
    )


class AdversarialConfig(TrainConfig):
    """Settings of the recipe `adversarial`."""

    recipe: str = Field(default="adversarial", description=CHOICE)
    discriminator: DiscriminatorSection = Field(
        default_factory=DiscriminatorSection, description="Discriminator and GAN loss."
    )
    updates: UpdatesSection = Field(
        default_factory=UpdatesSection, description="Ratio of generator to discriminator steps."
    )


class DistilConfig(TrainConfig):
    """Settings of the recipe `distil`."""

    recipe: str = Field(default="distil", description=CHOICE)
    teacher: TeacherSection = Field(description="The model whose outputs are targets beside the originals.")

    def _contradictions(self) -> Iterator[str]:
        yield from super()._contradictions()
        smallest = min(stage.batch for stage in self.data.stages())
        if self.teacher.free_share and not self.free(smallest):
            yield f"teacher.free_share: {self.teacher.free_share:g} of a batch of {smallest} is less than one patch"
        if not self.loss.pixel_weight and self.teacher.until < 1:
            yield "teacher.until: with loss.pixel_weight = 0 nothing would be learnt after it"
        if self.data.degradation.kind != "bicubic":
            if self.teacher.free_share:
                yield "teacher.free_share: cannot be combined with data.degradation, which these patches lack"
            if self.teacher.store is not None:
                yield "teacher.store: cannot be combined with data.degradation, which is another in each step"

    def free(self, batch: int) -> int:
        """Patches of a batch of so many that have no original."""
        return round(self.teacher.free_share * batch)


class EnsembleConfig(AdversarialConfig):
    """Settings of the recipe `ensemble`, including those of members trained by `adversarial`."""

    recipe: str = Field(default="ensemble", description=CHOICE)
    ensemble: EnsembleSection = Field(
        default_factory=EnsembleSection, description="Members of the ensemble and how they are combined."
    )


PRETRAIN = Recipe(TrainConfig, "srgan.training.pretrain:pretrain")
ADVERSARIAL = Recipe(AdversarialConfig, "srgan.training.adversarial:adversarial")
DISTIL = Recipe(DistilConfig, "srgan.training.distil:distil")
ENSEMBLE = Recipe(EnsembleConfig, "srgan.training.ensemble:ensemble", together=False)
TAKE = Recipe(TrainConfig, "srgan.training.take:take", together=False)
