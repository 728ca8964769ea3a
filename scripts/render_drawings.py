"""Render vector drawings into pictures to train on, such as those of Debian's package openclipart-svg (public domain).

    apt-get install openclipart-svg librsvg2-bin
    python scripts/render_drawings.py /usr/share/openclipart/svg datasets/drawings --each 40
    python scripts/render_drawings.py /usr/share/openclipart/svg datasets/drawings-val --each 2 --after 40

A drawing rendered at any size is sharp to the pixel, which no photograph is. Of each subfolder so many are taken, in
an order that depends on their names alone; what cannot be rendered in time, or is nearly empty, is left out and said.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

GROUNDS = [(255, 255, 255)] * 3 + [(250, 244, 230), (214, 230, 245), (40, 44, 52)]
"""What lies behind a transparent drawing: mostly white paper, now and then cream, light blue or nearly black."""
SECONDS = 20
EMPTY = 4.0
"""Least spread of the luma, in levels of 255."""


def digest(path: Path) -> int:
    """A number that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:8], "big")


def render(drawing: Path, side: int) -> Image.Image | str:
    """The drawing, its longer side as long as this, on a ground of its own; or why not."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "drawing.png"
        command = ["rsvg-convert", "--keep-aspect-ratio", f"--width={side}", f"--height={side}", f"--output={target}"]
        try:
            done = subprocess.run(
                [*command, str(drawing)], capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"took more than {SECONDS} s"
        if done.returncode or not target.is_file():
            return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "rsvg-convert failed"
        with Image.open(target) as opened:
            ink = opened.convert("RGBA")
    paper = Image.new("RGBA", ink.size, (*GROUNDS[digest(drawing) % len(GROUNDS)], 255))
    picture = Image.alpha_composite(paper, ink).convert("RGB")
    if float(np.asarray(picture.convert("L"), np.float32).std()) < EMPTY:
        return "nearly empty"
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawings", type=Path, help="folder of SVG files, searched below")
    parser.add_argument("pictures", type=Path, help="folder to make, for PNG files")
    parser.add_argument("--each", type=int, default=40, metavar="N", help="drawings of each subfolder")
    parser.add_argument("--after", type=int, default=0, metavar="N", help="pass over the first so many of each")
    parser.add_argument("--side", type=int, default=768, metavar="PIXELS", help="length of the longer side")
    given = parser.parse_args()
    given.pictures.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Path]] = {}
    for path in given.drawings.rglob("*.svg"):
        groups.setdefault(path.relative_to(given.drawings).parts[0], []).append(path)
    made = 0
    for group, paths in sorted(groups.items()):
        for path in sorted(paths, key=lambda path: (digest(path), path))[given.after : given.after + given.each]:
            rendered = render(path, given.side)
            if isinstance(rendered, str):
                print(f"left out: {path}: {rendered}", flush=True)
                continue
            rendered.save(given.pictures / f"{group}-{path.stem}.png")
            made += 1
    print(f"{given.pictures}: {made} pictures")


if __name__ == "__main__":
    main()
