"""Bounds in time and size, on a server in this process with small ones."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from slipway_server.transport.exchange import Exchange, HttpLimits
from slipway_server.transport.http import HttpServer

GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


class Door:
    """Answers at once, or keeps what it was given for later."""

    def __init__(self) -> None:
        self.kept: list[Exchange] = []
        self.arrived = asyncio.Event()
        self.abandoned = asyncio.Event()
        self.size = 2

    def handle(self, exchange: Exchange) -> None:
        """``/later`` is kept, ``/large`` is a large answer, ``/bug`` is one."""
        if exchange.target == b"/bug":
            raise ZeroDivisionError
        if exchange.target == b"/later":
            exchange.abandoned = self.abandoned.set
            self.kept.append(exchange)
            self.arrived.set()
            return
        size = 64 << 20 if exchange.target == b"/large" else 2
        exchange.reply(200, (bytes(size),))

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """Answer with the message."""
        exchange.reply(status, (message.encode(),))


@contextlib.asynccontextmanager
async def listening(limits: HttpLimits) -> AsyncIterator[tuple[int, Door, HttpServer]]:
    door = Door()
    server = HttpServer(door.handle, door.refuse, limits=limits)
    port = await server.start("127.0.0.1", 0)
    try:
        yield port, door, server
    finally:
        server.close()
        for _ in range(3):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_slow_head_is_ended_with_408() -> None:
    async with listening(HttpLimits(head_seconds=0.2)) as (port, _, _), connected(port) as peer:
        peer[1].write(b"GET / HTTP/1.1\r\nHo")
        answer = await peer[0].read()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert answer.endswith(b"did not arrive within 0.2 s")


async def test_a_slow_body_is_ended_with_408() -> None:
    async with listening(HttpLimits(body_seconds=0.2)) as (port, _, _), connected(port) as peer:
        peer[1].write(POST % 10 + b"123")
        answer = await peer[0].read()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_second_request_that_never_ends_is_slow_too() -> None:
    async with listening(HttpLimits(head_seconds=0.2)) as (port, _, _), connected(port) as peer:
        peer[1].write(GET % b"" + b"GET / HT")
        answer = await peer[0].read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


async def test_an_idle_connection_is_ended_silently() -> None:
    async with listening(HttpLimits(idle_seconds=0.2)) as (port, _, _), connected(port) as peer:
        assert await peer[0].read() == b""


async def test_a_reader_that_does_not_read_is_ended_and_holds_up_nobody() -> None:
    limits = HttpLimits(read_seconds=0.2)
    async with listening(limits) as (port, _, server), connected(port) as deaf:
        deaf[1].write(GET % b"large" + GET % b"large")
        async with connected(port) as other:
            other[1].write(GET % b"")
            assert (await other[0].readline()).startswith(b"HTTP/1.1 200")
        while server.connections:  # noqa: ASYNC110 - ends when the sweep has aborted it
            await asyncio.sleep(0.05)


async def test_a_chunked_body_above_the_limit_is_refused_while_it_comes() -> None:
    async with listening(HttpLimits(body=100)) as (port, _, _), connected(port) as peer:
        peer[1].write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            peer[1].write(b"a\r\n1234567890\r\n")
        answer = await peer[0].read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than 100 bytes" in answer


async def test_all_bodies_together_are_bounded_and_freed() -> None:
    async with listening(HttpLimits(buffered=150)) as (port, _, server):
        async with connected(port) as first, connected(port) as second:
            first[1].write(POST % 200 + b"x" * 100)
            while server.buffered < 100:  # noqa: ASYNC110 - until it has arrived
                await asyncio.sleep(0.01)
            second[1].write(POST % 100 + b"x" * 100)
            assert (await second[0].read()).startswith(b"HTTP/1.1 429 ")
        while server.buffered:  # noqa: ASYNC110 - until both are gone
            await asyncio.sleep(0.01)
        async with connected(port) as third:
            third[1].write(POST % 100 + b"x" * 100)
            assert (await third[0].readline()).startswith(b"HTTP/1.1 200")
        assert server.buffered == 0


async def test_an_old_connection_ends_with_an_answer() -> None:
    async with (
        listening(HttpLimits(connection_age=100)) as (port, door, server),
        connected(port) as peer,
    ):
        peer[1].write(GET % b"later")
        await door.arrived.wait()
        exchange = door.kept[0]
        exchange.reply(200, (b"young",))
        head = await peer[0].readuntil(b"young")
        assert b"connection: close" not in head
        (connection,) = server.connections
        connection._expires -= 89.0  # so much time has passed
        peer[1].write(GET % b"")
        assert b"connection: close" not in await peer[0].readuntil(b"\r\n\r\n\0\0")
        connection._expires -= 22.0
        peer[1].write(GET % b"")
        assert b"connection: close\r\n" in await peer[0].read()


async def test_a_closing_server_ends_each_connection_with_its_answer() -> None:
    async with listening(HttpLimits()) as (port, door, server), connected(port) as peer:
        peer[1].write(GET % b"later")
        await door.arrived.wait()
        server.closing = True
        server.stop_accepting()
        assert server.busy == 1
        door.kept[0].reply(200, (b"done",))
        answer = await peer[0].read()
    assert answer.endswith(b"done")
    assert b"connection: close\r\n" in answer
    assert server.busy == 0


async def test_a_client_that_leaves_is_told_to_the_door() -> None:
    async with listening(HttpLimits()) as (port, door, _):
        async with connected(port) as peer:
            peer[1].write(GET % b"later")
            await door.arrived.wait()
        await door.abandoned.wait()
        door.kept[0].reply(200, (b"into the void",))


async def test_a_bug_is_a_500_and_no_end() -> None:
    async with listening(HttpLimits()) as (port, _, _), connected(port) as peer:
        peer[1].write(GET % b"bug" + GET % b"")
        assert (await peer[0].readuntil(b"see the server's log")).startswith(b"HTTP/1.1 500 ")
        assert (await peer[0].readline()).startswith(b"HTTP/1.1 200 ")
