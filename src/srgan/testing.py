"""Stand-ins for a model, and a check of sessions: for our tests and for those who write a backend of their own.

Needs numpy only. `NearestSession` is an upscaler's oracle: whatever tiling and padding are done around it, the result
must be pixel repetition, exactly. `BlurSession` sees its surroundings, so that a wrong overlap shows.
`FaultySession` fails as real devices do. All three refuse a batch that a session need not accept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from srgan.errors import Closed, OutOfMemory, UpscaleFailed
from srgan.runtime.session import Session, SessionInfo, closed

Batch = NDArray[np.float32]
Fault = Literal["nan", "infinity", "shape", "flat", "black", "memory", "error"]


class NearestSession:
    """Repeats every pixel ``scale`` times in both directions: exact, and the same however the picture is cut.

    The other arguments are claims about itself (see `SessionInfo`) that it makes its caller keep. ``shapes`` lists the
    shapes of the batches it was given.
    """

    def __init__(
        self,
        scale: int = 2,
        *,
        channels: int = 3,
        radius: int = 0,
        multiple: int = 1,
        minimum: int = 1,
        device: str = "cpu",
        precision: str = "fp32",
        working_bytes_per_pixel: int = 64,
    ) -> None:
        self.info = SessionInfo(
            model="nearest",
            scale=scale,
            channels=channels,
            radius=radius,
            multiple=multiple,
            minimum=minimum,
            working_bytes_per_pixel=working_bytes_per_pixel,
            backend="testing",
            device=device,
            precision=precision,
        )
        self.shapes: list[tuple[int, ...]] = []
        self.closed = False

    def run(self, batch: Batch) -> Batch:
        if self.closed:
            raise closed(self.info)
        assert_batch(self.info, batch)
        self.shapes.append(batch.shape)
        return batch.repeat(self.info.scale, axis=2).repeat(self.info.scale, axis=3)

    def close(self) -> None:
        self.closed = True


class BlurSession:
    """Averages each pixel's surroundings up to ``radius`` pixels away, as far as the batch reaches, then repeats it
    ``scale`` times: where a tile ends matters to it, as it does to a network.

    ``claimed_radius`` is what it says its radius is; one that is too small makes seams.
    """

    def __init__(
        self, scale: int = 2, *, radius: int = 2, claimed_radius: int | None = None, multiple: int = 1
    ) -> None:
        self._radius = radius
        claimed = radius if claimed_radius is None else claimed_radius
        self._nearest = NearestSession(scale, radius=claimed, multiple=multiple)
        self.info = replace(self._nearest.info, model="blur")

    def run(self, batch: Batch) -> Batch:
        return self._nearest.run(_blurred(_blurred(batch, self._radius, axis=2), self._radius, axis=3))

    def close(self) -> None:
        self._nearest.close()


class EnsembleSession:
    """Three members that agree in the dark: each is `NearestSession`, and where the input is above 0.5 the first adds
    ``spread``, the second nothing, and the third takes it away.

    ``outputs`` are what a run gives, in channels one after the other: ``mean``, ``fidelity`` (the first member),
    ``members``.
    """

    def __init__(
        self, scale: int = 2, *, outputs: tuple[str, ...] = ("mean",), spread: float = 0.1, **more: Any
    ) -> None:
        self._nearest = NearestSession(scale, **more)
        self._spread = np.float32(spread)
        self.info = replace(self._nearest.info, model="three", outputs=outputs)
        self.shapes = self._nearest.shapes

    def run(self, batch: Batch) -> Batch:
        mean = self._nearest.run(batch)
        apart = (mean > 0.5) * self._spread
        made = {"mean": [mean], "fidelity": [mean + apart], "members": [mean + apart, mean, mean - apart]}
        return np.concatenate([picture for name in self.info.outputs for picture in made[name]], axis=1)

    def close(self) -> None:
        self._nearest.close()


class FaultySession:
    """Fails like a device that is broken: its runs go through ``session``, and then wrong where ``when`` says so.

    ``fault`` is what then comes out: values that are not numbers (``nan``, ``infinity``), the wrong ``shape``, one
    ``flat`` colour, all ``black``, `OutOfMemory` (``memory``) or `UpscaleFailed` (``error``). ``when`` gets the batch;
    by default every run fails. ``failures`` counts them.
    """

    def __init__(self, session: Session, fault: Fault, when: Callable[[Batch], bool] = lambda batch: True) -> None:
        self.info = session.info
        self.failures = 0
        self._session = session
        self._fault = fault
        self._when = when

    def run(self, batch: Batch) -> Batch:
        if not self._when(batch):
            return self._session.run(batch)
        self.failures += 1
        if self._fault == "memory":
            raise OutOfMemory
        if self._fault == "error":
            raise UpscaleFailed("the device was lost")
        result = self._session.run(batch).copy()
        if self._fault == "shape":
            return result[..., 1:]
        if self._fault in ("nan", "infinity"):
            result[..., -1, -1] = np.nan if self._fault == "nan" else np.inf
        else:
            result[:] = 0 if self._fault == "black" else 0.5
        return result

    def close(self) -> None:
        self._session.close()


def assert_batch(info: SessionInfo, batch: Batch) -> None:
    """Fail unless ``batch`` is one that a session of this kind promises to take."""
    assert batch.dtype == np.float32, f"a batch is float32, not {batch.dtype}"
    assert batch.ndim == 4, f"a batch is N x C x H x W, not {batch.shape}"
    assert batch.shape[1] == info.channels, f"{batch.shape[1]} channels were given, not {info.channels}"
    for side in batch.shape[2:]:
        assert side >= info.minimum, f"a side of {side} is less than {info.minimum}"
        assert side % info.multiple == 0, f"a side of {side} is not a multiple of {info.multiple}"
    assert np.isfinite(batch).all(), "a batch holds finite numbers"
    assert batch.min() >= 0, "values are in [0, 1]"
    assert batch.max() <= 1, "values are in [0, 1]"


def assert_session(session: Session, *, tolerance: float = 1e-3) -> None:
    """Fail unless ``session`` keeps the contract of `Session`.

    Runs it on a few small batches: type, shape and finiteness of the result, the input left as it was, the same result
    for the same input and for one that is not contiguous, pictures of a batch independent of each other, and nothing
    farther away than ``info.radius`` changing a result by more than ``tolerance``. Closes it at the end, twice, and
    wants a run to be refused then.
    """
    info = session.info
    side = _up(max(info.minimum, 2 * info.radius + 4), info.multiple)
    random = np.random.default_rng(0)
    batch = random.random((2, info.channels, side, side + info.multiple), dtype=np.float32)
    before = batch.copy()
    result = session.run(batch)
    n, channels, height, width = batch.shape
    assert result.dtype == np.float32, f"the result is {result.dtype}, not float32"
    expected = (n, channels, height * info.scale, width * info.scale)
    assert result.shape == expected, f"the result has the shape {result.shape}, not {expected}"
    assert np.isfinite(result).all(), "the result holds values that are not numbers"
    assert np.array_equal(batch, before), "the input was changed"
    result = result.copy()
    _assert_same(session.run(batch), result, tolerance, "a second run gave another result")
    reversed_view = np.ascontiguousarray(batch[..., ::-1])[..., ::-1]
    _assert_same(session.run(reversed_view), result, tolerance, "an input that is not contiguous gave another result")
    _assert_same(session.run(batch[:1]), result[:1], tolerance, "the pictures of a batch influence each other")
    # What lies beyond the radius of the first column is replaced.
    changed = batch.copy()
    beyond = info.radius + 1
    changed[..., beyond:] = random.random(changed[..., beyond:].shape, dtype=np.float32)
    first = np.s_[..., : info.scale]
    _assert_same(
        session.run(changed)[first], result[first], tolerance, f"pixels beyond the radius {info.radius} matter"
    )
    session.close()
    session.close()
    try:
        session.run(batch)
    except Closed:
        return
    raise AssertionError("a session that was closed still runs")


def _assert_same(actual: Batch, expected: Batch, tolerance: float, what: str) -> None:
    assert actual.shape == expected.shape, f"{what}: {actual.shape}, not {expected.shape}"
    difference = float(np.abs(actual - expected).max())
    assert difference <= tolerance, f"{what} (by {difference:.3g})"


def _blurred(values: Batch, radius: int, axis: int) -> Batch:
    """Mean of values up to ``radius`` away along ``axis``, near ones counting most.

    Added up in one order everywhere, so that equal surroundings give equal bits.
    """
    values = np.moveaxis(values, axis, 0)
    total, weight = np.zeros_like(values), np.zeros((len(values), 1, 1, 1), np.float32)
    for shift in range(-radius, radius + 1):
        source = slice(max(0, shift), max(0, len(values) + min(0, shift)))
        target = slice(max(0, -shift), max(0, len(values) + min(0, -shift)))
        total[target] += values[source] * np.float32(radius + 1 - abs(shift))
        weight[target] += radius + 1 - abs(shift)
    # The rounding of a sum may lead beyond 1.
    return np.moveaxis(np.minimum(total / weight, np.float32(1)), 0, axis)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
