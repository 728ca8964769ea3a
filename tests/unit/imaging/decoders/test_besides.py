"""What else a file holds is named, in every format that can hold it, and a plain file is not accused of anything."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srgan.imaging import open_animation, read_picture
from srgan.imaging.decoders.besides import besides
from srgan.imaging.metadata.second_pictures import CREDENTIALS, DEPTH, GAIN_MAP, VIDEO

GAIN_XMP = b'http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"/>'
MOVIE = struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + b"moov" * 9


def saved(kind: str = "JPEG", **options: object) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (40, 56, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind, **options)
    return buffer.getvalue()


def with_segments(*segments: tuple[int, bytes], picture: bytes | None = None) -> bytes:
    picture = picture or saved()
    parts = b"".join(struct.pack(">BBH", 255, 0xE0 + app, len(data) + 2) + data for app, data in segments)
    return picture[:2] + parts + picture[2:]


def mpf(*kinds: int) -> tuple[int, bytes]:
    """The index of a multi-picture file; where the pictures stand is not looked at."""
    index = struct.pack(">HHHII", 1, 0xB002, 7, 16 * len(kinds), 26) + bytes(4)
    rows = b"".join(struct.pack(">IIIHH", kind, 100, 0, 0, 0) for kind in kinds)
    return 2, b"MPF\0MM\0*" + struct.pack(">I", 8) + index + rows


def found(data: bytes, kind: str = "JPEG") -> list[str]:
    return besides(io.BytesIO(data), kind)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}, {"comment": "x"}]
)
def test_a_plain_jpeg_holds_nothing_else(options: dict[str, object]) -> None:
    plain = saved(icc_profile=bytes(70_000), xmp=b"<x/>", **options)
    assert found(plain) == []
    assert found(plain + bytes(100)) == [], "zeros are no data"
    assert found(plain[:-40]) == [], "cut short in the middle of its pixels"
    thumbnail = b"Exif\0\0II*\0\x08\0\0\0\0\0" + saved()[:60_000]
    assert found(with_segments((1, thumbnail), (13, b"Photoshop 3.0\0"), (14, b"Adobe\0d"))) == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (with_segments(mpf(0x030000, 0x010002)) + saved(), ["a preview"]),
        (with_segments(mpf(0x030000, 0x010001, 0x010002)) + saved() + bytes(30) + saved(), ["a preview (2 times)"]),
        (with_segments(mpf(0x020002, 0x020002)) + saved(), ["a further view"]),
        (with_segments(mpf(0x030000, 0)) + saved(), ["another picture"]),
        (saved() + saved(progressive=True) + saved(), ["another picture (2 times)"]),
        (with_segments(mpf(0x030000, 0)) + with_segments((1, GAIN_XMP)), [GAIN_MAP]),
        (with_segments((2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")) + saved(), ["another picture", GAIN_MAP]),
        (saved() + MOVIE, [VIDEO]),
        (saved() + b"\0\0\x01\x0aMotionPhoto_Data" + MOVIE + b"SEFT", [VIDEO]),
        (with_segments(mpf(0, 0)) + with_segments((1, GAIN_XMP)) + MOVIE, [GAIN_MAP, VIDEO]),
        (saved() + b"some program's own", ["18 bytes behind the picture"]),
        (with_segments((11, b"JP\0\1\0\0\0\1\0\0\0\x20jumb....c2pa")), [CREDENTIALS]),
        (with_segments((7, b"HUAWEI\0\1"), (4, b"\1\2"), (7, b"HUAWEI\0\2")), None),
        (with_segments((1, b"FLIR\0\1\0\1")), None),
    ],
)  # fmt: skip
def test_what_hangs_on_a_jpeg(data: bytes, expected: list[str] | None) -> None:
    if expected is not None:
        assert found(data) == expected
        assert read_picture(data).lost == tuple(expected)
        return
    (what,) = found(data)
    assert what in (
        "segments of JPEG (APP7 HUAWEI, APP4)",
        "segments of JPEG (APP1 FLIR)",
    )


def test_a_profile_of_which_a_part_is_missing_is_named() -> None:
    half = (2, b"ICC_PROFILE\0\1\2" + bytes(200))
    assert read_picture(with_segments(half)).lost == ("the colour profile, of which a part is missing",)


def test_a_file_on_disk_and_bytes_in_memory_say_the_same(tmp_path: Path) -> None:
    data = saved() + MOVIE
    path = tmp_path / "moving.jpg"
    path.write_bytes(data)
    assert read_picture(path).lost == read_picture(data).lost == (VIDEO,)
    assert read_picture(path).name == str(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_chunks_of_png() -> None:
    plain = saved("PNG", dpi=(72, 72), icc_profile=bytes(200), exif=b"II*\0\x08\0\0\0\0\0")
    assert found(plain, "PNG") == []
    more = plain[:33] + chunk(b"caBX", b"jumb") + chunk(b"sCAL", b"\x011\x001") + chunk(b"prVt", b"") + plain[33:]
    assert found(more, "PNG") == [CREDENTIALS, "chunks of PNG (sCAL, prVt)"]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_names_them_too(kind: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), (number, 0, 99)) for number in (0, 200)]
    path = tmp_path / "moving"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    data = path.read_bytes()
    more = chunk(b"caBX", b"jumb") if kind == "PNG" else b"C2PA" + struct.pack("<I", 0)
    data = data[:33] + more + data[33:] if kind == "PNG" else data + more
    if kind == "WEBP":
        data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    path.write_bytes(data)
    with open_animation(path) as animation:
        assert (animation.like.name, animation.like.lost) == (str(path), (CREDENTIALS,))


def test_data_behind_a_png() -> None:
    assert found(saved("PNG") + bytes(9), "PNG") == []
    assert found(saved("PNG") + b"PK\3\4 an archive", "PNG") == ["15 bytes behind the picture"]


def test_chunks_of_webp() -> None:
    plain = saved("WEBP", exif=b"II*\0\x08\0\0\0\0\0", xmp=b"<x/>")
    assert found(plain, "WEBP") == []
    more = plain + b"C2PA" + struct.pack("<I", 3) + b"abc\0" + b"mine" + struct.pack("<I", 0)
    assert found(more, "WEBP") == [CREDENTIALS, "chunks of WebP (mine)"]


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", len(data) + 8) + kind + data


def auxiliary(name: str) -> bytes:
    return box(b"meta", bytes(4), box(b"iprp", box(b"ipco", box(b"auxC", bytes(4), name.encode(), b"\0"))))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (auxiliary("urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"), []),
        (auxiliary("urn:mpeg:hevc:2015:auxid:1"), []),
        (auxiliary("urn:mpeg:mpegB:cicp:systems:auxiliary:depth"), [DEPTH]),
        (auxiliary("urn:mpeg:hevc:2015:auxid:2"), [DEPTH]),
        (auxiliary("urn:com:apple:photo:2020:aux:hdrgainmap"), [GAIN_MAP]),
        (
            auxiliary("urn:com:apple:photo:2018:aux:portraiteffectsmatte"),
            ["an auxiliary picture (portraiteffectsmatte)"],
        ),
        (box(b"meta", bytes(4), box(b"iinf", bytes(6), box(b"infe", bytes(8), b"tmap\0"))), [GAIN_MAP]),
        (box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481"), b"jumb"), [CREDENTIALS]),
        (box(b"jumb", b"jumd c2pa"), [CREDENTIALS]),
        (box(b"jhgm", b""), [GAIN_MAP]),
        (box(b"mpvd", MOVIE), [VIDEO]),
        (box(b"mdat", auxiliary("urn:mpeg:hevc:2015:auxid:2")), []),
    ],
)
@pytest.mark.parametrize("kind", ["HEIC", "AVIF", "JXL"])
def test_boxes(content: bytes, expected: list[str], kind: str) -> None:
    assert found(box(b"ftyp", b"mif1") + content + box(b"free"), kind) == expected


@pytest.mark.parametrize("kind", ["AVIF", "HEIC", "JXL"])
def test_a_real_file_with_alpha_holds_nothing_else(kind: str) -> None:
    buffer = io.BytesIO()
    picture = Image.new("RGBA", (64, 64), (9, 99, 199, 77))
    if kind == "HEIC":
        pytest.importorskip("pillow_heif", reason="the extra formats is not installed").from_pillow(picture).save(
            buffer
        )
    elif kind == "JXL":
        pytest.importorskip("pillow_jxl", reason="the extra formats is not installed")
    if kind != "HEIC":
        picture.save(buffer, kind)
    assert found(buffer.getvalue(), kind) == []


def test_a_depth_map_of_heic_is_named() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra formats is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 64))).save(buffer)
    data = buffer.getvalue()
    assert read_picture(data + box(b"mpvd", MOVIE)).lost == (VIDEO,)


@given(st.binary(max_size=400), st.sampled_from(["JPEG", "PNG", "WEBP", "AVIF", "HEIC", "JXL"]))
def test_damage_raises_nothing(tail: bytes, kind: str) -> None:
    head = {
        "JPEG": b"\xff\xd8",
        "PNG": b"\x89PNG\r\n\x1a\n",
        "WEBP": b"RIFF....WEBP",
        "JXL": b"\0\0\0\x0cJXL \r\n\x87\n",
    }
    start = head.get(kind, box(b"ftyp", b"heic") + b"\0\0\0\0meta\0\0\0\0")
    for data in (start + tail, start + tail[:9] * 30, start + b"\xff\xe2\x00\xffMPF\0" + tail, start):
        found(data, kind)
    assert found(b"anything", "TIFF") == []
