"""From a job back to the command that makes it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from srgan.cli.options import key_of
from srgan.errors import InvalidConfig

if TYPE_CHECKING:
    from srgan.settings import Job


@dataclass(frozen=True)
class _Command:
    """How a kind of job is said on the command line."""

    name: str
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys of the job by the names of parameters that are called otherwise and stand for no setting."""
    prefix: str = ""
    """What the keys of ``--set`` have in front of them in the job."""
    joined: frozenset[str] = frozenset()
    """Keys whose lists are one text, with commas."""
    always: frozenset[str] = frozenset()
    """Keys that are said at their default too: it is another one for each model of the job."""


_SIZE = {name: f"size.{name}" for name in ("width", "height", "long_side")}
_COMMANDS = {
    "upscale": _Command("upscale", _SIZE),
    "batch": _Command("batch-process", {**_SIZE, "report": "reports"}),
    "train": _Command("train", {"fresh": "resume"}, prefix="config.", always=frozenset({"config.recipe"})),
    "evaluate": _Command("evaluate", joined=frozenset({"metrics"})),
    "generate": _Command("generate"),
    "encode": _Command("encode"),
    "reconstruct": _Command("reconstruct"),
}


def command_of(job: Job) -> str:
    """The command line that makes ``job`` where no settings file and no variable of the environment says otherwise.

    Names that are not Unicode have surrogates in it, as everywhere in Python: `os.fsencode` makes the bytes. Raises
    `InvalidConfig` for a kind that no command makes, and for a text that no argument of a program can be.
    """
    if job.kind not in _COMMANDS:
        raise InvalidConfig(f"no command corresponds to jobs of kind {job.kind}; use srgan run")
    words = ["srgan", *_words(job, _COMMANDS[job.kind])]
    for word in words:
        if not _can_be_said(word):
            raise InvalidConfig(f"no command line can hold {word!r}; use srgan run")
    return shlex.join(words)


def _can_be_said(word: str) -> bool:
    """Whether a program can be called with ``word``."""
    try:
        return b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:  # half a character
        return False


def _words(job: Job, command: _Command) -> Iterator[str]:
    import typer

    from srgan.cli import app

    said: dict[str, Any] = {}
    usual: dict[str, Any] = {}
    for key, value, known in _leaves(job):
        said[key] = value
        if not known.is_required():
            usual[key] = known.get_default(call_default_factory=True)
    for key in ("kind", "version"):
        del said[key]
    # Beside a size in pixels the option would contradict, while the scale of a settings file only chooses the model.
    sized = any(said.get(key) is not None for key in _SIZE.values())
    made: Any = typer.main.get_command(app)
    yield command.name
    arguments: list[str] = []
    for parameter in made.commands[command.name].params:
        key = key_of(parameter) or command.keys.get(parameter.name, parameter.name)
        if key not in said or (key == "upscale.scale" and sized):
            continue
        value = said.pop(key)
        if parameter.param_type_name == "argument":
            arguments += map(str, value if isinstance(value, tuple | list) else [value])
        elif value != usual.get(key):
            yield from _option(parameter, value, joined=key in command.joined)
    for key, value in said.items():
        if value != usual.get(key) or key in command.always:
            yield from ("--set", f"{key.removeprefix(command.prefix)}={_text(value)}")
    if any(word.startswith("-") and word != "-" for word in arguments):
        yield "--"
    yield from arguments


def _option(parameter: Any, value: Any, *, joined: bool) -> Iterator[str]:
    name = max(parameter.opts, key=len)
    if isinstance(value, bool):
        # A flag without a counterpart stands for whatever is not usual.
        yield name if value or not parameter.secondary_opts else max(parameter.secondary_opts, key=len)
    elif joined:
        yield f"{name}={','.join(value)}"
    elif parameter.nargs > 1:
        yield from (name, *map(str, value))
    else:
        for one in value if isinstance(value, tuple | list) else [value]:
            yield f"{name}={one}"


def _leaves(values: BaseModel, path: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    """Dotted keys with their values and fields, sections left out: those that are there, whatever their model."""
    for name, known in type(values).model_fields.items():
        value = getattr(values, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value, known


def _text(value: Any) -> str:
    """``value`` as ``--set`` takes it."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return (
            json.dumps(value)
            if value == "null" or value[:1] in ("[", "{", '"', "'") or value != value.strip()
            else value
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)
