"""What can be set: typed groups of settings, each key described; and what a job is, which is made of them.

A `Section` is part of a configuration file, and part of a `Job`. Whoever adds a setting adds a described field here (or
in `srgan.training.config`): help texts, the schema, the reference and the job follow from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from srgan.errors import SrganError


class Section(BaseModel):
    """A group of settings: it cannot be changed, and a key it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Job(Section):
    """A piece of work as a value: all that decides the result, and nothing else.

    A kind of work is a subclass with its fields and a default for ``kind``. Jobs cannot be changed, compare by value,
    pickle, and are JSON with the keys of their fields. ``version`` is that of the kind's form: a job of a form that
    this srgan does not know is refused.
    """

    kind: str = Field(description="Kind of work.")
    version: Literal[1] = Field(default=1, description="Version of this kind's form.")

    APART: ClassVar[frozenset[str]] = frozenset()
    """Keys, dotted, that say where the work is done, in what portions, and what it is called: not what comes out."""

    def to_json(self) -> str:
        """The whole job as JSON, defaults written out; names of files that are not Unicode as escapes."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def digest(self, *more: str) -> str:
        """What tells the job from others that give another result, and ``more`` that does: 32 hexadecimal digits.

        Two jobs that differ in `APART` alone have the same.
        """
        content = [_without(self.model_dump(mode="json"), self.APART), *more]
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job."""

    state: Literal["done", "partly", "stopped"]
    """`done`: all of it. `partly`: all was tried, and some of its files failed. `stopped`: it ended early, on request
    or since it could not go on; the same job goes on from there."""
    report: Mapping[str, Any]
    """What is to be told of it, as JSON would hold it."""
    result: Any = None
    """What was made, for a caller in this process."""
    fault: SrganError | None = None
    """What went wrong at the end and leaves the rest standing: a full disk, a report that could not be written."""


def _without(values: Any, keys: frozenset[str], path: str = "") -> Any:
    """``values`` less the entries at the dotted ``keys``."""
    if not isinstance(values, dict):
        return values
    return {
        name: _without(value, keys, f"{path}{name}.") for name, value in values.items() if f"{path}{name}" not in keys
    }


_OTHER_NAMES = {"jpg": "jpeg", "tif": "tiff", "heif": "heic", "pgm": "ppm", "pnm": "ppm"}


def _format_name(value: Any) -> Any:
    """`JPG` and `.tif` mean what people mean by them."""
    name = value.lower().lstrip(".") if isinstance(value, str) else value
    return _OTHER_NAMES.get(name, name) if isinstance(name, str) else name


class UpscaleSettings(Section):
    """What a picture is enlarged with."""

    model: str = Field(
        default="fast",
        description="Model: a name or family that `srgan models list` shows, the path of a bundle, or a plain "
        "resampler: bicubic, lanczos, bilinear, nearest. `auto` chooses by the kind of picture.",
    )
    scale: float | None = Field(
        default=None,
        gt=0,
        le=64,
        description="Enlargement, also a fraction such as 2.5. Without it, that of the model.",
    )
    tile: int | None = Field(
        default=None, ge=1, description="Side of a tile in input pixels. Without it, as large as memory allows."
    )
    resample: Literal["lanczos", "bicubic", "bilinear", "nearest", "box"] = Field(
        default="lanczos", description="Filter for the last step, from the model's own scale to the size asked for."
    )
    format: Annotated[
        Literal["png", "jpeg", "webp", "tiff", "bmp", "gif", "ppm", "pfm", "avif", "heic", "jxl"] | None,
        BeforeValidator(_format_name),
    ] = Field(
        default=None,
        description="File format of the output (heic and jxl take the extra `formats`). Without it, by the suffix of "
        "the output's name.",
    )
    quality: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Quality of JPEG, WebP, AVIF, HEIC and JPEG XL output. Without it, that of the format.",
    )
    alpha: Literal["network", "resample"] = Field(
        default="network", description="What enlarges transparency: the network, or the filter of the last step."
    )
    tta: bool = Field(
        default=False, description="Take the mean over eight orientations: a little better, eight times the work."
    )
    fix_colour: bool = Field(
        default=False, description="Keep the colours of areas as they were, should the model shift them."
    )
    strategy: str | None = Field(
        default=None,
        description="What an ensemble makes of its members' pictures: a name that `srgan models show` lists, such as "
        "mean or soup. Without it, the first of them.",
    )
    trust: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="For an ensemble: how far the result leans towards the member trained for PSNR where the members "
        "disagree.",
    )
    metadata: bool = Field(default=True, description="Keep EXIF with GPS, XMP, IPTC and texts.")
    provenance: bool = Field(
        default=True, description="Write into the result, as XMP, which model made it and with which settings."
    )


class RuntimeSettings(Section):
    """What the work runs on."""

    backend: str = Field(default="auto", description="Engine: auto, ncnn, onnx, torch or one that a plug-in adds.")
    device: str = Field(
        default="auto", description="Device that `srgan devices` shows, such as cpu, vulkan:0 or cuda:0."
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(default="auto", description="Arithmetic of the network.")
    threads: int = Field(
        default=0, ge=0, le=1024, description="Processor threads of the network; 0 for all physical cores."
    )
    memory_limit: int | None = Field(
        default=None,
        ge=1 << 20,
        description="Memory in bytes that tiles may use. Without it, half of what is free, 640 MiB at most.",
    )


class LimitSettings(Section):
    """How large an input may be. It is refused before it is decoded."""

    max_bytes: int = Field(default=1 << 30, ge=1, description="Largest input file, in bytes.")
    max_pixels: int = Field(default=250_000_000, ge=1, description="Largest input picture, in pixels.")
    max_side: int = Field(default=200_000, ge=1, description="Largest width and height of an input picture.")
    max_frames: int = Field(default=10_000, ge=1, description="Most frames of an animation.")


class BatchSettings(Section):
    """How a folder of pictures is worked through."""

    workers: int = Field(default=2, ge=1, le=256, description="Pictures worked on at the same time.")
    recursive: bool = Field(default=True, description="Go into sub-folders and keep their tree.")
    existing: Literal["skip", "overwrite", "rename"] = Field(
        default="skip",
        description="What becomes of outputs that exist. `skip` leaves them, but makes those again that were made here "
        "and whose input, model or settings have changed; `overwrite` replaces them; `rename` numbers the new ones.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        description="Template for the names of outputs, such as {stem}_x{scale}{suffix}; also {parent}, {model}, "
        "{width}, {height}. Without it, the name of the input.",
    )
    settle: float = Field(
        default=2.0, ge=0, description="Seconds that a file in a watched folder must rest before it is taken."
    )


class Settings(Section):
    """Everything that can be set for a run of srgan, but for training."""

    upscale: UpscaleSettings = Field(default_factory=UpscaleSettings, description="What a picture is enlarged with.")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings, description="What the work runs on.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="How large an input may be.")
    batch: BatchSettings = Field(
        default_factory=BatchSettings, description="How a folder of pictures is worked through."
    )
