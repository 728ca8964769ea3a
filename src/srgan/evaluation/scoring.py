"""Scoring a model against reference pictures, under the protocol of the super-resolution literature.

Each picture is cropped to a multiple of the scale, made small by MATLAB's bicubic and rounded to 8 bit, enlarged by the
model, rounded to 8 bit again and compared with the original: PSNR and SSIM on the Y channel, `scale` pixels of border
left out. Plain bicubic enlargement is scored beside it. Other figures, which `metrics.judges` names, are added on
request; they see the whole picture in RGB, border included. `inputs` has other ways to make the small picture.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from srgan.errors import Cancelled, CannotWrite, InvalidConfig, InvalidDataset, InvalidImage, SrganError
from srgan.evaluation.against_input import JUDGES
from srgan.evaluation.inputs import Inputs, Results, Shrunk, pictures_in
from srgan.evaluation.report import (
    PERFECT_PSNR,
    EvaluationReport,
    Failure,
    PictureScore,
    SetFigure,
    protocol_of,
)
from srgan.imaging import Limits, Picture, from_uint8, read_picture, resize, to_uint8, write_picture
from srgan.metrics import psnr, ssim
from srgan.metrics.judges import (
    FEW_PATCHES,
    FIGURES,
    BlindJudge,
    Judge,
    chosen,
    least_side,
    open_blind_judge,
    open_collector,
    open_judge,
)
from srgan.progress import Report, Step, Stop, stoppable
from srgan.runtime.session import Session
from srgan.upscaler import Upscaler

_LEAST_SIDE = 11
"""Pixels inside the border that SSIM needs."""
Pixels = NDArray[np.float32]
Float = TypeVar("Float", np.float32, np.float64)


def evaluate(
    model: Session | Upscaler | Results,
    hr_folder: str | os.PathLike[str],
    *,
    report: Report | None = None,
    stop: Stop | None = None,
    save: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
    first: int | None = None,
    metrics: Sequence[str] = ("psnr", "ssim"),
    trained_with: Collection[str] = (),
    inputs: Inputs | None = None,
) -> EvaluationReport:
    """Score ``model`` on the pictures that lie directly in ``hr_folder``: `Trial.score` of a `Trial` of one model."""
    trial = Trial(hr_folder, limits=limits, first=first, metrics=metrics, inputs=inputs)
    return trial.score(model, report=report, stop=stop, save=save, trained_with=trained_with)


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A reference picture and what is enlarged, both in 8-bit values, H x W x 1 or 3 in [0, 1]."""

    path: Path
    truth: Pixels
    """The reference, cropped to a multiple of the scale."""
    small: Pixels

    def bicubic(self) -> Pixels:
        """The baseline: ``small`` in the size of ``truth`` by bicubic, in 8-bit values."""
        return from_uint8(to_uint8(resize(self.small, *self.truth.shape[:2])))


