"""Requests to a batcher."""

import asyncio

from slipway_server.batch import Job, Outcome
from slipway_server.batcher import Batcher
from slipway_server.protocol.tensors import Array


class Waiter:
    """One request: submits, and awaits its answer."""

    def __init__(
        self, array: Array, *, key: object = (), deadline: float = 1e12, source: object = None
    ) -> None:
        self.answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.job = Job(
            {"x": array}, len(array), key, array.nbytes, deadline, self.answer.set_result, source
        )

    async def value(self) -> float:
        outcome = await self.answer
        assert isinstance(outcome, list), outcome
        return float(outcome[0][0, 0])


def submitted(target: Batcher, *waiters: Waiter) -> tuple[Waiter, ...]:
    for waiter in waiters:
        target.submit(waiter.job)
    return waiters
