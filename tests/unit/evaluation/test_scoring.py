"""Scoring: the protocol step by step, honest reports, and figures that go into a bundle."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import Cancelled, CannotWrite, InvalidConfig, InvalidDataset
from srgan.evaluation import EvaluationReport, PictureScore, Trial, evaluate, record_quality
from srgan.imaging import Limits, Picture, from_uint8, read_picture, resize, to_uint8, write_picture
from srgan.metrics import psnr, ssim
from srgan.metrics.distribution import frechet_distance, kernel_distance
from srgan.models import Bundle, ModelInfo, Quality, write_bundle
from srgan.progress import Step
from srgan.runtime import open_session
from srgan.testing import FaultySession, NearestSession
from srgan.upscaler import Upscaler


def scene(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.float32]:
    """A picture with edges, in values of 8 bit."""
    y, x, c = np.mgrid[:height, :width, :channels]
    waves = np.sin(x / (4 + seed) + c) + np.sign(np.cos(y / (5 + seed))) + np.sin((x + y) / 9)
    return from_uint8(to_uint8((0.5 + waves / 6).astype(np.float32)))


def test_each_step_of_the_protocol(folder: Path) -> None:
    report = evaluate(NearestSession(4), folder)
    assert [score.name for score in report.scores] == ["a.png", "b.png", "c.png"]
    assert report.failures == ()
    assert (report.model, report.scale, report.backend, report.dataset) == ("nearest", 4, "testing", "Trio")
    score = report.scores[2]
    assert (score.width, score.height) == (44, 48)

    reference = to_uint8(read_picture(folder / "c.png").pixels)[:48, :44]
    small = np.floor(np.clip(resize(reference.astype(np.float64), 12, 11), 0, 255) + 0.5) / 255
    truth = reference / 255
    repeated = small.repeat(4, 0).repeat(4, 1)
    smooth = np.floor(np.clip(resize(small, 48, 44), 0, 1) * 255 + 0.5) / 255
    assert score.psnr == pytest.approx(psnr(repeated, truth, border=4), abs=1e-4)
    assert score.ssim == pytest.approx(ssim(repeated, truth, border=4), abs=1e-5)
    assert score.baseline_psnr == pytest.approx(psnr(smooth, truth, border=4), abs=1e-3)
    assert score.baseline_ssim == pytest.approx(ssim(smooth, truth, border=4), abs=1e-4)


class Watching(NearestSession):
    """Keeps the batches it gets; stops the work when told to."""

    def __init__(self, scale: int, *, stop: bool = False) -> None:
        super().__init__(scale)
        self.batches: list[NDArray[np.float32]] = []
        self._stop = stop

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._stop:
            raise Cancelled
        self.batches.append(batch)
        return super().run(batch)


def test_the_network_sees_what_a_file_of_8_bit_would_hold(folder: Path) -> None:
    session = Watching(4)
    evaluate(session, folder)
    assert len(session.batches) == 3
    for batch in session.batches:
        assert np.array_equal(batch, from_uint8(to_uint8(batch)))
    reference = to_uint8(read_picture(folder / "c.png").pixels)[:48, :44]
    small = np.floor(np.clip(resize(reference.astype(np.float64), 12, 11), 0, 255) + 0.5)
    assert np.array_equal(to_uint8(session.batches[2][0]).transpose(1, 2, 0), small)


def test_bicubic_is_its_own_baseline(folder: Path) -> None:
    report = evaluate(open_session("bicubic", scale=2), folder)
    for score in report.scores:
        assert score.psnr == pytest.approx(score.baseline_psnr, abs=1e-3)
        assert score.ssim == pytest.approx(score.baseline_ssim, abs=1e-5)
    assert report.gain.value == pytest.approx(0, abs=1e-3)


def test_an_upscaler_is_scored_at_its_own_scale(folder: Path) -> None:
    report = evaluate(Upscaler(NearestSession(4), scale=3, tile=16), folder)
    assert report.scale == 3
    assert {(score.width, score.height) for score in report.scores} == {(45, 48), (63, 39), (39, 63)}


@pytest.mark.parametrize("scale", [1, 2.5])
def test_other_scales_are_refused(scale: float, folder: Path) -> None:
    with pytest.raises(InvalidConfig, match=f"not {scale:g}"):
        evaluate(Upscaler(NearestSession(4), scale=scale), folder)


def test_gray_is_scored_as_gray_and_alpha_is_left_out(tmp_path: Path) -> None:
    gray = scene(40, 40, 1)
    alpha = np.random.default_rng(0).random((40, 40, 1), np.float32)
    coloured = tmp_path / "coloured"
    mixed = tmp_path / "mixed"
    for path in (coloured, mixed):
        path.mkdir()
    write_picture(Picture(pixels=np.repeat(gray, 3, axis=2)), coloured / "gray.png")
    write_picture(Picture(pixels=scene(40, 40)), coloured / "photo.png")
    write_picture(Picture(pixels=gray), mixed / "gray.png")
    write_picture(Picture(pixels=np.concatenate([scene(40, 40), alpha], axis=2)), mixed / "photo.png")
    expected, found = (evaluate(NearestSession(2), path) for path in (coloured, mixed))
    for one, other in zip(expected.scores, found.scores, strict=True):
        assert other.psnr == pytest.approx(one.psnr, abs=1e-6)
        assert other.baseline_ssim == pytest.approx(one.baseline_ssim, abs=1e-6)


def test_a_perfect_result_counts_100_db(tmp_path: Path) -> None:
    write_picture(Picture(pixels=np.full((40, 40, 3), 128 / 255, np.float32)), tmp_path / "flat.png")
    report = evaluate(NearestSession(2), tmp_path)
    assert report.psnr.value == report.baseline_psnr.value == 100
    assert json.loads(report.to_json())["mean"]["psnr"]["value"] == 100


# ---- what goes wrong


def test_pictures_that_cannot_be_scored_are_reported_not_fatal(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    (folder / "empty.jpg").write_bytes(b"")
    write_picture(Picture(pixels=scene(18, 60)), folder / "thin.png")
    report = evaluate(NearestSession(4), folder)
    assert len(report.scores) == 3
    reasons = {failure.name: failure.reason for failure in report.failures}
    assert set(reasons) == {"broken.png", "empty.jpg", "thin.png"}
    assert "damaged or truncated PNG" in reasons["broken.png"]
    assert "is empty" in reasons["empty.jpg"]
    assert "60 x 18 pixels are too few" in reasons["thin.png"]
    for path in ("broken.png", "empty.jpg", "thin.png"):
        (folder / path).unlink()
    assert evaluate(NearestSession(4), folder).psnr == report.psnr


def test_a_picture_that_cannot_be_enlarged_is_reported(folder: Path) -> None:
    report = evaluate(FaultySession(NearestSession(2), "nan", when=lambda batch: batch.shape[3] <= 20), folder)
    assert [failure.name for failure in report.failures] == ["b.png"]
    assert len(report.scores) == 2


def test_limits_hold_for_references_too(folder: Path) -> None:
    report = evaluate(NearestSession(2), folder, limits=Limits(max_pixels=2400))
    assert [failure.name for failure in report.failures] == ["a.png", "b.png"]


def test_folders_without_a_usable_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"nowhere: cannot be read: No such file"):
        evaluate(NearestSession(2), tmp_path / "nowhere")
    with pytest.raises(InvalidDataset, match="there are no pictures"):
        evaluate(NearestSession(2), tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InvalidDataset, match=r"none of 1 pictures could be scored; .*a.png: is empty"):
        evaluate(NearestSession(2), tmp_path)


def test_progress_counts_pictures_and_can_stop_the_work(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(NearestSession(2), folder, report=lambda step: seen.append((step.done, step.total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]

    def stop(step: Step) -> None:
        if step.done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        evaluate(NearestSession(2), folder, report=stop)
    with pytest.raises(Cancelled):
        evaluate(Watching(2, stop=True), folder)


# ---- results


def test_enlarged_pictures_are_saved_when_asked(folder: Path, tmp_path: Path) -> None:
    write_picture(Picture(pixels=scene(40, 40)), folder / "a.bmp")
    out = tmp_path / "new" / "out"
    for _ in range(2):  # again: replaced
        report = evaluate(NearestSession(2), folder, save=out)
    assert sorted(path.name for path in out.iterdir()) == ["a.bmp_x2.png", "a.png_x2.png", "b_x2.png", "c_x2.png"]
    saved = read_picture(out / "c_x2.png").pixels
    truth = from_uint8(to_uint8(read_picture(folder / "c.png").pixels))[:50, :46]
    assert psnr(saved, truth, border=2) == pytest.approx(report.scores[-1].psnr)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWrite):
        evaluate(NearestSession(2), folder, save=tmp_path / "file" / "out")


def report_of(values: list[float], **changes: Any) -> EvaluationReport:
    scores = tuple(
        PictureScore(
            name=f"{i}.png",
            width=40,
            height=40,
            psnr=value,
            ssim=value / 100,
            baseline_psnr=value - 1 - i % 2,
            baseline_ssim=0.1,
            seconds=0.5,
        )
        for i, value in enumerate(values)
    )
    fields: dict[str, Any] = {"model": "nearest-x2", "scale": 2, "backend": "b", "device": "d", "precision": "fp32"}
    return EvaluationReport(**{**fields, "dataset": "Many", "scores": scores, "failures": (), **changes})


def test_means_and_their_intervals() -> None:
    values = list(np.random.default_rng(5).normal(30, 2, 100))
    report = report_of(values)
    assert report.psnr.value == pytest.approx(np.mean(values))
    half = 1.96 * np.std(values) / 10
    assert report.psnr.low == pytest.approx(np.mean(values) - half, abs=0.1)
    assert report.psnr.high == pytest.approx(np.mean(values) + half, abs=0.1)
    assert report.psnr == report_of(values).psnr, "the same for each run"
    assert report.gain.value == pytest.approx(1.5)
    assert report.gain.high - report.gain.low < 0.25, "paired: far narrower than that of either figure"
    assert report.seconds == 50
    single = report_of([30.0])
    assert (single.psnr.low, single.psnr.value, single.psnr.high) == (30, 30, 30)


def test_json_holds_everything(folder: Path) -> None:
    (folder / "kaputt ü.png").write_bytes(b"")
    report = evaluate(NearestSession(2), folder)
    document = json.loads(report.to_json())
    assert document["model"] == "nearest"
    assert document["mean"]["psnr"] == {
        "value": report.psnr.value,
        "low": report.psnr.low,
        "high": report.psnr.high,
    }
    assert set(document["mean"]) == {"psnr", "ssim", "baseline_psnr", "baseline_ssim", "gain"}
    assert [picture["name"] for picture in document["pictures"]] == ["a.png", "b.png", "c.png"]
    assert document["failures"][0]["name"] == "kaputt ü.png"
    assert "border = scale" in document["protocol"]


def test_csv_has_a_line_for_every_picture(folder: Path) -> None:
    (folder / 'odd, "name".png').write_bytes(b"")
    report = evaluate(NearestSession(2), folder)
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["name"] for row in rows] == ["a.png", "b.png", "c.png", 'odd, "name".png']
    assert float(rows[0]["psnr"]) == report.scores[0].psnr
    assert rows[0]["failure"] == ""
    assert rows[3]["psnr"] == ""
    assert "is empty" in rows[3]["failure"]


@pytest.fixture(params=["folder", "zip"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Bundle:
    old = Quality(dataset="Old", pictures=2, psnr=1.0, ssim=0.5)
    info = ModelInfo(name="nearest-x2", network="none", scale=2, radius=0, quality=(old,))
    name = "model.zip" if request.param == "zip" else "model"
    return write_bundle(tmp_path / name, info, {"model.onnx": b"weights"})


def test_figures_are_recorded_in_the_bundle(bundle: Bundle) -> None:
    record_quality(bundle.path, report_of([20.0, 22.0]))
    recorded = record_quality(bundle.path, report_of([30.0, 32.0123456]))
    assert recorded.info == Bundle.open(bundle.path).info
    assert [quality.dataset for quality in recorded.info.quality] == ["Many", "Old"]
    quality = recorded.info.quality[0]
    assert (quality.pictures, quality.psnr, quality.ssim, quality.baseline_psnr) == (2, 31.006, 0.3101, 29.506)
    assert recorded.read("model.onnx") == b"weights"
    recorded.verify()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "other"}, InvalidConfig),
        ({"scale": 3}, InvalidConfig),
    ],
)
def test_figures_of_something_else_are_not_recorded(bundle: Bundle, changes: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="the bundle is nearest-x2 at x2"):
        record_quality(bundle.path, report_of([20.0], **changes))
    assert [quality.dataset for quality in Bundle.open(bundle.path).info.quality] == ["Old"]


def test_figures_of_a_part_of_the_pictures_are_not_recorded(bundle: Bundle, folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"")
    failures = evaluate(NearestSession(2), folder).failures
    with pytest.raises(InvalidDataset, match=r"1 pictures of Many could not be scored; .*broken.png: is empty"):
        record_quality(bundle.path, report_of([20.0], failures=failures))


def difference(offset: float) -> Any:
    """A figure without a network: the mean difference plus ``offset``, which tells figures apart."""
    return lambda a, b: float(np.abs(a - b).mean()) + offset


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures that need no torch, in place of those that do."""
    opened = {"lpips-unweighted": difference(1), "dists-squeeze": difference(2)}
    monkeypatch.setattr("srgan.evaluation.scoring.open_judge", opened.__getitem__)
    monkeypatch.setattr(
        "srgan.evaluation.scoring.open_collector", lambda: lambda pixels: pixels[::8, ::8].reshape(-1, 3)
    )
    monkeypatch.setattr("srgan.evaluation.scoring.least_side", lambda name, scale: 1)


