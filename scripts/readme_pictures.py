"""Make docs/pictures/before-after.jpg: parts of the example pictures, enlarged by bicubic and by a shipped model."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import srgan

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "pictures" / "before-after.jpg"
PARTS = {"astronaut.png": (48, 0, 158, 80), "wolf.png": (18, 60, 128, 140)}
"""Each picture with the part to show: left, top, right, bottom in its own pixels."""
SCALE = 4
CAPTION = 36


def opened(name: str) -> Image.Image:
    """An example picture as RGB, on white where it is transparent."""
    with Image.open(ROOT / "examples" / name) as picture:
        ground = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")


def main() -> None:
    model = best_model()
    upscaler = srgan.Upscaler(model)
    columns = ["the picture, enlarged 4x with bicubic", f"enlarged 4x with srgan ({model})"]
    rows = []
    for name, part in PARTS.items():
        small = opened(name)
        size = (small.width * SCALE, small.height * SCALE)
        box = tuple(SCALE * side for side in part)
        plain = small.resize(size, Image.Resampling.BICUBIC)
        ours = srgan.upscale(small, upscaler)
        rows.append([plain.crop(box), ours.crop(box)])
    width, height = rows[0][0].size
    gap = 8
    sheet = Image.new("RGB", (2 * width + gap, CAPTION + len(rows) * (height + gap) - gap), "white")
    draw = ImageDraw.Draw(sheet)
    for x, caption in enumerate(columns):
        draw.text((x * (width + gap), 6), caption, fill="black", font=ImageFont.load_default(20))
        for y, row in enumerate(rows):
            sheet.paste(row[x], (x * (width + gap), CAPTION + y * (height + gap)))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(TARGET, quality=92, subsampling=0)
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size // 1000} kB, model {model}")


def best_model() -> str:
    """The strongest shipped model at this scale."""
    from srgan.models import list_models

    names = [bundle.info.name for bundle in list_models() if bundle.info.scale == SCALE]
    return next(name for tier in ("quality", "fast", "turbo") for name in names if name == f"{tier}-x{SCALE}")


if __name__ == "__main__":
    main()
