"""Scores during training are those of `srgan evaluate`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import InvalidDataset  # noqa: E402 (torch first: without it nothing here can run)
from srgan.imaging import DEGRADATIONS, from_uint8, resize, to_uint8  # noqa: E402
from srgan.metrics import psnr, ssim  # noqa: E402
from srgan.metrics.distribution import frechet_distance, kernel_distance  # noqa: E402
from srgan.metrics.judges import open_collector, open_judge  # noqa: E402
from srgan.metrics.lattice import grid  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.training import TrainJob, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.degradation.settings import DegradationSection  # noqa: E402
from srgan.training.picture_settings import ValidationSection  # noqa: E402
from srgan.training.pictures import read_rgb  # noqa: E402
from srgan.training.validation import Validator  # noqa: E402

Pictures = Callable[..., Path]


def validator(folder: Path, scale: int, limit: int) -> Validator:
    return Validator(ValidationSection(folder=folder, max_pictures=limit), scale=scale)


def test_the_validations_psnr_is_that_of_our_metrics(pictures: Path) -> None:
    torch.manual_seed(0)
    network = build("turbo", 3, width=16, depth=1).deploy()
    with torch.no_grad():
        network.head.conv.weight.mul_(20)
    scores = []
    for path in sorted(pictures.iterdir())[:2]:
        high = from_uint8(read_rgb(path))[: 144 // 3 * 3, : 192 // 3 * 3]
        low = from_uint8(to_uint8(resize(high, 48, 64, "bicubic")))
        with torch.no_grad():
            made = network(torch.from_numpy(low.transpose(2, 0, 1))[None])[0].numpy().transpose(1, 2, 0)
        made = from_uint8(to_uint8(made))
        scores.append((psnr(made, high, border=3), ssim(made, high, border=3)))

    judged = validator(pictures, 3, 2).score(network, torch.device("cpu"))

    assert list(judged) == ["psnr", "ssim"]
    assert tuple(judged.values()) == pytest.approx(tuple(np.mean(scores, axis=0)), abs=2e-3)
    assert 10 < judged["psnr"] < 40


def test_perceptual_figures_are_those_of_the_evaluation(pictures: Path) -> None:
    network = build("turbo", 2, width=16, depth=1).deploy()
    section = ValidationSection(folder=pictures, max_pictures=1, figures=("dists-squeeze", "lpips-unweighted"))
    judged = Validator(section, scale=2).score(network, torch.device("cpu"))

    high = from_uint8(read_rgb(sorted(pictures.iterdir())[0]))
    low = from_uint8(to_uint8(resize(high, 72, 96, "bicubic")))
    with torch.no_grad():
        made = network(torch.from_numpy(low.transpose(2, 0, 1))[None])[0].numpy().transpose(1, 2, 0)
    for name in section.figures:
        assert judged[name] == pytest.approx(open_judge(name)(from_uint8(to_uint8(made)), high), rel=0.02)


def test_figures_over_all_pictures_and_the_grid_are_those_of_the_evaluation(pictures: Path) -> None:
    """Judged twice: what is kept of the references does not change."""
    network = build("turbo", 2, width=16, depth=1).deploy()
    section = ValidationSection(folder=pictures, max_pictures=2, figures=("kid-squeeze", "grid", "fd-squeeze"))
    judge = Validator(section, scale=2)
    judged = judge.score(network, torch.device("cpu"))
    assert judge.score(network, torch.device("cpu")) == judged

    collect = open_collector()
    made, wanted, grids = [], [], []
    for path in sorted(pictures.iterdir())[:2]:
        high = from_uint8(read_rgb(path))
        low = from_uint8(to_uint8(resize(high, 72, 96, "bicubic")))
        with torch.no_grad():
            result = network(torch.from_numpy(low.transpose(2, 0, 1))[None])[0].numpy().transpose(1, 2, 0)
        result = from_uint8(to_uint8(result))
        made.append(collect(result))
        wanted.append(collect(high))
        grids.append(grid(result, 2))
    sets = np.concatenate(made), np.concatenate(wanted)
    assert list(judged) == ["psnr", "ssim", "grid", "kid-squeeze", "fd-squeeze"]
    assert judged["kid-squeeze"] == pytest.approx(kernel_distance(*sets), rel=0.02)
    assert judged["fd-squeeze"] == pytest.approx(frechet_distance(*sets), rel=0.02)
    assert judged["grid"] == pytest.approx(np.mean(grids), rel=0.02)


def test_a_picture_too_small_for_a_patch_is_left_out(make_pictures: Pictures, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_pictures((63, 80), (64, 96))
    judge = Validator(ValidationSection(folder=folder, figures=("fd-squeeze",)), scale=2)
    assert "000.png: smaller than 64 pixels" in caplog.text
    assert np.isfinite(judge.score(build("turbo", 2, width=16, depth=1).deploy(), torch.device("cpu"))["fd-squeeze"])


def test_training_pictures_that_judge_are_warned_of(
    make_pictures: Pictures, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Found whatever they are called: by a link here."""
    judges = make_pictures((64, 64), (64, 80))
    (judges / "linked.png").symlink_to(sorted(pictures.iterdir())[0])
    Validator(ValidationSection(folder=judges), scale=2, training=(pictures,))
    assert caplog.messages == ["1 of 3 validation pictures are training pictures: the metrics will be too good"]
    caplog.clear()
    Validator(ValidationSection(folder=judges, max_pictures=2), scale=2, training=(pictures,))
    assert caplog.messages == []


