"""Zero-delay batching: what arrived while the model was busy shares the next run.

Nothing ever waits for company. A model cheaper than a thread switch runs on the loop itself, any
other on worker threads, so that the loop keeps reading, answering and probing meanwhile. Where runs
are short, a whole batch that waits is given to the workers ahead of time: they go from run to run
without asking. When requests have to be refused, the loop does so for many at a time.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from slipway_server.batch import Job, Outcome, run_together
from slipway_server.busy_poll import BusyPoll
from slipway_server.engine import Session
from slipway_server.errors import DeadlineExpired, Overloaded
from slipway_server.inline import Inline
from slipway_server.metrics import RunMetrics
from slipway_server.waiting import QueueLimits, Waiting, displaced

_LOOP_SHARE_SECONDS: Final = 0.005  # inline runs give the loop a turn after this time
# Runs of one row that take less: then a worker that has to ask the loop for each run waits for a
# good part of the time. Longer ones gain nothing, and the next turns are better decided late.
_SHORT_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How to run a model, learnt at warm-up.

    Attributes:
        max_rows: rows of one run; 1 means that requests never share a run.
        inline: whether a run is so short that it stays on the loop.
        instances: runs at once, where they are not on the loop.
        seconds: one run of one row took so long.
    """

    max_rows: int = 1
    inline: bool = False
    instances: int = 1
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    """What became of jobs that a worker was given; ``jobs`` are those that it ran."""

    given: list[Job]
    jobs: list[Job]
    outcomes: list[Outcome]
    start: float
    seconds: float


