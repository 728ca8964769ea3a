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

from srgan.errors import CannotWrite
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
        (["bicubic", "reference", "--scale", "2.5"], 2, "integer scale"),
        (["none-such", "reference"], 4, "none-such"),
        (["bicubic", "reference", "--record"], 2, "record: "),
        (["fast", "reference", "--record", "--limit", "1"], 2, "record: cannot be combined with a limit"),
        (["fast", "reference", "--record", "--set", "upscale.tta=true"], 2, "upscale.tta"),
        (["fast", "reference", "--record", "--set", "upscale.strategy=soup"], 2, "upscale.strategy cannot be used"),
        (["fast", "turbo", "reference", "--record"], 2, "record: needs exactly one model"),
        (["fast", "reference", "--record", "--degrade", "jpeg"], 2, "record: needs exactly one model"),
        (["reference"], 2, "name a model, or give a folder of upscaled pictures"),
        (["bicubic", "reference", "--degrade", "rain"], 2, "Choose one of: blur, noise, jpeg, mixed"),
        (["bicubic", "reference", "--degrade", "jpeg", "--low-dir", "reference"], 2, "cannot be combined"),
        (["bicubic", "reference", "--low-dir", "nothing"], 3, "nothing: cannot be read"),
        (["reference", "--results", "nothing"], 3, "nothing: cannot be read"),
        (["bicubic", "reference", "--worst-by", "niqe-photos"], 2, "cannot sort the pictures by 'niqe-photos'"),
        (["bicubic", "reference", "--scale", "0.5", "--save-inputs", "low"], 2, "integer scale"),
        (["reference", "--results", "original=reference"], 2, "original: this label is reserved"),
        (["reference", "--results", "bicubic=reference"], 2, "bicubic: this label is reserved"),
        (["bicubic", "reference", "--html", "nothing/a.html"], 7, "the folder nothing does not exist"),
        (["bicubic", "reference", "--csv", "nothing/a.csv"], 7, "the folder nothing does not exist"),
        (["bicubic", "bicubic", "reference"], 2, "the label bicubic is used twice"),
        (["fast-x4", "fast-x2", "reference"], 2, "at the same scale, not fast-x4 x4, fast-x2 x2; give --scale 2"),
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

    monkeypatch.setattr("srgan.evaluation.job.Upscaler", lambda model, **_: Upscaler(Named("mine-x2", 2)))
    done = srgan("evaluate", "mine-x2", folder, "--record")
    assert done.code == 0, done.err
    qualities = {quality.dataset: quality for quality in Bundle.open(bundles["mine-x2"].path).info.quality}
    assert set(qualities) == {"Set5", "reference"}
    assert qualities["reference"].pictures == 2
    assert f"recorded {qualities['reference'].psnr:.2f} dB on reference" in done.err


def test_several_models_are_shown_in_one_table(srgan: Callable[..., Any], folder: Path) -> None:
    done = srgan("evaluate", "nearest", "bilinear", folder, "--scale", "2", "--metrics", "consistency")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert " ".join(lines[0]).startswith("Means over 2 pictures of reference, x2;")
    assert lines[1] == ["PSNR", "SSIM", "CONSISTENCY", "SECONDS"]
    assert [line[0] for line in lines[2:]] == ["nearest", "bilinear", "bicubic", "BETTER"]
    alone = srgan("evaluate", "nearest", folder, "--scale", "2").out
    assert f"  {lines[2][1]} [" in alone, "the same mean"
    assert lines[-1] == ["BETTER", "higher", "higher", "higher", "lower"]


def test_files_of_several_models(srgan: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    (folder / "c.png").write_bytes(b"no picture")
    models = ("nearest", "bicubic", folder, "--scale", "2")
    files = ("--csv", tmp_path / "s.csv", "--save-dir", tmp_path / "kept", "--html", tmp_path / "page.html")
    done = srgan("evaluate", *models, *files, "--worst-by", "ssim", "--json")
    assert done.code == 1
    document = json.loads(done.out)
    assert list(document["models"]) == ["nearest", "bicubic"]
    assert len({model["mean"]["psnr"]["value"] for model in document["models"].values()}) == 2
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["name"]) for row in rows] == [(m, n) for m in ("nearest", "bicubic") for n in
        ("a.png", "b.png", "c.png")]  # fmt: skip
    assert sorted(str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*.png")) == [
        "bicubic/a_x2.png", "bicubic/b_x2.png", "nearest/a_x2.png", "nearest/b_x2.png",
    ]  # fmt: skip
    assert "sorted by ssim of nearest, worst first" in (tmp_path / "page.html").read_text("utf-8")
    assert done.err.splitlines()[-1] == f"{tmp_path / 'page.html'}: written"
    assert done.err.count("srgan: error: nearest: ") == done.err.count("srgan: error: bicubic: ") == 1


