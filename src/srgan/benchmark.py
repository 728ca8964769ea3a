"""Speed and memory of models on this machine, in figures that can be compared between commits.

For each model, input size and number of threads: the network alone (`Session.run`), and end to end (the bytes of a PNG
file in, those of the enlarged one out). Both are run turn by turn, so that a machine with other work to do treats them
alike. The yardstick is a float32 matrix product on the same threads, measured between the rows of the same report.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from srgan import tiling
from srgan.errors import InvalidConfig
from srgan.hardware import cpu_flags, cpu_name, default_threads, peak_memory, reset_peak, total_memory
from srgan.imaging import Picture, encode_picture
from srgan.models import Bundle, find_model
from srgan.progress import Report, Step, Stop, stoppable
from srgan.runtime import RESIZE_MODELS, open_session
from srgan.runtime.session import with_name
from srgan.upscaler import Upscaler, upscale

BASELINE = "bicubic"
"""What every report has a row of: plain enlargement."""
LIBRARIES = ("srgan", "numpy", "Pillow", "isal", "ncnn", "onnxruntime", "torch")
"""Distributions whose versions a report states, where they are installed."""
LEAST_RUNS = 3
"""Measured runs that a row has at least, however slow the model."""

_MATRIX_SIDE = 2048
_MATRIX_RUNS = 3
_MATRIX_PROGRAM = f"""
import time, numpy
a = numpy.random.default_rng(0).random(({_MATRIX_SIDE}, {_MATRIX_SIDE}), dtype=numpy.float32)
out = numpy.empty_like(a)
numpy.matmul(a, a, out=out)
for _ in range({_MATRIX_RUNS}):
    start = time.perf_counter()
    numpy.matmul(a, a, out=out)
    print(time.perf_counter() - start)
"""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the figures were measured on."""

    cpu: str
    cores: int
    """Physical cores that this process may use."""
    flags: tuple[str, ...]
    """Those of `hardware.FLAGS` that the processor has."""
    memory_bytes: int | None
    system: str
    python: str
    load: float | None
    """Processes that wanted to run in the minute before the measurement."""

    def __str__(self) -> str:
        memory = "unknown memory" if self.memory_bytes is None else f"{self.memory_bytes / 2**30:.0f} GiB"
        load = "unknown" if self.load is None else f"{self.load:.1f}"
        flags = f" ({', '.join(self.flags)})" if self.flags else ""
        return (
            f"{self.cpu}{flags}, {self.cores} cores, {memory}, {self.system}, Python {self.python}; load before: {load}"
        )


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one action over several runs."""

    median: float
    low: float
    """10th percentile."""
    high: float
    """90th percentile."""
    cpu: float
    """Median of the CPU-seconds that all threads of the process used."""
    runs: int

    def __str__(self) -> str:
        return f"{milliseconds(self.median)} ({milliseconds(self.low)}-{milliseconds(self.high)})"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model at one input size on one number of threads."""

    model: str
    backend: str
    device: str
    device_name: str
    precision: str
    threads: int
    width: int
    height: int
    scale: int
    open: float
    """Seconds to load the model, its engine already imported or not."""
    network: Timing
    """`Session.run` on the whole picture."""
    end_to_end: Timing
    """`srgan.upscale` from the bytes of a PNG file to those of the enlarged one, the model being open."""
    gflops: float | None
    """Billions of floating-point operations (two for each multiply-accumulate) a second of the network alone."""
    share_of_matrix: float | None
    """``gflops`` over those of a matrix product on as many threads of the same CPU."""
    peak_bytes: int | None
    """Most memory that this process held during the row, everything loaded before it included."""

    @property
    def megapixels_per_second(self) -> float:
        """Output pixels, end to end."""
        return self.width * self.height * self.scale**2 / self.end_to_end.median / 1e6

    @property
    def overhead(self) -> float:
        """The part of the end-to-end time that is not the network: decoding, tiling, encoding."""
        return max(0.0, 1 - self.network.median / self.end_to_end.median)


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """All rows of one run, and what they were measured with."""

    machine: Machine
    versions: dict[str, str]
    warm_ups: int
    """Runs of each action before the measured ones."""
    matrix_gflops: dict[int, float]
    """Median speed of a float32 matrix product for each number of threads, in billions of operations a second."""
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """One JSON document; times in seconds. The same keys in the same order, whatever was measured."""
        rows = [
            asdict(row) | {"megapixels_per_second": row.megapixels_per_second, "overhead": row.overhead}
            for row in self.rows
        ]
        document = asdict(self) | {"rows": rows, "format": 1}
        return json.dumps(_rounded(document), indent=2, ensure_ascii=False) + "\n"

    def render(self) -> str:
        """The report as text: the machine, the versions, and a Markdown table."""
        products = ", ".join(f"{speed:.0f} GFLOP/s on {_threads(count)}" for count, speed in self.matrix_gflops.items())
        lines = [
            f"Machine: {self.machine}",
            f"Versions: {', '.join(f'{name} {number}' for name, number in self.versions.items())}",
            f"Matrix product, float32: {products}",
            f"Warm-ups: {self.warm_ups}. Times: median (10th-90th percentile). CPU: of all threads, for the network."
            " MP/s: output pixels, end to end. Overhead: share of the end-to-end time that is not the network.",
        ]
        return "\n".join([*lines, "", table(_HEADINGS, map(_cells, self.rows))])


