"""CMYK, and RGB profiles of tables: through LittleCMS to the working space and back."""

from __future__ import annotations

import io
import logging
import struct
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageCms

from srgan.imaging import icc, resize
from srgan.imaging.colour import ColourSpace, space_of
from srgan.metrics import delta_e_2000

WHITE = np.array([0.9642, 1.0, 0.8249])
ADOBE = np.array([[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]])


@cache
def cmyk() -> bytes:
    """The profile of a press that libvips brings along."""
    import pyvips

    return bytes(pyvips.Image.profile_load("cmyk"))


def packed(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    place, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, place + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return struct.pack(">I", place + len(body)) + header[4:128] + struct.pack(">I", len(tags)) + entries + body


def table_tag(values: np.ndarray) -> bytes:
    """An ``mft2`` tag of a cube of values in [0, 1], side x side x side x 3, without curves."""
    side = len(values)
    head = b"mft2" + bytes(4) + bytes([3, 3, side, 0]) + struct.pack(">9i", *[65536, 0, 0, 0, 65536, 0, 0, 0, 65536])
    line = struct.pack(">HH", 0, 65535) * 3
    return head + struct.pack(">HH", 2, 2) + line + np.round(values * 65535).astype(">u2").tobytes() + line


@cache
def rgb_tables() -> bytes:
    """A profile of RGB whose tables say the same as Adobe RGB's curves and primaries; it has no curves."""
    plain = icc.matrix_profile("made by a test", ADOBE)
    tags = {name: icc.read_profile(plain).tags[name] for name in (b"desc", b"cprt", b"wtpt")}
    device = np.stack(np.meshgrid(*[np.linspace(0, 1, 17)] * 3, indexing="ij"), axis=-1)
    ratio = (device**2.2 @ ADOBE) / WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)
    tags[b"A2B1"] = table_tag(np.clip(lab * [652.8, 256, 256] + [0, 32768, 32768], 0, 65535) / 65535)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 65535, 33)] * 3, indexing="ij"), axis=-1)
    lab = (grid - [0, 32768, 32768]) / [652.8, 256, 256]
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
    tags[b"B2A1"] = table_tag(np.clip((ratio * WHITE) @ np.linalg.inv(ADOBE), 0, 1) ** (1 / 2.2))
    return packed(plain[:20] + b"Lab " + plain[24:128], tags)


def opened(profile: bytes | None, model: str) -> ColourSpace:
    space = space_of(profile, model)  # type: ignore[arg-type]
    assert space is not None
    assert space.model == model
    return space


def through_vips(values: np.ndarray, kind: str, profile: bytes, operation: str, **options: object) -> np.ndarray:
    import pyvips

    image = pyvips.Image.new_from_array(np.ascontiguousarray(values), interpretation=kind).copy()
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return np.asarray(getattr(image, operation)(intent="relative", pcs="lab", **options).numpy())


def lab(values: np.ndarray, profile: bytes) -> np.ndarray:
    """What the profile says the values look like, by LittleCMS."""
    integers = np.floor(np.clip(values, 0, 1) * 65535 + 0.5).astype(np.uint16)
    return through_vips(integers, "cmyk" if values.shape[2] == 4 else "rgb16", profile, "icc_import", embedded=True)


def photograph(seed: int) -> np.ndarray:
    """Soft shapes of many colours with some detail, RGB, 64 x 80."""
    random = np.random.default_rng(seed)
    soft = resize(random.random((5, 6, 3)).astype(np.float32), 64, 80)
    fine = resize(random.normal(0, 0.03, (16, 20, 3)).astype(np.float32), 64, 80)
    return np.clip((soft - 0.5) * 1.4 + 0.5 + fine, 0, 1)


