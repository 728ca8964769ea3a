"""Netpbm's formats and PFM, as digits and as bytes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from srgan.errors import InvalidImage
from srgan.imaging import open_scan, read_picture

GRAY = np.arange(12).reshape(3, 4)


def pixels(data: bytes) -> list[list[float]]:
    picture = read_picture(data)
    assert picture.format == ("PFM" if data[1:2] in b"Ff" else "PPM")
    return [row.ravel().tolist() for row in picture.pixels]


def test_bilevel_has_black_ones() -> None:
    assert pixels(b"P1 3 2 1 0 1\n011") == [[0, 1, 0], [1, 0, 0]]
    assert pixels(b"P4 3 2\n" + bytes([0b10100000, 0b01111111])) == [[0, 1, 0], [1, 0, 0]]
    assert read_picture(b"P4 3 2\n" + bytes(2)).bit_depth == 8


@pytest.mark.parametrize(("top", "bits"), [(11, 8), (255, 8), (256, 16), (1023, 16), (65535, 16)])
def test_gray_and_colour_reach_to_their_own_maximum(top: int, bits: int) -> None:
    dtype = "u1" if top < 256 else ">u2"
    text = " ".join(map(str, GRAY.ravel())).encode()
    head = b"4 3\n# a comment with 9 9 in it\n%d\n" % top
    for data in (b"P2 " + head + text, b"P5 " + head + GRAY.astype(dtype).tobytes()):
        picture = read_picture(data)
        assert picture.bit_depth == bits
        assert picture.pixels[..., 0] == pytest.approx(GRAY / top, abs=1e-7)
    for data in (b"P3 2 2 %d\n" % top + text, b"P6 2 2 %d\n" % top + GRAY.astype(dtype).tobytes()):
        assert read_picture(data).pixels == pytest.approx(GRAY.reshape(2, 2, 3) / top, abs=1e-7)


def test_a_value_beyond_the_maximum_is_white() -> None:
    assert pixels(b"P5 2 1 100\n" + bytes([50, 200])) == [[0.5, 1]]
    assert pixels(b"P2 2 1 255 0 300") == [[0, 1]]


@pytest.mark.parametrize("scale", [b"-1.0", b"1.0", b"-0.003"])
def test_floating_point_stands_upside_down_in_either_byte_order(scale: bytes) -> None:
    values = np.linspace(0, 1, 24).reshape(4, 2, 3).astype("<f4" if scale.startswith(b"-") else ">f4")
    picture = read_picture(b"PF\n2 4\n" + scale + b"\n" + values[::-1].tobytes())
    assert picture.bit_depth == 32
    assert picture.pixels == pytest.approx(values)
    gray = read_picture(b"Pf\n2 4\n" + scale + b"\n" + (values[::-1, :, 0] * 9).astype(values.dtype).tobytes())
    assert gray.levels == (0, pytest.approx(9 * values[..., 0].max()))
    assert gray.pixels[..., 0] * gray.levels[1] == pytest.approx(values[..., 0] * 9, abs=1e-5)


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"PF"])
def test_strips_meet_where_they_should(kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """With strips of two rows and digits parsed seven bytes at a time."""
    monkeypatch.setattr("srgan.imaging.decoders.pnm._PIECE", 7)
    rng = np.random.default_rng(0)
    samples = 3 if kind in (b"P3", b"P6", b"PF") else 1
    values = rng.integers(0, 2 if kind in (b"P1", b"P4") else 1000, (9, 11, samples))
    head = kind + b" 11 9" + {b"P1": b"\n", b"P4": b"\n", b"PF": b"\n-1\n"}.get(kind, b"\n1000\n")
    if kind in (b"P1", b"P2", b"P3"):
        body = b"\n".join(b"%d" % value for value in values.ravel())
    elif kind == b"P4":
        body = np.packbits(values[..., 0].astype(np.uint8), axis=1).tobytes()
    else:
        body = (values[::-1] / 1000).astype("<f4").tobytes() if kind == b"PF" else values.astype(">u2").tobytes()
    whole = read_picture(head + body).pixels
    wanted = 1 - values if kind in (b"P1", b"P4") else values / 1000
    assert whole == pytest.approx(wanted, abs=1e-6)
    monkeypatch.setattr("srgan.imaging.reading._STRIP_PIXELS", 22)
    with open_scan(head + body) as scan:
        strips = list(scan.strips)
    assert [len(strip) for strip in strips] == [2, 2, 2, 2, 1]
    assert np.array_equal(np.concatenate(strips), whole)


@pytest.mark.parametrize(
    "data",
    [
        b"P5 4 3 255\n" + bytes(11),
        b"P5 20000 10000 255\n" + bytes(11),
        b"P6 4 3 65535\n" + bytes(71),
        b"P4 9 3\n" + bytes(5),
        b"Pf 2 2 -1\n" + bytes(15),
        b"P2 2 2 255\n1 2 3",
        b"P2 2 2 255\n1 2 3 ",
        b"P2 2 2 255\n1 2 3 x",
        b"P2 2 2 255\n1 2 3 -4",
        b"P2 2 2 255\n1 2 3 99999999999999999999",
        b"P1 2 2\n1 0 1 2",
        b"P5 2 2 0\n" + bytes(4),
        b"P5 2 2 70000\n" + bytes(8),
        b"P5 2.5 2 255\n" + bytes(8),
        b"P5 2 99999999999999 255\n" + bytes(8),
        b"P5 2 2 255",
        b"P5 # a comment that never ends",
        b"P2 3000 3000 255\n" + b"1" * 20_000_000,
    ],
)
def test_headers_that_lie_and_data_that_ends_are_refused_at_once(data: bytes) -> None:
    start = time.process_time()
    with pytest.raises(InvalidImage, match=r"the input: damaged or truncated (PPM|PFM)"):
        read_picture(data)
    assert time.process_time() - start < 1
