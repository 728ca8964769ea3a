"""Weights from checkpoints of other programs: matched by order and shape, all of them or none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from safetensors.torch import load_file  # noqa: E402 (torch first: without it nothing here can run)
from torch import nn  # noqa: E402

from srgan.errors import CorruptModel, InvalidConfig, ModelNotFound  # noqa: E402
from srgan.networks import build  # noqa: E402
from srgan.networks.foreign import take_foreign  # noqa: E402
from srgan.networks.network import LEAK  # noqa: E402
from srgan.training import train  # noqa: E402
from srgan.training.config import TrainConfig  # noqa: E402
from srgan.training.setup import make_network  # noqa: E402

Config = Callable[..., TrainConfig]
WIDTH = 8


class TheirBlock(nn.Module):
    """A residual block as another program might write it, with biases in front of its batch norms."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.rb = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, bias=bias),
            nn.BatchNorm2d(WIDTH),
            nn.PReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, bias=bias),
            nn.BatchNorm2d(WIDTH),
        )

    def forward(self, x: Any) -> Any:
        return x + self.rb(x)


class TheirSRResNet(nn.Module):
    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.conv_in = nn.Sequential(nn.Conv2d(3, WIDTH, 9, 1, 4), nn.PReLU())
        self.trunk = nn.Sequential(*(TheirBlock(bias) for _ in range(2)))
        self.conv_mid = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, 1, 1, bias=bias), nn.BatchNorm2d(WIDTH))
        self.up = nn.Sequential(nn.Conv2d(WIDTH, 4 * WIDTH, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU())
        self.conv_out = nn.Conv2d(WIDTH, 3, 9, 1, 4)

    def forward(self, x: Any) -> Any:
        features = self.conv_in(x)
        return self.conv_out(self.up(self.conv_mid(self.trunk(features)) + features))


class TheirEDSR(nn.Module):
    """As `fast`, under other names."""

    def __init__(self) -> None:
        super().__init__()
        self.head0 = nn.Conv2d(3, WIDTH, 3, 1, 1)
        self.res = nn.ModuleList(
            nn.ModuleDict({"a": nn.Conv2d(WIDTH, WIDTH, 3, 1, 1), "b": nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)})
            for _ in range(2)
        )
        self.after = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)
        self.last = nn.Conv2d(WIDTH, 12, 3, 1, 1)

    def forward(self, x: Any) -> Any:
        features = inner = self.head0(x)
        for block in self.res:
            inner = inner + block["b"](nn.functional.leaky_relu(block["a"](inner), LEAK))
        detail = nn.functional.pixel_shuffle(self.last(self.after(inner) + features), 2)
        return detail + nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def shaken(network: nn.Module) -> nn.Module:
    """With weights all over the place, statistics included."""
    torch.manual_seed(4)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point():
            value.add_(torch.randn_like(value) * 0.1)
    return network.eval()


def of(make_config: Config, path: Path, name: str, **options: Any) -> TrainConfig:
    options = {"width": WIDTH, "blocks": 2, **options}
    return make_config(
        network={"name": name, "scale": 2, "options": options, "init_from": str(path)}, steps=2, data__tile=64
    )


@pytest.mark.parametrize(
    ("theirs", "name", "options"),
    [
        (TheirSRResNet, "srresnet", {}),
        (lambda: TheirSRResNet(bias=False), "srresnet", {}),
        (TheirEDSR, "fast", {}),
        (TheirEDSR, "fast", {"expanded": True}),
    ],
    ids=["SRResNet with superfluous biases", "SRResNet without", "EDSR", "EDSR into expanded layers"],
)
@pytest.mark.parametrize("holder", ["params_ema", "params", "state_dict", None])
def test_it_computes_what_the_other_computed(
    theirs: Callable[[], nn.Module],
    name: str,
    options: dict[str, Any],
    holder: str | None,
    make_config: Config,
    tmp_path: Path,
) -> None:
    network = shaken(theirs())
    weights = network.state_dict()
    torch.save({holder: weights} if holder else weights, tmp_path / "net_g.pth")
    config = of(make_config, tmp_path / "net_g.pth", name, **options)

    made = make_network(config.network, config.data.patch).eval()

    picture = torch.rand(1, 3, 12, 10)
    with torch.no_grad():
        torch.testing.assert_close(made(picture), network(picture), atol=1e-5, rtol=1e-4)


