"""`evaluate` on the real benchmark pictures: what the literature says of bicubic must come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from srgan.evaluation import evaluate
from srgan.imaging import read_picture
from srgan.runtime import open_session


@pytest.mark.parametrize(("scale", "decibel", "similarity"), [(2, 33.68, 0.9305), (4, 28.43, 0.8113)])
def test_bicubic_on_set5(
    scale: int, decibel: float, similarity: float, data_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    report = evaluate(open_session("bicubic", scale=scale), data_folder("eval/Set5"), save=tmp_path)
    assert [score.name for score in report.scores] == ["baby.png", "bird.png", "butterfly.png", "head.png", "woman.png"]
    assert report.failures == ()
    assert report.psnr.value == pytest.approx(decibel, abs=0.006)
    assert report.ssim.value == pytest.approx(similarity, abs=0.0001)
    assert report.gain.value == pytest.approx(0, abs=0.001)
    assert report.psnr.low < report.psnr.value - 1
    assert report.psnr.high > report.psnr.value + 1, "five pictures say little"
    for score in report.scores:
        saved = read_picture(tmp_path / f"{Path(score.name).stem}_x{scale}.png")
        assert (saved.width, saved.height) == (score.width, score.height)


def test_nearest_is_worse_than_bicubic(data_folder: Callable[[str], Path]) -> None:
    report = evaluate(open_session("nearest", scale=4), data_folder("eval/Set5"))
    assert report.gain.high < -1.5
    assert report.ssim.value < report.baseline_ssim.value
