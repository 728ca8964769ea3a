"""`ModelInfo`: everything that a program must know about a model before it loads the weights."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from srgan.errors import CorruptModel

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
FILE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
MEMBERS = "members"
"""The output of an ensemble that holds the pictures of all its members."""
WORKING_BYTES_PER_PIXEL = 4096
"""The memory that one run needs per input pixel, where nobody has measured it."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Quality(_Record):
    """One measured figure of a model, as `srgan evaluate` reports it."""

    dataset: str = Field(description="Name of the folder of reference pictures.")
    pictures: int = Field(ge=1, description="Number of pictures scored.")
    psnr: float = Field(description="Mean PSNR in dB: Y channel, 8 bit, ignoring a border of `scale` pixels.")
    ssim: float = Field(description="Mean SSIM under the same protocol.")
    baseline_psnr: float | None = Field(default=None, description="PSNR of bicubic upscaling under the same protocol.")


class Provenance(_Record):
    """Origin of a model, so that it can be reproduced."""

    corpus: str = Field(default="", description="The training pictures: source, number and licences.")
    recipe: str = Field(default="", description="The training recipe.")
    config: str = Field(default="", description="Path of the configuration in the project, or its name.")
    config_sha256: str = Field(default="", description="Hash of the resolved configuration.")
    steps: int = Field(default=0, ge=0, description="Optimiser steps of the generator.")
    seed: int | None = Field(default=None, description="Seed of the run.")
    commit: str = Field(default="", description="Commit of srgan that trained the model.")
    trained_on: str = Field(default="", description="Hardware, time and library versions of the run.")
    parent: str = Field(default="", description="The model whose weights training started from.")
    teacher: str = Field(
        default="", description="The model whose outputs training aimed at, with its version and SHA-256."
    )
    loss_features: tuple[str, ...] = Field(
        default=(),
        description="Feature networks of the training losses, such as `SqueezeNet 1.1 (ImageNet, Caffe release)`. "
        "Metrics with the same features are biased in favour of the model.",
    )


class LatentInfo(_Record):
    """What a latent model is: it makes pictures from noise by way of codes, and codes of pictures."""

    noise: int = Field(ge=1, le=4096, description="Numbers of the noise that one picture is made from.")
    code: tuple[int, int, int] = Field(description="Channels, height and width of the code of one picture.")
    side: int = Field(ge=1, le=1024, description="Height and width of the pictures made, in pixels.")
    refiner: str = Field(
        default="",
        pattern=rf"^$|{NAME_PATTERN}",
        description="Name of the upscaling model that makes larger ones of them. Empty: there is none.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> LatentInfo:
        if min(self.code) < 1 or self.code[1] != self.code[2] or self.side % self.code[1]:
            raise ValueError("code must be positive and square, and divide the side")
        return self

    @property
    def reduction(self) -> int:
        """So many pixels a side share one place of the code."""
        return self.side // self.code[1]


class ModelInfo(_Record):
    """Contents of `model.toml`.

    The network takes N x `channels` x H x W in `value_range` and returns pictures `scale` times larger; a latent model
    (`latent`) has three networks instead, see `srgan.models.bundle`.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN, description="Unique name, such as `fast-x4`.")]
    family: str = Field(
        default="", description="Family name, shared by models that differ only in scale, such as `fast`."
    )
    version: str = Field(default="1.0.0", description="Version of the weights.")
    description: str = Field(default="", description="One-sentence description.")
    network: str = Field(description="Name of the architecture in `srgan.networks`.")
    network_options: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the architecture, without the scale."
    )
    outputs: tuple[str, ...] = Field(
        default=(),
        description="Names of the outputs of the model's graph, in its order; the first is the default. `--strategy` "
        "selects one. `members` is the outputs of all members of an ensemble, concatenated along the channels. Empty "
        "for a model with one output.",
    )
    scale: int = Field(ge=1, le=16, description="Scale factor.")
    channels: int = Field(default=3, ge=1, le=4, description="Colour channels of input and output.")
    value_range: tuple[float, float] = Field(
        default=(0.0, 1.0), description="Range of the pixel values of input and output."
    )
    radius: int = Field(ge=0, description="Receptive radius in input pixels: tiles need this much overlap to be exact.")
    multiple: int = Field(default=1, ge=1, description="Height and width of the input must be a multiple of this.")
    minimum: int = Field(default=1, ge=1, description="Smallest height and width of the input.")
    parameters: int = Field(default=0, ge=0, description="Number of weights.")
    macs_per_pixel: int = Field(default=0, ge=0, description="Multiply-accumulates per input pixel.")
    working_bytes_per_pixel: int = Field(
        default=WORKING_BYTES_PER_PIXEL, ge=0, description="Estimate of the memory one run needs, per input pixel."
    )
    latent: LatentInfo | None = Field(
        default=None, description="For a model that makes new pictures from noise, and enlarges none."
    )
    licence: str = Field(default="", description="SPDX identifier of the weights' licence.")
    provenance: Provenance = Field(default_factory=Provenance)
    quality: tuple[Quality, ...] = Field(default=(), description="Measured quality.")
    files: dict[
        Annotated[str, Field(pattern=FILE_PATTERN)],
        Annotated[str, Field(pattern=SHA256_PATTERN)],
    ] = Field(default_factory=dict, description="Each file of the bundle with its SHA-256.")

    @property
    def strategies(self) -> tuple[str, ...]:
        """The outputs that are pictures."""
        return tuple(name for name in self.outputs if name != MEMBERS)

    @property
    def digest(self) -> str:
        """SHA-256 of all weights: of the lines ``name hash`` of all files, sorted by name.

        Empty when the bundle lists no files.
        """
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest() if lines else ""


class PartInfo(ModelInfo):
    """One network of a latent model, as a session sees it; never written. `network` is its role, such as netG2.

    It takes N x `channels` x H x W, sides a multiple of `multiple`, and gives what the part gives.
    """

    channels: int = Field(ge=1, description="Channels of the input.")
    part: str = Field(description="Name of the part: generator, decoder or encoder.")


def info_from_toml(text: str, where: str) -> ModelInfo:
    """Read `model.toml`; `CorruptModel` names ``where`` and every field that is wrong."""
    import tomllib

    try:
        return ModelInfo.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CorruptModel(f"{where}: model.toml is not valid TOML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise CorruptModel(f"{where}: model.toml is not valid: {faults}") from error


def info_to_toml(info: ModelInfo) -> str:
    """Write ``info`` as TOML text that `info_from_toml` reads back. Fields at their default, and None, are left out."""
    return _toml_table(info.model_dump(exclude_defaults=True), ())


def _toml_table(data: dict[str, Any], path: tuple[str, ...]) -> str:
    """Plain values first, then sub-tables, as TOML wants it."""
    lines = []
    later = []
    for key, value in data.items():
        if value is None:
            continue
        if isinstance(value, dict):
            body = _toml_table(value, (*path, key))
            later.append(f"\n[{_toml_key((*path, key))}]\n{body}")
        elif isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
            later.extend(f"\n[[{_toml_key((*path, key))}]]\n{_toml_table(item, (*path, key))}" for item in value)
        else:
            lines.append(f"{_toml_key((key,))} = {_toml_value(value)}\n")
    return "".join(lines + later)


def _toml_key(path: tuple[str, ...]) -> str:
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _toml_value(part) for part in path)


def _toml_value(value: Any) -> str:
    import json

    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key((key,))} = {_toml_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float):
        return repr(value)
    # JSON's texts and truth values are TOML's too, but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
