"""`srgan batch-process`: a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.cli import options
from srgan.cli.failures import SOME_FAILED, STOPPED, complain
from srgan.cli.output import LOG, Progress, emit, say

if TYPE_CHECKING:
    from srgan.batch import BatchReport, FileOutcome
    from srgan.config import Settings
    from srgan.upscaler import Size

EXAMPLES = """\b
Examples:
  srgan batch-process pictures larger
  srgan batch-process scans prints --long-side 6000 --format jpeg --report prints.json
  srgan batch-process pictures larger --include '*.png' --no-recursive
"""

Source = Annotated[Path, typer.Argument(metavar="IN_DIR", help="Folder of pictures to enlarge.", show_default=False)]
Target = Annotated[
    Path, typer.Argument(metavar="OUT_DIR", help="Folder to write into; made where it is missing.", show_default=False)
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="PATTERN",
        help="Only files whose name, or path in IN_DIR, matches; can be given again. Without it, all pictures.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write what became of each file as JSON, whatever happens."),
]


def batch(
    ctx: typer.Context,
    source: Source,
    target: Target,
    model: options.Model = None,
    scale: options.Scale = None,
    width: options.Width = None,
    height: options.Height = None,
    long_side: options.LongSide = None,
    include: Include = None,
    recursive: options.Recursive = None,
    overwrite: options.BatchOverwrite = None,
    workers: options.Workers = None,
    device: options.Device = None,
    backend: options.Backend = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    tile: options.Tile = None,
    resample: options.Resample = None,
    format: options.Format = None,
    quality: options.Quality = None,
    report: Report = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Enlarge all pictures in a folder.

    The tree of folders is kept. Outputs that exist are skipped, so that the same command goes on after an interruption.
    A bad file does not stop the others: it is named, and the exit code is 1 at the end.
    """
    settings = options.read_settings(ctx)
    result = _process(settings, source, target, include or (), report, options.read_size(ctx))
    emit(result.to_json().rstrip("\n") if as_json else result.summary())
    if result.interrupted:
        say("The same command goes on from here.")
        raise typer.Exit(STOPPED)
    if not result.ok:
        raise typer.Exit(SOME_FAILED)


def _process(
    settings: Settings, source: Path, target: Path, patterns: Sequence[str], report: Path | None, size: Size
) -> BatchReport:
    """Work through the folder as the settings say, and show how far it is."""
    from srgan.batch import process_folder

    upscaler = options.open_upscaler(settings, settings.upscale.scale)
    with Progress("upscaling") as progress:

        def show(outcome: FileOutcome, done: int, total: int) -> None:
            _tell(outcome)
            if outcome.state != "skipped":  # which takes no time, and would make the rest look as quick
                progress(done, total, outcome.source)

        return process_folder(
            source,
            target,
            upscaler,
            recursive=settings.batch.recursive,
            patterns=patterns,
            format=settings.upscale.format,
            quality=settings.upscale.quality,
            overwrite=settings.batch.overwrite,
            resample=settings.upscale.resample,
            limits=options.limits_of(settings),
            workers=settings.batch.workers,
            report=report,
            progress=show,
            **size,
        )


def _tell(outcome: FileOutcome) -> None:
    """Name a file that failed; with -v, every file."""
    if outcome.state == "failed":
        named = outcome.source in outcome.reason
        complain(outcome.reason if named else f"{outcome.source}: {outcome.reason}")
    elif outcome.state == "done":
        LOG.info("%s: done, %dx%d, %.2f s", outcome.source, outcome.width, outcome.height, outcome.seconds)
    else:
        LOG.info("%s: %s, %s", outcome.source, outcome.state, outcome.reason)