class Trial:
    """Pictures, inputs and figures that any number of models are held against. Bicubic enlargement is scored once.

    The pictures are those directly in ``hr_folder``, or the ``first`` so many by name. Gray ones are scored as gray,
    and alpha is left out. ``inputs`` makes the small ones, `Shrunk` by default. ``metrics`` names figures of
    `metrics.judges.FIGURES`; PSNR and SSIM are always there. Raises `InvalidDataset` when there is no picture,
    `InvalidConfig` for unknown figures, and `MissingDependency` for figures whose library is not installed.
    """

    def __init__(
        self,
        hr_folder: str | os.PathLike[str],
        *,
        inputs: Inputs | None = None,
        limits: Limits | None = None,
        first: int | None = None,
        metrics: Sequence[str] = ("psnr", "ssim"),
    ) -> None:
        self._figures = _Figures(chosen(metrics))
        self._folder = Path(hr_folder)
        self._inputs = inputs or Shrunk()
        self._limits = limits or Limits()
        self._baselines: dict[tuple[Path, int], _Baseline] = {}
        self.paths = pictures_in(self._folder)[:first]
        """The references, by name."""
        self.protocol = protocol_of(self._inputs.says)
        self.metrics = self._figures.names

    def score(
        self,
        model: Session | Upscaler | Results,
        *,
        report: Report | None = None,
        stop: Stop | None = None,
        save: str | os.PathLike[str] | None = None,
        trained_with: Collection[str] = (),
    ) -> EvaluationReport:
        """Score ``model``: an `Upscaler` at its own scale, a session at its network's, or finished results.

        ``report`` is told of the pictures, before each and at the end; ``stop`` is asked there. ``save`` is a folder
        that is made to hold the enlarged pictures, see `target`; those of an earlier run are replaced. The features in
        ``trained_with`` were a loss in the model's training: figures with the same features get a warning. A picture
        that cannot be read, is too small or cannot be enlarged ends in ``failures``. Raises `InvalidDataset` when none
        could be scored, `InvalidConfig` for a scale that is not a whole number of at least 2, and `CannotWrite`.
        """
        enlarger = _Stored(model, self._limits) if isinstance(model, Results) else _Running(model)
        scale = whole_scale(enlarger.scale)
        if save is not None:
            self.make_folders([Path(save)], [model.folder] if isinstance(model, Results) else [])
        tell = stoppable(report, stop)
        patches = _Patches()
        scores, failures = [], []
        for done, path in enumerate(self.paths):
            tell(Step(done, len(self.paths), "pictures"))
            try:
                score, result = self._score(enlarger, path, scale, patches)
            except Cancelled:
                raise
            except SrganError as error:
                failures.append(Failure(name=path.name, reason=str(error)))
                continue
            scores.append(score)
            if save is not None:
                write_picture(Picture(pixels=result), self.target(Path(save), path, scale), overwrite=True)
        tell(Step(len(self.paths), len(self.paths), "pictures"))
        if not scores:
            first = failures[0].reason
            raise InvalidDataset(f"{self._folder}: none of {len(self.paths)} pictures could be scored; {first}")
        return EvaluationReport(
            **enlarger.described(),
            scale=scale,
            dataset=self._folder.resolve().name,
            scores=tuple(scores),
            failures=tuple(failures),
            metrics=self._figures.names,
            sets=self._figures.sets(patches),
            warnings=tuple(self._figures.warnings(trained_with, patches)),
            protocol=self.protocol,
            trained_with=tuple(trained_with),
        )

    def case(self, path: Path, scale: int) -> Case:
        """The reference at ``path`` and its input. Raises `SrganError` when it cannot be read or is too small."""
        reference = to_uint8(read_picture(path, limits=self._limits).colour)
        height, width = reference.shape[0] // scale * scale, reference.shape[1] // scale * scale
        sides = [(_LEAST_SIDE + 2 * scale, f"x{scale}")]
        sides += [(least_side(name, scale), f"{name} at x{scale}") for name in self.metrics]
        least, what = max(sides)
        if min(height, width) < least:
            size, needed = f"{reference.shape[1]} x {reference.shape[0]}", -(-least // scale) * scale
            raise InvalidImage(f"{path}: {size} pixels are too few for {what}, which needs at least {needed} per side")
        reference = reference[:height, :width]
        small = self._inputs.small(path, reference, scale, self._limits)
        truth, small = alike(from_uint8(reference), small)
        return Case(path=path, truth=truth, small=small)

    def write_inputs(self, folder: str | os.PathLike[str], scale: float) -> None:
        """Write what is enlarged into ``folder``, as PNG named like the references, for another program to enlarge.

        Pictures that cannot be read are left out: `score` tells of them. Raises `CannotWrite`, and `InvalidConfig` for
        a scale that is not a whole number of at least 2.
        """
        scale = whole_scale(scale)
        self.make_folders([Path(folder)])
        for path in self.paths:
            try:
                small = self.case(path, scale).small
            except SrganError:
                continue
            write_picture(Picture(pixels=small), Path(folder) / f"{self._name(path)}.png", overwrite=True)

    def make_folders(self, folders: Collection[Path], results: Iterable[Path] = ()) -> None:
        """Make ``folders`` to write into: all of them, before the first picture is scored or written.

        Raises `CannotWrite`, and then makes none, for one that pictures are read from, or in which links lead there:
        the references, the inputs, or those of the folders ``results``. Nothing is replaced.
        """
        kept = [home for read in (self._folder, self._inputs.folder, *results) if read for home in _homes(read)]
        for folder in folders:
            if folder.exists() and any(home.samefile(read) for home in _homes(folder) for read in kept):
                raise CannotWrite(
                    f"{folder}: this is an input folder, and its pictures could be overwritten; choose another"
                )
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CannotWrite(f"{folder}: {error.strerror or error}") from error

    def target(self, folder: Path, path: Path, scale: int) -> Path:
        """Where in ``folder`` the result for the reference at ``path`` is kept: ``NAME_x4.png``."""
        return folder / f"{self._name(path)}_x{scale}.png"

    def _name(self, path: Path) -> str:
        """Two references that differ in their suffix only keep it."""
        return path.name if sum(other.stem == path.stem for other in self.paths) > 1 else path.stem

    def _score(self, enlarger: _Running | _Stored, path: Path, scale: int, patches: _Patches) -> _Scored:
        """The figures of one picture and the enlarged picture, in 8-bit values."""
        case = self.case(path, scale)
        enlarged, seconds = enlarger.enlarge(case)
        truth, result = alike(case.truth, from_uint8(to_uint8(enlarged)))
        if (path, scale) not in self._baselines:
            self._baselines[path, scale] = self._baseline(case, scale)
        baseline = self._baselines[path, scale]
        more = self._figures.of(result, truth, case.small)
        patches.add(self._figures.patches(result), baseline)
        return PictureScore(
            name=path.name,
            width=truth.shape[1],
            height=truth.shape[0],
            psnr=min(psnr(result, truth, border=scale), PERFECT_PSNR),
            ssim=ssim(result, truth, border=scale),
            baseline_psnr=baseline.psnr,
            baseline_ssim=baseline.ssim,
            seconds=seconds,
            more=more,
            baseline_more=baseline.more,
            reference_more=baseline.reference_more,
        ), result

    def _baseline(self, case: Case, scale: int) -> _Baseline:
        bicubic = case.bicubic()
        return _Baseline(
            psnr=min(psnr(bicubic, case.truth, border=scale), PERFECT_PSNR),
            ssim=ssim(bicubic, case.truth, border=scale),
            more=self._figures.of(bicubic, case.truth, case.small),
            reference_more=self._figures.blind(case.truth),
            patches=self._figures.patches(bicubic),
            reference_patches=self._figures.patches(case.truth),
        )


_Scored = tuple[PictureScore, Pixels]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Baseline:
    """What does not depend on the model: the figures of bicubic enlargement and of the reference."""

    psnr: float
    ssim: float
    more: dict[str, float]
    reference_more: dict[str, float]
    patches: Pixels | None
    reference_patches: Pixels | None


class _Running:
    """A model at work."""

    def __init__(self, model: Session | Upscaler) -> None:
        self._upscaler = model if isinstance(model, Upscaler) else Upscaler(model)
        self.scale = self._upscaler.scale

    def enlarge(self, case: Case) -> tuple[Pixels, float | None]:
        start = time.perf_counter()
        enlarged = self._upscaler.upscale(Picture(pixels=case.small)).pixels
        return enlarged, time.perf_counter() - start

    def described(self) -> dict[str, str]:
        info = self._upscaler.info
        device = {"device": info.device, "device_name": info.device_name}
        return {"model": info.model, "backend": info.backend, **device, "precision": info.precision}


class _Stored:
    """Results that are there already."""

    def __init__(self, results: Results, limits: Limits) -> None:
        self._results = results
        self._limits = limits
        self.scale = results.scale

    def enlarge(self, case: Case) -> tuple[Pixels, float | None]:
        height, width = case.truth.shape[:2]
        return self._results.result(case.path, (height, width), self._limits), None

    def described(self) -> dict[str, str]:
        return {"model": self._results.label, "backend": "files", "device": "", "precision": ""}


class _Patches:
    """The features of patches of one model's results, of bicubic enlargement and of the references, as they gather."""

    def __init__(self) -> None:
        self._kinds: tuple[list[Pixels], list[Pixels], list[Pixels]] = ([], [], [])
        self.count = 0

    def add(self, result: Pixels | None, baseline: _Baseline) -> None:
        """Take in those of a picture, if there are any."""
        for kind, patches in zip(self._kinds, (result, baseline.patches, baseline.reference_patches), strict=True):
            if patches is not None:
                kind.append(patches)
        self.count += 0 if result is None else len(result)

    def all(self) -> tuple[Pixels, ...]:
        """N x D of each kind."""
        return tuple(np.concatenate(kind) for kind in self._kinds)


class _Figures:
    """The figures beyond PSNR and SSIM, opened once."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._judges: dict[str, Judge] = {name: open_judge(name) for name in names if FIGURES[name].kind == "picture"}
        self._against = {name: JUDGES[name] for name in names if FIGURES[name].kind == "input"}
        blind = [name for name in names if FIGURES[name].kind == "blind"]
        self._blind: dict[str, BlindJudge] = {name: open_blind_judge(name) for name in blind}
        self._over_all = [name for name in names if FIGURES[name].kind == "set"]
        self._collect = open_collector() if self._over_all else None

    def of(self, result: Pixels, truth: Pixels, small: Pixels) -> dict[str, float]:
        """The figures of one enlarged picture."""
        figures = {name: judge(result, truth) for name, judge in self._judges.items()}
        for name, judge in self._against.items():
            figures[name] = min(judge(*alike(result, small)), PERFECT_PSNR)
        return figures | self.blind(result)

    def blind(self, picture: Pixels) -> dict[str, float]:
        """The figures that need no reference."""
        return {name: judge(picture) for name, judge in self._blind.items()}

    def patches(self, picture: Pixels) -> Pixels | None:
        """The features of its patches, where a figure over all pictures wants them."""
        return None if self._collect is None else self._collect(picture)

    def sets(self, patches: _Patches) -> dict[str, SetFigure]:
        """The figures over all that was gathered; none for fewer than two patches, of which `warnings` tells."""
        if not self._over_all or patches.count < 2:
            return {}
        from srgan.metrics.distribution import frechet_distance, kernel_distance

        measures = {"fd-squeeze": frechet_distance, "kid-squeeze": kernel_distance}
        result, baseline, truth = patches.all()
        return {
            name: SetFigure(
                value=measures[name](result, truth), baseline=measures[name](baseline, truth), patches=len(truth)
            )
            for name in self._over_all
        }

    def warnings(self, trained_with: Collection[str], patches: _Patches) -> list[str]:
        """What is to be said of the figures beside them."""
        said = [
            f"{name}: {features} was a loss in this model's training, so this score is biased in its favour"
            for name in self.names
            if (features := FIGURES[name].features) in trained_with
        ]
        if patches.count < 2:
            return said + [
                f"{name}: left out, as there are fewer than two patches: use larger or more pictures"
                for name in self._over_all
            ]
        if "fd-squeeze" in self.names and patches.count < FEW_PATCHES:
            few = f"{patches.count} patches are few (below {FEW_PATCHES})"
            said.append(f"fd-squeeze: {few}: compare on the same pictures only")
        return said


def alike(a: NDArray[Float], b: NDArray[Float]) -> tuple[NDArray[Float], NDArray[Float]]:
    """Both with the same channels, H x W x C: gray beside colour becomes three equal ones."""
    if a.shape[2] == b.shape[2]:
        return a, b
    return (a.repeat(3, axis=2), b) if a.shape[2] == 1 else (a, b.repeat(3, axis=2))


def _homes(folder: Path) -> set[Path]:
    """``folder`` and where the files in it really lie: writing through a link replaces what it points to.

    Raises `CannotWrite` when it cannot be looked into.
    """
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
    except OSError as error:
        raise CannotWrite(f"{folder}: {error.strerror or error}") from error
    return {Path(os.path.realpath(folder)), *(Path(os.path.realpath(path)).parent for path in files)}


def whole_scale(scale: float) -> int:
    """``scale`` as an int. Raises `InvalidConfig` when it is not a whole number of at least 2."""
    if scale != int(scale) or scale < 2:
        raise InvalidConfig(f"models are evaluated at an integer scale of at least 2, not {scale:g}")
    return int(scale)
