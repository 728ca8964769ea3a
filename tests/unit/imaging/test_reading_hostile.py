"""Reading what strangers send: metadata of JPEG, files that are two things at once, and damage to every layout."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging import Limits, probe_picture, read_picture
from srgan.imaging.inputs import translated

PIXELS = np.random.default_rng(7).integers(0, 256, (24, 20, 4)).astype(np.uint8)


def encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(values: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


# ---- what JPEG and GIF say


def with_segments(*segments: tuple[int, bytes]) -> bytes:
    data = encoded("JPEG")
    return (
        data[:2] + b"".join(struct.pack(">BBH", 0xFF, mark, len(body) + 2) + body for mark, body in segments) + data[2:]
    )


def test_iptc_of_jpeg_even_in_two_segments() -> None:
    records = b"\x1c\x02\x78\0\x40" + bytes(range(64))
    resources = b"8BIM\x04\x25\0\0" + struct.pack(">I", 16) + bytes(16)
    resources += b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + b"\0"
    name = b"Photoshop 3.0\0"
    assert read_picture(with_segments((0xED, name + resources))).iptc == records
    assert read_picture(with_segments((0xED, name + resources[:50]), (0xED, name + resources[50:]))).iptc == records
    assert read_picture(with_segments((0xED, name + resources[:50]))).iptc is None
    assert read_picture(with_segments((0xED, name))).iptc is None


def test_comments_of_jpeg_and_gif() -> None:
    picture = read_picture(with_segments((0xFE, "Grüße".encode()), (0xFE, b"caf\xe9\0")))
    assert picture.text == (("Comment", "Grüße"), ("Comment", "café"))
    assert read_picture(encoded("GIF", comment=b"hello")).text == (("Comment", "hello"),)
    assert read_picture(encoded("JPEG")).text == ()


# ---- files that are two things at once


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_what_follows_a_picture_changes_nothing(kind: str) -> None:
    data = encoded(kind)
    alone = read_picture(data)
    for tail in (b"PK\x03\x04 an archive", b"<script>alert(1)</script>", encoded("PNG")):
        assert np.array_equal(read_picture(data + tail).pixels, alone.pixels)


@pytest.mark.parametrize(
    "disguise", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7\n", b"#!/bin/sh\n", b"GIF"]
)
def test_the_first_bytes_decide_and_nothing_later(disguise: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(disguise + encoded("PNG"))
    with pytest.raises(InvalidImage, match="not a picture that can be read"):
        read_picture(path)


@pytest.mark.parametrize(
    "name", ["a.png[n=2]", "pipe|ls.png", "-rf.png", "ümläut 日本 🎈.png", "a:b?.png", "$HOME.png"]
)
def test_a_name_is_only_a_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(tiff(PIXELS[..., :3].astype(np.uint16) * 257, photometric="rgb"))
    assert read_picture(path).pixels == pytest.approx(PIXELS[..., :3] / 255, abs=1e-6)


# ---- damage


LAYOUTS = {
    "png": encoded("PNG", "RGBA"),
    "png palette": encoded("PNG", "P"),
    "jpeg": encoded("JPEG"),
    "jpeg progressive": encoded("JPEG", "CMYK", progressive=True),
    "strips": tiff(PIXELS[..., :3], photometric="rgb", rowsperstrip=5),
    "tiles": tiff(PIXELS.astype(np.uint16), photometric="rgb", tile=(16, 16), extrasamples=["assocalpha"]),
    "deflate": tiff(PIXELS[..., 0], photometric="minisblack", compression="zlib"),
    "planes": tiff(np.ascontiguousarray(PIXELS.transpose(2, 0, 1)), photometric="separated", planarconfig="separate"),
    "float": tiff(PIXELS[..., :3].astype(np.float32), photometric="rgb", bigtiff=True),
    "double": tiff(PIXELS[..., :3] / 255, photometric="rgb", compression="zlib"),
    "lzw": encoded("TIFF", "P", compression="tiff_lzw"),
    "fax": encoded("TIFF", "1", compression="group4"),
    "jpeg in tiff": encoded("TIFF", "RGB", compression="jpeg"),
    "gif": encoded("GIF", "P"),
    "webp": encoded("WEBP", "RGBA"),
    "bmp": encoded("BMP", "P"),
    "digits": b"P3 4 3 255\n" + b"\n".join(b"%d" % value for value in PIXELS.ravel()[:36]),
    "pfm": b"PF\n4 3\n-1\n" + (PIXELS.ravel()[:36] / 255).astype("<f4").tobytes(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    length=st.one_of(st.just(1.0), st.floats(0, 1)),
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged tags
def test_damage_gives_a_sound_picture_or_a_refusal_in_one_line(
    layout: str, changes: list[tuple[float, int]], length: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.imaging.decoders.pillow._WHOLE_PIXELS", 0 if len(changes) % 2 else 1 << 22)
    data = bytearray(LAYOUTS[layout])
    for place, value in changes:
        data[int(place * len(data))] = value
    limits = Limits(max_pixels=100_000, max_bytes=100_000)
    start = time.process_time()
    refusal, picture = "", None
    try:
        picture = read_picture(bytes(data[: int(length * len(data))]), limits=limits)
    except (InvalidImage, LimitExceeded) as error:
        refusal = str(error)
    if picture is None:
        assert refusal.startswith("the input: ")
        assert refusal.isprintable()
    else:
        assert picture.width * picture.height <= 100_000
        assert picture.pixels.dtype == np.float32
        assert (picture.pixels.min() >= 0, picture.pixels.max() <= 1) == (True, True)
        assert probe_picture(bytes(data)).width in picture.pixels.shape
    assert time.process_time() - start < 5


def test_a_file_opened_as_text_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.ppm"
    path.write_text("P2 1 1 255 7")
    with path.open() as file, pytest.raises(InvalidImage, match=r"a.ppm: is open as text"):
        read_picture(file)  # type: ignore[arg-type]


@pytest.mark.parametrize("thing", [None, 7, ["a.png"]])
def test_what_is_no_source_is_refused(thing: object) -> None:
    with pytest.raises(InvalidImage, match=f"must be a path, bytes or an open binary file, not {type(thing).__name__}"):
        read_picture(thing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "said", ["Unsupported BMP compression (4)", "x support is not configured", "cannot handle 12-bit layers"]
)
def test_what_a_decoder_does_not_support_is_not_called_damaged(said: str) -> None:
    with pytest.raises(InvalidImage) as caught, translated("a.bmp", "BMP"):
        raise OSError(f"{said}\n{said}\n{said}")
    assert str(caught.value) == f"a.bmp: this kind of BMP is not supported ({said}); convert it with another program"
