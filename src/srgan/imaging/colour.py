"""Colour profiles: from a file's colours to those that networks work in, and back."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


class ColourSpace(Protocol):
    """The colours of a file that are not encoded as networks expect them.

    The working space keeps the file's own primaries where that is possible, so that no saturated colour is lost, and
    has the tone curve of sRGB, which is what a network has learned.
    """

    @property
    def model(self) -> Literal["GRAY", "RGB", "CMYK"]:
        """What the file's values are."""
        ...

    @property
    def working_profile(self) -> bytes | None:
        """An ICC profile of the working space, for formats that cannot hold ``model``; None: sRGB."""
        ...

    def to_working(self, values: Pixels) -> Pixels:
        """Values of a file, H x W x 1, 3 or 4 in [0, 1], to the working space: H x W x 1 (gray) or 3, in [0, 1]."""
        ...

    def from_working(self, pixels: Pixels) -> Pixels:
        """The way back."""
        ...