class Batcher:
    """Runs jobs of one session, connections in turns. Lives on the running event loop."""

    def __init__(
        self,
        session: Session,
        policy: BatchPolicy,
        *,
        limits: QueueLimits,
        metrics: RunMetrics | None = None,
        busy_poll: bool = False,
        pause: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin.

        Args:
            session: loaded.
            policy: how to run it.
            limits: of what waits.
            metrics: told of waits and runs.
            busy_poll: whether CPUs are to spare for looking for the next request.
            pause: seconds that the loop leaves its CPU to the workers after a refusal, at most.
            clock: of deadlines. Not the loop's own, whose steps are milliseconds with uvloop.
        """
        self._session = session
        self._outputs = session.outputs
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._metrics = metrics or RunMetrics()
        self._queue = Waiting(limits, together=policy.max_rows)
        self._running: list[list[Job]] = []  # what the workers have: runs, and what comes next
        is_short = 0.0 < policy.seconds < _SHORT_SECONDS
        self._places = policy.instances * (2 if is_short else 1)
        self._scheduled = False
        self._inbox: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._on_loop = Inline(policy.inline)
        self._busy_poll = BusyPoll(busy_poll)
        self._polling = False
        self._pause = pause
        self._pausing = False
        self._ended = threading.Event()  # a run, of which the loop does not know yet
        self._has_workers = False
        if not policy.inline:
            self._start_workers()

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    @property
    def policy(self) -> BatchPolicy:
        """How this model is run."""
        return self._policy

    def check_room(self, source: Hashable) -> None:
        """Refuse a request of ``source`` before any work is done for it.

        Raises:
            Overloaded: too many requests wait already.
        """
        try:
            self._queue.check(source)
        except Overloaded:
            self._refused()
            raise

    def submit(self, job: Job) -> None:
        """Take a job; its ``done`` is called later, unless it is cancelled.

        Raises:
            Overloaded: too many requests or bytes wait already.
        """
        now = job.since = self._clock()
        self._busy_poll.came(now)
        try:
            victim = self._queue.add(job)
        except Overloaded:
            self._refused()
            raise
        if not self._scheduled and self._has_place():
            self._scheduled = True
            self._loop.call_soon(self._tick)  # after this turn of the loop read all its sockets
        if victim is not None and victim.done is not None:
            self._answer(victim, displaced())

    def expire(self, now: float) -> None:
        """Answer every job whose deadline has passed, also one that runs."""
        running = [job for jobs in self._running for job in jobs]
        for job in (*self._queue, *running):
            if job.deadline <= now and job.done is not None:
                self._answer(job, _expired())
        self._queue.clear_dead()

    def close(self) -> None:
        """End the worker threads after their present runs."""
        for _ in range(self._policy.instances):
            self._inbox.put(None)

    def _tick(self) -> None:
        self._scheduled = False
        if not self._on_loop.stays:
            self._start()
            return
        start = now = self._clock()
        while jobs := self._take(now):
            outcomes = run_together(self._session.run, jobs, self._outputs)
            took = self._clock() - now
            self._note(jobs, now, took)
            self._on_loop.ran(took)
            if not self._on_loop.stays:
                self._start_workers()
            self._deliver(jobs, outcomes)
            now = self._clock()
            if not self._queue:
                self._rest(now)
                return
            if now - start > _LOOP_SHARE_SECONDS or not self._on_loop.stays:
                self._scheduled = True
                self._loop.call_soon(self._tick)
                return

    def _rest(self, now: float) -> None:
        """Nothing waits: let the loop sleep until the next request, or keep it awake."""
        if self._busy_poll.rests(now) and not self._polling:
            self._polling = True
            self._loop.call_soon(self._poll)

    def _poll(self) -> None:
        """Come back after the loop has looked at its sockets, which it does without sleeping."""
        self._polling = self._busy_poll.goes_on(self._clock())
        if self._polling:
            self._loop.call_soon(self._poll)

    def _refused(self) -> None:
        """No place is left, so the model is what everybody waits for: let it have the CPU.

        A loop that wakes up for each request it refuses takes more time of the model by the
        switches than by the refusals.
        """
        if self._pause and not self._pausing and not self._on_loop.stays:
            self._pausing = True
            self._loop.call_soon(self._rest_from_refusals)

    def _rest_from_refusals(self) -> None:
        """Stop the loop for a moment; sockets collect what comes. A run's end wakes it up."""
        self._pausing = False
        if self._running:
            self._ended.wait(self._pause)

    def _start_workers(self) -> None:
        """For models whose runs are no matter of the loop, which must answer probes meanwhile.

        Among them one that was cheap at warm-up and turns out to depend on its input.
        """
        if self._has_workers:
            return
        self._has_workers = True
        for _ in range(self._policy.instances):
            threading.Thread(target=self._work, name="model", daemon=True).start()

    def _has_place(self) -> bool:
        """Whether the workers take more: one of them is idle, or a whole batch waits."""
        busy, policy = len(self._running), self._policy
        return busy < policy.instances or (
            busy < self._places and len(self._queue) >= policy.max_rows
        )

    def _start(self) -> None:
        """Give what waits to idle workers in equal parts: two half batches at once beat a whole."""
        queue, instances = self._queue, self._policy.instances
        while queue and self._has_place():
            idle = instances - len(self._running)
            most = -(-len(queue) // idle) if idle > 0 else sys.maxsize
            jobs = self._take(self._clock(), most=most)
            if not jobs:
                return
            self._running.append(jobs)
            self._inbox.put(jobs)

    def _work(self) -> None:
        while jobs := self._inbox.get():
            outcomes: list[Outcome]
            start = self._clock()
            wanted = [job for job in jobs if job.done is not None]  # others expired meanwhile
            try:
                outcomes = run_together(self._session.run, wanted, self._outputs) if wanted else []
            except BaseException as error:  # noqa: BLE001 - top of a thread: the door reports it
                outcomes = [error] * len(wanted)
            run = _Run(jobs, wanted, outcomes, start, self._clock() - start)
            self._ended.set()
            try:
                self._loop.call_soon_threadsafe(self._finished, run)
            except RuntimeError:
                return  # the loop is closed: the process ends

    def _finished(self, run: "_Run") -> None:
        self._ended.clear()
        self._running = [others for others in self._running if others is not run.given]
        self._note(run.jobs, run.start, run.seconds)
        self._on_loop.ran(run.seconds)
        if not self._on_loop.stays:
            self._start()  # keep the model busy first, then write the answers
        elif self._queue and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._tick)
        self._deliver(run.jobs, run.outcomes)

    def _note(self, jobs: list[Job], start: float, seconds: float) -> None:
        """Count a run."""
        if not jobs:
            return
        metrics, rows = self._metrics, 0
        waited = metrics.queue.add
        for job in jobs:
            waited(start - job.since)
            rows += job.rows
        metrics.rows.add(rows)
        metrics.seconds.add(seconds)

    def _take(self, now: float, *, most: int = sys.maxsize) -> list[Job]:
        """The next jobs that share a run: the first, and at most so many of its key that fit."""
        queue, max_rows = self._queue, self._policy.max_rows
        taken: list[Job] = []
        skipped: list[Job] = []
        key, rows = None, 0
        while (job := queue.next()) is not None:
            if job.done is None or job.deadline <= now:
                if job.done is not None:
                    self._answer(job, _expired())
                continue
            if not taken:
                key = job.key
            elif job.key != key or rows + job.rows > max_rows:
                skipped.append(job)
                continue
            taken.append(job)
            rows += job.rows
            if key is None or rows >= max_rows or len(taken) >= most:
                break
        for job in reversed(skipped):
            queue.put_back(job)
        return taken

    def _deliver(self, jobs: list[Job], outcomes: list[Outcome]) -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.done is not None:
                self._answer(job, outcome)

    def _answer(self, job: Job, outcome: Outcome) -> None:
        done, job.done = job.done, None
        try:
            if done is not None:
                done(outcome)
        except Exception as error:  # noqa: BLE001 - a bug in one door must not lose the others' answers
            self._loop.call_exception_handler(
                {"message": "an answer could not be delivered", "exception": error}
            )


def _expired() -> DeadlineExpired:
    return DeadlineExpired("the deadline passed before the model answered")
