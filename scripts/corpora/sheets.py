"""Contact sheets: a look at a set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

CELL = 192


def contact_sheet(pictures: Sequence[Path], columns: int = 8) -> Image.Image:
    """All ``pictures``, small, with the ends of their names below them."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * CELL, rows * (CELL + 14)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, path in enumerate(pictures):
        left, top = number % columns * CELL, number // columns * (CELL + 14)
        with Image.open(path) as opened:
            opened.draft("RGB", (2 * CELL, 2 * CELL))
            small = opened.convert("RGB")
        small.thumbnail((CELL - 4, CELL - 4), Image.Resampling.LANCZOS)
        sheet.paste(small, (left, top))
        draw.text((left, top + CELL - 2), path.stem[-30:], fill="black")
    return sheet


def chosen(pictures: Sequence[Path], count: int) -> list[Path]:
    """So many of them, evenly over all."""
    return [pictures[number * len(pictures) // count] for number in range(min(count, len(pictures)))]
