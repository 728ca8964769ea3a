"""`srgan config`: configuration templates, their JSON Schema, and the import of BasicSR options."""

from __future__ import annotations

import textwrap
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srgan.cli import options
from srgan.cli.output import emit, emit_json, say
from srgan.errors import CannotWrite, InvalidConfig

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEMA_EXAMPLES = """\b
Examples:
  srgan config schema > srgan.schema.json
  srgan config schema --kind train > train.schema.json
  srgan config schema --job upscale
"""
INIT_EXAMPLES = """\b
Examples:
  srgan config init
  srgan config init my.toml --kind train
  srgan config init my.toml --kind train --recipe adversarial
  srgan config init my-photos.toml --kind train --preset fast-gan
  srgan config init - | less
"""

IMPORT_EXAMPLES = """\b
Examples:
  srgan config import-basicsr train_MSRResNet_x4.yml
  srgan config import-basicsr train_MSRGAN_x4.yml --output gan.toml
"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class Kind(StrEnum):
    """The kinds of configuration files."""

    SETTINGS = "settings"
    TRAIN = "train"


KindOption = Annotated[
    Kind,
    typer.Option(
        "--kind",
        help="settings: the settings file of all commands but train; train: the training file of `srgan train`.",
    ),
]


JobOption = Annotated[
    str | None,
    typer.Option(
        "--job",
        metavar="NAME",
        help="Print the schema of jobs of this kind instead: upscale, batch, evaluate, train, or one from a plug-in.",
        show_default=False,
    ),
]


@app.command("schema", cls=options.Command, epilog=SCHEMA_EXAMPLES)
def schema(kind: KindOption = Kind.SETTINGS, job: JobOption = None) -> None:
    """Print the JSON Schema of a configuration file or a job: all keys with description, range and default.

    Editors use it to check and complete a file. Refer to it in TOML by a first line `#:schema srgan.schema.json`, in
    YAML by `# yaml-language-server: $schema=srgan.schema.json`, in JSON by a key `$schema`.
    """
    from srgan.config import json_schema
    from srgan.settings import Settings

    if job is not None:
        emit_json(json_schema(_job(job)))
    elif kind is Kind.TRAIN:
        from srgan.training.config import train_schema

        emit_json(train_schema())
    else:
        emit_json(json_schema(Settings))


@app.command("init", cls=options.Command, epilog=INIT_EXAMPLES)
def init(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="[PATH]", help="File to write, or - for standard output. Default: srgan.toml or train.toml."
        ),
    ] = None,
    kind: KindOption = Kind.SETTINGS,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Training file from a preset: fast-gan (a GAN, minutes on a CPU) or gan (a GAN for a GPU).",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", metavar="NAME", help="Training file for this recipe, such as adversarial.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a commented TOML file with all keys, at their defaults or the values of a preset.

    An existing file is never overwritten.
    """
    text = _text(kind, preset, recipe)
    if path == "-":
        emit(text.rstrip("\n"))
        return
    target = Path(path or ("srgan.toml" if kind is Kind.SETTINGS else "train.toml"))
    _write_new(target, text)
    emit(str(target))


def _text(kind: Kind, preset: str | None, recipe: str | None) -> str:
    if kind is Kind.SETTINGS:
        if preset is not None or recipe is not None:
            raise InvalidConfig("--preset and --recipe are for training files only; add --kind train")
        from srgan.config import template
        from srgan.settings import Settings

        return template(Settings)
    if preset is not None:
        if recipe is not None:
            raise InvalidConfig("--preset and --recipe cannot be combined: a preset has its own recipe")
        from srgan.training.presets import preset as made

        return made(preset)
    from srgan.training.config import train_template

    return train_template(recipe or "pretrain")


@app.command("import-basicsr", cls=options.Command, epilog=IMPORT_EXAMPLES)
def import_basicsr(
    source: Annotated[Path, typer.Argument(metavar="OPTIONS", help="BasicSR training options (YAML).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Training file to write; must not exist yet.")
    ] = Path("train.toml"),
) -> None:
    """Convert BasicSR training options to a training file.

    Differences and options without an equivalent are listed, also in the file. Options that would change their meaning
    are refused.
    """
    from srgan.config import checked, to_toml
    from srgan.conversion.basicsr import import_options
    from srgan.training.config import TrainConfig

    made = import_options(source)
    config = checked(TrainConfig, made.values, source.name)
    told = [f"Different here: {each}." for each in made.differences]
    if made.left_out:
        told.append(f"No equivalent here, left out: {', '.join(made.left_out)}.")
    head = [
        f"Converted from {source.name} by srgan config import-basicsr.",
        *told,
        f"srgan train --config {output.name}",
    ]
    comments = "\n".join(textwrap.fill(line, 118, initial_indent="# ", subsequent_indent="#   ") for line in head)
    _write_new(output, f"{comments}\n\n{to_toml(config)}")
    for line in told:
        say(line)
    emit(str(output))


def _write_new(target: Path, text: str) -> None:
    """Write ``text`` to a TOML file that must not exist yet."""
    if target.suffix.lower() != ".toml":
        raise InvalidConfig(f"{target}: the file is TOML, so its name must end in .toml")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise CannotWrite(f"{target}: exists already") from error
    except OSError as error:
        raise CannotWrite(f"{target}: {error.strerror or error}") from error


def _job(name: str) -> type[BaseModel]:
    from srgan.jobs import KINDS

    model: type[BaseModel] = KINDS.load(name).load_model()
    return model
