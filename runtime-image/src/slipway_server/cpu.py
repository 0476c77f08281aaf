"""How much CPU and memory this container may use: cgroup v2, v1, else the machine."""

import math
import os
from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
_UNLIMITED: Final = 1 << 50
_SPARE: Final = 2


def threads(root: Path = CGROUP) -> int:
    """Threads that the CPU limit can keep busy: the limit rounded up, at most the usable CPUs."""
    usable = len(os.sched_getaffinity(0))
    limit = cpu_limit(root)
    return usable if limit is None else max(1, min(usable, math.ceil(limit)))


def cpu_limit(root: Path = CGROUP) -> float | None:
    """CPUs by the cgroup's quota, or ``None`` when there is no quota."""
    quota, _, period = read(root / "cpu.max").partition(" ")
    if not quota:
        quota = read(root / "cpu" / "cpu.cfs_quota_us")
        period = read(root / "cpu" / "cpu.cfs_period_us")
    try:
        limit = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None  # "max", or no such file
    return limit if limit > 0 else None


def has_spare(root: Path = CGROUP) -> bool:
    """Whether one CPU may be kept busy and leave another, by the quota, too."""
    limit = cpu_limit(root)
    return len(os.sched_getaffinity(0)) >= _SPARE and (limit is None or limit >= _SPARE)


def memory_limit(root: Path = CGROUP) -> int | None:
    """Bytes that the cgroup may use, or ``None`` when there is no limit."""
    text = read(root / "memory.max") or read(root / "memory" / "memory.limit_in_bytes")
    try:
        limit = int(text)
    except ValueError:
        return None
    return limit if limit < _UNLIMITED else None


def flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The CPU's features as the kernel names them; none where it does not say."""
    for line in read(path).splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(words.split())
    return frozenset()


def read(path: Path) -> str:
    """A file of the kernel; empty where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
