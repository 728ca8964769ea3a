"""Reads damaged pictures until time is up: `python fuzz/readers.py --seconds 180`.

Whatever the bytes, reading may raise `SrganError` and nothing else, take 5 seconds of processor time at most and 1 GB
of memory. What breaks that is kept as a file in `--findings`; `--replay FILE` tries one again. With `--atheris`, which
must be installed then, libFuzzer looks for inputs, guided by coverage; else the pictures made here are damaged at
random, in the same ways for the same `--seed`.
"""

from __future__ import annotations

import argparse
import io
import logging
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from srgan.errors import MissingDependency, OutOfMemory, SrganError
from srgan.imaging import (
    Frame,
    Limits,
    Picture,
    count_frames,
    encode_animation,
    encode_picture,
    encode_strips,
    open_animation,
    open_input,
    probe_picture,
    read_picture,
)
from srgan.imaging.metadata.enlarged import finished, provenance_of
from srgan.imaging.metadata.provenance import Provenance

LIMITS = Limits(max_bytes=1 << 22, max_pixels=1 << 20, max_side=1 << 16, max_frames=50)
MOST_SECONDS = 5.0
MOST_BYTES = 1 << 30
_RECORD = Provenance(model="m", version="1", sha256="0" * 64, settings={"scale": 2}, tool_version="0")
_WHOLE = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)

# ------------------------------------------------------------------------------------------------------- what is tried


def check(data: bytes) -> None:
    """Everything that is done with a picture from outside. Raises what must not be raised."""
    for attempt in (_probe, _read, _pages, _frames):
        try:
            attempt(data)
        except OutOfMemory as error:
            raise AssertionError(f"{attempt.__name__}: memory ran out") from error
        except SrganError as error:
            text = str(error)
            assert 0 < len(text) < 1000, f"not a sentence: {text!r}"
            assert text.isprintable(), f"not one line: {text!r}"


def _probe(data: bytes) -> None:
    header = probe_picture(data, limits=LIMITS)
    assert header.width * header.height <= LIMITS.max_pixels


def _read(data: bytes) -> None:
    picture = read_picture(data, limits=LIMITS)
    assert np.isfinite(picture.pixels).all(), "pixels that are no numbers"
    assert ((picture.pixels >= 0) & (picture.pixels <= 1)).all(), "pixels out of range"
    provenance_of(picture)
    like = finished(picture, (8, 8), _RECORD)
    corner = np.ascontiguousarray(picture.pixels[:8, :8])
    for format in ("PNG", "JPEG", "TIFF"):
        encode_strips([corner], corner.shape[:2], format, like=like)


def _pages(data: bytes) -> None:
    with open_input(data, limits=LIMITS) as pages:
        for scan in pages.scans():
            assert sum(len(strip) for strip in scan.strips) == scan.like.height


def _frames(data: bytes) -> None:
    count = count_frames(data, limits=LIMITS)
    if count < 2:
        return
    with open_animation(data, limits=LIMITS) as animation:
        for frame in animation.frames:
            assert frame.duration >= 0


# ------------------------------------------------------------------------------------------------------------- seeds


def seeds() -> list[bytes]:
    """Small sound pictures of every format and layout that this machine can write."""
    return [*_pngs(), *_jpegs(), *_tiffs(), *_others(), *_written()]


def _pixels(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).integers(0, 256, shape, np.uint8)


def _saved(mode: str, kind: str, **options: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(_pixels(12, 10, 4)).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _exif() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0xA002] = 10
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


def _profile(kind: str = "sRGB") -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()  # type: ignore[arg-type]


XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description rdf:about='' xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='3'/>"
    b"</rdf:RDF></x:xmpmeta>"
)


OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeX="10" SizeY="12" Type="uint8" '
    'PhysicalSizeX="0.5" BigEndian="true"/></Image><ROI ID="ROI:0"/></OME>'
)


def _map() -> list[tuple[int, int, int, Any, bool]]:
    """Tags of TIFF that say where a map lies."""
    return [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 5.0, 6.0, 0.0), True),
        (34264, 12, 16, tuple(map(float, range(16))), True),
        (34735, 3, 8, (1, 1, 0, 1, 1025, 0, 1, 2), True),
        (50844, 12, 92, tuple(map(float, range(92))), True),
        (42112, 2, 0, '<GDALMetadata><Item name="STATISTICS_MEAN">1</Item></GDALMetadata>', True),
    ]


def _pngs() -> Iterator[bytes]:
    from PIL import Image, PngImagePlugin

    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        yield _saved("L", "PNG") if mode == "I;16" else _saved(mode, "PNG")
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "text")
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    info.add_text("Comment", "packed", zip=True)
    yield _saved("RGB", "PNG", pnginfo=info, exif=_exif(), icc_profile=_profile(), dpi=(300, 300))
    more = [Image.fromarray(_pixels(12, 10, 3)) for _ in range(2)]
    for kind in ("PNG", "GIF", "WEBP"):
        yield _saved("RGB", kind, save_all=True, append_images=more, duration=50, loop=2)


