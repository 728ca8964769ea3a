"""Animations keep their frames, their timing and their loop."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from conformance.bench import Bench, Stop
from conformance.measure import coarse_difference
from conformance.rows import row

WHY = "A sticker or meme that comes back as a still, too fast or without its loop is broken."
DURATIONS = (100, 240, 60, 400)
LOOP = 3
SIZE = (40, 32)


def frames(transparent: bool) -> list[Any]:
    """A square that wanders over a ground, or over nothing."""
    from PIL import Image

    made = []
    for number in range(len(DURATIONS)):
        canvas = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
        if not transparent:
            canvas[...] = (60, 90, 160, 255)
        canvas[8:24, 2 + 8 * number : 14 + 8 * number] = (230, 200 - 40 * number, 40, 255)
        made.append(Image.fromarray(canvas))
    return made


def played(path: Path) -> tuple[list[np.ndarray[Any, Any]], list[int], int | None]:
    """The frames as they are shown (H x W x 4 in [0, 1]), how long each, and how often."""
    from PIL import Image, ImageSequence

    shown, times = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(flagged(path.read_bytes()))) as image:
                loop = image.info.get("loop")
                for frame in ImageSequence.Iterator(image):
                    pixels = frame.convert("RGBA")
                    times.append(int(frame.info.get("duration", 0)))
                    shown.append(np.asarray(pixels) / 255)
        except (OSError, ValueError, SyntaxError) as error:
            raise Stop(f"the output cannot be decoded: {error}") from error
    return shown, times, loop


def entry(suffix: str, title: str, transparent: bool, disposal: int | None, **options: Any) -> None:
    kind = f"{suffix}{'-transparent' if transparent else ''}"

    @row(f"animation.{kind}", f"{title} stays an animation",
         f"{len(DURATIONS)} frames of {SIZE[0]}x{SIZE[1]}, {'/'.join(map(str, DURATIONS))} ms, played {LOOP} times"
         f"{', transparent ground' if transparent else ''}", WHY)  # fmt: skip
    def check(bench: Bench) -> None:
        source = bench.folder / f"in.{suffix}"
        made = frames(transparent)
        if suffix == "gif" and not transparent:
            made = [frame.convert("RGB").quantize(32) for frame in made]
        disposed = {} if disposal is None else {"disposal": disposal}
        made[0].save(source, save_all=True, append_images=made[1:], duration=list(DURATIONS), loop=LOOP, **disposed,
                     **options)  # fmt: skip
        if suffix == "webp" and transparent:
            source.write_bytes(flagged(source.read_bytes()))
        wanted, times, loop = played(source)
        bench.note("the ground is transparent", bool(wanted[0][0, 0, 3] < 0.5))
        shown, seen_times, seen_loop = played(bench.upscale(source))
        bench.expect("frames", len(shown), len(wanted))
        bench.expect("milliseconds", seen_times, times)
        bench.expect("loop", seen_loop, loop)
        bench.expect("size", shown[0].shape[1::-1], (SIZE[0] * bench.scale, SIZE[1] * bench.scale))
        if len(shown) == len(wanted) and bench.measures[-1].ok:
            backdrops = [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)]
            worst = max(_apart(a, b, backdrop, bench.scale) for a, b in zip(shown, wanted, strict=True)
                        for backdrop in backdrops)  # fmt: skip
            bench.expect("worst frame, mean difference", worst, most=6)


def flagged(data: bytes) -> bytes:
    """An animated WebP whose header says that there may be alpha.

    libwebp's own writer can leave the flag out though the frames have alpha, and only some readers mind.
    """
    if data[8:16] != b"WEBPVP8X":
        return data
    return data[:20] + bytes([data[20] | 0x10]) + data[21:]


def _apart(large: Any, small: Any, backdrop: Any, scale: int) -> float:
    from conformance.measure import composite

    return float(coarse_difference(composite(large, backdrop), composite(small, backdrop), scale).mean() * 255)


entry("gif", "A GIF", False, None)
entry("gif", "A GIF with a transparent ground, each frame wiped", True, 2)
entry("png", "An APNG", False, None)
entry("png", "An APNG with a transparent ground", True, 1)
entry("webp", "An animated WebP", False, None, lossless=True)
entry("webp", "An animated WebP with a transparent ground", True, None, lossless=True)
