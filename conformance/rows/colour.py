"""The embedded profile decides what the values mean; it stays, and so do the colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance import files
from conformance.bench import Bench, digest
from conformance.decode import decode
from conformance.files import chunk, iccp, pillow, png
from conformance.judge import same_colours
from conformance.pictures import gradient, patches, u8, u16
from conformance.profiles import cmyk_profile, gray_profile, rgb_profile
from conformance.rows import row

WHY = "Without its profile a Display P3 or Adobe RGB picture looks pale, and prints wrong."
Profile = Callable[[], bytes]


def display_p3() -> bytes:
    return rgb_profile("Display P3")


def adobe_rgb() -> bytes:
    return rgb_profile("Adobe RGB", 2.19921875)


def prophoto() -> bytes:
    return rgb_profile("ProPhoto", 1.8)


def linear() -> bytes:
    return rgb_profile("sRGB", 1.0)


def mild() -> Any:
    """The patches without their extremes, so that no colour lies outside what a wide space can show."""
    return 0.15 + 0.7 * patches()


def entry(id: str, title: str, suffix: str, profile: Profile, *, depth: int = 8, most: float = 1.5,
          options: dict[str, Any] | None = None) -> None:  # fmt: skip
    @row(f"colour.{id}", f"{title}: profile and colours stay", f"24 patches, 72x48, {title}", WHY)
    def check(bench: Bench) -> None:
        values, icc = mild(), profile()
        source = bench.folder / f"in{suffix}"
        if suffix == ".png":
            files.write(source, png(u16(values) if depth == 16 else u8(values), depth, extra=iccp(icc)))
        elif suffix == ".tif":
            image = files.vips_image(u16(values) if depth == 16 else u8(values)).copy()
            files.write(source, image.tiffsave_buffer())
            import tifffile

            tifffile.imwrite(source, u16(values) if depth == 16 else u8(values), photometric="rgb", iccprofile=icc)
        else:
            pillow(source, values, icc_profile=icc, **(options or {}))
        out = decode(bench.upscale(source))
        bench.expect("profile unchanged", out.profile == icc, True)
        same_colours(bench, out, decode(source).colour, icc, most=most)


entry("p3-png", "Display P3, PNG", ".png", display_p3)
entry("p3-jpeg", "Display P3, JPEG", ".jpg", display_p3, most=2.0, options={"quality": 97, "subsampling": 0})
entry("p3-webp", "Display P3, WebP", ".webp", display_p3, options={"lossless": True}, most=2.0)
entry("adobe-png", "Adobe RGB, PNG", ".png", adobe_rgb)
entry("adobe-tiff", "Adobe RGB, TIFF", ".tif", adobe_rgb)
entry("prophoto-png16", "ProPhoto, PNG 16 bit", ".png", prophoto, depth=16)
entry("prophoto-tiff16", "ProPhoto, TIFF 16 bit", ".tif", prophoto, depth=16)
entry("linear-tiff16", "Linear light, TIFF 16 bit", ".tif", linear, depth=16)


@row("colour.untagged", "No profile means sRGB, and no profile comes out of nowhere", "24 patches, untagged PNG",
     "Most pictures on the web carry no profile.")  # fmt: skip
def untagged(bench: Bench) -> None:
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(patches())))))
    same_colours(bench, out, u8(patches()) / 255, None)


@row("colour.gray-gamma", "A gray profile stays, and the tones with it", "gray ramp, gamma 1.8, PNG",
     "Scans of film and print often have a gray profile of their own.")  # fmt: skip
def gray_gamma(bench: Bench) -> None:
    values, icc = gradient(64, 48, channels=1), gray_profile(1.8)
    out = decode(bench.upscale(files.write(bench.folder / "in.png", png(u8(values), extra=iccp(icc)))))
    bench.expect("colour", out.model, "gray")
    bench.expect("profile unchanged", out.profile == icc, True)
    if out.model == "gray":
        same_colours(bench, out, u8(values) / 255, icc)


def cmyk_source(bench: Bench, suffix: str) -> Any:
    ink, icc = files.cmyk_of(mild()), cmyk_profile()
    source = bench.folder / f"in{suffix}"
    if suffix == ".jpg":
        return pillow(source, ink, "CMYK", quality=97, icc_profile=icc)
    import tifffile

    tifffile.imwrite(source, u8(ink), photometric="separated", iccprofile=icc)
    return source


@row("colour.cmyk-jpeg", "CMYK with a profile stays CMYK", "24 patches, CMYK JPEG with a printer's profile",
     "Print files that come back as RGB, or inverted, cost a print run.")  # fmt: skip
def cmyk_jpeg(bench: Bench) -> None:
    _cmyk(bench, ".jpg")


@row("colour.cmyk-tiff", "CMYK TIFF with a profile stays CMYK", "24 patches, CMYK TIFF with a printer's profile",
     "Print files that come back as RGB, or inverted, cost a print run.")  # fmt: skip
def cmyk_tiff(bench: Bench) -> None:
    _cmyk(bench, ".tif")


def _cmyk(bench: Bench, suffix: str) -> None:
    source = cmyk_source(bench, suffix)
    out = decode(bench.upscale(source))
    bench.expect("colour", out.model, "cmyk")
    bench.expect("profile unchanged", out.profile == cmyk_profile(), True)
    if out.model == "cmyk":
        # Ink goes to RGB and back by tables of 8 or 16 bit: the way there and back alone costs up to 1 delta E.
        same_colours(bench, out, decode(source).colour, cmyk_profile(), most=2.5)


@row("colour.cmyk-to-png", "CMYK into a format without ink has the right colours", "CMYK JPEG with a profile to PNG",
     "A CMYK picture for the web must be converted by its profile, not by 1 minus ink.")  # fmt: skip
def cmyk_to_png(bench: Bench) -> None:
    source = cmyk_source(bench, ".jpg")
    out = decode(bench.upscale(source, "out.png"))
    bench.expect("format", out.format, "PNG")
    # Within what sRGB can show nothing need be lost; some of these inks lie outside it, which costs about 1.
    same_colours(bench, out, decode(source).colour, cmyk_profile(), most=3.0)


@row("colour.p3-to-jpeg", "The profile crosses formats", "Display P3, PNG to JPEG", WHY)
def p3_to_jpeg(bench: Bench) -> None:
    icc = display_p3()
    source = files.write(bench.folder / "in.png", png(u8(mild()), extra=iccp(icc)))
    out = decode(bench.upscale(source, "out.jpg"))
    same_colours(bench, out, u8(mild()) / 255, icc, most=1.8)


@row("colour.broken-profile", "A profile that is none does not stop the work",
     "PNG with 200 random bytes for a profile",
     "Broken profiles are common in pictures from the web.")  # fmt: skip
def broken_profile(bench: Bench) -> None:
    junk = np.random.default_rng(1).integers(0, 256, 200, np.uint8).tobytes()
    source = files.write(bench.folder / "in.png", png(u8(patches()), extra=iccp(junk)))
    before = digest(source)
    ran = bench.run(source, bench.folder / "out.png")
    bench.expect("input unchanged", digest(source) == before, True)
    if ran.code == 0:
        out = decode(bench.folder / "out.png")
        bench.note("outcome", "upscaled")
        plain = decode(source)
        same_colours(bench, out if out.profile != junk else plain_of(out), plain.colour, None)
    else:
        bench.expect("outcome", ran.outcome(), "upscaled")


def plain_of(out: Any) -> Any:
    return replace(out, profile=None)


def said_by(path: Path) -> tuple[dict[bytes, bytes], bytes | None]:
    """The chunks of a PNG that say colours without a profile, and a profile for what its values mean: by code points of
    Display P3, by its own, by a gamma; None for sRGB."""
    data, found, place = path.read_bytes(), dict[bytes, bytes](), 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        found.setdefault(data[place + 4 : place + 8], data[place + 8 : place + 8 + length])
        place += 12 + length
    if found.get(b"cICP") == P3_CODE:
        return found, display_p3()
    own = decode(path).profile
    if own is not None or b"gAMA" not in found or b"sRGB" in found:
        return found, own
    return found, rgb_profile("sRGB", 1e5 / int.from_bytes(found[b"gAMA"], "big"))


P3_CODE, PQ_CODE = bytes((12, 13, 0, 1)), bytes((9, 16, 0, 1))


@row("colour.png-gamma", "A PNG of linear light without a profile keeps its colours",
     "24 patches, 72x48, PNG 16 bit with gAMA 1.0",
     "Renderers write linear light so; without the chunk, or a conversion, it turns far too dark.")  # fmt: skip
def png_gamma(bench: Bench) -> None:
    values = u16(mild() ** 2.2)
    source = files.write(bench.folder / "in.png", png(values, 16, extra=chunk(b"gAMA", (100_000).to_bytes(4, "big"))))
    out = decode(bench.upscale(source))
    seen = said_by(bench.folder / "out.png")[1]
    same_colours(bench, replace(out, profile=seen), values / 65535, linear())


@row("colour.png-code-points-p3", "Display P3 that a PNG says in code points stays", "24 patches, PNG with cICP 12, 13",
     WHY)  # fmt: skip
def code_points_p3(bench: Bench) -> None:
    source = files.write(bench.folder / "in.png", png(u8(mild()), extra=chunk(b"cICP", P3_CODE)))
    out = decode(bench.upscale(source))
    seen = said_by(bench.folder / "out.png")[1]
    same_colours(bench, replace(out, profile=seen), u8(mild()) / 255, display_p3())


@row("colour.png-code-points-pq", "HDR that a PNG says in code points stays HDR",
     "24 patches, PNG 16 bit with cICP 9, 16",
     "HDR whose code points are lost looks pale and gray everywhere.")  # fmt: skip
def code_points_pq(bench: Bench) -> None:
    source = files.write(bench.folder / "in.png", png(u16(mild()), 16, extra=chunk(b"cICP", PQ_CODE)))
    out = decode(bench.upscale(source))
    chunks = said_by(bench.folder / "out.png")[0]
    bench.expect("code points unchanged", chunks.get(b"cICP") == PQ_CODE, True)
    same_colours(bench, replace(out, profile=None), u16(mild()) / 65535, None)


@row("colour.avif-code-points", "Display P3 that an AVIF says in code points crosses formats",
     "24 patches, AVIF with nclx 12, 13, to PNG",
     "Phones and cameras write AVIF without a profile; its colours turn pale where nobody looks.")  # fmt: skip
def avif_code_points(bench: Bench) -> None:
    source = pillow(bench.folder / "in.avif", mild(), quality=100, subsampling="4:4:4")
    source.write_bytes(source.read_bytes().replace(b"nclx\0\1\0\x0d", b"nclx\0\x0c\0\x0d", 1))
    out = decode(bench.upscale(source, "out.png"))
    seen = said_by(bench.folder / "out.png")[1]
    same_colours(bench, replace(out, profile=seen), mild(), display_p3(), most=1.8)
