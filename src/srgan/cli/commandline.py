"""From a job back to the command that makes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from srgan.cli.options import key_of
from srgan.config import list_keys
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


_SIZE = {name: f"size.{name}" for name in ("width", "height", "long_side")}
_COMMANDS = {
    "upscale": _Command("upscale", _SIZE),
    "batch": _Command("batch-process", {**_SIZE, "report": "reports"}),
    "train": _Command("train", prefix="config."),
    "evaluate": _Command("evaluate", joined=frozenset({"metrics"})),
}


def command_of(job: Job) -> str:
    """The command line that makes ``job`` where no settings file and no variable of the environment says otherwise.

    Raises `InvalidConfig` for a kind that no command makes.
    """
    if job.kind not in _COMMANDS:
        raise InvalidConfig(f"no command makes jobs of the kind {job.kind}; srgan run carries them out")
    return shlex.join(["srgan", *_words(job, _COMMANDS[job.kind])])


def _words(job: Job, command: _Command) -> Iterator[str]:
    import typer

    from srgan.cli import app

    said = {key: _at(job, key) for key, _ in list_keys(type(job)) if key not in ("kind", "version")}
    usual = {key: known.default for key, known in list_keys(type(job)) if not known.is_required()}
    usual |= {key: _default(known) for key, known in list_keys(type(job)) if known.default_factory is not None}
    made: Any = typer.main.get_command(app)
    yield command.name
    arguments: list[str] = []
    for parameter in made.commands[command.name].params:
        key = key_of(parameter) or command.keys.get(parameter.name, parameter.name)
        if key not in said:
            continue
        value = said.pop(key)
        if parameter.param_type_name == "argument":
            arguments += map(str, value if isinstance(value, tuple | list) else [value])
        elif value != usual.get(key):
            yield from _option(parameter, value, joined=key in command.joined)
    for key, value in said.items():
        if value != usual.get(key):
            yield from ("--set", f"{key.removeprefix(command.prefix)}={_text(value)}")
    if any(word.startswith("-") and word != "-" for word in arguments):
        yield "--"
    yield from arguments


def _option(parameter: Any, value: Any, *, joined: bool) -> Iterator[str]:
    name = max(parameter.opts, key=len)
    if isinstance(value, bool):
        yield name if value else max(parameter.secondary_opts, key=len)
    elif joined:
        yield f"{name}={','.join(value)}"
    else:
        for one in value if isinstance(value, tuple | list) else [value]:
            yield f"{name}={one}"


def _at(job: Job, key: str) -> Any:
    value: Any = job
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _default(known: Any) -> Any:
    return known.get_default(call_default_factory=True)


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
