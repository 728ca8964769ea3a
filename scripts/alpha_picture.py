"""Make docs/pictures/alpha.png: a cut-out figure enlarged by srgan and by plain handling, on black, white and magenta.

The figure is drawn here. As many programs leave it, the colour under its transparency is white. "Plain" is what tools
do that give colour and alpha to a resampler apart from each other. A part is shown, each pixel of the result as 2 x 2.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import srgan

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "pictures" / "alpha.png"
SIDE, SCALE, FINE = 44, 4, 8
GROUNDS = ("black", "white", "magenta")
PART, MAGNIFIED = (12, 8, 112, 98), 2
"""What is shown of the enlarged figure, and how large."""
GAP, CAPTION = 8, 30


def cut_out() -> Image.Image:
    """A dark leaf with a hole and a thin stalk, ``SIDE`` pixels wide, white where it is transparent."""
    size = SIDE * FINE
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    draw.ellipse([int(size * part) for part in (0.12, 0.08, 0.88, 0.74)], fill=255)
    draw.ellipse([int(size * part) for part in (0.40, 0.28, 0.60, 0.48)], fill=0)
    draw.line([int(size * part) for part in (0.50, 0.70, 0.62, 0.97)], fill=255, width=FINE * 3)
    alpha = mask.resize((SIDE, SIDE), Image.Resampling.BOX)
    leaf = Image.composite(
        Image.new("RGB", alpha.size, (20, 92, 60)),
        Image.new("RGB", alpha.size, "white"),
        alpha.point(lambda value: 255 * (value > 0)),
    )
    leaf.putalpha(alpha)
    return leaf


def plain(small: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Each channel enlarged by itself, as if they had nothing to do with each other."""
    channels = [channel.resize(size, Image.Resampling.BICUBIC) for channel in small.split()]
    return Image.merge("RGBA", channels)


def main() -> None:
    small = cut_out()
    size = (small.width * SCALE, small.height * SCALE)
    rows = {
        "colour and alpha apart, bicubic": plain(small, size),
        "srgan, bicubic": srgan.upscale(small, model="bicubic", scale=SCALE),
        "srgan, fast": srgan.upscale(small, model="fast", scale=SCALE),
    }
    shown = ((PART[2] - PART[0]) * MAGNIFIED, (PART[3] - PART[1]) * MAGNIFIED)
    width = len(GROUNDS) * (shown[0] + GAP) - GAP
    sheet = Image.new("RGB", (width, len(rows) * (CAPTION + shown[1])), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (caption, figure) in enumerate(rows.items()):
        top = row * (CAPTION + shown[1])
        draw.text((0, top + 4), caption, fill="black", font=ImageFont.load_default(18))
        for column, ground in enumerate(GROUNDS):
            laid = Image.alpha_composite(Image.new("RGBA", size, ground), figure).convert("RGB")
            part = laid.crop(PART).resize(shown, Image.Resampling.NEAREST)
            sheet.paste(part, (column * (shown[0] + GAP), top + CAPTION))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(TARGET, optimize=True)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
