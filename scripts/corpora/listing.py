"""`configs/corpus.toml`: which packages there are, and which pictures of them make up which set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from srgan.config import load_config
from srgan.errors import InvalidConfig
from srgan.settings import Section

Kind = Literal["photographs", "artwork", "vectors", "pages"]


class Package(Section):
    """One version of one package, pinned."""

    registry: Literal["debian", "npm"] = Field(description="Where it is: Debian's archive or the npm registry.")
    version: str = Field(min_length=1, description="The version, as the registry writes it.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Digest of the package file.")
    licence: str = Field(
        min_length=1, description="Licence of its pictures where the package does not say it file by file."
    )
    author: str = Field(default="", description="Author of its pictures where the package does not say it.")


class Part(Section):
    """Pictures of one package."""

    package: str = Field(description="A name from the table of packages.")
    files: tuple[str, ...] = Field(
        min_length=1, description="Patterns of paths inside of the package; * stands for anything, / included."
    )
    without: tuple[str, ...] = Field(default=(), description="Patterns of paths to leave out.")
    each: int = Field(default=0, ge=0, description="Most pictures of each folder, the first by digest; 0 for all.")
    after: int = Field(default=0, ge=0, description="How many of each folder to pass over first.")
    side: int = Field(default=768, ge=64, le=4096, description="Longer side that vectors are rendered at, in pixels.")


class PictureSet(Section):
    """One folder of pictures."""

    kind: Kind = Field(
        description="photographs: reduced until they are sharp. artwork: as it is, on a ground of its own. vectors: "
        "SVG files, rendered. pages: drawn here, line by line, with the fonts of the packages."
    )
    about: str = Field(description="What it is, in a sentence.")
    parts: tuple[Part, ...] = Field(min_length=1, description="Where its pictures, or its fonts, come from.")
    judge: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.0, description="Share of the pictures that are put into a second folder, NAME-val, to validate with."
    )
    smallest: int = Field(default=192, ge=16, description="Least length of the shorter side, in pixels.")
    largest: int = Field(default=2040, ge=64, description="Most length of the longer side, in pixels.")
    pages: int = Field(default=0, ge=0, description="Number of pages to draw.")
    seed: int = Field(default=0, ge=0, description="Seed of the pages.")


class Corpus(Section):
    """All of it."""

    packages: dict[str, Package] = Field(description="The packages by name.")
    sets: dict[str, PictureSet] = Field(description="The sets by name.")

    @model_validator(mode="after")
    def _known(self) -> Corpus:
        for name, wanted in self.sets.items():
            for part in wanted.parts:
                if part.package not in self.packages:
                    raise ValueError(f"sets.{name}: there is no package {part.package!r} in the table of packages")
            if (wanted.kind == "pages") != bool(wanted.pages):
                raise ValueError(f"sets.{name}: pages must be given for the kind pages, and for no other")
        return self


def read_corpus(path: Path) -> Corpus:
    """The file. Raises `InvalidConfig`."""
    return load_config(Corpus, path)


def find_set(corpus: Corpus, name: str) -> PictureSet:
    """The set of that name. Raises `InvalidConfig`."""
    if name not in corpus.sets:
        raise InvalidConfig(f"There is no set {name!r}. Choose one of: {', '.join(corpus.sets)}")
    return corpus.sets[name]
