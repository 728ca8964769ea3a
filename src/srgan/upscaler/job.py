"""Enlarging a picture as a value: what is done to it, from which file to which, and the way to do it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

from pydantic import Field, model_validator

from srgan.atomic import check_target
from srgan.config import checked
from srgan.errors import InvalidConfig
from srgan.imaging import Input, Limits, format_of, open_input
from srgan.models import find_model, list_models
from srgan.runtime import RESIZE_MODELS
from srgan.settings import Job, LimitSettings, Outcome, RuntimeSettings, Section, UpscaleSettings
from srgan.upscaler.files import FileSource, Saving, enlarge_bytes, enlarge_file
from srgan.upscaler.opener import AUTO, Models, Opener
from srgan.upscaler.pipeline import Opening, Upscaler
from srgan.upscaler.sizes import MAX_SIDE, Size

if TYPE_CHECKING:
    from srgan.progress import Report, Stop

STREAM = Path("-")
"""Stands for standard input or output."""


class PixelSize(Section):
    """The size of a result in pixels, instead of an enlargement."""

    width: int | None = Field(
        default=None, ge=1, le=MAX_SIDE, description="Output width. Without a height, the aspect ratio is kept."
    )
    height: int | None = Field(
        default=None, ge=1, le=MAX_SIDE, description="Output height. Without a width, the aspect ratio is kept."
    )
    long_side: int | None = Field(
        default=None, ge=1, le=MAX_SIDE, description="Longer side of the output; the aspect ratio is kept."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> PixelSize:
        if self.long_side is not None and (self.width, self.height) != (None, None):
            raise ValueError("long_side cannot be combined with width or height")
        return self

    def given(self) -> Size:
        """What is asked for, as `Upscaler.upscale` takes it; empty for an enlargement."""
        return cast("Size", {name: value for name, value in self.model_dump().items() if value is not None})


class Modelled(Section):
    """A model as it is to be opened and used."""

    APART: ClassVar[frozenset[str]] = frozenset({"runtime", "upscale.tile", "upscale.model", "limits"})
    """The model counts by what it is, not by its name: see `identify`. Limits decide which pictures are taken, and what
    becomes of a sound one is the same under all: a folder is not made again for one damaged picture that is kept."""

    upscale: UpscaleSettings = Field(default_factory=UpscaleSettings, description="Model, size and output format.")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings, description="Device, precision and memory.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Limits for input files.")

    def opening(self) -> Opening:
        """How the model is opened, as `Upscaler` takes it."""
        given = {**self.upscale.model_dump(), **self.runtime.model_dump()}
        return cast("Opening", {name: given[name] for name in Opening.__annotations__})

    def limited(self) -> Limits:
        """What an input may be."""
        return Limits(**self.limits.model_dump())


class Enlarging(Modelled):
    """What is done to a picture, whichever it is."""

    size: PixelSize = Field(default_factory=PixelSize, description="Output size in pixels, instead of a scale.")

    def models(self, *, disagreement: bool = False) -> Models:
        """What opens the model for each picture, or with ``disagreement`` the maps of an ensemble."""
        return Models(self.upscale.model, scale=self.upscale.scale, disagreement=disagreement, **self.opening())

    def saving(self, *, overwrite: bool = False) -> Saving:
        """How results are written."""
        wanted = self.upscale
        return Saving(
            format=wanted.format,
            quality=wanted.quality,
            overwrite=overwrite,
            metadata=wanted.metadata,
            provenance=wanted.provenance,
        )

    def wanted(self) -> Size:
        """The size to ask an `Upscaler` for: one in pixels, or else the enlargement, if any."""
        size = self.size.given()
        return size if size or self.upscale.scale is None else Size(scale=self.upscale.scale)


class UpscaleJob(Enlarging, Job):
    """One picture, all pages of a TIFF or an animation, enlarged from file to file."""

    APART: ClassVar[frozenset[str]] = Enlarging.APART | {"source", "target", "overwrite", "uncertainty"}

    kind: Literal["upscale"] = "upscale"
    source: Path = Field(description="Input picture; - is standard input, on the command line only.")
    target: Path = Field(description="Output file; - is standard output, on the command line only.")
    overwrite: bool = Field(default=False, description="Replace an existing output.")
    uncertainty: Path | None = Field(
        default=None, description="Also write a heat map of where the members of an ensemble disagree to this file."
    )


Kind = TypeVar("Kind", bound=Enlarging)


def sorted_options(kind: type[Kind], options: Mapping[str, Any], **fields: Any) -> Kind:
    """The value of ``kind`` with ``fields``, and with ``options`` put into the groups of settings that know them.

    Raises TypeError for an option that none knows, and `InvalidConfig` for values that make no sense.
    """
    groups: dict[str, type[Section]] = {"size": PixelSize, "upscale": UpscaleSettings, "runtime": RuntimeSettings}
    homes = {name: group for group, section in groups.items() for name in section.model_fields}
    sections: dict[str, dict[str, Any]] = {group: {} for group in groups}
    for name, value in options.items():
        if name == "limits":
            sections["limits"] = {**asdict(value), **sections.get("limits", {})}
        elif name == "damaged":
            sections.setdefault("limits", {})[name] = value
        elif name in homes:
            sections[homes[name]][name] = value
        else:
            raise TypeError(f"there is no option {name!r}")
    return checked(kind, {**sections, **fields})


def identify(how: Enlarging, opener: Upscaler | Opener | None = None) -> str:
    """The model of ``how``: its name, then what tells it from others; of a family or a choice, all that may be taken.

    ``opener`` has it open already. A model without a name there is known by its session. Raises what `find_model` does.
    """
    if opener is not None and "model" not in opener.options:
        info = getattr(opener, "info", None)
        if info is None:
            raise InvalidConfig("this opener must say with which options it was made, or have the info of its session")
        return " ".join(filter(None, (info.model, info.version, info.sha256)))
    wanted = how.upscale
    name = Path(wanted.model).name.replace(" ", "_")
    if wanted.model in RESIZE_MODELS:
        return name
    infos = [bundle.info for bundle in list_models() if wanted.model in (AUTO, bundle.info.name, bundle.info.family)]
    infos = infos or [find_model(wanted.model, wanted.scale).info]
    listed = sorted(f"{info.name} {info.version} {info.digest}" for info in infos)
    return f"{name} {hashlib.blake2b(chr(10).join(listed).encode(), digest_size=16).hexdigest()}"


def run_upscale(
    job: UpscaleJob,
    *,
    report: Report | None = None,
    stop: Stop | None = None,
    source: FileSource | None = None,
    opener: Upscaler | Opener | None = None,
) -> Outcome:
    """Carry out ``job``; the result is an `Enlarged`, for the target ``-`` with the bytes of the file beside it.

    ``source`` stands for the input in place of a file: bytes, a stream, or an `Input`. ``opener`` has the model open
    already. Raises `SrganError`.
    """
    began = time.perf_counter()
    to_stream = job.target == STREAM
    if source is None and (job.source == STREAM or to_stream):
        raise InvalidConfig("- (standard input or output) works on the command line only; name a file")
    size = job.wanted()
    if not to_stream:
        format_of(job.target, job.upscale.format)  # refuses a suffix that says nothing, before the input is read
        check_target(job.target, overwrite=job.overwrite, source=None if job.source == STREAM else job.source)
    result: Any
    more: Any = {"resample": job.upscale.resample, "report": report, "stop": stop, **size}
    given = source if source is not None else job.source
    with (
        open_input(given, limits=job.limited()) as file,
        nullcontext(opener) if opener is not None else job.models() as models,
    ):
        doubts = _doubts(job, file, report, stop)
        if to_stream:
            data, made = enlarge_bytes(models, file, saving=job.saving(), **more)
            count, result = len(data), (made, data)
        else:
            made = enlarge_file(models, file, job.target, saving=job.saving(overwrite=job.overwrite), **more)
            count, result = os.stat(job.target).st_size, made
    told = {
        "input": _side(job.source, made.source_size, made.source_format),
        "output": {**_side(job.target, made.size, made.format), "bytes": count},
        "frames": made.frames,
        "model": made.info.model,
        **({"strategy": made.info.outputs[0]} if made.info.outputs else {}),
        "backend": made.info.backend,
        "device": made.info.device,
        **({"device_name": made.info.device_name} if made.info.device_name else {}),
        "precision": made.info.precision,
        **({"uncertainty": doubts} if doubts else {}),
        **({"damage": [*made.damage]} if made.damage else {}),
        "seconds": round(time.perf_counter() - began, 3),
    }
    return Outcome(state="done", report=told, result=result)


def _doubts(job: UpscaleJob, file: Input, report: Report | None, stop: Stop | None) -> dict[str, Any] | None:
    """Write the map of uncertainty, if one is wanted: its figures for the report."""
    if job.uncertainty is None:
        return None
    from srgan.upscaler.uncertainty import THRESHOLD, write_uncertainty

    if os.path.realpath(job.uncertainty) == os.path.realpath(job.target):
        raise InvalidConfig(f"{job.uncertainty}: is also the output; choose another name for the map")
    with job.models(disagreement=True) as maps:
        found = write_uncertainty(
            maps,
            file,
            job.uncertainty,
            limits=job.limited(),
            overwrite=job.overwrite,
            report=report,
            stop=stop,
            **job.wanted(),
        )
    return {
        "path": str(job.uncertainty),
        "mean": round(found.mean, 3),
        "much": round(found.much, 4),
        "threshold": THRESHOLD,
    }


def _side(path: Path, size: tuple[int, int], format: str) -> dict[str, Any]:
    return {"path": str(path), "width": size[1], "height": size[0], "format": format}
