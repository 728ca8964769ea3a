"""A picture file enlarged into a picture file, still or animated, with everything that belongs to it.

What the command line, the batch and `srgan.upscale` do with files is this and nothing else, so that all three give the
same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Unpack

import numpy as np

from srgan.atomic import check_space, check_target
from srgan.errors import InvalidConfig
from srgan.imaging import (
    Input,
    Kernel,
    Limits,
    Page,
    Picture,
    Scan,
    check_format,
    encode_strips,
    estimate_bytes,
    format_of,
    open_input,
    write_pages,
    write_strips,
)
from srgan.progress import Report, Step, Stop, part, silent
from srgan.runtime.session import SessionInfo
from srgan.upscaler.forecast import WORTH_TELLING, forecast
from srgan.upscaler.opener import Opener
from srgan.upscaler.pipeline import Pixels, Upscaler
from srgan.upscaler.sizes import Size

if TYPE_CHECKING:
    from srgan.imaging.writing import Verify

FileSource = str | os.PathLike[str] | bytes | BinaryIO | Input
"""A picture file: by its path, its bytes, open in binary mode, or as an `Input`, which keeps its own limits."""

_SAMPLE_PIXELS = 16_000_000
"""Pixels of a picture that a choice is made from; of a larger one, as many from its top."""


@dataclass(frozen=True, kw_only=True)
class Saving:
    """How a result is written."""

    format: str | None = None
    """Format by name or suffix; without it that of the target's suffix, else the source's where it can be written."""
    quality: int | None = None
    """Of the formats that have one, 1 to 100."""
    overwrite: bool = False
    """Whether an existing target is replaced."""
    metadata: bool = True
    """Whether EXIF, XMP, IPTC and texts are kept."""
    provenance: bool = True
    """Whether the result says, in XMP, which model made it and how."""
    verify: Verify = "header"
    """How closely the written file is looked at, see `srgan.imaging.write_picture`."""


@dataclass(frozen=True, kw_only=True)
class Enlarged:
    """What became of a file."""

    source_format: str
    source_size: tuple[int, int]
    """Height and width, upright."""
    format: str
    size: tuple[int, int]
    """Height and width. Of several pages these are the sizes of the first."""
    frames: int
    """1, or the number of pictures in the animation or of pages in the TIFF."""
    info: SessionInfo
    """What made it, or the first page of it."""
    damage: tuple[str, ...] = ()
    """What was wrong with the pixels of the source, where `Limits.damaged` keeps it."""


_AS_USUAL = Saving()
_LIMITS = Limits()


def enlarge_file(
    upscaler: Upscaler | Opener,
    source: FileSource,
    target: str | os.PathLike[str],
    *,
    saving: Saving = _AS_USUAL,
    resample: Kernel = "lanczos",
    limits: Limits = _LIMITS,
    report: Report | None = None,
    stop: Stop | None = None,
    **size: Unpack[Size],
) -> Enlarged:
    """Enlarge the picture or animation in ``source`` and write it to ``target``, strip by strip, whole or not at all.

    All pages of a TIFF are enlarged, by one scale, into the pages of a TIFF; other formats are refused with
    `InvalidConfig` then, since they would lose pages.

    Profile, depth, transparency, metadata and animation are kept as far as the target's format has room for them (see
    `srgan.imaging.encode_picture`). That the format can hold the result and the disk has room for it is checked before
    the work; ``report`` is then told, as news, what a large still picture will take. ``resample``, ``report``,
    ``stop`` and ``size`` are those of `Upscaler.upscale`. Raises `SrganError`.
    """
    kind = format_of(target, saving.format)
    check_target(target, overwrite=saving.overwrite)
    order = Order(upscaler, saving=saving, resample=resample, report=report, stop=stop, size=size)
    with open_input(source, limits=limits) as file:
        if file.count == 1:
            return _enlarge_picture(order, file, target, kind)
        several = _enlarge_frames if file.frames > 1 else _enlarge_pages
        return several(order, file, target, kind)


def enlarge_bytes(
    upscaler: Upscaler | Opener,
    source: FileSource,
    *,
    saving: Saving = _AS_USUAL,
    resample: Kernel = "lanczos",
    limits: Limits = _LIMITS,
    report: Report | None = None,
    stop: Stop | None = None,
    **size: Unpack[Size],
) -> tuple[bytes, Enlarged]:
    """`enlarge_file` into the bytes of a file, of the source's format where none is asked for (PNG where that cannot be
    written)."""
    order = Order(upscaler, saving=saving, resample=resample, report=report, stop=stop, size=size)
    with open_input(source, limits=limits) as file:
        kind = format_of(None, saving.format or file.format)
        if file.count == 1:
            begun = order.begin(next(file.scans()))
            check_format(kind, *begun.after[::-1], begun.channels)
            data = encode_strips(begun.strips(), begun.after, kind, like=begun.like, quality=saving.quality)
            return data, begun.account(kind)
        several = _enlarge_frames if file.frames > 1 else _enlarge_pages
        with tempfile.TemporaryDirectory(prefix="srgan-") as folder:
            target = Path(folder, f"several.{kind.lower()}")
            made = several(order, file, target, kind)
            return target.read_bytes(), made


@dataclass(frozen=True)
class Order:
    """What is asked for of a file: by which model, how large, how it is written, and who is told and may stop it."""

    upscaler: Upscaler | Opener
    saving: Saving = _AS_USUAL
    resample: Kernel = "lanczos"
    report: Report | None = None
    stop: Stop | None = None
    size: Size = field(default_factory=Size)

    def begin(self, scan: Scan) -> Begun:
        """The model chosen for the picture, and nothing of it lost. Raises what `Opener` and `output_size` raise."""
        seen = scan.like
        if not isinstance(self.upscaler, Upscaler) and self.upscaler.looks:
            seen, scan = _looked_at(scan)
        return Begun(self, self.model_for(seen), scan)

    def model_for(self, picture: Picture) -> Upscaler:
        return self.upscaler if isinstance(self.upscaler, Upscaler) else self.upscaler(picture, self.size)

    def describe(self, opened: Upscaler, like: Picture) -> Picture:
        """The description of a source as that of its result."""
        from importlib.metadata import version

        from srgan.imaging.metadata.enlarged import finished, strip
        from srgan.imaging.metadata.provenance import Provenance

        info = opened.info
        wanted = {name: value for name, value in self.size.items() if value is not None}
        record = Provenance(
            model=info.model,
            version=info.version,
            sha256=info.sha256,
            settings={**(wanted or {"scale": opened.scale}), **opened.settings},  # type: ignore[dict-item]
            tool_version=version("srgan"),
        )
        after = opened.output_size((like.height, like.width), **self.size)
        kept = like if self.saving.metadata else strip(like)
        return finished(kept, after, record if self.saving.provenance else None)


@dataclass(frozen=True)
class Begun:
    """A picture, or a page, and the model that enlarges it."""

    order: Order
    opened: Upscaler
    scan: Scan

    @property
    def before(self) -> tuple[int, int]:
        """Height and width of the source."""
        return self.scan.like.height, self.scan.like.width

    @cached_property
    def after(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.opened.output_size(self.before, **self.order.size)

    @property
    def channels(self) -> int:
        return int(self.scan.like.pixels.shape[2])

    @property
    def like(self) -> Picture:
        """What is written beside the pixels."""
        return self.order.describe(self.opened, self.scan.like)

    def strips(self, report: Report | None = None) -> Iterator[Pixels]:
        """The pixels of the result, once; ``report`` stands in for the one of the order."""
        order = self.order
        report = report or order.report
        return self.opened.strips(self.scan, resample=order.resample, report=report, stop=order.stop, **order.size)

    def account(self, format: str, frames: int = 1, damage: Sequence[str] | None = None) -> Enlarged:
        return Enlarged(
            source_format=self.scan.like.format or "",
            source_size=self.before,
            format=format,
            size=self.after,
            frames=frames,
            info=self.opened.info,
            damage=tuple(self.scan.damage if damage is None else damage),
        )


def _enlarge_picture(order: Order, file: Input, target: str | os.PathLike[str], kind: str) -> Enlarged:
    begun = order.begin(next(file.scans()))  # of a TIFF the only page, which need not be the first picture in it
    before, after, saving = begun.before, begun.after, order.saving
    check_format(kind, *after[::-1], begun.channels)
    needed = estimate_bytes(after, begun.channels, begun.scan.like.bit_depth, kind)
    check_space(target, needed)
    pixels = before[0] * before[1]
    if order.report is not None and pixels >= WORTH_TELLING:
        order.report(Step(0, pixels, "pixels", news=str(forecast(begun.opened, before, after, needed))))
    write_strips(
        begun.strips(),
        after,
        target,
        like=begun.like,
        format=kind,
        quality=saving.quality,
        overwrite=saving.overwrite,
        verify=saving.verify,
    )
    return begun.account(kind)


def _enlarge_frames(order: Order, file: Input, target: str | os.PathLike[str], kind: str) -> Enlarged:
    from srgan.upscaler.animation import enlarge_animation

    opened = order.model_for(next(file.animation().frames).picture)
    animation = file.animation()
    enlarge_animation(
        opened,
        animation,
        target,
        format=kind,
        quality=order.saving.quality,
        overwrite=order.saving.overwrite,
        resample=order.resample,
        report=order.report,
        stop=order.stop,
        describe=lambda like: order.describe(opened, like),
        **order.size,
    )
    return Enlarged(
        source_format=file.format,
        source_size=animation.size,
        format=kind,
        size=opened.output_size(animation.size, **order.size),
        frames=animation.count,
        info=opened.info,
        damage=tuple(animation.damage),
    )


def _enlarge_pages(order: Order, file: Input, target: str | os.PathLike[str], kind: str) -> Enlarged:
    """Each page with a model of its own, where one is chosen, and all of them by the scale of the first."""
    headers = file.headers
    if kind != "TIFF":
        raise InvalidConfig(
            f"{target}: {kind} can hold only one picture, but the input has {len(headers)} pages; choose .tif"
        )
    scans = file.scans()
    first = order.begin(next(scans))
    if all(value is None for value in order.size.values()):
        order = replace(order, size=Size(scale=first.opened.scale))
        first = replace(first, order=order)
    pixels = [header.height * header.width for header in headers]
    begun = [first]

    def enlarged() -> Iterator[Page]:
        for number in range(len(headers)):
            if number:
                begun.append(order.begin(next(scans)))
            page, note = begun[number], f"page {number + 1} of {len(headers)}"
            tell = part(order.report or silent, sum(pixels[:number]), pixels[number], sum(pixels), note=note)
            yield Page(strips=page.strips(tell), size=page.after, like=page.like)

    write_pages(
        enlarged(),
        target,
        most_bytes=_check_pages(order, file, target, first.opened),
        overwrite=order.saving.overwrite,
        verify=order.saving.verify,
    )
    damage = [f"page {number}: {fault}" for number, page in enumerate(begun, 1) for fault in page.scan.damage]
    return first.account(kind, len(headers), damage)


def _check_pages(order: Order, file: Input, target: str | os.PathLike[str], opened: Upscaler) -> int:
    """Most bytes of the pixels of all pages, once it is sure that they and the disk have room for each other."""
    needed = most = 0
    for header in file.headers:
        after = opened.output_size((header.height, header.width), **order.size)
        check_format("TIFF", *after[::-1], header.channels)
        needed += estimate_bytes(after, header.channels, header.bit_depth, "TIFF")
        most += after[0] * after[1] * (header.channels + 1) * header.bit_depth // 8  # four inks become four inks again
    check_space(target, needed)
    return most


def _looked_at(scan: Scan) -> tuple[Picture, Scan]:
    """The picture, or its top when it is large, and the scan as if nobody had looked."""
    held: list[Pixels] = []
    rows = 0
    strips = iter(scan.strips)
    for strip in strips:
        held.append(strip)
        rows += len(strip)
        if rows * scan.like.width >= _SAMPLE_PIXELS:
            break
    again: Iterator[Pixels] = chain(held, strips)
    return replace(scan.like, pixels=np.concatenate(held)), replace(scan, strips=again)
