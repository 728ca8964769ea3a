"""The one typed configuration: what can be set, where values come from, and how mistakes are reported.

Values come from five places; a later one wins:

    defaults  <  file  <  environment  <  --set key=value  <  flags

A file is TOML, YAML or JSON, by its suffix. An environment variable names a key in capitals with two underscores for
each dot: ``SRGAN_UPSCALE__MODEL`` is ``upscale.model``. An empty variable counts as not set. A variable without a
double underscore (``SRGAN_CONFIG``, ``SRGAN_MODELS``, ``SRGAN_DEBUG``) is not a setting.

`srgan.settings.Settings` is what every run of srgan reads. The training file has its own model in
`srgan.training.config`, which `load_config` reads too. Configuration stops at the job: it is looked at where one is
made, and the job holds all that decides the result.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from srgan.errors import InvalidConfig
from srgan.settings import Section

ENVIRONMENT_PREFIX = "SRGAN_"
TRAINING_ENVIRONMENT_PREFIX = "SRGAN_TRAIN__"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
"""Of JSON Schema, that files are described in."""

Config = TypeVar("Config", bound=Section)


@dataclass(frozen=True)
class _Given:
    """One value that somebody gave: for the key at ``path``, by ``source`` in words."""

    path: tuple[str, ...]
    value: Any
    source: str
    bare: bool = False
    """Whether the value is the very text that was given, without quotes: what it means is for the key to say."""


def load_config(
    model_class: type[Config],
    path: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    prefix: str = ENVIRONMENT_PREFIX,
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
) -> Config:
    """Merge all sources into a checked ``model_class``.

    ``path`` is a TOML, YAML or JSON file; with ``values``, these stand for what it holds. ``environment`` is
    `os.environ` or a part of it; variables that start with ``prefix`` count (`TRAINING_ENVIRONMENT_PREFIX` for the
    training file). Each of ``sets`` is a text ``key.path=value``. ``flags`` maps key paths to values of the right type;
    None means not given. ``names`` says what options are called that are not named after their key.
    Where values choose a form (`Section.form_of`) and a stronger source chooses another one than the file, keys of the
    file that this one lacks are left out. Raises `InvalidConfig` with one line for each mistake, whatever source it is
    in.
    """
    mistakes: list[str] = []
    if path is not None and values is None:
        values = read_values(Path(path))
    file = [_Given((key,), value, Path(path).name if path else "") for key, value in (values or {}).items()]
    stronger = [
        *_from_environment(environment or {}, prefix),
        *_from_sets(sets, mistakes),
        *(
            _Given(tuple(key.split(".")), value, (names or {}).get(key) or _option(key))
            for key, value in (flags or {}).items()
            if value is not None
        ),
    ]
    # A file that is written for one form serves another one too, which somebody chooses for this run: what only the
    # form of the file has is then left out. Within a file it would be a mistake.
    form, written_for = (model_class.form_of(_merged(items, [])) for items in ([*file, *stronger], file))
    idle = written_for.model_fields.keys() - form.model_fields.keys()
    given = [*(item for item in file if item.path[0] not in idle), *(_typed(item, form) for item in stronger)]
    return _validated(model_class, _merged(given, mistakes), given, mistakes)


def _option(key: str) -> str:
    return "--" + key.rpartition(".")[2].replace("_", "-")


def checked(model_class: type[Config], values: Mapping[str, Any], source: str = "") -> Config:
    """``values``, all from one ``source``, as a ``model_class``.

    Raises `InvalidConfig` with one line for each mistake, which names the source if it has a name.
    """
    given = [_Given((key,), value, source) for key, value in values.items() if source]
    return _validated(model_class, values, given, ())


def _validated(
    model_class: type[Config], values: Mapping[str, Any], given: Sequence[_Given], mistakes: Sequence[str]
) -> Config:
    """``values`` as a ``model_class``, unless there are ``mistakes`` already or more are found."""
    try:
        config = model_class.model_validate(values)
    except ValidationError as error:
        mistakes = [*mistakes, *_explain(error, model_class, values, given)]
    if mistakes:
        raise InvalidConfig("\n".join(mistakes))
    return config


def read_values(path: Path) -> dict[str, Any]:
    """What stands in the TOML, YAML or JSON file at ``path``. Raises `InvalidConfig` when it cannot be read."""
    try:
        data = _parse(path.read_bytes().decode("utf-8-sig"), path)
    except OSError as error:
        raise InvalidConfig(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path}: is not UTF-8 text") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InvalidConfig(f"{path}: must contain keys and values, not {type(data).__name__}")
    # "$schema" is how an editor finds the JSON Schema of a JSON or YAML file.
    return {str(key): value for key, value in data.items() if key != "$schema"}


def _parse(text: str, path: Path) -> Any:
    kind = path.suffix.lower()
    if kind == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidConfig(f"{path}: not valid TOML: {error}") from error
    if kind == ".json":
        try:
            return parse_json(text)
        except (ValueError, RecursionError) as error:
            raise InvalidConfig(f"{path}: not valid JSON: {error}") from error
    if kind in (".yaml", ".yml"):
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InvalidConfig(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    raise InvalidConfig(f"{path}: the suffix must be .toml, .yaml, .yml or .json")


def parse_json(text: str | bytes) -> Any:
    """What JSON text says. Raises ValueError, also for a key that stands twice, and RecursionError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
        return values

    return json.loads(text, object_pairs_hook=once)


