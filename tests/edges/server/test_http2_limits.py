"""A hostile or broken client against a listening server: it costs its own connection, and bounded.

Floods of frames are in ``tests/unit/slipway_server/transport/h2/test_connection.py``; here is what
needs a socket or time. Time is what the tests say it is: nobody sleeps.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest

from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.frames import Code
from slipway_server.transport.rpc import GrpcLimits
from tests.support import h2
from tests.support.rpc import HOST, Client, Running, connected, serving

WAIT = h2.call_fields(b"/t.T/Wait")
LARGE = h2.call_fields(b"/t.T/Large")
NO_WINDOW = frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 0})
SMALL = GrpcLimits(message=100_000, buffered=400_000, connection_age=1e6)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of several objects, none with an event
            await asyncio.sleep(0.002)


async def fine(running: Running) -> None:
    """Others are served as if nothing was."""
    async with connected(running.port) as other:
        other.send(h2.call(1, b"fine"))
        assert (await other.answer(1))[0] == h2.message(b"fine")


async def last_words(client: Client) -> tuple[Code, str]:
    """Code and text of the GOAWAY before the end."""
    last = [frame for frame in h2.parse(await client.rest()) if frame.kind == frames.GOAWAY][-1]
    return Code(int.from_bytes(last.payload[4:8])), last.payload[8:].decode()


def status(trailers: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    return trailers[b"grpc-status"], trailers[b"grpc-message"]


# ---- time


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        frames.PREFACE[:10],
        frames.PREFACE,
        h2.HELLO + frames.ping(bytes(8), ack=False)[:12],
        h2.HELLO + h2.headers(1, flags=0),
        h2.HELLO + h2.headers(1)[:20],
    ],
    ids=["silence", "half a preface", "no settings", "half a ping", "no continuation", "half"],
)
async def test_what_begins_has_to_go_on(sent: bytes) -> None:
    async with serving() as running, connected(running.port, hello=sent) as client:
        await client.next(frames.SETTINGS)
        if sent.startswith(h2.HELLO):
            await client.settled()
        running.pass_time(0.0)
        running.pass_time(9.0)
        await fine(running)
        await until(lambda: len(running.server.connections) == 1)
        running.pass_time(11.0)
        assert await last_words(client) == (
            Code.SETTINGS_TIMEOUT, "a frame did not arrive within 10 s",
        )  # fmt: skip


async def test_a_message_that_does_not_come_ends_its_call_only() -> None:
    async with serving() as running, connected(running.port) as client:
        client.send(h2.headers(1), h2.data(1, h2.message(b"hello")[:7]))
        client.send(h2.headers(3, [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]))
        await until(lambda: running.server.held == 7)
        running.pass_time(119.0)
        assert running.server.held == 7
        running.pass_time(121.0)
        assert status((await client.answer(1))[1]) == (
            b"4", b"the message did not arrive within 120 s",
        )  # fmt: skip
        ended = {(await client.next(frames.RST_STREAM)).stream for _ in range(2)}
        assert (ended, running.server.held) == ({1, 3}, 0)
        client.send(h2.call(5))
        assert (await client.answer(5))[0] == h2.message(b"hello")


async def test_an_answer_that_nobody_reads_ends_its_call_only() -> None:
    async with serving() as running, connected(running.port, hello=NO_WINDOW) as client:
        client.send(h2.call(1, b"5000", LARGE))
        await client.next(frames.HEADERS)
        await until(lambda: running.server.held == 5005)
        running.pass_time(0.0)
        running.pass_time(59.0)
        client.send(frames.window_update(1, 10))  # a little is enough to go on
        await client.next(frames.DATA)
        running.pass_time(61.0)
        running.pass_time(120.0)
        assert running.server.held == 4995
        running.pass_time(122.0)
        assert (await client.next(frames.RST_STREAM)).payload == Code.CANCEL.to_bytes(4)
        assert running.server.held == 0
        client.send(h2.call(3), frames.window_update(3, 100))
        await client.next(frames.DATA)


async def test_a_client_that_never_reads_is_cut_off() -> None:
    async with serving() as running, connected(running.port) as client:
        client.send(frames.window_update(0, 1 << 30))
        for stream in range(1, 41, 2):
            client.send(h2.call(stream, b"1000000", LARGE), frames.window_update(stream, 1 << 20))
        await client.drained()
        await until(lambda: any(c._unread_since for c in running.server.connections))
        running.pass_time(59.0)
        assert len(running.server.connections) == 1
        running.pass_time(61.0)
        await until(lambda: not running.server.connections)
        assert running.server.held == 0
        await fine(running)


async def test_an_idle_connection_ends_politely() -> None:
    async with (
        serving(GrpcLimits(connection_age=1e6)) as running,
        connected(running.port) as client,
    ):
        client.send(h2.call(1))
        await client.answer(1)
        running.pass_time(0.0)
        running.pass_time(619.0)
        running.pass_time(621.0)
        first = await client.next(frames.GOAWAY)
        assert first.payload[:8] == (2**31 - 1).to_bytes(4) + bytes(4)
        client.send(frames.ping((await client.next(frames.PING)).payload, ack=True))
        assert (await client.next(frames.GOAWAY)).payload[:4] == (1).to_bytes(4)
        assert await client.rest() == b""


# ---- sizes


async def test_a_message_over_the_limit_is_refused_before_it_comes() -> None:
    async with serving(SMALL) as running, connected(running.port) as client:
        client.send(h2.headers(1), h2.data(1, (100_001).to_bytes(5)))
        assert status((await client.answer(1))[1]) == (
            b"8", b"the message has 100001 bytes: at most 100000 are taken",
        )  # fmt: skip
        client.send(h2.call(3))
        assert (await client.answer(3))[0] == h2.message(b"hello")
        assert running.server.held == 0


async def test_too_much_metadata_is_refused_and_the_connection_goes_on() -> None:
    async with serving() as running, connected(running.port) as client:
        client.send(h2.headers(1, [*h2.call_fields(), *[(b"x", b"y" * 100)] * 150], end=True))
        assert status((await client.answer(1))[1]) == (
            b"8", b"the call has more metadata than this server takes",
        )  # fmt: skip
        client.send(h2.call(3))
        assert (await client.answer(3))[0] == h2.message(b"hello")


async def test_one_connection_may_hold_a_share_of_the_memory_only() -> None:
    async with serving(SMALL) as running, connected(running.port) as client:
        for stream in (1, 3):
            body = h2.message(bytes(70_000))[:60_000]
            client.send(h2.headers(stream))
            for place in range(0, len(body), 15_000):
                client.send(h2.data(stream, body[place : place + 15_000]))
        assert status((await client.answer(3))[1]) == (
            b"8", b"too many bytes of requests are being received: retry later",
        )  # fmt: skip
        assert running.server.held == 60_000
        await fine(running)


async def test_all_connections_together_may_hold_so_much_only() -> None:
    body = h2.message(bytes(99_000))[:90_000]
    sent = h2.headers(1) + b"".join(
        h2.data(1, body[place : place + 15_000]) for place in range(0, len(body), 15_000)
    )
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(SMALL))
        clients = [await stack.enter_async_context(connected(running.port)) for _ in range(5)]
        for client in clients[:4]:
            client.send(sent)
        await until(lambda: running.server.held == 360_000)
        clients[4].send(sent)
        assert status((await clients[4].answer(1))[1])[0] == b"8"
        assert running.server.held == 360_000
        for client in clients:
            client.close()
        await until(lambda: running.server.held == 0)


async def test_answers_that_nobody_takes_are_bounded() -> None:
    async with serving(SMALL) as running, connected(running.port, hello=NO_WINDOW) as client:
        client.send(h2.call(1, b"90000", LARGE), h2.call(3, b"90000", LARGE))
        assert status(await client.answer_of(3)) == (
            b"8", b"too many answers of this connection wait unread: retry later",
        )  # fmt: skip
        assert running.server.held == 90_005
        client.send(frames.rst_stream(1, Code.CANCEL))
        await until(lambda: running.server.held == 0)


async def test_replies_that_nobody_reads_are_bounded() -> None:
    async with serving() as running:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, (HOST, running.port))
        _, writer = await asyncio.open_connection(sock=raw, limit=1)
        writer.write(h2.HELLO)
        path = h2.call_fields(b"/t.T/None" + b"e" * 180)  # the refusal names it
        with contextlib.suppress(ConnectionError, TimeoutError):
            for first in range(1, 200_001, 1000):
                block = (
                    h2.headers(stream, path, end=True) for stream in range(first, first + 1000, 2)
                )
                writer.write(b"".join(block))
                await asyncio.wait_for(writer.drain(), 5)
        await until(lambda: not running.server.connections)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await fine(running)


async def test_calls_that_are_given_up_at_once_leave_nothing_behind() -> None:
    async with serving() as running, connected(running.port) as client:
        for stream in range(1, 1001, 2):
            client.send(h2.call(stream, b"", WAIT), frames.rst_stream(stream, Code.CANCEL))
        client.send(h2.call(1001))
        assert (await client.answer(1001))[0] == h2.message(b"hello")
        await until(lambda: running.service.running == 0)
        assert running.server.held == 0


async def test_a_client_that_leaves_cancels_what_it_asked_for() -> None:
    async with serving() as running:
        async with connected(running.port) as client:
            for stream in (1, 3, 5):
                client.send(h2.call(stream, b"", WAIT))
            await until(lambda: running.service.running == 3)
        await until(lambda: running.service.cancelled == 3)
        assert (running.server.held, running.server.connections) == (0, set())


async def test_a_broken_rule_cancels_the_calls_of_that_connection_only() -> None:
    async with serving() as running, connected(running.port) as good:
        good.send(h2.call(1, b"good", WAIT))
        async with connected(running.port) as bad:
            bad.send(h2.call(1, b"bad", WAIT))
            await until(lambda: running.service.running == 2)
            bad.send(frames.ping(b"short", ack=False))
            assert await last_words(bad) == (Code.FRAME_SIZE_ERROR, "PING has eight bytes")
        await until(lambda: running.service.cancelled == 1)
        running.service.gate.set()
        assert (await good.answer(1))[0] == h2.message(b"good")


# ---- calls that are not what their method takes


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (h2.message(b"a") + h2.message(b"b"), b"the method takes one message, not several"),
        (b"", b"the method takes one message: it did not come whole"),
        (h2.message(b"abc")[:-1], b"the method takes one message: it did not come whole"),
        (h2.message(b"abc") + b"\0", b"the method takes one message: it did not come whole"),
    ],
    ids=["two", "none", "half of one", "one and a bit"],
)
async def test_a_unary_method_takes_one_message(body: bytes, text: bytes) -> None:
    async with serving() as running, connected(running.port) as client:
        client.send(h2.headers(1), h2.data(1, body, end=True))
        assert status((await client.answer(1))[1]) == (b"12", text)
        client.send(h2.headers(3), h2.data(3, h2.message(b"a")), h2.data(3, h2.message(b"b")))
        assert status((await client.answer(3))[1])[0] == b"12"


async def test_a_stream_takes_so_many_messages_ahead_only() -> None:
    async with serving() as running, connected(running.port) as client:
        fields = h2.call_fields(b"/t.T/Stream")
        client.send(h2.headers(1, fields), h2.data(1, h2.message(b"x") * 17))
        assert status((await client.answer(1))[1]) == (
            b"8", b"too many messages of this call wait already",
        )  # fmt: skip
        client.send(h2.headers(3, fields), h2.data(3, h2.message(b"x") * 3, end=True))
        assert (await client.answer(3))[0] == h2.message(b"x") * 3


async def test_a_stream_that_has_begun_to_answer_ends_with_trailers() -> None:
    limits = GrpcLimits(connection_age=1e6)
    async with serving(limits) as running, connected(running.port) as client:
        fields = h2.call_fields(b"/t.T/Stream", grpc_timeout=b"2S")
        client.send(h2.headers(1, fields), h2.data(1, h2.message(b"x")))
        assert (await client.next(frames.HEADERS)).flags & frames.END_STREAM == 0
        assert (await client.next(frames.DATA)).payload == h2.message(b"x")
        last = await client.next(frames.HEADERS)
        trailers = h2.blocks([last])[0]
        assert (trailers[b"grpc-status"], b":status" in trailers) == (b"4", False)
        assert (await client.next(frames.RST_STREAM)).payload == bytes(4)
        client.send(h2.data(1, h2.message(b"late")), h2.call(3))
        assert (await client.answer(3))[0] == h2.message(b"hello")
        running_tasks = [task for task in asyncio.all_tasks() if "_run_stream" in repr(task)]
        assert running_tasks == []


async def test_a_stream_whose_end_cannot_be_sent_takes_no_more() -> None:
    hello = frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 3})
    async with serving() as running, connected(running.port, hello=hello) as client:
        fields = h2.call_fields(b"/t.T/Stream")
        client.send(h2.headers(1, fields), h2.data(1, h2.message(b"x") * 2))
        await client.next(frames.DATA)
        client.send(h2.data(1, h2.message(b"x") * 17))  # too many at once: the call is over
        client.send(h2.data(1, h2.message(b"x") * 17), frames.window_update(1, 1000))
        body, trailers = await client.answer(1)
        assert (body, trailers[b"grpc-status"]) == ((h2.message(b"x") * 2)[3:], b"8")
        await until(lambda: running.server.held == 0)
