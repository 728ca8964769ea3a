"""`Upscaler`: any picture, of any size, to any size, in bounded memory."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeGuard, TypeVar, Unpack, cast, get_args

import numpy as np
from numpy.typing import NDArray

from srgan import tiling
from srgan.errors import InvalidConfig, InvalidImage, OutOfMemory, UnsupportedModel
from srgan.hardware import available_memory
from srgan.imaging import Kernel, Picture, Scan, resize, resize_strips, to_uint8, to_uint16
from srgan.progress import Report, Step, Stop, stoppable
from srgan.runtime.session import Session, SessionInfo
from srgan.upscaler.alpha import bound_alpha, extend_colour, unweigh, weigh
from srgan.upscaler.attempts import Attempts, Reopen, is_cpu, place
from srgan.upscaler.margins import continued, inside
from srgan.upscaler.sizes import Size, count_runs, needed_scale, output_size
from srgan.upscaler.strategies import Wishes

if TYPE_CHECKING:
    from srgan.models import Bundle

Job = TypeVar("Job")
Made = TypeVar("Made")

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


class Upscaler:
    """A model that is kept open, to enlarge many pictures with.

    ``model`` is a name, a family, the path of a bundle, a `Bundle`, or an open `Session`. ``scale`` is the enlargement
    when a call names none, and picks the member of a family; without it, it is the model's own. ``backend``,
    ``device``, ``precision`` and ``threads`` are those of `srgan.open_session`. ``tile`` fixes the side of the tiles in
    input pixels (raised where the network needs more); without it they are as large as ``memory_limit`` bytes allow,
    or without that, half of what is free, 640 MiB at most. ``reopen`` opens a given session's model again, for the
    retries that `upscale` describes.

    ``tta`` takes the mean over eight orientations of the picture: a little better, eight times the work. ``fix_colour``
    keeps the colours of areas as they were, should the model shift them. ``alpha`` says what enlarges transparency: the
    network, as a gray picture, or the resampler of `upscale`.

    For an ensemble (a model with `ModelInfo.strategies`) ``strategy`` says what becomes of its members' pictures;
    without it, the first that the bundle has. ``trust``, 0 to 1, is how far the result leans towards the member trained
    for PSNR where the members disagree, see `srgan.runtime.disagreement.Trust`. With ``disagreement`` there is no
    picture but a map, which says how far they do: the standard deviation of their luma, in every channel of colour. It
    is made at the model's own scale, and resampled from there.

    An Upscaler may be used from several threads: they take turns at the network, tile by tile. Raises `SrganError`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Bundle | Session = "fast",
        *,
        scale: float | None = None,
        backend: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        tile: int | None = None,
        memory_limit: int | None = None,
        tta: bool = False,
        fix_colour: bool = False,
        alpha: Alpha = "network",
        strategy: str | None = None,
        trust: float = 0.0,
        disagreement: bool = False,
        reopen: Reopen | None = None,
    ) -> None:
        self._given = {name: value for name, value in locals().items() if name != "self"}
        if alpha not in get_args(Alpha):
            raise InvalidConfig(f"alpha is enlarged by one of: {', '.join(get_args(Alpha))}; not by {alpha!r}")
        for name, value in (("tile", tile), ("memory_limit", memory_limit)):
            if value is not None and value < 1:
                raise InvalidConfig(f"{name} must be at least 1, not {value}")
        output_size((1, 1), scale=scale)  # refuses a scale that is none
        wishes = Wishes(tta=tta, fix_colour=fix_colour, strategy=strategy, trust=trust, disagreement=disagreement)
        if is_session(model):
            if wishes.of_an_ensemble:
                raise InvalidConfig("strategy, trust and disagreement are for a model by name, not for an open session")
            self._session: Session = model
        else:
            from srgan.runtime import open_session

            named = cast("str | os.PathLike[str] | Bundle", model)
            outputs = wishes.outputs(named, scale)
            opened = partial(open_session, named, scale=scale, threads=threads, output=outputs)
            self._session = opened(backend=backend, device=device, precision=precision)
            reopen = reopen or partial(opened, backend=self._session.info.backend or backend)
        self._settings = ({} if alpha == "network" else {"alpha": alpha}) | wishes.unusual()
        self._wrappers = wishes.wrappers()
        self._session = self._wrapped(self._session)
        if self.info.channels not in (1, 3):
            raise UnsupportedModel(f"{self.info.model} has {self.info.channels} channels; pictures have 1 or 3")
        self._reopen = reopen
        self._reopened: dict[tuple[str, str], Session] = {}
        self._scale = float(self.info.scale if scale is None else scale)
        self._alpha = alpha
        self._tile = tile
        self._memory_limit = memory_limit
        self._turn = threading.Lock()

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def options(self) -> dict[str, Any]:
        """What it was made with; without ``model`` for an open session, which has no name to find it by."""
        return options_of(**self._given)

    @property
    def info(self) -> SessionInfo:
        """What runs, and where."""
        return self._session.info

    @property
    def scale(self) -> float:
        """The enlargement when a call names none."""
        return self._scale

    @property
    def settings(self) -> dict[str, bool | str | float]:
        """What changes the result beside the model: engine, precision, an ensemble's strategy, and options that are not
        the usual ones."""
        info = self.info
        strategy = {"strategy": info.outputs[0]} if info.outputs else {}
        return {"backend": info.backend, "precision": info.precision, **strategy, **self._settings}

    def output_size(self, size: tuple[int, int], **wanted: Unpack[Size]) -> tuple[int, int]:
        """Height and width of the result for a picture of ``size`` (height, width). Raises `InvalidConfig`."""
        return output_size(size, default_scale=self._scale, **wanted)

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
        """Enlarge ``picture``; what belongs to it (profile, metadata, depth) goes with it.

        One of ``scale``, ``width``/``height`` or ``long_side`` says how large; the default is the Upscaler's scale. The
        network runs as often as that takes, then ``resample`` makes the exact size in one step. A picture that does not
        grow is only resampled, unless the model is one that restores without enlarging.

        ``report`` is told of the work before every run of the network and at the end, in pixels that the network has to
        look at; ``stop`` is asked there, see `srgan.progress`.

        Every tile is checked. One that the engine could not make, or that came out with NaN, of a wrong shape, black or
        flat, is made again in fp32, then in smaller tiles, then on the CPU; one that does not fit into memory in
        smaller tiles, then on the CPU. Raises `UpscaleFailed` or `OutOfMemory` when all that was in vain, and
        `InvalidConfig` for an impossible size.
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
        """`upscale` for pixels alone, as finished strips of rows, top to bottom.

        ``source`` is a scan, or pixels: float32, H x W x 1..4, clipped to [0, 1]. Each strip is rows x width x
        channels, float32, in [0, 1]; together they are the result. Beside ``source`` only the tiles at work and a few
        strips are in memory, whatever the picture's size. Sizes are checked at once, errors of reading and of the
        network come with the strip they hit.
        """
        if isinstance(source, Scan):
            shape = source.like.pixels.shape
            strips: Iterator[Pixels] = map(_checked, source.strips)
        else:
            checked = _checked(source)
            shape, strips = checked.shape, iter([checked])
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
        # A map cannot be enlarged as a picture can.
        runs = count_runs(factor, needed_scale((height, width), target)) if self.info.picture else 1
        grown = [(height * factor**run, width * factor**run) for run in range(runs)]
        margin = self.info.margin
        work = _Work(sum((high + 2 * margin) * (wide + 2 * margin) for high, wide in grown), report)
        attempts = Attempts(self._session, self._open_again if self._reopen else None, self._turn, work.tell)
        for _ in range(runs):
            around = (height + 2 * margin, width + 2 * margin, channels)
            strips = self._run(continued(strips, margin), around, attempts, work, self._budget() // runs, resample)
            height, width = height * factor, width * factor
            strips = inside(strips, margin * factor, height)
        if (height, width) != target or not runs:
            strips = _resampled(strips, (height, width, channels), target, resample)
        yield from strips
        work.finish()

    def _run(
        self,
        source: Iterator[Pixels],
        shape: tuple[int, int, int],
        attempts: Attempts,
        work: _Work,
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
        for (row, column, _), tile in _ahead(
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

    def _wrapped(self, session: Session) -> Session:
        for wrap in self._wrappers:
            session = wrap(session)
        return session

    def _open_again(self, *, device: str, precision: str) -> Session:
        """The same model elsewhere; opened once, and only while it is this thread's turn."""
        assert self._reopen is not None
        if (device, precision) not in self._reopened:
            self._reopened[device, precision] = self._wrapped(self._reopen(device=device, precision=precision))
        return self._reopened[device, precision]


