"""Photograph or drawing, and the model that follows from it."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from srgan.errors import ModelNotFound
from srgan.imaging import Picture, read_picture
from srgan.imaging.resize import resize
from srgan.upscaler import choice
from srgan.upscaler.choice import BIAS, FEATURES, WEIGHTS, choose_model, features, kind_of

FLAT, EVEN, FLAT_INSIDE, CHROMA, PLAIN, TWO_TONED, PURE, FEW = range(len(FEATURES))


def picture(pixels: Any) -> Picture:
    values = np.asarray(pixels)
    values = values[..., None] if values.ndim == 2 else values
    if values.dtype == np.uint8:
        values = values / 255
    return Picture(pixels=values.astype(np.float32))


def photo(height: int = 300, width: int = 400) -> NDArray[np.float32]:
    """Soft shapes at all sizes, alike in all colours, and the noise of a sensor."""
    random = np.random.default_rng(4)
    total = np.zeros((height, width, 3), np.float32)
    for side in (3, 6, 12, 25, 50, 100):
        coarse = random.normal(0, 1, (side, side, 1)) + random.normal(0, 0.3, (side, side, 3))
        total += resize(coarse.astype(np.float32), height, width) / side**0.5
    total = 0.5 + 0.15 * total / total.std()
    return np.clip(total + random.normal(0, 0.02, total.shape), 0.03, 0.97).astype(np.float32)


def drawing(side: int = 400) -> Image.Image:
    """Coloured areas with black outlines, antialiased."""
    large = Image.new("RGB", (side * 4, side * 4), "skyblue")
    draw = ImageDraw.Draw(large)
    for index, colour in enumerate(("gold", "tomato", "seagreen", "plum", "sienna", "white")):
        x, y = 40 + 480 * (index % 3), 100 + 700 * (index // 3)
        box = [v * side // 400 for v in (x, y, x + 560, y + 640)]
        draw.ellipse(box, fill=colour, outline="black", width=side // 25)
    return large.resize((side, side), Image.Resampling.LANCZOS)


def lines() -> Image.Image:
    image = Image.new("L", (500, 350), 255)
    draw = ImageDraw.Draw(image)
    for x in range(0, 500, 17):
        draw.line((x, 0, 500 - x, 350), fill=0, width=2)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def test_a_photograph_is_one() -> None:
    kind, confidence = kind_of(picture(photo()))

    assert kind == "photo"
    assert 0.6 < confidence <= 1


@pytest.mark.parametrize("made", [drawing(), drawing(100), lines(), drawing().convert("L")])
def test_a_drawing_is_one(made: Image.Image) -> None:
    kind, confidence = kind_of(picture(made))

    assert kind == "drawing"
    assert 0.6 < confidence <= 1


@pytest.mark.parametrize("quality", [90, 75, 50])
def test_compression_does_not_turn_one_into_the_other(quality: int, tmp_path: Any) -> None:
    for wanted, image in (("photo", Image.fromarray((photo() * 255).astype(np.uint8))), ("drawing", drawing())):
        image.save(tmp_path / "a.jpg", quality=quality)

        assert kind_of(read_picture(tmp_path / "a.jpg"))[0] == wanted


def test_a_gray_photograph_stays_one() -> None:
    assert kind_of(picture(photo().mean(axis=2)))[0] == "photo"


def test_what_is_transparent_is_not_looked_at() -> None:
    """A photograph that was cut out lies in the middle of nothing."""
    whole = np.zeros((900, 900, 4), np.float32)
    whole[300:600, 200:600] = np.dstack((photo(), np.ones((300, 400), np.float32)))
    garbage = whole.copy()
    garbage[whole[..., 3] == 0, :3] = np.random.default_rng(1).random(3)

    assert kind_of(picture(whole))[0] == "photo"
    np.testing.assert_allclose(features(picture(whole)), features(picture(photo())), atol=1e-6)
    assert features(picture(garbage)) == features(picture(whole))


def test_a_wholly_transparent_picture_has_a_kind() -> None:
    assert kind_of(picture(np.zeros((50, 60, 4), np.float32)))[0] in ("photo", "drawing")


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (2, 2), (7, 9), (64, 65), (8, 300)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_any_channels(size: tuple[int, int], channels: int) -> None:
    values = np.random.default_rng(2).random((*size, channels), dtype=np.float32)

    found = features(picture(values))
    _, confidence = kind_of(picture(values))

    assert len(found) == len(FEATURES) == len(WEIGHTS)
    assert all(-7 < value < 7 for value in found)
    assert 0.5 <= confidence <= 1


def test_the_confidence_is_that_of_the_regression() -> None:
    for made in (photo(), drawing()):
        score = BIAS + sum(w * v for w, v in zip(WEIGHTS, features(picture(made)), strict=True))
        kind, confidence = kind_of(picture(made))

        assert (kind == "drawing") is (score > 0)
        assert confidence == pytest.approx(1 / (1 + math.exp(-abs(score))))


def test_each_figure_sees_what_it_is_named_after() -> None:
    of_photo, of_drawing, of_lines = (features(picture(made)) for made in (photo(), drawing(), lines()))

    for figure in (FLAT, EVEN, FLAT_INSIDE, PLAIN, TWO_TONED, FEW):
        assert of_drawing[figure] > of_photo[figure] + 1, FEATURES[figure]
    assert of_lines[PURE] > 0 > of_photo[PURE]
    assert of_lines[CHROMA] < of_drawing[CHROMA]


def test_white_paper_does_not_count_as_flat_inside() -> None:
    paper = np.full((300, 300, 3), 1, np.float32)
    paper[:60] = photo(60, 300)

    found = features(picture(paper))

    assert found[FLAT] > 1
    assert found[FLAT_INSIDE] < -2


def test_every_part_of_a_large_picture_has_a_say() -> None:
    large = np.tile(photo(500, 500), (4, 4, 1))
    before = features(picture(large))
    for row, column in ((0, 0), (0, 1936), (1936, 0), (1936, 1936), (624, 1290)):
        changed = large.copy()
        changed[row : row + 64, column : column + 64] = 0.5

        assert features(picture(changed)) != before


def test_is_quick_however_large_the_picture_is() -> None:
    large = picture(np.broadcast_to(np.float32(0.5), (6000, 6000, 3)))
    kind_of(large)
    start = time.process_time()
    kind_of(large)

    assert time.process_time() - start < 0.5  # some milliseconds where nothing else runs


class Bundles:
    """A stand-in for `find_model` that knows some scales of the family for drawings."""

    def __init__(self, *scales: int) -> None:
        self.scales = scales

    def __call__(self, name: str, scale: float | None = None) -> Any:
        if name != "artwork" or not self.scales:
            raise ModelNotFound(name)
        reaching = [one for one in sorted(self.scales) if one >= (scale or 4)]
        info = type("Info", (), {"scale": reaching[0] if reaching else max(self.scales)})
        return type("Bundle", (), {"info": info})


@pytest.mark.parametrize(
    ("scales", "wanted", "chosen"),
    [((2, 4), 2, "artwork"), ((4,), 2, "artwork"), ((4,), None, "artwork"), ((2,), None, "artwork"),
     ((4,), 9, "artwork"), ((2,), 4, "fast"), ((), 4, "fast"), ((), None, "fast")],
)  # fmt: skip
def test_a_drawing_gets_its_model_where_there_is_one(
    scales: tuple[int, ...], wanted: float | None, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "find_model", Bundles(*scales))

    assert choose_model(picture(drawing()), wanted) == chosen


def test_a_photograph_gets_the_everyday_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_model", Bundles(2, 4))

    assert choose_model(picture(photo()), 2) == "fast"


def test_the_log_says_what_was_chosen_and_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="srgan")
    monkeypatch.setattr(choice, "find_model", Bundles())

    choose_model(picture(drawing()), 4)
    choose_model(picture(photo()), 4)

    sure = f"{kind_of(picture(drawing()))[1]:.0%} sure"
    assert f"a drawing ({sure}); there is no model 'artwork' for it, so 'fast' is used" in caplog.messages[0]
    assert "a photograph (" in caplog.messages[1]
    assert caplog.messages[1].endswith("model 'fast'")


@pytest.mark.parametrize(("folder", "least"), [("eval/BSD100", 0.85)])
def test_photographs_that_the_weights_have_never_seen(folder: str, least: float, data_folder: Any) -> None:
    kinds = [kind_of(read_picture(path))[0] for path in sorted(data_folder(folder).glob("*.png"))]

    assert kinds.count("photo") >= least * len(kinds)
