"""Adversarial losses and gradient penalties, for discriminators that give logits of any shape. All give a scalar.

bce      Goodfellow et al. 2014, the generator's non-saturating form; what the SRGAN paper uses
ragan    relativistic average (Jolicoeur-Martineau 2018): real pictures more real than fake ones on average; ESRGAN
lsgan    least squares (Mao et al. 2017)
hinge    Lim and Ye 2017
wgan-gp  Wasserstein distance (Arjovsky et al. 2017), to be held by `gradient_penalty` (Gulrajani et al. 2017)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Discriminate = Callable[[Tensor], Tensor]


def discriminator_loss(kind: str, real: Tensor, fake: Tensor, *, label: float = 1.0) -> Tensor:
    """What the discriminator makes small, from its outputs for real and generated pictures.

    ``label`` below 1 is what real pictures count as (one-sided smoothing); `hinge` and `wgan-gp` know no labels.
    """
    real, fake = real.float(), fake.float()
    if kind == "bce":
        return _bce(real, label) + _bce(fake, 0.0)
    if kind == "ragan":
        return (_bce(real - fake.mean(), label) + _bce(fake - real.mean(), 0.0)) / 2
    if kind == "lsgan":
        return ((real - label).square().mean() + fake.square().mean()) / 2
    if kind == "hinge":
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    if kind == "wgan-gp":
        return fake.mean() - real.mean()
    raise ValueError(f"no adversarial loss {kind!r}")


def generator_loss(kind: str, real: Tensor | None, fake: Tensor) -> Tensor:
    """What the generator makes small. Only `ragan` looks at ``real``, the outputs for real pictures."""
    fake = fake.float()
    if kind == "bce":
        return _bce(fake, 1.0)
    if kind == "ragan":
        assert real is not None
        real = real.float().detach()
        return (_bce(real - fake.mean(), 0.0) + _bce(fake - real.mean(), 1.0)) / 2
    if kind == "lsgan":
        return (fake - 1).square().mean()
    if kind in ("hinge", "wgan-gp"):
        return -fake.mean()
    raise ValueError(f"no adversarial loss {kind!r}")


def gradient_penalty(
    discriminate: Discriminate,
    real: Tensor,
    fake: Tensor,
    generator: torch.Generator,
    *,
    part: tuple[int, int] = (0, 1),
) -> Tensor:
    """(||gradient|| - 1)^2 on random lines between real and generated pictures or codes, mean over the batch.

    The gradient is that of the mean score of a picture.

    ``generator`` is on the CPU, in the same state in all processes. The batch is ``part``, (number, of how many), of a
    larger one: all processes draw for the whole, and each takes its own. Not under autocast: call it in float32.
    """
    number, parts = part
    ones = (1,) * (real.ndim - 1)
    share = torch.rand(parts * len(real), *ones, generator=generator).chunk(parts)[number].to(real.device)
    between = (real + share * (fake - real)).detach().requires_grad_()
    return (_slopes(discriminate, between) - 1).square().mean()


def r1_penalty(discriminate: Discriminate, real: Tensor) -> Tensor:
    """||gradient||^2 / 2 of the mean score at real pictures (Mescheder et al. 2018), mean over the batch.

    Call it in float32.
    """
    return _slopes(discriminate, real.detach().requires_grad_()).square().mean() / 2


def artefact_map(output: Tensor, average: Tensor, target: Tensor, window: int = 7) -> Tensor:
    """Where a GAN invents artefacts, N x 1 x H x W and without gradient: the weight of an L1 there.

    The local variance of the residual, times its variance over the picture to the power of 1/5, and zero wherever the
    current output is nearer to the target than that of the ``average`` of the weights, which artefacts have not reached
    yet. Liang, Zeng and Zhang, "Details or Artifacts", CVPR 2022 (LDL).
    """
    with torch.no_grad():
        residual = (target - output).abs().sum(1, keepdim=True)
        slow = (target - average).abs().sum(1, keepdim=True)
        overall = residual.var(dim=(1, 2, 3), keepdim=True).pow(0.2)
        padded = functional.pad(residual, [window // 2] * 4, mode="reflect")
        mean = functional.avg_pool2d(padded, window, stride=1)
        local = functional.avg_pool2d(padded.square(), window, stride=1) - mean.square()
        local = local.clamp_min(0) * (window**2 / (window**2 - 1))
        return (overall * local).masked_fill(residual < slow, 0.0)


def grid_loss(output: Tensor, target: Tensor, scale: int, window: int = 8) -> Tensor:
    """How far a pattern is repeated in neighbouring enlarged pixels that the target does not have; 0 or more.

    ``output`` and ``target`` begin where a low-resolution pixel does and are ``scale`` times as large. The residual at
    each of the scale * scale places within an enlarged pixel is averaged over squares of ``window`` such pixels: what a
    square has of detail cancels out, and what comes again in each does not. The figure is the mean absolute value of
    what is left, less the mean over the places, which is a matter of colour.

    A network that works at low resolution gives the same pattern wherever its features are the same, so this is the
    cheapest texture for it to please a feature network with.
    """
    places = functional.pixel_unshuffle(output - target, scale)
    window = min(window, *places.shape[-2:])
    repeated = functional.avg_pool2d(places, window, stride=max(1, window // 2))
    repeated = repeated.reshape(len(output), -1, scale * scale, *repeated.shape[-2:])
    loss: Tensor = (repeated - repeated.mean(dim=2, keepdim=True)).abs().mean()
    return loss


def _bce(logits: Tensor, label: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _slopes(discriminate: Discriminate, pictures: Tensor) -> Tensor:
    """The norm of the gradient of each picture's score, N values with a graph of their own.

    The score is the mean over the places where a discriminator judges, as the games take it: a slope of the sum would
    be as many times as steep as there are places, and would mean another weight for each size of a patch.
    """
    scores = discriminate(pictures).float().reshape(len(pictures), -1).mean(dim=1)
    (gradient,) = torch.autograd.grad(scores.sum(), pictures, create_graph=True)
    slopes: Tensor = gradient.flatten(1).norm(dim=1)
    return slopes
