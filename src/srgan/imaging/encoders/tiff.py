"""TIFF and BigTIFF, of one page or several, in strips that are compressed as they come.

EXIF and GPS stand in directories of their own.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from srgan.imaging.encoders.png import deflate
from srgan.imaging.encoders.tiff_tags import little_endian_tree, write_directories
from srgan.imaging.metadata.exif_directories import DESCRIPTIVE, EXIF, GPS, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from srgan.imaging.picture import Density

_CLASSIC_BYTES = 3 << 30
"""Bytes of pixels from which on the file is a BigTIFF: classic TIFF ends at 4 GiB, and noise grows a little."""
_STRIP_BYTES = 1 << 20
"""Bytes of pixels in a strip, at least one row."""
_WORKERS = 4
"""Most threads that compress."""
_BYTE, _ASCII, _SHORT, _LONG, _UNDEFINED, _LONG8, _UTF8 = 1, 2, 3, 4, 7, 16, 129
_ORIENTATION, _PREDICTOR, _INK_SET, _XMP, _IPTC = 274, "Predictor", 332, 700, 33723
_PHOTOMETRIC = {"GRAY": "minisblack", "RGB": "rgb", "CMYK": "separated"}
_ONE_OF_SEVERAL = 2
"""`NewSubfileType` of a page among others."""
_SAMPLES = {"GRAY": 1, "RGB": 3, "CMYK": 4}


class TiffWriter:
    """Pages, one after the other, into an empty, seekable ``stream``; a few strips are held at a time.

    ``most_bytes``: how many bytes the pixels of all pages have at most; it decides whether the file is a BigTIFF.
    ``several``: whether more than one page comes. The file is whole once `close` was called.
    """

    def __init__(self, stream: BinaryIO, *, most_bytes: int, several: bool = False) -> None:
        import tifffile

        self._stream = stream
        self._big = most_bytes > _CLASSIC_BYTES
        self._several = several
        self._writer = tifffile.TiffWriter(stream, bigtiff=self._big, byteorder="<")

    def close(self) -> None:
        self._writer.close()

    def add(
        self,
        size: tuple[int, int],
        model: Literal["GRAY", "RGB", "CMYK"],
        alpha: Literal["straight", "premultiplied"] | None,
        dtype: type[np.generic],
        rows: Iterable[NDArray[Any]],
        *,
        icc_profile: bytes | None = None,
        exif: bytes | None = None,
        xmp: bytes | None = None,
        iptc: bytes | None = None,
        tags: Mapping[int, tuple[int, bytes]] | None = None,
        density: Density | None = None,
    ) -> None:
        """Write a page as `write_tiff` says. ``tags`` are as in `Picture.tags`."""
        height, width = size
        samples = _SAMPLES[model] + (alpha is not None)
        kind = np.dtype(dtype).newbyteorder("<")
        per_strip = max(1, min(height, _STRIP_BYTES // (width * samples * kind.itemsize)))
        strips = _strips(rows, size, samples, kind, per_strip)
        written = _metadata_tags(self._stream, exif, xmp, iptc, tags, big=self._big)
        # by its name, since tifffile wants a library for the predictor of floating point that it has no use for here
        written.append((_PREDICTOR, _SHORT, 1, 3 if kind.kind == "f" else 2, True))
        if model == "CMYK":
            written.append((_INK_SET, _SHORT, 1, 1, True))
        self._writer.write(
            _compressed(strips),
            shape=(height, width) if samples == 1 else (height, width, samples),
            dtype=kind,
            photometric=_PHOTOMETRIC[model],
            planarconfig=None if samples == 1 else "contig",
            extrasamples=None if alpha is None else [1 if alpha == "premultiplied" else 2],
            rowsperstrip=per_strip,
            compression="zlib",
            iccprofile=icc_profile,
            resolution=None if density is None else (density.x, density.y),
            resolutionunit=None if density is None else density.unit,
            subfiletype=_ONE_OF_SEVERAL if self._several else None,
            metadata=None,
            software=False,
            extratags=written,
        )


def write_tiff(
    stream: BinaryIO,
    size: tuple[int, int],
    model: Literal["GRAY", "RGB", "CMYK"],
    alpha: Literal["straight", "premultiplied"] | None,
    dtype: type[np.generic],
    rows: Iterable[NDArray[Any]],
    **metadata: Any,
) -> None:
    """Write a picture of ``size`` (height, width) to an empty, seekable ``stream``, holding a few strips of it.

    ``dtype`` is uint8, uint16 or float32; ``rows`` are n x width x samples of it, top to bottom, the samples those of
    ``model`` and then alpha, already multiplied into them where ``alpha`` says so. ``metadata`` is that of
    `TiffWriter.add`. Compression loses nothing: deflate of the differences between neighbours. Raises ValueError when
    there are too many or too few rows; what ``rows`` and the stream raise passes through.
    """
    samples = _SAMPLES[model] + (alpha is not None)
    writer = TiffWriter(stream, most_bytes=size[0] * size[1] * samples * np.dtype(dtype).itemsize)
    try:
        writer.add(size, model, alpha, dtype, rows, **metadata)
    finally:
        writer.close()


def _metadata_tags(
    stream: BinaryIO,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    others: Mapping[int, tuple[int, bytes]] | None,
    *,
    big: bool,
) -> list[tuple[int | str, int, int, Any, bool]]:
    """Tags of a page's directory; the directories that some point to are written to the end of ``stream``, where it is
    left. tifffile takes pointers by their names only."""
    tags: list[tuple[int | str, int, int, Any, bool]] = [(_ORIENTATION, _SHORT, 1, 1, True)]  # upright
    stream.seek(0, os.SEEK_END)
    if exif is not None:
        tree = little_endian_tree(exif)
        block, places = write_directories(tree, stream.tell(), big=big)
        stream.write(block)
        for tag, name in ((EXIF, "ExifTag"), (GPS, "GPSTag")):
            if tag in places:
                tags.append((name, _LONG8 if big else _LONG, 1, places[tag], True))
        tags += [
            (tag, _ASCII if value.kind == _UTF8 else value.kind, value.count, value.data, True)
            for tag, value in tree.items()
            if tag in DESCRIPTIVE and isinstance(value, Value) and value.data
        ]
    tags += [(tag, kind, len(data), data, True) for tag, (kind, data) in (others or {}).items()]  # counted by tifffile
    if xmp:
        tags.append((_XMP, _BYTE, len(xmp), xmp, True))
    if iptc:
        tags.append((_IPTC, _UNDEFINED, len(iptc), iptc, True))
    return tags


def _strips(
    rows: Iterable[NDArray[Any]], size: tuple[int, int], samples: int, dtype: np.dtype[Any], per_strip: int
) -> Iterator[NDArray[Any]]:
    """``rows`` in portions of ``per_strip``, the last one shorter."""
    height, width = size
    held = np.empty((per_strip, width, samples), dtype)
    count, done = 0, 0
    for part in rows:
        done += len(part)
        if part.shape[1:] != (width, samples) or done > height:
            raise ValueError(f"rows of {part.shape} do not fit into {height} of {width} x {samples}")
        left = part
        while len(left):
            taken = left[: per_strip - count]
            held[count : count + len(taken)] = taken
            count, left = count + len(taken), left[len(taken) :]
            if count == per_strip:
                yield held
                held, count = np.empty_like(held), 0
    if count:
        yield held[:count]
    if done != height:
        raise ValueError(f"{done} rows came for a picture of {height}")


def _compressed(strips: Iterator[NDArray[Any]]) -> Iterator[bytes]:
    """Each strip as the bytes that stand in the file, in order, a few of them at work at a time."""
    workers = min(_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="tiff") as pool:
        pending: deque[Future[bytes]] = deque()
        for strip in strips:
            pending.append(pool.submit(_pack, strip))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _pack(strip: NDArray[Any]) -> bytes:
    new_deflater, _ = deflate()
    deflater = new_deflater()
    return deflater.compress(_differences(strip).data) + deflater.flush()


def _differences(strip: NDArray[Any]) -> NDArray[Any]:
    """Each value less its left neighbour's; of floating point byte by byte, the bytes of a row sorted by their weight:
    TIFF's predictors 2 and 3."""
    if strip.dtype.kind != "f":
        out = np.empty_like(strip)
        out[:, :1] = strip[:, :1]
        np.subtract(strip[:, 1:], strip[:, :-1], out=out[:, 1:])
        return out
    rows, width, samples = strip.shape
    octets = strip.astype(">f4").view(np.uint8).reshape(rows, width * samples, 4)
    planes = np.ascontiguousarray(octets.transpose(0, 2, 1)).reshape(rows, -1)
    out = planes.copy()
    np.subtract(planes[:, samples:], planes[:, :-samples], out=out[:, samples:])
    return out
