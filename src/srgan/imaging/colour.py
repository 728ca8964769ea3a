"""From a file's colours to those that networks work in, and back: by its profile, or what it says in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidImage
from srgan.imaging import icc
from srgan.imaging.described import Described, colorants, in_profile, light_of
from srgan.imaging.inputs import warn

Pixels = NDArray[np.float32]


_STEPS = 65535
"""Intervals of a curve's table: each value of a 16-bit file has an entry of its own."""
_SAME = 1 / 4096
"""Curves this near to that of sRGB are that of sRGB: less than a tenth of a level of 8 bits."""
_FALL = 1 / 256
"""How far a rising curve may fall back (badly measured tables do) and still be taken for rising."""
_BLOCK_VALUES = 1 << 16
"""Values looked up at a time: with the tables they stay within the second-level cache."""
_WIDE = ((0.67348, 0.27904, -0.00193), (0.16567, 0.67534, 0.02998), (0.12505, 0.04561, 0.79685))
"""Red, green and blue of ITU-R BT.2020, adapted to D50: they enclose what printers and displays can show."""
_TRUE = 0.75
"""Mean error, in units of CIE Lab, of the way into a profile of tables that needs no mending."""
_FALSE = 10.0
"""Mean error from which a profile's two directions have nothing to do with each other."""
_ROUNDS = 3
"""How often the way into a profile of tables is mended at most."""


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

    None when the values can stay as they are: of gray and RGB without a profile, and with one whose curves are that
    of sRGB (sRGB itself, Display P3), or that says PQ or HLG, as `srgan.imaging.described.light_of` explains. A
    profile that is damaged, or for another model, is left alone with a warning, and the file taken as untagged.
    Untagged CMYK is never None. Never raises.

    Curves of channels are followed exactly. Profiles of tables, all those of CMYK among them, go through LittleCMS:
    relative colorimetric (perceptual where they have nothing else), black to black, to the primaries of BT.2020.
    Their way back is mended until it comes out where it should by the profile's own account, since the tables of many
    profiles do not.
    """
    space = _space_of(bytes(icc_profile), model) if icc_profile else None
    return _PlainInk() if space is None and model == "CMYK" else space


@lru_cache(maxsize=8)
def space_described(said: Described, model: Literal["GRAY", "RGB"]) -> ColourSpace | None:
    """The space of a file that says its colours in numbers; None when the values can stay as they are. Never raises."""
    linear = light_of(said, np.linspace(0, 1, _STEPS + 1))
    curve = None if linear is None else _Curve.of(linear)
    if curve is None:
        return None
    primaries = None if model == "GRAY" else colorants(said)
    working = None if primaries is None else icc.matrix_profile("RGB with the sRGB tone curve", primaries)
    return _Toned(model, working, (curve,) * (1 if model == "GRAY" else 3))


@lru_cache(maxsize=8)
def _space_of(data: bytes, model: Literal["GRAY", "RGB", "CMYK"]) -> ColourSpace | None:
    try:
        profile = icc.read_profile(data)
        if model == "RGB" and in_profile(data) is not None:
            return None
        if profile.model != model:
            raise icc.UnusableProfile(f"for {profile.model}, in a picture that is {model}")
        if model != "GRAY" and profile.tables:  # by the standard, they come before a matrix
            return _managed(model, data, profile.tables)
        return _toned(profile)
    except icc.UnusableProfile as reason:
        warn(f"the colour profile cannot be used ({reason}); the picture is taken as if it had none.")
        return None


def _toned(profile: icc.Profile) -> ColourSpace | None:
    """The space of a profile that has a curve for each channel."""
    primaries = icc.colorants(profile)
    if primaries is None and profile.model != "GRAY":
        raise icc.UnusableProfile("without a matrix, or tables that lead both ways")
    names = (b"kTRC",) if profile.model == "GRAY" else (b"rTRC", b"gTRC", b"bTRC")
    curves = {tag: _Curve.of_tag(tag, profile.lab) for tag in {profile.tags.get(name, b"") for name in names}}
    if all(curve is None for curve in curves.values()):
        return None
    channels = tuple(curves[profile.tags.get(name, b"")] for name in names)
    if primaries is None:
        return _Toned("GRAY", None, channels)
    working = icc.matrix_profile("RGB with the sRGB tone curve", primaries, profile.tags.get(b"chad"))
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
    def of_tag(cls, tag: bytes, lab: bool) -> _Curve | None:
        """As `of`. ``lab``: the curve gives lightness, not luminance."""
        linear = icc.tone_curve(tag, np.linspace(0, 1, _STEPS + 1))
        if lab:
            t = (100 * linear + 16) / 116
            linear = np.where(t > 6 / 29, t**3, (t - 4 / 29) * 3 * (6 / 29) ** 2)
        return cls.of(linear)

    @classmethod
    def of(cls, linear: NDArray[np.float64]) -> _Curve | None:
        """Of the light of each value of a 16-bit file; None for that of sRGB. Raises `UnusableProfile`."""
        x = np.linspace(0, 1, _STEPS + 1)
        forward = _encode(linear)
        if np.abs(forward - x).max() <= _SAME:
            return None
        falling = forward[0] > forward[-1]  # ink, not light: some gray profiles
        rising = np.maximum.accumulate(forward[::-1] if falling else forward)
        if np.abs(rising - (forward[::-1] if falling else forward)).max() > _FALL or rising[-1] - rising[0] < 0.1:
            raise icc.UnusableProfile("with a curve that cannot be inverted")
        # Of values that look alike, the one in the middle; but black and white stay what they are.
        levels, first, counts = np.unique(rising, return_index=True, return_counts=True)
        places = (first + (counts - 1) / 2) / _STEPS
        places[0], places[-1] = 0, 1
        inverse = np.interp(x**4, levels, 1 - places if falling else places)
        forward = rising[::-1] if falling else rising
        return cls(
            np.append(forward, forward[-1]).astype(np.float32), np.append(inverse, inverse[-1]).astype(np.float32)
        )


@dataclass(frozen=True, eq=False)
class _Managed:
    """A space of tables. ``black`` is the luminance of its darkest colour, which is 0 in the working space.

    That shift, LittleCMS's black-point compensation done here, costs no colour (the tables' own is inexact both ways)
    and shows a network the whole range.
    """

    model: Literal["RGB", "CMYK"]
    profile: bytes
    intent: Literal["relative", "perceptual"]
    """libvips takes another profile in silence when this one has no tables for the intent."""
    black: float = 0.0
    rounds: int = 0
    """How often colours on the way back are looked at and corrected."""

    @property
    def working_profile(self) -> bytes:
        return _wide_profile()

    def to_working(self, values: Pixels) -> Pixels:
        wide = _from_integers(_into(self.to_lab(values), _wide_profile(), "relative"))
        return _by_channel([self._shifted(1 / (1 - self.black), -self.black / (1 - self.black))], wide, warped=False)

    def from_working(self, pixels: Pixels) -> Pixels:
        wide = _by_channel([self._shifted(1 - self.black, self.black)], pixels, warped=False)
        return self.from_lab(_out_of(_to_integers(wide), _wide_profile(), "relative", "rgb16"))

    def to_lab(self, values: Pixels) -> Pixels:
        """To CIE Lab, D50."""
        interpretation = "cmyk" if self.model == "CMYK" else "rgb16"
        return _out_of(_to_integers(values), self.profile, self.intent, interpretation)

    def from_lab(self, lab: Pixels) -> Pixels:
        """The values that the profile gives for ``lab``, and for ``lab`` moved by what they miss it by."""
        best = _into(lab, self.profile, self.intent)
        if self.rounds == 0:
            return _from_integers(best)
        aim, miss = lab, lab - self.to_lab(_from_integers(best))
        for _ in range(self.rounds):
            aim = aim + miss
            values = _into(aim, self.profile, self.intent)
            missed = lab - self.to_lab(_from_integers(values))
            better = (_squares(missed) < _squares(miss))[..., None]  # beyond what the inks can do, it is not
            np.copyto(best, values, where=better)
            np.copyto(miss, missed, where=better)
        return _from_integers(best)

    def _shifted(self, slope: float, offset: float) -> NDArray[np.float32]:
        """The table of an encoded channel whose luminance is multiplied and moved."""
        x = np.linspace(0, 1, _STEPS + 1)
        linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
        table = _encode(np.clip(linear * slope + offset, 0, 1))
        return np.append(table, table[-1]).astype(np.float32)


def _managed(model: Literal["RGB", "CMYK"], data: bytes, intent: Literal["relative", "perceptual"]) -> _Managed:
    """Raises `UnusableProfile` when LittleCMS cannot follow the profile both ways, or they are not each other's way."""
    space = _Managed(model, data, intent)
    count = 4 if model == "CMYK" else 3
    axis = np.linspace(0, 1, 6 if model == "CMYK" else 12)
    inks = np.stack(np.meshgrid(*[axis] * count), axis=-1).astype(np.float32).reshape(-1, 36, count)
    try:
        # With a profile it cannot open, libvips reads by one of its own; only the way back says that.
        _into(np.zeros((1, 1, 3), np.float32), data, intent)
        lab = space.to_lab(inks)
        shown = space.from_lab(lab)  # colours that the way back leads to
        aim = space.to_lab(shown)
        for rounds in range(_ROUNDS + 1):
            space = _Managed(model, data, intent, _luminance(float(aim[..., 0].min())), rounds)
            error = float(np.linalg.norm(space.to_lab(space.from_lab(aim)) - aim, axis=2).mean())
            if error <= _TRUE:
                break
    except InvalidImage as problem:
        raise icc.UnusableProfile(str(problem)) from problem
    if error > _FALSE or space.black > 0.5:
        raise icc.UnusableProfile("its two directions contradict each other")
    return space