def _checked(pixels: Pixels) -> Pixels:
    """``pixels`` as every network can take them; `InvalidImage` when they are none."""
    if pixels.ndim != 3 or pixels.dtype != np.float32 or pixels.shape[2] not in (1, 2, 3, 4) or not pixels.size:
        raise InvalidImage(f"pixels must be float32, height x width x 1..4, not {pixels.dtype} {pixels.shape}")
    with np.errstate(invalid="ignore"):
        low, high = float(pixels.min()), float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidImage("the picture holds values that are not numbers")
    return pixels if low >= 0 and high <= 1 else np.clip(pixels, 0, 1)


def _ahead(work: Callable[[Job], Made], jobs: Iterator[Job]) -> Iterator[tuple[Job, Made]]:
    """Each of ``jobs`` with what ``work`` makes of it, in order; the next one is under way while one is used.

    The jobs are drawn in the caller's thread, the work is done in another, one at a time.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="srgan-tile") as pool:
        waiting: tuple[Job, Future[Made]] | None = None
        try:
            for job in jobs:
                future = pool.submit(work, job)
                if waiting is not None:
                    yield waiting[0], waiting[1].result()
                waiting = job, future
            if waiting is not None:
                yield waiting[0], waiting[1].result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Work:
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


def join(strips: Iterator[Pixels], shape: tuple[int, int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Strips as one array of ``shape`` and ``dtype``: uint8, uint16 or a float type.

    Raises `OutOfMemory` before the work starts when there is no room for it: a system that promises memory it does not
    have would kill the process in the middle.
    """
    need, free = math.prod(shape) * dtype.itemsize, available_memory()
    try:
        if free is not None and need > free:
            raise MemoryError
        whole = np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise OutOfMemory(
            f"the result of {shape[1]} x {shape[0]} pixels needs {need / 2**30:.1f} GiB of memory"
            + ("" if free is None else f"; {free / 2**30:.1f} GiB are free")
        ) from error
    row = 0
    for strip in strips:
        if strip.shape == shape and strip.dtype == dtype:
            whole = strip
        elif dtype == np.uint8:
            whole[row : row + len(strip)] = to_uint8(strip)
        elif dtype == np.uint16:
            whole[row : row + len(strip)] = to_uint16(strip)
        else:
            whole[row : row + len(strip)] = strip
        row += len(strip)
    return whole


