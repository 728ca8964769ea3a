"""The options that several commands share, each defined once.

An option that stands for a setting takes its help text, its choices and its default from `srgan.settings.Settings`, but
only when somebody asks for help or completion: a command that runs does not pay for it. Such options default to None,
which means not given, so that weaker sources are heard.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from srgan.cli.output import set_verbosity
from srgan.errors import InvalidConfig

if TYPE_CHECKING:
    from srgan.settings import Job, Settings

Kind = TypeVar("Kind", bound="Job")
_M_ARENA_MAX = -8
"""glibc's number for this option of its allocator."""
_SETTING = "setting:"
"""What the help text of an option begins with, until help is asked for, when the rest of it is the key of a setting."""


def setting(key: str, *names: str, **more: Any) -> Any:
    """An option for the setting at ``key``. ``names`` default to the last part of the key."""
    name = "--" + key.rpartition(".")[2].replace("_", "-")
    return typer.Option(
        *(names or (name,)), help=_SETTING + key, show_default=False, autocompletion=_completion(key), **more
    )


def _completion(key: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        from srgan.config import choices_of, find_key
        from srgan.settings import Settings

        if key == "upscale.model":
            from srgan.models import list_models

            words: Sequence[str] = sorted(
                {name for b in list_models() for name in (b.info.name, b.info.family) if name}
            )
        else:
            words = choices_of(find_key(Settings, key))
        return [word for word in words if word.startswith(incomplete)]

    return complete


class Command(TyperCommand):
    """A command that applies its own -v and -q, and whose options for settings look up their help when it is needed."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        verbose, quiet = ctx.params.get("verbose"), ctx.params.get("quiet")
        if verbose or quiet:
            set_verbosity(verbose or 0, bool(quiet))
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        for parameter in self.params:
            if key := key_of(parameter):
                _describe(parameter, key)
        super().format_help(ctx, formatter)


def key_of(parameter: Any) -> str | None:
    """The key of the setting that a command's parameter stands for."""
    text = getattr(parameter, "help", None) or ""
    return text.removeprefix(_SETTING) if text.startswith(_SETTING) else None


def _describe(option: Any, key: str) -> None:
    """Give ``option`` the help text, the choices and the default of the setting at ``key``."""
    from srgan.config import choices_of, find_key
    from srgan.settings import Settings

    field = find_key(Settings, key)
    default = "" if field.default is None else f"; default: {json.dumps(field.default).strip(chr(34))}"
    option.help = f"{field.description} [{key}{default}]"
    if choices := choices_of(field):
        option.metavar = f"[{'|'.join(choices)}]"


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings file (TOML, YAML or JSON). Default: $SRGAN_CONFIG, if set."
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as limits.max_pixels=1000000; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PrintJob = Annotated[
    bool,
    typer.Option("--print-job", help="Only print the job as JSON, for `srgan run`."),
]
PrintCommand = Annotated[
    bool,
    typer.Option(
        "--print-command",
        help="Only print the equivalent command line, with values from settings file and environment written out.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="More output; -vv adds debug details and tracebacks.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the result.")]

Workers = Annotated[int | None, setting("batch.workers", "--workers", "-j", metavar="NUMBER")]
Recursive = Annotated[bool | None, setting("batch.recursive", "--recursive/--no-recursive")]

RUNTIME: dict[str, Any] = {
    "device": Annotated[str | None, setting("runtime.device", metavar="NAME")],
    "backend": Annotated[str | None, setting("runtime.backend", metavar="NAME")],
    "precision": Annotated[str | None, setting("runtime.precision")],
    "threads": Annotated[int | None, setting("runtime.threads", metavar="NUMBER")],
}
"""What the work runs on."""
SCALE: dict[str, Any] = {"scale": Annotated[float | None, setting("upscale.scale", "--scale", "-s", metavar="FACTOR")]}
TILE: dict[str, Any] = {"tile": Annotated[int | None, setting("upscale.tile", metavar="PIXELS")]}
MODEL: dict[str, Any] = {
    "model": Annotated[str | None, setting("upscale.model", "--model", "-m", metavar="MODEL")],
    **SCALE,
}
EFFECTS: dict[str, Any] = {
    "resample": Annotated[str | None, setting("upscale.resample")],
    "format": Annotated[str | None, setting("upscale.format", "--format", "-f")],
    "quality": Annotated[int | None, setting("upscale.quality", metavar="1-100")],
    "alpha": Annotated[str | None, setting("upscale.alpha")],
    "tta": Annotated[bool | None, setting("upscale.tta", "--tta/--no-tta")],
    "fix_colour": Annotated[bool | None, setting("upscale.fix_colour", "--fix-colour/--no-fix-colour")],
    "strategy": Annotated[str | None, setting("upscale.strategy", metavar="NAME")],
    "trust": Annotated[float | None, setting("upscale.trust", metavar="0-1")],
    "metadata": Annotated[bool | None, setting("upscale.metadata", "--metadata/--strip-metadata")],
    "provenance": Annotated[bool | None, setting("upscale.provenance", "--provenance/--no-provenance")],
    "damaged": Annotated[str | None, setting("limits.damaged")],
}
"""What is done to a picture, and how it is written. A new effect gets a line here, and every command has it."""

SIZE: dict[str, Any] = {
    "width": Annotated[
        int | None,
        typer.Option("--width", metavar="PIXELS", help="Output width. Without --height the aspect ratio is kept."),
    ],
    "height": Annotated[
        int | None,
        typer.Option("--height", metavar="PIXELS", help="Output height. Without --width the aspect ratio is kept."),
    ],
    "long_side": Annotated[
        int | None,
        typer.Option("--long-side", metavar="PIXELS", help="Longer side of the output; the aspect ratio is kept."),
    ],
}
"""The size of the output in pixels."""
JOB: dict[str, Any] = {
    "config": ConfigFile,
    "sets": Sets,
    "as_json": Json,
    "print_job": PrintJob,
    "print_command": PrintCommand,
    "verbose": Verbose,
    "quiet": Quiet,
}
"""What every command has that makes a job."""
_FLAGS = {"as_json": False, "print_job": False, "print_command": False, "verbose": 0, "quiet": False}


def taking(*groups: dict[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options in ``groups``, after its arguments and before its own options.

    The function gets those that it names; all are in the context, where `read_job` finds them.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters
        added = {
            name: inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=_FLAGS.get(name), annotation=annotation
            )
            for group in groups
            for name, annotation in group.items()
        }
        first = [p for p in own.values() if p.default is inspect.Parameter.empty or _is_argument(p)]
        rest = [p for p in own.values() if p not in first and p.name not in added]

        def command(**given: Any) -> None:
            function(**{name: value for name, value in given.items() if name in own})

        last = [added.pop(name) for name in JOB if name in added]
        ordered = [*first, *added.values(), *rest, *last]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in ordered]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        command.__module__ = function.__module__
        return command

    return decorate


def _is_argument(parameter: inspect.Parameter) -> bool:
    return any(type(part).__name__ == "ArgumentInfo" for part in getattr(parameter.annotation, "__metadata__", ()))


def read_settings(ctx: typer.Context) -> Settings:
    """The settings of this run: file, environment, ``--set`` and the command's own options. Raises `InvalidConfig`."""
    from srgan.config import load_config
    from srgan.settings import Settings

    given = {
        key: ctx.params.get(parameter.name or "") for parameter in ctx.command.params if (key := key_of(parameter))
    }
    path = ctx.params.get("config") or os.environ.get("SRGAN_CONFIG") or None
    return load_config(Settings, path, environment=os.environ, sets=ctx.params.get("sets") or (), flags=given)


def share_freed_memory() -> None:
    """Let all threads of this process use what others have freed, where the C library is glibc.

    It keeps a store for each thread otherwise; tiles are made in several threads, and the peak was 1.5 GB instead of
    1.2 for 20,000 x 20,000 pixels. Only the command line does this: a library leaves its host's allocator alone.
    """
    import ctypes

    if "MALLOC_ARENA_MAX" in os.environ or not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def read_size(ctx: typer.Context) -> dict[str, int]:
    """The size in pixels that the command's options ask for; empty without any. Raises `InvalidConfig`."""
    given = {name: ctx.params.get(name) for name in ("width", "height", "long_side")}
    size = {name: value for name, value in given.items() if value is not None}
    if size and ctx.params.get("scale") is not None:
        raise InvalidConfig("--scale cannot be combined with a size in pixels")
    if "long_side" in size and len(size) > 1:
        raise InvalidConfig("--long-side cannot be combined with --width or --height")
    return size


def read_job(ctx: typer.Context, kind: type[Kind], **fields: Any) -> Kind:
    """The job of the settings and of the command's own options, and of ``fields``, which are not called as there.

    Raises `InvalidConfig`.
    """
    from srgan.config import checked

    settings = read_settings(ctx)
    sections = {name: getattr(settings, name) for name in type(settings).model_fields if name in kind.model_fields}
    own = {name: value for name, value in ctx.params.items() if name in kind.model_fields and value is not None}
    if "long_side" in ctx.params:
        sections["size"] = read_size(ctx)
    return checked(kind, {**sections, **own, **fields})
