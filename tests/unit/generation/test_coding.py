"""Codes of given pictures, and pictures through encoder and decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srgan import jobs
from srgan.errors import Cancelled, CannotWrite, InvalidConfig, InvalidImage, LimitExceeded
from srgan.generation import LatentModel, coding
from srgan.imaging import from_uint8
from srgan.models import Bundle
from srgan.progress import Step, Stop
from srgan.settings import Outcome


def run(kind: str, model: Bundle, *, stop: Stop | None = None, **fields: Any) -> Outcome:
    steps: list[Step] = []
    outcome = jobs.run(jobs.load({"kind": kind, "model": str(model.path), **fields}), report=steps.append, stop=stop)
    assert steps[-1].done == steps[-1].total
    assert json.loads(json.dumps(outcome.report)) == outcome.report
    return outcome


def blocks(height: int, width: int, seed: int = 1) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Flat blocks of 16 x 16 pixels: what the code of `linear` can say exactly, but for rounding."""
    small = np.random.default_rng(seed).integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    return small.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]


def saved(path: Path, pixels: Any, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


# ---------------------------------------------------------------------------------------------------------- encode


def test_codes_of_several_pictures(linear: Bundle, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pictures = [blocks(64, 64, seed) for seed in range(3)]
    for name, pixels in zip("abc", pictures, strict=True):
        saved(tmp_path / "in" / f"{name}.png", pixels)
    (tmp_path / "in" / "notes.txt").write_text("no picture")

    outcome = run("encode", linear, sources=[str(tmp_path / "in")], target=str(tmp_path / "codes.npz"))

    with np.load(tmp_path / "codes.npz") as file:
        assert file["codes"].shape == (3, 6, 4, 4)
        assert file["codes"].dtype == np.float32
        assert [Path(name).name for name in file["names"]] == ["a.png", "b.png", "c.png"]
        assert (str(file["model"]), str(file["sha256"])) == ("linear", linear.info.digest)
        np.testing.assert_allclose(file["codes"][1, :3, 2, 3], (pictures[1][40, 60] / 255 - 0.5) * 8, atol=1e-4)
        np.testing.assert_array_equal(file["codes"], outcome.result)
    assert outcome.report["shape"] == [3, 6, 4, 4]


def test_json_says_the_same(linear: Bundle, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", blocks(64, 64))

    codes = run("encode", linear, sources=[str(path)], target=str(tmp_path / "codes.json")).result

    said = json.loads((tmp_path / "codes.json").read_text())
    assert (said["model"], said["names"]) == ("linear", [str(path)])
    np.testing.assert_allclose(said["codes"], codes, atol=1e-6)


def test_of_any_other_picture_it_is_the_centre_square_in_the_size_of_the_model(linear: Bundle, tmp_path: Path) -> None:
    wide = np.full((64, 200, 3), 255, np.uint8)
    wide[:, 68:132] = blocks(64, 64)
    large = blocks(64, 64).repeat(3, axis=0).repeat(3, axis=1)
    sources = [str(saved(tmp_path / f"{n}.png", p)) for n, p in enumerate([blocks(64, 64), wide, large])]

    codes = run("encode", linear, sources=sources, target=str(tmp_path / "c.npz")).result

    np.testing.assert_array_equal(codes[1], codes[0])
    assert np.abs(codes[2, :3] - codes[0, :3]).max() < 0.6, "edges are softer, that is all"


def test_gray_and_transparent_pictures(linear: Bundle, tmp_path: Path) -> None:
    gray = np.full((64, 64), 102, np.uint8)
    clear = np.dstack([np.full((64, 64, 3), 0, np.uint8), np.full((64, 64), 153, np.uint8)])
    sources = [str(saved(tmp_path / "g.png", gray)), str(saved(tmp_path / "t.png", clear))]

    codes = run("encode", linear, sources=sources, target=str(tmp_path / "c.npz")).result

    np.testing.assert_allclose(codes[:, :3], (0.4 - 0.5) * 8, atol=1e-4)


def test_whole_pictures_keep_their_size(linear: Bundle, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", blocks(96, 160))

    outcome = run("encode", linear, sources=[str(path)], target=str(tmp_path / "c.npz"), whole=True)

    assert outcome.result.shape == (1, 6, 6, 10)


@pytest.mark.parametrize(
    ("sizes", "fields", "error", "said"),
    [
        ([(64, 72)], {"whole": True}, InvalidImage, "is 72 x 64 pixels; .* multiples of 16: crop it, or leave out"),
        ([(64, 64), (64, 80)], {"whole": True}, InvalidImage, "1.png: differs in size from .*0.png"),
        ([(64, 64)], {"target": "codes.txt"}, InvalidConfig, "codes are written as .npz or .json"),
        ([], {"sources": ["empty"]}, InvalidImage, "empty: there are no pictures in this folder"),
        ([], {"sources": ["nothing.png"]}, InvalidImage, "nothing.png: no such file"),
        ([(64, 64)], {"target": "there.npz"}, CannotWrite, "there.npz: exists already"),
    ],
)
def test_what_cannot_be_encoded(
    linear: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: Any, fields: Any, error: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("there.npz").write_text("mine")
    sources = [str(saved(Path(f"{number}.png"), blocks(*size))) for number, size in enumerate(sizes)]
    before = sorted(tmp_path.iterdir())

    with pytest.raises(error, match=said):
        run("encode", linear, **{"sources": sources, "target": "codes.npz", **fields})

    assert sorted(tmp_path.iterdir()) == before
    assert Path("there.npz").read_text() == "mine"


def test_a_picture_that_is_too_large_to_be_encoded_whole(
    linear: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "MOST_PIXELS", 4_000)
    path = saved(tmp_path / "a.png", blocks(64, 64))

    with pytest.raises(LimitExceeded, match=r"a.png: 64 x 64 pixels; at most \d+ megapixels can be encoded whole"):
        run("encode", linear, sources=[str(path)], target=str(tmp_path / "c.npz"), whole=True)
    with pytest.raises(LimitExceeded, match=r"a.png: 64 x 64 pixels"):
        run("reconstruct", linear, source=str(path), target=str(tmp_path / "b.png"))


def test_an_animation_is_no_picture(linear: Bundle, tmp_path: Path) -> None:
    frames = [Image.fromarray(blocks(64, 64, seed)) for seed in range(2)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])

    with pytest.raises(InvalidImage, match=r"a\.gif: holds 2 pictures; save the one that is meant"):
        run("encode", linear, sources=[str(tmp_path / "a.gif")], target=str(tmp_path / "c.npz"))


def test_encoding_that_is_stopped_writes_nothing(linear: Bundle, tmp_path: Path) -> None:
    path, stop = saved(tmp_path / "a.png", blocks(64, 64)), Stop()
    stop.set()

    with pytest.raises(Cancelled):
        run("encode", linear, sources=[str(path)], target=str(tmp_path / "c.npz"), stop=stop)
    assert not (tmp_path / "c.npz").exists()


# ----------------------------------------------------------------------------------------------------- reconstruct


@pytest.mark.parametrize("size", [(64, 64), (48, 112), (50, 65), (1, 1), (17, 5)])
def test_what_the_code_can_say_comes_back(linear: Bundle, tmp_path: Path, size: tuple[int, int]) -> None:
    """Sizes that are no multiples too: what lies beyond the edge is cut off again."""
    flat = np.full((*size, 3), (20, 130, 250), np.uint8)
    path = saved(tmp_path / "a.png", flat)

    outcome = run("reconstruct", linear, source=str(path), target=str(tmp_path / "b.png"))

    with Image.open(tmp_path / "b.png") as image:
        np.testing.assert_allclose(np.asarray(image).astype(int), flat, atol=1)
    assert (outcome.report["height"], outcome.report["width"]) == size
    assert outcome.report["psnr"] is None or outcome.report["psnr"] > 50


def test_what_it_cannot_say_is_lost_and_the_loss_is_told(linear: Bundle, tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    path = saved(tmp_path / "a.png", noise)

    outcome = run("reconstruct", linear, source=str(path), target=str(tmp_path / "b.png"))

    with LatentModel(linear) as model:
        wanted = model.decode(model.encode(from_uint8(noise)[None]))[0]
    error = np.square(wanted - from_uint8(noise)).mean()
    assert outcome.report["psnr"] == pytest.approx(-10 * np.log10(error), abs=0.01)
    np.testing.assert_array_equal(outcome.result.pixels, wanted)


def test_gray_transparency_and_depth_are_kept(linear: Bundle, tmp_path: Path) -> None:
    gray = np.full((32, 32), 25_700, np.uint16)
    clear = np.dstack([blocks(32, 48), np.arange(32 * 48, dtype=np.uint32).reshape(32, 48).astype(np.uint8)])
    saved(tmp_path / "g.png", gray)
    saved(tmp_path / "t.png", clear)

    for name in "gt":
        run("reconstruct", linear, source=str(tmp_path / f"{name}.png"), target=str(tmp_path / f"{name}2.png"))

    with Image.open(tmp_path / "g2.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_allclose(np.asarray(image).astype(int), gray, atol=4)
    with Image.open(tmp_path / "t2.png") as image:
        made = np.asarray(image)
    np.testing.assert_array_equal(made[..., 3], clear[..., 3])
    np.testing.assert_allclose(made[..., :3].astype(int), clear[..., :3], atol=1)


def test_the_input_is_never_replaced(linear: Bundle, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", blocks(64, 64))
    before = path.read_bytes()

    with pytest.raises(CannotWrite, match="is also the input"):
        run("reconstruct", linear, source=str(path), target=str(path), overwrite=True)
    assert path.read_bytes() == before
