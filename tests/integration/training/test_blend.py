"""One network between several: the weighted mean of their weights, where that makes sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig, ModelNotFound  # noqa: E402
from srgan.models import Bundle, find_model, write_bundle  # noqa: E402
from srgan.training import blend_models, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")


@pytest.fixture
def start(make_config: Config) -> Bundle:
    return train(make_config(steps=1, output__name="start"))


@pytest.fixture
def onward(make_config: Config, start: Bundle) -> Bundle:
    return train(make_config(steps=8, output__name="onward", network__init_from=str(start.path)))


def weights(bundle: Bundle) -> dict[str, Any]:
    return load(bundle.read("weights.safetensors"))


def test_the_blend_lies_between_its_models_by_their_shares(start: Bundle, onward: Bundle, tmp_path: Path) -> None:
    """Shares count relative to their sum."""
    made = blend_models({str(start.path): 1, str(onward.path): 3}, tmp_path / "made", name="made-x4", family="made")

    one, other = weights(start), weights(onward)
    for name, value in weights(made).items():
        torch.testing.assert_close(value, 0.25 * one[name] + 0.75 * other[name])
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert find_model(tmp_path / "made").info == made.info
    assert (made.info.name, made.info.family, made.info.scale) == ("made-x4", "made", 4)
    assert made.info.description == "Between start and onward."


def test_it_says_where_it_is_from_and_claims_no_quality(start: Bundle, onward: Bundle, tmp_path: Path) -> None:
    seen = onward.info.provenance.model_copy(update={"loss_features": ("some network",), "teacher": "one"})
    quality = [{"dataset": "Set5", "pictures": 5, "psnr": 31.0, "ssim": 0.9}]
    info = type(onward.info).model_validate(
        {**onward.info.model_dump(), "provenance": seen.model_dump(), "quality": quality, "name": "known"}
    )
    known = write_bundle(tmp_path / "known", info, {"weights.safetensors": onward.read("weights.safetensors")})

    made = blend_models({str(known.path): 0.5, str(start.path): 0.5}, tmp_path / "made.zip", name="made-x4").info

    assert known.info.quality
    assert made.quality == ()
    assert made.provenance.recipe == "blend"
    assert made.provenance.config == "0.5 known + 0.5 start"
    assert made.provenance.parent == "known"
    assert made.provenance.loss_features == ("some network",)
    assert made.provenance.teacher == "one"


def test_the_shipped_models_have_one_in_between(tmp_path: Path) -> None:
    made = blend_models({"fast": 1, "photo-fast": 1}, tmp_path / "made", name="between-x4")
    assert (made.info.licence, made.info.parameters) == ("MIT", find_model("fast").info.parameters)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"fast": 1.0}, "at least two models"),
        ({"fast": 0.0, "photo-fast": 0.0}, "not all 0"),
        ({"fast": 1.5, "photo-fast": -0.5}, "shares of 0 or more"),
        ({"fast": float("nan"), "photo-fast": 1.0}, "shares of 0 or more"),
        ({"fast": 1.0, "turbo": 1.0}, "turbo: is 'turbo' x4 .* and fast-x4 'fast' x4"),
        ({"fast": 1.0, "fast-x2": 1.0}, "fast-x2: is 'fast' x2"),
        ({"fast": 1.0, "photo-several": 1.0}, "photo-several: is an ensemble"),
    ],
)
def test_what_cannot_be_blended_is_refused(shares: dict[str, float], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=said):
        blend_models(shares, tmp_path / "made", name="made-x4")
    assert not (tmp_path / "made").exists()


def test_networks_that_began_apart_are_refused(make_config: Config, start: Bundle, tmp_path: Path) -> None:
    stranger = train(make_config(steps=1, output__name="stranger", seed=77))
    with pytest.raises(InvalidConfig, match="not trained from the same start"):
        blend_models({str(start.path): 1, str(stranger.path): 1}, tmp_path / "made", name="made-x4")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        blend_models({"fast": 1, "nobody": 1}, tmp_path / "made", name="made-x4")


def test_a_model_that_enlarges_nothing_is_refused(make_latent: Callable[..., Bundle], tmp_path: Path) -> None:
    model = str(make_latent(tmp_path / "linear").path)

    with pytest.raises(InvalidConfig, match="makes pictures from noise; only models that enlarge can be blended"):
        blend_models({"fast": 1.0, model: 1.0}, tmp_path / "out", name="out")
    assert not (tmp_path / "out").exists()
