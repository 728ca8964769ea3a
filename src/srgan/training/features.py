"""Perceptual losses: how far two pictures lie apart for a network that knows pictures.

    squeezenet   SqueezeNet 1.1, which srgan ships
    vgg19 vgg16  the networks of the papers, with the ImageNet weights of torchvision, which the user brings:
                 the file that torchvision downloads, such as vgg19-dcbb9e9d.pth, or the same as safetensors

The networks stay frozen and in evaluation mode; the gradient flows through them to the generator.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from srgan.errors import CorruptModel, InvalidConfig, SrganError
from srgan.metrics.judges import SQUEEZENET
from srgan.metrics.squeezenet import SqueezeNet, squeezenet
from srgan.networks.foreign import not_finite
from srgan.networks.pickled import read_pickled
from srgan.training.config import LossSection, TrainConfig

VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Convolutions in front of each pooling."""
VGG_WIDTHS = (64, 128, 256, 512, 512)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SPREAD = (0.229, 0.224, 0.225)


class Vgg(nn.Module):
    """The convolutions of VGG16 or VGG19 without batch norm, up to the last layer that is asked for.

    ``layers`` are names such as ``conv5_4`` for the values before the activation, ``relu5_4`` for those after it; the
    SRGAN paper's VGG54 is ``relu5_4``. Takes RGB in [0, 1].
    """

    def __init__(self, name: str, layers: tuple[str, ...]) -> None:
        super().__init__()
        places = [
            (f"{block}_{number}", VGG_WIDTHS[block - 1])
            for block, count in enumerate(VGG_BLOCKS[name], start=1)
            for number in range(1, count + 1)
        ]
        known = [f"{kind}{place}" for place, _ in places for kind in ("conv", "relu")]
        if unknown := [layer for layer in layers if layer not in known]:
            raise InvalidConfig(f"loss.feature_layers: {name} has no {', '.join(unknown)}; it has {', '.join(known)}")
        self._wanted = layers
        last = max(known.index(layer) for layer in layers) // 2
        self.convolutions = nn.ModuleDict()
        inputs = 3
        for place, outputs in places[: last + 1]:
            self.convolutions[place] = nn.Conv2d(inputs, outputs, 3, padding=1)
            inputs = outputs
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(IMAGENET_SPREAD).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def load(self, path: Path, name: str) -> Vgg:
        """Take torchvision's weights. Raises `ModelNotFound`, and `CorruptModel` when ``path`` holds something else."""
        try:
            if path.suffix == ".safetensors":
                from safetensors.torch import load_file

                stored: dict[str, Any] = dict(load_file(path))
            else:
                stored = read_pickled(path, "loss.feature_weights")
            number = 0  # of the layer in torchvision's `features`: convolution, ReLU, ..., pooling behind each block
            for block, count in enumerate(VGG_BLOCKS[name], start=1):
                for place in (f"{block}_{k}" for k in range(1, count + 1)):
                    if place in self.convolutions:
                        parts = {part: stored[f"features.{number}.{part}"] for part in ("weight", "bias")}
                        if broken := not_finite(parts):
                            raise ValueError(f"{broken} in features.{number}")
                        self.convolutions[place].load_state_dict(parts)
                    number += 2
                number += 1
        except SrganError:
            raise
        except Exception as error:  # a damaged file fails in many ways, most of them in torch
            raise CorruptModel(
                f"loss.feature_weights: {path}: not torchvision's ImageNet weights of {name} ({error})"
            ) from error
        return self

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x = (pictures - self.get_buffer("mean")) / self.get_buffer("spread")
        found: dict[str, Tensor] = {}
        block = "1"
        for place, convolution in self.convolutions.items():
            if not place.startswith(f"{block}_"):
                x, block = functional.max_pool2d(x, 2), place.partition("_")[0]
            found[f"conv{place}"] = x = convolution(x)
            found[f"relu{place}"] = x = functional.relu(x)
        return [found[layer] for layer in self._wanted]


