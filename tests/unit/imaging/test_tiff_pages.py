"""TIFF of several pages: all of them read, all of them written, and chains of directories that lead nowhere refused."""

from __future__ import annotations

import io
import logging
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from srgan.errors import CannotWrite, InvalidImage, LimitExceeded
from srgan.imaging import (
    Limits,
    Page,
    Picture,
    encode_picture,
    open_input,
    probe_picture,
    read_picture,
    write_pages,
)
from srgan.imaging.encoders import tiff as tiff_writing


def noise(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    values = np.random.default_rng(shape[0]).random(shape)
    return values.astype(dtype) if np.dtype(dtype).kind == "f" else (values * np.iinfo(dtype).max).astype(dtype)


KINDS: tuple[tuple[NDArray[Any], dict[str, Any]], ...] = (
    (noise(9, 13, 3), {"photometric": "rgb"}),
    (noise(20, 5, dtype=np.uint16), {"photometric": "minisblack"}),
    (noise(4, 6, 4), {"photometric": "rgb", "extrasamples": [2], "compression": "zlib"}),
    (noise(7, 7, 3, dtype=np.float32), {"photometric": "rgb"}),
    (noise(11, 3, dtype=np.float64), {"photometric": "minisblack"}),
    (noise(6, 8) > 127, {"photometric": "minisblack"}),
    (noise(40, 33, 3), {"photometric": "rgb", "tile": (16, 16)}),
)
"""Pages of one file, each of another size, depth, colour and layout."""


def document(kinds: Any = KINDS, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **options) as writer:
        for values, how in kinds:
            writer.write(values, metadata=None, **how)
    return buffer.getvalue()


def pixels_of(source: Any) -> list[NDArray[np.float32]]:
    with open_input(source) as pages:
        return [np.concatenate(list(scan.strips)) for scan in pages.scans()]


def shown(values: NDArray[Any]) -> NDArray[np.float32]:
    values = values if values.ndim == 3 else values[..., None]
    top = 1 if values.dtype.kind in "fb" else np.iinfo(values.dtype).max
    return (values / np.float32(top)).astype(np.float32)


def page(pixels: NDArray[np.float32], **said: Any) -> Page:
    return Page(strips=[pixels[:3], pixels[3:]], size=pixels.shape[:2], like=Picture(pixels=pixels, **said))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"bigtiff": True, "byteorder": ">"}])
@pytest.mark.parametrize("on_disk", [False, True])
def test_every_page_is_read_as_it_is(options: dict[str, Any], on_disk: bool, tmp_path: Path) -> None:
    data: Any = document(**options)
    if on_disk:
        (tmp_path / "a.tif").write_bytes(data)
        data = tmp_path / "a.tif"
    with open_input(data) as pages:
        assert [(header.height, header.width) for header in pages.headers] == [v.shape[:2] for v, _ in KINDS]
        assert [header.bit_depth for header in pages.headers] == [8, 16, 8, 32, 32, 8, 8]
        assert [header.channels for header in pages.headers] == [3, 1, 4, 3, 1, 1, 3]
    found = pixels_of(data)
    assert len(found) == len(KINDS)
    for pixels, (values, _) in zip(found, KINDS, strict=True):
        np.testing.assert_allclose(pixels, shown(values), atol=1e-6)


def test_each_page_has_its_own_metadata_and_is_upright() -> None:
    first = {
        "photometric": "rgb",
        "resolution": (300, 300),
        "resolutionunit": 2,
        "extratags": [(700, 1, 3, b"<a>", True)],
    }
    second = {"photometric": "rgb", "extratags": [(274, 3, 1, 6, True), (33723, 7, 4, b"\x1c\x02\x05a", True)]}
    data = document(((noise(4, 6, 3), first), (noise(5, 9, 3), second)))
    with open_input(data) as pages:
        assert [(header.height, header.width) for header in pages.headers] == [(4, 6), (9, 5)]
        one, two = (scan.like for scan in pages.scans())
    assert (one.xmp, one.iptc, one.dpi) == (b"<a>", None, (300, 300))
    assert (two.xmp, two.iptc, two.height, two.width) == (None, b"\x1c\x02\x05a", 9, 5)


def test_another_format_has_one_page() -> None:
    picture = Picture(pixels=shown(noise(4, 6, 3)))
    (pixels,) = pixels_of(encode_picture(picture, "PNG"))
    np.testing.assert_array_equal(pixels, picture.pixels)


