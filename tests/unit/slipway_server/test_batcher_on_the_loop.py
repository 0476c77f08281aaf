"""Which runs stay on the event loop, and whether it sleeps between them."""

import asyncio
import threading
from collections.abc import Mapping

import pytest

from slipway_server.batcher import Batcher, BatchPolicy
from slipway_server.metrics import RunMetrics
from slipway_server.protocol.tensors import Array
from slipway_server.waiting import QueueLimits
from tests.support.tensors import FakeSession, double, rows
from tests.support.waiters import Waiter, submitted


class Clock:
    """A clock that only the model moves; slow on nines, and far slower on eights."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looked = 0

    def __call__(self) -> float:
        self.looked += 1
        return self.now

    def model(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.now += {9.0: 0.025, 8.0: 0.26}.get(float(feeds["x"][0, 0]), 0.0)
        return double(feeds)


async def runs_on_the_loop(*values: int) -> list[bool]:
    """Which runs were on the loop."""
    threads: list[threading.Thread] = []
    clock = Clock()

    def noted(feeds: Mapping[str, Array]) -> list[Array]:
        threads.append(threading.current_thread())
        return clock.model(feeds)

    policy = BatchPolicy(max_rows=1, inline=True)
    target = Batcher(FakeSession(noted), policy, limits=QueueLimits(), clock=clock)
    for value in values:
        (waiter,) = submitted(target, Waiter(rows(value)))
        assert await waiter.value() == 2 * value
    target.close()
    return [thread is threading.main_thread() for thread in threads]


@pytest.mark.parametrize("inline", [True, False])
async def test_waits_runs_and_their_rows_are_counted(inline: bool) -> None:
    clock, metrics = Clock(), RunMetrics()
    target = Batcher(
        FakeSession(clock.model),
        BatchPolicy(max_rows=2, inline=inline),
        limits=QueueLimits(),
        metrics=metrics,
        clock=clock,
    )
    waiters = submitted(target, *(Waiter(rows(9)) for _ in range(3)))
    waiters += submitted(target, Waiter(rows(9), deadline=-1.0))  # comes to no run
    for waiter in waiters:
        await waiter.answer
    target.close()
    assert metrics.seconds.count == metrics.rows.count == 2
    assert metrics.seconds.total == pytest.approx(0.05)
    assert (metrics.rows.total, metrics.queue.count) == (3, 3)
    assert metrics.queue.total == pytest.approx(0.025)  # of the one that had to wait


async def test_a_model_that_turns_out_slow_leaves_the_loop() -> None:
    assert await runs_on_the_loop(1, 9, 9, 9, 1, 9) == [True, True, True, True, False, False]


async def test_a_run_longer_than_any_pause_is_the_last_one_on_the_loop() -> None:
    assert await runs_on_the_loop(1, 8, 1) == [True, True, False]


async def test_a_model_that_was_only_held_up_comes_back_to_the_loop() -> None:
    places = await runs_on_the_loop(8, *[1] * 52)
    assert places == [True] + [False] * 50 + [True] * 2


async def test_what_waits_when_a_model_comes_back_is_run() -> None:
    clock = Clock()
    policy = BatchPolicy(max_rows=1, inline=True)
    target = Batcher(FakeSession(clock.model), policy, limits=QueueLimits(), clock=clock)
    waiters = submitted(target, Waiter(rows(8)), *(Waiter(rows(1)) for _ in range(60)))
    assert [await waiter.value() for waiter in waiters] == [16] + [2] * 60
    target.close()


async def test_a_pause_of_the_process_is_no_fault_of_the_model() -> None:
    assert await runs_on_the_loop(9, 1, 9, 9, 1, 9, 1) == [True] * 7


@pytest.mark.parametrize(("spare", "looks"), [(True, 7), (False, 0)])
async def test_the_loop_looks_again_for_a_client_that_asks_at_once(spare: bool, looks: int) -> None:
    clock, quick = Clock(), BatchPolicy(inline=True)
    session, limits = FakeSession(double), QueueLimits()
    target = Batcher(session, quick, limits=limits, busy_poll=spare, clock=clock)
    for _ in range(5):
        (waiter,) = submitted(target, Waiter(rows(1)))
        await waiter.value()
    looked = clock.looked
    for _ in range(7):
        clock.now += 25e-6
        await asyncio.sleep(0)
    assert clock.looked - looked == looks
    clock.now += 1.0
    await asyncio.sleep(0)
    looked = clock.looked
    await asyncio.sleep(0)
    assert clock.looked == looked  # and sleeps then
