"""`srgan evaluate`: score a model against reference pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.cli import options
from srgan.cli.failures import SOME_FAILED, complain
from srgan.cli.output import Progress, emit, say, table, write_text
from srgan.errors import InvalidConfig

if TYPE_CHECKING:
    from srgan.config import Settings
    from srgan.evaluation import EvaluationReport, Mean

EXAMPLES = """\b
Examples:
  srgan evaluate fast Set5
  srgan evaluate bicubic Set5 --scale 3
  srgan evaluate fast BSD100 --metrics lpips-unweighted,stlpips-alex,consistency
  srgan evaluate runs/mine/001/bundle Set14 --csv set14.csv --save-dir enlarged --record
"""

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Name or family of a model, path of a bundle, or a plain resampler: bicubic."),
]
Folder = Annotated[
    Path, typer.Argument(metavar="HR_DIR", help="Folder of high-resolution pictures.", show_default=False)
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write a line for each picture as CSV.")]
SaveDir = Annotated[Path | None, typer.Option("--save-dir", metavar="DIR", help="Keep the enlarged pictures here.")]
First = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="NUMBER", min=1, help="Score only the first so many pictures, by name: a quick look."
    ),
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        metavar="NAMES",
        help="Figures, separated by commas: psnr, ssim, consistency, lpips-unweighted, dists-squeeze, stlpips-alex, "
        "fd-squeeze, kid-squeeze. Those that look at features need srgan[train].",
    ),
]
Record = Annotated[
    bool,
    typer.Option("--record", help="Write the means into the bundle's model.toml, where `srgan models` shows them."),
]


def evaluate(
    ctx: typer.Context,
    model: Model,
    folder: Folder,
    scale: options.Scale = None,
    limit: First = None,
    metrics: Metrics = "psnr,ssim",
    csv: Csv = None,
    save_dir: SaveDir = None,
    record: Record = False,
    device: options.Device = None,
    backend: options.Backend = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    tile: options.Tile = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Score a model against reference pictures: PSNR and SSIM, beside plain bicubic enlargement.

    Each picture is made small by MATLAB's bicubic, enlarged by the model and compared with itself: Y channel, 8 bit,
    as many pixels of border left out as the scale. The figures of --metrics see the whole picture. Brackets hold the
    95 % interval of a mean over the pictures.
    """
    settings = options.read_settings(ctx)
    from srgan.evaluation import evaluate as score
    from srgan.evaluation import record_quality
    from srgan.models import find_model

    if record:
        _check_recordable(model, settings, limit)
    upscaler = options.open_upscaler(settings, settings.upscale.scale, model)
    with Progress("scoring") as progress:
        limits = options.limits_of(settings)
        report = score(
            upscaler,
            folder,
            progress=progress,
            save=save_dir,
            limits=limits,
            first=limit,
            metrics=metrics.split(","),
            trained_with=_loss_features(model, settings.upscale.scale),
        )
    if csv is not None:
        write_text(csv, report.to_csv())
    emit(report.to_json().rstrip("\n") if as_json else _text(report))
    for warning in report.warnings:
        say(f"warning: {warning}")
    for failure in report.failures:
        complain(failure.reason if failure.name in failure.reason else f"{failure.name}: {failure.reason}")
    if record:
        bundle = record_quality(find_model(model, settings.upscale.scale).path, report)
        say(f"{bundle.path}: recorded {report.quality.psnr:.2f} dB on {report.dataset}")
    if report.failures:
        raise typer.Exit(SOME_FAILED)


def _loss_features(model: str, scale: float | None) -> tuple[str, ...]:
    """The feature networks that a loss of the model's training looked through."""
    from srgan.models import find_model
    from srgan.runtime import RESIZE_MODELS

    return () if model in RESIZE_MODELS else find_model(model, scale).info.provenance.loss_features


def _check_recordable(model: str, settings: Settings, limit: int | None) -> None:
    """Raise `InvalidConfig` where the means would not be the model's own on all pictures."""
    from srgan.runtime import RESIZE_MODELS

    if limit is not None:
        raise InvalidConfig("--record: the means of a part of the pictures are not recorded; leave out --limit")
    if model in RESIZE_MODELS:
        raise InvalidConfig(f"--record: {model} is plain resampling and has no model.toml")
    if settings.upscale.tta or settings.upscale.fix_colour:
        raise InvalidConfig("--record: upscale.tta and upscale.fix_colour give other figures than the model's own")


def _text(report: EvaluationReport) -> str:
    """A table of the pictures, the means below it, and with which features they were computed."""
    names = list(report.more)
    rows = [
        (s.name, s.psnr, s.ssim, s.baseline_psnr, s.baseline_ssim, *(s.more[n] for n in names), round(s.seconds, 3))
        for s in report.scores
    ]
    pictures = f"{len(rows)} picture{'' if len(rows) == 1 else 's'}"
    ran = f"{report.backend}/{report.device}, {report.precision}"
    means = [
        ("", "PSNR dB", "SSIM"),
        (f"{report.model} x{report.scale}", _mean(report.psnr, 2), _mean(report.ssim, 4)),
        ("bicubic", _mean(report.baseline_psnr, 2), _mean(report.baseline_ssim, 4)),
        ("gain", _mean(report.gain, 2), ""),
    ]
    head = ("PICTURE", "PSNR", "SSIM", "BICUBIC", "SSIM", *(name.upper() for name in names), "SECONDS")
    lines = [table(head, rows), "", f"Means over {pictures} of {report.dataset}, on {ran}:", table(means[0], means[1:])]
    if further := _further(report):
        lines += ["", table(("", f"{report.model} x{report.scale}", "bicubic", "BETTER"), further)]
    lines += [f"{name} is computed with {features}" for name, features in report.features.items()]
    return "\n".join(lines)


def _further(report: EvaluationReport) -> list[tuple[str, str, str, str]]:
    """A line for each figure beyond PSNR and SSIM: of the model, of bicubic, and which way is better."""
    from srgan.metrics.judges import FIGURES

    lines = []
    for name, (ours, bicubic) in report.more.items():
        digits = FIGURES[name].digits
        lines.append((name, _mean(ours, digits), _mean(bicubic, digits)))
    for name, figure in report.sets.items():
        digits = FIGURES[name].digits
        lines.append((name, f"{figure.value:.{digits}f}", f"{figure.baseline:.{digits}f}"))
    return [(*line, "more" if FIGURES[line[0]].more_is_better else "less") for line in lines]


def _mean(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
