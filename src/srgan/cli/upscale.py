"""`srgan upscale`: one picture."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srgan.cli import options
from srgan.cli.output import Progress, emit, emit_bytes, emit_json, say
from srgan.errors import CannotWrite, InvalidConfig

if TYPE_CHECKING:
    from srgan.config import Settings
    from srgan.imaging import Picture
    from srgan.upscaler import Size, Upscaler

EXAMPLES = """\b
Examples:
  srgan upscale small.png large.png
  srgan upscale photo.jpg print.png --model quality --long-side 6000
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
    overwrite: options.Overwrite = False,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Enlarge one picture.

    Any size from 1x1 goes in, and any size comes out: the network's own factor first, then a good resampler. Colour
    profile, transparency and metadata are kept. The output appears when it is complete and checked, or not at all.
    """
    began = time.perf_counter()
    settings = options.read_settings(ctx)
    size = options.read_size(ctx)
    _check_places(source, target, overwrite=overwrite, as_json=as_json)

    from srgan.imaging import format_of

    wanted = settings.upscale.format
    kind = None if target == STREAM and wanted is None else format_of(target, wanted)
    picture = _read(source, settings)
    kind = kind or _same_format(picture)
    upscaler = _open(picture, settings, size)
    after, count = _enlarge(picture, kind, upscaler, settings, size, target, overwrite=overwrite)
    report = {
        "input": {"path": source, "width": picture.width, "height": picture.height, "format": picture.format},
        "output": {"path": target, "width": after[1], "height": after[0], "format": kind, "bytes": count},
        "model": upscaler.info.model,
        "backend": upscaler.info.backend,
        "device": upscaler.info.device,
        "precision": upscaler.info.precision,
        "seconds": round(time.perf_counter() - began, 3),
    }
    if as_json:
        emit_json(report)
    else:
        (say if target == STREAM else emit)(_sentence(report))


def _check_places(source: str, target: str, *, overwrite: bool, as_json: bool) -> None:
    """Refuse what cannot end well, before any work."""
    if target == STREAM:
        if as_json:
            raise InvalidConfig("--json and OUT - both need standard output: give OUT a file name")
        if sys.stdout.isatty():
            raise InvalidConfig("OUT is -, but standard output is a terminal: redirect it, or give OUT a file name")
        return
    if source != STREAM and os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise CannotWrite(f"{target}: is the input itself; choose another name for the output")
    if not overwrite and os.path.isfile(target):
        raise CannotWrite(f"{target}: exists already; add --overwrite to replace it")

    from srgan.imaging import check_target

    check_target(target, overwrite=overwrite)


def _read(source: str, settings: Settings) -> Picture:
    from srgan.imaging import read_picture

    return read_picture(sys.stdin.buffer if source == STREAM else source, limits=options.limits_of(settings))


def _same_format(picture: Picture) -> str:
    """The format of the input where it can be written, else PNG."""
    from srgan.imaging import WRITABLE

    return picture.format if picture.format in WRITABLE else "PNG"


def _open(picture: Picture, settings: Settings, size: Size) -> Upscaler:
    """The model, of a family the member that reaches the size asked for."""
    from srgan.upscaler import output_size
    from srgan.upscaler.sizes import needed_scale

    before = (picture.height, picture.width)
    scale = needed_scale(before, output_size(before, **size)) if size else settings.upscale.scale
    return options.open_upscaler(settings, scale)


def _enlarge(
    picture: Picture, kind: str, upscaler: Upscaler, settings: Settings, size: Size, target: str, *, overwrite: bool
) -> tuple[tuple[int, int], int]:
    """Write the enlarged picture, strip by strip: its height and width, and the bytes of its file.

    Raises `LimitExceeded` when the format ``kind`` cannot hold it, before the work.
    """
    from srgan.imaging import check_format, encode_strips, write_strips

    height, width = upscaler.output_size((picture.height, picture.width), **size)
    check_format(kind, width, height, picture.pixels.shape[2])
    quality = settings.upscale.quality
    with Progress("upscaling") as progress:
        strips = upscaler.strips(picture.pixels, resample=settings.upscale.resample, progress=progress, **size)
        if target != STREAM:
            write_strips(
                strips, (height, width), target, like=picture, format=kind, quality=quality, overwrite=overwrite
            )
            return (height, width), os.stat(target).st_size
        data = encode_strips(strips, (height, width), kind, like=picture, quality=quality)
    emit_bytes(data)
    return (height, width), len(data)


def _sentence(report: dict[str, Any]) -> str:
    before, after = report["input"], report["output"]
    name = "standard output" if after["path"] == STREAM else after["path"]
    return (
        f"{name}: {before['width']}x{before['height']} -> {after['width']}x{after['height']}, "
        f"{report['model']} on {report['backend']}/{report['device']}, {report['seconds']:.2f} s"
    )
