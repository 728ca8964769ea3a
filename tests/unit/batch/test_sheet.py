"""The contact sheet: what it shows first, and that no file's name can harm the page."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan.batch import FileOutcome, process_folder, sheet
from srgan.batch.report import BatchReport
from srgan.batch.sheet import Sheet, difference
from srgan.errors import CannotWrite
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler

REPORT = BatchReport(source="in", target="out", model="fast-x4", outcomes=(), seconds=1, interrupted=False)


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def pictures(self) -> list[Image.Image]:
        sources = [str(attributes["src"]) for tag, attributes in self.tags if tag == "img"]
        return [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]


def pair(folder: Path, name: str, change: int = 0, size: int = 40) -> tuple[str, Path, Path]:
    """A picture and its enlargement by pixel repetition, in which a block is ``change`` brighter."""
    pixels = np.random.default_rng(0).integers(0, 200, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"{name}-in.png")
    after = pixels.repeat(2, 0).repeat(2, 1)
    after[:16, :16] += np.uint8(change)
    Image.fromarray(after).save(folder / f"{name}-out.png")
    return name, folder / f"{name}-in.png", folder / f"{name}-out.png"


def test_the_difference_is_that_of_the_worst_block_in_levels() -> None:
    before = np.zeros((96, 70, 3), np.float32)
    after = np.zeros((192, 140, 3), np.float32)
    assert difference(before, after) == 0
    after[64:128, 64:128] = 51 / 255
    assert difference(before, after) == pytest.approx(51, abs=1e-3)
    after[:] = 0
    after[128:, 128:] = 10 / 255  # a block at the edge, 6 pixels wide
    assert difference(before, after) == pytest.approx(10, abs=1e-3)


def test_what_the_input_cannot_tell_is_no_difference() -> None:
    before = np.full((32, 32, 1), 0.5, np.float32)
    after = before.repeat(2, 0).repeat(2, 1)
    after[::2] += 0.2
    after[1::2] -= 0.2

    assert difference(before, after) == pytest.approx(0, abs=1e-3)


def test_the_least_alike_come_first(tmp_path: Path) -> None:
    contacts = Sheet()
    for name, change in [("same", 0), ("worst", 50), ("bad", 20)]:
        contacts.add(*pair(tmp_path, name, change))
    contacts.add("gone", tmp_path / "none.png", tmp_path / "none.png")
    contacts.write(tmp_path / "sheet.html", REPORT)

    page = Page(tmp_path / "sheet.html")
    assert re.findall(r"\b(same|worst|bad|gone)\b", page.text) == ["gone", "worst", "bad", "same"]
    assert "40 x 40 → 80 x 80, difference 0.0" in page.text
    assert "cannot be compared" in page.text
    assert len(page.pictures) == 6


def test_only_the_worst_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MOST", 2)
    contacts = Sheet()
    for change in (5, 30, 0, 20):
        contacts.add(*pair(tmp_path, f"n{change}", change))
    contacts.write(tmp_path / "sheet.html", REPORT)

    page = Page(tmp_path / "sheet.html")
    assert re.findall(r"\bn(\d+)\b", page.text) == ["30", "20"]
    assert "The 2 most different of 4 are shown." in page.text


def test_thumbnails_are_small_and_show_the_output_itself(tmp_path: Path) -> None:
    contacts = Sheet()
    contacts.add(*pair(tmp_path, "small", size=50))
    contacts.add(*pair(tmp_path, "large", size=400))
    contacts.write(tmp_path / "sheet.html", REPORT)

    sizes = sorted(picture.size for picture in Page(tmp_path / "sheet.html").pictures)
    assert sizes == [(50, 50), (100, 100), (320, 320), (320, 320)]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16"])
def test_every_kind_of_picture_can_be_shown(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    Image.new("RGBA", (30, 20), (200, 100, 50, 128)).convert("L" if mode == "I;16" else mode).convert(mode).save(
        source / "a.png"
    )

    process_folder(source, tmp_path / "out", Upscaler(NearestSession(2)), contact_sheet=tmp_path / "sheet.html")

    page = Page(tmp_path / "sheet.html")
    assert "difference 0.0" in page.text
    assert [picture.size for picture in page.pictures] == [(30, 20), (60, 40)]


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>&\"'\n\u202eevil\udcff.png"
    failed = FileOutcome(source=evil, target="", state="failed", reason="<img src=x onerror=alert(1)>")
    report = BatchReport(source="in", target="out", model="<b>", outcomes=(failed,), seconds=1, interrupted=False)
    contacts = Sheet()
    contacts.add(evil, *pair(tmp_path, "a")[1:])
    contacts.write(tmp_path / "sheet.html", report)

    page = Page(tmp_path / "sheet.html")
    assert "script" not in [tag for tag, _ in page.tags]
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert all(str(a["src"]).startswith("data:image/jpeg;base64,") for tag, a in page.tags if tag == "img")
    assert page.text.count("<script>alert(1)</script>&\"'\\n\\u202eevil\\udcff.png") == 2
    assert "1 failed" in page.text


def test_the_page_needs_nothing_else_and_follows_the_reader_s_theme(tmp_path: Path) -> None:
    Sheet().write(tmp_path / "sheet.html", REPORT)

    text = (tmp_path / "sheet.html").read_text()
    assert "default-src 'none'" in text
    assert "color-scheme: light dark" in text
    assert "http" not in re.sub(r"http-equiv", "", text)


def test_a_sheet_covers_what_was_done_before_too(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (30, 20)).save(source / name)
    for made in ("first.html", "second.html"):
        process_folder(source, tmp_path / "out", Upscaler(NearestSession(2)), contact_sheet=tmp_path / made)
        assert len(Page(tmp_path / made).pictures) == 4


def test_a_sheet_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "in/a.png")

    with pytest.raises(CannotWrite, match="none"):
        process_folder(
            tmp_path / "in", tmp_path / "out", Upscaler(NearestSession(2)), contact_sheet=tmp_path / "none/x.html"
        )
    assert list((tmp_path / "out").iterdir()) == []
