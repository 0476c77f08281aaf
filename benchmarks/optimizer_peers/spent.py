"""What a program costs: time, CPU time and memory."""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Of a program and those that it started and waited for.

    Attributes:
        cpu_seconds: of all of them together.
        peak_bytes: resident, of the largest of them.
    """

    code: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(command: list[str], env: Mapping[str, str] | None = None) -> Spent:
    """Run to the end; what it prints is not shown, what it complains of is."""
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Spent(
        code=child.returncode,
        seconds=time.monotonic() - began,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * 1024,
    )
