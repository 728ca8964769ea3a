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
    from srgan.evaluation import EvaluationReport, Mean

EXAMPLES = """\b
Examples:
  srgan evaluate fast Set5
  srgan evaluate bicubic Set5 --scale 3
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
    as many pixels of border left out as the scale. Brackets hold the 95 % interval of a mean over the pictures.
    """
    settings = options.read_settings(ctx)
    from srgan.evaluation import evaluate as score
    from srgan.evaluation import record_quality
    from srgan.models import find_model
    from srgan.runtime import RESIZE_MODELS

    if record and limit is not None:
        raise InvalidConfig("--record: the means of a part of the pictures are not recorded; leave out --limit")
    if record and model in RESIZE_MODELS:
        raise InvalidConfig(f"--record: {model} is plain resampling and has no model.toml")
    if record and (settings.upscale.tta or settings.upscale.fix_colour):
        raise InvalidConfig("--record: upscale.tta and upscale.fix_colour give other figures than the model's own")
    upscaler = options.open_upscaler(settings, settings.upscale.scale, model)
    with Progress("scoring") as progress:
        limits = options.limits_of(settings)
        report = score(upscaler, folder, progress=progress, save=save_dir, limits=limits, first=limit)
    if csv is not None:
        write_text(csv, report.to_csv())
    emit(report.to_json().rstrip("\n") if as_json else _text(report))
    for failure in report.failures:
        complain(failure.reason if failure.name in failure.reason else f"{failure.name}: {failure.reason}")
    if record:
        bundle = record_quality(find_model(model, settings.upscale.scale).path, report)
        say(f"{bundle.path}: recorded {report.quality.psnr:.2f} dB on {report.dataset}")
    if report.failures:
        raise typer.Exit(SOME_FAILED)


def _text(report: EvaluationReport) -> str:
    """A table of the pictures and the means below it."""
    rows = [(s.name, s.psnr, s.ssim, s.baseline_psnr, s.baseline_ssim, round(s.seconds, 3)) for s in report.scores]
    pictures = f"{len(rows)} picture{'' if len(rows) == 1 else 's'}"
    ran = f"{report.backend}/{report.device}, {report.precision}"
    means = [
        ("", "PSNR dB", "SSIM"),
        (f"{report.model} x{report.scale}", _mean(report.psnr, 2), _mean(report.ssim, 4)),
        ("bicubic", _mean(report.baseline_psnr, 2), _mean(report.baseline_ssim, 4)),
        ("gain", _mean(report.gain, 2), ""),
    ]
    return "\n".join(
        [
            table(("PICTURE", "PSNR", "SSIM", "BICUBIC", "SSIM", "SECONDS"), rows),
            "",
            f"Means over {pictures} of {report.dataset}, on {ran}:",
            table(means[0], means[1:]),
        ]
    )


def _mean(mean: Mean, digits: int) -> str:
    return f"{mean.value:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
