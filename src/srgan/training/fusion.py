"""What an ensemble learns after its members: fixed weights, the fusion of each pixel, and the mean of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from srgan.errors import TrainingFailed
from srgan.networks.ensemble import MEMBERS, EnsembleNetwork, Fusion

Pair = tuple[Tensor, Tensor]
"""Low- and high-resolution pictures, N x C x H x W and N x C x sH x sW in [0, 1]."""
ONE_ANCESTOR = 0.5
"""The least `likeness` of networks that started from the same weights.

Measured on the shipped models: photo-fast-x4 and artwork-x4, trained on from fast-x4 for 8000 and 12000 steps, are at
0.99 and 0.90 of it and at 0.90 of each other; fast-x2, whose seed was another, and a fresh network are within 0.01 of
zero of all of them.
"""


def fit_weights(ensemble: EnsembleNetwork, pairs: Iterable[Pair]) -> tuple[float, ...]:
    """One weight for each member, from 0 and of sum 1, with which their mean comes closest to the high resolution.

    Closest in the mean squared error over all values of ``pairs``, whose pictures may differ in size. Exact: with
    errors e the mean's error is w'Ew, E = e e', and which weights are zero is tried in all ways. Raises
    `TrainingFailed` when a member gives values that are not finite.
    """
    count = len(ensemble.members)
    products = np.zeros((count, count))
    values = 0
    for low, high in pairs:
        errors = torch.stack([(made - high).flatten() for made in members_of(ensemble, low, high)]).double()
        products += (errors @ errors.T).cpu().numpy()
        values += errors.shape[1]
    if not values or not np.isfinite(products).all():
        raise TrainingFailed("the weights of the members cannot be fitted: no pictures, or values that are not finite")
    return _least(products / values)


def members_of(ensemble: EnsembleNetwork, low: Tensor, high: Tensor) -> Sequence[Tensor]:
    """The members' pictures of ``low``, whatever its size, as large as ``high``. Without gradients."""
    down, right = (-side % ensemble.multiple for side in low.shape[2:])
    with torch.no_grad():
        padded = functional.pad(low, (0, right, 0, down), mode="replicate") if down or right else low
        made: Tensor = ensemble.only(MEMBERS)(padded)
    return made[:, :, : high.shape[2], : high.shape[3]].chunk(len(ensemble.members), dim=1)


def _least(products: NDArray[np.float64]) -> tuple[float, ...]:
    """The w >= 0 of sum 1 that makes w'Ew smallest. Among equals, the one with the fewest members."""
    count = len(products)
    single = int(np.argmin(np.diag(products)))
    best, least = np.eye(count)[single], float(products[single, single])
    for size in range(2, count + 1):
        for chosen in combinations(range(count), size):
            part = products[np.ix_(chosen, chosen)]
            # On these members alone, E w = const solves it; members that are equal make E singular.
            solution = np.linalg.lstsq(part, np.ones(size), rcond=None)[0]
            if (solution < 0).any() or not solution.sum() > 0:
                continue
            weights = solution / solution.sum()
            error = float(weights @ part @ weights)
            if error < least * (1 - 1e-9):
                least, best = error, np.zeros(count)
                best[list(chosen)] = weights
    return tuple(float(weight) for weight in best)


def train_fusion(
    ensemble: EnsembleNetwork,
    batches: Iterator[Pair],
    steps: int,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.l1_loss,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> float:
    """Train the fusion of ``ensemble`` from the start, for ``steps`` ``batches``, and return the mean loss of the last.

    ``loss`` compares what it makes with the high resolution. The members are left as they are. Adam and a cosine; the
    same seed and batches give the same weights. Raises `TrainingFailed` when the loss is not finite.
    """
    fusion = ensemble.fusion
    assert fusion is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fusion.load_state_dict(Fusion(len(ensemble.members), ensemble.channels, ensemble.scale).state_dict())
    fusion.requires_grad_(True)
    optimiser = torch.optim.Adam(fusion.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps), learning_rate / 100)
    losses: list[Tensor] = []
    for step in range(steps):
        low, high = next(batches)
        value = loss(ensemble.combine("fusion", members_of(ensemble, low, high)), high)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses = [*losses[-99:], value.detach()]
        if step % 100 == 99 and not value.isfinite():
            break
    fusion.requires_grad_(False)
    mean = torch.stack(losses).mean().item() if losses else 0.0
    if not np.isfinite(mean):
        raise TrainingFailed("the fusion's loss is not finite; lower ensemble.fusion_learning_rate")
    return mean


def likeness(states: Sequence[Mapping[str, Tensor]]) -> float:
    """How alike the kernels of the least alike two of several networks are: their cosine, -1 to 1.

    ``states``, two or more, have the same keys and shapes. Names cannot tell what this tells: a model may come from an
    earlier one of its own name. Not a number where weights are not finite.
    """
    # Kernels alone: biases, slopes and norms begin alike in all networks. In one order: that of files differs.
    names = [name for name, value in states[0].items() if value.ndim > 1]
    kernels = [torch.cat([state[name].double().flatten() for name in names]) for state in states]
    cosines = [torch.cosine_similarity(one, other, dim=0) for one, other in combinations(kernels, 2)]
    return torch.stack(cosines).min().item()  # which passes on what is no number


def soup(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several networks' weights (Wortsman et al., "Model soups", ICML 2022).

    ``states`` have the same keys and shapes, and must come from one ancestor: weights of networks that began apart have
    nothing in common, see `likeness`. What is not floating point is taken from the first.
    """
    first = states[0]
    return {
        key: torch.stack([state[key].double() for state in states]).mean(dim=0).to(value.dtype)
        if value.is_floating_point()
        else value.clone()
        for key, value in first.items()
    }
