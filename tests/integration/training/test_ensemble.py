"""The ensemble recipe, with tiny networks: from the members to one bundle that every backend runs."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import InvalidConfig  # noqa: E402
from srgan.metrics.judges import SQUEEZENET  # noqa: E402
from srgan.models import Bundle  # noqa: E402
from srgan.networks.ensemble import OUTPUTS  # noqa: E402
from srgan.runtime import open_session  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402

Config = Callable[..., TrainConfig]
GAN = {"discriminator": {"name": "patch", "options": {"width": 8, "depth": 2}}}


@pytest.fixture
def make(make_config: Config, pictures: Path) -> Config:
    """A PSNR member of 4 steps and two GANs of 3 and 5, validated on the training pictures."""

    def make(**changes: Any) -> TrainConfig:
        section = {
            "members": [{"steps": 4}, {"steps": 3, **GAN}, {"steps": 5, **GAN, "loss": {"adversarial": 0.3}}],
            "fusion_steps": 5,
            **changes.pop("ensemble", {}),
        }
        settings: dict[str, Any] = {
            "recipe": "ensemble",
            "ensemble": section,
            "loss__perceptual": 0.0,
            "data__batch": 2,
            "optimiser__warmup": 0,
            "validation__folder": pictures,
            "validation__max_pictures": 1,
        }
        return make_config(**(settings | changes))

    return make


def folder_of(config: TrainConfig) -> Path:
    return config.output.runs / config.output.name / "001"


def table(config: TrainConfig) -> dict[str, dict[str, float]]:
    with (folder_of(config) / "strategies.csv").open() as file:
        return {
            row.pop("strategy"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
        }


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Optimiser steps, by the number of values that the optimiser moves."""
    steps = Counter[str]()
    step = torch.optim.Adam.step

    def counting(self: torch.optim.Adam, *args: Any) -> Any:
        moved = sum(weight.numel() for group in self.param_groups for weight in group["params"])
        steps[str(moved)] += 1
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", counting)
    return steps


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Bundle:
    """An ensemble with all its forms, trained once."""
    for library in ("onnx", "onnxruntime", "pnnx"):
        pytest.importorskip(library)
    members = [{"steps": 4}, {"steps": 3, **GAN}, {"steps": 5, **GAN, "loss": {"adversarial": 0.3}}]
    return train(
        TrainConfig.model_validate(
            {
                "recipe": "ensemble",
                "ensemble": {"members": members, "fusion_steps": 5},
                "network": {"name": "fast", "scale": 4, "options": {"width": 16, "blocks": 1}},
                "data": {"folders": [pictures], "patch": 8, "batch": 2, "tile": 64},
                "loss": {"perceptual": 0.0},
                "optimiser": {"warmup": 0, "learning_rate": 2e-3},
                "validation": {"folder": pictures, "max_pictures": 1},
                "hardware": {"device": "cpu", "precision": "fp32", "threads": 1},
                "output": {"runs": tmp_path_factory.mktemp("runs"), "name": "several", "tensorboard": False},
            }
        )
    )


# ------------------------------------------------------------------------------------------------------ the bundle


def test_one_bundle_holds_all_and_says_where_it_is_from(whole: Bundle) -> None:
    info = whole.info
    parts = [Bundle.open(whole.path.parent / f"members/{number}/001/bundle").info for number in range(3)]

    assert (info.name, info.network, info.outputs, info.scale) == ("several", "ensemble", OUTPUTS, 4)
    assert info.network_options["member"] == {"network": "fast", "width": 16, "blocks": 1}
    assert (info.network_options["count"], info.network_options["fidelity"]) == (3, True)
    assert sum(info.network_options["weights"]) == pytest.approx(1, abs=1e-5)
    assert info.macs_per_pixel == 3 * parts[0].macs_per_pixel
    assert info.parameters > 4 * parts[0].parameters
    assert (info.provenance.recipe, info.provenance.steps) == ("ensemble", 12)
    assert info.provenance.trained_on
    assert [part.provenance.recipe for part in parts] == ["pretrain", "adversarial", "adversarial"]
    assert [part.provenance.parent for part in parts] == ["", "0", "0"]