def _jpegs() -> Iterator[bytes]:
    for mode in ("RGB", "L", "CMYK"):
        yield _saved(mode, "JPEG")
    yield _saved("RGB", "JPEG", progressive=True, exif=_exif(), icc_profile=_profile(), xmp=XMP, comment=b"word")
    long = XMP.replace(b"/></rdf", b" xmlns:c='http://ns.google.com/photos/1.0/camera/' c:MotionPhoto='1'><c:a>%s</c:a>"
                       b"</rdf:Description></rdf" % (b"x" * 70_000))  # fmt: skip
    picture = Picture(pixels=_pixels(12, 10, 3) / np.float32(255), xmp=long)
    yield encode_picture(picture, "JPEG") + encode_picture(picture, "JPEG") + b"\0\0\0\x18ftypmp42" + bytes(12)


def _tiffs() -> Iterator[bytes]:
    import tifffile

    plain: list[tuple[Any, dict[str, Any]]] = [
        (_pixels(12, 10, 3), {}),
        (_pixels(12, 10), {"photometric": "miniswhite"}),
        (_pixels(12, 10, 4), {"extrasamples": [1], "compression": "zlib", "predictor": True}),
        (_pixels(20, 18, 3), {"tile": (16, 16)}),
        (np.moveaxis(_pixels(12, 10, 3), 2, 0), {"planarconfig": "separate"}),
        (_pixels(12, 10).astype(np.uint16) * 257, {"iccprofile": _profile("XYZ"), "resolution": (300, 300)}),
        (_pixels(12, 10, 3) / np.float32(100), {"extratags": [(700, 1, len(XMP), XMP, True)]}),
        (_pixels(12, 10) / np.float64(100), {}),
        (_pixels(12, 10, 3).astype(np.float16) / 256, {}),
        (_pixels(12, 10).astype(np.int16), {}),
        (_pixels(12, 16) > 127, {}),
        (
            _pixels(12, 10),
            {"description": "ImageJ=1\nimages=2\nunit=um\nxorigin=3\n", "resolution": (5, 5), "resolutionunit": 1},
        ),
        (_pixels(12, 10), {"description": OME, "resolution": (9, 4), "resolutionunit": 5}),
        (_pixels(12, 10), {"description": '{"shape": [12, 10]}', "extratags": _map()}),
    ]
    for values, how in plain:
        ways: tuple[dict[str, Any], ...] = ({}, {"bigtiff": True, "byteorder": ">"})
        for whole in ways:
            buffer = io.BytesIO()
            usual = "rgb" if 3 in (values.shape[0], values.shape[-1]) or values.shape[-1] == 4 else "minisblack"
            tifffile.imwrite(buffer, values, metadata=None, **whole, **{"photometric": usual, **how})
            yield buffer.getvalue()
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for kind in (0, 1, 2):
            writer.write(_pixels(6 + kind, 5, 3), photometric="rgb", metadata=None, subfiletype=kind)
    yield buffer.getvalue()
    for packing in ("tiff_lzw", "packbits", "jpeg", "group4"):
        yield _saved("1" if packing == "group4" else "RGB", "TIFF", compression=packing)
    yield _saved("P", "TIFF")
    yield _saved("CMYK", "TIFF")


def _others() -> Iterator[bytes]:
    for mode in ("RGB", "P", "1", "L"):
        yield _saved(mode, "BMP")
        yield _saved(mode, "PPM") if mode != "P" else _saved("P", "GIF", transparency=3)
    yield b"P3\n# note\n2 2 255\n1 2 3 4 5 6 7 8 9 10 11 12\n"
    yield b"P2 3 1 1023\n0 500 1023\n"
    yield b"P1 3 2\n010\n101\n"
    yield b"P6 2 2 65535\n" + bytes(range(24))
    yield b"PF\n2 2\n-1.0\n" + np.linspace(0, 2, 12, dtype="<f4").tobytes()
    yield _saved("RGBA", "WEBP", lossless=True, exif=_exif(), xmp=XMP, icc_profile=_profile())
    yield _saved("RGB", "WEBP")
    yield _saved("RGB", "AVIF", exif=_exif(), xmp=XMP)


def _written() -> Iterator[bytes]:
    """What srgan itself writes."""
    picture = Picture(pixels=_pixels(12, 10, 3) / np.float32(255), bit_depth=16, exif=_exif()[6:], xmp=XMP)
    for format in ("PNG", "TIFF", "HEIC", "JXL"):
        try:
            yield encode_picture(picture, format)
        except MissingDependency:
            continue
    frames = [Frame(picture=picture, duration=Fraction(50)) for _ in range(2)]
    for format in ("PNG", "GIF", "WEBP"):
        yield encode_animation(frames, format, size=(12, 10), like=picture)


