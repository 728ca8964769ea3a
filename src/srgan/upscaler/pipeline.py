"""`Upscaler`: any picture, of any size, to any size, in bounded memory."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeGuard, Unpack, cast, get_args

import numpy as np
from numpy.typing import NDArray

from srgan import tiling
from srgan.errors import Closed, InvalidConfig, UnsupportedModel
from srgan.hardware import available_memory
from srgan.imaging import Kernel, Picture, Scan, resize
from srgan.progress import Report, Step, Stop, stoppable
from srgan.runtime.forks import tell_of_fork
from srgan.runtime.session import Closing, Session, SessionInfo
from srgan.settings import RuntimeSettings, UpscaleSettings
from srgan.upscaler.alpha import bound_alpha, extend_colour
from srgan.upscaler.attempts import Attempts, Reopen, is_cpu, place
from srgan.upscaler.margins import continued, inside
from srgan.upscaler.sizes import Size, count_runs, needed_scale, output_size
from srgan.upscaler.strips import ahead, checked, join, resampled
from srgan.upscaler.wishes import Wishes

if TYPE_CHECKING:
    from srgan.models import Bundle

logger = logging.getLogger("srgan")

Alpha = Literal["network", "resample"]
Pixels = NDArray[np.float32]

MOST_BY_DEFAULT = 640 << 20
"""Bytes that tiles may use when no limit is given: five times as much would make tiled work a few percent faster."""
ON_A_DEVICE = 4 << 30
"""Likewise on a GPU, whose free memory is not known; tiles that do not fit are halved."""
UNKNOWN_MEMORY = 1 << 30
"""Bytes that tiles may use when nobody knows how much memory is free."""


class Opening(TypedDict, total=False):
    """How the model is opened; see `Upscaler`."""

    backend: str
    device: str
    precision: str
    threads: int
    tile: int | None
    memory_limit: int | None
    tta: bool
    fix_colour: bool
    alpha: Alpha
    strategy: str | None
    trust: float


_USUAL = {
    name: known.default
    for section in (UpscaleSettings, RuntimeSettings)
    for name, known in section.model_fields.items()
    if name in Opening.__annotations__
}


class Upscaler:
    """An open model, for upscaling many pictures.

    ``model`` is a name, a family, the path of a bundle, a `Bundle`, or an open `Session`. ``scale`` is the default
    scale factor and selects the member of a family; without it, the model's own is used. ``backend``, ``device``,
    ``precision`` and ``threads`` are those of `srgan.open_session`. ``tile`` is the tile size in input pixels
    (increased if the network needs more). Without it, tiles are as large as ``memory_limit`` bytes allow, or half of
    the free memory, at most 640 MiB. ``reopen`` opens the model of a given session again, for the retries described in
    `upscale`.

    ``tta`` averages over eight rotations and flips: slightly better, eight times slower. ``fix_colour`` corrects colour
    shifts of the model by matching low frequencies to the input. ``alpha`` selects how the alpha channel is upscaled:
    by the network, as a gray picture, or by the resampling filter of `upscale`.

    For an ensemble (a model with `ModelInfo.strategies`), ``strategy`` selects how its members are combined; the
    default is the first one of the bundle. ``trust``, 0 to 1, is how strongly to prefer the PSNR-trained member where
    the members disagree, see `srgan.runtime.disagreement.Trust`. With ``disagreement`` the result is not a picture but
    a map: the standard deviation of the members' luma, in every colour channel, computed at the model's own scale and
    resampled.

    An Upscaler can be used from several threads, which take turns tile by tile. It can be pickled, unless it was made
    from a session; unpickling opens the same model again. In a forked process it works on the CPU only. It holds the
    model's memory until `close`, the end of a ``with`` block, or garbage collection; a given session stays open. Raises
    `SrganError`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Bundle | Session = "fast",
        *,
        scale: float | None = None,
        disagreement: bool = False,
        reopen: Reopen | None = None,
        **opening: Unpack[Opening],
    ) -> None:
        if unknown := set(opening) - set(_USUAL):
            raise TypeError(f"Upscaler() has no option {', '.join(map(repr, sorted(unknown)))}")
        self._given: Any = {"model": model, "scale": scale, "disagreement": disagreement, "reopen": reopen, **opening}
        how = cast("Opening", {**_USUAL, **opening})
        alpha, threads = how["alpha"], how["threads"]
        if alpha not in get_args(Alpha):
            raise InvalidConfig(f"alpha must be one of {', '.join(get_args(Alpha))}, not {alpha!r}")
        for name, value in (("tile", how["tile"]), ("memory_limit", how["memory_limit"])):
            if value is not None and value < 1:
                raise InvalidConfig(f"{name} must be at least 1, not {value}")
        output_size((1, 1), scale=scale)  # refuses a scale that is none
        wishes = Wishes.of(how, disagreement=disagreement)
        if is_session(model):
            if wishes.of_an_ensemble:
                raise InvalidConfig("strategy, trust and disagreement are for a model by name, not for an open session")
            self._session = wishes.wrapped(Closing(model))
            self._own: list[Session] = []
        else:
            from srgan.runtime import open_session

            named = cast("str | os.PathLike[str] | Bundle", model)
            outputs = wishes.outputs(named, scale)
            opened = partial(open_session, named, scale=scale, threads=threads, output=outputs)
            self._session = wishes.wrapped(
                opened(backend=how["backend"], device=how["device"], precision=how["precision"])
            )
            self._own = [self._session]
            reopen = reopen or partial(opened, backend=self._session.info.backend or how["backend"])
        self._settings = ({} if alpha == "network" else {"alpha": alpha}) | wishes.unusual()
        self._end = weakref.finalize(self, _close_all, self._own)
        self._end.atexit = False
        if self.info.channels not in (1, 3):
            raise UnsupportedModel(f"{self.info.model} has {self.info.channels} channels; pictures have 1 or 3")
        self._reopen = reopen
        self._reopened: dict[tuple[str, str], Session] = {}
        """By device and precision: no more than the two that `Attempts` asks for."""
        self._wishes = wishes
        self._scale = float(self.info.scale if scale is None else scale)
        self._alpha = alpha
        self._tile = how["tile"]
        self._memory_limit = how["memory_limit"]
        self._turn = threading.Lock()
        self._closed = False
        tell_of_fork(self)

    def close(self) -> None:
        """Release the model's memory, after the current tile; the Upscaler cannot be used afterwards. May be called
        again."""
        self._closed = True  # who waits for a turn gets none
        with self._turn:
            self._end()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise Closed(f"{self.info.model}: the Upscaler was closed; open another")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[], Upscaler], tuple[()]]:
        if is_session(self._given["model"]):
            raise InvalidConfig("an Upscaler of an open session cannot be pickled: give it a model by name or path")
        return partial(type(self), **self._given), ()

    def after_fork(self) -> None:
        """See `srgan.runtime.forks.Forked`."""
        self._turn = threading.Lock()

    @property
    def options(self) -> dict[str, Any]:
        """The arguments it was made with, without ``model`` if that was a session."""
        return options_of(**self._given)

    @property
    def info(self) -> SessionInfo:
        """The model, engine and device in use."""
        return self._session.info

    @property
    def scale(self) -> float:
        """The default scale factor."""
        return self._scale

    @property
    def settings(self) -> dict[str, bool | str | float]:
        """What affects the result besides the model: engine, precision, ensemble strategy, non-default options."""
        info = self.info
        strategy = {"strategy": info.outputs[0]} if info.outputs else {}
        return {"backend": info.backend, "precision": info.precision, **strategy, **self._settings}

    def output_size(self, size: tuple[int, int], **wanted: Unpack[Size]) -> tuple[int, int]:
        """Height and width of the result for a picture of ``size`` (height, width). Raises `InvalidConfig`."""
        return output_size(size, default_scale=self._scale, **wanted)

    def count_runs(self, before: tuple[int, int], after: tuple[int, int]) -> int:
        """Number of successive network runs from size ``before`` (height, width) to ``after``."""
        # A map cannot be enlarged as a picture can.
        return count_runs(self.info.scale, needed_scale(before, after)) if self.info.picture else 1

    def upscale(
        self,
        picture: Picture,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        long_side: int | None = None,
        resample: Kernel = "lanczos",
        report: Report | None = None,
        stop: Stop | None = None,
    ) -> Picture:
        """Upscale ``picture``; profile, metadata and bit depth are kept.

        The size is given by one of ``scale``, ``width``/``height`` or ``long_side``; the default is the Upscaler's
        scale. The network runs until this factor, or 4, is reached, then ``resample`` makes the exact size in one step.
        A picture that does not grow is only resampled, unless the model restores without enlarging.

        ``report`` is called before every run of the network and at the end, with the progress in pixels of network
        input; ``stop`` is checked at the same points, see `srgan.progress`.

        Every tile is checked. One that fails or comes out with NaN, in a wrong shape, black or flat is computed again
        in fp32, then in smaller tiles, then on the CPU; one that does not fit into memory in smaller tiles, then on the
        CPU. Raises `UpscaleFailed` or `OutOfMemory` when all of this fails, and `InvalidConfig` for an impossible size.
        """
        wanted = Size(scale=scale, width=width, height=height, long_side=long_side)
        strips = self.strips(picture.pixels, resample=resample, report=report, stop=stop, **wanted)
        size = self.output_size((picture.height, picture.width), **wanted)
        return replace(picture, pixels=join(strips, (*size, picture.pixels.shape[2]), np.dtype(np.float32)))

    def strips(
        self,
        source: Pixels | Scan,
        *,
        resample: Kernel = "lanczos",
        report: Report | None = None,
        stop: Stop | None = None,
        **wanted: Unpack[Size],
    ) -> Iterator[Pixels]:
        """`upscale` for pixels only, as strips of finished rows, top to bottom.

        ``source`` is a scan, or pixels: float32, H x W x 1..4, clipped to [0, 1]. Each strip is rows x width x
        channels, float32, in [0, 1]; together they are the result. Besides ``source``, only the current tiles and a few
        strips are in memory, whatever the picture's size. Sizes are checked at once; reading and network errors are
        raised with the strip they affect.
        """
        if isinstance(source, Scan):
            shape = source.like.pixels.shape
            strips: Iterator[Pixels] = map(checked, source.strips)
        else:
            whole = checked(source)
            shape, strips = whole.shape, iter([whole])
        self._refuse_closed()
        height, width, channels = shape
        target = self.output_size((height, width), **wanted)
        if resample not in get_args(Kernel):
            raise InvalidConfig(f"There is no filter {resample!r}. Choose one of: {', '.join(get_args(Kernel))}")
        return self._strips(strips, (height, width, channels), target, resample, stoppable(report, stop))

    def _strips(
        self,
        strips: Iterator[Pixels],
        shape: tuple[int, int, int],
        target: tuple[int, int],
        resample: Kernel,
        report: Report,
    ) -> Iterator[Pixels]:
        height, width, channels = shape
        factor = self.info.scale
        runs = self.count_runs((height, width), target)
        if runs > 1:
            logger.info(
                "%s: the network runs %d times, since its scale is %d and the requested scale is %.4g",
                self.info.model, runs, factor, needed_scale((height, width), target),
            )  # fmt: skip
        grown = [(height * factor**run, width * factor**run) for run in range(runs)]
        margin = self.info.margin
        work = _Told(sum((high + 2 * margin) * (wide + 2 * margin) for high, wide in grown), report)

        def tell() -> None:
            self._refuse_closed()
            work.tell()

        attempts = Attempts(self._session, self._open_again if self._reopen else None, self._turn, tell)
        for _ in range(runs):
            around = (height + 2 * margin, width + 2 * margin, channels)
            strips = self._run(continued(strips, margin), around, attempts, work, self._budget() // runs, resample)
            height, width = height * factor, width * factor
            strips = inside(strips, margin * factor, height)
        if (height, width) != target or not runs:
            strips = resampled(strips, (height, width, channels), target, resample)
        yield from strips
        work.finish()

    def _run(
        self,
        source: Iterator[Pixels],
        shape: tuple[int, int, int],
        attempts: Attempts,
        work: _Told,
        budget: int,
        resample: Kernel,
    ) -> Iterator[Pixels]:
        """One run of the network over a picture of ``shape`` that arrives in strips: the enlarged strips, clipped."""
        height, width, channels = shape
        has_alpha = channels in (2, 4)
        # Alpha is seen three pixels around at most, by a resampler; so tiles must overlap at least that much.
        needs = replace(attempts.needs, radius=max(attempts.needs.radius, 3)) if has_alpha else attempts.needs
        # What is visible of the result reaches a pixel into what was transparent, and looks a radius farther.
        reach = needs.radius + 1 if has_alpha else 0
        window_height, window_width = self._window(height, width, channels, needs, budget)
        columns = tiling.spans(width, window_width, needs)
        rows = tiling.Rows(source)
        factor = attempts.scale

        def windows() -> Iterator[tuple[tiling.Span, tiling.Span, Pixels]]:
            for row in tiling.spans(height, window_height, needs):
                top = max(0, row.start - reach)
                seen = rows.take(top, min(height, row.stop + reach))
                if has_alpha:
                    seen = extend_colour(seen, reach)
                seen = tiling.pad_to(seen[row.start - top : row.stop - top], row.stop - row.start, columns[-1].stop)
                for column in columns:
                    yield row, column, seen[:, column.start : column.stop]

        strip = np.empty((0, 0, channels), np.float32)
        for (row, column, _), tile in ahead(
            lambda job: list(self._tile_through(attempts, job[2], resample)), windows()
        ):
            if column is columns[0]:
                strip = np.empty(((row.keep_stop - row.keep_start) * factor, width * factor, channels), np.float32)
            for first, planes in tile:
                place(strip[..., first:], planes, row, column, factor, top=row.keep_start)
            work.done += (row.keep_stop - row.keep_start) * (column.keep_stop - column.keep_start)
            if column is columns[-1]:
                del tile, planes
                yield strip
                strip = strip[:0, :0].copy()  # let go of it before the next one is made

    def _tile_through(self, attempts: Attempts, window: Pixels, resample: Kernel) -> Iterator[tuple[int, Pixels]]:
        """One window through the network: colour as the network takes it, alpha as a gray picture of its own.

        Gives enlarged channels, each time with the number of the first.
        """
        channels = window.shape[2]
        colours = channels - 1 if channels in (2, 4) else channels
        together = colours if colours <= self.info.channels else 1
        for first in range(0, colours, together):
            yield first, attempts.enlarge(window[..., first : first + together])
        if colours < channels:
            alpha = window[..., -1:]
            if alpha.min() == alpha.max():  # all that the bounds would leave of it
                height, width = (side * attempts.scale for side in window.shape[:2])
                yield colours, np.broadcast_to(alpha[:1, :1], (height, width, 1))
            elif self._alpha == "resample" or not self.info.picture:
                height, width = (side * attempts.scale for side in window.shape[:2])
                yield colours, resize(alpha, height, width, resample)
            else:
                yield colours, bound_alpha(attempts.enlarge(alpha), alpha, attempts.scale)

    def _window(self, height: int, width: int, channels: int, needs: tiling.Needs, budget: int) -> tuple[int, int]:
        """Height and width of the windows: three quarters of ``budget`` are for a tile, one for a strip of output."""
        if self._tile is not None:
            return self._tile, self._tile
        per_output = self.info.scale**2 * channels * 4
        pixels = budget * 3 // 4 // (self.info.working_bytes_per_pixel + 2 * per_output)
        rows = budget // 4 // (per_output * width)
        return tiling.window_shape(height, width, needs, pixels=pixels, rows=rows)

    def _budget(self) -> int:
        """Bytes that tiles and strips may use."""
        if self._memory_limit is not None:
            return self._memory_limit
        if not is_cpu(self.info):
            return ON_A_DEVICE
        free = available_memory()
        return UNKNOWN_MEMORY if free is None else min(MOST_BY_DEFAULT, free // 2)

    def _open_again(self, *, device: str, precision: str) -> Session:
        """The same model elsewhere; opened once, and only while it is this thread's turn."""
        assert self._reopen is not None
        self._refuse_closed()
        if (device, precision) not in self._reopened:
            session = self._wishes.wrapped(Closing(self._reopen(device=device, precision=precision)))
            self._reopened[device, precision] = session
            self._own.append(session)
        return self._reopened[device, precision]


def _close_all(sessions: list[Session]) -> None:
    for session in sessions:
        session.close()


class _Told:
    """How much of the work is done."""

    def __init__(self, total: int, report: Report) -> None:
        self.done = 0
        self.total = max(total, 1)
        self._report = report

    def tell(self) -> None:
        self._report(Step(self.done, self.total, "pixels"))

    def finish(self) -> None:
        self.done = self.total
        self.tell()


def options_of(model: object, **options: Any) -> dict[str, Any]:
    """The options of `Upscaler` that say something, with the name or path of ``model`` when it has one."""
    path = getattr(model, "path", model)  # that of a bundle
    known = {"scale", *Opening.__annotations__}
    said = {name: value for name, value in options.items() if name in known and value is not None}
    return {"model": os.fspath(path), **said} if isinstance(path, str | os.PathLike) else said


def is_session(model: object) -> TypeGuard[Session]:
    """Whether ``model`` is a session rather than the name of one. (A bundle has an ``info`` too.)"""
    return hasattr(model, "info") and callable(getattr(model, "run", None))
