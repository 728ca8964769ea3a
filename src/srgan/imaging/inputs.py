"""Inputs from strangers: what they are called, how large they may be, and what is said of those that are no good."""

from __future__ import annotations

import io
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import BinaryIO, Literal

from srgan.errors import InvalidImage, LimitExceeded, MissingDependency, OutOfMemory, SrganError

_log = logging.getLogger(__name__)

Source = str | os.PathLike[str] | bytes | BinaryIO

_OTHERS = {
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"II\xbc": "JPEG XR",
    b"8BPS": "a Photoshop file",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"<svg": "SVG",
    b"<?xml": "XML, such as SVG",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"#?RGBE": "Radiance HDR",
    b"DDS ": "a DirectDraw surface",
    b"\0\0\1\0": "an icon",
    b"qoif": "QOI",
    b"P7\n": "PAM",
    b"SIMPLE  =": "FITS",
    b"IIRO": "raw data of a camera",
    b"IIU\0": "raw data of a camera",
    b"FUJIFILM": "raw data of a camera",
    b"\x1aE\xdf\xa3": "a video",
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "packed by gzip",
}
"""First bytes of what people take for readable, and its name."""

UNSUPPORTED = re.compile(r"unsupported|not supported|not configured|not implemented|cannot handle", re.IGNORECASE)
"""What decoders say of files that may be whole."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits for inputs, checked before pixels are decoded."""

    max_bytes: int = 1 << 30
    """Largest file, in bytes."""
    max_pixels: int = 250_000_000
    """Largest width times height."""
    max_side: int = 200_000
    """Largest width or height."""
    max_frames: int = 10_000
    """Largest number of animation frames or TIFF pages."""
    damaged: Literal["refuse", "keep"] = "refuse"
    """Pictures with damaged pixel data: refuse them, or keep what can still be decoded (JPEG, PNG, TIFF) and log a
    warning."""

    def check_size(self, width: int, height: int) -> None:
        """Raises `InvalidImage` for an empty picture and `LimitExceeded` for a too large one, without its name."""
        if width < 1 or height < 1:
            raise InvalidImage(f"has no pixels ({width} x {height})")
        if max(width, height) > self.max_side:
            raise LimitExceeded(f"{width} x {height} pixels, the limit is {self.max_side:,} per side")
        if width * height > self.max_pixels:
            raise LimitExceeded(f"{width} x {height} pixels, the limit is {self.max_pixels:,} in total")


DEFAULT_LIMITS = Limits()


def name_of(source: object) -> str:
    """What messages call the input: always one printable line."""
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
    else:
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the input"
    return name if name.isprintable() and name else ascii(name)


def opened(source: Source, name: str, limits: Limits) -> BinaryIO:
    """A seekable stream over at most ``limits.max_bytes`` bytes. Pipes are read into memory, regular files are not."""
    if isinstance(source, bytes | bytearray | memoryview):
        _check_bytes(len(source), name, limits)
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        if not hasattr(source, "read"):
            kind = type(source).__name__
            raise InvalidImage(f"a picture must be a path, bytes or an open binary file, not {kind}")
        return _drained(source, name, limits)
    try:
        stream = open(source, "rb")  # noqa: SIM115 (handed to the caller, who closes it)
    except FileNotFoundError as error:
        raise InvalidImage(f"{name}: no such file") from error
    except IsADirectoryError as error:
        raise InvalidImage(f"{name}: is a folder, not a picture") from error
    except (OSError, ValueError) as error:
        raise InvalidImage(f"{name}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    status = os.fstat(stream.fileno())
    if stat.S_ISREG(status.st_mode):
        try:
            _check_bytes(status.st_size, name, limits)
        except SrganError:
            stream.close()
            raise
        return stream
    with stream:
        return _drained(stream, name, limits)


def _drained(stream: BinaryIO, name: str, limits: Limits) -> io.BytesIO:
    """What is left of ``stream``, in memory. Piece by piece: one large read would ask for the whole limit at once."""
    pieces, count = [], 0
    try:
        while count <= limits.max_bytes and (piece := stream.read(1 << 20)):
            if isinstance(piece, str):
                raise InvalidImage(f"{name}: is open as text; open it in binary mode (rb)")
            pieces.append(bytes(piece))
            count += len(piece)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidImage(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    _check_bytes(count, name, limits)
    return io.BytesIO(b"".join(pieces))


def _check_bytes(count: int, name: str, limits: Limits) -> None:
    if count == 0:
        raise InvalidImage(f"{name}: is empty")
    if count > limits.max_bytes:
        raise LimitExceeded(f"{name}: larger than the limit of {limits.max_bytes:,} bytes")


class Told:
    """What there is to say of one picture while it is read: each sentence once, with its name, from `release` on."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: dict[str, None] = {}
        self._released = False

    def tell(self, text: str) -> None:
        """Say ``text``, or keep it until somebody reads the pixels."""
        if self._released and text not in self._said:
            _log.warning("%s: %s", self._name, text)
        self._said[text] = None

    def release(self) -> None:
        """Say what was kept; what comes is said at once."""
        if not self._released:
            for text in self._said:
                _log.warning("%s: %s", self._name, text)
        self._released = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What `warn` is given in the block is said here, unless somebody further out listens already."""
        if _listener.get() is not None:
            yield
            return
        token = _listener.set(self)
        try:
            yield
        finally:
            _listener.reset(token)


_listener: ContextVar[Told | None] = ContextVar("listener", default=None)


def warn(text: str) -> None:
    """Say ``text`` of the picture that is being read."""
    listener = _listener.get()
    if listener is None:
        _log.warning("%s", text)
    else:
        listener.tell(text)


def other_kind(head: bytes) -> str | None:
    """What else than a format that is read the first bytes announce, in people's words; None when nobody knows."""
    if head[4:8] == b"ftyp":
        return "a video, or a picture in a container for videos"
    return next((name for start, name in _OTHERS.items() if head.startswith(start)), None)


@contextmanager
def translated(name: str, kind: str, told: Told | None = None) -> Iterator[None]:
    """Whatever a decoder raises in the block becomes one of our errors, in one line that names the input.

    What it only warns of goes to ``told``; without it, nowhere: whoever asks for a header does not read the picture.
    """
    try:
        with (told or Told(name)).listening():
            yield
    except MissingDependency:
        raise
    except SrganError as error:
        raise type(error)(str(error) if str(error).startswith(name) else f"{name}: {error}") from error
    except MemoryError as error:
        raise OutOfMemory(f"{name}: too large for this machine's memory") from error
    except Exception as error:  # whatever a reader raises on hostile bytes, the input is at fault
        if type(error).__name__.startswith("DecompressionBomb"):
            raise LimitExceeded(f"{name}: larger than Pillow decodes: {error}") from error
        lines = dict.fromkeys(" ".join(line.split()) for line in str(error).splitlines())
        detail = "".join(c for c in " ".join(lines).strip() if c.isprintable()) or type(error).__name__
        if UNSUPPORTED.search(detail):
            raise InvalidImage(
                f"{name}: this kind of {kind} is not supported ({detail[:200]}); convert it with another program"
            ) from error
        raise InvalidImage(f"{name}: damaged or truncated {kind}: {detail[:200]}") from error
