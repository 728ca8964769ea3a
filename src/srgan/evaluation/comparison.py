"""Several models on the same pictures, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from srgan.errors import InvalidConfig, InvalidDataset
from srgan.evaluation.report import EvaluationReport, Mean, as_csv, as_json
from srgan.metrics.judges import FIGURES

BICUBIC, ORIGINAL = "bicubic", "original"


@dataclass(frozen=True, kw_only=True)
class Line:
    """The means of one contender; a figure that it has no value of is missing."""

    label: str
    means: dict[str, Mean | float]
    """By the name of the figure; a plain number over all pictures together."""
    seconds: float | None
    """Of one picture, on average."""


def check_order(figure: str, metrics: Sequence[str]) -> None:
    """Raise `InvalidConfig` when pictures scored by ``metrics`` cannot be ordered by ``figure``."""
    known = [name for name in metrics if FIGURES[name].kind != "set"]
    if figure not in known:
        raise InvalidConfig(f"cannot sort the pictures by {figure!r}. Choose one of: {', '.join(known)}")


class Comparison:
    """The reports of several models, or of one, over the pictures that all of them could be scored on.

    ``reports`` are named by labels that tell them apart, from `ORIGINAL` too; the first is the one that others are
    compared with. Raises `InvalidConfig` for that label, or when they are about different pictures, inputs, scales or
    figures, and `InvalidDataset` when no picture is common to all.
    """

    def __init__(self, reports: Mapping[str, EvaluationReport]) -> None:
        if ORIGINAL in reports:
            raise InvalidConfig(f"the label {ORIGINAL} is reserved for the references; choose another")
        about = {(r.dataset, r.protocol, r.scale, r.metrics) for r in reports.values()}
        if len(about) != 1:
            scales = ", ".join(f"{label} x{report.scale}" for label, report in reports.items())
            raise InvalidConfig(f"models can only be compared on the same pictures and at the same scale, not {scales}")
        self.full = dict(reports)
        """As they were given, each over all its pictures."""
        scored = [{score.name for score in report.scores} for report in reports.values()]
        common = set.intersection(*scored)
        if not common:
            raise InvalidDataset(f"no picture could be scored for all of {', '.join(reports)}")
        self.left_out = sorted(set.union(*scored) - common)
        """Pictures that only some could be scored on."""
        self.reports = {label: report.only(common) for label, report in reports.items()}
        """Over the common pictures."""
        self.first = next(iter(self.reports.values()))

    @property
    def pictures(self) -> list[str]:
        """The names of the common pictures, in order."""
        return [score.name for score in self.first.scores]

    @property
    def figures(self) -> list[str]:
        """The figures that there are, in the order they were asked for."""
        sets = {name for report in self.reports.values() for name in report.sets}
        return [name for name in self.first.metrics if FIGURES[name].kind != "set" or name in sets]

    @cached_property
    def lines(self) -> list[Line]:
        """The means of each model, then those of bicubic enlargement, then of the references where these have any."""
        lines = []
        for label, report in self.reports.items():
            means: dict[str, Mean | float] = {"psnr": report.psnr, "ssim": report.ssim}
            means |= {name: ours for name, (ours, _) in report.more.items()}
            means |= {name: figure.value for name, figure in report.sets.items()}
            seconds = None if report.seconds is None else report.seconds / len(report.scores)
            lines.append(Line(label=label, means=means, seconds=seconds))
        means = {"psnr": self.first.baseline_psnr, "ssim": self.first.baseline_ssim}
        means |= {name: bicubic for name, (_, bicubic) in self.first.more.items()}
        means |= {name: figure.baseline for name, figure in self.first.sets.items()}
        if BICUBIC not in self.reports:
            lines.append(Line(label=BICUBIC, means=means, seconds=None))
        if self.first.reference_more:
            lines.append(Line(label=ORIGINAL, means={**self.first.reference_more}, seconds=None))
        return lines

    @cached_property
    def warnings(self) -> list[str]:
        """What whoever reads the figures must know, each a sentence that says of whom."""
        said = [
            f"{label}: {warning}" if len(self.reports) > 1 else warning
            for label, report in self.reports.items()
            for warning in report.warnings
        ]
        if self.left_out:
            said.append(f"not every model could be scored on {', '.join(self.left_out)}: the means leave them out")
        lost = {name for label, report in self.full.items() for name in report.sets if not self.reports[label].sets}
        if lost:
            said.append(f"{', '.join(sorted(lost))}: left out where other pictures are among those compared")
        return said

    def worst_first(self, figure: str) -> list[str]:
        """The pictures by ``figure`` of the first model, the worst first. Raises `InvalidConfig`."""
        check_order(figure, self.first.metrics)
        fault = FIGURES[figure].fault
        ordered = sorted(self.first.scores, key=lambda score: (-fault(score.figure(figure)), score.name))
        return [score.name for score in ordered]

    def to_json(self) -> str:
        """All reports, each over all its pictures, as one JSON object."""
        document: dict[str, Any] = {
            "dataset": self.first.dataset,
            "scale": self.first.scale,
            "protocol": self.first.protocol,
            "common_pictures": len(self.pictures),
            "left_out": self.left_out,
            "warnings": self.warnings,
            "models": {label: report.document() for label, report in self.full.items()},
        }
        return as_json(document)

    def to_csv(self) -> str:
        """One line for each model and picture."""
        return as_csv([{"model": label} | row for label, report in self.full.items() for row in report.rows()])
