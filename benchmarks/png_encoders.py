"""Ways to write a 2048 x 2048 photograph as PNG: time and size. What it decided is in `srgan.imaging.encoders.png`.

    python benchmarks/png_encoders.py [--picture PHOTO] [--size 2048]

Two pictures are written: a photograph, and the top left quarter of its sides enlarged four times, smooth as the result
of a network is. Without --picture the photograph is an example of the project enlarged, and only the second is
written. Encoders that are not installed are left out. One run of each in turn, round after round.
"""

from __future__ import annotations

import io
import statistics
import struct
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from reporting import ROOT, options, print_header, say, undisturbed, write_json

from srgan.imaging import Picture, encode_picture, from_uint8
from srgan.imaging.encoders.png import PngWriter

Pixels = NDArray[np.uint8]
Encoder = Callable[[Pixels], bytes]


@undisturbed()
def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--picture", type=Path, help="a photograph of at least --size pixels a side")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.size, arguments.rounds = 256, 1
    protocol = f"{arguments.rounds} rounds; median (fastest-slowest) in ms; every file decoded and compared"
    document = print_header(protocol, "opencv-python-headless", "zlib-ng")
    document["rows"] = []
    for name, pixels in pictures(arguments.picture, arguments.size).items():
        rows = measured(pixels, arguments.rounds)
        print(f"### {name}, {pixels.shape[1]} x {pixels.shape[0]}\n")
        print("| encoder | ms | MB | times Pillow level 1 |\n|---|---|---|---|")
        yardstick = next(row["median"] for row in rows if row["encoder"] == "Pillow, level 1")
        for row in rows:
            span = f"{row['median']:.0f} ({row['low']:.0f}-{row['high']:.0f})"
            print(f"| {row['encoder']} | {span} | {row['bytes'] / 1e6:.2f} | {row['median'] / yardstick:.2f} |")
            document["rows"].append({"picture": name, **row})
        print()
    write_json(arguments.json, document)


def pictures(path: Path | None, size: int) -> dict[str, Pixels]:
    with Image.open(path or ROOT / "examples" / "astronaut.png") as image:
        photo = image.convert("RGB")
    quarter = photo.crop((0, 0, size // 4, size // 4)) if path else photo
    enlarged = {"enlarged": np.asarray(quarter.resize((size, size), Image.Resampling.BICUBIC))}
    if path is None:
        return enlarged
    if min(photo.size) < size:
        say(f"{path} is smaller than {size} pixels a side; it is enlarged")
        return enlarged | {"photograph": np.asarray(photo.resize((size, size), Image.Resampling.BICUBIC))}
    return enlarged | {"photograph": np.asarray(photo.crop((0, 0, size, size)))}


def measured(pixels: Pixels, rounds: int) -> list[dict[str, Any]]:
    """Each encoder in turn, so that whatever else the machine does hits all of them."""
    found = encoders(pixels)
    times: dict[str, list[float]] = {name: [] for name in found}
    sizes = {}
    for round_ in range(rounds + 1):
        for name, encode in found.items():
            start = time.perf_counter()
            data = encode(pixels)
            if round_:
                times[name].append((time.perf_counter() - start) * 1000)
            else:
                sizes[name] = len(data)
                with Image.open(io.BytesIO(data)) as image:
                    assert np.array_equal(np.asarray(image), pixels), f"{name} wrote another picture"
    return [
        {"encoder": name, "median": statistics.median(t), "low": min(t), "high": max(t), "bytes": sizes[name]}
        for name, t in times.items()
    ]


def encoders(pixels: Pixels) -> dict[str, Encoder]:
    floats = Picture(pixels=from_uint8(pixels))
    found: dict[str, Encoder] = {
        "srgan, from float32 (as used)": lambda _: encode_picture(floats, "PNG"),
        "srgan, from uint8": ours,
        "srgan with Python's zlib": without_isal,
        "Pillow, level 1": lambda p: pillow(p, 1),
        "Pillow, level 6": lambda p: pillow(p, 6),
    }
    try:
        import cv2
    except ImportError:
        say("OpenCV is not installed")
    else:
        found["OpenCV, default"] = lambda p: bytes(cv2.imencode(".png", p[..., ::-1])[1])
    for name, compress in compressors().items():
        for kind in ("none", "sub", "up"):
            found[f"filter {kind}, {name}"] = partial(one_filter, kind=kind, compress=compress)
    return found


def compressors() -> dict[str, Callable[[bytes], bytes]]:
    """Deflate by several libraries, in zlib's envelope."""
    found: dict[str, Callable[[bytes], bytes]] = {"zlib level 1": lambda data: zlib.compress(data, 1)}
    try:
        from isal import isal_zlib
    except ImportError:
        say("isal is not installed")
    else:
        for level in (0, 1, 2, 3):
            found[f"isal level {level}"] = partial(isal_zlib.compress, level=level)
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        say("zlib-ng is not installed")
    else:
        for level in (1, 2):
            found[f"zlib-ng level {level}"] = partial(zlib_ng.compress, level=level)
    return found


def ours(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    writer = PngWriter(stream, pixels.shape[1], pixels.shape[0], pixels.shape[2])
    writer.write_rows(pixels)
    writer.finish()
    return stream.getvalue()


def without_isal(pixels: Pixels) -> bytes:
    with mock.patch.dict("sys.modules", {"isal": None}):
        return ours(pixels)


def pillow(pixels: Pixels, level: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=level)
    return stream.getvalue()


def one_filter(pixels: Pixels, kind: str, compress: Callable[[bytes], bytes]) -> bytes:
    """The whole picture with one filter and one call of the compressor."""
    height, width, channels = pixels.shape
    raw = pixels.reshape(height, -1)
    lines = np.zeros((height, 1 + raw.shape[1]), np.uint8)
    lines[:, 0] = ("none", "sub", "up").index(kind)
    lines[:, 1:] = raw
    if kind == "sub":
        lines[:, 1 + channels :] -= raw[:, :-channels]
    elif kind == "up":
        lines[1:, 1:] -= raw[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", compress(lines.data)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data


if __name__ == "__main__":
    main()
