"""The figures that an evaluation can add to PSNR and SSIM, by name, without the library that computes them.

`FIGURES` says what there is; `open_judge` and `open_collector` load what one needs, which may be torch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from srgan.errors import InvalidConfig, MissingDependency
from srgan.metrics import lattice

if TYPE_CHECKING:
    from torch import Tensor

Pixels = NDArray[np.floating[Any]]
Judge = Callable[[Pixels, Pixels], float]
"""Compares two pictures H x W x 1 or 3 in [0, 1] of one size."""
BlindJudge = Callable[[Pixels], float]
"""Judges one picture H x W x 1 or 3 in [0, 1] without a reference."""

SQUEEZENET = "SqueezeNet 1.1 (ImageNet, Caffe release)"
ALEXNET = "shift-tolerant AlexNet (ST-LPIPS vST0.0)"
PHOTOGRAPHS = "natural scene statistics of our 198 training photographs (not the model of NIQE's authors)"
PATCH, STEP = 64, 32
"""Pixels of the square patches that set figures are computed over, and from one to the next."""
_SIZE = 8.0
"""What fire9 is divided by, so that the features of photographs are about 1; part of what the set figures mean."""
FEW_PATCHES = 5000
"""Below this the Frechet distance of 512 features is mostly the bias of its estimate."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure: what it compares, whether more is better, with which features, and digits worth showing."""

    kind: Literal["fidelity", "picture", "set", "input", "blind"]
    """``picture`` compares each result with its reference, ``set`` all results with all references, ``input`` each
    result, made small again, with what was enlarged; ``blind`` looks at the result alone."""
    more_is_better: bool
    features: str | None = None
    digits: int = 4
    says: str
    aim: float | None = None
    """What to come near, where neither more nor less is better without end."""

    @property
    def better(self) -> str:
        """The word for tables: `higher`, `lower` or the value to come near."""
        if self.aim is not None:
            return f"near {self.aim:g}"
        return "higher" if self.more_is_better else "lower"

    def fault(self, value: float) -> float:
        """A number by which values can be ordered: the less, the better."""
        if self.aim is not None:
            return abs(value - self.aim)
        return -value if self.more_is_better else value


FIGURES: dict[str, Figure] = {
    "psnr": Figure(kind="fidelity", more_is_better=True, digits=2, says="dB, always given"),
    "ssim": Figure(kind="fidelity", more_is_better=True, says="always given"),
    "consistency": Figure(
        kind="input", more_is_better=True, digits=2, says="PSNR in dB of the downscaled result against the input"
    ),
    "colour-shift": Figure(
        kind="input", more_is_better=False, digits=2, says="mean delta E 2000 of the downscaled result"
    ),
    "grid": Figure(
        kind="input",
        more_is_better=False,
        digits=2,
        says="spectral energy at the periods of the scale; 1 means no grid",
        aim=1.0,
    ),
    "lpips-unweighted": Figure(
        kind="picture", more_is_better=False, features=SQUEEZENET, says="as LPIPS, with equal weights for all channels"
    ),
    "dists-squeeze": Figure(
        kind="picture", more_is_better=False, features=SQUEEZENET, says="as DISTS, with equal weights for all channels"
    ),
    "stlpips-alex": Figure(
        kind="picture", more_is_better=False, features=ALEXNET, says="ST-LPIPS; needs the package stlpips-pytorch"
    ),
    "fd-squeeze": Figure(
        kind="set", more_is_better=False, features=SQUEEZENET, digits=2, says="Frechet distance of patches; not FID"
    ),
    "kid-squeeze": Figure(
        kind="set", more_is_better=False, features=SQUEEZENET, digits=3, says="kernel distance of patches, unbiased"
    ),
    "niqe-photos": Figure(
        kind="blind", more_is_better=False, features=PHOTOGRAPHS, digits=2, says="as NIQE, needs no reference"
    ),
}

