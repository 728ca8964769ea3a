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

    @classmethod
    def form_of(cls, values: Mapping[str, Any]) -> type[Section]:
        """The class that ``values`` are read by: this one, unless they choose a subclass that has more keys."""
        return cls

    @classmethod
    def owner_of(cls, key: str) -> str:
        """Where ``key``, which this class does not have, belongs: in words, empty when nobody knows."""
        return ""


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

    def identity(self) -> dict[str, Any]:
        """The job as JSON values, less `APART`."""
        content: dict[str, Any] = _without(self.model_dump(mode="json"), self.APART)
        return content

    def digest(self, *more: str) -> str:
        """What tells the job from others that give another result, and ``more`` that does: 32 hexadecimal digits.

        Two jobs that differ in `APART` alone have the same.
        """
        content = json.dumps([self.identity(), *more], sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


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
        description="Model: a name or family from `srgan models list`, the path of a model bundle, or plain "
        "resampling: "
        "bicubic, lanczos, bilinear, nearest. `auto` picks a model by the content of the picture.",
    )
    scale: float | None = Field(
        default=None,
        gt=0,
        le=64,
        description="Scale factor, fractions such as 2.5 included. Default: the model's own factor.",
    )
    tile: int | None = Field(
        default=None, ge=1, description="Tile size in input pixels. Default: as large as memory allows."
    )
    resample: Literal["lanczos", "bicubic", "bilinear", "nearest", "box"] = Field(
        default="lanczos",
        description="Resampling filter for the last step, from the network's output to the requested size.",
    )
    format: Annotated[
        # the formats of srgan.imaging, which stands above; a test holds both to each other
        Literal["png", "jpeg", "webp", "tiff", "bmp", "gif", "ppm", "pfm", "avif", "heic", "jxl"] | None,
        BeforeValidator(_format_name),
    ] = Field(
        default=None,
        description="Output file format (heic and jxl need the extra `formats`). Default: by the suffix of the "
        "output's name.",
    )
    quality: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Quality for JPEG, WebP, AVIF, HEIC and JPEG XL. Default: depends on the format.",
    )
    alpha: Literal["network", "resample"] = Field(
        default="network", description="How the alpha channel is upscaled: by the network, or by the resampling filter."
    )
    tta: bool = Field(
        default=False,
        description="Test-time augmentation: average over eight rotations and flips. Slightly better, eight times "
        "slower.",
    )
    fix_colour: bool = Field(
        default=False, description="Correct colour shifts of the model by matching low frequencies to the input."
    )
    strategy: str | None = Field(
        default=None,
        description="How an ensemble combines its members: a name from `srgan models show`, such as mean or soup. "
        "Default: "
        "the first one listed.",
    )
    trust: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="For an ensemble: how strongly to prefer the PSNR-trained member where the members disagree.",
    )
    metadata: bool = Field(default=True, description="Keep metadata: EXIF (with GPS), XMP, IPTC and text comments.")
    provenance: bool = Field(
        default=True, description="Record the model and its settings in the output's XMP metadata."
    )


class RuntimeSettings(Section):
    """What the work runs on."""

    backend: str = Field(
        default="auto", description="Inference engine: auto, ncnn, onnx, torch, or one from a plug-in."
    )
    device: str = Field(default="auto", description="Device from `srgan devices`, such as cpu, vulkan:0 or cuda:0.")
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto", description="Numeric precision of the network."
    )
    threads: int = Field(
        default=0, ge=0, le=1024, description="CPU threads for the network; 0 means all physical cores."
    )
    memory_limit: int | None = Field(
        default=None,
        ge=1 << 20,
        description="Memory for tiles, in bytes. Default: half of the free memory, up to a bound.",
    )


class LimitSettings(Section):
    """What an input may be: how large, and whether its pixels may be damaged."""

    max_bytes: int = Field(default=1 << 30, ge=1, description="Largest accepted input file, in bytes.")
    max_pixels: int = Field(default=250_000_000, ge=1, description="Largest accepted picture, in pixels.")
    max_side: int = Field(default=200_000, ge=1, description="Largest accepted width or height, in pixels.")
    max_frames: int = Field(default=10_000, ge=1, description="Largest accepted number of animation frames.")
    damaged: Literal["refuse", "keep"] = Field(
        default="refuse",
        description="Inputs with damaged pixel data: refuse them, or keep what can still be decoded (JPEG, PNG, TIFF) "
        "and print a warning.",
    )


class BatchSettings(Section):
    """How a folder of pictures is worked through."""

    workers: int = Field(default=2, ge=1, le=256, description="Files processed at the same time.")
    recursive: bool = Field(
        default=True, description="Include sub-folders; the output keeps the same folder structure."
    )
    existing: Literal["skip", "overwrite", "rename"] = Field(
        default="skip",
        description="What to do when an output file exists. `skip`: keep it, unless srgan made it and the input, "
        "model or settings "
        "have changed since. `overwrite`: replace it. `rename`: write the new file under a numbered name.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        description="Template for output names, such as {stem}_x{scale}{suffix}; also {input} (suffix of the input), "
        "{parent}, "
        "{model}, {width}, {height}. Default: the name of the input.",
    )
    settle: float = Field(
        default=2.0, ge=0, description="For --watch: process a file once it has not changed for this many seconds."
    )


class Settings(Section):
    """Everything that can be set for a run of srgan, but for training."""

    upscale: UpscaleSettings = Field(default_factory=UpscaleSettings, description="What a picture is enlarged with.")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings, description="What the work runs on.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="What an input may be.")
    batch: BatchSettings = Field(
        default_factory=BatchSettings, description="How a folder of pictures is worked through."
    )
