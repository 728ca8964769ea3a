"""Colours that a file describes in numbers instead of by a profile: what they mean, and the profile that says the same.

Sources: ITU-T H.273 for code points, the PNG specification, third edition, for its chunks, ICC.1:2022 for code points
in profiles, ITU-R BT.2100 for PQ and HLG, BT.2390 for how a brighter picture is shown on a darker display, and BT.2408
for the brightness of paper in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from srgan.imaging import icc

Curve = NDArray[np.float64]

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_PRIMARIES = {
    1: (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    10: ((1 / 3, 1 / 3), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)),
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
"""White, red, green and blue of each code point, x and y."""
_UNSPECIFIED, _P3 = 2, 12
_AS_SRGB = frozenset({1, _UNSPECIFIED, 6, 7, 11, 12, 13, 14, 15})
"""Transfers that count as that of sRGB. Those of BT.601, BT.709 and BT.2020 say how a camera encodes; on the screen
browsers take them for sRGB's, and so does who makes still pictures with them."""
_POWERS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_LOGARITHMS = {9: 2.0, 10: 2.5}
"""Decades of brightness."""
PQ, HLG = 16, 18
_PAPER = {PQ: 0.5807, HLG: 0.75}
"""The value of white paper: 203 of the 10,000 or 1,000 candelas per square metre that 1 stands for."""
_PEAK, _PAPER_LIGHT = 1000.0, 203.0
_BLACK, _WHITE = 16 / 255, 235 / 255
"""Where RGB of narrow range has its black and white."""
_GAMMAS = (20_000, 1_000_000)
"""What gAMA may state to be followed; beyond, most values of 8 bits would be one."""
_SRGB_GAMMA, _NEAR_GAMMA = 45_455, 0.05
_FLAT = 1e-3
"""Area of the triangle of primaries below which it is none."""
_ALIKE = 2e-3
"""Primaries of this difference in XYZ are the same."""


@dataclass(frozen=True)
class StandardRgb:
    """The file says that it is sRGB."""

    intent: int = 0
    """PNG's rendering intent."""


@dataclass(frozen=True, kw_only=True)
class Gamma:
    """PNG's gAMA and cHRM, as they stand there: in hundred thousandths."""

    gamma: int | None = None
    """The exponent that leads from light to values."""
    chromaticities: tuple[int, ...] | None = None
    """x and y of white, red, green and blue."""


@dataclass(frozen=True, kw_only=True)
class CodePoints:
    """Numbers of ITU-T H.273: PNG's cICP, the nclx of AVIF and HEIC, and what a profile's ``cicp`` says."""

    primaries: int
    transfer: int
    matrix: int = 0
    """Of RGB it is 0."""
    full_range: bool = True
    """Whether black is 0 and white is 1. This is said of RGB; that of luma and chroma ends with decoding."""
    mastering: bytes | None = None
    """The content of PNG's mDCV: the display on which the picture was made."""
    light: bytes | None = None
    """The content of PNG's cLLI: how bright it gets."""


Described = StandardRgb | Gamma | CodePoints


def checked(said: Described | None) -> tuple[Described | None, str | None]:
    """What is left of a description without what means nothing, and what there is to say about it."""
    if isinstance(said, Gamma):
        return _checked_gamma(said)
    if isinstance(said, CodePoints) and (fault := _unknown(said)):
        return said, f"its colours are described by {fault}, which nobody here knows; they are taken as they are."
    return said, None


def _checked_gamma(said: Gamma) -> tuple[Gamma | None, str | None]:
    gamma, places, faults = said.gamma, said.chromaticities, []
    if gamma is not None and not 0 < gamma < 2**31:
        gamma = None
        faults.append(f"a gamma of {said.gamma} means nothing and was dropped")
    elif gamma is not None and not _GAMMAS[0] <= gamma <= _GAMMAS[1]:
        faults.append(f"a gamma of {gamma / 1e5:g} cannot be followed; the values are taken as they are")
    if places is not None and _colorants(_pairs(places)) is None:
        places = None
        faults.append("its primary colours make no triangle and were dropped")
    left = None if gamma is None and places is None else replace(said, gamma=gamma, chromaticities=places)
    return left, "; ".join(faults) + "." if faults else None


def _unknown(said: CodePoints) -> str | None:
    if said.matrix != 0:
        return f"the matrix {said.matrix}"
    if said.primaries != _UNSPECIFIED and said.primaries not in _PRIMARIES:
        return f"the primaries {said.primaries}"
    known = said.transfer in _AS_SRGB | _POWERS.keys() | _LOGARITHMS.keys() | _PAPER.keys()
    return None if known else f"the transfer {said.transfer}"


def is_known(said: Described) -> bool:
    """Whether the numbers say what a value looks like."""
    if isinstance(said, CodePoints):
        return _unknown(said) is None
    return not isinstance(said, Gamma) or said.gamma is None or _GAMMAS[0] <= said.gamma <= _GAMMAS[1]


def is_bright(said: Described | None) -> bool:
    """Whether values beyond white paper are meant: PQ and HLG."""
    return isinstance(said, CodePoints) and said.transfer in _PAPER and is_known(said)


def paper(said: Described | None) -> float:
    """The value that white paper has among the values of the file."""
    if not isinstance(said, CodePoints) or not is_known(said):
        return 1.0
    value = _PAPER.get(said.transfer, 1.0)
    return value if said.full_range else _BLACK + value * (_WHITE - _BLACK)


