"""ICC profiles: what `srgan.imaging.colour` needs from them, read with every bound checked, and a small one written.

Source: ICC.1:2010 (profile version 4.3), its successor ICC.1:2022 for code points, and ICC.1:2001-04 for version 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]

_HEADER = 128
_MOST_BYTES = 16 << 20
_MOST_TAGS = 100
_MODELS: dict[bytes, Literal["GRAY", "RGB", "CMYK"]] = {b"GRAY": "GRAY", b"RGB ": "RGB", b"CMYK": "CMYK"}
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_COLORANTS = np.array(
    [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]], np.float64
)
"""Those of sRGB, as `colorants` gives them."""
_PARAMETERS = (1, 3, 4, 5, 7)
"""How many numbers each kind of parametric curve has."""


class UnusableProfile(ValueError):
    """The bytes are no profile, or one that says nothing about the file's colours. Does not leave this room."""


@dataclass(frozen=True, eq=False)
class Profile:
    """A profile whose header and tag table hold together; the tags themselves have not been looked at."""

    model: Literal["GRAY", "RGB", "CMYK"]
    lab: bool
    """Whether it leads to CIE Lab; otherwise to CIE XYZ."""
    tags: dict[bytes, bytes]

    @property
    def tables(self) -> Literal["relative", "perceptual"] | None:
        """The rendering intent with tables that lead both ways, to the connection space and from it."""
        if {b"A2B1", b"B2A1"} <= self.tags.keys():
            return "relative"
        return "perceptual" if {b"A2B0", b"B2A0"} <= self.tags.keys() else None


def read_profile(data: bytes) -> Profile:
    """Raises `UnusableProfile`; never anything else, whatever the bytes are."""
    if not _HEADER + 4 <= len(data) <= _MOST_BYTES:
        raise UnusableProfile(f"{len(data)} bytes")
    kind, model, connection, magic = data[12:16], data[16:20], data[20:24], data[36:40]
    if magic != b"acsp":
        raise UnusableProfile("not an ICC profile")
    if kind not in _CLASSES or model not in _MODELS or connection not in (b"XYZ ", b"Lab "):
        raise UnusableProfile(f"of class {kind!r}, from {model!r} to {connection!r}")
    count = int.from_bytes(data[_HEADER : _HEADER + 4], "big")
    if count > _MOST_TAGS or _HEADER + 4 + 12 * count > len(data):
        raise UnusableProfile(f"{count} tags")
    tags: dict[bytes, bytes] = {}
    for name, offset, size in struct.iter_unpack(">4sII", data[_HEADER + 4 : _HEADER + 4 + 12 * count]):
        if offset + size > len(data):
            raise UnusableProfile(f"tag {name!r} reaches beyond the end")
        tags.setdefault(name, data[offset : offset + size])
    return Profile(_MODELS[model], connection == b"Lab ", tags)


def tone_curve(tag: bytes, x: Curve) -> Curve:
    """A ``curv`` or ``para`` tag at the places ``x`` in [0, 1]; values in [0, 1]. Raises `UnusableProfile`."""
    if len(tag) < 12:
        raise UnusableProfile("a curve is cut short")
    if tag[:4] == b"curv":
        return _sampled(tag, x)
    if tag[:4] == b"para":
        return _parametric(tag, x)
    raise UnusableProfile(f"a curve of type {tag[:4]!r}")


def _sampled(tag: bytes, x: Curve) -> Curve:
    count = int.from_bytes(tag[8:12], "big")
    if 12 + 2 * count > len(tag):
        raise UnusableProfile("a curve is cut short")
    if count == 0:
        return x.copy()
    table = np.frombuffer(tag, ">u2", count, 12)
    if count == 1:
        return np.asarray(x ** (float(table[0]) / 256), np.float64)
    return np.interp(x, np.linspace(0, 1, count), table / 65535)


def _parametric(tag: bytes, x: Curve) -> Curve:
    kind = int.from_bytes(tag[8:10], "big")
    if kind >= len(_PARAMETERS) or 12 + 4 * _PARAMETERS[kind] > len(tag):
        raise UnusableProfile(f"a parametric curve of kind {kind}, or cut short")
    g, *rest = (value / 65536 for value in struct.unpack_from(f">{_PARAMETERS[kind]}i", tag, 12))
    if kind == 0:
        a, b, c, d, e, f = 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    elif kind in (1, 2):  # from the root of a x + b onwards, and a constant before it
        a, b = rest[:2]
        if a <= 0:
            raise UnusableProfile("a parametric curve without a slope")
        e = f = rest[2] if kind == 2 else 0.0
        c, d = 0.0, -b / a
    else:
        a, b, c, d, e, f = (*rest, 0.0, 0.0)[:6]
    with np.errstate(all="ignore"):
        values = np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
    if not np.isfinite(values).all():
        raise UnusableProfile("a parametric curve that leads nowhere")
    return np.clip(values, 0, 1)


def colorants(profile: Profile) -> NDArray[np.float64] | None:
    """The XYZ of full red, green and blue, adapted to D50, as rows; None when the profile is no matrix profile."""
    rows = [profile.tags.get(name, b"") for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if profile.model != "RGB" or profile.lab or any(row[:4] != b"XYZ " or len(row) < 20 for row in rows):
        return None
    return np.array([struct.unpack_from(">3i", row, 8) for row in rows], np.float64) / 65536


def adaptation_to_d50(white: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix that leads from XYZ under ``white`` to XYZ as profiles have it, by Bradford's method."""
    return np.asarray(np.linalg.solve(_BRADFORD, np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD))


def matrix_profile(
    name: str,
    primaries: NDArray[np.float64],
    adaptation: bytes | None = None,
    *,
    curve: Curve | None = None,
    code_points: bytes | None = None,
) -> bytes:
    """A profile of RGB: version 4, about 500 bytes, and two more for each step of ``curve``.

    ``name`` is ASCII, ``primaries`` as `colorants` gives them, ``adaptation`` a ``chad`` tag to go with them, ``curve``
    the light of equally spaced values, by default that of sRGB, ``code_points`` the content of a ``cicp`` tag.
    """
    tags: dict[bytes, bytes] = {
        b"desc": _text(name),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz(_D50),
        **{tag: _xyz(row) for tag, row in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries.tolist(), strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve)),
    }
    if adaptation is not None:
        tags[b"chad"] = adaptation
    if code_points is not None:
        tags[b"cicp"] = b"cicp" + bytes(4) + code_points
    start = _HEADER + 4 + 12 * len(tags)
    body, places, table = b"", dict[bytes, int](), b""
    for tag, data in tags.items():
        if data not in places:
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", tag, places[data], len(data))
    created = (2000, 1, 1, 0, 0, 0)  # the same bytes every time
    version = 0x04300000 if code_points is None else 0x04400000
    head = struct.pack(">I4sI4s4s4s6H4s", start + len(body), b"", version, b"mntr", b"RGB ", b"XYZ ", *created, b"acsp")
    head += bytes(24) + struct.pack(">I3i", 1, *_fixed(*_D50))  # relative colorimetric
    return head.ljust(_HEADER, b"\0") + struct.pack(">I", len(tags)) + table + body


def _curve(light: Curve | None) -> bytes:
    if light is None:
        numbers = _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        return b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *numbers)
    return b"curv" + struct.pack(">4xI", len(light)) + np.floor(light * 65535 + 0.5).astype(">u2").tobytes()


def _fixed(*values: float) -> list[int]:
    """As ICC's signed 16.16 fixed-point numbers."""
    return [round(value * 65536) for value in values]


def _xyz(values: tuple[float, float, float] | list[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *_fixed(*values))


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28) + data
