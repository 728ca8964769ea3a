"""The section `data.degradation` of a training file. Importing this loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from srgan.settings import Section
from srgan.training.degradation.origins import (
    MixSection,
    PhoneSection,
    ScanSection,
    ScreenSection,
    StillSection,
    WebSection,
)
from srgan.training.degradation.ranges import (
    Chance,
    Exponents,
    Factors,
    Frames,
    Qualities,
    Quantisers,
    QuantisersH264,
    Share,
    Sides,
    Sigmas,
    Strengths,
)


class KernelSection(Section):
    """Blur kernels. The shares are relative and need not add up to 1."""

    isotropic: Share = Field(default=0.45, description="Share of isotropic Gaussian kernels.")
    anisotropic: Share = Field(default=0.25, description="Share of anisotropic Gaussian kernels.")
    generalised_isotropic: Share = Field(default=0.12, description="Share of isotropic generalised Gaussian kernels.")
    generalised_anisotropic: Share = Field(
        default=0.03, description="Share of anisotropic generalised Gaussian kernels."
    )
    plateau_isotropic: Share = Field(default=0.12, description="Share of isotropic plateau-shaped kernels.")
    plateau_anisotropic: Share = Field(default=0.03, description="Share of anisotropic plateau-shaped kernels.")
    generalised_exponent: Exponents = Field(
        default=(0.5, 4.0),
        description="Shape exponent of generalised Gaussian kernels; 1 is a plain Gaussian. Half are drawn from each "
        "side of 1.",
    )
    plateau_exponent: Exponents = Field(default=(1.0, 2.0), description="Shape exponent of plateau-shaped kernels.")
    side: Sides = Field(default=(7, 21), description="Kernel size in pixels; even sizes are increased by one.")

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
            raise ValueError("all kernel shares are 0; to disable blur, set first.blur and second.blur to 0")
        return self


class ResizerSection(Section):
    """Resizing methods. The shares are relative and need not add up to 1."""

    area: Share = Field(default=1.0, description="Share of area resizing.")
    bilinear: Share = Field(default=1.0, description="Share of bilinear resizing.")
    bicubic: Share = Field(default=1.0, description="Share of bicubic resizing.")
    antialias: Chance = Field(
        default=0.5,
        description="Probability of antialiased bilinear or bicubic downscaling (as Pillow), rather than without "
        "antialiasing (as OpenCV).",
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `resizing.MODES`."""
        return (self.area, self.bilinear, self.bicubic)

    @model_validator(mode="after")
    def _some_share(self) -> ResizerSection:
        if not sum(self.shares):
            raise ValueError("all shares of resizing methods are 0; one must be larger")
        return self


class PassSection(Section):
    """First degradation round: blur, resizing, noise, JPEG."""

    blur: Chance = Field(default=1.0, description="Probability of blur.")
    blur_sigma: Sigmas = Field(
        default=(0.2, 3.0), description="Standard deviation of the blur along each axis, in pixels."
    )
    sinc: Chance = Field(default=0.1, description="Probability that the blur is a sinc filter, which causes ringing.")
    up: Share = Field(default=0.2, description="Share of upscaling.")
    down: Share = Field(default=0.7, description="Share of downscaling.")
    keep: Share = Field(default=0.1, description="Share of pictures that keep their size.")
    resize: Factors = Field(
        default=(0.15, 1.5),
        description="Range of the resize factor, relative to the high-resolution patch; must include 1.",
    )
    noise: Chance = Field(default=1.0, description="Probability of noise.")
    gaussian: Chance = Field(default=0.5, description="Probability that the noise is Gaussian rather than Poisson.")
    gaussian_sigma: Strengths = Field(
        default=(1.0, 30.0), description="Standard deviation of Gaussian noise, in levels of 255."
    )
    poisson_scale: Strengths = Field(
        default=(0.05, 3.0), description="Strength of Poisson noise; 1 corresponds to 256 photons in a white pixel."
    )
    gray: Chance = Field(default=0.4, description="Probability that the noise is the same in all three channels.")
    jpeg: Chance = Field(default=1.0, description="Probability of JPEG compression.")
    jpeg_quality: Qualities = Field(default=(30, 95), description="JPEG quality.")

    @model_validator(mode="after")
    def _can_be_resized(self) -> PassSection:
        if not self.up + self.down + self.keep:
            raise ValueError("up, down and keep are all 0; to disable resizing, set keep to 1")
        if not self.resize[0] <= 1 <= self.resize[1]:
            raise ValueError(
                "resize must include 1: it ranges from the strongest downscaling to the strongest upscaling"
            )
        return self


class SecondPassSection(PassSection):
    """Second degradation round, milder by default; its resize factor is relative to the final size."""

    blur: Chance = Field(default=0.8, description="Probability of blur.")
    blur_sigma: Sigmas = Field(
        default=(0.2, 1.5), description="Standard deviation of the blur along each axis, in pixels."
    )
    up: Share = Field(default=0.3, description="Share of upscaling.")
    down: Share = Field(default=0.4, description="Share of downscaling.")
    keep: Share = Field(default=0.3, description="Share of pictures resized directly to the final size.")
    resize: Factors = Field(
        default=(0.3, 1.2),
        description="Range of the resize factor, relative to the final low-resolution patch; must include 1.",
    )
    gaussian_sigma: Strengths = Field(
        default=(1.0, 25.0), description="Standard deviation of Gaussian noise, in levels of 255."
    )
    poisson_scale: Strengths = Field(
        default=(0.05, 2.5), description="Strength of Poisson noise; 1 corresponds to 256 photons in a white pixel."
    )


