"""`srgan batch-process`: a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.cli import options
from srgan.cli.carrying import conclude
from srgan.cli.failures import SOME_FAILED, STOPPED
from srgan.cli.output import Progress, emit, say
from srgan.errors import InvalidConfig

if TYPE_CHECKING:
    from srgan.batch.job import BatchJob

EXAMPLES = """\b
Examples:
  srgan batch-process pictures larger
  srgan batch-process scans prints --long-side 6000 --format jpeg --report prints.json
  srgan batch-process pictures larger --include '*.png' --exclude 'drafts/*'
  srgan batch-process pictures larger --scale 2 --name '{stem}_x{scale}{suffix}'
  srgan batch-process inbox outbox --watch --report today.csv
"""

Source = Annotated[Path, typer.Argument(metavar="IN_DIR", help="Input folder.", show_default=False)]
Target = Annotated[
    Path, typer.Argument(metavar="OUT_DIR", help="Output folder; created if missing.", show_default=False)
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="PATTERN",
        help="Only files whose name or path in IN_DIR matches; repeatable. Default: all pictures.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", help="Skip files and folders whose name or path matches; repeatable."),
]
Report = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report with the outcome of every file: CSV for .csv, else JSON; repeatable.",
    ),
]
ContactSheet = Annotated[
    Path | None,
    typer.Option(
        "--contact-sheet",
        metavar="FILE",
        help="Write an HTML page with every picture before and after, most different first.",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Keep running and process new and changed files until Ctrl-C.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Process only files that failed in the last run.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Same as --existing overwrite.")]
ExistingOutputs = Annotated[str | None, options.setting("batch.existing")]
Name = Annotated[str | None, options.setting("batch.name", metavar="TEMPLATE")]
Settle = Annotated[float | None, options.setting("batch.settle", metavar="SECONDS")]


@options.taking(options.MODEL, options.SIZE, options.RUNTIME, options.TILE, options.EFFECTS, options.JOB)
def batch(
    ctx: typer.Context,
    source: Source,
    target: Target,
    include: Include = None,
    exclude: Exclude = None,
    recursive: options.Recursive = None,
    name: Name = None,
    existing: ExistingOutputs = None,
    overwrite: Overwrite = False,
    retry_failed: RetryFailed = False,
    watch: Watch = False,
    settle: Settle = None,
    workers: options.Workers = None,
    report: Report = None,
    contact_sheet: ContactSheet = None,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
) -> None:
    """Upscale all pictures in a folder.

    The folder structure is kept. Progress is recorded in OUT_DIR: after any interruption the same command continues
    where it stopped and does no file twice. A bad file does not stop the others; it is reported, and the exit code is
    1.
    """
    from srgan.batch.job import BatchJob

    job = options.read_job(ctx, BatchJob, reports=report or ())
    if overwrite:
        job = _overwriting(job, existing)
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)


def _overwriting(job: BatchJob, existing: str | None) -> BatchJob:
    if existing not in (None, "overwrite"):
        raise InvalidConfig(f"--overwrite cannot be combined with --existing {existing}")
    return job.model_copy(update={"batch": job.batch.model_copy(update={"existing": "overwrite"})})


def carry_out(job: BatchJob, *, as_json: bool) -> None:
    """Do it, tell of it, and end with the exit code that says the same."""
    from srgan.batch import run_batch

    if job.watch:
        say(f"Watching {job.source}. Ctrl-C ends it.")
    with Progress("upscaling") as progress:
        outcome = run_batch(job, report=progress)
    result = outcome.result
    emit(result.to_json().rstrip("\n") if as_json else result.summary())
    if outcome.fault is not None:
        raise outcome.fault
    if outcome.state == "stopped":
        say("The same command goes on from here.")
        raise typer.Exit(STOPPED)
    if outcome.state == "partly":
        raise typer.Exit(SOME_FAILED)
