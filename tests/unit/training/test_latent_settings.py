"""Settings of the recipe `latent`: lengths of phases, forms of networks, and what it refuses. Loads no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from srgan.config import list_keys, load_config
from srgan.errors import InvalidConfig
from srgan.training import TrainConfig, TrainJob
from srgan.training.latent.settings import PHASES, USED, LatentConfig


def made(**values: Any) -> LatentConfig:
    config = TrainConfig.model_validate({"recipe": "latent", "data": {"folders": ["photos"]}, **values})
    assert isinstance(config, LatentConfig)
    return config


def test_the_default_lengths_are_those_that_are_written() -> None:
    config = made()
    assert config.phases.steps(config.steps) == {
        "autoencoder": 20_000,
        "decoder": 7_000,
        "gan": 50_000,
        "refiner": 13_000,
    }


@pytest.mark.parametrize("steps", [50, 100, 1234, 99_999])
def test_phases_divide_all_steps_in_their_proportion(steps: int) -> None:
    lengths = made(steps=steps).phases.steps(steps)
    assert tuple(lengths) == PHASES
    assert sum(lengths.values()) == steps
    for name, share in zip(PHASES, (20, 7, 50, 13), strict=True):
        assert lengths[name] == pytest.approx(steps * share / 90, abs=1)


def test_a_phase_can_be_left_out_and_others_cannot() -> None:
    assert made(phases={"decoder": 0, "refiner": 0}).phases.steps(700)["gan"] == 500
    with pytest.raises(ValidationError, match=r"phases\.gan: cannot be left out"):
        made(phases={"gan": 0})
    with pytest.raises(ValidationError, match="steps: 2 leave none for the phase autoencoder, decoder, refiner"):
        made(steps=2, phases={"autoencoder": 1, "decoder": 1, "gan": 100, "refiner": 1})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"network": {"name": "turbo"}}, "network.name: the recipe latent has no use for it"),
        ({"data": {"folders": ["a"], "patch": 64}}, "data.patch: the recipe latent has no use for it"),
        ({"data": {"folders": ["a"], "degradation": {"kind": "second-order"}}}, "data.degradation.kind: the recipe"),
        ({"validation": {"figures": ["grid"]}}, "validation.figures: the recipe latent"),
        ({"hardware": {"devices": 2}}, "hardware.devices: the recipe latent trains on one device"),
        ({"optimiser": {"kind": "muon"}}, "optimiser.kind: the recipe latent trains with adam"),
        ({"steps_before": 5}, "steps_before: the recipe latent goes on with its own checkpoints only"),
        ({"parts": {"forms": {"netX": "origin"}}}, "parts.forms: there is no network 'netX'; choose of netRS, netG2"),
        ({"parts": {"options": {"netg1": {}}}}, "parts.options: there is no network 'netg1'"),
        ({"parts": {"forms": {"RefinerG": "wide"}}}, "parts.forms.RefinerG: must be one of origin, narrow, not 'wide'"),
        ({"parts": {"forms": {"netG1": "origin"}}}, "netG1 and netD1 must both be narrow, or neither"),
        ({"parts": {"forms": {"netRS": "origin"}}}, "netRS and netG2 must both be narrow, or neither"),
        ({"parts": {"forms": {"RefinerD": "origin"}}}, "refiner.patch: RefinerD origin looks at whole pictures"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        made(**values)


def test_all_keys_that_are_listened_to_exist() -> None:
    named = {f"{section}.{name}".lstrip(".") for section, names in USED.items() for name in names}
    assert {key for key, _ in list_keys(TrainConfig)} >= named


def test_a_chosen_form_is_taken_and_all_others_are_narrow() -> None:
    config = made(parts={"forms": {"RefinerG": "origin"}})
    assert [config.form(role) for role in ("RefinerG", "netG1")] == ["origin", "narrow"]


def test_options_of_networks_are_numbers_from_the_command_line_too() -> None:
    config = load_config(
        TrainConfig, sets=["recipe=latent", "data.folders=[a]", "parts.forms.RefinerG=origin", "diff_augment=[colour]"]
    )
    assert isinstance(config, LatentConfig)
    assert config.form("RefinerG") == "origin"
    assert config.diff_augment == ("colour",)
    with pytest.raises(InvalidConfig, match=r"diff_augment\.0: must be 'colour', 'translation' or 'cutout'"):
        load_config(TrainConfig, sets=["recipe=latent", "data.folders=[a]", "diff_augment=[blur]"])


def test_an_epoch_is_a_pass_of_the_autoencoder() -> None:
    config = made(data={"folders": ["a"], "batch": 24}).for_epochs(3, 240)
    assert config.phases.steps(config.steps)["autoencoder"] == 30
    assert config.steps == 135
    plain = TrainConfig.model_validate({"data": {"folders": ["a"], "batch": 8}})
    assert plain.for_epochs(3, 100).steps == 38


def test_where_it_is_published_and_what_it_is_graded_by_make_no_other_training(tmp_path: Path) -> None:
    one = TrainJob(config=made(output={"publish": tmp_path}, validation={"fid_threshold": 60}))
    assert one.digest() == TrainJob(config=made()).digest()
    assert TrainJob(config=made(validation={"held_out": 0.2})).digest() != one.digest()