@cache
def _wide_profile() -> bytes:
    return icc.matrix_profile("BT.2020 primaries with the sRGB tone curve", np.array(_WIDE))


def _luminance(lightness: float) -> float:
    """Of CIE 1976 L*, 0 to 100; white is 1."""
    t = (min(max(lightness, 0.0), 100.0) + 16) / 116
    return t**3 if t > 6 / 29 else (t - 4 / 29) * 3 * (6 / 29) ** 2


def _out_of(values: NDArray[np.uint16], profile: bytes, intent: str, interpretation: str) -> Pixels:
    """To CIE Lab. Raises `InvalidImage`."""
    lab: Pixels = _by_vips("icc_import", values, profile, interpretation, intent=intent, embedded=True)
    return lab


def _into(lab: Pixels, profile: bytes, intent: str) -> NDArray[np.uint16]:
    """From CIE Lab. Raises `InvalidImage`."""
    values: NDArray[np.uint16] = _by_vips("icc_export", lab, profile, "lab", intent=intent, depth=16)
    return values


def _squares(lab: Pixels) -> Pixels:
    """The squared length of each colour."""
    squares: Pixels = np.einsum("hwc,hwc->hw", lab, lab)
    return squares


def _by_vips(operation: str, values: NDArray[Any], profile: bytes, interpretation: str, **options: Any) -> Any:
    import pyvips

    try:
        image = pyvips.Image.new_from_array(np.ascontiguousarray(values), interpretation=interpretation).copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
        return getattr(image, operation)(pcs="lab", **options).numpy()
    except pyvips.Error as error:
        reason = error.detail.strip().splitlines() or ["no reason given"]
        raise InvalidImage(f"LittleCMS cannot apply the colour profile: {reason[-1]}") from error


