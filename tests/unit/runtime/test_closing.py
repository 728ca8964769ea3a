"""Closing sessions: what was closed is not run, and what stands around a session passes it on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import Closed
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.runtime import FixColour, SelfEnsemble, Session, open_session, opening
from srgan.runtime.disagreement import Disagreement, Trust
from srgan.runtime.session import Closing, SessionInfo, with_name
from srgan.testing import BlurSession, EnsembleSession, FaultySession, NearestSession

BATCH = np.full((1, 3, 4, 4), 0.5, np.float32)


class Old:
    """A session as plug-ins wrote them before there was `close`."""

    info = SessionInfo(model="old", scale=1)

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return batch


def test_a_session_without_close_gets_one() -> None:
    session = Closing(Old())  # type: ignore[arg-type]
    assert session.run(BATCH) is BATCH

    session.close()
    session.close()

    with pytest.raises(Closed, match=r"old: the session was closed.*open the model again"):
        session.run(BATCH)
    assert session.info.model == "old"


def test_a_session_with_close_is_closed_once() -> None:
    calls: list[int] = []
    inner = SimpleNamespace(info=Old.info, run=lambda batch: batch, close=lambda: calls.append(1))
    session = Closing(inner)

    session.close()
    session.close()

    assert calls == [1]


@pytest.mark.parametrize(
    "around",
    [
        SelfEnsemble,
        FixColour,
        lambda session: FaultySession(session, "nan"),
        lambda session: SelfEnsemble(FixColour(session)),
    ],
)
def test_what_stands_around_a_session_passes_it_on(around: object) -> None:
    inner = NearestSession(2)
    session: Session = around(inner)  # type: ignore[operator]

    session.close()

    assert inner.closed
    with pytest.raises(Closed):
        session.run(BATCH)


def test_so_does_what_stands_around_an_ensemble() -> None:
    for session in (Disagreement(EnsembleSession(outputs=("members",))), Trust(EnsembleSession(), 0.5), BlurSession()):
        session.close()
        with pytest.raises(Closed):
            session.run(BATCH)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    info = ModelInfo(name="plugged-x1", network="none", scale=1, radius=0, value_range=(-1.0, 1.0))
    return write_bundle(tmp_path / "bundle", info, {})


def test_a_plug_in_of_old_works_and_can_be_closed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    plugged = SimpleNamespace(load=lambda name: lambda bundle, **options: Old())
    monkeypatch.setattr(opening, "BACKENDS", plugged)
    session = open_session(bundle, backend="plugged")
    np.testing.assert_allclose(session.run(BATCH), BATCH, atol=1e-6)

    session.close()

    with pytest.raises(Closed):
        session.run(BATCH)


def test_a_resampler_is_closed_like_all_others() -> None:
    session = open_session("bicubic", scale=2)
    session.close()
    session.close()

    with pytest.raises(Closed, match="bicubic"):
        session.run(BATCH)


def test_a_device_has_a_form_for_machines_and_one_for_people() -> None:
    plain = SessionInfo(model="m", scale=1)
    named = SessionInfo(model="m", scale=1, device="vulkan:0", device_name="llvmpipe (LLVM 15)")

    assert (plain.device, plain.where) == ("cpu", "cpu")
    assert (named.device, named.where) == ("vulkan:0", "vulkan:0 (llvmpipe (LLVM 15))")
    assert with_name("cuda:1", "") == "cuda:1"
