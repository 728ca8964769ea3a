"""Scoring a model against reference pictures, under the protocol of the super-resolution literature.

Each picture is cropped to a multiple of the scale, made small by MATLAB's bicubic and rounded to 8 bit, enlarged by the
model, rounded to 8 bit again and compared with the original: PSNR and SSIM on the Y channel, `scale` pixels of border
left out. Plain bicubic enlargement is scored beside it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srgan.errors import Cancelled, CannotWrite, InvalidConfig, InvalidDataset, InvalidImage, SrganError
from srgan.imaging import (
    PICTURE_SUFFIXES,
    Limits,
    Picture,
    from_uint8,
    read_picture,
    resize,
    to_uint8,
    write_picture,
)
from srgan.metrics import psnr, ssim
from srgan.models import Bundle, Quality, write_bundle
from srgan.runtime.session import Session
from srgan.upscaler import Upscaler

PROTOCOL = (
    "reference cropped to a multiple of the scale; low resolution by MATLAB bicubic, 8 bit; result 8 bit; "
    "Y channel (BT.601, 16-235), border = scale; SSIM 11 x 11 Gaussian, sigma 1.5; mean over pictures; "
    "95 % interval by bootstrap over pictures"
)
PERFECT_PSNR = 100.0
"""What a picture without any error counts in dB, so that means stay finite."""

_RESAMPLES = 2000
_LEAST_SIDE = 11
"""Pixels inside the border that SSIM needs."""


@dataclass(frozen=True, kw_only=True)
class PictureScore:
    """The figures of one picture. Width and height are those compared, after cropping."""

    name: str
    width: int
    height: int
    psnr: float
    ssim: float
    baseline_psnr: float
    baseline_ssim: float
    seconds: float
    """Time of the enlargement alone."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A picture that could not be scored, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over pictures with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What `evaluate` found: the figures of every picture and their means."""

    model: str
    scale: int
    backend: str
    device: str
    precision: str
    dataset: str
    """Name of the folder of reference pictures."""
    scores: tuple[PictureScore, ...]
    """In the order of the names, at least one."""
    failures: tuple[Failure, ...]

    @cached_property
    def psnr(self) -> Mean:
        """PSNR of the model in dB."""
        return _mean([score.psnr for score in self.scores])

    @cached_property
    def ssim(self) -> Mean:
        """SSIM of the model."""
        return _mean([score.ssim for score in self.scores])

    @cached_property
    def baseline_psnr(self) -> Mean:
        """PSNR of bicubic enlargement in dB."""
        return _mean([score.baseline_psnr for score in self.scores])

    @cached_property
    def baseline_ssim(self) -> Mean:
        """SSIM of bicubic enlargement."""
        return _mean([score.baseline_ssim for score in self.scores])

    @cached_property
    def gain(self) -> Mean:
        """How many dB the model is ahead of bicubic, picture by picture: the interval that says whether it is."""
        return _mean([score.psnr - score.baseline_psnr for score in self.scores])

    @property
    def seconds(self) -> float:
        """Time of all enlargements."""
        return sum(score.seconds for score in self.scores)

    @property
    def quality(self) -> Quality:
        """The means as a bundle's `model.toml` states them."""
        return Quality(
            dataset=self.dataset,
            pictures=len(self.scores),
            psnr=round(self.psnr.value, 3),
            ssim=round(self.ssim.value, 4),
            baseline_psnr=round(self.baseline_psnr.value, 3),
        )

    def to_json(self) -> str:
        """The whole report as one JSON object."""
        means = ("psnr", "ssim", "baseline_psnr", "baseline_ssim", "gain")
        head = ("model", "scale", "backend", "device", "precision", "dataset")
        document = {
            **{name: getattr(self, name) for name in head},
            "protocol": PROTOCOL,
            "mean": {name: asdict(getattr(self, name)) for name in means},
            "seconds": self.seconds,
            "pictures": [asdict(score) for score in self.scores],
            "failures": [asdict(failure) for failure in self.failures],
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """One line per picture under a line of names; a picture that failed has its reason in the last column."""
        stream = io.StringIO()
        columns = [*PictureScore.__dataclass_fields__, "failure"]
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(score) for score in self.scores)
        writer.writerows({"name": failure.name, "failure": failure.reason} for failure in self.failures)
        return stream.getvalue()


