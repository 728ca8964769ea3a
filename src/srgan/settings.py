"""All settings, typed and described, and the base class of jobs, which are made of them.

A `Section` is part of a configuration file and part of a `Job`. To add a setting, add a described field here (or in
`srgan.training.config`): help texts, the schema, the reference and the job follow from it.
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
    """A group of settings: immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def form_of(cls, values: Mapping[str, Any]) -> type[Section]:
        """The class to read ``values`` with: this one, unless they select a subclass with more keys."""
        return cls

    @classmethod
    def owner_of(cls, key: str) -> str:
        """A hint for the error message: where ``key``, which this class does not have, belongs. Empty if unknown."""
        return ""


class Job(Section):
    """A piece of work as a value: everything that determines the result, and nothing else.

    Each kind is a subclass with its fields and a default for ``kind``. Jobs are immutable, compare by value, can be
    pickled, and map to JSON with the field names as keys. ``version`` is the version of the kind's fields: a job of
    an unknown version is refused.
    """

    kind: str = Field(description="Kind of job.")
    version: Literal[1] = Field(default=1, description="Version of this kind's fields.")

    APART: ClassVar[frozenset[str]] = frozenset()
    """Dotted keys that do not affect the result: where the work is done, in what portions, and its name."""

    def to_json(self) -> str:
        """The job as JSON, including defaults; file names that are not valid Unicode are escaped."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def identity(self) -> dict[str, Any]:
        """The job as JSON values, without `APART`."""
        content: dict[str, Any] = _without(self.model_dump(mode="json"), self.APART)
        return content

    def digest(self, *more: str) -> str:
        """Hash of the job and of ``more`` that determines the result: 32 hexadecimal digits.

        Jobs that differ only in `APART` have the same digest.
        """
        content = json.dumps([self.identity(), *more], sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Outcome of a job."""

    state: Literal["done", "partly", "stopped"]
    """`done`: complete. `partly`: everything was tried, but some files failed. `stopped`: ended early, on request or
    because it could not continue; running the same job again resumes it."""
    report: Mapping[str, Any]
    """The report, as JSON values."""
    result: Any = None
    """The result, for a caller in this process."""
    fault: SrganError | None = None
    """An error that leaves the finished part valid: a full disk, a report that could not be written."""


def _without(values: Any, keys: frozenset[str], path: str = "") -> Any:
    """``values`` without the entries at the dotted ``keys``."""
    if not isinstance(values, dict):
        return values
    return {
        name: _without(value, keys, f"{path}{name}.") for name, value in values.items() if f"{path}{name}" not in keys
    }


_OTHER_NAMES = {"jpg": "jpeg", "tif": "tiff", "heif": "heic", "pgm": "ppm", "pnm": "ppm"}


def _format_name(value: Any) -> Any:
    """Accept common spellings such as `JPG` and `.tif`."""
    name = value.lower().lstrip(".") if isinstance(value, str) else value
    return _OTHER_NAMES.get(name, name) if isinstance(name, str) else name


class UpscaleSettings(Section):
    """Model, size and output format."""

    model: str = Field(
        default="fast",
        description="Model: a name or family from `srgan models list`, the path of a model bundle, or plain "
        "resampling: bicubic, lanczos, bilinear, nearest. `auto` picks a model by the content of the picture.",
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
        "Default: the first one listed.",
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
    """Device, precision and memory."""

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
    """Limits for input files: size, and whether damaged pixel data is accepted."""

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
    """Processing of folders."""

    workers: int = Field(default=2, ge=1, le=256, description="Files processed at the same time.")
    recursive: bool = Field(
        default=True, description="Include sub-folders; the output keeps the same folder structure."
    )
    existing: Literal["skip", "overwrite", "rename"] = Field(
        default="skip",
        description="What to do when an output file exists. `skip`: keep it, unless srgan made it and the input, "
        "model or settings have changed since. `overwrite`: replace it. `rename`: write the new file under a numbered "
        "name.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        description="Template for output names, such as {stem}_x{scale}{suffix}; also {input} (suffix of the input), "
        "{parent}, {model}, {width}, {height}. Default: the name of the input.",
    )
    settle: float = Field(
        default=2.0, ge=0, description="For --watch: process a file once it has not changed for this many seconds."
    )


class Settings(Section):
    """All settings except those of training."""

    upscale: UpscaleSettings = Field(default_factory=UpscaleSettings, description="Model, size and output format.")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings, description="Device, precision and memory.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Limits for input files.")
    batch: BatchSettings = Field(default_factory=BatchSettings, description="Processing of folders.")
