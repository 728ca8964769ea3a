"""The sections of `data.degradation` that say where worn pictures come from. Importing this loads no torch."""

from __future__ import annotations

from pydantic import Field, model_validator

from srgan.settings import Section
from srgan.training.degradation.ranges import (
    Chance,
    Counts,
    Factors,
    Qualities,
    Quantisers,
    QuantisersH264,
    Share,
    Small,
)

ORIGINS = ("second_order", "phone", "web", "scan", "screen", "still")
"""In the order of `MixSection`."""


class MixSection(Section):
    """Where degraded patches come from. The shares are relative and need not add up to 1."""

    second_order: Share = Field(default=1.0, description="Share of the second-order degradation.")
    phone: Share = Field(default=1.0, description="Share of photographs of phones.")
    web: Share = Field(default=1.0, description="Share of pictures of web pages.")
    scan: Share = Field(default=0.5, description="Share of scanned prints.")
    screen: Share = Field(default=0.5, description="Share of screenshots.")
    still: Share = Field(default=0.0, description="Share of stills of videos; needs the extra `video`.")

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `ORIGINS`."""
        return tuple(getattr(self, origin) for origin in ORIGINS)

    @model_validator(mode="after")
    def _some_share(self) -> MixSection:
        if not sum(self.shares):
            raise ValueError("all shares of the mix are 0; one must be larger")
        return self


class PhoneSection(Section):
    """A phone: lens, digital zoom, noise of the sensor, denoising, sharpening, JPEG."""

    lens: Small = Field(
        default=(0.2, 0.7), description="Blur of the lens: standard deviation in low-resolution pixels."
    )
    zoom: Chance = Field(default=0.2, description="Probability of digital zoom.")
    zoom_factor: Factors = Field(default=(1.1, 1.8), description="Factor of the digital zoom.")
    photons: Counts = Field(
        default=(150, 8000), description="Photons in a white pixel, drawn on a logarithmic scale: few are a dark room."
    )
    read_noise: Small = Field(
        default=(0.0, 1.5), description="Noise of the electronics, in levels of 255, linear light."
    )
    denoise: Small = Field(
        default=(0.5, 2.5), description="Denoising: structures with less contrast than so many times the noise go."
    )
    chroma: Small = Field(default=(0.5, 2.5), description="Blur of the colour while denoising, in pixels.")
    sharpen: Small = Field(default=(0.2, 1.5), description="Weight of the unsharp mask.")
    sharpen_radius: Small = Field(default=(0.6, 1.8), description="Radius of the unsharp mask, in pixels.")
    quality: Qualities = Field(default=(70, 96), description="JPEG quality.")
    full_colour: Chance = Field(default=0.15, description="Probability of 4:4:4 instead of 4:2:0 chroma subsampling.")


class WebSection(Section):
    """A web page: reduced, packed, and often reduced and packed again."""

    again: Chance = Field(default=0.6, description="Probability of a second file, made from the first at another size.")
    between: Factors = Field(
        default=(0.7, 2.0), description="Size of the first file, relative to the final size, where there are two."
    )
    sharpen: Chance = Field(default=0.3, description="Probability of sharpening after the reduction.")
    jpeg: Share = Field(default=0.6, description="Share of JPEG.")
    webp: Share = Field(default=0.3, description="Share of WebP.")
    avif: Share = Field(default=0.1, description="Share of AVIF.")
    quality: Qualities = Field(default=(40, 92), description="Quality of JPEG and WebP.")
    avif_quality: Qualities = Field(default=(35, 85), description="Quality of AVIF.")
    full_colour: Chance = Field(default=0.15, description="Probability of 4:4:4 chroma subsampling in JPEG.")

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `packing.FORMS`."""
        return (self.jpeg, self.webp, self.avif)

    @model_validator(mode="after")
    def _some_share(self) -> WebSection:
        if not sum(self.shares):
            raise ValueError("all shares of file formats are 0; to leave out web pages, set mix.web to 0")
        return self


class ScanSection(Section):
    """A print and its scan: screen of dots, paper, dust, blur of the scanner, JPEG."""

    screened: Chance = Field(
        default=0.6, description="Probability that the print is of dots (halftone), not continuous."
    )
    colours: Chance = Field(default=0.7, description="Probability that dots are of four inks, rather than black alone.")
    period: Small = Field(
        default=(0.7, 2.2), description="Distance of the dots in low-resolution pixels; below about 2 there is moire."
    )
    contrast: Chance = Field(default=0.7, description="Contrast of the dots against a continuous print.")
    paper: Small = Field(default=(0.5, 5.0), description="Grain of the paper: standard deviation in levels of 255.")
    tint: Small = Field(
        default=(0.0, 6.0),
        description="How far the paper is from white, in levels of 255. The network learns to take it away, "
        "also from pictures that are meant to be yellow.",
    )
    dust: Small = Field(
        default=(0.0, 3.0), description="Mean number of specks and hairs on 10,000 low-resolution pixels."
    )
    blur: Small = Field(
        default=(0.3, 0.9), description="Blur of the scanner: standard deviation in low-resolution pixels."
    )
    quality: Qualities = Field(default=(60, 95), description="JPEG quality.")


class ScreenSection(Section):
    """A screenshot: shown at another size, sometimes with few colours, packed."""

    shown: Factors = Field(default=(0.5, 1.6), description="Size on the screen, relative to the final size.")
    nearest: Chance = Field(default=0.15, description="Probability of scaling by repetition of pixels.")
    palette: Chance = Field(default=0.15, description="Probability of a palette, as in GIF.")
    palette_colours: Counts = Field(default=(32, 256), description="Colours of the palette, 2 to 256.")
    packed: Chance = Field(
        default=0.6, description="Probability of JPEG or WebP with 4:2:0 chroma subsampling; else PNG."
    )
    quality: Qualities = Field(default=(45, 92), description="Quality of JPEG and WebP.")

    @model_validator(mode="after")
    def _possible(self) -> ScreenSection:
        if not 2 <= self.palette_colours[0] <= self.palette_colours[1] <= 256:
            raise ValueError("palette_colours must be from 2 to 256")
        return self


class StillSection(Section):
    """A still of a video: interlacing, squeezed pixels, a codec; needs the extra `video`. The shares are relative."""

    combed: Chance = Field(default=0.15, description="Probability of fields of two moments in one frame (combing).")
    doubled: Chance = Field(default=0.1, description="Probability that one field was thrown away and doubled.")
    motion: int = Field(default=3, ge=1, le=16, description="Most motion between two fields, in pixels.")
    squeezed: Chance = Field(default=0.25, description="Probability of pixels that are not square, as on DVDs.")
    mpeg2: Share = Field(default=1.0, description="Share of MPEG-2.")
    mpeg4: Share = Field(default=0.5, description="Share of MPEG-4 part 2.")
    h264: Share = Field(default=2.0, description="Share of H.264.")
    quantiser: Quantisers = Field(default=(2, 12), description="Quantiser of MPEG-2 and MPEG-4: 1 (finest) to 31.")
    quantiser_h264: QuantisersH264 = Field(default=(18, 36), description="Quantiser of H.264: 0 (lossless) to 51.")
    blocky_colour: Chance = Field(
        default=0.3, description="Probability that the colour was enlarged by repetition of pixels."
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `video.CODECS`."""
        return (self.mpeg2, self.mpeg4, self.h264)

    @model_validator(mode="after")
    def _some_share(self) -> StillSection:
        if not sum(self.shares):
            raise ValueError("all codec shares are 0; to leave out stills, set mix.still to 0")
        return self