@pytest.mark.parametrize("kind", [1, 4, 5])
def test_smaller_copies_and_masks_are_no_pages(kind: int, caplog: pytest.LogCaptureFixture) -> None:
    how = {"photometric": "rgb"}
    copy = (noise(4, 4) > 127, {"photometric": "minisblack", "subfiletype": kind})
    data = document((copy, (noise(8, 8, 3), how), copy, (noise(9, 9, 3), {**how, "subfiletype": 2})))
    with caplog.at_level(logging.WARNING):
        assert [pixels.shape for pixels in pixels_of(data)] == [(8, 8, 3), (9, 9, 3)]
    assert "2 smaller copies or masks" in caplog.text


def test_a_file_of_nothing_but_a_smaller_copy_is_that() -> None:
    copies = [(noise(side, side, 3), {"photometric": "rgb", "subfiletype": 1}) for side in (4, 2)]
    (pixels,) = pixels_of(document(copies))
    assert pixels.shape == (4, 4, 3)


def test_only_reading_the_first_page_is_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        probe_picture(document())
        pixels_of(document())
    assert caplog.text == ""
    read_picture(document())
    assert "the file holds several pictures" in caplog.text


def test_an_error_names_the_page() -> None:
    data = document(
        ((noise(4, 4, 3), {"photometric": "rgb"}), (noise(4, 4, 3, dtype=np.uint8), {"photometric": "cielab"}))
    )
    with pytest.raises(InvalidImage, match=r"page 2\): TIFF that holds CIE Lab"), open_input(data) as file:
        assert file.headers
    data = document(((noise(4, 4, 3), {"photometric": "rgb"}), (noise(40, 40, 3), {"photometric": "rgb"})))
    with (
        pytest.raises(LimitExceeded, match=r"page 2\): 40 x 40"),
        open_input(data, limits=Limits(max_pixels=100)) as file,
    ):
        assert file.headers


# --------------------------------------------------------------------------------------------------- hostile chains


def chain(places: list[int], *, count: int = 9) -> bytes:
    """A file of small gray pages, each at 80 + 118 n, that lead to ``places``."""
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    tags |= dict.fromkeys(range(300, 300 + count - 9), 1)
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    pages = b"".join(struct.pack("<H", len(tags)) + body + struct.pack("<I", place) for place in places)
    return b"II*\0" + struct.pack("<I", 80) + bytes(72) + pages


def test_the_chain_of_these_tests_is_sound() -> None:
    assert len(pixels_of(chain([80 + 114, 0]))) == 2


@pytest.mark.parametrize("places", [[80], [80 + 114, 80], [80 + 114, 80 + 114]])
def test_pages_that_lead_back_are_refused(places: list[int]) -> None:
    with pytest.raises(InvalidImage, match="begin anew"), open_input(chain(places)) as file:
        assert file.headers


def test_pages_that_lead_out_of_the_file_are_refused() -> None:
    with pytest.raises(InvalidImage, match="outside the file"), open_input(chain([1 << 30])) as file:
        assert file.headers


def test_pages_are_counted_before_anything_else() -> None:
    data = chain([80 + 114 * (i + 1) for i in range(200_000)] + [0])
    began = time.perf_counter()
    with pytest.raises(LimitExceeded, match="10,000 pages"), open_input(data) as file:
        assert file.headers
    assert time.perf_counter() - began < 5
    with (
        pytest.raises(LimitExceeded, match="3 pages"),
        open_input(chain([194, 308, 422, 0]), limits=Limits(max_frames=3)) as file,
    ):
        assert file.headers
    with open_input(chain([194, 308, 0]), limits=Limits(max_frames=3)) as pages:
        assert len(pages.headers) == 3


def test_the_tags_of_all_pages_are_limited() -> None:
    step = 2 + 4000 * 12 + 4
    data = chain([80 + step * (i + 1) for i in range(300)] + [0], count=4000)
    with pytest.raises(LimitExceeded, match="tags"), open_input(data) as file:
        assert file.headers


def test_metadata_that_all_pages_share_is_limited() -> None:
    """Directories of a hundred bytes that all point to one large packet."""
    tags = {256: (4, 1, 8), 257: (4, 1, 8), 258: (4, 1, 8), 259: (4, 1, 1), 262: (4, 1, 1), 273: (4, 1, 8)}
    tags |= {277: (4, 1, 1), 278: (4, 1, 8), 279: (4, 1, 64), 700: (1, 1 << 20, 8)}
    body = b"".join(struct.pack("<HHII", tag, *value) for tag, value in sorted(tags.items()))
    size, start = 2 + len(body) + 4, 8 + (1 << 20)
    pages = b"".join(
        struct.pack("<H", len(tags)) + body + struct.pack("<I", start + size * (i + 1) if i < 9 else 0)
        for i in range(10)
    )
    data = b"II*\0" + struct.pack("<I", start) + bytes(1 << 20) + pages
    with open_input(data) as file:
        assert file.headers
    with pytest.raises(LimitExceeded, match="metadata"), open_input(data, limits=Limits(max_bytes=2 << 20)) as file:
        assert file.headers


