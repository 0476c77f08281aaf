"""CPU and memory of process trees; the one importer of psutil."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from slipway_local.pods.runtime import Usage


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds used so far, and bytes used now."""

    cpu_seconds: float
    memory: float


def read(roots: Iterable[int]) -> Reading:
    """Sum over processes and all their descendants; those that ended meanwhile count nothing."""
    cpu = memory = 0.0
    for root in roots:
        with contextlib.suppress(psutil.Error):
            top = psutil.Process(root)
            for process in [top, *top.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    cpu += times.user + times.system + times.children_user + times.children_system
                    memory += process.memory_info().rss
    return Reading(cpu, memory)


def usage_between(before: tuple[float, Reading], after: tuple[float, Reading]) -> Usage | None:
    """The rate between two (seconds, reading) pairs; None when they are too close to tell."""
    seconds = after[0] - before[0]
    if seconds <= 0:
        return None
    used = max(0.0, after[1].cpu_seconds - before[1].cpu_seconds)
    return Usage(used / seconds, after[1].memory)
