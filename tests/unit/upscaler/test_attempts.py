"""A tile that comes out wrong is found, and made again the next best way, in the stated order."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import pytest

from srgan.errors import DeviceUnavailable, OutOfMemory, UpscaleFailed
from srgan.runtime.faults import fault_of
from srgan.runtime.session import Session
from srgan.testing import BlurSession, FaultySession, NearestSession
from srgan.upscaler.attempts import Attempts

FAULTS = ["nan", "infinity", "shape", "flat", "black", "error"]
GPU: Any = {"device": "vulkan:0", "precision": "fp16"}


def picture(height: int = 64, width: int = 64, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).random((height, width, channels), dtype=np.float32)


def repeated(window: np.ndarray) -> np.ndarray:
    return window.repeat(2, axis=0).repeat(2, axis=1)


class Machine:
    """Sessions by device and precision; remembers in which order they were opened."""

    def __init__(self, **sessions: Session) -> None:
        self.sessions = sessions
        self.opened: list[str] = []

    def reopen(self, *, device: str, precision: str) -> Session:
        self.opened.append(f"{device} {precision}")
        session = self.sessions.get(f"{device.split(':')[0]}_{precision}")
        if session is None:
            raise DeviceUnavailable(f"no {device} in {precision}")
        return session

    def attempts(self, session: Session) -> Attempts:
        return Attempts(session, self.reopen, nullcontext(), lambda: None)


def alone(session: Session) -> Attempts:
    return Attempts(session, None, nullcontext(), lambda: None)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_tile_is_made_again_in_fp32(fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(vulkan_fp32=NearestSession(device="vulkan:0", precision="fp32"))
    attempts = machine.attempts(FaultySession(NearestSession(**GPU), fault))

    assert np.array_equal(attempts.enlarge(picture()), repeated(picture()))
    assert machine.opened == ["vulkan:0 fp32"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "trying vulkan:0 in fp32" in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
def test_then_in_smaller_tiles(fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    wide = FaultySession(NearestSession(device="vulkan:0"), fault, lambda batch: batch.shape[3] > 20)
    machine = Machine(vulkan_fp32=wide)

    assert np.array_equal(
        machine.attempts(FaultySession(NearestSession(**GPU), fault)).enlarge(picture()), repeated(picture())
    )
    assert machine.opened == ["vulkan:0 fp32"]
    assert wide.failures == 1 + 4  # the whole, and each quarter before it is cut in four itself
    assert "trying smaller" in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
def test_then_on_the_cpu(fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    cpu = NearestSession()
    machine = Machine(vulkan_fp32=FaultySession(NearestSession(device="vulkan:0"), fault), cpu_fp32=cpu)

    assert np.array_equal(
        machine.attempts(FaultySession(NearestSession(**GPU), fault)).enlarge(picture()), repeated(picture())
    )
    assert machine.opened == ["vulkan:0 fp32", "cpu fp32"]
    assert cpu.shapes == [(1, 3, 64, 64)]
    assert "trying cpu in fp32" in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
def test_and_at_last_it_fails_and_says_so(fault: Any) -> None:
    broken = FaultySession(NearestSession(), fault)
    machine = Machine(vulkan_fp32=broken, cpu_fp32=broken)

    with pytest.raises(
        UpscaleFailed, match=r"nearest \(testing, cpu, fp32\): a tile (came out|could not be made).* in all attempts"
    ):
        machine.attempts(FaultySession(NearestSession(**GPU), fault)).enlarge(picture())
    assert machine.opened == ["vulkan:0 fp32", "cpu fp32"]


def test_what_is_already_fp32_on_the_cpu_is_only_cut_smaller() -> None:
    machine = Machine()
    session = FaultySession(NearestSession(), "nan", lambda batch: batch.shape[2] > 40)

    assert np.array_equal(machine.attempts(session).enlarge(picture()), repeated(picture()))
    assert machine.opened == []


def test_lower_precision_on_the_cpu_goes_to_fp32_and_no_farther() -> None:
    machine = Machine(cpu_fp32=NearestSession())

    machine.attempts(FaultySession(NearestSession(precision="bf16"), "black")).enlarge(picture())

    assert machine.opened == ["cpu fp32"]


def test_without_a_way_to_reopen_smaller_tiles_are_all_there_is() -> None:
    small = FaultySession(NearestSession(**GPU), "nan", lambda batch: batch.shape[2] > 40)

    assert np.array_equal(alone(small).enlarge(picture()), repeated(picture()))
    with pytest.raises(UpscaleFailed, match="values that are not numbers"):
        alone(FaultySession(NearestSession(**GPU), "nan")).enlarge(picture())


def test_a_session_that_cannot_be_opened_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(cpu_fp32=NearestSession())

    assert np.array_equal(
        machine.attempts(FaultySession(NearestSession(**GPU), "nan")).enlarge(picture()), repeated(picture())
    )
    assert machine.opened == ["vulkan:0 fp32", "cpu fp32"]
    assert "no vulkan:0 in fp32" in caplog.text


def test_a_session_of_another_scale_is_not_used() -> None:
    machine = Machine(vulkan_fp32=NearestSession(3), cpu_fp32=NearestSession())

    assert machine.attempts(FaultySession(NearestSession(**GPU), "nan")).enlarge(picture()).shape == (128, 128, 3)


def test_what_was_given_up_is_not_tried_again_for_the_next_tile() -> None:
    broken = FaultySession(NearestSession(**GPU), "nan")
    machine = Machine(vulkan_fp32=NearestSession(device="vulkan:0"))
    attempts = machine.attempts(broken)
    for _ in range(3):
        attempts.enlarge(picture())

    assert broken.failures == 1
    assert len(machine.opened) == 1


def test_out_of_memory_halves_the_tiles_and_remembers(caplog: pytest.LogCaptureFixture) -> None:
    inner = NearestSession()
    small = FaultySession(inner, "memory", lambda batch: batch.shape[2] * batch.shape[3] > 1000)
    attempts = alone(small)

    assert np.array_equal(attempts.enlarge(picture()), repeated(picture()))
    assert small.failures == 2  # 64 x 64 and the first quarter of it
    assert max(shape[2] * shape[3] for shape in inner.shapes) <= 1000
    assert np.array_equal(attempts.enlarge(picture()), repeated(picture()))
    assert small.failures == 2
    assert "does not fit into memory" in caplog.text


def test_out_of_memory_goes_to_the_cpu_and_not_to_a_higher_precision() -> None:
    machine = Machine(vulkan_fp32=NearestSession(device="vulkan:0"), cpu_fp32=NearestSession())

    assert np.array_equal(
        machine.attempts(FaultySession(NearestSession(**GPU), "memory")).enlarge(picture()), repeated(picture())
    )
    assert machine.opened == ["cpu fp32"]


def test_out_of_memory_everywhere_is_out_of_memory() -> None:
    broken = FaultySession(NearestSession(), "memory")

    with pytest.raises(OutOfMemory, match="even tiles of 16 x 16 pixels do not fit"):
        Machine(cpu_fp32=broken).attempts(FaultySession(NearestSession(**GPU), "memory")).enlarge(picture())


def test_an_allocation_that_python_refuses_counts_too() -> None:
    class Greedy(NearestSession):
        def run(self, batch: np.ndarray) -> np.ndarray:
            if batch.shape[2] > 40:
                raise MemoryError
            return super().run(batch)

    assert np.array_equal(alone(Greedy()).enlarge(picture()), repeated(picture()))


def test_smaller_tiles_of_a_network_that_looks_around_join_without_a_seam() -> None:
    whole = BlurSession(radius=3, multiple=2)
    window = picture(80, 90)
    small = FaultySession(whole, "memory", lambda batch: batch.shape[2] * batch.shape[3] > 2000)

    assert np.array_equal(alone(small).enlarge(window), alone(whole).enlarge(window))


def test_gray_goes_through_a_colour_network_and_comes_back_exactly() -> None:
    session = NearestSession()

    assert np.array_equal(alone(session).enlarge(picture(channels=1)), repeated(picture(channels=1)))
    assert session.shapes == [(1, 3, 64, 64)]


def test_gray_is_the_mean_of_the_colours_that_come_back() -> None:
    class Tinting(NearestSession):
        def run(self, batch: np.ndarray) -> np.ndarray:
            return super().run(batch) + np.array([0.3, 0, 0], np.float32).reshape(1, 3, 1, 1)

    assert np.allclose(alone(Tinting()).enlarge(picture(channels=1)), repeated(picture(channels=1)) + 0.1, atol=1e-6)


def test_the_turn_is_taken_for_every_run_and_progress_is_told_before() -> None:
    told: list[str] = []

    class Turn:
        def __enter__(self) -> None:
            told.append("enter")

        def __exit__(self, *_: object) -> None:
            told.append("leave")

    session = FaultySession(NearestSession(), "nan", lambda batch: batch.shape[2] > 40)
    Attempts(session, None, cast(Any, Turn()), lambda: told.append("run")).enlarge(picture(64, 16))

    assert told == ["run", "enter", "leave"] * (len(told) // 3)
    assert len(told) >= 9


def batch(values: Any) -> np.ndarray:
    return np.broadcast_to(np.asarray(values, np.float32), (1, 3, 8, 8)).copy()


@pytest.mark.parametrize("value", [0.0, 0.01, 0.5, 1.0])
def test_a_flat_input_may_give_a_flat_output(value: float) -> None:
    assert fault_of(batch(value), batch(value).repeat(2, 2).repeat(2, 3), 2) is None


def test_an_input_with_hardly_any_contrast_may_give_a_flat_output() -> None:
    almost = batch(0.5)
    almost[0, :, 3, 3] += 0.05

    assert fault_of(almost, batch(0.5), 1) is None


def test_an_input_with_hardly_any_light_may_give_a_black_output() -> None:
    night = batch(0.0)
    night[0, :, 0, 0] = 0.05

    assert fault_of(night, batch(0.0), 1) is None


def test_a_flat_but_coloured_output_is_found() -> None:
    contrast = batch(np.linspace(0, 1, 8))

    assert fault_of(contrast, batch(np.reshape([0.1, 0.5, 0.9], (3, 1, 1))), 1) == "came out as one flat colour"


def test_black_for_a_flat_gray_is_found() -> None:
    assert fault_of(batch(0.5), batch(-1e-4), 1) == "came out black"


def test_one_flat_channel_is_not_a_fault() -> None:
    red = batch(np.linspace(0, 1, 8))
    red[:, 1:] = 0

    assert fault_of(red, red, 1) is None


def test_integers_are_a_fault() -> None:
    assert "uint8" in str(fault_of(batch(0.5), cast(Any, batch(0.5).astype(np.uint8)), 1))
