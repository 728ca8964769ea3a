"""Animations in: frames as players show them, exact times, and a clear word on files that lie."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.errors import InvalidImage, LimitExceeded, SrganError
from srgan.imaging import Limits, count_frames, open_animation, to_uint8, to_uint16

WIDTH, HEIGHT = 11, 9
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 80, 70]], np.uint8)
CLEAR = 3
"""The number in a palette that stands for a clear pixel."""

Parts = list[dict[str, Any]]


def parts_of(seed: int, count: int = 6, disposals: tuple[int, ...] = (0, 1, 2, 3)) -> Parts:
    """Random areas of the canvas, partly clear, disposed of in every way."""
    random = np.random.default_rng(seed)
    parts: Parts = []
    for number in range(count):
        left, top = (0, 0) if not number else (int(random.integers(0, WIDTH - 1)), int(random.integers(0, HEIGHT - 1)))
        right = WIDTH if not number else int(random.integers(left + 1, WIDTH + 1))
        bottom = HEIGHT if not number else int(random.integers(top + 1, HEIGHT + 1))
        values = random.integers(0, 4, (bottom - top, right - left)).astype(np.uint8)
        delay = int(random.integers(0, 300))
        parts.append({"at": (left, top), "values": values, "disposal": int(random.choice(disposals)), "delay": delay})
    return parts


def shown(parts: Parts) -> list[np.ndarray]:
    """What a player shows of ``parts``, RGBA of 8 bit: the definition, plainly."""
    screen, result = np.zeros((HEIGHT, WIDTH, 4), np.uint8), []
    for part in parts:
        before = screen.copy()
        for (y, x), number in np.ndenumerate(part["values"]):
            if number != CLEAR or part.get("source"):
                colour = [0, 0, 0, 0] if number == CLEAR else [*COLOURS[number], 255]
                screen[part["at"][1] + y, part["at"][0] + x] = colour
        result.append(screen.copy())
        if part["disposal"] == 3:
            screen = before
        elif part["disposal"] == 2:
            (left, top), (height, width) = part["at"], part["values"].shape
            screen[top : top + height, left : left + width] = 0
    return result


def gif_of(parts: Parts, *, loop: int | None = None, extra: bytes = b"", size: Any = (WIDTH, HEIGHT)) -> bytes:
    """A GIF of ``parts`` with one palette for all, packed without compression."""
    pieces = [b"GIF89a", struct.pack("<HHBBB", *size, 0x81, 0, 0), COLOURS.tobytes(), extra]
    if loop is not None:
        pieces.append(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0))
    for part in parts:
        (left, top), (height, width) = part["at"], part["values"].shape
        flags = part["disposal"] << 2 | 1
        pieces.append(b"!\xf9\x04" + struct.pack("<BHBB", flags, part["delay"], CLEAR, 0))
        pieces.append(b"," + struct.pack("<4HB", left, top, width, height, 0) + b"\x07")
        # Codes of 8 bit as long as the table is emptied in time: 128 empties it, 129 ends.
        codes = b"".join(b"\x80" + row.tobytes() for row in part["values"]) + b"\x81"
        pieces += [bytes([len(codes[i : i + 255])]) + codes[i : i + 255] for i in range(0, len(codes), 255)]
        pieces.append(b"\0")
    return b"".join(pieces) + b";"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(
    parts: Parts,
    *,
    plays: int = 0,
    promised: int | None = None,
    stand_in: bool = False,
    extra: bytes = b"",
    base: int = 100,
) -> bytes:
    """An animated PNG of ``parts``, with a palette; ``stand_in`` is a still picture that belongs to no frame."""
    count = len(parts) if promised is None else promised
    pieces = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)), extra]
    pieces += [chunk(b"PLTE", COLOURS.tobytes()), chunk(b"tRNS", b"\xff\xff\xff\0")]
    pieces.append(chunk(b"acTL", struct.pack(">II", count, plays)))
    if stand_in:
        pieces.append(chunk(b"IDAT", zlib.compress(bytes((WIDTH + 1) * HEIGHT))))
    sequence = 0
    for number, part in enumerate(parts):
        (left, top), (height, width) = part["at"], part["values"].shape
        disposal, blend = max(part["disposal"] - 1, 0), 0 if part.get("source") else 1
        head = struct.pack(">5IHHBB", sequence, width, height, left, top, part["delay"], base, disposal, blend)
        pieces.append(chunk(b"fcTL", head))
        sequence += 1
        data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in part["values"]))
        if not number and not stand_in:
            pieces.append(chunk(b"IDAT", data))
            continue
        for piece in (data[:7], data[7:]):  # in two, as writers may
            pieces.append(chunk(b"fdAT", struct.pack(">I", sequence) + piece))
            sequence += 1
    return b"".join(pieces) + chunk(b"IEND", b"")


def webp_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) & 1)


def webp_of(parts: Parts, *, plays: int = 0) -> bytes:
    """An animated WebP of ``parts`` (at even places), lossless."""
    three = lambda value: value.to_bytes(3, "little")  # noqa: E731
    body = [webp_chunk(b"VP8X", struct.pack("<I", 0x12) + three(WIDTH - 1) + three(HEIGHT - 1))]
    body.append(webp_chunk(b"ANIM", struct.pack("<4BH", 30, 20, 10, 40, plays)))
    for part in parts:
        (left, top), (height, width) = part["at"], part["values"].shape
        rgba = np.dstack([COLOURS[part["values"]], np.where(part["values"] == CLEAR, 0, 255).astype(np.uint8)])
        buffer = io.BytesIO()
        Image.fromarray(rgba).save(buffer, "WEBP", lossless=True, exact=True)
        data = buffer.getvalue()
        pixels = data[data.index(b"VP8L") :]
        flags = (part["disposal"] == 2) | (2 if part.get("source") else 0)
        head = b"".join(map(three, (left // 2, top // 2, width - 1, height - 1, part["delay"])))
        body.append(webp_chunk(b"ANMF", head + bytes([flags]) + pixels))
    joined = b"WEBP" + b"".join(body)
    return b"RIFF" + struct.pack("<I", len(joined)) + joined


def frames_of(data: Any, **options: Any) -> tuple[list[np.ndarray], list[Fraction]]:
    with open_animation(data, **options) as animation:
        frames = list(animation.frames)
        assert len(frames) == animation.count
        return [to_uint8(frame.picture.pixels) for frame in frames], [frame.duration for frame in frames]


def as_seen(pixels: np.ndarray) -> np.ndarray:
    """RGBA whose clear pixels have one colour."""
    if pixels.shape[2] == 3:
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    return np.where(pixels[..., 3:] == 0, 0, pixels)


def assert_same(frames: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(frames) == len(expected)
    for number, (frame, wanted) in enumerate(zip(frames, expected, strict=True)):
        assert np.array_equal(as_seen(frame), as_seen(wanted)), f"frame {number}"


# ------------------------------------------------------------------------------------------- frames as shown


@pytest.mark.parametrize("seed", range(8))
def test_gif_is_composed_as_players_do(seed: int) -> None:
    parts = parts_of(seed)

    frames, times = frames_of(gif_of(parts))

    assert_same(frames, shown(parts))
    assert times == [10 * part["delay"] for part in parts]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("stand_in", [False, True])
def test_animated_png_is_composed_as_players_do(seed: int, stand_in: bool) -> None:
    parts = parts_of(seed, disposals=(1, 2, 3))
    for part in parts[::2]:
        part["source"] = True

    frames, _ = frames_of(png_of(parts, stand_in=stand_in))

    assert_same(frames, shown(parts))


@pytest.mark.parametrize("seed", range(4))
def test_animated_webp_is_composed_as_players_do(seed: int) -> None:
    parts = parts_of(seed, disposals=(1, 2))
    for part in parts:
        part["at"] = (part["at"][0] // 2 * 2, part["at"][1] // 2 * 2)
    for part in parts[::2]:
        part["source"] = True

    frames, times = frames_of(webp_of(parts))

    assert_same(frames, shown(parts))
    assert times == [part["delay"] for part in parts]


def test_half_clear_pixels_are_mixed_as_the_format_says() -> None:
    """Straight alpha over straight alpha, against Pillow's own composition."""
    random = np.random.default_rng(1)
    layers = [Image.fromarray(random.integers(0, 256, (5, 6, 4)).astype(np.uint8)) for _ in range(3)]
    buffer = io.BytesIO()
    layers[0].save(buffer, "PNG", save_all=True, append_images=layers[1:], blend=1, disposal=0)
    expected, screen = [], Image.new("RGBA", (6, 5))
    for layer in layers:
        screen = Image.alpha_composite(screen, layer)
        expected.append(np.asarray(screen).astype(int))

    frames, _ = frames_of(buffer.getvalue())

    for frame, wanted in zip(frames, expected, strict=True):
        assert np.abs(frame.astype(int) - wanted)[wanted[..., 3] > 8].max() <= 4


