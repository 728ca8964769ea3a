"""What the machine is, and what of it this process may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srgan import hardware
from srgan.hardware import peak_memory, reset_peak


def test_the_processor_has_a_name_and_the_machine_memory() -> None:
    assert hardware.cpu_name().strip()
    assert (hardware.total_memory() or 1 << 30) > 1 << 26


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
    assert hardware._physical_cores(eight_threads_on_four_cores) == 4


def test_only_the_cores_that_the_process_may_use_count(
    eight_threads_on_four_cores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5})

    assert hardware._physical_cores(eight_threads_on_four_cores) == 2


def test_without_a_description_each_thread_is_a_core(
    eight_threads_on_four_cores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hardware._physical_cores(eight_threads_on_four_cores / "nothing") == 8


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

    assert hardware._cgroup_quota(tmp_path / "root", tmp_path / "membership") == quota


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
    monkeypatch.setattr(hardware, "_physical_cores", lambda: 6)
    monkeypatch.setattr(hardware, "_cgroup_quota", lambda: quota)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)

    assert hardware.default_threads() == threads


def test_this_process_may_use_a_core() -> None:
    assert 1 <= hardware.default_threads() <= (os.cpu_count() or 1)


def test_available_memory_is_a_plausible_number() -> None:
    free = hardware.available_memory()

    assert free is not None
    assert 1 << 20 < free < 1 << 50


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_limits_of_all_control_groups_around_the_process_count(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/user/job\n")
    root = tmp_path / "cgroup"
    write(root / "user", memory__max="5000\n", memory__current="4000\n", memory__stat="inactive_file 500\n")
    write(root / "user/job", memory__max="max\n", memory__current="100\n", memory__stat="inactive_file 0\n")

    assert list(hardware._container_memory(root, own)) == [1500]


def test_a_path_of_the_host_is_looked_for_up_to_the_container_s_own_group(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/docker/0123abc\n")
    root = tmp_path / "cgroup"
    write(root, memory__max="5000", memory__current="1000", memory__stat="anon 3\n")

    assert list(hardware._container_memory(root, own)) == [4000]


def test_version_1_control_groups_are_read(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("5:cpu,cpuacct:/x\n4:memory:/x\n")
    write(
        tmp_path / "cgroup/memory/x",
        memory__limit_in_bytes="900",
        memory__usage_in_bytes="500",
        memory__stat="inactive_file 7\ntotal_inactive_file 100\n",
    )

    assert list(hardware._container_memory(tmp_path / "cgroup", own)) == [500]


def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert list(hardware._container_memory(tmp_path, tmp_path / "none")) == []


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="only Linux counts anew")
def test_the_peak_of_memory_is_what_was_held_and_can_be_counted_anew() -> None:
    def held(megabytes: int) -> int:
        block = np.ones(megabytes << 20, np.uint8)
        most = peak_memory()
        assert most is not None
        return most - int(block[0])

    assert reset_peak()
    before = peak_memory()
    assert before is not None
    during = held(200)
    assert during >= before + (190 << 20)
    still = peak_memory()
    assert still is not None
    assert still >= during - (1 << 20)  # the kernel counts a little out of step
    reset_peak()
    after = peak_memory()
    assert after is not None
    assert after < during - (150 << 20)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_memory_is_counted_in_bytes_without_proc_too(monkeypatch: pytest.MonkeyPatch) -> None:
    precise = peak_memory()

    def gone(*_: Any, **__: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", gone)
    rough = peak_memory()
    assert precise is not None
    assert rough is not None
    assert rough >= 0.9 * precise
    assert rough < 100 * precise