def unit_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of two features N x C x H x W at each place, each scaled to unit length: N x H x W.

    What `metrics.perceptual` sums at each tap, by the law of cosines: three sums over the channels instead of whole
    features in between, which takes half the time. Beside zero it is exact to 1e-6 only, enough for a loss.
    """
    a, b = a.float(), b.float()
    length_a, length_b = a.square().sum(1), b.square().sum(1)
    scale_a, scale_b = (length_a + 1e-20).rsqrt(), (length_b + 1e-20).rsqrt()
    return length_a * scale_a.square() + length_b * scale_b.square() - 2 * (a * b).sum(1) * scale_a * scale_b


def looked_through(section: LossSection) -> str:
    """The network that the feature distance of ``section`` looks through, as it goes into a bundle's provenance."""
    if section.features == "squeezenet":
        return SQUEEZENET
    return f"{section.features.upper()} (ImageNet, torchvision), {', '.join(_layers(section))}"


def _layers(section: LossSection) -> Mapping[str, float]:
    """The layers of a VGG with their weights."""
    return section.feature_layers or {"relu5_4" if "19" in section.features else "relu5_3": 1.0}


class PerceptualLoss(nn.Module):
    """The distance that `LossSection` describes, between batches N x 3 x H x W in [0, 1]; a scalar.

    With `LossSection.perceptual_share` it is that of the first patches of a batch. These are drawn by themselves, so it
    has the mean and the gradient of the whole on average, and draws no random numbers. ``name`` says through which
    network it looks, as it goes into the bundle's provenance.
    """

    def __init__(self, section: LossSection) -> None:
        super().__init__()
        self._form, self._share = section.feature_distance, section.perceptual_share
        self._weights: tuple[float, ...] = ()
        if section.features == "squeezenet":
            if section.feature_weights is not None or section.feature_layers:
                raise InvalidConfig("loss.feature_weights, loss.feature_layers: only for vgg16 and vgg19")
            self.network: SqueezeNet | Vgg = copy.deepcopy(squeezenet())
        else:
            layers = _layers(section)
            if section.feature_weights is None:
                raise InvalidConfig(
                    f"loss.features: {section.features} needs loss.feature_weights, the file of its ImageNet weights "
                    "from torchvision; without it choose squeezenet"
                )
            with torch.random.fork_rng(devices=[]):
                network = Vgg(section.features, tuple(layers))
            self.network = network.load(section.feature_weights, section.features)
            self._weights = tuple(layers.values())
        self.name = looked_through(section)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        count = max(1, round(self._share * len(output)))
        output, target = output[:count], target[:count]
        # Apart from the metrics, which see both in one pass, since here only the output needs a gradient.
        with torch.no_grad():
            wanted = self.network(target)
        found = self.network(output)
        weights = self._weights or (1.0,) * len(found)
        return torch.stack([w * self._compare(a, b) for w, a, b in zip(weights, found, wanted, strict=True)]).sum()

    def _compare(self, found: Tensor, wanted: Tensor) -> Tensor:
        """The distance at one layer."""
        if self._form == "unit":
            return unit_distance(found, wanted).mean()
        measure = functional.l1_loss if self._form == "l1" else functional.mse_loss
        return measure(found.float(), wanted.float())


def check_patch(judge: nn.Module, setting: str, config: TrainConfig) -> None:
    """Raise `InvalidConfig` unless ``judge``, which ``setting`` names, can look at the patches of ``config``.

    ``judge`` takes N x 3 x H x W; it is tried on a black patch of each size as it is, and left as it was.
    """
    scale, training = config.network.scale, judge.training
    try:
        for patch in sorted({size.patch for size in config.data.stages()}):
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                judge.eval()(torch.zeros(1, 3, patch * scale, patch * scale))
    except (ValueError, RuntimeError) as error:  # torch has both for sizes
        reason = " ".join(str(error).split())
        key = "data.patch" if patch == config.data.patch else "data.schedule"
        raise InvalidConfig(
            f"{key}: {patch} x network.scale {scale} = {patch * scale} pixels are too few, or not a suitable multiple, "
            f"for {setting} ({reason}): increase {key}"
        ) from error
    finally:
        judge.train(training)