def test_every_output_in_every_backend_equals_torch_and_members_differ(whole: Bundle) -> None:
    batch = np.random.default_rng(1).random((1, 3, 20, 24), np.float32)
    for name in OUTPUTS:
        wanted = open_session(whole, backend="torch", device="cpu", output=name).run(batch)
        for backend in ("onnx", "ncnn"):
            got = open_session(whole, backend=backend, device="cpu", output=name).run(batch)
            assert np.abs(got - wanted).max() < 2e-4, (name, backend)
    members = open_session(whole, backend="torch", device="cpu", output="members").run(batch)
    first, second, third = np.split(members, 3, axis=1)
    mean = open_session(whole, backend="torch", device="cpu", output="mean").run(batch)

    assert min(np.abs(a - b).max() for a, b in ((first, second), (second, third), (first, third))) > 1e-3
    np.testing.assert_allclose(mean, (first + second + third) / 3, atol=1e-6)


def test_each_member_is_what_its_own_bundle_gives(whole: Bundle) -> None:
    batch = np.random.default_rng(2).random((1, 3, 12, 16), np.float32)
    members = open_session(whole, backend="torch", device="cpu", output="members").run(batch)

    for number, picture in enumerate(np.split(members, 3, axis=1)):
        own = Bundle.open(whole.path.parent / f"members/{number}/001/bundle")
        np.testing.assert_allclose(picture, open_session(own, backend="torch", device="cpu").run(batch), atol=1e-6)


def test_the_soup_has_the_mean_of_the_gans_weights(whole: Bundle) -> None:
    from safetensors.torch import load

    weights = load(whole.read("weights.safetensors"))
    for key in [key for key in weights if key.startswith("soup.")]:
        one, other = (weights[key.replace("soup.", f"members.{number}.")].float() for number in (1, 2))
        assert torch.allclose(weights[key].float(), (one + other) / 2, atol=5e-4), key


# ------------------------------------------------------------------------------------------------------ the recipe

quick = pytest.mark.usefixtures("quick_export")


