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
    target: Path = Field(description="Output folder; created if missing.")
    include: tuple[str, ...] = Field(
        default=(), description="Patterns for names or paths of inputs. Default: all pictures."
    )
    exclude: tuple[str, ...] = Field(default=(), description="Patterns for files and folders to skip.")
    retry_failed: bool = Field(default=False, description="Process only files that failed in the last run.")
    watch: bool = Field(default=False, description="Keep running and process new and changed files until stopped.")
    reports: tuple[Path, ...] = Field(default=(), description="Report files: CSV for .csv, else JSON.")
    contact_sheet: Path | None = Field(default=None, description="HTML page with every picture before and after.")
    batch: BatchSettings = Field(default_factory=BatchSettings, description="Processing of folders.")


class BatchJob(Enlarging, FolderJob):
    """All pictures of a folder, enlarged."""

    APART: ClassVar[frozenset[str]] = Enlarging.APART | frozenset(FolderJob.model_fields) - {"kind", "version"}

    kind: Literal["batch"] = "batch"
