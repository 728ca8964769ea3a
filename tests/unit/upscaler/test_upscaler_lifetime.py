"""From opening an `Upscaler` to its end: closing, pickling, and the other side of a fork."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan.errors import Closed, InvalidConfig, UpscaleFailed
from srgan.imaging import Picture
from srgan.models import find_model
from srgan.testing import FaultySession, NearestSession
from srgan.upscaler import Upscaler

SMALL = Picture(pixels=np.full((4, 4, 3), 0.5, np.float32))


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[NearestSession]:
    """Every session that is opened by name from now on."""
    made: list[NearestSession] = []

    def open_session(model: Any, **options: Any) -> NearestSession:
        made.append(NearestSession(2))
        return made[-1]

    monkeypatch.setattr("srgan.runtime.open_session", open_session)
    return made


def test_the_end_of_a_block_closes_the_model(sessions: list[NearestSession]) -> None:
    with Upscaler("fast") as upscaler:
        upscaler.upscale(SMALL)
        assert not sessions[0].closed
    upscaler.close()

    assert sessions[0].closed
    with pytest.raises(Closed, match="the Upscaler was closed; open another"):
        upscaler.upscale(SMALL)
    assert upscaler.info.model == "nearest"


def test_what_stands_around_the_session_is_closed_with_it(sessions: list[NearestSession]) -> None:
    Upscaler("fast", tta=True, fix_colour=True).close()

    assert sessions[0].closed


def test_a_session_that_was_given_stays_open() -> None:
    session = NearestSession(2)
    with Upscaler(session) as upscaler:
        upscaler.upscale(SMALL)

    assert not session.closed
    with pytest.raises(Closed):
        upscaler.upscale(SMALL)


def test_what_was_opened_as_a_way_out_is_closed_too() -> None:
    again: list[NearestSession] = []

    def reopen(*, device: str, precision: str) -> NearestSession:
        again.append(NearestSession(device=device, precision=precision))
        return again[-1]

    broken = FaultySession(NearestSession(device="cuda:0", precision="fp16"), "nan")
    with Upscaler(broken, reopen=reopen) as upscaler:
        upscaler.upscale(SMALL)

    assert [session.closed for session in again] == [True]


def test_a_model_that_nobody_holds_is_closed(sessions: list[NearestSession]) -> None:
    upscaler = Upscaler("fast")
    strips = upscaler.strips(SMALL.pixels)
    del upscaler
    gc.collect()
    assert not sessions[0].closed

    assert sum(len(strip) for strip in strips) == 8
    del strips
    gc.collect()

    assert sessions[0].closed


def test_closing_waits_for_the_tile_at_work_and_ends_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    class Slow(NearestSession):
        def run(self, batch: Any) -> Any:
            at_work.set()
            assert go_on.wait(20)
            return super().run(batch)

    session = Slow(2)
    monkeypatch.setattr("srgan.runtime.open_session", lambda model, **options: session)
    upscaler = Upscaler("fast", tile=4)
    failures: list[BaseException] = []

    def enlarge() -> None:
        try:
            upscaler.upscale(Picture(pixels=np.zeros((16, 4, 3), np.float32)))
        except Closed as error:
            failures.append(error)

    working, closing = threading.Thread(target=enlarge), threading.Thread(target=upscaler.close)
    working.start()
    assert at_work.wait(20)
    closing.start()
    closing.join(0.1)
    assert not session.closed
    go_on.set()
    working.join(20)
    closing.join(20)

    assert session.closed
    assert len(failures) == 1


@pytest.mark.parametrize("form", ["name", "path", "bundle"])
def test_an_upscaler_comes_out_of_a_pickle_as_it_was_opened(form: str) -> None:
    bundle = find_model("turbo")
    model: Any = {"name": "turbo", "path": bundle.path, "bundle": bundle}[form]
    upscaler = Upscaler(model, scale=3, device="cpu", threads=1, tile=7, tta=True, alpha="resample")

    again = pickle.loads(pickle.dumps(upscaler))

    assert (again.info, again.scale, again.settings) == (upscaler.info, 3, upscaler.settings)
    np.testing.assert_array_equal(again.upscale(SMALL).pixels, upscaler.upscale(SMALL).pixels)


@pytest.mark.parametrize("store", [pickle.dumps, copy.copy])
def test_an_open_session_cannot_be_pickled(store: Any) -> None:
    with pytest.raises(InvalidConfig, match="of an open session cannot be pickled: give it a model by name or path"):
        store(Upscaler(NearestSession(2)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_picture_that_was_begun_before_a_fork_ends_with_a_sentence(tmp_path: Path) -> None:
    strips = Upscaler(NearestSession(2), tile=4).strips(np.zeros((40, 4, 3), np.float32))
    next(strips)
    child = os.fork()
    if child == 0:
        try:
            list(strips)
        except UpscaleFailed as error:
            (tmp_path / "said").write_text(str(error))
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert "started before the process forked" in (tmp_path / "said").read_text()
    assert sum(len(strip) for strip in strips) == 72
