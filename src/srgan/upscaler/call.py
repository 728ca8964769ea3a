"""`upscale`: the one-call form, which takes a picture in whatever form it comes and gives the same form back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar, Unpack, cast, overload

import numpy as np
from numpy.typing import NDArray

from srgan.atomic import check_target
from srgan.errors import InvalidConfig, InvalidImage
from srgan.imaging import (
    Input,
    Kernel,
    Limits,
    Picture,
    format_of,
    from_uint8,
    from_uint16,
    open_input,
)
from srgan.progress import Report, Stop
from srgan.runtime.session import Session
from srgan.upscaler.files import FileSource, enlarge_bytes
from srgan.upscaler.job import Enlarging, UpscaleJob, run_upscale, sorted_options
from srgan.upscaler.opener import Models
from srgan.upscaler.pipeline import Opening, Upscaler
from srgan.upscaler.sizes import Size, output_size
from srgan.upscaler.strips import join

if TYPE_CHECKING:
    from PIL.Image import Image

    from srgan.models import Bundle

    AnyModel = str | os.PathLike[str] | Bundle | Session | Upscaler

Scalar = TypeVar("Scalar", bound=np.generic)


class Options(Size, Opening, total=False):
    """The options of `upscale`; see there."""

    resample: Kernel
    report: Report | None
    stop: Stop | None
    limits: Limits
    damaged: Literal["refuse", "keep"]
    quality: int | None
    metadata: bool
    provenance: bool


@overload
def upscale(
    x: str | os.PathLike[str],
    model: AnyModel = "fast",
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **options: Unpack[Options],
) -> Path: ...
@overload
def upscale(x: bytes, model: AnyModel = "fast", **options: Unpack[Options]) -> bytes: ...
@overload
def upscale(x: BinaryIO, model: AnyModel = "fast", **options: Unpack[Options]) -> bytes: ...
@overload
def upscale(x: Picture, model: AnyModel = "fast", **options: Unpack[Options]) -> Picture: ...
@overload
def upscale(x: NDArray[Scalar], model: AnyModel = "fast", **options: Unpack[Options]) -> NDArray[Scalar]: ...
@overload
def upscale(x: Image, model: AnyModel = "fast", **options: Unpack[Options]) -> Image: ...
def upscale(
    x: Any,
    model: AnyModel = "fast",
    *,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    **options: Unpack[Options],
) -> Any:
    """Upscale ``x`` with ``model`` and return the same type.

    ``x`` is one of:

    - a path: the result is written to ``output``, by default next to the input as PNG (``cat.jpg`` becomes
      ``cat_x4.png``), and its path is returned; an existing file is replaced only with ``overwrite``
    - the bytes of a picture file, or a file opened in binary mode, read from its current position: returns the bytes of
      a file of the same format (PNG if that format cannot be written)
    - a Pillow image: returns a Pillow image of the same mode (palettes and other colour models become RGB or RGBA)
    - an array, height x width or height x width x 1..4 (gray, gray and alpha, RGB, RGBA), of uint8, uint16, or floats
      in [0, 1]: returns an array of the same type and number of axes
    - a `Picture`: returns a `Picture`

    ``model`` is anything that `Upscaler` takes, ``auto`` to choose by the content of the picture, or an `Upscaler`,
    which avoids opening the model for every call.

    Options: ``scale``, ``width``, ``height``, ``long_side``, ``resample``, ``report`` and ``stop`` as in
    `Upscaler.upscale`; ``backend``, ``device``, ``precision``, ``threads``, ``tile``, ``memory_limit``, ``tta``,
    ``fix_colour``, ``alpha``, ``strategy`` and ``trust`` as in `Upscaler`, unless ``model`` is one; for files also
    ``limits`` (`Limits`), ``damaged`` as in `Limits` (``keep`` decodes as much as possible of a damaged picture), and
    ``quality``, ``metadata`` and ``provenance`` as in `Saving`. Raises `SrganError`.
    """
    call = _Call.of(model, options)
    with nullcontext() if isinstance(call.models, Upscaler) else call.models:
        return call.answer(x, output, overwrite)


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One call of `upscale`."""

    models: Upscaler | Models
    how: Enlarging
    report: Report | None
    stop: Stop | None

    @classmethod
    def of(cls, model: Any, options: Options) -> _Call:
        opening = [name for name in options if name in Opening.__annotations__]
        if opening and isinstance(model, Upscaler):
            raise InvalidConfig(f"{', '.join(opening)}: cannot be set, as the given Upscaler is already open")
        given = cast("dict[str, Any]", dict(options))
        report, stop = given.pop("report", None), given.pop("stop", None)
        sizes: Any = {name: given[name] for name in Size.__annotations__ if name in given}
        output_size((1, 1), **sizes)  # refuses those that contradict each other
        if isinstance(model, str | os.PathLike):
            how = sorted_options(Enlarging, {"model": os.fspath(model), **given})
            return cls(models=how.models(), how=how, report=report, stop=stop)
        how = sorted_options(Enlarging, given)
        models = model if isinstance(model, Upscaler) else Models(model, scale=how.upscale.scale, **how.opening())
        return cls(models=models, how=how, report=report, stop=stop)

    @property
    def size(self) -> Size:
        return self.how.wanted()

    def answer(self, x: Any, output: str | os.PathLike[str] | None, overwrite: bool) -> Any:
        """What `upscale` gives."""
        if isinstance(x, str | os.PathLike):
            return self.file(Path(x), output, overwrite)
        if output is not None or overwrite:
            raise InvalidConfig("output and overwrite are for a picture given as a path")
        if isinstance(x, bytes | bytearray | memoryview):
            return self.encoded(bytes(x))
        if hasattr(x, "read"):
            return self.encoded(x)
        if isinstance(x, Picture):
            return self.picture(x)
        if isinstance(x, np.ndarray):
            return self.array(x)
        pillow = sys.modules.get("PIL.Image")  # an image can only come from a module that is loaded
        if pillow is not None and isinstance(x, pillow.Image):
            return self.image(x)
        kinds = "a path, bytes, an open binary file, a Pillow image, an array or a Picture"
        raise InvalidImage(f"a picture must be {kinds}, not {type(x).__name__}")

    def file(self, source: Path, output: str | os.PathLike[str] | None, overwrite: bool) -> Path:
        if output is not None:
            format_of(output)
            check_target(output, overwrite=overwrite)
        with open_input(source, limits=self.how.limited()) as file:
            target = Path(output) if output is not None else self._beside(source, file)
            sections = {name: getattr(self.how, name) for name in Enlarging.model_fields}
            job = UpscaleJob(source=source, target=target, overwrite=overwrite, **sections)
            run_upscale(job, report=self.report, stop=self.stop, source=file, opener=self.models)
        return target

    def _beside(self, source: Path, file: Input) -> Path:
        """The name of a result that was given none: it says how large it is."""
        if (scale := self.size.get("scale")) is not None:
            return source.with_name(f"{source.stem}_x{scale:g}.png")
        like = file.scan().like
        if any(value is not None for value in self.size.values()):
            height, width = output_size((like.height, like.width), **self.size)
            return source.with_name(f"{source.stem}_{width}x{height}.png")
        return source.with_name(f"{source.stem}_x{self._opened(like).scale:g}.png")

    def encoded(self, data: FileSource) -> bytes:
        return enlarge_bytes(
            self.models,
            data,
            saving=self.how.saving(),
            resample=self.how.upscale.resample,
            limits=self.how.limited(),
            report=self.report,
            stop=self.stop,
            **self.size,
        )[0]

    def picture(self, picture: Picture) -> Picture:
        upscaler, resample = self._opened(picture), self.how.upscale.resample
        return upscaler.upscale(picture, resample=resample, report=self.report, stop=self.stop, **self.size)

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        if values.ndim not in (2, 3) or not values.size or (values.ndim == 3 and values.shape[2] > 4):
            raise InvalidImage(
                f"an array must be height x width or height x width x 1..4, not {values.shape}"
                + ("; channels come last" if values.ndim == 3 and values.shape[0] <= 4 else "")
            )
        pixels = _to_float(values if values.ndim == 3 else values[..., None])
        upscaler = self._opened(Picture(pixels=pixels))
        height, width = upscaler.output_size((pixels.shape[0], pixels.shape[1]), **self.size)
        enlarged = join(
            self._strips(upscaler, pixels), (height, width, pixels.shape[2]), values.dtype.newbyteorder("=")
        )
        return enlarged if values.ndim == 3 else enlarged[..., 0]

    def image(self, image: Image) -> Image:
        from PIL.Image import fromarray

        enlarged = fromarray(self.array(_plain_values(image)))
        kept = {"dpi", "exif", "xmp"}
        if image.mode not in _OTHER_COLOURS:
            kept.add("icc_profile")
        enlarged.info.update({key: value for key, value in image.info.items() if key in kept})
        return enlarged

    def _opened(self, picture: Picture) -> Upscaler:
        return self.models if isinstance(self.models, Upscaler) else self.models(picture, self.size)

    def _strips(self, upscaler: Upscaler, pixels: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        return upscaler.strips(
            pixels, resample=self.how.upscale.resample, report=self.report, stop=self.stop, **self.size
        )


def _to_float(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values of an array as float32 in [0, 1]."""
    if values.dtype == np.uint8:
        return from_uint8(values)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # of either byte order
        return from_uint16(values)
    if values.dtype.kind != "f":
        raise InvalidImage(f"an array must be uint8, uint16 or floats in [0, 1], not {values.dtype}")
    with np.errstate(invalid="ignore"):
        low, high = values.min(), values.max()
    if not (low >= -0.5 and high <= 1.5):
        raise InvalidImage(f"floats must be in [0, 1]; these range from {low:.4g} to {high:.4g}")
    pixels: NDArray[np.float32] = np.clip(values, 0, 1).astype(np.float32)
    return pixels


_OTHER_COLOURS = ("CMYK", "YCbCr", "LAB", "HSV")
"""Modes of Pillow that become RGB; a profile made for them says nothing about the result."""


def _plain_values(image: Image) -> NDArray[Any]:
    """The values of a Pillow image as gray, gray and alpha, RGB or RGBA."""
    mode, clear = image.mode, "transparency" in image.info
    wanted = {
        "1": "LA" if clear else "L",
        "L": "LA" if clear else "L",
        "P": "RGBA" if clear else "RGB",
        "RGB": "RGBA" if clear else "RGB",
        "PA": "RGBA",
        "RGBa": "RGBA",
        "RGBX": "RGB",
        "La": "LA",
    } | dict.fromkeys(_OTHER_COLOURS, "RGB")
    if mode not in (*wanted, "LA", "RGBA") and not mode.startswith("I;16"):
        raise InvalidImage(f"a Pillow image of mode {mode} is not supported; convert it to L, I;16, RGB or RGBA first")
    try:
        return np.asarray(image if wanted.get(mode, mode) == mode else image.convert(wanted[mode]))
    except (OSError, ValueError) as error:
        raise InvalidImage(f"the Pillow image cannot be read: {error}") from error
