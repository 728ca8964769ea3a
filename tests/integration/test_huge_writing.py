"""Pictures larger than memory allows for: what is held does not grow with them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from srgan.imaging import estimate_bytes, probe_picture

WRITE = textwrap.dedent("""
    import json, resource, sys
    import numpy as np
    from srgan.imaging import Picture, blank, write_strips
    side, target, depth, verify = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    def strips():
        random = np.random.default_rng(0)
        ramp = np.linspace(0, 0.9, side, dtype=np.float32)[None, :, None]
        for start in range(0, side, 64):
            rows = min(64, side - start)
            strip = random.random((rows, side, 3), np.float32)
            strip *= 0.05
            strip += ramp
            yield strip
    like = Picture(pixels=blank(side, side, 3), bit_depth=depth)
    write_strips(strips(), (side, side), target, like=like, verify=verify)
    if sys.platform == "linux":  # whose ru_maxrss counts what the parent held at the fork
        (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
        mib = int(line.split()[1]) / 1024
    else:
        mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    sys.stdout.write(json.dumps({"mib": mib}))
""")


def peak_memory(side: int, target: Path, depth: int = 8, verify: str = "header") -> float:
    """MiB of the process that writes a picture of ``side`` a side, in strips of 64 rows."""
    pytest.importorskip("resource")
    arguments = [sys.executable, "-c", WRITE, str(side), str(target), str(depth), verify]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return float(found["mib"])


@pytest.mark.soak
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_picture_of_144_million_pixels_takes_less_than_250_mib(suffix: str, tmp_path: Path) -> None:
    """As 8-bit integers alone it has 412 MiB."""
    target = tmp_path / f"a.{suffix}"
    assert peak_memory(12_000, target) < 250
    header = probe_picture(target)
    assert (header.width, header.height) == (12_000, 12_000)
    assert target.stat().st_size <= estimate_bytes((12_000, 12_000), 3, 8, suffix)


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm", "pfm"])
def test_memory_does_not_grow_with_the_picture(suffix: str, tmp_path: Path) -> None:
    """Sixteen times the pixels: 12 and 192 MB as floating point; only the strips, wider ones, may take more."""
    small, large = (peak_memory(side, tmp_path / f"{side}.{suffix}", depth=16) for side in (1000, 4000))
    assert large - small < 40


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_decoding_all_of_it_again_takes_no_more(suffix: str, tmp_path: Path) -> None:
    assert peak_memory(4000, tmp_path / f"a.{suffix}", verify="pixels") < 300
