"""Judgements that many rows share: the right size, the same picture in its low frequencies, the same colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.bench import Bench, Stop
from conformance.decode import Decoded
from conformance.measure import coarse_difference, delta_e, lab, pooled

Array = NDArray[Any]


def right_size(bench: Bench, out: Decoded, small: Array) -> None:
    """Exactly ``scale`` times the input. What follows makes no sense otherwise."""
    height, width = small.shape[:2]
    want = (width * bench.scale, height * bench.scale)
    bench.expect("size", "{}x{}".format(*out.size), "{}x{}".format(*want))
    if out.size != want:
        raise Stop("another size than asked for")


def same_picture(bench: Bench, out: Decoded, small: Array, *, mean: float = 6.0, what: str = "mean difference") -> None:
    """The output shows the input: colours, averaged over 4 x 4 input pixels, on average within ``mean`` of 255 levels.

    A turned, mirrored, inverted or wrongly read picture is off by 20 and more, a good network by 1. Those that shift
    colours a little stay within the bound: the rows about colour and constants say so, not every row again.
    """
    right_size(bench, out, small)
    small = np.repeat(small, 3, 2) if small.shape[2] == 1 else small[..., :3]
    bench.expect(what, float(coarse_difference(out.rgb, small, bench.scale).mean() * 255), most=mean)


def same_colours(bench: Bench, out: Decoded, small: Array, profile: bytes | None, *, most: float = 1.5) -> None:
    """Mean CIEDE2000 between the input and the output averaged back to its size, each by its own profile."""
    right_size(bench, out, small)
    back = pooled(out.colour, bench.scale)
    wanted, seen = lab(small, profile), lab(back, out.profile)
    bench.expect("mean delta E 2000", float(delta_e(wanted, seen).mean()), most=most)


def kept(bench: Bench, out: Decoded, *, format: str, model: str, depth: int = 8, alpha: bool = False) -> None:
    """Format, colour model, depth and alpha are those expected."""
    bench.expect("format", out.format, format)
    bench.expect("colour", out.model + ("+alpha" if out.alpha else ""), model + ("+alpha" if alpha else ""))
    bench.expect("bits", out.depth, depth)
