"""How good made pictures are: their distances from held-out ones, their diversity, and whether they are copies.

Distances are named by their features. ``fd-squeeze`` and ``kid-squeeze`` look through SqueezeNet, as the decoder's loss
may, which flatters them; ``fd-pixels`` looks at the principal components of the pictures, reduced to 16 pixels, which
no loss does. None of them is the FID or KID of Inception.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan.metrics.distribution import frechet_distance, kernel_distance
from srgan.metrics.perceptual import feature_distance
from srgan.metrics.squeezenet import SqueezeNet, squeezenet
from srgan.networks.network import Network
from srgan.training.latent.pictures import Squares, as_floats, reduced

COMPONENTS = 64
"""Of pictures reduced to `THUMB` pixels, that ``fd-pixels`` compares."""
THUMB = 16
BATCH = 64
"""Pictures that are looked at together."""
COLLAPSED = 0.5
"""Diversity below which a generator has collapsed: half of what real pictures have."""
PAIRS = 500
"""Pictures whose distances to each other, and to those of training, are taken."""
GAP = 2
"""White between the pictures of a sheet."""
REFINED = 24
"""Pictures that the refiner is judged by, which takes it long."""
SEED = 1
"""Of the noise that samples are made from: the same at each validation, so that their sheets can be compared."""

Picture = NDArray[np.uint8]


class Features:
    """SqueezeNet's, one vector a picture: the mean of fire9 over it, divided by 8, as ``fd-squeeze`` has it."""

    def __init__(self, device: torch.device) -> None:
        self._network: SqueezeNet = copy.deepcopy(squeezenet()).to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> NDArray[np.float32]:
        """N x 3 x H x W uint8 to N x 512."""
        parts = [
            self._network(as_floats(part, self._device))[-1].mean((2, 3)) / 8 for part in torch.split(pictures, BATCH)
        ]
        found: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return found


class PixelComponents:
    """The principal components of ``pictures``, N x 3 x 64 x 64 uint8, reduced to `THUMB` pixels a side."""

    def __init__(self, pictures: Tensor) -> None:
        flat = _thumbs(pictures)
        self._mean = flat.mean(axis=0)
        _, vectors = np.linalg.eigh(np.cov(flat - self._mean, rowvar=False))
        self._axes = vectors[:, -COMPONENTS:]

    def __call__(self, pictures: Tensor) -> NDArray[np.float64]:
        """N x `COMPONENTS`."""
        found: NDArray[np.float64] = (_thumbs(pictures) - self._mean) @ self._axes
        return found


def _thumbs(pictures: Tensor) -> NDArray[np.float64]:
    factor = pictures.shape[-1] // THUMB
    parts = [functional.avg_pool2d(part.float() / 255, factor).flatten(1) for part in torch.split(pictures, BATCH)]
    flat: NDArray[np.float64] = torch.cat(parts).double().numpy()
    return flat


class Gallery:
    """Real pictures of 64 pixels, to which made ones are compared: as many of them as there are ``held_out`` ones."""

    def __init__(self, squares: Squares, device: torch.device) -> None:
        self.squares, self.count = squares, len(squares.held_out)
        self._features, self._components = Features(device), PixelComponents(squares.held_out)
        self._real = self._features(squares.held_out)
        self._real_components = self._components(squares.held_out)
        self._learnt = self._components(squares.training)
        self._diversity = _mean_distance(self._real_components)
        self._nearest = _nearest(self._real_components, self._learnt)

    def distances(self, pictures: Tensor) -> dict[str, float]:
        """Distances of ``pictures`` (uint8) from the held-out ones."""
        features, components = self._features(pictures), self._components(pictures)
        return {
            "fd-squeeze": frechet_distance(features, self._real),
            "kid-squeeze": kernel_distance(features, self._real),
            "fd-pixels": frechet_distance(components, self._real_components),
        }

    def floor(self) -> dict[str, float]:
        """The distances that as many pictures of training have: what no generator can be asked to beat."""
        return self.distances(self.squares.training[: self.count])

    def variety(self, pictures: Tensor) -> dict[str, float]:
        """Whether ``pictures`` (uint8) differ from each other, and from those of training, as real ones do.

        ``diversity`` is the mean distance of two, ``novelty`` that of a picture from the nearest one of training, both
        in the components of pixels and divided by what held-out pictures have: about 1 is right. Little diversity is a
        collapse; little novelty are copies.
        """
        components = self._components(pictures)
        return {
            "diversity": _mean_distance(components) / max(self._diversity, 1e-9),
            "novelty": _nearest(components, self._learnt) / max(self._nearest, 1e-9),
        }


def _mean_distance(vectors: NDArray[np.float64]) -> float:
    return float(torch.pdist(torch.from_numpy(vectors[:PAIRS])).mean())