def test_one_model_has_a_page_as_well_and_leaves_nothing_beside_it(
    srgan: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--html", tmp_path / "new.html")
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("PICTURE"), "the text is that of one model"
    assert (tmp_path / "new.html").read_text("utf-8").count("<article>") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"reference", "new.html"}


def test_another_program_is_judged_by_what_it_made_of_the_same_inputs(
    srgan: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    """The inputs are kept, enlarged by somebody (here nearest, without srgan), and the results scored."""
    spoilt = ("--degrade", "mixed", "--seed", "3", "--scale", "2")
    done = srgan("evaluate", "nearest", folder, *spoilt, "--save-inputs", tmp_path / "low", "--json")
    ours = json.loads(done.out)
    (tmp_path / "peer").mkdir()
    for path in (tmp_path / "low").iterdir():
        pixels = np.asarray(Image.open(path))
        Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)).save(tmp_path / "peer" / path.name)
    done = srgan("evaluate", folder, *spoilt, "--results", tmp_path / "peer", "--json")
    theirs = json.loads(done.out)
    assert theirs["mean"] == ours["mean"]
    assert (theirs["model"], theirs["backend"], theirs["seconds"]) == ("peer", "files", None)
    done = srgan("evaluate", "nearest", folder, "--scale", "2", "--low-dir", tmp_path / "low", "--results",
                 f"them={tmp_path / 'peer'}")  # fmt: skip
    assert done.code == 0, done.err
    rows = {line.split()[0]: line.split()[1:3] for line in done.out.splitlines()[2:4]}
    assert rows["nearest"] == rows["them"]
    assert "protocol: reference cropped to a multiple of the scale; low resolution from low" in done.out


