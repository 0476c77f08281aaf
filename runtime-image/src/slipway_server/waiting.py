"""What waits for a model, and whose turn it is. Pure.

Connections take turns: one that sends a thousand calls at once waits behind itself, not before
everybody else. As long as there is room, it may use all of it; when there is none, who has less
than its share gets it from who has most.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import chain

from slipway_server.batch import Job
from slipway_server.errors import Overloaded


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """How much may wait: requests, and bytes of them."""

    requests: int = 256
    size: int = 256 << 20


class Waiting:
    """Jobs in the order in which they will run.

    Sorting by connection costs more than all the rest, so it is done only when it matters: when
    more waits than one run takes.
    """

    __slots__ = ("_count", "_fresh", "_lanes", "_limits", "_size", "_together")

    def __init__(self, limits: QueueLimits, *, together: int = 1) -> None:
        """Begin.

        Args:
            limits: of what waits.
            together: jobs that one run takes.
        """
        self._limits = limits
        self._together = together
        self._fresh: deque[Job] = deque()  # as they came, not yet in a lane
        self._lanes: OrderedDict[Hashable, deque[Job]] = OrderedDict()  # the next one first
        self._count = 0
        self._size = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Job]:
        """All of them, in no order."""
        return chain(*self._lanes.values(), self._fresh)

    def check(self, source: Hashable) -> None:
        """Refuse early what ``add`` would refuse: before its body is decoded.

        Raises:
            Overloaded: no place is left, and ``source`` has its share of them.
        """
        if self._count >= self._limits.requests and not self._is_owed(source):
            raise _refusal(self._count)

    def add(self, job: Job) -> Job | None:
        """Let a job wait.

        Returns:
            A job that has to go for it; it waits no more.

        Raises:
            Overloaded: too many requests or bytes wait already.
        """
        if self._size + job.size > self._limits.size:
            raise _refusal(self._count)
        victim = None
        if self._count >= self._limits.requests:
            if not self._is_owed(job.source):
                raise _refusal(self._count)
            victim = max(self._lanes.values(), key=len).pop()
            self._count -= 1
            self._size -= victim.size
        self._fresh.append(job)
        self._count += 1
        self._size += job.size
        return victim

    def next(self) -> Job | None:
        """Take the job whose turn it is."""
        fresh, lanes = self._fresh, self._lanes
        if not lanes and len(fresh) <= self._together:
            if not fresh:
                return None
            job = fresh.popleft()
        else:
            if fresh:
                self._sort()
            source, lane = lanes.popitem(last=False)
            job = lane.popleft()
            if lane:
                lanes[source] = lane  # behind everybody else
        self._count -= 1
        self._size -= job.size
        return job

    def put_back(self, job: Job) -> None:
        """Let a job that was taken be the next one again."""
        lane = self._lanes.get(job.source)
        if lane is None:
            lane = self._lanes[job.source] = deque()
        lane.appendleft(job)
        self._lanes.move_to_end(job.source, last=False)
        self._count += 1
        self._size += job.size

    def clear_dead(self) -> None:
        """Drop jobs that nobody waits for: they would keep others out."""
        dead = [job for job in self if job.done is None]
        if not dead:
            return
        self._sort()
        for job in dead:
            lane = self._lanes[job.source]
            lane.remove(job)
            if not lane:
                del self._lanes[job.source]
            self._count -= 1
            self._size -= job.size

    def _is_owed(self, source: Hashable) -> bool:
        """Whether ``source`` has less than its share; then another one has more than that."""
        self._sort()
        lane = self._lanes.get(source)
        own, others = (0, len(self._lanes)) if lane is None else (len(lane), len(self._lanes) - 1)
        return own < self._limits.requests // (others + 1)

    def _sort(self) -> None:
        lanes = self._lanes
        for job in self._fresh:
            lane = lanes.get(job.source)
            if lane is None:
                lanes[job.source] = deque((job,))
            else:
                lane.append(job)
        self._fresh.clear()


def _refusal(count: int) -> Overloaded:
    return Overloaded(
        f"{count} requests wait already: retry later or add replicas", retry_after=1.0
    )


def displaced() -> Overloaded:
    """What a job is told that had to go for another connection's."""
    return Overloaded(
        "the queue is full and other connections have less of it: retry later or add replicas",
        retry_after=1.0,
    )
