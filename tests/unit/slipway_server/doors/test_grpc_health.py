import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from slipway_server.dataplane import Dataplane
from slipway_server.doors.grpc import GrpcDoor
from slipway_server.protocol.pb import health_pb2 as health
from slipway_server.state import Identity, State
from slipway_server.transport.rpc import RpcRefused

PLANE = cast("Dataplane", object())  # whether it is there is all that is asked
Status = health.HealthCheckResponse


def served(*names: str) -> tuple[State, GrpcDoor]:
    state = State([Identity(name, "r1") for name in names])
    return state, GrpcDoor(state, clock=lambda: 0.0)


class Watcher:
    """A client that watches one service."""

    def __init__(self, door: GrpcDoor, service: str = "") -> None:
        self.ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (watch,) = door.watches().values()
        request = health.HealthCheckRequest(service=service).SerializeToString()
        self._answers: AsyncIterator[bytes] = watch(request, ending=self.ending)

    async def next(self) -> int:
        """The next status that it is told."""
        return health.HealthCheckResponse.FromString(await anext(self._answers)).status


async def test_each_change_is_told_once_and_what_changes_nothing_is_not() -> None:
    state, door = served("a", "b")
    whole, one = Watcher(door), Watcher(door, "a")
    assert [await whole.next(), await one.next()] == [Status.NOT_SERVING] * 2
    first, second = state.models
    telling = asyncio.ensure_future(whole.next())
    state.open(first, PLANE)
    assert await one.next() == Status.SERVING
    assert not telling.done()  # the other model is not there yet
    state.open(second, PLANE)
    assert await telling == Status.SERVING
    state.drain()
    assert [await whole.next(), await one.next()] == [Status.NOT_SERVING] * 2


async def test_a_service_that_is_not_there_is_unknown_and_the_call_goes_on() -> None:
    state, door = served("a")
    watcher = Watcher(door, "other")
    assert await watcher.next() == Status.SERVICE_UNKNOWN
    state.drain()
    watcher.ending.set_result(None)
    with pytest.raises(RpcRefused, match="watch on another one") as caught:
        await watcher.next()
    assert caught.value.code == "UNAVAILABLE"


async def test_bytes_that_are_no_request_are_refused() -> None:
    _, door = served("a")
    (watch,) = door.watches().values()
    with pytest.raises(RpcRefused, match="not a HealthCheckRequest"):
        await anext(watch(b"\xff", ending=asyncio.get_running_loop().create_future()))
