"""The seam to libvips: pictures decoded strip by strip.

libvips is fed from a stream that is open already, by a loader that is named: no file name reaches it, so nothing in a
name is taken for an option, and no other loader can be tried. Its operation cache is off and loaders that were not
made for strangers' files are blocked, in the whole process. Strips are computed in the thread that asks for them.

What its decoders complain of they write into one text of the process, whether they go on or give up. So one thread at
a time is let in, and each time the text tells of one picture.
"""

from __future__ import annotations

import io
import logging
import mmap
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from srgan.imaging.decoders.stored import Faults
from srgan.imaging.inputs import UNSUPPORTED

_TYPES = {
    "uchar": np.uint8,
    "char": np.int8,
    "ushort": np.uint16,
    "short": np.int16,
    "uint": np.uint32,
    "int": np.int32,
    "float": np.float32,
    "double": np.float64,
}


_CALLS = ("unable to call", "unable to fetch")
"""How pyvips begins."""
_turn = threading.RLock()


class Undecodable(Exception):
    """What libvips says where it gives up, in one line."""


@dataclass(frozen=True)
class Opened:
    """A picture that libvips reads."""

    image: Any
    """The `pyvips.Image`."""
    kept: tuple[object, ...]
    """What libvips reads from without owning it: it must live as long as the image."""


@lru_cache(maxsize=1)
def library() -> Any:
    """The module pyvips, set up for untrusted input."""
    import pyvips

    logging.getLogger("pyvips").setLevel(logging.ERROR)  # what is wrong with a file we say ourselves
    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    return pyvips


@contextmanager
def listening() -> Iterator[Callable[[], list[str]]]:
    """The turn of this thread. What is given tells what libvips has complained of since: each sentence once."""
    pyvips = library()
    with _turn:
        pyvips.vips_lib.vips_error_clear()
        yield lambda: sentences(pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode(errors="replace"))


def sentences(text: str) -> list[str]:
    """The lines of a complaint of libvips, each once, without the names of its functions."""
    lines = (re.sub(r"^\w+: (?=\S)", "", line.strip()) for line in text.splitlines())
    return [*dict.fromkeys(line for line in lines if line and not line.startswith(_CALLS))]


def open_vips(
    stream: BinaryIO, loader: str, *, fail_on: str = "error", patches: Sequence[tuple[int, bytes]] = (), **options: Any
) -> Opened:
    """The picture in ``stream``, which nobody else may use from now on; no pixel is decoded yet.

    ``loader`` is `pngload` and so on. ``patches``: places of the file with the bytes that libvips shall see there.
    ``fail_on``: `error`; `warning` for all that a decoder complains of; `none` to read on whatever is wrong. Raises
    `Undecodable`; for damaged pixels `rows_of` does so.
    """
    pyvips = library()
    data: object = None
    if patches:
        data = patched(stream, patches)
        source = pyvips.Source.new_from_memory(data)
    elif isinstance(stream, io.BytesIO):
        data = stream.getvalue()
        source = pyvips.Source.new_from_memory(data)
    else:
        os.lseek(stream.fileno(), 0, os.SEEK_SET)  # what the stream has buffered does not count
        source = pyvips.Source.new_from_descriptor(stream.fileno())
    with listening():
        try:
            image = pyvips.Operation.call(f"{loader}_source", source, access="sequential", fail_on=fail_on, **options)
        except pyvips.Error as error:
            raise Undecodable(complaint(error)) from error
    return Opened(image, (source, data))


def decoded(data: bytes, loader: str, **options: Any) -> bytes:
    """All pixels of a small file. Raises `Undecodable`, for whatever the decoder complains of."""
    opened = open_vips(io.BytesIO(data), loader, fail_on="warning", **options)
    return b"".join(rows.tobytes() for rows in rows_of(opened, opened.image.height))


def complaint(error: Exception) -> str:
    """What libvips raised, in one line."""
    return (
        "; ".join(sentences(f"{getattr(error, 'message', '')}\n{getattr(error, 'detail', '')}"))
        or "it cannot be decoded"
    )


def rows_of(opened: Opened, rows: int, faults: Faults | None = None) -> Iterator[NDArray[Any]]:
    """The pixels once, as `srgan.imaging.decoders.stored.Rows` says. What a decoder complains of goes to ``faults``."""
    image = opened.image
    pyvips = library()
    region = pyvips.Region.new(image)
    dtype, width, bands = _TYPES[image.format], image.width, image.bands
    for top in range(0, image.height, rows):
        count = min(rows, image.height - top)
        with listening() as complaints:
            try:
                data = region.fetch(0, top, width, count)
            except pyvips.Error as error:
                text = complaint(error)
                if faults is not None and not faults.keep and not UNSUPPORTED.search(text):
                    faults.report(text)
                raise Undecodable(text) from error
            said = complaints()
        if faults is not None:
            for text in said:
                faults.report(text)
        yield np.frombuffer(data, dtype).reshape(count, width, bands)


def patched(stream: BinaryIO, patches: Sequence[tuple[int, bytes]]) -> bytearray | mmap.mmap:
    """The file with other bytes at some places; of a file on disk only the pages that differ are copied."""
    if isinstance(stream, io.BytesIO):
        data: bytearray | mmap.mmap = bytearray(stream.getvalue())
    else:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    for place, content in patches:
        data[place : place + len(content)] = content
    return data
