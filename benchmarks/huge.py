"""From file to file, strip by strip: the most memory that `srgan upscale` holds, and how long it takes.

    python benchmarks/huge.py                        outputs of 10,000 to 40,000 pixels a side: about ten minutes
    python benchmarks/huge.py --sides 20000 --formats tif --model fast

The input is a made-up photograph repeated to size. Every row is the command in a process of its own, run once; memory
is the maximum resident set that the system states for it, network and libraries included. The output, of several GB at
40,000 pixels, goes to a temporary folder (TMPDIR says where) and is opened before it is thrown away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyvips
from reporting import options, print_header, say, undisturbed, write_json

from srgan.benchmark import sample_picture, table
from srgan.imaging import Limits, probe_picture, to_uint8

SCALE = 4
PIECE = 500
"""Side of the picture that is repeated."""
SRGAN = "from srgan.cli import main; main()"


@undisturbed()
def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--model", default="turbo")
    parser.add_argument("--sides", type=int, nargs="+", default=[10000, 20000, 40000], help="of the outputs, in pixels")
    parser.add_argument("--formats", nargs="+", default=["tif", "png"], help="suffixes of the outputs")
    given = parser.parse_args()
    if given.quick:
        given.sides, given.formats = [64], ["tif"]
    header = print_header("each row one process, run once")
    rows = []
    with tempfile.TemporaryDirectory(prefix="srgan-huge-") as name:
        for side in given.sides:
            source = _input(Path(name) / "in.tif", side // SCALE)
            for suffix in given.formats:
                say(f"huge: {side} x {side} as {suffix}")
                rows.append(_measure(source, Path(name) / f"out.{suffix}", given.model, side))
    print(table(("output", "format", "peak MB", "s", "output MP/s", "file MB"), map(_cells, rows)))
    print()
    print(f"{given.model}, x{SCALE}.")
    write_json(given.json, header | {"model": given.model, "rows": rows})


def _input(path: Path, side: int) -> Path:
    piece = pyvips.Image.new_from_array(to_uint8(sample_picture(PIECE, PIECE).pixels))
    times = -(-side // PIECE)
    piece.replicate(times, times).crop(0, 0, side, side).write_to_file(str(path), compression="deflate")
    return path


def _measure(source: Path, target: Path, model: str, side: int) -> dict[str, Any]:
    command = [sys.executable, "-c", SRGAN, "upscale", str(source), str(target), "--model", model, "--quiet"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # wait4 gives the usage of this one child; `resource` knows only the largest of all there were.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"srgan upscale ended with code {process.returncode}")
    size = probe_picture(target, limits=Limits(max_pixels=side * side, max_bytes=1 << 40))
    assert (size.width, size.height) == (side, side)
    row = {
        "side": side,
        "format": target.suffix.removeprefix("."),
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "seconds": seconds,
        "file_bytes": target.stat().st_size,
    }
    target.unlink()
    return row


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    side = row["side"]
    return (
        f"{side:,} x {side:,}",
        row["format"],
        f"{1e-6 * row['peak_bytes']:.0f}",
        f"{row['seconds']:.1f}",
        f"{1e-6 * side**2 / row['seconds']:.1f}",
        f"{1e-6 * row['file_bytes']:.0f}",
    )


if __name__ == "__main__":
    main()
