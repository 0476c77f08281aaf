"""The gRPC server on our own HTTP/2: listens, keeps its connections, ends them one by one."""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Final

from slipway.errors import Invalid
from slipway_server.transport.h2.heads import Blocks
from slipway_server.transport.h2.protocol import RpcConnection
from slipway_server.transport.rpc import GrpcLimits, Methods
from slipway_server.transport.tls import HANDSHAKE_SECONDS, TlsFiles

_SWEEP_SECONDS: Final = 1.0


class Http2Server:
    """Implements ``RpcServer``; the attributes are what its connections need."""

    def __init__(
        self, offer: Callable[[], Methods], limits: GrpcLimits, *, tls: TlsFiles | None = None
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            offer: the methods. Called for the first client: they take libraries that a server
                whose clients all speak REST does without.
            limits: of what peers may take.
            tls: certificates, if connections are to be encrypted.
        """
        self.methods = Methods({})
        self.limits = limits
        self.blocks = Blocks(())
        self._offer: Callable[[], Methods] | None = offer
        self.held = 0
        self.stopping = False
        self.connections: set[RpcConnection] = set()
        self._empty = asyncio.Event()
        self._tls = tls
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, host: str | None, port: int) -> int:
        """See ``RpcServer.start``."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                partial(self.accept, loop),
                host,
                port,
                backlog=1024,
                ssl=None if self._tls is None else self._tls.context("h2"),
                ssl_handshake_timeout=None if self._tls is None else HANDSHAKE_SECONDS,
            )
        except OSError as error:
            text = f"gRPC port {port} cannot be opened: {error.strerror or 'is it in use?'}"
            raise Invalid(text) from error
        self._sweep(loop)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self, grace: float) -> None:
        """See ``RpcServer.stop``."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        for connection in tuple(self.connections):
            connection.leave(loop.time())
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), end - loop.time())
        for connection in tuple(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def forget(self, connection: RpcConnection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self.stopping and not self.connections:
            self._empty.set()

    def accept(self, loop: asyncio.AbstractEventLoop) -> RpcConnection:
        """A connection for a client that has come."""
        if self._offer is not None:
            self.methods, self._offer = self._offer(), None
            self.blocks = Blocks(self.methods.trailers)
        return RpcConnection(self, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self.connections):
            connection.check_time(now)
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep, loop)
