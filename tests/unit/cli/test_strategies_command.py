"""`--strategy`, `--trust` and `--uncertainty` on the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.batch import BatchJob, Pictures
from srgan.imaging import read_picture
from srgan.imaging.metadata.enlarged import provenance_of
from srgan.models import ModelInfo, write_bundle
from srgan.testing import EnsembleSession

Srgan = Callable[..., Any]


@pytest.fixture(autouse=True)
def _an_ensemble_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_session(model: Any, *, output: tuple[str, ...] = (), **rest: Any) -> EnsembleSession:
        return EnsembleSession(2, outputs=output or ("mean",))

    monkeypatch.setattr("srgan.runtime.open_session", open_session)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    info = ModelInfo(
        name="three", network="ensemble", outputs=("mean", "median", "fidelity", "members"), scale=2, radius=0
    )
    return write_bundle(tmp_path / "three", info, {"model.onnx": b"nothing that is looked at"}).path


def pixels_of(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_the_strategy_reaches_the_picture_the_report_and_the_record(
    srgan: Srgan, several: Path, picture: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.png"
    done = srgan("upscale", picture, target, "-m", several, "--strategy", "fidelity", "--trust", "0.5", "--json")

    assert done.code == 0
    assert json.loads(done.out)["strategy"] == "fidelity"
    (record,) = provenance_of(read_picture(target))
    assert (record.settings["strategy"], record.settings["trust"]) == ("fidelity", 0.5)
    before, after = pixels_of(picture), pixels_of(target)
    brighter = np.where(before > 127.5, np.minimum(before + 26, 255), before).repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(after - brighter).max() <= 1


def test_the_map_is_written_and_told_of(srgan: Srgan, several: Path, picture: Path, tmp_path: Path) -> None:
    map_file, target = tmp_path / "map.png", tmp_path / "out.png"
    done = srgan("upscale", picture, target, "-m", several, "--uncertainty", map_file, "--width", 30)

    assert done.code == 0
    assert "three (mean) on" in done.out
    assert f"{map_file}: the members disagree by " in done.out
    assert size_of(map_file) == size_of(target) == (30, 20)


def test_its_figures_are_in_the_report(srgan: Srgan, several: Path, tmp_path: Path) -> None:
    bright = tmp_path / "bright.png"
    Image.new("RGB", (4, 4), (200, 200, 200)).save(bright)
    map_file = tmp_path / "map.png"
    done = srgan("upscale", bright, tmp_path / "o.png", "-m", several, "--uncertainty", map_file, "--json")

    assert json.loads(done.out)["uncertainty"] == {
        "path": str(map_file),
        "mean": pytest.approx(25.5 * (2 / 3) ** 0.5, abs=1e-3),
        "much": 1.0,
        "threshold": 8.0,
    }


@pytest.mark.parametrize("link", [False, True])
def test_the_map_never_replaces_the_input(
    srgan: Srgan, several: Path, picture: Path, tmp_path: Path, link: bool
) -> None:
    before, map_file, target = picture.read_bytes(), picture, tmp_path / "out.png"
    if link:
        map_file = tmp_path / "link.png"
        map_file.symlink_to(picture)

    done = srgan("upscale", picture, target, "-m", several, "--uncertainty", map_file, "--overwrite")

    assert done.code != 0
    assert "is also the input" in done.err
    assert picture.read_bytes() == before
    assert not target.exists()


def test_the_map_and_the_output_are_two_files_behind_links_too(
    srgan: Srgan, several: Path, picture: Path, tmp_path: Path
) -> None:
    target, map_file = tmp_path / "out.png", tmp_path / "link.png"
    target.write_bytes(b"older")
    map_file.symlink_to(target)

    done = srgan("upscale", picture, target, "-m", several, "--uncertainty", map_file, "--overwrite")

    assert "is also the output" in done.err
    assert target.read_bytes() == b"older"


def test_standard_input_is_read_once_for_both(
    srgan: Srgan, several: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(picture.read_bytes())))
    map_file, target = tmp_path / "map.png", tmp_path / "out.png"

    assert srgan("upscale", "-", target, "-m", several, "--uncertainty", map_file).code == 0
    assert map_file.exists()
    assert target.exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--strategy", "mode"], "three has no strategy 'mode'. Choose one of: mean, median, fidelity"),
        (["--trust", "2"], "upscale.trust: must be less than or equal to 1"),
        (["-m", "fast", "--strategy", "mean"], "fast-x4 has no strategy 'mean'"),
        (["-m", "fast", "--uncertainty", "map.png"], "no members that could disagree"),
        (["--uncertainty", "OUT"], "is also the output; choose another name for the map"),
        (["--uncertainty", "map.xyz"], "xyz"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_left(
    srgan: Srgan, several: Path, picture: Path, tmp_path: Path, options: list[str], complaint: str
) -> None:
    target = tmp_path / "out.png"
    given = [str(target) if option == "OUT" else option for option in options]
    before = set(tmp_path.iterdir())
    done = srgan("upscale", picture, target, "-m", several, *given)

    assert done.code != 0
    assert complaint in done.err
    assert set(tmp_path.iterdir()) == before


def test_a_batch_is_done_again_with_another_strategy(several: Path) -> None:
    def identity(**changes: Any) -> str:
        upscale = {"model": str(several), **changes}
        identity = Pictures(BatchJob.model_validate({"source": "a", "target": "b", "upscale": upscale})).identity
        return f"{identity.model} {identity.settings}"

    all_of_them = [identity(), identity(strategy="mean"), identity(strategy="median"), identity(trust=0.5)]
    assert len(set(all_of_them)) == 4
    assert identity(trust=0.5) == all_of_them[3]


def test_a_batch_takes_the_strategy(srgan: Srgan, several: Path, picture: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    picture.rename(source / "a.png")

    assert srgan("batch-process", source, target, "-m", several, "--strategy", "fidelity").code == 0
    (record,) = provenance_of(read_picture(target / "a.png"))
    assert record.settings["strategy"] == "fidelity"


def test_a_model_shows_its_strategies(srgan: Srgan, several: Path) -> None:
    assert "strategies      mean, median, fidelity\n" in srgan("models", "show", several).out
    assert json.loads(srgan("models", "show", several, "--json").out)["outputs"][-1] == "members"