def test_a_frame_is_the_callers_to_keep() -> None:
    parts = parts_of(3)
    with open_animation(gif_of(parts)) as animation:
        kept = []
        for frame in animation.frames:
            kept.append(to_uint8(frame.picture.pixels))
            frame.picture.pixels[...] = 0.5

    assert_same(kept, shown(parts))


def test_a_gif_that_shows_nothing_through_has_no_alpha() -> None:
    images = [Image.fromarray(np.full((4, 5), value, np.uint8)).convert("P") for value in (10, 200)]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:])

    with open_animation(buffer.getvalue()) as animation:
        assert animation.like.pixels.shape == (4, 5, 3)


def test_what_an_opaque_frame_leaves_behind_can_show_through_the_next() -> None:
    parts = parts_of(0, count=2, disposals=(2,))
    parts[0]["values"] = np.zeros((HEIGHT, WIDTH), np.uint8)
    parts[1] = dict(parts[0], values=parts[0]["values"] + CLEAR)
    parts[1]["values"][3:5, 3:5] = 1
    data = gif_of(parts)
    control = data.index(b"!\xf9\x04") + 3
    data = data[:control] + bytes([data[control] & ~1]) + data[control + 1 :]  # the first has no clear pixel

    assert_same(frames_of(data)[0], shown(parts))


