"""Remembering one process across commands, so that a reused number is never mistaken for it."""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.shell import Failure


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its number, and when it started in clock ticks since boot."""

    pid: int
    started: int


def record(state: Path, process: Process) -> None:
    """Notes a cluster's first process."""
    unfinished = state / "process.json.part"
    unfinished.write_text(json.dumps(asdict(process)))
    unfinished.rename(state / "process.json")


def recorded(state: Path) -> Process | None:
    """Returns a cluster's first process if it still runs."""
    path = state / "process.json"
    if not path.is_file():
        return None
    process = Process(**json.loads(path.read_text()))
    return process if _started(process.pid) == process.started else None


def only_child(pid: int) -> Process:
    """Waits for the one child that a process forks, and returns it.

    Raises:
        Failure: The process ended without one.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            numbers = children.read_text().split()
        except OSError:
            break
        started = _started(int(numbers[0])) if numbers else None
        if started is not None:
            return Process(int(numbers[0]), started)
        time.sleep(0.01)
    raise Failure("No namespaces can be made here: `unshare` ended at once. Is this user allowed?")


def kill(process: Process) -> None:
    """Kills a process and waits until it is gone; for process 1 of a namespace that means all."""
    deadline = time.monotonic() + 30
    while _started(process.pid) == process.started:
        if time.monotonic() > deadline:
            raise Failure(f"Process {process.pid} does not end.")
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.02)


def _started(pid: int) -> int | None:
    """Returns when a process started, or nothing if it ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])
