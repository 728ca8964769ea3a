"""ncnn on a Vulkan device. A software renderer will do: Debian's mesa-vulkan-drivers and libvulkan1 bring one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from srgan.errors import DeviceUnavailable
from srgan.imaging import to_uint8
from srgan.models import Bundle
from srgan.runtime import Device, list_devices, open_session, opening
from srgan.runtime.ncnn import survey, vulkan_devices

Exported = Callable[[str, int], Bundle]


@pytest.fixture(scope="module")
def device() -> Device:
    """The first Vulkan device, real or not."""
    found = vulkan_devices()
    if not found:
        pytest.skip("no Vulkan device; apt-get install mesa-vulkan-drivers libvulkan1 brings one in software")
    return found[0]


def picture(side: int = 24, multiple: int = 2) -> NDArray[np.float32]:
    shape = (2, 3, side, side + 3 * multiple)
    return np.random.default_rng(9).random(shape, dtype=np.float32)


@pytest.mark.parametrize("name", ["turbo", "fast", "balanced", pytest.param("srresnet", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("precision", "steps"), [("fp32", 1), ("auto", 2)])
def test_the_same_picture_as_on_the_cpu(
    device: Device, exported: Exported, name: str, precision: str, steps: int
) -> None:
    bundle = exported(name, 2)
    wanted = open_session(bundle, backend="ncnn", device="cpu").run(picture())

    session = open_session(bundle, device=device.device, precision=precision)
    got = session.run(picture())

    assert (session.info.device, session.info.device_name) == (device.device, device.name)
    assert session.info.precision == ("fp32" if precision == "fp32" else "fp16")
    assert got.shape == wanted.shape
    assert np.abs(to_uint8(got).astype(int) - to_uint8(wanted)).max() <= steps
    if precision == "fp32":
        assert np.abs(got - wanted).max() < 2e-4
    else:
        assert np.abs(got - wanted).max() > 1e-6, "16 bits of storage left no trace: did it run in 32?"


def test_sizes_may_change_from_run_to_run(device: Device, exported: Exported) -> None:
    bundle = exported("fast", 2)
    on_cpu = open_session(bundle, backend="ncnn", device="cpu")
    session = open_session(bundle, device=device.device, precision="fp32")

    for side in (8, 20, 8):
        np.testing.assert_allclose(session.run(picture(side)), on_cpu.run(picture(side)), atol=2e-4)


def test_the_device_is_listed_with_its_name_and_memory(device: Device) -> None:
    listed = {entry.device: entry for entry in survey().devices}

    entry = listed[device.device]
    assert (entry.name, entry.software) == (device.name, device.software)
    assert entry.memory_bytes
    assert entry in list_devices()


def test_auto_never_takes_a_software_renderer(
    device: Device, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not all(entry.software for entry in vulkan_devices()):
        pytest.skip("there is a real GPU")
    monkeypatch.setattr(opening, "may_have_vulkan_gpu", lambda: True)
    monkeypatch.setattr(opening, "may_have_cuda", lambda: False)
    bundle = exported("fast", 2)

    assert open_session(bundle).info.device == "cpu"
    assert open_session(bundle, backend="ncnn").info.device == "cpu"
    assert "software renderer" in survey().unavailable["vulkan"]
    for wish in ("vulkan", "gpu"):
        with pytest.raises(DeviceUnavailable, match="only a software renderer"):
            open_session(bundle, backend="ncnn", device=wish)


def test_starting_vulkan_says_nothing(device: Device, exported: Exported) -> None:
    code = (
        "import sys, numpy as np; from srgan.runtime import open_session\n"
        "from srgan.runtime.ncnn import survey; survey()\n"
        "session = open_session(sys.argv[1], device=sys.argv[2])\n"
        "print(session.run(np.zeros((1, 3, 8, 8), 'f4')).shape)"
    )

    done = run(code, exported, device)

    assert (done.stdout.strip(), done.stderr, done.returncode) == ("(1, 3, 16, 16)", "", 0)


LEAVING = {
    "sessions in module variables": "",
    "sessions in a cycle": "class Knot: pass\nknot = Knot(); knot.self = knot; knot.session = first; del first",
    "one dropped before the end": "del first",
    "leaving by an exception": "raise SystemExit(0)",
    "leaving in another thread's run": (
        "import threading\n"
        "def work():\n"
        "    for _ in range(200): second.run(np.zeros((1, 3, 8, 8), 'f4'))\n"
        "threading.Thread(target=work, daemon=True).start()"
    ),
}


@pytest.mark.parametrize("how", LEAVING)
def test_the_program_ends_cleanly(device: Device, exported: Exported, how: str) -> None:
    """Networks on a GPU must go before the driver does, whatever holds them."""
    code = (
        "import sys, numpy as np; from srgan.runtime import open_session\n"
        "first = open_session(sys.argv[1], device=sys.argv[2])\n"
        "second = open_session(sys.argv[1], device=sys.argv[2], precision='fp32')\n"
        "first.run(np.zeros((1, 3, 8, 8), 'f4'))\n"
        "print('done', flush=True)\n" + LEAVING[how]
    )

    done = run(code, exported, device)

    assert (done.stdout.strip(), done.returncode) == ("done", 0), done.stderr
    assert "FATAL" not in done.stderr


def run(code: str, exported: Exported, device: Device) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(Path(exported("fast", 2).path)), device.device]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=120, check=False)
