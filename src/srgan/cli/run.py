"""`srgan run`: any job from its JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from srgan.cli import options
from srgan.cli.carrying import conclude
from srgan.errors import InvalidConfig

EXAMPLES = """\b
Examples:
  srgan upscale small.png large.png --print-job > job.json
  srgan run job.json
  srgan run job.json --print-command
  srgan batch-process pictures larger --print-job | ssh bigger-machine srgan run -
"""

MOST_BYTES = 16 << 20
"""Largest job that is read."""

File = Annotated[
    str, typer.Argument(metavar="FILE", help="Job file (JSON), or - for standard input.", show_default=False)
]


def run(
    file: File,
    as_json: options.Json = False,
    print_job: options.PrintJob = False,
    print_command: options.PrintCommand = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Run a job that a command printed with --print-job.

    The job contains everything that determines the result, so settings files and environment variables are ignored.
    Relative paths start from the current folder.
    """
    from srgan.jobs import load

    name = "standard input" if file == "-" else file
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidConfig(f"{name}: cannot be read: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise InvalidConfig(f"{name}: is larger than {MOST_BYTES >> 20} MiB, too large for a job file")
    job = load(data, name=name)
    streamed = job.kind == "upscale" and str(getattr(job, "source", "")) == "-"
    if file == "-" and streamed and not (print_job or print_command):
        raise InvalidConfig("standard input cannot provide both the job and the picture: put one of them in a file")
    conclude(job, as_json=as_json, print_job=print_job, print_command=print_command)
