"""Drawn pages: the same for a number, sharp, and lettered with fonts that have the letters."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont, features
from scripts.corpora import lettering, pages
from scripts.corpora.inks import BLACK, FINE, TONES, WHITE, Paper, blob, curve, dots
from scripts.corpora.lettering import WORDS, Face
from scripts.corpora.measures import softness

from srgan.errors import InvalidDataset


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The font that Pillow brings, as a file. It has Latin letters alone; others come out as boxes."""
    loaded = ImageFont.load_default(12)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        pytest.skip("this build of Pillow has no FreeType")
    target = tmp_path_factory.mktemp("fonts") / "plain.ttf"
    source = loaded.path
    target.write_bytes(source.getvalue() if hasattr(source, "getvalue") else Path(str(source)).read_bytes())
    return target


@pytest.mark.parametrize("number", range(len(pages.KINDS)))
def test_a_page_follows_from_its_number(number: int, font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not features.check("raqm"):
        pytest.skip("this build of Pillow has no raqm")
    monkeypatch.setattr(pages, "SIZES", ((280, 240),))
    faces = {script: [Face(font, script)] for script in WORDS}
    first, second, other = (pages.page(n, 1, faces) for n in (number, number, number + len(pages.KINDS)))

    assert first.size == (280, 240)
    assert np.array_equal(np.asarray(first), np.asarray(second))
    assert not np.array_equal(np.asarray(first), np.asarray(other))
    assert softness(first) < 35


@pytest.mark.parametrize("tone", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_dots_cover_as_much_as_they_are_to(tone: float) -> None:
    u, v = np.meshgrid(np.linspace(0, 8, 400, dtype=np.float32), np.linspace(0, 8, 400, dtype=np.float32))

    assert dots(u, v, np.full_like(u, tone)).mean() == pytest.approx(tone, abs=0.06)


@pytest.mark.parametrize("kind", TONES)
def test_tones_stay_within_their_shape(kind: str) -> None:
    paper = Paper(80, 60, WHITE, np.random.default_rng(1))
    paper.tone([(20, 10), (60, 10), (60, 50), (20, 50)], kind, 0.5)
    page = np.asarray(paper.picture().convert("L"), float)

    assert page[:, :19].min() == page[:9].min() == page[:, 62:].min() == 255
    assert 60 < page[12:48, 22:58].mean() < 220


def test_hatching_stays_within_its_shape_even_beyond_the_paper() -> None:
    paper = Paper(80, 60, WHITE, np.random.default_rng(1))
    paper.hatch([(40, -20), (120, 30), (40, 80), (30, 30)], 0.7, 4, 1)
    paper.hatch([(400, 400), (500, 400), (500, 500)], 0.7, 4, 1)
    page = np.asarray(paper.picture().convert("L"), float)

    assert page[:, :29].min() == 255
    assert 120 < page[20:40, 45:75].mean() < 245


def test_a_stroke_is_thin_at_its_ends() -> None:
    paper = Paper(100, 40, WHITE, np.random.default_rng(1))
    paper.stroke([(10, 20), (50, 20), (90, 20)], 8, BLACK)
    dark = (np.asarray(paper.picture().convert("L")) < 128).sum(axis=0)

    assert dark[50] == pytest.approx(8, abs=1)
    assert dark[11] < 4
    assert dark[:9].max() == dark[92:].max() == 0


def test_curves_go_through_their_points() -> None:
    line = np.asarray(curve([(0, 0), (10, 5), (20, 0)]))

    assert all(np.hypot(*(line - point).T).min() < 1e-6 for point in ((0, 0), (10, 5), (20, 0)))
    assert math.isclose(np.ptp(np.asarray(blob((0, 0), (3, 2), 0, np.random.default_rng(1)))[:, 0]), 6, abs_tol=0.01)


def test_paper_is_drawn_finer_than_it_is() -> None:
    paper = Paper(30, 20, WHITE, np.random.default_rng(1))

    assert paper.image.size == (30 * FINE, 20 * FINE)
    assert paper.picture().size == (30, 20)


def test_a_script_without_a_font_is_named(font: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"no font has letters for .*japanese.*; add a package"):
        lettering.faces([font])


def test_words_come_from_their_script() -> None:
    random = np.random.default_rng(1)

    assert all(word in WORDS["thai"].split() for word in lettering.phrase("thai", 3, random).split())
    assert " " not in lettering.phrase("japanese", 3, random)


def test_a_sign_is_outlined_and_turned(font: Path) -> None:
    if not features.check("raqm"):
        pytest.skip("this build of Pillow has no raqm")
    paper = Paper(120, 80, (0, 0, 255), np.random.default_rng(1))
    lettering.sign(paper, "HI", Face(font, "latin"), (60, 40), 40, 20, fill=WHITE, edge=BLACK)
    page = Image.Image.getcolors(paper.picture(), 1 << 20)
    colours = {colour for _, colour in page or ()}

    assert {(255, 255, 255), (0, 0, 0), (0, 0, 255)} <= colours
