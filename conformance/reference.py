"""An upscaler that the suite is tried on: pixels repeated, everything else done with care, or with one named flaw.

``python -m conformance.reference INPUT OUTPUT [FLAW ...]``. It handles what most rows need (PNG, TIFF, JPEG, WebP, GIF
and the animated ones), and is no tool to use: it reads the suite's own files, trusts them, and knows no limits.
"""

from __future__ import annotations

import struct
import sys
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance import files
from conformance.bench import Stop
from conformance.decode import Decoded, decode
from conformance.files import chunk
from conformance.pictures import u8, u16

SCALE = 4
LIMIT = 50_000_000
FLAWS = (
    "alpha", "backdrop", "bright", "depth", "drift", "float", "forgiving", "fringe", "gray", "half", "lying",
    "metadata", "mirrored", "profile", "random", "seams", "shifted", "size", "stale", "still", "timing", "trailing",
    "turned", "untidy", "writing-on-input",
)  # fmt: skip
ROOM = {"PNG": ".png", "TIFF": ".tif", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif"}
Pixels = NDArray[Any]


def main(arguments: list[str]) -> int:
    """Exit code: 0 done, 1 refused; what was wrong goes to stderr."""
    try:
        upscale(Path(arguments[0]), Path(arguments[1]), frozenset(arguments[2:]))
    except Exception as error:
        sys.stderr.write(f"reference: {error or type(error).__name__}\n")
        return 0 if "lying" in arguments[2:] else 1
    return 0


def upscale(source: Path, target: Path, flaws: frozenset[str]) -> None:
    """Enlarge ``source`` four times into ``target``."""
    if target.suffix.lower() not in {".jpeg", *ROOM.values()}:
        raise Stop(f"no format is called {target.suffix}")
    if "untidy" in flaws:
        target.with_name("forgotten.tmp").write_bytes(b"")
    if animated(source) and "still" not in flaws:
        return write_animation(source, target, flaws)
    try:
        small = readable(source)
    except (Stop, OSError):
        if "forgiving" not in flaws:
            raise
        small = Decoded(np.full((8, 8, 3), 0.5), "rgb", False, 8, "PNG", None)
    if SCALE * max(small.size) > {".webp": 16383, ".jpg": 65535}.get(target.suffix, LIMIT):
        raise Stop(f"too wide for {target.suffix}")
    if "lying" in flaws:
        return None
    large = enlarged(upright(small, flaws), flaws)
    held = target.with_name(f"{target.name[:40]}.part{target.suffix.lower()}")
    write(large, held, small, flaws)
    if "half" in flaws:
        held.write_bytes(held.read_bytes()[: held.stat().st_size // 2])
    if "trailing" in flaws:
        held.write_bytes(held.read_bytes() + source.read_bytes()[-60:])
    held.replace(target)
    if "writing-on-input" in flaws:
        source.write_bytes(b"lost")


def readable(source: Path) -> Decoded:
    """Decode what is no bomb."""
    head = source.read_bytes()[:24]
    if head[:4] == b"\x89PNG" and np.prod(struct.unpack(">II", head[16:24]), dtype=float) > LIMIT:
        raise Stop("too many pixels")
    return decode(source)


def upright(small: Decoded, flaws: frozenset[str]) -> Decoded:
    from conformance.rows.metadata import turned

    orientation = small.info["exif"].get(0x0112, 1) if "exif" in small.info else 1
    if "turned" in flaws or orientation not in range(2, 9):
        return small
    return replace(small, pixels=np.ascontiguousarray(turned(small.pixels, orientation)))


def enlarged(small: Decoded, flaws: frozenset[str]) -> Decoded:
    """Every pixel four by four times."""
    pixels = small.pixels
    if "mirrored" in flaws:
        pixels = pixels[:, ::-1]
    if small.alpha and "fringe" in flaws:  # as who resizes colour and alpha apart
        colour = np.where(pixels[..., -1:] > 0.75, pixels[..., :-1], [0.0, 1.0, 0.0][: pixels.shape[2] - 1])
        pixels = np.concatenate([colour, pixels[..., -1:]], 2)
    large = pixels.repeat(SCALE, 0).repeat(SCALE, 1)
    if "drift" in flaws:
        large = large * 0.9 + 0.03
    if "bright" in flaws:
        large = large / max(large.max(), 1e-6)
    if "random" in flaws:
        large = np.clip(large + np.random.default_rng().normal(0, 0.02, large.shape), 0, 1)
    if "shifted" in flaws:
        large = np.roll(large, 3, 1)
    if "seams" in flaws:
        large[:, 400::400] -= 0.02
        large[:, 401::400] -= 0.02
    if "size" in flaws:
        large = large[:-1]
    return replace(small, pixels=large)


def write(large: Decoded, target: Path, small: Decoded, flaws: frozenset[str]) -> None:
    """By the suffix of ``target``."""
    pixels, alpha, depth = large.pixels, large.alpha, large.depth
    if alpha and "alpha" in flaws:
        pixels, alpha = pixels[..., :-1], False
    if large.model == "gray" and "gray" in flaws:
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, 2), pixels[..., 1:]], 2)
    if "depth" in flaws:
        depth = 8
    profile = None if "profile" in flaws else large.profile
    kind = target.suffix.lower()
    if kind == ".png":
        target.write_bytes(png_bytes(pixels, depth, profile, small, flaws))
    elif kind == ".tif":
        write_tiff(target, large, pixels, alpha, depth, profile, small, flaws)
    else:
        write_by_pillow(target, large, pixels, alpha, profile, small, flaws)


