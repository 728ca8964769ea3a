"""Codes of pictures, and pictures through a model's encoder and decoder, as values."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from srgan.atomic import check_target, write_whole
from srgan.errors import InvalidConfig, InvalidImage, LimitExceeded
from srgan.generation.latent import LatentModel, Numbers
from srgan.imaging import PICTURE_SUFFIXES, Limits, Picture, format_of, open_input, resize, write_picture
from srgan.progress import Step, stoppable
from srgan.settings import Job, LimitSettings, Outcome, RuntimeSettings

if TYPE_CHECKING:
    from srgan.progress import Report, Stop

MOST_PIXELS = 4_000_000
"""Of a picture whose size is kept. It goes through the networks in one piece: 1600 x 1600 pixels through narrow ones of
full size took 1.4 GB with ncnn and 0.5 GB with ONNX Runtime."""


class CodingJob(Job):
    """What is done to given pictures with a latent model."""

    APART: ClassVar[frozenset[str]] = frozenset({"target", "overwrite", "runtime", "limits"})

    model: str = Field(description="Latent model: a name from `srgan models list`, or the path of a model bundle.")
    overwrite: bool = Field(default=False, description="Replace an existing output.")
    runtime: RuntimeSettings = Field(default_factory=RuntimeSettings, description="Device, precision and memory.")
    limits: LimitSettings = Field(default_factory=LimitSettings, description="Limits for input files.")

    def opened(self) -> LatentModel:
        """The model. Raises what `LatentModel` raises."""
        return LatentModel(self.model, **self.runtime.model_dump(exclude={"memory_limit"}))

    def read(self, path: Path) -> Picture:
        """The still picture at ``path``. Raises `InvalidImage` for several in one file."""
        with open_input(path, limits=Limits(**self.limits.model_dump())) as file:
            if file.count > 1:
                raise InvalidImage(f"{path}: holds {file.count} pictures; save the one that is meant as a file")
            return file.picture()


class EncodeJob(CodingJob):
    """Pictures to their codes."""

    kind: Literal["encode"] = "encode"
    sources: tuple[Path, ...] = Field(min_length=1, description="Input pictures, or folders of pictures.")
    target: Path = Field(description="Output file: .npz (NumPy) or .json.")
    whole: bool = Field(
        default=False,
        description="Keep the pictures' size. Default: the centre square, resampled to the size that the model knows.",
    )


class ReconstructJob(CodingJob):
    """A picture through encoder and decoder: what the code keeps of it."""

    kind: Literal["reconstruct"] = "reconstruct"
    source: Path = Field(description="Input picture.")
    target: Path = Field(description="Output picture.")


def run_encode(job: EncodeJob, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Carry out ``job``; the result is the codes, N x channels x h x w. Raises `SrganError`, and then writes nothing.

    The file holds ``codes``, the ``names`` of the pictures, and of the model ``model``, ``version`` and ``sha256``.
    """
    began = time.perf_counter()
    if job.target.suffix.lower() not in (".npz", ".json"):
        raise InvalidConfig(f"{job.target}: codes are written as .npz or .json")
    check_target(job.target, overwrite=job.overwrite)
    paths = list(_pictures(job.sources))
    tell = stoppable(report, stop)
    codes: list[Numbers] = []
    with job.opened() as model:
        for number, path in enumerate(paths):
            tell(Step(number, len(paths), "pictures", path.name))
            pixels = on_white(job.read(path))
            pixels = fitted(pixels, model, str(path)) if job.whole else square(pixels, model.shape.side)
            codes.append(model.encode(pixels[None])[0])
            if codes[-1].shape != codes[0].shape:
                raise InvalidImage(f"{path}: differs in size from {paths[0]}; all pictures of one file must be equal")
        tell(Step(len(paths), len(paths), "pictures"))
        info, ran = model.info, model.ran_on
    made = np.stack(codes)
    said = {"model": info.name, "version": info.version, "sha256": info.digest}
    write_whole(job.target, _file(job.target, made, [str(path) for path in paths], said), overwrite=job.overwrite)
    told = {
        **said,
        "output": str(job.target),
        "pictures": len(paths),
        "shape": list(made.shape),
        "backend": ran.backend,
        "device": ran.device,
        "precision": ran.precision,
        "seconds": round(time.perf_counter() - began, 3),
    }
    return Outcome(state="done", report=told, result=made)


