"""The transparent colour of a PNG counts in the depth of the file, whichever library decodes it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.imaging import read_picture
from srgan.imaging.decoders import pillow

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(values: NDArray[np.int64], bits: int, colour_type: int, *before: bytes, interlaced: bool = False) -> bytes:
    """Integers H x W x C as they shall stand in the file; ``before``: chunks before the pixels."""
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    raw = b""
    for left, top, across, down in passes:
        part = values[top::down, left::across]
        for row in part if part.size else ():
            digits = "".join(f"{value:0{bits}b}" for value in row.ravel())
            digits += "0" * (-len(digits) % 8)
            raw += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour_type, 0, 0, interlaced)
    body = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def everything(bits: int) -> NDArray[np.int64]:
    """Every value there is (of 16 bits, some that differ in one byte only), 17 x 16, in an order of its own."""
    top = (1 << bits) - 1
    found = np.arange(top + 1) if bits < 16 else np.array([0x1234, 0x1235, 0x3412, 0x0034, 0x1200, 0, top, 0x1234])
    return np.resize(np.random.default_rng(bits).permutation(found), (17, 16, 1))


@pytest.fixture(params=["whole", "in strips"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures are decoded by Pillow, large ones by libvips."""
    if request.param == "in strips":
        monkeypatch.setattr(pillow, "_WHOLE_PIXELS", 0)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("bits", "clear"),
    [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3), (4, 0), (4, 1), (4, 7), (4, 15), (8, 1), (8, 17), (16, 0x1234)],
)
def test_gray(bits: int, clear: int, interlaced: bool) -> None:
    values = everything(bits)
    data = png(values, bits, 0, chunk(b"tRNS", struct.pack(">H", clear)), interlaced=interlaced)
    pixels = read_picture(data).pixels
    assert (values == clear).any()
    np.testing.assert_allclose(pixels[..., 0], values[..., 0] / ((1 << bits) - 1), atol=1e-6)
    np.testing.assert_array_equal(pixels[..., 1] == 0, values[..., 0] == clear)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("bits", [8, 16])
def test_rgb(bits: int) -> None:
    gray = everything(bits)
    values = np.concatenate([gray, gray[::-1], gray[:, ::-1]], axis=2)
    clear = values[3, 4]
    pixels = read_picture(png(values, bits, 2, chunk(b"tRNS", struct.pack(">3H", *clear)))).pixels
    np.testing.assert_array_equal(pixels[..., 3] == 0, (values == clear).all(axis=2))
    np.testing.assert_allclose(pixels[..., :3], values / ((1 << bits) - 1), atol=1e-6)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette(bits: int, interlaced: bool) -> None:
    values = everything(bits)
    colours = np.random.default_rng(1).integers(0, 256, (1 << bits, 3))
    alphas = np.array([255, 0, 128, 7][: 1 << bits])  # fewer than colours: the others are opaque
    data = png(
        values,
        bits,
        3,
        chunk(b"PLTE", bytes(colours.ravel().tolist())),
        chunk(b"tRNS", bytes(alphas.tolist())),
        interlaced=interlaced,
    )
    alpha = np.full(1 << bits, 255)
    alpha[: len(alphas)] = alphas
    expected = np.concatenate([colours, alpha[:, None]], axis=1)[values[..., 0]]
    np.testing.assert_array_equal(np.round(read_picture(data).pixels * 255), expected)


@pytest.mark.parametrize(("bits", "clear"), [(1, 0x0100), (2, 0x0105), (4, 0xFFF1), (8, 0x0101)])
def test_upper_bits_that_no_pixel_has_do_not_count(bits: int, clear: int) -> None:
    values = everything(bits)
    pixels = read_picture(png(values, bits, 0, chunk(b"tRNS", struct.pack(">H", clear)))).pixels
    np.testing.assert_array_equal(pixels[..., 1] == 0, values[..., 0] == clear & ((1 << bits) - 1))


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("bits", [2, 8, 16])
def test_significant_bits_and_a_background_change_no_pixel(bits: int) -> None:
    values = everything(bits)
    said = (chunk(b"sBIT", b"\1"), chunk(b"bKGD", b"\0\1"), chunk(b"tRNS", struct.pack(">H", int(values[0, 0, 0]))))
    np.testing.assert_array_equal(
        read_picture(png(values, bits, 0, *said)).pixels, read_picture(png(values, bits, 0, said[2])).pixels
    )
