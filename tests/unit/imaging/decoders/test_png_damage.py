"""PNG whose pixels are damaged, by any of its checksums; and what is wrong beside them, which does no harm."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

from srgan.errors import InvalidImage
from srgan.imaging import Limits, open_animation, read_picture


def png(mode: str = "RGB", size: tuple[int, int] = (60, 41), **options: Any) -> bytes:
    values = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 4), np.uint8)
    values = np.repeat(np.repeat(values[::4, ::4], 4, axis=0), 4, axis=1)[: size[1], : size[0]]
    image = (
        Image.fromarray(values).convert(mode.partition(";")[0])
        if mode != "I;16"
        else Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def file_of(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def with_data(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """``data`` whose compressed pixels were changed, in a chunk that is right otherwise."""
    parts = chunks(data)
    pixels = b"".join(content for kind, content in parts if kind == b"IDAT")
    rest = [part for part in parts if part[0] not in (b"IDAT", b"IEND")]
    return file_of([*rest, (b"IDAT", change(pixels)), (b"IEND", b"")])


def spoilt(data: bytes, kind: bytes, offset: int) -> bytes:
    """A wrong byte in the first chunk of a kind."""
    place = data.index(kind) + offset
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


MODES = ["L", "RGB", "RGBA", "P", "1", "I;16"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("large", [False, True])
def test_damage_in_the_pixels_is_refused_and_kept_only_when_asked(
    mode: str, large: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if large:
        monkeypatch.setattr("srgan.imaging.decoders.pillow._WHOLE_PIXELS", 100)
    sound = png(mode)
    whole = read_picture(sound).pixels
    halves = zlib.compress(zlib.decompress(dict(chunks(sound))[b"IDAT"])[: whole.size // 9])
    for kind, data, message in (
        ("checksum of the chunk", spoilt(sound, b"IDAT", len(dict(chunks(sound))[b"IDAT"]) + 5), "a wrong checksum"),
        ("a wrong byte", spoilt(sound, b"IDAT", 40), "is damaged|a wrong checksum|ends early"),
        ("checksum of the data", with_data(sound, lambda pixels: pixels[:-4] + b"nono"), "incorrect data check"),
        ("no checksum", with_data(sound, lambda pixels: pixels[:-4]), "ends early"),
        ("few rows", with_data(sound, lambda pixels, halves=halves: halves), "ends early"),
        ("file cut short", sound[:-40], "ends early|no checksum"),
    ):
        with pytest.raises(InvalidImage, match=f"the input: damaged or truncated PNG: .*({message})"):
            read_picture(data)
        caplog.clear()
        kept = read_picture(data, limits=Limits(damaged="keep"))
        assert kept.pixels.shape == whole.shape, kind
        assert len(caplog.records) == 1
    assert np.array_equal(read_picture(sound).pixels, whole)


@pytest.mark.parametrize("kind", [b"PLTE", b"tRNS"])
def test_a_damaged_palette_is_refused(kind: bytes) -> None:
    sound = png("P", transparency=3)
    assert read_picture(sound).pixels.shape[2] == 4
    with pytest.raises(InvalidImage, match=f"damaged or truncated PNG: .*checksum.*{kind.decode()}"):
        read_picture(spoilt(sound, kind, 5))


def test_damage_beside_the_pixels_and_bytes_after_them_do_no_harm() -> None:
    sound = png()
    for data in (
        sound + b"junk",
        sound[:-12],  # without its end
        spoilt(file_of([*chunks(sound)[:-1], (b"tEXt", b"Title\0x"), (b"IEND", b"")]), b"tEXt", 5),
        with_data(sound, lambda pixels: pixels + b"more"),
        with_data(sound, lambda pixels: zlib.compress(zlib.decompress(pixels) + bytes(5000))),
    ):
        assert np.array_equal(read_picture(data).pixels, read_picture(sound).pixels)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (8, 8), (17, 9)])
def test_an_interlaced_picture_is_held_to_its_length(size: tuple[int, int]) -> None:
    """Interlaced by libvips, since Pillow does not write it."""
    values = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    data = pyvips.Image.new_from_array(values).write_to_buffer(".png", interlace=True)
    assert read_picture(data).pixels == pytest.approx(values / 255)
    short = with_data(data, lambda pixels: zlib.compress(zlib.decompress(pixels)[:-1]))
    with pytest.raises(InvalidImage, match="ends early"):
        read_picture(short)


def test_a_damaged_frame_is_refused_by_its_number() -> None:
    first, *others = (Image.new("RGB", (20, 16), (80 * number, 3, 90)) for number in range(3))
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=others)
    data = buffer.getvalue()
    with open_animation(data) as animation:
        assert len([*animation.frames]) == 3
    last = data.rindex(b"fdAT")
    with open_animation(data[: last + 9] + bytes([data[last + 9] ^ 1]) + data[last + 10 :]) as animation:
        frames = animation.frames
        assert next(frames).picture.pixels.shape == (16, 20, 3)
        with pytest.raises(InvalidImage, match=r"the input: frame 3: damaged or truncated PNG: "):
            next(frames), next(frames)
