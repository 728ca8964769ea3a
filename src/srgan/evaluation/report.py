"""What an evaluation found: the figures of every picture, their means, and how they were taken."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from srgan.metrics.judges import FIGURES
from srgan.models import Quality

PERFECT_PSNR = 100.0
"""What a picture without any error counts in dB, so that means stay finite."""

_RESAMPLES = 2000


def protocol_of(inputs: str) -> str:
    """How the figures are taken, where ``inputs`` says what is enlarged."""
    return (
        f"reference cropped to a multiple of the scale; {inputs}; result 8 bit; "
        "Y channel (BT.601, 16-235), border = scale; SSIM 11 x 11 Gaussian, sigma 1.5; mean over pictures; "
        "95 % interval by bootstrap over pictures"
    )


PROTOCOL = protocol_of("low resolution by MATLAB bicubic, 8 bit")
"""That of the literature."""


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
    seconds: float | None
    """Time of the enlargement alone; None when another program did it."""
    more: dict[str, float] = field(default_factory=dict)
    """The further figures that were asked for, by name."""
    baseline_more: dict[str, float] = field(default_factory=dict)
    """The same of bicubic enlargement."""
    reference_more: dict[str, float] = field(default_factory=dict)
    """The same of the reference, for figures that need none."""

    def figure(self, name: str) -> float:
        """The figure ``name`` of the model, PSNR and SSIM included."""
        return float(self.more[name] if name in self.more else getattr(self, name))


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
    protocol: str = PROTOCOL
    """How the figures were taken."""
    device_name: str = ""
    """What the device's maker calls it, see `SessionInfo`."""
    trained_with: tuple[str, ...] = ()
    """Feature networks that a loss of the model's training looked through, as far as that is known."""

    @cached_property
    def more(self) -> dict[str, tuple[Mean, Mean]]:
        """The means of the further figures by name: of the model, and of bicubic enlargement."""
        return {
            name: (mean_of([s.more[name] for s in self.scores]), mean_of([s.baseline_more[name] for s in self.scores]))
            for name in self.metrics
            if FIGURES[name].kind in ("picture", "input", "blind")
        }

    @cached_property
    def reference_more(self) -> dict[str, Mean]:
        """The means of the references themselves, for figures that need none."""
        blind = [name for name in self.metrics if FIGURES[name].kind == "blind"]
        return {name: mean_of([score.reference_more[name] for score in self.scores]) for name in blind}

    @property
    def features(self) -> dict[str, str]:
        """The network whose features a figure is computed with, by the figure's name."""
        return {name: features for name in self.metrics if (features := FIGURES[name].features)}

    @property
    def flattering(self) -> list[str]:
        """The figures whose features were a loss in the model's training."""
        return [name for name, features in self.features.items() if features in self.trained_with]

    @cached_property
    def psnr(self) -> Mean:
        """PSNR of the model in dB."""
        return mean_of([score.psnr for score in self.scores])

    @cached_property
    def ssim(self) -> Mean:
        """SSIM of the model."""
        return mean_of([score.ssim for score in self.scores])

    @cached_property
    def baseline_psnr(self) -> Mean:
        """PSNR of bicubic enlargement in dB."""
        return mean_of([score.baseline_psnr for score in self.scores])

    @cached_property
    def baseline_ssim(self) -> Mean:
        """SSIM of bicubic enlargement."""
        return mean_of([score.baseline_ssim for score in self.scores])

    @cached_property
    def gain(self) -> Mean:
        """How many dB the model is ahead of bicubic, picture by picture: the interval that says whether it is."""
        return mean_of([score.psnr - score.baseline_psnr for score in self.scores])

    @property
    def seconds(self) -> float | None:
        """Time of all enlargements; None when another program did them."""
        times = [score.seconds for score in self.scores if score.seconds is not None]
        return sum(times) if times else None

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

    def only(self, names: Collection[str]) -> EvaluationReport:
        """This report over the pictures ``names`` alone; figures over all pictures together go when some are left out.

        Raises ValueError when nothing is left.
        """
        scores = tuple(score for score in self.scores if score.name in names)
        if not scores:
            raise ValueError("a report is about at least one picture")
        return self if len(scores) == len(self.scores) else replace(self, scores=scores, sets={})

    def document(self) -> dict[str, Any]:
        """The whole report in plain values."""
        means = ("psnr", "ssim", "baseline_psnr", "baseline_ssim", "gain")
        head = ("model", "scale", "backend", "device", "device_name", "precision", "dataset", "protocol", "features")
        return {
            **{name: getattr(self, name) for name in head},
            "trained_with": list(self.trained_with),
            "warnings": list(self.warnings),
            "mean": {name: asdict(getattr(self, name)) for name in means}
            | {name: asdict(mean) for name, (mean, _) in self.more.items()}
            | {f"baseline_{name}": asdict(mean) for name, (_, mean) in self.more.items()}
            | {f"reference_{name}": asdict(mean) for name, mean in self.reference_more.items()},
            "sets": {name: asdict(figure) for name, figure in self.sets.items()},
            "seconds": self.seconds,
            "pictures": [asdict(score) for score in self.scores],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def to_json(self) -> str:
        """`document` as one JSON object."""
        return as_json(self.document())

    def rows(self) -> list[dict[str, Any]]:
        """One row per picture, all with the same columns; a picture that failed has its reason in the last one."""
        kinds = ("more", "baseline_more", "reference_more")
        columns = [name for name in PictureScore.__dataclass_fields__ if name not in kinds]
        further = [prefix + name for name in self.more for prefix in ("", "baseline_")]
        further += [f"reference_{name}" for name in self.reference_more]
        blank = dict.fromkeys([*columns, *further, "failure"], "")
        rows = []
        for score in self.scores:
            row = asdict(score)
            more, baseline, reference = (row.pop(kind) for kind in kinds)
            beside = {f"baseline_{name}": value for name, value in baseline.items()}
            beside |= {f"reference_{name}": value for name, value in reference.items()}
            rows.append(blank | row | more | beside)
        return rows + [blank | {"name": failure.name, "failure": failure.reason} for failure in self.failures]

    def to_csv(self) -> str:
        """`rows` under a line of names."""
        return as_csv(self.rows())


def as_json(document: dict[str, Any]) -> str:
    """``document`` as JSON text, for people and programs."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """``rows``, at least one, which have the same columns, under a line of names."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def mean_of(values: Sequence[float]) -> Mean:
    """The mean, and between which values it lies for 95 % of as many pictures drawn anew; the same for each run."""
    array = np.asarray(values)
    chance = np.random.default_rng(0)
    means = [array[chance.integers(0, len(array), len(array))].mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, (2.5, 97.5))
    return Mean(value=float(array.mean()), low=float(low), high=float(high))
