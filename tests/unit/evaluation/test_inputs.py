"""What is enlarged: made small, spoilt the same way each time, or found in a folder; and finished results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import InvalidConfig, InvalidDataset
from srgan.evaluation import PROTOCOL, Degraded, LowFolder, Results, Shrunk, Trial, evaluate
from srgan.imaging import DEGRADATIONS, Limits, Picture, from_uint8, read_picture, resize, to_uint8, write_picture
from srgan.metrics import psnr
from srgan.testing import NearestSession

Draw = Callable[..., NDArray[np.float32]]


def small(name: str, picture: NDArray[np.float32], *, file: str = "a.png", seed: int = 0) -> NDArray[np.float32]:
    return Degraded(name, seed).small(Path(file), to_uint8(picture), 4, Limits())


def lost(name: str, picture: NDArray[np.float32], **how: Any) -> float:
    """Decibels by which a degraded input differs from one that was made small and no more."""
    return psnr(small(name, picture, **how), Shrunk().small(Path(), to_uint8(picture), 4, Limits()))


# ---- degraded


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_every_degradation_is_seen_and_keeps_size_and_8_bit(name: str, draw: Draw) -> None:
    for channels in (1, 3):
        picture = draw(80, 64, channels)
        spoilt = small(name, picture)
        assert (spoilt.shape, spoilt.dtype) == ((20, 16, channels), np.float32)
        assert np.array_equal(spoilt, from_uint8(to_uint8(spoilt)))
        assert 10 < lost(name, picture) < 45


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_depends_on_the_name_and_the_seed_alone(name: str, draw: Draw) -> None:
    picture = draw(80, 64)
    first = small(name, picture, file="here/a.png")
    assert np.array_equal(first, small(name, picture, file="elsewhere/a.jpg"))
    assert not np.array_equal(first, small(name, picture, file="b.png"))
    assert not np.array_equal(first, small(name, picture, seed=1))


def test_strengths_stay_within_what_is_said() -> None:
    """Measured on what shows each best: an edge for blur, a flat picture for noise."""
    flat = np.full((400, 400, 1), 0.5, np.float32)
    deviations = [float(small("noise", flat, seed=seed).std() * 255) for seed in range(20)]
    assert 4.5 < min(deviations) < 9
    assert 16 < max(deviations) < 20.5
    edge = np.zeros((64, 256, 1), np.float32)
    edge[:, 128:] = 1
    for seed in range(5):
        line = small("blur", edge, seed=seed)[8, :, 0]
        steps = np.clip(np.diff(line), 0, None)
        place = np.arange(len(steps))
        middle = (steps * place).sum() / steps.sum()
        sigma = np.sqrt((steps * (place - middle) ** 2).sum() / steps.sum())
        assert 0.4 < sigma < 1.15


def test_blur_keeps_brightness_up_to_the_border() -> None:
    flat = np.full((40, 40, 3), 100 / 255, np.float32)
    assert np.allclose(small("blur", flat), 100 / 255, atol=1e-6)


def test_the_mixture_is_worse_than_its_jpeg_alone(draw: Draw) -> None:
    picture = draw(160, 160)
    losses = [(lost("mixed", picture, seed=seed), lost("jpeg", picture, seed=seed)) for seed in range(5)]
    assert all(mixed < alone - 0.3 for mixed, alone in losses)


def test_an_unknown_degradation_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidConfig, match=r"no degradation 'rain'.*blur, noise, jpeg, mixed"):
        Degraded("rain")


def test_the_report_says_how_inputs_were_spoilt_and_both_sides_get_the_same(folder: Path) -> None:
    plain, spoilt = (evaluate(NearestSession(2), folder, inputs=inputs) for inputs in (None, Degraded("mixed", 7)))
    assert plain.protocol == PROTOCOL
    assert "degraded (mixed, seed 7): blurred" in spoilt.protocol
    assert "JPEG quality 40 to 70" in spoilt.protocol
    for before, after in zip(plain.scores, spoilt.scores, strict=True):
        assert after.psnr < before.psnr - 0.1
        assert after.baseline_psnr < before.baseline_psnr - 0.1


# ---- found in a folder


def kept_inputs(folder: Path, inputs: Path) -> Path:
    Trial(folder).write_inputs(inputs, 2)
    return inputs


def test_inputs_that_were_kept_give_the_same_figures_when_they_are_given_back(folder: Path, tmp_path: Path) -> None:
    inputs = kept_inputs(folder, tmp_path / "inputs")
    assert sorted(path.name for path in inputs.iterdir()) == ["a.png", "b.png", "c.png"]
    expected, found = (evaluate(NearestSession(2), folder, inputs=i) for i in (None, LowFolder(inputs)))
    assert [score.psnr for score in found.scores] == [score.psnr for score in expected.scores]
    assert "low resolution from inputs" in found.protocol


def test_inputs_that_cannot_be_read_are_left_out_of_the_kept_ones(folder: Path, tmp_path: Path) -> None:
    (folder / "d.png").write_bytes(b"no picture")
    assert len(list(kept_inputs(folder, tmp_path / "inputs").iterdir())) == 3


@pytest.mark.parametrize("name", ["{}x2.png", "{}_x2.bmp", "{}.PNG"])
def test_inputs_may_be_named_in_the_usual_ways(name: str, folder: Path, tmp_path: Path) -> None:
    for path in list(kept_inputs(folder, tmp_path / "inputs").iterdir()):
        write_picture(read_picture(path), path.with_name("new" + name.format(path.stem)), overwrite=True)
        path.unlink()
    for path in list((tmp_path / "inputs").iterdir()):
        path.rename(path.with_name(path.name.removeprefix("new")))
    assert evaluate(NearestSession(2), folder, inputs=LowFolder(tmp_path / "inputs")).failures == ()


def test_inputs_that_do_not_belong_are_failures_with_a_reason(folder: Path, tmp_path: Path, draw: Draw) -> None:
    inputs = kept_inputs(folder, tmp_path / "inputs")
    (inputs / "a.png").unlink()
    write_picture(Picture(pixels=draw(20, 20)), inputs / "b.png", overwrite=True)
    report = evaluate(NearestSession(2), folder, inputs=LowFolder(inputs))
    reasons = {failure.name: failure.reason for failure in report.failures}
    assert set(reasons) == {"a.png", "b.png"}
    assert "nothing matches a.png; expected one of a, ax2, a_x2" in reasons["a.png"]
    assert "b.png: 20 x 20 pixels, but b.png at x2 needs" in reasons["b.png"]

    write_picture(read_picture(inputs / "c.png"), inputs / "c_x2.png")
    (folder / "a.png").unlink()
    (folder / "b.png").unlink()
    with pytest.raises(InvalidDataset, match=r"c\.png and c_x2\.png match c\.png"):
        evaluate(NearestSession(2), folder, inputs=LowFolder(inputs))


def test_folders_that_cannot_be_read_are_refused_at_once(tmp_path: Path) -> None:
    for kind in (LowFolder, Results):
        with pytest.raises(InvalidDataset, match="nowhere: cannot be read"):
            kind(tmp_path / "nowhere")


# ---- finished results


def test_finished_results_get_the_figures_of_the_model_that_made_them(folder: Path, tmp_path: Path) -> None:
    made = evaluate(NearestSession(2), folder, save=tmp_path / "kept", metrics=["consistency"])
    found = evaluate(Results(tmp_path / "kept", scale=2), folder, metrics=["consistency"])
    assert (found.model, found.backend, found.scale, found.seconds) == ("kept", "files", 2, None)
    for before, after in zip(made.scores, found.scores, strict=True):
        assert (after.psnr, after.ssim, after.more) == (before.psnr, before.ssim, before.more)
        assert after.seconds is None
    assert evaluate(Results(tmp_path / "kept", scale=2, label="peer"), folder).model == "peer"


def test_a_missing_result_is_a_failure(folder: Path, tmp_path: Path) -> None:
    evaluate(NearestSession(2), folder, save=tmp_path)
    (tmp_path / "b_x2.png").unlink()
    report = evaluate(Results(tmp_path, scale=2), folder)
    assert [failure.name for failure in report.failures] == ["b.png"]
    assert len(report.scores) == 2


def test_gray_pictures_may_come_back_as_colour_and_colour_as_gray(tmp_path: Path, draw: Draw) -> None:
    """A program that knows no gray is judged by the same figures."""
    references, results = tmp_path / "references", tmp_path / "results"
    for path in (references, results):
        path.mkdir()
    gray = draw(48, 48, 1)
    result = from_uint8(to_uint8(resize(resize(gray, 24, 24), 48, 48)))
    write_picture(Picture(pixels=gray), references / "one.png")
    write_picture(Picture(pixels=result.repeat(3, axis=2)), results / "one.png")
    write_picture(Picture(pixels=gray.repeat(3, axis=2)), references / "two.png")
    write_picture(Picture(pixels=result), results / "two.png")
    one, two = evaluate(Results(results, scale=2), references, metrics=["consistency"]).scores
    assert one.psnr == pytest.approx(two.psnr, abs=1e-9)
    assert one.more["consistency"] == pytest.approx(two.more["consistency"], abs=1e-6)
    assert one.psnr == pytest.approx(psnr(result, gray, border=2), abs=1e-9)