def printed(picture: np.ndarray) -> np.ndarray:
    """A picture of sRGB as the press of `cmyk` would get it from its owner."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    inks = through_vips(lab(picture, srgb), "lab", cmyk(), "icc_export", depth=16)
    return (inks / 65535).astype(np.float32)


def through_the_upscaler(space: ColourSpace, values: np.ndarray) -> np.ndarray:
    """To the working space, four times as large, as large as before, and back, in 8 bits."""
    working = space.to_working(values)
    height, width = values.shape[:2]
    larger = np.clip(resize(working, 4 * height, 4 * width), 0, 1)
    back = space.from_working(resize(larger, height, width))
    return (np.floor(back * 255 + 0.5) / 255).astype(np.float32)


# ------------------------------------------------------------------------------------------ with a profile


@pytest.mark.parametrize("seed", [1, 2])
def test_a_printed_photograph_keeps_its_colours_through_the_upscaler(seed: int) -> None:
    inks = printed(photograph(seed))
    back = through_the_upscaler(opened(cmyk(), "CMYK"), inks)
    assert back.shape == inks.shape
    assert delta_e_2000(lab(inks, cmyk()), lab(back, cmyk())).mean() <= 1


def test_saturated_inks_are_not_clipped() -> None:
    space = opened(cmyk(), "CMYK")
    solid = np.eye(4, dtype=np.float32)[None, :3]
    pairs = np.array([[[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]], np.float32)
    inks = np.concatenate([solid, pairs], axis=1)
    working = space.to_working(inks)
    assert working.shape == (1, 7, 3)
    assert working[0, 0, 0] > 0.05, "cyan lies within the working space, though not within sRGB"
    np.testing.assert_array_equal(working[0, -1], 1)
    assert delta_e_2000(lab(inks, cmyk()), lab(space.from_working(working), cmyk())).max() < 2


def test_the_way_back_is_better_than_the_profile_alone() -> None:
    inks = printed(photograph(3))
    aim = lab(inks, cmyk())
    alone = through_vips(aim, "lab", cmyk(), "icc_export", depth=16) / 65535
    space = opened(cmyk(), "CMYK")
    ours = space.from_working(space.to_working(inks))
    assert delta_e_2000(aim, lab(ours, cmyk())).mean() < 0.7 * delta_e_2000(aim, lab(alone, cmyk())).mean()


def test_the_working_profile_shows_cmyk_with_its_black_as_black() -> None:
    space, inks = opened(cmyk(), "CMYK"), printed(photograph(4))
    assert space.working_profile is not None
    working = space.to_working(inks)
    shown, meant = lab(working, space.working_profile), lab(inks, cmyk())
    black = lab(space.from_working(np.zeros((1, 1, 3), np.float32)), cmyk())[0, 0, 0]
    assert 5 < black < 20
    # Black-point compensation is a scale in luminance; undo it and the colours are the same.
    y = ((meant[..., 0] + 16) / 116) ** 3
    floor = ((np.float64(black) + 16) / 116) ** 3
    lightness = 116 * np.cbrt(np.maximum((y - floor) / (1 - floor), 0.008856)) - 16
    light = meant[..., 0] > 40
    assert np.abs(shown[..., 0] - lightness)[light].max() < 0.5
    assert delta_e_2000(shown, meant)[light].mean() < 2
    darkest = space.to_working(space.from_working(np.zeros((1, 1, 3), np.float32)))
    assert darkest.max() < 0.06


def test_others_can_open_the_wide_profile() -> None:
    profile = opened(cmyk(), "CMYK").working_profile
    assert profile is not None
    seen = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert seen.profile.is_matrix_shaper
    assert "BT.2020" in ImageCms.getProfileDescription(seen)
    colorants = [seen.profile.red_colorant[0], seen.profile.green_colorant[0], seen.profile.blue_colorant[0]]
    np.testing.assert_allclose(colorants, bt2020(), atol=1e-4)
    assert space_of(profile, "RGB") is None


def bt2020() -> np.ndarray:
    """The colorants, from the x and y of ITU-R BT.2020 under D65, moved to D50 by Bradford's matrix."""
    xy = np.array([[0.708, 0.292], [0.170, 0.797], [0.131, 0.046], [0.3127, 0.3290]])
    red, green, blue, white = np.column_stack([xy, 1 - xy.sum(axis=1)]) / xy[:, 1:]
    primaries = np.stack([red, green, blue], axis=1)
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    move = np.linalg.inv(cones) @ np.diag((cones @ WHITE) / (cones @ white)) @ cones
    return (move @ (primaries * np.linalg.solve(primaries, white))).T


