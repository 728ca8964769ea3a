"""The georeference of an enlarged map: where its pixels lie on the earth.

The picture covers the same ground as before with more pixels. Sizes of a pixel shrink by the factor of each axis;
places in the picture grow by it. Where a place means the corner of a pixel (PixelIsArea), it is multiplied; where it
means the middle (PixelIsPoint), it is half a pixel off the corner before and after.

Source: OGC GeoTIFF 1.1, RPCs in GeoTIFF (50844), GDAL's notes on its own tags (42112, 42113).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

_SCALE, _TIE_POINTS, _MATRIX, _KEYS, _COEFFICIENTS, _GDAL = 33550, 33922, 34264, 34735, 50844, 42112
GEOREFERENCE = {_SCALE: 12, _TIE_POINTS: 12, _MATRIX: 12, _KEYS: 3, 34736: 12, 34737: 2, _GDAL: 2, 42113: 2} | {
    _COEFFICIENTS: 12
}
"""The tags and the type that each has."""
_RASTER_TYPE, _IS_POINT = 1025, 2
Tags = Mapping[int, tuple[int, bytes]]
"""As in `Picture.tags`."""
_STATISTICS = re.compile(rb"\s*<Item\b[^<>]*\bname=[\"']STATISTICS_[^<>]*>[^<]*</Item>")


def enlarged_tags(tags: Tags, across: float, down: float) -> dict[int, tuple[int, bytes]]:
    """``tags``, with little-endian values, of a picture that has ``across`` and ``down`` times as many pixels on its
    sides. GDAL's statistics of the pixels are left out, since it counts them again; tags of other kinds stay."""
    out = dict(tags)
    shift = 0.5 if _means_middles(tags) else 0.0

    def put(tag: int, numbers: list[float]) -> None:
        out[tag] = (12, struct.pack(f"<{len(numbers)}d", *numbers))

    if len(scale := _doubles(tags, _SCALE)) >= 2:
        put(_SCALE, [scale[0] / across, scale[1] / down, *scale[2:]])
    if points := _doubles(tags, _TIE_POINTS):
        for at in range(0, len(points) - 5, 6):
            points[at] = (points[at] + shift) * across - shift
            points[at + 1] = (points[at + 1] + shift) * down - shift
        put(_TIE_POINTS, points)
    if len(matrix := _doubles(tags, _MATRIX)) == 16:
        for row in range(0, 12, 4):
            column, line, origin = matrix[row], matrix[row + 1], matrix[row + 3]
            # the place of the new first pixel, as it is counted in old ones
            origin += column * (shift / across - shift) + line * (shift / down - shift)
            matrix[row], matrix[row + 1], matrix[row + 3] = column / across, line / down, origin
        put(_MATRIX, matrix)
    if len(model := _doubles(tags, _COEFFICIENTS)) >= 12:  # counts from the middle of the first pixel, in any case
        model[2], model[3] = (model[2] + 0.5) * down - 0.5, (model[3] + 0.5) * across - 0.5
        model[7], model[8] = model[7] * down, model[8] * across
        put(_COEFFICIENTS, model)
    if _GDAL in tags:
        text = _STATISTICS.sub(b"", tags[_GDAL][1])
        out[_GDAL] = (2, text)
    return out


def _means_middles(tags: Tags) -> bool:
    """Whether places in the picture mean middles of pixels, as the key of the raster's type says."""
    keys = tags[_KEYS][1] if _KEYS in tags else b""
    numbers = struct.unpack(f"<{len(keys) // 2}H", keys[: len(keys) // 2 * 2])
    found = (numbers[at : at + 4] for at in range(4, len(numbers) - 3, 4))
    return any(key == _RASTER_TYPE and where == 0 and value == _IS_POINT for key, where, _, value in found)


def _doubles(tags: Tags, tag: int) -> list[float]:
    if tag not in tags:
        return []
    data = tags[tag][1]
    return list(struct.unpack(f"<{len(data) // 8}d", data[: len(data) // 8 * 8]))
