"""The contact sheet: every picture before and after, the ones to look at first on top."""

from __future__ import annotations

import heapq
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from srgan.atomic import write_whole
from srgan.batch.report import BatchReport
from srgan.errors import SrganError
from srgan.imaging import Limits, open_scan, resize, resize_strips, to_uint8
from srgan.tiling import Rows
from srgan.webpage import as_address, as_text, start_page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 500
"""Pairs shown: a page with more is no longer opened with pleasure. The worst are kept."""
THUMB = 320
"""Longer side of a thumbnail, in pixels."""
COMPARED = 1024
"""Longer side at which input and output are compared: the input's own, but not more than this."""
BLOCK = 32
"""Side of the blocks that are compared."""
HeightWidth = tuple[int, int]
_ANY = Limits(max_bytes=2**62, max_pixels=2**62, max_side=2**31)


@dataclass(order=True)
class _Pair:
    distance: float
    name: str
    text: str = field(compare=False)
    before: str = field(compare=False)
    after: str = field(compare=False)


class Sheet:
    """Collects pairs of thumbnails while a run goes on. `add` may be called from several threads."""

    def __init__(self) -> None:
        self._pairs: list[_Pair] = []
        self._count = 0
        self._lock = threading.Lock()

    def add(self, name: str, source: Path, target: Path) -> None:
        """Take in the picture ``name`` before (``source``) and after (``target``); raises nothing."""
        try:
            pair = _pair(name, source, target)
        except (SrganError, OSError, ValueError, MemoryError) as error:
            pair = _Pair(float("inf"), name, f"cannot be compared: {error}", "", "")
        with self._lock:
            self._count += 1
            (heapq.heappush if len(self._pairs) < MOST else heapq.heappushpop)(self._pairs, pair)

    def write(self, path: Path, report: BatchReport) -> None:
        """Write the page: one file that needs no other. Raises `CannotWrite`."""
        with self._lock:
            pairs = sorted(self._pairs, reverse=True)
        shown = "" if len(pairs) == self._count else f" The {len(pairs)} most different of {self._count} are shown."
        failed = [outcome for outcome in report.outcomes if outcome.state == "failed"]
        parts = [
            start_page("Before and after", _STYLE),
            f"<h1>{as_text(Path(report.target).name or report.target)}</h1>\n<p>{as_text(report.summary())}. ",
            f"Model {as_text(report.model)}. {_EXPLAINED}{shown}</p>\n",
        ]
        if failed:
            rows = "".join(f"<li><b>{as_text(f.source)}</b> {as_text(f.reason)}</li>\n" for f in failed[:MOST])
            parts.append(f"<details open><summary>{len(failed)} failed</summary><ul>\n{rows}</ul></details>\n")
        parts += ["<main>\n", *(_figure(pair) for pair in pairs), "</main>\n"]
        write_whole(path, "".join(parts))


def difference(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """How far ``after``, shrunk to the size of ``before``, is from it: 0 when it is the same.

    Root mean square over the block of `BLOCK` x `BLOCK` pixels that differs most, in levels of 255. It needs no
    reference, and says whether the enlarged picture is still the same picture (colours, position, tiles gone wrong),
    not whether it is a beautiful one. Both are H x W x C in [0, 1] with the same C.
    """
    import numpy as np

    height, width = before.shape[:2]
    squares = ((resize(after, height, width, "box") - before) ** 2).mean(axis=2)
    rows, columns = np.arange(0, height, BLOCK), np.arange(0, width, BLOCK)
    sums = np.add.reduceat(np.add.reduceat(squares, rows, axis=0), columns, axis=1)
    sizes = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    return float(255 * np.sqrt((sums / sizes).max()))


def _pair(name: str, source: Path, target: Path) -> _Pair:
    before, size = _shrunk(source, lambda size: _at_most(COMPARED, size))
    same = before.shape[0], before.shape[1]
    after, new_size = _shrunk(target, lambda new: same)
    thumb = after if max(same) >= THUMB else _shrunk(target, lambda new: _at_most(THUMB, new))[0]
    sizes = f"{size[1]} x {size[0]} → {new_size[1]} x {new_size[0]}"
    if before.shape[2] != after.shape[2]:  # gray that was written as RGB, or the other way round
        before, after = (pixels[..., :1].repeat(3, 2) if pixels.shape[2] == 1 else pixels for pixels in (before, after))
    distance = difference(before, after)
    return _Pair(distance, name, f"{sizes}, difference {distance:.1f}", _jpeg(before), _jpeg(thumb))


def _shrunk(path: Path, wanted: Callable[[HeightWidth], HeightWidth]) -> tuple[NDArray[np.float32], HeightWidth]:
    """The picture at ``path``, on gray where it is transparent, in the height and width that ``wanted`` says for its
    own; and its own. It is read strip by strip: a large one takes no more memory than a small one."""
    import numpy as np

    with open_scan(path, limits=_ANY) as scan:
        size, channels = (scan.like.height, scan.like.width), scan.like.pixels.shape[2]
        colours = channels - 1 if scan.like.has_alpha else channels
        opaque = (
            strip
            if colours == channels
            else strip[..., :-1] * strip[..., -1:] + (1 - strip[..., -1:]) * np.float32(0.5)
            for strip in scan.strips
        )
        strips = resize_strips(Rows(opaque).take, size, *wanted(size), colours, "box")
        return np.concatenate(list(strips)), size


def _at_most(side: int, size: HeightWidth) -> HeightWidth:
    """``size`` less as much as its longer side goes beyond ``side``."""
    factor = min(1, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _jpeg(pixels: NDArray[np.float32]) -> str:
    """A thumbnail as a JPEG in a ``data:`` address."""
    from PIL import Image

    values = to_uint8(resize(pixels, *_at_most(THUMB, (pixels.shape[0], pixels.shape[1])), "box"))
    stream = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[2] == 1 else values).save(stream, "JPEG", quality=80)
    return as_address(stream.getvalue(), "jpeg")


def _figure(pair: _Pair) -> str:
    images = "".join(
        f'<img src="{data}" alt="{what}" loading="lazy">'
        for data, what in ((pair.before, "before"), (pair.after, "after"))
        if data
    )
    caption = f"<b>{as_text(pair.name)}</b> {as_text(pair.text)}"
    return f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>\n"


_EXPLAINED = (
    "Left before, right after; most different first. The number is the largest local difference "
    f"({BLOCK} x {BLOCK} pixels) between the input and the downscaled output, in levels of 255. It finds errors, "
    "but does not rate quality."
)

_STYLE = """main { display: grid; gap: 1.2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); }
figure div { display: flex; gap: .4rem; align-items: flex-start; }
img { width: calc(50% - .2rem); max-height: 18rem; object-fit: contain; object-position: left top; }
"""
