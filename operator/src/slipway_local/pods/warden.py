"""Outlives the cluster's process by a moment, to end what that one could not.

A container's own children are tied to nobody: when the cluster's process is killed outright, its
containers die with it, but not what these had started. This process waits until its standard
input closes, ends every process that carries the cluster's mark in its environment, and removes
the folder that may hold credentials. Run as a script with ``python -I -S``; arguments: the mark,
the folder.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

_ROUNDS = 50
_PAUSE_SECONDS = 0.02


def marked(mark: str) -> list[int]:
    """Ids of this user's living processes whose environment holds ``mark``."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # gone, or somebody else's
    return found


def end_marked(mark: str) -> int:
    """Kill them all, also those that are being started; returns how many were met."""
    met = set()
    for _ in range(_ROUNDS):
        alive = marked(mark)
        if not alive:
            break
        for process in alive:
            met.add(process)
            try:
                os.kill(process, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(_PAUSE_SECONDS)
    return len(met)


def main() -> None:
    """Wait, then clean up."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    mark, folder = sys.argv[1:3]
    while os.read(0, 1):
        continue
    end_marked(mark)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
