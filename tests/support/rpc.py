"""A gRPC server of ours with small methods, on the loop of the test, and a client of raw bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.server import Http2Server
from slipway_server.transport.rpc import Caller, GrpcLimits, Message, Methods, RpcRefused
from tests.support import h2

HOST = "127.0.0.1"


@dataclass(slots=True)
class Service:
    """Methods to be called, and what became of the calls.

    Attributes:
        gate: ``/t.T/Wait`` answers when it is set.
        started: set when a call has come there.
        running: how many calls wait at the gate.
        cancelled: how many were given up while they did.
        counted: how many calls ``/t.T/Count`` had.
        watching: how many calls of ``/t.T/Watch`` there are.
        callers: who called ``/t.T/Later`` and was not answered by the method.
        given_up: which of them do not wait any more, by number.
    """

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    cancelled: int = 0
    counted: int = 0
    watching: int = 0
    callers: list[Caller] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)

    def methods(self) -> Methods:
        """All of them."""
        unary = {
            "/t.T/Echo": self.echo,
            "/t.T/Wait": self.wait,
            "/t.T/Slow": self.slow,
            "/t.T/Bug": self.bug,
            "/t.T/No": self.no,
            "/t.T/Large": self.large,
            "/t.T/Count": self.count,
        }
        return Methods(
            unary,
            {"/t.T/Stream": self.echo},
            {"/t.T/Watch": self.watch},
            {"/t.T/Later": self.later},
            trailers=(("slipway-revision", "m-1"),),
        )

    async def echo(self, request: Message, *, seconds: float | None) -> bytes:
        """Its own request."""
        del seconds
        return bytes(request)

    async def wait(self, request: Message, *, seconds: float | None) -> bytes:
        """When the gate opens."""
        del seconds
        self.running += 1
        self.started.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return bytes(request)

    def later(
        self, request: Message, caller: Caller, *, seconds: float | None
    ) -> Callable[[], None]:
        """When a test answers; ``bug`` and ``no`` are what they say."""
        del seconds
        if request == b"bug":
            raise RuntimeError("secret detail")
        if request == b"no":
            raise RpcRefused("NOT_FOUND", "no")
        self.callers.append(caller)
        self.started.set()
        return partial(self.given_up.append, len(self.callers) - 1)

    async def slow(self, request: Message, *, seconds: float | None) -> bytes:
        """After a tenth of a second."""
        del seconds
        await asyncio.sleep(0.1)
        return bytes(request)

    async def bug(self, request: Message, *, seconds: float | None) -> bytes:
        """What nobody expects."""
        del request, seconds
        raise RuntimeError("secret detail")

    async def no(self, request: Message, *, seconds: float | None) -> bytes:
        """A refusal with any text."""
        del seconds
        raise RpcRefused("NOT_FOUND", bytes(request).decode())

    async def count(self, request: Message, *, seconds: float | None) -> bytes:
        """Nothing, after a moment."""
        del request, seconds
        self.counted += 1
        await asyncio.sleep(0.002)
        return b""

    async def watch(
        self, request: Message, *, ending: "asyncio.Future[None]"
    ) -> AsyncIterator[bytes]:
        """Its own request, and again when the gate opens, until the connection ends."""
        opened = asyncio.ensure_future(self.gate.wait())
        self.watching += 1
        try:
            yield bytes(request)
            await asyncio.wait((opened, ending), return_when=asyncio.FIRST_COMPLETED)
            if opened.done():
                yield bytes(request)
            await ending
        finally:
            opened.cancel()
            self.watching -= 1

    async def large(self, request: Message, *, seconds: float | None) -> bytes:
        """As many bytes as the request says."""
        del seconds
        return bytes(int(bytes(request)))


@dataclass(slots=True)
class Running:
    """A server that listens."""

    server: Http2Server
    service: Service
    port: int

    def leave(self) -> int:
        """End all connections; returns how many there are."""
        now = asyncio.get_running_loop().time()
        for connection in tuple(self.server.connections):
            connection.leave(now)
        return len(self.server.connections)

    def pass_time(self, seconds: float) -> None:
        """Let every connection look at a clock that is so much ahead."""
        now = asyncio.get_running_loop().time() + seconds
        for connection in tuple(self.server.connections):
            connection.check_time(now)


@contextlib.asynccontextmanager
async def serving(limits: GrpcLimits | None = None) -> AsyncIterator[Running]:
    """A server, until the block ends."""
    service = Service()
    server = Http2Server(service.methods, limits or GrpcLimits(connection_age=1e6))
    port = await server.start(HOST, 0)
    try:
        yield Running(server, service, port)
    finally:
        await server.stop(0.0)


class Client:
    """A connection of raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *parts: bytes) -> None:
        """Bytes to the server."""
        self._writer.write(b"".join(parts))

    async def drained(self) -> None:
        """Wait until the system has taken what was sent."""
        await self._writer.drain()

    async def frame(self) -> h2.Frame:
        """The next frame."""
        async with asyncio.timeout(60):
            head = await self._reader.readexactly(frames.HEAD_SIZE)
            high, low, kind, flags, stream = frames.HEAD.unpack(head)
            return h2.Frame(kind, flags, stream, await self._reader.readexactly(high << 8 | low))

    async def next(self, *kinds: int) -> h2.Frame:
        """The next frame of these kinds; others are passed over."""
        while True:
            frame = await self.frame()
            if frame.kind in kinds:
                return frame

    async def settled(self) -> None:
        """Wait until the server has read the client's settings."""
        while not (await self.next(frames.SETTINGS)).flags & frames.ACK:
            pass

    async def answer(self, stream: int) -> tuple[bytes, dict[bytes, bytes]]:
        """Body and last header list of a stream."""
        body, lists = b"", []
        while True:
            frame = await self.next(frames.DATA, frames.HEADERS)
            assert frame.stream == stream
            if frame.kind == frames.DATA:
                body += frame.payload
            else:
                lists += h2.blocks([frame])
            if frame.flags & frames.END_STREAM:
                return body, lists[-1] if lists else {}

    async def answer_of(self, stream: int) -> dict[bytes, bytes]:
        """Last header list of a stream among others."""
        while True:
            frame = await self.next(frames.HEADERS)
            if frame.stream == stream and frame.flags & frames.END_STREAM:
                return h2.blocks([frame])[0]

    async def rest(self) -> bytes:
        """Everything until the server ends the connection."""
        async with asyncio.timeout(60):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        """End the connection."""
        self._writer.close()


@contextlib.asynccontextmanager
async def connected(port: int, *, hello: bytes = h2.HELLO) -> AsyncIterator[Client]:
    """A connection on which the client's settings were sent."""
    reader, writer = await asyncio.open_connection(HOST, port)
    client = Client(reader, writer)
    try:
        client.send(hello)
        yield client
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
