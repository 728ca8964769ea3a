"""What the file of an animation says of its frames, before any is decoded, and what its parsers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, Literal

from srgan.errors import LimitExceeded

if TYPE_CHECKING:
    from srgan.imaging.inputs import Limits

Disposal = Literal["keep", "background", "previous"]
Blend = Literal["over", "source"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A frame as the file has it: an area of the canvas, and where its data stands in the file."""

    left: int
    top: int
    width: int
    height: int
    duration: Fraction
    disposal: Disposal
    blend: Blend
    clear: bool
    """Whether its own pixels may be transparent."""
    spans: tuple[tuple[int, int], ...]
    """Offset and length of each piece of its data."""
    head: bytes = b""
    """What the format needs beside the data."""


@dataclass(kw_only=True)
class Index:
    """What a file says of its animation, pixels left alone."""

    format: str
    width: int = 0
    height: int = 0
    loop: int = 1
    background: tuple[int, int, int, int] | None = None
    parts: list[Part] = field(default_factory=list)
    promised: int | None = None
    """How many frames the header announces."""
    still: Callable[[BinaryIO, Part, bool], bytes] = lambda stream, part, metadata: b""
    """A still file of one part; with all of the animation's metadata if asked."""

    def add(self, part: Part, limits: Limits) -> None:
        """Take up one more frame, cut to the canvas. Raises `LimitExceeded` for one too many."""
        if len(self.parts) >= limits.max_frames:
            raise LimitExceeded(f"more than the limit of {limits.max_frames:,} frames")
        self.parts.append(part)


def exactly(stream: BinaryIO, count: int) -> bytes:
    """The next ``count`` bytes. Raises EOFError when there are fewer."""
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("it ends in the middle of a frame or its header")
    return data


def between(stream: BinaryIO, start: int, stop: int) -> bytes:
    """The bytes from ``start`` to ``stop``; the stream stays where it stands."""
    here = stream.tell()
    stream.seek(start)
    data = exactly(stream, stop - start)
    stream.seek(here)
    return data


def joined(stream: BinaryIO, part: Part) -> bytes:
    """The data of ``part`` in one piece."""
    return b"".join(between(stream, start, start + length) for start, length in part.spans)
