"""Names, limits and estimates of formats."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np
import pytest

import srgan
from srgan.errors import InvalidConfig, InvalidImage, LimitExceeded
from srgan.imaging import (
    WRITABLE,
    Limits,
    Picture,
    check_format,
    encode_picture,
    estimate_bytes,
    format_of,
    from_uint8,
    probe_picture,
    read_picture,
    to_uint8,
    write_picture,
)
from srgan.imaging.decoders.stored import Stored
from srgan.imaging.formats import FORMATS, Format, part_of, sniff
from srgan.settings import UpscaleSettings
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler

BARE = ("BMP", "PPM", "PFM")


def photograph(size: int = 256, bit_depth: int = 8) -> Picture:
    """Smooth shapes with grain, as a photograph has, enlarged: the estimate is made for such."""
    from srgan.imaging import resize

    random = np.random.default_rng(0)
    y, x, c = np.mgrid[: size // 4, : size // 4, :3] / size
    small = 0.5 + 0.3 * np.sin(9 * x + c) * np.cos(17 * y) + random.normal(0, 0.03, (size // 4, size // 4, 3))
    pixels = resize(small.astype(np.float32), size, size)
    return Picture(pixels=np.clip(pixels, 0, 1).astype(np.float32), bit_depth=bit_depth)


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("bit_depth", [8, 16, 32])
def test_the_estimate_is_enough_and_not_far_too_much(kind: str, bit_depth: int) -> None:
    source = photograph(bit_depth=bit_depth)
    needed = len(encode_picture(source, kind))
    estimate = estimate_bytes((source.height, source.width), 3, bit_depth, kind)
    assert needed <= estimate
    if kind in BARE:
        assert estimate < needed + 100_000


def test_estimates_follow_size_depth_and_channels() -> None:
    one = estimate_bytes((4000, 4000), 1, 8, "PNG")
    assert estimate_bytes((8000, 4000), 1, 8, "PNG") == pytest.approx(2 * one, rel=0.01)
    assert estimate_bytes((4000, 4000), 4, 8, "png") == pytest.approx(4 * one, rel=0.02)
    assert estimate_bytes((4000, 4000), 1, 16, "PNG") > 2 * one
    assert estimate_bytes((4000, 4000), 1, 32, "PNG") == estimate_bytes((4000, 4000), 1, 16, "PNG")
    assert estimate_bytes((4000, 4000), 1, 32, "tif") == 2 * estimate_bytes((4000, 4000), 1, 16, "tif") - 65_536
    assert estimate_bytes((20_000, 20_000), 3, 8, "JPEG") < 20_000 * 20_000 * 3
    with pytest.raises(InvalidConfig):
        estimate_bytes((1, 1), 1, 8, "XCF")


def test_every_suffix_has_one_format_and_every_format_its_name() -> None:
    suffixes = [suffix for held in FORMATS.values() for suffix in held.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    for kind in WRITABLE:
        assert format_of(None, kind) == kind
        assert format_of(None, kind.lower()) == kind


def test_the_settings_offer_every_format() -> None:
    annotation = UpscaleSettings.model_fields["format"].annotation
    offered = {name for part in get_args(annotation) for name in get_args(part)}
    assert {format_of(None, name) for name in offered} == set(WRITABLE)
    for written, meant in (("JPG", "jpeg"), (".tif", "tiff"), ("HEIF", "heic"), ("pgm", "ppm")):
        assert UpscaleSettings.model_validate({"format": written}).format == meant


# --------------------------------------------------------------------------------------------- one row a format


def open_made_up(stream: BinaryIO, limits: Limits) -> Stored:
    """A made-up format: ``MADE``, width and height, then RGB, row by row."""
    stream.seek(4)
    width, height = struct.unpack("<HH", stream.read(4))
    limits.check_size(width, height)

    def rows(count: int) -> Iterator[Any]:
        stream.seek(8)
        for top in range(0, height, count):
            part = min(count, height - top)
            yield np.frombuffer(stream.read(part * width * 3), np.uint8).reshape(part, width, 3)

    return Stored(format="MADE", width=width, height=height, model="RGB", alpha=False, bit_depth=8, top=255, rows=rows)


def encode_made_up(
    rows: Iterable[Any], size: tuple[int, int], plan: Any, like: Any, quality: int, stream: BinaryIO
) -> None:
    stream.write(b"MADE" + struct.pack("<HH", size[1], size[0]))
    for values in rows:
        stream.write(values.tobytes())


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Format(
        suffixes=(".made",),
        announced=lambda head: head.startswith(b"MADE"),
        decoder=f"{__name__}:open_made_up",
        encoder=f"{__name__}:encode_made_up",
        models=("RGB",),
        profile=False,
        max_side=2**16 - 1,
    )
    monkeypatch.setitem(FORMATS, "MADE", row)


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_format_is_read_and_written_by_its_row_alone(channels: int, tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (9, 13, channels), np.uint8)
    if channels in (2, 4):
        values[..., -1] = 255
    source = write_picture(Picture(pixels=from_uint8(values)), tmp_path / "a.made", verify="pixels")

    header = probe_picture(source)
    assert (header.format, header.width, header.height) == ("MADE", 13, 9)
    colour = values[..., : 1 if channels < 3 else 3]
    np.testing.assert_array_equal(to_uint8(read_picture(source).pixels), np.broadcast_to(colour, (9, 13, 3)))

    large = np.broadcast_to(colour, (9, 13, 3)).repeat(2, 0).repeat(2, 1)
    upscaler = Upscaler(NearestSession(2))
    srgan.upscale(source, upscaler, output=tmp_path / "large.made")
    np.testing.assert_array_equal(to_uint8(read_picture(tmp_path / "large.made").pixels), large)
    assert srgan.upscale(source.read_bytes(), upscaler) == (tmp_path / "large.made").read_bytes()
    with pytest.raises(LimitExceeded, match="the limit is 5 per side"):
        read_picture(source, limits=Limits(max_side=5))
    with pytest.raises(LimitExceeded, match="too large for MADE"):
        check_format("made", 2**16, 1, 3)


def test_without_its_row_a_format_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="is not a format"):
        format_of(tmp_path / "a.made")
    with pytest.raises(InvalidImage, match="not a picture that can be read"):
        probe_picture(b"MADE" + bytes(100))


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_row_names_is_there(format: str) -> None:
    row = FORMATS[format]
    for target in (row.decoder, row.encoder, row.measure, row.pages, row.index):
        assert target is None or callable(part_of(target))
    assert row.quality is None or 1 <= row.quality <= 100


@pytest.mark.parametrize("format", FORMATS)
def test_no_other_row_takes_what_a_row_announces(format: str) -> None:
    """Whatever their order."""
    heads = {
        "PNG": b"\x89PNG\r\n\x1a\n",
        "JPEG": b"\xff\xd8\xff\xe0",
        "WEBP": b"RIFF\x10\0\0\0WEBPVP8 ",
        "TIFF": b"MM\0+",
        "BMP": b"BM\x10\0",
        "GIF": b"GIF89a",
        "PPM": b"P6\n3 2",
        "PFM": b"Pf 3 2",
        "AVIF": b"\0\0\0\x18ftypmif1\0\0\0\0heicavif",
        "HEIC": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
        "JXL": b"\xff\x0a\0\0",
    }
    assert [name for name, row in FORMATS.items() if row.announced(heads[format].ljust(64, b"\0"))] == [format]


def test_short_and_strange_heads_announce_nothing() -> None:
    for head in (b"", b"P", b"P6", b"P7\n", b"RIFF", b"\0\0\0\x18ftypmp42", b"\0\0\0\x18ftypmif1", b"B", b"II*"):
        assert sniff(head) is None, head


@pytest.mark.parametrize("format", ["PNG", "BMP", "JPEG", "PPM"])
def test_only_what_a_format_needs_is_loaded(format: str) -> None:
    script = f"""
        import sys, numpy as np
        from srgan.imaging import Picture, encode_picture, read_picture
        read_picture(encode_picture(Picture(pixels=np.zeros((5, 4, 3), np.float32)), "{format}"))
        heavy = {{"tifffile", "pillow_heif", "pillow_jxl", "torch"}} | ({{"pyvips"}} if "{format}" != "JPEG" else set())
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
