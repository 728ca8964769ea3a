"""The page of a comparison: the worst first, the right part of each picture, and nothing from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srgan.errors import InvalidConfig
from srgan.evaluation import Comparison, Degraded, Results, Trial, comparison_page, most_different, webpage
from srgan.imaging import Picture, read_picture, write_picture
from srgan.runtime import open_session
from srgan.testing import NearestSession

Draw = Callable[..., NDArray[np.float32]]


class Page(HTMLParser):
    """The elements of a page in order, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.source = text
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def pictures(self, alt: str) -> list[NDArray[np.uint8]]:
        """All pictures with this text in their place, decoded."""
        found = []
        for tag, attributes in self.tags:
            if tag == "img" and attributes["alt"] == alt:
                head, data = str(attributes["src"]).split(",")
                assert head in ("data:image/png;base64", "data:image/jpeg;base64")
                found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
        return found


def compared(folder: Path, kept: Path, *, worst_by: str = "psnr") -> tuple[Page, Comparison]:
    """The page of nearest and bicubic enlargement, and what it is about."""
    trial = Trial(folder)
    sessions = {"nearest": NearestSession(2), "smooth <b>": open_session("bicubic", scale=2)}
    folders = {label: kept / str(k) for k, label in enumerate(sessions)}
    comparison = Comparison({k: trial.score(session, save=folders[k]) for k, session in sessions.items()})
    return Page(comparison_page(comparison, trial, folders, worst_by=worst_by)), comparison


def test_pictures_come_worst_first_each_with_its_figures(folder: Path, tmp_path: Path) -> None:
    shown, comparison = compared(folder, tmp_path)
    names = [text for text in shown.texts if text.endswith(".png")]
    assert names[:3] == comparison.worst_first("psnr")
    first = comparison.first
    scores = {score.name: score for score in first.scores}
    for name in names[:3]:
        assert shown.texts.count(f"{scores[name].psnr:.2f}") >= 2, "below the part and in the table"
        assert f"{scores[name].baseline_psnr:.2f}" in shown.texts
    assert f"{first.psnr.value:.2f}" in shown.texts
    assert f"{first.psnr.low:.2f} – {first.psnr.high:.2f}" in shown.texts
    by_ssim, _ = compared(folder, tmp_path, worst_by="ssim")
    assert [text for text in by_ssim.texts if text.endswith(".png")][:3] == comparison.worst_first("ssim")


def test_parts_are_without_loss_and_wholes_are_there_for_every_contender(folder: Path, tmp_path: Path) -> None:
    shown, comparison = compared(folder, tmp_path)
    worst = comparison.worst_first("psnr")[0]
    truth = read_picture(folder / worst).pixels
    height, width = (side // 2 * 2 for side in truth.shape[:2])
    for what in ("original", "bicubic", "nearest", "smooth <b>"):
        assert shown.pictures(what)[0].shape == (height, width, 3)
        assert len(shown.pictures(what)) == len(shown.pictures(f"part of {what}")) == 3
    part = shown.pictures("part of original")[0]
    assert np.array_equal(part, np.rint(truth[:height, :width] * 255).astype(np.uint8)), "smaller than a part: whole"
    result = read_picture(tmp_path / "0" / f"{Path(worst).stem}_x2.png").pixels
    assert np.array_equal(shown.pictures("part of nearest")[0], np.rint(result * 255).astype(np.uint8))


def test_the_page_needs_nothing_else_and_no_name_can_harm_it(folder: Path, tmp_path: Path) -> None:
    (folder / "a.png").rename(folder / "<img src=x>.png")
    shown, _ = compared(folder, tmp_path)
    assert not {tag for tag, _ in shown.tags} & {"script", "link", "iframe", "object"}
    sources = [attributes.get("src") for tag, attributes in shown.tags if tag == "img"]
    assert all(str(source).startswith("data:image/") for source in sources)
    assert "<img src=x>.png" in shown.texts
    identities = [attributes["id"] for _, attributes in shown.tags if "id" in attributes]
    assert len(set(identities)) == len(identities)
    chosen = [attributes for tag, attributes in shown.tags if tag == "input"]
    assert len(chosen) == 3 * 4
    assert sum("checked" in attributes for attributes in chosen) == 3, "one of each picture is seen"


def test_only_the_best_of_several_models_stands_out(folder: Path, tmp_path: Path) -> None:
    shown, comparison = compared(folder, tmp_path)
    worse, better = sorted(report.psnr.value for report in comparison.reports.values())
    assert f"<td><b>{better:.2f}</b><small>" in shown.source
    assert f"<td>{worse:.2f}<small>" in shown.source

    trial = Trial(folder)
    alone = Comparison({"0": trial.score(Results(tmp_path / "0", scale=2), save=tmp_path / "alone")})
    text = comparison_page(alone, trial, {"0": tmp_path / "alone"})
    assert "<td><b>" not in text
    assert "results of another program" in text


def test_gray_and_colour_are_shown_side_by_side(tmp_path: Path, draw: Draw) -> None:
    """Another program gives a gray reference back in colour."""
    references, made = tmp_path / "references", tmp_path / "made"
    for folder, pixels in ((references, draw(120, 120, 1)), (made, draw(120, 120, 3, seed=1))):
        folder.mkdir()
        write_picture(Picture(pixels=pixels), folder / "a.png")
    trial = Trial(references)
    folders = {"gray": tmp_path / "gray", "coloured": tmp_path / "coloured"}
    models = {"gray": NearestSession(2), "coloured": Results(made, scale=2)}
    reports = {label: trial.score(model, save=folders[label]) for label, model in models.items()}
    for some in (reports, {"coloured": reports["coloured"]}):
        shown = Page(comparison_page(Comparison(some), trial, folders))
        assert shown.pictures("part of original")[0].shape == (96, 96)
        assert shown.pictures("part of coloured")[0].shape == (96, 96, 3)


def test_more_pictures_than_ten_are_folded_and_more_than_the_most_are_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webpage, "WORST", 1)
    monkeypatch.setattr(webpage, "MOST", 2)
    shown, comparison = compared(folder, tmp_path)
    assert "The worst 1" in shown.texts
    assert "1 more" in shown.texts
    assert any("the 2 worst of 3 are shown" in text for text in shown.texts)
    assert sum(tag == "article" for tag, _ in shown.tags) == 2
    last = [text for text in shown.texts if text.endswith(".png")][-3:]
    assert last == comparison.worst_first("psnr"), "the last table has them all"