def evaluate(
    model: Session | Upscaler,
    hr_folder: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] | None = None,
    save: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    first: int | None = None,
) -> EvaluationReport:
    """Score ``model`` on the pictures that lie directly in ``hr_folder``, or the ``first`` so many by name.

    An `Upscaler` is scored at its own scale, a session at its network's. Gray pictures are scored as gray, and alpha is
    left out. ``progress`` is called with the pictures done and in all, before each and at the end; what it raises stops
    the work. ``save`` is a folder that is made to hold the enlarged pictures, ``NAME_x4.png``; those of an earlier run
    are replaced. A picture that cannot be read, is too small or cannot be enlarged ends in ``failures``. Raises
    `InvalidDataset` when there is no picture or none could be scored, `InvalidConfig` for a scale that is not a whole
    number of at least 2, and `CannotWrite`.
    """
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model)
    if upscaler.scale != int(upscaler.scale) or upscaler.scale < 2:
        raise InvalidConfig(f"a model is evaluated at a whole scale of at least 2, not at {upscaler.scale:g}")
    scale = int(upscaler.scale)
    folder = Path(hr_folder)
    paths = _pictures_in(folder)[:first]
    targets = None if save is None else _targets(Path(save), paths, scale)
    scores, failures = [], []
    for done, path in enumerate(paths):
        if progress is not None:
            progress(done, len(paths))
        try:
            score, result = _scored(upscaler, path, scale, limits or Limits())
        except Cancelled:
            raise
        except SrganError as error:
            failures.append(Failure(name=path.name, reason=str(error)))
            continue
        scores.append(score)
        if targets is not None:
            write_picture(result, targets[path], overwrite=True)
    if progress is not None:
        progress(len(paths), len(paths))
    if not scores:
        raise InvalidDataset(f"{folder}: none of {len(paths)} pictures could be scored; {failures[0].reason}")
    info = upscaler.info
    return EvaluationReport(
        model=info.model,
        scale=scale,
        backend=info.backend,
        device=info.device,
        precision=info.precision,
        dataset=folder.resolve().name,
        scores=tuple(scores),
        failures=tuple(failures),
    )


def record_quality(bundle_path: str | os.PathLike[str], report: EvaluationReport) -> Bundle:
    """Write the means of ``report`` into the bundle's `model.toml`, in place of those for the same pictures.

    Raises `InvalidConfig` when the report is about another model or another scale, `InvalidDataset` when pictures are
    missing from it, and whatever reading and writing a bundle raises.
    """
    bundle = Bundle.open(bundle_path)
    info = bundle.info
    if (report.model, report.scale) != (info.name, info.scale):
        wanted = f"{info.name} at x{info.scale}"
        raise InvalidConfig(f"the report is about {report.model} at x{report.scale}, the bundle is {wanted}")
    if report.failures:
        first = report.failures[0].reason
        raise InvalidDataset(f"{len(report.failures)} pictures of {report.dataset} could not be scored; {first}")
    others = tuple(quality for quality in info.quality if quality.dataset != report.dataset)
    entries = tuple(sorted((*others, report.quality), key=lambda quality: quality.dataset))
    files = {name: bundle.read(name) for name in info.files}
    return write_bundle(bundle.path, info.model_copy(update={"quality": entries}), files)


def _pictures_in(folder: Path) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    except OSError as error:
        raise InvalidDataset(f"{folder}: cannot be read: {error.strerror or error}") from error
    if not paths:
        raise InvalidDataset(f"{folder}: there are no pictures in this folder")
    return paths


def _targets(folder: Path, paths: Sequence[Path], scale: int) -> dict[Path, Path]:
    """Where the result of each picture goes; two inputs that differ in their suffix only keep it in the name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"{folder}: {error.strerror or error}") from error
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else path.name for path in paths]
    return {path: folder / f"{name}_x{scale}.png" for path, name in zip(paths, names, strict=True)}


def _scored(upscaler: Upscaler, path: Path, scale: int, limits: Limits) -> tuple[PictureScore, Picture]:
    """The figures of one picture and the enlarged picture, in 8-bit values."""
    reference = to_uint8(read_picture(path, limits=limits).colour)
    height, width = reference.shape[0] // scale * scale, reference.shape[1] // scale * scale
    if min(height, width) < _LEAST_SIDE + 2 * scale:
        raise InvalidImage(f"{path}: {reference.shape[1]} x {reference.shape[0]} pixels are too few for x{scale}")
    reference = reference[:height, :width]
    small = _shrunk(reference, scale)
    start = time.perf_counter()
    enlarged = upscaler.upscale(Picture(pixels=small))
    seconds = time.perf_counter() - start
    truth = from_uint8(reference)
    result = from_uint8(to_uint8(enlarged.pixels))
    baseline = from_uint8(to_uint8(resize(small, height, width)))
    return PictureScore(
        name=path.name,
        width=width,
        height=height,
        psnr=min(psnr(result, truth, border=scale), PERFECT_PSNR),
        ssim=ssim(result, truth, border=scale),
        baseline_psnr=min(psnr(baseline, truth, border=scale), PERFECT_PSNR),
        baseline_ssim=ssim(baseline, truth, border=scale),
        seconds=seconds,
    ), Picture(pixels=result)


def _shrunk(reference: NDArray[np.uint8], scale: int) -> NDArray[np.float32]:
    """The low-resolution picture in 8-bit values; from float64 in 0..255, in which ties before rounding are exact."""
    small = resize(reference.astype(np.float64), reference.shape[0] // scale, reference.shape[1] // scale)
    return from_uint8(np.floor(np.clip(small, 0, 255) + 0.5).astype(np.uint8))


def _mean(values: Sequence[float]) -> Mean:
    """The mean, and between which values it lies for 95 % of as many pictures drawn anew; the same for each run."""
    array = np.asarray(values)
    chance = np.random.default_rng(0)
    means = [array[chance.integers(0, len(array), len(array))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return Mean(value=float(array.mean()), low=float(low), high=float(high))
