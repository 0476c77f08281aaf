"""The machine: CPU flags that matter to kernels, and the CPU share that the cgroup grants."""

import math
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from slipway.artifacts.manifest import Hardware

# What ONNX Runtime's CPU kernels choose by; the rest would only split the cache.
_FLAGS: Final = frozenset(
    {"avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"}
    | {"avx_vnni", "amx_int8", "amx_bf16"}
    | {"asimd", "asimddp", "i8mm", "bf16", "sve", "sve2"}
)


def parse_cpuinfo(text: str, *, architecture: str, threads: int) -> Hardware:
    """Read ``/proc/cpuinfo`` (x86: ``flags``, ``model name``; arm64: ``Features``). Pure."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = set(fields.get("flags", fields.get("features", "")).split())
    return Hardware(
        architecture=architecture,
        cpu_model=fields.get("model name", "unknown"),
        cpu_flags=tuple(sorted(flags & _FLAGS)),
        threads=threads,
    )


EXACT_INT8: Final = ("amx_int8", "asimddp", "avx512_vnni", "avx_vnni", "i8mm")


def multiplies_int8(hardware: Hardware) -> bool:
    """Whether 8-bit products are summed without saturating (VNNI, AMX, arm64 dot products)."""
    return bool(set(EXACT_INT8) & set(hardware.cpu_flags))


def quota_cpus(read: Callable[[str], str | None]) -> float | None:
    """CPUs that the cgroup grants, or ``None`` without a limit.

    Args:
        read: content of a file below ``/sys/fs/cgroup``, ``None`` when absent.
    """
    if text := read("cpu.max"):
        quota, _, period = text.strip().partition(" ")
        return None if quota == "max" else int(quota) / int(period or 100_000)
    quota, period = read("cpu/cpu.cfs_quota_us") or "-1", read("cpu/cpu.cfs_period_us") or "100000"
    return int(quota) / int(period) if int(quota) > 0 else None


def detect(threads: int) -> Hardware:
    """This machine, measured with that many threads."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    machine = re.sub(r"[^a-z0-9_]", "", platform.machine().lower()) or "unknown"
    return parse_cpuinfo(text, architecture=machine, threads=threads)


def usable_threads() -> int:
    """Threads that this process may keep busy: the cgroup's limit, at most the machine's CPUs."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = quota_cpus(_read_cgroup)
    return max(1, min(cpus, math.ceil(quota))) if quota else cpus


def memory_limit() -> int | None:
    """Bytes that this process may have: the cgroup's limit, at most the machine's memory."""
    sizes = [int(text) for name in ("memory.max", "memory/memory.limit_in_bytes")
             if (text := (_read_cgroup(name) or "").strip()).isdecimal()]  # fmt: skip
    if "SC_PHYS_PAGES" in os.sysconf_names:
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(sizes, default=None)


def _read_cgroup(name: str) -> str | None:
    try:
        return (Path("/sys/fs/cgroup") / name).read_text()
    except OSError:
        return None
