"""Pieces of the validation pictures, to look at while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.imaging import from_uint8, resize, to_uint8  # noqa: E402 (torch first: without it nothing here can run)
from srgan.networks import build  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.degradation.bicubic import bicubic_down  # noqa: E402
from srgan.training.picture_settings import ValidationSection  # noqa: E402
from srgan.training.samples import GAP, SIDE, sample_sheet  # noqa: E402
from srgan.training.validation import Validator  # noqa: E402

Config = Callable[..., TrainConfig]
Pictures = Callable[..., Path]


def busy(height: int, width: int, top: int, left: int) -> np.ndarray:
    """Gray with a noisy square of 160 pixels."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[top : top + 160, left : left + 160] = np.random.default_rng(0).integers(0, 256, (160, 160, 3))
    return pixels


@pytest.mark.parametrize(("name", "options"), [("fast", {"width": 16, "blocks": 1}), ("turbo", {"depth": 1})])
def test_a_row_shows_the_busiest_piece_as_a_run_of_the_whole_picture_makes_it(
    name: str, options: dict[str, int]
) -> None:
    pixels = busy(400, 480, 192, 144)
    low = bicubic_down(torch.from_numpy(pixels), 4)
    torch.manual_seed(0)
    network = build(name, 4, **options).deploy()
    with torch.no_grad():
        network.head.conv.weight.mul_(20)
        batch = low.permute(2, 0, 1)[None].float() / 255
        whole = to_uint8(network(batch)[0].permute(1, 2, 0).numpy().copy())
    enlarged = to_uint8(resize(from_uint8(low.numpy()), 400, 480))

    sheet = sample_sheet(network, [(low, from_uint8(pixels))], torch.device("cpu"))

    assert sheet.shape == (SIDE, 3 * SIDE + 2 * GAP, 3)
    bicubic, output, original = (sheet[:, k * (SIDE + GAP) :][:, :SIDE] for k in range(3))
    y, x = 192, 144
    assert np.array_equal(original, pixels[y : y + SIDE, x : x + SIDE])
    assert np.array_equal(bicubic, enlarged[y : y + SIDE, x : x + SIDE])
    assert np.abs(output.astype(int) - whole[y : y + SIDE, x : x + SIDE]).max() <= 1
    assert not np.array_equal(output, bicubic)
    assert (sheet[:, SIDE : SIDE + GAP] == 255).all()


def test_small_pictures_and_sizes_that_differ_stand_below_each_other(make_pictures: Pictures) -> None:
    folder = make_pictures((240, 300), (40, 44), (300, 90))
    validator = Validator(ValidationSection(folder=folder), scale=2)
    network = build("turbo", 2, width=16, depth=1).deploy()

    sheet = validator.samples(network, torch.device("cpu"), 9)

    widths = [SIDE, 44, 90]
    assert sheet.shape == (SIDE + 40 + SIDE + 2 * GAP, 3 * SIDE + 2 * GAP, 3)
    assert (sheet[SIDE + GAP : SIDE + GAP + 40, 3 * widths[1] + 2 * GAP :] == 255).all()
    assert validator.samples(network, torch.device("cpu"), 1).shape[0] == SIDE


@pytest.mark.usefixtures("quick_export")
def test_each_validation_leaves_a_picture(make_config: Config, pictures: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = make_config(
        steps=20,
        validation__folder=pictures,
        validation__every=10,
        output={"runs": make_config().output.runs, "name": "shown", "samples": 2},
    )
    train(config)

    folder = config.output.runs / "shown" / "001"
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["step-00000010.png", "step-00000020.png"]
    first, second = (np.asarray(Image.open(path)) for path in sorted((folder / "samples").iterdir()))
    assert first.shape == (2 * 144 + GAP, 3 * SIDE + 2 * GAP, 3)
    middle = np.s_[:144, SIDE + GAP : 2 * SIDE + GAP]
    assert not np.array_equal(first[middle], second[middle]), "the network has learnt between them"
    assert np.array_equal(first[:144, :SIDE], second[:144, :SIDE])
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Images("bicubic, output, original")] == [10, 20]


@pytest.mark.usefixtures("quick_export")
def test_none_are_made_when_none_are_wanted(make_config: Config, pictures: Path) -> None:
    config = make_config(steps=10, validation__folder=pictures, validation__every=10)
    train(config)
    assert not (config.output.runs / "tiny" / "001" / "samples").exists()