_HEADINGS = (
    *("model", "backend", "input", "threads", "network ms", "CPU ms", "end to end ms", "overhead", "MP/s"),
    *("GFLOP/s", "of matrix", "peak MB", "runs"),
)


def _cells(row: Row) -> list[str]:
    return [
        row.model,
        f"{row.backend} {row.precision}"
        + ("" if row.device == "cpu" else f" {with_name(row.device, row.device_name)}"),
        f"{row.width}x{row.height}",
        str(row.threads),
        str(row.network),
        milliseconds(row.network.cpu),
        str(row.end_to_end),
        f"{row.overhead:.0%}",
        f"{row.megapixels_per_second:.1f}",
        "-" if row.gflops is None else f"{row.gflops:.0f}",
        "-" if row.share_of_matrix is None else f"{row.share_of_matrix:.0%}",
        "-" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
        str(row.network.runs),
    ]


class Opening(TypedDict, total=False):
    """How the models are opened; see `open_session`."""

    scale: float | None
    backend: str
    device: str
    precision: str


def run_benchmark(
    models: Sequence[str | os.PathLike[str] | Bundle],
    *,
    sizes: Sequence[int] = (256, 512),
    threads: Sequence[int] = (1, 2),
    repeats: int = 30,
    seconds: float = 20.0,
    warm_ups: int = 5,
    report: Report | None = None,
    stop: Stop | None = None,
    **opening: Unpack[Opening],
) -> BenchmarkReport:
    """Measure ``models`` (as `open_session` takes them) and the bicubic baseline on squares of ``sizes`` pixels.

    A row ends after ``repeats`` runs of each action, or earlier when they took ``seconds`` in all, but never before
    `LEAST_RUNS`. ``threads`` of 0 means what a session takes by itself. ``opening`` is ``scale``, ``backend``,
    ``device`` and ``precision`` of `open_session`; the baseline always runs on the CPU. ``report`` is told of the rows,
    ``stop`` is asked before each. Raises `InvalidConfig` for figures that make no sense, and
    what `open_session` and `upscale` raise.
    """
    for name, values, least in (
        ("sizes", sizes, 1),
        ("threads", threads, 0),
        ("repeats", [repeats], LEAST_RUNS),
        ("warm_ups", [warm_ups], 0),
    ):
        if not values or min(values) < least:
            raise InvalidConfig(f"{name} must be {least} or more, not {', '.join(map(str, values)) or 'nothing'}")
    tell = stoppable(report, stop)
    scale = opening.pop("scale", None)
    counts = list(dict.fromkeys(count or default_threads() for count in threads))
    wanted = [model for i, model in enumerate(models) if model != BASELINE and model not in models[:i]]
    cases = [(model, size, count) for count in counts for size in sizes for model in (BASELINE, *wanted)]
    machine, products, rows = describe_machine(), {count: list[float]() for count in counts}, []
    for done, (model, size, count) in enumerate(cases):
        tell(Step(done, len(cases), "rows"))
        products[count] += matrix_gflops(count)
        options = {} if model == BASELINE else dict(opening)
        rows.append(_measure(model, size, count, scale, options, repeats=repeats, seconds=seconds, warm_ups=warm_ups))
    tell(Step(len(cases), len(cases), "rows"))
    speeds = {count: float(np.median(found)) for count, found in products.items()}
    return BenchmarkReport(
        machine=machine,
        versions=library_versions(),
        warm_ups=warm_ups,
        matrix_gflops=speeds,
        rows=tuple(_with_share(row, speeds[row.threads]) for row in rows),
    )


def _measure(
    model: str | os.PathLike[str] | Bundle,
    size: int,
    threads: int,
    scale: float | None,
    options: dict[str, Any],
    *,
    repeats: int,
    seconds: float,
    warm_ups: int,
) -> Row:
    """One row, without what needs the other rows."""
    gc.collect()  # what the row before held
    reset_peak()
    start = time.perf_counter()
    session = open_session(model, scale=scale, threads=threads, **options)
    opened = time.perf_counter() - start
    info = session.info
    side = tiling.Needs(multiple=info.multiple, minimum=info.minimum).padded(size)
    picture = sample_picture(side, side)
    data = encode_picture(picture, "PNG")
    batch = as_batch(picture, info.channels)
    upscaler = Upscaler(session)
    network, end_to_end = time_in_turn(
        [lambda: session.run(batch), lambda: upscale(data, upscaler)],
        warm_ups=warm_ups,
        repeats=repeats,
        seconds=seconds,
    )
    session.close()
    macs = _macs_per_pixel(model, scale)
    return Row(
        model=info.model,
        backend=info.backend,
        device=info.device,
        device_name=info.device_name,
        precision=info.precision,
        threads=threads,
        width=side,
        height=side,
        scale=info.scale,
        open=opened,
        network=network,
        end_to_end=end_to_end,
        gflops=2e-9 * macs * side * side / network.median if macs else None,
        share_of_matrix=None,
        peak_bytes=peak_memory(),
    )