def light_of(said: Described, x: Curve) -> Curve | None:
    """The light that values ``x`` in [0, 1] stand for, white being 1, for networks to see; None: leave them alone.

    Values with the curve of sRGB are left, and those of PQ and HLG: such a curve gives equal steps to the eye, as
    sRGB's does, and nothing is clipped. So are those of narrow range and those that nobody knows.
    """
    if isinstance(said, StandardRgb) or not is_known(said):
        return None
    if isinstance(said, CodePoints):
        return _light(said.transfer, x) if said.full_range else None
    if said.gamma is None or (_is_srgb(said) and abs(said.gamma / _SRGB_GAMMA - 1) < _NEAR_GAMMA):
        return None
    return np.asarray(x ** (1e5 / said.gamma))


def colorants(said: Described) -> NDArray[np.float64] | None:
    """Red, green and blue as `srgan.imaging.icc.colorants` has them; None for those of sRGB."""
    return None if _is_srgb(said) else _colorants(_places(said))


def profile_of(said: Described, *, gray: bool) -> bytes | None:
    """An ICC profile of RGB for values that `light_of` leaves alone; None for sRGB, and where it is not known.

    It has the code points, for who can read them, and for the others a curve that shows PQ and HLG on a display of
    standard range: up to 1,000 candelas, paper nearly white. Gray without such a curve needs none.
    """
    return _profile_of(said, gray) if is_known(said) else None


@lru_cache(maxsize=16)
def _profile_of(said: Described, gray: bool) -> bytes | None:
    own = isinstance(said, CodePoints) and (said.transfer in _PAPER or not said.full_range)
    rgb = colorants(said)
    if not own:
        p3 = isinstance(said, CodePoints) and said.primaries == _P3
        name = "Display P3" if p3 else "RGB with the sRGB tone curve"
        return None if gray or rgb is None else icc.matrix_profile(name, rgb)
    assert isinstance(said, CodePoints)
    x = np.linspace(0, 1, 4096)
    if not said.full_range:
        x = np.clip((x - _BLACK) / (_WHITE - _BLACK), 0, 1)
    light = _on_display(said.transfer, x) if said.transfer in _PAPER else _light(said.transfer, x)
    if light is None:
        light = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    code = bytes((said.primaries, said.transfer, 0, said.full_range))
    name = f"Code points {said.primaries}, {said.transfer}"
    primaries = icc.SRGB_COLORANTS if rgb is None else rgb
    return icc.matrix_profile(name, primaries, curve=light, code_points=code)


def in_profile(profile: bytes | None) -> CodePoints | None:
    """The code points in an ICC profile where they say more than its curves can: PQ and HLG."""
    try:
        tag = icc.read_profile(profile).tags.get(b"cicp", b"") if profile else b""
    except icc.UnusableProfile:
        return None
    if len(tag) < 12 or tag[9] not in _PAPER:
        return None
    said = CodePoints(primaries=tag[8], transfer=tag[9], matrix=tag[10], full_range=bool(tag[11]))
    return said if is_known(said) else None


def _places(said: Described) -> tuple[tuple[float, float], ...]:
    if isinstance(said, Gamma) and said.chromaticities is not None:
        return _pairs(said.chromaticities)
    return _PRIMARIES.get(said.primaries if isinstance(said, CodePoints) else 1, _PRIMARIES[1])


def _pairs(numbers: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    values = [number / 1e5 for number in numbers]
    return tuple(zip(values[::2], values[1::2], strict=True))


def _is_srgb(said: Described) -> bool:
    found = _colorants(_places(said))
    return found is None or bool(np.abs(found - icc.SRGB_COLORANTS).max() < _ALIKE)


def _colorants(places: tuple[tuple[float, float], ...]) -> NDArray[np.float64] | None:
    """XYZ of red, green and blue, white adapted to D50; None where three colours or a white are missing."""
    columns = np.array([(x, y, 1 - x - y) for x, y in places], np.float64).T
    white, rgb = columns[:, 0], columns[:, 1:]
    if abs(float(np.linalg.det(rgb))) < _FLAT or white[1] < 0.01 or np.abs(columns).max() > 3:
        return None
    white = white / white[1]
    shares = np.linalg.solve(rgb, white)
    if shares.min() <= 0:  # the white lies outside the triangle
        return None
    return np.asarray((icc.adaptation_to_d50(white) @ (rgb * shares)).T)


def _light(transfer: int, x: Curve) -> Curve | None:
    """None for a curve that is left alone: that of sRGB, PQ and HLG."""
    if transfer in _POWERS:
        return np.asarray(x ** _POWERS[transfer])
    if transfer in _LOGARITHMS:
        return np.asarray(np.where(x > 0, 10 ** (_LOGARITHMS[transfer] * (x - 1)), 0))
    return None


def _on_display(transfer: int, x: Curve) -> Curve:
    """Values of PQ or HLG as light of a display on which paper is the brightest there is."""
    peak, top = float(_to_pq(np.array(_PEAK))), float(_to_pq(np.array(_PAPER_LIGHT)))
    level = np.minimum((x if transfer == PQ else _to_pq(_hlg_light(x))) / peak, 1)
    most = top / peak
    knee = 1.5 * most - 0.5
    t = np.clip((level - knee) / (1 - knee), 0, 1)
    soft = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return np.clip(_from_pq(np.where(level < knee, level, soft) * peak) / _PAPER_LIGHT, 0, 1)


def _from_pq(x: Curve) -> Curve:
    """Candelas per square metre."""
    power = x ** (32 / 2523)
    return np.asarray(
        10_000 * (np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)
    )


def _to_pq(light: Curve) -> Curve:
    power = (light / 10_000) ** (1305 / 8192)
    return np.asarray(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def _hlg_light(x: Curve) -> Curve:
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(x <= 0.5, x**2 / 3, (np.exp((x - c) / a) + b) / 12)
    return np.asarray(_PEAK * scene**1.2)
