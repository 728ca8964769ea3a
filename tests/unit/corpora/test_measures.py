"""What pictures are sorted by: sharpness, emptiness, JPEG's quality, likeness, licence."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance
from scripts.corpora.licences import Licences
from scripts.corpora.listing import Package
from scripts.corpora.measures import SOFT, Seen, jpeg_quality, softness, spread

from .conftest import COPYRIGHT, as_bytes, noisy

PACKAGE = Package(registry="debian", version="1", sha256="0" * 64, licence="usual", author="somebody")


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 95])
def test_the_quality_of_a_jpeg_is_read_from_its_table(quality: int) -> None:
    opened = Image.open(io.BytesIO(as_bytes(noisy(1), "jpeg", quality=quality)))

    assert abs(jpeg_quality(opened) - quality) <= 1
    assert jpeg_quality(noisy(1)) == 100


def test_an_enlarged_picture_is_soft_and_a_flat_margin_does_not_matter() -> None:
    sharp = noisy(1, 256, 256)
    enlarged = sharp.resize((1024, 1024), Image.Resampling.BICUBIC)
    sheet = Image.new("RGB", (1024, 1024), "white")
    sheet.paste(sharp, (64, 64))

    assert softness(sharp) < SOFT - 10
    assert softness(enlarged) > SOFT
    assert softness(sheet) < SOFT - 10
    assert softness(Image.new("RGB", (64, 64), "white")) == 99


def test_an_empty_page_has_no_spread() -> None:
    assert spread(Image.new("RGB", (40, 40), "red")) == 0
    assert spread(noisy(1)) > 10


def test_a_picture_is_known_again_resized_packed_lightened_or_mirrored() -> None:
    seen = Seen()
    for number in range(30):
        seen.add(str(number), noisy(number))
    picture = noisy(7)

    assert seen.twin(picture.resize((431, 300), Image.Resampling.LANCZOS)) == "7"
    assert seen.twin(Image.open(io.BytesIO(as_bytes(picture, "jpeg", quality=20)))) == "7"
    assert seen.twin(ImageEnhance.Brightness(picture).enhance(0.6)) == "7"
    assert seen.twin(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == "7"
    assert seen.twin(picture.crop((0, 24, 200, 136))) == "7"  # 16:9
    assert seen.twin(noisy(99)) == ""
    assert Seen().twin(picture) == ""


def licences(folder: Path, text: str) -> Licences:
    target = folder / "usr" / "share" / "doc" / "game" / "copyright"
    target.parent.mkdir(parents=True)
    target.write_text(text)
    return Licences("game", PACKAGE, folder)


def test_the_last_paragraph_that_fits_counts(tmp_path: Path) -> None:
    known = licences(tmp_path, COPYRIGHT)

    assert known.of("usr/share/games/game/images/land/new.png").name == "CC-BY-SA-4.0"
    assert known.of("usr/share/games/game/images/land/old3.png").name == "public-domain"
    assert known.of("usr/share/games/game/images/sky/old3.png").name == "usual"
    assert known.of("usr/share/games/game/images/sky/old3.png").author == "somebody"


def test_a_text_for_people_alone_says_nothing(tmp_path: Path) -> None:
    assert licences(tmp_path, "This package was made by hand.\n\nFiles: *\nLicense: X\n").of("a.png").name == "usual"
    assert Licences("other", PACKAGE, tmp_path).of("a.png").name == "usual"
