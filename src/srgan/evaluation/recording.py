"""Writing measured figures into a bundle."""

from __future__ import annotations

import os

from srgan.errors import InvalidConfig, InvalidDataset
from srgan.evaluation.report import PROTOCOL, EvaluationReport
from srgan.models import Bundle, write_bundle


def record_quality(bundle_path: str | os.PathLike[str], report: EvaluationReport) -> Bundle:
    """Write the means of ``report`` into the bundle's `model.toml`, in place of those for the same pictures.

    Raises `InvalidConfig` when the report is about another model, another scale or other inputs than the protocol's,
    `InvalidDataset` when pictures are missing from it, and whatever reading and writing a bundle raises.
    """
    bundle = Bundle.open(bundle_path)
    info = bundle.info
    if (report.model, report.scale) != (info.name, info.scale):
        wanted = f"{info.name} at x{info.scale}"
        raise InvalidConfig(f"the report is about {report.model} at x{report.scale}, the bundle is {wanted}")
    if report.protocol != PROTOCOL:
        raise InvalidConfig(
            "the report is about other inputs than those of the protocol, which a bundle's figures are of"
        )
    if report.failures:
        first = report.failures[0].reason
        raise InvalidDataset(f"{len(report.failures)} pictures of {report.dataset} could not be scored; {first}")
    others = tuple(quality for quality in info.quality if quality.dataset != report.dataset)
    entries = tuple(sorted((*others, report.quality), key=lambda quality: quality.dataset))
    files = {name: bundle.read(name) for name in info.files}
    return write_bundle(bundle.path, info.model_copy(update={"quality": entries}), files)