# ------------------------------------------------------------------------------------------------------------ damage


def damaged(sound: list[bytes], seed: int, number: int) -> bytes:
    """Input ``number``: one of ``sound``, damaged here and there. The same for the same arguments."""
    rng = random.Random(f"{seed} {number}")
    data = bytearray(rng.choice(sound))
    for _ in range(1 << rng.randrange(5)):
        if data:
            rng.choice((_flip, _overwrite, _overwrite, _number, _number, _cut, _repeat, _shorten))(rng, data)
    if rng.random() < 0.05:
        other = rng.choice(sound)
        data += other[rng.randrange(len(other)) :]
    del data[LIMITS.max_bytes :]
    return _sealed(bytes(data)) if rng.random() < 0.9 else bytes(data)


def _place(rng: random.Random, data: bytearray) -> int:
    """Rather in the beginning, where headers are."""
    return rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 400))


def _flip(rng: random.Random, data: bytearray) -> None:
    data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    data[_place(rng, data)] = rng.choice((0, 1, 2, 127, 128, 254, 255, rng.randrange(256)))


def _number(rng: random.Random, data: bytearray) -> None:
    width, order = rng.choice((2, 4, 4, 8)), rng.choice(("little", "big"))
    value = rng.choice((*_WHOLE, len(data), rng.randrange(len(data))))
    place = _place(rng, data)
    data[place : place + width] = (value % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]


def _cut(rng: random.Random, data: bytearray) -> None:
    place = _place(rng, data)
    del data[place : place + rng.randrange(1, 33)]


def _repeat(rng: random.Random, data: bytearray) -> None:
    place = _place(rng, data)
    data[place:place] = data[place : place + rng.randrange(1, 65)] * rng.choice((1, 1, 2, 50))


def _shorten(rng: random.Random, data: bytearray) -> None:
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)) :]


def _sealed(data: bytes) -> bytes:
    """With the right check sums where it is a PNG: else nothing behind them would be tried."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    out, place = bytearray(data), 8
    while place + 12 <= len(out):
        end = place + 8 + struct.unpack_from(">I", out, place)[0]
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[place + 4 : end]))
        place = end + 4
    return bytes(out)


# ------------------------------------------------------------------------------------------------------------ running


def attempt(data: bytes, check: Callable[[bytes], None] = check) -> None:
    """`check` within the bounds of time, which ends the process with SIGPROF, and of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    try:
        check(data)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown <= MOST_BYTES, f"{grown:,} bytes more memory"


def search(seed: int, seconds: float, findings: Path, check: Callable[[bytes], None] = check) -> tuple[int, int]:
    """How many inputs were tried and how many broke the rules. Each that does is kept in the folder ``findings``.

    The work is done in a child process, so that crashes and hangs are found too.
    """
    sound = seeds()
    number = mmap.mmap(-1, 8)
    end, found, start = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        struct.pack_into("<q", number, 0, start)
        child = os.fork()
        if not child:
            os._exit(_try_until(end, sound, seed, number, check))
        _, status = os.waitpid(child, 0)
        tried: int = struct.unpack_from("<q", number)[0]
        start = tried + 1
        if status:
            found += 1
            findings.mkdir(parents=True, exist_ok=True)
            path = findings / f"{seed}-{tried}"
            path.write_bytes(damaged(sound, seed, tried))
            code = os.waitstatus_to_exitcode(status)
            say(f"{path}: {signal.Signals(-code).name if code < 0 else 'see above'}")
    return start, found


def _try_until(end: float, sound: list[bytes], seed: int, number: mmap.mmap, check: Callable[[bytes], None]) -> int:
    """The exit code: 0 when time was up."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while time.monotonic() < end:
        (now,) = struct.unpack_from("<q", number)
        try:
            attempt(damaged(sound, seed, now), check)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            return 1
        struct.pack_into("<q", number, 0, now + 1)
    return 0


def by_atheris(seconds: float, findings: Path) -> None:
    """Guided by coverage, until it finds something or time is up; ends the process."""
    import atheris  # type: ignore[import-untyped]

    corpus = findings / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(data)
    atheris.instrument_all()
    options = [f"-max_total_time={seconds:.0f}", f"-timeout={MOST_SECONDS:.0f}", f"-rss_limit_mb={MOST_BYTES >> 19}"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={findings}/", str(corpus)], check)
    atheris.Fuzz()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--atheris", action="store_true", help="let atheris, which must be installed, look for inputs")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # as the command line does
    if options.replay:
        attempt(options.replay.read_bytes())
        return 0
    if options.atheris:
        by_atheris(options.seconds, options.findings)
    tried, found = search(options.seed, options.seconds, options.findings)
    say(f"{tried} inputs tried, {found} broke the rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
