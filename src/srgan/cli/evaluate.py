"""`srgan evaluate`: score models against reference pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.cli import options
from srgan.cli.carrying import conclude
from srgan.cli.failures import SOME_FAILED, complain
from srgan.cli.output import Progress, emit, say, table

if TYPE_CHECKING:
    from srgan.evaluation import Comparison, EvaluationReport, Mean
    from srgan.evaluation.job import EvaluateJob

EXAMPLES = """\b
Examples:
  srgan evaluate fast Set5
  srgan evaluate bicubic Set5 --scale 3
  srgan evaluate fast BSD100 --metrics lpips-unweighted,stlpips-alex,consistency
  srgan evaluate runs/mine/001/bundle Set14 --csv set14.csv --save-dir enlarged --record
  srgan evaluate fast turbo Set14 --html compare.html --metrics niqe-photos --worst-by niqe-photos
  srgan evaluate fast --results other=enlarged/by-another Set14 --degrade mixed --html compare.html
"""

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Names or families of models, paths of bundles, or a plain resampler: bicubic.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path, typer.Argument(metavar="HR_DIR", help="Folder of high-resolution pictures.", show_default=False)
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write one line per picture as CSV.")]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Also write an HTML page with the pictures of all models, the ten worst first."
    ),
]
WorstBy = Annotated[
    str, typer.Option("--worst-by", metavar="NAME", help="Metric of the first model that sorts the page.")
]
SaveDir = Annotated[
    Path | None,
    typer.Option(
        "--save-dir", metavar="DIR", help="Keep the upscaled pictures here; several models get a folder each."
    ),
]
First = Annotated[
    int | None,
    typer.Option("--limit", metavar="NUMBER", min=1, help="Use only the first N pictures, by name."),
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        metavar="NAMES",
        help="Comma-separated metrics: psnr, ssim, consistency, colour-shift, grid, niqe-photos, "
        "lpips-unweighted, dists-squeeze, stlpips-alex, fd-squeeze, kid-squeeze. Metrics based on network features "
        "need srgan[train].",
    ),
]
Degrade = Annotated[
    str | None,
    typer.Option(
        "--degrade",
        metavar="NAME",
        help="Degrade the low-resolution inputs: blur, noise, jpeg, or mixed (all of them).",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="NUMBER", help="Random seed of --degrade.")]
LowDir = Annotated[
    Path | None,
    typer.Option(
        "--low-dir",
        metavar="DIR",
        help="Use these low-resolution pictures (NAME or NAMEx4) instead of downscaling the references.",
    ),
]
SaveInputs = Annotated[
    Path | None,
    typer.Option(
        "--save-inputs", metavar="DIR", help="Keep the low-resolution inputs here, for use with other programs."
    ),
]
Finished = Annotated[
    list[str] | None,
    typer.Option(
        "--results",
        metavar="[LABEL=]DIR",
        help="Also score pictures upscaled by another program (NAME, NAMEx4 or NAME_x4); repeatable.",
    ),
]
Record = Annotated[
    bool,
    typer.Option("--record", help="Store the mean scores in the bundle's model.toml, where `srgan models` shows them."),
]


@options.taking(options.SCALE, options.RUNTIME, options.TILE, options.JOB)
def evaluate(
    ctx: typer.Context,
    *,  # the order is that of the command line, where what may be left out comes first
    models: Models = None,
    folder: Folder,
    limit: First = None,
    metrics: Metrics = "psnr,ssim",
    results: Finished = None,
    degrade: Degrade = None,
    seed: Seed = 0,
    low_dir: LowDir = None,
    csv: Csv = None,
    html: Html = None,
    worst_by: WorstBy = "psnr",
    save_dir: SaveDir = None,
    save_inputs: SaveInputs = None,
    record: Record = False,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
) -> None:
    """Measure the quality of models on reference pictures: PSNR and SSIM, next to bicubic as the baseline.

    Each reference is downscaled (MATLAB-style bicubic), upscaled by the model and compared with the original: Y
    channel, 8 bit, ignoring a border of as many pixels as the scale. The other metrics use the whole RGB picture.
    Brackets show the 95 % confidence interval of the mean. Several models are compared on the pictures that all of
    them could process.
    """
    from srgan.evaluation.job import EvaluateJob

    job = options.read_job(ctx, EvaluateJob, metrics=metrics.split(",") if metrics else ())
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)


def carry_out(job: EvaluateJob, *, as_json: bool) -> None:
    """Do it, show the figures, and end with the exit code that says whether all pictures could be scored."""
    from srgan.evaluation.job import run_evaluate

    with Progress("scoring") as progress:
        outcome = run_evaluate(job, report=progress)
    comparison: Comparison = outcome.result
    _tell(comparison, as_json)  # before what went wrong with files: the figures are there
    if outcome.fault is not None:
        raise outcome.fault
    if job.html is not None:
        say(f"{job.html}: written")
    if job.record:
        quality = comparison.first.quality
        say(f"{job.models[0]}: recorded {quality.psnr:.2f} dB on {comparison.first.dataset}")
    if outcome.state == "partly":
        raise typer.Exit(SOME_FAILED)


def _tell(comparison: Comparison, as_json: bool) -> None:
    """Show the figures, then what is to be said of them. One model is told of in full."""
    alone = len(comparison.full) == 1
    if as_json:
        emit((comparison.first if alone else comparison).to_json().rstrip("\n"))
    else:
        emit(_text(comparison.first) if alone else _side_by_side(comparison))
    for warning in comparison.warnings:
        say(f"warning: {warning}")
    for label, report in comparison.full.items():
        whose = "" if alone else f"{label}: "
        for failure in report.failures:
            named = failure.name in failure.reason
            complain(f"{whose}{failure.reason}" if named else f"{whose}{failure.name}: {failure.reason}")


def _text(report: EvaluationReport) -> str:
    """A table of the pictures, the means below it, and with which features they were computed."""
    from srgan.runtime.session import with_name

    names = list(report.more)
    rows = [
        (
            *(s.name, s.psnr, s.ssim, s.baseline_psnr, s.baseline_ssim, *(s.more[n] for n in names)),
            None if s.seconds is None else round(s.seconds, 3),
        )
        for s in report.scores
    ]
    pictures = f"{len(rows)} picture{'' if len(rows) == 1 else 's'}"
    where = with_name(report.device, report.device_name)
    ran = f"{report.backend}/{where}, {report.precision}" if report.device else "finished results"
    means = [
        ("", "PSNR dB", "SSIM"),
        (f"{report.model} x{report.scale}", _mean(report.psnr, 2), _mean(report.ssim, 4)),
        ("bicubic", _mean(report.baseline_psnr, 2), _mean(report.baseline_ssim, 4)),
        ("gain", _mean(report.gain, 2), ""),
    ]
    head = ("PICTURE", "PSNR", "SSIM", "BICUBIC", "SSIM", *(name.upper() for name in names), "SECONDS")
    lines = [table(head, rows), "", f"Means over {pictures} of {report.dataset}, on {ran}:", table(means[0], means[1:])]
    if further := _further(report):
        original = ("ORIGINAL",) if report.reference_more else ()
        lines += ["", table(("", f"{report.model} x{report.scale}", "bicubic", *original, "BETTER"), further)]
    return "\n".join([*lines, *_notes({report.model: report})])


def _notes(reports: Mapping[str, EvaluationReport]) -> list[str]:
    """With which features figures were computed, whose loss these were, and what was enlarged where it is not what
    everyone enlarges. It is part of the result: --quiet does not silence it."""
    from srgan.evaluation import PROTOCOL

    first = next(iter(reports.values()))
    notes = []
    for name, features in first.features.items():
        flattered = [label for label, report in reports.items() if name in report.flattering]
        loss = f", a training loss of {', '.join(flattered)}: the score is biased in its favour" if flattered else ""
        notes.append(f"{name} is computed with {features}{loss}")
    return notes if first.protocol == PROTOCOL else [*notes, f"protocol: {first.protocol}"]


def _further(report: EvaluationReport) -> list[tuple[str, ...]]:
    """A line for each figure beyond PSNR and SSIM: of the model, of bicubic, of the originals where a figure needs no
    reference, and which way is better."""
    from srgan.metrics.judges import FIGURES

    lines: list[tuple[str, ...]] = []
    for name, (ours, bicubic) in report.more.items():
        digits = FIGURES[name].digits
        lines.append((name, _mean(ours, digits), _mean(bicubic, digits)))
    for name, figure in report.sets.items():
        digits = FIGURES[name].digits
        lines.append((name, f"{figure.value:.{digits}f}", f"{figure.baseline:.{digits}f}"))
    if report.reference_more:
        of_originals = {name: _mean(mean, FIGURES[name].digits) for name, mean in report.reference_more.items()}
        lines = [(*line, of_originals.get(line[0], "")) for line in lines]
    return [(*line, FIGURES[line[0]].better) for line in lines]


def _side_by_side(comparison: Comparison) -> str:
    """The means of all models in one table, without their intervals, which would make it too wide."""
    from srgan.metrics.judges import FIGURES

    figures = comparison.figures
    rows = []
    for line in comparison.lines:
        cells = []
        for name in figures:
            mean = line.means.get(name)
            value = mean if mean is None or isinstance(mean, float) else mean.value
            cells.append("-" if value is None else f"{value:.{FIGURES[name].digits}f}")
        rows.append((line.label, *cells, "-" if line.seconds is None else f"{line.seconds:.3f}"))
    better = ("BETTER", *(FIGURES[name].better for name in figures), "lower")
    first = comparison.first
    return "\n".join(
        [
            f"Means over {len(comparison.pictures)} pictures of {first.dataset}, x{first.scale}; "
            "--json and --html have their intervals:",
            table(("", *(name.upper() for name in figures), "SECONDS"), [*rows, better]),
            *_notes(comparison.reports),
        ]
    )


def _mean(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
