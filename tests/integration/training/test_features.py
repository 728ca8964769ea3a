"""The perceptual loss: torchvision's VGG layer by layer, the shipped network, and mistakes in the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from torch import nn  # noqa: E402 (torch first: without it nothing here can run)

from srgan.errors import CorruptModel, InvalidConfig  # noqa: E402
from srgan.metrics.perceptual import feature_distance  # noqa: E402
from srgan.metrics.squeezenet import squeezenet  # noqa: E402
from srgan.networks.discriminators import build_discriminator  # noqa: E402
from srgan.networks.pickled import read_pickled  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import LossSection, TrainConfig  # noqa: E402
from srgan.training.features import VGG_BLOCKS, PerceptualLoss, Vgg, check_patch  # noqa: E402


def torchvision_features(name: str) -> nn.Sequential:
    """The `features` of torchvision's VGG, laid out by hand: its names are what the weights' file uses."""
    layers: list[nn.Module] = []
    inputs = 3
    for count, outputs in zip(VGG_BLOCKS[name], (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def vgg() -> Iterator[tuple[nn.Sequential, Path]]:
    """VGG19 with random weights, and the name of their file: 80 MB that nobody has to write and read."""
    torch.manual_seed(0)
    features = torchvision_features("vgg19")
    weights = {f"features.{key}": value for key, value in features.state_dict().items()}
    path = Path("vgg19-random.pth")

    def read(asked: Path, where: str) -> dict[str, Any]:
        return weights if asked == path else read_pickled(asked, where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("srgan.training.features.read_pickled", read)
        yield features, path


@pytest.mark.parametrize(("layer", "number"), [("conv1_2", 2), ("relu2_2", 8), ("conv5_4", 34), ("relu5_4", 35)])
def test_layers_are_those_of_torchvision(vgg: tuple[nn.Sequential, Path], layer: str, number: int) -> None:
    """``number`` counts torchvision's layers: conv5_4 before the ReLU is features[34], known from ESRGAN."""
    features, path = vgg
    picture = torch.rand(1, 3, 32, 32)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    spread = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)

    (found,) = Vgg("vgg19", (layer,)).load(path, "vgg19")(picture)

    with torch.no_grad():
        wanted = features[: number + 1]((picture - mean) / spread)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_vgg54_is_the_paper_loss(vgg: tuple[nn.Sequential, Path]) -> None:
    """The default layer of vgg19 with `mse`: the mean squared difference after the last activation."""
    _, path = vgg
    loss = PerceptualLoss(LossSection(features="vgg19", feature_weights=path, feature_distance="mse"))
    a, b = torch.rand(2, 1, 3, 32, 32)
    network = Vgg("vgg19", ("relu5_4",)).load(path, "vgg19")

    assert loss(a, b).item() == pytest.approx((network(a)[0] - network(b)[0]).square().mean().item(), rel=1e-5)
    assert "VGG19" in loss.name
    assert "relu5_4" in loss.name


def test_layers_are_weighted(vgg: tuple[nn.Sequential, Path]) -> None:
    _, path = vgg

    def loss(**layers: float) -> float:
        section = LossSection(features="vgg19", feature_weights=path, feature_layers=layers, feature_distance="l1")
        return float(PerceptualLoss(section)(a, b))

    a, b = torch.rand(2, 1, 3, 16, 16)
    assert loss(conv1_1=0.5, conv2_1=2.0) == pytest.approx(0.5 * loss(conv1_1=1) + 2 * loss(conv2_1=1), rel=1e-5)


def test_the_shipped_network_compares_as_the_metric_does() -> None:
    loss = PerceptualLoss(LossSection())
    a, b = torch.rand(2, 2, 3, 32, 32)

    assert loss(a, b).item() == pytest.approx(feature_distance(squeezenet(), a, b).mean().item(), rel=1e-5)
    assert "SqueezeNet" in loss.name


@pytest.mark.parametrize("features", ["squeezenet", "vgg19"])
def test_opening_a_network_draws_no_random_numbers(features: Any, vgg: tuple[nn.Sequential, Path]) -> None:
    """Else a run would depend on who had asked for the network before."""
    squeezenet.cache_clear()
    before = torch.get_rng_state()
    PerceptualLoss(LossSection(features=features, feature_weights=None if features == "squeezenet" else vgg[1]))

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("share", "count"), [(1.0, 6), (0.5, 3), (0.3, 2), (0.01, 1)])
def test_a_share_of_the_batch_is_the_loss_of_its_first_patches(share: float, count: int) -> None:
    whole, part = PerceptualLoss(LossSection()), PerceptualLoss(LossSection(perceptual_share=share))
    output, target = torch.rand(6, 3, 32, 32, requires_grad=True), torch.rand(6, 3, 32, 32)
    before = torch.get_rng_state()

    loss = part(output, target)
    loss.backward()

    assert torch.equal(torch.get_rng_state(), before)
    assert loss.item() == pytest.approx(whole(output[:count], target[:count]).item(), rel=1e-6)
    assert output.grad is not None
    assert [bool(gradient.any()) for gradient in output.grad] == [number < count for number in range(6)]