def run_reconstruct(job: ReconstructJob, *, report: Report | None = None, stop: Stop | None = None) -> Outcome:
    """Carry out ``job``; the result is the `Picture`. Raises `SrganError`.

    Size, depth, profile, metadata and transparency are those of the source. Sides that are no multiple of the model's
    are continued at the edge and cut off again. Of a gray picture the mean of the colours is kept.
    """
    began = time.perf_counter()
    format_of(job.target)
    check_target(job.target, overwrite=job.overwrite, source=job.source)
    tell = stoppable(report, stop)
    tell(Step(0, 1, "pictures", job.source.name))
    picture = job.read(job.source)
    with job.opened() as model:
        colour = coloured(picture.colour)
        made = through(model, colour, str(job.source))
        info, ran = model.info, model.ran_on
    if picture.colour.shape[2] == 1:
        made = made.mean(axis=2, keepdims=True, dtype=np.float32)
    planes = [made] if picture.alpha is None else [made, picture.alpha]
    result = replace(picture, pixels=np.concatenate(planes, axis=2))
    write_picture(result, job.target, overwrite=job.overwrite)
    tell(Step(1, 1, "pictures"))
    error = float(np.mean(np.square(np.clip(made, 0, 1) - picture.colour, dtype=np.float64)))
    told = {
        "input": str(job.source),
        "output": str(job.target),
        "width": picture.width,
        "height": picture.height,
        "psnr": round(-10 * float(np.log10(error)), 2) if error else None,
        "model": info.name,
        "version": info.version,
        "backend": ran.backend,
        "device": ran.device,
        "precision": ran.precision,
        "seconds": round(time.perf_counter() - began, 3),
    }
    return Outcome(state="done", report=told, result=result)


def through(model: LatentModel, pixels: Numbers, name: str) -> Numbers:
    """``pixels``, H x W x 3, through encoder and decoder, of any size up to `MOST_PIXELS`."""
    _check_size(pixels, name)
    height, width = pixels.shape[:2]
    step = model.shape.reduction
    padded = np.pad(pixels, ((0, -height % step), (0, -width % step), (0, 0)), mode="edge")
    return model.decode(model.encode(padded[None]))[0, :height, :width]


def fitted(pixels: Numbers, model: LatentModel, name: str) -> Numbers:
    """``pixels`` as they are. Raises `InvalidImage` where their sides are no multiples, with what helps."""
    _check_size(pixels, name)
    step, (height, width) = model.shape.reduction, pixels.shape[:2]
    if height % step or width % step:
        raise InvalidImage(
            f"{name}: is {width} x {height} pixels; to be encoded whole, sides must be multiples of {step}: crop it, "
            f"or leave out --whole"
        )
    return pixels


def square(pixels: Numbers, side: int) -> Numbers:
    """The centre square of ``pixels``, H x W x C, at ``side`` x ``side`` (bicubic)."""
    height, width = pixels.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return np.clip(resize(pixels[top : top + edge, left : left + edge], side, side, "bicubic"), 0, 1)


def on_white(picture: Picture) -> Numbers:
    """The colours of ``picture``, H x W x 3, with what is transparent laid on white."""
    colour = coloured(picture.colour)
    return colour if picture.alpha is None else colour * picture.alpha + (1 - picture.alpha)


def coloured(colour: Numbers) -> Numbers:
    """Gray or RGB as RGB."""
    return np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour


def _check_size(pixels: NDArray[Any], name: str) -> None:
    height, width = pixels.shape[:2]
    if height * width > MOST_PIXELS:
        most = MOST_PIXELS // 1_000_000
        raise LimitExceeded(f"{name}: {width} x {height} pixels; at most {most} megapixels can be encoded whole")


def _pictures(sources: tuple[Path, ...]) -> Iterator[Path]:
    """The files in ``sources``, and of folders in it the pictures, by name."""
    for source in sources:
        if not source.is_dir():
            yield source
            continue
        inside = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
        if not inside:
            raise InvalidImage(f"{source}: there are no pictures in this folder")
        yield from inside


def _file(target: Path, codes: Numbers, names: list[str], said: dict[str, str]) -> bytes:
    if target.suffix.lower() == ".json":
        # Seven digits say a float32; what is in the file is rounded to six behind the point.
        values = np.round(codes.astype(np.float64), 6).tolist()
        return (json.dumps({**said, "names": names, "codes": values}) + "\n").encode("utf-8", "backslashreplace")
    buffer = io.BytesIO()
    np.savez(buffer, codes=codes, names=np.array(names), **said)  # type: ignore[arg-type]
    return buffer.getvalue()
