"""The section `data.degradation` of a training file. Importing this loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from srgan.settings import Section

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
_Quantiser = Annotated[int, Field(ge=1, le=31)]
_QuantiserH264 = Annotated[int, Field(ge=0, le=51)]
_Frames = Annotated[int, Field(ge=1, le=8)]
Sigmas = Annotated[tuple[_Sigma, _Sigma], AfterValidator(_rising)]
Exponents = Annotated[tuple[_Exponent, _Exponent], AfterValidator(_rising)]
Factors = Annotated[tuple[_Factor, _Factor], AfterValidator(_rising)]
Strengths = Annotated[tuple[_Strength, _Strength], AfterValidator(_rising)]
Qualities = Annotated[tuple[_Quality, _Quality], AfterValidator(_rising)]
Sides = Annotated[tuple[_Side, _Side], AfterValidator(_rising)]
Quantisers = Annotated[tuple[_Quantiser, _Quantiser], AfterValidator(_rising)]
QuantisersH264 = Annotated[tuple[_QuantiserH264, _QuantiserH264], AfterValidator(_rising)]
Frames = Annotated[tuple[_Frames, _Frames], AfterValidator(_rising)]


class KernelSection(Section):
    """Which blur kernels there are. The shares need not add up to 1."""

    isotropic: Share = Field(default=0.45, description="Share of round Gaussian kernels.")
    anisotropic: Share = Field(default=0.25, description="Share of oblong Gaussian kernels.")
    generalised_isotropic: Share = Field(default=0.12, description="Share of round generalised Gaussian kernels.")
    generalised_anisotropic: Share = Field(default=0.03, description="Share of oblong generalised Gaussian kernels.")
    plateau_isotropic: Share = Field(default=0.12, description="Share of round plateau-shaped kernels.")
    plateau_anisotropic: Share = Field(default=0.03, description="Share of oblong plateau-shaped kernels.")
    generalised_exponent: Exponents = Field(
        default=(0.5, 4.0),
        description="Exponent of generalised Gaussian kernels; 1 is a plain one, and as many lie below as above it.",
    )
    plateau_exponent: Exponents = Field(
        default=(1.0, 2.0),
        description="Exponent of plateau-shaped kernels; as many are below 1 as above, and 1 without room.",
    )
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


class VideoSection(Section):
    """Artefacts of video codecs, made on the CPU; they need the extra `video`. The shares need not add up to 1."""

    chance: Chance = Field(
        default=0.0, description="Chance that a video codec at the end takes the place of the second JPEG."
    )
    mpeg2: Share = Field(default=1.0, description="Share of MPEG-2, as on DVDs.")
    mpeg4: Share = Field(default=1.0, description="Share of MPEG-4 part 2, as in DivX and Xvid files.")
    h264: Share = Field(default=1.0, description="Share of H.264.")
    quantiser: Quantisers = Field(
        default=(2, 12), description="Quantiser of MPEG-2 and MPEG-4: 1 is the finest, 31 the coarsest."
    )
    quantiser_h264: QuantisersH264 = Field(
        default=(18, 38), description="Quantiser of H.264: 0 is without loss, 51 the coarsest."
    )
    frames: Frames = Field(
        default=(1, 3), description="Length of the video whose last frame is taken; 1 is a key frame alone."
    )
    motion: int = Field(
        default=2,
        ge=0,
        le=2,
        description="Most pixels by which the picture moves from frame to frame, along each axis.",
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `video.CODECS`."""
        return (self.mpeg2, self.mpeg4, self.h264)

    @model_validator(mode="after")
    def _some_share(self) -> VideoSection:
        if not sum(self.shares):
            raise ValueError("all shares of video codecs are 0; to leave them out, set chance to 0")
        return self


class DegradationSection(Section):
    """How low-resolution pictures are made from the training pictures."""

    kind: Literal["bicubic", "second-order"] = Field(
        default="bicubic",
        description="bicubic: exact reduction of clean pictures. second-order: two rounds of blur, resizing, noise and "
        "JPEG, a different one for each patch. The other keys of this section belong to second-order.",
    )
    clean: Chance = Field(
        default=0.0, description="Chance that a patch is spared: reduced by exact bicubic, with no wear at all."
    )
    sharpen: Share = Field(
        default=0.0,
        description="Weight of an unsharp mask over patches before they are worn out; they are the target so too. "
        "Real-ESRGAN's is 0.5; spared patches go without.",
    )
    photons: Annotated[int, Field(ge=1, le=1 << 20)] | Literal["levels"] = Field(
        default=256,
        description="Photons in a white pixel for Poisson noise of strength 1. levels: as many as the patch has levels "
        "there, rounded up to a power of two, as in Real-ESRGAN.",
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

    video: VideoSection = Field(default_factory=VideoSection, description="Artefacts of video codecs.")

    @model_validator(mode="after")
    def _one_file(self) -> DegradationSection:
        if self.webp + self.avif + self.video.chance > 1:
            raise ValueError(
                "webp, avif and video.chance are chances of which one comes true: together they are at most 1"
            )
        return self
