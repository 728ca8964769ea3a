"""The contact sheet of a degradation: what stands where, from which pictures, and when there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import CannotWrite, InvalidConfig, InvalidDataset, MissingDependency  # noqa: E402 (torch first)
from srgan.training import preview_degradation  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.degradation.bicubic import bicubic_down  # noqa: E402
from srgan.training.preview import CELL, ROWS, SAMPLES  # noqa: E402

Config = Callable[..., TrainConfig]
Pictures = Callable[..., Path]
WORN = {"kind": "second-order", "webp": 0.2, "shuffle": 0.2}
TOP, GAP = 40, 12


def drawn(config: TrainConfig, target: Path) -> NDArray[np.uint8]:
    preview_degradation(config, target)
    return np.asarray(Image.open(target).convert("RGB"))


def cells(sheet: NDArray[np.uint8], row: int, columns: int) -> list[NDArray[np.uint8]]:
    """The pictures of a row: found by the pixels, as the captions make rows of different height."""
    left = [GAP + column * (CELL + GAP) for column in range(columns)]
    inside = (sheet[:, left[0] : left[0] + CELL] != 255).any(axis=2).mean(axis=1) > 0.9
    tops = [y for y in range(1, len(inside)) if inside[y] and not inside[y - 1] and inside[y : y + CELL].all()]
    return [sheet[tops[row] : tops[row] + CELL, x : x + CELL] for x in left]


def repeated(picture: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    return picture.repeat(times, axis=0).repeat(times, axis=1)


@pytest.fixture
def distinct(tmp_path: Path) -> Path:
    """Eight pictures of one patch each, whose colours tell them apart. Nothing in them is white."""
    folder = tmp_path / "distinct"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(8):
        pixels = random.integers(0, 40, (32, 32, 3)) + np.array([20 * number, 100, 200 - 20 * number])
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def test_a_row_is_a_patch_its_clean_reduction_and_samples(make_config: Config, distinct: Path, tmp_path: Path) -> None:
    sheet = drawn(make_config(data__folders=[distinct], data__degradation=WORN), tmp_path / "sheet.png")

    assert sheet.shape[1] == (2 + SAMPLES) * (CELL + GAP) + GAP
    seen = set()
    for row in range(ROWS):
        high, clean, *samples = cells(sheet, row, 2 + SAMPLES)
        patch = high[::8, ::8]
        assert np.array_equal(high, repeated(patch, 8)), "32 pixels, eight times as large"
        (number,) = [n for n in range(8) if np.array_equal(patch, np.asarray(Image.open(distinct / f"{n}.png")))]
        seen.add(number)
        small = bicubic_down(torch.from_numpy(patch.copy()), 4).numpy()
        assert np.array_equal(clean, repeated(small, 32))
        for sample in samples:
            assert np.array_equal(sample, repeated(sample[::32, ::32], 32)), "8 pixels, as large as the patch"
            assert not np.array_equal(sample, clean)
        assert len({sample.tobytes() for sample in samples}) == SAMPLES
    assert len(seen) == ROWS, "each of another picture"


def test_without_wear_a_row_is_the_pair_and_an_enlargement(make_config: Config, distinct: Path, tmp_path: Path) -> None:
    sheet = drawn(make_config(data__folders=[distinct]), tmp_path / "sheet.png")

    assert sheet.shape[1] == 3 * (CELL + GAP) + GAP
    high, low, smooth = cells(sheet, 0, 3)
    small = bicubic_down(torch.from_numpy(high[::8, ::8].copy()), 4).numpy()
    assert np.array_equal(low, repeated(small, 32))
    assert np.abs(smooth.mean(axis=(0, 1)) - low.mean(axis=(0, 1))).max() < 3
    assert len(np.unique(smooth.reshape(-1, 3), axis=0)) > len(np.unique(low.reshape(-1, 3), axis=0))


def test_pairs_are_shown_as_they_were_given(make_config: Config, distinct: Path, tmp_path: Path) -> None:
    low_folder = tmp_path / "low"
    low_folder.mkdir()
    for path in distinct.iterdir():
        Image.new("RGB", (8, 8), (1, 2, 3)).save(low_folder / path.name)

    sheet = drawn(make_config(data__folders=[distinct], data__low_folders=[low_folder]), tmp_path / "sheet.png")

    assert (cells(sheet, 0, 3)[1] == (1, 2, 3)).all()


def test_it_follows_from_the_configuration_alone(make_config: Config, pictures: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data__folders": [pictures], "data__degradation": WORN}
    one, same, other = (
        drawn(make_config(seed=seed, **settings), tmp_path / name)
        for seed, name in ((1, "a.png"), (1, "b.png"), (2, "c.png"))
    )

    assert np.array_equal(one, same)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_few_pictures_come_again_with_other_patches(
    make_config: Config, make_pictures: Pictures, tmp_path: Path
) -> None:
    sheet = drawn(make_config(data__folders=[make_pictures((160, 160))]), tmp_path / "sheet.png")

    assert len({cells(sheet, row, 3)[0].tobytes() for row in range(ROWS)}) == ROWS


def test_a_large_patch_is_shown_in_part(make_config: Config, make_pictures: Pictures, tmp_path: Path) -> None:
    settings = {"data__folders": [make_pictures((600, 600))], "data__patch": 128, "data__tile": 512}
    assert drawn(make_config(**settings), tmp_path / "sheet.png").shape[1] == 3 * (CELL + GAP) + GAP


def test_pictures_that_cannot_be_used_are_named_once(
    make_config: Config, make_pictures: Pictures, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_pictures((64, 64), (30, 64))
    (folder / "bad.png").write_text("no picture")
    with caplog.at_level(logging.WARNING, "srgan"):
        drawn(make_config(data__folders=[folder]), tmp_path / "sheet.png")
    assert caplog.text.count("bad.png") == caplog.text.count("001.png: smaller than a patch") == 1

    (folder / "000.png").unlink()
    with pytest.raises(InvalidDataset, match="no picture can be used"):
        drawn(make_config(data__folders=[folder]), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_what_cannot_be_written_is_said_before_the_work(
    make_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.training.preview.find_pairs", lambda *_: pytest.fail("looked for pictures"))
    (tmp_path / "taken.png").write_bytes(b"mine")
    for name, kind, complaint in (
        ("taken.png", CannotWrite, "exists already; choose another place"),
        ("lost/sheet.png", CannotWrite, "does not exist"),
        ("sheet.xyz", InvalidConfig, "xyz"),
    ):
        with pytest.raises(kind, match=complaint):
            preview_degradation(make_config(), tmp_path / name)
    assert (tmp_path / "taken.png").read_bytes() == b"mine"


def test_without_torch_it_says_what_to_install(
    make_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.training.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"srgan\[train\]"):
        preview_degradation(make_config(), tmp_path / "sheet.png")
