"""What the machine has: names, cores that may be used, and a survey that no broken backend can stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from srgan.errors import MissingDependency
from srgan.runtime import Device, devices, list_devices, unavailable_backends
from srgan.runtime.devices import Survey


class Surveys:
    """Stands for the table of surveys."""

    def __init__(self, **surveys: Callable[[], Survey]) -> None:
        self.surveys = surveys

    def names(self) -> list[str]:
        return list(self.surveys)

    def load(self, name: str) -> Callable[[], Survey]:
        return self.surveys[name]


def missing() -> Survey:
    raise MissingDependency("gadget", "gadgets")


def cpu_only() -> Survey:
    return Survey([Device(backend="b", device="cpu", name="CPU")], {"cuda": "no driver"})


def test_devices_and_reasons_of_all_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "SURVEYS", Surveys(a=missing, b=cpu_only))

    assert list_devices() == [Device(backend="b", device="cpu", name="CPU")]
    assert unavailable_backends() == {
        "a": "gadget is not installed. Install it with: pip install 'srgan[gadgets]'",
        "b cuda": "no driver",
    }


def test_a_library_that_breaks_on_import_is_a_reason_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Survey:
        raise ImportError("libfoo.so: cannot open shared object file")

    monkeypatch.setattr(devices, "SURVEYS", Surveys(a=broken, b=cpu_only))

    assert [device.backend for device in list_devices()] == ["b"]
    assert "libfoo.so" in unavailable_backends()["a"]


def test_every_survey_of_the_table_can_be_imported() -> None:
    assert list(devices.SURVEYS.builtin) == ["ncnn", "onnx", "torch", "resize"]
    for name in devices.SURVEYS.builtin:
        assert callable(devices.SURVEYS.load(name))


def test_the_processor_has_a_name_and_the_machine_memory() -> None:
    assert devices.cpu_name().strip()
    assert (devices.total_memory() or 1 << 30) > 1 << 26


@pytest.fixture
def eight_threads_on_four_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if sys.platform != "linux":
        pytest.skip("reads Linux's description of the processor")
    for index in range(8):
        folder = tmp_path / f"cpu{index}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{index % 4},{index % 4 + 4}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return tmp_path


def test_two_threads_of_a_core_count_once(eight_threads_on_four_cores: Path) -> None:
    assert devices._physical_cores(eight_threads_on_four_cores) == 4


def test_only_the_cores_that_the_process_may_use_count(
    eight_threads_on_four_cores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5})

    assert devices._physical_cores(eight_threads_on_four_cores) == 2


def test_without_a_description_each_thread_is_a_core(
    eight_threads_on_four_cores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert devices._physical_cores(eight_threads_on_four_cores / "nothing") == 8


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/../outside\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("4:cpu,cpuacct:/x\n", {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.5),
        ("4:cpu:/x\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("4:memory:/x\n", {"cpu.max": "100000 100000\n"}, None),
        ("", {"cpu.max": "100000 100000\n"}, None),
    ],
)
def test_the_quota_of_a_container(tmp_path: Path, membership: str, files: dict[str, str], quota: float | None) -> None:
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)

    assert devices._cgroup_quota(tmp_path / "root", tmp_path / "membership") == quota


@pytest.mark.parametrize(
    ("quota", "variable", "threads"),
    [
        (None, None, 6),
        (2.9, None, 2),
        (0.5, None, 1),
        (None, "3", 3),
        (None, "3,1", 3),
        (None, "32", 6),
        (None, "many", 6),
        (2.0, "3", 2),
    ],
)
def test_the_threads_of_a_run(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, variable: str | None, threads: int
) -> None:
    monkeypatch.setattr(devices, "_physical_cores", lambda: 6)
    monkeypatch.setattr(devices, "_cgroup_quota", lambda: quota)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)

    assert devices.default_threads() == threads


def test_this_process_may_use_a_core() -> None:
    assert 1 <= devices.default_threads() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("platform", "present", "variable", "expected"),
    [
        ("linux", {"/dev/nvidiactl"}, None, True),
        ("linux", {"/dev/dxg"}, "0,1", True),
        ("linux", set(), None, False),
        ("linux", {"/dev/nvidiactl"}, "", False),
        ("linux", {"/dev/nvidiactl"}, "-1", False),
        ("darwin", {"/dev/nvidiactl"}, None, False),
    ],
)
def test_whether_cuda_is_worth_a_look(
    monkeypatch: pytest.MonkeyPatch, platform: str, present: set[str], variable: str | None, expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os.path, "exists", lambda path: path in present)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)

    assert devices.may_have_cuda() is expected


@pytest.mark.parametrize(
    ("platform", "present", "nodes", "expected"),
    [
        ("linux", set(), ["card0", "renderD128"], True),
        ("linux", set(), ["card0"], False),
        ("linux", {"/dev/nvidiactl"}, [], True),
        ("linux", set(), [], False),
        ("win32", set(), [], True),
    ],
)
def test_whether_vulkan_is_worth_a_look(
    monkeypatch: pytest.MonkeyPatch, platform: str, present: set[str], nodes: list[str], expected: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os.path, "exists", lambda path: path in present)
    monkeypatch.setattr(devices, "_names", lambda folder: nodes)

    assert devices.may_have_vulkan_gpu() is expected