@pytest.mark.parametrize("profile", [cmyk(), rgb_tables()], ids=["CMYK", "RGB"])
def test_perceptual_tables_serve_where_there_are_no_others(profile: bytes) -> None:
    tags = icc.read_profile(profile).tags
    renamed = {name: data for name, data in tags.items() if name[:3] not in (b"A2B", b"B2A")}
    renamed |= {b"A2B0": tags[b"A2B1"], b"B2A0": tags[b"B2A1"]}
    model = "CMYK" if profile == cmyk() else "RGB"
    values = np.random.default_rng(1).random((4, 5, len(model))).astype(np.float32)
    expected, ours = opened(profile, model), opened(packed(profile, renamed), model)
    working = ours.to_working(values)
    # Black is not the same: of perceptual tables it has a fixed place by the standard.
    assert np.abs(working - expected.to_working(values)).mean() < 0.03
    assert np.abs(ours.to_working(ours.from_working(working)) - working).mean() < 0.02


def test_rgb_tables_mean_what_their_makers_meant() -> None:
    space, picture = opened(rgb_tables(), "RGB"), photograph(5)
    assert space.working_profile is not None
    difference = delta_e_2000(lab(picture, rgb_tables()), lab(space.to_working(picture), space.working_profile))
    assert difference.mean() < 0.2
    back = through_the_upscaler(space, picture)
    assert delta_e_2000(lab(picture, rgb_tables()), lab(back, rgb_tables())).mean() <= 1


def test_tables_that_lead_one_way_give_way_to_the_matrix() -> None:
    plain = icc.read_profile(icc.matrix_profile("made by a test", ADOBE)).tags
    linear = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + bytes(8))
    one_way = {b"A2B1": icc.read_profile(rgb_tables()).tags[b"A2B1"]}
    space = opened(packed(icc.matrix_profile("x", ADOBE), plain | linear | one_way), "RGB")
    working = space.to_working(np.full((1, 1, 3), 0.5, np.float32))
    np.testing.assert_allclose(working, 0.7354, atol=1e-3)
    tags = {name: data for name, data in icc.read_profile(rgb_tables()).tags.items() if name != b"B2A1"}
    assert space_of(packed(rgb_tables(), tags), "RGB") is None


def test_strips_and_threads_give_what_the_whole_gives() -> None:
    space, inks = opened(cmyk(), "CMYK"), printed(photograph(6))
    whole = space.to_working(inks)
    back = space.from_working(whole)
    with ThreadPoolExecutor(3) as pool:
        tops = range(0, len(inks), 9)
        strips = list(pool.map(lambda top: space.to_working(inks[top : top + 9]), tops))
        backs = list(pool.map(lambda top: space.from_working(whole[top : top + 9]), tops))
    np.testing.assert_array_equal(np.concatenate(strips), whole)
    np.testing.assert_array_equal(np.concatenate(backs), back)


def test_values_beyond_the_ends_are_clipped() -> None:
    space = opened(cmyk(), "CMYK")
    wild = np.array([[[np.nan, -3, 2, 0.5]]], np.float32)
    np.testing.assert_array_equal(space.to_working(wild), space.to_working(np.array([[[0, 0, 1, 0.5]]], np.float32)))
    wild = np.array([[[np.nan, -3, 2]]], np.float32)
    np.testing.assert_array_equal(space.from_working(wild), space.from_working(np.array([[[0, 0, 1]]], np.float32)))


