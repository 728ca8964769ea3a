"""What this machine is: its processor, cores and memory, and what of them this process may use.

Containers limit both by control groups (cgroups), of version 2 or 1; their limits are respected.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "asimd", "asimdhp", "sve")
"""Abilities of a processor that decide how fast it multiplies."""


def cpu_name() -> str:
    """The name of the processor, as its maker writes it."""
    if sys.platform == "linux":
        for line in _lines("/proc/cpuinfo"):
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware"):
                return value.strip()
    elif sys.platform == "darwin":
        import subprocess

        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if answer:
            return answer
    import platform

    return platform.processor() or platform.machine() or "CPU"


def total_memory() -> int | None:
    """Bytes of main memory, where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def default_threads() -> int:
    """How many threads a run uses when nobody says: the physical cores that this process may use.

    The second thread of a core only gets in the way of the first in dense arithmetic. A container's CPU quota, the
    process's affinity and ``OMP_NUM_THREADS`` are respected.
    """
    threads = _physical_cores()
    quota = _cgroup_quota()
    if quota is not None:
        threads = min(threads, max(1, int(quota)))
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdigit() and int(asked) > 0:
        threads = min(threads, int(asked))
    return threads


def _physical_cores(cpus: Path = Path("/sys/devices/system/cpu")) -> int:
    if sys.platform != "linux":
        return max(1, os.cpu_count() or 1)
    allowed = os.sched_getaffinity(0)
    # Threads of one core list the same siblings; where the kernel does not tell, each counts as a core of its own.
    cores = {
        next(iter(_lines(cpus / f"cpu{index}" / "topology" / "thread_siblings_list")), str(index)) for index in allowed
    }
    return max(1, len(cores))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The number of CPUs that the control groups of this process allow, or None without a limit."""
    quotas = []
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            group = Path(*(part for part in path.split("/") if part not in ("", "..")))
            # Every group up to the root may set a limit, and the smallest holds.
            folders = [root / group, *(root / parent for parent in group.parents)]
            quotas += [" ".join(_lines(folder / "cpu.max")) for folder in folders]
        elif "cpu" in controllers.split(","):
            quota, period = (_lines(root / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
            quotas.append(" ".join(quota + period))
    limits = [int(a) / int(b) for a, b in (q.split() for q in quotas if q.count(" ") == 1) if a.isdigit() and int(b)]
    return min(limits, default=None)


def cpu_flags() -> tuple[str, ...]:
    """Those of `FLAGS` that the processor has, where the system tells."""
    for line in _lines("/proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            present = set(value.split())
            return tuple(flag for flag in FLAGS if flag in present)
    return ()


def available_memory() -> int | None:
    """Bytes of memory that this process could still use, within the limits of its container; None when unknown."""
    figures = [figure for figure in (_machine_memory(), *_container_memory()) if figure is not None]
    return max(0, min(figures)) if figures else None


def _machine_memory() -> int | None:
    """What the operating system has to give without swapping."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    # Elsewhere only the total is told by the standard library; half of it is taken to be free.
    total = total_memory()
    return None if total is None else total // 2


def _container_memory(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """What the memory limit of each control group around this process leaves, versions 2 and 1."""
    for line in _lines(own):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            top, limit, used = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            top, limit, used = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = top / path.strip("/")
        # Inside a container the path may be that of the host: the groups that are not there are passed over.
        for folder in [group, *group.parents]:
            left = _left_in(folder, limit, used)
            if left is not None:
                yield left
            if folder == top:
                break


def _left_in(folder: Path, limit: str, used: str) -> int | None:
    """Limit less use of one control group; file cache, which the kernel gives up on demand, does not count as used."""
    try:
        most = (folder / limit).read_text().strip()
        if most == "max":
            return None
        cache = 0
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                cache = int(value)
        return int(most) - int((folder / used).read_text()) + cache
    except (OSError, ValueError):
        return None


def reset_peak() -> bool:
    """Let `peak_memory` count from now; False where the system cannot, so that it counts from the process's start."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_memory() -> int | None:
    """Most bytes of memory that this process held at once, since `reset_peak` where there is one; None when unknown."""
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _lines(path: str | Path) -> list[str]:
    """The lines of a file that the system keeps, none when it is not there."""
    try:
        return Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