@quick
def test_every_member_takes_its_own_steps_and_the_fusion_its(make: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = counted(monkeypatch)
    said: list[tuple[int, int]] = []

    def listen(status: TrainStep) -> None:
        said.append((status.done, status.total))

    train(make(), report=listen)

    # Generators of one size: 4 + 3 + 5; discriminators: 3 + 5; the fusion: 5.
    assert sorted(steps.values()) == [5, 8, 12]
    assert said[-1] == (12, 12)
    assert said == sorted(said)


@quick
def test_a_run_that_was_cut_off_trains_no_member_twice(make: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        """Stands for a crash."""

    def watch(status: TrainStep) -> None:
        if status.done >= 7:
            raise Stop

    config = make(output__checkpoint_every=1)
    with pytest.raises(Stop):
        train(config, report=watch)
    first = folder_of(config) / "members/0/001/bundle/model.toml"
    before = first.stat().st_mtime_ns
    steps = counted(monkeypatch)

    train(config)

    # The second member was at its end but for the bundle; the third takes its 5, its discriminator too.
    assert sorted(steps.values()) == [5, 5, 5]
    assert first.stat().st_mtime_ns == before
    assert all(len(list((folder_of(config) / f"members/{n}").iterdir())) == 1 for n in range(3))


@quick
def test_the_table_has_each_strategy_and_each_member(make: Config) -> None:
    config = make()
    train(config)
    scores = table(config)

    assert list(scores) == [*(name for name in OUTPUTS if name != "members"), "member 0", "member 1", "member 2"]
    assert {tuple(figures) for figures in scores.values()} == {("psnr", "ssim", "lpips-unweighted")}
    assert scores["fidelity"] == scores["member 0"]
    assert len({figures["psnr"] for figures in scores.values()}) > 5
    assert all(0 < figures["ssim"] <= 1 for figures in scores.values())
    # The weights were fitted on these very pictures, and RGB is nearly what PSNR's luma sees.
    assert scores["weighted"]["psnr"] >= max(scores[f"member {number}"]["psnr"] for number in range(3)) - 0.05


@quick
def test_without_validation_weights_come_from_training_pictures_and_nothing_is_scored(
    make: Config, caplog: pytest.LogCaptureFixture
) -> None:
    config = make(validation__folder=None)
    bundle = train(config)

    assert "weighted" in bundle.info.outputs
    assert not (folder_of(config) / "strategies.csv").exists()
    assert "weights are fitted on training pictures" in caplog.text


@quick
@pytest.mark.parametrize(
    ("section", "missing"),
    [
        ({"fusion_steps": 0}, {"fusion"}),
        ({"soup": False}, {"soup"}),
        ({"members": [{"steps": 2}, {"steps": 2, **GAN}]}, {"soup"}),
        ({"fidelity": False, "members": [{"steps": 2}, {"steps": 2}]}, {"frequency", "fidelity", "soup"}),
    ],
)
def test_what_is_not_made_is_not_an_output(make: Config, section: dict[str, Any], missing: set[str]) -> None:
    bundle = train(make(ensemble=section))

    assert set(OUTPUTS) - set(bundle.info.outputs) == missing


@quick
def test_a_soup_of_members_that_began_apart_is_left_out_with_the_reason(
    make: Config, caplog: pytest.LogCaptureFixture
) -> None:
    """Two networks of 2 steps each, from seeds of their own; then the same from one of them."""
    apart = train(make(ensemble={"fidelity": False, "members": [{"steps": 2}, {"steps": 2}]}))

    assert not apart.info.network_options["soup"]
    assert "no soup: its members did not start from the same weights (similarity" in caplog.text
    assert "network.init_from, or set ensemble.soup = false" in caplog.text

    caplog.clear()
    start = str(folder_of(make()) / "members/0/001/bundle")
    from_one = {"fidelity": False, "members": [{"steps": 2, "network": {"init_from": start}}] * 2}
    together = train(make(ensemble=from_one, output__name="together"))
    assert "soup" in together.info.outputs
    assert "there is no soup" not in caplog.text


@quick
def test_members_may_come_from_one_ancestor_by_any_way(make: Config, caplog: pytest.LogCaptureFixture) -> None:
    """A finished model as it is, one trained on from it, and one from that: names of parents that all differ."""
    start = train(make(ensemble={"fusion_steps": 0}))
    bundle = str(start.path.parent / "members/0/001/bundle")
    members = [
        {"recipe": "take", "network": {"init_from": bundle}},
        {"steps": 2, "network": {"init_from": bundle}},
        {"steps": 2, "network": {"init_from": "member 1"}},
    ]
    made = train(make(ensemble={"fidelity": False, "members": members}, output__name="kin"))

    assert made.info.network_options["soup"]
    assert "there is no soup" not in caplog.text


@quick
def test_the_same_configuration_gives_the_same_weights(make: Config) -> None:
    one, other = train(make(output__name="one")), train(make(output__name="other"))

    assert one.read("weights.safetensors") == other.read("weights.safetensors")
    assert one.info.network_options == other.info.network_options


@quick
def test_a_fusion_that_looks_through_a_network_says_so(make: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that were trained for PSNR only, so that the fusion alone has seen the features."""
    members = [{"recipe": "pretrain", "steps": 2}, {"recipe": "pretrain", "steps": 2, "seed": 9}]
    section = {"members": members, "fusion_steps": 3}
    plain = train(make(ensemble=section, output__name="plain"))
    looking = train(make(ensemble={**section, "fusion_perceptual": 0.5}, output__name="looking"))

    assert plain.info.provenance.loss_features == ()
    assert looking.info.provenance.loss_features == (SQUEEZENET,)
    weights = [load(bundle.read("weights.safetensors")) for bundle in (plain, looking)]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]) != name.startswith("fusion."), name


def test_mistakes_in_a_member_show_before_anything_is_trained(make: Config) -> None:
    config = make(ensemble={"members": [{}, {"steps": -1}]})

    with pytest.raises(InvalidConfig, match=r"ensemble\.members\.1\.steps"):
        train(config)
    assert not config.output.runs.exists()


def test_an_ensemble_is_no_network_for_the_other_recipes(make_config: Config) -> None:
    with pytest.raises(InvalidConfig, match='set recipe = "ensemble"'):
        train(make_config(network__name="ensemble", network__options={}))
