"""The second-order degradation of BSRGAN and Real-ESRGAN: two rounds of blur, resizing, noise and JPEG.

All strengths of all samples are drawn first; then samples that take the same steps in the same order on canvases of the
same size go together. In all rounds pictures are mirrored at their borders.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from srgan.training.degradation.files import through_file
from srgan.training.degradation.jpeg import jpeg
from srgan.training.degradation.kernels import blur, gaussian_kernels, sinc_kernels
from srgan.training.degradation.noise import Dice, gaussian_noise, poisson_noise
from srgan.training.degradation.resizing import resize
from srgan.training.degradation.settings import DegradationSection, PassSection
from srgan.training.degradation.sharpening import sharpened
from srgan.training.degradation.video import CODECS, need_codecs, through_video

SMALLEST = 4
"""Pixels that a side keeps on its way, however strong the reduction."""
FILES = ("jpeg", "webp", "avif", "video")
_SWITCH = threading.Lock()
_NAMES = {"webp": "WebP", "avif": "AVIF", "mpeg2": "MPEG-2", "mpeg4": "MPEG-4", "h264": "H.264"}


@dataclass(frozen=True)
class _Strengths:
    """What one round does to N samples, on the CPU. `sinc` and `fit_mode` belong to the end of the second."""

    blurred: Tensor
    kernel: Tensor
    width: Tensor
    """Mean standard deviation of the kernel; 0 for a sinc filter."""
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
    photons: int
    dice: Dice


@dataclass(frozen=True)
class _File:
    """The codec that stands in for the second JPEG: webp, avif or a video codec."""

    codec: str
    strength: int
    path: tuple[tuple[int, int], ...] = ()

    def __call__(self, picture: Tensor) -> Tensor:
        if self.codec in CODECS:
            return through_video(picture, self.codec, self.strength, self.path)
        return through_file(picture, self.codec, self.strength)

    def __str__(self) -> str:
        name = _NAMES[self.codec]
        if self.codec in CODECS:
            frames = len(self.path) + 1
            return f"{name} q{self.strength}, {frames} frame{'s' * (frames > 1)}"
        return f"{name} {self.strength}"


@dataclass(frozen=True)
class _Plan:
    """The fate of N samples."""

    first: _Strengths
    second: _Strengths
    orders: tuple[list[tuple[str, ...]], list[tuple[str, ...]]]
    files: dict[int, _File]


class SecondOrder:
    """Makes low-resolution pictures out of batches of high-resolution ones, as ``settings`` say.

    Raises `MissingDependency` when a video codec is asked for that is not there.
    """

    def __init__(self, settings: DegradationSection, scale: int) -> None:
        self._settings, self._scale = settings, scale
        if settings.kind == "second-order" and settings.video.chance:
            need_codecs([codec for codec, share in zip(CODECS, settings.video.shares, strict=True) if share])

    @torch.no_grad()
    def __call__(self, pictures: Tensor, seeds: Sequence[int]) -> Tensor:
        """Degrade ``pictures``, float32 N x 3 x H x W in [0, 1] with H and W multiples of the scale.

        The result is N x 3 x H/scale x W/scale on the same device, in [0, 1] and rounded to 8 bit, in channels-last
        memory. Each sample's fate follows from its seed (0 to 2^63 - 2) and not from the rest of the batch. Raises
        `MissingDependency` when a codec is asked for that is not there.
        """
        size = (pictures.shape[-2], pictures.shape[-1])
        final = self._final(size)
        photons = 0 if self._settings.photons == "levels" else self._settings.photons
        dice = Dice(seeds, pictures.device)
        plan = self._plan(dice, size)
        sizes = torch.tensor([size]).expand(len(seeds), 2)
        with _full_precision(pictures.device):
            worn = _round(pictures.contiguous().unbind(), sizes, plan.orders[0], plan.first, size, photons, dice)
            worn = _round(worn, plan.first.size, plan.orders[1], plan.second, final, photons, dice)
        for sample, file in plan.files.items():
            worn[sample] = file(worn[sample])
        whole = (torch.stack(worn) * 255).round().clamp(0, 255) / 255
        return whole.contiguous(memory_format=torch.channels_last)

    def original(self, pictures: Tensor) -> Tensor:
        """What is worn out, and what is to be made of it again: ``pictures``, sharpened if the settings say so."""
        if not self._settings.sharpen:
            return pictures
        return sharpened(pictures, self._settings.sharpen).contiguous(memory_format=torch.channels_last)

    def describe(self, size: tuple[int, int], seeds: Sequence[int]) -> list[tuple[str, str]]:
        """What the two rounds do to pictures of ``size`` (height, width) with ``seeds``, in words."""
        plan = self._plan(Dice(seeds, torch.device("cpu")), size)
        return [
            (
                _in_words(plan.first, plan.orders[0][i], i, size, None),
                _in_words(plan.second, plan.orders[1][i], i, self._final(size), plan.files.get(i)),
            )
            for i in range(len(seeds))
        ]

    def _final(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[0] // self._scale, size[1] // self._scale

    def _plan(self, dice: Dice, size: tuple[int, int]) -> _Plan:
        """Draw all that happens to the samples of ``dice``, whose pictures have this ``size``."""
        settings = self._settings
        others = (settings.webp, settings.avif, settings.video.chance)
        files = dice.pick((max(0.0, 1 - sum(others)), *others))
        strengths = {"webp": dice.whole(*settings.webp_quality), "avif": dice.whole(*settings.avif_quality)}
        first = self._draw(settings.first, size, dice, torch.ones_like(files, dtype=torch.bool))
        second = self._draw(settings.second, self._final(size), dice, files == FILES.index("jpeg"))
        orders = self._orders(dice, last=False), self._orders(dice, last=True)
        videos = self._videos(dice)
        chosen = {}
        for sample in files.nonzero()[:, 0].tolist():
            kind = FILES[files[sample]]
            chosen[sample] = videos[sample] if kind == "video" else _File(kind, int(strengths[kind][sample]))
        return _Plan(first, second, orders, chosen)

    def _videos(self, dice: Dice) -> list[_File]:
        """Draw a video for each sample."""
        settings = self._settings.video
        codecs = dice.pick(settings.shares).tolist()
        strengths = (dice.whole(*settings.quantiser).tolist(), dice.whole(*settings.quantiser_h264).tolist())
        frames = dice.whole(*settings.frames).tolist()
        down, right = (dice.whole(-settings.motion, settings.motion).tolist() for _ in range(2))
        videos = []
        for i, number in enumerate(codecs):
            codec = CODECS[number]
            path = tuple((-k * down[i], -k * right[i]) for k in range(frames[i] - 1, 0, -1))
            videos.append(_File(codec, strengths[codec == "h264"][i], path))
        return videos

    def _draw(self, settings: PassSection, start: tuple[int, int], dice: Dice, jpeg: Tensor) -> _Strengths:
        """Draw the strengths of a round whose resizing starts from ``start``; ``jpeg`` is False where there is none."""
        kernel, width = self._kernels(settings, dice)
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
            width=width,
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

    def _kernels(self, settings: PassSection, dice: Dice) -> tuple[Tensor, Tensor]:
        """Draw the blur kernels of a round, and how wide they are."""
        kinds = self._settings.kernels
        shape, sides = dice.pick(kinds.shares), self._sides(dice)
        along, across = dice.between(*settings.blur_sigma), dice.between(*settings.blur_sigma)
        sigmas = torch.stack([along, torch.where(shape % 2 == 0, along, across)], dim=1)
        angles = dice.between(0, math.pi)
        generalised, plateau = dice.around_one(*kinds.generalised_exponent), dice.around_one(*kinds.plateau_exponent)
        exponents = torch.where(shape // 2 == 1, generalised, torch.ones_like(along))
        exponents = torch.where(shape // 2 == 2, plateau, exponents)
        smooth = gaussian_kernels(sigmas, angles, exponents, shape // 2 == 2, sides)
        # A small kernel cannot hold the long waves of a low cut-off.
        lowest = torch.where(sides < 13, math.pi / 3, math.pi / 5).double()
        ringing = sinc_kernels(lowest + (math.pi - lowest) * dice.between(0, 1), sides)
        sinc = dice.happens(settings.sinc)
        return torch.where(sinc[:, None, None], ringing, smooth), torch.where(sinc, 0.0, sigmas.mean(dim=1))

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


def _in_words(
    strengths: _Strengths, order: tuple[str, ...], sample: int, start: tuple[int, int], file: _File | None
) -> str:
    """What a round that begins with the size ``start`` does to a sample, in its order."""
    s = strengths.of(torch.tensor([sample]))
    kind, strength = ("", s.sigma) if s.gaussian else ("Poisson ", s.scale)
    said = {
        "blur": (f"blur {s.width.item():.1f}" if s.width else "sinc") if s.blurred else "",
        "resize": f"x{s.size[0, 0].item() / start[0]:.2f}",
        "noise": f"{'gray ' * bool(s.gray)}{kind}noise {strength.item():.{1 if s.gaussian else 2}f}" if s.noisy else "",
        "jpeg": f"JPEG {s.quality.item()}" if s.packed else "",
        "sinc": "sinc" if s.ringing else "",
    }
    words = [said.get(step, "") for step in order] + [str(file) if file else ""]
    return ", ".join(word for word in words if word)


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
    photons: int,
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
            photons=photons,
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
        (partial(poisson_noise, photons=group.photons), s.noisy & ~s.gaussian, s.scale),
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
    """Training lets a GPU multiply matrices with fewer bits; here that would round pixels.

    The switch is the process's, so threads take turns. A training step that multiplies meanwhile is exact as well.
    """
    if device.type != "cuda":
        yield
        return
    with _SWITCH:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