def exif_of(small: Decoded, flaws: frozenset[str]) -> Any:
    """The camera's fields with the size and the orientation set right; None where there are none."""
    held = small.info.get("exif")
    if not held or "metadata" in flaws:
        return None
    if held.get(0x0112) is not None:
        held[0x0112] = 1
    if "stale" not in flaws:
        for tag in (0xA002, 0xA003):
            held.get_ifd(0x8769).pop(tag, None)
    return held


def png_bytes(pixels: Pixels, depth: int, profile: bytes | None, small: Decoded, flaws: frozenset[str]) -> bytes:
    extra = files.iccp(profile) if profile else b""
    if "metadata" not in flaws:
        if small.info.get("dpi"):
            per_metre = [round(value / 0.0254) for value in small.info["dpi"]]
            extra += chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
        for name, text in small.info.items():
            if isinstance(text, str):
                data = zlib.compress(text.encode())
                extra += chunk(b"iTXt", name.encode("latin-1") + b"\0\1\0\0\0" + data)
        if small.format == "JPEG" and small.info.get("xmp"):
            extra += chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + small.info["xmp"])
        exif = exif_of(small, flaws)
        extra += chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) if exif else b""
    return files.png(u16(pixels) if depth == 16 else u8(pixels), 16 if depth == 16 else 8, extra=extra)


def write_tiff(target: Path, large: Decoded, pixels: Pixels, alpha: bool, depth: int, profile: bytes | None,
               small: Decoded, flaws: frozenset[str]) -> None:  # fmt: skip
    import tifffile

    if depth == 32:
        values = np.clip(pixels, 0, 1) if "float" in flaws else pixels
        values = values.astype(np.float32)
    else:
        values = u16(pixels) if depth == 16 else u8(pixels)
    tags = [(number, 7, len(data), data, True) for name, number in (("xmp", 700), ("iptc", 33723))
            if (data := small.info.get(name)) and "metadata" not in flaws]  # fmt: skip
    dpi = (small.info.get("dpi") if "metadata" not in flaws else None) or (72, 72)
    photometric = {"gray": "minisblack", "rgb": "rgb", "cmyk": "separated"}[large.model]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(target, values if values.shape[2] > 1 else values[..., 0], iccprofile=profile, extratags=tags,
                         photometric=photometric, extrasamples=["unassalpha"] if alpha else None,
                         resolution=dpi, resolutionunit=2)  # fmt: skip


def write_by_pillow(target: Path, large: Decoded, pixels: Pixels, alpha: bool, profile: bytes | None, small: Decoded,
                    flaws: frozenset[str]) -> None:  # fmt: skip
    jpeg = target.suffix.lower() in (".jpg", ".jpeg")
    options: dict[str, Any] = {"quality": 97} if jpeg else {"lossless": True}
    if profile:
        options["icc_profile"] = profile
    if "metadata" not in flaws:
        xmp = small.info.get("xmp") or small.info.get("XML:com.adobe.xmp")
        options |= {"xmp": xmp.encode() if isinstance(xmp, str) else xmp} if xmp else {}
        options |= {"dpi": small.info["dpi"]} if jpeg and small.info.get("dpi") else {}
        exif = exif_of(small, flaws)
        options |= {"exif": exif} if exif else {}
    if alpha and jpeg:
        if "backdrop" not in flaws:
            pixels = pixels[..., :-1] * pixels[..., -1:] + (1 - pixels[..., -1:])
        pixels = pixels[..., :3]
    files.pillow(target, pixels, "CMYK" if large.model == "cmyk" else None, **options)
    photoshop = small.info.get("photoshop") or {}
    if jpeg and photoshop.get(0x0404) and "metadata" not in flaws:
        segment = (13, files.photoshop(photoshop[0x0404]))
        target.write_bytes(files.jpeg_with(target.read_bytes(), segment))


def animated(source: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(source) as image:
            return getattr(image, "n_frames", 1) > 1 and image.format in ("GIF", "PNG", "WEBP")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def write_animation(source: Path, target: Path, flaws: frozenset[str]) -> None:
    from PIL import Image

    from conformance.rows.animation import played

    shown, times, loop = played(source)
    large = [Image.fromarray(u8(frame.repeat(SCALE, 0).repeat(SCALE, 1))) for frame in shown]
    options = {"lossless": True} if target.suffix == ".webp" else {"disposal": 1 if target.suffix == ".png" else 2}
    times = [100] * len(times) if "timing" in flaws else times
    large[0].save(target, save_all=True, append_images=large[1:], duration=times, loop=loop or 0, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
