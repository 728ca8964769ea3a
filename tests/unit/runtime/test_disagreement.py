"""Where members disagree, and the blend towards the one trained for PSNR."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import UpscaleFailed
from srgan.runtime.disagreement import FULL, Disagreement, Trust, disagreement
from srgan.runtime.selfensemble import SelfEnsemble
from srgan.testing import EnsembleSession, FaultySession

Batch = NDArray[np.float32]
BOTH = ("mean", "members")


def random(*shape: int) -> Batch:
    return np.random.default_rng(5).random(shape, dtype=np.float32)


def edge(channels: int = 3) -> Batch:
    """Dark on the left, where the members agree, bright on the right."""
    picture = np.full((1, channels, 6, 8), 0.25, np.float32)
    picture[..., 4:] = 0.75
    return picture


# ------------------------------------------------------------------------------------------------- the measure


def test_it_is_the_standard_deviation_of_the_lumas() -> None:
    members = random(2, 12, 5, 7)
    luma = np.stack([members[:, k : k + 3].transpose(0, 2, 3, 1) @ [0.299, 0.587, 0.114] for k in (0, 3, 6, 9)])

    measured = disagreement(members, 3)

    assert (measured.shape, measured.dtype) == ((2, 1, 5, 7), np.float32)
    np.testing.assert_allclose(measured[:, 0], luma.std(axis=0), atol=1e-6)


def test_of_gray_pictures_the_value_counts() -> None:
    members = random(1, 3, 4, 4)

    np.testing.assert_allclose(disagreement(members, 1)[:, 0], members.std(axis=1), atol=1e-6)


def test_colours_that_are_equally_bright_do_not_count() -> None:
    one = np.array([0.587, 0.0, 0.0], np.float32)
    other = np.array([0.0, 0.299, 0.0], np.float32)
    members = np.concatenate([one, other])[None, :, None, None]

    assert disagreement(members, 3).max() < 1e-6


def test_the_most_there_can_be_is_half() -> None:
    assert disagreement(np.array([0, 0, 1, 1], np.float32)[None, :, None, None], 1).item() == 0.5


# ----------------------------------------------------------------------------------------------------- the map


def test_the_map_is_a_picture_in_form_with_the_measure_in_every_channel() -> None:
    session = Disagreement(EnsembleSession(2, outputs=("members",)))

    made = session.run(edge())

    assert (made.shape, made.dtype, made.flags.c_contiguous) == ((1, 3, 12, 16), np.float32, True)
    assert np.abs(made[..., :8]).max() < 1e-6
    np.testing.assert_allclose(made[..., 8:], 0.1 * np.sqrt(2 / 3), atol=1e-6)
    assert not session.info.picture


def test_a_map_of_full_agreement_is_no_fault() -> None:
    session = Disagreement(EnsembleSession(2, outputs=("members",), spread=0))

    assert not session.run(edge()).any()
    assert not SelfEnsemble(session).run(edge()).any()


def test_the_map_commutes_with_turns_as_the_members_do() -> None:
    session = Disagreement(EnsembleSession(2, outputs=("members",)))

    np.testing.assert_allclose(SelfEnsemble(session).run(edge()), session.run(edge()), atol=1e-6)


# ------------------------------------------------------------------------------------------------------- trust


@pytest.mark.parametrize("trust", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("spread", [0.01, 0.1])
def test_the_blend_follows_its_formula(trust: float, spread: float) -> None:
    batch = random(2, 3, 5, 4)
    inner = EnsembleSession(2, outputs=BOTH, spread=spread)
    picture, members = np.split(inner.run(batch), [3], axis=1)
    weight = trust * np.minimum(1, disagreement(members, 3) / FULL)
    wanted = picture + weight * (members[:, :3] - picture)

    made = Trust(inner, trust).run(batch)

    assert made.dtype == np.float32
    np.testing.assert_allclose(made, wanted, atol=1e-6)


def test_full_trust_is_the_psnr_member_where_they_disagree_and_the_picture_where_they_do_not() -> None:
    made = Trust(EnsembleSession(2, outputs=BOTH), 1.0).run(edge())

    assert np.array_equal(made[..., :8], np.full((1, 3, 12, 8), 0.25, np.float32))
    np.testing.assert_allclose(made[..., 8:], 0.85, atol=1e-6)


def test_the_session_tells_what_its_picture_is() -> None:
    inner = EnsembleSession(4, outputs=BOTH, radius=3, multiple=2)
    info = Trust(inner, 0.5).info

    assert (info.outputs, info.picture, info.radius, info.multiple) == (("mean",), True, 3, 2)
    assert info.working_bytes_per_pixel > inner.info.working_bytes_per_pixel


@pytest.mark.parametrize("fault", ["nan", "black", "flat", "shape"])
@pytest.mark.parametrize("around", [lambda session: Trust(session, 0.5), Disagreement])
def test_a_member_that_cannot_be_right_is_refused(around: object, fault: str) -> None:
    outputs = ("members",) if around is Disagreement else BOTH
    broken = FaultySession(EnsembleSession(2, outputs=outputs), fault)  # type: ignore[arg-type]

    with pytest.raises(UpscaleFailed, match="three: a run came out"):
        around(broken).run(random(1, 3, 8, 8))  # type: ignore[operator]
