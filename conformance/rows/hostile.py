"""Files that are broken or made to harm: refused in words and in time, with nothing left behind."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from conformance import files
from conformance.bench import Bench
from conformance.decode import decode, still_good
from conformance.files import chunk, pillow, png
from conformance.judge import same_picture
from conformance.pictures import noise, scene, u8
from conformance.rows import row

WHY = "A half picture that is called done is worse than none; a crash or a full memory takes other work with it."
MEMORY = 2048
"""MiB of RSS that a file that is refused may cost, the network included."""


def refused_row(id: str, title: str, given: str, name: str, make: Any, why: str = WHY) -> None:
    @row(f"hostile.{id}", title, given, why)
    def check(bench: Bench) -> None:
        source = files.write(bench.folder / name, make())
        ran = bench.refused(source, f"out.{name.rpartition('.')[2]}")
        bench.expect("peak memory in MiB", ran.peak >> 20, most=MEMORY)


def photo(suffix: str) -> bytes:
    """A file with enough in it that half of it is half a picture."""
    import io

    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(u8(noise(96, 96))).save(held, {"jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "tif": "TIFF"}[suffix])
    return held.getvalue()


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def broken_png() -> bytes:
    """One byte in the middle of the pixels is another."""
    data = bytearray(png(u8(noise(64, 64))))
    data[len(data) // 2] ^= 0xFF
    return bytes(data)


def wrong_checksum() -> bytes:
    """All pixels are there, but the checksum of their chunk says that one is wrong."""
    data = bytearray(png(u8(noise(64, 64))))
    place = data.index(b"IDAT")
    data[place + 4 + int.from_bytes(data[place - 4 : place], "big")] ^= 0xFF
    return bytes(data)


def left_over() -> bytes:
    """A JPEG whose data goes on after its last block, as it does where a wrong byte has shifted the rest."""
    return photo("jpg")[:-2] + bytes(range(1, 60)) + b"\xff\xd9"


def damaged_tile() -> bytes:
    """A tiled TIFF in which one tile cannot be unpacked."""
    import io

    import tifffile

    held = io.BytesIO()
    tifffile.imwrite(held, u8(noise(96, 96)), photometric="rgb", compression="zlib", tile=(32, 32))
    with tifffile.TiffFile(io.BytesIO(held.getvalue())) as file:
        place = file.pages[0].dataoffsets[4]
    data = bytearray(held.getvalue())
    data[place + 1 : place + 9] = bytes(8)
    return bytes(data)


def bomb() -> bytes:
    """30,000 x 30,000 pixels of 8-bit RGB in little space: 2.7 GB decoded, 40 GB enlarged four times."""
    raw = swollen(0, 30000 * (1 + 3 * 30000))
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", raw) + chunk(b"IEND", b"")


def liar() -> bytes:
    return png(u8(scene()), lie=(60000, 60000))


def gif_liar() -> bytes:
    data = bytearray(photo("gif"))
    data[6:10] = struct.pack("<HH", 65535, 65535)
    image = data.index(b"\x2c", 13 + 768 if data[10] & 0x80 else 13)
    data[image + 5 : image + 9] = struct.pack("<HH", 65535, 65535)
    return bytes(data)


def tiff_beyond() -> bytes:
    """A TIFF whose pixels are said to stand behind the end of the file."""
    return _tiff([(256, 4, 64), (257, 4, 64), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 1 << 28), (277, 3, 1),
                  (278, 4, 64), (279, 4, 4096)])  # fmt: skip


def _tiff(tags: list[tuple[int, int, int]], following: int = 0, data: bytes = b"") -> bytes:
    table = struct.pack("<H", len(tags))
    for tag, kind, value in tags:
        table += struct.pack("<HHII", tag, kind, 1, value)
    return b"II*\0\x08\0\0\0" + table + struct.pack("<I", following) + data


def cyclic() -> bytes:
    """A good picture whose next directory is its own."""
    size = 8 + 2 + 12 * 9 + 4
    tags = [(256, 4, 32), (257, 4, 32), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, size), (277, 3, 1),
            (278, 4, 32), (279, 4, 1024)]  # fmt: skip
    return _tiff(tags, 8, u8(scene(32, 32)[..., 0]).tobytes())


def swollen(byte: int, size: int) -> bytes:
    """``size`` times the same byte as a zlib stream, quickly: one block is compressed, and put down again and again.

    Adler-32 of equal bytes is known: its first sum is 1 + n * byte, its second the sum of the first.
    """
    block = 1_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes([byte]) * block) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, zlib.DEFLATED, -15)
    last = rest.compress(bytes([byte]) * (size % block)) + rest.flush()
    first, second = (1 + size * byte) % 65521, (size + byte * size * (size + 1) // 2) % 65521
    return b"\x78\xda" + packed * (size // block) + last + struct.pack(">HH", second, first)


SVG = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><text y="20">&x;</text></svg>'
)
MVG = b"push graphic-context\nviewbox 0 0 64 64\nimage over 0,0 0,0 'text:/etc/hostname'\npop graphic-context\n"

refused_row("empty", "An empty file is refused", "0 bytes called in.png", "in.png", lambda: b"")
refused_row("text", "A text is refused", "words called in.png", "in.png", lambda: b"This is no picture.\n" * 50)
refused_row("header-only", "A header alone is refused", "the first 33 bytes of a PNG", "in.png",
            lambda: png(u8(scene()))[:33])  # fmt: skip
refused_row(
    "truncated-png", "Half a PNG is refused", "first half of a PNG", "in.png", lambda: half(png(u8(noise(96, 96))))
)
refused_row("truncated-jpeg", "Half a JPEG is refused", "first half of a JPEG", "in.jpg", lambda: half(photo("jpg")))
refused_row("truncated-webp", "Half a WebP is refused", "first half of a WebP", "in.webp", lambda: half(photo("webp")))
refused_row("truncated-gif", "Half a GIF is refused", "first half of a GIF", "in.gif", lambda: half(photo("gif")))
refused_row("truncated-tiff", "Half a TIFF is refused", "first half of a TIFF", "in.tif", lambda: half(photo("tif")))
refused_row("damaged-png", "A damaged PNG is refused", "PNG with one byte of its pixels changed", "in.png", broken_png)
refused_row("png-checksum", "A PNG with a wrong checksum is refused", "PNG whose pixels do not match their checksum",
            "in.png", wrong_checksum)  # fmt: skip
refused_row("damaged-jpeg", "A damaged JPEG is refused", "JPEG with 59 bytes left over in its scan", "in.jpg",
            left_over)  # fmt: skip
refused_row("damaged-tile", "A TIFF with a damaged tile is refused", "TIFF, one of nine tiles cannot be unpacked",
            "in.tif", damaged_tile)  # fmt: skip
refused_row("bomb", "A decompression bomb is refused", "30,000x30,000 RGB in a PNG of 2.6 MB", "in.png", bomb)
refused_row("liar-png", "A header that lies about the size is refused", "64x48 pixels said to be 60,000x60,000",
            "in.png", liar)  # fmt: skip
refused_row("liar-gif", "A GIF that lies about its size is refused", "96x96 pixels said to be 65,535x65,535", "in.gif",
            gif_liar)  # fmt: skip
refused_row("tiff-beyond", "A TIFF that points beyond its end is refused", "strip offset of 256 MiB in 122 bytes",
            "in.tif", tiff_beyond)  # fmt: skip
refused_row("svg", "A drawing with a foreign file in it is refused as a picture", "SVG with an external entity, in.png",
            "in.png", lambda: SVG, "A file called PNG must not make the reader open other files.")  # fmt: skip
refused_row("script", "A drawing script is refused", "MVG that draws a text file, called in.png", "in.png", lambda: MVG,
            "A file called PNG must not make the reader open other files.")  # fmt: skip


@row("hostile.missing", "A file that is not there is refused", "no file", WHY)
def missing(bench: Bench) -> None:
    bench.refused(bench.folder / "nothing.png")


@row("hostile.folder", "A folder for a file is refused", "a folder called in.png", WHY)
def folder(bench: Bench) -> None:
    (bench.folder / "in.png").mkdir()
    bench.refused(bench.folder / "in.png")


def clear_row(id: str, title: str, given: str, name: str, make: Any, shown: Any, why: str) -> None:
    """Rows where refusing is right, and so is the picture; hanging, crashing and eating memory are not."""

    @row(f"hostile.{id}", title, given, why)
    def check(bench: Bench) -> None:
        source, target = files.write(bench.folder / name, make()), bench.folder / f"out.{name.rpartition('.')[2]}"
        ran = bench.run(source, target, timeout=20)
        bench.expect("ends within 20 s", ran.code is not None, True)
        bench.expect("killed by a signal", ran.code is not None and ran.code < 0, False)
        bench.expect("peak memory in MiB", ran.peak >> 20, most=MEMORY)
        if ran.code == 0:
            bench.note("outcome", "upscaled")
            same_picture(bench, decode(target), shown())
        else:
            bench.note("outcome", "refused")
            bench.expect("says why", bool(ran.last_line()), True)
            bench.expect("output left", target.exists(), False)


clear_row("tiff-cycle", "A TIFF whose directories go in a circle has a clear outcome",
          "32x32 TIFF, its next directory is its own", "in.tif", cyclic,
          lambda: u8(scene(32, 32)[..., :1]) / 255, "Readers that follow the circle never end.")  # fmt: skip
clear_row("text-bomb", "A compressed text that grows to 400 MB does no harm", "PNG with a zTXt chunk that grows",
          "in.png", lambda: png(u8(scene()), extra=chunk(b"zTXt", b"x\0\0" + swollen(65, 400_000_000))), scene,
          "Metadata can be a bomb, too.")  # fmt: skip
clear_row("profile-bomb", "A compressed profile that grows to 400 MB does no harm", "PNG with an iCCP chunk that grows",
          "in.png", lambda: png(u8(scene()), extra=chunk(b"iCCP", b"x\0\0" + swollen(0, 400_000_000))), scene,
          "Metadata can be a bomb, too.")  # fmt: skip


@row("hostile.polyglot", "What hangs behind a picture is not carried on", "PNG with a script behind its end",
     "A file that is a picture and a program at once slips past filters; re-encoding should end that.")  # fmt: skip
def polyglot(bench: Bench) -> None:
    payload = b"<script>conformance-payload</script>PK\x03\x04"
    source, target = files.write(bench.folder / "in.png", png(u8(scene())) + payload), bench.folder / "out.png"
    ran = bench.run(source, target)
    if ran.code == 0:
        same_picture(bench, decode(target), scene())
        bench.expect("payload carried on", b"conformance-payload" in target.read_bytes(), False)
    else:
        bench.note("outcome", "refused")
        bench.expect("output left", target.exists(), False)


@row("hostile.not-a-number", "NaN and infinity in a float picture do not spread",
     "float TIFF with one NaN and one infinity",
     "Renders have them; one pixel must not blacken the picture.")  # fmt: skip
def not_a_number(bench: Bench) -> None:
    import tifffile

    small = scene().astype(np.float32)
    small[10, 10], small[30, 50] = np.nan, np.inf
    tifffile.imwrite(bench.folder / "in.tif", small, photometric="rgb")
    target = bench.folder / "out.tif"
    ran = bench.run(bench.folder / "in.tif", target)
    bench.expect("killed by a signal", ran.code is None or ran.code < 0, False)
    if ran.code == 0:
        out = decode(target)
        bench.note("outcome", "upscaled")
        far = out.colour[: 4 * bench.scale, -8 * bench.scale :]
        off = np.abs(far.mean((0, 1)) - scene()[:4, -8:].mean((0, 1))).max() * 255
        bench.expect("far corner off by, levels of 255", float(np.nan_to_num(off, nan=255)), most=8)
    else:
        bench.note("outcome", "refused")
        bench.expect("says why", bool(ran.last_line()), True)


@row("hostile.input-survives", "A broken input is left as it is", "half a JPEG", "Repairing is not asked for.")
def survives(bench: Bench) -> None:
    source = pillow(bench.folder / "in.jpg", noise(64, 64), quality=95)
    files.write(source, half(source.read_bytes()))
    before = source.read_bytes()
    bench.run(source, bench.folder / "out.jpg")
    bench.expect("unchanged", source.read_bytes() == before, True)
    left = [p.name for p in bench.folder.iterdir() if p != source and not (p.name == "out.jpg" and still_good(p))]
    bench.expect("files left", ", ".join(left) or "none", "none")
