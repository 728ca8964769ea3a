"""The recipe `latent` as a whole, with tiny networks: all phases, going on bit for bit, and what it leaves behind."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("lightning_fabric", reason="training needs lightning-fabric")

from safetensors.numpy import load_file

from srgan.errors import Cancelled, InvalidDataset
from srgan.generation.making import find_refiner
from srgan.models import find_model
from srgan.progress import Step, Stop
from srgan.training import TrainConfig, TrainJob, train

Make = Callable[..., TrainConfig]
NARROW = {
    "netRS": {"widths": [4, 4, 4]},
    "netG2": {"widths": [4, 4, 4], "finest": 4},
    "netG1": {"z": 6, "width": 8},
    "netD1": {"width": 8},
    "RefinerG": {"width": 4, "deep": 4},
    "RefinerD": {"width": 4},
}
ORIGIN = {role: {"width": 2} for role in NARROW} | {"netG1": {"z": 6, "width": 2}, "RefinerG": {"width": 4}}
PHASES = ("autoencoder", "decoder", "gan", "refiner")


def figure(side: int, seed: int) -> Image.Image:
    """Two discs of flat colours on a flat ground."""
    random = np.random.default_rng(seed)
    colours = random.integers(0, 256, (3, 3))
    rows, columns = np.mgrid[:side, :side] / side
    pixels = np.broadcast_to(colours[0], (side, side, 3)).copy()
    for colour, radius in zip(colours[1:], (0.35, 0.15), strict=True):
        y, x = random.uniform(0.35, 0.65, 2)
        pixels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = colour
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="session")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of 64 pixels in two classes, and 16 of 512."""
    folder = tmp_path_factory.mktemp("figures")
    for name, side, count in (("small/a", 64, 12), ("small/b", 64, 12), ("large", 512, 16)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            figure(side, number + 100 * ("b" in name)).save(folder / name / f"{number:02d}.png")
    return folder


@pytest.fixture
def make(tmp_path: Path, figures: Path, quick_export: None, monkeypatch: pytest.MonkeyPatch) -> Make:
    """The smallest run, on one thread; ``section__key=value`` changes it. Exports are the trainable form alone."""
    from safetensors.torch import save

    def latent_forms(generator: Any, decoder: Any, encoder: Any, info: Any) -> dict[str, bytes]:
        parts = {"netG1": generator, "netG2": decoder, "netRS": encoder}
        named = {f"{role}.{key}": value for role, part in parts.items() for key, value in part.state_dict().items()}
        return {"weights.safetensors": save({key: value.clone().contiguous() for key, value in named.items()})}

    monkeypatch.setattr("srgan.networks.latent.export.latent_forms", latent_forms)
    monkeypatch.setattr("srgan.training.latent.judging.REFINED", 1)
    monkeypatch.setattr("srgan.training.latent.refining.GENERATED", 8)

    def make(**changes: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "recipe": "latent",
            "steps": 14,
            "phases": {"autoencoder": 4, "decoder": 3, "gan": 4, "refiner": 3},
            "data": {"folders": [figures / "small"], "batch": 2},
            "refiner": {"folders": [figures / "large"], "batch": 4, "patch": 8, "made": 0.5, "adversarial_from": 0.4},
            "parts": {"options": NARROW},
            "gan": {"batch": 4},
            "validation": {"every": 1000},
            "hardware": {"device": "cpu", "precision": "fp32", "threads": 1},
            "output": {"runs": tmp_path / "runs", "name": "tiny", "tensorboard": False, "samples": 0},
        }
        for path, value in changes.items():
            section, _, key = path.rpartition("__")
            (values.setdefault(section, {}) if section else values)[key] = value
        return TrainConfig.model_validate(values)

    return make


def weights(run: Path) -> dict[str, np.ndarray]:
    """All numbers of the last checkpoints of all phases, and of both bundles."""
    paths = [max((run / phase / "checkpoints").glob("*")) for phase in PHASES if (run / phase).is_dir()]
    paths += [folder / "weights.safetensors" for folder in (run / "bundle", run / "tiny-refiner-x8")]
    return {f"{path.relative_to(run)}/{key}": value for path in paths for key, value in load_file(path).items()}


def test_all_phases_leave_two_models_curves_and_a_manifest(make: Make, tmp_path: Path) -> None:
    steps: list[Step] = []
    config = make(output__samples=1, output__tensorboard=True, output__publish=tmp_path / "models")

    bundle = train(config, report=steps.append)

    run = tmp_path / "runs" / "tiny" / "001"
    assert bundle.path == run / "bundle"
    assert bundle.info.latent is not None
    assert (bundle.info.latent.noise, bundle.info.latent.refiner) == (6, "tiny-refiner-x8")
    assert bundle.info.network_options["netG1"] == {"form": "narrow", "z": 6, "width": 8, "coordinates": 4}
    assert bundle.info.provenance.loss_features == ("SqueezeNet 1.1 (ImageNet, Caffe release)",)
    refiner = find_refiner(bundle, None).info
    assert (refiner.name, refiner.network, refiner.scale, refiner.provenance.steps) == (
        "tiny-refiner-x8",
        "refiner",
        8,
        3,
    )
    assert (refiner.provenance.corpus, bundle.info.provenance.corpus) == ("8 pictures", "16 pictures")
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total == 14
    for phase in PHASES:
        assert list((run / phase / "samples").glob("*.png")), phase
        assert list((run / phase).glob("events.*")), phase
        assert "fd-squeeze" in (run / phase / "curve.csv").read_text() or phase == "refiner"
    manifest = json.loads((run / "manifest.json").read_text())
    assert {"floor", "reconstructions", "samples", "release grade", "collapsed"} <= set(manifest)
    assert manifest["distance"] == manifest["samples"]["fd-squeeze"]
    assert find_model(tmp_path / "models" / "tiny").info.latent == bundle.info.latent
    assert find_model(tmp_path / "models" / "tiny-refiner-x8").info.scale == 8


def test_a_run_that_is_stopped_in_every_phase_goes_on_bit_for_bit(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With augmented pictures, so that all random numbers count."""
    how: dict[str, Any] = {"diff_augment": ["colour", "translation", "cutout"], "output__checkpoint_every": 1}
    train(make(**how, output__runs=tmp_path / "whole"))
    config = make(**how)
    monkeypatch.setattr("srgan.training.loop.REPORT_EVERY", 1)
    for at in (2, 5, 9, 12):
        stop = Stop()

        def halt(step: Step, at: int = at, stop: Stop = stop) -> None:
            if step.done >= at:
                stop.set()

        with pytest.raises(Cancelled, match="continue"):
            train(config, report=halt, stop=stop)
    run = tmp_path / "runs" / "tiny" / "001"
    assert not (run / "bundle").exists()
    train(config)

    assert not (run.parent / "002").exists()
    mine, theirs = weights(run), weights(tmp_path / "whole" / "tiny" / "001")
    assert mine.keys() == theirs.keys()
    assert [key for key in mine if not np.array_equal(mine[key], theirs[key])] == []


def test_networks_of_the_origin_train_too(make: Make, figures: Path) -> None:
    forms = dict.fromkeys(NARROW, "origin")
    config = make(
        steps=4,
        phases=dict.fromkeys(PHASES, 1),
        parts={"forms": forms, "options": ORIGIN},
        refiner={"folders": [figures / "large"], "batch": 2, "patch": 64, "made": 0.5, "adversarial_from": 0.0},
    )
    info = train(config).info
    assert info.network_options["netG1"] == {"form": "origin", "z": 6, "width": 2}


def test_wasserstein_game_with_penalty_and_more_steps_of_the_critic(make: Make, tmp_path: Path) -> None:
    from srgan.training.state import plain_of

    config = make(
        phases={"autoencoder": 2, "decoder": 0, "gan": 4, "refiner": 0},
        steps=6,
        gan={"batch": 4, "loss": "wgan-gp"},
        updates={"generator": 2, "discriminator": 3},
        validation__every=1,
    )
    info = train(config).info
    run = tmp_path / "runs" / "tiny" / "001"
    assert info.latent is not None
    assert info.latent.refiner == ""
    assert not list(run.glob("*refiner*"))
    plain = plain_of(max((run / "gan" / "checkpoints").glob("*")))
    assert (plain["step"], plain["turns"]) == (4, {"netD1": 6})
    norms = [key for key in load_file(max((run / "gan" / "checkpoints").glob("*"))) if "parametrizations" in key]
    assert norms == [], "a gradient penalty excludes spectral norm"


def test_a_collapsed_generator_is_told_of_and_never_the_best(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from srgan.training.state import plain_of

    with caplog.at_level(logging.WARNING, "srgan"):
        train(
            make(steps=4, gan__rate=0.001, phases={"autoencoder": 2, "decoder": 0, "gan": 2, "refiner": 0})
        )  # as good as untrained: all look alike
    run = tmp_path / "runs" / "tiny" / "001"
    assert "times as much as real pictures do" in caplog.text
    assert "it cannot be the best" in caplog.text
    assert "no checkpoint was found to be the best" in caplog.text
    assert plain_of(max((run / "gan" / "checkpoints").glob("*")))["best_step"] == 0
    manifest = json.loads((run / "manifest.json").read_text())
    assert (bool(manifest["collapsed"]), manifest["release grade"]) == (True, False)


def test_pictures_that_are_too_few_or_too_small_are_told_before_training(make: Make, figures: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"data\.folders: no picture has 512 pixels a side"):
        train(make(refiner={"batch": 2, "patch": 8}))
    with pytest.raises(InvalidDataset, match=r"data\.folders: 2 pictures to train on and 8 held out are too few"):
        train(make(data={"folders": [figures / "small"], "max_pictures": 10}))
    with pytest.raises(InvalidDataset, match="24 of these pictures are training pictures too"):
        train(make(validation__folder=figures / "small"))
    with pytest.raises(InvalidDataset, match=r"more than data\.memory_gib = 0\.0001; raise it, or use fewer"):
        train(make(data={"folders": [figures / "small"], "memory_gib": 1e-4}))


def test_another_run_of_the_same_is_the_same_one(make: Make, tmp_path: Path) -> None:
    """Where it is finished, a new version is begun; settings that change the weights make one too."""
    config = make(phases__refiner=0, phases__decoder=0)
    train(TrainJob(config=config))
    train(TrainJob(config=config))
    runs = sorted(path.name for path in (tmp_path / "runs" / "tiny").iterdir())
    assert runs == ["001", "002"]
    first, second = (load_file(tmp_path / "runs" / "tiny" / run / "bundle" / "weights.safetensors") for run in runs)
    assert all(np.array_equal(first[key], second[key]) for key in first)
