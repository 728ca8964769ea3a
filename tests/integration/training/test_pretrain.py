"""The recipe `pretrain` as a whole: it learns, says what is wrong, and ends in a bundle."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load, load_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import CannotWrite, InvalidConfig, InvalidDataset, ModelNotFound, TrainingFailed  # noqa: E402
from srgan.models import Bundle  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.training import losses, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.job import TrainStep  # noqa: E402
from srgan.training.runs import config_hash  # noqa: E402

Config = Callable[..., TrainConfig]
Pictures = Callable[..., Path]
quick = pytest.mark.usefixtures("quick_export")


class Stop(Exception):
    """Stands for a crash."""


def last_checkpoint(config: TrainConfig, version: str = "001") -> dict[str, torch.Tensor]:
    folder = config.output.runs / config.output.name / version / "checkpoints"
    return load_file(max(folder.glob("*.safetensors")))


# ---------------------------------------------------------------------------------------------------------- learning


@quick
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("fast", {"width": 16, "blocks": 1}),
        ("fast", {"width": 16, "blocks": 1, "expanded": True}),
        ("turbo", {"width": 32, "depth": 2}),
        ("balanced", {"width": 16, "blocks": 1}),
        ("srresnet", {"width": 16, "blocks": 1}),
    ],
    ids=["fast", "fast expanded", "turbo", "balanced", "srresnet"],
)
def test_two_patches_are_learnt_by_heart(
    network: str, options: dict[str, Any], make_config: Config, make_pictures: Pictures
) -> None:
    folder = make_pictures((16, 16), (16, 16))
    config = make_config(
        steps=120,
        data__folders=[folder],
        data__patch=8,
        data__tile=32,
        data__augment=False,
        network__name=network,
        network__scale=2,
        network__options=options,
        optimiser__kind="muon",
        optimiser__learning_rate=5e-3,
        optimiser__muon_learning_rate=2e-2,
    )
    heard: list[TrainStep] = []

    train(config, report=heard.append)

    assert [status.done for status in heard] == [0, 20, 40, 60, 80, 100, 120]
    assert heard[-1].loss < 0.3 * heard[1].loss
    assert heard[-1].loss < 0.01


@quick
def test_the_status_tells_how_far_it_is(make_config: Config, pictures: Path) -> None:
    heard: list[TrainStep] = []
    train(make_config(steps=50, validation__folder=pictures, validation__every=30), report=heard.append)

    assert [(s.done, s.total) for s in heard] == [(0, 50), (20, 50), (40, 50), (50, 50)]
    assert heard[1].psnr is None
    assert heard[2].psnr is not None
    assert heard[2].psnr > 10
    assert all(s.unit == "steps" for s in heard)
    assert math.isnan(heard[0].loss)
    assert all(s.loss > 0 for s in heard[1:])
    assert heard[0].note == ""
    assert re.fullmatch(r"loss [\d.]+, \d+\.\d steps/s", heard[1].note)
    assert re.fullmatch(r"loss [\d.]+, PSNR \d\d\.\d\d dB, \d+\.\d steps/s", heard[-1].note)


@quick
def test_an_even_grid_and_spectra_and_squares(make_config: Config) -> None:
    """The less common settings together, with a patch that is no power of two."""
    config = make_config(
        steps=12,
        network__name="turbo",
        network__scale=3,
        network__options={"width": 16, "depth": 1},
        data__patch=10,
        data__tile=66,
        data__min_detail=4.0,
        loss__pixel="charbonnier",
        loss__fft=0.05,
        loss__mse_after=0.5,
    )

    assert train(config).info.scale == 3


# --------------------------------------------------------------------------------------------------- what goes wrong


@quick
def test_steps_whose_gradient_is_not_finite_are_left_out(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    def sometimes_bad(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss = torch.nn.functional.l1_loss(output, target)
        return loss * float("nan") if calls in (3, 4, 27) else loss

    monkeypatch.setitem(losses.PIXEL_LOSSES, "l1", sometimes_bad)
    config = make_config(network__name="srresnet", network__options={"width": 8, "blocks": 1}, steps=40)
    with caplog.at_level(logging.WARNING, "srgan"):
        train(config)

    assert calls == 40
    assert "up to step 20: 2 steps were left out" in caplog.text
    assert "up to step 40: 1 steps were left out" in caplog.text
    state = last_checkpoint(config)
    assert all(value.isfinite().all() for value in state.values() if value.is_floating_point())
    # Adam counted the steps that it took.
    assert state["optimisers/generator/0/0/step"] == 37


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_training_gives_up_when_no_step_can_be_taken(
    kind: str, make_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(losses.PIXEL_LOSSES, "l1", lambda output, target: (output - target).sum() * float("inf"))
    config = make_config(steps=200, optimiser__kind=kind, output__checkpoint_every=5)

    complaint = r"at step 20 the gradient was not finite for 20 steps in a row, and after going back 3 times"
    with pytest.raises(TrainingFailed, match=complaint):
        train(config)

    saved = last_checkpoint(config)
    torch.manual_seed(config.seed)
    fresh = build("fast", 4, width=16, blocks=1)
    assert all(torch.equal(value, saved[f"networks/generator/{name}"]) for name, value in fresh.state_dict().items())


def test_mistakes_show_before_anything_is_decoded_or_written(
    make_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srgan.training.data.TileStore.fill", lambda *_: pytest.fail("decoded"))
    (tmp_path / "none").mkdir()
    Image.new("RGB", (10, 10)).save(tmp_path / "tiny.png")
    for changes, error, complaint in [
        ({"network__name": "huge"}, InvalidConfig, "There is no network 'huge'"),
        ({"network__scale": 5, "data__tile": 65}, InvalidConfig, "scales 2, 3, 4, 8, not 5"),
        (
            {"network__options": {"depth": 3}},
            InvalidConfig,
            "network.options: network 'fast': there is no option 'depth'; there are: width, blocks, channels, expanded",
        ),
        ({"network__options": {"width": "x"}}, InvalidConfig, "network.options: network 'fast': width must be a whole"),
        ({"network__scale": 16, "data__tile": 512}, InvalidConfig, "^network 'fast' comes in the scales"),
        ({"network__options": {"scale": 3}}, InvalidConfig, "scale"),
        ({"network__options": {"channels": 1}}, InvalidConfig, "training pictures have 3 channels, not 1"),
        (
            {"network__name": "turbo", "network__options": {}, "data__patch": 9},
            InvalidConfig,
            r"data\.patch: 'turbo' takes multiples of 2, not 9",
        ),
        ({"network__init_from": "nobody"}, ModelNotFound, "There is no model 'nobody'"),
        ({"validation__folder": tmp_path / "none"}, InvalidDataset, "there are no pictures in this folder"),
        ({"validation__folder": tmp_path}, InvalidDataset, r"validation.folder: .*no picture here can be used"),
        ({"data__folders": [tmp_path / "missing"]}, InvalidDataset, "no such folder of pictures"),
        ({"data__folders": [tmp_path]}, InvalidDataset, "no picture can be used"),
    ]:
        with pytest.raises(error, match=complaint):
            train(make_config(**changes))

    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there(make_config: Config) -> None:
    with pytest.raises(InvalidConfig, match=r"hardware\.device: this machine or this build of torch has no cuda"):
        train(make_config(hardware__device="cuda"))


def test_a_place_that_cannot_be_written(make_config: Config, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(CannotWrite, match="runs"):
        train(make_config())


# -------------------------------------------------------------------------------------------------------- the bundle


def test_the_end_is_a_bundle_with_every_form_and_its_provenance(make_config: Config, pictures: Path) -> None:
    """With the real export: whoever has the bundle can run it on any engine."""
    for library in ("onnx", "onnxruntime", "pnnx", "ncnn"):
        pytest.importorskip(library)
    config = make_config(
        network__options={"width": 16, "blocks": 1, "expanded": True},
        output__family="tiny",
        output__description="A model for a test.",
        output__licence="CC0-1.0",
        output__corpus="three made-up pictures",
        seed=7,
    )

    bundle = train(config)

    opened = Bundle.open(config.output.runs / "tiny" / "001" / "bundle")
    assert opened == bundle
    opened.verify()
    assert set(opened.info.files) == {"model.ncnn.param", "model.ncnn.bin", "model.onnx", "weights.safetensors"}
    info = opened.info
    assert (info.name, info.family, info.description) == ("tiny", "tiny", "A model for a test.")
    assert (info.network, info.network_options, info.scale) == ("fast", {"width": 16, "blocks": 1}, 4)
    assert (info.radius, info.multiple, info.channels, info.licence) == (5, 1, 3, "CC0-1.0")
    network = build(info.network, info.scale, **info.network_options)
    assert info.parameters == sum(p.numel() for p in network.parameters())
    assert info.macs_per_pixel > 1000
    assert info.working_bytes_per_pixel > 100
    source = info.provenance
    assert (source.corpus, source.recipe, source.config) == ("three made-up pictures", "pretrain", "tiny")
    assert (source.config_sha256, source.steps, source.seed) == (config_hash(config), 40, 7)
    assert "CPU, 1 thread, 0 minutes, torch" in source.trained_on
    network.load_state_dict(load(opened.read("weights.safetensors")))


@quick
def test_the_bundle_holds_the_averaged_weights(make_config: Config) -> None:
    config = make_config(optimiser__ema=0.95)
    bundle = train(config)

    weights, saved = load(bundle.read("weights.safetensors")), last_checkpoint(config)
    assert all(torch.equal(value, saved[f"averages/generator/{name}"]) for name, value in weights.items())
    assert not torch.equal(saved["averages/generator/stem.weight"], saved["networks/generator/stem.weight"])


@quick
def test_the_corpus_is_counted_when_nobody_describes_it(make_config: Config) -> None:
    assert train(make_config(steps=2)).info.provenance.corpus == "3 pictures, 0 megapixels"


def test_an_export_that_failed_is_made_up_for_without_training_again(
    make_config: Config, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    def fail(*_: Any) -> dict[str, bytes]:
        raise Stop

    config = make_config()
    with monkeypatch.context() as patch:
        patch.setattr("srgan.networks.export.export_forms", fail)
        with pytest.raises(Stop):
            train(config)
    request.getfixturevalue("quick_export")
    monkeypatch.setattr("srgan.training.data.TileStore.fill", lambda *_: pytest.fail("decoded again"))

    assert train(config).path == config.output.runs / "tiny" / "001" / "bundle"


@quick
def test_curves_are_drawn_for_tensorboard(make_config: Config, pictures: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = make_config(output__tensorboard=True, validation__folder=pictures, validation__every=40)
    train(config)

    events = EventAccumulator(str(config.output.runs / "tiny" / "001"))
    events.Reload()
    points = {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert points["loss"] == points["learning rate"] == points["gradient norm"] == [20, 40]
    assert points["validation/psnr"] == points["validation/ssim"] == [40]
