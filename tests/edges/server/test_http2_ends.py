"""Connections end and no call is lost: not one that was under way, not one that runs."""

import asyncio
import gc
import random

import grpc
import grpc.aio

from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.connection import DRAIN_PING, Connection
from slipway_server.transport.h2.protocol import RpcConnection
from slipway_server.transport.rpc import GrpcLimits
from tests.support import h2
from tests.support.rpc import HOST, Client, Running, connected, serving
from tests.support.waiting import until

WAIT = h2.call_fields(b"/t.T/Wait")
ACK = frames.ping(DRAIN_PING, ack=True)
EVERY_STREAM = (2**31 - 1).to_bytes(4)


async def told(client: Client) -> bytes:
    """The stream of the next GOAWAY."""
    frame = await client.next(frames.GOAWAY)
    assert frame.payload[4:8] == bytes(4)
    return frame.payload[:4]


async def test_an_old_connection_is_ended_at_its_next_call_which_is_answered() -> None:
    async with (
        serving(GrpcLimits(connection_age=100)) as running,
        connected(running.port) as client,
    ):
        client.send(h2.call(1))
        await client.answer(1)
        running.pass_time(89.0)
        client.send(h2.call(3))
        await client.answer(3)
        running.pass_time(111.0)
        client.send(h2.call(5))
        assert await told(client) == EVERY_STREAM
        assert (await client.next(frames.PING)).payload == DRAIN_PING
        client.send(h2.call(7), ACK)  # it was opened before the client knew
        assert await told(client) == (7).to_bytes(4)
        for stream in (5, 7):
            assert (await client.answer(stream))[0] == h2.message(b"hello")
        assert await client.rest() == b""


async def test_an_answer_waits_until_the_client_knows_but_not_for_long() -> None:
    async with serving(GrpcLimits(connection_age=0)) as running, connected(running.port) as client:
        await client.settled()
        running.pass_time(0.1)
        client.send(h2.call(1))
        kinds = [(await client.next(frames.GOAWAY, frames.PING, frames.HEADERS)).kind]
        kinds += [(await client.next(frames.PING, frames.HEADERS)).kind for _ in range(2)]
        assert kinds == [frames.GOAWAY, frames.PING, frames.HEADERS]  # no answer to the PING


async def test_the_last_answer_arrives_even_if_it_is_large_and_read_late() -> None:
    async with serving() as running, connected(running.port) as client:
        await client.settled()
        running.leave()
        client.send(h2.call(1, b"4000000", h2.call_fields(b"/t.T/Large")))
        client.send(frames.window_update(0, 1 << 24), frames.window_update(1, 1 << 24))
        await client.next(frames.PING)
        client.send(ACK)
        assert await told(client) == (1).to_bytes(4)
        await asyncio.sleep(0.3)  # by now the server has written all that the system takes
        assert len((await client.answer(1))[0]) == 4_000_005
        assert await client.rest() == b""


async def test_an_idle_connection_is_told_too() -> None:
    async with serving(GrpcLimits(connection_age=0)) as running, connected(running.port) as client:
        await client.settled()
        running.pass_time(0.1)
        assert await told(client) == EVERY_STREAM
        client.send(ACK)
        assert await told(client) == bytes(4)
        assert await client.rest() == b""


async def test_a_stop_waits_for_what_runs_and_for_what_was_under_way() -> None:
    async with serving() as running, connected(running.port) as client:
        client.send(h2.call(1, b"first", WAIT))
        await running.service.started.wait()
        stopping = asyncio.ensure_future(running.server.stop(30.0))
        assert await told(client) == EVERY_STREAM
        client.send(h2.call(3, b"second", WAIT), ACK)
        assert await told(client) == (3).to_bytes(4)
        client.send(h2.call(5))  # the client was told: this one is not served, and not answered
        assert not stopping.done()
        running.service.gate.set()
        assert (await client.answer(1))[0] == h2.message(b"first")
        assert (await client.answer(3))[0] == h2.message(b"second")
        client.close()
        await stopping
        assert (running.service.cancelled, running.server.connections) == (0, set())