def _from_environment(environment: Mapping[str, str], prefix: str) -> Iterator[_Given]:
    """The values of variables that start with ``prefix`` and have a double underscore after it or in it."""
    for name, text in sorted(environment.items()):
        if not name.startswith(prefix) or "__" not in name or not text:
            continue
        if prefix == ENVIRONMENT_PREFIX and name.startswith(TRAINING_ENVIRONMENT_PREFIX):
            continue
        value = _from_text(text)
        yield _Given(tuple(name.removeprefix(prefix).lower().split("__")), value, f"${name}", bare=value == text)


def _from_sets(sets: Sequence[str], mistakes: list[str]) -> Iterator[_Given]:
    for text in sets:
        key, equals, value = text.partition("=")
        path = tuple(part.strip().replace("-", "_") for part in key.split("."))
        if not equals or not all(path):
            mistakes.append(f"--set {text}: must have the form key=value, such as upscale.model=fast")
            continue
        text, meant = value.strip(), _from_text(value.strip())
        yield _Given(path, meant, f"--set {key.strip()}", bare=meant == text)


def _from_text(text: str) -> Any:
    """The value a short text means: lists, tables and quoted strings as in JSON, TOML or YAML, ``null``; else the text.

    Numbers and truth values stay text here: only the model knows whether ``4`` is a number or a name, and `_typed`
    where no model does.
    """
    if text == "null":
        return None
    if text[:1] in ("[", "{", '"', "'"):
        with suppress(ValueError, RecursionError):
            return json.loads(text)  # unlike YAML it takes any character as it is
        with suppress(ValueError, RecursionError):
            # Before YAML, which reads {a = 1} as a key "a = 1" without a value.
            values = tomllib.loads(f"value = {text}")
            if len(values) == 1:
                return values["value"]
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text


def _typed(item: _Given, model_class: type[BaseModel]) -> _Given:
    """``item``, a text given for a key of a free table as the number or truth value that it looks like in a file.

    No model knows the keys there, so none could make a number of the text ``16``. In quotes it stays text.
    """
    model: type[BaseModel] | None = model_class
    for depth, part in enumerate(item.path, 1):
        field = model.model_fields.get(part) if model else None
        if field is None:
            return item
        free = get_origin(field.annotation) is dict and get_args(field.annotation)[-1] is Any
        if free and item.bare and depth < len(item.path):
            return replace(item, value=_scalar(item.value))
        model = _section_of(field)
    return item


