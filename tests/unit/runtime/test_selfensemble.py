"""The mean over eight orientations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import OutOfMemory, UpscaleFailed
from srgan.runtime.selfensemble import SelfEnsemble
from srgan.runtime.session import Session
from srgan.testing import FaultySession, NearestSession, assert_session
from srgan.upscaler import Upscaler

Batch = NDArray[np.float32]


def random(*shape: int) -> Batch:
    return np.random.default_rng(5).random(shape, dtype=np.float32)


class Slanted:
    """Adds to every pixel its right neighbour, three times the one below, and a pattern within the enlarged pixel: as
    orientation-sensitive as can be, and not linear."""

    def __init__(self, scale: int = 2, **claims: int) -> None:
        self._nearest = NearestSession(scale, radius=1, **claims)
        self.info = replace(self._nearest.info, model="slanted", precision="bf16")
        self.shapes = self._nearest.shapes

    def run(self, batch: Batch) -> Batch:
        wide = self._nearest.run(batch)
        mixed = batch + 0.0
        mixed[..., :-1] += batch[..., 1:]
        mixed[..., :-1, :] += 3 * batch[..., 1:, :] ** 2
        scale = self.info.scale
        pattern = np.arange(scale * scale, dtype=np.float32).reshape(scale, scale)
        height, width = batch.shape[2:]
        return (wide + mixed.repeat(scale, axis=2).repeat(scale, axis=3) + np.tile(pattern, (height, width))) / 8

    def close(self) -> None:
        self._nearest.close()


def orientations(values: Batch) -> list[Batch]:
    """The eight, by turns and a mirror: another way than that of the code."""
    return [
        np.rot90(mirrored, turns, axes=(2, 3)) for mirrored in (values, values[..., ::-1]) for turns in (0, 1, 2, 3)
    ]


def undone(values: Batch, index: int) -> Batch:
    turned = np.rot90(values, -(index % 4), axes=(2, 3))
    return turned if index < 4 else turned[..., ::-1]


@pytest.mark.parametrize("shape", [(1, 3, 6, 6), (2, 3, 4, 7), (1, 3, 1, 5), (1, 3, 5, 1)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_is_the_mean_over_the_eight_orientations(shape: tuple[int, ...], scale: int) -> None:
    batch = random(*shape)
    plain = Slanted(scale)
    wanted = np.mean([undone(plain.run(one), i) for i, one in enumerate(orientations(batch))], axis=0)

    result = SelfEnsemble(Slanted(scale)).run(batch)

    assert (result.dtype, result.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_allclose(result, wanted, atol=1e-6)
    assert np.abs(result - plain.run(batch)).max() > 0.05


def test_commutes_with_every_orientation_where_the_session_does_not() -> None:
    batch = random(1, 3, 5, 8)
    plain, ensemble = Slanted(), SelfEnsemble(Slanted())

    for index, turned in enumerate(orientations(batch)):
        np.testing.assert_allclose(undone(ensemble.run(turned), index), ensemble.run(batch), atol=1e-6)
        if index:
            assert np.abs(undone(plain.run(turned), index) - plain.run(batch)).max() > 0.05


def test_a_session_that_commutes_is_left_as_it_is() -> None:
    batch = random(1, 3, 5, 8)

    np.testing.assert_allclose(SelfEnsemble(NearestSession(3)).run(batch), NearestSession(3).run(batch), atol=2e-7)


def test_runs_four_times_in_each_shape_one_after_the_other() -> None:
    session = NearestSession(2)

    SelfEnsemble(session).run(random(2, 3, 4, 6))

    assert session.shapes == [(2, 3, 4, 6)] * 4 + [(2, 3, 6, 4)] * 4


def test_what_the_session_asks_for_holds_in_all_orientations() -> None:
    session = NearestSession(2, multiple=4, minimum=8)  # which refuses what it did not ask for

    assert SelfEnsemble(session).run(random(1, 3, 8, 20)).shape == (1, 3, 16, 40)


def test_is_a_session() -> None:
    assert_session(SelfEnsemble(Slanted(2)))
    assert_session(SelfEnsemble(NearestSession(2, channels=1, multiple=2, minimum=6)))


def test_tells_the_same_about_itself_but_for_memory() -> None:
    session: Session = Slanted(3)
    info = SelfEnsemble(session).info

    more = info.working_bytes_per_pixel - session.info.working_bytes_per_pixel
    assert more >= 2 * 4 * 3 * 9  # two results
    assert replace(info, working_bytes_per_pixel=session.info.working_bytes_per_pixel) == session.info


def test_errors_of_the_session_pass_through() -> None:
    with pytest.raises(OutOfMemory):
        SelfEnsemble(FaultySession(NearestSession(2), "memory")).run(random(1, 3, 4, 6))
    with pytest.raises(UpscaleFailed, match="lost"):
        SelfEnsemble(FaultySession(NearestSession(2), "error")).run(random(1, 3, 4, 6))


@pytest.mark.parametrize("fault", ["nan", "infinity", "shape", "flat", "black"])
def test_one_bad_run_of_the_eight_is_not_averaged_away(fault: str) -> None:
    runs = iter(range(8))
    broken = FaultySession(NearestSession(2), fault, lambda batch: next(runs) == 5)  # type: ignore[arg-type]

    with pytest.raises(UpscaleFailed, match="nearest: a run came out"):
        SelfEnsemble(broken).run(random(1, 3, 4, 6))
    assert broken.failures == 1


def test_neither_the_input_nor_a_result_that_the_session_keeps_is_written_to() -> None:
    class Keeping:
        info = replace(NearestSession(1).info, model="keeping")

        def run(self, batch: Batch) -> Batch:
            batch.setflags(write=False)
            return batch

    batch = random(1, 3, 4, 6)
    before = batch.copy()

    result = SelfEnsemble(Keeping()).run(batch)

    np.testing.assert_allclose(result, before, atol=1e-7)
    np.testing.assert_array_equal(batch, before)


def test_tiles_join_without_a_seam() -> None:
    pixels = random(1, 40, 30, 3)[0]
    whole = np.concatenate(list(Upscaler(SelfEnsemble(Slanted()), tile=64).strips(pixels)))
    tiled = np.concatenate(list(Upscaler(SelfEnsemble(Slanted()), tile=12).strips(pixels)))

    np.testing.assert_array_equal(tiled, whole)
