"""`srgan config`: configuration templates, their JSON Schema, and the import of other programs' files."""

from __future__ import annotations

import textwrap
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srgan.cli import options
from srgan.cli.output import emit, emit_json, say, table
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
  srgan config import train_MSRResNet_x4.yml
  srgan config import training.toml --output mine.toml
"""

GENERATE_EXAMPLES = """\b
Examples:
  srgan generate-config training.toml
  srgan generate-config training.toml -p high-quality
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
        help="Print the schema of jobs of this kind instead: upscale, batch, evaluate, train, generate, encode, "
        "reconstruct, or one from a plug-in.",
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
            help="Training file from a preset: basic, fast (minutes), high-quality (for a GPU), advanced (degraded "
            "pictures, restarts), fast-gan (a GAN, minutes on a CPU), gan (a GAN for a GPU) or real-esrnet.",
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


def generate(
    path: Annotated[str, typer.Argument(metavar="PATH", help="File to write, or - for standard output.")],
    preset: Annotated[
        str, typer.Option("--preset", "-p", metavar="NAME", help="See `srgan config init --preset`.")
    ] = "basic",
) -> None:
    """Write a training file from a preset, as `srgan config init --kind train --preset` does."""
    init(path, Kind.TRAIN, preset, None)


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


@app.command("import", cls=options.Command, epilog=IMPORT_EXAMPLES)
def import_file(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Training file of another program.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Training file to write; must not exist yet.")
    ] = Path("train.toml"),
) -> None:
    """Convert a training file of BasicSR, srgan-rust or Multi-Generator SRGAN.

    What became of its keys is listed, also in the file written. Keys that would change their meaning are refused.
    """
    from srgan.config import checked, to_toml
    from srgan.training.config import TrainConfig

    values, told = _imported(source)
    config = checked(TrainConfig, values, source.name)
    head = [f"Converted from {source.name} by srgan config import.", *told, f"srgan train --config {output.name}"]
    _write_new(output, "\n".join(f"# {line}" for line in head) + f"\n\n{to_toml(config)}")
    for line in told:
        say(line)
    emit(str(output))


def _imported(source: Path) -> tuple[dict[str, Any], list[str]]:
    """The training file that ``source`` becomes, and lines about what is different."""
    from srgan.conversion.basicsr import import_options
    from srgan.conversion.origins import HEADINGS, import_origin

    if origin := import_origin(source):
        return origin.values, table(HEADINGS, [row.cells() for row in origin.rows]).splitlines()
    made = import_options(source)
    told = [f"Different here: {each}." for each in made.differences]
    if made.left_out:
        told.append(f"No equivalent here, left out: {', '.join(made.left_out)}.")
    return made.values, [line for text in told for line in textwrap.wrap(text, 116, subsequent_indent="  ")]


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
