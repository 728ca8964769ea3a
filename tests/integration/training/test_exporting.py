"""A model out of a checkpoint, while the run it belongs to goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file, save_file  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import CannotWrite, InvalidConfig, TrainingFailed  # noqa: E402
from srgan.models import Bundle  # noqa: E402
from srgan.training import export_checkpoint, train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402

Config = Callable[..., TrainConfig]
pytestmark = pytest.mark.usefixtures("quick_export")

WEIGHTS = "weights.safetensors"


@pytest.fixture
def trained(make_config: Config) -> Path:
    """The folder of a finished run with checkpoints of steps 20, 30 and 40."""
    config = make_config(output__checkpoint_every=10, output__keep=3, output__licence="MIT", output__corpus="blobs")
    return train(config).path.parent


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def weights(bundle: Path) -> dict[str, Any]:
    return load_file(bundle / WEIGHTS)


def test_the_last_checkpoint_gives_the_weights_of_the_finished_model(trained: Path, tmp_path: Path) -> None:
    before = content(trained)
    bundle = export_checkpoint(trained, tmp_path / "model")
    made = Bundle.open(trained / "bundle")

    assert bundle.read(WEIGHTS) == made.read(WEIGHTS)
    own = made.info.provenance.model_copy(update={"trained_on": bundle.info.provenance.trained_on})
    assert bundle.info.provenance == own
    assert bundle.info.model_dump(exclude={"provenance"}) == made.info.model_dump(exclude={"provenance"})
    assert bundle.info.provenance.trained_on.startswith("step 40 of 40, 0 minutes, exported with torch ")
    assert content(trained) == before  # it was only read


def test_an_earlier_step_has_other_weights_and_says_so(trained: Path, tmp_path: Path) -> None:
    bundle = export_checkpoint(trained, tmp_path / "model.zip", step=20)

    assert bundle.info.provenance.steps == 20
    assert bundle.read(WEIGHTS) != Bundle.open(trained / "bundle").read(WEIGHTS)


def test_the_folder_of_several_versions_means_the_last(make_config: Config, tmp_path: Path) -> None:
    for seed in (1, 2):
        train(make_config(seed=seed, steps=4))

    assert export_checkpoint(tmp_path / "runs" / "tiny", tmp_path / "model").info.provenance.seed == 2


def test_the_best_is_that_of_the_best_validation(
    make_config: Config, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    scores = iter([30.0, 35.0, 31.0, 32.0])
    monkeypatch.setattr("srgan.training.validation.Validator.score", lambda *_: {"psnr": next(scores), "ssim": 0.5})
    run = train(make_config(validation__folder=pictures, validation__every=10, output__keep=1)).path.parent

    assert export_checkpoint(run, tmp_path / "best", best=True).info.provenance.steps == 20
    assert export_checkpoint(run, tmp_path / "last").info.provenance.steps == 40
    (run / "checkpoints" / "step-00000020.safetensors").unlink()
    with caplog.at_level(logging.WARNING, "srgan"):
        assert export_checkpoint(run, tmp_path / "other", best=True).info.provenance.steps == 40
    assert "the best checkpoint is gone" in caplog.text


def test_a_gan_says_what_its_losses_looked_through(make_config: Config, tmp_path: Path) -> None:
    rival = {"name": "patch", "options": {"width": 8}}
    config = make_config(recipe="adversarial", steps=2, data__patch=16, loss={"perceptual": 0.5}, discriminator=rival)
    run = train(config).path.parent
    bundle = export_checkpoint(run, tmp_path / "model")

    assert bundle.info.provenance.loss_features == Bundle.open(run / "bundle").info.provenance.loss_features
    assert "SqueezeNet" in bundle.info.provenance.loss_features[0]


def test_checkpoints_of_the_first_form_are_read(trained: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    last = trained / "checkpoints" / "step-00000040.safetensors"
    with safe_open(last, "pt") as file:
        said = file.metadata()
    old = {key.replace("averages/generator/", "average/"): value for key, value in load_file(last).items()}
    save_file(old, last, said)

    assert export_checkpoint(trained, tmp_path / "model").read(WEIGHTS) == (trained / "bundle" / WEIGHTS).read_bytes()


def test_what_cannot_be_exported_says_why(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no checkpoint of step 7; it has those of 20, 30, 40"):
        export_checkpoint(trained, tmp_path / "model", step=7)
    with pytest.raises(InvalidConfig, match="is no run of a training"):
        export_checkpoint(tmp_path / "nowhere", tmp_path / "model")
    with pytest.raises(CannotWrite, match="exists already"):
        export_checkpoint(trained, trained)
    (trained / "checkpoints" / "step-00000040.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      torn")
    with pytest.raises(TrainingFailed, match=r"00000040.* cannot be read"):
        export_checkpoint(trained, tmp_path / "model")
    (trained / "config.json").write_text("{}")
    with pytest.raises(InvalidConfig, match=r"no valid config\.json"):
        export_checkpoint(trained, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_run_without_checkpoints_says_so(trained: Path, tmp_path: Path) -> None:
    for path in (trained / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(InvalidConfig, match="has no checkpoint of one network"):
        export_checkpoint(trained, tmp_path / "model")


def test_a_checkpoint_of_another_network_is_refused(trained: Path, tmp_path: Path) -> None:
    config = TrainConfig.model_validate_json((trained / "config.json").read_text())
    network = config.network.model_copy(update={"options": {"width": 32, "blocks": 1}})
    (trained / "config.json").write_text(config.model_copy(update={"network": network}).model_dump_json())
    with pytest.raises(InvalidConfig, match="another network than its"):
        export_checkpoint(trained, tmp_path / "model")