def test_the_averaged_weights_are_preferred(make_config: Config, tmp_path: Path) -> None:
    good, other = shaken(TheirEDSR()).state_dict(), TheirEDSR().state_dict()
    torch.save({"params": other, "params_ema": good, "iter": 5}, tmp_path / "net.pth")
    config = of(make_config, tmp_path / "net.pth", "fast")
    made = make_network(config.network, config.data.patch)
    assert torch.equal(made.stem.weight, good["head0.weight"])


@pytest.mark.usefixtures("quick_export")
def test_training_starts_from_there_with_its_statistics(make_config: Config, tmp_path: Path) -> None:
    """A bundle's batch norms are folded and have to be settled; those of a checkpoint are as good as they were."""
    network = shaken(TheirSRResNet(bias=False))
    torch.save({"params_ema": network.state_dict()}, tmp_path / "net.pth")
    config = of(make_config, tmp_path / "net.pth", "srresnet")
    bundle = train(config.model_copy(update={"steps": 1}))

    assert bundle.info.provenance.parent == "net.pth"
    saved = load_file(config.output.runs / "tiny" / "001" / "checkpoints" / "step-00000001.safetensors")
    start = network.state_dict()
    assert torch.allclose(saved["networks/generator/blocks.0.norm1.weight"], start["trunk.0.rb.1.weight"], atol=1e-3)


def test_another_architecture_is_refused_with_the_layer_that_differs(make_config: Config, tmp_path: Path) -> None:
    torch.save({"params": shaken(TheirEDSR()).state_dict()}, tmp_path / "net.pth")

    def begin(name: str, **options: Any) -> None:
        config = of(make_config, tmp_path / "net.pth", name, **options)
        make_network(config.network, config.data.patch)

    with pytest.raises(InvalidConfig, match=r"its layer 1, head0, is 8 x 3 x 3 x 3, but stem of .* is 16 x 3 x 3 x 3"):
        begin("fast", width=16)
    with pytest.raises(InvalidConfig, match=r"its layer 1, head0, .* but stem\.0 of"):
        begin("srresnet")
    with pytest.raises(InvalidConfig, match=r"its layer 7, last, is 12 x 8 x 3 x 3, but blocks\.2\.second of"):
        begin("fast", blocks=3)
    with pytest.raises(InvalidConfig, match=r"its layer 5, res\.1\.b, is 8 x 8 x 3 x 3, but head\.conv of"):
        begin("fast", blocks=1)
    without_end = {k: v for k, v in TheirEDSR().state_dict().items() if not k.startswith("last")}
    torch.save(without_end, tmp_path / "net.pth")
    with pytest.raises(InvalidConfig, match=r"it has 6 layers and this network 7; look at network\.options"):
        begin("fast")


@pytest.fixture
def file_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Path]:
    """A file that holds these weights, without the process that reads it."""

    def make(weights: dict[str, Any]) -> Path:
        monkeypatch.setattr("srgan.networks.foreign.read_pickled", lambda path, where: weights)
        return Path("net.pth")

    return make


@pytest.mark.parametrize(
    ("part", "value", "complaint"),
    [
        (
            "conv_in.0.bias",
            torch.zeros(5),
            r"its layer 1, conv_in\.0, has a bias of 5 \(float32\) instead of 8 f",
        ),
        ("conv_in.0.bias", torch.zeros(1), r"its layer 1, conv_in\.0, has a bias of 1 \(float32\)"),
        ("conv_in.0.bias", torch.tensor(0.5), r"its layer 1, conv_in\.0, has a bias of a single value"),
        ("conv_in.0.bias", torch.zeros(8, dtype=torch.int64), r"its layer 1, .* a bias of 8 \(int64\)"),
        ("trunk.0.rb.0.bias", torch.zeros(1), r"its layer 3, trunk\.0\.rb\.0, has a bias of 1"),
        ("trunk.0.rb.1.bias", None, r"its layer 4, trunk\.0\.rb\.1, is a batch norm without bias"),
        ("trunk.0.rb.1.running_var", None, r"trunk\.0\.rb\.1, is a batch norm without running_var"),
        ("trunk.0.rb.1.running_mean", torch.zeros(1), r"trunk\.0\.rb\.1, has a running_mean of 1"),
        ("trunk.0.rb.1.running_var", torch.ones(2, 4), r"trunk\.0\.rb\.1, has a running_var of 2 x 4"),
    ],
)
def test_every_part_of_a_layer_must_fit(
    part: str, value: Any, complaint: str, make_config: Config, file_of: Callable[..., Path]
) -> None:
    weights: dict[str, Any] = shaken(TheirSRResNet()).state_dict() | {part: value}
    path = file_of({name: value for name, value in weights.items() if value is not None})
    config = of(make_config, path, "srresnet")

    with pytest.raises(InvalidConfig, match=rf"net\.pth: .*{complaint}"):
        make_network(config.network, config.data.patch)


