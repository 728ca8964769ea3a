"""The recipe that takes a finished model as it is, alone and as a member of an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from srgan.errors import InvalidConfig, ModelNotFound  # noqa: E402 (torch first: without it nothing here can run)
from srgan.models import Bundle  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")


@pytest.fixture
def model(make_config: Config) -> Bundle:
    return train(make_config(steps=1, output__name="made"))


def files(bundle: Bundle) -> dict[str, bytes]:
    return {name: bundle.read(name) for name in bundle.info.files}


def test_the_copy_is_the_model(make_config: Config, model: Bundle) -> None:
    copy = train(make_config(recipe="take", network__init_from=str(model.path), output__name="taken"))

    assert copy.path != model.path
    assert copy.info == model.info
    assert files(copy) == files(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network__options": {"width": 32, "blocks": 1}}, "'width': 16"),
        ({"network__init_from": ""}, "name or the path"),
    ],
)
def test_another_network_is_refused(changes: dict[str, Any], message: str, make_config: Config, model: Bundle) -> None:
    settings = {"recipe": "take", "network__init_from": str(model.path), "output__name": "taken"}
    with pytest.raises(InvalidConfig, match=message):
        train(make_config(**(settings | changes)))


def test_a_model_that_is_not_there(make_config: Config, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        train(make_config(recipe="take", network__init_from=str(tmp_path / "none")))


def test_a_member_of_an_ensemble_can_be_a_finished_model(make_config: Config, model: Bundle) -> None:
    """Its weights are in the ensemble bit for bit, and nothing was trained for it."""
    from safetensors.torch import load

    config = make_config(
        recipe="ensemble",
        steps=1,
        ensemble={
            "fusion_steps": 0,
            "members": [
                {"recipe": "take", "network": {"init_from": str(model.path)}},
                {"recipe": "pretrain", "network": {"init_from": "member 0"}},
            ],
        },
        output__name="several",
    )
    made = train(config)

    own = load(model.read("weights.safetensors"))
    inside = load(made.read("weights.safetensors"))
    assert made.info.network_options["count"] == 2
    for key, value in own.items():
        assert torch.equal(inside[f"members.0.{key}"].half(), value.half())
