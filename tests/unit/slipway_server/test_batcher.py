import asyncio
import threading
from collections.abc import Mapping

import numpy as np
import pytest

from slipway_server.batcher import Batcher, BatchPolicy
from slipway_server.dataplane import Dataplane, cancel
from slipway_server.errors import DeadlineExpired, Overloaded
from slipway_server.protocol.tensors import Array, InferRequest, TensorSpec
from slipway_server.waiting import QueueLimits
from tests.support.tensors import FakeSession, double, rows, signature
from tests.support.waiters import Waiter, submitted

INLINE = BatchPolicy(max_rows=8, inline=True)
THREAD = BatchPolicy(max_rows=8)


class Gate:
    """A model whose runs wait until they are let through."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def __call__(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.started.release()
        assert self.let.acquire(timeout=30)
        return double(feeds)

    async def running(self) -> None:
        assert await asyncio.get_running_loop().run_in_executor(
            None, lambda: self.started.acquire(timeout=30)
        )


def batcher(
    session: FakeSession, policy: BatchPolicy, limits: QueueLimits | None = None
) -> Batcher:
    return Batcher(session, policy, limits=limits or QueueLimits())


@pytest.mark.parametrize("policy", [INLINE, THREAD])
async def test_requests_of_one_turn_of_the_loop_share_a_run(policy: BatchPolicy) -> None:
    session = FakeSession(double)
    waiters = submitted(batcher(session, policy), *(Waiter(rows(n)) for n in range(5)))
    assert [await waiter.value() for waiter in waiters] == [0, 2, 4, 6, 8]
    assert session.runs == [5]


async def test_what_arrives_while_the_model_is_busy_shares_the_next_run() -> None:
    gate = Gate()
    session = FakeSession(gate)
    target = batcher(session, THREAD)
    first = submitted(target, Waiter(rows(1)))
    await gate.running()
    later = submitted(target, *(Waiter(rows(n)) for n in (2, 3, 4)))
    assert target.queued == 3
    gate.let.release(2)
    assert [await waiter.value() for waiter in (*first, *later)] == [2, 4, 6, 8]
    assert session.runs == [1, 3]
    target.close()


async def test_a_run_takes_no_more_rows_than_are_useful() -> None:
    session = FakeSession(double)
    target = batcher(session, BatchPolicy(max_rows=4, inline=True))
    sizes = (3, 2, 1, 9, 4)
    waiters = submitted(target, *(Waiter(rows(*[1.0] * size)) for size in sizes))
    for waiter in waiters:
        await waiter.value()
    # The row of one fills the first run up; nine rows of one request are never cut.
    assert session.runs == [4, 2, 9, 4]


async def test_only_equal_keys_share_a_run_and_none_shares_with_nobody() -> None:
    session = FakeSession(double)
    keys = ("a", "b", "a", None, None, "b")
    waiters = submitted(batcher(session, INLINE), *(Waiter(rows(1), key=key) for key in keys))
    for waiter in waiters:
        await waiter.value()
    assert session.runs == [2, 2, 1, 1]


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gate = Gate()
    target = batcher(FakeSession(gate), THREAD, QueueLimits(requests=2))
    waiters = submitted(target, Waiter(rows(1)))
    await gate.running()
    waiters += submitted(target, Waiter(rows(2)), Waiter(rows(3)))
    with pytest.raises(Overloaded, match="2 requests wait already") as caught:
        target.submit(Waiter(rows(4)).job)
    assert caught.value.retry_after == 1.0
    gate.let.release(2)
    assert [await waiter.value() for waiter in waiters] == [2, 4, 6]
    submitted(target, last := Waiter(rows(5)))
    gate.let.release()
    assert await last.value() == 10


@pytest.mark.parametrize("early", [True, False])
async def test_after_a_refusal_the_loop_rests_until_a_run_ends(early: bool) -> None:
    gate, passed, told = Gate(), threading.Event(), list[str]()

    def model(feeds: Mapping[str, Array]) -> list[Array]:
        answer = gate(feeds)
        told.append("run ended")
        return answer

    def loop_goes_on() -> None:
        told.append("loop goes on")
        passed.set()

    def let_unless_loop_goes_on() -> None:
        passed.wait(timeout=0.05)
        gate.let.release(2)

    limits = QueueLimits(requests=1)
    target = Batcher(FakeSession(model), BatchPolicy(), limits=limits, pause=30.0)
    waiters = submitted(target, Waiter(rows(1)))
    await gate.running()
    waiters += submitted(target, Waiter(rows(2)))
    with pytest.raises(Overloaded):
        target.check_room(None) if early else target.submit(Waiter(rows(3)).job)
    asyncio.get_running_loop().call_soon(loop_goes_on)
    threading.Thread(target=let_unless_loop_goes_on).start()
    assert [await waiter.value() for waiter in waiters] == [2, 4]
    assert told[0] == "run ended"
    target.close()


async def test_a_greedy_connection_waits_behind_itself_and_gives_places_back() -> None:
    gate = Gate()
    target = batcher(FakeSession(gate), BatchPolicy(), QueueLimits(requests=4))
    greedy = submitted(target, *(Waiter(rows(n), source="greedy") for n in range(4)))
    await gate.running()
    target.check_room("greedy")
    greedy += submitted(target, Waiter(rows(4), source="greedy"))
    with pytest.raises(Overloaded):
        target.check_room("greedy")
    (polite,) = submitted(target, Waiter(rows(10), source="polite"))
    assert isinstance(await greedy[4].answer, Overloaded)
    gate.let.release(3)  # the run that was under way, a turn of the greedy one's, its own
    assert await polite.value() == 20
    assert [waiter.answer.done() for waiter in greedy] == [True, True, False, False, True]
    gate.let.release(2)
    assert [await waiter.value() for waiter in greedy[:4]] == [0, 2, 4, 6]


async def test_several_instances_run_at_once_and_share_what_waits() -> None:
    gate = Gate()
    session = FakeSession(gate)
    target = batcher(session, BatchPolicy(max_rows=8, instances=2))
    first = submitted(target, *(Waiter(rows(n)) for n in range(5)))
    for _ in range(2):
        await gate.running()
    later = submitted(target, *(Waiter(rows(n)) for n in range(5, 11)))
    assert (target.queued, sorted(session.runs)) == (6, [2, 3])
    gate.let.release()
    await gate.running()  # one is free: it takes all that waits
    assert (target.queued, session.runs[2:]) == (0, [6])
    gate.let.release(2)
    assert [await waiter.value() for waiter in (*first, *later)] == [2 * n for n in range(11)]
    target.close()


async def test_a_whole_batch_is_given_ahead_where_runs_are_short() -> None:
    gate = Gate()
    session = FakeSession(gate)
    target = batcher(session, BatchPolicy(max_rows=2, seconds=0.001))
    waiters = submitted(target, Waiter(rows(0)))
    await gate.running()
    waiters += submitted(target, *(Waiter(rows(n)) for n in range(1, 6)))
    await asyncio.sleep(0)
    assert (target.queued, session.runs) == (3, [1])  # two are with the worker
    gate.let.release(4)
    assert [await waiter.value() for waiter in waiters] == [0, 2, 4, 6, 8, 10]
    assert session.runs == [1, 2, 2, 1]
    target.close()


async def test_less_than_a_batch_waits_for_more_while_the_model_is_busy() -> None:
    gate = Gate()
    session = FakeSession(gate)
    target = batcher(session, BatchPolicy(max_rows=2, seconds=0.001))
    waiters = submitted(target, Waiter(rows(0)))
    await gate.running()
    waiters += submitted(target, Waiter(rows(1)))
    await asyncio.sleep(0)
    waiters += submitted(target, Waiter(rows(2)))
    gate.let.release(2)
    assert [await waiter.value() for waiter in waiters] == [0, 2, 4]
    assert session.runs == [1, 2]
    target.close()


async def test_what_was_given_ahead_and_is_not_wanted_any_more_costs_no_run() -> None:
    gate = Gate()
    session = FakeSession(gate)
    target = batcher(session, BatchPolicy(seconds=0.001))
    first, left, late, last = submitted(
        target, Waiter(rows(0)), Waiter(rows(1)), Waiter(rows(2), deadline=5e11), Waiter(rows(3))
    )
    await gate.running()
    cancel(left.job)
    target.expire(5e11)
    assert isinstance(await late.answer, DeadlineExpired)
    gate.let.release(2)
    assert [await waiter.value() for waiter in (first, last)] == [0, 6]
    assert session.runs == [1, 1]
    assert not left.answer.done()
    target.close()


async def test_bytes_are_bounded_as_well() -> None:
    target = batcher(FakeSession(double), INLINE, QueueLimits(size=20))
    submitted(target, first := Waiter(rows(1, 2)))  # 16 bytes
    with pytest.raises(Overloaded):
        target.submit(Waiter(rows(1)).job)
    await first.value()
    submitted(target, second := Waiter(rows(1)))
    assert await second.value() == 2


async def test_an_expired_request_costs_no_run() -> None:
    session = FakeSession(double)
    now = asyncio.get_running_loop().time()
    late, timely = submitted(
        batcher(session, INLINE), Waiter(rows(1), deadline=now - 1), Waiter(rows(2))
    )
    assert await timely.value() == 4
    assert isinstance(await late.answer, DeadlineExpired)
    assert session.runs == [1]


async def test_a_request_that_runs_too_long_is_answered_at_its_deadline() -> None:
    gate = Gate()
    target = batcher(FakeSession(gate), THREAD)
    running, queued, patient = submitted(
        target, Waiter(rows(1), deadline=5e11), Waiter(rows(2), deadline=5e11), Waiter(rows(3))
    )
    await gate.running()
    target.expire(5e11)
    assert isinstance(await running.answer, DeadlineExpired)
    assert isinstance(await queued.answer, DeadlineExpired)
    gate.let.release(2)
    assert await patient.value() == 6


async def test_a_client_that_left_harms_nobody_in_its_batch() -> None:
    gate = Gate()
    session = FakeSession(gate)
    target = batcher(session, THREAD)
    first = submitted(target, Waiter(rows(1)), Waiter(rows(2)))
    await gate.running()
    later = submitted(target, Waiter(rows(3)), Waiter(rows(4)))
    cancel(first[0].job)  # while it runs
    cancel(later[0].job)  # while it waits
    gate.let.release(2)
    assert [await waiter.value() for waiter in (first[1], later[1])] == [4, 8]
    assert not first[0].answer.done()
    assert session.runs == [2, 1]


async def test_an_answer_that_cannot_be_delivered_loses_no_other() -> None:
    loop = asyncio.get_running_loop()
    problems: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    broken, fine = Waiter(rows(1)), Waiter(rows(2))
    nothing: dict[str, None] = {}
    broken.job.done = lambda _: nothing["bug"]
    submitted(batcher(FakeSession(double), INLINE), broken, fine)
    assert await fine.value() == 4
    assert isinstance(problems[0]["exception"], KeyError)


async def test_a_bug_in_the_worker_reaches_the_door() -> None:
    def broken(_: Mapping[str, Array]) -> list[Array]:
        raise ZeroDivisionError

    target = batcher(FakeSession(broken), THREAD)
    (waiter,) = submitted(target, Waiter(rows(1)))
    assert isinstance(await waiter.answer, ZeroDivisionError)


@pytest.mark.parametrize(
    ("shapes", "runs"),
    [
        (((1, 3), (2, 3)), [3]),  # equal but for rows
        (((1, 3), (1, 4)), [1, 1]),  # other shapes never meet
    ],
)
async def test_the_dataplane_joins_requests_of_one_shape(
    shapes: tuple[tuple[int, int], ...], runs: list[int]
) -> None:
    spec = TensorSpec("x", "FP32", (-1, -1))
    session = FakeSession(double, inputs=(spec,), outputs=(TensorSpec("y", "FP32", (-1, -1)),))
    plane = Dataplane(
        signature(inputs=session.inputs, outputs=session.outputs),
        batcher(session, INLINE),
        timeout=30,
    )
    now = asyncio.get_running_loop().time()
    answers = []
    for shape in shapes:
        answer = asyncio.get_running_loop().create_future()
        plane.infer(InferRequest({"x": np.ones(shape, np.float32)}), now, answer.set_result)
        answers.append(answer)
    for shape, answer in zip(shapes, answers, strict=True):
        assert (await answer)[0].shape == shape
    assert session.runs == runs


async def test_inputs_that_differ_in_rows_run_alone() -> None:
    specs = (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("z", "FP32", (-1, 2)))
    session = FakeSession(double, inputs=specs)
    plane = Dataplane(signature(inputs=specs), batcher(session, INLINE), timeout=30)
    answers = []
    for _ in range(2):
        answer = asyncio.get_running_loop().create_future()
        feeds = {"x": rows(1), "z": rows(1, 2)}
        plane.infer(InferRequest(feeds), asyncio.get_running_loop().time(), answer.set_result)
        answers.append(answer)
    for answer in answers:
        await answer
    assert session.runs == [1, 1]
