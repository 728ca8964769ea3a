"""Vector drawings made into pictures. One rendered at any size is sharp to the pixel, which no photograph is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from srgan.errors import InvalidDataset

GROUNDS = [(255, 255, 255)] * 3 + [(250, 244, 230), (214, 230, 245), (40, 44, 52)]
"""What lies behind a transparent drawing: mostly white paper, now and then cream, light blue or nearly black."""
SECONDS = 20
"""What a drawing may take."""


def name_number(path: Path) -> int:
    """A number that depends on the name of the file alone."""
    return int.from_bytes(hashlib.sha256(path.name.encode()).digest()[:8], "big")


def render(drawing: Path, side: int) -> Image.Image | str:
    """The drawing, its longer side as long as this, on a ground of its own; or why not.

    Raises `InvalidDataset` without rsvg-convert.
    """
    if shutil.which("rsvg-convert") is None:
        raise InvalidDataset("the program rsvg-convert is needed, and not installed (Debian: librsvg2-bin)")
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
            return "cannot be rendered"
        with Image.open(target) as opened:
            return on_ground(opened, name_number(drawing))


def on_ground(picture: Image.Image, number: int) -> Image.Image:
    """``picture`` as RGB, its transparent parts on one of `GROUNDS`, which ``number`` chooses."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    ink = picture.convert("RGBA")
    paper = Image.new("RGBA", ink.size, (*GROUNDS[number % len(GROUNDS)], 255))
    return Image.alpha_composite(paper, ink).convert("RGB")
