"""`srgan evaluate`: what is scored, what is shown, and what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.cli import options
from srgan.metrics.judges import FIGURES
from srgan.models import Bundle, Provenance, write_bundle
from srgan.testing import NearestSession
from srgan.upscaler import Upscaler


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sharp pictures and one that is damaged."""
    top = tmp_path / "reference"
    top.mkdir()
    for name in ("a.png", "b.png"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(top / name)
    return top


def test_the_scores_of_each_picture_and_their_means_are_shown(srgan: Callable[..., Any], folder: Path) -> None:
    done = srgan("evaluate", "bicubic", folder, "--scale", "2")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["PICTURE", "PSNR", "SSIM", "BICUBIC", "SSIM", "SECONDS"]
    assert [line.split()[0] for line in lines[1:3]] == ["a.png", "b.png"]
    assert "Means over 2 pictures of reference, on resize/cpu, fp32:" in lines
    assert lines[-1].startswith("gain        0.00 [0.00, 0.00]")
    assert lines[-3].startswith("bicubic x2")


def test_the_report_as_json_says_the_protocol_and_every_figure(srgan: Callable[..., Any], folder: Path) -> None:
    document = json.loads(srgan("evaluate", "bicubic", folder, "--scale", "2", "--json").out)
    assert document["scale"] == 2
    assert len(document["pictures"]) == 2
    assert document["mean"]["psnr"]["value"] == pytest.approx(
        sum(picture["psnr"] for picture in document["pictures"]) / 2
    )
    assert "border = scale" in document["protocol"]


def test_files_of_a_run_are_written_where_they_are_asked_for(
    srgan: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    done = srgan(
        "evaluate", "bicubic", folder, "--scale", "2", "--csv", tmp_path / "s.csv", "--save-dir", tmp_path / "kept"
    )
    assert done.code == 0, done.err
    with (tmp_path / "s.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["a.png", "b.png"]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["a_x2.png", "b_x2.png"]


def test_a_quick_look_takes_the_first_pictures(srgan: Callable[..., Any], folder: Path) -> None:
    document = json.loads(srgan("evaluate", "bicubic", folder, "--scale", "2", "--limit", "1", "--json").out)
    assert [score["name"] for score in document["pictures"]] == ["a.png"]


def test_a_picture_that_cannot_be_scored_is_named_and_gives_exit_code_1(
    srgan: Callable[..., Any], folder: Path
) -> None:
    (folder / "c.png").write_bytes(b"no picture")
    done = srgan("evaluate", "bicubic", folder, "--scale", "2")
    assert done.code == 1
    assert "Means over 2 pictures" in done.out
    assert done.err.startswith(f"srgan: error: {folder / 'c.png'}: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["bicubic", "nothing"], 3, "nothing: cannot be read"),
        (["bicubic", "reference", "--scale", "2.5"], 2, "whole scale"),
        (["none-such", "reference"], 4, "none-such"),
        (["bicubic", "reference", "--record"], 2, "--record"),
        (["fast", "reference", "--record", "--limit", "1"], 2, "leave out --limit"),
        (["fast", "reference", "--record", "--set", "upscale.tta=true"], 2, "upscale.tta"),
    ],
)
def test_what_cannot_be_scored_is_one_line(
    arguments: list[str],
    code: int,
    said: str,
    srgan: Callable[..., Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder.parent)
    done = srgan("evaluate", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_the_means_can_be_recorded_in_the_bundle(
    srgan: Callable[..., Any], folder: Path, bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(NearestSession):
        def __init__(self, name: str, scale: int) -> None:
            super().__init__(scale)
            self.info = type(self.info)(**{**vars(self.info), "model": name})

    monkeypatch.setattr(options, "open_upscaler", lambda settings, scale, model: Upscaler(Named("mine-x2", 2)))
    done = srgan("evaluate", "mine-x2", folder, "--record")
    assert done.code == 0, done.err
    qualities = {quality.dataset: quality for quality in Bundle.open(bundles["mine-x2"].path).info.quality}
    assert set(qualities) == {"Set5", "reference"}
    assert qualities["reference"].pictures == 2
    assert f"recorded {qualities['reference'].psnr:.2f} dB on reference" in done.err


def test_further_figures_are_shown_with_which_way_is_better(srgan: Callable[..., Any], folder: Path) -> None:
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--metrics", "consistency")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split()[-2:] == ["CONSISTENCY", "SECONDS"]
    assert lines[-2].split()[-1] == "BETTER"
    assert lines[-1].startswith("consistency ")
    assert lines[-1].endswith("more")


def test_what_must_be_known_of_figures_is_said_beside_them(
    srgan: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.evaluation.open_collector", lambda: lambda pixels: pixels[::4, ::4].reshape(-1, 3))
    monkeypatch.setattr("srgan.evaluation.least_side", lambda names: 1)
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--metrics", "fd-squeeze")
    assert done.code == 0
    assert "warning: fd-squeeze: 240 patches are few" in done.err
    assert done.out.splitlines()[-1].startswith("fd-squeeze is computed with SqueezeNet 1.1")


def test_a_figure_that_was_a_loss_is_warned_of_by_what_the_bundle_says(
    srgan: Callable[..., Any], folder: Path, bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.evaluation.open_judge", lambda name: lambda a, b: 0.5)
    monkeypatch.setattr(
        options, "open_upscaler", lambda settings, scale, model: Upscaler(NearestSession(4 if "x4" in model else 2))
    )
    features = FIGURES["lpips-unweighted"].features
    bundle = bundles["mine-x4"]
    provenance = Provenance(loss_features=("VGG19", features))
    write_bundle(
        bundle.path,
        bundle.info.model_copy(update={"provenance": provenance}),
        {name: bundle.read(name) for name in bundle.info.files},
    )
    metrics = ("--metrics", "lpips-unweighted,stlpips-alex")
    done = srgan("evaluate", "mine-x4", folder, *metrics)
    assert done.code == 0
    assert done.err == (
        f"warning: lpips-unweighted: {features} was a loss in this model's training, so this figure flatters it\n"
    )
    assert srgan("evaluate", "mine-x2", folder, *metrics).err == ""


def test_unknown_figures_are_one_line_with_the_choices(srgan: Callable[..., Any], folder: Path) -> None:
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--metrics", "psnr,lpips,beauty")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "lpips (" in done.err
    assert "beauty" in done.err
    assert "dists-squeeze" in done.err
