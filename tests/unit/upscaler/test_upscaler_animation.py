"""`enlarge_animation`: each frame as it looks, enlarged; times and plays as they were; nothing half-written."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from srgan.errors import CannotWrite, InvalidConfig, InvalidImage, LimitExceeded
from srgan.imaging import Frame, Limits, Picture, encode_animation, open_animation, to_uint8
from srgan.imaging.inputs import DEFAULT_LIMITS
from srgan.progress import Step
from srgan.testing import BlurSession, NearestSession
from srgan.upscaler import Upscaler
from srgan.upscaler import animation as enlarging

TIMES = [30, 0, 70, 70, 1230, 10]
COLOURS = [(220, 30, 30), (0, 200, 20), (0, 200, 60), (10, 10, 90)]


def scenes() -> list[np.ndarray]:
    """RGBA in few colours: a block moves over a half that is clear. All differ, as Pillow joins equal ones."""
    result = []
    for number in range(len(TIMES)):
        pixels = np.zeros((12, 15, 4), np.uint8)
        pixels[:, :7] = [*COLOURS[0], 255]
        pixels[1 + number : 6 + number, 2 * number : 2 * number + 5] = [*COLOURS[1 + number % 3], 255]
        result.append(pixels)
    result[3] = result[2].copy()
    result[3][0, 0] = [*COLOURS[3], 255]
    return result


def source_of(format: str, *, disposal: int = 2, **options: Any) -> bytes:
    """`scenes` as Pillow writes them."""
    first, *others = (Image.fromarray(value) for value in scenes())
    if format == "WEBP":
        options |= {"lossless": True, "exact": True}
    else:
        options["disposal"] = disposal if format == "GIF" else disposal - 1
    buffer = io.BytesIO()
    first.save(buffer, format, save_all=True, append_images=others, duration=TIMES, **options)
    return buffer.getvalue()


def enlarge_animation(
    upscaler: Upscaler, source: Any, target: Path, *, limits: Limits = DEFAULT_LIMITS, **wanted: Any
) -> Path:
    with open_animation(source, limits=limits) as animation:
        return enlarging.enlarge_animation(upscaler, animation, target, **wanted)


def shown(source: Any) -> list[np.ndarray]:
    """Frames as we read them, clear pixels of one colour."""
    with open_animation(source) as animation:
        frames = [to_uint8(frame.picture.pixels) for frame in animation.frames]
    return [np.where(frame[..., 3:] == 0, 0, frame) for frame in frames]


def shown_by_pillow(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    return [np.where(frame[..., 3:] == 0, 0, frame) for frame in frames]


def repeated(frames: list[np.ndarray], scale: int) -> list[np.ndarray]:
    return [frame.repeat(scale, axis=0).repeat(scale, axis=1) for frame in frames]


def times_of(source: Any) -> list[float]:
    with open_animation(source) as animation:
        return [float(frame.duration) for frame in animation.frames]


# ---------------------------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
@pytest.mark.parametrize(("format", "disposal"), [("GIF", 0), ("GIF", 1), ("GIF", 2), ("PNG", 1), ("PNG", 2)])
def test_frames_are_those_of_the_source_enlarged(suffix: str, format: str, disposal: int, tmp_path: Path) -> None:
    source = source_of(format, disposal=disposal)
    target = tmp_path / f"a.{suffix}"

    enlarge_animation(Upscaler(NearestSession(3)), source, target, quality=100)

    expected = repeated(shown(source), 3)
    assert len(expected) == len(TIMES)
    for frames in (shown(target), shown_by_pillow(target)):
        assert len(frames) == len(expected)
        assert all(np.array_equal(frame, wanted) for frame, wanted in zip(frames, expected, strict=True))
    assert times_of(target) == TIMES


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_webp_is_enlarged_too(suffix: str, tmp_path: Path) -> None:
    source = source_of("WEBP")

    path = enlarge_animation(Upscaler(NearestSession(2)), source, tmp_path / f"a.{suffix}", quality=100)

    expected = repeated(shown(source), 2)
    assert all(np.array_equal(frame, wanted) for frame, wanted in zip(shown(path), expected, strict=True))
    assert times_of(path) == TIMES


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
@pytest.mark.parametrize(("stored", "plays"), [(None, 1), (0, 0), (1, 2), (5, 6)])
def test_plays_are_kept_between_formats(suffix: str, stored: int | None, plays: int, tmp_path: Path) -> None:
    source = source_of("GIF", **({} if stored is None else {"loop": stored}))

    path = enlarge_animation(Upscaler(NearestSession(2)), source, tmp_path / f"a.{suffix}")

    with open_animation(path) as animation:
        assert animation.loop == plays


def test_edges_in_gif_are_clear_or_opaque_after_a_network_that_blurs(tmp_path: Path) -> None:
    path = enlarge_animation(Upscaler(BlurSession(2)), source_of("GIF"), tmp_path / "a.gif")

    frames = shown(path)

    assert all(set(np.unique(frame[..., 3])) == {0, 255} for frame in frames)
    covered = [(frame[..., 3] > 0).mean() for frame in frames]
    assert covered == pytest.approx([(frame[..., 3] > 0).mean() for frame in scenes()], abs=0.05)


def test_the_size_is_the_callers(tmp_path: Path) -> None:
    path = enlarge_animation(Upscaler(NearestSession(2)), source_of("PNG"), tmp_path / "a.png", width=37)

    with open_animation(path) as animation:
        assert animation.size == (30, 37)


def test_what_goes_in_beside_the_pixels_can_be_changed(tmp_path: Path) -> None:
    def describe(like: Picture) -> Picture:
        return Picture(pixels=like.pixels, text=(("Comment", "made larger"),))

    path = enlarge_animation(Upscaler(NearestSession(2)), source_of("GIF"), tmp_path / "a.gif", describe=describe)

    with Image.open(path) as image:
        assert image.info["comment"] == b"made larger"


# --------------------------------------------------------------------------------------------- how it is done


def test_equal_frames_in_a_row_are_enlarged_once(tmp_path: Path) -> None:
    values = [np.full((6, 7, 3), value / 255, np.float32) for value in (77, 77, 99, 99, 77)]
    times = [Fraction(value) for value in (10, 20, 30, 40, 50)]
    frames = [Frame(picture=Picture(pixels=value), duration=time) for value, time in zip(values, times, strict=True)]
    source = encode_animation(frames, "PNG", size=(6, 7), like=frames[0].picture)
    session = NearestSession(2)

    path = enlarge_animation(Upscaler(session), source, tmp_path / "a.png")

    assert len(session.shapes) == 3
    assert times_of(path) == times
    with open_animation(path) as animation:
        assert [int(to_uint8(frame.picture.pixels)[0, 0, 0]) for frame in animation.frames] == [77, 77, 99, 99, 77]


def test_progress_covers_all_frames(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    enlarge_animation(
        Upscaler(NearestSession(2)),
        source_of("PNG"),
        tmp_path / "a.png",
        report=lambda step: told.append((step.done, step.total)),
    )

    assert told == sorted(told)
    assert {total for _, total in told} == {len(TIMES)}
    assert told[-1][0] == told[-1][1]


def test_stopping_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.gif"
    target.write_bytes(b"before")

    def stop(step: Step) -> None:
        if step.done * 2 > step.total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enlarge_animation(Upscaler(NearestSession(2)), source_of("GIF"), target, overwrite=True, report=stop)

    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a"])
def test_a_still_format_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    session = NearestSession(2)

    with pytest.raises(InvalidConfig, match="save the first frame"):
        enlarge_animation(Upscaler(session), source_of("GIF"), tmp_path / name)

    assert not session.shapes
    assert not list(tmp_path.iterdir())


def test_what_cannot_work_is_refused_before_any_work(tmp_path: Path) -> None:
    session = NearestSession(2)
    upscaler, source = Upscaler(session), source_of("GIF")
    (tmp_path / "there.gif").touch()

    with pytest.raises(CannotWrite, match="exists already"):
        enlarge_animation(upscaler, source, tmp_path / "there.gif")
    with pytest.raises(LimitExceeded, match="too large for WEBP"):
        enlarge_animation(upscaler, source, tmp_path / "a.webp", width=20_000)
    with pytest.raises(LimitExceeded, match="more than the limit of 5 frames"):
        enlarge_animation(upscaler, source, tmp_path / "a.gif", limits=Limits(max_frames=5))
    with pytest.raises(InvalidImage, match="truncated"):
        enlarge_animation(upscaler, source[: len(source) // 2], tmp_path / "a.gif")

    assert not session.shapes
    assert [path.name for path in tmp_path.iterdir()] == ["there.gif"]


def test_a_frame_that_is_damaged_far_in_leaves_nothing(tmp_path: Path) -> None:
    source = bytearray(source_of("PNG"))
    at = source.rindex(b"fdAT") + 10
    source[at : at + 3] = b"\xff\xff\xff"

    with pytest.raises(InvalidImage, match="frame 6"):
        enlarge_animation(Upscaler(NearestSession(2)), bytes(source), tmp_path / "a.png")

    assert not list(tmp_path.iterdir())
