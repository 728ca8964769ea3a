"""New pictures by their job and by one call: which they are, what they say of themselves, and where they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import srgan
from srgan import jobs
from srgan.errors import Cancelled, CannotWrite, InvalidConfig, LimitExceeded, ModelNotFound, UnsupportedModel
from srgan.generation import making
from srgan.generation.job import GenerateJob, run_generate
from srgan.generation.making import sheet
from srgan.imaging import read_picture, to_uint8
from srgan.imaging.metadata.enlarged import provenance_of
from srgan.models import Bundle
from srgan.progress import Step, Stop


def job(model: Bundle, target: Path, **changes: Any) -> GenerateJob:
    given = {"kind": "generate", "model": str(model.path), "target": str(target), **changes}
    made = jobs.load(given)
    assert isinstance(made, GenerateJob)
    return made


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


def test_pictures_are_named_by_seed_and_number(linear: Bundle, tmp_path: Path) -> None:
    steps: list[Step] = []

    outcome = jobs.run(job(linear, tmp_path / "a" / "new", count=3, seed=5, first=9), report=steps.append)

    names = ["seed-5-00009.png", "seed-5-00010.png", "seed-5-00011.png"]
    assert sorted(path.name for path in (tmp_path / "a" / "new").iterdir()) == names
    assert outcome.result == [tmp_path / "a" / "new" / name for name in names]
    assert outcome.state == "done"
    assert outcome.report["files"][1] == {"path": str(outcome.result[1]), "seed": 5, "number": 10}
    assert {pixels(path).shape for path in outcome.result} == {(64, 64, 3)}
    assert [step.done for step in steps] == [0, 1, 2, 3]
    assert steps[0].total == 3


def test_a_picture_does_not_depend_on_those_beside_it(linear: Bundle, tmp_path: Path) -> None:
    many = run_generate(job(linear, tmp_path / "many", count=4, seed=2)).result
    one = run_generate(job(linear, tmp_path / "one.png", seed=2, first=3)).result

    assert one == [tmp_path / "one.png"]
    np.testing.assert_array_equal(pixels(one[0]), pixels(many[3]))
    (called,) = srgan.generate(linear, seed=2, first=3)
    np.testing.assert_array_equal(to_uint8(called.pixels), pixels(one[0]))
    other = run_generate(job(linear, tmp_path / "other.png", seed=3, first=3)).result
    assert not np.array_equal(pixels(one[0]), pixels(other[0]))


def test_a_file_says_what_it_was_made_from(linear: Bundle, tmp_path: Path) -> None:
    (path,) = run_generate(job(linear, tmp_path / "a.png", seed=2, first=3, truncation=0.5)).result

    with Image.open(path) as image:
        assert image.info["Description"] == "Made by linear 1.2.0: seed 2, number 3"
        assert image.info["Software"] == f"srgan {srgan.__version__}"
    (record,) = provenance_of(read_picture(path))
    assert (record.model, record.version, record.sha256) == ("linear", "1.2.0", linear.info.digest)
    assert record.settings == {"seed": 2, "number": 3, "truncation": 0.5, "backend": "ncnn"}


def test_truncation_scales_the_noise(linear: Bundle) -> None:
    full, half = (srgan.generate(linear, truncation=factor)[0].pixels - 0.5 for factor in (0.4, 0.2))

    np.testing.assert_allclose(full, 2 * half, atol=1e-5)
    assert np.abs(full).max() > 0.02


# ------------------------------------------------------------------------------------------------------ on the way


def test_pictures_on_the_way_from_one_to_another(linear: Bundle, tmp_path: Path) -> None:
    paths = run_generate(job(linear, tmp_path / "way", interpolate=[3, 9], steps=3, seed=2)).result

    assert [path.name for path in paths] == [f"seed-2-00003-00009-00{step}.png" for step in range(3)]
    ends = srgan.generate(linear, seed=2, first=3) + srgan.generate(linear, seed=2, first=9)
    np.testing.assert_array_equal(pixels(paths[0]), to_uint8(ends[0].pixels))
    np.testing.assert_array_equal(pixels(paths[2]), to_uint8(ends[1].pixels))
    with Image.open(paths[1]) as image:
        assert image.info["Description"].endswith("seed 2, from number 3 to 9, step 2 of 3")
    middle = srgan.generate(linear, interpolate=(3, 9), steps=3, seed=2)[1]
    np.testing.assert_array_equal(pixels(paths[1]), to_uint8(middle.pixels))


def test_a_sheet_holds_all(linear: Bundle, tmp_path: Path) -> None:
    outcome = run_generate(job(linear, tmp_path / "sheet.png", count=5, grid=True, seed=2))

    whole = pixels(tmp_path / "sheet.png")
    assert whole.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    fourth = to_uint8(srgan.generate(linear, seed=2, first=3)[0].pixels)
    np.testing.assert_array_equal(whole[68:132, 2:66], fourth)
    assert (whole[68:, 134:] == 255).all(), "no sixth picture"
    assert outcome.report["pictures"] == 5
    assert outcome.report["files"] == [{"path": str(tmp_path / "sheet.png")}]
    (record,) = provenance_of(read_picture(tmp_path / "sheet.png"))
    assert record.settings == {"seed": 2, "first": 0, "count": 5, "backend": "ncnn"}


def test_the_sheet_of_a_way_is_a_row(linear: Bundle, tmp_path: Path) -> None:
    run_generate(job(linear, tmp_path / "row.png", interpolate=[1, 2], steps=5, grid=True))

    assert pixels(tmp_path / "row.png").shape == (68, 5 * 66 + 2, 3)


@pytest.mark.parametrize(("count", "shape"), [(1, (68, 68)), (4, (134, 134)), (5, (134, 200)), (7, (200, 200))])
def test_sheets_are_about_square(count: int, shape: tuple[int, int]) -> None:
    made = sheet([np.zeros((64, 64, 3), np.float32)] * count)

    assert made.shape == (*shape, 3)
    assert made.size - made.sum() == 64 * 64 * 3 * count, "the rest is white"


# --------------------------------------------------------------------------------------------------------- larger


def test_larger_pictures_by_the_refiner(linear: Bundle, tmp_path: Path) -> None:
    """The upscaling model lies beside the bundle that names it; its pixels are those of the small picture, repeated."""
    (path,) = run_generate(job(linear, tmp_path / "large.png", seed=2, size=512)).result
    small = to_uint8(srgan.generate(linear, seed=2)[0].pixels)

    np.testing.assert_array_equal(pixels(path), small.repeat(8, axis=0).repeat(8, axis=1))
    (record,) = provenance_of(read_picture(path))
    assert record.settings["refiner"] == "repeat-x8"
    assert srgan.generate(linear, size=512)[0].pixels.shape == (512, 512, 3)


def test_a_refiner_of_another_name(linear: Bundle, tmp_path: Path) -> None:
    named = str(linear.path.parent / "repeat-x8")

    assert run_generate(job(linear, tmp_path / "a.png", size=512, refiner=named)).report["refiner"] == "repeat-x8"
    with pytest.raises(InvalidConfig, match="linear makes pictures of 64 or 256 px, not 512"):
        run_generate(job(linear, tmp_path / "b.png", size=512, refiner="fast"))
    with pytest.raises(ModelNotFound, match="There is no model 'repeat-x9'"):
        run_generate(job(linear, tmp_path / "b.png", size=512, refiner="repeat-x9"))


@pytest.mark.parametrize("place", ["models/tiny", "models/tiny/20261128"])
def test_the_refiner_beside_a_bundle_or_its_versions(
    linear: Bundle, make_latent: Any, tmp_path: Path, place: str
) -> None:
    model = make_latent(tmp_path / place, latent={"refiner": "repeat-x8"})

    assert run_generate(job(model, tmp_path / "a.png", size=512)).report["refiner"] == "repeat-x8"


def test_a_size_that_there_is_not(linear: Bundle, make_latent: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="linear makes pictures of 64 or 512 px, not 100"):
        run_generate(job(linear, tmp_path / "a.png", size=100))
    alone = make_latent(tmp_path / "alone", name="alone")
    with pytest.raises(UnsupportedModel, match="alone has no refiner, so its pictures are 64 px: name a model"):
        run_generate(job(alone, tmp_path / "a.png", size=512))
    assert not (tmp_path / "a.png").exists()


# -------------------------------------------------------------------------------------------- what is not written


def test_nothing_is_overwritten(linear: Bundle, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "seed-0-00001.png").write_text("mine")

    with pytest.raises(CannotWrite, match=r"seed-0-00001\.png: exists already"):
        run_generate(job(linear, tmp_path / "new", count=3))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["seed-0-00001.png"]

    run_generate(job(linear, tmp_path / "new", count=3, overwrite=True))
    assert pixels(tmp_path / "new" / "seed-0-00001.png").shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("target", "changes", "error", "said"),
    [
        ("a.png", {"count": 2}, InvalidConfig, "several pictures need a folder; name one, or add --grid"),
        ("a", {"grid": True}, InvalidConfig, "a: "),
        ("missing/a.png", {}, CannotWrite, "the folder .* does not exist"),
        ("taken", {}, CannotWrite, "taken: "),
    ],
)
def test_a_place_that_cannot_be(
    linear: Bundle, tmp_path: Path, target: str, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(error, match=said):
        run_generate(job(linear, tmp_path / target, **changes))


def test_a_sheet_that_is_too_large(linear: Bundle, tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="a grid holds at most 24414 pictures of 64 px"):
        run_generate(job(linear, tmp_path / "a.png", count=24_415, grid=True))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"interpolate": [1, 2], "count": 3}, "interpolate cannot be combined with count or first"),
        ({"interpolate": [1, 2], "first": 3}, "interpolate cannot be combined with count or first"),
        ({"interpolate": [1, -2]}, "interpolate: numbers must be from 0 to 4294967295"),
        ({"first": 2**32 - 1, "count": 2}, "first: the numbers must end at 4294967295"),
        ({"truncation": 0}, "truncation"),
        ({"seed": -1}, "seed"),
        ({"count": 0}, "count"),
        ({"steps": 1}, "steps"),
    ],
)
def test_what_makes_no_sense(linear: Bundle, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        job(linear, tmp_path, **changes)
    with pytest.raises(InvalidConfig, match=said):
        srgan.generate(linear, **changes)


def test_an_option_that_there_is_not(linear: Bundle) -> None:
    with pytest.raises(TypeError, match=r"generate\(\) has no option 'overwrite'"):
        srgan.generate(linear, overwrite=True)  # type: ignore[call-arg]


def test_a_job_that_is_stopped_keeps_what_it_has(linear: Bundle, tmp_path: Path) -> None:
    stop = Stop()

    def report(step: Step) -> None:
        if step.done == 2:
            stop.set()

    outcome = run_generate(job(linear, tmp_path / "new", count=5), report=report, stop=stop)

    assert outcome.state == "stopped"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [f"seed-0-0000{n}.png" for n in range(3)]
    assert outcome.report["pictures"] == len(outcome.report["files"]) == 3
    with pytest.raises(Cancelled):
        run_generate(job(linear, tmp_path / "more", count=5), stop=stop)


def test_where_and_how_do_not_count(linear: Bundle, tmp_path: Path) -> None:
    usual = job(linear, tmp_path / "a").digest()

    assert job(linear, tmp_path / "b", overwrite=True, runtime={"threads": 2}).digest() == usual
    assert job(linear, tmp_path / "a", seed=1).digest() != usual


def test_models_are_closed(linear: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    for name in ("LatentModel", "Upscaler"):
        kind = getattr(making, name)
        monkeypatch.setattr(kind, "close", lambda self, name=name, close=kind.close: (closed.append(name), close(self)))

    run_generate(job(linear, tmp_path / "a.png", size=512))

    assert set(closed) == {"LatentModel", "Upscaler"}
