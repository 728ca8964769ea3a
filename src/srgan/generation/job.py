"""New pictures as a value: of which model, which ones of it, and where they go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from srgan.atomic import check_target, reason
from srgan.errors import Cancelled, CannotWrite, InvalidConfig, LimitExceeded
from srgan.generation.latent import LARGEST, Numbers, between, noise_of
from srgan.generation.making import Maker, sheet
from srgan.imaging import PICTURE_SUFFIXES, Picture, format_of, write_picture
from srgan.progress import Step, stoppable
from srgan.settings import Job, Outcome, RuntimeSettings

if TYPE_CHECKING:
    from srgan.progress import Report, Stop

MOST_SHEET_PIXELS = 100_000_000
"""The largest sheet: it is in memory as a whole."""


class GenerateJob(Job):
    """New pictures, made by a latent model from noise. Seed and number of a picture decide what it is."""

    APART: ClassVar[frozenset[str]] = frozenset({"target", "overwrite", "runtime"})

    kind: Literal["generate"] = "generate"
    model: str = Field(description="Latent model: a name from `srgan models list`, or the path of a model bundle.")
    target: Path = Field(
        description="Output folder, made if it is not there. For a grid, or one picture, it may be a picture file."
    )
    count: int = Field(default=1, ge=1, le=100_000, description="Number of pictures.")
    seed: int = Field(default=0, ge=0, le=LARGEST, description="Seed of the noise.")
    first: int = Field(default=0, ge=0, le=LARGEST, description="Number of the first picture.")
    interpolate: tuple[int, int] | None = Field(
        default=None, description="Instead: pictures on the way from one number to another."
    )
    steps: int = Field(
        default=8, ge=2, le=10_000, description="Pictures on the way of interpolate, both ends included."
    )
    truncation: float = Field(
        default=1.0,
        gt=0,
        le=2,
        description="Factor for the noise: below 1 the pictures are more alike and more typical.",
    )
    size: int | None = Field(
        default=None, ge=1, description="Side of the pictures in pixels. Default: that of the model's decoder."
    )
    refiner: str | None = Field(
        default=None, description="Model that enlarges the pictures to the size. Default: the one the model names."
    )
    grid: bool = Field(default=False, description="Write all pictures as one sheet.")
    overwrite: bool = Field(default=False, description="Replace existing outputs.")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings, description="Device, precision and memory.")

    @model_validator(mode="after")
    def _fits_together(self) -> GenerateJob:
        if self.interpolate is not None:
            if not all(0 <= number <= LARGEST for number in self.interpolate):
                raise ValueError(f"interpolate: numbers must be from 0 to {LARGEST}")
            if self.count != 1 or self.first != 0:
                raise ValueError("interpolate cannot be combined with count or first; steps says how many there are")
        elif self.first + self.count - 1 > LARGEST:
            raise ValueError(f"first: the numbers must end at {LARGEST} or below")
        return self

    @property
    def total(self) -> int:
        """Number of pictures."""
        return self.count if self.interpolate is None else self.steps

    @property
    def to_file(self) -> bool:
        """Whether the target is one picture file and not a folder."""
        alone = self.count == 1 and self.interpolate is None
        return self.grid or (alone and self.target.suffix.lower() in PICTURE_SUFFIXES)


@dataclass(frozen=True)
class Point:
    """One picture that is to be made."""

    name: str
    """Of its file, without suffix."""
    text: str
    """What it is, for people."""
    settings: dict[str, Any]
    """What it is, for programs."""
    noise: Numbers


def points(job: GenerateJob, size: int) -> Iterator[Point]:
    """All pictures of ``job``, for a model with noise of ``size`` numbers."""
    same = {"seed": job.seed} | ({"truncation": job.truncation} if job.truncation != 1 else {})
    shrink = np.float32(job.truncation)
    if job.interpolate is None:
        for number in range(job.first, job.first + job.count):
            name, text = f"seed-{job.seed}-{number:05d}", f"seed {job.seed}, number {number}"
            yield Point(name, text, {**same, "number": number}, shrink * noise_of(job.seed, number, size))
        return
    a, b = job.interpolate
    ends = noise_of(job.seed, a, size), noise_of(job.seed, b, size)
    for step in range(job.steps):
        share = step / (job.steps - 1)
        yield Point(
            f"seed-{job.seed}-{a:05d}-{b:05d}-{step:03d}",
            f"seed {job.seed}, from number {a} to {b}, step {step + 1} of {job.steps}",
            {**same, "from": a, "to": b, "share": round(share, 6)},
            shrink * between(*ends, share),
        )


def run_generate(job: GenerateJob, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Carry out ``job``; the result is the list of the files, as paths.

    All names are checked before the work. Of a job that is stopped, the files that are written stay. Raises
    `SrganError`.
    """
    began = time.perf_counter()
    if job.to_file:
        format_of(job.target)  # refuses a suffix that says nothing, before the work
        check_target(job.target, overwrite=job.overwrite)
    with Maker(job.model, size=job.size, refiner=job.refiner, runtime=job.runtime) as maker:
        if job.grid and job.total * maker.size**2 > MOST_SHEET_PIXELS:
            most = MOST_SHEET_PIXELS // maker.size**2
            raise LimitExceeded(f"{job.target}: a grid holds at most {most} pictures of {maker.size} px")
        wanted, ran = list(points(job, maker.latent.shape.noise)), maker.latent.ran_on
        told: dict[str, Any] = {
            "model": maker.latent.info.name,
            "version": maker.latent.info.version,
            **({"refiner": maker.refiner} if maker.refiner else {}),
            "seed": job.seed,
            "size": maker.size,
            "backend": ran.backend,
            "device": ran.device,
            "precision": ran.precision,
        }
        tell = stoppable(report, stop)
        paths = [_write_sheet(job, maker, wanted, tell)] if job.grid else _write_each(job, maker, wanted, tell)
    about = [{}] if job.grid else [one.settings for one in wanted[: len(paths)]]
    told |= {
        "pictures": job.total if job.grid else len(paths),
        "files": [{"path": str(path), **said} for path, said in zip(paths, about, strict=True)],
        "seconds": round(time.perf_counter() - began, 3),
    }
    done = job.grid or len(paths) == job.total
    return Outcome(state="done" if done else "stopped", report=told, result=paths)


