"""The section `data.degradation` of a training file. Importing this loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from srgan.config import Section

_Number = TypeVar("_Number", int, float)


def _rising(bounds: tuple[_Number, _Number]) -> tuple[_Number, _Number]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range from {bounds[0]:g} to {bounds[1]:g} is empty: the smaller number comes first")
    return bounds


Chance = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0)]
_Sigma = Annotated[float, Field(gt=0, le=10)]
_Exponent = Annotated[float, Field(gt=0, le=10)]
_Factor = Annotated[float, Field(ge=0.1, le=4)]
_Strength = Annotated[float, Field(ge=0, le=100)]
_Quality = Annotated[int, Field(ge=1, le=100)]
_Side = Annotated[int, Field(ge=3, le=21)]
Sigmas = Annotated[tuple[_Sigma, _Sigma], AfterValidator(_rising)]
Exponents = Annotated[tuple[_Exponent, _Exponent], AfterValidator(_rising)]
Factors = Annotated[tuple[_Factor, _Factor], AfterValidator(_rising)]
Strengths = Annotated[tuple[_Strength, _Strength], AfterValidator(_rising)]
Qualities = Annotated[tuple[_Quality, _Quality], AfterValidator(_rising)]
Sides = Annotated[tuple[_Side, _Side], AfterValidator(_rising)]


class KernelSection(Section):
    """Which blur kernels there are. The shares need not add up to 1."""

    isotropic: Share = Field(default=0.45, description="Share of round Gaussian kernels.")
    anisotropic: Share = Field(default=0.25, description="Share of oblong Gaussian kernels.")
    generalised_isotropic: Share = Field(default=0.12, description="Share of round generalised Gaussian kernels.")
    generalised_anisotropic: Share = Field(default=0.03, description="Share of oblong generalised Gaussian kernels.")
    plateau_isotropic: Share = Field(default=0.12, description="Share of round plateau-shaped kernels.")
    plateau_anisotropic: Share = Field(default=0.03, description="Share of oblong plateau-shaped kernels.")
    generalised_exponent: Exponents = Field(
        default=(0.5, 4.0), description="Exponent of generalised Gaussian kernels; 1 is a plain one."
    )
    plateau_exponent: Exponents = Field(default=(1.0, 2.0), description="Exponent of plateau-shaped kernels.")
    side: Sides = Field(
        default=(7, 21), description="Side of all kernels, in pixels; an even one is made odd by one more pixel."
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `kernels.SHAPES`."""
        return (
            self.isotropic,
            self.anisotropic,
            self.generalised_isotropic,
            self.generalised_anisotropic,
            self.plateau_isotropic,
            self.plateau_anisotropic,
        )

    @model_validator(mode="after")
    def _some_share(self) -> KernelSection:
        if not sum(self.shares):
            raise ValueError("all shares of kernels are 0; to leave the blur out, set first.blur and second.blur to 0")
        return self


