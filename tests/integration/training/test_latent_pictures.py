"""Squares in memory: what is read of a picture, which are held out, and what is augmented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="pictures are tensors")

from srgan.errors import InvalidDataset  # noqa: E402 (torch first: without it nothing here can be imported)
from srgan.training import TrainConfig  # noqa: E402
from srgan.training.gan_losses import gradient_penalty  # noqa: E402
from srgan.training.latent.augmentation import augmented  # noqa: E402
from srgan.training.latent.pictures import (  # noqa: E402
    large_squares,
    read_square,
    read_squares,
    reduced,
    small_squares,
)
from srgan.training.latent.settings import LatentConfig  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """``folder(name, count, side)``: flat pictures whose red is their number."""

    def make(name: str, count: int, side: int = 64) -> Path:
        for number in range(count):
            path = tmp_path / name / f"class{number % 2}" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (side, side), (number, 0, side % 256)).save(path)
        return tmp_path / name

    return make


def config(folder: Path, **values: Any) -> LatentConfig:
    made = TrainConfig.model_validate({"recipe": "latent", "data": {"folders": [folder]}, **values})
    assert isinstance(made, LatentConfig)
    return made


def reds(pictures: Any) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in pictures]


def test_the_middle_square_is_reduced_by_area(tmp_path: Path) -> None:
    pixels = np.zeros((128, 200, 3), np.uint8)
    pixels[:, 36:164] = 100
    pixels[::2, 36:164] = 50
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    square = read_square(tmp_path / "wide.png", 64)
    assert (square.shape, square.dtype) == ((3, 64, 64), torch.uint8)
    assert square.unique().tolist() == [75]
    assert reduced(torch.full((1, 3, 512, 512), 9, dtype=torch.uint8)).shape == (1, 3, 64, 64)


def test_what_cannot_be_used_is_left_out_and_said(
    folder: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small, broken = folder("small", 1, 60), tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    good = sorted(folder("good", 3).rglob("*.png"))
    paths = [good[0], *small.rglob("*.png"), good[1], broken, good[2]]
    assert reds(read_squares(paths, 64)) == [0, 2, 1]
    assert "60 x 60 pixels are less than the 64 needed" in caplog.text
    assert "broken.png" in caplog.text
    with pytest.raises(InvalidDataset, match="none of 1 pictures can be used"):
        read_squares([broken], 64)


def test_transparent_parts_lie_on_white_and_gray_is_repeated(tmp_path: Path) -> None:
    """As where the model encodes a picture. What a file hides behind full transparency counts for nothing."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:20] = (255, 0, 0, 255)
    pixels[20:40] = (0, 0, 0, 51)
    Image.fromarray(pixels).save(tmp_path / "sticker.png")
    square = read_square(tmp_path / "sticker.png", 64)
    assert [square[:, row, 0].tolist() for row in (0, 30, 50)] == [[255, 0, 0], [204] * 3, [255] * 3]
    picture = Image.new("LA", (128, 128), (77, 255))
    picture.save(tmp_path / "gray.png")
    assert read_square(tmp_path / "gray.png", 64).unique().tolist() == [77]


def test_too_few_that_can_be_used_are_refused_however_many_files_there_are(folder: Callable[..., Path]) -> None:
    pictures = folder("all", 10)
    for number in range(30):
        (pictures / f"broken{number:02d}.png").write_bytes(b"no picture")
    with pytest.raises(InvalidDataset, match=r"data\.folders: \d pictures to train on and \d held out are too few"):
        small_squares(config(pictures, validation={"held_out": 0.5}))
    with pytest.raises(InvalidDataset, match="4 pictures to train on and 8 held out are too few"):
        small_squares(config(folder("few", 12)))


