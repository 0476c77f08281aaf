import asyncio

from slipway_operator.control.queue import Queue
from tests.support import virtual_loop

A, B, C = ("default", "a"), ("default", "b"), ("default", "c")


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_waits_once_however_often_it_is_added() -> None:
    queue = Queue(Time())
    for _ in range(3):
        queue.add(A)
    assert (len(queue), queue.pop(), queue.pop(), len(queue)) == (1, A, None, 0)


def test_the_soonest_time_counts() -> None:
    time = Time()
    queue = Queue(time)
    queue.add(A, 10)
    queue.add(A, 2)
    queue.add(A, 30)
    assert (queue.pop(), queue.next_due()) == (None, 2)
    time.now = 2
    assert queue.pop() == A
    queue.done(A)
    time.now = 100
    assert queue.pop() is None


def test_first_due_first_served() -> None:
    time = Time()
    queue = Queue(time)
    queue.add(A, 3)
    queue.add(B, 1)
    queue.add(C, 1)
    time.now = 5
    assert [queue.pop(), queue.pop(), queue.pop()] == [B, C, A]


def test_one_worker_a_key_and_one_more_look_for_what_came_meanwhile() -> None:
    queue = Queue(Time())
    queue.add(A)
    assert queue.pop() == A
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert (queue.pop(), queue.pop()) == (B, None)
    queue.done(A)
    assert (queue.pop(), queue.pop()) == (A, None)


def test_what_is_forgotten_is_not_looked_at() -> None:
    queue = Queue(Time())
    queue.add(A)
    queue.forget(A)
    assert (queue.pop(), len(queue), queue.next_due()) == (None, 0, None)


def test_the_oldest_is_of_those_that_are_due() -> None:
    time = Time()
    queue = Queue(time)
    assert queue.oldest() == 0.0
    queue.add(A)
    queue.add(B, 100)
    time.now = 7
    assert queue.oldest() == 7


def test_workers_wait_for_the_time_and_for_each_other() -> None:
    async def story() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        queue, began, seen = Queue(loop.time), loop.time(), list[tuple[str, float]]()

        async def work() -> None:
            while True:
                key = await queue.get()
                seen.append((key[1], round(loop.time() - began, 2)))
                await asyncio.sleep(5)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(3)]
        queue.add(A, 10)
        queue.add(B)
        await asyncio.sleep(1)
        queue.add(B)  # runs until 5
        queue.add(C, 1)
        await asyncio.sleep(30)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        return seen

    assert virtual_loop.run(story) == [("b", 0.0), ("c", 2.0), ("b", 5.0), ("a", 10.0)]
