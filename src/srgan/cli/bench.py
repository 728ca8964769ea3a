"""`srgan bench`: speed and memory of models on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from srgan.atomic import write_whole
from srgan.cli import options
from srgan.cli.output import Progress, emit

EXAMPLES = """\b
Examples:
  srgan bench
  srgan bench turbo fast quality --size 512 --threads 2
  srgan bench fast --backend onnx --json > onnx.json
"""

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...", help="Models to measure. Default: the model of the settings.", show_default=False
    ),
]
Sizes = Annotated[
    list[int] | None,
    typer.Option("--size", metavar="PIXELS", help="Side of the square input; repeatable. [default: 256 and 512]"),
]
ThreadCounts = Annotated[
    list[int] | None,
    typer.Option("--threads", metavar="NUMBER", help="CPU threads; repeatable. [default: 1 and 2]"),
]
Repeats = Annotated[int, typer.Option("--repeats", metavar="NUMBER", help="Maximum number of runs per row.")]
Seconds = Annotated[
    float, typer.Option("--seconds", metavar="SECONDS", help="Time limit per row, after a minimum number of runs.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write the JSON report to this file.")
]


@options.taking(options.SCALE, {name: options.RUNTIME[name] for name in ("device", "backend", "precision")})
def bench(
    ctx: typer.Context,
    models: Models = None,
    sizes: Sizes = None,
    threads: ThreadCounts = None,
    repeats: Repeats = 30,
    seconds: Seconds = 20.0,
    output: Output = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    as_json: options.Json = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Measure the speed and memory use of models on this machine.

    Each row shows the network alone and the complete file-to-file run (median and spread), compared with bicubic
    upscaling and with a matrix product on the same number of threads.
    """
    settings = options.read_settings(ctx)
    from srgan.benchmark import run_benchmark

    with Progress("measuring") as progress:
        report = run_benchmark(
            models or [settings.upscale.model],
            sizes=sizes or (256, 512),
            threads=threads or (1, 2),
            repeats=repeats,
            seconds=seconds,
            scale=settings.upscale.scale,
            backend=settings.runtime.backend,
            device=settings.runtime.device,
            precision=settings.runtime.precision,
            report=progress,
        )
    if output is not None:
        write_whole(output, report.to_json())
    emit((report.to_json() if as_json else report.render()).rstrip("\n"))
