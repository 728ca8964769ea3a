"""What a result can be seen to be wrong by."""

from __future__ import annotations

import numpy as np
import pytest

from srgan.errors import UpscaleFailed
from srgan.runtime.faults import fault_of, refuse_faulty
from srgan.runtime.session import SessionInfo

BATCH = np.linspace(0, 1, 2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
GOOD = BATCH.repeat(2, axis=2).repeat(2, axis=3)
INFO = SessionInfo(model="some", scale=2)


def with_one(value: float) -> np.ndarray:
    changed = GOOD.copy()
    changed[1, 2, 3, 4] = value
    return changed


def test_a_good_result_has_no_fault() -> None:
    assert fault_of(BATCH, GOOD, 2) is None
    refuse_faulty(INFO, BATCH, GOOD)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (GOOD[..., 1:], "shape"),
        (GOOD.astype(np.uint8), "uint8"),
        (with_one(np.nan), "not numbers"),
        (with_one(np.inf), "not numbers"),
        (np.zeros_like(GOOD), "black"),
        (np.full_like(GOOD, 0.5), "flat"),
    ],
    ids=["shape", "type", "nan", "infinity", "black", "flat"],
)
def test_each_fault_is_told_and_refused(result: np.ndarray, words: str) -> None:
    assert words in (fault_of(BATCH, result, 2) or "")
    with pytest.raises(UpscaleFailed, match=f"some: a run .*{words}"):
        refuse_faulty(INFO, BATCH, result)


def test_a_dark_or_even_picture_may_stay_so() -> None:
    assert fault_of(BATCH * 0.01, GOOD * 0, 2) is None
    assert fault_of(BATCH * 0.05 + 0.5, GOOD * 0 + 0.5, 2) is None


def test_the_scale_of_a_result_that_was_made_smaller_can_be_given() -> None:
    refuse_faulty(INFO, BATCH, BATCH, scale=1)
    with pytest.raises(UpscaleFailed):
        refuse_faulty(INFO, BATCH, BATCH)
