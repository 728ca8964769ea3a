"""The second-order degradation of BSRGAN and Real-ESRGAN: two rounds of blur, resizing, noise and JPEG.

All strengths of all samples are drawn first; then samples that take the same steps in the same order on canvases of the
same size go together. In all rounds pictures are mirrored at their borders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from srgan.training.degradation.files import through_file
from srgan.training.degradation.jpeg import jpeg
from srgan.training.degradation.kernels import blur, gaussian_kernels, sinc_kernels
from srgan.training.degradation.noise import Dice, gaussian_noise, poisson_noise
from srgan.training.degradation.resizing import resize
from srgan.training.degradation.settings import DegradationSection, PassSection

SMALLEST = 4
"""Pixels that a side keeps on its way, however strong the reduction."""
FILES = ("jpeg", "webp", "avif")


@dataclass(frozen=True)
class _Strengths:
    """What one round does to N samples, on the CPU. `sinc` and `fit_mode` belong to the end of the second."""

    blurred: Tensor
    kernel: Tensor
    ringing: Tensor
    sinc: Tensor
    size: Tensor
    mode: Tensor
    antialias: Tensor
    fit_mode: Tensor
    noisy: Tensor
    gaussian: Tensor
    sigma: Tensor
    scale: Tensor
    gray: Tensor
    packed: Tensor
    quality: Tensor
    full_colour: Tensor

    def of(self, samples: Tensor) -> _Strengths:
        return _Strengths(*(getattr(self, field.name)[samples] for field in fields(self)))


@dataclass
class _Group:
    """Samples on their way: the top left ``sizes`` of ``pictures`` (n x 3 x H x W) are real."""

    pictures: Tensor
    sizes: Tensor
    strengths: _Strengths
    samples: list[int]
    canvas: tuple[int, int]
    final: tuple[int, int]
    dice: Dice


class SecondOrder:
    """Makes low-resolution pictures out of batches of high-resolution ones, as ``settings`` say."""

    def __init__(self, settings: DegradationSection, scale: int) -> None:
        self._settings, self._scale = settings, scale

    @torch.no_grad()
    def __call__(self, pictures: Tensor, seeds: Sequence[int]) -> Tensor:
        """Degrade ``pictures``, float32 N x 3 x H x W in [0, 1] with H and W multiples of the scale.

        The result is N x 3 x H/scale x W/scale on the same device, in [0, 1] and rounded to 8 bit, in channels-last
        memory. Each sample's fate follows from its seed (0 to 2^63 - 2) and not from the rest of the batch. Raises
        `MissingDependency` when a codec is asked for that is not there.
        """
        height, width = pictures.shape[-2:]
        final = (height // self._scale, width // self._scale)
        dice = Dice(seeds, pictures.device)
        settings = self._settings
        files = dice.pick((1 - settings.webp - settings.avif, settings.webp, settings.avif))
        webp, avif = dice.whole(*settings.webp_quality), dice.whole(*settings.avif_quality)
        first = self._draw(settings.first, (height, width), dice, torch.ones_like(files, dtype=torch.bool))
        second = self._draw(settings.second, final, dice, files == FILES.index("jpeg"))
        orders = self._orders(dice, last=False), self._orders(dice, last=True)
        sizes = torch.tensor([[height, width]]).expand(len(seeds), 2)
        with _full_precision(pictures.device):
            worn = _round(pictures.contiguous().unbind(), sizes, orders[0], first, (height, width), dice)
            worn = _round(worn, first.size, orders[1], second, final, dice)
        for sample in files.nonzero()[:, 0].tolist():
            if files[sample] == FILES.index("webp"):
                worn[sample] = through_file(worn[sample], "webp", int(webp[sample]))
            else:
                worn[sample] = through_file(worn[sample], "avif", int(avif[sample]))
        whole = (torch.stack(worn) * 255).round().clamp(0, 255) / 255
        return whole.contiguous(memory_format=torch.channels_last)

    def _draw(self, settings: PassSection, start: tuple[int, int], dice: Dice, jpeg: Tensor) -> _Strengths:
        """Draw the strengths of a round whose resizing starts from ``start``; ``jpeg`` is False where there is none."""
        kernel = self._kernels(settings, dice)
        sinc = sinc_kernels(dice.between(math.pi / 3, math.pi), self._sides(dice))
        way = dice.pick((settings.up, settings.down, settings.keep))
        smallest, largest = settings.resize
        up, down = dice.between(1, largest), dice.between(smallest, 1)
        factor = torch.where(way == 0, up, torch.where(way == 1, down, torch.ones_like(up)))
        size = (torch.tensor([start]) * factor[:, None]).round().long().clamp(min=SMALLEST)
        resizers = self._settings.resizers
        return _Strengths(
            blurred=dice.happens(settings.blur),
            kernel=kernel,
            ringing=dice.happens(self._settings.final_sinc),
            sinc=sinc,
            size=size,
            mode=dice.pick(resizers.shares),
            antialias=dice.happens(resizers.antialias),
            fit_mode=dice.pick(resizers.shares),
            noisy=dice.happens(settings.noise),
            gaussian=dice.happens(settings.gaussian),
            sigma=dice.between(*settings.gaussian_sigma),
            scale=dice.between(*settings.poisson_scale),
            gray=dice.happens(settings.gray),
            packed=dice.happens(settings.jpeg) & jpeg,
            quality=dice.whole(*settings.jpeg_quality),
            full_colour=dice.happens(self._settings.full_colour),
        )

    def _kernels(self, settings: PassSection, dice: Dice) -> Tensor:
        """Draw the blur kernels of a round."""
        kinds = self._settings.kernels
        shape, sides = dice.pick(kinds.shares), self._sides(dice)
        along, across = dice.between(*settings.blur_sigma), dice.between(*settings.blur_sigma)
        sigmas = torch.stack([along, torch.where(shape % 2 == 0, along, across)], dim=1)
        angles = dice.between(0, math.pi)
        generalised, plateau = dice.between(*kinds.generalised_exponent), dice.between(*kinds.plateau_exponent)
        exponents = torch.where(shape // 2 == 1, generalised, torch.ones_like(along))
        exponents = torch.where(shape // 2 == 2, plateau, exponents)
        smooth = gaussian_kernels(sigmas, angles, exponents, shape // 2 == 2, sides)
        # A small kernel cannot hold the long waves of a low cut-off.
        lowest = torch.where(sides < 13, math.pi / 3, math.pi / 5).double()
        ringing = sinc_kernels(lowest + (math.pi - lowest) * dice.between(0, 1), sides)
        return torch.where(dice.happens(settings.sinc)[:, None, None], ringing, smooth)

    def _sides(self, dice: Dice) -> Tensor:
        smallest, largest = self._settings.kernels.side
        return 2 * dice.whole(smallest // 2, largest // 2) + 1

    def _orders(self, dice: Dice, *, last: bool) -> list[tuple[str, ...]]:
        """Draw the order of the steps for each sample. The ``last`` round ends at the final size."""
        steps = ("blur", "resize", "noise") if last else ("blur", "resize", "noise", "jpeg")
        shuffled = dice.happens(self._settings.shuffle).tolist()
        keys = torch.stack([dice.between(0, 1) for _ in steps], dim=1).argsort(dim=1).tolist()
        jpeg_last = dice.happens(self._settings.jpeg_last).tolist()
        orders = []
        for i, shuffle in enumerate(shuffled):
            order = [steps[k] for k in keys[i]] if shuffle else [*steps]
            if last:
                order += ["fit", "sinc", "jpeg"] if jpeg_last[i] else ["jpeg", "fit", "sinc"]
            orders.append(tuple(order))
        return orders


def _canvas(start: tuple[int, int], size: list[int]) -> tuple[int, int]:
    """The canvas of a sample that goes from ``start`` to ``size``: there are few, so that many can share one.

    It follows from the sample alone. A canvas that followed from the batch would make it matter what else is in there.
    """
    room = [(math.ceil(0.5 * side), side, size[axis]) for axis, side in enumerate(start)]
    level = max(0 if own <= half else 1 if own <= side else 2 for half, side, own in room)
    if level < 2:
        return room[0][level], room[1][level]
    most = max(own / side for _, side, own in room)
    factor = math.ceil(2 * most) / 2
    return math.ceil(factor * start[0]), math.ceil(factor * start[1])


def _round(
    pictures: Sequence[Tensor],
    sizes: Tensor,
    orders: list[tuple[str, ...]],
    strengths: _Strengths,
    start: tuple[int, int],
    dice: Dice,
) -> list[Tensor]:
    """Take all samples, 3 x H x W on a canvas of its own each, through a round whose size is ``start``."""
    together: dict[tuple[object, ...], list[int]] = {}
    canvases = [_canvas(start, size) for size in strengths.size.tolist()]
    for sample, picture in enumerate(pictures):
        together.setdefault((orders[sample], canvases[sample], picture.shape), []).append(sample)
    worn = list(pictures)
    for samples in together.values():
        which = torch.tensor(samples)
        group = _Group(
            pictures=torch.stack([pictures[i] for i in samples]),
            sizes=sizes[which],
            strengths=strengths.of(which),
            samples=samples,
            canvas=canvases[samples[0]],
            final=start,
            dice=dice,
        )
        for step in orders[samples[0]]:
            _STEPS[step](group)
        for sample, picture in zip(samples, group.pictures, strict=True):
            worn[sample] = picture
    return worn


def _some(group: _Group, which: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """``change`` the pictures of the group for which ``which`` is True; it gets them and their indices."""
    index = which.nonzero()[:, 0]
    if len(index) == len(which):
        group.pictures = change(group.pictures, index)
    elif len(index):
        place = index.to(group.pictures.device)
        group.pictures = group.pictures.index_copy(0, place, change(group.pictures[place], index))


def _blur(group: _Group) -> None:
    s = group.strengths
    _some(group, s.blurred, lambda pictures, index: blur(pictures, s.kernel[index]))


def _sinc(group: _Group) -> None:
    s = group.strengths
    _some(group, s.ringing, lambda pictures, index: blur(pictures, s.sinc[index]))


def _resize(group: _Group) -> None:
    s = group.strengths
    group.pictures = resize(group.pictures, group.sizes, s.size, group.canvas, s.mode, s.antialias)
    group.sizes = s.size


def _fit(group: _Group) -> None:
    s = group.strengths
    size = torch.tensor([group.final]).expand(len(group.samples), 2)
    group.pictures = resize(group.pictures, group.sizes, size, group.final, s.fit_mode, s.antialias)
    group.sizes = size


def _noise(group: _Group) -> None:
    s = group.strengths
    for make, which, strength in (
        (gaussian_noise, s.noisy & s.gaussian, s.sigma),
        (poisson_noise, s.noisy & ~s.gaussian, s.scale),
    ):

        def change(pictures: Tensor, index: Tensor, make: _Maker = make, strength: Tensor = strength) -> Tensor:
            samples = [group.samples[i] for i in index.tolist()]
            noisy = make(pictures, group.sizes[index], strength[index], s.gray[index], group.dice, samples)
            return noisy.clamp(0, 1)

        _some(group, which, change)


def _jpeg(group: _Group) -> None:
    s = group.strengths
    for full in (False, True):
        which = s.packed & (s.full_colour == full)
        _some(group, which, lambda pictures, index: jpeg(pictures, s.quality[index], full_colour=full))  # noqa: B023


_Maker = Callable[[Tensor, Tensor, Tensor, Tensor, Dice, Sequence[int]], Tensor]
_STEPS: dict[str, Callable[[_Group], None]] = {
    "blur": _blur,
    "resize": _resize,
    "noise": _noise,
    "jpeg": _jpeg,
    "fit": _fit,
    "sinc": _sinc,
}


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Training lets a GPU multiply matrices with fewer bits; here that would round pixels."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda" and before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if torch.get_float32_matmul_precision() != before:
            torch.set_float32_matmul_precision(before)
