"""A server as a tree of processes: its start, its CPU time, its memory, its end."""

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_READY_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready.

    Attributes:
        ready_seconds: from the start of its process.
    """

    process: psutil.Process
    ready_seconds: float

    def cpu_seconds(self) -> float:
        """Of the whole tree so far."""
        total = 0.0
        for process in _tree(self.process):
            with suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Run only where nothing else wants to: some servers are busy without a request.

        They are not stopped, because some end when they were.
        """
        _schedule(self.process, os.SCHED_IDLE)
        try:
            yield
        finally:
            _schedule(self.process, os.SCHED_OTHER)

    def memory_megabytes(self) -> float:
        """What the tree would hold alone on a machine: what its processes share counts once.

        The proportional set size leaves a part of each library to whoever else maps it, so a
        server that was read beside another of its kind, or beside this benchmark, seemed smaller.
        """
        private = shared = 0
        for process in _tree(self.process):
            with suppress(psutil.Error, OSError):
                memory = process.memory_full_info()
                private += memory.uss
                shared = max(shared, memory.rss - memory.uss)
        return (private + shared) / 1e6


@contextmanager
def running(command: list[str], *, env: dict[str, str], ready: str, log: Path) -> Iterator[Running]:
    """Start a server, wait until ``ready`` answers 200, and end its whole tree at the end.

    Raises:
        SystemExit: it does not become ready.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        started = subprocess.Popen(
            command, env=os.environ | env, stdout=output, stderr=output, start_new_session=True
        )
    process = psutil.Process(started.pid)
    try:
        while not _answers(ready):
            if started.poll() is not None or time.perf_counter() - began > _READY_SECONDS:
                tail = log.read_text(errors="replace")[-1500:]
                raise SystemExit(f"{command[0]} did not become ready:\n{tail}")
            time.sleep(0.005)
        yield Running(process, time.perf_counter() - began)
    finally:
        _end(started, _tree(process))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _schedule(process: psutil.Process, policy: int) -> None:
    """All threads of a tree."""
    for each in _tree(process):
        with suppress(psutil.Error):
            for thread in each.threads():
                with suppress(ProcessLookupError):
                    os.sched_setscheduler(thread.id, policy, os.sched_param(0))


def _end(started: "subprocess.Popen[bytes]", tree: list[psutil.Process]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        started.wait(10)
    for process in tree:
        with suppress(psutil.Error):
            process.kill()
    started.wait(10)
