"""TIFF: read back by three others, tifffile (own decoder), libvips (libtiff) and Pillow."""

from __future__ import annotations

import io
import struct
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from srgan.imaging.encoders import tiff as tiff_writing
from srgan.imaging.encoders.tiff import write_tiff
from srgan.imaging.picture import Density

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SAMPLES = {"GRAY": 1, "RGB": 3, "CMYK": 4}


def values(height: int, width: int, samples: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Smooth, with noise in the last bits."""
    y, x, c = np.mgrid[:height, :width, :samples]
    smooth = 0.5 + 0.3 * np.sin(x / 9 + c) * np.cos(y / 7)
    noisy = smooth + np.random.default_rng(height).normal(0, 0.01, smooth.shape)
    return noisy.astype(np.float32) * 3 - 1 if dtype is np.float32 else (noisy * np.iinfo(dtype).max).astype(dtype)


def tiff(rows: NDArray[Any], model: Any = "RGB", alpha: Any = None, step: int | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    step = step or len(rows)
    parts = (rows[start : start + step] for start in range(0, len(rows), step))
    write_tiff(stream, rows.shape[:2], model, alpha, rows.dtype.type, parts, **options)
    return stream.getvalue()


def by_vips(data: bytes) -> NDArray[Any]:
    pyvips = pytest.importorskip("pyvips")
    image = pyvips.Image.new_from_buffer(data, "")
    return image.numpy().reshape(image.height, image.width, image.bands)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("model", "alpha"),
    [
        ("GRAY", None),
        ("GRAY", "straight"),
        ("RGB", None),
        ("RGB", "straight"),
        ("RGB", "premultiplied"),
        ("CMYK", None),
        ("CMYK", "straight"),
    ],
)
def test_every_kind_of_pixels_is_read_back_by_libtiff(dtype: Any, model: str, alpha: str | None) -> None:
    rows = values(300, 517, SAMPLES[model] + (alpha is not None), dtype)
    if alpha == "premultiplied" and dtype is np.float32:
        rows[..., -1] = np.clip(rows[..., -1], 0.1, 1)
    data = tiff(rows, model, alpha)
    if alpha != "premultiplied":  # which libvips divides out
        assert np.array_equal(by_vips(data), rows)
    elif dtype is np.float32:
        assert np.allclose(by_vips(data)[..., :3] * rows[..., 3:], rows[..., :3], atol=1e-5)
    else:
        assert np.array_equal(tifffile.imread(io.BytesIO(data)), rows)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        assert page.photometric.name == {"GRAY": "MINISBLACK", "RGB": "RGB", "CMYK": "SEPARATED"}[model]
        assert [kind.name for kind in page.extrasamples] == (
            {None: [], "straight": ["UNASSALPHA"], "premultiplied": ["ASSOCALPHA"]}[alpha]
        )
        assert page.compression.name == "ADOBE_DEFLATE"
        assert page.tags[274].value == 1
        assert page.predictor == (3 if dtype is np.float32 else 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 3)])
@pytest.mark.parametrize("samples", [1, 3])
def test_pictures_of_one_row_or_column(size: tuple[int, int], samples: int) -> None:
    for dtype in (np.uint8, np.uint16, np.float32):
        rows = values(*size, samples, dtype)
        data = tiff(rows, "GRAY" if samples == 1 else "RGB")
        assert np.array_equal(by_vips(data), rows)


@pytest.mark.parametrize("step", [1, 3, 64, 1000])
def test_rows_may_come_in_any_portions(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.encoders.tiff._STRIP_BYTES", 517 * 3 * 7)
    rows = values(300, 517, 3, np.uint8)
    data = tiff(rows, step=step)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), rows)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages[0].rowsperstrip == 7
        assert len(file.pages[0].dataoffsets) == 43


@pytest.mark.parametrize("count", [299, 301, 0])
def test_missing_or_surplus_rows_are_a_mistake(count: int) -> None:
    rows = values(301, 20, 3, np.uint8)
    with pytest.raises(ValueError, match="row"):
        write_tiff(io.BytesIO(), (300, 20), "RGB", None, np.uint8, [rows[:count]])
    with pytest.raises(ValueError, match="do not fit"):
        write_tiff(io.BytesIO(), (300, 20), "GRAY", None, np.uint8, [rows[:300]])


def test_smooth_pictures_become_smaller() -> None:
    for dtype, most in ((np.uint8, 0.7), (np.uint16, 0.9), (np.float32, 0.9)):
        rows = values(300, 517, 3, dtype)
        assert len(tiff(rows)) < rows.nbytes * most


@pytest.mark.parametrize("big", [False, True])
def test_profile_resolution_xmp_iptc_exif_and_gps_are_written(big: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if big:
        monkeypatch.setattr("srgan.imaging.encoders.tiff._CLASSIC_BYTES", 1000)
    tags = Image.Exif()
    tags[0x010F], tags[0x0131], tags[0x8298] = "Käme", "Software", "©"
    tags[256], tags[273], tags[279], tags[274] = 7, 99_999, 3, 6  # the layout of another file
    tags.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    tags.get_ifd(0x8769)[0x829A] = 0.004
    tags.get_ifd(0x8769)[0x927C] = bytes(range(256)) * 5
    tags.get_ifd(0x8825)[1] = "N"
    tags.get_ifd(0x8825)[2] = (48.0, 12.0, 30.5)
    iptc = b"\x1c\x02\x05\x00\x05title"
    rows = values(50, 60, 3, np.uint16)
    data = tiff(
        rows, icc_profile=SRGB, density=Density(300, 150.5, 2), xmp=b"<x:xmpmeta/>", iptc=iptc, exif=tags.tobytes()[6:]
    )
    assert data[:4] == (b"II+\0" if big else b"II*\0")
    assert np.array_equal(by_vips(data), rows)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == SRGB
        assert image.info["dpi"] == pytest.approx((300, 150.5))
        assert image.info["xmp"] == b"<x:xmpmeta/>"
        assert image.tag_v2[33723] == iptc
        assert image.tag_v2[274] == 1
        assert image.tag_v2[0x0131] == "Software"
        assert image.tag_v2[256] == 60
        if not big:  # whose pointers Pillow does not follow
            found = image.getexif()
            assert found.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
            assert found.get_ifd(0x8769)[0x829A] == pytest.approx(0.004)
            assert found.get_ifd(0x8769)[0x927C] == bytes(range(256)) * 5
            assert found.get_ifd(0x8825)[2] == (48.0, 12.0, 30.5)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages[0].tags
        assert found[34665].value["DateTimeOriginal"] == "2020:01:02 03:04:05"
        assert found[34665].value["ExposureTime"] == pytest.approx(0.004)
        assert found[34853].value["GPSLatitudeRef"] == "N"
        assert found[34853].value["GPSLatitude"] == (48, 1, 12, 1, 61, 2)


def test_nothing_is_written_that_was_not_given() -> None:
    with tifffile.TiffFile(io.BytesIO(tiff(values(5, 6, 3, np.uint8)))) as file:
        for tag in (270, 305, 306, 700, 33723, 34665, 34675, 34853):
            assert tag not in file.pages[0].tags
        assert file.pages[0].tags[296].value == 1  # no unit


def test_strips_are_let_go_when_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.encoders.tiff._STRIP_BYTES", 50 * 400 * 3)
    alive: list[weakref.ref[NDArray[Any]]] = []

    def strips() -> Iterator[NDArray[Any]]:
        for _ in range(20):
            strip = np.random.default_rng(0).integers(0, 256, (50, 400, 3), np.uint8)
            assert sum(ref() is not None for ref in alive) <= 2
            alive.append(weakref.ref(strip))
            yield strip
            del strip

    write_tiff(io.BytesIO(), (1000, 400), "RGB", None, np.uint8, strips())
    assert len(alive) == 20


def test_strips_are_not_asked_for_faster_than_they_are_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.imaging.encoders.tiff._STRIP_BYTES", 400 * 3)
    asked, packed = [], []
    pack = tiff_writing._pack

    def slow(strip: NDArray[Any]) -> bytes:
        time.sleep(0.002)
        packed.append(len(strip))
        return pack(strip)

    def rows() -> Iterator[NDArray[Any]]:
        for _ in range(60):
            asked.append(1)
            assert len(asked) - len(packed) <= tiff_writing._WORKERS + 2
            yield np.zeros((1, 400, 3), np.uint8)

    monkeypatch.setattr(tiff_writing, "_pack", slow)
    write_tiff(io.BytesIO(), (60, 400), "RGB", None, np.uint8, rows())
    assert len(packed) == 60


def test_what_the_rows_raise_passes_through() -> None:
    def rows() -> Iterator[NDArray[Any]]:
        yield values(5, 6, 3, np.uint8)
        raise KeyError("a mistake of ours")

    with pytest.raises(KeyError, match="a mistake"):
        write_tiff(io.BytesIO(), (10, 6), "RGB", None, np.uint8, rows())


def test_the_file_is_little_endian_wherever_it_is_made() -> None:
    rows = values(4, 5, 1, np.uint16)
    foreign = rows.astype(rows.dtype.newbyteorder(">"))
    stream = io.BytesIO()
    write_tiff(stream, (4, 5), "GRAY", None, np.uint16, [foreign])
    assert np.array_equal(by_vips(stream.getvalue()), rows)
    assert struct.unpack_from("<2sH", stream.getvalue()) == (b"II", 42)
