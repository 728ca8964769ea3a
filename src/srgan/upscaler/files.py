"""A picture file enlarged into a picture file, still or animated, with everything that belongs to it.

What the command line, the batch and `srgan.upscale` do with files is this and nothing else, so that all three give the
same bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Unpack

import numpy as np

from srgan.atomic import check_space, check_target
from srgan.errors import InvalidConfig
from srgan.imaging import (
    WRITABLE,
    Header,
    Kernel,
    Limits,
    Page,
    Picture,
    Scan,
    check_format,
    encode_strips,
    estimate_bytes,
    format_of,
    open_pages,
    probe_picture,
    write_pages,
    write_strips,
)
from srgan.imaging.inputs import name_of, opened
from srgan.progress import Report, Step, Stop, part, silent
from srgan.runtime.session import SessionInfo
from srgan.upscaler.forecast import WORTH_TELLING, forecast
from srgan.upscaler.opener import Opener
from srgan.upscaler.pipeline import Pixels, Upscaler
from srgan.upscaler.sizes import Size

if TYPE_CHECKING:
    from srgan.imaging.writing import Verify

FileSource = str | os.PathLike[str] | bytes | BinaryIO

_SAMPLE_PIXELS = 16_000_000
"""Pixels of a picture that a choice is made from; of a larger one, as many from its top."""
_ANIMATED = ("GIF", "PNG", "WEBP")


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
    source = kept(source, limits)
    if (frames := pictures_in(source, limits)) > 1:
        several = _enlarge_pages if probe_picture(source, limits=limits).format == "TIFF" else _enlarge_frames
        return several(upscaler, source, target, kind, saving, resample, limits, report, stop, size, frames)
    with single_scan(source, limits) as scan:
        opened, scan, after = begin(upscaler, scan, size)
        channels = scan.like.pixels.shape[2]
        check_format(kind, *after[::-1], channels)
        needed = estimate_bytes(after, channels, scan.like.bit_depth, kind)
        check_space(target, needed)
        before = scan.like.height, scan.like.width
        if report is not None and before[0] * before[1] >= WORTH_TELLING:
            report(Step(0, before[0] * before[1], "pixels", news=str(forecast(opened, before, after, needed))))
        like = _describer(opened, saving, size)(scan.like)
        strips = opened.strips(scan, resample=resample, report=report, stop=stop, **size)
        write_strips(
            strips,
            after,
            target,
            like=like,
            format=kind,
            quality=saving.quality,
            overwrite=saving.overwrite,
            verify=saving.verify,
        )
        before = scan.like.height, scan.like.width
        return _account(opened, scan.like.format or "", before, kind, after, 1, scan.damage)


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
    source = kept(source, limits)
    if pictures_in(source, limits) > 1:
        found = probe_picture(source, limits=limits).format
        kind = format_of(None, saving.format or (found if found in WRITABLE else "PNG"))
        with tempfile.TemporaryDirectory(prefix="srgan-") as folder:
            target = Path(folder, f"several.{kind.lower()}")
            made = enlarge_file(
                upscaler,
                source,
                target,
                saving=replace(saving, format=kind),
                resample=resample,
                limits=limits,
                report=report,
                stop=stop,
                **size,
            )
            return target.read_bytes(), made
    with single_scan(source, limits) as scan:
        opened, scan, after = begin(upscaler, scan, size)
        found = scan.like.format or ""
        kind = format_of(None, saving.format or (found if found in WRITABLE else "PNG"))
        check_format(kind, *after[::-1], scan.like.pixels.shape[2])
        like = _describer(opened, saving, size)(scan.like)
        strips = opened.strips(scan, resample=resample, report=report, stop=stop, **size)
        data = encode_strips(strips, after, kind, like=like, quality=saving.quality)
        return data, _account(opened, found, (scan.like.height, scan.like.width), kind, after, 1, scan.damage)


def _enlarge_frames(
    upscaler: Upscaler | Opener,
    source: FileSource,
    target: str | os.PathLike[str],
    kind: str,
    saving: Saving,
    resample: Kernel,
    limits: Limits,
    report: Report | None,
    stop: Stop | None,
    size: Size,
    frames: int,
) -> Enlarged:
    from srgan.upscaler.animation import enlarge_animation

    opened = _opened(upscaler, _first_frame(source, limits), size)
    damage: list[str] = []
    enlarge_animation(
        opened,
        source,
        target,
        format=kind,
        quality=saving.quality,
        overwrite=saving.overwrite,
        resample=resample,
        limits=limits,
        report=report,
        stop=stop,
        describe=_describer(opened, saving, size),
        damage=damage,
        **size,
    )
    header = probe_picture(source, limits=limits)
    before = header.height, header.width
    return _account(opened, header.format, before, kind, opened.output_size(before, **size), frames, damage)


def _enlarge_pages(
    upscaler: Upscaler | Opener,
    source: FileSource,
    target: str | os.PathLike[str],
    kind: str,
    saving: Saving,
    resample: Kernel,
    limits: Limits,
    report: Report | None,
    stop: Stop | None,
    size: Size,
    count: int,
) -> Enlarged:
    """Each page with a model of its own, where one is chosen, and all of them by the scale of the first."""
    if kind != "TIFF":
        raise InvalidConfig(f"{target}: {kind} holds one picture, and the input has {count} pages; choose .tif")
    seen: list[Scan] = []
    with open_pages(source, limits=limits) as pages:
        first = begin(upscaler, next(pages.scans), size)
        opened, scan, after = first
        before = scan.like.height, scan.like.width
        info, source_format = opened.info, scan.like.format or ""
        if all(value is None for value in size.values()):
            size = {"scale": opened.scale}
        _check_pages(target, pages.headers, opened, size)
        pixels = [header.height * header.width for header in pages.headers]

        def enlarged() -> Iterator[Page]:
            begun = chain([first], (begin(upscaler, scan, size) for scan in pages.scans))
            for number, (opened, scan, after) in enumerate(begun):
                seen.append(scan)
                before_it, note = sum(pixels[:number]), f"page {number + 1} of {count}"
                tell = part(report or silent, before_it, pixels[number], sum(pixels), note=note)
                yield Page(
                    strips=opened.strips(scan, resample=resample, report=tell, stop=stop, **size),
                    size=after,
                    like=_describer(opened, saving, size)(scan.like),
                )

        write_pages(
            enlarged(),
            target,
            most_bytes=_most_bytes(pages.headers, opened, size),
            overwrite=saving.overwrite,
            verify=saving.verify,
        )
    damage = tuple(f"page {number}: {fault}" for number, scan in enumerate(seen, 1) for fault in scan.damage)
    return Enlarged(
        source_format=source_format,
        source_size=before,
        format=kind,
        size=after,
        frames=count,
        info=info,
        damage=damage,
    )


def _check_pages(target: str | os.PathLike[str], headers: tuple[Header, ...], upscaler: Upscaler, size: Size) -> None:
    needed = 0
    for header in headers:
        after = upscaler.output_size((header.height, header.width), **size)
        check_format("TIFF", *after[::-1], header.channels)
        needed += estimate_bytes(after, header.channels, header.bit_depth, "TIFF")
    check_space(target, needed)


def _most_bytes(headers: tuple[Header, ...], upscaler: Upscaler, size: Size) -> int:
    """Of the pixels of all pages; a page may have been of four inks, and is again."""
    total = 0
    for header in headers:
        height, width = upscaler.output_size((header.height, header.width), **size)
        total += height * width * (header.channels + 1) * header.bit_depth // 8
    return total


class _Held(bytes):
    """What a stream held, and what messages call it."""

    name: str


def kept(source: FileSource, limits: Limits) -> FileSource:
    """``source`` as something that can be read more than once: a stream and a pipe are read into memory, a path of
    anything else stays one."""
    if isinstance(source, bytes) or (isinstance(source, str | os.PathLike) and not Path(source).is_fifo()):
        return source
    name = name_of(source)
    with opened(source, name, limits) as stream:
        held = _Held(stream.read())
    held.name = name
    return held


def pictures_in(source: FileSource, limits: Limits) -> int:
    """The number of pictures in an animation or of pages in a document, else 1; nothing is decoded."""
    format = probe_picture(source, limits=limits).format
    if format == "TIFF":
        with open_pages(source, limits=limits) as pages:
            return len(pages.headers)
    if format not in _ANIMATED:
        return 1
    from srgan.imaging.animation.reading import count_frames

    return count_frames(source, limits=limits)


@contextmanager
def single_scan(source: FileSource, limits: Limits) -> Iterator[Scan]:
    """The only page, which need not be the first picture in a TIFF."""
    with open_pages(source, limits=limits) as pages:
        yield next(pages.scans)


def _first_frame(source: FileSource, limits: Limits) -> Picture:
    from srgan.imaging.animation.reading import open_animation

    with open_animation(source, limits=limits) as animation:
        return next(animation.frames).picture


def _opened(upscaler: Upscaler | Opener, picture: Picture, size: Size) -> Upscaler:
    return upscaler if isinstance(upscaler, Upscaler) else upscaler(picture, size)


def begin(upscaler: Upscaler | Opener, scan: Scan, size: Size) -> tuple[Upscaler, Scan, tuple[int, int]]:
    """The model for the picture, the scan with nothing of it lost, and height and width of the result."""
    seen = scan.like
    if not isinstance(upscaler, Upscaler) and upscaler.looks:
        seen, scan = _looked_at(scan)
    opened = _opened(upscaler, seen, size)
    return opened, scan, opened.output_size((scan.like.height, scan.like.width), **size)


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


def _describer(upscaler: Upscaler, saving: Saving, size: Size) -> Callable[[Picture], Picture]:
    """What turns the description of a source into that of the result."""
    from importlib.metadata import version

    from srgan.imaging.metadata.enlarged import finished, strip
    from srgan.imaging.metadata.provenance import Provenance

    info = upscaler.info
    wanted = {name: value for name, value in size.items() if value is not None}
    record = Provenance(
        model=info.model,
        version=info.version,
        sha256=info.sha256,
        settings={**(wanted or {"scale": upscaler.scale}), **upscaler.settings},  # type: ignore[dict-item]
        tool_version=version("srgan"),
    )

    def describe(like: Picture) -> Picture:
        after = upscaler.output_size((like.height, like.width), **size)
        return finished(like if saving.metadata else strip(like), after, record if saving.provenance else None)

    return describe


def _account(
    upscaler: Upscaler,
    source_format: str,
    before: tuple[int, int],
    kind: str,
    after: tuple[int, int],
    frames: int,
    damage: Sequence[str],
) -> Enlarged:
    return Enlarged(
        source_format=source_format,
        source_size=before,
        format=kind,
        size=after,
        frames=frames,
        info=upscaler.info,
        damage=tuple(damage),
    )
