"""Colour profiles: to the working space and back."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from srgan.imaging import icc
from srgan.imaging.colour import space_of

PRIMARIES = np.array([[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]])


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(value * 256))


def table(values: np.ndarray) -> bytes:
    samples = np.floor(np.clip(values, 0, 1) * 65535 + 0.5).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", len(values)) + samples


LINEAR = b"curv" + bytes(8)


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def packed(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    place, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, place + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    return struct.pack(">I", place + len(body)) + header[4:128] + struct.pack(">I", len(tags)) + entries + body


def rgb_profile(*curves: bytes) -> bytes:
    plain = icc.srgb_like_profile("made by a test", PRIMARIES)
    red, green, blue = curves if len(curves) == 3 else curves * 3
    return packed(plain, icc.read_profile(plain).tags | {b"rTRC": red, b"gTRC": green, b"bTRC": blue})


EVERY_LEVEL = np.linspace(0, 1, 65536, dtype=np.float32).reshape(256, 256, 1).repeat(3, axis=2)


@pytest.mark.parametrize("value", [1.0, 1.8, 2.19921875, 2.4])
def test_each_16_bit_level_survives_both_ways(value: float) -> None:
    space = space_of(rgb_profile(gamma(value)), "RGB")
    assert space is not None
    working = space.to_working(EVERY_LEVEL)
    exact = srgb_encode(np.linspace(0, 1, 65536) ** (round(value * 256) / 256)).reshape(256, 256)
    assert np.abs(working - exact[..., None]).max() < 0.1 / 65535
    assert np.abs(space.from_working(working) - EVERY_LEVEL).max() < 0.1 / 65535
