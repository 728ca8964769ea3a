"""What reading a picture says of what it leaves out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from srgan.imaging import open_input, probe_picture, read_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_pictures_that_are_not_read_are_not_lost_in_silence(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = [Image.new("RGB", (16, 16), (80 * number, 0, 0)) for number in range(3)]
    buffer, one = io.BytesIO(), io.BytesIO()
    if kind == "HEIC":
        heif = pytest.importorskip("pillow_heif", reason="the extra formats is not installed")
        file = heif.HeifFile()
        for frame in frames:
            file.add_from_pillow(frame)
        file.save(buffer)
        heif.from_pillow(frames[0]).save(one)
    else:
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        frames[0].save(one, kind)

    with open_input(buffer.getvalue()) as pages:
        assert len(pages.headers) == 1
        assert caplog.text == ""  # it is said to whoever reads the pixels
        next(next(pages.scans()).strips)
    assert caplog.text.count("the file holds several pictures") == 1
    caplog.clear()
    read_picture(one.getvalue())
    assert caplog.text == ""


@pytest.mark.parametrize(("profile", "fault"), [(SRGB, "for RGB, the picture is GRAY"), (b"junk" * 40, "damaged")])
def test_a_profile_that_is_dropped_is_told_once_with_the_name_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: bytes, fault: str
) -> None:
    path = tmp_path / "gray.png"
    Image.new("L", (8, 6), 99).save(path, icc_profile=profile)

    probe_picture(path)
    with open_input(path) as pages:
        scan = next(pages.scans())
        assert scan.like.icc_profile is None
        next(scan.strips)

    assert [fault in record.message and str(path) in record.message for record in caplog.records] == [True]


def test_a_warning_is_given_once_for_a_picture_and_names_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "five.tif"
    values = np.random.default_rng(0).random((40, 30, 5)).astype(np.float32)  # gone through twice, for its range
    tifffile.imwrite(path, values, photometric="rgb", extrasamples=(0, 0), rowsperstrip=1)

    probe_picture(path)
    with open_input(path) as pages:
        assert len(list(next(pages.scans()).strips)) == 1

    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: channels that are neither colour nor alpha are left out."
    ]


def test_each_page_has_its_own_warnings(caplog: pytest.LogCaptureFixture) -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(2):
            writer.write(np.zeros((4, 4, 5), np.uint8), photometric="rgb", extrasamples=(0, 0), planarconfig="contig")
        writer.write(np.zeros((4, 4, 3), np.uint8), photometric="rgb", subfiletype=1)
    with open_input(buffer.getvalue()) as pages:
        for scan in pages.scans():
            assert len(list(scan.strips)) == 1
    left_out = "channels that are neither colour nor alpha are left out."
    assert [record.getMessage() for record in caplog.records] == [
        "the input: 1 smaller copies or masks of pages are left out.",
        f"the input (page 1): {left_out}",
        f"the input (page 2): {left_out}",
    ]
