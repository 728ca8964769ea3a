"""What commands do with the job they have made: carry it out and tell of it, or print it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from srgan.cli.options import share_freed_memory
from srgan.cli.output import emit, emit_bytes, emit_json

if TYPE_CHECKING:
    from srgan.settings import Job

CARRIERS: dict[str, str] = {
    "upscale": "srgan.cli.upscale:carry_out",
    "batch": "srgan.cli.batch:carry_out",
    "train": "srgan.cli.train:carry_out",
    "evaluate": "srgan.cli.evaluate:carry_out",
    "generate": "srgan.cli.generate:carry_out",
    "encode": "srgan.cli.generate:carry_out_encode",
    "reconstruct": "srgan.cli.generate:carry_out_reconstruct",
}
"""For each kind of job, what carries it out for a person: ``(job, *, as_json)``, ``module:attribute``."""


def conclude(job: Job, *, as_json: bool, print_job: bool = False, print_command: bool = False) -> None:
    """Print ``job``, or the command that makes it, or carry it out. Raises `SrganError`, and `typer.Exit`."""
    if print_job:
        emit(job.to_json().rstrip("\n"))
    elif print_command:
        from srgan.cli.commandline import command_of

        emit_bytes(os.fsencode(f"{command_of(job)}\n"))  # the very bytes of names that are not Unicode
    else:
        share_freed_memory()
        _carrier(job.kind)(job, as_json=as_json)


def _carrier(kind: str) -> Callable[..., None]:
    from importlib import import_module

    if kind not in CARRIERS:
        return _any
    module, _, attribute = CARRIERS[kind].partition(":")
    found: Callable[..., None] = getattr(import_module(module), attribute)
    return found


def _any(job: Job, *, as_json: bool) -> None:
    """A job of a plug-in: what it has to tell, as JSON."""
    import typer

    from srgan.cli.failures import SOME_FAILED, STOPPED
    from srgan.cli.output import Progress
    from srgan.jobs import run

    with Progress(job.kind) as progress:
        outcome = run(job, report=progress)
    report: dict[str, Any] = {"state": outcome.state, **outcome.report}
    emit_json(report)
    if outcome.fault is not None:
        raise outcome.fault
    if outcome.state != "done":
        raise typer.Exit(STOPPED if outcome.state == "stopped" else SOME_FAILED)
