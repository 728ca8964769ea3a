"""The way in: a file is opened once and its format told by its first bytes; then it is asked for what it holds.

Files come from strangers: limits first, then the header, then the pixels strip by strip. The content decides the
format, never the name.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from srgan.errors import InvalidImage, LimitExceeded
from srgan.imaging.animation.frames import Index
from srgan.imaging.animation.reading import Animation, animation_in, index_of, named
from srgan.imaging.decoders.stored import Stored
from srgan.imaging.formats import FORMATS, HEAD_BYTES, part_of, sniff
from srgan.imaging.inputs import (
    DEFAULT_LIMITS,
    Limits,
    Source,
    Told,
    name_of,
    opened,
    other_kind,
    translated,
)
from srgan.imaging.picture import Picture, Scan
from srgan.imaging.reading import Header, decode, header_of, scan_of, upright, whole, with_besides


class Input:
    """An open file of one of the formats `READABLE`, as long as the block of `open_input` lasts.

    What it is asked for is looked up then and kept, pixels apart: scans and animations begin anew with each call, and
    one of them is read at a time. All that it gives raises as `read_picture` does. A warning is given once, when the
    pixels that it is about are read.
    """

    def __init__(self, stream: BinaryIO, name: str, format: str, limits: Limits, path: Path | None) -> None:
        self.name = name
        """What messages call it."""
        self.format = format
        self.limits = limits
        self.path = path
        """Where it stands, if it is a file that was given by its path."""
        self._row = FORMATS[format]
        self._stream = stream
        self._told: dict[str, Told] = {}

    @cached_property
    def header(self) -> Header:
        """Of the first or only picture, with width and height as stored: orientation is not applied."""
        if measure := self._row.measure:
            with translated(self.name, self.format):
                width, height = part_of(measure)(self._at_start())
                self.limits.check_size(width, height)
            return Header(format=self.format, width=width, height=height)
        return header_of(self._first)

    @cached_property
    def headers(self) -> tuple[Header, ...]:
        """Of each page of a TIFF, with width and height upright; a file of another format has one.

        Of TIFF, smaller copies of pages and masks are left out with a warning. Raises for pages that are damaged or
        lead nowhere too, and `LimitExceeded` for more than `Limits.max_frames`.
        """
        if self._row.pages is None:
            stored = self._first
            with translated(self.name, self.format):
                return (upright(stored),)
        headers, left = [], self.limits.max_bytes
        for name, place in self._pages:
            stored = self._page(name, place)
            with translated(name, self.format):
                headers.append(upright(stored))
            left -= stored.metadata.count
            if left < 0:  # pages may share what stands in the file once
                raise LimitExceeded(f"{name}: the metadata of the pages is larger than {self.limits.max_bytes:,} bytes")
        return tuple(headers)

    @cached_property
    def frames(self) -> int:
        """Number of frames of a GIF, PNG or WebP, 1 for any other picture."""
        return max(1, len(self._index.parts)) if self._index else 1

    @property
    def count(self) -> int:
        """Number of pages or frames; 1 for a single picture. Nothing is decoded."""
        return self.frames if self._row.pages is None else len(self.headers)

    def scan(self) -> Scan:
        """The first or only picture in the file, strip by strip, as `open_scan` says."""
        stored, told = self._first, self._teller(self.name)
        with translated(self.name, self.format, told):
            stored = with_besides(stored, self._stream)
        return scan_of(stored, self.name, told)

    def scans(self) -> Iterator[Scan]:
        """Each page, which is read before the next one is taken; of a file that is no TIFF its picture, as `scan`.

        The headers of all pages are read and checked before the first page is. What is lost of several pages alike,
        `Picture.lost` says of the first of them: a stack has many of a kind.
        """
        if self._row.pages is None:
            yield self.scan()
            return
        several = len(self.headers) > 1
        known: set[str] = set()
        for name, place in self._pages:
            stored = replace(self._page(name, place), pages_follow=False)
            if several:
                self._teller(self.name).release()
            scan = scan_of(stored, name, self._teller(name))
            lost = tuple(what for what in scan.like.lost if what not in known)
            known.update(lost)
            yield replace(scan, like=replace(scan.like, lost=lost))

    def picture(self) -> Picture:
        """What `scan` gives, in memory."""
        return whole(self.scan())

    def animation(self) -> Animation:
        """The frames as they look on the screen, as `open_animation` says."""
        return animation_in(self._stream, self._index, self.name, self.limits, self._teller(self.name))

    @cached_property
    def _first(self) -> Stored:
        with translated(self.name, self.format, self._teller(self.name)):
            return decode(self._at_start(), self.format, self.limits)

    @cached_property
    def _pages(self) -> list[tuple[str, int]]:
        """What messages call each page, and where it stands in the file."""
        with translated(self.name, self.format, self._teller(self.name)):
            places = part_of(self._row.pages or "")(self._at_start(), self.limits)
        several = len(places) > 1
        return [(f"{self.name} (page {n})" if several else self.name, place) for n, place in enumerate(places, 1)]

    def _page(self, name: str, place: int) -> Stored:
        with translated(name, self.format, self._teller(name)):
            stored: Stored = part_of(self._row.decoder)(self._at_start(), self.limits, place)
            return stored

    @cached_property
    def _index(self) -> Index | None:
        with named(self.name, "file"), self._teller(self.name).listening():
            return index_of(self._at_start(), self.format, self.limits)

    def _teller(self, name: str) -> Told:
        return self._told.setdefault(name, Told(name))

    def _at_start(self) -> BinaryIO:
        """The stream at its start, nothing of it buffered: libvips moves in the file without its knowledge."""
        self._stream.seek(0, io.SEEK_END)
        self._stream.seek(0)
        return self._stream


@contextmanager
def open_input(source: Source | Input, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Input]:
    """The file at a path, in bytes or in an open binary file (from where it stands), as long as the block lasts.

    Pipes and open files are read into memory, once. An `Input` is given back as it is, with its own limits, and stays
    open: a function that takes one takes either. Raises `InvalidImage` for what is no picture of the formats
    `READABLE`, and `LimitExceeded` for more than `Limits.max_bytes`.
    """
    if isinstance(source, Input):
        yield source
        return
    name = name_of(source)
    with opened(source, name, limits) as stream:
        path = Path(source) if isinstance(source, str | os.PathLike) else None
        yield Input(stream, name, _format_of(stream, name), limits, path)


def _format_of(stream: BinaryIO, name: str) -> str:
    try:
        head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise InvalidImage(f"{name}: cannot be read: {error.strerror or error}") from error
    if (format := sniff(head)) is not None:
        return format
    if (other := other_kind(head)) is not None:
        raise InvalidImage(f"{name}: not a picture that can be read: {other}; save it as PNG, TIFF or JPEG")
    raise InvalidImage(f"{name}: not a picture that can be read ({', '.join(FORMATS)})")


def read_picture(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Picture:
    """Read a picture from a path, bytes or an open binary file (from its current position).

    For every format:

    - 16 bit stays 16 bit, gray stays gray. Bilevel becomes gray; a palette becomes RGB, or RGBA if it has transparency
      (gray for the plain gray palettes of BMP and GIF, which have no gray mode).
    - Values without a known range (floating point, signed and 32-bit integers) are kept if they are in [0, 1]; else
      their minimum and maximum become 0 and 1 and are stored in `Picture.levels`. Black stays 0 and white 1 where the
      values exceed the range on the other side only. NaN and infinity are refused.
    - Colours are converted to the working space by the embedded profile or the numeric colour description
      (`Picture.space`, `Picture.described`); CMYK becomes RGB. A profile for another kind of picture and meaningless
      numbers are dropped with a warning.
    - Premultiplied alpha becomes straight. The orientation of EXIF (or else XMP) is applied and reset.

    Raises `InvalidImage`, `LimitExceeded`, `OutOfMemory`, and `MissingDependency` if the format needs the extra
    ``formats``; the message is one line that names the input.
    """
    with open_input(source, limits=limits) as file:
        return file.picture()


@contextmanager
def open_scan(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Scan]:
    """The picture that `read_picture` reads, strip by strip, as long as the block lasts.

    Of several pages this is the first, with a warning; `Input.scans` gives all of them.
    Memory does not grow with the picture for PNG (not interlaced), TIFF (in strips, tiles, or rows), JPEG (not
    progressive) and PPM, unless the picture must be turned; the other formats are decoded whole, as integers, and
    become floating point strip by strip. Raises as `read_picture` does, in the block too.
    """
    with open_input(source, limits=limits) as file:
        yield file.scan()


@contextmanager
def open_animation(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Iterator[Animation]:
    """The animation at a path, in bytes or in an open binary file, as long as the block lasts.

    A GIF of one frame is an animation of one; a still PNG or WebP is none. Checked before anything is decoded:
    ``limits``, for each frame and the canvas; `Limits.max_frames`; and that all frames together have no more than 16
    times `Limits.max_pixels`. Raises `InvalidImage` and `LimitExceeded`.
    """
    with open_input(source, limits=limits) as file:
        yield file.animation()


def probe_picture(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> Header:
    """What the header says, see `Input.header`, without decoding pixels. Raises as `read_picture` does."""
    with open_input(source, limits=limits) as file:
        return file.header


def count_frames(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> int:
    """Number of frames, see `Input.frames`, without decoding. An open file is left where it stood.

    Raises `InvalidImage` for a file that is no picture or whose animation ends in the middle, and `LimitExceeded`.
    """
    stream: Any = source if hasattr(source, "seekable") and source.seekable() else None
    start = stream.tell() if stream is not None else 0
    try:
        with open_input(source, limits=limits) as file:
            return file.frames
    finally:
        if stream is not None:
            stream.seek(start)