async def test_a_stop_ends_with_its_grace() -> None:
    async with serving() as running, connected(running.port) as client:
        client.send(h2.call(1, b"", WAIT))
        await running.service.started.wait()
        await running.server.stop(0.1)
        await client.rest()
        await asyncio.sleep(0)
        assert running.service.cancelled == 1


async def test_a_connection_whose_calls_never_end_ends_with_its_grace() -> None:
    limits = GrpcLimits(connection_age=100, connection_grace=30)
    async with serving(limits) as running, connected(running.port) as client:
        client.send(h2.call(1, b"", WAIT))
        await client.settled()
        running.pass_time(111.0)
        assert await told(client) == EVERY_STREAM
        running.pass_time(145.0)
        assert running.server.connections
        running.pass_time(147.0)
        await client.rest()
        assert not running.server.connections


async def test_whenever_a_connection_ends_every_call_up_to_the_last_is_answered() -> None:
    source = random.Random(1)
    async with serving() as running:
        for _ in range(40):
            async with connected(running.port) as client:
                await _call_until_told(client, running, source)


async def _call_until_told(client: Client, running: Running, source: random.Random) -> None:
    """Open calls until told not to; then each has to be answered up to the one that was named."""
    told: list[int] = []
    answered: set[int] = set()

    async def read() -> None:
        while len(told) < 2 or len(answered) < (told[1] + 1) // 2:
            frame = await client.frame()
            if frame.kind == frames.GOAWAY:
                told.append(int.from_bytes(frame.payload[:4]))
            elif frame.kind == frames.PING:
                client.send(ACK)
            elif frame.kind == frames.HEADERS and frame.flags & frames.END_STREAM:
                assert h2.blocks([frame])[0][b"grpc-status"] == b"0"
                answered.add(frame.stream)

    reading = asyncio.ensure_future(read())
    end_at, opened = source.randrange(1, 60), 0
    while not told and not reading.done():
        opened += 1
        client.send(h2.call(2 * opened - 1))
        if opened == end_at:
            assert running.leave() == 1
        await asyncio.sleep(source.choice((0, 0, 0.001)))
    await reading
    assert told[0] == 2**31 - 1
    assert answered == set(range(1, told[1] + 1, 2)) == set(range(1, 2 * opened, 2))


async def test_grpcio_loses_no_call_and_makes_none_twice_over_many_ends() -> None:
    async with serving() as running:
        stop = asyncio.Event()
        done = 0

        async def work(channel: grpc.aio.Channel) -> None:
            nonlocal done
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/t.T/Count")
            while not stop.is_set():
                await call(b"", timeout=20)
                done += 1

        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            grpc.aio.insecure_channel(f"{HOST}:{running.port}", options=options) for _ in range(3)
        ]
        workers = [asyncio.ensure_future(work(channel)) for channel in channels for _ in range(4)]
        ends = 0
        while (ends < 60 or done <= 100) and not any(worker.done() for worker in workers):
            await asyncio.sleep(0.04)
            ends += running.leave()
        stop.set()
        await asyncio.gather(*workers)
        for channel in channels:
            await channel.close()
        assert done == running.service.counted


async def test_a_lost_connection_is_gone_without_a_collection_of_garbage() -> None:
    def left() -> list[object]:
        kinds = (RpcConnection, Connection)
        return [each for each in gc.get_objects() if isinstance(each, kinds)]

    gc.collect()
    gc.disable()
    try:
        async with serving() as running:
            async with connected(running.port) as client:
                client.send(h2.call(1), h2.call(3, fields=WAIT), h2.headers(5))
                await client.answer(1)
                assert len(left()) == 2
            await until(lambda: not left())
    finally:
        gc.enable()