def test_one_patch_alone_is_no_collection(make_pictures: Pictures) -> None:
    with pytest.raises(InvalidDataset, match="too small for fd-squeeze"):
        Validator(ValidationSection(folder=make_pictures((64, 80)), figures=("fd-squeeze",)), scale=2)


def test_sizes_that_fit_neither_scale_nor_network_are_judged_whole(
    make_pictures: Pictures, caplog: pytest.LogCaptureFixture
) -> None:
    """63 x 50 at x2 is 31 x 25, which `turbo` takes no picture of; no row or column is lost by that."""
    folder = make_pictures((63, 50), (63, 14))
    Image.fromarray(read_rgb(folder / "000.png")[..., 0]).save(folder / "gray.png")
    (folder / "broken.png").write_text("x")
    seen = []

    class Repeat(torch.nn.Module):
        multiple = 2

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    score = validator(folder, 2, 10).score(Repeat(), torch.device("cpu"))  # type: ignore[arg-type]

    assert seen == [(1, 3, 32, 26)] * 2
    assert 10 < score["psnr"] < 40
    assert "001.png: smaller than 15 pixels" in caplog.text
    assert "broken.png" in caplog.text


def test_at_most_so_many_pictures_are_judged(pictures: Path) -> None:
    assert len(validator(pictures, 2, 2)._pairs) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_picture_with_values_that_are_not_finite_has_no_figures(value: float, pictures: Path) -> None:
    """As integers such pixels would look like any others."""
    network = build("turbo", 2, width=16, depth=1).deploy()
    with torch.no_grad():
        network.head.conv.bias[5] = value
    section = ValidationSection(folder=pictures, max_pictures=2, figures=("grid", "lpips-unweighted", "fd-squeeze"))
    judged = Validator(section, scale=2).score(network, torch.device("cpu"))
    assert list(judged) == ["psnr", "ssim", "lpips-unweighted", "grid", "fd-squeeze"]
    assert all(np.isnan(figure) for figure in judged.values())


def test_the_baseline_is_that_of_the_evaluation(pictures: Path, tmp_path: Path) -> None:
    from srgan.evaluation.job import EvaluateJob, run_evaluate

    outcome = run_evaluate(
        EvaluateJob.model_validate({"models": ["bicubic"], "folder": pictures, "upscale": {"scale": 3}})
    )
    wanted = outcome.result.first.baseline_psnr.value
    assert validator(pictures, 3, 9).bicubic() == pytest.approx(wanted, abs=1e-3)


# ---------------------------------------------------------------------------------------------- pairs and worn inputs

WORN = DegradationSection.model_validate({"kind": "second-order", "clean": 0.5, "sharpen": 0.5})


def worn(folder: Path, name: str, **how: Any) -> Validator:
    return Validator(
        ValidationSection.model_validate({"folder": folder, "inputs": name, **how}), scale=4, degradation=WORN
    )


def inputs(judge: Validator) -> list[Any]:
    return [low.numpy() for low, _ in judge._pairs]


