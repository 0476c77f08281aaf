"""A keyed work queue: deduplicated, delayed, one worker a key at a time."""

import asyncio
import heapq
from collections.abc import Callable

from slipway_operator.kube.store import Key


class Queue:
    """Keys to look at. Adding a key that runs makes it run once more afterwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._running: set[Key] = set()
        self._count = 0
        self._wake = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Look at ``key`` in ``delay`` seconds, or sooner if that was asked already."""
        due = self._clock() + delay
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._wake.set()

    def forget(self, key: Key) -> None:
        """No longer look at it."""
        self._due.pop(key, None)

    def pop(self) -> Key | None:
        """The next key that is due and not running, if any; it is running from now."""
        held: list[tuple[float, int, Key]] = []
        found = None
        while self._heap and self._heap[0][0] <= self._clock():
            entry = heapq.heappop(self._heap)
            due, _, key = entry
            if self._due.get(key) != due:
                continue
            if key in self._running:
                held.append(entry)
                continue
            del self._due[key]
            self._running.add(key)
            found = key
            break
        for entry in held:
            heapq.heappush(self._heap, entry)
        return found

    def done(self, key: Key) -> None:
        """The worker is through with it."""
        self._running.discard(key)
        self._wake.set()

    async def get(self) -> Key:
        """Wait for the next key."""
        while True:
            key = self.pop()
            if key is not None:
                return key
            self._wake.clear()
            wait = self._next_wait()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    def next_due(self) -> float | None:
        """When the next key is due, by the clock."""
        return min(self._due.values(), default=None)

    def __len__(self) -> int:
        return len(self._due)

    def oldest(self) -> float:
        """Seconds that the longest waiting due key has waited."""
        now = self._clock()
        return max((now - due for due in self._due.values() if due <= now), default=0.0)

    def _next_wait(self) -> float | None:
        waiting = [due for key, due in self._due.items() if key not in self._running]
        return max(0.0, min(waiting) - self._clock()) if waiting else None
