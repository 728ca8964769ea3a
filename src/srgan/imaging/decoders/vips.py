"""The seam to libvips: pictures decoded strip by strip.

libvips is fed from a stream that is open already, by a loader that is named: no file name reaches it, so nothing in a
name is taken for an option, and no other loader can be tried. Its operation cache is off and loaders that were not
made for strangers' files are blocked, in the whole process. Strips are computed in the thread that asks for them.
"""

from __future__ import annotations

import io
import logging
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

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


def open_vips(stream: BinaryIO, loader: str, *, patches: Sequence[tuple[int, bytes]] = (), **options: Any) -> Opened:
    """The picture in ``stream``, which nobody else may use from now on; no pixel is decoded yet.

    ``loader`` is `pngload` and so on. ``patches``: places of the file with the bytes that libvips shall see there.
    Raises `pyvips.Error`; truncated or damaged data does so when its rows are asked for, and never becomes gray pixels.
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
    image = pyvips.Operation.call(f"{loader}_source", source, access="sequential", fail_on="error", **options)
    return Opened(image, (source, data))


def rows_of(opened: Opened, rows: int) -> Iterator[NDArray[Any]]:
    """The pixels once, as `srgan.imaging.decoders.stored.Rows` says."""
    image = opened.image
    region = library().Region.new(image)
    dtype, width, bands = _TYPES[image.format], image.width, image.bands
    for top in range(0, image.height, rows):
        count = min(rows, image.height - top)
        yield np.frombuffer(region.fetch(0, top, width, count), dtype).reshape(count, width, bands)


def patched(stream: BinaryIO, patches: Sequence[tuple[int, bytes]]) -> bytearray | mmap.mmap:
    """The file with other bytes at some places; of a file on disk only the pages that differ are copied."""
    if isinstance(stream, io.BytesIO):
        data: bytearray | mmap.mmap = bytearray(stream.getvalue())
    else:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    for place, content in patches:
        data[place : place + len(content)] = content
    return data
