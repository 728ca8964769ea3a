"""`srgan batch-process`: a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srgan.cli import options
from srgan.cli.failures import SOME_FAILED, STOPPED, complain
from srgan.cli.output import LOG, Progress, emit, say
from srgan.errors import CannotWrite, InvalidConfig

if TYPE_CHECKING:
    from srgan.batch import BatchReport, FileOutcome
    from srgan.settings import Settings
    from srgan.upscaler import Size

EXAMPLES = """\b
Examples:
  srgan batch-process pictures larger
  srgan batch-process scans prints --long-side 6000 --format jpeg --report prints.json
  srgan batch-process pictures larger --include '*.png' --exclude 'drafts/*'
  srgan batch-process pictures larger --scale 2 --name '{stem}_x{scale}{suffix}'
  srgan batch-process inbox outbox --watch --report today.csv
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
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="PATTERN", help="No files and folders whose name or path matches; can be given again."
    ),
]
Report = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write what became of each file, whatever happens: as a table for .csv, else as JSON. Can be given again.",
    ),
]
ContactSheet = Annotated[
    Path | None,
    typer.Option(
        "--contact-sheet", metavar="FILE", help="Write a web page with every picture before and after, worst first."
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Go on with what is new or changed, until Ctrl-C.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Only files that failed the last time.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="The same as --existing overwrite.")]
ExistingOutputs = Annotated[str | None, options.setting("batch.existing")]
Name = Annotated[str | None, options.setting("batch.name", metavar="TEMPLATE")]
Settle = Annotated[float | None, options.setting("batch.settle", metavar="SECONDS")]


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
    exclude: Exclude = None,
    recursive: options.Recursive = None,
    name: Name = None,
    existing: ExistingOutputs = None,
    overwrite: Overwrite = False,
    retry_failed: RetryFailed = False,
    watch: Watch = False,
    settle: Settle = None,
    workers: options.Workers = None,
    device: options.Device = None,
    backend: options.Backend = None,
    precision: options.Precision = None,
    threads: options.Threads = None,
    tile: options.Tile = None,
    resample: options.Resample = None,
    format: options.Format = None,
    quality: options.Quality = None,
    alpha: options.Alpha = None,
    tta: options.Tta = None,
    fix_colour: options.FixColour = None,
    strategy: options.Strategy = None,
    trust: options.Trust = None,
    metadata: options.Metadata = None,
    provenance: options.Provenance = None,
    report: Report = None,
    contact_sheet: ContactSheet = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Enlarge all pictures in a folder.

    The tree of folders is kept. A journal in OUT_DIR knows what was done: the same command goes on after an
    interruption of any kind and makes nothing twice. A bad file does not stop the others: it is named, and the exit
    code is 1 at the end.
    """
    settings = options.read_settings(ctx)
    more = {
        "include": include or (),
        "exclude": exclude or (),
        "existing": _existing(settings, existing, overwrite),
        "retry_failed": retry_failed,
        "watch": watch,
        "report": report or (),
        "contact_sheet": contact_sheet,
    }
    _conclude(_process(settings, source, target, options.read_size(ctx), more), as_json)


def _existing(settings: Settings, existing: str | None, overwrite: bool) -> str:
    if not overwrite:
        return settings.batch.existing
    if existing not in (None, "overwrite"):
        raise InvalidConfig(f"--overwrite and --existing {existing} contradict each other; give one of them")
    return "overwrite"


def _conclude(result: BatchReport, as_json: bool) -> None:
    """Print what became of it all, and end with the exit code that says the same."""
    emit(result.to_json().rstrip("\n") if as_json else result.summary())
    if result.reason:
        raise CannotWrite(f"{result.target}: {result.reason}")
    if result.interrupted:
        say("The same command goes on from here.")
        raise typer.Exit(STOPPED)
    if not result.ok:
        raise typer.Exit(SOME_FAILED)


def _process(settings: Settings, source: Path, target: Path, size: Size, more: dict[str, Any]) -> BatchReport:
    """Work through the folder as the settings and ``more`` say, and show how far it is."""
    from srgan.batch import process_folder
    from srgan.imaging import Picture, blank

    models, saving = options.open_models(settings), options.saving_of(settings)
    identity = _identity(settings)
    models(Picture(pixels=blank(64, 64, 3)), {})  # a device or model that is not there is found before the work
    if more["watch"]:
        say(f"Watching {source}. Ctrl-C ends it.")
    with Progress("upscaling") as progress:

        def show(outcome: FileOutcome, done: int, total: int) -> None:
            _tell(outcome)
            if outcome.state != "skipped":  # which takes no time, and would make the rest look as quick
                progress(done, total, printable(outcome.source))

        return process_folder(
            source,
            target,
            models,
            model=identity,
            recursive=settings.batch.recursive,
            name=settings.batch.name,
            format=saving.format,
            quality=saving.quality,
            metadata=saving.metadata,
            provenance=saving.provenance,
            resample=settings.upscale.resample,
            limits=options.limits_of(settings),
            workers=settings.batch.workers,
            settle=settings.batch.settle,
            progress=show,
            **more,
            **size,
        )


def _identity(settings: Settings) -> str:
    """The model or family of the settings by name, and what tells it, and how it is used, from others."""
    import hashlib

    from srgan.models import find_model, list_models
    from srgan.runtime import RESIZE_MODELS
    from srgan.upscaler.files import AUTO

    wanted = settings.upscale
    chosen = [f"alpha {wanted.alpha}", f"tta {wanted.tta}", f"colour {wanted.fix_colour}", f"scale {wanted.scale}"]
    chosen += [f"strategy {wanted.strategy}", f"trust {wanted.trust}"]
    if wanted.model not in RESIZE_MODELS:
        listed = [bundle.info for bundle in list_models()]
        infos = [info for info in listed if wanted.model in (AUTO, info.name, info.family)]
        infos = infos or [find_model(wanted.model, wanted.scale).info]
        chosen += sorted(f"{info.name} {info.version} {info.digest}" for info in infos)
    return f"{Path(wanted.model).name.replace(' ', '_')} {hashlib.sha256(chr(10).join(chosen).encode()).hexdigest()}"


def _tell(outcome: FileOutcome) -> None:
    """Name a file that failed; with -v, every file."""
    name = printable(outcome.source)
    if outcome.state == "failed":
        named = outcome.source in outcome.reason or name in outcome.reason
        complain(printable(outcome.reason) if named else f"{name}: {printable(outcome.reason)}")
    elif outcome.state == "done":
        size, again = f"{outcome.width}x{outcome.height}", f", {outcome.reason}" if outcome.reason else ""
        LOG.info("%s: done, %s, %.2f s%s", name, size, outcome.seconds, again)
    else:
        LOG.info("%s: %s, %s", name, outcome.state, outcome.reason)


def printable(text: str) -> str:
    """``text`` in one line, whatever a file is called."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
