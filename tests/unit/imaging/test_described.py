"""What numbers say of colours, held against other people's figures; numbers that mean nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ImageCms

from srgan.imaging import icc
from srgan.imaging.colour import space_described, space_of
from srgan.imaging.described import (
    CodePoints,
    Described,
    Gamma,
    StandardRgb,
    checked,
    colorants,
    in_profile,
    is_bright,
    is_known,
    light_of,
    paper,
    profile_of,
)

SRGB_PLACES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_PLACES = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
P3 = np.array([[0.5151, 0.2412, -0.0011], [0.2920, 0.6922, 0.0419], [0.1571, 0.0666, 0.7841]])
"""Display P3 as its profile has it, adapted to D50."""
ADOBE = np.array([[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]])
BT2020 = np.array([[0.67348, 0.27904, -0.00193], [0.16567, 0.67534, 0.02998], [0.12505, 0.04561, 0.79685]])
KNOWN_PRIMARIES = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 22)
KNOWN_TRANSFERS = (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
EVERY_LEVEL = np.arange(65536, dtype=np.float32).reshape(256, 256, 1) / 65535
X = np.linspace(0, 1, 33)


def points(primaries: int, transfer: int, **more: object) -> CodePoints:
    return CodePoints(primaries=primaries, transfer=transfer, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (points(12, 13), P3),
        (points(9, 16), BT2020),
        (Gamma(chromaticities=ADOBE_PLACES), ADOBE),
    ],
)
def test_primaries_are_those_of_the_profiles_that_everybody_uses(said: Described, expected: np.ndarray) -> None:
    found = colorants(said)
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("primaries", KNOWN_PRIMARIES)
def test_red_green_and_blue_together_are_white(primaries: int) -> None:
    found = colorants(points(primaries, 13))
    if found is not None:
        np.testing.assert_allclose(found.sum(axis=0), (0.9642, 1.0, 0.8249), atol=2e-3)


@pytest.mark.parametrize(
    "said",
    [
        StandardRgb(),
        points(1, 13),
        points(2, 2),
        points(1, 1),
        points(1, 6),
        Gamma(gamma=45455),
        Gamma(gamma=45455, chromaticities=SRGB_PLACES),
        Gamma(gamma=45000, chromaticities=SRGB_PLACES),
        Gamma(chromaticities=SRGB_PLACES),
        Gamma(gamma=46000, chromaticities=(31300, 32900, *SRGB_PLACES[2:])),
    ],
)
def test_plain_srgb_needs_neither_a_way_nor_a_profile(said: Described) -> None:
    assert space_described(said, "RGB") is None
    assert space_described(said, "GRAY") is None
    assert profile_of(said, gray=False) is None
    assert colorants(said) is None


@pytest.mark.parametrize(
    ("said", "power"),
    [
        (Gamma(gamma=100_000), 1.0),
        (Gamma(gamma=55_556), 1.8),
        (Gamma(gamma=45_455, chromaticities=ADOBE_PLACES), 2.2),
        (points(1, 4), 2.2),
        (points(1, 5), 2.8),
        (points(9, 8), 1.0),
        (points(12, 17), 2.6),
    ],
)
def test_powers(said: Described, power: float) -> None:
    light = light_of(said, X)
    assert light is not None
    np.testing.assert_allclose(light, X**power, atol=1e-4)


def test_a_logarithm_has_two_decades_or_two_and_a_half() -> None:
    for transfer, black in ((9, 0.01), (10, 10**-2.5)):
        light = light_of(points(1, transfer), np.array([0, 1e-9, 0.5, 1]))
        assert light is not None
        np.testing.assert_allclose(light, [0, black, np.sqrt(black), 1], rtol=1e-6)


@pytest.mark.parametrize("transfer", KNOWN_TRANSFERS)
@pytest.mark.parametrize("full_range", [True, False])
def test_all_65536_values_come_back_exactly(transfer: int, full_range: bool) -> None:
    space = space_described(points(9, transfer, full_range=full_range), "GRAY")
    if space is not None:
        back = np.floor(space.from_working(space.to_working(EVERY_LEVEL)) * 65535 + 0.5)
        np.testing.assert_array_equal(back, np.arange(65536).reshape(256, 256, 1))


@pytest.mark.parametrize("gamma", [20_000, 38_462, 55_556, 70_000, 100_000, 300_000, 1_000_000])
def test_every_gamma_that_is_followed_comes_back_exactly(gamma: int) -> None:
    said = Gamma(gamma=gamma, chromaticities=ADOBE_PLACES)
    assert checked(said) == (said, None)
    space = space_described(said, "RGB")
    assert space is not None
    values = np.repeat(EVERY_LEVEL, 3, axis=2)
    back = np.floor(space.from_working(space.to_working(values)) * 65535 + 0.5)
    np.testing.assert_array_equal(back, np.round(values * 65535))


def test_the_network_sees_linear_light_with_the_curve_of_srgb() -> None:
    space = space_described(Gamma(gamma=100_000), "RGB")
    assert space is not None
    assert space.working_profile is None
    linear = np.full((1, 1, 3), 0.214, np.float32)
    np.testing.assert_allclose(space.to_working(linear), 0.5, atol=1e-3)


@pytest.mark.parametrize("transfer", [16, 18])
def test_pq_and_hlg_are_left_as_they_are_and_nothing_is_clipped(transfer: int) -> None:
    said = points(9, transfer)
    assert is_bright(said)
    assert space_described(said, "RGB") is None
    assert space_of(profile_of(said, gray=False), "RGB") is None


def test_narrow_range_is_left_as_it_is_since_values_may_lie_beyond_white() -> None:
    for transfer in KNOWN_TRANSFERS:
        assert space_described(points(1, transfer, full_range=False), "RGB") is None


def test_white_paper_in_pq_hlg_and_narrow_range() -> None:
    assert paper(None) == paper(StandardRgb()) == paper(points(9, 1)) == 1
    assert paper(points(9, 16)) == pytest.approx(0.581, abs=1e-3)
    assert paper(points(9, 18)) == 0.75
    assert paper(points(1, 13, full_range=False)) == pytest.approx(235 / 255)
    assert paper(points(9, 18, full_range=False)) == pytest.approx((16 + 0.75 * 219) / 255)


# ---------------------------------------------------------------------------------------------------- profiles


@pytest.mark.parametrize("primaries", KNOWN_PRIMARIES)
@pytest.mark.parametrize(("transfer", "full_range"), [(13, True), (13, False), (16, True), (18, False), (8, False)])
def test_others_can_open_every_profile(primaries: int, transfer: int, full_range: bool) -> None:
    profile = profile_of(points(primaries, transfer, full_range=full_range), gray=False)
    if profile is None:
        assert (transfer, full_range) == (13, True)
        assert primaries in (1, 2)
        return
    seen = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert seen.profile.is_matrix_shaper
    assert len(profile) == int.from_bytes(profile[:4], "big")
    assert (seen.profile.version == 4.4) == (transfer != 13 or not full_range)


@pytest.mark.parametrize("transfer", [16, 18])
def test_a_profile_has_the_code_points_and_a_curve_for_who_cannot_read_them(transfer: int) -> None:
    profile = profile_of(points(9, transfer), gray=False)
    assert in_profile(profile) == points(9, transfer)
    assert profile is not None
    curve = icc.tone_curve(icc.read_profile(profile).tags[b"gTRC"], np.linspace(0, 1, 1001))
    assert curve[0] == 0
    assert curve[-1] == 1
    assert (np.diff(curve) >= 0).all()
    white = np.interp(paper(points(9, transfer)), np.linspace(0, 1, 1001), curve)
    assert 0.6 < white < 0.95  # paper is light, and there is something lighter
    peak = 0.7518 if transfer == 16 else 1.0
    assert np.interp(peak, np.linspace(0, 1, 1001), curve) > 0.999
    dark = np.interp(0.3 if transfer == 16 else 0.255, np.linspace(0, 1, 1001), curve)
    assert 0.04 < dark < 0.06  # 10 of 203 candelas


def test_narrow_range_is_spread_by_the_curve_of_its_profile() -> None:
    profile = profile_of(points(1, 13, full_range=False), gray=True)
    assert profile is not None
    curve = icc.tone_curve(icc.read_profile(profile).tags[b"rTRC"], np.array([0, 16, 126, 235, 255]) / 255)
    np.testing.assert_allclose(curve, [0, 0, 0.2159, 1, 1], atol=2e-3)


def test_gray_needs_no_profile_for_its_primaries() -> None:
    assert profile_of(points(12, 13), gray=True) is None
    assert profile_of(points(9, 16), gray=True) is not None


@pytest.mark.parametrize("profile", [None, b"", b"junk", icc.matrix_profile("x", ADOBE)])
def test_profiles_without_code_points(profile: bytes | None) -> None:
    assert in_profile(profile) is None


def test_code_points_in_a_profile_count_only_where_its_curves_cannot_say_it() -> None:
    for code in (b"\x0c\x0d\0\1", b"\xc8\x10\0\1", b"\x09\x10\x09\1"):
        assert in_profile(icc.matrix_profile("x", ADOBE, code_points=code)) is None
    assert in_profile(icc.matrix_profile("x", ADOBE, code_points=b"\x09\x12\0\1")) == points(9, 18)


# ----------------------------------------------------------------------------------------------------- nonsense


@pytest.mark.parametrize(
    "places",
    [
        (0,) * 8,
        (31270, 0, *SRGB_PLACES[2:]),
        (*SRGB_PLACES[:6], 64000, 33000),  # blue is red
        (31270, 32900, 20000, 20000, 30000, 30000, 40000, 40000),  # on a line
        (64000, 10000, *SRGB_PLACES[2:]),  # white outside
        (2**32 - 1,) * 8,
        (31270, 32900, 2**31, 33000, 30000, 60000, 15000, 6000),
    ],
)
def test_primaries_that_make_no_triangle_are_dropped_with_a_word(places: tuple[int, ...]) -> None:
    left, fault = checked(Gamma(gamma=100_000, chromaticities=places))
    assert left == Gamma(gamma=100_000)
    assert fault is not None
    assert "triangle" in fault
    assert checked(Gamma(chromaticities=places))[0] is None


def test_a_blue_without_any_light_is_one() -> None:
    said = Gamma(gamma=100_000, chromaticities=(31270, 32900, 73470, 26530, 0, 100_000, 100, 0))
    assert checked(said) == (said, None)
    found = colorants(said)
    assert found is not None
    assert np.isfinite(found).all()


@pytest.mark.parametrize("gamma", [0, 2**31, 2**32 - 1])
def test_a_gamma_that_means_nothing_is_dropped_with_a_word(gamma: int) -> None:
    left, fault = checked(Gamma(gamma=gamma, chromaticities=ADOBE_PLACES))
    assert left == Gamma(chromaticities=ADOBE_PLACES)
    assert fault is not None
    assert str(gamma) in fault


@pytest.mark.parametrize("gamma", [1, 19_999, 1_000_001, 2**31 - 1])
def test_a_gamma_beyond_reason_stays_and_is_not_followed(gamma: int) -> None:
    said = Gamma(gamma=gamma)
    left, fault = checked(said)
    assert left == said
    assert fault is not None
    assert "taken as they are" in fault
    assert not is_known(said)
    assert light_of(said, X) is None
    assert profile_of(said, gray=False) is None


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (points(0, 13), "primaries 0"),
        (points(3, 13), "primaries 3"),
        (points(255, 16), "primaries 255"),
        (points(1, 0), "transfer 0"),
        (points(9, 19), "transfer 19"),
        (points(9, 16, matrix=9), "matrix 9"),
    ],
)
def test_unknown_code_points_stay_with_a_word_and_are_not_followed(said: CodePoints, named: str) -> None:
    left, fault = checked(said)
    assert left == said
    assert fault is not None
    assert named in fault
    assert not is_known(said)
    assert not is_bright(said)
    assert space_described(said, "RGB") is None
    assert profile_of(said, gray=False) is None
    assert paper(said) == 1