class VideoSection(Section):
    """Video compression artefacts, computed on the CPU; needs the extra `video`. The shares are relative."""

    chance: Chance = Field(
        default=0.0, description="Probability that a video codec replaces the second JPEG compression."
    )
    mpeg2: Share = Field(default=1.0, description="Share of MPEG-2, as on DVDs.")
    mpeg4: Share = Field(default=1.0, description="Share of MPEG-4 part 2, as in DivX and Xvid files.")
    h264: Share = Field(default=1.0, description="Share of H.264.")
    quantiser: Quantisers = Field(
        default=(2, 12), description="Quantiser of MPEG-2 and MPEG-4: 1 (finest) to 31 (coarsest)."
    )
    quantiser_h264: QuantisersH264 = Field(
        default=(18, 38), description="Quantiser of H.264: 0 (lossless) to 51 (coarsest)."
    )
    frames: Frames = Field(
        default=(1, 3), description="Number of frames to encode, of which the last is used; 1 is a key frame only."
    )
    motion: int = Field(
        default=2,
        ge=0,
        le=2,
        description="Maximum motion between frames along each axis, in pixels.",
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `video.CODECS`."""
        return (self.mpeg2, self.mpeg4, self.h264)

    @model_validator(mode="after")
    def _some_share(self) -> VideoSection:
        if not sum(self.shares):
            raise ValueError("all codec shares are 0; to disable video artefacts, set chance to 0")
        return self


class DegradationSection(Section):
    """How the low-resolution pictures are made."""

    kind: Literal["bicubic", "second-order", "mixed"] = Field(
        default="bicubic",
        description="bicubic: plain bicubic downscaling. second-order: two random rounds of blur, resizing, noise and "
        "JPEG for each patch, as in Real-ESRGAN. mixed: each patch comes from a phone, the web, a scanner, a screen, a "
        "video or the second-order degradation, as mix says. clean and sharpen are for both; mix, phone, web, scan, "
        "screen and still for mixed; all other keys for second-order.",
    )
    clean: Chance = Field(
        default=0.0, description="Probability that a patch is not degraded, only downscaled (bicubic)."
    )
    sharpen: Share = Field(
        default=0.0,
        description="Weight of an unsharp mask applied to patches before degradation; the sharpened patch is the "
        "target. "
        "Real-ESRGAN uses 0.5. Patches that are not degraded are not sharpened.",
    )
    photons: Annotated[int, Field(ge=1, le=1 << 20)] | Literal["levels"] = Field(
        default=256,
        description="Photons in a white pixel for Poisson noise of strength 1. levels: as many as the patch has levels "
        "there, rounded up to a power of two, as in Real-ESRGAN.",
    )
    first: PassSection = Field(default_factory=PassSection, description="First degradation round.")
    second: SecondPassSection = Field(default_factory=SecondPassSection, description="Second degradation round.")
    kernels: KernelSection = Field(default_factory=KernelSection, description="Blur kernels.")
    resizers: ResizerSection = Field(default_factory=ResizerSection, description="Resizing methods.")
    shuffle: Chance = Field(
        default=0.1, description="Probability, for each round, that its steps are applied in random order."
    )
    final_sinc: Chance = Field(default=0.8, description="Probability of a final sinc filter.")
    jpeg_last: Chance = Field(
        default=0.5,
        description="Probability that the second JPEG compression comes after the resizing to the final size, not "
        "before.",
    )
    full_colour: Chance = Field(
        default=0.2, description="Probability that JPEG uses 4:4:4 instead of 4:2:0 chroma subsampling."
    )
    webp: Chance = Field(
        default=0.05, description="Probability that WebP replaces the second JPEG compression; computed on the CPU."
    )
    webp_quality: Qualities = Field(default=(30, 95), description="WebP quality.")
    avif: Chance = Field(
        default=0.03, description="Probability that AVIF replaces the second JPEG compression; computed on the CPU."
    )
    avif_quality: Qualities = Field(default=(30, 90), description="AVIF quality.")

    video: VideoSection = Field(default_factory=VideoSection, description="Video compression artefacts.")

    mix: MixSection = Field(default_factory=MixSection, description="Where degraded patches come from.")
    phone: PhoneSection = Field(default_factory=PhoneSection, description="Photographs of phones.")
    web: WebSection = Field(default_factory=WebSection, description="Pictures of web pages.")
    scan: ScanSection = Field(default_factory=ScanSection, description="Scanned prints.")
    screen: ScreenSection = Field(default_factory=ScreenSection, description="Screenshots.")
    still: StillSection = Field(default_factory=StillSection, description="Stills of videos.")

    @model_validator(mode="after")
    def _one_file(self) -> DegradationSection:
        if self.webp + self.avif + self.video.chance > 1:
            raise ValueError("webp, avif and video.chance are exclusive alternatives: together they must be at most 1")
        return self