def test_a_bias_of_an_expanded_layer_must_fit_too(make_config: Config, file_of: Callable[..., Path]) -> None:
    path = file_of(shaken(TheirEDSR()).state_dict() | {"res.0.a.bias": torch.zeros(1)})
    config = of(make_config, path, "fast", expanded=True)

    with pytest.raises(InvalidConfig, match=r"its layer 2, res\.0\.a, has a bias of 1"):
        make_network(config.network, config.data.patch)


def test_a_bias_that_no_batch_norm_undoes_has_nowhere_to_go(file_of: Callable[..., Path]) -> None:
    """In the middle, and behind the last layer."""
    ours = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 3, 3, bias=False))
    weights = {f"layer{number}.weight": layer.weight.detach() for number, layer in enumerate(ours)}  # type: ignore[operator]

    with pytest.raises(InvalidConfig, match="the layer before layer1 has a bias, and here none"):
        take_foreign(ours, file_of(weights | {"layer0.bias": torch.zeros(4)}), "init")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfig, match="its last layer, layer1, has a bias, and here none"):
        take_foreign(ours, file_of(weights | {"layer1.bias": torch.zeros(3)}), "init")  # type: ignore[arg-type]


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("attacked",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"no torch file", "not a PyTorch file of weights alone"),
        ({"params": Attack()}, "not a PyTorch file of weights alone"),
        ({"params": [1, 2]}, "holds no weights by name"),
        ([torch.zeros(3)], "holds no weights by name"),
        ({"epoch": 3}, "holds no weights by name"),
        ({"alpha": torch.zeros(3)}, "is no layer with a weight"),
    ],
)
def test_files_that_hold_something_else(
    content: Any, complaint: str, make_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    config = of(make_config, path, "fast")
    with pytest.raises((CorruptModel, InvalidConfig), match=complaint):
        make_network(config.network, config.data.patch)
    assert not (tmp_path / "attacked").exists()


def test_a_file_that_is_not_there(make_config: Config, tmp_path: Path) -> None:
    config = of(make_config, tmp_path / "none.pth", "fast")
    with pytest.raises(ModelNotFound, match=r"none\.pth: no such file"):
        make_network(config.network, config.data.patch)


def test_every_network_of_ours_can_be_read_back(make_config: Config, tmp_path: Path) -> None:
    for name, options in [("turbo", {"width": 16, "depth": 2}), ("balanced", {"width": 16, "blocks": 2})]:
        network = shaken(build(name, 2, **options))
        torch.save(network.state_dict(), tmp_path / "own.pth")
        section = make_config(
            network={"name": name, "scale": 2, "options": options, "init_from": str(tmp_path / "own.pth")}
        ).network
        made = make_network(section, 8)
        assert all(torch.equal(a, b) for a, b in zip(made.parameters(), network.parameters(), strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["conv_in.0.weight", "trunk.1.rb.4.running_var", "conv_out.bias"])
def test_weights_that_are_not_finite_are_refused_by_the_name_of_their_file(
    part: str, value: float, make_config: Config, tmp_path: Path
) -> None:
    weights = TheirSRResNet().state_dict()
    weights[part].view(-1)[-1] = value
    torch.save({"params": weights}, tmp_path / "nan.pth")
    config = of(make_config, tmp_path / "nan.pth", "srresnet")
    with pytest.raises(CorruptModel, match=r"network.init_from: .*nan\.pth: 1 of the .* not finite in its layer .*"):
        make_network(config.network, config.data.patch)
