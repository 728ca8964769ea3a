"""Colour profiles: from a file's colours to those that networks work in, and back."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from srgan.imaging import icc

Pixels = NDArray[np.float32]

_log = logging.getLogger(__name__)

_STEPS = 65535
"""Intervals of a curve's table: each value of a 16-bit file has an entry of its own."""
_SAME = 1 / 4096
"""Curves this near to that of sRGB are that of sRGB: less than a tenth of a level of 8 bits."""
_FALL = 1 / 256
"""How far a rising curve may fall back (badly measured tables do) and still be taken for rising."""
_BLOCK_VALUES = 1 << 16
"""Values looked up at a time: with the tables they stay within the second-level cache."""


class ColourSpace(Protocol):
    """The colours of a file that are not encoded as networks expect them.

    The working space keeps the file's own primaries where that is possible, so that no saturated colour is lost, and
    has the tone curve of sRGB, which is what a network has learned. Both ways are functions of one pixel's values
    alone, clip to [0, 1], take NaN for 0, and may be used by several threads at once.
    """

    @property
    def model(self) -> Literal["GRAY", "RGB", "CMYK"]:
        """What the file's values are. Of CMYK, 1 is full ink."""
        ...

    @property
    def working_profile(self) -> bytes | None:
        """An ICC profile of RGB in the working space, for formats that cannot hold ``model``; None: sRGB."""
        ...

    def to_working(self, values: Pixels) -> Pixels:
        """Values of a file, H x W x 1, 3 or 4 in [0, 1], to the working space: H x W x 1 (gray) or 3, in [0, 1]."""
        ...

    def from_working(self, pixels: Pixels) -> Pixels:
        """The way back."""
        ...


def space_of(icc_profile: bytes | None, model: Literal["GRAY", "RGB", "CMYK"]) -> ColourSpace | None:
    """The space of a file whose values are ``model`` and whose embedded profile is ``icc_profile``.

    None when the values can stay as they are: without a profile, and with one whose curves are that of sRGB (sRGB
    itself, Display P3). A profile that is damaged, or of another model than the file, is left alone with a warning,
    and the file taken as untagged. Never raises.
    """
    return _space_of(bytes(icc_profile), model) if icc_profile else None


@lru_cache(maxsize=8)
def _space_of(data: bytes, model: Literal["GRAY", "RGB", "CMYK"]) -> ColourSpace | None:
    try:
        profile = icc.read_profile(data)
        if profile.model != model:
            raise icc.UnusableProfile(f"for {profile.model}, in a picture that is {model}")
        return _toned(profile)
    except icc.UnusableProfile as reason:
        _log.warning("The colour profile cannot be used (%s); the picture is taken as if it had none.", reason)
        return None


def _toned(profile: icc.Profile) -> ColourSpace | None:
    """The space of a profile that has a curve for each channel."""
    primaries = icc.colorants(profile)
    if profile.model == "RGB" and primaries is None:
        raise icc.UnusableProfile("without a matrix")
    names = (b"kTRC",) if profile.model == "GRAY" else (b"rTRC", b"gTRC", b"bTRC")
    curves = {tag: _Curve.of(tag, profile.lab) for tag in {profile.tags.get(name, b"") for name in names}}
    if all(curve is None for curve in curves.values()):
        return None
    channels = tuple(curves[profile.tags.get(name, b"")] for name in names)
    if primaries is None:
        return _Toned("GRAY", None, channels)
    working = icc.srgb_like_profile("RGB with the sRGB tone curve", primaries, profile.tags.get(b"chad"))
    return _Toned("RGB", working, channels)


@dataclass(frozen=True, eq=False)
class _Toned:
    """A space that differs from its working space in the curves of its channels only; None: a curve of sRGB."""

    model: Literal["GRAY", "RGB"]
    working_profile: bytes | None
    channels: tuple[_Curve | None, ...]

    def to_working(self, values: Pixels) -> Pixels:
        return _by_channel([curve.forward if curve else None for curve in self.channels], values, warped=False)

    def from_working(self, pixels: Pixels) -> Pixels:
        return _by_channel([curve.back if curve else None for curve in self.channels], pixels, warped=True)


@dataclass(frozen=True, eq=False)
class _Curve:
    """A tone curve as two tables, each with ``_STEPS`` + 1 values and one more, the last again.

    ``forward`` has the working value for each of the 65,536 values of a 16-bit file. ``back`` has the file's value
    for working values at the fourth powers of 0..1 in equal steps: the inverse of most curves is vertical at black,
    and that spacing is dense there.
    """

    forward: NDArray[np.float32]
    back: NDArray[np.float32]

    @classmethod
    def of(cls, tag: bytes, lab: bool) -> _Curve | None:
        """None for that of sRGB. ``lab``: the curve gives lightness, not luminance. Raises `UnusableProfile`."""
        x = np.linspace(0, 1, _STEPS + 1)
        linear = icc.tone_curve(tag, x)
        if lab:
            t = (100 * linear + 16) / 116
            linear = np.where(t > 6 / 29, t**3, (t - 4 / 29) * 3 * (6 / 29) ** 2)
        forward = _encode(linear)
        if np.abs(forward - x).max() <= _SAME:
            return None
        falling = forward[0] > forward[-1]  # ink, not light: some gray profiles
        rising = np.maximum.accumulate(forward[::-1] if falling else forward)
        if np.abs(rising - (forward[::-1] if falling else forward)).max() > _FALL or rising[-1] - rising[0] < 0.5:
            raise icc.UnusableProfile("with a curve that cannot be inverted")
        # Of values that look alike, the first; but white stays white.
        keep = np.flatnonzero(np.diff(rising, prepend=-1) > 0)
        keep[-1] = _STEPS
        inverse = np.interp(x**4, rising[keep], (x[::-1] if falling else x)[keep])
        forward = rising[::-1] if falling else rising
        return cls(
            np.append(forward, forward[-1]).astype(np.float32), np.append(inverse, inverse[-1]).astype(np.float32)
        )


def _encode(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """The tone curve of sRGB, IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def _by_channel(tables: list[NDArray[np.float32] | None], values: Pixels, *, warped: bool) -> Pixels:
    """Each channel through its table, block of rows by block."""
    out = np.empty(values.shape, np.float32)
    same = all(table is tables[0] for table in tables)
    parts = [(tables[0], slice(None))] if same else [(table, slice(i, i + 1)) for i, table in enumerate(tables)]
    rows = max(1, _BLOCK_VALUES // max(1, values[0].size))
    for start in range(0, len(values), rows):
        for table, channels in parts:
            block = values[start : start + rows, :, channels]
            out[start : start + rows, :, channels] = _look_up(table, block, warped=warped)
    return out


def _look_up(table: NDArray[np.float32] | None, values: Pixels, *, warped: bool) -> Pixels:
    x = np.fmax(values, np.float32(0))  # NaN becomes 0
    np.minimum(x, np.float32(1), out=x)
    if table is None:
        return x
    if warped:
        np.sqrt(x, out=x)
        np.sqrt(x, out=x)
    x *= _STEPS
    index = x.astype(np.intp)
    x -= index
    low = table.take(index)
    index += 1
    x *= table.take(index) - low
    x += low
    return x
