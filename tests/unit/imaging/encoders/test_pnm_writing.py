"""PPM, PGM and PFM, read by hand: the formats are that plain."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srgan.imaging.encoders.pnm import write_netpbm


def written(rows: NDArray[Any], step: int = 1000, before: bytes = b"") -> bytes:
    stream = io.BytesIO()
    stream.write(before)
    parts = (rows[start : start + step] for start in range(0, len(rows), step))
    write_netpbm(stream, rows.shape[:2], rows.shape[2], parts)
    return stream.getvalue()[len(before) :]


def values(height: int, width: int, channels: int, dtype: type[np.generic]) -> NDArray[Any]:
    random = np.random.default_rng(1)
    if dtype is np.float32:
        return random.normal(0, 3, (height, width, channels)).astype(np.float32)
    return random.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype)


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("dtype", "names", "top", "stored"),
    [
        (np.uint8, ("P5", "P6"), "255", "u1"),
        (np.uint16, ("P5", "P6"), "65535", ">u2"),
        (np.float32, ("Pf", "PF"), "-1.0", "<f4"),
    ],
)
def test_header_and_values(step: int, channels: int, dtype: Any, names: Any, top: str, stored: str) -> None:
    rows = values(11, 7, channels, dtype)
    data = written(rows, step)
    header = f"{names[channels == 3]}\n7 11\n{top}\n".encode()
    assert data.startswith(header)
    found = np.frombuffer(data[len(header) :], stored).reshape(11, 7, channels)
    assert np.array_equal(found[::-1] if dtype is np.float32 else found, rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_reads_eight_bits(channels: int) -> None:
    rows = values(11, 7, channels, np.uint8)
    with Image.open(io.BytesIO(written(rows))) as image:
        assert np.array_equal(np.asarray(image).reshape(rows.shape), rows)


def test_pillow_reads_gray_floating_point_the_right_way_up() -> None:
    rows = values(11, 7, 1, np.float32)
    with Image.open(io.BytesIO(written(rows, 4))) as image:
        assert np.array_equal(np.asarray(image), rows[..., 0])


def test_a_stream_may_have_something_in_front() -> None:
    rows = values(11, 7, 3, np.float32)
    assert written(rows, 4, before=b"something") == written(rows)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_missing_and_surplus_rows_are_a_mistake(dtype: Any) -> None:
    rows = values(11, 7, 3, dtype)
    for height in (10, 12):
        with pytest.raises(ValueError, match="row"):
            write_netpbm(io.BytesIO(), (height, 7), 3, [rows[:5], rows[5:]])
    with pytest.raises(ValueError, match="do not fit"):
        write_netpbm(io.BytesIO(), (11, 7), 1, [rows])
