"""Depth and streaming: sixteen bits and floating point of every format, through libvips where Pillow cannot."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from srgan.errors import InvalidImage, LimitExceeded, MissingDependency
from srgan.imaging import Limits, open_scan, probe_picture, read_picture
from srgan.imaging.encoders.png import PngWriter


def noise(channels: int, dtype: Any = np.uint16, *, height: int = 41, width: int = 29) -> NDArray[Any]:
    return np.random.default_rng(channels).integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


def png(values: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    height, width, channels = values.shape
    writer = PngWriter(buffer, width, height, channels, bit_depth=8 * values.itemsize, **options)
    writer.write_rows(values)
    writer.finish()
    return buffer.getvalue()


def interlaced(values: NDArray[np.uint16]) -> bytes:
    """A 16-bit RGB picture in Adam7's seven passes, unfiltered."""
    height, width, _ = values.shape
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    raw = b"".join(
        b"\0" + row.astype(">u2").tobytes() for y, x, down, right in passes for row in values[y::down, x::right]
    )
    data = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 1)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_sixteen_bits_keeps_every_value(
    channels: int, dark: bool, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr("srgan.imaging.decoders.pillow._WHOLE_PIXELS", 0)
    values = noise(channels) // (300 if dark else 1)
    data = png(values, dpi=(300, 300))
    picture = read_picture(data)
    assert picture.bit_depth == 16
    assert np.array_equal(np.round(picture.pixels * 65535).astype(int), values)
    assert picture.dpi == pytest.approx((300, 300), abs=0.02)
    header = probe_picture(data)
    assert (header.width, header.height, header.channels, header.bit_depth) == (29, 41, channels, 16)


def test_interlaced_png_of_sixteen_bits() -> None:
    values = noise(3)
    assert np.array_equal(np.round(read_picture(interlaced(values)).pixels * 65535).astype(int), values)


def test_a_transparent_colour_of_sixteen_bits() -> None:
    values = noise(3)
    data = png(values)
    key = values[7, 9].astype(">u2").tobytes()
    chunk = struct.pack(">I", 6) + b"tRNS" + key + struct.pack(">I", zlib.crc32(b"tRNS" + key))
    picture = read_picture(data[:33] + chunk + data[33:])
    assert picture.alpha is not None
    assert np.argwhere(picture.alpha[..., 0] == 0).tolist() == [[7, 9]]
    assert np.array_equal(np.round(picture.colour * 65535).astype(int), values)


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("L", "PNG", {}),
        ("1", "PNG", {}),
        ("P", "PNG", {}),
        ("P", "PNG", {"transparency": 3}),
        ("L", "PNG", {"transparency": 100}),
        ("LA", "PNG", {}),
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("L", "JPEG", {}),
        ("RGB", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True}),
        ("CMYK", "JPEG", {}),
    ],
)
def test_large_pictures_give_the_same_pixels_as_small_ones(
    mode: str, kind: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    image = Image.fromarray(noise(4, np.uint8)).convert("RGB" if mode == "P" else mode)
    (image.quantize(16) if mode == "P" else image).save(buffer, kind, **options)
    whole = read_picture(buffer.getvalue())
    monkeypatch.setattr("srgan.imaging.decoders.pillow._WHOLE_PIXELS", 0)
    monkeypatch.setattr(
        "srgan.imaging.decoders.pillow.pillow_rows", lambda *_: lambda count: pytest.fail("Pillow was asked")
    )
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 29 * 7)
    path = tmp_path / "bild[page=3]ärger,日本.png"
    path.write_bytes(buffer.getvalue())
    for source in (buffer.getvalue(), path):
        with open_scan(source) as scan:
            strips = list(scan.strips)
        assert [len(strip) for strip in strips] == [7] * 5 + [6]
        assert np.array_equal(np.concatenate(strips), whole.pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("on_disk", [False, True])
def test_large_truncated_pictures_are_errors_and_never_gray(
    kind: str, part: float, on_disk: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("srgan.imaging.decoders.pillow._WHOLE_PIXELS", 0)
    buffer = io.BytesIO()
    Image.fromarray(noise(3, np.uint8, height=300, width=200)).save(buffer, kind)
    data = buffer.getvalue()[: int(len(buffer.getvalue()) * part)]
    path = tmp_path / "cut"
    path.write_bytes(data)
    with pytest.raises(InvalidImage, match=f"(cut|the input): damaged or truncated {kind}") as caught:
        read_picture(path if on_disk else data)
    assert str(caught.value).isprintable()


def test_a_picture_that_breaks_off_gives_its_strips_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 200 * 20)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, noise(3, height=300, width=200), compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        place = file.pages.first.dataoffsets[15]
    data = bytearray(buffer.getvalue())
    data[place + 9] ^= 1
    given = []
    with open_scan(bytes(data)) as scan, pytest.raises(InvalidImage, match="TIFF: strip 16 of 30 is damaged"):
        given.extend(len(strip) for strip in scan.strips)
    assert 120 <= sum(given) <= 150


def test_what_the_block_raises_is_not_blamed_on_the_picture() -> None:
    with pytest.raises(ZeroDivisionError), open_scan(png(noise(3))):
        raise ZeroDivisionError


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_scan_is_the_turned_picture(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 100)
    values = noise(3)
    exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 0x0112, 3, 1, orientation, 0, 0)
    with open_scan(png(values, exif=exif)) as scan:
        pixels = np.concatenate(list(scan.strips))
    assert scan.like.pixels.shape == pixels.shape == ((29, 41, 3) if orientation >= 5 else (41, 29, 3))
    turns: list[Any] = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.transpose(1, 0, 2),
        lambda a: np.rot90(a, -1),
        lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        lambda a: np.rot90(a, 1),
    ]
    assert np.array_equal(np.round(pixels * 65535).astype(int), turns[orientation - 1](values))


