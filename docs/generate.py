"""Writes docs/reference from the code: `make docs`. A test compares the pages with the code."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter

import srgan
from srgan import errors
from srgan.cli import app
from srgan.cli.failures import EXIT_CODES, exit_code_of
from srgan.config import ENVIRONMENT_PREFIX, TRAINING_ENVIRONMENT_PREFIX, choices_of, list_keys
from srgan.settings import Settings
from srgan.training.config import RECIPES, TrainConfig, find_recipe

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code. Do not edit: run `make docs`. -->\n"
WIDTH = 100

VARIABLES = {
    "SRGAN_CONFIG": "Settings file for every command that takes `--config`.",
    "SRGAN_MODELS": "Folder of your own model bundles, listed after the shipped ones.",
    "SRGAN_DEBUG": "When set, errors are shown with a traceback.",
    "NO_COLOR": "When set, disables colours.",
}


def pages() -> dict[str, str]:
    """Name and text of every generated page."""
    return {"cli.md": cli_page(), "config.md": config_page(), "python.md": python_page()}


# --------------------------------------------------------------------------------------------- command line


def cli_page() -> str:
    """Every command with its help, the exit codes and the environment variables."""
    from typer.main import get_command

    parts = [
        NOTE,
        "# Command line\n",
        "Results go to standard output, everything else to standard error. With `--json`, standard output is exactly "
        "one JSON document.\n",
        *(f"## {path}\n\n```text\n{text}\n```\n" for path, text in _commands(get_command(app), "srgan", None)),
        "## Exit codes\n",
        _table(
            ("Code", "Meaning", "Errors"),
            [(str(code), text, _errors(kinds)) for code, (text, kinds) in EXIT_CODES.items()],
        ),
        "Each error is one line on standard error that begins with `srgan: error:`; several mistakes in a "
        "configuration are one line each. `-vv` or `SRGAN_DEBUG` adds the traceback.\n",
        "## Environment variables\n",
        _table(("Variable", "Meaning"), [(f"`{name}`", text) for name, text in VARIABLES.items()]),
        "Every setting has a variable too: see [Configuration](config.md).\n",
    ]
    return "\n".join(parts)


def _commands(command: Any, path: str, parent: Any) -> Iterator[tuple[str, str]]:
    """The path and help text of a command and of those below it, hidden ones left out."""
    context = command.context_class(
        command,
        info_name=path.rpartition(" ")[2],
        parent=parent,
        **{**command.context_settings, "terminal_width": WIDTH},
    )
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines()).strip()
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _commands(below, f"{path} {name}", context)


def _errors(kinds: tuple[type[errors.SrganError], ...]) -> str:
    return ", ".join(f"`{kind.__name__}`" for kind in kinds if kind is not errors.SrganError)


# -------------------------------------------------------------------------------------------- configuration


def config_page() -> str:
    """Every key of the settings and of the training file."""
    return "\n".join(
        [
            NOTE,
            "# Configuration\n",
            "A value comes from the last of these that sets it: defaults, file, environment, `--set key=value`, "
            "options. A file is TOML, YAML or JSON, by its suffix; `srgan config init` writes a commented one, and "
            "`srgan config schema` the JSON Schema for editors. Unknown keys and invalid values are errors.\n",
            "The name of an environment variable is a prefix and the key in capitals, with two underscores for each "
            "dot. An empty variable counts as not set.\n",
            "## Settings\n",
            f"For `--config` and `$SRGAN_CONFIG`. Variables begin with `{ENVIRONMENT_PREFIX}`: "
            f"`{ENVIRONMENT_PREFIX}UPSCALE__MODEL` is `upscale.model`.\n",
            _keys(Settings),
            "## Training file\n",
            f"For `srgan train`. Variables begin with `{TRAINING_ENVIRONMENT_PREFIX}`: "
            f"`{TRAINING_ENVIRONMENT_PREFIX}DATA__BATCH` is `data.batch`.\n",
            _keys(TrainConfig),
            *_recipes(),
        ]
    )


def _recipes() -> Iterator[str]:
    """What each recipe that comes with srgan adds to the training file."""
    forms = {name: find_recipe(name).settings for name in RECIPES.builtin}
    for name, form in forms.items():
        if form is TrainConfig:
            continue
        above = next(other for other in forms if forms[other] is form.__base__)
        also = "" if forms[above] is TrainConfig else f", and those of the recipe {above}"
        yield f"### Recipe {name}\n"
        yield f'With `recipe = "{name}"` a training file may have these keys too, or with these defaults{also}.\n'
        yield _keys(form, known=form.__base__)


def _keys(model: Any, known: Any = None) -> str:
    """A table of the keys of ``model``, but for those that ``known`` has with the same default and meaning."""
    rows = []
    left_out = {key: _meant(field) for key, field in _with_items(known)} if known else {}
    for key, field in _with_items(model):
        if left_out.get(key) == _meant(field) or (known and key == "recipe"):
            continue
        default = "**required**" if field.is_required() else _code(field.get_default(call_default_factory=True))
        rows.append((f"`{key}`", _values(field), default, field.description or ""))
    return _table(("Key", "Values", "Default", "Meaning"), rows)


def _with_items(model: Any) -> Iterator[tuple[str, Any]]:
    """The keys of ``model``, and behind a list of sections those of each."""
    for key, field in list_keys(model):
        yield key, field
        for part in get_args(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from ((f"{key}.N.{name}", item) for name, item in list_keys(part))


def _meant(field: Any) -> tuple[Any, ...]:
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return default, field.description


def _values(field: Any) -> str:
    """What a key may hold: its words, or its type and range."""
    if words := choices_of(field):
        return ", ".join(words)
    schema = TypeAdapter(Annotated[field.annotation, field]).json_schema()
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return " or ".join(map(_kind, kinds))


def _kind(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema["items"]]
        return f"{len(items)} of: {_kind(items[0])}" if "prefixItems" in schema else f"list of {_kind(items[0])}"
    name = {"integer": "whole number", "boolean": "true or false", "string": "text", "object": "table"}
    kind = schema.get("type", "object")  # a reference is to a section
    text = "path" if schema.get("format") == "path" else name.get(kind, kind)
    if "minimum" in schema and "maximum" in schema:
        return f"{text}, {schema['minimum']} to {schema['maximum']}"
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return ", ".join([text, *(f"{sign} {schema[limit]}" for limit, sign in signs.items() if limit in schema)])


def _code(value: Any) -> str:
    return "" if value is None else f"`{json.dumps(value, default=str)}`"


# --------------------------------------------------------------------------------------------------- Python


def python_page() -> str:
    """Every public name of the package with its signature and contract, and the errors."""
    parts = [NOTE, "# Python\n", f"{inspect.getdoc(srgan)}\n"]
    names = [name for name in srgan.__all__ if not name.startswith("__")]
    for name in names:
        value = getattr(srgan, name)
        if not (isinstance(value, type) and issubclass(value, errors.SrganError)):
            parts.append(_describe(name, value))
    parts += [
        "## Errors\n",
        "All are in `srgan.errors` and derive from `SrganError`; the last column is the exit code of the command "
        "line.\n",
        _table(
            ("Error", "Message when none is given", "Exit code"),
            [
                (f"`{name}`", (inspect.getdoc(kind) or "").replace("\n", " "), str(_exit_code(kind)))
                for name, kind in vars(errors).items()
                if isinstance(kind, type) and issubclass(kind, errors.SrganError)
            ],
        ),
    ]
    return "\n".join(parts)


def _exit_code(kind: type[errors.SrganError]) -> int:
    return exit_code_of(kind.__new__(kind))


def _describe(name: str, value: Any) -> str:
    """A heading, the signature as it was written and the docstring; of a class its fields and public members too."""
    parts = [f"## {name}\n"]
    if not isinstance(value, type):
        return "\n".join([*parts, _code_block(_signature(name, value)), _contract(value)])
    if "__init__" in vars(value) and not _is_record(value) and not getattr(value, "_is_protocol", False):
        parts.append(_code_block(_signature(name, value.__init__, returns=False)))
    parts.append(_contract(value))
    if _is_record(value):
        parts.append("\n".join(_fields(value)) + "\n")
    for member, thing in vars(value).items():
        thing = getattr(thing, "__func__", thing)  # of a classmethod
        if member.startswith("_") or not (isinstance(thing, property) or inspect.isfunction(thing)):
            continue
        path = f"{name}.{member}"
        if isinstance(thing, property):
            result = _source(thing.fget).returns
            signature = f"{path}: {ast.unparse(result)}" if result else path
        else:
            signature = _signature(path, thing)
        parts += [f"### {path}\n", _code_block(signature), _contract(thing)]
    return "\n".join(part for part in parts if part)


def _code_block(code: str) -> str:
    return f"```python\n{code}\n```\n"


def _contract(value: Any) -> str:
    doc = (inspect.getdoc(value) or "").replace("``", "`")
    return f"{doc}\n" if doc else ""


def _is_record(value: type) -> bool:
    """Whether a class is made of its annotated fields."""
    return is_dataclass(value) or issubclass(value, BaseModel)


def _source(value: Any) -> Any:
    """The syntax tree of a function or class, so that annotations and defaults read as they were written."""
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(value)))).body[0]


def _signature(name: str, function: Any, *, returns: bool = True) -> str:
    """``name`` with its parameters, one a line where they do not fit into one."""
    node = _source(function)
    if node.args.args and node.args.args[0].arg in ("self", "cls"):
        del node.args.args[0]
    parameters = [_spaced(part.strip()) for part in _split(ast.unparse(node.args))] if ast.unparse(node.args) else []
    result = f" -> {ast.unparse(node.returns)}" if returns and node.returns else ""
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n{''.join(f'    {parameter},{chr(10)}' for parameter in parameters)}){result}"


def _spaced(parameter: str) -> str:
    """``a: int=3`` as we write it: ``a: int = 3``."""
    name, _, default = parameter.partition("=")
    return f"{name} = {default}" if default and ":" in name else parameter


def _split(text: str) -> list[str]:
    """Parts between the commas that are in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _fields(value: type) -> Iterator[str]:
    """A line for each annotated field of a class, with its default and what is said of it."""
    body = _source(value).body
    described = getattr(value, "model_fields", {})
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or ast.unparse(node.target).startswith("_"):
            continue
        name = ast.unparse(node.target)
        if field := described.get(name):
            default = field.get_default(call_default_factory=True)
            given = "" if field.is_required() or isinstance(default, BaseModel) else f" = {default!r}"
            doc = field.description or inspect.getdoc(field.annotation) or ""
            yield f"- `{name}{given}`: {doc}"
            continue
        given = f" = {ast.unparse(node.value)}" if node.value else ""
        said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        doc = ": " + " ".join(after.value.value.replace("``", "`").split()) if said else ""
        yield f"- `{name}: {ast.unparse(node.annotation)}{given}`{doc}"


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def main() -> None:
    """Write the pages that changed."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = REFERENCE / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