def test_without_further_figures_no_network_is_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("opened")

    monkeypatch.setattr("srgan.evaluation.scoring.open_judge", refuse)
    monkeypatch.setattr("srgan.evaluation.scoring.open_collector", refuse)
    report = evaluate(NearestSession(2), folder)
    assert (report.more, report.sets, report.features, report.warnings) == ({}, {}, {}, ())
    assert set(evaluate(NearestSession(2), folder, metrics=["consistency"]).more) == {"consistency"}


@pytest.mark.usefixtures("judged")
def test_further_figures_of_the_model_and_of_bicubic(folder: Path) -> None:
    report = evaluate(NearestSession(2), folder, metrics=["lpips-unweighted", "dists-squeeze"])
    assert report.metrics == ("psnr", "ssim", "lpips-unweighted", "dists-squeeze")
    for score in report.scores:
        assert score.more["dists-squeeze"] == pytest.approx(score.more["lpips-unweighted"] + 1)
        assert score.more["lpips-unweighted"] != pytest.approx(score.baseline_more["lpips-unweighted"])
    ours, bicubic = report.more["lpips-unweighted"]
    assert ours.value == pytest.approx(np.mean([score.more["lpips-unweighted"] for score in report.scores]))
    assert bicubic.low < bicubic.value < bicubic.high

    document = json.loads(report.to_json())
    assert document["mean"]["lpips-unweighted"]["value"] == ours.value
    assert document["mean"]["baseline_lpips-unweighted"]["value"] == bicubic.value
    assert document["features"]["dists-squeeze"].startswith("SqueezeNet 1.1")
    row = list(csv.DictReader(io.StringIO(report.to_csv())))[1]
    assert float(row["lpips-unweighted"]) == report.scores[1].more["lpips-unweighted"]
    assert float(row["baseline_dists-squeeze"]) == report.scores[1].baseline_more["dists-squeeze"]
    assert "more" not in row