def _with_share(row: Row, product: float) -> Row:
    if row.gflops is None or row.device != "cpu":
        return row
    return replace(row, share_of_matrix=row.gflops / product)


def _macs_per_pixel(model: str | os.PathLike[str] | Bundle, scale: float | None) -> int:
    if isinstance(model, str) and model in RESIZE_MODELS:
        return 0
    return (model if isinstance(model, Bundle) else find_model(model, scale)).info.macs_per_pixel


# ------------------------------------------------------------------------------------------------ measuring


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one call; the result is dropped outside the measurement."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    del result
    return wall, cpu


def time_in_turn(
    actions: Sequence[Callable[[], object]], *, warm_ups: int, repeats: int, seconds: float
) -> list[Timing]:
    """Time ``actions``, one after the other and then again, until there are ``repeats`` rounds or ``seconds`` are over.

    ``warm_ups`` rounds come before and do not count; at least `LEAST_RUNS` rounds (or ``repeats``, if less) do.
    """
    for _ in range(warm_ups):
        for action in actions:
            action()
    samples: list[list[tuple[float, float]]] = [[] for _ in actions]
    end = time.perf_counter() + seconds
    for done in range(repeats):
        if done >= LEAST_RUNS and time.perf_counter() >= end:
            break
        for action, found in zip(actions, samples, strict=True):
            found.append(timed(action))
    return [summarise(found) for found in samples]


def summarise(samples: Sequence[tuple[float, float]]) -> Timing:
    """Median and spread of pairs of wall-clock and CPU seconds; at least one pair."""
    wall = [sample[0] for sample in samples]
    low, median, high = (float(value) for value in np.percentile(wall, (10, 50, 90)))
    cpu = float(np.median([sample[1] for sample in samples]))
    return Timing(median=median, low=low, high=high, cpu=cpu, runs=len(samples))


def matrix_gflops(threads: int) -> list[float]:
    """Speeds of a few float32 matrix products in numpy on ``threads`` threads, in billions of operations a second.

    Measured in a process of its own: numpy's library takes its number of threads when it is loaded.
    """
    environment = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(threads))
    done = subprocess.run(
        [sys.executable, "-c", _MATRIX_PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return [2e-9 * _MATRIX_SIDE**3 / float(line) for line in done.stdout.split()]


def sample_picture(height: int, width: int, *, seed: int = 0) -> Picture:
    """A made-up RGB picture that PNG compresses as well as a photograph: noise whose spectrum falls like theirs."""
    random = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    falling = 1 / np.maximum(np.hypot(y, x), 1 / max(height, width, 2)) ** 1.5

    def field() -> NDArray[np.float64]:
        noise = np.fft.irfft2(np.fft.rfft2(random.standard_normal((height, width))) * falling, (height, width))
        noise -= noise.mean()
        return np.asarray(noise / max(float(noise.std()), 1e-9))

    gray = field()
    pixels = np.stack([0.5 + 0.2 * gray + 0.06 * field() for _ in range(3)], axis=-1)
    return Picture(pixels=np.clip(pixels, 0, 1).astype(np.float32))


def as_batch(picture: Picture, channels: int) -> NDArray[np.float32]:
    """The colours of ``picture`` as 1 x ``channels`` x H x W: the first ones where the session takes fewer."""
    return np.ascontiguousarray(np.moveaxis(picture.colour, -1, 0)[None, :channels])


# ---------------------------------------------------------------------------------------------- describing


def describe_machine() -> Machine:
    """The machine as it is now."""
    return Machine(
        cpu=cpu_name(),
        cores=default_threads(),
        flags=cpu_flags(),
        memory_bytes=total_memory(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def library_versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """The versions of those of the distributions ``names`` that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds in three digits, without the unit: ``1.23``, ``12.3``, ``123``, ``1234``."""
    value = seconds * 1e3
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose source lines up: the first column to the left, all others to the right."""
    cells = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        " | ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in (cells[0], rule, *cells[1:])
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _threads(count: int) -> str:
    return f"{count} thread" + ("s" if count != 1 else "")


def _rounded(value: Any) -> Any:
    """Floats in six significant digits, so that two reports differ only where a person would see it."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
