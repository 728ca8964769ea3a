"""The georeference of an enlarged map: every place on the ground stays where it was."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srgan.imaging.metadata.georeference import GEOREFERENCE, Tags, enlarged_tags

SCALE, TIE_POINTS, MATRIX, KEYS, COEFFICIENTS, GDAL, NODATA = 33550, 33922, 34264, 34735, 50844, 42112, 42113
FACTOR = st.floats(0.25, 16)


def doubles(*numbers: float) -> tuple[int, bytes]:
    return 12, struct.pack(f"<{len(numbers)}d", *numbers)


def read(tags: Tags, tag: int) -> list[float]:
    kind, data = tags[tag]
    assert kind == 12
    return list(struct.unpack(f"<{len(data) // 8}d", data))


def keys(raster_type: int) -> tuple[int, bytes]:
    return 3, struct.pack("<12H", 1, 1, 0, 2, 1024, 0, 1, 1, 1025, 0, 1, raster_type)


def corner(tags: Tags, across: float, down: float) -> tuple[float, float]:
    """Where on the ground a corner of the grid of pixels lies: counted in pixels from the first one's outer corner."""
    half = 0.5 if struct.unpack("<12H", tags[KEYS][1])[11] == 2 else 0.0
    column, line = across - half, down - half  # what such a corner is called
    if MATRIX in tags:
        a, b, _, d, e, f, _, h = read(tags, MATRIX)[:8]
        return a * column + b * line + d, e * column + f * line + h
    i, j, _, x, y, _ = read(tags, TIE_POINTS)[:6]
    wide, high, _ = read(tags, SCALE)
    return x + (column - i) * wide, y - (line - j) * high


MAPS = {
    "scale": {SCALE: doubles(10, 20, 0), TIE_POINTS: doubles(3, 2, 0, 500_000, 4_600_000, 7)},
    "matrix": {MATRIX: doubles(10, 2, 0, 500_000, -3, -20, 0, 4_600_000, 0, 0, 0, 0, 0, 0, 0, 1)},
}


@pytest.mark.parametrize("raster_type", [1, 2], ids=["area", "point"])
@pytest.mark.parametrize("kind", MAPS)
@given(across=FACTOR, down=FACTOR)
def test_every_corner_stays_on_its_place(kind: str, raster_type: int, across: float, down: float) -> None:
    before = {KEYS: keys(raster_type), **MAPS[kind]}
    after = enlarged_tags(before, across, down)
    for column, line in ((0, 0), (24, 0), (0, 16), (24, 16)):
        there = corner(after, column * across, line * down)
        assert there == pytest.approx(corner(before, column, line), abs=1e-5)
    assert after[KEYS] == before[KEYS]


def test_figures_that_can_be_checked_by_hand() -> None:
    area = enlarged_tags({KEYS: keys(1), **MAPS["scale"]}, 2, 4)
    assert read(area, SCALE) == [5, 5, 0]
    assert read(area, TIE_POINTS) == [6, 8, 0, 500_000, 4_600_000, 7]
    point = enlarged_tags({KEYS: keys(2), SCALE: doubles(10, 20), TIE_POINTS: doubles(0, 0, 0, 1, 2, 3)}, 2, 4)
    assert read(point, SCALE) == [5, 5]
    assert read(point, TIE_POINTS) == [0.5, 1.5, 0, 1, 2, 3]


def test_all_points_on_the_ground_follow() -> None:
    points = doubles(*range(12))
    assert read(enlarged_tags({TIE_POINTS: points}, 2, 3), TIE_POINTS) == [0, 3, 2, 3, 4, 5, 12, 21, 8, 9, 10, 11]


def test_the_coefficients_of_a_sensor_count_from_the_middle_of_the_first_pixel() -> None:
    numbers = [float(number) for number in range(92)]
    after = read(enlarged_tags({COEFFICIENTS: doubles(*numbers)}, 2, 4), COEFFICIENTS)
    assert after[2:4] == [(2 + 0.5) * 4 - 0.5, (3 + 0.5) * 2 - 0.5]
    assert after[7:9] == [28, 16]
    del after[2:4], numbers[2:4], after[5:7], numbers[5:7]
    assert after == numbers


def test_statistics_of_the_old_pixels_go_and_the_rest_of_gdal_stays() -> None:
    text = (
        b'<GDALMetadata>\n  <Item name="AREA">x</Item>\n  <Item name="STATISTICS_MEAN" sample="0">7.5</Item>\n'
        b"</GDALMetadata>\0"
    )
    after = enlarged_tags({GDAL: (2, text), NODATA: (2, b"-9999\0"), 285: (2, b"Page\0")}, 2, 2)
    assert after[GDAL] == (2, b'<GDALMetadata>\n  <Item name="AREA">x</Item>\n</GDALMetadata>\0')
    assert (after[NODATA], after[285]) == ((2, b"-9999\0"), (2, b"Page\0"))


@given(data=st.binary(max_size=200), tag=st.sampled_from(sorted(GEOREFERENCE)))
def test_hostile_values_do_not_raise(data: bytes, tag: int) -> None:
    before = {tag: (GEOREFERENCE[tag], data)}
    with np.errstate(all="raise"):
        assert enlarged_tags(before, 2.5, 4).keys() == before.keys()
