"""Make docs/pictures/before-after.jpg and models.jpg: parts of the examples, by bicubic and by shipped models."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import srgan

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
Part = tuple[str, tuple[int, int, int, int], int | None]
"""An example picture, the part to show (left, top, right, bottom in its pixels), the JPEG quality that spoils it."""
PARTS: list[Part] = [("astronaut.png", (48, 0, 158, 80), None), ("wolf.png", (18, 60, 128, 140), None)]
CHOICE: list[Part] = [
    ("astronaut.png", (50, 0, 140, 66), None),
    ("coffee.png", (88, 50, 178, 116), None),
    ("astronaut.png", (50, 0, 140, 66), 70),
]
"""What tells fidelity from looks: clean pictures, and one that was a JPEG."""
SCALE = 4
CAPTION = 36


def opened(name: str, quality: int | None) -> Image.Image:
    """An example picture as RGB, on white where it is transparent; as JPEG of this ``quality`` leaves it."""
    with Image.open(ROOT / "examples" / name) as picture:
        ground = Image.new("RGBA", picture.size, "white")
        plain = Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
    if quality is None:
        return plain
    stream = io.BytesIO()
    plain.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def main() -> None:
    best = best_model()
    captions = {"bicubic": "the picture, enlarged 4x with bicubic", best: f"enlarged 4x with srgan ({best})"}
    draw_sheet("before-after.jpg", captions, PARTS)
    captions = {
        "bicubic": "bicubic",
        "fast": "fast: true to the input",
        "photo-fast": "photo-fast: pleasing to the eye",
        "photo": "photo: cleaned, and pleasing",
    }
    draw_sheet("models.jpg", captions, CHOICE)


def draw_sheet(name: str, captions: dict[str, str], parts: list[Part]) -> None:
    """A column for each model (the keys of ``captions``), a row for each part, into docs/pictures."""
    upscalers = {model: srgan.Upscaler(model, scale=SCALE) for model in captions}
    rows = []
    for picture, part, jpeg in parts:
        small = opened(picture, jpeg)
        box = tuple(SCALE * side for side in part)
        rows.append([srgan.upscale(small, upscaler).crop(box) for upscaler in upscalers.values()])
    width, height = rows[0][0].size
    gap = 8
    sheet = Image.new("RGB", (len(captions) * (width + gap) - gap, CAPTION + len(rows) * (height + gap) - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for x, caption in enumerate(captions.values()):
        draw.text((x * (width + gap), 6), caption, fill="black", font=ImageFont.load_default(20))
        for y, row in enumerate(rows):
            sheet.paste(row[x], (x * (width + gap), CAPTION + y * (height + gap)))
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = FOLDER / name
    sheet.save(target, quality=92, subsampling=0)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1000} kB, {', '.join(captions)}")


def best_model() -> str:
    """The strongest shipped model at this scale."""
    from srgan.models import list_models

    names = [bundle.info.name for bundle in list_models() if bundle.info.scale == SCALE]
    return next(name for tier in ("quality", "fast", "turbo") for name in names if name == f"{tier}-x{SCALE}")


if __name__ == "__main__":
    main()
