"""`generate`: the one-call form, which gives the pictures and writes no files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from srgan.config import checked
from srgan.generation.job import GenerateJob, points
from srgan.generation.making import Maker
from srgan.models import Bundle
from srgan.progress import Step, stoppable

if TYPE_CHECKING:
    from srgan.imaging import Picture
    from srgan.progress import Report, Stop


class Options(TypedDict, total=False):
    """The options of `generate`; see there."""

    truncation: float
    interpolate: tuple[int, int] | None
    steps: int
    size: int | None
    refiner: str | None
    backend: str
    device: str
    precision: str
    threads: int
    report: Report | None
    stop: Stop | None


def generate(
    model: str | os.PathLike[str] | Bundle,
    count: int = 1,
    *,
    seed: int = 0,
    first: int = 0,
    **options: Unpack[Options],
) -> list[Picture]:
    """Make ``count`` new pictures with the latent model ``model``, a name, a path or a `Bundle`.

    Picture ``number`` of a ``seed`` is the same in every call, whatever ``count``; ``first`` is the number of the
    first. Options: ``truncation`` (below 1: more typical pictures), ``interpolate`` (two numbers) and ``steps`` for
    pictures on the way from one to another, ``size`` and ``refiner`` for larger ones, all as in `srgan generate`;
    ``backend``, ``device``, ``precision`` and ``threads`` as in `srgan.open_session`; ``report`` and ``stop`` as in
    `srgan.progress`. Each picture says in its metadata what it was made from. Raises `SrganError`.
    """
    given: dict[str, Any] = dict(options)
    tell = stoppable(given.pop("report", None), given.pop("stop", None))
    runtime = {name: given.pop(name) for name in ("backend", "device", "precision", "threads") if name in given}
    if unknown := set(given) - set(Options.__annotations__):
        raise TypeError(f"generate() has no option {', '.join(map(repr, sorted(unknown)))}")
    name = str(model.path if isinstance(model, Bundle) else os.fspath(model))
    values = {"model": name, "target": ".", "count": count, "seed": seed, "first": first, "runtime": runtime, **given}
    job = checked(GenerateJob, values)
    pictures: list[Picture] = []
    with Maker(model, size=job.size, refiner=job.refiner, runtime=job.runtime) as maker:
        for one in points(job, maker.latent.shape.noise):
            tell(Step(len(pictures), job.total, "pictures"))
            pictures.append(maker.picture(one.noise, one.text, **one.settings))
    tell(Step(job.total, job.total, "pictures"))
    return pictures
