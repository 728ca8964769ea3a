"""Animations out: every frame, its time and what it shows come back, from us and from Pillow."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageSequence

from srgan.errors import CannotWrite, InvalidConfig, LimitExceeded
from srgan.imaging import (
    Frame,
    Picture,
    animated_format_of,
    blank,
    check_format,
    encode_animation,
    from_uint8,
    from_uint16,
    open_animation,
    to_uint8,
    to_uint16,
    write_animation,
)
from srgan.imaging.picture import Density

FORMATS = ("GIF", "PNG", "WEBP")
TIMES = [Fraction(value) for value in (30, 0, 70, 1230, 10, 10, 655350)]


def scenes(channels: int = 4, count: int = 7) -> list[np.ndarray]:
    """A block that wanders over stripes: things appear, vanish, stand still; the last two frames are equal."""
    result = []
    for number in range(count):
        pixels = np.zeros((20, 25, 4), np.uint8)
        pixels[:, ::3] = [10, 20, 200, 255]
        if number != 3:
            pixels[3 + number : 11 + number, 2 * number : 2 * number + 9] = [250, 40 * number, 0, 255]
        if number in (2, 5):
            pixels[5:9, 18:] = 0
        result.append(pixels)
    result[-1] = result[-2].copy()
    if channels == 4:
        return result
    return [pixels[..., :channels].copy() for pixels in result]


def frames_of(values: list[np.ndarray], times: list[Fraction] = TIMES) -> list[Frame]:
    to_float = from_uint8 if values[0].dtype == np.uint8 else from_uint16
    return [
        Frame(picture=Picture(pixels=to_float(value)), duration=time)
        for value, time in zip(values, times, strict=False)
    ]


def like_of(values: list[np.ndarray], **rest: Any) -> Picture:
    return Picture(pixels=blank(*values[0].shape), **rest)


def encoded(values: list[np.ndarray], format: str, *, like: Picture | None = None, **options: Any) -> bytes:
    options = {"quality": 100, "size": values[0].shape[:2], "like": like or like_of(values)} | options
    times = options.pop("times", TIMES)
    return encode_animation(frames_of(values, times), format, **options)


def read(data: bytes) -> tuple[list[np.ndarray], list[Fraction], int]:
    with open_animation(data) as animation:
        frames = list(animation.frames)
    return [to_uint8(frame.picture.pixels) for frame in frames], [frame.duration for frame in frames], animation.loop


def as_seen(pixels: np.ndarray) -> np.ndarray:
    """RGBA whose clear pixels have one colour."""
    if pixels.shape[2] == 3:
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    return np.where(pixels[..., 3:] == 0, 0, pixels)


def assert_same(frames: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(frames) == len(expected)
    for number, (frame, wanted) in enumerate(zip(frames, expected, strict=True)):
        assert np.array_equal(as_seen(frame), as_seen(wanted)), f"frame {number}"


def test_the_shape_of_a_pixel_is_kept_or_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    like = like_of(scenes(), density=Density(2, 1), name="in.png")
    with open_animation(encoded(scenes(), "PNG", like=like)) as animation:
        assert animation.like.density == Density(2, 1)
    assert caplog.messages == []
    encoded(scenes(), "WEBP", like=like)
    assert caplog.messages == ["in.png: WEBP has no place for the shape of a pixel"]


# ------------------------------------------------------------------------------------- frames, times and plays


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("channels", [3, 4])
def test_frames_and_times_come_back(format: str, channels: int) -> None:
    values = scenes(channels)

    frames, times, _ = read(encoded(values, format))

    assert_same(frames, values)
    assert times == TIMES


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("channels", [3, 4])
def test_pillow_sees_the_same(format: str, channels: int) -> None:
    values = scenes(channels)

    image = Image.open(io.BytesIO(encoded(values, format)))
    frames, times = [], []
    for frame in ImageSequence.Iterator(image):
        frames.append(np.asarray(frame.convert("RGBA")))  # WebP knows its time once it is decoded
        times.append(frame.info.get("duration", 0))

    assert_same(frames, values)
    assert times == TIMES


def test_pillow_sees_what_gets_clear_after_an_opaque_first_frame() -> None:
    values = scenes()
    values[0][..., 3] = 255

    image = Image.open(io.BytesIO(encoded(values, "GIF")))

    assert_same([np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)], values)


@pytest.mark.parametrize("seed", range(6))
def test_gif_shows_any_order_of_clear_and_opaque(seed: int) -> None:
    random = np.random.default_rng(seed)
    colours = random.integers(0, 256, (7, 4)).astype(np.uint8)
    colours[:, 3] = [0, 0, 0, 255, 255, 255, 255]
    values = []
    for _ in range(7):
        value = values[-1].copy() if values else colours[random.integers(0, 7, (9, 8))]
        top, left = random.integers(0, 7, 2)
        value[top : top + 4, left : left + 4] = colours[random.integers(0, 7)]
        values.append(value)

    assert_same(read(encoded(values, "GIF"))[0], values)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("loop", [0, 1, 2, 6, 65535])
def test_plays_come_back(format: str, loop: int) -> None:
    data = encoded(scenes(), format, loop=loop)

    assert read(data)[2] == loop
    if format == "GIF":
        assert Image.open(io.BytesIO(data)).info.get("loop") == {0: 0, 1: None}.get(loop, loop - 1)


def test_fractions_of_a_second_are_exact_in_png_only() -> None:
    times = [Fraction(1000, 3), Fraction(1001 * 1000, 30000), Fraction(1, 2), Fraction(0), Fraction(5_000_000)]

    assert read(encoded(scenes(count=5), "PNG", times=times))[1] == times


@pytest.mark.parametrize(("format", "unit"), [("GIF", 10), ("WEBP", 1)])
def test_rounding_does_not_add_up(format: str, unit: int) -> None:
    times = [Fraction(1001 * 1000, 30000)] * 30  # 29.97 pictures a second

    written = read(encoded(scenes(count=3) * 10, format, times=times))[1]

    assert len(written) == 30
    assert abs(sum(written) - sum(times)) <= Fraction(unit, 2)
    assert max(abs(time - times[0]) for time in written) <= unit


def test_deep_frames_stay_deep_in_png() -> None:
    values = [np.random.default_rng(seed).integers(0, 65536, (6, 7, 4)).astype(np.uint16) for seed in range(3)]
    values[1][2:, 3:] = values[0][2:, 3:]
    data = encoded(values, "PNG", like=like_of(values, bit_depth=16))

    assert data[24] == 16
    with open_animation(data) as animation:
        if animation.like.bit_depth == 16:
            assert all(
                np.array_equal(to_uint16(frame.picture.pixels), value)
                for frame, value in zip(animation.frames, values, strict=True)
            )


def test_gray_png_stays_gray() -> None:
    values = [scene[..., :1] for scene in scenes()]

    data = encoded(values, "PNG")

    assert data[25] == 0
    assert all(np.array_equal(frame, value) for frame, value in zip(read(data)[0], values, strict=True))


@pytest.mark.parametrize("format", ["GIF", "WEBP"])
@pytest.mark.parametrize("channels", [1, 2])
def test_gray_becomes_colour_elsewhere(format: str, channels: int) -> None:
    values = [np.dstack([scene[..., :1], scene[..., 3:]])[..., :channels] for scene in scenes()]

    frames = read(encoded(values, format))[0]

    assert_same(frames, [np.dstack([value[..., :1]] * 3 + [value[..., 1:]]) for value in values])


def test_only_what_changed_is_stored() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    values = [noise.copy() for _ in range(20)]
    for number, value in enumerate(values):
        value[number * 4 : number * 4 + 4, :4] = 0

    for format in FORMATS:
        first, all_of_them = (len(encoded(some, format, times=[Fraction(5)] * 20)) for some in (values[:1], values))
        assert all_of_them < first * 1.5, format


# ------------------------------------------------------------------------------------------ what GIF cannot hold


@pytest.mark.parametrize("count", [1, 2, 3, 128, 255, 256])
@pytest.mark.parametrize("clear", [False, True])
def test_few_colours_are_exact_in_gif(count: int, clear: bool) -> None:
    random = np.random.default_rng(count)
    colours = np.concatenate([random.integers(0, 256, (count, 3)), np.full((count, 1), 255)], axis=1)
    values = [colours[random.permutation(np.arange(600) % count)].reshape(20, 30, 4).astype(np.uint8) for _ in range(3)]
    if clear and count < 256:
        values[1][:5, :5] = 0
    if not clear:
        values = [value[..., :3] for value in values]

    assert_same(read(encoded(values, "GIF"))[0], values)


def test_many_colours_are_near_in_gif_and_what_stands_still_does_not_flicker() -> None:
    y, x = np.mgrid[:64, :64].astype(np.uint8) * 4
    still = np.dstack([x, y, 255 - x])
    moved = still.copy()
    moved[:20, :20] = moved[:20, :20] // 2

    frames, _, _ = read(encoded([still, moved, still], "GIF"))

    for frame, value in zip(frames, [still, moved, still], strict=True):
        assert np.abs(frame[..., :3].astype(int) - value).mean() < 8
    assert np.array_equal(frames[0][20:], frames[1][20:])


def test_half_clear_is_clear_or_opaque_in_gif() -> None:
    value = np.full((1, 4, 4), 90, np.uint8)
    value[0, :, 3] = [0, 127, 128, 255]

    (frame,), _, _ = read(encoded([value], "GIF"))

    assert frame[0, :, 3].tolist() == [0, 0, 255, 255]


def test_colours_of_a_profile_become_srgb_in_gif() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The same profile with red and blue changing places: what was red is to be written as blue.
    offset = {lab[at : at + 4]: at for at in range(132, 132 + 12 * 20, 12)}
    swapped = bytearray(lab)
    swapped[offset[b"rXYZ"] : offset[b"rXYZ"] + 4], swapped[offset[b"bXYZ"] : offset[b"bXYZ"] + 4] = b"bXYZ", b"rXYZ"
    values = [np.full((2, 2, 3), (255, 0, 0), np.uint8)]

    (frame,), _, _ = read(encoded(values, "GIF", like=like_of(values, icc_profile=bytes(swapped))))

    assert np.abs(frame[0, 0, :3].astype(int) - (0, 0, 255)).max() <= 2


# ------------------------------------------------------------------------------------------------- metadata


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_profile_and_metadata_are_written_once(format: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a wandering block"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = scenes()
    like = like_of(values, exif=exif.tobytes()[6:], xmp=b"<x:xmpmeta/>", icc_profile=profile)

    data = encoded(values, format, like=like)

    with open_animation(data) as animation:
        assert animation.like.icc_profile == profile
        assert animation.like.xmp == b"<x:xmpmeta/>"
        assert Image.open(io.BytesIO(data)).getexif()[0x010E] == "a wandering block"
    assert data.count(b"x:xmpmeta") == 1


def test_gif_keeps_comment_and_xmp() -> None:
    values = scenes()
    packet = b"<x:xmpmeta>" + bytes(range(32, 127)) * 9 + b"</x:xmpmeta>"
    like = like_of(values, xmp=packet, text=(("Comment", "long " * 100), ("Author", "nobody")))

    data = encoded(values, "GIF", like=like)

    image = Image.open(io.BytesIO(data))
    assert image.info["comment"] == b"long " * 100
    with open_animation(data) as animation:
        assert animation.like.xmp == packet
    assert_same(read(data)[0], values)


# --------------------------------------------------------------------------------------- formats and refusals


@pytest.mark.parametrize(
    ("target", "format", "expected"),
    [("a.gif", None, "GIF"), ("a.APNG", None, "PNG"), ("a.png", None, "PNG"), ("a.jpg", ".webp", "WEBP")],
)
def test_the_format_follows_name_or_wish(target: str, format: str | None, expected: str) -> None:
    assert animated_format_of(target, format) == expected


@pytest.mark.parametrize("target", ["a.jpg", "a.tif", "a.bmp", "a", None])
def test_a_still_format_is_refused_with_the_way_out(target: str | None) -> None:
    with pytest.raises(InvalidConfig, match=r"choose \.gif, \.png or \.webp, or save the first frame"):
        animated_format_of(target)


@pytest.mark.parametrize(("format", "side"), [("GIF", 65_536), ("WEBP", 16_384)])
def test_formats_that_are_too_small_say_so(format: str, side: int) -> None:
    check_format(format, side - 1, 1, 3)

    with pytest.raises(LimitExceeded, match=f"{side} x 1 pixels are too large for {format}"):
        check_format(format, side, 1, 3)


def test_impossible_wishes_are_refused() -> None:
    for options in ({"loop": -1}, {"quality": 0}, {"quality": 101}):
        with pytest.raises(InvalidConfig):
            encoded(scenes(), "GIF", **options)
    with pytest.raises(InvalidConfig, match="at least one frame"):
        encode_animation([], "PNG", size=(2, 2), like=like_of(scenes()))
    with pytest.raises(ValueError, match="came for an animation"):
        encode_animation(frames_of([*scenes(), scenes(3)[0]]), "PNG", size=(2, 2), like=like_of(scenes()))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_a_file_appears_whole_or_not_at_all(suffix: str, tmp_path: Path) -> None:
    values = scenes()
    target = tmp_path / f"a.{suffix}"
    given = {"size": values[0].shape[:2], "like": like_of(values)}

    def broken() -> Any:
        yield from frames_of(values)[:3]
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        write_animation(broken(), target, **given)
    assert not list(tmp_path.iterdir())

    assert write_animation(frames_of(values), target, **given) == target
    before = target.read_bytes()
    with pytest.raises(CannotWrite, match="exists already"):
        write_animation(frames_of(values), target, **given)
    with pytest.raises(RuntimeError, match="the power went"):
        write_animation(broken(), target, overwrite=True, **given)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_file_that_lost_a_frame_is_not_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.Input.frames", 6)
    values = scenes()

    with pytest.raises(CannotWrite, match="6 frames of 25 x 20 in GIF instead of 7"):
        write_animation(frames_of(values), tmp_path / "a.gif", size=(20, 25), like=like_of(values))
    assert not list(tmp_path.iterdir())