def test_deep_and_gray_animations_stay_so() -> None:
    values = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    head = struct.pack(">5IHHBB", 0, 5, 4, 0, 0, 1, 3, 0, 0)
    data = b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, 0, 0, 0, 0)),
            chunk(b"acTL", struct.pack(">II", 1, 0)),
            chunk(b"fcTL", head),
            chunk(b"IDAT", rows),
            chunk(b"IEND", b""),
        ]
    )

    with open_animation(data) as animation:
        (frame,) = animation.frames
        assert animation.like.bit_depth == 16
        assert np.array_equal(to_uint16(frame.picture.pixels)[..., 0], values)
        assert frame.duration == Fraction(1000, 3)


# ------------------------------------------------------------------------------- times, plays, what else there is


@pytest.mark.parametrize(("stored", "plays"), [(None, 1), (0, 0), (1, 2), (5, 6)])
def test_the_loop_of_gif_is_counted_in_plays(stored: int | None, plays: int) -> None:
    with open_animation(gif_of(parts_of(0), loop=stored)) as animation:
        assert animation.loop == plays


@pytest.mark.parametrize("make", [png_of, webp_of])
@pytest.mark.parametrize("plays", [0, 1, 5])
def test_the_loop_of_the_others_is_as_stored(make: Callable[..., bytes], plays: int) -> None:
    with open_animation(make(parts_of(0)[:1], plays=plays)) as animation:
        assert animation.loop == plays


@pytest.mark.parametrize(("base", "step"), [(0, Fraction(10)), (1000, Fraction(1)), (7, Fraction(1000, 7))])
def test_fractions_of_seconds_survive(base: int, step: Fraction) -> None:
    parts = parts_of(2)

    _, times = frames_of(png_of(parts, base=base))

    assert times == [part["delay"] * step for part in parts]


def test_disposal_and_blend_of_the_source_are_told() -> None:
    parts = parts_of(0, count=3)
    for part, disposal in zip(parts, (1, 2, 3), strict=True):
        part["disposal"] = disposal
    parts[1]["source"] = True

    with open_animation(png_of(parts)) as animation:
        told = [(frame.disposal, frame.blend) for frame in animation.frames]

    assert told == [("keep", "over"), ("background", "source"), ("previous", "over")]


def test_size_format_background_and_metadata_are_told() -> None:
    with open_animation(webp_of(parts_of(0)[:1])) as animation:
        assert (animation.size, animation.format, animation.background) == ((HEIGHT, WIDTH), "WEBP", (10, 20, 30, 40))
    dots = chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1))
    with open_animation(png_of(parts_of(0), extra=dots)) as animation:
        assert animation.like.dpi == pytest.approx((300, 300), abs=0.1)
        assert not animation.like.pixels.any()


def test_frames_lie_as_the_orientation_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    parts = parts_of(4)

    frames, _ = frames_of(png_of(parts, extra=chunk(b"eXIf", exif.tobytes()[6:])))

    assert_same(frames, [np.rot90(frame, -1) for frame in shown(parts)])


# --------------------------------------------------------------------------------------------------- counting


@pytest.mark.parametrize("make", [gif_of, png_of, webp_of])
def test_frames_are_counted(make: Callable[..., bytes], tmp_path: Path) -> None:
    data = make(parts_of(0)[:1] * 4)
    (tmp_path / "a").write_bytes(data)
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)

    assert [count_frames(source) for source in (data, tmp_path / "a", stream)] == [4, 4, 4]
    assert stream.tell() == 6


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG", "BMP", "GIF", "TIFF"])
def test_a_still_picture_is_one_frame(format: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, format)

    assert count_frames(buffer.getvalue()) == 1


def test_a_still_picture_is_no_animation() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, "PNG")

    with pytest.raises(InvalidImage, match=r"not an animation of GIF, PNG, WEBP"), open_animation(buffer.getvalue()):
        pass


# ------------------------------------------------------------------------------------------------ hostile files