@dataclass(frozen=True)
class _PlainInk:
    """CMYK that no profile explains: red is (1 - cyan) (1 - black), and so on; the result is taken as sRGB.

    Back, black takes over all that the three inks have in common, so that text and grays in black alone remain so.
    """

    model: Literal["CMYK"] = "CMYK"
    working_profile: None = None

    def to_working(self, values: Pixels) -> Pixels:
        light = 1 - _clipped(values)
        return light[..., :3] * light[..., 3:]

    def from_working(self, pixels: Pixels) -> Pixels:
        light = _clipped(pixels)
        brightest = light.max(axis=2, keepdims=True)
        out = np.empty((*light.shape[:2], 4), np.float32)
        np.subtract(1, light / np.where(brightest > 0, brightest, 1), out=out[..., :3], where=brightest > 0)
        np.copyto(out[..., :3], 0, where=brightest <= 0)
        np.subtract(1, brightest, out=out[..., 3:])
        return out


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
    x = _clipped(values)
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


def _clipped(values: Pixels) -> Pixels:
    """A copy within [0, 1]; NaN becomes 0."""
    x = np.fmax(values, np.float32(0))
    return np.minimum(x, np.float32(1), out=x)


def _to_integers(values: Pixels) -> NDArray[np.uint16]:
    """As `srgan.imaging.to_uint16` does, which cannot be asked from here: `Picture` knows this module."""
    x = _clipped(values)
    x *= 65535
    x += 0.5
    return x.astype(np.uint16)


def _from_integers(values: NDArray[np.uint16]) -> Pixels:
    return np.divide(values, np.float32(65535), dtype=np.float32)