@pytest.mark.usefixtures("judged")
def test_figures_over_all_pictures_come_with_the_number_of_patches(folder: Path) -> None:
    (folder / "d.png").write_bytes(b"no picture")
    kept = folder.parent / "kept"
    report = evaluate(NearestSession(2), folder, metrics=["kid-squeeze", "fd-squeeze"], save=kept)
    patches = sum(len(range(0, s.height, 8)) * len(range(0, s.width, 8)) for s in report.scores)
    assert list(report.sets) == ["kid-squeeze", "fd-squeeze"]
    assert {figure.patches for figure in report.sets.values()} == {patches}
    pairs = [(read_picture(kept / f"{Path(s.name).stem}_x2.png"), read_picture(folder / s.name)) for s in report.scores]
    results, references = (
        np.concatenate([pair[k].pixels[: s.height : 8, : s.width : 8].reshape(-1, 3) for pair, s in paired])
        for k in (0, 1)
        for paired in [list(zip(pairs, report.scores, strict=True))]
    )
    assert report.sets["fd-squeeze"].value == pytest.approx(frechet_distance(results, references), rel=1e-4)
    assert report.sets["kid-squeeze"].value == pytest.approx(kernel_distance(results, references), rel=1e-4)
    assert report.sets["fd-squeeze"].value != report.sets["fd-squeeze"].baseline
    assert report.warnings == (
        f"fd-squeeze: {patches} patches are few (below 5000): compare on the same pictures only",
    )
    assert json.loads(report.to_json())["sets"]["fd-squeeze"]["patches"] == patches