def _scalar(text: str) -> Any:
    """The number or truth value that ``text`` is in TOML, YAML or JSON; any other text itself."""
    if text.lower() in ("true", "yes", "on", "false", "no", "off"):
        return text.lower() in ("true", "yes", "on")
    if re.fullmatch(r"[+-]?(0|[1-9](_?[0-9])*)", text):
        return int(text)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) and not re.match("[+-]?0[0-9]", text):
        return float(text)
    return text


def _merged(given: Sequence[_Given], mistakes: list[str]) -> dict[str, Any]:
    """All values that were given, the weakest first."""
    values: dict[str, Any] = {}
    for item in given:
        _put(values, item, mistakes)
    return values


def _put(values: dict[str, Any], item: _Given, mistakes: list[str]) -> None:
    """Lay one given value over those of weaker sources."""
    *parents, last = item.path
    here = values
    for depth, part in enumerate(parents, 1):
        below = here.get(part)
        if not isinstance(below, dict):
            if below is not None:
                mistakes.append(f"{'.'.join(item.path[:depth])}: is a section, so it cannot be {_short(below)}")
            below = {}
        # A copy: the caller's own data is never changed.
        here[part] = dict(below)
        here = here[part]
    here[last] = item.value


# ------------------------------------------------------------------------------------------------ mistakes


def _explain(error: ValidationError, model_class: type[BaseModel], values: Any, given: Sequence[_Given]) -> list[str]:
    """One line for each key that is wrong; the several complaints about a union are joined."""
    lines: dict[tuple[str, ...], list[str]] = {}
    details: dict[tuple[str, ...], str] = {}
    for fault in error.errors(include_url=False, include_context=False):
        path = _key_path(fault, values)
        complaint, detail = _complaint(fault, model_class, path, values)
        if complaint not in lines.setdefault(path, []):
            lines[path].append(complaint)
        details[path] = detail
    return [
        f"{'.'.join(path)}{': ' if path else ''}{' or '.join(complaints)}{details[path]}{_source(path, given)}"
        for path, complaints in lines.items()
    ]


def _key_path(fault: ErrorDetails, values: Any) -> tuple[str, ...]:
    """The keys that lead to a fault. pydantic puts the names of union members between them: those are left out."""
    path: list[str] = []
    here = values
    for part in fault["loc"]:
        known = part in here if isinstance(here, Mapping) else isinstance(here, list | tuple) and isinstance(part, int)
        if known:
            here = here[part]
        elif fault["type"] != "missing" or part != fault["loc"][-1]:
            continue
        path.append(str(part))
    return tuple(path)


def _complaint(
    fault: ErrorDetails, model_class: type[BaseModel], path: tuple[str, ...], values: Any
) -> tuple[str, str]:
    """What is wrong, and what stood there instead."""
    if fault["type"] == "extra_forbidden":
        return f"unknown key{_suggestion(model_class, path, values)}", ""
    if fault["type"] == "missing":
        return "is required", ""
    if fault["type"] == "model_type":
        return "must be a section with keys of its own", f", not {_short(fault['input'])}"
    if fault["type"] in ("tuple_type", "list_type"):
        return 'must be a list, such as ["this", "that"]', f", not {_short(fault['input'])}"
    if fault["type"] == "too_short" and not fault["input"]:
        return "must not be empty", ""
    if fault["type"] == "path_type":
        return "must be a path", f", not {_short(fault['input'])}"
    message = fault["msg"].removeprefix("Value error, ").replace("Input should", "must")
    message = re.split(", unable to |, got ", message)[0]
    if isinstance(fault["input"], dict) and fault["type"] in ("value_error", "assertion_error"):
        return message, ""
    return message, f", not {_short(fault['input'])}"


