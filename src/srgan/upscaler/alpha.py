"""Transparency: what the network sees under it, and what comes back.

The colour of a fully transparent pixel is arbitrary, often black or white, yet the network and every resampler mix it
into its neighbours: that is the fringe around cut-out figures. So colour is continued from the visible pixels into the
transparent ones first, as far as it can matter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


def extend_colour(pixels: Pixels, distance: int) -> Pixels:
    """``pixels`` (H x W x 2 or 4) with visible colour continued ``distance`` pixels into what is fully transparent.

    Ring by ring, each transparent pixel takes the mean colour of its up to eight neighbours that have one. Pixels with
    any opacity keep their colour, alpha stays as it is, and colour farther away is left alone. The result at a pixel
    depends on nothing farther than ``distance`` from it.
    """
    clear = pixels[..., -1] == 0
    if clear.all() or not clear.any():
        return pixels
    height, width = clear.shape
    # Flat positions in a frame one pixel wider on each side: a neighbour is one addition away, and none is outside.
    unknown = np.pad(clear, 1)
    known = np.pad(~clear, 1).ravel()
    colour = np.pad(pixels[..., :-1], ((1, 1), (1, 1), (0, 0))).reshape(known.size, -1)
    row = width + 2
    around = [-row - 1, -row, -row + 1, -1, 1, row - 1, row, row + 1]
    ring = np.flatnonzero(_touching(known.reshape(unknown.shape)) & unknown)
    unknown = unknown.ravel()
    for _ in range(distance):
        if not ring.size:
            break
        total = np.zeros((ring.size, colour.shape[1]), np.float32)
        count = np.zeros((ring.size, 1), np.float32)
        for step in around:
            counted = known[ring + step][:, None]
            total += np.where(counted, colour[ring + step], 0)
            count += counted
        colour[ring] = total / count
        known[ring], unknown[ring] = True, False
        beside = np.concatenate([ring + step for step in around])
        ring = np.unique(beside[unknown[beside]])
    result = pixels.copy()
    result[..., :-1] = colour.reshape(height + 2, row, -1)[1:-1, 1:-1]
    return result


def bound_alpha(enlarged: Pixels, alpha: Pixels, scale: int) -> Pixels:
    """``enlarged`` alpha in [0, 1], and as in ``alpha`` (H x W x 1) wherever the source pixels around agree.

    Those around are the four that a bilinear filter would mix. A network overshoots at edges and is never exact on flat
    areas: without this, opaque figures get holes beside their outline, and specks float around them. Where the
    pixels around differ the network is free. (Bounds by the range of the 3 x 3 pixels around cost 0.2 to 1.3 dB, since
    thin lines stay pale, and left twice the specks.)
    """
    height, width, _ = alpha.shape
    cells = np.array(enlarged, order="C").reshape(height, scale, width, scale)
    np.clip(cells, 0, 1, out=cells)
    own = alpha[..., 0]
    framed = np.pad(own, 1, mode="edge")
    # The first half of a cell lies between its own source pixel and the one before, the last half looks at the one
    # after, and the middle of an odd one at both.
    first, last = scale // 2, (scale + 1) // 2
    sides = ((slice(0, first), (0, 1)), (slice(first, last), (0, 1, 2)), (slice(last, scale), (1, 2)))
    for rows, down in sides:
        for columns, across in sides:
            around = (framed[y : y + height, x : x + width] == own for y in down for x in across)
            same = np.logical_and.reduce(list(around))
            part = cells[:, rows, :, columns]
            np.copyto(part, own[:, None, :, None], where=same[:, None, :, None])
    return cells.reshape(height * scale, width * scale, 1)


def weigh(pixels: Pixels) -> Pixels:
    """H x W x 2 or 4 to the channels that can be resampled: colour times alpha, alpha, and colour alone."""
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    return np.concatenate([colour * alpha, alpha, colour], axis=-1)


def unweigh(resampled: Pixels) -> Pixels:
    """Back from `weigh` after resampling: each colour counts as much as it is visible, and plainly where none is."""
    weighted, alpha, colour = np.split(resampled, [resampled.shape[-1] // 2, resampled.shape[-1] // 2 + 1], axis=-1)
    mixed = np.divide(weighted, alpha, out=colour.copy(), where=alpha > 1 / 512)
    return np.concatenate([mixed, alpha], axis=-1)


def _touching(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where at least one of the 3 x 3 pixels around is known."""
    rows = known.copy()
    rows[1:] |= known[:-1]
    rows[:-1] |= known[1:]
    result = rows.copy()
    result[:, 1:] |= rows[:, :-1]
    result[:, :-1] |= rows[:, 1:]
    return result