def _write_each(job: GenerateJob, maker: Maker, wanted: list[Point], tell: Report) -> list[Path]:
    """Write each picture to a file of its own: those that are written, if it was stopped then not all."""
    if not job.to_file:
        _make_folder(job.target)
    targets = [job.target] if job.to_file else [job.target / f"{one.name}.png" for one in wanted]
    for target in targets:
        check_target(target, overwrite=job.overwrite)
    done: list[Path] = []
    try:
        for target, one in zip(targets, wanted, strict=True):
            tell(Step(len(done), len(wanted), "pictures", target.name))
            picture = maker.picture(one.noise, one.text, **one.settings)
            done.append(write_picture(picture, target, overwrite=job.overwrite))
        tell(Step(len(done), len(wanted), "pictures"))
    except Cancelled:
        if not done:
            raise
    return done


def _write_sheet(job: GenerateJob, maker: Maker, wanted: list[Point], tell: Report) -> Path:
    pictures: list[Picture] = []
    for one in wanted:
        tell(Step(len(pictures), len(wanted), "pictures"))
        pictures.append(maker.picture(one.noise, one.text, **one.settings))
    tell(Step(len(pictures), len(wanted), "pictures"))
    several = {} if job.interpolate else {"first": job.first, "count": job.count}
    ends = {key: value for key, value in wanted[0].settings.items() if key not in ("number", "share")}
    text = wanted[0].text if len(wanted) == 1 else f"{wanted[0].text}, to {wanted[-1].text}"
    columns = job.steps if job.interpolate and job.steps <= 12 else None
    pixels = sheet([picture.pixels for picture in pictures], columns=columns)
    return write_picture(maker.described(pixels, text, **ends, **several), job.target, overwrite=job.overwrite)


def _make_folder(folder: Path) -> None:
    if folder.suffix.lower() in PICTURE_SUFFIXES and not folder.is_dir():
        raise InvalidConfig(f"{folder}: several pictures need a folder; name one, or add --grid for one sheet")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"{folder}: {reason(error)}") from error
