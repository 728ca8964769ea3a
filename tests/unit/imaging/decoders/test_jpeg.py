"""JPEG: what libjpeg warns of is damage, unless it is about something else than the pixels."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.errors import InvalidImage
from srgan.imaging import Limits, open_scan, read_picture

KEEP = Limits(damaged="keep")
PROGRESSIVE = {"progressive": True}


def photo(mode: str = "RGB", size: tuple[int, int] = (160, 120)) -> Image.Image:
    noise = np.random.default_rng(5).integers(0, 256, (15, 20, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).convert(mode)


def jpeg(mode: str = "RGB", size: tuple[int, int] = (160, 120), **options: Any) -> bytes:
    buffer = io.BytesIO()
    photo(mode, size).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def scan_of(data: bytes) -> int:
    """Where the data of the last scan begins."""
    place = data.rfind(b"\xff\xda")
    return place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def flipped(data: bytes, part: float) -> bytes:
    start = scan_of(data)
    place = start + int(part * (len(data) - 2 - start))
    return data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :]


RESTARTS = jpeg(restart_marker_rows=1)
THIRD = RESTARTS.index(b"\xff\xd3", scan_of(RESTARTS))

DAMAGED = {
    "left over": jpeg()[:-2] + b"\x12\x34\x56\x78\xff\xd9",
    "cut, with an end": jpeg()[:-700] + b"\xff\xd9",
    "cut": jpeg()[:-700],
    "no end": jpeg()[:-2],
    "a progressive scan with something left over": jpeg(**PROGRESSIVE)[:-2] + b"\x12\x34\x56" * 9 + b"\xff\xd9",
    "a progressive scan cut short": jpeg(**PROGRESSIVE)[:-200] + b"\xff\xd9",
    "a restart marker is lost": RESTARTS[:THIRD] + RESTARTS[THIRD + 2 :],
    "a wrong restart marker": RESTARTS[:THIRD] + b"\xff\xd6" + RESTARTS[THIRD + 2 :],
    "bytes before a restart marker": RESTARTS[:THIRD] + b"abcdef" + RESTARTS[THIRD:],
    "a marker in the scan": jpeg()[:-900] + b"\xff\xc4" + jpeg()[-898:],
    "gray": jpeg("L")[:-2] + b"\x12\x34\x56\x78\xff\xd9",
    "inks": jpeg("CMYK")[:-300] + b"\xff\xd9",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_scan_is_refused_and_kept_only_when_asked(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidImage, match=r"the input: damaged or truncated JPEG: .*; use --damaged keep"):
        read_picture(DAMAGED[kind])
    assert not caplog.records
    with open_scan(DAMAGED[kind], limits=KEEP) as scan:
        shape = np.concatenate([*scan.strips]).shape
    assert shape == (120, 160, 1 if kind == "gray" else 3)
    assert len(scan.damage) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"the input: damaged, decoded as far as possible: {scan.damage[0]}."
    ]


@pytest.mark.parametrize("size", [(160, 120), (2300, 1900)])
def test_damage_is_found_in_the_middle_and_at_the_very_end(size: tuple[int, int], tmp_path: Any) -> None:
    """Most wrong bytes libjpeg cannot tell from right ones; those that shift the rest it can, wherever they are."""
    sound = jpeg(size=size, quality=60)
    path = tmp_path / "photo.jpg"
    told = []
    for part in np.linspace(0.02, 0.98, 8 if size[0] > 1000 else 40):
        path.write_bytes(flipped(sound, part))
        with suppress(InvalidImage):
            read_picture(path)
            continue
        told.append(part)
    assert len(told) >= 4
    assert min(told) < 0.5 < max(told)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "options", [{}, PROGRESSIVE, {"optimize": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}, {"quality": 1}]
)
def test_sound_pictures_of_every_size_are_read(mode: str, options: dict[str, Any]) -> None:
    for size in ((1, 1), (7, 9), (8, 8), (16, 16), (17, 33), (160, 120)):
        data = jpeg(mode, size, **(options if mode == "RGB" or "subsampling" not in options else {}))
        picture = read_picture(data)
        plain = np.asarray(Image.open(io.BytesIO(data)), np.float32).reshape(size[1], size[0], -1) / 255
        if mode == "CMYK":
            plain = (1 - plain[..., :3]) * (1 - plain[..., 3:])
        assert picture.pixels == pytest.approx(plain, abs=1e-6)


def test_one_colour_is_read_though_its_scan_is_a_few_bytes() -> None:
    for value in range(0, 256, 15):
        buffer = io.BytesIO()
        Image.new("L", (8, 8), value).save(buffer, "JPEG", optimize=bool(value % 2))
        assert read_picture(buffer.getvalue()).pixels == pytest.approx(value / 255, abs=0.01)


EXIF = b"\xff\xe1\x00\x14Exif\0\0" + b"\xff" * 12

HARMLESS = {
    "bytes after the end": jpeg() + b"junk" * 99,
    "another picture after the end": jpeg() + jpeg()[:-500],
    "zeros before the end": jpeg()[:-2] + bytes(9) + b"\xff\xd9",
    "ones before the end": jpeg()[:-2] + b"\xff" * 9 + b"\xff\xd9",
    "junk in EXIF": jpeg()[:2] + EXIF + jpeg()[2:],
    "junk between segments": jpeg()[:2] + EXIF + b"\0\1\2\3" + jpeg()[2:],
    "a JFIF of the future": jpeg().replace(b"JFIF\0\1", b"JFIF\0\3"),
    "junk as a profile": jpeg()[:2] + b"\xff\xe2\x00\x14ICC_PROFILE\0\7\2jun" + jpeg()[2:],
}


@pytest.mark.parametrize("kind", HARMLESS)
@pytest.mark.parametrize("on_disk", [False, True])
def test_what_is_not_about_pixels_does_no_harm(kind: str, on_disk: bool, tmp_path: Any) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(HARMLESS[kind])
    picture = read_picture(path if on_disk else HARMLESS[kind])
    assert np.array_equal(picture.pixels, read_picture(jpeg()).pixels)
    assert path.read_bytes() == HARMLESS[kind]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((0, b"\xc3"), "lossless JPEG is not supported"),
        ((0, b"\xc5"), "hierarchical JPEG is not supported"),
        ((3, b"\x0c"), "JPEG of 12 bits a channel is not supported"),
        ((4, b"\0\0"), "height after its pixels is not supported"),
        ((8, b"\2"), "JPEG of 2 channels is not supported"),
    ],
)
def test_a_kind_of_jpeg_that_is_not_read_is_named_and_not_called_damaged(
    change: tuple[int, bytes], message: str
) -> None:
    data = jpeg()
    place = data.index(b"\xff\xc0") + 1 + change[0]
    with pytest.raises(InvalidImage, match=message) as caught:
        read_picture(data[:place] + change[1] + data[place + len(change[1]) :])
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\0\4ab", jpeg()[:120]])
def test_no_scan_is_no_picture(data: bytes) -> None:
    with pytest.raises(InvalidImage, match="the input: damaged or truncated JPEG: no picture in it"):
        read_picture(data)
