"""What a run has come to, as a bundle, and whether it is better than the one that is shipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from scripts.trainings.diary import Diary
from scripts.trainings.entries import DATASETS, Entry, QueueFile
from scripts.trainings.place import Place

from srgan.evaluation import BICUBIC, Mean
from srgan.evaluation.job import EvaluateJob, run_evaluate
from srgan.metrics.judges import FIGURES
from srgan.models import Bundle, write_bundle
from srgan.settings import RuntimeSettings
from srgan.training import export_checkpoint
from srgan.training.runs import config_of, run_at

USUAL = ("Set5", "Set14", "BSD100")
"""Folders of pictures that a model is judged by which has no predecessor."""
MOST_BYTES = 30_000_000
"""Of all shipped models together."""
RECORDED = ("psnr", "ssim")
"""Figures that bundles have of themselves."""

Scores = Mapping[str, float]
"""A mean by the name of the folder of pictures."""


@dataclass(frozen=True)
class Verdict:
    """Whether a bundle is to be shipped, and why."""

    ship: bool
    why: str


@dataclass(frozen=True)
class Rival:
    """What a bundle is held against."""

    name: str
    scores: Scores


def judge(figure: str, own: Scores, predecessor: Rival | None, others: Sequence[Rival]) -> Verdict:
    """Whether a bundle with its ``own`` means of ``figure`` is to be shipped.

    It has to be better than its ``predecessor`` of the same name, in the mean over the folders that this one was judged
    by; where there is none, better than each of the ``others``.
    """
    said = []
    for rival in [predecessor] if predecessor else others:
        missing = sorted(rival.scores.keys() - own.keys())
        if missing or not rival.scores:
            return Verdict(False, f"cannot be held against {rival.name}: no {', '.join(missing) or 'figures'} here")
        mine, theirs = (_mean([scores[name] for name in rival.scores]) for scores in (own, rival.scores))
        better = FIGURES[figure].fault(mine) < FIGURES[figure].fault(theirs)
        digits = max(3, FIGURES[figure].digits)
        text = f"{figure} {mine:.{digits}f} against {theirs:.{digits}f} of {rival.name} on {', '.join(rival.scores)}"
        if not better:
            return Verdict(False, f"not better: {text}")
        said.append(text)
    return Verdict(bool(said), f"better: {'; '.join(said)}" if said else "there is nothing to hold it against")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True, kw_only=True)
class Harvest:
    """Makes bundles of runs, and ships the better ones."""

    queue: QueueFile
    place: Place
    shipped: Path
    """The folder of the shipped bundles."""
    diary: Diary
    threads: int = 1
    today: Callable[[], date] = date.today
    say: Callable[[str], None] = print

    def entry(self, name: str) -> Verdict:
        """Harvest the entry ``name``, whose run may go on meanwhile.

        Its bundle stays in the folder of the queue, whatever becomes of it. Raises what exporting and evaluating
        raise, `InvalidConfig` also where the entry has no run here.
        """
        entry = self.queue.find(name)
        run = run_at(self.place.runs / entry.becomes)
        begun = config_of(run)
        figure = begun.validation.best if begun else "psnr"
        bundle = self._made(entry)
        self.say(f"{name}: {bundle.path} has the averaged weights of step {bundle.info.provenance.steps:,}")
        folder = self.shipped / entry.becomes
        before = Bundle.open(folder) if folder.is_dir() else None
        datasets = [quality.dataset for quality in before.info.quality] if before else list(USUAL)
        scores, bicubic = self._score(bundle, datasets, figure, record=True)
        bundle = Bundle.open(bundle.path)
        verdict = judge(
            figure,
            scores,
            Rival(f"the shipped {entry.becomes}", self._scores_of(before, datasets, figure)) if before else None,
            [] if before else [Rival(BICUBIC, bicubic), *self._smaller(bundle, list(scores), figure)],
        )
        if entry.trial:
            verdict = Verdict(False, f"a trial: {self._told(figure, scores)}")
        elif verdict.ship:
            verdict = self._ship(entry, bundle, before, verdict)
        step = f"step {bundle.info.provenance.steps:,}"
        said = f"{step} {'is shipped' if verdict.ship else 'is not shipped'}, {verdict.why}"
        self.diary.add(entry.becomes, self.today(), f"Harvested: {said}.")
        self.say(f"{name}: {said}")
        return verdict

    def _made(self, entry: Entry) -> Bundle:
        """The bundle of the best checkpoint, or that of the run that has finished, under the name of its file."""
        run, target = run_at(self.place.runs / entry.becomes), self.place.folder / "models" / entry.becomes
        if run.bundle.exists():
            made = Bundle.open(run.bundle)
        else:
            shutil.rmtree(target, ignore_errors=True)
            made = export_checkpoint(run.folder, target, best=True)
        info = made.info.model_copy(
            update={
                "name": entry.becomes,
                "provenance": made.info.provenance.model_copy(update={"config": self.queue.origin(entry)}),
            }
        )
        return write_bundle(target, info, {name: made.read(name) for name in made.info.files})

    def _score(self, bundle: Bundle, datasets: Sequence[str], figure: str, *, record: bool) -> tuple[Scores, Scores]:
        """Its means of ``figure`` and those of bicubic, on those of ``datasets`` that are here."""
        own, bicubic = {}, {}
        for name in datasets:
            folder = self.queue.locate(DATASETS / name)
            if not folder.is_dir():
                self.say(f"{bundle.info.name}: not judged by {name}, which is not at {folder}")
                continue
            job = EvaluateJob(
                models=(str(bundle.path),),
                folder=folder,
                metrics=tuple(dict.fromkeys((*RECORDED, figure))),
                runtime=RuntimeSettings(threads=self.threads),
                record=record,
            )
            outcome = run_evaluate(job)
            if outcome.fault:
                raise outcome.fault
            lines = {line.label: line.means[figure] for line in outcome.result.lines}
            (label,) = outcome.result.reports
            own[name], bicubic[name] = _value(lines[label]), _value(lines[BICUBIC])
            digits = max(3, FIGURES[figure].digits)
            self.say(
                f"{bundle.info.name}: {name}: {figure} {own[name]:.{digits}f} (bicubic {bicubic[name]:.{digits}f})"
            )
        return own, bicubic

    @staticmethod
    def _told(figure: str, scores: Scores) -> str:
        digits = max(3, FIGURES[figure].digits)
        return f"{figure} {', '.join(f'{score:.{digits}f} on {name}' for name, score in scores.items())}"

    def _scores_of(self, bundle: Bundle, datasets: Sequence[str], figure: str) -> Scores:
        """What a shipped bundle says of itself, measured where it does not."""
        if figure in RECORDED:
            return {q.dataset: float(getattr(q, figure)) for q in bundle.info.quality if q.dataset in datasets}
        return self._score(bundle, datasets, figure, record=False)[0]

    def _smaller(self, bundle: Bundle, datasets: Sequence[str], figure: str) -> list[Rival]:
        """The shipped models of the same kind and scale that cost less."""
        there = [Bundle.open(path) for path in sorted(self.shipped.iterdir()) if path.is_dir()]
        return [
            Rival(other.info.name, scores)
            for other in there
            if other.info.scale == bundle.info.scale
            and other.info.provenance.recipe == bundle.info.provenance.recipe
            and other.info.macs_per_pixel < bundle.info.macs_per_pixel
            and (scores := self._scores_of(other, datasets, figure))  # those for other pictures have none
        ]

    def _ship(self, entry: Entry, bundle: Bundle, before: Bundle | None, verdict: Verdict) -> Verdict:
        """Put ``bundle`` among the shipped ones, if there is room."""
        others = sum(_bytes(path) for path in self.shipped.iterdir() if path.is_dir() and path.name != entry.becomes)
        if (total := others + _bytes(bundle.path)) > MOST_BYTES:
            return Verdict(False, f"{verdict.why}; but all models together would be {total:,} bytes of {MOST_BYTES:,}")
        info = bundle.info
        if before is not None:
            major, minor, *_ = before.info.version.split(".")
            info = info.model_copy(update={"version": f"{major}.{int(minor) + 1}.0"})
        write_bundle(self.shipped / entry.becomes, info, {name: bundle.read(name) for name in info.files})
        self.queue.note(entry.name, shipped=info.provenance.steps)
        return verdict


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _value(mean: Mean | float) -> float:
    """A mean with its interval, or a bare one."""
    return float(mean.value if isinstance(mean, Mean) else mean)