def evaluated(folder: Path, **how: Any) -> float:
    from srgan.evaluation.job import EvaluateJob, run_evaluate

    job = EvaluateJob.model_validate({"models": ["bicubic"], "folder": folder, "upscale": {"scale": 4}, **how})
    value: float = run_evaluate(job).result.first.baseline_psnr.value
    return value


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_named_inputs_are_those_of_the_evaluation(name: str, pictures: Path) -> None:
    assert worn(pictures, name).bicubic() == pytest.approx(evaluated(pictures, degrade=name), abs=1e-3)


def test_every_degradation_of_the_evaluation_can_be_chosen() -> None:
    choices = ValidationSection.model_fields["inputs"].annotation.__args__  # type: ignore[union-attr]
    assert choices == ("bicubic", "training", *DEGRADATIONS)


def test_pairs_are_matched_by_name_and_judge_as_the_evaluation_does(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    low = tmp_path / "low"
    evaluated(pictures, degrade="mixed", save_inputs=low)
    ways = dict(zip(sorted(low.iterdir()), ("0.png", "1x4.png", "2_x4.webp"), strict=True))
    for path, name in ways.items():
        Image.open(path).save(low / f"renamed-{name}", lossless=True)
        path.unlink()
    for path in list(low.iterdir()):
        path.rename(low / path.name.removeprefix("renamed-"))
    paired = worn(pictures, "bicubic", low_folder=low)
    assert paired.bicubic() == pytest.approx(worn(pictures, "mixed").bicubic(), abs=1e-9)
    assert caplog.messages == []

    Image.new("RGB", (36, 36)).save(low / "0.png")
    (low / "1x4.png").unlink()
    assert len(worn(pictures, "bicubic", low_folder=low)._pairs) == 1
    assert "36x36 pixels are not exactly 1/4 of the 192x144" in caplog.text
    assert "low has no counterpart of it: 1, 1x4, 1_x4 in any format" in caplog.text
    (low / "2_x4.webp").unlink()
    with pytest.raises(InvalidDataset, match="no picture here can be used"):
        worn(pictures, "bicubic", low_folder=low)
    with pytest.raises(InvalidDataset, match=r"validation\.folder and low_folder: .*nowhere"):
        worn(pictures, "bicubic", low_folder=tmp_path / "nowhere")


def test_inputs_worn_as_for_training_depend_on_names_and_strengths_alone(pictures: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = inputs(worn(pictures, "training"))
    torch.manual_seed(2)
    again = inputs(worn(pictures, "training", max_pictures=2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=False))
    plain = inputs(worn(pictures, "bicubic"))
    differences = [psnr(from_uint8(a), from_uint8(b)) for a, b in zip(first, plain, strict=True)]
    assert all(10 < difference < 35 for difference in differences), "none is spared, whatever clean says"
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for path in pictures.iterdir():
        (renamed / f"other{path.name}").write_bytes(path.read_bytes())
    assert not np.array_equal(inputs(worn(renamed, "training"))[0], first[0])
    (target,) = (worn(pictures, "training", max_pictures=1)._pairs[0][1],)
    assert np.array_equal(to_uint8(target), read_rgb(sorted(pictures.iterdir())[0])), "judged by the picture as it is"


@pytest.mark.usefixtures("quick_export")
def test_a_run_says_what_decides_and_is_judged_anew_by_other_inputs(
    make_config: Callable[..., TrainConfig], pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The scores of a run and of one that goes on are the same; the best one is forgotten where inputs change."""
    caplog.set_level(logging.INFO, "srgan")
    settings = {"validation__folder": pictures, "validation__every": 4, "data__degradation": WORN.model_dump()}
    short = make_config(**settings, steps=4, validation__inputs="training")
    train(short)
    said = "the mean psnr of 3 pictures, with inputs degraded as for training"
    assert said in caplog.text
    run = short.output.runs / "tiny" / "001"
    for name, forgets in (("training", False), ("blur", True)):
        caplog.clear()
        longer = make_config(**settings, steps=8, validation__inputs=name, output__name=name)
        train(TrainJob(config=longer, start=run))
        assert ("a new best is sought" in caplog.text) is forgets
    curves = [
        (short.output.runs / name / "001" / "curve.csv").read_text().splitlines() for name in ("tiny", "training")
    ]
    assert curves[1][:2] == curves[0]