# --------------------------------------------------------------------------------------- without a profile


def test_cmyk_without_a_profile_follows_the_plain_formula() -> None:
    space = opened(None, "CMYK")
    assert space.working_profile is None
    inks = np.array([[[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0.25], [0.2, 0.4, 0.6, 0.5], [1, 1, 1, 1]]], np.float32)
    expected = [[1, 1, 1], [0, 1, 1], [0.75, 0.75, 0.75], [0.4, 0.3, 0.2], [0, 0, 0]]
    np.testing.assert_allclose(space.to_working(inks)[0], expected, atol=1e-6)


def test_plain_cmyk_comes_back_in_colour_and_black_alone_stays_black_alone() -> None:
    space = opened(None, "CMYK")
    rgb = np.random.default_rng(0).random((40, 40, 3)).astype(np.float32)
    rgb[0, :3] = [[0, 0, 0], [1, 1, 1], [0.5, 0, 0]]
    np.testing.assert_allclose(space.to_working(space.from_working(rgb)), rgb, atol=1e-6)
    text = np.zeros((1, 256, 4), np.float32)
    text[0, :, 3] = np.arange(256) / 255
    np.testing.assert_allclose(space.from_working(space.to_working(text)), text, atol=1e-6)
    assert np.isfinite(space.from_working(np.full((1, 1, 3), np.nan, np.float32))).all()


# ------------------------------------------------------------------------------------------------ hostile


def changed(profile: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    for place, data in changes:
        profile = profile[:place] + data + profile[place + len(data) :]
    return profile


def bad_profiles() -> dict[str, bytes]:
    tags = icc.read_profile(cmyk()).tags
    others = {name: data for name, data in tags.items() if name[:3] not in (b"A2B", b"B2A")}
    ways = {name: data for name, data in tags.items() if name[:3] == b"A2B"}
    one = tags[b"B2A1"]
    return {
        "cut short": cmyk()[:5000],
        "cut in the last tag": cmyk()[:-200000],
        "no tables": packed(cmyk(), others),
        "one way only": packed(cmyk(), others | ways),
        "tables of noise": packed(cmyk(), tags | {b"A2B1": b"noise" * 200, b"B2A1": b"noise" * 200}),
        "a way back that leads elsewhere": packed(cmyk(), tags | {b"B2A1": one[:-80000] + bytes(80000)}),
        "an RGB profile": rgb_tables(),
    }


@pytest.mark.parametrize("name", list(bad_profiles()))
def test_cmyk_with_a_bad_profile_follows_the_plain_formula(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert opened(bad_profiles()[name], "CMYK") == space_of(None, "CMYK")
    assert "cannot be used" in caplog.text


def test_tables_that_swap_channels_on_the_way_back_are_not_followed(caplog: pytest.LogCaptureFixture) -> None:
    tags = icc.read_profile(rgb_tables()).tags
    way = tags[b"B2A1"]
    cube = np.frombuffer(way[64:-12], ">u2").reshape(-1, 3)[:, ::-1].tobytes()
    assert space_of(packed(rgb_tables(), tags | {b"B2A1": way[:64] + cube + way[-12:]}), "RGB") is None
    assert "contradict each other" in caplog.text


@given(
    st.booleans(), st.lists(st.tuples(st.integers(0, 700), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4)
)
def test_no_bytes_raise(ink: bool, changes: list[tuple[int, bytes]]) -> None:
    profile = changed(cmyk() if ink else rgb_tables(), changes)
    space = space_of(profile, "CMYK" if ink else "RGB")
    assert space is not None or not ink
    if space is not None:
        values = np.random.default_rng(0).random((3, 4, 4 if ink else 3)).astype(np.float32)
        working = space.to_working(values)
        back = space.from_working(working)
        assert working.shape == (3, 4, 3)
        assert back.shape == values.shape
        for result in (working, back):
            assert 0 <= result.min() <= result.max() <= 1