# ---- the newer formats


def test_avif_of_ten_bits_keeps_them() -> None:
    pyvips = pytest.importorskip("pyvips")
    values = (noise(3, np.uint16, height=64, width=48) // 64) * 64  # ten bits at the top
    smooth = np.sort(values.reshape(-1, 3), axis=0).reshape(values.shape)
    image = pyvips.Image.new_from_array(smooth).copy(interpretation="rgb16")
    picture = read_picture(image.write_to_buffer(".avif", bitdepth=10, Q=100))
    assert (picture.format, picture.bit_depth) == ("AVIF", 16)
    assert np.abs(picture.pixels - smooth / 65535).max() < 0.02
    assert len(np.unique(np.round(picture.pixels * 65535))) > 600, "more than eight bits can tell apart"


def test_heic_of_ten_bits_keeps_them_and_is_turned_once() -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra formats is not installed")
    values = (noise(3, np.uint16, height=64, width=48) // 64) * 64
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = heif.from_bytes("RGB;16", (48, 64), values.tobytes())
    picture.save(buffer, quality=-1, chroma=444, matrix_coefficients=0, exif=exif.tobytes())
    picture = read_picture(buffer.getvalue())
    assert (picture.format, picture.bit_depth) == ("HEIC", 16)
    assert picture.pixels.shape == (48, 64, 3)
    assert np.round(picture.pixels * 65535) == pytest.approx(np.rot90(values, -1), abs=64)


@pytest.mark.parametrize(("mode", "channels", "bits"), [("L", 1, 8), ("LA", 2, 8), ("RGB", 3, 8), ("RGBA", 4, 8)])
def test_jpeg_xl(mode: str, channels: int, bits: int) -> None:
    pytest.importorskip("pillow_jxl", reason="the extra formats is not installed")
    image = Image.fromarray(noise(4, np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JXL", lossless=True, xmp=b"<x:xmpmeta/>")
    picture = read_picture(buffer.getvalue())
    assert (picture.format, picture.bit_depth, picture.xmp) == ("JXL", bits, b"<x:xmpmeta/>")
    assert np.array_equal(np.round(picture.pixels * 255), np.asarray(image).reshape(41, 29, channels))
    assert (probe_picture(buffer.getvalue()).width, probe_picture(buffer.getvalue()).height) == (29, 41)


def test_jpeg_xl_of_sixteen_bits_and_of_floating_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.reading.space_of", lambda icc, model: None)  # its values are linear
    pytest.importorskip("pillow_jxl", reason="the extra formats is not installed")
    values = noise(1)[..., 0]
    for array, top in ((values, 65535), ((values / 65535).astype(np.float32), 1)):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "JXL", lossless=True)
        picture = read_picture(buffer.getvalue())
        assert picture.bit_depth == (16 if top > 1 else 32)
        assert picture.pixels[..., 0] == pytest.approx(array / top, abs=1e-6)


@pytest.mark.parametrize("size", [(8, 8), (16, 8), (256, 256), (3000, 2000), (1000, 10), (10, 70000), (1920, 1080)])
def test_the_size_of_jpeg_xl_is_known_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pillow_jxl", reason="the extra formats is not installed")
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, "JXL", effort=1)
    monkeypatch.setattr("srgan.imaging.decoders.modern._plug_in", lambda *_: pytest.fail("the decoder was asked"))
    header = probe_picture(buffer.getvalue())
    assert (header.width, header.height) == size
    with pytest.raises(LimitExceeded, match="the limit is 1 per side"):
        read_picture(buffer.getvalue(), limits=Limits(max_side=1))


@pytest.mark.parametrize(("head", "name"), [(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"), (b"\xff\x0a", "jxl")])
def test_a_missing_plug_in_names_the_extra(head: bytes, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"pillow_{name}", None)
    with pytest.raises(MissingDependency, match=r"srgan\[formats\]"):
        read_picture(head + bytes.fromhex("410600138802") + bytes(100))


# ---- cost


def fresh(code: str, *arguments: str) -> str:
    """What a Python of its own prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "PPM"])
def test_a_small_plain_picture_loads_neither_libvips_nor_tifffile(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "small"
    Image.fromarray(noise(3, np.uint8)).save(path, kind)
    code = (
        "import sys, srgan.imaging as i; i.read_picture(sys.argv[1]); print({'pyvips', 'tifffile'} & set(sys.modules))"
    )
    assert fresh(code, str(path)) == "set()"


SCAN = """
import sys, psutil
from srgan.imaging import Limits, open_scan
from srgan.imaging.decoders.vips import library
library()
start = psutil.Process().memory_info().rss
with open_scan(sys.argv[1]) as scan:
    rows = sum(len(strip) for strip in scan.strips)
assert rows == scan.like.height
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # of this process alone
print((int(peak.split()[1]) * 1024 - start) // 10**6)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is counted differently here")
@pytest.mark.parametrize(("side", "most"), [(3600, 130), pytest.param(6000, 200, marks=pytest.mark.soak)])
@pytest.mark.parametrize("layout", ["png", "png16", "strips", "tiles", "deflate", "float", "jpeg", "ppm"])
def test_memory_does_not_grow_with_the_picture(layout: str, side: int, most: int, tmp_path: Path) -> None:
    """3,600 x 3,600 RGB pixels are 155 MB of floating point, 6,000 x 6,000 are 432; ``most`` is far less."""
    y, x = np.mgrid[:side, :side].astype(np.uint16)
    values = np.stack([x * 7 + y, y * 3, x ^ y], axis=2)
    small = (values & 255).astype(np.uint8)
    path = tmp_path / layout
    if layout.startswith("png"):
        path.write_bytes(png(values if layout == "png16" else small))
    elif layout in ("jpeg", "ppm"):
        Image.fromarray(small).save(path, layout)
    else:
        options: dict[str, dict[str, Any]] = {
            "strips": {"rowsperstrip": 64},
            "tiles": {"tile": (256, 256), "compression": "zlib"},
            "deflate": {"rowsperstrip": side, "compression": "zlib"},
            "float": {"rowsperstrip": 16},
        }
        array = values.astype(np.float32) if layout == "float" else small
        tifffile.imwrite(path, array, photometric="rgb", **options[layout])
    assert int(fresh(SCAN, str(path))) < most


def test_limits_hold_for_every_format_before_decoding() -> None:
    data = {"TIFF": io.BytesIO(), "JPEG": io.BytesIO(), "PNG": io.BytesIO()}
    for kind, buffer in data.items():
        Image.new("RGB", (40, 30)).save(buffer, kind)
        for limits in (Limits(max_pixels=1199), Limits(max_side=39), Limits(max_bytes=50)):
            with pytest.raises(LimitExceeded, match="the limit"):
                read_picture(buffer.getvalue(), limits=limits)