# --------------------------------------------------------------------------------------------------------- writing


def test_pages_are_written_as_they_are(tmp_path: Path) -> None:
    said: list[tuple[NDArray[np.float32], dict[str, Any]]] = [
        (shown(noise(9, 13, 3)), {"xmp": b"<x/>", "dpi": (300.0, 300.0)}),
        (shown(noise(20, 5, 1, dtype=np.uint16)), {"bit_depth": 16}),
        (noise(7, 7, 4, dtype=np.float32), {"bit_depth": 32, "iptc": b"\x1c\x02\x05a"}),
    ]
    path = write_pages((page(pixels, **more) for pixels, more in said), tmp_path / "a.tif", most_bytes=10_000)

    with tifffile.TiffFile(path) as file:
        assert [(p.dtype, p.subfiletype) for p in file.pages] == [("uint8", 2), ("uint16", 2), ("float32", 2)]  # type: ignore[union-attr]
        assert not file.is_bigtiff
    with open_input(path) as pages:
        scans = [(np.concatenate(list(scan.strips)), scan.like) for scan in pages.scans()]
    for (pixels, like), (wanted, more) in zip(scans, said, strict=True):
        np.testing.assert_allclose(pixels, wanted, atol=1e-6)
        assert {"xmp": like.xmp, "iptc": like.iptc} == {"xmp": more.get("xmp"), "iptc": more.get("iptc")}


def test_exif_of_each_page_stands_in_its_own_directory(tmp_path: Path) -> None:
    def exif(name: str) -> bytes:
        made = Image.Exif()
        made[0x010F] = name
        made.get_ifd(0x8769)[0x9003] = f"2026:01:01 {name}"
        return made.tobytes()[6:] if made.tobytes().startswith(b"Exif") else made.tobytes()

    pages = [page(shown(noise(4, 5, 3)), exif=exif(name)) for name in ("one", "two")]
    path = write_pages(pages, tmp_path / "a.tif", most_bytes=1000)
    with Image.open(path) as image:
        for number, name in enumerate(("one", "two")):
            image.seek(number)
            image.load()
            assert image.getexif()[0x010F] == name
            assert image.getexif().get_ifd(0x8769)[0x9003] == f"2026:01:01 {name}"


def test_large_documents_are_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_writing, "_CLASSIC_BYTES", 1000)
    for most, big in ((1000, False), (1001, True)):
        path = write_pages([page(shown(noise(4, 5, 3)))] * 2, tmp_path / f"{most}.tif", most_bytes=most)
        with tifffile.TiffFile(path) as file:
            assert file.is_bigtiff is big


def test_more_bytes_than_were_said_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="larger than was said"):
        write_pages([page(shown(noise(4, 5, 3)))] * 2, tmp_path / "a.tif", most_bytes=100)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_document_that_fails(tmp_path: Path) -> None:
    def failing() -> Iterator[Page]:
        yield page(shown(noise(4, 5, 3)))
        raise InvalidImage("page two")

    target = tmp_path / "a.tif"
    with pytest.raises(InvalidImage, match="page two"):
        write_pages(failing(), target, most_bytes=1000)
    assert list(tmp_path.iterdir()) == []
    target.write_bytes(b"before")
    with pytest.raises(CannotWrite, match="exists"):
        write_pages([page(shown(noise(4, 5, 3)))], target, most_bytes=1000)
    with pytest.raises(InvalidImage):
        write_pages(failing(), target, most_bytes=1000, overwrite=True)
    assert target.read_bytes() == b"before"


def test_what_was_written_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srgan.imaging import writing

    honest = writing.encode_pages
    monkeypatch.setattr(writing, "encode_pages", lambda *given: [*honest(*given), (1, 1)])
    with pytest.raises(CannotWrite, match="2 pages"):
        write_pages([page(shown(noise(4, 5, 3)))] * 2, tmp_path / "a.tif", most_bytes=1000, verify="pixels")
    assert list(tmp_path.iterdir()) == []
