"""How the CPUs of a limit are shared out: threads of one run, and runs at once.

Threads make one run shorter, runs at once make more of them. Which is better depends on the model
and the machine, so both are timed: see docs/decisions/0016-threads-or-instances.md.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slipway.errors import SlipwayError
from slipway_server import warmup
from slipway_server.engine import Session
from slipway_server.warmup import Clock, Feeds

_WORTH: Final = 0.75  # threads need do so much of what instances do: a lone request gains by them
_ROWS: Final = 8
_TIMED_SECONDS: Final = 0.1  # of each candidate, and at least two runs of each instance
_BUDGET_SECONDS: Final = 1.5  # of all candidates, their loading included
_LONG_SECONDS: Final = 0.1  # rows that take longer together are too dear to time
SLOW_SECONDS: Final = 0.25  # a model whose single run takes longer gets all threads, untimed


@dataclass(frozen=True, slots=True)
class Arrangement:
    """``threads`` of one run, and ``instances``: runs at once."""

    threads: int = 1
    instances: int = 1


def candidates(cpus: int) -> list[Arrangement]:
    """All ways to use every CPU, the extremes first."""
    threads = [count for count in range(1, cpus + 1) if cpus % count == 0]
    ordered = sorted(threads, key=lambda count: (count not in (1, cpus), -count))
    return [Arrangement(count, cpus // count) for count in ordered]


def choose(rates: Mapping[Arrangement, float]) -> Arrangement:
    """The one with most threads of those that waste little: it answers a lone request soonest.

    Args:
        rates: runs per second of each, all CPUs busy; at least one.
    """
    enough = _WORTH * max(rates.values())
    return max((one for one in rates if rates[one] >= enough), key=lambda one: one.threads)


Measure = Callable[[Session, Feeds, int], float]


def learn(
    load: Callable[[int], Session], rows: Sequence[Feeds], *, cpus: int, clock: Clock,
    measure: Measure,
) -> Arrangement:  # fmt: skip
    """Time the candidates as long as the budget lasts, and choose.

    Args:
        load: a session with so many threads, warm.
        rows: feeds of one row that work.
        cpus: to be used.
        clock: seconds, monotonic.
        measure: runs per second of a session with so many runs of these feeds at once.

    Raises:
        Invalid: the model cannot be loaded.
    """
    start, rates = clock(), dict[Arrangement, float]()
    feeds: Feeds | None = None
    for one in candidates(cpus) * 2:  # what disturbs a measurement disturbs the next one less
        if rates and clock() - start > _BUDGET_SECONDS:
            break
        session = load(one.threads)
        feeds = feeds or _typical(session, rows, clock)
        rates[one] = max(rates.get(one, 0.0), measure(session, feeds, one.instances))
    return choose(rates)


def _typical(session: Session, rows: Sequence[Feeds], clock: Clock) -> Feeds:
    """What a busy server runs: some rows together, where the model takes them and is not slow."""
    if warmup.can_batch(session.inputs, session.outputs):
        feeds = warmup.joined(rows, _ROWS)
        start = clock()
        try:
            session.run(feeds)
        except SlipwayError:
            return rows[0]
        if clock() - start < _LONG_SECONDS:
            return feeds
    return rows[0]


def rate(session: Session, feeds: Feeds, instances: int, *, clock: Clock) -> float:
    """Runs per second of a session with ``instances`` runs at once, on threads of their own."""
    counts = [0] * instances
    start = clock()

    def work(place: int) -> None:
        while counts[place] < 2 or clock() - start < _TIMED_SECONDS:
            session.run(feeds)
            counts[place] += 1

    workers = [threading.Thread(target=work, args=(place,)) for place in range(1, instances)]
    for worker in workers:
        worker.start()
    work(0)
    for worker in workers:
        worker.join()
    return sum(counts) / (clock() - start)
