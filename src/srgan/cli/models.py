"""`srgan models`: list, show, locate and blend models, and go back to earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srgan.cli import options
from srgan.cli.output import bytes_text, emit, emit_json, say, table

if TYPE_CHECKING:
    from srgan.models import Bundle, ModelInfo, Quality

LIST_EXAMPLES = """\b
Examples:
  srgan models list
  srgan models list --json
"""
SHOW_EXAMPLES = """\b
Examples:
  srgan models show fast
  srgan models show fast-x2 --json
  srgan models show ./runs/mine/001/bundle
"""
PATH_EXAMPLES = """\b
Examples:
  srgan models path fast
  ls "$(srgan models path quality)"
"""

BLEND_EXAMPLES = """\b
Examples:
  srgan models blend fast=0.3 photo-fast=0.7 --output softer
  srgan models blend runs/mine/001/bundle=1 runs/mine/002/bundle=1 -o both.zip --name both-x4
"""

ROLLBACK_EXAMPLES = """\b
Examples:
  srgan models rollback critters
  srgan models rollback critters --to 20261128-210501
"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name or family of a model, or the path of a bundle.", show_default=False)
]


@app.command("list", cls=options.Command, epilog=LIST_EXAMPLES)
def list_(as_json: options.Json = False) -> None:
    """List the models that can be used by name: the shipped ones, then your own in $SRGAN_MODELS."""
    from srgan.models import list_models

    bundles = list_models()
    if as_json:
        emit_json([_record(bundle) for bundle in bundles])
        return
    rows = []
    for bundle in bundles:
        info, first = bundle.info, next(iter(bundle.info.quality), None)
        measured = f"{first.psnr:.2f} dB {first.dataset}" if first else None
        does = f"x{info.scale}" if info.latent is None else f"{info.latent.side} px"
        rows.append((info.name, does, bytes_text(_size(bundle)), measured, info.description or None))
    if rows:
        emit(table(("NAME", "SCALE", "SIZE", "PSNR", "DESCRIPTION"), rows))
    else:
        emit("There are no models. Train one (srgan train), or put model bundles into the folder $SRGAN_MODELS.")


@app.command("show", cls=options.Command, epilog=SHOW_EXAMPLES)
def show(name: Name, as_json: options.Json = False) -> None:
    """Show details of a model: network, size, licence, provenance and measured quality."""
    from srgan.models import find_model

    bundle = find_model(name)
    if as_json:
        emit_json(_record(bundle))
        return
    info = bundle.info
    facts: list[tuple[str, object]] = [
        ("name", info.name),
        ("family", info.family),
        ("version", info.version),
        ("description", info.description),
        *_does(info),
        ("strategies", ", ".join(info.strategies)),
        ("network", " ".join([info.network, *_options(info.network_options)])),
        ("parameters", f"{info.parameters:,}"),
        ("licence", info.licence),
        ("path", bundle.path),
        ("files", ", ".join(info.files)),
        ("size", bytes_text(_size(bundle))),
        *(
            (f"trained: {key}", ", ".join(value) if isinstance(value, tuple) else value)
            for key, value in info.provenance.model_dump().items()
        ),
        *((f"quality: {item.dataset}", _quality(item)) for item in info.quality),
    ]
    known = [(key.replace("_", " "), value) for key, value in facts if value not in ("", None, "0")]
    width = max(len(key) for key, _ in known)
    emit("\n".join(f"{key.ljust(width)}  {value}" for key, value in known))


@app.command("path", cls=options.Command, epilog=PATH_EXAMPLES)
def path(name: Name) -> None:
    """Print the path of a model."""
    from srgan.models import find_model

    emit(str(find_model(name).path.resolve()))


@app.command("rollback", cls=options.Command, epilog=ROLLBACK_EXAMPLES)
def rollback(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Name or folder of a model that has versions.", show_default=False),
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="Version that becomes the latest. Default: the one before."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Go back to an earlier version of a model, or on to a later one.

    Training publishes versions (output.publish of the recipe latent). All of them are kept.
    """
    from srgan.models.versions import find_versions, manifest_of, rollback, versions_of

    folder = find_versions(model)
    version = rollback(folder, to)
    if as_json:
        emit_json({"path": str(version), "version": version.name, "versions": versions_of(folder)})
        return
    emit(str(version))
    noted = manifest_of(version)
    if "distance" in noted:
        say(f"{noted.get('judged by', 'distance')}: {noted['distance']:.4g}")


@app.command("blend", cls=options.Command, epilog=BLEND_EXAMPLES)
def blend(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL=SHARE...", help="Two or more models, each with its weight.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="Output bundle: a new folder, or a file ending in .zip."),
    ],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Name of the new model. Default: the name of the output.")
    ] = "",
    as_json: options.Json = False,
) -> None:
    """Blend models by averaging their weights, such as a PSNR-trained one and a GAN.

    The models must have the same architecture and have been fine-tuned from the same start. The result is as fast as
    one of them. Needs the `train` extra: pip install 'srgan[train]'.
    """
    from srgan.errors import CannotWrite, InvalidConfig
    from srgan.training import blend_models

    shares: dict[str, float] = {}
    for text in models:
        model, equals, share = text.rpartition("=")
        try:
            shares[model] = float(share)
        except ValueError:
            equals = ""
        if not equals or not model:
            raise InvalidConfig(f"{text}: must have the form MODEL=SHARE, such as fast=0.3")
    if len(shares) < len(models):
        raise InvalidConfig("a model is given more than once")
    if output.exists():
        raise CannotWrite(f"{output}: exists already; choose another place for the model")
    bundle = blend_models(shares, output, name=name or output.name.removesuffix(".zip").lower())
    if as_json:
        emit_json(_record(bundle))
        return
    emit(str(bundle.path))
    say(f"Use it with: srgan upscale IN OUT --model {bundle.path}")


def _does(info: ModelInfo) -> list[tuple[str, object]]:
    """What the model does: enlarges, or makes pictures of its own."""
    latent = info.latent
    if latent is None:
        return [
            ("scale", f"x{info.scale}"),
            ("cost", f"{info.macs_per_pixel:,} multiply-accumulates per input pixel"),
            ("radius", f"{info.radius} pixels"),
        ]
    return [
        ("makes", f"new pictures of {latent.side} x {latent.side} pixels (srgan generate OUT --model {info.name})"),
        ("noise", f"{latent.noise} numbers"),
        ("code", " x ".join(map(str, latent.code))),
        ("refiner", latent.refiner),
    ]


def _record(bundle: Bundle) -> dict[str, Any]:
    return {**bundle.info.model_dump(mode="json"), "path": str(bundle.path), "bytes": _size(bundle)}


def _size(bundle: Bundle) -> int:
    """Bytes on disk."""
    if bundle.path.is_file():
        return bundle.path.stat().st_size
    return sum(file.stat().st_size for file in bundle.path.iterdir() if file.is_file())


def _options(options: dict[str, Any], before: str = "") -> list[str]:
    """``key=value`` of each option, with dotted keys for tables."""
    return [
        text
        for key, value in options.items()
        for text in (
            _options(value, f"{before}{key}.")
            if isinstance(value, dict)
            else [f"{before}{key}={value}".replace(" ", "")]
        )
    ]


def _quality(item: Quality) -> str:
    beside = "" if item.baseline_psnr is None else f" (bicubic {item.baseline_psnr:.2f} dB)"
    return f"{item.psnr:.2f} dB, SSIM {item.ssim:.4f}{beside} on {item.pictures} pictures"