def test_pictures_that_are_all_the_same_are_refused(folder: Callable[..., Path], tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for number in range(20):
        Image.new("RGB", (64, 64), (9, 9, 9)).save(copies / f"{number}.png")
    with pytest.raises(InvalidDataset, match="the 12 pictures to train on are all the same"):
        small_squares(config(copies))
    with pytest.raises(InvalidDataset, match="the 20 pictures held out are all the same"):
        small_squares(config(folder("all", 10), validation={"folder": copies}))


def test_a_share_is_held_out_by_the_seed(folder: Callable[..., Path]) -> None:
    pictures = folder("all", 40)
    one, other = small_squares(config(pictures)), small_squares(config(pictures, seed=1))
    assert (len(one.training), len(one.held_out)) == (32, 8), "at least eight"
    assert {*reds(one.training), *reds(one.held_out)} == set(range(40))
    assert reds(small_squares(config(pictures)).held_out) == reds(one.held_out) != reds(other.held_out)


def test_a_folder_of_held_out_pictures_is_taken_as_it_is(folder: Callable[..., Path]) -> None:
    squares = small_squares(config(folder("all", 20), validation={"folder": folder("held", 12), "max_pictures": 10}))
    assert (len(squares.training), len(squares.held_out)) == (20, 10)


def test_the_refiner_takes_what_is_large_enough(folder: Callable[..., Path]) -> None:
    folder("all/large", 16, 512)
    squares = large_squares(config(folder("all", 10)))
    assert (squares.training.shape, len(squares.held_out)) == ((8, 3, 512, 512), 8)


# ------------------------------------------------------------------------------------------------------ augmentation


def batch() -> Any:
    return torch.rand((4, 3, 32, 32), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("policy", ["colour", "translation", "cutout"])
def test_each_augmentation_changes_pictures_and_lets_gradients_through(policy: str) -> None:
    pictures = batch().requires_grad_()
    seen = augmented(pictures, [policy], torch.Generator().manual_seed(1))
    assert seen.shape == pictures.shape
    assert all(not torch.equal(a, b) for a, b in zip(seen, pictures, strict=True))
    seen.sum().backward()
    assert pictures.grad.abs().sum() > 0
    again = augmented(pictures, [policy], torch.Generator().manual_seed(1))
    assert torch.equal(again, seen)


def test_without_a_policy_nothing_is_drawn() -> None:
    random, pictures = torch.Generator().manual_seed(1), batch()
    before = random.get_state()
    assert augmented(pictures, [], random) is pictures
    assert torch.equal(random.get_state(), before)


def test_a_cut_is_a_quarter_at_most_and_a_shift_an_eighth() -> None:
    ones = torch.ones(50, 3, 32, 32)
    kept = augmented(ones, ["cutout"], torch.Generator().manual_seed(1)).mean((1, 2, 3))
    assert 0.7 < kept.min() < 0.78
    assert kept.max() < 1
    moved = augmented(ones, ["translation"], torch.Generator().manual_seed(1)).mean((1, 2, 3))
    assert moved.min() >= (7 / 8) ** 2


def test_colours_keep_edges_where_they_are() -> None:
    pictures = torch.zeros(8, 3, 16, 16)
    pictures[..., 8:] = 0.5
    seen = augmented(pictures, ["colour"], torch.Generator().manual_seed(1))
    steps = (seen[..., 1:] - seen[..., :-1]).abs().mean((0, 1, 2))
    assert steps.argmax() == 7
    assert steps[[0, 3, 12]].max() < 1e-6


# -------------------------------------------------------------------------------------------------- penalty on codes


def test_the_gradient_penalty_is_one_of_each_code() -> None:
    """On vectors as on pictures: for a linear critic of slope 3 it is (3 - 1)^2 wherever it is taken."""
    direction = torch.zeros(10)
    direction[4] = 3.0
    real, made = torch.randn(6, 10), torch.randn(6, 10)
    penalty = gradient_penalty(lambda codes: (codes @ direction)[:, None], real, made, torch.Generator().manual_seed(1))
    assert penalty.item() == pytest.approx(4.0)


def test_each_code_has_a_place_of_its_own_on_its_line() -> None:
    seen: list[Any] = []

    def critic(between: Any) -> Any:
        seen.append(between.detach())
        return between.sum(1, keepdim=True)

    gradient_penalty(critic, torch.ones(5, 3), torch.zeros(5, 3), torch.Generator().manual_seed(1))
    assert torch.allclose(seen[0], seen[0][:, :1].expand(5, 3)), "one share for all numbers of a code"
    assert len(seen[0][:, 0].unique()) == 5