def _suggestion(model_class: type[BaseModel], path: tuple[str, ...], values: Any) -> str:
    """The key that was probably meant: a near miss in the same section, else the same name in another section."""
    here = values
    models = _forms([model_class], here)
    for part in path[:-1]:
        here = here[int(part) if isinstance(here, list | tuple) else part]
        if not part.isdigit():
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = _forms([inner for field in fields for inner in _models_in(field.annotation)], here)
    siblings = sorted({name for model in models for name in model.model_fields})
    for model in models:
        if issubclass(model, Section) and (owner := model.owner_of(path[-1])):
            return f"; {owner}"
    if near := get_close_matches(path[-1], siblings, n=1):
        return f"; did you mean {near[0]!r}?"
    for key, _ in list_keys(model_class):
        if key.rpartition(".")[2] == path[-1]:
            return f"; did you mean {key!r}?"
    return f"; there are: {', '.join(siblings)}" if siblings else ""


def _forms(models: Sequence[type[BaseModel]], values: Any) -> list[type[BaseModel]]:
    """``models``, each in the form that ``values`` choose."""
    known = isinstance(values, Mapping)
    return [model.form_of(values) if known and issubclass(model, Section) else model for model in models]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _source(path: tuple[str, ...], given: Sequence[_Given]) -> str:
    """Who gave the value at ``path``: the last one for the longest part of it, else one for something below it."""
    above = [item for item in given if path[: len(item.path)] == item.path]
    below = [item for item in given if item.path[: len(path)] == path]
    if above:
        longest = max(len(item.path) for item in above)
        return f" ({[item for item in above if len(item.path) == longest][-1].source})"
    return f" ({below[-1].source})" if path and below else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# ------------------------------------------------------------------------------------------ what there is


def list_keys(model_class: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, FieldInfo]]:
    """All keys of a configuration as dotted paths with their fields, sections left out."""
    for name, field in model_class.model_fields.items():
        if inner := _section_of(field):
            yield from list_keys(inner, (*path, name))
        else:
            yield ".".join((*path, name)), field


def find_key(model_class: type[BaseModel], key: str) -> FieldInfo:
    """The field at a dotted path. Raises KeyError."""
    return dict(list_keys(model_class))[key]


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The words that a field may hold, or nothing when it is not a choice of words."""

    def words(annotation: Any) -> Iterator[str]:
        for part in get_args(annotation):
            if isinstance(part, str):
                yield part
            else:
                yield from words(part)

    return tuple(words(field.annotation))


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is always there as a section; a union or an optional one is not."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


# ------------------------------------------------------------------------------------------------ writing


def json_schema(model_class: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a configuration file, for editors."""
    return {"$schema": DRAFT, **model_class.model_json_schema()}


def to_toml(config: BaseModel, *, comments: bool = False) -> str:
    """A whole configuration as TOML text, which `load_config` reads back to an equal one.

    With ``comments`` each key has its description above it, and a key without a value is there too, commented out.
    """
    return _toml_section(config, (), comments).lstrip("\n")


def template(model_class: type[BaseModel], **values: Any) -> str:
    """A commented TOML file with every key at its default, or as ``values`` has it.

    Required keys are commented out.
    """
    return to_toml(model_class.model_construct(**values), comments=True)


def _toml_section(config: BaseModel, path: tuple[str, ...], comments: bool) -> str:
    """Plain keys first, then sub-sections, as TOML wants it."""
    plain: list[str] = []
    later: list[str] = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name, None)
        if value is None and (inner := _section_of(field)):
            value = inner.model_construct()
        note = f"\n{textwrap.indent(textwrap.fill(field.description or '', 100), '# ')}\n" if comments else ""
        below = (*path, name)
        if isinstance(value, BaseModel):
            later.append(f"{note or chr(10)}[{'.'.join(below)}]\n{_toml_section(value, below, comments)}")
        elif isinstance(value, list | tuple) and value and all(isinstance(item, BaseModel) for item in value):
            later += [f"\n[[{'.'.join(below)}]]\n{_toml_section(item, below, comments)}" for item in value]
        elif value is not None:
            plain.append(f"{note}{name} = {_toml_value(value)}\n")
        elif comments:
            plain.append(f"{note}# {name} ={' # required' if field.is_required() else ''}\n")
    return "".join(plain + later)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{json.dumps(str(key))} = {_toml_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False)
