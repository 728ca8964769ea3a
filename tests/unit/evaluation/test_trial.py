"""A trial: the pictures, their inputs and the names of what is kept, the same for every model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import CannotWrite, InvalidConfig, InvalidDataset, InvalidImage
from srgan.evaluation import PROTOCOL, Degraded, LowFolder, Results, Trial, evaluate, record_quality
from srgan.imaging import Limits, Picture, from_uint8, read_picture, resize, to_uint8, write_picture
from srgan.metrics import psnr
from srgan.models import ModelInfo, write_bundle
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler

Draw = Callable[..., NDArray[np.float32]]


def test_a_case_is_the_cropped_reference_and_its_input_in_8_bit(folder: Path) -> None:
    trial = Trial(folder)
    assert [path.name for path in trial.paths] == ["a.png", "b.png", "c.png"]
    case = trial.case(folder / "c.png", 4)
    assert (case.truth.shape, case.small.shape, case.bicubic().shape) == ((48, 44, 3), (12, 11, 3), (48, 44, 3))
    assert np.array_equal(case.truth, read_picture(folder / "c.png").pixels[:48, :44])
    for pixels in (case.truth, case.small, case.bicubic()):
        assert np.array_equal(pixels, from_uint8(to_uint8(pixels)))
    assert np.allclose(case.bicubic(), np.clip(resize(case.small, 48, 44), 0, 1), atol=0.5 / 255 + 1e-6)


def test_the_same_trial_gives_the_same_figures_as_evaluate_at_any_scale(folder: Path) -> None:
    trial = Trial(folder, metrics=["consistency"])
    for scale in (2, 4, 2):
        once, alone = (
            trial.score(NearestSession(scale)),
            evaluate(NearestSession(scale), folder, metrics=["consistency"]),
        )
        assert once.scale == scale
        for a, b in zip(once.scores, alone.scores, strict=True):
            assert (a.psnr, a.baseline_psnr, a.more, a.baseline_more) == (
                b.psnr,
                b.baseline_psnr,
                b.more,
                b.baseline_more,
            )


def test_only_the_first_pictures(folder: Path) -> None:
    assert [path.name for path in Trial(folder, first=2).paths] == ["a.png", "b.png"]
    assert len(Trial(folder, first=2).score(NearestSession(2)).scores) == 2


def test_pictures_that_are_too_small_or_too_large_have_no_case(folder: Path) -> None:
    with pytest.raises(InvalidImage, match="47 x 50 pixels are too few for x16, which needs at least 48 per side"):
        Trial(folder).case(folder / "c.png", 16)
    with pytest.raises(Exception, match=r"c\.png"):
        Trial(folder, limits=Limits(max_pixels=100)).case(folder / "c.png", 2)
    with pytest.raises(
        InvalidImage, match="47 x 50 pixels are too few for niqe-photos at x2, which needs at least 96 per side"
    ):
        Trial(folder, metrics=["grid", "niqe-photos"]).case(folder / "c.png", 2)
    with pytest.raises(InvalidImage, match="too few for grid at x9, which needs at least 72 per side"):
        Trial(folder, metrics=["grid"]).case(folder / "c.png", 9)


def test_what_is_kept_has_names_that_tell_pictures_apart(folder: Path, tmp_path: Path, draw: Draw) -> None:
    write_picture(Picture(pixels=draw(40, 40)), folder / "a.bmp")
    trial = Trial(folder)
    assert trial.target(tmp_path, folder / "a.bmp", 2) == tmp_path / "a.bmp_x2.png"
    assert trial.target(tmp_path, folder / "b.png", 3) == tmp_path / "b_x3.png"
    trial.write_inputs(tmp_path / "low", 2)
    assert sorted(p.name for p in (tmp_path / "low").iterdir()) == ["a.bmp.png", "a.png.png", "b.png", "c.png"]


def test_kept_results_of_pictures_that_differ_in_suffix_only_are_found_again(
    folder: Path, tmp_path: Path, draw: Draw
) -> None:
    write_picture(Picture(pixels=draw(64, 64, seed=7)), folder / "a.bmp")
    made = evaluate(NearestSession(2), folder, save=tmp_path / "kept")
    found = evaluate(Results(tmp_path / "kept", scale=2), folder)
    assert [score.psnr for score in found.scores] == [score.psnr for score in made.scores]


def test_inputs_are_kept_as_the_model_sees_them(folder: Path, tmp_path: Path) -> None:
    trial = Trial(folder, inputs=Degraded("mixed", 1))
    trial.write_inputs(tmp_path / "low", 2)
    for path in trial.paths:
        assert np.array_equal(read_picture(tmp_path / "low" / path.name).pixels, trial.case(path, 2).small)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWrite):
        trial.write_inputs(tmp_path / "file" / "low", 2)


def test_no_folder_that_is_read_from_is_written_to(folder: Path, tmp_path: Path) -> None:
    low, made = tmp_path / "low", tmp_path / "made"
    Trial(folder).write_inputs(low, 2)
    evaluate(NearestSession(2), folder, save=made)
    (tmp_path / "link").symlink_to(folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    trial = Trial(folder, inputs=LowFolder(low))

    for place in (folder, tmp_path / "link", low):
        with pytest.raises(CannotWrite, match="this is an input folder"):
            trial.write_inputs(place, 2)
        with pytest.raises(CannotWrite, match="this is an input folder"):
            trial.score(NearestSession(2), save=place)
    with pytest.raises(CannotWrite, match="this is an input folder"):
        trial.score(Results(made, scale=2), save=made)

    with pytest.raises(CannotWrite, match="made: this is an input folder"):
        trial.make_folders([tmp_path / "new", made], [made])
    assert not (tmp_path / "new").exists()
    trial.make_folders([tmp_path / "new" / "one", made])
    assert (tmp_path / "new" / "one").is_dir()

    assert {path: path.read_bytes() for path in before} == before


def test_no_picture_is_replaced_through_a_link(folder: Path, tmp_path: Path) -> None:
    """Writing follows links, so both what is read and what is written may lie elsewhere than it seems."""
    linked, kept = tmp_path / "linked", tmp_path / "kept"
    for place, name in ((linked, "b.png"), (kept, "b_x2.png")):
        place.mkdir()
        (place / name).symlink_to(folder / "b.png")
    before = (folder / "b.png").read_bytes()
    for references, place in ((linked, folder), (folder, kept)):
        with pytest.raises(CannotWrite, match=f"{place.name}: this is an input folder"):
            evaluate(NearestSession(2), references, save=place)
    assert (folder / "b.png").read_bytes() == before
    (kept / "b_x2.png").unlink()
    (kept / "notes").symlink_to(tmp_path)
    evaluate(NearestSession(2), folder, save=kept)
    assert (kept / "b_x2.png").is_file()


@pytest.mark.parametrize("scale", [0.5, 1, 2.5])
def test_inputs_are_not_written_at_a_scale_that_is_not_scored(scale: float, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=f"not {scale:g}"):
        Trial(folder).write_inputs(tmp_path / "low", scale)
    assert not (tmp_path / "low").exists()


def test_gray_references_are_degraded_and_enlarged_as_gray(tmp_path: Path, draw: Draw) -> None:
    write_picture(Picture(pixels=draw(48, 48, 1)), tmp_path / "gray.png")
    trial = Trial(tmp_path, inputs=Degraded("mixed"))
    case = trial.case(tmp_path / "gray.png", 2)
    assert case.small.shape == (24, 24, 1)
    (score,) = trial.score(NearestSession(2)).scores
    enlarged = case.small.repeat(2, 0).repeat(2, 1)
    assert score.psnr == pytest.approx(psnr(enlarged, case.truth, border=2), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"metrics": ["beauty"]}, InvalidConfig, "no metric called beauty"),
        ({"hr_folder": "nowhere"}, InvalidDataset, "nowhere: cannot be read"),
        ({"metrics": ["niqe"]}, InvalidConfig, "authors' model of pristine pictures is not shipped: niqe-photos"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_any_model_is_asked(
    arguments: dict[str, Any], error: type[Exception], said: str, folder: Path
) -> None:
    with pytest.raises(error, match=said):
        Trial(**({"hr_folder": folder} | arguments))


def test_results_are_scored_at_a_whole_scale_only(folder: Path) -> None:
    for model in (Results(folder, scale=2.5), Upscaler(NearestSession(4), scale=2.5)):
        with pytest.raises(InvalidConfig, match=r"not 2\.5"):
            Trial(folder).score(model)


def test_figures_on_other_inputs_do_not_go_into_a_bundle(folder: Path, tmp_path: Path) -> None:
    info = ModelInfo(name="nearest", network="none", scale=2, radius=0)
    bundle = write_bundle(tmp_path / "bundle", info, {"model.onnx": b"weights"})
    spoilt = evaluate(NearestSession(2), folder, inputs=Degraded("jpeg"))
    with pytest.raises(InvalidConfig, match="other inputs than those of the protocol"):
        record_quality(bundle.path, spoilt)
    clean = evaluate(NearestSession(2), folder)
    assert clean.protocol == PROTOCOL
    assert record_quality(bundle.path, clean).info.quality[0].pictures == 3
