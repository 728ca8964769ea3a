"""`srgan generate`, `encode` and `reconstruct`: what is said, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan.models import Bundle
from srgan.progress import Stop

Srgan = Callable[..., Any]


@pytest.fixture
def linear(make_latent: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A latent model that has a name here."""
    monkeypatch.setenv("SRGAN_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    return make_latent(tmp_path / "models" / "linear", description="Blocks.", latent={"refiner": "gone-x8"})


def test_new_pictures(linear: Bundle, srgan: Srgan) -> None:
    done = srgan("generate", "new", "--model", "linear", "--count", 2, "--seed", 7)

    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("new: 2 pictures of 64 px, linear on ncnn/cpu, ")
    assert sorted(path.name for path in Path("new").iterdir()) == ["seed-7-00000.png", "seed-7-00001.png"]


def test_one_picture_and_a_sheet(linear: Bundle, srgan: Srgan) -> None:
    assert srgan("generate", "a.png", "-m", "linear").out.startswith("a.png: 1 picture of 64 px, linear on")
    assert srgan("generate", "b.png", "-m", "linear", "-n", 3, "--grid").out.startswith("b.png: 3 pictures of 64 px")
    assert srgan("generate", "c.png", "-m", "linear", "--interpolate", 1, 2, "--grid", "--steps", 4).code == 0
    with Image.open("c.png") as image:
        assert image.size == (4 * 66 + 2, 68)


def test_the_report_is_json(linear: Bundle, srgan: Srgan) -> None:
    report = json.loads(srgan("generate", "new", "-m", "linear", "-n", 2, "--json").out)

    assert report["files"] == [{"path": f"new/seed-0-0000{n}.png", "seed": 0, "number": n} for n in range(2)]
    assert (report["model"], report["version"], report["size"], report["backend"]) == ("linear", "1.2.0", 64, "ncnn")


def test_codes_and_back(linear: Bundle, srgan: Srgan) -> None:
    srgan("generate", "new", "-m", "linear", "-n", 2, "--truncation", 0.3)

    encoded = srgan("encode", "new", "codes.npz", "-m", "linear")
    again = srgan("reconstruct", "new/seed-0-00001.png", "again.png", "-m", "linear")

    assert encoded.out.startswith("codes.npz: codes of 2 x 6 x 4 x 4 numbers, linear on ncnn/cpu, ")
    assert (encoded.code, again.code) == (0, 0)
    assert again.out.startswith("again.png: 64x64, ")
    with Image.open("again.png") as made, Image.open("new/seed-0-00001.png") as wanted:
        np.testing.assert_allclose(np.asarray(made).astype(int), np.asarray(wanted), atol=1)
    report = json.loads(srgan("reconstruct", "again.png", "more.png", "-m", "linear", "--json").out)
    assert (report["input"], report["output"], report["model"]) == ("again.png", "more.png", "linear")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("generate new -m fast", 4, "fast-x4 enlarges pictures and makes none from noise: srgan upscale IN OUT"),
        ("upscale in.png out.png -m linear", 4, "enlarges none; use it with: srgan generate OUT --model linear"),
        ("evaluate linear .", 4, "enlarges none; use it with: srgan generate OUT --model linear"),
        ("generate new -m nothing", 4, "There is no model 'nothing'"),
        ("generate new -m linear --size 100", 4, "refiner gone-x8, which is neither installed nor beside it"),
        ("generate new -m linear --backend onnx", 4, "linear has no decoder.onnx"),
        ("generate a.png -m linear -n 2", 2, "a.png: several pictures need a folder"),
        ("generate new -m linear --interpolate 1 2 -n 3", 2, "interpolate cannot be combined with count"),
        ("generate new -m linear --interpolate 1", 2, "Option '--interpolate' requires 2 arguments"),
        ("generate new", 2, "Missing option '--model'"),
        ("generate in.png -m linear", 7, "in.png: exists already"),
        ("encode in.png codes.txt -m linear", 2, "codes are written as .npz or .json"),
        ("encode nothing.png codes.npz -m linear", 3, "nothing.png: no such file"),
        ("reconstruct in.png in.png -m linear --overwrite", 7, "is also the input"),
    ],
)
def test_what_cannot_be(linear: Bundle, srgan: Srgan, command: str, code: int, said: str) -> None:
    Image.new("RGB", (64, 64)).save("in.png")

    done = srgan(*command.split())

    assert (done.code, done.out) == (code, ""), done.err
    assert said in done.err
    assert done.err.startswith("srgan: error: ")


def test_a_run_that_is_stopped_tells_what_it_has(linear: Bundle, srgan: Srgan, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Stop()
    from srgan.generation import job

    run = job.run_generate

    def stopped(work: Any, *, report: Any) -> Any:
        return run(work, report=lambda step: stop.set() if step.done == 1 else None, stop=stop)

    monkeypatch.setattr(job, "run_generate", stopped)

    done = srgan("generate", "new", "-m", "linear", "-n", 5)

    assert done.code == 130
    assert done.out.startswith("new: 2 pictures")


def test_models_that_make_pictures_are_listed_as_such(linear: Bundle, srgan: Srgan) -> None:
    (line,) = (line for line in srgan("models", "list").out.splitlines() if line.startswith("linear "))
    shown = dict(line.split(maxsplit=1) for line in srgan("models", "show", "linear").out.splitlines())

    assert line.split()[1:3] == ["64", "px"]
    assert shown["makes"] == "new pictures of 64 x 64 pixels (srgan generate OUT --model linear)"
    assert (shown["noise"], shown["code"], shown["refiner"]) == ("4 numbers", "6 x 4 x 4", "gone-x8")
    assert "scale" not in shown
    assert json.loads(srgan("models", "show", "linear", "--json").out)["latent"]["side"] == 64


def test_a_folder_is_not_enlarged_by_it(linear: Bundle, srgan: Srgan) -> None:
    Path("in").mkdir()
    Image.new("RGB", (64, 64)).save("in/a.png")

    done = srgan("batch-process", "in", "out", "-m", "linear")

    assert done.code in (1, 4)
    assert "enlarges none; use it with: srgan generate OUT --model linear" in done.err
    assert not Path("out/a.png").exists()


def test_python_says_the_same(linear: Bundle) -> None:
    import srgan
    from srgan.errors import UnsupportedModel

    with pytest.raises(UnsupportedModel, match="enlarges none; use it with: srgan generate OUT --model linear"):
        srgan.upscale(np.zeros((4, 4, 3), np.uint8), "linear")
    (picture,) = srgan.generate("linear", seed=7)
    assert picture.pixels.shape == (64, 64, 3)
