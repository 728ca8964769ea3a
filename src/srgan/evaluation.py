"""Scoring a model against reference pictures, under the protocol of the super-resolution literature.

Each picture is cropped to a multiple of the scale, made small by MATLAB's bicubic and rounded to 8 bit, enlarged by the
model, rounded to 8 bit again and compared with the original: PSNR and SSIM on the Y channel, `scale` pixels of border
left out. Plain bicubic enlargement is scored beside it. Other figures, which `metrics.judges` names, are added on
request; they see the whole picture in RGB, border included.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
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
from srgan.metrics.judges import FEW_PATCHES, FIGURES, Judge, chosen, least_side, open_collector, open_judge
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
    more: dict[str, float] = field(default_factory=dict)
    """The further figures that were asked for, by name."""
    baseline_more: dict[str, float] = field(default_factory=dict)
    """The same of bicubic enlargement."""


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
class SetFigure:
    """How far all results together lie from all references, over patches."""

    value: float
    baseline: float
    """The same of bicubic enlargement."""
    patches: int


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
    metrics: tuple[str, ...] = ("psnr", "ssim")
    """The figures that were asked for, keys of `metrics.judges.FIGURES`."""
    sets: dict[str, SetFigure] = field(default_factory=dict)
    """The figures over all pictures together, by name."""
    warnings: tuple[str, ...] = ()
    """What whoever reads the figures must know, each a sentence."""

    @cached_property
    def more(self) -> dict[str, tuple[Mean, Mean]]:
        """The means of the further figures by name: of the model, and of bicubic enlargement."""
        return {
            name: (_mean([s.more[name] for s in self.scores]), _mean([s.baseline_more[name] for s in self.scores]))
            for name in self.metrics
            if FIGURES[name].kind in ("picture", "input")
        }

    @property
    def features(self) -> dict[str, str]:
        """The network whose features a figure is computed with, by the figure's name."""
        return {name: features for name in self.metrics if (features := FIGURES[name].features)}

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
            "features": self.features,
            "warnings": list(self.warnings),
            "mean": {name: asdict(getattr(self, name)) for name in means}
            | {name: asdict(mean) for name, (mean, _) in self.more.items()}
            | {f"baseline_{name}": asdict(mean) for name, (_, mean) in self.more.items()},
            "sets": {name: asdict(figure) for name, figure in self.sets.items()},
            "seconds": self.seconds,
            "pictures": [asdict(score) for score in self.scores],
            "failures": [asdict(failure) for failure in self.failures],
        }
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """One line per picture under a line of names; a picture that failed has its reason in the last column."""
        stream = io.StringIO()
        further = [prefix + name for name in self.more for prefix in ("", "baseline_")]
        columns = [name for name in PictureScore.__dataclass_fields__ if name not in ("more", "baseline_more")]
        columns += [*further, "failure"]
        writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for score in self.scores:
            row = asdict(score)
            beside = {f"baseline_{name}": value for name, value in row.pop("baseline_more").items()}
            writer.writerow(row | row.pop("more") | beside)
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
    metrics: Sequence[str] = ("psnr", "ssim"),
    trained_with: Collection[str] = (),
) -> EvaluationReport:
    """Score ``model`` on the pictures that lie directly in ``hr_folder``, or the ``first`` so many by name.

    An `Upscaler` is scored at its own scale, a session at its network's. Gray pictures are scored as gray, and alpha is
    left out. ``progress`` is called with the pictures done and in all, before each and at the end; what it raises stops
    the work. ``save`` is a folder that is made to hold the enlarged pictures, ``NAME_x4.png``; those of an earlier run
    are replaced. ``metrics`` names figures of `metrics.judges.FIGURES`; PSNR and SSIM are always there. The features in
    ``trained_with`` were a loss in the model's training: figures with the same features get a warning. A picture
    that cannot be read, is too small or cannot be enlarged ends in ``failures``. Raises `InvalidDataset` when there is
    no picture or none could be scored, `InvalidConfig` for a scale that is not a whole number of at least 2 or unknown
    figures, `MissingDependency` for figures whose library is not installed, and `CannotWrite`.
    """
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model)
    scale = _whole(upscaler.scale)
    figures = _Figures(chosen(metrics))
    folder = Path(hr_folder)
    paths = _pictures_in(folder)[:first]
    targets = None if save is None else _targets(Path(save), paths, scale)
    scores, failures = [], []
    for done, path in enumerate(paths):
        if progress is not None:
            progress(done, len(paths))
        try:
            score, result = _scored(upscaler, path, scale, limits or Limits(), figures)
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
        metrics=figures.names,
        sets=figures.sets(),
        warnings=tuple(figures.warnings(trained_with)),
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


