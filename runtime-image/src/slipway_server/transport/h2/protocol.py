"""The socket of one connection: writing, time, and how it ends without losing a call.

When a connection is to end (it is old, or the server stops), the client is told to open no more
calls, and a PING is sent behind that. The answer to the PING comes behind every call that the
client opened before it knew, so from then on the last call is known, and the client is told which
it was. All of them are answered; then the client closes, or after a moment the server does.

A client must not be told while it opens a call: grpc's own fails such a call, although it never
left the client, unless its user left transparent retries on. So a connection that is to end waits a
little for the next request, and holds answers back until the client knows: who waits for an answer
opens no call.
"""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, cast

from slipway_server.transport.h2.call import Owner as CallsOwner
from slipway_server.transport.h2.calls import Calls
from slipway_server.transport.h2.connection import Connection
from slipway_server.transport.h2.credit import Credit
from slipway_server.transport.h2.frames import Code, ConnectionFault
from slipway_server.transport.h2.sender import Sender

_HIGH_WATER: Final = 256 << 10
_MAX_REPLIES: Final = 1 << 20  # bytes beyond that, of frames that a peer asks for and never reads
_PATIENCE: Final = 1.0  # seconds that a connection waits for the right moment to end
_PING_SECONDS: Final = 5.0
_LINGER_SECONDS: Final = 1.0
_HOLD_SECONDS: Final = 0.05  # at most
_QUIET_SECONDS: Final = 0.02  # at most
_SETTLE_SECONDS: Final = 0.005  # what the threads of a client need to pass the news on


class Owner(CallsOwner, Protocol):
    """What a connection needs of its server.

    Attributes:
        connections: the open ones.
        stopping: whether new ones are to end at once.
    """

    connections: "set[RpcConnection]"
    stopping: bool

    def forget(self, connection: "RpcConnection") -> None:
        """A connection has ended."""