@pytest.mark.parametrize(
    ("kept", "peer"), [("--save-inputs={}", "peer"), ("--save-dir={}", "peer/mine"), ("--save-dir={}", "peer/bicubic")]
)
def test_finished_results_are_never_replaced(
    kept: str,
    peer: str,
    srgan: Callable[..., Any],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Told before anything is scored, whichever of those to score would be written there."""
    results = tmp_path / peer
    results.mkdir(parents=True)
    for path in folder.iterdir():
        (results / f"{path.stem}_x2.png").write_bytes(path.read_bytes())
    before = {path: path.read_bytes() for path in results.iterdir()}
    monkeypatch.setattr("srgan.evaluation.job._reports", lambda *_: pytest.fail("scored"))
    arguments = ("bicubic", folder, "--scale", "2", "--results", f"mine={results}")
    done = srgan("evaluate", *arguments, kept.format(tmp_path / "peer"))
    assert (done.code, done.out) == (7, "")
    assert f"{results}: this is an input folder" in done.err
    assert {path: path.read_bytes() for path in (tmp_path / "peer").rglob("*.png")} == before


def test_figures_are_shown_even_when_the_page_fails(
    srgan: Callable[..., Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise CannotWrite("the disk is full")

    monkeypatch.setattr("srgan.evaluation.job.comparison_page", fail)
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--html", tmp_path / "p.html")
    assert done.code == 7
    assert done.err == "srgan: error: the disk is full\n"
    assert "Means over 2 pictures" in done.out


def test_a_model_that_only_calls_itself_bicubic_goes_by_its_path(
    srgan: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.evaluation.job.Upscaler", lambda model, **opening: Upscaler("bicubic", **opening))
    monkeypatch.setattr("srgan.evaluation.job._loss_features", lambda model, scale: ())
    done = srgan("evaluate", "runs/1/bundle", "bicubic", folder, "--scale", "2")
    assert [line.split()[0] for line in done.out.splitlines()[2:4]] == ["runs/1/bundle", "bicubic"]
    done = srgan("evaluate", "original", folder, "--scale", "2")
    assert (done.code, done.out) == (2, "")
    assert "original: this label is reserved; name the model by its path" in done.err


def test_two_models_of_one_name_are_told_apart_by_their_paths(
    srgan: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.evaluation.job.Upscaler", lambda model, **_: Upscaler(NearestSession(2)))
    monkeypatch.setattr("srgan.evaluation.job._loss_features", lambda model, scale: ())
    done = srgan("evaluate", "runs/1/bundle", "runs/2/bundle", folder)
    assert [line.split()[0] for line in done.out.splitlines()[2:4]] == ["runs/1/bundle", "runs/2/bundle"]


def test_further_figures_are_shown_with_which_way_is_better(srgan: Callable[..., Any], folder: Path) -> None:
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--metrics", "consistency")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].split()[-2:] == ["CONSISTENCY", "SECONDS"]
    assert lines[-2].split()[-1] == "BETTER"
    assert lines[-1].startswith("consistency ")
    assert lines[-1].endswith("higher")


def test_what_must_be_known_of_figures_is_said_beside_them(
    srgan: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "srgan.evaluation.scoring.open_collector", lambda: lambda pixels: pixels[::4, ::4].reshape(-1, 3)
    )
    monkeypatch.setattr("srgan.evaluation.scoring.least_side", lambda name, scale: 1)
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--metrics", "fd-squeeze")
    assert done.code == 0
    assert "warning: fd-squeeze: 240 patches are few" in done.err
    assert done.out.splitlines()[-1].startswith("fd-squeeze is computed with SqueezeNet 1.1")


def test_a_figure_that_was_a_loss_is_warned_of_by_what_the_bundle_says(
    srgan: Callable[..., Any], folder: Path, bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.evaluation.scoring.open_judge", lambda name: lambda a, b: 0.5)
    monkeypatch.setattr(
        "srgan.evaluation.job.Upscaler",
        lambda model, **_: Upscaler(NearestSession(2 if model == "mine-x2" else 4)),
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
        f"warning: lpips-unweighted: {features} was a loss in this model's training, "
        "so this score is biased in its favour\n"
    )
    quiet = srgan("evaluate", "mine-x4", folder, *metrics, "--quiet")
    assert quiet.err == ""
    assert f"computed with {features}, a training loss of nearest: the score is biased in its favour\n" in quiet.out, (
        "even so"
    )
    unaware = srgan("evaluate", "mine-x2", folder, *metrics)
    assert (unaware.err, "biased" in unaware.out) == ("", False)
    both = srgan("evaluate", "mine-x4", "bicubic", folder, "--scale", "4", *metrics)
    assert both.err.startswith("warning: mine-x4: lpips-unweighted: "), "of whom"
    assert "a training loss of mine-x4: the score is biased in its favour" in both.out


def test_a_figure_without_reference_is_shown_for_the_originals_too(
    srgan: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.evaluation.scoring.open_blind_judge", lambda name: lambda a: float(a.std()))
    monkeypatch.setattr("srgan.evaluation.scoring.least_side", lambda name, scale: 1)
    lines = srgan("evaluate", "nearest", folder, "--scale", "2", "--metrics", "niqe-photos").out.splitlines()
    assert lines[-3].split() == ["nearest", "x2", "bicubic", "ORIGINAL", "BETTER"]
    values = [float(word) for word in lines[-2].replace("[", " ").split() if word.replace(".", "").isdigit()]
    assert len(set(values)) == 3, "of the model, of bicubic and of the original; the pictures are alike"
    assert lines[-1].startswith("niqe-photos is computed with natural scene statistics of our")


def test_unknown_figures_are_one_line_with_the_choices(srgan: Callable[..., Any], folder: Path) -> None:
    done = srgan("evaluate", "bicubic", folder, "--scale", "2", "--metrics", "psnr,lpips,beauty")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "lpips (" in done.err
    assert "beauty" in done.err
    assert "dists-squeeze" in done.err


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_a_picture_is_never_replaced_by_a_table_or_a_page(
    option: str, srgan: Callable[..., Any], tmp_path: Path
) -> None:
    picture = tmp_path / "reference.png"
    picture.write_bytes(b"a picture")
    done = srgan("evaluate", "bicubic", str(tmp_path), "--scale", "4", option, str(picture))
    assert done.code == 7
    assert f"{picture}: {option} takes a file that ends in .{option.removeprefix('--')}" in done.err
    assert picture.read_bytes() == b"a picture"
