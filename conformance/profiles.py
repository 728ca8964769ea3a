"""Colour profiles that the suite makes itself: a matrix and a curve are all it takes (ICC.1:2010, version 2.1)."""

from __future__ import annotations

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
D65 = (0.3127, 0.3290)

PRIMARIES = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "Display P3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
    "ProPhoto": ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
}
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def rgb_profile(name: str, gamma: float | None = None) -> bytes:
    """A profile of the space ``name`` with a power for its curve; without one, the curve of sRGB as a table."""
    white = _xyz(*D65) if name != "ProPhoto" else np.array(D50)
    columns = np.stack([_xyz(*xy) for xy in PRIMARIES[name]], 1)
    columns = columns * np.linalg.solve(columns, white)
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ white)) @ BRADFORD
    columns = adapt @ columns
    curve = _power(gamma) if gamma else _table()
    tags = [(tag, _xyz_tag(columns[:, i])) for i, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    tags += [(tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(f"{name} of the conformance suite", b"RGB ", tags)


def gray_profile(gamma: float) -> bytes:
    return _profile(f"Gray {gamma} of the conformance suite", b"GRAY", [(b"kTRC", _power(gamma))])


def cmyk_profile() -> bytes:
    """The one that libvips brings along: made by formula, a CMYK printer's it is not, but it has real tables."""
    import pyvips

    return bytes(pyvips.Operation.call("profile_load", "cmyk"))


def _profile(name: str, space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    text = name.encode("ascii") + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(8 + 2 + 1 + 67)
    tags = [(b"desc", described), (b"cprt", b"text\0\0\0\0public domain\0"), (b"wtpt", _xyz_tag(np.array(D50))), *tags]
    offset = 128 + 4 + 12 * len(tags)
    table, body = b"", b""
    for tag, data in tags:
        table += struct.pack(">4sII", tag, offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s12s4s4s", offset + len(body), bytes(4), 0x02100000, b"mntr", space, b"XYZ ",
                         struct.pack(">6H", 2025, 1, 1, 0, 0, 0), b"acsp", bytes(4))  # fmt: skip
    header += bytes(68 - len(header)) + struct.pack(">3i", *(round(v * 65536) for v in D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _xyz_tag(xyz: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(v) * 65536) for v in xyz))


def _power(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _table() -> bytes:
    x = np.linspace(0, 1, 1024)
    y = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(y * 65535).astype(">u2").tobytes()
