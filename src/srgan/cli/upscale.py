"""`srgan upscale`: one picture."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srgan.cli import options
from srgan.cli.output import Progress, emit, emit_bytes, emit_json, say
from srgan.errors import CannotWrite, InvalidConfig

if TYPE_CHECKING:
    from srgan.settings import Settings
    from srgan.upscaler import Size
    from srgan.upscaler.files import Enlarged, FileSource
    from srgan.upscaler.forecast import Forecast

EXAMPLES = """\b
Examples:
  srgan upscale small.png large.png
  srgan upscale photo.jpg print.tif --long-side 6000
  srgan upscale drawing.webp drawing.png --model auto --tta
  curl -s https://example.org/small.png | srgan upscale - - --scale 2 > large.png
"""

STREAM = "-"
"""Stands for standard input or output."""

Source = Annotated[
    str, typer.Argument(metavar="IN", help="Picture to enlarge, or - for standard input.", show_default=False)
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="OUT",
        help="Picture to write, or - for standard output. Its suffix says the format.",
        show_default=False,
    ),
]
UncertaintyMap = Annotated[
    Path | None,
    typer.Option(
        "--uncertainty",
        metavar="MAP",
        help="For an ensemble: also write a heat map of where its members disagree, black to yellow for 0 to 32 levels "
        "of 255, and report how much. It takes another run of the members.",
    ),
]


def upscale(
    ctx: typer.Context,
    source: Source,
    target: Target,
    model: options.Model = None,
    scale: options.Scale = None,
    width: options.Width = None,
    height: options.Height = None,
    long_side: options.LongSide = None,
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
    uncertainty: UncertaintyMap = None,
    metadata: options.Metadata = None,
    provenance: options.Provenance = None,
    overwrite: options.Overwrite = False,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Enlarge one picture, all pages of a TIFF, or an animation frame by frame.

    Any size from 1x1 goes in, and any size comes out: the network's own factor first, then a good resampler. Colour
    profile, depth, transparency and metadata are kept. The output appears when it is complete and checked, or not at
    all.
    """
    began = time.perf_counter()
    settings = options.read_settings(ctx)
    size = options.read_size(ctx)
    _check_places(source, target, overwrite=overwrite, as_json=as_json)

    from srgan.imaging import format_of

    if target != STREAM:
        format_of(target, settings.upscale.format)  # refuses a suffix that says nothing, before the input is read
    given = _given(source, settings)
    doubts = None if uncertainty is None else _doubt(given, uncertainty, settings, size, target, overwrite=overwrite)
    made, count = _enlarge(given, target, settings, size, overwrite=overwrite)
    report = _report(source, target, made, count, doubts)
    report["seconds"] = round(time.perf_counter() - began, 3)
    if as_json:
        emit_json(report)
    else:
        (say if target == STREAM else emit)(_sentence(report))


def _report(source: str, target: str, made: Enlarged, count: int, doubts: dict[str, Any] | None) -> dict[str, Any]:
    """What was done, for ``--json``."""
    return {
        "input": _side(source, made.source_size, made.source_format),
        "output": {**_side(target, made.size, made.format), "bytes": count},
        "frames": made.frames,
        "model": made.info.model,
        **({"strategy": made.info.outputs[0]} if made.info.outputs else {}),
        "backend": made.info.backend,
        "device": made.info.device,
        "precision": made.info.precision,
        **({"uncertainty": doubts} if doubts else {}),
    }


def _check_places(source: str, target: str, *, overwrite: bool, as_json: bool) -> None:
    """Refuse what cannot end well, before any work."""
    if target == STREAM:
        if as_json:
            raise InvalidConfig("--json and OUT - both need standard output: give OUT a file name")
        if sys.stdout.isatty():
            raise InvalidConfig("OUT is -, but standard output is a terminal: redirect it, or give OUT a file name")
        return
    from srgan.atomic import check_target

    file = None if source == STREAM else source
    if not overwrite and os.path.isfile(target):
        check_target(target, overwrite=True, source=file)  # the input itself cannot be replaced with --overwrite either
        raise CannotWrite(f"{target}: exists already; add --overwrite to replace it")
    check_target(target, overwrite=overwrite, source=file)


def _given(source: str, settings: Settings) -> FileSource:
    """The input as something that can be read more than once."""
    from srgan.upscaler.files import kept

    return kept(sys.stdin.buffer if source == STREAM else source, options.limits_of(settings))


def _doubt(
    given: FileSource, map_file: Path, settings: Settings, size: Size, target: str, *, overwrite: bool
) -> dict[str, Any]:
    """Write the map of uncertainty: its figures for the report."""
    from srgan.upscaler.uncertainty import THRESHOLD, write_uncertainty

    if os.path.realpath(map_file) == os.path.realpath(target):
        raise InvalidConfig(f"{map_file}: is the name of the output; give the map another")
    maps = options.open_models(settings, disagreement=True)
    limits = options.limits_of(settings)
    with Progress("uncertainty") as progress:
        found = write_uncertainty(maps, given, map_file, limits=limits, overwrite=overwrite, progress=progress, **size)
    return {
        "path": str(map_file),
        "mean": round(found.mean, 3),
        "much": round(found.much, 4),
        "threshold": THRESHOLD,
    }


def _enlarge(
    given: FileSource, target: str, settings: Settings, size: Size, *, overwrite: bool
) -> tuple[Enlarged, int]:
    """Do it: what was made, and the bytes of its file."""
    from srgan.upscaler.files import enlarge_bytes, enlarge_file

    models = options.open_models(settings)
    saving = options.saving_of(settings, overwrite=overwrite)
    limits = options.limits_of(settings)
    with Progress("upscaling") as progress:
        resample = settings.upscale.resample
        if target != STREAM:
            made = enlarge_file(
                models,
                given,
                target,
                saving=saving,
                resample=resample,
                limits=limits,
                progress=progress,
                announce=_announce,
                **size,
            )
            return made, os.stat(target).st_size
        data, made = enlarge_bytes(
            models, given, saving=saving, resample=resample, limits=limits, progress=progress, **size
        )
    emit_bytes(data)
    return made, len(data)


def _announce(expected: Forecast) -> None:
    """Tell what a large picture will take, before it does."""
    height, width = expected.size
    minutes = expected.seconds / 60
    length = f"{minutes:.0f} minutes" if minutes >= 2 else f"{expected.seconds:.0f} seconds"
    say(f"{width}x{height} pixels: about {length}, and at most about {expected.file_bytes / 1e6:.0f} MB on the disk")


def _side(path: str, size: tuple[int, int], format: str) -> dict[str, Any]:
    return {"path": path, "width": size[1], "height": size[0], "format": format}


def _sentence(report: dict[str, Any]) -> str:
    """One line for each file that was written, whatever it is called."""
    from srgan.imaging.inputs import name_of

    before, after = report["input"], report["output"]
    name = "standard output" if after["path"] == STREAM else name_of(after["path"])
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
    return (
        f"{name}: {before['width']}x{before['height']} -> {after['width']}x{after['height']}{frames}, "
        f"{report['model']}{strategy} on {report['backend']}/{report['device']}, {report['seconds']:.2f} s{doubts}"
    )
