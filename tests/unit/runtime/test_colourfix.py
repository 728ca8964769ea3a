"""Removing the colour drift of a model, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import OutOfMemory, UpscaleFailed
from srgan.imaging.resize import resize
from srgan.runtime.colourfix import SIGMA, FixColour
from srgan.runtime.resize import ResizeSession
from srgan.runtime.session import Session
from srgan.testing import BlurSession, FaultySession, NearestSession, assert_session
from srgan.upscaler import Upscaler

Batch = NDArray[np.float32]
STEP = 1 / 255


def textured(height: int = 96, width: int = 120, n: int = 1) -> Batch:
    """Waves, edges and noise, within [0.1, 0.9]."""
    random = np.random.default_rng(8)
    y, x = np.mgrid[:height, :width] / 10
    waves = 0.5 + 0.15 * np.sin(x + y * 0.3) + 0.15 * ((x // 2 + y // 3) % 2)
    noisy = waves + random.normal(0, 0.03, (n, 3, height, width))
    return np.clip(noisy, 0.1, 0.9).astype(np.float32)


class Drifting:
    """``session``, with ``drift`` added: a function of the place (rows and columns of the output, in input pixels) and
    the number of the channel."""

    def __init__(self, session: Session, drift: Callable[[Any, Any, int], Any]) -> None:
        self._session = session
        self.info = session.info
        self._drift = drift

    def run(self, batch: Batch) -> Batch:
        made = self._session.run(batch)
        y, x = np.mgrid[: made.shape[2], : made.shape[3]] / self.info.scale
        drift = np.stack([np.broadcast_to(self._drift(y, x, c), made.shape[2:]) for c in range(made.shape[1])])
        return (made + drift).astype(np.float32)


def seen_from_afar(values: Batch, scale: int, block: int = 12) -> Batch:
    """Means of blocks of that many input pixels."""
    n, channels, height, width = values.shape
    step = block * scale
    return values.reshape(n, channels, height // step, step, width // step, step).mean(axis=(3, 5))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "drift",
    [
        lambda y, x, c: (0.06, -0.03, 0.01)[c],
        lambda y, x, c: (c - 1) * (x - 60) / 60 * 0.08,
        lambda y, x, c: 0.04 * y / 96 - 0.03 * x / 120,
        lambda y, x, c: 0.04 * np.cos(y / 30) * np.sin(x / 40 + c),
    ],
    ids=["cast", "across", "slope", "waves"],
)
def test_drift_is_removed(scale: int, drift: Callable[[Any, Any, int], Any]) -> None:
    batch = textured()
    clean = NearestSession(scale)
    drifting = Drifting(clean, drift)

    left = FixColour(drifting).run(batch) - clean.run(batch)

    assert np.abs(seen_from_afar(left, scale)).max() < 0.5 * STEP
    assert np.abs(seen_from_afar(drifting.run(batch) - clean.run(batch), scale)).max() > 2 * STEP


def test_a_drift_that_changes_the_picture_by_a_curve_is_removed() -> None:
    class Curved(Drifting):
        def run(self, batch: Batch) -> Batch:
            return self._session.run(batch) ** np.float32(1.15)

    batch = textured()
    clean = ResizeSession("bicubic", 4)
    curved = Curved(clean, lambda y, x, c: 0)

    left = FixColour(curved).run(batch) - clean.run(batch)

    # It changes with the texture: from nearer by, some of it counts as detail.
    assert np.abs(seen_from_afar(left, 4, block=24)).max() < 0.5 * STEP
    assert np.abs(seen_from_afar(curved.run(batch) - clean.run(batch), 4, block=24)).max() > 5 * STEP


@pytest.mark.parametrize("session", [ResizeSession("bicubic", 4), ResizeSession("lanczos", 3), NearestSession(2)])
def test_where_nothing_drifts_nothing_changes(session: Session) -> None:
    batch = textured(n=2)
    plain = session.run(batch)

    assert np.abs(FixColour(session).run(batch) - plain).max() < STEP


def test_detail_that_the_model_adds_stays() -> None:
    def grain(y: Any, x: Any, c: int) -> Any:
        return 0.1 * np.sin(2 * np.pi * x / 1.5) * np.sin(2 * np.pi * y / 1.2)

    batch = textured()
    detailed = Drifting(NearestSession(4), grain)

    assert np.abs(FixColour(detailed).run(batch) - detailed.run(batch)).max() < STEP


def test_the_enlarged_correction_is_bilinear() -> None:
    def patchy(y: Any, x: Any, c: int) -> Any:
        return np.where((y < 30) & (x > 50), 0.2, 0.0)

    batch = textured()
    clean = NearestSession(3)
    drifting = Drifting(clean, patchy)

    correction = (FixColour(drifting).run(batch) - drifting.run(batch))[0].transpose(1, 2, 0)
    small = correction.reshape(96, 3, 120, 3, 3)[:, 1, :, 1]  # the middle one of three lies on the input's pixel

    np.testing.assert_allclose(correction, resize(small, 288, 360, "bilinear"), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (33, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    batch = textured(*size)
    cast = Drifting(NearestSession(2), lambda y, x, c: 0.1)

    np.testing.assert_allclose(FixColour(cast).run(batch), NearestSession(2).run(batch), atol=1e-5)


@pytest.mark.parametrize("sigma", [2.0, SIGMA, 8.0])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_radius_is_wide_enough_for_tiles_and_not_wider_than_needed(sigma: float, scale: int) -> None:
    assert_session(FixColour(BlurSession(scale, radius=2), sigma), tolerance=1e-6)
    session = FixColour(BlurSession(scale, radius=2), sigma)
    reach = session.info.radius
    batch = textured(8, 150)

    far, near = batch.copy(), batch.copy()
    far[..., 75 + reach + 1 :] = 0
    near[..., 75 + reach - 1 :] = 0
    kept = np.s_[..., 75 * scale : 76 * scale]

    np.testing.assert_allclose(session.run(far)[kept], session.run(batch)[kept], atol=1e-6)
    assert np.abs(session.run(near)[kept] - session.run(batch)[kept]).max() > 1e-5


def test_tiles_join_without_a_seam() -> None:
    def session() -> FixColour:
        # A drift that depends on the picture, not on the place within the tile.
        return FixColour(BlurSession(2, radius=3))

    pixels = textured(140, 170)[0].transpose(1, 2, 0)
    whole = np.concatenate(list(Upscaler(session(), tile=200).strips(pixels)))
    tiled = np.concatenate(list(Upscaler(session(), tile=64).strips(pixels)))

    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_tells_the_same_about_itself_but_for_radius_and_memory() -> None:
    inner = NearestSession(4, radius=7, multiple=2, minimum=8, precision="bf16", device="vulkan:0")
    info = FixColour(inner, 4.0).info

    assert info.radius == 7 + 10 + 1
    assert info.working_bytes_per_pixel >= inner.info.working_bytes_per_pixel + 4 * 3 * 16
    kept = replace(info, radius=7, working_bytes_per_pixel=inner.info.working_bytes_per_pixel)
    assert kept == inner.info


def test_errors_of_the_session_pass_through() -> None:
    with pytest.raises(OutOfMemory):
        FixColour(FaultySession(NearestSession(2), "memory")).run(textured())
    with pytest.raises(UpscaleFailed, match="lost"):
        FixColour(FaultySession(NearestSession(2), "error")).run(textured())


@pytest.mark.parametrize("fault", ["nan", "infinity", "shape", "flat", "black"])
def test_a_bad_result_is_not_painted_over(fault: Any) -> None:
    with pytest.raises(UpscaleFailed, match="nearest: a run came out"):
        FixColour(FaultySession(NearestSession(2), fault)).run(textured())


@pytest.mark.parametrize("scale", [1, 2])
def test_neither_the_input_nor_the_result_of_the_session_is_written_to(scale: int) -> None:
    kept = textured(96 * scale, 120 * scale)
    kept.setflags(write=False)

    class Keeping:
        info = NearestSession(scale).info

        def run(self, batch: Batch) -> Batch:
            return kept

    batch = textured() * np.float32(0.9)
    batch.setflags(write=False)

    assert FixColour(Keeping()).run(batch).shape == kept.shape


@pytest.mark.parametrize("sigma", [0, 0.4, 65, float("nan")])
def test_a_sigma_that_makes_no_sense_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="sigma"):
        FixColour(NearestSession(2), sigma)
