"""One HTTP/1.1 connection on asyncio with httptools: framing, limits, timeouts, keep-alive.

It handles one request at a time and answers in order; what is pipelined waits. A peer may send
slowly, read slowly, send too much or send nonsense: each has a bound and costs only its own
connection.
"""

import asyncio
import logging
import random
import socket
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Final, cast

import httptools

from slipway_server.transport import answer
from slipway_server.transport.body import LARGE, Body, BodyRefused, Bytes, plain_left
from slipway_server.transport.exchange import Exchange, Owner
from slipway_server.transport.head import Head, too_long
from slipway_server.transport.repeats import END, Known

_LOG = logging.getLogger("slipway_server.http")
_MAX_PIPELINED: Final = 16
_LINGER_SECONDS: Final = 2.0
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = b"connection: close\r\n"
_GONE: Final = httptools.HttpRequestParser(object())


class Connection(asyncio.Protocol):
    """One connection. ``_since`` is when the present state began: idle, head, body or unread."""

    def __init__(self, server: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._limits = server.limits
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._pumping = False
        self._paused = False
        self._held = 0  # bytes of bodies in the server's budget
        self._since = loop.time()
        self._unread_since = 0.0
        age = self._limits.connection_age
        self._expires = self._since + age * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load
        self._linger = 0.0
        self._unparsed = 0
        self._refused = False
        self._ended = False  # the last answer has been written
        self._plain = server.limits.plain_from
        self._to_come = 0  # of a body that goes past the parser
        self._packet = b""  # what the parser reads now, if that begins with a request
        self.on_message_begin()
        self._partial = False  # whether a request has begun and not ended

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        plain = self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)
        if transport.get_extra_info("sslcontext") is None:
            plain.set_write_buffer_limits(0)  # uvloop sends at the end of its turn otherwise
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left: nobody waits for its answers."""
        self._transport = None
        self._server.connections.discard(self)
        self._server.buffered -= self._held
        self._held, self._parser = 0, _GONE  # a parser knows its connection: a cycle
        self._waiting.clear()
        current, self._current = self._current, None
        if current is not None and current.abandoned is not None:
            current.abandoned()
            current.abandoned = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser; it calls the methods below."""
        if self._refused or self._ended:
            return  # the answer is on its way; the rest is read only so that it can arrive
        if self._to_come:
            self._take_plain(memoryview(data))
        elif len(data) > self._plain and not self._partial and (end := data.find(END) + 4) > 3:
            self._parse(data[:end])
            if self._to_come:
                self._take_plain(memoryview(data)[end:])
            elif not (self._refused or self._ended):
                self._parse(data[end:])
        else:
            self._parse(data)

    def _take_plain(self, data: memoryview) -> None:
        """Take what the parser would only copy: the middle of a large body."""
        piece = data[: self._to_come]
        self._to_come -= len(piece)
        self.on_body(piece)
        if self._to_come or self._refused:
            return
        self.on_message_complete()
        self._parser = httptools.HttpRequestParser(self)
        if rest := bytes(data[len(piece) :]):
            self.data_received(rest)

    def _parse(self, data: bytes) -> None:
        if not (self._partial or self._current or self._waiting or self._unread_since):
            found = self._server.known.find(data)
            if found is not None and self._take_known(*found):
                return
            self._packet = data
        self._unparsed += len(data)  # a line that never ends reaches no callback
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            reason = (str(error) or type(error).__name__)[:120]
            self._refuse(400, f"the request is not valid HTTP/1.1: {reason}")
        self._packet = b""
        if self._unparsed > self._limits.head:
            self._refuse(*too_long(self._limits.head))
        elif self._partial and not (self._in_head or self._refused):
            self._to_come = plain_left(self._head, self._body.size, beyond=self._plain)

    def pause_writing(self) -> None:
        """The client reads slowly: answer nothing more for now."""
        self._unread_since = self._loop.time()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._unread_since = 0.0
        self._pump()

    # ---- httptools

    def on_message_begin(self) -> None:
        """Start a request."""
        self._head = Head()
        self._body = Body(self._limits.body)
        self._in_head = True
        self._continue = False
        self._partial = True
        self._since = self._server.now

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._head.target += url  # a URL split over packets comes in pieces
        self._head.size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer behind a chunked body."""
        if self._in_head:
            self._head.add(name, value)
            return
        self._head.size += len(name) + len(value) + 4  # trailers change nothing
        if self._head.size > self._limits.head:
            self._refuse(*too_long(self._limits.head))

    def on_headers_complete(self) -> None:
        """Decide whether to take the body."""
        self._in_head = False
        self._unparsed = 0
        if self._refused:
            return
        head, limits = self._head, self._limits
        version = self._parser.get_http_version()
        problem = head.problem(version, head_limit=limits.head, body_limit=limits.body)
        if problem is not None:
            self._refuse(*problem)
            return
        if head.coding:
            self._body.decode(head.coding)
        if head.expects:
            self._continue = True
            self._send_continue()

    def on_body(self, body: Bytes) -> None:
        """A piece of the body."""
        self._unparsed = 0
        if self._refused:
            return
        try:
            size = self._body.add(body)
        except BodyRefused as refused:
            self._refuse(*refused.refusal)
            return
        self._held += size
        server = self._server
        server.buffered += size
        if server.buffered > self._limits.buffered:
            self._refuse(429, "too many bytes of requests are being received: retry later")

    def on_message_complete(self) -> None:
        """Hand the request on."""
        head = self._head
        self._unparsed = 0
        if head.upgrade and (head.length or head.chunked):
            return  # the parser stops before the body: see _ignore_upgrade
        self._partial, self._in_head = False, True
        if self._refused:
            return
        try:
            self._body.finish()
        except BodyRefused as refused:
            self._refuse(*refused.refusal)
            return
        parser = self._parser
        exchange = Exchange(self, parser.get_method(), head)
        exchange.body = self._body.whole(head)
        # HTTP/1.0 keeps a connection only if the answer says so: closing is as right and simpler.
        exchange.keep_alive = (
            parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
            and exchange.method != b"CONNECT"
        )
        exchange.received = monotonic()
        if self._packet:
            self._server.known.learn(self._packet, exchange)
            self._packet = b""
        if self._current is None and not self._waiting and not self._unread_since:
            self._current = exchange
            self._handle(exchange)
        else:
            self._enqueue(exchange)

    def _take_known(self, known: Known, body: bytes) -> bool:
        """Hand on a request whose head came before: what was checked then holds again."""
        server, size = self._server, known.length
        if server.buffered + size > self._limits.buffered:
            return False  # the long way says so
        self._held += size
        server.buffered += size
        self._since = server.now
        exchange = self._current = Exchange(self, known.method, known.head)
        exchange.body = body
        exchange.received = monotonic()
        self._handle(exchange)
        return True

    # ---- requests and answers

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered."""
        return self._partial or self._current is not None or bool(self._waiting)

    def reply(
        self, exchange: Exchange, status: int, parts: Sequence[bytes], *, head: tuple[bytes, bytes]
    ) -> None:
        """Write an answer and go on with the next request."""
        transport = self._transport
        if transport is None or exchange is not self._current:
            return
        self._current = exchange.abandoned = None  # or a cycle keeps the body
        server = self._server
        held = len(exchange.body)
        self._held -= held
        server.buffered -= held
        size = 0
        for part in parts:
            size += len(part)
        close = (
            not exchange.keep_alive
            or server.closing
            or exchange.received >= self._expires
            or (self._refused and not self._waiting)
        )
        more, asked = head[1], exchange.head
        if asked.parent:
            more += b"traceparent: %b\r\n" % asked.parent
        if asked.accepts:
            parts, lines = answer.compressed(exchange, parts, size, limits=self._limits)
            if lines:
                more, size = more + lines, len(parts[0])
        lines = b"%b%bcontent-length: %d\r\n%b%b\r\n" % (
            server.head(status, head[0]), server.date, size, more, _CLOSE if close else b"",
        )  # fmt: skip
        if server.observer is not None:
            server.observer(answer.seen(exchange, status, size))
        if exchange.method == b"HEAD":
            transport.write(lines)
        elif size <= LARGE:
            transport.write(b"".join((lines, *parts)))
        else:
            transport.writelines((lines, *parts))
        if close:
            self._finish(transport)
            return
        if not self._partial:
            self._since = server.now
        if self._waiting or self._paused or self._continue:
            self._pump()

    def end(self) -> None:
        """Close, after what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def check_time(self, now: float) -> None:
        """End a connection that was too slow; called about once a second."""
        limits, transport = self._limits, self._transport
        if transport is None:
            return
        if self._linger:
            if now > self._linger:
                transport.abort()
        elif self._unread_since and now - self._unread_since > limits.read_seconds:
            transport.abort()
        elif self._partial and not self._refused:
            allowed = limits.head_seconds if self._in_head else limits.body_seconds
            if now - self._since > allowed:
                self._refuse(408, f"the request did not arrive within {allowed:g} s")
        elif self._current is None and now - self._since > limits.idle_seconds:
            transport.close()

    def _enqueue(self, exchange: Exchange) -> None:
        self._waiting.append(exchange)
        if len(self._waiting) >= _MAX_PIPELINED and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        self._pump()

    def _pump(self) -> None:
        """Answer what waits, one after the other, without recursion."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._waiting and self._current is None and not self._unread_since:
                exchange = self._current = self._waiting.popleft()
                self._handle(exchange)
        finally:
            self._pumping = False
        if self._paused and len(self._waiting) < _MAX_PIPELINED and self._transport:
            self._paused = False
            self._transport.resume_reading()
        if self._continue and self._current is None:
            self._send_continue()

    def _handle(self, exchange: Exchange) -> None:
        server = self._server
        if exchange.refusal is not None:
            server.refuse(exchange, *exchange.refusal)
            return
        try:
            server.handle(exchange)
        except Exception:  # noqa: BLE001 - top of a request: a bug ends it, not the server
            _LOG.exception("a request hit a bug")
            server.refuse(exchange, 500, "internal error: see the server's log")

    def _refuse(self, status: int, message: str) -> None:
        """Answer with an error when its turn comes, read nothing more, close."""
        if self._refused or self._ended:
            return
        self._refused = True
        self._body = Body(0)
        self._continue = False
        exchange = Exchange(self, b"", self._head)
        exchange.keep_alive = False
        exchange.refusal = (status, message)
        exchange.received = monotonic()
        self._enqueue(exchange)

    def _send_continue(self) -> None:
        if self._current is None and not self._waiting and self._transport is not None:
            self._continue = False
            if not self._body.size:  # a client that went ahead needs no leave
                self._transport.write(_CONTINUE)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1, as a server may: Java's client offers h2c with its first request.

        The parser stops behind the head of such a request and takes its body for another protocol,
        so a new parser reads the head again without the offer, and then the body.
        """
        method, keeps = self._parser.get_method(), self._parser.should_keep_alive()
        self._parser = httptools.HttpRequestParser(self)
        if self._refused or method == b"CONNECT":
            return
        if self._head.length or self._head.chunked:
            rest = self._head.again(method, keeps=keeps) + rest
        if rest:
            self.data_received(rest)

    def _finish(self, transport: asyncio.Transport) -> None:
        """Close; after a refusal leave the peer time to read it, or a reset would eat it."""
        self._waiting.clear()
        self._ended = True
        if self._refused and transport.can_write_eof():
            transport.write_eof()
            self._linger = self._loop.time() + _LINGER_SECONDS
        else:
            transport.close()
