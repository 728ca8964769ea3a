"""Render drawings to train on from seeds: the figures of DiceBear, such as critters, as many as you like.

    .venv/bin/pip install -r scripts/render_critters.txt
    python scripts/render_critters.py datasets/critters64 --count 10000
    python scripts/render_critters.py datasets/critters64-val --count 10000 --start 1000000
    python scripts/render_critters.py datasets/critters512 --count 600 --size 512

Picture k has the seed "critters-k", so the same numbers give the same pictures. At 64 pixels they are drawn at 128 and
averaged, as a reduction of a larger picture would be. Pictures that are there already are kept, so an interrupted call
can be repeated. The style, and so the pictures, are under CC0 1.0, which a file LICENCE.txt beside them records with
its origin; styles under other licences are refused. 10,000 at 64 pixels take two to three minutes of one core.
"""

from __future__ import annotations

import argparse
import io
import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

LICENCE = "CC0 1.0"
NEEDS_FONTS = ("initials",)
"""Styles of letters, which would be missing."""
LIBRARIES = ("dicebear-core", "dicebear-styles", "resvg-py")


def definition(name: str) -> dict[str, Any]:
    """What DiceBear knows of the style ``name``. Ends the program for one that is not there or not free."""
    try:
        found: dict[str, Any] = json.loads(files("dicebear_styles").joinpath(f"{name}.json").read_text("utf-8"))
    except ModuleNotFoundError:
        raise SystemExit("install what draws: .venv/bin/pip install -r scripts/render_critters.txt") from None
    except OSError:
        raise SystemExit(f"dicebear-styles has no style {name!r}") from None
    if name in NEEDS_FONTS:
        raise SystemExit(f"the style {name} needs fonts, which differ from machine to machine: it is not rendered here")
    licence = found.get("meta", {}).get("license", {}).get("name", "none that is stated")
    if licence != LICENCE:
        raise SystemExit(f"the style {name} is under {licence}, not {LICENCE}: it is not rendered here")
    return found


def draw(style: Any, seed: str, side: int, over: int) -> Image.Image:
    """The drawing of ``seed``, drawn ``over`` times larger and averaged."""
    import resvg_py
    from dicebear import Avatar

    svg = Avatar(style, {"seed": seed}).to_string()
    size = side * over
    # Without the system's fonts, which cost more than the drawing.
    raw = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="#ffffff", skip_system_fonts=True)
    with Image.open(io.BytesIO(raw)) as opened:
        picture = opened.convert("RGB")
    return picture.reduce(over) if over > 1 else picture


def write_licence(folder: Path, name: str, known: dict[str, Any]) -> None:
    """Say beside the pictures what they are, whose, and under which licence."""
    meta = known.get("meta", {})
    said = {
        "pictures": f"the DiceBear style {name!r}, drawn from seeds {name}-NUMBER",
        "creator": meta.get("creator", {}).get("name", ""),
        "source": meta.get("source", {}).get("url", ""),
        "licence": meta.get("license", {}),
        "drawn with": {library: version(library) for library in LIBRARIES},
    }
    (folder / "LICENCE.txt").write_text(json.dumps(said, indent=1) + "\n", "utf-8")


def main() -> None:
    """Render what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to make, for lossless WebP files")
    parser.add_argument("--style", default="critters")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="first seed")
    parser.add_argument("--count", type=int, default=1000, metavar="N")
    parser.add_argument("--size", type=int, default=64, metavar="PIXELS")
    parser.add_argument(
        "--over", type=int, metavar="K", help="draw K times larger; default: 2 up to 128 pixels, else 1"
    )
    given = parser.parse_args()
    over = given.over or (2 if given.size <= 128 else 1)
    known = definition(given.style)
    from dicebear import Style

    style = Style(known)
    given.folder.mkdir(parents=True, exist_ok=True)
    write_licence(given.folder, given.style, known)
    made = 0
    for number in range(given.start, given.start + given.count):
        target = given.folder / f"{number:07d}.webp"
        if target.exists():
            continue
        half = target.with_suffix(".part")
        draw(style, f"{given.style}-{number}", given.size, over).save(half, "WEBP", lossless=True, method=4)
        half.replace(target)
        made += 1
    print(f"{given.folder}: {given.count} pictures of {given.size} px, {made} of them new")


if __name__ == "__main__":
    main()
