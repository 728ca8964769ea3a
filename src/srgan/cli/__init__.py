"""The command line: a thin layer over the library, one file for each group of commands.

Commands import what they need when they run, so that ``srgan --help`` and ``srgan --version`` load nothing heavy.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from srgan.cli import batch, bench, config, devices, evaluate, generate, models, options, train, upscale
from srgan.cli import run as any_job
from srgan.cli.failures import STOPPED, as_exit_code, complain, write_talk
from srgan.cli.output import emit, set_verbosity, start_logging

EXAMPLES = """\b
Examples:
  srgan upscale small.png large.png
  srgan batch-process pictures larger --scale 2
  srgan COMMAND --help
"""

app = typer.Typer(
    name="srgan",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("upscale", cls=options.Command, epilog=upscale.EXAMPLES)(upscale.upscale)
app.command("batch-process", cls=options.Command, epilog=batch.EXAMPLES)(batch.batch)
app.command("batch", cls=options.Command, epilog=batch.EXAMPLES, hidden=True)(batch.batch)
app.command("generate", cls=options.Command, epilog=generate.EXAMPLES)(generate.generate)
app.command("encode", cls=options.Command, epilog=generate.ENCODE_EXAMPLES)(generate.encode)
app.command("reconstruct", cls=options.Command, epilog=generate.RECONSTRUCT_EXAMPLES)(generate.reconstruct)
app.add_typer(models.app, name="models", help="List, show and blend models.")
app.command("evaluate", cls=options.Command, epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("bench", cls=options.Command, epilog=bench.EXAMPLES)(bench.bench)
app.command("devices", cls=options.Command, epilog=devices.EXAMPLES)(devices.devices)
app.add_typer(config.app, name="config", help="Write configuration files and print their JSON Schema.")
app.command("generate-config", cls=options.Command, epilog=config.GENERATE_EXAMPLES, hidden=True)(config.generate)
app.command("train", cls=options.Command, epilog=train.EXAMPLES)(train.train)
app.command("train-export", cls=options.Command, epilog=train.EXPORT_EXAMPLES)(train.export)
app.command("run", cls=options.Command, epilog=any_job.EXAMPLES)(any_job.run)

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""Base class of all usage errors; typer does not export it."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        emit(f"srgan {version('srgan')}")
        raise typer.Exit


@app.callback(epilog=EXAMPLES)
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: options.Verbose = 0,
    quiet: options.Quiet = False,
) -> None:
    """Upscale pictures with neural networks (super-resolution)."""
    set_verbosity(verbose, quiet)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; ``arguments`` default to those of the process."""
    start_logging()
    try:
        with as_exit_code():
            try:
                code = app(args=arguments, prog_name="srgan", standalone_mode=False)
            except _UsageError as error:
                return _explain_usage(error)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    if code == STOPPED:
        write_talk("srgan: stopped")
    return code if isinstance(code, int) else 0


def _explain_usage(error: Any) -> int:
    """One line about a mistake on the command line, with the way to help; a command group alone shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        write_talk(error.format_message())
    else:
        command = error.ctx.command_path if error.ctx else "srgan"
        message = " ".join(error.format_message().split())
        complain(f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} Try: {command} --help")
    return int(error.exit_code)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave as after Ctrl-C, so that unfinished files are removed."""
    raise SystemExit(128 + number)


def main() -> NoReturn:
    """The `srgan` command."""
    for name in ("SIGTERM", "SIGHUP"):  # the second when a terminal is closed or a connection lost; Windows has none
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # nohup wants the work to go on
            signal.signal(number, _terminate)
    sys.exit(run())
