"""`srgan upscale`: one picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srgan.atomic import check_target
from srgan.cli import options
from srgan.cli.carrying import conclude
from srgan.cli.output import Progress, emit, emit_bytes, emit_json, say
from srgan.errors import CannotWrite, InvalidConfig

if TYPE_CHECKING:
    from srgan.upscaler.job import UpscaleJob

EXAMPLES = """\b
Examples:
  srgan upscale small.png large.png
  srgan upscale photo.jpg print.tif --long-side 6000
  srgan upscale drawing.webp drawing.png --model auto --tta
  curl -s https://example.org/small.png | srgan upscale - - --scale 2 > large.png
"""

Source = Annotated[
    str, typer.Argument(metavar="IN", help="Input picture, or - for standard input.", show_default=False)
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="OUT",
        help="Output picture, or - for standard output. The suffix selects the format.",
        show_default=False,
    ),
]
UncertaintyMap = Annotated[
    Path | None,
    typer.Option(
        "--uncertainty",
        metavar="MAP",
        help="For an ensemble: also write a heat map of where its members disagree (black to yellow: 0 to 32 of 255) "
        "and "
        "report by how much. Runs the members a second time.",
    ),
]


@options.taking(options.MODEL, options.SIZE, options.RUNTIME, options.TILE, options.EFFECTS, options.JOB)
def upscale(
    ctx: typer.Context,
    source: Source,
    target: Target,
    uncertainty: UncertaintyMap = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
) -> None:
    """Upscale a picture, a multi-page TIFF or an animation.

    Works for any input size and any output size: the network enlarges by its own factor, a resampling filter does the
    rest. Colour profile, bit depth, alpha channel and metadata are kept. The output file is written completely and
    checked, or not at all.
    """
    from srgan.upscaler.job import UpscaleJob

    job = options.read_job(ctx, UpscaleJob)
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)


def carry_out(job: UpscaleJob, *, as_json: bool) -> None:
    """Do it and tell of it; ``-`` is standard input or output."""
    from srgan.upscaler.job import STREAM, run_upscale

    _check_places(job, to_stream=job.target == STREAM, as_json=as_json)
    source = sys.stdin.buffer if job.source == STREAM else job.source
    with Progress("upscaling") as progress:
        outcome = run_upscale(job, report=progress, source=source)
    if job.target == STREAM:
        emit_bytes(outcome.result[1])
    if as_json:
        emit_json(outcome.report)
    else:
        (say if job.target == STREAM else emit)(_sentence(outcome.report))


def _check_places(job: UpscaleJob, *, to_stream: bool, as_json: bool) -> None:
    """Refuse what cannot end well, before any work."""
    if to_stream:
        if as_json:
            raise InvalidConfig("--json and OUT - both need standard output: give OUT a file name")
        if sys.stdout.isatty():
            raise InvalidConfig("OUT is -, but standard output is a terminal: redirect it, or give OUT a file name")
        return
    if not job.overwrite and job.target.is_file():
        # The input itself cannot be replaced with --overwrite either.
        check_target(job.target, overwrite=True, source=job.source)
        raise CannotWrite(f"{job.target}: exists already; add --overwrite to replace it")


def _sentence(report: Mapping[str, Any]) -> str:
    """One line for each file that was written, whatever it is called."""
    from srgan.imaging.inputs import name_of
    from srgan.runtime.session import with_name

    before, after = report["input"], report["output"]
    name = "standard output" if after["path"] == "-" else name_of(after["path"])
    several = "pages" if after["format"] == "TIFF" else "frames"
    frames = f", {report['frames']} {several}" if report["frames"] > 1 else ""
    strategy = f" ({report['strategy']})" if "strategy" in report else ""
    doubts = ""
    if "uncertainty" in report:
        figures = report["uncertainty"]
        doubts = (
            f"\n{name_of(figures['path'])}: the members disagree by {figures['mean']:.1f} levels of 255 on average, "
            f"and by more than {figures['threshold']:.0f} at {100 * figures['much']:.1f} % of the pixels"
        )
    device = with_name(report["device"], report.get("device_name", ""))
    return (
        f"{name}: {before['width']}x{before['height']} -> {after['width']}x{after['height']}{frames}, "
        f"{report['model']}{strategy} on {report['backend']}/{device}, {report['seconds']:.2f} s{doubts}"
    )
