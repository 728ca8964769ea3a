"""Pictures from noise, in either size, each saying what it was made from; and many of them as one sheet."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidConfig, ModelNotFound, UnsupportedModel
from srgan.generation.latent import LatentModel, Numbers
from srgan.imaging import Picture
from srgan.imaging.metadata.provenance import Provenance, Setting, with_provenance
from srgan.models import Bundle, find_model
from srgan.settings import RuntimeSettings
from srgan.upscaler import Upscaler


class Maker:
    """Makes pictures from noise: a latent model and, where they shall be larger, the model that enlarges them.

    ``size`` is the side of the pictures: what the decoder gives (the default), or as many times that as ``refiner``
    enlarges, by default the one that the latent model names. Raises `InvalidConfig` for another size and what
    `LatentModel` and `Upscaler` raise.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Bundle,
        *,
        size: int | None = None,
        refiner: str | None = None,
        runtime: RuntimeSettings,
    ) -> None:
        engine = runtime.model_dump(exclude={"memory_limit"})
        self.latent = LatentModel(model, **engine)
        self._refiner: Upscaler | None = None
        side = self.latent.shape.side
        self.size = size or side
        if self.size != side:
            bundle = find_refiner(self.latent.bundle, refiner)
            if self.size != side * bundle.info.scale:
                larger = side * bundle.info.scale
                raise InvalidConfig(f"{self.latent.info.name} makes pictures of {side} or {larger} px, not {self.size}")
            self._refiner = Upscaler(bundle, memory_limit=runtime.memory_limit, **engine)

    @property
    def refiner(self) -> str:
        """The name of the model that enlarges the pictures; empty when none does."""
        return self._refiner.info.model if self._refiner else ""

    def picture(self, noise: Numbers, text: str, **settings: Setting) -> Picture:
        """The picture of ``noise``, N numbers.

        Its metadata says ``text``, which a person reads, and the model with ``settings``, see
        `srgan.imaging.metadata.provenance`.
        """
        # One at a time: engines may add up a batch in another order, and a picture must not depend on its neighbours.
        pixels = self.latent.decode(self.latent.codes(noise[None]))[0]
        picture = self.described(pixels, text, **settings)
        return self._refiner.upscale(picture) if self._refiner else picture

    def described(self, pixels: Numbers, text: str, **settings: Setting) -> Picture:
        """A picture of these ``pixels`` that says what it was made from."""
        from importlib.metadata import version

        info = self.latent.info
        refined = {"refiner": self.refiner} if self.refiner else {}
        record = Provenance(
            model=info.name,
            version=info.version,
            sha256=info.digest,
            settings={**settings, **refined, "backend": self.latent.ran_on.backend},
            tool_version=version("srgan"),
        )
        notes = (
            ("Description", f"Made by {info.name} {info.version}: {text}"),
            ("Software", f"srgan {version('srgan')}"),
        )
        return Picture(pixels=pixels, xmp=with_provenance(None, record), text=notes)

    def close(self) -> None:
        """Release the models' memory. May be called again."""
        self.latent.close()
        if self._refiner:
            self._refiner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_refiner(bundle: Bundle, wanted: str | None) -> Bundle:
    """The model that enlarges what ``bundle`` makes: ``wanted``, or the one that it names.

    The latter is one that is installed, or lies beside the bundle or, where that is one of several versions, beside
    their folder. Raises `UnsupportedModel` when neither is given, and what `find_model` raises.
    """
    assert bundle.info.latent is not None
    name = wanted or bundle.info.latent.refiner
    if not name:
        raise UnsupportedModel(
            f"{bundle.info.name} has no refiner, so its pictures are {bundle.info.latent.side} px: "
            "name a model that enlarges 8 times with --refiner, or leave out --size"
        )
    if wanted:
        return find_model(wanted)
    try:
        return find_model(name)
    except ModelNotFound as error:
        beside = bundle.path.absolute().parent
        for path in (beside / name, beside / f"{name}.zip", beside.parent / name):
            if path.exists():
                return Bundle.open(path)
        raise ModelNotFound(
            f"{bundle.info.name} names the refiner {name}, which is neither installed nor beside it: "
            "give its path with --refiner"
        ) from error


def sheet(pictures: Sequence[NDArray[np.float32]], *, columns: int | None = None) -> NDArray[np.float32]:
    """Pictures of one size, H x W x C each, in rows on white, with gaps of a 32nd of their side.

    ``columns`` defaults to as many as there are rows, or one more.
    """
    height, width, channels = pictures[0].shape
    across = columns or math.isqrt(len(pictures) - 1) + 1
    down = -(-len(pictures) // across)
    gap = max(1, height // 32)
    out = np.ones((down * (height + gap) + gap, across * (width + gap) + gap, channels), np.float32)
    for number, picture in enumerate(pictures):
        top, left = gap + number // across * (height + gap), gap + number % across * (width + gap)
        out[top : top + height, left : left + width] = picture
    return out
