"""The HTTP/1.1 server: listens, keeps its connections, hands each request to a handler."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from slipway_server.observe import Tell
from slipway_server.transport.connection import Connection
from slipway_server.transport.exchange import Exchange, HttpLimits
from slipway_server.transport.repeats import KnownHeads
from slipway_server.transport.tls import HANDSHAKE_SECONDS, TlsFiles

_SWEEP_SECONDS: Final = 1.0
Handler = Callable[[Exchange], None]
Refuse = Callable[[Exchange, int, str], None]


class HttpServer:
    """Listens, keeps its connections, and hands each request to ``handle``."""

    def __init__(
        self,
        handle: Handler,
        refuse: Refuse,
        *,
        limits: HttpLimits,
        tls: TlsFiles | None = None,
        observer: Tell | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            handle: answers a well-formed request, now or later.
            refuse: writes the answer to a request that broke a limit or the grammar.
            limits: bounds of connections.
            tls: certificates, if connections are to be encrypted.
            observer: told of every request that was answered.
        """
        self.handle = handle
        self.refuse = refuse
        self.now = 0.0
        self.limits = limits
        self.buffered = 0
        self.closing = False
        self.connections: set[Connection] = set()
        self.date = b""
        self.observer = observer
        self.known = KnownHeads()
        self._tls = tls
        self._heads: dict[tuple[int, bytes], bytes] = {}
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, host: str | None, port: int) -> int:
        """Listen; returns the port, which the system chose if ``port`` was 0.

        Raises:
            OSError: the address is taken or not ours.
        """
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Connection(self, loop),
            host,
            port,
            backlog=1024,
            ssl=None if self._tls is None else self._tls.context("http/1.1"),
            ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_SECONDS,
        )
        self._sweep(loop)
        return int(self._listener.sockets[0].getsockname()[1])

    def stop_accepting(self) -> None:
        """Close the listening sockets; connections go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    @property
    def busy(self) -> int:
        """Connections with a request that is not answered yet."""
        return sum(connection.busy for connection in self.connections)

    def close(self) -> None:
        """End everything."""
        self.stop_accepting()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self.connections):
            connection.end()

    def head(self, status: int, content_type: bytes) -> bytes:
        """The constant first lines of an answer."""
        head = self._heads.get((status, content_type))
        if head is None:
            phrase = HTTPStatus(status).phrase.encode()
            head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n" % (status, phrase, content_type)
            self._heads[status, content_type] = head
        return head

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self.date = time.strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime()).encode()
        now = self.now = loop.time()
        for connection in tuple(self.connections):
            connection.check_time(now)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep, loop)
