"""A discriminator that starts from a file: Real-ESRGAN's layers, one of our own runs, and files that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file, save_file  # noqa: E402 (torch first: without it nothing here can run)
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.nn.utils import parametrizations, spectral_norm  # noqa: E402

from srgan.errors import CorruptModel, InvalidConfig, ModelNotFound  # noqa: E402
from srgan.networks.discriminators import build_discriminator  # noqa: E402
from srgan.training import TrainJob, train  # noqa: E402
from srgan.training.adversarial import make_discriminator  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.recipes import DiscriminatorSection  # noqa: E402

Config = Callable[..., TrainConfig]
WIDTH = 4


class TheirUNet(nn.Module):
    """Real-ESRGAN's discriminator by its description: a U-Net of numbered convolutions, spectral but for the ends."""

    def __init__(self, spectral: Callable[[nn.Module], nn.Module] = spectral_norm) -> None:
        super().__init__()
        down, up = [(1, 2), (2, 4), (4, 8)], [(8, 4), (4, 2), (2, 1), (1, 1), (1, 1)]
        self.conv0 = nn.Conv2d(3, WIDTH, 3, 1, 1)
        for number, (inputs, outputs) in enumerate(down, 1):
            setattr(self, f"conv{number}", spectral(nn.Conv2d(inputs * WIDTH, outputs * WIDTH, 4, 2, 1, bias=False)))
        for number, (inputs, outputs) in enumerate(up, 4):
            setattr(self, f"conv{number}", spectral(nn.Conv2d(inputs * WIDTH, outputs * WIDTH, 3, 1, 1, bias=False)))
        self.conv9 = nn.Conv2d(WIDTH, 1, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def at(number: int, x: torch.Tensor) -> torch.Tensor:
            return functional.leaky_relu(getattr(self, f"conv{number}")(x), 0.2)

        def twice(x: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

        first = at(0, x)
        second = at(1, first)
        third = at(2, second)
        x = at(4, twice(at(3, third))) + third
        x = at(5, twice(x)) + second
        x = at(6, twice(x)) + first
        return self.conv9(at(8, at(7, x)))


def learnt(spectral: Callable[[nn.Module], nn.Module] = spectral_norm) -> nn.Module:
    """After some steps, so that its singular vectors are those of its weights."""
    torch.manual_seed(7)
    network = TheirUNet(spectral)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    for _ in range(100):
        network(torch.rand(1, 3, 8, 8))
    return network.eval()


def opened(path: Path, name: str = "unet", **options: Any) -> nn.Module:
    options = {"width": WIDTH, **options}
    return make_discriminator(DiscriminatorSection(name=name, options=options, init_from=path))


@pytest.mark.parametrize("spectral", [spectral_norm, parametrizations.spectral_norm], ids=["older", "newer"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_it_judges_as_the_other_did(spectral: Any, suffix: str, tmp_path: Path) -> None:
    theirs, path = learnt(spectral), tmp_path / f"net_d.{suffix}"
    weights = {name: value.contiguous() for name, value in theirs.state_dict().items()}
    if suffix == "pth":
        torch.save({"params": weights}, path)
    else:
        save_file(weights, path)

    ours, x = opened(path).eval(), torch.rand(2, 3, 32, 24)

    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(build_discriminator("unet", width=WIDTH).eval()(x), theirs(x), rtol=0.1)


def test_it_goes_on_learning_from_there(tmp_path: Path) -> None:
    torch.save(learnt().state_dict(), tmp_path / "net_d.pth")
    ours = opened(tmp_path / "net_d.pth")
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    ours(torch.rand(1, 3, 16, 16)).mean().backward()
    torch.optim.SGD(ours.parameters(), 10.0).step()
    ours(torch.rand(1, 3, 16, 16))

    assert [name for name, value in ours.state_dict().items() if torch.equal(before[name], value)] == []


@pytest.mark.parametrize(
    ("change", "name", "options", "said"),
    [
        ({}, "unet", {"width": 8}, r"its layer 1, conv0, is 4 x 3 x 3 x 3, but stem of this network is 8 x 3 x 3 x 3"),
        (
            {},
            "patch",
            {},
            r"its layer 1, conv0, is 4 x 3 x 3 x 3, but layers\.0 of this network is 4 x 3 x 4 x 4 \(with",
        ),
        ({}, "srgan", {}, r"its layer 2, conv1, is .*\(with spectral normalisation\), but features\.2"),
        ({"conv9": None}, "unet", {}, "it has 9 layers and this network 10; look at discriminator.options"),
        ({"conv4.weight_u": torch.ones(3)}, "unet", {}, r"its layer 5, conv4, has a u of 3 .* instead of 16"),
        ({"conv0.bias": torch.full((4,), torch.nan)}, "unet", {}, "4 of the 4 values of bias are not finite"),
    ],
    ids=["other width", "other kind", "no spectral norm", "a layer less", "damaged", "not finite"],
)
def test_what_does_not_fit_is_refused(
    change: dict[str, Any], name: str, options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    weights = dict(TheirUNet().state_dict())
    for key, value in change.items():
        if value is None:
            weights = {own: tensor for own, tensor in weights.items() if not own.startswith(f"{key}.")}
        else:
            weights[key] = value
    torch.save({"params": weights}, tmp_path / "net_d.pth")

    with pytest.raises((InvalidConfig, CorruptModel), match=rf"^discriminator\.init_from: .*net_d\.pth: {said}"):
        opened(tmp_path / "net_d.pth", name, **options)


def test_layers_without_an_order_are_refused(tmp_path: Path) -> None:
    """A safetensors file is sorted by name: layers of one shape could change places."""
    weights = {f"net.{key}": value.clone() for key, value in TheirUNet().state_dict().items()}
    weights["head.weight"], weights["head.bias"] = weights.pop("net.conv9.weight"), weights.pop("net.conv9.bias")
    save_file(weights, tmp_path / "net_d.safetensors")

    with pytest.raises(InvalidConfig, match=r"have no order.*take the \.pth file"):
        opened(tmp_path / "net_d.safetensors")


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"discriminator\.init_from: .*none\.safetensors: no such file"):
        opened(tmp_path / "none.safetensors")
    (tmp_path / "net_d.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(CorruptModel, match="not a safetensors file"):
        opened(tmp_path / "net_d.safetensors")


def test_a_run_starts_from_the_discriminator_of_another_and_needs_it_once(
    make_config: Config, quick_export: None, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "recipe": "adversarial",
        "steps": 2,
        "data__batch": 2,
        "loss__perceptual": 0.0,
        "optimiser": {"warmup": 0, "ema": 0.0},
        "output__checkpoint_every": 1,
    }
    rival: dict[str, Any] = {"name": "patch", "options": {"width": 8, "depth": 2}}
    train(make_config(**settings, discriminator=rival))
    checkpoint = tmp_path / "runs" / "tiny" / "001" / "checkpoints" / "step-00000002.safetensors"
    wanted = load_file(checkpoint)

    made = make_discriminator(DiscriminatorSection.model_validate(rival | {"init_from": checkpoint}))
    for name, value in made.state_dict().items():
        assert torch.equal(value, wanted[f"networks/discriminator/{name}"]), name

    again = make_config(
        **settings, discriminator=rival | {"init_from": checkpoint, "learning_rate": 1e-9}, output__name="second"
    )
    checkpoint.rename(tmp_path / "kept.safetensors")
    with pytest.raises(ModelNotFound, match="no such file"):
        train(again)
    (tmp_path / "kept.safetensors").rename(checkpoint)
    train(again)
    ended = load_file(tmp_path / "runs" / "second" / "001" / "checkpoints" / "step-00000002.safetensors")
    name = "networks/discriminator/layers.0.parametrizations.weight.original"
    torch.testing.assert_close(ended[name], wanted[name], atol=1e-6, rtol=0)

    checkpoint.unlink()  # a run that has begun goes on without it
    longer = again.model_copy(update={"steps": 3})
    train(TrainJob(config=longer, start=tmp_path / "runs" / "second" / "001"))


def test_a_checkpoint_without_a_discriminator_is_told(make_config: Config, quick_export: None, tmp_path: Path) -> None:
    train(make_config(steps=1))
    (checkpoint,) = (tmp_path / "runs" / "tiny" / "001" / "checkpoints").glob("*.safetensors")

    with pytest.raises(InvalidConfig, match="this checkpoint of a run holds no discriminator"):
        opened(checkpoint)