def opened_and_read(data: bytes, **limits: int) -> None:
    with open_animation(data, limits=Limits(**limits)) as animation:
        for _ in animation.frames:
            pass


def test_a_hundred_thousand_frames_are_refused_unread() -> None:
    with pytest.raises(LimitExceeded, match="100,000 frames, the limit is 10,000"):
        opened_and_read(png_of(parts_of(0), promised=100_000))


@pytest.mark.parametrize("make", [gif_of, png_of, webp_of])
def test_frames_are_limited(make: Callable[..., bytes]) -> None:
    data = make(parts_of(0)[:1] * 5)
    opened_and_read(data, max_frames=5)

    with pytest.raises(LimitExceeded, match="limit"):
        opened_and_read(data, max_frames=4)
    with pytest.raises(LimitExceeded, match="limit"):
        count_frames(data, limits=Limits(max_frames=4))


@pytest.mark.parametrize("make", [gif_of, png_of, webp_of])
def test_pixels_are_limited(make: Callable[..., bytes]) -> None:
    data = make(parts_of(0)[:1] * 17)

    for limits in ({"max_pixels": WIDTH * HEIGHT - 1}, {"max_side": WIDTH - 1}, {"max_bytes": 50}):
        with pytest.raises(LimitExceeded, match="limit"):
            opened_and_read(data, **limits)
    with pytest.raises(LimitExceeded, match="for all frames"):
        opened_and_read(data, max_pixels=WIDTH * HEIGHT)


def test_a_huge_canvas_is_refused_before_it_is_made() -> None:
    with pytest.raises(LimitExceeded, match="65535 x 65535"):
        opened_and_read(gif_of(parts_of(0), size=(65535, 65535)))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (gif_of([]), "holds no frame"),
        (png_of([], promised=0), "holds no frame"),
        (webp_of([]), "holds no frame"),
        (png_of(parts_of(0), promised=9), "announces 9 frames, but it holds 6"),
        (png_of(parts_of(0), stand_in=True).replace(b"fdAT\0\0\0\1", b"fdAT\0\0\0\5"), "out of order"),
    ],
)
def test_contradictions_are_named(data: bytes, match: str) -> None:
    with pytest.raises(InvalidImage, match=match):
        opened_and_read(data)


@pytest.mark.parametrize("make", [png_of, webp_of])
def test_a_frame_outside_the_canvas_is_refused(make: Callable[..., bytes]) -> None:
    parts = parts_of(0)
    parts[1]["at"] = (WIDTH - 1, HEIGHT - 1)
    parts[1]["values"] = np.zeros((4, 4), np.uint8)

    with pytest.raises(InvalidImage, match="frame 2 is 4 x 4"):
        opened_and_read(make(parts))


def test_what_reaches_out_of_a_gif_is_cut_off() -> None:
    parts = parts_of(0, count=3)
    wide, far = dict(parts[1]), dict(parts[2], at=(100, 3))
    wide["at"], wide["values"] = (WIDTH - 2, HEIGHT - 3), np.zeros((9, 9), np.uint8)
    cut = dict(wide, values=wide["values"][:3, :2])

    frames, _ = frames_of(gif_of([parts[0], wide, far]))

    expected = shown([parts[0], cut])
    assert_same(frames[:2], expected)
    assert len(frames) == 3


@pytest.mark.parametrize("make", [gif_of, png_of, webp_of])
def test_a_truncated_animation_is_refused_wherever_it_ends(make: Callable[..., bytes]) -> None:
    data = make(parts_of(1, count=2, disposals=(1,))[:1] * 2)
    whole = len(data) - 1 if make is gif_of else len(data)  # the last byte of GIF is not missed

    for length in range(20, whole, 7):
        with pytest.raises(SrganError) as caught:
            opened_and_read(data[:length])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [gif_of, png_of, webp_of])
def test_any_wrong_byte_gives_frames_or_an_error_of_ours(make: Callable[..., bytes]) -> None:
    data = make(parts_of(1, count=2, disposals=(1,))[:1] * 2)
    random = np.random.default_rng(0)
    said = []

    for _ in range(150):
        changed = bytearray(data)
        changed[int(random.integers(0, len(data)))] = int(random.integers(0, 256))
        try:
            opened_and_read(bytes(changed), max_pixels=10_000)
        except SrganError as error:
            said.append(str(error))

    assert len(said) > 20
    assert all(line.startswith("the input: ") for line in said)


def test_errors_name_file_and_frame(tmp_path: Path) -> None:
    data = png_of(parts_of(0))
    at = data.rindex(b"fdAT") + 12
    (tmp_path / "a.png").write_bytes(data[:at] + b"\0\0" + data[at + 2 :])

    with pytest.raises(InvalidImage, match=r"a\.png: frame 6: "):
        frames_of(tmp_path / "a.png")
