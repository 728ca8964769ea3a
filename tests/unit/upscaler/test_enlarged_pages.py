"""Documents of several pages, from file to file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from srgan.errors import CannotWrite, InvalidConfig, InvalidImage
from srgan.imaging import Picture, open_input
from srgan.imaging.encoders import tiff as tiff_writing
from srgan.imaging.metadata.enlarged import provenance_of
from srgan.progress import Step
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler
from srgan.upscaler.files import Saving, enlarge_bytes, enlarge_file
from srgan.upscaler.sizes import Size


def noise(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


XMP = (
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    "<rdf:Description rdf:about='' xmlns:me='http://example.org/' me:note='page %d'/></rdf:RDF></x:xmpmeta>"
)
PAGES = (noise(5, 7, 3), noise(12, 4, dtype=np.uint16), noise(3, 3, 3))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as writer:
        for number, values in enumerate(PAGES):
            xmp = (XMP % number).encode()
            writer.write(
                values,
                photometric="rgb" if values.ndim == 3 else "minisblack",
                metadata=None,
                extratags=[(700, 1, len(xmp), xmp, True)],
            )
    return path


def twice(values: NDArray[Any]) -> NDArray[Any]:
    return values.repeat(2, axis=0).repeat(2, axis=1)


def nearest() -> Upscaler:
    return Upscaler(NearestSession(2))


def written(source: Any) -> list[NDArray[Any]]:
    with tifffile.TiffFile(source) as file:
        return [page.asarray() for page in file.pages]


def test_every_page_is_enlarged(scan: Path, tmp_path: Path) -> None:
    made = enlarge_file(nearest(), scan, tmp_path / "out.tif")

    assert (made.frames, made.source_size, made.size, made.format) == (3, (5, 7), (10, 14), "TIFF")
    for values, before in zip(written(tmp_path / "out.tif"), PAGES, strict=True):
        np.testing.assert_array_equal(values, twice(before))
    with open_input(tmp_path / "out.tif") as pages:
        for number, page in enumerate(pages.scans()):
            assert f"'page {number}'".encode() in (page.like.xmp or b"")
            assert len(provenance_of(page.like)) == 1


def test_bytes_and_streams_too(scan: Path) -> None:
    for source in (scan.read_bytes(), io.BytesIO(scan.read_bytes())):
        data, made = enlarge_bytes(nearest(), source)
        assert made.frames == 3
        for values, before in zip(written(io.BytesIO(data)), PAGES, strict=True):
            np.testing.assert_array_equal(values, twice(before))


def test_a_size_holds_for_each_page(scan: Path, tmp_path: Path) -> None:
    enlarge_file(nearest(), scan, tmp_path / "out.tif", long_side=24)
    assert [values.shape[:2] for values in written(tmp_path / "out.tif")] == [(17, 24), (24, 8), (24, 24)]


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif"])
def test_a_format_of_one_picture_is_refused(scan: Path, tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InvalidConfig, match=r"can hold only one picture, but the input has 3 pages; choose \.tif"):
        enlarge_file(nearest(), scan, tmp_path / f"out.{suffix}")
    with pytest.raises(InvalidConfig, match="3 pages"):
        enlarge_bytes(nearest(), scan, saving=Saving(format=suffix))
    assert list(tmp_path.iterdir()) == [scan]


def test_one_page_among_smaller_copies_is_a_picture(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise(2, 3, 3), photometric="rgb", metadata=None, subfiletype=1)
        writer.write(PAGES[0], photometric="rgb", metadata=None)
    made = enlarge_file(nearest(), tmp_path / "a.tif", tmp_path / "out.png")
    assert (made.frames, made.size) == (1, (10, 14))


def test_progress_is_that_of_all_pages(scan: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    enlarge_file(nearest(), scan, tmp_path / "out.tif", report=lambda step: told.append((step.done, step.total)))
    total = 35 + 48 + 9
    assert {whole for _, whole in told} == {total}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {35, 35 + 48, total} <= {done for done, _ in told}


def test_what_progress_raises_leaves_nothing(scan: Path, tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if step.done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enlarge_file(nearest(), scan, tmp_path / "out.tif", report=stop)
    assert list(tmp_path.iterdir()) == [scan]


def test_a_damaged_page_is_named_and_nothing_written(scan: Path, tmp_path: Path) -> None:
    with tifffile.TiffFile(scan) as file:
        place = file.pages[1].tags[259].valueoffset  # type: ignore[union-attr]
    data = bytearray(scan.read_bytes())
    data[place] = 5  # LZW, which these bytes are not
    scan.write_bytes(data)
    with pytest.raises(InvalidImage, match=r"scan\.tif \(page 2\)"):
        enlarge_file(nearest(), scan, tmp_path / "out.tif")
    assert list(tmp_path.iterdir()) == [scan]


def test_the_space_of_all_pages_is_asked_for(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def full(target: Any, needed: int) -> None:
        asked.append(needed)
        raise CannotWrite("full")

    monkeypatch.setattr("srgan.upscaler.files.check_space", full)
    with pytest.raises(CannotWrite, match="full"):
        enlarge_file(nearest(), scan, tmp_path / "out.tif", scale=100)
    pixels = 35 * 3 + 48 * 2 + 9 * 3
    assert 0.7 * pixels * 10_000 < asked[0] < pixels * 10_000 + 3 * (1 << 17)


def test_a_document_that_grows_beyond_four_gigabytes_is_a_bigtiff(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_writing, "_CLASSIC_BYTES", 700)
    enlarge_file(nearest(), scan, tmp_path / "out.tif")
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_bigtiff
        assert len(file.pages) == 3


def test_a_model_is_asked_for_each_page_and_the_scale_is_that_of_the_first(scan: Path, tmp_path: Path) -> None:
    class Choosing:
        looks = True
        seen: list[tuple[tuple[int, ...], Size]]

        def __init__(self) -> None:
            self.seen = []

        def __call__(self, picture: Picture, size: Size) -> Upscaler:
            self.seen.append((picture.pixels.shape, dict(size)))  # type: ignore[arg-type]
            return Upscaler(NearestSession(2 if len(self.seen) == 1 else 3))

    choosing = Choosing()
    enlarge_file(choosing, scan, tmp_path / "out.tif")
    assert [shape for shape, _ in choosing.seen] == [(5, 7, 3), (12, 4, 1), (3, 3, 3)]
    assert [size.get("scale") for _, size in choosing.seen] == [None, 2, 2]
    assert [values.shape[:2] for values in written(tmp_path / "out.tif")] == [(10, 14), (24, 8), (6, 6)]