def test_consistency_is_the_result_made_small_against_the_input(folder: Path) -> None:
    """Nearest enlargement made small by bicubic loses something; a constant picture loses nothing."""
    report = evaluate(NearestSession(2), folder, metrics=["consistency"])
    assert all(20 < score.more["consistency"] < 60 for score in report.scores)
    reference = to_uint8(read_picture(folder / "a.png").pixels)[:40, :64]
    small = from_uint8(to_uint8(resize(from_uint8(reference), 20, 32)))
    again = resize(small.repeat(2, 0).repeat(2, 1).astype(np.float64), 20, 32)
    assert report.scores[0].more["consistency"] == pytest.approx(psnr(again, small, channel="rgb"), abs=0.05)

    flat = folder.parent / "flat"
    flat.mkdir()
    write_picture(Picture(pixels=np.full((40, 40, 3), 0.5, np.float32)), flat / "flat.png")
    assert evaluate(NearestSession(2), flat, metrics=["consistency"]).scores[0].more["consistency"] > 90


@pytest.mark.usefixtures("judged")
def test_a_figure_that_was_a_loss_is_warned_of(folder: Path) -> None:
    names = ["lpips-unweighted", "consistency"]
    features = evaluate(NearestSession(2), folder, metrics=names).features["lpips-unweighted"]
    assert evaluate(NearestSession(2), folder, metrics=names, trained_with=["VGG19"]).warnings == ()
    (warning,) = evaluate(NearestSession(2), folder, metrics=names, trained_with=[features]).warnings
    assert (
        warning
        == f"lpips-unweighted: {features} was a loss in this model's training, so this score is biased in its favour"
    )
    report = evaluate(NearestSession(2), folder, metrics=[*names, "dists-squeeze"], trained_with=["VGG19", features])
    assert report.flattering == ["lpips-unweighted", "dists-squeeze"]
    assert json.loads(report.to_json())["trained_with"] == ["VGG19", features]


