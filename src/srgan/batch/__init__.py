"""Many pictures: a folder in, the same tree out, resumable, and an account of what became of every file."""

from srgan.batch.existing import Existing, Rules
from srgan.batch.job import BatchJob, FolderJob
from srgan.batch.make import Identity, Make, Product
from srgan.batch.pictures import Pictures, process_folder, run_batch
from srgan.batch.plan import NAME_FIELDS
from srgan.batch.report import BatchReport, FileOutcome
from srgan.batch.run import process

__all__ = [
    "NAME_FIELDS",
    "BatchJob",
    "BatchReport",
    "Existing",
    "FileOutcome",
    "FolderJob",
    "Identity",
    "Make",
    "Pictures",
    "Product",
    "Rules",
    "process",
    "process_folder",
    "run_batch",
]
