"""The sections of the training file that say which pictures there are: to learn from, and to be judged by.

Importing this loads no torch.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator

from srgan.settings import Section
from srgan.training.degradation.settings import DegradationSection

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]


def _named(path: Any) -> Any:
    """An empty text would be the current folder, with all that lies in it."""
    if path == "":
        raise ValueError("must be a path; use . for the current folder")
    return path


GivenPath = Annotated[Path, BeforeValidator(_named)]


class Stage(Section):
    """Patch and batch size in a first part of the training."""

    until: float = Field(gt=0, lt=1, description="Fraction of the steps at which it ends.")
    patch: int | None = Field(
        default=None, ge=8, le=512, description="Patch size in low-resolution pixels. Default: data.patch."
    )
    batch: int | None = Field(default=None, ge=1, description="Batch size per device. Default: data.batch.")


class Size(NamedTuple):
    """Patch (side in low-resolution pixels) and batch (per device) of a step."""

    patch: int
    batch: int


class DataSection(Section):
    """The training pictures."""

    folders: tuple[GivenPath, ...] = Field(
        min_length=1,
        description="Folders of high-resolution pictures, searched recursively, or text files that list one picture "
        "per line, relative to the folder of the list.",
    )
    low_folders: tuple[GivenPath, ...] = Field(
        default=(),
        description="Matching low-resolution pictures: one folder or list for each entry of folders, with the same "
        "relative paths or the same lines. Default: made from the high-resolution pictures, see degradation.",
    )
    patch: int = Field(default=32, ge=8, le=512, description="Patch size in low-resolution pixels.")
    batch: PositiveInt = Field(default=16, description="Batch size per device.")
    schedule: tuple[Stage, ...] = Field(
        default=(),
        description="Other patch and batch sizes at the beginning, one after the other, such as "
        "[{until = 0.2, patch = 32, batch = 4}]: until a fraction of the steps. data.patch and data.batch come after "
        "them. The learning rate stays as it is.",
    )
    tile: int = Field(
        default=480,
        ge=32,
        description="Pictures are kept as tiles of this side, in high-resolution pixels; up to a quarter larger where "
        "that saves much memory, as with pictures of 512 pixels.",
    )
    min_detail: float = Field(
        default=0.0,
        ge=0,
        description="Patches whose mean gradient (in levels of 255) is below this are usually replaced by another "
        "random patch.",
    )
    flat_share: Fraction = Field(default=0.1, description="Probability of using a patch below min_detail anyway.")
    memory_gib: float = Field(
        default=4.0, gt=0, description="Memory for decoded pictures, in GiB. A larger dataset is streamed."
    )
    refresh: PositiveInt = Field(
        default=200, description="When streaming: replace one tile in sixteen every so many steps."
    )
    augment: bool = Field(default=True, description="Random flips and rotations by 90 degrees.")
    max_pictures: int | None = Field(default=None, ge=1, description="Use only the first N pictures.")
    degradation: DegradationSection = Field(
        default_factory=DegradationSection, description="How the low-resolution pictures are made."
    )

    @model_validator(mode="after")
    def _one_way_to_low_resolution(self) -> DataSection:
        if not self.low_folders:
            return self
        if len(self.low_folders) != len(self.folders):
            raise ValueError(
                f"low_folders has {len(self.low_folders)} entries but folders has {len(self.folders)}; they must match"
            )
        if self.degradation.kind != "bicubic":
            raise ValueError(
                "low_folders and degradation.kind cannot be combined: low-resolution pictures are either given or made"
            )
        return self

    @model_validator(mode="after")
    def _one_after_the_other(self) -> DataSection:
        ends = [stage.until for stage in self.schedule]
        if any(end <= before for before, end in pairwise(ends)):
            raise ValueError(
                f"schedule: until must rise from stage to stage, not {', '.join(f'{end:g}' for end in ends)}"
            )
        return self

    def stages(self) -> list[Size]:
        """The sizes of all stages of ``schedule``, and after them those of the section."""
        given = [(stage.patch or self.patch, stage.batch or self.batch) for stage in self.schedule]
        return [Size(*sizes) for sizes in (*given, (self.patch, self.batch))]

    def size_at(self, step: int, steps: int | None) -> Size:
        """The sizes at ``step`` (from 1) of ``steps``; without a length, those after the schedule."""
        ended = len(self.schedule) if steps is None else sum(step > stage.until * steps for stage in self.schedule)
        return self.stages()[ended]


class ValidationSection(Section):
    """Validation during training."""

    folder: GivenPath | None = Field(
        default=None,
        description="Folder of high-resolution validation pictures, not used for training. Each is processed as a "
        "whole, so use moderate sizes.",
    )
    low_folder: GivenPath | None = Field(
        default=None,
        description="Matching low-resolution pictures, named as in data.low_folders. Default: made, see inputs.",
    )
    inputs: Literal["bicubic", "training", "blur", "noise", "jpeg", "mixed"] = Field(
        default="bicubic",
        description="How the low-resolution pictures are made: bicubic; training: degraded as data.degradation says "
        "(clean and sharpen left out); or a degradation of `srgan evaluate`. Always the same ones.",
    )
    every: PositiveInt = Field(default=1000, description="Steps between validations.")
    max_pictures: PositiveInt = Field(default=20, description="Use only the first N pictures.")
    figures: tuple[
        Literal["lpips-unweighted", "dists-squeeze", "stlpips-alex", "fd-squeeze", "kid-squeeze", "grid"], ...
    ] = Field(default=(), description="Metrics besides PSNR and SSIM, as in `srgan evaluate`.")
    best: str = Field(
        default="psnr", description="Metric that selects the best checkpoint: its mean over these pictures and inputs."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop early after this many validations in a row without improvement of best.",
    )
