"""The seam to libvips: pictures decoded strip by strip.

libvips is fed from a stream that is open already, by a loader that is named: no file name reaches it, so nothing in a
name is taken for an option, and no other loader can be tried. Its operation cache is off and loaders that were not
made for strangers' files are blocked, in the whole process. Strips are computed in the thread that asks for them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
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


@lru_cache(maxsize=1)
def library() -> Any:
    """The module pyvips, set up for untrusted input."""
    import pyvips

    pyvips.cache_set_max(0)
    pyvips.block_untrusted_set(True)
    return pyvips


def open_vips(stream: BinaryIO, loader: str, *, patch: tuple[int, bytes] | None = None, **options: Any) -> Any:
    """The `pyvips.Image` in ``stream``, which nobody else may use until it has been read; no pixel is decoded yet.

    ``loader`` is `pngload` and so on. ``patch``: libvips is shown these bytes at that place of the file. Raises
    `pyvips.Error`; truncated or damaged data does so when its rows are asked for, and never becomes gray pixels.
    """
    pyvips = library()
    stream.seek(0)
    if patch is not None:
        source = _patched(stream, *patch)
    elif isinstance(stream, io.BytesIO):
        source = pyvips.Source.new_from_memory(stream.getvalue())
    else:
        source = pyvips.Source.new_from_descriptor(stream.fileno())
    return pyvips.Operation.call(f"{loader}_source", source, access="sequential", fail_on="error", **options)


def rows_of(image: Any, rows: int) -> Iterator[NDArray[Any]]:
    """The pixels of ``image`` once, as `srgan.imaging.stored.Rows` says."""
    region = library().Region.new(image)
    dtype, width, bands = _TYPES[image.format], image.width, image.bands
    for top in range(0, image.height, rows):
        count = min(rows, image.height - top)
        yield np.frombuffer(region.fetch(0, top, width, count), dtype).reshape(count, width, bands)


def _patched(stream: BinaryIO, place: int, content: bytes) -> Any:
    source = library().SourceCustom()

    def read(size: int) -> bytes:
        start = stream.tell()
        data = bytearray(stream.read(size))
        if start < place + len(content) and place < start + len(data):
            for offset, value in enumerate(content, place - start):
                if 0 <= offset < len(data):
                    data[offset] = value
        return bytes(data)

    source.on_read(read)
    source.on_seek(stream.seek)
    return source
