"""Many pictures: what the batch needs to know to enlarge each of a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypedDict, Unpack

from srgan.batch.existing import Existing
from srgan.batch.job import BatchJob
from srgan.batch.make import Identity, Product
from srgan.batch.report import BatchReport, FileOutcome
from srgan.batch.run import process
from srgan.errors import CannotWrite, InvalidConfig, SrganError
from srgan.imaging import (
    PICTURE_SUFFIXES,
    Kernel,
    Limits,
    Picture,
    blank,
    count_frames,
    format_of,
    open_input,
    probe_picture,
)
from srgan.imaging.formats import FORMATS
from srgan.progress import Report, Stop
from srgan.settings import Outcome
from srgan.upscaler import Size, Upscaler, output_size
from srgan.upscaler.files import enlarge_file
from srgan.upscaler.job import identify, sorted_options
from srgan.upscaler.opener import Opener

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class FolderOptions(TypedDict, total=False):
    """The options of `process_folder`; see there."""

    include: Sequence[str]
    exclude: Sequence[str]
    recursive: bool
    name: str | None
    existing: Existing
    retry_failed: bool
    workers: int
    watch: bool
    settle: float
    contact_sheet: str | os.PathLike[str] | None
    scale: float | None
    width: int | None
    height: int | None
    long_side: int | None
    resample: Kernel
    format: str | None
    quality: int | None
    metadata: bool
    provenance: bool
    limits: Limits | None


def process_folder(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    upscaler: Upscaler | Opener | str | os.PathLike[str] = "fast",
    *,
    reports: Paths = (),
    each: Callable[[FileOutcome], None] | None = None,
    report: Report | None = None,
    stop: Stop | None = None,
    **options: Unpack[FolderOptions],
) -> BatchReport:
    """Upscale the pictures in the folder ``source`` into the folder ``target`` and return the outcome of each.

    ``upscaler`` is the name or path of a model, an `Upscaler`, or `Models`, which choose a model for each picture.

    Processed are files with a suffix in `srgan.imaging.PICTURE_SUFFIXES`, or those whose name or relative path matches
    one of ``include`` (``*.png``, ``holiday/*``), without those that match ``exclude``; with ``recursive`` (default)
    also in sub-folders. ``name`` is a template with `NAME_FIELDS`. ``existing`` (``skip``, ``overwrite`` or ``rename``)
    decides about existing outputs, see `Rules`; ``retry_failed`` processes only files that failed in the last run.
    ``workers`` (2) is the number of pictures processed at the same time. With ``watch`` the function keeps running and
    processes new and changed files once they have not changed for ``settle`` (2) seconds. ``reports`` names report
    files (CSV for ``.csv``, else JSON), ``contact_sheet`` an HTML page with all pictures before and after.

    ``scale``, ``width``, ``height``, ``long_side`` and ``resample`` are those of `Upscaler.upscale`; ``format``,
    ``quality``, ``metadata`` and ``provenance`` those of `Saving`; ``limits`` is a `Limits`. ``each`` is called with
    the outcome of each file, ``report`` with the progress; ``stop`` ends the run early. For details and errors see
    `srgan.batch.run.process`.
    """
    if isinstance(upscaler, str | os.PathLike):
        opener, described = None, {"model": os.fspath(upscaler)}
    else:
        opener, described = upscaler, dict(upscaler.options)
    sizes: Any = {key: value for key, value in options.items() if key in Size.__annotations__}
    output_size((1, 1), **sizes)  # refuses those that contradict each other
    given: dict[str, Any] = {**described, **{key: value for key, value in options.items() if value is not None}}
    batch = {key: given.pop(key) for key in ("recursive", "name", "existing", "workers", "settle") if key in given}
    folder = {key: given.pop(key) for key in ("include", "exclude", "retry_failed", "watch") if key in given}
    files = [reports] if isinstance(reports, str | os.PathLike) else reports
    job = sorted_options(
        BatchJob,
        given,
        source=source,
        target=target,
        reports=[Path(path) for path in files],
        contact_sheet=given.pop("contact_sheet", None),
        batch=batch,
        **folder,
    )
    return process(job, Pictures(job, opener), each=each, report=report, stop=stop)


def run_batch(job: BatchJob, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Carry out ``job``. A device or model that is not there is found before the work. Raises `SrganError`."""
    with job.models() as models:
        models(Picture(pixels=blank(64, 64, 3)), job.size.given())
        made = process(job, Pictures(job, models), report=report, stop=stop)
    state: Literal["done", "partly", "stopped"] = "stopped" if made.interrupted else "done" if made.ok else "partly"
    fault = CannotWrite(f"{made.target}: {made.reason}") if made.reason else None
    return Outcome(state=state, report=json.loads(made.to_json()), result=made, fault=fault)


@dataclass(frozen=True)
class Pictures:
    """The `Make` of pictures: ``how`` says what is done to each, ``opener`` has the model open already."""

    how: BatchJob
    opener: Upscaler | Opener | None = None

    @cached_property
    def _models(self) -> Upscaler | Opener:
        return self.opener or self.how.models()

    @cached_property
    def identity(self) -> Identity:
        """Known by the job's digest and the model, wherever it runs and whoever asks."""
        return Identity(model=identify(self.how, self.opener), settings=self.how.digest())

    suffixes: Collection[str] = PICTURE_SUFFIXES

    @property
    def format(self) -> str | None:
        wanted = self.how.upscale.format
        return None if wanted is None else format_of(None, wanted)

    @property
    def in_pixels(self) -> bool:
        return bool(self.how.size.given())

    @property
    def scale(self) -> float | None:
        wanted = self.how.upscale.scale
        return self.opener.scale if wanted is None and isinstance(self.opener, Upscaler) else wanted

    def format_named(self, name: PurePosixPath) -> str | None:
        try:
            return format_of(name)
        except InvalidConfig:
            return None

    def format_for(self, name: PurePosixPath, source: Path) -> str:
        """That of the input where it can be written, else PNG; also for a GIF that is no animation: its colours would
        become few."""
        own = self.format_named(name)
        return (own if own != "GIF" or _moves(source) else None) or "PNG"

    def suffix_of(self, format: str) -> str:
        return FORMATS[format].suffixes[0]

    def measure(self, source: Path) -> tuple[int, int, float]:
        size, models = self.how.wanted(), self._models
        with open_input(source, limits=self.how.limited()) as file:
            like = file.scan().like
            if not isinstance(models, Upscaler):
                models = models(file.picture() if models.looks else like, size)
        height, width = models.output_size((like.height, like.width), **size)
        return width, height, size.get("scale") or models.scale

    def check(self, source: Path) -> None:
        probe_picture(source, limits=self.how.limited())

    def make(self, source: Path, target: Path, format: str, *, report: Report, stop: Stop) -> Product:
        made = enlarge_file(
            self._models,
            source,
            target,
            saving=replace(self.how.saving(), format=format),
            resample=self.how.upscale.resample,
            limits=self.how.limited(),
            report=report,
            stop=stop,
            **self.how.wanted(),
        )
        (height, width), name = made.size, made.info.model
        remark = f"damaged, and kept: {', '.join(made.damage)}" if made.damage else ""
        return Product(width=width, height=height, frames=made.frames, model=name, remark=remark)


def _moves(source: Path) -> bool:
    """Whether the file at ``source`` is an animation; one that cannot be read is none."""
    try:
        return count_frames(source) > 1
    except SrganError:
        return False
