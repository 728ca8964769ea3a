"""Work on a folder as a value."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from srgan.settings import BatchSettings, Job
from srgan.upscaler.job import Enlarging


class FolderJob(Job):
    """Many files of one folder, each made into one of another; of what kind they are, a subclass says."""

    source: Path = Field(description="Input folder.")
    target: Path = Field(description="Output folder; made where it is missing.")
    include: tuple[str, ...] = Field(
        default=(), description="Patterns for names or paths of inputs. Without any, all files with a fitting suffix."
    )
    exclude: tuple[str, ...] = Field(default=(), description="Patterns for files and folders that are left out.")
    retry_failed: bool = Field(default=False, description="Only files that failed the last time.")
    watch: bool = Field(default=False, description="Go on with what is new or changed until stopped.")
    reports: tuple[Path, ...] = Field(
        default=(), description="Files that tell what became of each input: tables for .csv, else JSON."
    )
    contact_sheet: Path | None = Field(default=None, description="Web page with every picture before and after.")
    batch: BatchSettings = Field(default_factory=BatchSettings, description="How a folder is worked through.")


class BatchJob(Enlarging, FolderJob):
    """All pictures of a folder, enlarged."""

    APART: ClassVar[frozenset[str]] = Enlarging.APART | frozenset(FolderJob.model_fields) - {"kind", "version"}

    kind: Literal["batch"] = "batch"
