"""Many pictures: a folder in, the same tree out, resumable, and an account of what became of every file."""

from srgan.batch.existing import Existing, Rules
from srgan.batch.plan import NAME_FIELDS
from srgan.batch.report import BatchReport, FileOutcome
from srgan.batch.run import process_folder

__all__ = ["NAME_FIELDS", "BatchReport", "Existing", "FileOutcome", "Rules", "process_folder"]
