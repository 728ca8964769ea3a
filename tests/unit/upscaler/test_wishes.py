"""Upscaling with an ensemble: its strategies, trust, and the map of disagreement, through tiles and alpha."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from srgan.errors import InvalidConfig
from srgan.imaging import Limits, Picture
from srgan.models import Bundle, ModelInfo, write_bundle
from srgan.testing import EnsembleSession
from srgan.upscaler import Upscaler
from srgan.upscaler.opener import Models
from srgan.upscaler.uncertainty import FULL_SCALE, heat, write_uncertainty

Pixels = NDArray[np.float32]
ALL = ("mean", "median", "soup", "fidelity", "members")
STD = 0.1 * np.sqrt(2 / 3)


def bundle_with(outputs: tuple[str, ...], folder: Path) -> Bundle:
    info = ModelInfo(name="three", network="ensemble", outputs=outputs, scale=2, radius=1)
    return write_bundle(folder, info, {"model.onnx": b"nothing that is looked at"})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[EnsembleSession]:
    """What was opened: always an `EnsembleSession` in the place of the model."""
    sessions: list[EnsembleSession] = []

    def open_session(model: Any, *, output: tuple[str, ...] = (), **rest: Any) -> EnsembleSession:
        sessions.append(EnsembleSession(2, outputs=output or ("mean",), radius=1))
        return sessions[-1]

    monkeypatch.setattr("srgan.runtime.open_session", open_session)
    return sessions


@pytest.fixture
def several(tmp_path: Path) -> Bundle:
    return bundle_with(ALL, tmp_path / "several")


@pytest.fixture
def maps(several: Bundle, opened: list[EnsembleSession]) -> Callable[..., Models]:
    return lambda **options: Models(several, disagreement=True, **options)


def edge(channels: int = 3, height: int = 10, width: int = 16) -> Pixels:
    """Dark on the left, where the members agree, bright on the right."""
    pixels = np.full((height, width, channels), 0.25, np.float32)
    pixels[:, width // 2 :] = 0.75
    return pixels


def saved(pixels: Pixels, path: Path) -> Path:
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(path)
    return path


def shown(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image)


# -------------------------------------------------------------------------------------------------- what is opened


@pytest.mark.parametrize(
    ("options", "outputs"),
    [
        ({}, ()),
        ({"strategy": "fidelity"}, ("fidelity",)),
        ({"trust": 0.5}, ("mean", "members")),
        ({"strategy": "fidelity", "trust": 1}, ("fidelity", "members")),
        ({"disagreement": True}, ("members",)),
        ({"disagreement": True, "strategy": "fidelity", "trust": 1}, ("members",)),
    ],
)
def test_no_more_outputs_are_asked_for_than_needed(
    several: Bundle, opened: list[EnsembleSession], options: dict[str, Any], outputs: tuple[str, ...]
) -> None:
    Upscaler(several, **options)

    assert opened[0].info.outputs == (outputs or ("mean",))


@pytest.mark.parametrize(
    ("there", "options", "complaint"),
    [
        (ALL, {"strategy": "mode"}, "three has no strategy 'mode'. Choose one of: mean, median, soup, fidelity$"),
        (ALL, {"strategy": "members"}, "three has no strategy 'members'. Choose one of: mean"),
        ((), {"strategy": "mean"}, "three has no strategy 'mean'. It is no ensemble: there is nothing to choose"),
        ((), {"trust": 0.1}, "three is not an ensemble, so there are no members that could disagree"),
        ((), {"disagreement": True}, "three is not an ensemble"),
        (("mean", "members"), {"trust": 0.1}, "three has no PSNR-trained member, which trust needs"),
        (ALL, {"trust": 1.5}, "trust must be a number from 0 to 1, not 1.5"),
        (ALL, {"trust": float("nan")}, "trust must be a number from 0 to 1, not nan"),
    ],
)
def test_what_a_bundle_cannot_do_is_said(
    tmp_path: Path, there: tuple[str, ...], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        Upscaler(bundle_with(there, tmp_path / "b"), **options)


def test_resamplers_and_open_sessions_have_no_strategies() -> None:
    with pytest.raises(InvalidConfig, match="bicubic has no strategy 'mean'"):
        Upscaler("bicubic", strategy="mean")
    with pytest.raises(InvalidConfig, match="not for an open session"):
        Upscaler(EnsembleSession(), trust=0.5)


def test_the_settings_say_which_strategy_it_was_even_the_usual_one(
    several: Bundle, opened: list[EnsembleSession]
) -> None:
    assert Upscaler(several).settings["strategy"] == "mean"
    leaning = Upscaler(several, strategy="fidelity", trust=0.25, tta=True).settings
    assert (leaning["strategy"], leaning["trust"], leaning["tta"]) == ("fidelity", 0.25, True)
    assert "trust" not in Upscaler(several).settings


# --------------------------------------------------------------------------------------------------- the pictures


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("tile", [None, 6])
def test_trust_works_through_tiles_and_alpha(
    several: Bundle, opened: list[EnsembleSession], channels: int, tile: int | None
) -> None:
    pixels = edge(channels)
    pixels[..., -1] = 1.0 if channels in (2, 4) else pixels[..., -1]
    made = Upscaler(several, trust=1, tile=tile).upscale(Picture(pixels=pixels)).pixels
    colours = made[..., :-1] if channels in (2, 4) else made

    assert made.shape == (20, 32, channels)
    np.testing.assert_allclose(colours[:, :16], 0.25, atol=1e-6)
    np.testing.assert_allclose(colours[:, 16:], 0.85, atol=1e-6)


@pytest.mark.parametrize("tile", [None, 6])
@pytest.mark.parametrize("size", [{}, {"scale": 1}, {"scale": 5}, {"scale": 16}, {"width": 40, "height": 33}])
def test_the_map_is_of_one_run_at_any_size(
    several: Bundle, opened: list[EnsembleSession], size: dict[str, Any], tile: int | None
) -> None:
    upscaler = Upscaler(several, disagreement=True, tile=tile)
    made = upscaler.upscale(Picture(pixels=edge()), resample="nearest", **size).pixels
    half = made.shape[1] // 2

    assert made.shape[:2] == upscaler.output_size((10, 16), **size)
    np.testing.assert_allclose(made[:, : half - 1], 0, atol=1e-6)
    np.testing.assert_allclose(made[:, half + 1 :], STD, atol=1e-6)
    if tile is None:
        assert len(opened[0].shapes) == 1


def test_the_alpha_of_a_map_is_that_of_the_picture(several: Bundle, opened: list[EnsembleSession]) -> None:
    pixels = edge(4)
    pixels[..., 3] = np.linspace(0, 1, 16, dtype=np.float32)
    made = Upscaler(several, disagreement=True).upscale(Picture(pixels=pixels), resample="nearest").pixels

    np.testing.assert_allclose(made[..., 3], np.broadcast_to(pixels[0, :, 3].repeat(2), (20, 32)), atol=1e-6)


# ---------------------------------------------------------------------------------------------------- the heat map


def test_the_scale_is_fixed_and_grows_in_lightness() -> None:
    levels = np.linspace(0, FULL_SCALE, 50, dtype=np.float32)[None]
    colours = heat(levels)
    lightness = colours @ np.array([0.2126, 0.7152, 0.0722])

    assert np.array_equal(np.round(colours[0, 0] * 255), [0, 0, 4])
    assert np.array_equal(np.round(colours[0, -1] * 255), [252, 255, 164])
    assert (np.diff(lightness[0]) > 0).all()
    assert np.array_equal(heat(np.array([[1000.0]], np.float32))[0, 0], colours[0, -1])


def test_the_map_and_its_figures(maps: Callable[..., Models], tmp_path: Path) -> None:
    source, target = saved(edge(), tmp_path / "in.png"), tmp_path / "map.png"

    found = write_uncertainty(maps(), source, target, limits=Limits())

    pixels = shown(target)
    assert pixels.shape == (20, 32, 3)
    assert (pixels[:, :16] == [0, 0, 4]).all()
    wanted = np.round(heat(np.full((1, 1), STD * 255, np.float32)) * 255)
    assert (np.abs(pixels[:, 16:] - wanted) <= 1).all()
    assert found.mean == pytest.approx(STD * 255 / 2, rel=1e-4)
    assert found.much == pytest.approx(0.5)


def test_what_nobody_sees_does_not_count(maps: Callable[..., Models], tmp_path: Path) -> None:
    pixels = edge(4)
    pixels[..., 3] = 1
    pixels[:, 8:, 3] = 0
    source, target = saved(pixels, tmp_path / "in.png"), tmp_path / "map.png"

    found = write_uncertainty(maps(), source, target, limits=Limits())

    assert found.mean == pytest.approx(0, abs=1e-4)
    assert found.much == 0
    assert (shown(target)[:, 18:] == [0, 0, 4]).all()


def test_nothing_to_see_at_all(maps: Callable[..., Models], tmp_path: Path) -> None:
    pixels = edge(4)
    pixels[..., 3] = 0
    found = write_uncertainty(maps(), saved(pixels, tmp_path / "in.png"), tmp_path / "map.png", limits=Limits())

    assert (found.mean, found.much) == (0, 0)


def test_an_animation_has_no_map(maps: Callable[..., Models], tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])

    with pytest.raises(InvalidConfig, match=r"two.gif: has 2 pictures; an uncertainty map needs a single picture"):
        write_uncertainty(maps(), tmp_path / "two.gif", tmp_path / "map.png", limits=Limits())
    assert not (tmp_path / "map.png").exists()