def test_a_share_of_the_batch_is_right_on_average() -> None:
    """Each patch comes first as often as any other: then the loss and its gradient are those of the whole batch."""
    whole, part = PerceptualLoss(LossSection()), PerceptualLoss(LossSection(perceptual_share=0.5))
    output, target = torch.rand(4, 3, 32, 32, requires_grad=True), torch.rand(4, 3, 32, 32)
    (wanted,) = torch.autograd.grad(whole(output, target), output)

    losses = torch.stack([part(output.roll(k, 0), target.roll(k, 0)) for k in range(4)])
    (gradient,) = torch.autograd.grad(losses.mean(), output)

    assert losses.mean().item() == pytest.approx(whole(output, target).item(), rel=1e-5)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("form", ["unit", "l1", "mse"])
def test_the_gradient_reaches_the_picture_and_not_the_weights(form: Any) -> None:
    loss = PerceptualLoss(LossSection(feature_distance=form))
    output = torch.rand(1, 3, 32, 32, requires_grad=True)

    loss(output, torch.rand(1, 3, 32, 32)).backward()

    assert output.grad is not None
    assert output.grad.abs().max() > 0
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())
    assert not loss.train().network.training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "vgg19"}, "loss.feature_weights"),
        ({"feature_layers": {"conv1_1": 1.0}}, "only for vgg16 and vgg19"),
        ({"features": "vgg16", "feature_weights": "x.pth", "feature_layers": {"conv5_4": 1.0}}, "has no conv5_4"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        PerceptualLoss(LossSection.model_validate(settings))


def test_a_file_of_other_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CorruptModel, match=r"other\.pth.*vgg16"):
        PerceptualLoss(LossSection(features="vgg16", feature_weights=path))


def test_a_pickle_of_code_is_not_run(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (mark,))

    torch.save({"features.0.weight": Evil()}, path)
    with pytest.raises(CorruptModel, match=r"evil\.pth"):
        PerceptualLoss(LossSection(features="vgg16", feature_weights=path))
    assert not mark.exists()


# ------------------------------------------------------------------------------------------- sizes of patches


@pytest.mark.parametrize(
    ("name", "options", "patch", "fitting", "reason"),
    [
        ("unet", {"width": 4}, 10, 12, "its sides must be multiples of 8 px, not 20 x 20"),
        ("patch", {"width": 4, "depth": 6}, 16, 32, "its sides must be at least 64 px, not 32 x 32"),
    ],
)
def test_a_discriminator_says_which_patches_it_takes(
    name: str,
    options: dict[str, int],
    patch: int,
    fitting: int,
    reason: str,
    make_config: Callable[..., TrainConfig],
) -> None:
    judge = build_discriminator(name, **options)
    said = rf"data\.patch: {patch} x network\.scale 2 = {2 * patch} pixels .* for discriminator.*{reason}.*increase"
    with pytest.raises(InvalidConfig, match=said):
        check_patch(judge, "discriminator", make_config(network__scale=2, data__patch=patch))
    check_patch(judge, "discriminator", make_config(network__scale=2, data__patch=fitting))


def test_features_need_patches_of_some_size(
    make_config: Callable[..., TrainConfig], vgg: tuple[nn.Sequential, Path]
) -> None:
    small, large = (make_config(network__scale=2, data__patch=patch) for patch in (8, 10))
    tiny = make_config(network__scale=1, data__patch=8)
    squeeze = PerceptualLoss(LossSection()).network
    with pytest.raises(InvalidConfig, match=r"8 x network\.scale 2 = 16 pixels .* for loss\.features.* at least 17 px"):
        check_patch(squeeze, "loss.features", small)
    check_patch(squeeze, "loss.features", large)
    with pytest.raises(InvalidConfig, match=r"8 x network\.scale 1 = 8 pixels .* for loss\.features"):
        check_patch(Vgg("vgg19", ("relu5_4",)).load(vgg[1], "vgg19"), "loss.features", tiny)


def test_a_check_of_the_patch_leaves_all_as_it_was(make_config: Callable[..., TrainConfig]) -> None:
    """Statistics of batch norms, iterations of spectral norms, the mode, and random numbers."""
    for name, options in (("srgan", {"width": 4, "dense": 8}), ("unet", {"width": 4})):
        judge = build_discriminator(name, **options)
        before = {key: value.clone() for key, value in judge.state_dict().items()}
        drawn = torch.get_rng_state()
        check_patch(judge, "discriminator", make_config())
        assert judge.training
        assert all(torch.equal(value, before[key]) for key, value in judge.state_dict().items())
        assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data__patch": 9, "discriminator__options": {"width": 4}}, "discriminator"),
        ({"data__patch": 8, "discriminator__options": {"width": 4}}, "loss.features"),
        ({"recipe": "ensemble", "ensemble": {"members": [{}, {}], "fusion_perceptual": 0.5}}, "loss.features"),
    ],
)
def test_recipes_check_the_patch_before_a_run_begins(
    changes: dict[str, Any], named: str, make_config: Callable[..., TrainConfig]
) -> None:
    config = make_config(**({"recipe": "adversarial", "network__scale": 2} | changes))
    with pytest.raises(InvalidConfig, match=rf"data\.patch: .* for {named}"):
        train(config)
    assert not config.output.runs.exists()


def test_features_of_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nan.pth"
    weights = {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.full((64,), float("nan"))}
    torch.save(weights, path)
    section = LossSection(features="vgg16", feature_weights=path, feature_layers={"conv1_1": 1.0})
    with pytest.raises(CorruptModel, match=r"nan\.pth.*64 of the 64 values of bias are not finite in features.0"):
        PerceptualLoss(section)
