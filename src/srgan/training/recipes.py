"""The recipes that come with srgan, and the settings that each adds to those that all share. Loads no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from srgan.settings import Section
from srgan.training.config import CHOICE, Average, PositiveInt, Recipe, TrainConfig


class DiscriminatorSection(Section):
    """Whom the generator has to convince."""

    name: str = Field(default="unet", description="Architecture: srgan, unet, patch or a plug-in's.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the architecture, such as width = 32."
    )
    loss: Literal["bce", "ragan", "lsgan", "hinge", "wgan-gp"] = Field(
        default="bce", description="The game; ragan is the relativistic average of BCE."
    )
    label: float = Field(default=1.0, gt=0.5, le=1, description="What real pictures count as; 0.9 smooths the label.")
    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="Peak learning rate of its Adam.")
    betas: tuple[Average, Average] = Field(default=(0.9, 0.99), description="Its Adam's averaging factors.")
    gradient_penalty: float = Field(
        default=10.0,
        ge=0,
        description="Weight of the penalty of wgan-gp: its mean score of a picture is to have the slope 1.",
    )
    r1: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the R1 penalty: half the squared slope of a real picture's mean score; 0 is none.",
    )
    r1_every: PositiveInt = Field(default=16, description="Discriminator steps from one R1 penalty to the next.")
    head_start: int = Field(
        default=0, ge=0, description="Generator steps in which it learns but does not yet count for the generator."
    )


class UpdatesSection(Section):
    """How many steps one takes before it is the other's turn, each with a fresh batch."""

    generator: PositiveInt = Field(default=1, description="Steps of the generator in a row.")
    discriminator: PositiveInt = Field(default=1, description="Steps of the discriminator in front of them.")


class EnsembleSection(Section):
    """Which networks are trained, and what is made of them."""

    members: tuple[dict[str, Any], ...] = Field(
        default=(),
        description="A table for each member with the settings that are its own, such as recipe, seed, "
        "loss.adversarial or network.init_from; `member 0` there is the first of them.",
    )
    fidelity: bool = Field(
        default=True,
        description="Whether the first member is trained for PSNR, by the recipe pretrain, and the others start from "
        "it, by the recipe adversarial, unless they say otherwise.",
    )
    soup: bool = Field(
        default=True, description="Also make one network whose weights are the mean of the others' than the first."
    )
    fusion_steps: int = Field(
        default=2000, ge=0, description="Steps of the network that weighs the members at each pixel; 0 for none."
    )
    fusion_perceptual: float = Field(
        default=0.0,
        ge=0,
        description="Weight of the feature distance beside the L1 that the fusion makes small. With 0 it trusts hardly "
        "any but the PSNR member.",
    )
    fusion_learning_rate: float = Field(default=2e-3, gt=0, le=1, description="Peak learning rate of its Adam.")


class AdversarialConfig(TrainConfig):
    """What the recipe `adversarial` reads."""

    recipe: str = Field(default="adversarial", description=CHOICE)
    discriminator: DiscriminatorSection = Field(
        default_factory=DiscriminatorSection, description="Whom the generator has to convince."
    )
    updates: UpdatesSection = Field(
        default_factory=UpdatesSection, description="Steps of the one and the other in turn."
    )


class EnsembleConfig(AdversarialConfig):
    """What the recipe `ensemble` reads: also what its members share, those that are trained by `adversarial` too."""

    recipe: str = Field(default="ensemble", description=CHOICE)
    ensemble: EnsembleSection = Field(
        default_factory=EnsembleSection, description="Which networks are trained, and what is made of them."
    )


PRETRAIN = Recipe(TrainConfig, "srgan.training.pretrain:pretrain")
ADVERSARIAL = Recipe(AdversarialConfig, "srgan.training.adversarial:adversarial")
ENSEMBLE = Recipe(EnsembleConfig, "srgan.training.ensemble:ensemble", together=False)
TAKE = Recipe(TrainConfig, "srgan.training.take:take", together=False)