def _nearest(vectors: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    distances = torch.cdist(torch.from_numpy(vectors[:PAIRS]), torch.from_numpy(others))
    return float(distances.min(dim=1).values.mean())


def collapse(figures: dict[str, float]) -> str:
    """What to say of a generator whose samples are too much alike; empty for any other."""
    diversity = figures.get("diversity", 1.0)
    if diversity >= COLLAPSED:
        return ""
    return f"samples differ only {diversity:.2f} times as much as real pictures do, as after a collapse"


# ------------------------------------------------------------------------------------------------- judges of phases


class ReconstructionJudge:
    """Scores what becomes of held-out pictures by way of their codes; ``remake`` is given the network and a batch."""

    caption = "original, reconstruction"

    def __init__(self, gallery: Gallery, remake: Callable[[Network, Tensor], Tensor]) -> None:
        self._gallery, self._remake = gallery, remake

    def score(self, network: Network, device: torch.device) -> dict[str, float]:
        """PSNR in dB over all channels, and distances."""
        real = self._gallery.squares.held_out
        made = self._remade(network, device, real)
        error = (made.float() - real.float()).square().mean((1, 2, 3)).clamp_min(1e-3)
        return {"psnr": float((10 * torch.log10(255**2 / error)).mean()), **self._gallery.distances(made)}

    def samples(self, network: Network, device: torch.device, count: int) -> Picture:
        """Pairs, eight in a row."""
        real = self._gallery.squares.held_out[: 8 * count]
        return sheet(torch.stack([real, self._remade(network, device, real)], dim=1).flatten(0, 1), 16)

    def objection(self, figures: dict[str, float]) -> str:
        """Never one."""
        return ""

    @torch.inference_mode()
    def _remade(self, network: Network, device: torch.device, real: Tensor) -> Tensor:
        return torch.cat(
            [to_pixels(self._remake(network, as_floats(part, device))) for part in torch.split(real, BATCH)]
        )


class SampleJudge:
    """Scores generated pictures. ``make`` is given the network and noise, N x ``z``."""

    caption = "samples"

    def __init__(self, gallery: Gallery, make: Callable[[Network, Tensor], Tensor], z: int) -> None:
        self._gallery, self._make, self._z = gallery, make, z

    def score(self, network: Network, device: torch.device) -> dict[str, float]:
        """Distances from held-out pictures, diversity and novelty."""
        made = self.made(network, device, self._gallery.count)
        return {**self._gallery.distances(made), **self._gallery.variety(made)}

    def samples(self, network: Network, device: torch.device, count: int) -> Picture:
        """Rows of eight."""
        return sheet(self.made(network, device, 16 * count), 8)

    def objection(self, figures: dict[str, float]) -> str:
        """A collapse."""
        return collapse(figures)

    def made(self, network: Network, device: torch.device, count: int) -> Tensor:
        """The first ``count`` samples: N x 3 x 64 x 64, uint8."""
        return samples(lambda noise: self._make(network, noise), self._z, count, device)


class RefinementJudge:
    """Scores what the refiner makes of held-out pictures of 512 pixels, reduced to 64; or of ``small`` ones instead."""

    caption = "bicubic, output, original"

    def __init__(self, held_out: Tensor, small: Tensor | None = None) -> None:
        self._large = held_out[:REFINED]
        self._small = reduced(self._large) if small is None else small[:REFINED]
        self._bicubic: dict[str, float] = {}

    def score(self, network: Network, device: torch.device) -> dict[str, float]:
        """Means of PSNR in dB over all channels and ``lpips-unweighted``, and both of bicubic enlargements."""
        if not self._bicubic:
            self._bicubic = {f"bicubic {name}": value for name, value in self._means(enlarged, device).items()}
        return {**self._means(network, device), **self._bicubic}

    @torch.inference_mode()
    def _means(self, enlarge: Callable[[Tensor], Tensor], device: torch.device) -> dict[str, float]:
        look = copy.deepcopy(squeezenet()).to(device)
        rows = []
        for small, large in zip(torch.split(self._small, 1), torch.split(self._large, 1), strict=True):
            low, high = as_floats(small, device), as_floats(large, device)
            made = enlarge(low).clamp(0, 1)
            error = (made - high).square().mean().clamp_min(1e-8)
            rows.append([float(-10 * torch.log10(error)), float(feature_distance(look, made, high)[0])])
        psnr, lpips = np.mean(rows, axis=0)
        return {"psnr": float(psnr), "lpips-unweighted": float(lpips)}

    @torch.inference_mode()
    def samples(self, network: Network, device: torch.device, count: int) -> Picture:
        """A row for each of the pictures."""
        low = as_floats(self._small[:count], device)
        made = [to_pixels(torch.cat([make(part) for part in torch.split(low, 1)])) for make in (enlarged, network)]
        return sheet(torch.stack([*made, self._large[:count]], dim=1).flatten(0, 1), 3)

    def objection(self, figures: dict[str, float]) -> str:
        """Never one."""
        return ""


@torch.inference_mode()
def samples(make: Callable[[Tensor], Tensor], z: int, count: int, device: torch.device) -> Tensor:
    """What ``make`` gives for noise N x ``z``: ``count`` pictures N x 3 x 64 x 64, uint8, the same each time."""
    noise = torch.randn(count, z, generator=torch.Generator().manual_seed(SEED))
    return torch.cat([to_pixels(make(part.to(device))) for part in torch.split(noise, BATCH)])


def enlarged(low: Tensor) -> Tensor:
    """Bicubic, 8 times."""
    return functional.interpolate(low, scale_factor=8.0, mode="bicubic", align_corners=False)


def to_pixels(pictures: Tensor) -> Tensor:
    """Pictures in [0, 1], or a little beyond, as uint8 on the CPU."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def sheet(pictures: Tensor, columns: int) -> Picture:
    """Pictures N x 3 x H x W (uint8) side by side, row by row: H x W x 3."""
    count, _, height, width = pictures.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    page = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        page[top : top + height, left : left + width] = picture
    return page
