"""What this process and its container use now: read when somebody asks for metrics."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slipway_server import cpu
from slipway_server.cpu import CGROUP, read

_PROC: Final = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Usage:
    """Numbers that all models share. ``None`` is what this machine does not say.

    Attributes:
        cpu_seconds: of all threads since the process began.
        resident: bytes.
        working_set: bytes of the container as the kubelet counts them.
        memory_limit: bytes.
        cpu_limit: CPUs.
        periods, throttled_periods: of the CPU quota; those in which the container was stopped.
        throttled_seconds: how long, of all threads.
    """

    cpu_seconds: float
    resident: int | None = None
    working_set: int | None = None
    memory_limit: int | None = None
    cpu_limit: float | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_seconds: float | None = None


Look = Callable[[], Usage]


def look(root: Path = CGROUP, proc: Path = _PROC) -> Usage:
    """Read it; takes a fraction of a millisecond.

    Args:
        root: of the cgroup file systems, version 1 or 2.
        proc: of the process.
    """
    stat = _fields(root / "cpu.stat") or _fields(root / "cpu" / "cpu.stat")
    limit = cpu.cpu_limit(root)
    stops = {} if limit is None else stat  # without a limit the kernel counts nothing
    micros, nanos = stops.get("throttled_usec"), stops.get("throttled_time")
    throttled = None if micros is None else micros / 1e6
    return Usage(
        cpu_seconds=time.process_time(),
        resident=_resident(proc),
        working_set=working_set(root),
        memory_limit=cpu.memory_limit(root),
        cpu_limit=limit,
        periods=stops.get("nr_periods"),
        throttled_periods=stops.get("nr_throttled"),
        throttled_seconds=throttled if nanos is None else nanos / 1e9,
    )


def working_set(root: Path = CGROUP) -> int | None:
    """Bytes of the container that the kernel cannot simply drop: usage - inactive file pages."""
    used = _number(read(root / "memory.current"))
    if used is not None:
        return max(0, used - _fields(root / "memory.stat").get("inactive_file", 0))
    used = _number(read(root / "memory" / "memory.usage_in_bytes"))
    if used is None:
        return None
    stat = _fields(root / "memory" / "memory.stat")
    return max(0, used - stat.get("total_inactive_file", 0))


def _resident(proc: Path) -> int | None:
    pages = read(proc / "statm").split()[1:2]
    return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else None


def _fields(path: Path) -> dict[str, int]:
    found = {}
    for line in read(path).splitlines():
        name, _, text = line.partition(" ")
        value = _number(text)
        if value is not None:
            found[name] = value
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