def _whole(scale: float) -> int:
    if scale != int(scale) or scale < 2:
        raise InvalidConfig(f"a model is evaluated at a whole scale of at least 2, not at {scale:g}")
    return int(scale)


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


class _Figures:
    """The figures beyond PSNR and SSIM, opened once; the features of patches gather here, picture by picture."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.least_side = least_side(names)
        self._judges: dict[str, Judge] = {name: open_judge(name) for name in names if FIGURES[name].kind == "picture"}
        self._over_all = [name for name in names if FIGURES[name].kind == "set"]
        self._collect = open_collector() if self._over_all else None
        self._patches: list[tuple[NDArray[np.float32], ...]] = []

    def of(
        self, result: NDArray[np.float32], truth: NDArray[np.float32], small: NDArray[np.float32]
    ) -> dict[str, float]:
        """The figures of one enlarged picture."""
        figures = {name: judge(result, truth) for name, judge in self._judges.items()}
        if "consistency" in self.names:
            again = resize(result.astype(np.float64), *small.shape[:2])
            figures["consistency"] = min(psnr(again, small, channel="rgb"), PERFECT_PSNR)
        return figures

    def gather(self, *pictures: NDArray[np.float32]) -> None:
        """Take the patches of a result, of bicubic enlargement and of the reference, in this order."""
        if self._collect is not None:
            self._patches.append(tuple(self._collect(picture) for picture in pictures))

    def sets(self) -> dict[str, SetFigure]:
        """The figures over all that was gathered; none for fewer than two patches."""
        if not self._over_all or sum(len(patches[0]) for patches in self._patches) < 2:
            return {}
        from srgan.metrics.distribution import frechet_distance, kernel_distance

        measures = {"fd-squeeze": frechet_distance, "kid-squeeze": kernel_distance}
        result, baseline, truth = (np.concatenate(kind) for kind in zip(*self._patches, strict=True))
        return {
            name: SetFigure(
                value=measures[name](result, truth), baseline=measures[name](baseline, truth), patches=len(truth)
            )
            for name in self._over_all
        }

    def warnings(self, trained_with: Collection[str]) -> list[str]:
        """What is to be said of the figures beside them."""
        said = [
            f"{name}: {features} was a loss in this model's training, so this figure flatters it"
            for name in self.names
            if (features := FIGURES[name].features) in trained_with
        ]
        count = sum(len(patches[0]) for patches in self._patches)
        if "fd-squeeze" in self.names and count < FEW_PATCHES:
            said.append(f"fd-squeeze: {count} patches are few (below {FEW_PATCHES}): compare on the same pictures only")
        return said


def _scored(
    upscaler: Upscaler, path: Path, scale: int, limits: Limits, figures: _Figures
) -> tuple[PictureScore, Picture]:
    """The figures of one picture and the enlarged picture, in 8-bit values."""
    reference = to_uint8(read_picture(path, limits=limits).colour)
    height, width = reference.shape[0] // scale * scale, reference.shape[1] // scale * scale
    if min(height, width) < max(_LEAST_SIDE + 2 * scale, figures.least_side):
        raise InvalidImage(f"{path}: {reference.shape[1]} x {reference.shape[0]} pixels are too few for x{scale}")
    reference = reference[:height, :width]
    small = _shrunk(reference, scale)
    start = time.perf_counter()
    enlarged = upscaler.upscale(Picture(pixels=small))
    seconds = time.perf_counter() - start
    truth = from_uint8(reference)
    result = from_uint8(to_uint8(enlarged.pixels))
    baseline = from_uint8(to_uint8(resize(small, height, width)))
    figures.gather(result, baseline, truth)
    return PictureScore(
        name=path.name,
        width=width,
        height=height,
        psnr=min(psnr(result, truth, border=scale), PERFECT_PSNR),
        ssim=ssim(result, truth, border=scale),
        baseline_psnr=min(psnr(baseline, truth, border=scale), PERFECT_PSNR),
        baseline_ssim=ssim(baseline, truth, border=scale),
        seconds=seconds,
        more=figures.of(result, truth, small),
        baseline_more=figures.of(baseline, truth, small),
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
