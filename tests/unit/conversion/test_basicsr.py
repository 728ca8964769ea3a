"""Options of BasicSR as training files: what is taken over, what is refused, and that nothing is passed over."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from srgan.config import checked
from srgan.conversion.basicsr import Imported, import_options
from srgan.errors import InvalidConfig
from srgan.training.config import TrainConfig

PSNR: dict[str, Any] = {
    "name": "mine",
    "model_type": "SRModel",
    "scale": 2,
    "num_gpu": 2,
    "manual_seed": 7,
    "datasets": {
        "train": {
            "type": "PairedImageDataset",
            "dataroot_gt": "high",
            "gt_size": 96,
            "use_flip": True,
            "use_rot": True,
            "batch_size_per_gpu": 4,
            "io_backend": {"type": "disk"},
        },
        "val": {"type": "PairedImageDataset", "dataroot_gt": "val", "io_backend": {"type": "disk"}},
    },
    "network_g": {"type": "MSRResNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 32, "num_block": 4, "upscale": 2},
    "train": {
        "ema_decay": 0.99,
        "optim_g": {"type": "Adam", "lr": 2e-4, "weight_decay": 0, "betas": [0.9, 0.99]},
        "scheduler": {"type": "CosineAnnealingRestartLR", "periods": [1000], "eta_min": 2e-7},
        "total_iter": 1000,
        "warmup_iter": 50,
        "pixel_opt": {"type": "MSELoss", "loss_weight": 2.0, "reduction": "mean"},
    },
    "val": {"val_freq": 100.0, "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 2}}},
    "logger": {"print_freq": 100, "save_checkpoint_freq": 250.0, "use_tb_logger": False},
}
GAN: dict[str, Any] = {
    **PSNR,
    "model_type": "SRGANModel",
    "network_d": {"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 16},
    "train": {
        **PSNR["train"],
        "optim_d": {"type": "Adam", "lr": "1e-4"},
        "perceptual_opt": {
            "type": "PerceptualLoss",
            "layer_weights": {"conv3_4": 0.5, "conv5_4": 1},
            "vgg_type": "vgg19",
            "perceptual_weight": 0.8,
            "criterion": "l1",
        },
        "gan_opt": {"type": "GANLoss", "gan_type": "lsgan", "loss_weight": 0.005, "real_label_val": 0.9},
        "net_d_iters": 2,
    },
}


def file(made: Imported) -> Any:
    """The training file that was made, checked."""
    return checked(TrainConfig, made.values, "options.yml")


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Imported]:
    """``imported(options, {"train.scheduler.type": "x"})``: the options with keys changed; None takes one away."""

    def make(options: dict[str, Any], changes: dict[str, Any] | None = None) -> Imported:
        options = copy.deepcopy(options)
        for key, value in (changes or {}).items():
            *above, last = key.split(".")
            here = options
            for part in above:
                here = here.setdefault(part, {})
            if value is None:
                here.pop(last, None)
            else:
                here[last] = value
        path = tmp_path / "options.yml"
        path.write_text(yaml.safe_dump(options))
        made = import_options(path)
        file(made)
        return made

    return make


def test_a_file_for_psnr_is_taken_over(imported: Callable[..., Imported]) -> None:
    made = file(imported(PSNR))

    assert (made.recipe, made.seed, made.steps, made.output.name) == ("pretrain", 7, 1000, "mine")
    assert (made.network.name, made.network.scale) == ("quality", 2)
    assert made.network.options == {"width": 32, "blocks": 4}
    assert (made.data.folders, made.data.patch, made.data.batch, made.data.augment) == ((Path("high"),), 48, 4, True)
    assert (made.validation.folder, made.validation.every) == (Path("val"), 100)
    assert made.validation.low_folder is None
    paired = imported(PSNR, {"datasets.val.dataroot_lq": "val-low"})
    assert file(paired).validation.low_folder == Path("val-low")
    assert (made.loss.pixel, made.loss.pixel_weight) == ("mse", 2.0)
    moved = made.optimiser
    assert (moved.kind, moved.learning_rate, moved.betas, moved.ema) == ("adam", 2e-4, (0.9, 0.99), 0.99)
    assert (moved.schedule, moved.warmup, moved.clip) == ("cosine", 50, 1e6)
    assert moved.final == pytest.approx(1e-3)
    assert (made.hardware.devices, made.output.checkpoint_every, made.output.tensorboard) == (2, 250, False)


@pytest.mark.parametrize("template", ["{}", "{}x2", "{}_x2"])
def test_names_of_small_pictures_that_are_found_here_too_are_taken(
    template: str, imported: Callable[..., Imported]
) -> None:
    made = imported(PSNR, {"datasets.train.dataroot_lq": "low", "datasets.train.filename_tmpl": template})
    assert file(made).data.low_folders == (Path("low"),)
    assert not [key for key in made.left_out if "filename_tmpl" in key]


def test_a_file_of_a_gan_is_taken_over(imported: Callable[..., Imported]) -> None:
    made = file(imported(GAN, {"datasets.train.dataroot_lq": "low", "network_d.skip_connection": True}))

    assert (made.recipe, made.data.low_folders) == ("adversarial", (Path("low"),))
    assert (made.discriminator.name, made.discriminator.options) == ("unet", {"width": 16})
    assert (made.discriminator.loss, made.discriminator.label) == ("lsgan", 0.9)
    # 1e-4 without a point is text in YAML; betas that are not given are torch's.
    assert (made.discriminator.learning_rate, made.discriminator.betas) == (1e-4, (0.9, 0.999))
    assert (made.loss.perceptual, made.loss.adversarial, made.loss.feature_distance) == (0.8, 0.005, "l1")
    assert (made.loss.features, made.loss.feature_layers) == ("vgg19", {"conv3_4": 0.5, "conv5_4": 1.0})
    # There each step of the discriminator counts, here each of the generator.
    assert (made.updates.discriminator, made.steps, made.optimiser.warmup, made.validation.every) == (2, 500, 25, 50)


def test_the_model_of_esrgan_is_relativistic(imported: Callable[..., Imported]) -> None:
    vanilla = {"model_type": "ESRGANModel", "train.gan_opt.gan_type": "vanilla"}
    assert file(imported(GAN, vanilla)).discriminator.loss == "ragan"
    assert file(imported(GAN, {"train.gan_opt.gan_type": "vanilla"})).discriminator.loss == "bce"
    with pytest.raises(InvalidConfig, match="relativistic game"):
        imported(GAN, {"model_type": "ESRGANModel"})


def test_milestones_become_fractions(imported: Callable[..., Imported]) -> None:
    scheduler = {"type": "MultiStepLR", "milestones": [250, 500, 2000], "gamma": 0.5}
    made = file(imported(PSNR, {"train.scheduler": scheduler})).optimiser
    assert (made.schedule, made.milestones, made.gamma) == ("steps", (0.25, 0.5), 0.5)


def test_restarts_keep_their_periods_and_weights(imported: Callable[..., Imported]) -> None:
    scheduler = {"type": "CosineAnnealingRestartLR", "periods": [250, 750], "restart_weights": [1, 0.5]}
    made = file(imported(PSNR, {"train.scheduler": {**scheduler, "eta_min": 2e-6}})).optimiser
    assert (made.schedule, made.periods, made.restart_weights) == ("restarts", (0.25, 0.75), (1.0, 0.5))
    assert made.final == pytest.approx(1e-2)
    with pytest.raises(InvalidConfig, match=r"optimiser: periods cover 0\.5 of the steps"):
        imported(PSNR, {"train.scheduler": {**scheduler, "periods": [250, 250]}})


def test_adamw_keeps_its_decay(imported: Callable[..., Imported]) -> None:
    changes = {"train.optim_g": {"type": "AdamW", "lr": 2e-4, "weight_decay": 0.02}, "train.optim_d.type": "AdamW"}
    made = file(imported(GAN, changes))
    assert (made.optimiser.kind, made.optimiser.weight_decay) == ("adamw", 0.02)
    assert (made.discriminator.optimiser, made.discriminator.weight_decay) == ("adamw", 0.01), "torch's default"
    assert file(imported(GAN)).discriminator.weight_decay is None


def test_a_discriminator_starts_from_its_file_where_the_layers_are_the_same(
    imported: Callable[..., Imported],
) -> None:
    weights = {"path.pretrain_network_d": "net_d.pth"}
    assert file(imported(GAN, weights)).discriminator.init_from == Path("net_d.pth")
    with pytest.raises(InvalidConfig, match=r"path\.pretrain_network_d: net_d\.pth: has other layers"):
        imported(GAN, {**weights, "network_d": {"type": "VGGStyleDiscriminator"}})


def test_numbers_may_be_text_as_yaml_has_it(imported: Callable[..., Imported]) -> None:
    """1e3 without a point is text in YAML 1.1."""
    stepping = {"type": "MultiStepLR", "milestones": ["1e2", 500], "restarts": ["0"]}
    made = file(imported(PSNR, {"train.scheduler": stepping, "train.total_iter": "1e3"}))
    assert (made.steps, made.optimiser.milestones) == (1000, (0.1, 0.5))
    assert file(imported(PSNR, {"train.scheduler.periods": ["1e3"]})).optimiser.schedule == "cosine"


@pytest.mark.parametrize(
    ("flips", "augment"),
    [
        ({"use_hflip": False, "use_rot": False}, False),
        ({"use_flip": False, "use_rot": False}, False),
        ({"use_hflip": True, "use_rot": True}, True),
        ({"use_rot": False}, False),
        ({}, True),
    ],
)
def test_only_flips_that_are_given_count(
    flips: dict[str, bool], augment: bool, imported: Callable[..., Imported]
) -> None:
    nothing = dict.fromkeys(("datasets.train.use_flip", "datasets.train.use_rot"))
    given = {f"datasets.train.{key}": value for key, value in flips.items()}
    assert file(imported(PSNR, nothing | given)).data.augment is augment


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train.scheduler.milestones", 1000, "a list of numbers, not 1000"),
        ("train.scheduler.milestones", ["late"], r"a list of numbers, not \['late'\]"),
        ("train.scheduler.milestones", "1000", "a list of numbers, not '1000'"),
        ("train.scheduler.restarts", 0, "a list of numbers, not 0"),
        ("train.net_d_iters", 0, "a whole number from 1, not 0"),
        ("train.net_d_iters", -1, "a whole number from 1, not -1"),
        ("train.total_iter", 0, "a whole number from 1, not 0"),
        ("train.total_iter", float("inf"), "a number, not inf"),
        ("train.total_iter", 10.5, "a whole number from 1, not 10.5"),
        ("scale", 0, "a whole number from 1, not 0"),
        ("datasets.train.gt_size", [96], r"a number, not \[96\]"),
        ("manual_seed", -3, "a whole number from 0, not -3"),
    ],
)
def test_what_is_no_such_number_is_refused(key: str, value: Any, said: str, imported: Callable[..., Imported]) -> None:
    changes = {"train.scheduler": {"type": "MultiStepLR", "milestones": [500]}, key: value}
    with pytest.raises(InvalidConfig, match=rf"options\.yml: {key}: must be {said}"):
        imported(GAN, changes)


def test_a_rate_of_zero_is_refused(imported: Callable[..., Imported]) -> None:
    with pytest.raises(InvalidConfig, match=r"optimiser\.learning_rate"):
        imported(PSNR, {"train.optim_g.lr": 0})


def test_what_has_no_counterpart_is_listed(imported: Callable[..., Imported]) -> None:
    made = imported(PSNR, {"datasets.train.num_worker_per_gpu": 6, "train.novel.thing": 3, "dist_params.port": 29500})

    assert made.left_out == (
        "datasets.train.num_worker_per_gpu",
        "dist_params.port",
        "logger.print_freq",
        "train.novel.thing",
    )
    assert [line.split(":")[0] for line in made.differences] == ["network_g", "val.metrics"]


def test_what_is_here_in_another_form_is_told(imported: Callable[..., Imported]) -> None:
    changes = {
        "name": "001_MSRResNet x4",
        "path.pretrain_network_g": "net.pth",
        "network_d": {"type": "VGGStyleDiscriminator", "num_feat": 8},
        "train.pixel_opt.type": "CharbonnierLoss",
    }
    made = imported(GAN, changes)

    assert file(made).output.name == "001_msrresnet-x4"
    assert file(made).discriminator.name == "srgan"
    told = " | ".join(made.differences)
    for part in ("001_msrresnet-x4", "net.pth", "network_d", "feature_weights", "pixel_opt.eps"):
        assert part in told


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "RealESRGANModel"),
        ("network_g.type", "RRDBNet"),
        ("network_g.num_in_ch", 1),
        ("network_g.upscale", 4),
        ("network_g.res_scale", 0.1),
        ("network_d.type", "StyleGAN2Discriminator"),
        ("datasets.train.type", "REDSDataset"),
        ("datasets.train.io_backend.type", "lmdb"),
        ("datasets.train.filename_tmpl", "{}x4"),
        ("datasets.train.filename_tmpl", "{}_LR"),
        ("datasets.train.filename_tmpl", "x2{}"),
        ("datasets.train.meta_info_file", "list.txt"),
        ("datasets.train.gt_size", 97),
        ("datasets.train.use_rot", False),
        ("datasets.train.dataroot_gt", None),
        ("train.optim_g.type", "Adamax"),
        ("train.optim_g.weight_decay", 0.01),
        ("train.optim_g.lr", "fast"),
        ("train.optim_d.type", "SGD"),
        ("train.scheduler.type", "LinearLR"),
        ("train.pixel_opt.type", "HuberLoss"),
        ("train.pixel_opt.reduction", "sum"),
        ("train.perceptual_opt.vgg_type", "resnet"),
        ("train.perceptual_opt.style_weight", 1),
        ("train.perceptual_opt.criterion", "fro"),
        ("train.perceptual_opt.range_norm", True),
        ("train.gan_opt.gan_type", "wgan"),
        ("train.gan_opt.fake_label_val", 0.1),
        ("train.net_d_init_iters", 1000),
        ("train.total_iter", 1001),
    ],
)
def test_what_would_mean_something_else_is_refused(key: str, value: Any, imported: Callable[..., Imported]) -> None:
    with pytest.raises(InvalidConfig, match=key.rpartition(".")[2]):
        imported(GAN, {key: value})


def test_all_refusals_come_at_once(imported: Callable[..., Imported]) -> None:
    changes = {"network_g.type": "SwinIR", "train.optim_g.type": "Lion", "datasets.train.io_backend.type": "lmdb"}
    with pytest.raises(InvalidConfig) as caught:
        imported(PSNR, changes)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all("options.yml: " in line for line in lines)
    assert "there are counterparts of MSRResNet, EDSR" in str(caught.value)


def test_values_that_are_out_of_range_here_are_told(imported: Callable[..., Imported]) -> None:
    with pytest.raises(InvalidConfig, match=r"(?s)network\.scale: .*\(options\.yml\).*discriminator\.label"):
        imported(GAN, {"scale": 32, "network_g.upscale": None, "train.gan_opt.real_label_val": 1.2})


@pytest.mark.parametrize("text", ["a: [", "- 1", "just text", "name: x"])
def test_other_files_are_no_options(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text(text)
    with pytest.raises(InvalidConfig, match=r"other\.yml"):
        import_options(tmp_path / "other.yml")
    with pytest.raises(InvalidConfig, match="cannot be read"):
        import_options(tmp_path / "missing.yml")
