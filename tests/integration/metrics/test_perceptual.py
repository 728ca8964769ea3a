"""The perceptual distances: known values, what makes them grow, gradients, and agreement with the published code."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from srgan.errors import CorruptModel, InvalidConfig  # noqa: E402
from srgan.metrics import judges  # noqa: E402
from srgan.metrics.perceptual import (  # noqa: E402
    ShiftTolerantDistance,
    feature_distance,
    structure_texture_distance,
)
from srgan.metrics.squeezenet import CHANNELS, LEAST_SIDE, squeezenet  # noqa: E402

Distance = Callable[[Any, Any], Any]


def scenes(count: int = 2, height: int = 72, width: int = 80) -> Any:
    """Edges, ramps and fine texture."""
    y, x = np.mgrid[:height, :width]
    pictures = []
    for k in range(count):
        coarse = np.sign(np.sin(x / (6 + k) + y / 9)) + np.cos(y / (7 + k))
        fine = np.random.default_rng(k).normal(0, 0.4, (3, height, width))
        pictures.append(0.5 + (coarse + fine) / 6)
    return torch.from_numpy(np.clip(pictures, 0, 1).astype(np.float32))


def seeded_shift_tolerant() -> ShiftTolerantDistance:
    """The network with weights of no meaning: the published ones are not in every checkout."""
    distance = ShiftTolerantDistance()
    generator = torch.Generator().manual_seed(3)
    for tensor in distance.state_dict().values():
        noise = torch.randn(tensor.shape, generator=generator)
        tensor.copy_(
            noise * (2 / tensor[0].numel()) ** 0.5 if tensor.shape[0] != 1 and tensor.ndim > 1 else noise.abs()
        )
    return distance


@pytest.fixture(params=["lpips-unweighted", "dists-squeeze", "shift-tolerant"])
def distance(request: pytest.FixtureRequest) -> Distance:
    if request.param == "shift-tolerant":
        return seeded_shift_tolerant()
    form = feature_distance if request.param == "lpips-unweighted" else structure_texture_distance
    return partial(form, squeezenet())


def blurred(pictures: Any, sigma: float) -> Any:
    offsets = torch.arange(-9, 10)
    line = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (line[:, None] * line / line.sum() ** 2).expand(3, 1, 19, 19)
    padded = torch.nn.functional.pad(pictures, (9, 9, 9, 9), mode="reflect")
    return torch.nn.functional.conv2d(padded, kernel, groups=3)


def test_equal_pictures_are_at_no_distance_and_others_at_some(distance: Distance) -> None:
    pictures = scenes()
    assert distance(pictures, pictures) == pytest.approx([0, 0], abs=1e-6)
    assert (distance(pictures, pictures.flip(0)) > 1e-3).all()


def test_the_order_of_the_two_does_not_matter(distance: Distance) -> None:
    a = scenes()
    b = blurred(a, 1.0)
    assert torch.allclose(distance(a, b), distance(b, a), rtol=1e-4)


def test_a_batch_is_its_pictures_one_by_one(distance: Distance) -> None:
    a = scenes(3)
    b = blurred(a, 1.0)
    single = torch.cat([distance(a[k : k + 1], b[k : k + 1]) for k in range(3)])
    assert torch.allclose(distance(a, b), single, rtol=1e-3)


@pytest.mark.parametrize("name", ["lpips-unweighted", "dists-squeeze"])
def test_more_blur_and_more_noise_are_further_away(name: str) -> None:
    judge = judges.open_judge(name)
    picture = scenes(1)
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))

    def of(other: Any) -> float:
        return judge(picture[0].permute(1, 2, 0).numpy(), other[0].permute(1, 2, 0).numpy())

    for values in (
        [of(blurred(picture, sigma)) for sigma in (0.4, 0.8, 1.6, 3.2)],
        [of(picture + level * noise) for level in (0.01, 0.03, 0.1, 0.3)],
    ):
        assert values == sorted(values)
        assert values[-1] > 2 * values[0] > 0


def test_texture_that_has_moved_is_forgiven_by_one_form_only() -> None:
    texture = torch.rand((1, 3, 96, 104), generator=torch.Generator().manual_seed(1))
    here, moved = texture[..., :96], texture[..., 8:]
    smooth = blurred(here, 2.0)
    network = squeezenet()
    assert structure_texture_distance(network, here, moved) < 0.6 * structure_texture_distance(network, here, smooth)


@pytest.mark.parametrize("start", ["equal", "black", "different"])
def test_gradients_are_finite_everywhere(distance: Distance, start: str) -> None:
    target = torch.zeros(1, 3, 40, 40) if start == "black" else scenes(1, 40, 40)
    picture = (target if start != "different" else blurred(target, 1.0)).clone().requires_grad_()
    distance(picture, target).sum().backward()
    assert torch.isfinite(picture.grad).all()
    if start == "different":
        assert picture.grad.abs().max() > 0


def itself(pictures: Any) -> Any:
    """In place of a network: the picture is the one tap."""
    return [pictures]


def test_gradients_are_finite_where_no_feature_answers() -> None:
    picture = torch.zeros(1, 3, 8, 8, requires_grad=True)
    (feature_distance(itself, picture, scenes(1, 8, 8)) + feature_distance(itself, picture, picture)).sum().backward()
    assert torch.isfinite(picture.grad).all()


def test_the_unweighted_distance_worked_out_by_hand() -> None:
    """Red against yellow at every pixel: the directions (1, 0, 0) and (1, 1, 0) / sqrt 2."""
    red, yellow = (torch.tensor(c).reshape(1, 3, 1, 1).expand(1, 3, 4, 4) for c in ([0.3, 0, 0], [0.9, 0.9, 0]))
    assert feature_distance(itself, red, yellow).item() == pytest.approx(2 - 2**0.5, rel=1e-5)


def test_the_distance_of_structure_and_texture_worked_out_by_hand() -> None:
    dark, light = torch.full((1, 3, 8, 8), 0.2), torch.full((1, 3, 8, 8), 0.8)
    texture, structure = 2 * 0.2 * 0.8 / (0.2**2 + 0.8**2), 1.0
    found = structure_texture_distance(itself, dark, light).item()
    assert found == pytest.approx(1 - (texture + structure) / 2, abs=1e-4)
    waves = torch.linspace(-0.3, 0.3, 64).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
    found = structure_texture_distance(itself, 0.5 + waves, 0.5 - waves).item()
    assert found == pytest.approx(1, abs=1e-3), "equal means, opposite structure"


def test_following_the_gradient_brings_a_picture_nearer() -> None:
    target = scenes(1, 48, 48)
    picture = blurred(target, 1.5).requires_grad_()
    optimiser = torch.optim.Adam([picture], 0.01)
    first = None
    for _ in range(12):
        loss = feature_distance(squeezenet(), picture, target).sum()
        first = first if first is not None else loss.item()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.8 * first


def test_the_network_stays_as_it_is() -> None:
    network = squeezenet()
    assert network.train() is network
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) == 722_496
    assert squeezenet() is network


def test_the_taps_and_the_smallest_picture() -> None:
    taps = squeezenet()(scenes(1, LEAST_SIDE, 40))
    assert tuple(tap.shape[1] for tap in taps) == CHANNELS
    assert all(min(tap.shape[2:]) >= 1 and (tap >= 0).all() for tap in taps)
    with pytest.raises(ValueError, match=f"at least {LEAST_SIDE}"):
        squeezenet()(scenes(1, LEAST_SIDE - 1, 40))
    with pytest.raises(ValueError, match="one shape"):
        feature_distance(squeezenet(), scenes(1), scenes(2))
    assert judges.least_side("lpips-unweighted", 4) == judges.least_side("dists-squeeze", 4) == LEAST_SIDE
    assert judges.least_side("stlpips-alex", 4) == ShiftTolerantDistance.LEAST_SIDE
    side = ShiftTolerantDistance.LEAST_SIDE
    assert seeded_shift_tolerant()(scenes(1, side, side), scenes(1, side, side)).shape == (1,)


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "squeezenet1_1.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr("srgan.metrics.squeezenet.resources.files", lambda package: tmp_path)
    with pytest.raises(CorruptModel, match="squeezenet1_1"):
        squeezenet.__wrapped__()
    (tmp_path / "other.pth").write_bytes(b"no weights")
    with pytest.raises(CorruptModel, match=r"other\.pth"):
        ShiftTolerantDistance.load(tmp_path / "other.pth")


def test_the_shipped_weights_know_a_butterfly(data_folder: Callable[[str], Path]) -> None:
    """Half precision and the taps are right: the left-out classifier, put back, sees what it ought to see."""
    from srgan.imaging import read_picture, resize

    stored = np.load(data_folder("weights") / "squeezenet1_1_imagenet.npz", allow_pickle=False)
    pixels = resize(read_picture(data_folder("eval/Set14") / "monarch.png").colour, 227, 227)
    tap = squeezenet()(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)))[-1]
    weight, bias = (torch.from_numpy(stored[f"conv10.{part}"]) for part in ("weight", "bias"))
    scores = torch.relu(torch.nn.functional.conv2d(tap, weight, bias)).mean((2, 3))
    assert int(scores.argmax()) == 323


def test_patches_are_cut_in_steps_and_gray_counts_as_colour() -> None:
    collect = judges.open_collector()
    picture = scenes(1, 100, 140)[0].permute(1, 2, 0).numpy()
    features = collect(picture)
    assert features.shape == (2 * 3, 512)
    assert features[1] == pytest.approx(collect(picture[:64, 32:96])[0], abs=1e-4)
    gray = picture[..., :1]
    assert collect(gray) == pytest.approx(collect(np.repeat(gray, 3, axis=2)))


def test_without_the_package_of_st_lpips_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidConfig, match="pip install --no-deps stlpips-pytorch"):
        judges.open_judge("stlpips-alex")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """``published(name)`` imports a package of reference code; what it imports and does not need here is empty."""
    network = squeezenet()

    def features(pretrained: bool) -> Any:
        from torch import nn

        def pool() -> Any:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        fire = {k: network.get_submodule(f"fire{k}") for k in range(2, 10)}
        layers = [network.conv1, nn.ReLU(), pool(), fire[2], fire[3], pool(), fire[4], fire[5], pool()]
        return types.SimpleNamespace(features=nn.Sequential(*layers, *(fire[k] for k in range(6, 10))))

    models = types.ModuleType("torchvision.models")
    vars(models)["squeezenet1_1"] = features
    fakes: dict[str, dict[str, Any]] = {
        "torchvision": {"models": models},
        "torchvision.models": vars(models),
        "IPython": {"embed": None},
        "torchsummary": {"summary": None},
        "lpips.trainer": {},
    }

    def load(name: str) -> Any:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed: pip install --no-deps {name.replace('_', '-')}")
        for fake, content in fakes.items():
            module = types.ModuleType(fake)
            vars(module).update({k: v for k, v in content.items() if not k.startswith("__")})
            monkeypatch.setitem(sys.modules, fake, module)
        return importlib.import_module(name)

    yield load
    for name in [name for name in sys.modules if name.split(".")[0] in ("lpips", "stlpips_pytorch")]:
        del sys.modules[name]


def test_the_unweighted_distance_is_that_of_the_package(published: Callable[[str], Any]) -> None:
    reference = published("lpips").LPIPS(net="squeeze", lpips=False, verbose=False)
    reference.scaling_layer = torch.nn.Identity()
    mean = torch.tensor([104.0, 117.0, 123.0]).reshape(1, 3, 1, 1)
    a = scenes()
    b = blurred(a, 1.0)
    theirs = reference(*(p.flip(1) * 255 - mean for p in (a, b))).flatten()
    assert torch.allclose(feature_distance(squeezenet(), a, b), theirs, rtol=1e-4)


def test_shift_tolerant_lpips_is_that_of_the_package(published: Callable[[str], Any]) -> None:
    package = published("stlpips_pytorch")
    module = importlib.import_module("stlpips_pytorch.stlpips")
    reference = module.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    weights = Path(package.__file__).parent / "weights" / "vST0.0" / "alex_shift_tolerant.pth"
    a = scenes()
    b = blurred(a, 1.0)
    with torch.no_grad():
        theirs = reference(a, b, normalize=True).flatten()
    assert torch.allclose(ShiftTolerantDistance.load(weights)(a, b), theirs, rtol=1e-4)
