"""Forked processes enlarge or say why not; they never wait for threads that stayed behind. Each case is a program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from srgan.models import Bundle
from srgan.runtime.ncnn import vulkan_devices

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

Exported = Callable[[str, int], Bundle]

START = """
import multiprocessing, os, pickle, sys, threading, time, warnings
import numpy as np
import srgan

warnings.simplefilter("ignore", DeprecationWarning)
model, backend, device = sys.argv[1:]
small = np.random.default_rng(1).integers(0, 256, (90, 70, 3), "u1")

def opened():
    return srgan.Upscaler(model, backend=backend, device=device, threads=2)

def child(work, leave=os._exit):
    pid = os.fork()
    if pid == 0:
        try:
            good = work()
        except srgan.SrganError as error:
            print("refused:", error, flush=True)
            good = False
        leave(0 if good else 1)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    sys.exit("the child waited for ever")
"""


def run(program: str, bundle: Bundle, backend: str, device: str = "cpu") -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + program, str(bundle.path), backend, device],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
def test_what_was_opened_and_used_before_works_after(exported: Exported, backend: str) -> None:
    program = """
upscaler = opened()
session = srgan.open_session(model, backend=backend, device=device)
batch = np.full((1, 3, 300, 40), 0.5, np.float32)
before = srgan.upscale(small, upscaler), session.run(batch)

def work():
    same = np.array_equal(srgan.upscale(small, upscaler), before[0]) and np.allclose(session.run(batch), before[1])
    anew = np.array_equal(srgan.upscale(small, opened()), before[0])
    session.close(), upscaler.close()
    return same and anew

print(child(work), child(work, sys.exit), child(lambda: child(work) == 0))
assert work()
"""
    assert run(program, exported("turbo", 2), backend) == "0 0 0\n"


@pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
def test_a_pool_of_forked_workers_after_use_in_the_parent(exported: Exported, backend: str) -> None:
    program = """
upscaler = opened()
srgan.upscale(small, upscaler)

def work(given):
    return srgan.upscale(small, given).shape

def by_name(_):
    return srgan.upscale(small, model, backend=backend, device=device).shape

with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map_async(work, [upscaler] * 3).get(100) + pool.map_async(by_name, range(3)).get(100))
"""
    assert run(program, exported("turbo", 2), backend).count("(180, 140, 3)") == 6


@pytest.mark.parametrize("backend", ["ncnn", "onnx", "torch"])
def test_forks_while_another_thread_is_at_work(exported: Exported, backend: str) -> None:
    program = """
upscaler = opened()
before = srgan.upscale(small, upscaler)
ended = threading.Event()

def busy():
    while not ended.is_set():
        srgan.upscale(small, upscaler)

threads = [threading.Thread(target=busy) for _ in range(2)]
[thread.start() for thread in threads]
for number in range(12):
    time.sleep(0.003 * number)
    assert child(lambda: np.array_equal(srgan.upscale(small, upscaler), before)) == 0
ended.set()
[thread.join() for thread in threads]
print("fine")
"""
    assert run(program, exported("turbo", 2), backend) == "fine\n"


def test_large_pictures_through_libvips_too(exported: Exported) -> None:
    program = """
import io
from PIL import Image
from srgan.imaging import open_scan

def rows():
    with open_scan(data) as scan:
        return sum(len(strip) for strip in scan.strips)

for format in ("JPEG", "PNG", "TIFF"):
    file = io.BytesIO()
    Image.fromarray(np.tile(small, (16, 20, 1))).save(file, format)
    data = file.getvalue()
    assert rows() == 1440
    assert child(lambda: rows() == 1440) == 0
print("pyvips" in sys.modules)
"""
    assert run(program, exported("turbo", 2), "ncnn") == "True\n"


def test_vulkan_refuses_in_a_child_and_the_child_ends(exported: Exported) -> None:
    found = vulkan_devices()
    if not found:
        pytest.skip("no Vulkan device; apt-get install mesa-vulkan-drivers libvulkan1 brings one in software")
    program = """
upscaler = opened()
srgan.upscale(small, upscaler)
device, on_gpu = "cpu", device
for work in (lambda: upscaler.upscale(srgan.Picture(pixels=np.zeros((40, 40, 3), "f4"))),
             lambda: srgan.open_session(model, backend=backend, device=on_gpu)):
    print(child(work), child(work, sys.exit))
from srgan.runtime import list_devices
print(child(lambda: not any(entry.device.startswith("vulkan") for entry in list_devices()), sys.exit))
print(child(lambda: opened().info.device == "cpu", sys.exit))
"""
    said = run(program, exported("turbo", 2), "ncnn", found[0].device).splitlines()

    assert [line for line in said if not line.startswith("refused")] == ["1 1", "1 1", "0", "0"]
    refusals = [line for line in said if line.startswith("refused")]
    assert len(refusals) == 4
    assert all("start method spawn" in line for line in refusals)
