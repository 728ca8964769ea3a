"""PPM, PGM and PFM: a line of header and the bare values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_netpbm(stream: BinaryIO, size: tuple[int, int], channels: int, rows: Iterable[NDArray[Any]]) -> None:
    """Write a picture of ``size`` (height, width) to a seekable ``stream``, holding one portion of it at a time.

    ``channels`` is 1 or 3. ``rows`` are n x width x channels, all uint8 or uint16 (PGM or PPM) or float32 (PFM), top to
    bottom. Raises ValueError when there are too many or too few; what the stream raises passes through.
    """
    height, width = size
    begin = stream.tell()
    start, done = 0, 0
    for part in rows:
        if not start:
            stream.write(_header(width, height, channels, part.dtype.kind, part.dtype.itemsize))
            start = stream.tell() - begin
        if part.shape[1:] != (width, channels) or done + len(part) > height:
            raise ValueError(f"rows of {part.shape} do not fit: {height - done} of {width} x {channels} are left")
        done += len(part)
        if part.dtype.kind == "f":  # upside down: the last row comes first
            stream.seek(begin + start + (height - done) * width * channels * 4)
            part = part[::-1].astype("<f4")
        elif part.dtype.itemsize == 2:
            part = part.astype(">u2")
        stream.write(part.tobytes())
    if done != height:
        raise ValueError(f"{done} rows came for a picture of {height}")


def _header(width: int, height: int, channels: int, kind: str, item_bytes: int) -> bytes:
    if kind == "f":
        name, top = ("Pf" if channels == 1 else "PF"), "-1.0"  # the sign says little endian
    else:
        name, top = ("P5" if channels == 1 else "P6"), str((1 << 8 * item_bytes) - 1)
    return f"{name}\n{width} {height}\n{top}\n".encode()