def _resampled(
    strips: Iterator[Pixels], shape: tuple[int, int, int], target: tuple[int, int], kernel: Kernel
) -> Iterator[Pixels]:
    """``strips`` of a picture of ``shape`` as strips of one of size ``target``, clipped; alpha weighs the colours."""
    height, width, channels = shape
    rows = tiling.Rows(strips)
    if channels in (1, 3) or (height, width) == target:
        made = resize_strips(rows.take, (height, width), *target, channels, kernel)
    else:
        weighed = resize_strips(
            lambda top, bottom: weigh(rows.take(top, bottom)), (height, width), *target, 2 * channels - 1, kernel
        )
        made = map(unweigh, weighed)
    for strip in made:
        yield np.clip(strip, 0, 1)


def options_of(model: object, **options: Any) -> dict[str, Any]:
    """The options of `Upscaler` that say something, with the name or path of ``model`` when it has one."""
    path = getattr(model, "path", model)  # that of a bundle
    known = {"scale", *Opening.__annotations__}
    said = {name: value for name, value in options.items() if name in known and value is not None}
    return {"model": os.fspath(path), **said} if isinstance(path, str | os.PathLike) else said


def is_session(model: object) -> TypeGuard[Session]:
    """Whether ``model`` is a session rather than the name of one. (A bundle has an ``info`` too.)"""
    return hasattr(model, "info") and callable(getattr(model, "run", None))