def test_pictures_too_small_for_a_figure_fail_with_a_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.evaluation.scoring.open_collector", lambda: lambda pixels: np.zeros((2, 3), np.float32))
    with pytest.raises(InvalidDataset, match="too few for kid-squeeze at x2, which needs at least 64 per side"):
        evaluate(NearestSession(2), folder, metrics=["kid-squeeze"])


def test_figures_over_all_pictures_are_not_left_out_silently(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srgan.evaluation.scoring.open_collector", lambda: lambda pixels: np.zeros((1, 3), np.float32))
    monkeypatch.setattr("srgan.evaluation.scoring.least_side", lambda name, scale: 1)
    trial = Trial(folder, metrics=["kid-squeeze", "fd-squeeze"], first=1)
    report = trial.score(NearestSession(2))
    assert report.sets == {}
    assert report.warnings == tuple(
        f"{name}: left out, as there are fewer than two patches: use larger or more pictures"
        for name in ("kid-squeeze", "fd-squeeze")
    )
    assert list(evaluate(NearestSession(2), folder, metrics=["kid-squeeze"]).sets) == ["kid-squeeze"]


def test_unknown_figures_are_refused_before_any_picture_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no metric called beauty"):
        evaluate(NearestSession(2), tmp_path / "nothing", metrics=["beauty"])
