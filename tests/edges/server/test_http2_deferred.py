"""Methods without a task: each call is answered once, and told once when nobody waits any more."""

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio
import pytest

from slipway_server.transport.grpc_aio import GrpcAioServer
from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.frames import Code
from slipway_server.transport.rpc import GrpcLimits
from tests.support import h2
from tests.support.rpc import HOST, Client, Running, Service, connected, serving

LATER = h2.call_fields(b"/t.T/Later")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of several objects, none with an event
            await asyncio.sleep(0.002)


async def begun(running: Running, client: Client, *streams: int) -> None:
    """Call on these streams, and wait until the method has all of them."""
    wanted = len(running.service.callers) + len(streams)
    client.send(*(h2.call(stream, b"x", LATER) for stream in streams))
    await until(lambda: len(running.service.callers) == wanted)


async def test_answers_come_in_the_order_in_which_they_are_given() -> None:
    async with serving() as running, connected(running.port) as client:
        await begun(running, client, 1, 3)
        first, second = running.service.callers
        assert first.source == second.source
        second.answer(b"second")
        assert (await client.answer(3))[0] == h2.message(b"second")
        first.answer(b"first")
        body, trailers = await client.answer(1)
        assert (body, trailers[b"grpc-status"]) == (h2.message(b"first"), b"0")
        assert running.service.given_up == []


async def test_connections_are_sources() -> None:
    async with serving() as running:
        async with connected(running.port) as one, connected(running.port) as other:
            await begun(running, one, 1)
            await begun(running, other, 1)
        first, second = running.service.callers
        assert first.source != second.source


async def test_only_the_first_answer_counts() -> None:
    async with serving() as running, connected(running.port) as client:
        await begun(running, client, 1)
        (caller,) = running.service.callers
        caller.refuse("INVALID_ARGUMENT", "no good")
        caller.answer(b"late")
        caller.refuse("INTERNAL", "later")
        assert (await client.answer_of(1))[b"grpc-message"] == b"no good"
        client.send(h2.call(3, b"fine"))
        assert (await client.answer(3))[0] == h2.message(b"fine")
        assert running.service.given_up == []


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [(b"no", b"5", b"no"), (b"bug", b"13", b"internal error: see the server's log")],
)
async def test_a_method_may_refuse_at_once(message: bytes, code: bytes, text: bytes) -> None:
    async with serving() as running, connected(running.port) as client:
        client.send(h2.call(1, message, LATER))
        trailers = await client.answer_of(1)
        assert (trailers[b"grpc-status"], trailers[b"grpc-message"]) == (code, text)


async def test_a_call_that_is_reset_is_given_up_once() -> None:
    async with serving() as running, connected(running.port) as client:
        await begun(running, client, 1, 3)
        client.send(frames.rst_stream(1, Code.CANCEL))
        await until(lambda: running.service.given_up == [0])
        running.service.callers[0].answer(b"nobody waits")
        running.service.callers[1].answer(b"waits")
        assert (await client.answer(3))[0] == h2.message(b"waits")
        client.send(frames.rst_stream(1, Code.CANCEL), h2.call(5, b"fine"))
        assert (await client.answer(5))[0] == h2.message(b"fine")
        assert running.service.given_up == [0]


async def test_a_connection_that_is_lost_gives_its_calls_up() -> None:
    async with serving() as running:
        async with connected(running.port) as client:
            await begun(running, client, 1, 3)
        await until(lambda: running.service.given_up == [0, 1])
        running.service.callers[0].answer(b"nobody is there")
        assert running.server.held == 0


async def test_a_call_whose_deadline_passes_is_given_up_and_told() -> None:
    async with serving() as running, connected(running.port) as client:
        fields = h2.call_fields(b"/t.T/Later", grpc_timeout=b"20m")
        client.send(h2.call(1, b"x", fields))
        assert (await client.answer_of(1))[b"grpc-status"] == b"4"
        assert running.service.given_up == [0]
        running.service.callers[0].answer(b"late")
        assert running.server.held == 0


async def test_grpc_aio_awaits_the_same_methods() -> None:
    service = Service()
    server = GrpcAioServer(service.methods, GrpcLimits(connection_age=1e6))
    port = await server.start(HOST, 0)
    try:
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/t.T/Later"
            )
            call = method(b"x")
            await until(lambda: len(service.callers) == 1)
            service.callers[0].answer(b"answer")
            service.callers[0].refuse("INTERNAL", "later")
            assert await call == b"answer"
            call = method(b"x")
            await until(lambda: len(service.callers) == 2)
            service.callers[1].refuse("NOT_FOUND", "no good")
            assert (await call.code(), await call.details()) == (
                grpc.StatusCode.NOT_FOUND,
                "no good",
            )
            assert await method(b"bug").code() == grpc.StatusCode.INTERNAL
            call = method(b"x")
            await until(lambda: len(service.callers) == 3)
            call.cancel()
            await until(lambda: service.given_up == [2])
    finally:
        await server.stop(0.0)