class ResizerSection(Section):
    """How pictures are resized on their way. The shares need not add up to 1."""

    area: Share = Field(default=1.0, description="Share of resizing by area.")
    bilinear: Share = Field(default=1.0, description="Share of bilinear resizing.")
    bicubic: Share = Field(default=1.0, description="Share of bicubic resizing.")
    antialias: Chance = Field(
        default=0.5,
        description="Chance that a bilinear or bicubic reduction takes all pixels into account, as Pillow does, "
        "rather than the nearest 2 or 4, as OpenCV does.",
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `resizing.MODES`."""
        return (self.area, self.bilinear, self.bicubic)

    @model_validator(mode="after")
    def _some_share(self) -> ResizerSection:
        if not sum(self.shares):
            raise ValueError("all shares of resizers are 0; one must be more")
        return self


class PassSection(Section):
    """The first round of wear: blur, resizing, noise, JPEG."""

    blur: Chance = Field(default=1.0, description="Chance of a blur.")
    blur_sigma: Sigmas = Field(default=(0.2, 3.0), description="Standard deviation of the blur along each axis.")
    sinc: Chance = Field(default=0.1, description="Chance that the blur is a sinc filter, which rings.")
    up: Share = Field(default=0.2, description="Share of enlargements.")
    down: Share = Field(default=0.7, description="Share of reductions.")
    keep: Share = Field(default=0.1, description="Share of pictures that keep their size.")
    resize: Factors = Field(
        default=(0.15, 1.5), description="Factor of the resizing, of the high-resolution patch; contains 1."
    )
    noise: Chance = Field(default=1.0, description="Chance of noise.")
    gaussian: Chance = Field(
        default=0.5, description="Chance that the noise is Gaussian; otherwise it is Poisson noise."
    )
    gaussian_sigma: Strengths = Field(
        default=(1.0, 30.0), description="Standard deviation of Gaussian noise, in levels of 255."
    )
    poisson_scale: Strengths = Field(
        default=(0.05, 3.0), description="Strength of Poisson noise; 1 is that of 256 photons in a white pixel."
    )
    gray: Chance = Field(default=0.4, description="Chance that the noise is the same in all three channels.")
    jpeg: Chance = Field(default=1.0, description="Chance of JPEG compression.")
    jpeg_quality: Qualities = Field(default=(30, 95), description="Quality of JPEG.")

    @model_validator(mode="after")
    def _can_be_resized(self) -> PassSection:
        if not self.up + self.down + self.keep:
            raise ValueError("up, down and keep are all 0; to leave resizing out, set keep to 1")
        if not self.resize[0] <= 1 <= self.resize[1]:
            raise ValueError("resize must contain 1: it goes from the smallest reduction to the largest enlargement")
        return self


class SecondPassSection(PassSection):
    """The second round, milder; its resizing starts from the final size."""

    blur: Chance = Field(default=0.8, description="Chance of a blur.")
    blur_sigma: Sigmas = Field(default=(0.2, 1.5), description="Standard deviation of the blur along each axis.")
    up: Share = Field(default=0.3, description="Share of enlargements.")
    down: Share = Field(default=0.4, description="Share of reductions.")
    keep: Share = Field(default=0.3, description="Share of pictures that are brought to their final size at once.")
    resize: Factors = Field(
        default=(0.3, 1.2), description="Factor of the resizing, of the final low-resolution patch; contains 1."
    )
    gaussian_sigma: Strengths = Field(
        default=(1.0, 25.0), description="Standard deviation of Gaussian noise, in levels of 255."
    )
    poisson_scale: Strengths = Field(
        default=(0.05, 2.5), description="Strength of Poisson noise; 1 is that of 256 photons in a white pixel."
    )


class DegradationSection(Section):
    """How low-resolution pictures are made from the training pictures."""

    kind: Literal["bicubic", "second-order"] = Field(
        default="bicubic",
        description="bicubic: exact reduction of clean pictures. second-order: two rounds of blur, resizing, noise and "
        "JPEG, a different one for each patch. There are no artefacts of video codecs. The other keys of this "
        "section belong to second-order.",
    )
    first: PassSection = Field(default_factory=PassSection, description="The first round of wear.")
    second: SecondPassSection = Field(default_factory=SecondPassSection, description="The second round.")
    kernels: KernelSection = Field(default_factory=KernelSection, description="Which blur kernels there are.")
    resizers: ResizerSection = Field(default_factory=ResizerSection, description="How pictures are resized.")
    shuffle: Chance = Field(
        default=0.1, description="Chance that the steps of a round come in random order; drawn for each round."
    )
    final_sinc: Chance = Field(default=0.8, description="Chance of a sinc filter at the final size.")
    jpeg_last: Chance = Field(
        default=0.5,
        description="Chance that the second JPEG compression comes after the resizing to the final size, not before.",
    )
    full_colour: Chance = Field(
        default=0.2, description="Chance that JPEG keeps the full resolution of colour (4:4:4) instead of half (4:2:0)."
    )
    webp: Chance = Field(
        default=0.05, description="Chance that WebP at the end takes the place of the second JPEG; made on the CPU."
    )
    webp_quality: Qualities = Field(default=(30, 95), description="Quality of WebP.")
    avif: Chance = Field(
        default=0.03, description="Chance that AVIF at the end takes the place of the second JPEG; made on the CPU."
    )
    avif_quality: Qualities = Field(default=(30, 90), description="Quality of AVIF.")

    @model_validator(mode="after")
    def _one_file(self) -> DegradationSection:
        if self.webp + self.avif > 1:
            raise ValueError("webp and avif are chances of which one comes true: together they are at most 1")
        return self
