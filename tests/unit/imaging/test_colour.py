"""Tone curves of colour profiles: to the working space and back."""

from __future__ import annotations

import io
import logging
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageCms

from srgan.imaging import icc, resize
from srgan.imaging.colour import ColourSpace, space_of
from srgan.metrics import delta_e_2000, to_lab

ADOBE = np.array([[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]])
P3 = np.array([[0.5151, 0.2412, -0.0011], [0.2920, 0.6922, 0.0419], [0.1571, 0.0666, 0.7841]])
PROPHOTO = np.array([[0.7977, 0.2880, 0.0], [0.1352, 0.7119, 0.0], [0.0313, 0.0001, 0.8249]])
EVERY_LEVEL = np.linspace(0, 1, 65536)


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(value * 256))


def table(values: np.ndarray) -> bytes:
    samples = np.floor(np.clip(values, 0, 1) * 65535 + 0.5).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", len(values)) + samples


def parametric(kind: int, *numbers: float) -> bytes:
    return b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *(round(n * 65536) for n in numbers))


LINEAR = b"curv" + bytes(8)
SRGB = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
REC2020 = parametric(3, 1 / 0.45, 1 / 1.0993, 0.0993 / 1.0993, 1 / 4.5, 0.081)


def encoded(linear: np.ndarray) -> np.ndarray:
    """The tone curve of sRGB, written a second time so that it is checked."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def packed(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    place, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, place + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return struct.pack(">I", place + len(body)) + header[4:128] + struct.pack(">I", len(tags)) + entries + body


def rgb_profile(*curves: bytes, primaries: np.ndarray = ADOBE) -> bytes:
    plain = icc.matrix_profile("made by a test", primaries)
    red, green, blue = curves if len(curves) == 3 else curves * 3
    return packed(plain, icc.read_profile(plain).tags | {b"rTRC": red, b"gTRC": green, b"bTRC": blue})


def gray_profile(curve: bytes, connection: bytes = b"XYZ ") -> bytes:
    plain = icc.matrix_profile("made by a test", ADOBE)
    tags = icc.read_profile(plain).tags
    header = plain[:16] + b"GRAY" + connection + plain[24:128]
    return packed(header, {name: tags[name] for name in (b"desc", b"cprt", b"wtpt")} | {b"kTRC": curve})


def levels(channels: int = 3) -> np.ndarray:
    return EVERY_LEVEL.astype(np.float32).reshape(256, 256, 1).repeat(channels, axis=2)


def opened(profile: bytes, model: str = "RGB") -> ColourSpace:
    space = space_of(profile, model)  # type: ignore[arg-type]
    assert space is not None
    assert space.model == model
    return space


def lab(values: np.ndarray, profile: bytes) -> np.ndarray:
    """What the profile says the values look like, by LittleCMS."""
    import pyvips

    kind = {1: "grey16", 3: "rgb16", 4: "cmyk"}[values.shape[2]]
    integers = np.floor(np.clip(values, 0, 1) * 65535 + 0.5).astype(np.uint16)
    image = pyvips.Image.new_from_array(integers, interpretation=kind).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return np.asarray(image.icc_import(intent="relative", pcs="lab", embedded=True).numpy())


def photograph(seed: int, channels: int = 3) -> np.ndarray:
    """Soft shapes of many colours with some detail, from the darkest value to the brightest, 64 x 80."""
    random = np.random.default_rng(seed)
    soft = resize(random.random((5, 6, channels)).astype(np.float32), 64, 80)
    fine = resize(random.normal(0, 0.03, (16, 20, channels)).astype(np.float32), 64, 80)
    return np.clip((soft - 0.5) * 1.4 + 0.5 + fine, 0, 1)


def through_the_upscaler(space: ColourSpace, values: np.ndarray) -> np.ndarray:
    """To the working space, four times as large, as large as before, and back, in 8 bits."""
    working = space.to_working(values)
    height, width = values.shape[:2]
    larger = np.clip(resize(working, 4 * height, 4 * width), 0, 1)
    back = space.from_working(resize(larger, height, width))
    return (np.floor(back * 255 + 0.5) / 255).astype(np.float32)


# ------------------------------------------------------------------------------------- nothing to be done


def test_untagged_gray_and_rgb_stay_as_they_are() -> None:
    for nothing in (None, b""):
        assert space_of(nothing, "RGB") is None
        assert space_of(nothing, "GRAY") is None


def srgb_profiles() -> dict[str, bytes]:
    import pyvips

    return {
        "Pillow's": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "libvips'": pyvips.Image.profile_load("srgb"),
        "libvips' P3": pyvips.Image.profile_load("p3"),
        "parametric P3": rgb_profile(SRGB, primaries=P3),
        "1024 samples": rgb_profile(table(np.interp(np.linspace(0, 1, 1024), encoded(EVERY_LEVEL), EVERY_LEVEL))),
    }


def test_profiles_with_the_curve_of_srgb_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    for name, profile in srgb_profiles().items():
        assert space_of(profile, "RGB") is None, name
    assert space_of(gray_profile(SRGB), "GRAY") is None
    assert not caplog.records


def test_a_curve_slightly_beside_that_of_srgb_is_followed() -> None:
    near = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92 + 0.002, 0.04045)
    assert space_of(rgb_profile(near), "RGB") is not None
    assert space_of(rgb_profile(SRGB, SRGB, gamma(2.2)), "RGB") is not None


# ----------------------------------------------------------------------------------------------- curves


CURVES = {
    "linear": (LINEAR, lambda x: x),
    "gamma 1": (gamma(1), lambda x: x),
    "gamma 1.8": (gamma(1.8), lambda x: x ** (461 / 256)),
    "gamma 2.2": (gamma(2.19921875), lambda x: x**2.19921875),
    "gamma 2.4": (gamma(2.4), lambda x: x ** (614 / 256)),
    "kind 0": (parametric(0, 2.5), lambda x: x**2.5),
    "kind 1": (parametric(1, 2, 0.75, 0.25), lambda x: (0.75 * x + 0.25) ** 2),
    "kind 2": (parametric(2, 2, 0.5, 0.25, 0.4375), lambda x: (0.5 * x + 0.25) ** 2 + 0.4375),
    "kind 3": (parametric(3, 2, 0.75, 0.25, 0.5, 0.25), lambda x: np.where(x >= 0.25, (0.75 * x + 0.25) ** 2, x / 2)),
    "kind 4": (
        parametric(4, 2, 0.75, 0.125, 0.25, 0.25, 0.125, 0.0625),
        lambda x: np.where(x >= 0.25, (0.75 * x + 0.125) ** 2 + 0.125, x / 4 + 0.0625),
    ),
    "two samples": (table(np.array([0.2, 0.9])), lambda x: np.round(0.2 * 65535) / 65535 + x * 45874.5 / 65535),
}


@pytest.mark.parametrize("name", CURVES)
def test_each_16_bit_level_goes_where_it_should(name: str) -> None:
    curve, formula = CURVES[name]
    working = opened(rgb_profile(curve)).to_working(levels())
    exact = encoded(np.clip(formula(EVERY_LEVEL), 0, 1)).reshape(256, 256, 1)
    assert working.dtype == np.float32
    assert np.abs(working - exact).max() < 0.5 / 65535


WHOLE = ("linear", "gamma 1", "gamma 1.8", "gamma 2.2", "gamma 2.4", "kind 0")


@pytest.mark.parametrize("curve", [*(CURVES[name][0] for name in WHOLE), REC2020])
def test_each_16_bit_level_comes_back(curve: bytes) -> None:
    space = opened(rgb_profile(curve))
    assert np.abs(space.from_working(space.to_working(levels())) - levels()).max() < 0.1 / 65535


@pytest.mark.parametrize("name", ["kind 1", "kind 2", "two samples"])
def test_levels_come_back_through_curves_that_miss_black_or_white(name: str) -> None:
    space = opened(rgb_profile(CURVES[name][0]))
    assert np.abs(space.from_working(space.to_working(levels())) - levels()).max() < 0.02 / 255


@pytest.mark.parametrize("entries", [256, 1024, 4096])
def test_levels_come_back_through_sampled_curves_where_these_rise(entries: int) -> None:
    samples = np.linspace(0, 1, entries) ** 2.2
    space = opened(rgb_profile(table(samples)))
    back = space.from_working(space.to_working(levels()))[..., 0].ravel()
    error = np.abs(back - EVERY_LEVEL)
    assert error[EVERY_LEVEL > 0.06].max() < 0.5 / 65535
    # Darker samples, in integers of 16 bits, are alike by twos and threes, and the first ones are all black.
    assert error[EVERY_LEVEL > 1.5 / 255].max() < 0.5 / 255


@pytest.mark.parametrize("curve", [LINEAR, gamma(1.8), gamma(2.2), REC2020])
def test_each_8_bit_level_comes_back_through_noise_of_a_network(curve: bytes) -> None:
    space = opened(rgb_profile(curve))
    values = np.repeat(np.arange(256, dtype=np.float32)[None, :, None] / 255, 3, axis=2)
    noise = np.random.default_rng(3).uniform(-1e-6, 1e-6, values.shape).astype(np.float32)
    back = space.from_working(space.to_working(values) + noise)
    assert np.array_equal(np.floor(back * 255 + 0.5), np.floor(values * 255 + 0.5))


@pytest.mark.parametrize("falling", [False, True])
def test_black_and_white_come_back_where_a_curve_has_dead_ends(falling: bool) -> None:
    samples = np.clip(np.linspace(-0.3, 1.3, 200), 0, 1)
    space = opened(gray_profile(table(samples[::-1] if falling else samples)), "GRAY")
    ends = np.array([[[0], [1]]], np.float32)
    np.testing.assert_array_equal(space.from_working(ends), ends[:, ::-1] if falling else ends)


def test_values_between_levels_and_beyond_the_ends() -> None:
    space = opened(rgb_profile(LINEAR))
    values = np.array([[[1e-6, 2e-6, 0.3000001], [-0.5, 1.5, np.nan]]], np.float32)
    working = space.to_working(values)
    np.testing.assert_allclose(working[0, 0], encoded(values[0, 0].astype(np.float64)), rtol=1e-3)
    assert working[0, 1].tolist() == [0, 1, 0]
    assert space.from_working(values)[0, 1].tolist() == [0, 1, 0]


def test_each_channel_has_its_own_curve() -> None:
    space = opened(rgb_profile(LINEAR, SRGB, gamma(1.8)))
    working = space.to_working(levels())
    np.testing.assert_allclose(working[..., 0].ravel(), encoded(EVERY_LEVEL), atol=1e-5)
    np.testing.assert_array_equal(working[..., 1], levels()[..., 1])
    np.testing.assert_allclose(working[..., 2].ravel(), encoded(EVERY_LEVEL ** (461 / 256)), atol=1e-5)
    np.testing.assert_allclose(space.from_working(working), levels(), atol=1e-6)


def test_gray_stays_one_channel_and_needs_no_profile_in_rgb() -> None:
    space = opened(gray_profile(gamma(2.2)), "GRAY")
    working = space.to_working(levels(1))
    assert working.shape == (256, 256, 1)
    np.testing.assert_allclose(working.ravel(), encoded(EVERY_LEVEL ** (563 / 256)), atol=1e-6)
    np.testing.assert_allclose(space.from_working(working), levels(1), atol=1e-6)
    assert space.working_profile is None


def test_gray_may_fall_with_the_value() -> None:
    space = opened(gray_profile(table(np.linspace(1, 0, 256))), "GRAY")
    working = space.to_working(levels(1))
    np.testing.assert_allclose(working.ravel(), encoded(EVERY_LEVEL[::-1]), atol=1e-5)
    np.testing.assert_allclose(space.from_working(working), levels(1), atol=1e-5)


def test_gray_that_leads_to_lab_gives_lightness() -> None:
    working = opened(gray_profile(LINEAR, b"Lab "), "GRAY").to_working(levels(1))
    lightness = to_lab(working.repeat(3, axis=2))[..., 0]
    np.testing.assert_allclose(lightness, 100 * levels(1)[..., 0], atol=1e-3)


def test_strips_give_what_the_whole_gives_and_inputs_are_left_alone() -> None:
    space = opened(rgb_profile(gamma(2.2), LINEAR, gamma(2.2)))
    whole = photograph(1)
    before = whole.copy()
    strips = [space.to_working(whole[top : top + 7]) for top in range(0, len(whole), 7)]
    np.testing.assert_array_equal(np.concatenate(strips), space.to_working(whole))
    strips = [space.from_working(whole[:, left : left + 9]) for left in range(0, 80, 9)]
    np.testing.assert_array_equal(np.concatenate(strips, axis=1), space.from_working(whole))
    np.testing.assert_array_equal(whole, before)


def test_threads_share_a_space() -> None:
    profile, picture = rgb_profile(gamma(2.2)), photograph(2)
    expected = opened(profile).to_working(picture)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: opened(profile).to_working(picture), range(20)):
            np.testing.assert_array_equal(result, expected)
    assert space_of(profile, "RGB") is space_of(bytes(bytearray(profile)), "RGB")


# ------------------------------------------------------------------------------------------------ meaning


PROFILES = {
    "Adobe RGB": rgb_profile(gamma(2.19921875)),
    "ProPhoto": rgb_profile(gamma(1.8), primaries=PROPHOTO),
    "linear": rgb_profile(LINEAR),
    "Rec. 2020 curve": rgb_profile(REC2020, primaries=P3),
}


@pytest.mark.parametrize("name", PROFILES)
def test_the_working_profile_says_that_nothing_changed(name: str) -> None:
    space, picture = opened(PROFILES[name]), photograph(4)
    assert space.working_profile is not None
    difference = delta_e_2000(lab(picture, PROFILES[name]), lab(space.to_working(picture), space.working_profile))
    assert difference.max() < 0.5  # LittleCMS has its own error, in dark colours
    assert difference.mean() < 0.05
    wrong = delta_e_2000(lab(picture, PROFILES[name]), lab(picture, space.working_profile))
    assert wrong.mean() > 0.3  # the test can tell


@pytest.mark.parametrize("name", PROFILES)
def test_a_photograph_keeps_its_colours_through_the_upscaler(name: str) -> None:
    picture = photograph(5)
    back = through_the_upscaler(opened(PROFILES[name]), picture)
    assert delta_e_2000(lab(picture, PROFILES[name]), lab(back, PROFILES[name])).mean() <= 0.5


def test_a_gray_photograph_keeps_its_tones_through_the_upscaler() -> None:
    profile, picture = gray_profile(gamma(2.2)), photograph(6, 1)
    back = through_the_upscaler(opened(profile, "GRAY"), picture)
    assert delta_e_2000(lab(picture, profile), lab(back, profile)).mean() <= 0.5


def test_others_can_open_the_working_profile() -> None:
    profile = opened(PROFILES["ProPhoto"]).working_profile
    assert profile is not None
    seen = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert seen.profile.is_matrix_shaper
    assert seen.profile.xcolor_space.strip() == "RGB"
    assert "sRGB tone curve" in ImageCms.getProfileDescription(seen)
    assert int.from_bytes(profile[:4], "big") == len(profile)
    np.testing.assert_allclose(seen.profile.red_colorant[0], PROPHOTO[0], atol=1e-4)
    assert space_of(profile, "RGB") is None


# ------------------------------------------------------------------------------------------------ hostile


def replaced(profile: bytes, place: int, data: bytes) -> bytes:
    return profile[:place] + data + profile[place + len(data) :]


GOOD = PROFILES["Adobe RGB"]
BAD = {
    "not a profile": b"not a profile",
    "zeros": bytes(500),
    "only a header": GOOD[:128],
    "cut in the table": GOOD[:180],
    "cut in the tags": GOOD[:-30],
    "no magic": replaced(GOOD, 36, b"xxxx"),
    "a device link": replaced(GOOD, 12, b"link"),
    "Lab pixels": replaced(GOOD, 16, b"Lab "),
    "no connection": replaced(GOOD, 20, b"RGB "),
    "a billion tags": replaced(GOOD, 128, b"\x40\0\0\0"),
    "a tag beyond the end": replaced(GOOD, 136, b"\xff\xff\xff\xff"),
    "no curve": rgb_profile(b""),
    "curve of an unknown type": rgb_profile(b"text" + bytes(20)),
    "curve with a lying count": rgb_profile(b"curv" + bytes(4) + b"\xff\xff\xff\xff" + bytes(8)),
    "parametric of kind 9": rgb_profile(parametric(9, 1, 1, 1, 1, 1, 1, 1)),
    "parametric cut short": rgb_profile(parametric(4, 2.2)),
    "parametric without a slope": rgb_profile(parametric(1, 2.2, 0, 0)),
    "parametric that explodes": rgb_profile(parametric(0, -3)),
    "constant": rgb_profile(gamma(0)),
    "all black": rgb_profile(table(np.zeros(16))),
    "up and down": rgb_profile(table(np.abs(np.linspace(-1, 1, 256)))),
    "primaries of an unknown type": packed(GOOD, icc.read_profile(GOOD).tags | {b"rXYZ": b"text" + bytes(16)}),
    "gray without a curve": gray_profile(b""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_profile_is_left_alone_with_a_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert space_of(BAD[name], "GRAY" if name.startswith("gray") else "RGB") is None
    assert "cannot be used" in caplog.text


def test_a_profile_for_another_model_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert space_of(GOOD, "GRAY") is None
    assert space_of(gray_profile(gamma(2.3)), "RGB") is None
    assert caplog.text.count("in a picture that is") == 2


def test_small_falls_of_a_measured_curve_are_forgiven() -> None:
    samples = np.linspace(0, 1, 256) ** 1.5
    samples[100] = samples[98]
    space = opened(rgb_profile(table(samples)))
    assert (np.diff(space.to_working(levels())[..., 0].ravel()) >= 0).all()
    assert np.abs(space.from_working(space.to_working(levels())) - levels()).max() < 2 / 255


@given(
    st.sampled_from([GOOD, PROFILES["Rec. 2020 curve"], rgb_profile(table(np.linspace(0, 1, 64) ** 2))]),
    st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=4)), max_size=6),
    st.integers(0, 700),
)
def test_no_bytes_raise(profile: bytes, changes: list[tuple[int, bytes]], length: int) -> None:
    for place, data in changes:
        profile = replaced(profile, min(place, len(profile)), data)
    check_it_never_raises(profile[:length] if length > 132 else profile, "RGB")


@given(st.lists(st.tuples(st.integers(128, 400), st.binary(min_size=1, max_size=4)), max_size=6))
def test_no_bytes_of_a_gray_profile_raise(changes: list[tuple[int, bytes]]) -> None:
    profile = gray_profile(parametric(4, 2, 0.75, 0.125, 0.25, 0.25, 0.125, 0.0625))
    for place, data in changes:
        profile = replaced(profile, min(place, len(profile)), data)
    check_it_never_raises(profile, "GRAY")


def check_it_never_raises(profile: bytes, model: str) -> None:
    space = space_of(profile, model)  # type: ignore[arg-type]
    if space is not None:
        channels = {"GRAY": 1, "RGB": 3, "CMYK": 4}[model]
        values = photograph(7, channels)[:6, :8]
        working = space.to_working(values)
        assert working.shape == (6, 8, min(channels, 3))
        back = space.from_working(working)
        assert back.shape == values.shape
        for result in (working, back):
            assert np.isfinite(result).all()
            assert 0 <= result.min() <= result.max() <= 1