_NOT_HERE = {
    "lpips": "its weights belong to features that are not shipped: lpips-unweighted or stlpips-alex",
    "dists": "its weights belong to features that are not shipped: dists-squeeze",
    "fid": "its features are not shipped: fd-squeeze",
    "kid": "its features are not shipped: kid-squeeze",
    "niqe": "its authors' model of pristine pictures is not shipped: niqe-photos",
}


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """``names`` as keys of `FIGURES`, each once, PSNR and SSIM first. Raises `InvalidConfig` that lists all unknown."""
    wanted = [name.strip().lower() for name in names if name.strip()]
    if unknown := [name for name in wanted if name not in FIGURES]:
        said = "; ".join(f"{name} ({_NOT_HERE[name]})" if name in _NOT_HERE else name for name in unknown)
        raise InvalidConfig(f"There is no metric called {said}. Choose from: {', '.join(FIGURES)}")
    return tuple(dict.fromkeys(("psnr", "ssim", *wanted)))


def least_side(name: str, scale: int) -> int:
    """How many pixels high and wide a picture enlarged by ``scale`` must be for the figure ``name``."""
    return lattice.window(scale) if name == "grid" else _LEAST_SIDE.get(name, 1)


def open_judge(name: str) -> Judge:
    """What computes the figure ``name``, one of kind ``picture``, on the CPU.

    Raises `MissingDependency` where torch, `InvalidConfig` where the weights of ST-LPIPS are not installed, and
    `CorruptModel` when weights are damaged.
    """
    try:
        import torch

        from srgan.metrics import perceptual
        from srgan.metrics.squeezenet import squeezenet
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or "torch", "train") from error
    compare: Callable[[Tensor, Tensor], Tensor]
    if name == "stlpips-alex":
        compare = perceptual.ShiftTolerantDistance.load(_stlpips_weights())
    else:
        network = squeezenet()
        form = {
            "lpips-unweighted": perceptual.feature_distance,
            "dists-squeeze": perceptual.structure_texture_distance,
        }[name]

        def compare(a: Tensor, b: Tensor) -> Tensor:
            return form(network, a, b)

    def judge(a: Pixels, b: Pixels) -> float:
        with torch.inference_mode():
            return float(compare(torch.from_numpy(_batch(a)), torch.from_numpy(_batch(b))))

    return judge


def open_blind_judge(name: str) -> BlindJudge:
    """What computes the figure ``name``, one of kind ``blind``: `niqe-photos`. Raises `CorruptModel`."""
    from srgan.metrics import naturalness

    naturalness.pristine()
    return {"niqe-photos": naturalness.naturalness}[name]


def open_collector() -> Callable[[Pixels], NDArray[np.float32]]:
    """What gives the features of a picture's patches, N x 512, for the figures of kind ``set``: fire9 averaged, by 8.

    Patches are `PATCH` pixels square, `STEP` apart from the top left; what is left over on the right and below does not
    count. Raises `MissingDependency` and `CorruptModel`.
    """
    try:
        import torch

        from srgan.metrics.squeezenet import squeezenet
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or "torch", "train") from error
    network = squeezenet()

    def collect(pixels: Pixels) -> NDArray[np.float32]:
        picture = torch.from_numpy(_batch(pixels))[0]
        patches = picture.unfold(1, PATCH, STEP).unfold(2, PATCH, STEP).permute(1, 2, 0, 3, 4).flatten(0, 1)
        with torch.inference_mode():
            means = [network(part)[-1].mean((2, 3)) / _SIZE for part in torch.split(patches, 64)]
        return np.asarray(torch.cat(means).numpy(), np.float32)

    return collect


def _stlpips_weights() -> Path:
    """Found, not imported: the package asks for much that is not needed here."""
    spec = importlib.util.find_spec("stlpips_pytorch")
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        path = Path(folder) / "weights" / "vST0.0" / "alex_shift_tolerant.pth"
        if path.is_file():
            return path
    raise InvalidConfig("stlpips-alex: its weights are not installed: pip install --no-deps stlpips-pytorch")


def _batch(pixels: Pixels) -> NDArray[np.float32]:
    """1 x 3 x H x W; gray counts as three equal channels."""
    height, width, _ = pixels.shape
    return np.array(np.broadcast_to(pixels, (height, width, 3)).transpose(2, 0, 1)[None], np.float32)


_LEAST_SIDE = {
    "lpips-unweighted": 17,
    "dists-squeeze": 17,
    "stlpips-alex": 32,
    "fd-squeeze": PATCH,
    "kid-squeeze": PATCH,
    "niqe-photos": 96,
}