def test_failures_and_warnings_are_told(folder: Path, tmp_path: Path) -> None:
    (folder / "d.png").write_bytes(b"no picture")
    trial = Trial(folder)
    results = {"one": tmp_path / "one", "two": tmp_path / "two"}
    reports = {label: trial.score(NearestSession(2), save=path) for label, path in results.items()}
    (results["two"] / "b_x2.png").unlink()
    reports["two"] = trial.score(Results(results["two"], scale=2), save=tmp_path / "again")
    text = comparison_page(Comparison(reports), trial, results | {"two": tmp_path / "again"})
    assert "3 failed" in text
    assert "not every model could be scored on b.png" in text
    with pytest.raises(InvalidConfig, match="cannot sort the pictures by 'beauty'"):
        comparison_page(Comparison(reports), trial, results, worst_by="beauty")


def test_inputs_other_than_those_of_the_protocol_are_told_on_top(folder: Path, tmp_path: Path) -> None:
    trial = Trial(folder, inputs=Degraded("jpeg", 5))
    comparison = Comparison({"n": trial.score(NearestSession(2), save=tmp_path)})
    text = comparison_page(comparison, trial, {"n": tmp_path})
    assert text.index("low resolution degraded (jpeg, seed 5)") < text.index("<table")
    assert "Not the usual protocol" not in compared(folder, tmp_path / "other")[0].source


def test_the_part_is_where_pictures_differ_most() -> None:
    alike = np.random.default_rng(0).random((300, 400, 3), np.float32)
    other = alike.copy()
    other[200:230, 350:390] += 0.5
    other[10:12, 10:12] += 0.5
    top, left = most_different([alike, other])
    assert (top, left) == most_different([alike[..., :1], other[..., :1]])
    assert 134 <= top <= 200
    assert 294 <= left <= 304 + 46
    assert (top % 8, left % 8) in {(t, n) for t in (0, 300 - 96 - (300 - 96) // 8 * 8) for n in (0, 304 % 8)}
    corner = alike.copy()
    corner[-1, -1] += 1
    assert most_different([alike, alike, corner]) == (300 - 96, 400 - 96), "the last rows and columns can be seen"
    assert most_different([alike[:50, :60], other[:50, :60]]) == (0, 0)


def test_a_picture_much_larger_than_the_page_is_kept_small(tmp_path: Path, draw: Draw) -> None:
    references = tmp_path / "references"
    references.mkdir()
    write_picture(Picture(pixels=draw(64, 1400, 1)), references / "wide.png")
    trial = Trial(references)
    report = trial.score(NearestSession(2), save=tmp_path / "kept")
    shown = Page(comparison_page(Comparison({"n": report}), trial, {"n": tmp_path / "kept"}))
    assert shown.pictures("original")[0].shape == (29, 640)
    assert shown.pictures("part of n")[0].shape == (64, 96)