class RpcConnection(asyncio.Protocol):
    """One connection. Implements ``Wire``."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        limits = owner.limits
        self._owner = owner
        self._limits = limits
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        sender = self._sender = Sender()
        calls = self._calls = Calls(owner, sender, self, loop=loop)
        self._h2 = Connection(calls, sender, streams=limits.streams, metadata=limits.metadata)
        self._flushing = False
        self._timers: list[asyncio.TimerHandle] = []
        self.leaving = False
        self._closing = False  # nothing more will be written
        self._holding = False  # answers wait until the client knows that the connection ends
        self._settling = False  # it knows, and its threads are told
        now = loop.time()
        self._active = self._progress = now
        self._frames = 0
        self._requests = 0
        self._unread_since = 0.0
        self._expires = now + limits.connection_age * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
        self._aborts = float("inf")

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast("asyncio.Transport", transport)
        # uvloop sends at once where the limit is 0, and else at the end of its turn.
        is_plain = transport.get_extra_info("sslcontext") is None
        self._transport.set_write_buffer_limits(high=0 if is_plain else _HIGH_WATER)
        self._owner.connections.add(self)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._flush()
        if self._owner.stopping:
            self.leave(self._loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left: nobody waits for its answers."""
        del exc
        self._transport = None
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        self._owner.forget(self)
        self._calls.close()
        self._h2.reader.close()

    def data_received(self, data: bytes) -> None:
        """Feed the state machine; it calls the calls."""
        if self._closing:
            return  # read only so that what was written can arrive
        self._h2.receive(data)
        if self._sender.out:
            self._flush()
        else:
            self._calls.count_unsent()  # a call whose answer waits may have been given up
        if self._holding and self._h2.drained and not self._settling:
            self._settling = True
            self._later(_SETTLE_SECONDS, self._release)

    def pause_writing(self) -> None:
        """The client reads slowly: answers wait."""
        self._sender.open = False
        self._unread_since = self._loop.time()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._sender.open = not self._holding
        self._unread_since = 0.0
        self.flush_soon()

    # ---- writing

    def flush_soon(self) -> None:
        """See ``Wire.flush_soon``."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def flush_now(self) -> None:
        """See ``Wire.flush_now``."""
        if self._sender.streams:
            self.flush_soon()
        else:
            self._flush()

    def _flush(self) -> None:
        self._flushing = False
        transport, sender = self._transport, self._sender
        if transport is None or self._closing:
            return
        while out := sender.take():
            if len(out) == 1:
                transport.write(out[0])
            else:
                transport.writelines(out)
        self._calls.count_unsent()
        if self._h2.failed:
            self._fail(transport)
        elif not sender.open and transport.get_write_buffer_size() > _HIGH_WATER + _MAX_REPLIES:
            transport.abort()
        elif self._h2.drained:
            self._calls.end_watches()
            if not sender.streams:
                self._finish(transport)

    # ---- ends

    def leave(self, now: float) -> None:
        """End the connection at the right moment, without losing a call."""
        if self.leaving:
            return
        self.leaving = True
        self._aborts = now + self._limits.connection_grace + _PING_SECONDS
        if self._calls.waiting:
            self.announce()
        else:
            self._later(_PATIENCE, self.announce)

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def check_time(self, now: float) -> None:
        """End what was too slow; called about once a second."""
        transport = self._transport
        if transport is None or self._closing:
            return
        self._h2.credit.earn(Credit.EVERY_SECOND)
        self._note_calls(now)
        if now > self._aborts or (
            self._unread_since and now - self._unread_since > self._limits.read_seconds
        ):
            transport.abort()
            return
        self._check_frames(now)
        if self._sender.streams:
            self._calls.check_time(now)
        idle = not self._sender.streams and now - self._active > self._limits.idle_seconds
        if idle or now > self._expires:
            self.leave(now)
        if self._sender.out:
            self._flush()

    def _note_calls(self, now: float) -> None:
        if self._calls.requests != self._requests or self._sender.streams:
            self._active = now
        self._requests = self._calls.requests

    def _check_frames(self, now: float) -> None:
        """A frame that has begun has to end."""
        reader, limits = self._h2.reader, self._limits
        waiting = reader.partial or not reader.started or reader.in_data
        if reader.frames != self._frames or not waiting:
            self._frames, self._progress = reader.frames, now
            return
        allowed = limits.body_seconds if reader.in_data else limits.head_seconds
        if now - self._progress > allowed:
            text = f"a frame did not arrive within {allowed:g} s"
            self._h2.fail(ConnectionFault(Code.SETTINGS_TIMEOUT, text))

    def announce(self) -> None:
        """See ``Wire.announce``."""
        if self._holding or self._h2.draining or self._closing:
            return
        self._holding = True
        self._sender.open = False
        self._later(_HOLD_SECONDS, self._release)
        self._when_quiet(-1, self._loop.time() + _QUIET_SECONDS)

    def _when_quiet(self, requests: int, until: float) -> None:
        """Say it when no more calls come: then all callers wait for their answers."""
        come = self._calls.requests
        if come == requests or self._loop.time() >= until:
            self._h2.announce_end()
            self._later(_PING_SECONDS, self._end)
            self.flush_soon()
        else:
            self._later(_SETTLE_SECONDS, partial(self._when_quiet, come, until))

    def _release(self) -> None:
        if self._holding:
            self._holding = False
            self._sender.open = not self._unread_since
            self.flush_soon()

    def _end(self) -> None:
        self._h2.end()
        self.flush_soon()

    def _finish(self, transport: asyncio.Transport) -> None:
        """All is answered. Closing now could destroy what the client has not read yet."""
        self._closing = True
        self._later(_LINGER_SECONDS, transport.close)

    def _fail(self, transport: asyncio.Transport) -> None:
        """The peer broke a rule: it gets the reason, and whatever it still sends is dropped."""
        self._closing = True
        self._calls.close()
        if transport.can_write_eof():
            with contextlib.suppress(OSError):
                transport.write_eof()
        self._later(_LINGER_SECONDS, transport.abort)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(seconds, act))
