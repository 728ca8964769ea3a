"""Which model a picture is enlarged with, opened when it is first needed and kept for the next pictures."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Protocol, Self

from srgan.errors import Closed
from srgan.imaging import Picture
from srgan.runtime.forks import tell_of_fork
from srgan.runtime.session import SessionInfo
from srgan.upscaler.pipeline import Upscaler, options_of
from srgan.upscaler.sizes import Size, needed_scale, output_size

AUTO = "auto"
"""The name of the model that means: choose one for this picture."""
MOST_OPEN = 4
"""Models that `Models` keeps open: as many as a choice by kind and scale takes from what is shipped."""


class Opener(Protocol):
    """Gives the model for a picture."""

    looks: bool
    """Whether it looks at the pixels, or only at the size."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What it was made with, by the names of the options of `Upscaler`; without ``model`` when that has no name."""
        ...

    def __call__(self, picture: Picture, size: Size) -> Upscaler: ...


class Models:
    """`Opener` of ``model`` (`auto`: chosen by the kind of picture), with the options of `Upscaler`.

    What a family or a choice needs is opened once and kept, `MOST_OPEN` at most; of more, the one that nobody has asked
    for the longest is closed, as soon as no thread uses it. ``scale`` is the enlargement when a call names no size. May
    be used from several threads, and in a ``with`` block, at whose end all are closed.
    """

    def __init__(self, model: Any, *, scale: float | None = None, **opening: Any) -> None:
        self.looks = isinstance(model, str) and model == AUTO
        self._model = model
        self._scale = scale
        self._opening = opening
        self._open: OrderedDict[str, Upscaler] = OrderedDict()
        self._closed = False
        self._lock = threading.Lock()
        tell_of_fork(self)

    def close(self) -> None:
        """Close all that is open, after the tiles at work. May be called again."""
        with self._lock:
            self._closed = True
            still = list(self._open.values())
            self._open.clear()
        for upscaler in still:
            upscaler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def after_fork(self) -> None:
        """See `srgan.runtime.forks.Forked`."""
        self._lock = threading.Lock()

    @property
    def info(self) -> SessionInfo | None:
        """That of an open session or Upscaler; a model by name has none before it is opened."""
        return getattr(self._model, "info", None) if "model" not in self.options else None

    @property
    def options(self) -> dict[str, Any]:
        """What it was made with; without ``model`` for an open session or Upscaler, which has no name to find it by."""
        return options_of(self._model, scale=self._scale, **self._opening)

    def __call__(self, picture: Picture, size: Size) -> Upscaler:
        """Raises what `Upscaler` and `output_size` raise."""
        before = picture.pixels.shape[0], picture.pixels.shape[1]
        scale = self._scale
        if any(value is not None for value in size.values()):
            scale = size.get("scale") or needed_scale(before, output_size(before, **size))
        model, key, scale = self._named(picture, scale)
        with self._lock:
            if self._closed:
                raise Closed("the models were closed; open them again")
            if key not in self._open:
                self._open[key] = Upscaler(model, scale=scale, **self._opening)
                while len(self._open) > MOST_OPEN:
                    self._open.popitem(last=False)  # it closes itself when the last who uses it lets go
            self._open.move_to_end(key)
            return self._open[key]

    def _named(self, picture: Picture, scale: float | None) -> tuple[Any, str, float | None]:
        """The model for the picture, what tells it from others, and the scale to open it for: of a network not that of
        one picture, since others get the same."""
        from srgan.models import find_model
        from srgan.runtime import RESIZE_MODELS

        model = self._model
        if self.looks:
            from srgan.upscaler.choice import choose_model

            model = choose_model(picture, scale)
        if not isinstance(model, str | os.PathLike):
            return model, "", self._scale
        if model in RESIZE_MODELS:
            return model, f"{model} {scale}", scale
        bundle = find_model(model, scale)
        return bundle, str(bundle.path), self._scale
